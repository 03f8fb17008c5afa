"""Companies, people and addresses (``data/parties.toml``). The names of people come from Faker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import missing_package
from bench.synth.data import read_table
from bench.synth.values import identifiers

if TYPE_CHECKING:
    from faker import Faker

_LOCALES = {"ru": "ru_RU", "en": "en_US", "zh": "zh_CN"}


@lru_cache(maxsize=8)
def _faker_of(language: str) -> Faker:
    try:
        from faker import Faker
    except ImportError:
        raise missing_package("bench data synth", "Faker", "synth") from None
    return Faker(_LOCALES[language])


def _faker(rng: Random, language: str) -> Faker:
    """Return Faker in a state that depends on ``rng`` alone."""
    fake = _faker_of(language)
    fake.seed_instance(rng.getrandbits(64))
    return fake


@dataclass(frozen=True, slots=True)
class Person:
    """A person who signs."""

    full: str
    short: str
    """Surname with initials; the same as ``full`` where the language has no such form."""
    surname: str
    given: str
    patronymic: str
    male: bool

    @property
    def genitive(self) -> str:
        """The Russian name in the genitive, as «в лице директора …» takes it."""
        if self.male:
            return f"{_male_surname(self.surname)} {_male_given(self.given)} {self.patronymic}а"
        surname, given = self.surname, self.given
        if surname.endswith("а"):
            surname = surname[:-1] + "ой"
        if given.endswith("а"):
            given = _ending_in_a(given)
        elif given.endswith(("я", "ь")):
            given = given[:-1] + "и"
        return f"{surname} {given} {self.patronymic[:-1]}ы"


def _male_surname(surname: str) -> str:
    if surname.endswith("ий"):
        return surname[:-2] + "ого"
    if surname.endswith(("ых", "их", "ко", "о", "е", "и")):
        return surname
    return surname + "а"


def _male_given(given: str) -> str:
    irregular = {"Лев": "Льва", "Павел": "Павла"}
    if given in irregular:
        return irregular[given]
    if given.endswith("а"):
        return _ending_in_a(given)
    if given.endswith("я"):
        return given[:-1] + "и"
    return given[:-1] + "я" if given.endswith(("й", "ь")) else given + "а"


def _ending_in_a(given: str) -> str:
    return given[:-1] + ("и" if given[-2] in "гкхжшщч" else "ы")


def person(rng: Random, language: str) -> Person:
    """Draw a person with a name usual in the language."""
    fake = _faker(rng, language)
    male = rng.random() < 0.5
    if language == "zh":
        surname, given = fake.last_name(), fake.first_name()
        return Person(surname + given, surname + given, surname, given, "", male)
    if language == "en":
        given = fake.first_name_male() if male else fake.first_name_female()
        surname = fake.last_name()
        return Person(f"{given} {surname}", f"{given[0]}. {surname}", surname, given, "", male)
    if male:
        surname, given, patronymic = (
            fake.last_name_male(), fake.first_name_male(), fake.middle_name_male()
        )  # fmt: skip
    else:
        surname, given, patronymic = (
            fake.last_name_female(), fake.first_name_female(), fake.middle_name_female()
        )  # fmt: skip
    full = f"{surname} {given} {patronymic}"
    short = f"{surname} {given[0]}. {patronymic[0]}."
    return Person(full, short, surname, given, patronymic, male)


def working_day(rng: Random) -> date:
    """Draw a working day between January 2023 and June 2025."""
    first, last = date(2023, 1, 9), date(2025, 6, 30)
    day = first + timedelta(days=rng.randrange((last - first).days))
    return day - timedelta(days=max(0, day.weekday() - 4))


def latin(text: str) -> str:
    """Write a Russian name in Latin letters, as in a domain name."""
    letters = read_table("words")["transliteration"]
    kept = (letters.get(c, c if c.isascii() and c.isalnum() else "_") for c in text.lower())
    return "".join(kept).replace("_", "")


@dataclass(frozen=True, slots=True)
class Bank:
    """A bank and the account held there."""

    name: str
    account: str
    bic: str = ""
    correspondent: str = ""


@dataclass(frozen=True, slots=True)
class Company:
    """A seller or a buyer."""

    name: str
    full_name: str
    address: str
    city: str
    tax_id: str
    """INN, VAT number or EIN, 统一社会信用代码."""
    phone: str
    bank: Bank
    director: Person
    accountant: Person
    email: str = ""
    kpp: str = ""
    ogrn: str = ""
    lines: tuple[str, ...] = ()
    """Address by lines, where the language writes it so."""


class RussianAddress(NamedTuple):
    """Where a Russian company or person is registered."""

    text: str
    city: str
    inspectorate: str
    """The tax inspectorate, four digits; the first two are the region."""
    phone_code: str


def russian_address(rng: Random) -> RussianAddress:
    """Draw an address."""
    places = read_table("parties")["ru"]
    city = rng.choice(places["cities"])
    house = rng.randrange(1, 140)
    part = rng.choice(
        (
            f", оф. {rng.randrange(1, 60)}",
            f", корп. {rng.randrange(1, 5)}",
            "",
            f", пом. {rng.randrange(1, 30)}",
        )
    )
    index = f"{city['postal_prefix']}{rng.randrange(10, 99)}"
    street = rng.choice(places["streets"])
    text = f"{index}, г. {city['name']}, {street}, д. {house}{part}"
    return RussianAddress(text, city["name"], city["inspectorate"], city["phone_code"])


def russian_company(rng: Random, trade: str | None = None, avoid: str = "") -> Company:
    """Draw a Russian company.

    Args:
        rng: decides everything.
        trade: what a seller sells; None draws a buyer.
        avoid: the name of a company that this one must differ from.
    """
    words = read_table("parties")["ru"]
    stem = rng.choice([stem for stem in _names(words, trade) if stem not in avoid])
    short, long = rng.choice(
        (("ООО", "Общество с ограниченной ответственностью"),) * 4
        + (("АО", "Акционерное общество"),)
    )
    address = russian_address(rng)
    bank = rng.choice(words["banks"])
    number = f"{rng.randrange(200, 999)}-{rng.randrange(10, 99)}-{rng.randrange(10, 99)}"
    if len(address.phone_code) == 4:
        number = number[1:]
    return Company(
        name=f"{short} «{stem}»",
        full_name=f"{long} «{stem}»",
        address=address.text,
        city=address.city,
        tax_id=identifiers.inn_company(rng, address.inspectorate),
        kpp=identifiers.kpp(address.inspectorate),
        ogrn=identifiers.ogrn(rng, address.inspectorate[:2]),
        phone=f"+7 ({address.phone_code}) {number}",
        email=f"info@{latin(stem)}.ru",
        bank=Bank(
            name=bank["name"],
            account=identifiers.settlement_account(rng, bank["bic"]),
            bic=bank["bic"],
            correspondent=identifiers.correspondent_account(bank["bic"]),
        ),
        director=person(rng, "ru"),
        accountant=person(rng, "ru"),
    )


def _names(words: dict[str, Any], trade: str | None) -> list[str]:
    names: list[str] = words["buyers"] if trade is None else words["sellers"][trade]
    return names


def english_company(rng: Random, trade: str | None = None, *, american: bool = False) -> Company:
    """Draw a company in Great Britain, or in the United States where ``american``; None draws a buyer."""
    fake = _faker(rng, "en")
    stem = rng.choice(_names(read_table("parties")["en"], trade))
    domain = "".join(c for c in stem.lower() if c.isalnum())
    number = rng.randrange(2, 290)
    if american:
        company = _american_company(rng, stem, number, street=fake.last_name())
    else:
        company = _british_company(rng, stem, number)
    email = f"billing@{domain}.com" if american else f"accounts@{domain}.co.uk"
    director, accountant = person(rng, "en"), person(rng, "en")
    return Company(
        full_name=company["name"],
        address=", ".join(company["lines"]),
        email=email,
        director=director,
        accountant=accountant,
        **company,
    )


def _american_company(rng: Random, stem: str, number: int, street: str) -> dict[str, Any]:
    places = read_table("parties")["us"]
    city = rng.choice(places["cities"])
    name = f"{stem}, {rng.choice(('Inc.', 'LLC'))}"
    road = f"{number * 10 + 5} {street} {rng.choice(places['streets'])}"
    return {
        "name": name,
        "city": city["name"],
        "lines": (road, f"{city['name']} {city['postcode']}"),
        "phone": f"({city['phone_code']}) 555-{rng.randrange(100, 199):04d}",
        "tax_id": identifiers.us_ein(rng),
        "bank": Bank("First Harbor Bank, N.A.", str(rng.randrange(10**9, 10**10)), "110000000"),
    }


def _british_company(rng: Random, stem: str, number: int) -> dict[str, Any]:
    places = read_table("parties")["en"]
    city = rng.choice(places["cities"])
    name = f"{stem} {rng.choice(('Ltd', 'Ltd', 'LLP'))}"
    road = f"{number} {rng.choice(places['streets'])}"
    # Numbers that Ofcom keeps for drama.
    london = city["phone_code"] == "020"
    phone = f"{city['phone_code']} {'7946' if london else '496'} 0{rng.randrange(100, 999)}"
    sort_code, account = f"{rng.randrange(10**5, 10**6)}", f"{rng.randrange(10**7, 10**8)}"
    bank = rng.choice(places["banks"])
    return {
        "name": name,
        "city": city["name"],
        "lines": (road, f"{city['name']} {city['postcode']}", city["country"]),
        "phone": phone,
        "bank": Bank(bank, identifiers.iban("GB", bank + sort_code + account), f"{bank}GB2L"),
        "tax_id": identifiers.uk_vat(rng),
    }


def chinese_company(rng: Random, trade: str | None = None, avoid: str = "") -> Company:
    """Draw a Chinese limited company; the arguments are those of ``russian_company``."""
    words = read_table("parties")["zh"]
    city = rng.choice(words["cities"])
    brand = rng.choice([brand for brand in words["brands"] if brand not in avoid])
    business = words["sellers"][trade] if trade is not None else rng.choice(words["buyers"])
    town = city["name"].removesuffix("市")
    name = f"{town}{brand}{business}有限公司"
    street = rng.choice(city["streets"])
    bank = rng.choice(words["banks"])
    branch = street[: street.index("区")]
    account = f"{rng.choice(('6222', '1100', '3100', '4400'))}{rng.randrange(10**14, 10**15)}"
    if len(city["phone_code"]) < 4 or rng.random() < 0.6:
        phone = rng.randrange(10**7, 10**8)
    else:
        phone = rng.randrange(8 * 10**6, 9 * 10**6)
    return Company(
        name=name,
        full_name=name,
        address=f"{city['name']}{street}{rng.randrange(2, 400)}号",
        city=city["name"],
        tax_id=identifiers.uscc(rng, city["division"]),
        phone=f"{city['phone_code']}-{phone}",
        bank=Bank(f"{bank}{town}{branch}支行", account),
        director=person(rng, "zh"),
        accountant=person(rng, "zh"),
    )

"""Companies, people, banks and addresses. Names of people and streets come from Faker.

The companies are made up; the banks' names and BICs are those of large banks, because an account key
can only be checked against a BIC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from bench.errors import missing_package
from bench.synth.values import identifiers as ids

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
    """Faker in a state that depends on ``rng`` alone."""
    fake = _faker_of(language)
    fake.seed_instance(rng.getrandbits(64))
    return fake


@dataclass(frozen=True, slots=True)
class Person:
    """A person who signs."""

    full: str
    short: str
    """Фамилия with initials; the same as ``full`` where the language has no such form."""
    surname: str = ""
    given: str = ""
    patronymic: str = ""
    male: bool = True

    @property
    def genitive(self) -> str:
        """The Russian name in the genitive, as «в лице директора …» takes it."""
        if self.male:
            return f"{_male_genitive(self.surname)} {_male_given(self.given)} {self.patronymic}а"
        surname = self.surname[:-1] + "ой" if self.surname.endswith("а") else self.surname
        given = self.given
        if given.endswith("а"):
            given = given[:-1] + ("и" if given[-2] in "гкхжшщч" else "ы")
        elif given.endswith(("я", "ь")):
            given = given[:-1] + "и"
        return f"{surname} {given} {self.patronymic[:-1]}ы"


def _male_genitive(surname: str) -> str:
    if surname.endswith("ий"):
        return surname[:-2] + "ого"
    if surname.endswith(("ых", "их", "ко", "о", "е", "и")):
        return surname
    return surname + "а"


def _male_given(given: str) -> str:
    if given in {"Лев", "Павел"}:
        return {"Лев": "Льва", "Павел": "Павла"}[given]
    if given.endswith("а"):
        return given[:-1] + ("и" if given[-2] in "гкхжшщч" else "ы")
    if given.endswith("я"):
        return given[:-1] + "и"
    return given[:-1] + "я" if given.endswith(("й", "ь")) else given + "а"


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
    kpp: str
    ogrn: str
    phone: str
    email: str
    bank: Bank
    director: Person
    accountant: Person
    lines: tuple[str, ...] = ()
    """Address by lines, where the language writes it so."""


# City, postal prefix, inspectorate (region code + number), phone code, forms of "в городе".
_RU_CITIES = (
    ("Москва", "1150", "7725", "495"),
    ("Москва", "1251", "7713", "499"),
    ("Санкт-Петербург", "1910", "7841", "812"),
    ("Екатеринбург", "6200", "6671", "343"),
    ("Новосибирск", "6300", "5406", "383"),
    ("Казань", "4200", "1655", "843"),
    ("Нижний Новгород", "6030", "5260", "831"),
    ("Самара", "4430", "6315", "846"),
    ("Краснодар", "3500", "2308", "861"),
    ("Воронеж", "3940", "3664", "473"),
    ("Пермь", "6140", "5902", "342"),
    ("Тюмень", "6250", "7203", "3452"),
    ("Ярославль", "1500", "7604", "4852"),
    ("Тула", "3000", "7107", "4872"),
    ("Уфа", "4500", "0274", "347"),
)
_RU_STREETS = (
    "ул. Ленина",
    "ул. Кирова",
    "пр-кт Мира",
    "ул. Гагарина",
    "ул. Советская",
    "ул. Промышленная",
    "ул. Чехова",
    "ул. Заводская",
    "Московский пр-кт",
    "ул. Строителей",
    "ул. Пушкина",
    "наб. реки Волги",
    "ул. Октябрьская",
    "ул. Молодёжная",
    "ул. Лермонтова",
    "пер. Садовый",
    "ул. Складская",
    "ш. Энтузиастов",
    "ул. Декабристов",
)
_RU_BANKS = (
    ("ПАО СБЕРБАНК, г. Москва", "044525225"),
    ("АО «АЛЬФА-БАНК», г. Москва", "044525593"),
    ("Филиал «Центральный» Банка ВТБ (ПАО), г. Москва", "044525411"),
    ("АО «ТБанк», г. Москва", "044525974"),
    ("Северо-Западный банк ПАО Сбербанк, г. Санкт-Петербург", "044030653"),
    ("Уральский банк ПАО Сбербанк, г. Екатеринбург", "046577674"),
    ("ПАО «Промсвязьбанк», г. Москва", "044525555"),
    ("АО «Райффайзенбанк», г. Москва", "044525700"),
)
_RU_STEMS = {
    "office": ("КанцМир", "Офис-Комплект", "БюроСнаб", "ДелоПлюс", "ПрофОфис", "Канцлер-Опт", "ОфисТрейд"),
    "building": ("СтройРесурс", "МеталлБаза", "СтройГарант", "БетонСервис", "СтройКомплект", "МонолитСнаб",
                 "ТеплоДом"),
    "food": ("ПродТорг", "Продукты Поволжья", "АгроПоставка", "Бакалея-Опт", "Вкусный Дом", "СельхозПродукт"),
    "services": ("ИнфоТех Решения", "СисАдмин Групп", "Цифровые Системы", "ИТ-Сопровождение", "СофтСервис",
                 "ВебПроект"),
}  # fmt: skip
_RU_BUYERS = (
    "Альянс-М", "Вектор", "ТоргСервис", "Северный Путь", "Меридиан", "Горизонт", "Техноцентр", "Ремстрой",
    "Восток-Запад", "Гранд Отель", "Лидер", "Импульс", "Рассвет", "УралПром", "Логистик Центр", "МедТехника",
)  # fmt: skip


def person(rng: Random, language: str) -> Person:
    """A person with a name usual in the language."""
    fake = _faker(rng, language)
    male = rng.random() < 0.5
    if language == "ru":
        surname, given, patronymic = (
            (fake.last_name_male(), fake.first_name_male(), fake.middle_name_male())
            if male
            else (fake.last_name_female(), fake.first_name_female(), fake.middle_name_female())
        )
        return Person(
            f"{surname} {given} {patronymic}", f"{surname} {given[0]}. {patronymic[0]}.", surname, given,
            patronymic, male,
        )  # fmt: skip
    if language == "zh":
        surname, given = fake.last_name(), fake.first_name()
        return Person(surname + given, surname + given, surname, given, "", male)
    given = fake.first_name_male() if male else fake.first_name_female()
    surname = fake.last_name()
    return Person(f"{given} {surname}", f"{given[0]}. {surname}", surname, given, "", male)


def day(rng: Random, first: date = date(2023, 1, 9), last: date = date(2025, 6, 30)) -> date:
    """A working day between two dates."""
    chosen = first + timedelta(days=rng.randrange((last - first).days))
    return chosen - timedelta(days=max(0, chosen.weekday() - 4))


_TRANSLIT = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        [
            "a",
            "b",
            "v",
            "g",
            "d",
            "e",
            "e",
            "zh",
            "z",
            "i",
            "y",
            "k",
            "l",
            "m",
            "n",
            "o",
            "p",
            "r",
            "s",
            "t",
            "u",
            "f",
            "h",
            "ts",
            "ch",
            "sh",
            "sch",
            "_",
            "y",
            "_",
            "e",
            "yu",
            "ya",
        ],
        strict=True,
    )
)


def latin(text: str) -> str:
    """A domain name for a Russian company name."""
    letters = (_TRANSLIT.get(c, c if c.isascii() and c.isalnum() else "_") for c in text.lower())
    return "".join(letters).replace("_", "")


def russian_address(rng: Random) -> tuple[str, str, str, str]:
    """Address, city, inspectorate, phone code."""
    city, post, inspectorate, code = rng.choice(_RU_CITIES)
    house = rng.randrange(1, 140)
    office = rng.choice(
        (
            f", оф. {rng.randrange(1, 60)}",
            f", корп. {rng.randrange(1, 5)}",
            "",
            f", пом. {rng.randrange(1, 30)}",
        )
    )
    return (
        f"{post}{rng.randrange(10, 99)}, г. {city}, {rng.choice(_RU_STREETS)}, д. {house}{office}",
        city, inspectorate, code,
    )  # fmt: skip


def russian_company(rng: Random, trade: str | None = None, avoid: str = "") -> Company:
    """A Russian company; ``trade`` names what it sells, None makes a buyer."""
    stems = [s for s in (_RU_STEMS[trade] if trade is not None else _RU_BUYERS) if s not in avoid]
    stem = rng.choice(stems)
    short, long = rng.choice(
        (("ООО", "Общество с ограниченной ответственностью"),) * 4
        + (("АО", "Акционерное общество"),)
    )
    address, city, inspectorate, code = russian_address(rng)
    bank_name, bic = rng.choice(_RU_BANKS)
    number = f"{rng.randrange(200, 999)}-{rng.randrange(10, 99)}-{rng.randrange(10, 99)}"
    if len(code) == 4:
        number = number[1:]
    return Company(
        name=f"{short} «{stem}»",
        full_name=f"{long} «{stem}»",
        address=address,
        city=city,
        tax_id=ids.inn_company(rng, inspectorate),
        kpp=ids.kpp(inspectorate),
        ogrn=ids.ogrn(rng, inspectorate[:2]),
        phone=f"+7 ({code}) {number}",
        email=f"info@{latin(stem)}.ru",
        bank=Bank(bank_name, ids.settlement_account(rng, bic), bic, ids.correspondent_account(bic)),
        director=person(rng, "ru"),
        accountant=person(rng, "ru"),
    )


_EN_STEMS = {
    "electronics": (
        "Northgate Systems",
        "Brightwire Electronics",
        "Pixel & Port",
        "Harbour Tech Supply",
    ),
    "industrial": (
        "Ironbridge Components",
        "Calder Industrial Supply",
        "Steelworks Direct",
        "Torque & Thread",
    ),
    "services": (
        "Blue Fern Digital",
        "Codewell Consulting",
        "Lakeside Software",
        "Two Rivers Studio",
    ),
    "furniture": ("Oak & Linen", "Hartley Furniture", "Maison Interiors", "Timberline Living"),
}
_EN_BUYERS = (
    "Ashford Logistics",
    "Greenfield Dental Care",
    "Kingsway Hotels",
    "Orchard Lane School",
    "Pemberton Foods",
    "Riverside Medical Group",
    "Summit Outdoor",
    "Whitmore Architects",
    "Fairview Properties",
    "Atlas Print Works",
)
_EN_PLACES = (
    ("Leeds", "LS1 4AP", "United Kingdom", "0113"),
    ("Bristol", "BS1 6QS", "United Kingdom", "0117"),
    ("Manchester", "M2 5DB", "United Kingdom", "0161"),
    ("London", "EC2A 3LT", "United Kingdom", "020"),
    ("Edinburgh", "EH3 9DR", "United Kingdom", "0131"),
    ("Birmingham", "B3 2TA", "United Kingdom", "0121"),
)
_EN_US = (
    ("Portland, OR", "97205", "503"), ("Austin, TX", "78701", "512"), ("Columbus, OH", "43215", "614"),
    ("Denver, CO", "80202", "303"), ("Boston, MA", "02110", "617"), ("Madison, WI", "53703", "608"),
)  # fmt: skip
_EN_ROADS = (
    "High Street",
    "Station Road",
    "Victoria Avenue",
    "Mill Lane",
    "Park Street",
    "Canal Wharf",
    "Queen Street",
    "Foundry Way",
    "Bridge Road",
    "Market Square",
)
_UK_BANKS = ("BARC", "NWBK", "LOYD", "MIDL")


def english_company(rng: Random, trade: str | None = None, *, american: bool = False) -> Company:
    """A company in Great Britain, or in the United States where ``american``."""
    fake = _faker(rng, "en")
    stem = rng.choice(_EN_STEMS[trade] if trade is not None else _EN_BUYERS)
    domain = "".join(c for c in stem.lower() if c.isalnum())
    number = rng.randrange(2, 290)
    if american:
        city, post, code = rng.choice(_EN_US)
        name = f"{stem}, {rng.choice(('Inc.', 'LLC'))}"
        lines: tuple[str, ...] = (
            f"{number * 10 + 5} {fake.last_name()} {rng.choice(('Street', 'Avenue', 'Blvd', 'Drive'))}",
            f"{city} {post}",
        )
        phone = f"({code}) 555-{rng.randrange(100, 199):04d}"
        tax, bank = (
            ids.us_ein(rng),
            Bank("First Harbor Bank, N.A.", str(rng.randrange(10**9, 10**10)), "110000000"),
        )
        email = f"billing@{domain}.com"
    else:
        city, post, country, code = rng.choice(_EN_PLACES)
        name = f"{stem} {rng.choice(('Ltd', 'Ltd', 'LLP'))}"
        lines = (f"{number} {rng.choice(_EN_ROADS)}", f"{city} {post}", country)
        phone = (
            f"{code} 496 0{rng.randrange(100, 999)}"
            if code != "020"
            else f"020 7946 0{rng.randrange(100, 999)}"
        )
        sort, account = f"{rng.randrange(10**5, 10**6)}", f"{rng.randrange(10**7, 10**8)}"
        code_ = rng.choice(_UK_BANKS)
        bank = Bank(code_, ids.iban("GB", code_ + sort + account), f"{code_}GB2L")
        tax, email = ids.uk_vat(rng), f"accounts@{domain}.co.uk"
    return Company(name, name, ", ".join(lines), city, tax, "", "", phone, email, bank, person(rng, "en"),
                   person(rng, "en"), lines)  # fmt: skip


# City, division code, phone code, districts.
_ZH_CITIES = (
    ("北京市", "110108", "010", ("海淀区中关村大街", "朝阳区建国路", "丰台区科技路")),
    ("上海市", "310115", "021", ("浦东新区张江路", "徐汇区漕溪北路", "静安区南京西路")),
    ("广州市", "440106", "020", ("天河区天河路", "越秀区中山五路", "白云区机场路")),
    ("深圳市", "440305", "0755", ("南山区科技园路", "福田区深南大道", "龙岗区坂田路")),
    ("杭州市", "330106", "0571", ("西湖区文三路", "滨江区江南大道", "余杭区文一西路")),
    ("成都市", "510107", "028", ("武侯区天府大道", "高新区科园路", "青羊区人民中路")),
    ("南京市", "320106", "025", ("鼓楼区中山北路", "江宁区双龙大道", "玄武区珠江路")),
    ("武汉市", "420106", "027", ("武昌区中南路", "江汉区解放大道", "洪山区珞瑜路")),
    ("苏州市", "320508", "0512", ("工业园区星湖街", "高新区狮山路", "吴中区东吴北路")),
)
_ZH_BRANDS = (
    "华信",
    "天诚",
    "瑞丰",
    "博远",
    "鼎盛",
    "恒达",
    "东方",
    "金桥",
    "新宇",
    "利通",
    "中科",
    "宏图",
    "佳和",
    "明德",
    "永兴",
    "智联",
    "启航",
    "安泰",
)
_ZH_TRADES = {
    "electronics": "电子科技",
    "office": "办公用品",
    "services": "信息技术",
    "materials": "建材贸易",
}
_ZH_BUYERS = (
    "商贸",
    "机械制造",
    "物流",
    "餐饮管理",
    "医疗器械",
    "教育咨询",
    "房地产开发",
    "纺织品",
    "食品",
)
_ZH_BANKS = ("中国工商银行", "中国建设银行", "中国农业银行", "中国银行", "招商银行", "交通银行")


def chinese_company(rng: Random, trade: str | None = None, avoid: str = "") -> Company:
    """A Chinese limited company."""
    city, division, code, streets = rng.choice(_ZH_CITIES)
    brand = rng.choice([b for b in _ZH_BRANDS if b not in avoid])
    kind = _ZH_TRADES[trade] if trade is not None else rng.choice(_ZH_BUYERS)
    name = f"{city.removesuffix('市')}{brand}{kind}有限公司"
    street = rng.choice(streets)
    bank = rng.choice(_ZH_BANKS)
    branch = street[: street.index("区") + 1].removesuffix("区")
    account = f"{rng.choice(('6222', '1100', '3100', '4400'))}{rng.randrange(10**14, 10**15)}"
    local = (
        rng.randrange(10**7, 10**8)
        if len(code) < 4 or rng.random() < 0.6
        else rng.randrange(8 * 10**6, 9 * 10**6)
    )
    return Company(
        name=name, full_name=name, address=f"{city}{street}{rng.randrange(2, 400)}号", city=city,
        tax_id=ids.uscc(rng, division), kpp="", ogrn="", phone=f"{code}-{local}", email="",
        bank=Bank(f"{bank}{city.removesuffix('市')}{branch}支行", account),
        director=person(rng, "zh"), accountant=person(rng, "zh"),
    )  # fmt: skip

"""The values of a filled application form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from bench.synth.values import identifiers, parties
from bench.synth.values.amounts import grouped
from bench.synth.values.trade import english_date, russian_date


@dataclass(frozen=True, slots=True)
class Applicant:
    """What a person wrote into the form; every value is text as written."""

    name: str
    surname: str
    given: str
    patronymic: str
    male: bool
    education: str
    """``s``, ``p`` or ``h``."""
    profession: str
    position: str
    travel: str
    """``yes`` or ``no``."""
    hours: str
    """``full``, ``part`` or ``temp``."""
    contact: str
    """Whom to call in an emergency (zh)."""
    born: str = ""
    address: str = ""
    passport: str = ""
    """Series and number, ten digits (ru)."""
    issued: str = ""
    tax_id: str = ""
    """INN (ru) or 身份证号码 (zh)."""
    phone: str = ""
    email: str = ""
    degree: str = ""
    salary: str = ""
    employer: str = ""
    available: str = ""
    signed: str = ""
    nation: str = ""
    contact_phone: str = ""


_JOBS = {
    "ru": (("Бухгалтер", "Главный бухгалтер", 95), ("Инженер-технолог", "Ведущий инженер", 110),
           ("Экономист", "Финансовый аналитик", 100), ("Логист", "Менеджер по логистике", 85),
           ("Электромонтёр", "Мастер участка", 80)),
    "en": (("Office Administrator", "Office Manager", 34), ("Sales Assistant", "Account Executive", 31),
           ("Warehouse Operative", "Team Leader", 29), ("Junior Accountant", "Management Accountant", 42)),
    "zh": (("会计学", "财务主管", 9), ("机械工程", "机械工程师", 12), ("市场营销", "销售经理", 10),
           ("计算机科学", "软件工程师", 15), ("物流管理", "仓储主管", 8)),
}  # fmt: skip


def _identity(rng: Random, division: str, born: date, male: bool) -> str:
    """身份证号码 with its check character (GB 11643-1999)."""
    order = rng.randrange(10, 99) * 10 + rng.randrange(5) * 2 + (1 if male else 0)
    head = f"{division}{born:%Y%m%d}{order:03d}"
    total = sum(int(digit) * (2 ** (17 - n) % 11) for n, digit in enumerate(head))
    return head + "10X98765432"[total % 11]


def applicant(rng: Random, language: str) -> Applicant:
    """Values of a form in ``language``."""
    person = parties.person(rng, language)
    born = date(1968, 1, 1) + timedelta(days=rng.randrange(12000))
    signed = parties.day(rng)
    job, wish, pay = rng.choice(_JOBS[language])
    pay = (pay + rng.randrange(-4, 9)) * 1000
    education = rng.choice("sphh")
    mobile = rng.randrange(10**8, 10**9)
    other = parties.person(rng, language)
    available = signed + timedelta(days=rng.randrange(10, 50))
    base = Applicant(
        name=person.full,
        surname=person.surname,
        given=person.given,
        patronymic=person.patronymic,
        male=person.male,
        education=education,
        profession=job,
        position=wish,
        travel=rng.choice(("yes", "no")),
        hours=rng.choice(("full", "part", "temp")),
        contact=other.full,
    )
    return {"ru": _russian, "en": _english, "zh": _chinese}[language](
        rng, base, _Draw(born, signed, available, mobile, pay)
    )


class _Draw(NamedTuple):
    """Values that every language writes in its own way."""

    born: date
    signed: date
    available: date
    mobile: int
    """Nine digits."""
    pay: int


def _russian(rng: Random, base: Applicant, draw: _Draw) -> Applicant:
    address, _, inspectorate, _ = parties.russian_address(rng)
    digits = f"{draw.mobile:09d}"
    company = parties.russian_company(rng)
    return replace(
        base,
        passport=f"{inspectorate[:2]}{rng.randrange(5, 24):02d}{rng.randrange(10**5, 10**6)}",
        issued=f"{draw.signed - timedelta(days=rng.randrange(400, 3000)):%d.%m.%Y}",
        tax_id=identifiers.inn_person(rng, inspectorate),
        born=f"{draw.born:%d.%m.%Y}",
        address=address.split(", ", 1)[1],
        phone=f"+7 9{digits[:2]} {digits[2:5]}-{digits[5:7]}-{digits[7:]}",
        email=f"{parties.latin(base.surname)}{draw.born.year % 100}@mail.ru",
        salary=grouped(Decimal(draw.pay), group=" ", point=",", places=0),
        employer=company.name,
        signed=russian_date(draw.signed),
    )


def _english(rng: Random, base: Applicant, draw: _Draw) -> Applicant:
    company = parties.english_company(rng)
    home = parties.english_company(rng)
    return replace(
        base,
        available=english_date(draw.available),
        born=english_date(draw.born),
        address=", ".join(home.lines[:2]),
        phone=f"07700 900{rng.randrange(100, 999)}",
        email=f"{base.given.lower()}.{base.surname.lower()}@mail.example",
        salary=f"£{draw.pay:,}",
        employer=company.name,
        signed=english_date(draw.signed),
    )


def _chinese(rng: Random, base: Applicant, draw: _Draw) -> Applicant:
    company = parties.chinese_company(rng)
    home = parties.chinese_company(rng)
    return replace(
        base,
        available=_short_date(draw.available),
        tax_id=_identity(rng, home.tax_id[2:8], draw.born, base.male),
        nation=rng.choice(("汉族", "汉族", "回族", "满族")),
        degree={"s": "高中", "p": "大专", "h": "本科"}[base.education],
        contact_phone=f"138{rng.randrange(10**7, 10**8)}",
        born=_short_date(draw.born),
        address=home.address,
        phone=f"139{draw.mobile % 10**8:08d}",
        salary=f"{draw.pay}元",
        employer=company.name,
        signed=_short_date(draw.signed),
    )


def _short_date(day: date) -> str:
    """``2024年3月5日``, without leading zeros, as written by hand."""
    return f"{day.year}年{day.month}月{day.day}日"

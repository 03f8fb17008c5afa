"""The values of a filled application form (``data/applicants.toml``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from bench.synth.data import read_table
from bench.synth.values import dates, identifiers, parties
from bench.synth.values.amounts import grouped


@dataclass(frozen=True, slots=True)
class Applicant:
    """What a person wrote into the form; every value is text as written."""

    name: str
    surname: str
    given: str
    patronymic: str
    male: bool
    education: str
    """``s``, ``p`` or ``h``: school, vocational school, university."""
    profession: str
    position: str
    travel: str
    """``yes`` or ``no``."""
    hours: str
    """``full``, ``part`` or ``temp``."""
    contact: str
    """Whom to call in an emergency (zh)."""
    born: str
    address: str
    phone: str
    salary: str
    employer: str
    signed: str
    """The day of the signature."""
    email: str = ""
    passport: str = ""
    """Series and number, ten digits (ru)."""
    issued: str = ""
    """The day of the passport (ru)."""
    tax_id: str = ""
    """INN (ru) or 身份证号码 (zh)."""
    available: str = ""
    """The first day of work (en, zh)."""
    degree: str = ""
    nation: str = ""
    contact_phone: str = ""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Values that every language writes in its own way."""

    person: parties.Person
    education: str
    born: date
    signed: date
    available: date
    mobile: int
    """Nine digits."""
    pay: int


def applicant(rng: Random, language: str) -> Applicant:
    """Draw the values of a form in ``language``."""
    person = parties.person(rng, language)
    born = date(1968, 1, 1) + timedelta(days=rng.randrange(12000))
    signed = parties.working_day(rng)
    job = rng.choice(read_table("applicants")[language])
    pay = (job["pay"] + rng.randrange(-4, 9)) * 1000
    education = rng.choice("sphh")
    mobile = rng.randrange(10**8, 10**9)
    contact = parties.person(rng, language)
    available = signed + timedelta(days=rng.randrange(10, 50))
    common = {
        "name": person.full,
        "surname": person.surname,
        "given": person.given,
        "patronymic": person.patronymic,
        "male": person.male,
        "education": education,
        "profession": job["profession"],
        "position": job["position"],
        "travel": rng.choice(("yes", "no")),
        "hours": rng.choice(("full", "part", "temp")),
        "contact": contact.full,
    }
    write = {"ru": _russian, "en": _english, "zh": _chinese}[language]
    drawn = _Drawn(person, education, born, signed, available, mobile, pay)
    return Applicant(**common, **write(rng, drawn))


def _russian(rng: Random, drawn: _Drawn) -> dict[str, Any]:
    home = parties.russian_address(rng)
    digits = f"{drawn.mobile:09d}"
    company = parties.russian_company(rng)
    region = home.inspectorate[:2]
    passport = f"{region}{rng.randrange(5, 24):02d}{rng.randrange(10**5, 10**6)}"
    issued = drawn.signed - timedelta(days=rng.randrange(400, 3000))
    return {
        "passport": passport,
        "issued": dates.dotted_date(issued),
        "tax_id": identifiers.inn_person(rng, home.inspectorate),
        "born": dates.dotted_date(drawn.born),
        "address": home.text.split(", ", 1)[1],
        "phone": f"+7 9{digits[:2]} {digits[2:5]}-{digits[5:7]}-{digits[7:]}",
        "email": f"{parties.latin(drawn.person.surname)}{drawn.born.year % 100}@mail.ru",
        "salary": grouped(Decimal(drawn.pay), group=" ", point=",", places=0),
        "employer": company.name,
        "signed": dates.russian_date(drawn.signed),
    }


def _english(rng: Random, drawn: _Drawn) -> dict[str, Any]:
    company = parties.english_company(rng)
    home = parties.english_company(rng)
    person = drawn.person
    return {
        "available": dates.english_date(drawn.available),
        "born": dates.english_date(drawn.born),
        "address": ", ".join(home.lines[:2]),
        "phone": f"07700 900{rng.randrange(100, 999)}",
        "email": f"{person.given.lower()}.{person.surname.lower()}@mail.example",
        "salary": f"£{drawn.pay:,}",
        "employer": company.name,
        "signed": dates.english_date(drawn.signed),
    }


def _chinese(rng: Random, drawn: _Drawn) -> dict[str, Any]:
    company = parties.chinese_company(rng)
    home = parties.chinese_company(rng)
    division = home.tax_id[2:8]
    return {
        "available": dates.handwritten_chinese_date(drawn.available),
        "tax_id": identifiers.chinese_identity(rng, division, drawn.born, male=drawn.person.male),
        "nation": rng.choice(("汉族", "汉族", "回族", "满族")),
        "degree": {"s": "高中", "p": "大专", "h": "本科"}[drawn.education],
        "contact_phone": f"138{rng.randrange(10**7, 10**8)}",
        "born": dates.handwritten_chinese_date(drawn.born),
        "address": home.address,
        "phone": f"139{drawn.mobile % 10**8:08d}",
        "salary": f"{drawn.pay}元",
        "employer": company.name,
        "signed": dates.handwritten_chinese_date(drawn.signed),
    }

"""The values of a slip: a small invoice, till receipt or form, as labelled lines (``data/slips.toml``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

from bench.synth.data import read_table
from bench.synth.values import dates, parties
from bench.synth.values.amounts import cents, grouped


class SlipEntry(NamedTuple):
    """One labelled value."""

    field: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Slip:
    """What a slip says."""

    doc_type: str
    """``invoice``, ``receipt`` or ``form``."""
    title: str
    company: str
    """Who issued it; heads the page."""
    entries: tuple[SlipEntry, ...]
    goods: tuple[tuple[str, str], ...] = ()
    """Name and amount of what was bought; only a receipt has them."""


def slip_words(language: str) -> dict[str, Any]:
    """Return the words of slips in ``language``: ``labels`` (field → wordings), ``goods``, ``cities``, …."""
    words: dict[str, Any] = read_table("slips")[language]
    return words


def slip(rng: Random, language: str, entries: int | None = None) -> Slip:
    """Draw the values of a slip in ``language`` (``en`` or ``ru``).

    Args:
        rng: decides everything.
        language: of labels and values.
        entries: how many labelled values, at most as many as the type has; drawn where None.
    """
    words = slip_words(language)
    doc_type = rng.choice(("invoice", "receipt", "form"))
    fields = read_table("slips")["fields"][doc_type]
    count = min(len(fields), entries or rng.randint(4, len(fields)))
    chosen = [fields[index] for index in sorted(rng.sample(range(len(fields)), count))]
    prices = [
        Decimal(rng.randrange(50, 10 ** rng.randint(3, 6))) / 100 for _ in range(rng.randint(1, 3))
    ]
    money = _notation(rng, language)
    values = _values(rng, language, doc_type, sum(prices, Decimal(0)), money)
    title = rng.choice(words["titles"][doc_type])
    company = slip_company(rng, language)
    labelled = tuple(
        SlipEntry(field, rng.choice(words["labels"][field]), values[field]) for field in chosen
    )
    goods: tuple[tuple[str, str], ...] = ()
    if doc_type == "receipt":
        names = rng.sample(words["goods"], len(prices))
        goods = tuple((name, money(price)) for name, price in zip(names, prices, strict=True))
    return Slip(doc_type, title, company, labelled, goods)


def slip_company(rng: Random, language: str) -> str:
    """Draw a short company name."""
    words = slip_words(language)
    name, form = rng.choice(words["company_names"]), rng.choice(words["company_forms"])
    return f"{form} {name}" if language == "ru" else f"{name} {form}"


class _Notation(NamedTuple):
    """How a slip writes amounts."""

    sign: str
    group: str
    point: str

    def __call__(self, value: Decimal) -> str:
        return self.sign + grouped(value, group=self.group, point=self.point)


def _notation(rng: Random, language: str) -> _Notation:
    if language == "ru":
        return _Notation("", rng.choice(("", " ")), rng.choice((",", ".")))
    return _Notation(rng.choice(("", "$", "£")), rng.choice(("", ",")), ".")


def _values(
    rng: Random, language: str, doc_type: str, net: Decimal, money: _Notation
) -> dict[str, str]:
    """Draw a value for every field of every type, so that all types take as much from ``rng``."""
    tax = cents(net * Decimal("0.2"))
    # The prices of a receipt contain the tax; an invoice adds it.
    total = net if doc_type == "receipt" else net + tax
    note = Decimal(50 if total < 1000 else 1000)
    cash = (total // note + 1) * note
    day, later = sorted(parties.working_day(rng) for _ in range(2))
    style = rng.randrange(3)
    person = parties.person(rng, language)
    return {
        "number": _number(rng),
        "date": _dated(day, language, style),
        "due_date": _dated(later, language, style),
        "customer": rng.choice((person.short, slip_company(rng, language))),
        "account": str(rng.randrange(10**7, 10**10)),
        "subtotal": money(net),
        "tax": money(tax),
        "total": money(total),
        "time": f"{rng.randrange(24):02d}:{rng.randrange(60):02d}",
        "cash": money(cash),
        "change": money(cash - total),
        "card": f"**** {rng.randrange(10000):04d}",
        "surname": person.surname,
        "given_name": person.given,
        "birth_date": _dated(_birthday(rng, later), language, style),
        "phone": _phone(rng, language),
        "id_number": f"{rng.randrange(10, 99)} {rng.randrange(10**5, 10**6)}",
        "city": rng.choice(slip_words(language)["cities"]),
    }


def _birthday(rng: Random, day: date) -> date:
    return day.replace(year=day.year - rng.randrange(18, 80), day=rng.randint(1, 28))


def _dated(day: date, language: str, style: int) -> str:
    """Write ``day`` in one of three styles."""
    if language == "ru":
        return dates.russian_date(day, year_word="") if style == 2 else dates.dotted_date(day)
    return (f"{day:%d/%m/%Y}", dates.english_date(day), day.isoformat())[style]


def _number(rng: Random) -> str:
    digits = str(rng.randrange(100, 10 ** rng.randint(4, 7)))
    style = rng.randrange(4)
    if style == 0:
        return rng.choice("ABCDEFGHKLMNPRSTUVXYZ") + "-" + digits
    if style == 1:
        return f"{digits}/{rng.randrange(10, 100)}"
    return digits


def _phone(rng: Random, language: str) -> str:
    tail = f"{rng.randrange(100, 1000)}-{rng.randrange(10, 100)}-{rng.randrange(10, 100)}"
    code = rng.randrange(201, 999)
    return f"+7 {code} {tail}" if language == "ru" else f"{code} {tail.replace('-', ' ', 1)}"

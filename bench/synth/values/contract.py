"""The values of a supply contract, Russian or English."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from random import Random

from bench.synth.values import parties
from bench.synth.values.amounts import InvoiceLines, draw_lines
from bench.synth.values.goods import goods
from bench.synth.values.parties import Company


@dataclass(frozen=True, slots=True)
class SupplyContract:
    """What the two parties agreed."""

    number: str
    day: date
    city: str
    seller: Company
    buyer: Company
    lines: InvoiceLines
    prepayment: int
    """Per cent."""
    pay_days: int
    """Days for the rest of the price."""
    delivery_days: int
    penalty: str
    """Per cent a day, with a decimal comma."""
    warranty_months: int
    claim_days: int
    until: date


def supply_contract(rng: Random, language: str) -> SupplyContract:
    """Draw the values of a contract in ``language`` (``ru`` or ``en``)."""
    if language == "ru":
        trade = rng.choice(("office", "building"))
        seller = parties.russian_company(rng, trade)
        buyer = parties.russian_company(rng, avoid=seller.name)
        count = rng.randint(5, 7)
    else:
        trade = rng.choice(("electronics", "furniture"))
        seller = parties.english_company(rng, trade)
        buyer = parties.english_company(rng)
        count = rng.randint(4, 6)
    lines = draw_lines(rng, goods(language)[trade], count, ("0.20",))
    day = parties.working_day(rng)
    return SupplyContract(
        number=f"{rng.randrange(11, 260)}-{'П' if language == 'ru' else 'S'}/{day.year}",
        day=day,
        city=seller.city,
        seller=seller,
        buyer=buyer,
        lines=lines,
        prepayment=rng.choice((20, 30, 40, 50)),
        pay_days=rng.choice((5, 10, 15, 20)),
        delivery_days=rng.choice((14, 21, 25, 35)),
        penalty=rng.choice(("0,05", "0,1", "0,2")),
        warranty_months=rng.choice((12, 18, 24)),
        claim_days=rng.choice((7, 12, 30)),
        until=date(day.year + rng.randrange(2), 12, 31),
    )

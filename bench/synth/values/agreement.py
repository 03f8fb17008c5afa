"""The values of a supply contract (ru) or a service agreement (en)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from random import Random

from bench.synth.values import catalogue, parties
from bench.synth.values.amounts import Lines, draw_lines
from bench.synth.values.parties import Company


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the parties agreed."""

    number: str
    day: date
    city: str
    seller: Company
    buyer: Company
    lines: Lines
    prepayment: int
    """Per cent."""
    pay_days: int
    """Days for the rest of the price."""
    delivery_days: int
    penalty: str
    """Per cent a day."""
    warranty_months: int
    claim_days: int
    until: date


def agreement(rng: Random, language: str) -> Agreement:
    """Values of a contract in ``language``."""
    if language == "ru":
        trade = rng.choice(("office", "building"))
        seller = parties.russian_company(rng, trade)
        buyer = parties.russian_company(rng, avoid=seller.name)
        lines = draw_lines(rng, catalogue.RU[trade], rng.randint(5, 7), ("0.20",))
    else:
        trade = rng.choice(("electronics", "furniture"))
        seller = parties.english_company(rng, trade)
        buyer = parties.english_company(rng)
        lines = draw_lines(rng, catalogue.EN[trade], rng.randint(4, 6), ("0.20",))
    day = parties.day(rng)
    return Agreement(
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

"""The values of a shop or restaurant receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import NamedTuple

from bench.synth.data import read_table
from bench.synth.values import parties
from bench.synth.values.amounts import cents
from bench.synth.values.goods import till_goods


class ReceiptItem(NamedTuple):
    """One line of the receipt; prices include tax."""

    name: str
    quantity: Decimal
    price: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says."""

    shop: str
    company: str
    address: tuple[str, ...]
    tax_id: str
    phone: str
    moment: datetime
    """Local time of the shop (its zone is not printed)."""
    number: str
    cashier: str
    register: str
    items: tuple[ReceiptItem, ...]
    tax_rate: Decimal
    service: Decimal
    """Service charge, an amount; 0 for none."""
    card: str | None
    """Last four digits of the card; None where paid in cash."""
    cash: Decimal
    """Cash handed over."""
    diner: bool
    table: str

    @property
    def subtotal(self) -> Decimal:
        """Sum of the lines."""
        return sum((item.total for item in self.items), Decimal(0))

    @property
    def total(self) -> Decimal:
        """What was paid."""
        return self.subtotal + self.service

    @property
    def change(self) -> Decimal:
        """What was given back to a customer who paid in cash."""
        return self.cash - self.total

    @property
    def tax(self) -> Decimal:
        """Tax contained in the total."""
        return cents(self.total * self.tax_rate / (1 + self.tax_rate))


def receipt(rng: Random, language: str) -> Receipt:
    """Draw the values of a receipt in ``language``."""
    diner = language != "ru" and rng.random() < 0.4
    place = "diner" if diner else "shop"
    items = tuple(
        _item(rng, name, low, high, whole_tenths=language == "zh" or diner)
        for name, low, high in rng.sample(till_goods(language, place), rng.randint(3, 8))
    )
    subtotal = sum((item.total for item in items), Decimal(0))
    service = Decimal(0)
    if diner and language == "en" and rng.random() < 0.6:
        service = cents(subtotal * Decimal("0.125"))
    card = f"{rng.randrange(10000):04d}" if rng.random() < 0.6 else None
    owner = _owner(rng, language)
    day = parties.working_day(rng)
    hour, minute, second = rng.randrange(8, 22), rng.randrange(60), rng.randrange(60)
    shop = rng.choice(read_table("parties")["shops"][language][place])
    rate = {"ru": "0.10", "en": "0.20", "zh": "0.06" if diner else "0.13"}[language]
    note = Decimal({"ru": 500, "en": 10, "zh": 50}[language])
    cashier = parties.person(rng, language).short
    return Receipt(
        shop=shop,
        company=owner.name,
        address=owner.lines,
        tax_id=owner.tax_id,
        phone=owner.phone,
        moment=datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC),
        number=f"{rng.randrange(1, 9999):04d}",
        cashier=cashier,
        register=f"{rng.randrange(1, 12):02d}",
        items=items,
        tax_rate=Decimal(rate),
        service=service,
        card=card,
        cash=((subtotal + service) // note + 1) * note,
        diner=diner,
        table=str(rng.randrange(1, 30)),
    )


def _item(rng: Random, name: str, low: float, high: float, *, whole_tenths: bool) -> ReceiptItem:
    price = cents(Decimal(str(low)) + Decimal(str(high - low)) * rng.randrange(101) / 100)
    if whole_tenths:
        price = cents(price.quantize(Decimal("0.1")))
    if name.endswith(" вес."):  # sold by weight
        quantity = Decimal(rng.randrange(300, 2200)) / 1000
    else:
        quantity = Decimal(rng.choice((1, 1, 1, 2, 2, 3)))
    return ReceiptItem(name, quantity, price, cents(quantity * price))


class _Owner(NamedTuple):
    name: str
    lines: tuple[str, ...]
    """Of the address."""
    tax_id: str
    phone: str


def _owner(rng: Random, language: str) -> _Owner:
    """Draw the company behind a shop."""
    if language == "ru":
        company = parties.russian_company(rng, "food")
        post, city, *street = company.address.split(", ")
        lines: tuple[str, ...] = (f"{post}, {city}", ", ".join(street))
    elif language == "zh":
        company = parties.chinese_company(rng)
        lines = (company.address,)
    else:
        company = parties.english_company(rng)
        lines = company.lines[:2]
    return _Owner(company.name, lines, company.tax_id, company.phone)

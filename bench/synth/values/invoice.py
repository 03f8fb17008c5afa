"""The values of an invoice, in any language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from bench.synth.values import parties
from bench.synth.values.amounts import InvoiceLines, draw_lines
from bench.synth.values.goods import goods
from bench.synth.values.parties import Company


@dataclass(frozen=True, slots=True)
class Invoice:
    """What an invoice says."""

    number: str
    day: date
    due: date
    seller: Company
    buyer: Company
    lines: InvoiceLines
    currency: str
    """``RUB``, ``GBP``, ``USD``, ``CNY``."""
    reference: str
    """Number of the contract or order that it rests on."""
    reference_day: date
    code: str = ""
    """发票代码, the second number of a Chinese invoice."""

    @property
    def tax_rate(self) -> Decimal:
        """The rate of every row: 0.20 is 20 %."""
        return self.lines.rows[0].rate


def russian_invoice(rng: Random) -> Invoice:
    """Draw the values of a счёт-фактура or a счёт на оплату."""
    trade = rng.choice(sorted(goods("ru")))
    seller = parties.russian_company(rng, trade)
    buyer = parties.russian_company(rng, avoid=seller.name)
    rates = ("0.10",) if trade == "food" else ("0.20",)
    lines = draw_lines(rng, goods("ru")[trade], rng.randint(3, 7), rates)
    day = parties.working_day(rng)
    earlier = day - timedelta(days=rng.randrange(20, 200))
    number = rng.choice(
        (f"{rng.randrange(3, 990)}", f"{rng.randrange(3, 990):05d}", f"УТ-{rng.randrange(3, 990)}")
    )
    return Invoice(
        number=number,
        day=day,
        due=day + timedelta(days=rng.choice((3, 5, 7, 10))),
        seller=seller,
        buyer=buyer,
        lines=lines,
        currency="RUB",
        reference=f"{rng.randrange(4, 180)}/{earlier.year % 100}",
        reference_day=earlier,
    )


def english_invoice(rng: Random, rows: tuple[int, int] = (3, 7)) -> Invoice:
    """Draw the values of a commercial invoice, British (VAT) or American (sales tax).

    Args:
        rng: decides everything.
        rows: least and greatest number of rows.
    """
    american = rng.random() < 0.4
    trade = rng.choice(sorted(goods("en")))
    seller = parties.english_company(rng, trade, american=american)
    buyer = parties.english_company(rng, american=american)
    offer = goods("en")[trade]
    if rows[1] > len(offer):  # a long invoice lists what a general supplier sells
        stock = goods("en")
        offer = stock["electronics"] + stock["industrial"] + stock["furniture"]
    rates = ("0.0825", "0.06", "0.07") if american else ("0.20",)
    lines = draw_lines(rng, offer, rng.randint(*rows), rates)
    day = parties.working_day(rng)
    number = rng.choice((f"INV-{rng.randrange(100, 9999):05d}", f"{day.year}-{rng.randrange(10, 999):04d}",
                         f"{rng.randrange(10000, 99999)}"))  # fmt: skip
    return Invoice(
        number=number,
        day=day,
        due=day + timedelta(days=rng.choice((14, 30, 45))),
        seller=seller,
        buyer=buyer,
        lines=lines,
        currency="USD" if american else "GBP",
        reference=f"PO-{rng.randrange(1000, 99999)}",
        reference_day=day - timedelta(days=rng.randrange(4, 40)),
    )


def chinese_invoice(rng: Random) -> Invoice:
    """Draw the values of a 增值税发票."""
    trade = rng.choice(sorted(goods("zh")))
    seller = parties.chinese_company(rng, trade)
    buyer = parties.chinese_company(rng, avoid=seller.name)
    rates = ("0.06",) if trade == "services" else ("0.13",)
    lines = draw_lines(rng, goods("zh")[trade], rng.randint(1, 6), rates)
    day = parties.working_day(rng)
    code = f"{seller.tax_id[2:6]}{day.year % 100}{rng.choice(('1130', '1320', '2130'))}"
    number = f"{rng.randrange(10**7):08d}"
    return Invoice(number, day, day, seller, buyer, lines, "CNY", "", day, code)

"""The values of an invoice, in any language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from bench.synth.values import catalogue, parties
from bench.synth.values.amounts import Lines, draw_lines
from bench.synth.values.parties import Company


@dataclass(frozen=True, slots=True)
class Invoice:
    """What an invoice says."""

    number: str
    day: date
    due: date
    seller: Company
    buyer: Company
    lines: Lines
    currency: str
    """``RUB``, ``GBP``, ``USD``, ``CNY``."""
    reference: str
    """Contract, order or dispatch document that it rests on."""
    reference_day: date
    tax_rate: Decimal
    extra: str = ""
    """Currency-specific second number: 发票代码, purchase order, …"""


RU_MONTHS = ("января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября",
             "ноября", "декабря")  # fmt: skip
EN_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
             "November", "December")  # fmt: skip


def russian_date(day: date, *, year_word: str = " г.") -> str:
    """``12 марта 2024 г.``."""
    return f"{day.day} {RU_MONTHS[day.month - 1]} {day.year}{year_word}"


def english_date(day: date) -> str:
    """``12 March 2024``."""
    return f"{day.day} {EN_MONTHS[day.month - 1]} {day.year}"


def american_date(day: date) -> str:
    """``March 12, 2024``."""
    return f"{EN_MONTHS[day.month - 1]} {day.day}, {day.year}"


def chinese_date(day: date) -> str:
    """``2024年03月12日``."""
    return f"{day.year}年{day.month:02d}月{day.day:02d}日"


def russian_invoice(rng: Random, rows: tuple[int, int] = (3, 7)) -> Invoice:
    """Values of a счёт-фактура or a счёт на оплату."""
    trade = rng.choice(sorted(catalogue.RU))
    seller = parties.russian_company(rng, trade)
    buyer = parties.russian_company(rng, avoid=seller.name)
    lines = draw_lines(
        rng, catalogue.RU[trade], rng.randint(*rows), ("0.10",) if trade == "food" else ("0.20",)
    )
    day = parties.day(rng)
    earlier = day - timedelta(days=rng.randrange(20, 200))
    number = rng.choice(
        (f"{rng.randrange(3, 990)}", f"{rng.randrange(3, 990):05d}", f"УТ-{rng.randrange(3, 990)}")
    )
    return Invoice(number, day, day + timedelta(days=rng.choice((3, 5, 7, 10))), seller, buyer, lines, "RUB",
                   f"{rng.randrange(4, 180)}/{earlier.year % 100}", earlier, lines.rows[0].rate)  # fmt: skip


def english_invoice(
    rng: Random, rows: tuple[int, int] = (3, 7), *, american: bool | None = None
) -> Invoice:
    """Values of a commercial invoice, British (VAT) or American (sales tax)."""
    if american is None:
        american = rng.random() < 0.4
    trade = rng.choice(sorted(catalogue.EN))
    seller = parties.english_company(rng, trade, american=american)
    buyer = parties.english_company(rng, american=american)
    goods = catalogue.EN[trade]
    if rows[1] > len(goods):  # a long invoice lists what a general supplier sells
        goods = catalogue.EN["electronics"] + catalogue.EN["industrial"] + catalogue.EN["furniture"]
    lines = draw_lines(
        rng, goods, rng.randint(*rows), ("0.0825", "0.06", "0.07") if american else ("0.20",)
    )
    day = parties.day(rng)
    year = day.year
    number = rng.choice((f"INV-{rng.randrange(100, 9999):05d}", f"{year}-{rng.randrange(10, 999):04d}",
                         f"{rng.randrange(10000, 99999)}"))  # fmt: skip
    return Invoice(number, day, day + timedelta(days=rng.choice((14, 30, 45))), seller, buyer, lines,
                   "USD" if american else "GBP", f"PO-{rng.randrange(1000, 99999)}",
                   day - timedelta(days=rng.randrange(4, 40)), lines.rows[0].rate)  # fmt: skip


def chinese_invoice(rng: Random, rows: tuple[int, int] = (1, 6)) -> Invoice:
    """Values of a 增值税发票."""
    trade = rng.choice(sorted(catalogue.ZH))
    seller = parties.chinese_company(rng, trade)
    buyer = parties.chinese_company(rng, avoid=seller.name)
    lines = draw_lines(
        rng,
        catalogue.ZH[trade],
        rng.randint(*rows),
        ("0.06",) if trade == "services" else ("0.13",),
    )
    day = parties.day(rng)
    code = f"{seller.tax_id[2:6]}{day.year % 100}{rng.choice(('1130', '1320', '2130'))}"
    return Invoice(f"{rng.randrange(10**7):08d}", day, day, seller, buyer, lines, "CNY", "", day,
                   lines.rows[0].rate, code)  # fmt: skip

"""The values of a shop or restaurant receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import NamedTuple

from bench.synth.values import catalogue, parties
from bench.synth.values.amounts import cents


class Item(NamedTuple):
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
    items: tuple[Item, ...]
    tax_rate: Decimal
    service: Decimal
    """Service charge, an amount; 0 for none."""
    card: str | None
    """Last four digits of the card; None where paid in cash."""
    cash: Decimal
    """Cash handed over."""
    diner: bool
    table: str = ""

    @property
    def subtotal(self) -> Decimal:
        """Sum of the lines."""
        return sum((item.total for item in self.items), Decimal(0))

    @property
    def total(self) -> Decimal:
        """What was paid."""
        return self.subtotal + self.service

    @property
    def tax(self) -> Decimal:
        """Tax contained in the total."""
        return cents(self.total * self.tax_rate / (1 + self.tax_rate))


_SHOPS = {
    "ru": (
        "Продукты 24",
        "Универсам «Лукошко»",
        "Магазин «Берёзка»",
        "Гастроном № 7",
        "Мини-маркет «Сосед»",
    ),
    "en": ("CORNER & CO.", "GREENLEAF MARKET", "FOXTON STORES", "HARVEST FOODS"),
    "en-diner": ("THE COPPER KETTLE", "MILL LANE CAFE", "HARBOUR KITCHEN", "THE OLD BAKERY"),
    "zh": ("家家乐超市", "惠民生活超市", "好邻居便利店", "鲜品汇超市"),
    "zh-diner": ("蜀香园川菜馆", "老城饭庄", "江南小厨", "聚福楼餐厅"),
}


def receipt(rng: Random, language: str, items: tuple[int, int] = (3, 8)) -> Receipt:
    """Values of a receipt in ``language``."""
    diner = language != "ru" and rng.random() < 0.4
    goods = {
        ("ru", False): catalogue.TILL_RU, ("en", False): catalogue.TILL_EN, ("en", True): catalogue.CAFE_EN,
        ("zh", False): catalogue.TILL_ZH, ("zh", True): catalogue.DINER_ZH,
    }[language, diner]  # fmt: skip
    rows = []
    for name, low, high in rng.sample(goods, rng.randint(*items)):
        price = cents(Decimal(str(low)) + Decimal(str(high - low)) * rng.randrange(101) / 100)
        if language == "zh" or diner:
            price = price.quantize(Decimal("0.1"))
        loose = name.endswith(" вес.")
        quantity = (
            Decimal(rng.randrange(300, 2200)) / 1000
            if loose
            else Decimal(rng.choice((1, 1, 1, 2, 2, 3)))
        )
        price = cents(price)
        rows.append(Item(name, quantity, price, cents(quantity * price)))
    subtotal = sum((row.total for row in rows), Decimal(0))
    service = (
        cents(subtotal * Decimal("0.125"))
        if diner and language == "en" and rng.random() < 0.6
        else Decimal(0)
    )
    total = subtotal + service
    note = Decimal(500 if language == "ru" else 10 if language == "en" else 50)
    card = f"{rng.randrange(10000):04d}" if rng.random() < 0.6 else None
    place = _place(rng, language)
    day = parties.day(rng)
    moment = datetime(
        day.year,
        day.month,
        day.day,
        rng.randrange(8, 22),
        rng.randrange(60),
        rng.randrange(60),
        tzinfo=UTC,
    )
    name = rng.choice(_SHOPS[f"{language}-diner" if diner else language])
    rate = {"ru": "0.10", "en": "0.20", "zh": "0.06" if diner else "0.13"}[language]
    person = parties.person(rng, language)
    return Receipt(
        shop=name,
        company=place.name,
        address=place.lines,
        tax_id=place.tax_id,
        phone=place.phone,
        moment=moment,
        number=f"{rng.randrange(1, 9999):04d}",
        cashier=person.short,
        register=f"{rng.randrange(1, 12):02d}",
        items=tuple(rows),
        tax_rate=Decimal(rate),
        service=service,
        card=card,
        cash=(total // note + 1) * note,
        diner=diner,
        table=str(rng.randrange(1, 30)),
    )


class _Place(NamedTuple):
    name: str
    lines: tuple[str, ...]
    tax_id: str
    phone: str


def _place(rng: Random, language: str) -> _Place:
    if language == "ru":
        company = parties.russian_company(rng, "food")
        post, city, *street = company.address.split(", ")
        return _Place(
            company.name, (f"{post}, {city}", ", ".join(street)), company.tax_id, company.phone
        )
    if language == "zh":
        company = parties.chinese_company(rng)
        return _Place(company.name, (company.address,), company.tax_id, company.phone)
    company = parties.english_company(rng)
    return _Place(company.name, company.lines[:2], company.tax_id, company.phone)

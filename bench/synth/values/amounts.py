"""Money: exact amounts, how they are printed, and how they are written in words."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from bench.synth.data import read_table
from bench.synth.values.goods import Good

CENT = Decimal("0.01")


def cents(value: Decimal) -> Decimal:
    """Round ``value`` to two places, halves up, as an accountant does."""
    return value.quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One row of an invoice."""

    good: Good
    quantity: Decimal
    price: Decimal
    """Per unit, without tax."""
    rate: Decimal
    """Tax rate: 0.20 is 20 %."""

    @property
    def net(self) -> Decimal:
        """Quantity times price."""
        return cents(self.quantity * self.price)

    @property
    def tax(self) -> Decimal:
        """Tax on the row."""
        return cents(self.net * self.rate)

    @property
    def gross(self) -> Decimal:
        """Net and tax."""
        return self.net + self.tax


@dataclass(frozen=True, slots=True)
class InvoiceLines:
    """The rows of an invoice and their sums; the sums are sums of the printed rows."""

    rows: tuple[InvoiceLine, ...]

    @property
    def net(self) -> Decimal:
        """Without tax."""
        return sum((row.net for row in self.rows), Decimal(0))

    @property
    def tax(self) -> Decimal:
        """Tax."""
        return sum((row.tax for row in self.rows), Decimal(0))

    @property
    def gross(self) -> Decimal:
        """With tax."""
        return self.net + self.tax


def draw_lines(
    rng: Random, goods: tuple[Good, ...], count: int, rates: tuple[str, ...]
) -> InvoiceLines:
    """Draw ``count`` different goods with plausible quantities and prices, at one of the tax ``rates``."""
    rate = Decimal(rng.choice(rates))
    rows = []
    for good in rng.sample(goods, min(count, len(goods))):
        low, high = Decimal(good.low), Decimal(good.high)
        raw = low + (high - low) * (Decimal(rng.randrange(1001)) / 1000)
        step = _price_step(raw)
        price = cents((raw / step).quantize(Decimal(1), ROUND_HALF_UP) * step)
        rows.append(InvoiceLine(good, Decimal(rng.choice(good.quantities)), price, rate))
    return InvoiceLines(tuple(rows))


def _price_step(price: Decimal) -> Decimal:
    """What a seller rounds a price of this size to."""
    if price > 1000:
        return Decimal(10)
    if price > 100:
        return Decimal(1)
    return Decimal("0.1") if price > 5 else CENT


def grouped(value: Decimal, *, group: str, point: str, places: int = 2) -> str:
    """Write ``value`` with thousands separated: ``1 234,50`` or ``1,234.50``."""
    whole, _, fraction = f"{value:,.{places}f}".partition(".")
    return whole.replace(",", group) + (point + fraction if fraction else "")


def russian_money(value: Decimal) -> str:
    """``1 234,50``."""
    return grouped(value, group=" ", point=",")


def english_money(value: Decimal) -> str:
    """``1,234.50``."""
    return grouped(value, group=",", point=".")


def plain_money(value: Decimal) -> str:
    """``1234.50``."""
    return grouped(value, group="", point=".")


def quantity(value: Decimal, point: str = ".") -> str:
    """Write a quantity without trailing zeros."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(".", point)


def percent(rate: Decimal) -> str:
    """``8.25%``."""
    return quantity((rate * 100).normalize()) + "%"


def russian_plural(number: int, forms: tuple[str, str, str]) -> str:
    """Return the form of a noun after ``number``: рубль, рубля, рублей."""
    if number % 100 in range(11, 15):
        return forms[2]
    return forms[0] if number % 10 == 1 else forms[1] if number % 10 in (2, 3, 4) else forms[2]


def russian_words(number: int) -> str:
    """Write ``number`` in Russian words: nominative, masculine."""
    if number == 0:
        return "ноль"
    numerals = read_table("words")["numerals"]["ru"]
    words: list[str] = []
    for position, scale in reversed(list(enumerate(numerals["groups"]))):
        group = number // 1000**position % 1000
        if not group:
            continue
        hundreds, rest = divmod(group, 100)
        words.append(numerals["hundreds"][hundreds])
        if rest >= 20:
            tens, rest = divmod(rest, 10)
            words.append(numerals["tens"][tens])
        feminine = {1: "одна", 2: "две"} if scale["feminine"] else {}
        words.append(feminine.get(rest, numerals["ones"][rest]))
        words.append(russian_plural(group, scale["forms"]))
    return " ".join(word for word in words if word)


def roubles_in_words(value: Decimal) -> str:
    """«Сумма прописью»: roubles in words, kopecks in figures."""
    whole, kopecks = divmod(int(value * 100), 100)
    words = russian_words(whole)
    roubles = russian_plural(whole, ("рубль", "рубля", "рублей"))
    kopeck_word = russian_plural(kopecks, ("копейка", "копейки", "копеек"))
    return f"{words[0].upper()}{words[1:]} {roubles} {kopecks:02d} {kopeck_word}"


def chinese_capitals(value: Decimal) -> str:
    """大写金额: the amount in capital numerals, ended with 整 where no fen follow."""
    numerals = read_table("words")["numerals"]["zh"]
    total = int(value * 100)
    whole, jiao, fen = total // 100, total // 10 % 10, total % 10
    text = ""
    for position in (2, 1, 0):
        group = whole // 10000**position % 10000
        if group:
            gap = "零" if text and group < 1000 else ""
            text += gap + _chinese_group(group) + numerals["groups"][position]
    text = (text or "零") + "圆"
    if not jiao and not fen:
        return text + "整"
    if jiao:
        text += numerals["digits"][jiao] + "角"
    elif whole:
        text += "零"
    return text + (numerals["digits"][fen] + "分" if fen else "整")


def _chinese_group(group: int) -> str:
    """Write a number below ten thousand."""
    numerals = read_table("words")["numerals"]["zh"]
    text, zero = "", False
    for place in (3, 2, 1, 0):
        digit = group // 10**place % 10
        if digit:
            text += ("零" if zero and text else "") + numerals["digits"][digit]
            text += numerals["places"][place]
        zero = not digit
    return text

"""Money: exact amounts, how they are printed, and how they are written in words."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from bench.synth.values.catalogue import Good

CENT = Decimal("0.01")


def cents(value: Decimal) -> Decimal:
    """``value`` rounded to two places, halves up, as an accountant does."""
    return value.quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Line:
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
class Lines:
    """The rows of an invoice and their sums; the sums are sums of the printed rows."""

    rows: tuple[Line, ...]

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


def draw_lines(rng: Random, goods: tuple[Good, ...], count: int, rates: tuple[str, ...]) -> Lines:
    """``count`` different goods with plausible quantities and prices."""
    rate = Decimal(rng.choice(rates))
    rows = []
    for good in rng.sample(goods, min(count, len(goods))):
        low, high = good.price
        span = Decimal(rng.randrange(1001)) / 1000
        raw = Decimal(low) + (Decimal(high) - Decimal(low)) * span
        step = (
            Decimal(10)
            if raw > 1000
            else Decimal(1)
            if raw > 100
            else Decimal("0.1")
            if raw > 5
            else CENT
        )
        price = (raw / step).quantize(Decimal(1), ROUND_HALF_UP) * step
        rows.append(Line(good, Decimal(rng.choice(good.quantities)), cents(price), rate))
    return Lines(tuple(rows))


def grouped(value: Decimal, *, group: str, point: str, places: int = 2) -> str:
    """``value`` with thousands separated: ``1 234,50`` or ``1,234.50``."""
    whole, _, fraction = f"{value:,.{places}f}".partition(".")
    return whole.replace(",", group) + (point + fraction if fraction else "")


def plain(value: Decimal, point: str = ".") -> str:
    """A quantity without trailing zeros."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(".", point)


_RU_ONES = ("", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять", "десять",
            "одиннадцать", "двенадцать", "тринадцать", "четырнадцать", "пятнадцать", "шестнадцать",
            "семнадцать", "восемнадцать", "девятнадцать")  # fmt: skip
_RU_TENS = ("", "", "двадцать", "тридцать", "сорок", "пятьдесят", "шестьдесят", "семьдесят",
            "восемьдесят", "девяносто")  # fmt: skip
_RU_HUNDREDS = ("", "сто", "двести", "триста", "четыреста", "пятьсот", "шестьсот", "семьсот", "восемьсот",
                "девятьсот")  # fmt: skip
_RU_GROUPS = (
    (("", "", ""), False),
    (("тысяча", "тысячи", "тысяч"), True),
    (("миллион", "миллиона", "миллионов"), False),
    (("миллиард", "миллиарда", "миллиардов"), False),
)


def russian_plural(number: int, forms: tuple[str, str, str]) -> str:
    """The form of a noun after ``number``: рубль, рубля, рублей."""
    if number % 100 in range(11, 15):
        return forms[2]
    return forms[0] if number % 10 == 1 else forms[1] if number % 10 in (2, 3, 4) else forms[2]


def russian_words(number: int, *, feminine: bool = False) -> str:
    """``number`` in Russian words, nominative."""
    if number == 0:
        return "ноль"
    words: list[str] = []
    groups = [number // 1000**n % 1000 for n in range(len(_RU_GROUPS))]
    for position in reversed(range(len(groups))):
        group, (forms, fem) = groups[position], _RU_GROUPS[position]
        if not group:
            continue
        fem = fem or (position == 0 and feminine)
        words.append(_RU_HUNDREDS[group // 100])
        rest = group % 100
        if rest < 20:
            words.append({1: "одна", 2: "две"}.get(rest, _RU_ONES[rest]) if fem else _RU_ONES[rest])
        else:
            ones = rest % 10
            words.append(_RU_TENS[rest // 10])
            words.append({1: "одна", 2: "две"}.get(ones, _RU_ONES[ones]) if fem else _RU_ONES[ones])
        words.append(russian_plural(group, forms))
    return " ".join(word for word in words if word)


def roubles_in_words(value: Decimal) -> str:
    """«Сумма прописью»: roubles in words, kopecks in figures."""
    whole, kopecks = divmod(int(value * 100), 100)
    words = russian_words(whole)
    roubles = russian_plural(whole, ("рубль", "рубля", "рублей"))
    return f"{words[0].upper()}{words[1:]} {roubles} {kopecks:02d} " + russian_plural(
        kopecks, ("копейка", "копейки", "копеек")
    )


_EN_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_EN_TENS = ("", "", *["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"])


def english_words(number: int) -> str:
    """``number`` in English words."""
    if number < 20:
        return _EN_ONES[number]
    if number < 100:
        return _EN_TENS[number // 10] + (f"-{_EN_ONES[number % 10]}" if number % 10 else "")
    for size, name in (
        (10**9, "billion"),
        (10**6, "million"),
        (1000, "thousand"),
        (100, "hundred"),
    ):
        if number >= size:
            head, rest = divmod(number, size)
            tail = f" {english_words(rest)}" if rest else ""
            return f"{english_words(head)} {name}{tail}"
    raise AssertionError("every number of 100 and above has a group")


def dollars_in_words(value: Decimal, currency: str) -> str:
    """The amount as on a cheque: words and hundredths."""
    whole, fraction = divmod(int(value * 100), 100)
    words = english_words(whole)
    return f"{currency} {words[0].upper()}{words[1:]} and {fraction:02d}/100 only"


_ZH_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_ZH_PLACES = ("", "拾", "佰", "仟")
_ZH_GROUPS = ("", "万", "亿")


def _chinese_group(group: int) -> str:
    out, zero = "", False
    for place in (3, 2, 1, 0):
        digit = group // 10**place % 10
        if digit:
            out += ("零" if zero and out else "") + _ZH_DIGITS[digit] + _ZH_PLACES[place]
            zero = False
        else:
            zero = True
    return out


def chinese_capitals(value: Decimal) -> str:
    """大写金额: the amount in capital numerals, ended with 整 where no fen follow."""
    total = int(value * 100)
    whole, jiao, fen = total // 100, total // 10 % 10, total % 10
    out = ""
    for position in (2, 1, 0):
        group = whole // 10000**position % 10000
        if group:
            gap = out and group < 1000
            out += ("零" if gap else "") + _chinese_group(group) + _ZH_GROUPS[position]
    out = (out or "零") + "圆"
    if not jiao and not fen:
        return out + "整"
    if jiao:
        out += _ZH_DIGITS[jiao] + "角"
    elif whole:
        out += "零"
    return out + (_ZH_DIGITS[fen] + "分" if fen else "整")

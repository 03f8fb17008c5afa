"""Reads amounts of money, numbers and percentages, in the spellings of invoices of many countries.

A numeral can mean two numbers: 1,234 is more than a thousand in London and little more than one in Moscow. A
reading holds both until a currency or the document's language decides.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import Final, NamedTuple

from bench.metrics.currencies import currencies_named
from bench.metrics.numerals import read_words

_NUMERAL: Final = r"\d(?:[\d.,'\" ]*\d)?"
_AMOUNT: Final = re.compile(rf"([^\d]*?)({_NUMERAL})([^\d]*)")
_SCALES: Final = {
    "тыс": 3,
    "thousand": 3,
    "k": 3,
    "млн": 6,
    "million": 6,
    "mio": 6,
    "млрд": 9,
    "billion": 9,
}
"""Word behind a numeral → by how many powers of ten it multiplies it."""
_SCALED: Final = re.compile(
    r"(.*\d)\s*(тыс|thousand|(?<=\d)k|млн|millions?|mio|млрд|billions?)(?![^\W\d_])\.?(.*)"
)
_KOPECKS: Final = re.compile(
    r"(-?)(\d[\d ]*)\s*(?:руб(?:\.|л[ьяей]+)?|р\.?|₽)[\s,]*(\d{1,2})\s*(?:коп(?:\.|е[а-я]+)?|к\.?)"
)
_CENTS_IN_WORDS: Final = re.compile(
    r"([a-zа-я -]+?)\s*\(?(руб(?:л[ьяей]+|\.)?|dollars?|euros?|pounds?|rupees)\)?[\s,]*"
    r"(?:(?:and|и)\s+)?(?:(\d{1,2}|[a-zа-я -]+?)\s*(?:/100|коп(?:\.|е[а-я]+)?|cents?|pence|paise))?"
    r"(?:\s+only)?\.?"
)
_WORD_CURRENCIES: Final = {"р": "RUB", "d": "USD", "e": "EUR", "p": "GBP", "i": "INR"}
_RUSSIAN_CENTS: Final = re.compile(r"(\d{1,3}(?: \d{3})+|\d+)\s*[-=]\s*(\d{2})")
_NO_CENTS: Final = re.compile(r"(?<=\d)[.,](?:-{1,2}|=)(?=\s|\Z)|(?<=\d)\s*/[-=]\Z")
_SPLIT_CENTS: Final = re.compile(r"(?<=\d)\s+(?=[.,]\d{2}(?!\d))")
_NO_INTEGER: Final = re.compile(r"(?:\A|(?<=[-+($€£¥₽]))[.,](?=\d)")
"""The separator of .5 and $.50; behind letters, as in Rs.500, it is a full stop."""
_LABEL: Final = re.compile(r"\A[^\W\d_][^\d:=-]{0,40}[:=]\s*(?=\S)")
_TOTAL_WORD: Final = re.compile(
    r"\A(?:(?:grand |sub)?total(?: due| amount)?|amount(?: due)?|sum|balance(?: due)?"
    r"|итого(?: к оплате)?|всего|сумма|к оплате|gesamt(?:betrag)?|summe|montant|totale|importe"
    r"|合计|总计)\s+(?=\S)"
)
_INDIAN: Final = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}")
_DASHED_CENTS: Final = frozenset({"ru", "uk", "be", "kk", "ky", "uz"})
"""Languages in which 5250-90 is a sum of money with its kopecks."""
_YUAN: Final = re.compile(r"(-?)(\d[\d, ]*)\s*[元圆块](?:(\d)\s*角)?(?:(\d)\s*分)?")
_CHINESE_AMOUNT: Final = re.compile(
    r"(?:人民币)?([零壹贰叁肆伍陆柒捌玖拾佰仟万亿]+)[元圆](?:整|正|([零壹贰叁肆伍陆柒捌玖]?)角?"
    r"([零壹贰叁肆伍陆柒捌玖]?)分?)?(?:整|正)?"
)
_CHINESE_DIGITS: Final = {c: i for i, c in enumerate("零壹贰叁肆伍陆柒捌玖")}
_CHINESE_UNITS: Final = {"拾": 10, "佰": 100, "仟": 1000}
_PERCENT: Final = re.compile(
    r"(?:百分之\s*(.+)|(.+?)\s*(?:%|percent|per cent|pct|процент(?:а|ов)?|проц\.))"
)
_TAX: Final = re.compile(r"\A(?:vat|gst|ндс|пдв|mwst|ust|tva|iva|btw)\b[\s.:]*")
_COMMA_LANGUAGES: Final = (
    "ru uk be kk de fr es it pt pl tr cs nl sk sl hr sr ro bg hu el sv"
    " da nb no fi et lv lt ca id vi"
)
_COMMA_DECIMAL: Final = frozenset(_COMMA_LANGUAGES.split())
_POINT_DECIMAL: Final = frozenset({"en", "zh", "ja", "ko", "th"})


class Amount(NamedTuple):
    """What a numeral with its signs can mean."""

    values: frozenset[Decimal]
    numeral: str
    """Digits and separators as written: equal numerals mean equal numbers, whatever they mean."""
    currencies: frozenset[str]
    """ISO 4217 codes the sign can stand for; empty if there is none."""

    @property
    def decimals(self) -> int:
        """Most digits behind the decimal separator, over what it can mean."""
        return max(-int(value.as_tuple().exponent) for value in self.values)


@functools.lru_cache(maxsize=8192)
def read_amount(text: str, *, language: str | None = None, money: bool = False) -> Amount | None:
    """A number, with a currency or without; None for anything else.

    Numerals with leading zeros are identifiers and not read.

    Args:
        text: Plain text, at most a line.
        language: Decides whether a lone comma or point before three digits is decimal.
        money: The field is known to hold an amount: a label may stand before it, and cents behind a dash.
    """
    lowered = _SPLIT_CENTS.sub("", text.lower().strip())
    lowered = _NO_INTEGER.sub(lambda separator: f"0{separator[0]}", lowered)
    if money:
        lowered = _TOTAL_WORD.sub("", _LABEL.sub("", lowered))
        dashed = _dashed(lowered, language)
        if dashed is not None:
            return dashed
        lowered = _NO_CENTS.sub("", lowered)
    scaled = _SCALED.fullmatch(lowered)
    if scaled is not None:
        return _scaled(*scaled.groups(), language=language)
    for reader in (_in_words, _kopecks, _yuan, _spelled):
        amount = reader(lowered)
        if amount is not None:
            return amount
    negative = lowered.startswith("(") and lowered.endswith(")")
    match = _AMOUNT.fullmatch(lowered[1:-1] if negative else lowered)
    if match is None:
        return None
    before, numeral, behind = match.groups()
    sign, marks = _sign_and_marks(before, behind)
    if sign is None:
        return None
    currencies = _currencies(marks, language)
    if currencies is None:
        return None
    values = _numeral_values(numeral.strip(), language, money=bool(currencies))
    factor = -sign if negative else sign
    if not values:
        return None
    signed = frozenset(value * factor for value in values)
    return Amount(signed, f"{factor}{numeral}", currencies)


def _scaled(before: str, scale: str, behind: str, *, language: str | None) -> Amount | None:
    """An amount in thousands or millions: 12 тыс. руб., $1.2k."""
    # The blank keeps the figures before the word apart from those behind it, which make it no amount.
    amount = read_amount(f"{before} {behind.strip()}".strip(), language=language)
    if amount is None or re.search(r"\d", behind):
        return None
    factor = Decimal(10) ** _SCALES[scale.removesuffix("s")]
    return amount._replace(
        values=frozenset(value * factor for value in amount.values),
        numeral=f"{amount.numeral}{scale}",
    )


def _sign_and_marks(before: str, behind: str) -> tuple[int | None, list[str]]:
    """The sign and the marks around the numeral; the sign is None if there is more than one."""
    signs = [character for character in before + behind if character in "+-"]
    if len(signs) > 1 or (signs and signs[0] == "+" and "+" in behind):
        return None, []
    marks = [re.sub(r"[+-]", "", part).strip(" .") for part in (before, behind)]
    return -1 if signs == ["-"] else 1, [mark for mark in marks if mark]


def _currencies(marks: list[str], language: str | None) -> frozenset[str] | None:
    """The currencies that the marks allow together; None if a mark is no currency, or they contradict."""
    possible: frozenset[str] | None = None
    for mark in marks:
        codes = currencies_named(mark, language)
        possible = codes if possible is None else possible & codes
        if not possible:
            return None
    return frozenset() if possible is None else possible


def _numeral_values(numeral: str, language: str | None, *, money: bool) -> frozenset[Decimal]:
    """The numbers that a numeral can mean; none if it is no numeral."""
    grouped = re.sub(r"(?<=\d)[ '\"](?=\d{3}(?!\d))", "_", numeral)
    if re.search(r"[ '\"]", grouped) or re.search(r"[.,_]{2}", grouped):
        return frozenset()
    marks = [character for character in grouped if character in ".,"]
    if not marks:
        return _only(_grouped_integer(grouped, "_"))
    if _INDIAN.fullmatch(grouped.partition(".")[0]):
        # Lakh and crore: groups of two before the last one of three.
        grouped = grouped.replace(",", "")
        return _numeral_values(grouped, "en", money=money)
    last = marks[-1]
    integer, _, fraction = grouped.rpartition(last)
    if len(set(marks)) == 2 or "_" in grouped:
        # Two kinds of separator: the last one is decimal and stands once.
        other = "_" if "_" in grouped else ("," if last == "." else ".")
        return _only(None if last in integer else _decimal(integer, other, fraction))
    if len(marks) > 1:
        return _only(_grouped_integer(grouped, last))
    as_decimal = _decimal(integer, "_", fraction)
    as_group = _grouped_integer(grouped, last) if integer != "0" else None
    return _settled(as_decimal, as_group, last, language, money)


def _only(value: Decimal | None) -> frozenset[Decimal]:
    return frozenset() if value is None else frozenset({value})


def _settled(
    as_decimal: Decimal | None,
    as_group: Decimal | None,
    mark: str,
    language: str | None,
    money: bool,
) -> frozenset[Decimal]:
    """The readings of a lone separator that language and currency leave open."""
    if as_decimal is None or as_group is None:
        return frozenset(value for value in (as_decimal, as_group) if value is not None)
    if money:
        # No currency is written with three decimals.
        return frozenset({as_group})
    if mark == "," and language in _COMMA_DECIMAL:
        return frozenset({as_decimal})
    if language in _POINT_DECIMAL:
        return frozenset({as_group if mark == "," else as_decimal})
    return frozenset({as_decimal, as_group})


def _decimal(integer: str, separator: str, fraction: str) -> Decimal | None:
    whole = _grouped_integer(integer, separator)
    return None if whole is None or not fraction.isdecimal() else whole + Decimal(f"0.{fraction}")


def _grouped_integer(text: str, separator: str) -> Decimal | None:
    """An integer in groups of three, or in one; None with leading zeros or other groups."""
    groups = text.split(separator)
    if not all(group.isdecimal() for group in groups) or (
        len(text) > 1 and groups[0].startswith("0")
    ):
        return None
    if len(groups) > 1 and (len(groups[0]) > 3 or any(len(group) != 3 for group in groups[1:])):
        return None
    return Decimal("".join(groups))


def _kopecks(text: str) -> Amount | None:
    match = _KOPECKS.fullmatch(text)
    if match is None:
        return None
    value = _grouped_integer(re.sub(r"\s+", " ", match[2].strip()), " ")
    if value is None:
        return None
    value += Decimal(int(match[3])) / 100
    return Amount(frozenset({-value if match[1] else value}), text, frozenset({"RUB"}))


def _dashed(text: str, language: str | None) -> Amount | None:
    """5250-90 and 5000=00, as Russian forms write roubles and kopecks."""
    match = _RUSSIAN_CENTS.fullmatch(re.sub(r"\s*(?:₽|руб\.?|р\.)\Z", "", text))
    if match is None or ("=" not in text and language not in _DASHED_CENTS):
        return None
    value = _grouped_integer(match[1], " ")
    if value is None:
        return None
    currencies = frozenset({"RUB"}) if "р" in text or "₽" in text else frozenset[str]()
    return Amount(frozenset({value + Decimal(int(match[2])) / 100}), text, currencies)


def _spelled(text: str) -> Amount | None:
    """An amount in English or Russian words, with its currency."""
    match = _CENTS_IN_WORDS.fullmatch(text.replace("ё", "е"))
    if match is None:
        return None
    whole = read_words(match[1])
    part = match[3] or "0"
    cents = int(part) if part.isdecimal() else read_words(part)
    if whole is None or cents is None or cents > 99:
        return None
    unit = match[2]
    code = "INR" if unit == "rupees" else _WORD_CURRENCIES[unit[0]]
    return Amount(frozenset({whole + Decimal(cents) / 100}), text, frozenset({code}))


def _yuan(text: str) -> Amount | None:
    match = _YUAN.fullmatch(text)
    if match is None or (match[3] is None and match[4] is None):
        return None
    value = _grouped_integer(match[2].strip(), ",")
    if value is None:
        return None
    value += Decimal(int(match[3] or 0)) / 10 + Decimal(int(match[4] or 0)) / 100
    return Amount(frozenset({-value if match[1] else value}), text, frozenset({"CNY"}))


def _in_words(text: str) -> Amount | None:
    """An amount in Chinese financial numerals, as invoices spell totals: 壹仟贰佰元整."""
    match = _CHINESE_AMOUNT.fullmatch(text)
    if match is None:
        return None
    value = Decimal(_chinese_integer(match[1]))
    value += Decimal(_CHINESE_DIGITS.get(match[2] or "零", 0)) / 10
    value += Decimal(_CHINESE_DIGITS.get(match[3] or "零", 0)) / 100
    return Amount(frozenset({value}), text, frozenset({"CNY"}))


def _chinese_integer(text: str) -> int:
    total = section = digit = 0
    for character in text:
        if character in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[character]
        elif character in _CHINESE_UNITS:
            section += (digit or 1) * _CHINESE_UNITS[character]
            digit = 0
        elif character == "万":
            total, section, digit = total + (section + digit) * 10_000, 0, 0
        else:
            total, section, digit = (total + section + digit) * 100_000_000, 0, 0
    return total + section + digit


def read_percentage(text: str, *, language: str | None = None) -> Amount | None:
    """A number with a percent sign or word."""
    match = _PERCENT.fullmatch(_TAX.sub("", text.lower().strip()))
    if match is None:
        return None
    amount = read_amount((match[1] or match[2]).strip(), language=language)
    return None if amount is None or amount.currencies else amount


def same_currency(a: Amount, b: Amount) -> bool:
    """Whether no currency contradicts: one on one side only does not."""
    return not a.currencies or not b.currencies or bool(a.currencies & b.currencies)


def same_amount(a: Amount, b: Amount, *, money: bool) -> bool:
    """Whether both can only mean one number, and no currency contradicts.

    Args:
        a: One reading.
        b: The other.
        money: The field is known to hold an amount, so that 5.5 and 5.50 are one; without that, and
            without a currency, they may be sections or versions and stay two.
    """
    if not same_currency(a, b):
        return False
    if a.numeral == b.numeral:
        return True
    if len(a.values) != 1 or a.values != b.values:
        return False
    known = money or bool(a.currencies) or bool(b.currencies)
    return known or a.decimals == b.decimals or {a.decimals, b.decimals} == {0, 2}

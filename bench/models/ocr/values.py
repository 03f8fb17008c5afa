"""Kinds of value: what a date, an amount, an identifier looks like, and how it is cut out of a text.

A value is returned as it is printed: reformatting is the metric's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from typing import NamedTuple

from bench.models.ocr.characters import count_digits, count_letters
from bench.models.ocr.months import month_pattern


class ValueKind(Enum):
    """What a field's value is."""

    DATE = "date"
    AMOUNT = "amount"
    QUANTITY = "quantity"
    PERCENT = "percent"
    IDENTIFIER = "identifier"
    CODE = "code"
    PHONE = "phone"
    EMAIL = "email"
    CURRENCY = "currency"
    NAME = "name"
    ADDRESS = "address"
    TEXT = "text"


class Value(NamedTuple):
    """A value as it stands in a text."""

    text: str
    fit: float
    """How well it looks like its kind, 0 to 1."""
    start: int
    """Where it begins in the text that it was cut from."""


_MONTHS = month_pattern()
_YEAR = r"(?:(?:19|20)\d\d|[’']?\d\d)(?![\d:])"
DATE = re.compile(
    rf"""(?ix)
      (?:19|20)\d\d\s*年\s*\d{{1,2}}\s*月\s*\d{{1,2}}\s*日?
    | (?<![\w./-])(?:19|20)\d\d(?P<iso>\s?[./-]\s?)\d{{1,2}}(?P=iso)\d{{1,2}}(?!\d)
    | (?<![\w./-])\d{{1,2}}(?P<mark>\s?[./-]\s?)\d{{1,2}}(?P=mark)(?:(?:19|20)\d\d|\d\d)(?![\d/-])
    | (?:[«"“„]\s*)?(?<![\w.,])\d{{1,2}}(?:st|nd|rd|th|er|º)?\.?(?:\s*[»"”“])?\s*[-/]?\s*(?:de\s+|d['’])?
      {_MONTHS}\s*,?\s*[-/]?\s*(?:del?\s+)?{_YEAR}(?:\s*г(?:ода|\.|(?!\w)))?
    | (?<!\w){_MONTHS}\s*\d{{1,2}}(?:st|nd|rd|th)?\s*,?\s*(?:19|20)\d\d
    """
)
_CURRENCY_SIGN = r"(?:(?:US|HK|CN|CA|AU)?\$|[€£¥￥₽₴₺₹])"
_CURRENCY_WORD = (
    r"(?:USD|EUR|GBP|RUB|CNY|RMB|CHF|PLN|SEK|NOK|DKK|CZK|HUF|MYR|RM|euros?|zł|zl|Kč|kr|Ft"
    r"|руб(?:лей|ля|\.)?|р\.|元|(?<=\d)\s*р)"
)
_CURRENCY = rf"(?:{_CURRENCY_SIGN}|(?<![^\W\d_]){_CURRENCY_WORD}(?![^\W\d_]))"
_NUMBER = (
    r"(?:\d{1,3}(?:[ \u00a0\u202f,.'’]\d{3})+(?:[-=.,]\s?\d{1,2})?"
    r"|\d{1,3}(?:,\d\d)+,\d{3}(?:\.\d\d)?"
    r"|\d+(?:[.,]\s?\d{1,2}|[-=]\d\d|=)?)(?![\d%])"
)
AMOUNT = re.compile(
    rf"(?i)(?<![\w.,/-])(?:{_CURRENCY}\s*)?(?:[-−]\s?)?(?:{_CURRENCY}\s*)?{_NUMBER}"
    rf"(?:\s*{_CURRENCY}(?:\s*\d\d\s*коп\w*\.?)?)?(?![\d/])(?!-\d)(?!\s*(?:%|коп))"
)
PERCENT = re.compile(r"\d{1,3}(?:[.,]\d{1,2})?\s*%")
QUANTITY = re.compile(r"(?<![\w.,])\d+(?:[.,]\d{1,3})?(?![\w%])")
PHONE = re.compile(r"\+?\(?\d[\d\s().\-–]{5,}\d(?:\s*(?:x|ext\.?|доб\.?)\s*\d+)?")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
IDENTIFIER = re.compile(r"(?=[^\s,;]*\d)[^\W_][\w./\-–—]*\w|\d")
CODE = re.compile(r"(?=[\w ./-]*\d)[^\W_][\w./\-]*(?:[ ][A-Z0-9]{2,}(?![a-zа-я]))*")
CURRENCY = re.compile(
    rf"российский рубль(?:,\s*\d{{3}})?|{_CURRENCY}|人民币|美元|欧元|US dollars?", re.IGNORECASE
)
_EDGES = " \t:：;；,，|_-–—.。№#="
_SKIP = re.compile(r"^[\s:：;；,，.。|_#№=~—–]*(?:-(?!\s?\d)[\s:]*)?")
_SKIP_NUMBER_SIGN = re.compile(
    r"^[\s:：;；,，.。|_#№=~—–-]*(?:(?:no|nr|num|number|n[°º])(?![^\W\d_])[\s:：.#]*)?",
    re.IGNORECASE,
)
_NUMBERED = frozenset({ValueKind.IDENTIFIER, ValueKind.CODE, ValueKind.PHONE})
"""Kinds before which a number sign may stand: "No." begins an address as well."""
_TAIL = re.compile(
    r"(?i)[,;，；(（]\s*(?=(?:инн|кпп|огрн|бик|тел|р/с|к/с|адрес|именуем|tax id|vat|tel|phone|tin)\b)"
    r"|[,;，；(（]\s*(?=(?:税号|电话|地址))|\s{3,}"
)
"""What ends a name or an address that is followed by more in the same line."""
_NAME_TAIL = re.compile(r"[,，]\s*(?=\d{5,6}\s*,)|\s+(?=(?:ИНН|КПП)\s*:?\s*\d)|\s*(?=\d{9,})")
"""What ends a name besides: a postcode or a long number."""


def _matched(pattern: re.Pattern[str]) -> Callable[[str], Value | None]:
    """A cutter that takes the first match of ``pattern``; the fit is the share it covers."""

    def cut(text: str) -> Value | None:
        match = pattern.search(text)
        if match is None:
            return None
        value = match.group().strip(" ,;")
        return Value(value, 0.6 + 0.4 * _share(value, text), match.start())

    return cut


def _share(value: str, text: str) -> float:
    """How much of ``text`` is ``value``, 0 to 1."""
    return min(1.0, len(value) / max(1, len(text.strip(_EDGES))))


_MISREAD_OCTOBER = re.compile(r"(?i)(?<![^\W_])0(?=ct)")
_MISREAD_NOVEMBER = re.compile(r"(?i)(?<=\bn)0(?=v)")


def _date(text: str) -> Value | None:
    # A reader takes the letter O for a nought.
    text = _MISREAD_NOVEMBER.sub("o", _MISREAD_OCTOBER.sub("O", text))
    for match in DATE.finditer(text):
        if _is_day(match.group()):
            value = match.group().strip(" ,;")
            return Value(value, 0.6 + 0.4 * _share(value, text), match.start())
    return None


def _is_day(text: str) -> bool:
    """Whether the figures of a date can be a day, a month and a year."""
    figures = [int(figure) for figure in re.findall(r"\d+", text)]
    if len(figures) == 2:
        return 1 <= figures[0] <= 31  # the month has a name
    if len(figures) != 3:
        return False
    day, month = (figures[2], figures[1]) if figures[0] > 1900 else (figures[0], figures[1])
    return 1 <= min(day, month) <= 12 and 1 <= max(day, month) <= 31


def _amount(text: str) -> Value | None:
    dates = [date.span() for date in DATE.finditer(text) if _is_day(date.group())]
    matches = []
    for match in AMOUNT.finditer(text):
        in_date = any(start <= match.start() < end for start, end in dates)
        if not in_date:
            matches.append(match)
    if not matches:
        return None
    # Money has decimals or a currency; a bare integer is more often a number of something else.
    money = [match for match in matches if _is_money(match.group())]
    match = (money or matches)[-1]
    value = match.group().strip()
    if count_digits(value) > 11 or (not money and count_digits(value) > 6):
        return None  # an account, a card, a till's serial number
    letters = count_letters(AMOUNT.sub("", text))
    fit = (1.0 if money else 0.75) - min(0.4, 0.03 * letters)
    return Value(value, fit, match.start())


def _is_money(text: str) -> bool:
    has_decimals = re.search(r"[-=.,]\s?\d\d(?!\d)|=$", text) is not None
    return has_decimals or CURRENCY.search(text) is not None


def _identifier(text: str) -> Value | None:
    match = IDENTIFIER.search(text)
    if match is None:
        return None
    value = match.group().strip("./-–—")
    if not value:
        return None
    fit = 0.7 + 0.3 * _share(value, text)
    if DATE.match(text, match.start()) or PERCENT.match(text, match.start()):
        fit = 0.2
    return Value(value, fit, match.start())


def _name(text: str) -> Value | None:
    value = _NAME_TAIL.split(_TAIL.split(text, maxsplit=1)[0], maxsplit=1)[0].strip(_EDGES)
    end = text.find(value) + len(value)
    if re.search(r"(?<!\w)\w{1,4}$", value) and text[end : end + 1] == ".":
        value += "."  # "Inc.", "Ltd.", and initials
    letters = count_letters(value)
    # A Chinese name may have two characters, one in Latin letters has four; figures make no name.
    mostly_figures = letters < 0.3 * len(value.replace(" ", ""))
    if letters < 2 or mostly_figures or (value.isascii() and letters < 4):
        return None
    fit = 0.5 if DATE.search(value) or EMAIL.search(value) else 1.0
    return Value(value, fit, max(0, text.find(value)))


def _address(text: str) -> Value | None:
    value = _TAIL.split(text, maxsplit=1)[0].strip(_EDGES)
    if count_letters(value) < 3:
        return None
    return Value(value, 1.0 if count_digits(value) else 0.75, text.find(value))


def _text(text: str) -> Value | None:
    value = text.strip(" \t:：;；|_=")
    if not any(character.isalnum() for character in value):
        return None
    return Value(value, 0.9, max(0, text.find(value)))


_BROKEN_CHECKSUM = 0.9
"""Fit of a number with the right shape that breaks its checksum: it may be misread, or another number."""

CUTTERS: dict[ValueKind, Callable[[str], Value | None]] = {
    ValueKind.DATE: _date,
    ValueKind.AMOUNT: _amount,
    ValueKind.QUANTITY: _matched(QUANTITY),
    ValueKind.PERCENT: _matched(PERCENT),
    ValueKind.IDENTIFIER: _identifier,
    ValueKind.CODE: _matched(CODE),
    ValueKind.PHONE: _matched(PHONE),
    ValueKind.EMAIL: _matched(EMAIL),
    ValueKind.CURRENCY: _matched(CURRENCY),
    ValueKind.NAME: _name,
    ValueKind.ADDRESS: _address,
    ValueKind.TEXT: _text,
}
"""ValueKind → the function that cuts a value of that kind out of a text, or says that there is none."""


def cut(
    text: str, kind: ValueKind, pattern: re.Pattern[str] | None = None, check: str | None = None
) -> Value | None:
    """The value of ``kind`` in ``text``.

    ``pattern`` narrows it to one shape (twelve digits, say), and ``check`` is the module of python-stdnum
    that knows its checksum.
    """
    skipped = (_SKIP_NUMBER_SIGN if kind in _NUMBERED else _SKIP).match(text)
    offset = skipped.end() if skipped is not None else 0
    if pattern is not None:
        values = [_shaped(match, check) for match in pattern.finditer(text, offset)]
        return max(values, key=lambda value: value.fit, default=None)
    value = CUTTERS[kind](text[offset:])
    return None if value is None else value._replace(start=value.start + offset)


def _shaped(match: re.Match[str], check: str | None) -> Value:
    """What a pattern found; a number that breaks its checksum fits less well than one that keeps it."""
    if check is None:
        return Value(match.group(), 1.0, match.start())
    text = _checked(match.group(), check)
    is_valid = import_module(f"stdnum.{check}").is_valid(text)
    return Value(text, 1.0 if is_valid else _BROKEN_CHECKSUM, match.start())


def _checked(text: str, check: str) -> str:
    """``text`` without the words at its end that break its checksum: "DE89 … 00 BIC" is "DE89 … 00"."""
    module = import_module(f"stdnum.{check}")
    words = text.split()
    for count in range(len(words), 0, -1):
        if module.is_valid(" ".join(words[:count])):
            return " ".join(words[:count])
    # Misread somewhere: at least the words without a digit at its end are not part of it.
    while len(words) > 1 and count_digits(words[-1]) == 0:
        words.pop()
    return " ".join(words)

"""Kinds of value: what a date, an amount, an identifier looks like, and how it is cut out of a text.

A value is returned as it is printed: reformatting is the metric's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from bench.models.ocr.characters import count_digits, count_letters


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
    PERSON = "person"
    ADDRESS = "address"
    TEXT = "text"


class Value(NamedTuple):
    """A value as it stands in a text."""

    text: str
    fit: float
    """How well it looks like its kind, 0 to 1."""
    start: int
    """Where it begins in the text that it was cut from."""


_MONTHS = (
    r"(?:январ|феврал|март|апрел|ма[йя]|июн|июл|август|сентябр|октябр|ноябр|декабр|"
    r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*\.?"
)
DATE = re.compile(
    rf"""(?ix)
      (?:19|20)\d\d\s*年\s*\d{{1,2}}\s*月\s*\d{{1,2}}\s*日?
    | (?<!\d)(?:19|20)\d\d\s?[./-]\s?\d{{1,2}}\s?[./-]\s?\d{{1,2}}(?!\d)
    | (?<!\d)\d{{1,2}}\s?[./-]\s?\d{{1,2}}\s?[./-]\s?(?:(?:19|20)\d\d|\d\d)(?!\d)
    | [«"“]?(?<!\d)\d{{1,2}}(?:st|nd|rd|th)?[»"”]?\s*[-\s]?\s*{_MONTHS},?\s*[-\s]?\s*(?:19|20)\d\d
      (?:\s*г(?:ода|\.|(?!\w)))?
    | (?<!\w){_MONTHS}\s*\d{{1,2}}(?:st|nd|rd|th)?,?\s*(?:19|20)\d\d
    """
)
_CURRENCY = r"(?:[$€£¥￥₽]|(?:US|HK|CN)\$|USD|EUR|GBP|RUB|CNY|RMB|руб(?:лей|ля|\.)?|р\.|元)"
_NUMBER = (
    r"(?:\d{1,3}(?:[ \u00a0\u202f,.'’]\d{3})+(?:[.,]\s?\d{1,2})?|\d+(?:[.,]\s?\d{1,2})?)(?![\d%])"
)
AMOUNT = re.compile(
    rf"(?i)(?<![\w.,/-])(?:{_CURRENCY}\s*)?[-−]?(?:{_CURRENCY}\s*)?{_NUMBER}"
    rf"(?:\s*{_CURRENCY}(?!\w))?(?![\d/])(?!\s*%)"
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
_CAPITALISED = r"[A-ZА-ЯЁ][a-zа-яё'’-]+"
PERSON = re.compile(
    rf"{_CAPITALISED}\s+[A-ZА-ЯЁ]\.(?:\s?[A-ZА-ЯЁ]\.)?|[A-ZА-ЯЁ]\.\s?(?:[A-ZА-ЯЁ]\.\s?)?{_CAPITALISED}"
    rf"|{_CAPITALISED}(?:\s+(?:[A-Z]\.\s+)?{_CAPITALISED}){{1,3}}|^[\u3400-\u9fff]{{2,4}}$"
)
_EDGES = " \t:：;；,，|_-–—.。№#="
_SKIP = re.compile(
    r"^[\s:：;；,，.。|_#№=~—–-]*(?:no\.?|nr\.?|num(?:ber)?\.?|№)?[\s:：.#]*", re.IGNORECASE
)
# What ends a name or an address that is followed by more in the same line.
_TAIL = re.compile(
    r"(?i)[,;，；(（]\s*(?=(?:инн|кпп|огрн|бик|тел|р/с|к/с|адрес|именуем|tax id|vat|tel|phone|tin)\b)"
    r"|[,;，；(（]\s*(?=(?:税号|电话|地址))"
    r"|[,，]\s*(?=\d{5,6}\s*,)|\s+(?=(?:инн|кпп)\s*:?\s*\d)|\s*(?=\d{9,})|\s{3,}"
)


def _matched(pattern: re.Pattern[str]) -> Callable[[str], Value | None]:
    """A cutter that takes the first match of ``pattern``; the fit is the share it covers."""

    def cut(text: str) -> Value | None:
        match = pattern.search(text)
        if match is None:
            return None
        value = match.group().strip(" ,;")
        share = len(value) / max(1, len(text.strip(_EDGES)))
        return Value(value, 0.6 + 0.4 * min(1.0, share), match.start())

    return cut


def _amount(text: str) -> Value | None:
    dates = [date.span() for date in DATE.finditer(text)]
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
    has_decimals = re.search(r"[.,]\s?\d\d(?!\d)", text) is not None
    return has_decimals or CURRENCY.search(text) is not None


def _identifier(text: str) -> Value | None:
    match = IDENTIFIER.search(text)
    if match is None:
        return None
    value = match.group().strip("./-–—")
    if not value:
        return None
    share = len(value) / max(1, len(text.strip(_EDGES)))
    fit = 0.7 + 0.3 * min(1.0, share)
    if DATE.match(text, match.start()) or PERCENT.match(text, match.start()):
        fit = 0.2
    return Value(value, fit, match.start())


def _name(text: str) -> Value | None:
    value = _TAIL.split(text, maxsplit=1)[0].strip(_EDGES + "\"'") if text else ""
    end = text.find(value) + len(value)
    if re.search(r"(?<!\w)\w{2,4}$", value) and text[end : end + 1] == ".":
        value += "."  # "Inc.", "Ltd.", and initials
    value = _balanced(text, value)
    letters = count_letters(value)
    # A Chinese name may have two characters, one in Latin letters has four; figures make no name.
    mostly_figures = letters < 0.3 * len(value.replace(" ", ""))
    if letters < 2 or mostly_figures or (value.isascii() and letters < 4):
        return None
    fit = 0.5 if DATE.search(value) or EMAIL.search(value) else 1.0
    return Value(value, fit, max(0, text.find(value)))


def _person(text: str) -> Value | None:
    value = _name(text)
    if value is None:
        return None
    match = PERSON.search(text) or PERSON.search(value.text)
    if match is None:
        return value._replace(fit=0.4)
    return Value(match.group(), 1.0, match.start())


def _balanced(text: str, value: str) -> str:
    """``value`` with the closing quote or bracket that stripping its edges may have taken."""
    for opening, closing in (('"', '"'), ("(", ")"), ("（", "）")):
        if opening == closing:
            is_open = value.count(opening) % 2 == 1
        else:
            is_open = value.count(opening) > value.count(closing)
        end = text.find(value) + len(value)
        if is_open and text[end : end + 1] == closing:
            return value + closing
    return value


def _address(text: str) -> Value | None:
    value = text.strip(_EDGES)
    tail = re.split(
        r"(?i)[,;]\s*(?=(?:инн|кпп|тел|р/с|tax id|vat|tel|phone)\b)", value, maxsplit=1
    )[0]
    if count_letters(tail) < 3:
        return None
    fit = 1.0 if count_digits(tail) > 0 else 0.75
    return Value(tail.strip(_EDGES), fit, max(0, text.find(tail)))


def _text(text: str) -> Value | None:
    value = text.strip(" \t:：;；|_=")
    if not any(character.isalnum() for character in value):
        return None
    return Value(value, 0.9, max(0, text.find(value)))


CUTTERS: dict[ValueKind, Callable[[str], Value | None]] = {
    ValueKind.DATE: _matched(DATE),
    ValueKind.AMOUNT: _amount,
    ValueKind.QUANTITY: _matched(QUANTITY),
    ValueKind.PERCENT: _matched(PERCENT),
    ValueKind.IDENTIFIER: _identifier,
    ValueKind.CODE: _matched(CODE),
    ValueKind.PHONE: _matched(PHONE),
    ValueKind.EMAIL: _matched(EMAIL),
    ValueKind.CURRENCY: _matched(CURRENCY),
    ValueKind.NAME: _name,
    ValueKind.PERSON: _person,
    ValueKind.ADDRESS: _address,
    ValueKind.TEXT: _text,
}
"""ValueKind → the function that cuts a value of that kind out of a text, or says that there is none."""


def cut(text: str, kind: ValueKind, pattern: re.Pattern[str] | None = None) -> Value | None:
    """The value of ``kind`` in ``text``; ``pattern`` narrows it to one shape (twelve digits, say)."""
    skipped = _SKIP.match(text)
    offset = skipped.end() if skipped is not None else 0
    if pattern is not None:
        match = pattern.search(text, offset)
        return None if match is None else Value(match.group(), 1.0, match.start())
    value = CUTTERS[kind](text[offset:])
    return None if value is None else value._replace(start=value.start + offset)

"""Reads dates and times of day in Russian, English and Chinese spelling.

A reading holds every date that a spelling can mean: 03/04/2024 is two dates, and it stays two unless the
document's language decides the order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final, NamedTuple

_MONTH_NAMES: Final = """
january jan январь января январе янв
february feb февраль февраля феврале февр фев
march mar март марта марте мар
april apr апрель апреля апреле апр
may май мая мае
june jun июнь июня июне июн
july jul июль июля июле июл
august aug август августа августе авг
september sept sep сентябрь сентября сентябре сент сен
october oct октябрь октября октябре окт
november nov ноябрь ноября ноябре нояб ноя
december dec декабрь декабря декабре дек
"""
_MONTHS: Final = {
    name: number
    for number, line in enumerate(_MONTH_NAMES.strip().splitlines(), start=1)
    for name in line.split()
}
_WEEKDAYS: Final = re.compile(
    r"\b(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b[.,]?"
    r"|\b(?:понедельник|вторник|среда|четверг|пятница|суббота|воскресенье)\b,?"
    r"|\b(?:пн|вт|ср|чт|пт|сб|вс)\b[.,]?|(?:星期|周|礼拜)[一二三四五六日天]"
)
_CHINESE_DIGITS: Final = {c: str(i) for i, c in enumerate("〇一二三四五六七八九")} | {
    "零": "0",
    "○": "0",
}
_CHINESE: Final = re.compile(
    r"(民国|民國)?\s*([\d〇零○一二三四五六七八九]{2,4})\s*年\s*([\d一二三四五六七八九十]{1,3})\s*月"
    r"(?:\s*([\d一二三四五六七八九十]{1,3})\s*[日号號])?"
)
_NUMERIC: Final = re.compile(r"(\d{1,4})(?:\s*([./-])\s*|\s)(\d{1,2})(?(2)\s*\2\s*|\s)(\d{1,4})")
_MONTH_YEAR: Final = re.compile(r"(?:(\d{1,2})/(\d{4})|(\d{4})-(\d{2}))")
_COMPACT: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
_WORD: Final = re.compile(r"[^\W\d_]+")
_TIME: Final = re.compile(
    r"(?:\s|t|,|\bat\b|\bв\b)*(\d{1,2})(?::|\s*(?:ч|час|часов|时|點|点)\.?\s*)(\d{2})(?:\s*(?:мин|分)\.?)?"
    r"(?::(\d{2})(?:\.\d+)?)?\s*(a\.?m\.?|p\.?m\.?)?\s*(z|utc|gmt|мск|msk|[+-]\d{2}:?\d{2})?\Z"
)

MIN_YEAR: Final = 1000
"""Years before this one are no dates on a document: 999 is a number."""

PIVOT: Final = 70
"""Two-digit years from here on are of the 1900s, the others of the 2000s."""


class Moment(NamedTuple):
    """A date or time of day, as far as a spelling gives it; two are equal only if all parts are."""

    year: int | None
    month: int | None
    day: int | None
    time: str = ""
    """``HH:MM`` or ``HH:MM:SS`` with a zone as written; empty if no time was given."""


class DateReading(NamedTuple):
    """What a spelling can mean."""

    moments: frozenset[Moment]
    order: tuple[str, ...] = ()
    """The numbers of a numeric spelling in written order. Equal numbers in equal order are equal dates,
    whatever they mean."""


def read_date(
    text: str, *, language: str | None = None, compact: bool = False
) -> DateReading | None:
    """The dates that ``text`` can mean; None if it is no date.

    Args:
        text: Plain text, at most a line.
        language: With ``ru``, 03/04/2024 is day first; other languages leave it open.
        compact: Read eight digits as a date, too (they may be an identifier as well).
    """
    rest = _WEEKDAYS.sub(" ", text.lower()).strip(" ,.")
    rest = re.sub(r"\s*(?:г\.?|года?|году)\Z", "", re.sub(r'"', " ", rest)).strip(" ,.")
    clock = ""
    time = _TIME.search(rest)
    if time is not None and time.start() > 0:
        clock, rest = _clock(time), rest[: time.start()].strip(" ,.")
        if not clock:
            return None
        rest = re.sub(r"\s*(?:г\.?|года?)\Z", "", rest)
    for reader in (_chinese, _numeric, _named):
        reading = reader(rest, language)
        if reading is not None:
            return _at(reading, clock)
    if compact:
        match = _COMPACT.fullmatch(rest)
        if match is not None:
            year, month, day = (int(part) for part in match.groups())
            return _at(_reading(_valid([(year, month, day)])), clock)
    return None


def read_time(text: str) -> Moment | None:
    """A time of day alone: 14:05, 2:05 PM, 14 ч 05 мин."""
    time = _TIME.fullmatch(text.lower())
    clock = _clock(time) if time is not None else ""
    return Moment(None, None, None, clock) if clock else None


def _at(reading: DateReading | None, clock: str) -> DateReading | None:
    if reading is None:
        return None
    moments = frozenset(moment._replace(time=clock) for moment in reading.moments)
    return DateReading(moments, (*reading.order, clock) if reading.order else ())


def _clock(match: re.Match[str]) -> str:
    hour, minute, second, half, zone = match.groups()
    hours = int(hour)
    if half:
        if not 1 <= hours <= 12:
            return ""
        hours = hours % 12 + (12 if half.startswith("p") else 0)
    if hours > 23 or int(minute) > 59 or int(second or 0) > 59:
        return ""
    clock = f"{hours:02}:{minute}" + (f":{second}" if second else "")
    return clock + (zone or "").replace(":", "")


def _chinese(text: str, _language: str | None) -> DateReading | None:
    match = _CHINESE.fullmatch(text)
    if match is None:
        return None
    republic, year, month, day = match.groups()
    digits = "".join(_CHINESE_DIGITS.get(c, c) for c in year)
    # The republic's years count from 1912, which is year 1.
    full_year = int(digits) + 1911 if republic else _full_year(digits)
    month_number = _chinese_number(month)
    day_number = None if day is None else _chinese_number(day)
    if month_number is None or (day is not None and day_number is None):
        return None
    return _reading(_valid([(full_year, month_number, day_number)]))


def _chinese_number(text: str) -> int | None:
    """1 to 99 in digits or Chinese numerals; None for anything else."""
    if text.isdecimal():
        return int(text)
    tens, ten, ones = text.rpartition("十") if "十" in text else ("", "", text)
    parts = [_CHINESE_DIGITS.get(part, part) for part in (tens, ones)]
    if any(part and not part.isdecimal() for part in parts):
        return None
    return (int(parts[0] or 1) * 10 if ten else 0) + int(parts[1] or 0)


def _numeric(text: str, language: str | None) -> DateReading | None:
    partial = _MONTH_YEAR.fullmatch(text)
    if partial is not None:
        month, year = (partial[1], partial[2]) if partial[1] else (partial[4], partial[3])
        return _reading(_valid([(int(year), int(month), None)]))
    match = _NUMERIC.fullmatch(text)
    if match is None:
        return None
    first, mark, second, third = match.groups()
    day_first, month_first = (third, second, first), (third, first, second)
    year_first = (first, second, third)
    if len(first) > 2:
        orders = [year_first] if len(first) == 4 and len(third) <= 2 else []
    elif len(third) == 3 or len(third) == 1:
        orders = []
    elif len(third) == 2 and (mark == "-" or language in {"zh", "ja", "ko"}):
        # 24-03-12 is year first as often as not.
        orders = [day_first, year_first, month_first]
    elif mark == "." or language == "ru":
        orders = [day_first]
    else:
        orders = [day_first, month_first]
    moments = _valid((_full_year(year), int(month), int(day)) for year, month, day in orders)
    last = third.zfill(2) if len(first) == 4 else str(_full_year(third))
    return _reading(moments, (first.zfill(2), second.zfill(2), last))


def _named(text: str, _language: str | None) -> DateReading | None:
    """A date with the month as a word, in any order of day and year."""
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th|-?(?:го|е|ое))\b", "", text)
    words = [word for word in _WORD.findall(text) if word not in {"of", "the", "г", "год", "года"}]
    if len(words) != 1:
        return None
    month = _MONTHS.get(words[0])
    numbers = re.findall(r"\d+", text)
    if month is None or not numbers or re.search(r"[^\w\s.,'/-]", text.replace('"', "")):
        return None
    if len(numbers) == 1:
        number = numbers[0]
        only = (int(number), month, None) if len(number) == 4 else (None, month, int(number))
        return _reading(_valid([only])) if len(number) in {1, 2, 4} else None
    if len(numbers) != 2:
        return None
    first, second = numbers
    day, year = (second, first) if len(first) == 4 else (first, second)
    if len(day) > 2 or len(year) not in {2, 4}:
        return None
    return _reading(_valid([(_full_year(year), month, int(day))]))


def _full_year(text: str) -> int:
    value = int(text)
    return value if len(text) > 2 else value + (1900 if value >= PIVOT else 2000)


def _valid(dates: Iterable[tuple[int | None, int, int | None]]) -> frozenset[Moment]:
    """Those that are dates of the calendar; a year or day that is not given is not checked."""
    moments = set()
    for year, month, day in dates:
        if year is not None and not MIN_YEAR <= year <= 9999:
            continue
        try:
            # 2000 was a leap year: without a year, 29 February stands.
            date(2000 if year is None else year, month, 1 if day is None else day)
        except ValueError:
            continue
        moments.add(Moment(year, month, day))
    return frozenset(moments)


def _reading(moments: frozenset[Moment], order: tuple[str, ...] = ()) -> DateReading | None:
    return DateReading(moments, order) if moments else None


def same_date(a: DateReading, b: DateReading) -> bool:
    """Whether both can only mean one and the same date, or are the same numbers in the same order."""
    if a.order and a.order == b.order:
        return True
    return len(a.moments) == 1 and a.moments == b.moments

"""Reads dates and times of day, with the words of every language that CLDR knows.

A reading holds every date that a spelling can mean: 03/04/2024 is two dates, and it stays two unless the
document's language decides the order.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from datetime import date
from typing import Final, NamedTuple

from bench.metrics.calendars import first_in_dates, is_weekday, month_numbers

_WEEKDAY_ZH: Final = re.compile(r"(?:星期|周|礼拜)[一二三四五六日天]|\([月火水木金土日]\)")
_TOKEN: Final = re.compile(r"\d+|[^\d\s.,/()\"-]+")
_BEFORE_A_DATE: Final = (
    "от від ад од на в date dated issued on of the this day дата datum data fecha dato vom den der am"
    " du le la el il di de del dnia dne dia tanggal tarih tarihi päivä ngày"
)
"""Words that a date stands behind, of several languages. None of them changes which day is meant, as "until"
or "before" would."""
_BEHIND_A_PART: Final = (
    "г год года году р року рік годзе r roku rok g god godine m d gada yil yili yıl yılı ж жыл жылы"
    " năm th st nd rd er ère º ª го е ое ого a de af"
)
_NEUTRAL: Final = frozenset(f"{_BEFORE_A_DATE} {_BEHIND_A_PART}".split())
_PLACE: Final = re.compile(
    r"\A[^\W\d_]+(?:[ -][^\W\d_]+){0,3},\s+(?=(?:den|le|il|el|em|dnia|dne)\s+\d)"
)
"""Where a letter was written, as in "Berlin, den 12.03.2024"."""
_LABEL: Final = re.compile(r"\A[^\W\d_][^\d:]{0,40}:\s*(?=\S)")
_YEAR_WORD: Final = re.compile(
    r"(?<=\d)\s*(?:г|года?|году|р|року|рік|r|roku|rok|g|god|ж|жыл|m)\b\.?\s*\Z"
)
_CHINESE_DIGITS: Final = {c: str(i) for i, c in enumerate("〇一二三四五六七八九")} | {
    "零": "0",
    "○": "0",
}
_ERAS: Final = {"令和": 2018, "平成": 1988, "昭和": 1925, "大正": 1911}
_ERA: Final = re.compile(r"(令和|平成|昭和|大正)\s*(\d{1,2}|元)(?=\s*年)")
_VIETNAMESE: Final = re.compile(r"(?:ngày\s*)?(\d{1,2})\s*tháng\s*(\d{1,2})\s*(?:năm|,)?\s*(\d{4})")
_KOREAN: Final = re.compile(r"(\d{4})\s*년\s*(\d{1,2})\s*월\s*(\d{1,2})\s*일")
_BUDDHIST: Final = 543
"""Years that the Thai calendar is ahead."""
_CHINESE: Final = re.compile(
    r"(民国|民國)?\s*([\d〇零○一二三四五六七八九]{2,4})\s*年\s*([\d一二三四五六七八九十]{1,3})\s*月"
    r"(?:\s*([\d一二三四五六七八九十]{1,3})\s*[日号號])?"
)
_NUMERIC: Final = re.compile(r"(\d{1,4})(?:\s*([./-])\s*|\s)(\d{1,2})(?(2)\s*\2\s*|\s)(\d{1,4})")
_MONTH_YEAR: Final = re.compile(r"(?:(\d{1,2})/(\d{4})|(\d{4})-(\d{2}))")
_COMPACT: Final = re.compile(r"(\d{2})(\d{2})(\d{2})(\d{2})")
_MARKED: Final = re.compile(r"(\d{1,2})[./-]([^\W\d_]+)\.?[./-](\d{2,4})")
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


@functools.lru_cache(maxsize=8192)
def read_date(
    text: str, *, language: str | None = None, compact: bool = False
) -> DateReading | None:
    """The dates that ``text`` can mean; None if it is no date.

    Args:
        text: Plain text, at most a line.
        language: ISO 639-1, perhaps with a region (``en-GB``). It decides what months are called and, but
            for English without a region, whether 03/04/2024 is day first.
        compact: Read eight digits as a date, too (they may be an identifier as well).
    """
    rest = _LABEL.sub("", text.lower()) if compact else text.lower()
    rest = _WEEKDAY_ZH.sub(" ", rest).replace('"', " ").strip(" ,.")
    rest = _YEAR_WORD.sub("", rest).strip(" ,.")
    clock = ""
    time = _TIME.search(rest)
    if time is not None and time.start() > 0:
        clock, rest = _clock(time), rest[: time.start()].strip(" ,.")
        if not clock:
            return None
        rest = _YEAR_WORD.sub("", rest).strip(" ,.")
    if not rest or not re.search(r"[\d一二三四五六七八九十元]", rest):
        return None
    for candidate in dict.fromkeys((rest, _without_words(rest, language))):
        for reader in (_asian, _numeric, _named):
            reading = reader(candidate, language)
            if reading is not None:
                return _at(reading, clock)
        if compact:
            reading = _eight_digits(candidate, language)
            if reading is not None:
                return _at(reading, clock)
    return None


def _without_words(text: str, language: str | None) -> str:
    """``text`` without a weekday or another word that stands before a date and does not change it."""
    rest = _PLACE.sub("", text)
    while True:
        word = re.match(r"([^\W\d_]+)[\s.,]+(?=\S)", rest)
        if word is None or not (word[1] in _NEUTRAL or is_weekday(word[1], _bare(language))):
            break
        rest = rest[word.end() :]
    behind = re.search(r"[\s.,(]+([^\W\d_]+)\)?\Z", rest)
    if behind is not None and is_weekday(behind[1], _bare(language)):
        rest = rest[: behind.start()]
    return rest


def _bare(language: str | None) -> str | None:
    return language.partition("-")[0] if language else None


def _eight_digits(text: str, language: str | None) -> DateReading | None:
    match = _COMPACT.fullmatch(text)
    if match is None:
        return None
    a, b, c, d = match.groups()
    candidates = [(a + b, c, d), (c + d, b, a)]
    if first_in_dates(language or "en") != "day":
        candidates.append((c + d, a, b))
    moments = _valid((int(year), int(month), int(day)) for year, month, day in candidates)
    return _reading(moments, (a, b, c + d))


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


def _asian(text: str, _language: str | None) -> DateReading | None:
    """A date whose parts have their names behind them (年月日, 년월일), or before them (tháng, năm)."""
    for pattern, order in ((_VIETNAMESE, (3, 2, 1)), (_KOREAN, (1, 2, 3))):
        named = pattern.fullmatch(text)
        if named is not None:
            year, month, day = (int(named[group]) for group in order)
            return _reading(_valid([(year, month, day)]))
    return _chinese(_ERA.sub(_western_year, text))


def _western_year(era: re.Match[str]) -> str:
    # The first year of an era is called 元.
    return str(_ERAS[era[1]] + (1 if era[2] == "元" else int(era[2])))


def _chinese(text: str) -> DateReading | None:
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
    begins = first_in_dates(language) if language else None
    if len(first) > 2:
        orders = [year_first] if len(first) == 4 and len(third) <= 2 else []
    elif len(third) == 3 or len(third) == 1:
        orders = []
    elif len(third) == 2 and begins != "day" and (mark == "-" or begins == "year"):
        # 24-03-12 is year first as often as not.
        orders = [day_first, year_first, month_first]
    elif mark == "." or begins == "day":
        orders = [day_first]
    elif begins == "month":
        orders = [month_first]
    else:
        orders = [day_first, month_first]
    moments = _valid(
        (_full_year(year, language), int(month), int(day)) for year, month, day in orders
    )
    last = third.zfill(2) if len(first) == 4 else str(_full_year(third))
    return _reading(moments, (first.zfill(2), second.zfill(2), last))


def _named(text: str, language: str | None) -> DateReading | None:
    """A date with the month as a word, in any order of day and year."""
    if re.search(r"[^\w\s.,'/()\u0300-\u036f\u0900-\u0fff-]", text):
        return None
    numbers: list[str] = []
    months: frozenset[int] = frozenset()
    for token in _TOKEN.findall(text):
        if token.isdecimal():
            numbers.append(token)
            continue
        word = token.strip("'")
        meaning = _month_of(word, language)
        if meaning:
            if months:
                return None
            months = meaning
        elif word not in _NEUTRAL and word:
            return None
    if not months or not numbers or len(numbers) > 2:
        return None
    if len(numbers) == 1:
        number = numbers[0]
        if len(number) not in {1, 2, 4}:
            return None
        is_year = len(number) == 4
        return _reading(
            _valid(
                (_full_year(number, language), month, None)
                if is_year
                else (None, month, int(number))
                for month in months
            )
        )
    first, second = numbers
    day, year = (second, first) if len(first) == 4 else (first, second)
    if len(day) > 2 or len(year) not in {2, 4}:
        return None
    full_year = _full_year(year, language)
    moments = _valid((full_year, month, int(day)) for month in months)
    order: tuple[str, ...] = ()
    if _MARKED.fullmatch(text) and len(months) == 1:
        # 02/JAN/2017 is 02/01/2017 in the order in which that form is filled in.
        order = (day.zfill(2), f"{min(months):02}", str(full_year))
    return _reading(moments, order)


def _month_of(word: str, language: str | None) -> frozenset[int]:
    months = month_numbers(word, _bare(language))
    if months or word[:1] != "ב":
        return months
    # Hebrew writes "in March" as one word.
    return month_numbers(word[1:], _bare(language))


def _full_year(text: str, language: str | None = None) -> int:
    value = int(text)
    if len(text) == 4 and value > 2400 and _bare(language) == "th":
        return value - _BUDDHIST
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


def without_time(reading: DateReading) -> DateReading:
    """The dates alone."""
    moments = frozenset(moment._replace(time="") for moment in reading.moments)
    return DateReading(moments, reading.order[:3])


def has_time(reading: DateReading) -> bool:
    """Whether the spelling says a time of day, too."""
    return any(moment.time for moment in reading.moments)

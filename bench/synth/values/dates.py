"""How the languages write a day."""

from __future__ import annotations

from datetime import date

from bench.synth.data import read_table


def months(language: str) -> list[str]:
    """Return the names of the months as dates have them, January first (``ru`` or ``en``)."""
    names: list[str] = read_table("words")["months"][language]
    return names


def russian_date(day: date, *, year_word: str = " г.") -> str:
    """``12 марта 2024 г.``."""
    return f"{day.day} {months('ru')[day.month - 1]} {day.year}{year_word}"


def english_date(day: date) -> str:
    """``12 March 2024``."""
    return f"{day.day} {months('en')[day.month - 1]} {day.year}"


def american_date(day: date) -> str:
    """``March 12, 2024``."""
    return f"{months('en')[day.month - 1]} {day.day}, {day.year}"


def chinese_date(day: date) -> str:
    """``2024年03月12日``."""
    return f"{day.year}年{day.month:02d}月{day.day:02d}日"


def handwritten_chinese_date(day: date) -> str:
    """``2024年3月5日``, without leading zeros, as written by hand."""
    return f"{day.year}年{day.month}月{day.day}日"


def dotted_date(day: date) -> str:
    """``12.03.2024``."""
    return f"{day:%d.%m.%Y}"

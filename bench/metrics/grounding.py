"""Says whether a value is on a page whose text is known, in any spelling that a page may have for it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from bench.metrics.fields import value_kind
from bench.metrics.folding import plain, western_digits
from bench.metrics.metric import as_text
from bench.schema import Json

_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_PRINTED_DATES: Final = (
    "dd.MM.y", "d.M.y", "dd/MM/y", "MM/dd/y", "d/M/y", "y/MM/dd", "d MMMM y", "MMMM d, y", "d MMM y",
    "y年M月d日", "y年MM月dd日",
)  # fmt: skip
"""How pages write a day, as CLDR's patterns."""


class Grounding(NamedTuple):
    """How many of the values that an answer gives are on the pages."""

    on_page: int
    given: int


class PageText:
    """The text of a document, ready to look values up in it."""

    def __init__(self, text: str) -> None:
        """Fold ``text`` once."""
        self._squeezed = squeezed(text)
        self._numbers = set(re.findall(r"\d+", western_digits(text)))

    def may_hold(self, value: Json, language: str | None = None) -> bool:
        """Whether ``value`` may be on the page: as it is, or as a date or an amount in another spelling."""
        text = as_text(value)
        # Whether something is true is nowhere written.
        if (
            isinstance(value, bool)
            or not squeezed(text)
            or any(squeezed(s) in self._squeezed for s in spellings(value, language))
        ):
            return True
        own = set(re.findall(r"\d+", western_digits(text)))
        return value_kind(text) is not None and own <= self._numbers


def squeezed(text: str) -> str:
    """``text`` without case, blanks and marks."""
    return re.sub(r"[\W_]+", "", western_digits(plain(text)).casefold())


def spellings(value: Json, language: str | None = None) -> tuple[str, ...]:
    """How a page may write ``value``, the likeliest first: a number with its separators, a day in words."""
    text = as_text(value)
    if isinstance(value, bool):
        return ()
    if isinstance(value, int | float):
        return tuple(dict.fromkeys(_printed_numbers(text)))
    if _ISO_DATE.fullmatch(text):
        return _printed_days(text, (language or "en").partition("-")[0].lower())
    return (text,)


def _printed_numbers(text: str) -> Iterator[str]:
    try:
        number = Decimal(text)
        forms = [text, f"{number:,}", f"{number:.2f}", f"{number:,.2f}"]
    except (InvalidOperation, ValueError):
        # NaN and the infinities are no numbers that a page shows.
        forms = [text]
    for form in forms:
        yield form
        yield form.translate(str.maketrans(",.", ".,"))
        # Blanks between groups of digits are not looked at.
        yield form.replace(",", "").replace(".", ",")


@functools.lru_cache(maxsize=4096)
def _printed_days(text: str, language: str) -> tuple[str, ...]:
    from babel import Locale, UnknownLocaleError
    from babel.dates import format_date

    try:
        day = date.fromisoformat(text)
        locale = Locale.parse(language)
    except (ValueError, UnknownLocaleError):
        return (text,)
    printed = (format_date(day, pattern, locale) for pattern in _PRINTED_DATES)
    return tuple(dict.fromkeys((text, *printed)))

"""Words of dates in every language of CLDR (through babel): months, weekdays, and which number comes first.

Without a known language a month's name counts if it means one month in all languages of ``COMMON``:
*listopad* is November in Polish and October in Croatian.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from babel import Locale

Order = Literal["day", "month", "year"]
"""What a numeric date begins with."""

_COMMON: Final = (
    "en ru zh de fr es it pt nl pl uk be bg cs sk sl hr sr ro hu el tr sv da nb fi et lv lt ca"
    " kk az uz hy ka he ar fa hi id ms vi th ja ko"
)
COMMON: Final = tuple(_COMMON.split())
"""Languages whose words are known where the document's language is not."""

_MORE_MONTHS: Final = {
    "ru": {9: "сен", 11: "ноя", 2: "фев", 1: "янв"},
    "en": {9: "sept"},
    "de": {1: "jänner", 2: "feber", 3: "mrz"},
    "fr": {1: "janv", 2: "févr", 7: "juil"},
}
_MIN_PREFIX: Final = 3
"""Letters of a month's name that stand for it, if they are those of one month only: Okt, Dez, Mrt."""


@functools.lru_cache(maxsize=256)
def _locales(language: str) -> list[Locale]:
    """The locale of ``language``, and those of its other writings; none if CLDR does not know it."""
    from babel import Locale, UnknownLocaleError

    locales = []
    for script in ("", "Latn", "Cyrl"):
        name = f"{language}_{script}" if script else language
        try:
            locales.append(Locale.parse(name))
        except (UnknownLocaleError, ValueError):
            continue
    return locales


@functools.cache
def months_of(language: str) -> dict[str, frozenset[int]]:
    """Every name, short name and telling beginning of a month in ``language`` → its numbers, 1 to 12."""
    names: dict[str, set[int]] = {}
    for number, name in _month_names(language):
        for word in _variants(name):
            names.setdefault(word, set()).add(number)
    beginnings: dict[str, set[int]] = {}
    for word, numbers in names.items():
        for length in range(_MIN_PREFIX, len(word)):
            beginnings.setdefault(word[:length], set()).update(numbers)
    for word, numbers in beginnings.items():
        # "mar" begins March alone, "jui" both June and July.
        if word not in names and len(numbers) == 1 and word.isalpha():
            names[word] = numbers
    return {word: frozenset(numbers) for word, numbers in names.items()}


def _month_names(language: str) -> Iterator[tuple[int, str]]:
    for locale in _locales(language):
        for use in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                yield from locale.months[use][width].items()
    yield from _MORE_MONTHS.get(language, {}).items()


def _variants(name: str) -> set[str]:
    """A name in lower case, without its full stop, and without accents."""
    word = name.lower().strip(" .")
    bare = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return {
        variant for variant in (word, unicodedata.normalize("NFC", bare)) if not variant.isdigit()
    }


@functools.lru_cache(maxsize=8192)
def month_numbers(word: str, language: str | None) -> frozenset[int]:
    """The months that ``word`` can mean; none if it is no month.

    Args:
        word: in lower case, without a full stop.
        language: ISO 639-1; its own words come first, then those of English. Where it is not known,
            those of English and Russian come first, then those of ``COMMON``.
    """
    first = (language, "en") if language else ("en", "ru")
    for known in first:
        numbers = months_of(known).get(word)
        if numbers:
            return numbers
    if language is not None and _locales(language):
        return frozenset()
    meanings = [months_of(each).get(word, frozenset()) for each in COMMON]
    return frozenset().union(*meanings)


@functools.cache
def _weekdays_of(language: str) -> frozenset[str]:
    words = set()
    for locale in _locales(language):
        for use in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                for name in locale.days[use][width].values():
                    words |= _variants(name)
    return frozenset(words)


def is_weekday(word: str, language: str | None) -> bool:
    """Whether ``word`` (lower case, no full stop) names a day of the week."""
    languages = dict.fromkeys((language, "en", "ru")) if language else COMMON
    return any(word in _weekdays_of(each) for each in languages if each)


@functools.cache
def first_in_dates(tag: str) -> Order | None:
    """What numeric dates begin with in a language, or in a language and region; None if regions differ.

    ``en`` is None: 03/04 is 4 March in America and 3 April in Britain. ``en-GB`` begins with the day.
    """
    from babel import Locale, UnknownLocaleError

    if tag == "en":
        return None
    try:
        pattern = Locale.parse(tag, sep="-").date_formats["short"].pattern
    except (UnknownLocaleError, ValueError):
        return None
    order = [letter for letter in pattern if letter in "dMy"]
    first = order[0] if order else ""
    meaning: dict[str, Order] = {"d": "day", "M": "month", "y": "year"}
    return meaning.get(first)

"""Says whether a regular expression from a schema can be matched in a bounded time.

Python's ``re`` tries one way of matching after the other, and some expressions have more ways than a machine
can try in a year: ``(a+)+b``. Here the ways are counted before anything is matched. The count is an upper
bound, so an expression that is accepted always ends.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

MAX_TEXT: Final = 200
"""Characters of a value that is matched with a pattern; a longer one does not match."""

MAX_WAYS: Final = 10_000_000
"""Ways of matching that are tried at most: about half a second."""

MAX_PATTERN: Final = 1_000
"""Characters of a pattern."""

_REPEATS: Final = frozenset({codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT})
_PLAIN: Final = frozenset(
    {codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY, codes.AT, codes.RANGE}
)


def why_unsafe(pattern: str) -> str | None:
    """Why ``pattern`` cannot be used, as the end of a sentence; None if it can."""
    if len(pattern) > MAX_PATTERN:
        return f"is longer than {MAX_PATTERN:,} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression that Python reads ({error})"
    try:
        ways = _ways(parsed)
    except (_Unknown, RecursionError):
        return "uses look-around, conditions or references to groups, which are not supported"
    starts = 1 if _is_anchored(parsed) else MAX_TEXT
    if ways * starts > MAX_WAYS:
        return "could be matched in more ways than can be tried; write it with fewer repeats"
    return None


class _Unknown(Exception):
    """The expression has a part whose ways are not counted."""


def _is_anchored(parsed: Any) -> bool:
    """Whether a match can begin at the start of the text only."""
    return len(parsed) > 0 and tuple(parsed[0]) in (
        (codes.AT, codes.AT_BEGINNING),
        (codes.AT, codes.AT_BEGINNING_STRING),
    )


def _ways(sequence: Any) -> int:
    """An upper bound of the ways in which the parts of a sequence can match at one place of a text."""
    ways = 1
    for code, argument in sequence:
        ways = min(ways * _ways_of_part(code, argument), MAX_WAYS + 1)
    return ways


def _ways_of_part(code: Any, argument: Any) -> int:
    if code in _PLAIN:
        return 1
    if code is codes.SUBPATTERN:
        return _ways(argument[-1])
    if code is codes.ATOMIC_GROUP:
        return _ways(argument)
    if code is codes.BRANCH:
        return sum(_ways(choice) for choice in argument[1])
    if code in _REPEATS:
        return _ways_of_repeat(*argument)
    raise _Unknown


def _ways_of_repeat(least: int, most: Any, repeated: Sequence[Any]) -> int:
    most, least = min(int(most), MAX_TEXT), min(int(least), MAX_TEXT)
    inside = _ways(repeated)
    # One way for each number of repeats; each repeat can itself match in several ways.
    counts = range(least, max(least, most) + 1)
    if inside == 1:
        return len(counts)
    ways = 0
    for count in counts:
        ways += inside**count
        if ways > MAX_WAYS:
            break
    return ways

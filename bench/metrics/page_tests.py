"""Tests that a transcription of a page passes or fails, as olmOCR-bench writes them.

A reference of this kind is an object with a list of tests, each with the keys of olmOCR-bench::

    {"tests": [{"type": "present", "text": "Fruit costs", "max_diffs": 2},
               {"type": "absent", "text": "Page 12", "last_n": 200},
               {"type": "order", "before": "First", "after": "Second", "max_diffs": 1},
               {"type": "table", "cell": "4.5%", "up": "2.4%", "left_heading": "2023"},
               {"type": "baseline"}]}

``share`` is how much a test counts; its default is 1. ``page_test_rules`` runs the tests. Tests of formulas
(``math``) need a browser that renders them, so they are not computed, and neither are tests of types that are
not known here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from bench.formatting import plural
from bench.schema import Json

HEADINGS: Final = {"top_heading": "up", "left_heading": "left"}
"""Key of a table test that names a heading → where headings of that kind are."""
SIDES: Final = ("up", "down", "left", "right", *HEADINGS)
"""Keys of a table test that name what lies next to the cell, or at the head of its column or row."""

PageTest = Mapping[str, Any]
"""One test, with the keys of olmOCR-bench."""

_TEXT_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "present": ("text",),
    "absent": ("text",),
    "order": ("before", "after"),
    "table": ("cell",),
    "baseline": (),
}
"""Type of a test that is computed → the texts that it must have."""

_NUMBERS = ("max_diffs", "first_n", "last_n", "max_length", "max_repeats")


def is_computed(test: PageTest) -> bool:
    """Whether a test of this type is computed here."""
    return test["type"] in _TEXT_KEYS


def problem_of_test(test: Json) -> str | None:
    """Say what is wrong with one test; None if nothing is."""
    if not isinstance(test, dict) or not isinstance(test.get("type"), str):
        return 'a test is an object with a "type"'
    for key in _TEXT_KEYS.get(test["type"], ()):
        if not isinstance(test.get(key), str) or not plain_markdown(test[key]).strip():
            return f"a test of type {test['type']} needs a text under the key {key!r}"
    for key in SIDES:
        if not isinstance(test.get(key, ""), str):
            return f"{key!r} must be a text"
    for key in _NUMBERS:
        value = test.get(key)
        if value is not None and not (type(value) is int and value >= 0):
            return f"{key!r} must be a whole number from 0 on"
    share = test.get("share", 1)
    if type(share) not in {int, float} or not 0 < share <= 1:
        return "'share' must be a number above 0 and up to 1"
    if test["type"] == "order":
        shortest = min(len(plain_markdown(test[key])) for key in ("before", "after"))
        if test.get("max_diffs", 0) > shortest // 2:
            return "'max_diffs' is more than half of a text to look for"
    return None


def page_tests_of(reference: Json) -> tuple[PageTest, ...] | None:
    """Return the tests of a reference; None if it is none with tests, or one of them is wrong."""
    listed = reference.get("tests") if isinstance(reference, dict) else None
    if not isinstance(listed, list) or any(map(problem_of_test, listed)):
        return None
    return tuple(listed)


def described(test: PageTest) -> str:
    """Return a test as one line for a person."""
    kind = test["type"]
    edits = f" (up to {plural(test['max_diffs'], 'edit')})" if test.get("max_diffs") else ""
    if kind in {"present", "absent"}:
        parts = [f"“{test['text']}”"]
        parts += [f"in the first {test['first_n']} characters"] if test.get("first_n") else []
        parts += [f"in the last {test['last_n']} characters"] if test.get("last_n") else []
        return f"{kind}: {', '.join(parts)}{edits}"
    if kind == "order":
        return f"order: “{test['before']}” before “{test['after']}”{edits}"
    if kind == "table":
        beside = [f", {side.replace('_', ' ')} “{test[side]}”" for side in SIDES if test.get(side)]
        return f"table: a cell “{test['cell']}”{''.join(beside)}{edits}"
    if kind == "baseline":
        return "baseline: there is text, it does not end in repetition, no emoji and no Chinese or Japanese"
    text = test.get("math") or test.get("text") or ""
    return f"{kind} (not computed here): {text}"


# The text in which a test is looked for

_LINE_BREAK = re.compile(r"<br/?>")
_LIGHT_TAG = re.compile(r"</?[bi]>")
_STRONG = re.compile(r"(\*\*|__)(.*?)\1")
_EMPHASIS = re.compile(r"(\*|_)(.*?)\1")
_BLANKS = re.compile(r"\s+")
_PLAIN_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("‘’‚", "'"),
        **dict.fromkeys("“”„", '"'),
        **dict.fromkeys("–—‑‒−", "-"),
        "＿": "_",
        "\u00b5": "\u03bc",
    }
)


def plain_markdown(text: str) -> str:
    """Return ``text`` as it is searched: without emphasis and line breaks, quotes and dashes as in ASCII."""
    text = _LIGHT_TAG.sub("", _LINE_BREAK.sub(" ", text))
    text = _EMPHASIS.sub(r"\2", _STRONG.sub(r"\2", _STRONG.sub(r"\2", text)))
    composed = unicodedata.normalize("NFC", _BLANKS.sub(" ", text))
    return composed.translate(_PLAIN_CHARACTERS)

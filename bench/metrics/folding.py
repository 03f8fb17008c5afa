"""Makes spellings of one text equal if they differ in nothing that a reader would call a value.

Such are quotes, dashes, blanks, full-width forms, ё and е, invisible characters, and letters that look
the same in Cyrillic and Latin. Superscripts, fractions and circled digits are never made equal: 10² is
not 102.
"""

from __future__ import annotations

import functools
import operator
import re
import unicodedata
from typing import Final, Literal

_QUOTES: Final = dict.fromkeys(map(ord, "«»„“”‟‹›‘’‚‛`´′″\"'「」『』〝〞＂＇"), '"')
_DASHES: Final = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")
_YO: Final = {ord("ё"): "е", ord("Ё"): "Е"}
_LIKENESS: Final = str.maketrans("АВЕКМНОРСТУХІЈЅаеорсухіјѕ", "ABEKMHOPCTYXIJSaeopcyxijs")
_COMPATIBLE: Final = (
    "<wide>",
    "<narrow>",
    "<compat>",
    "<noBreak>",
    "<font>",
    "<small>",
    "<vertical>",
)
_KEPT_APART: Final = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>")
_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CJK_BLANK: Final = re.compile(rf"(?<=[{_CJK}])\s+|\s+(?=[{_CJK}])")
_DASH_BLANK: Final = re.compile(r"(?<=\S)\s*-\s*(?=\S)")
_TRAILING: Final = " .,;:"
"""What may stand at the end of a value; ``plain`` leaves no other blanks. (A pattern that is anchored at the
end alone would be tried at every character.)"""
_MEASURE: Final = re.compile(r"\d[\"']")
_MINUTES: Final = re.compile(r"(?<=\d)['’′](?!\d)")
"""Minutes or feet: 5' is not 5"."""
_OPENING_QUOTE: Final = re.compile(r"(?:\A|[\s(\[:=])['’\"‘“«„]")
"""Where a quotation begins, a mark behind a digit may be its end."""

MAX_MARKS: Final = 30
"""Combining marks in a row that are kept: no writing has more."""


MAX_REMEMBERED: Final = 200
"""Characters of a text whose plain form is remembered: values are short, and asked for again and again."""


def plain(text: str) -> str:
    """``text`` in half-width, composed characters, with one kind of quote and dash, and single blanks.

    Only the mark of minutes and feet stays another one than that of seconds and inches, as in 5'.
    """
    return _remembered_plain(text) if len(text) <= MAX_REMEMBERED else _plain(text)


@functools.lru_cache(maxsize=8192)
def _remembered_plain(text: str) -> str:
    return _plain(text)


def _plain(text: str) -> str:
    parts = [text] if _OPENING_QUOTE.search(text) else _MINUTES.split(text)
    return " ".join("'".join(map(_with_one_quote, parts)).split())


def _with_one_quote(text: str) -> str:
    if text.isascii():
        return text.replace("'", '"').replace("`", '"')
    narrow = "".join(map(_narrow, text))
    return normalized("NFC", narrow).translate(_QUOTES).translate(_DASHES)


def normalized(form: Literal["NFC", "NFKC"], text: str) -> str:
    """``text`` in a normal form of Unicode, with at most ``MAX_MARKS`` combining marks in a row.

    Sorting a run of marks takes time that grows with the square of its length. The bound is that of the
    stream-safe text format (Unicode Standard Annex 15).
    """
    if len(text) > MAX_MARKS and not text.isascii():
        marks = "".join(sorted(filter(unicodedata.combining, set(text))))
        if marks:
            run = re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]+")
            text = run.sub(r"\1", text)
    return unicodedata.normalize(form, text)


@functools.cache
def _narrow(character: str) -> str:
    if character < "\x80":
        return character
    if unicodedata.category(character) == "Cf":
        return ""
    # "№" would become "No"; it is a mark of its own, and № 5 must still be read.
    keep = character == "№" or not unicodedata.decomposition(character).startswith(_COMPATIBLE)
    return character if keep else unicodedata.normalize("NFKC", character)


_ARABIC_MARKS: Final = str.maketrans({"٫": ".", "٬": ",", "،": ",", "٪": "%"})
_FOREIGN_DIGIT: Final = re.compile(r"[^\D0-9]")


def western_digits(text: str) -> str:
    """``text`` with the digits and number marks of other scripts as those of Europe."""
    if text.isascii():
        return text
    marked = text.translate(_ARABIC_MARKS)
    return _FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), marked)


def spelling_of_names(text: str) -> str:
    """``text``, which comes from ``plain``, in lower case, with е for ё and no blank around hyphens."""
    return _DASH_BLANK.sub("-", text.translate(_YO).lower())


def has_special_digits(text: str) -> bool:
    """Whether ``text`` holds a superscript, fraction or the like, which no plain number reading covers.

    Superscript letters (1º, 2ª) are no digits.
    """
    return not text.isascii() and any(map(_is_special_digit, text))


@functools.cache
def _is_special_digit(character: str) -> bool:
    is_kept_apart = unicodedata.decomposition(character).startswith(_KEPT_APART)
    return is_kept_apart and unicodedata.numeric(character, None) is not None


def same_text(a: str, b: str) -> bool:
    """Whether two texts differ in spelling only; ``a`` and ``b`` come from ``plain``."""
    return a == b or any(map(operator.eq, _spellings(a), _spellings(b)))


def _spellings(text: str) -> tuple[str, str, str]:
    """``text`` without case and marks at its end, the same without quotes, and how it looks."""
    return _remembered_spellings(text) if len(text) <= MAX_REMEMBERED else _spell(text)


@functools.lru_cache(maxsize=8192)
def _remembered_spellings(text: str) -> tuple[str, str, str]:
    return _spell(text)


def _spell(text: str) -> tuple[str, str, str]:
    folded = _folded(text)
    return folded, _unquoted(folded), _looks(text)


def _folded(text: str) -> str:
    spaced = _DASH_BLANK.sub("-", _CJK_BLANK.sub("", text))
    return spaced.translate(_YO).casefold().rstrip(_TRAILING)


def _unquoted(folded: str) -> str:
    # A quote behind a digit is an inch or a minute, and belongs to the value.
    return folded if _MEASURE.search(folded) else " ".join(folded.replace('"', " ").split())


def _looks(text: str) -> str:
    """How ``text`` looks: case stays, because в is not b although В is B."""
    spaced = _DASH_BLANK.sub("-", text.translate(_YO))
    return spaced.rstrip(_TRAILING).translate(_LIKENESS)


def latin_capitals(text: str) -> str:
    """``text`` in capitals with Cyrillic look-alikes as Latin letters: how identifiers are compared."""
    return text.upper().translate(_LIKENESS)

"""The fields of business documents, read from ``fields.toml``, and how their phrases match a text."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.models.ocr.characters import CHINESE, count_chinese, one_script
from bench.models.ocr.values import ValueKind

Party = Literal["seller", "buyer"]
_PLAIN_KEYS = ("name", "check", "party", "beside", "anywhere", "weight")
"""Attributes of a field that are in the file as they are."""


class Phrase(NamedTuple):
    """A label or a question word."""

    text: str
    rank: int
    """Place in its language's list: 0 is the most telling."""
    pattern: re.Pattern[str]
    """Finds it in normalised text."""
    stem: str
    """Letters that every text with the phrase holds: most texts are told apart without the pattern."""


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that people ask for; the file says what the attributes mean."""

    name: str
    kind: ValueKind
    labels: tuple[Phrase, ...] = ()
    asked: tuple[Phrase, ...] = ()
    printed: tuple[Phrase, ...] = ()
    pattern: re.Pattern[str] | None = None
    check: str | None = None
    party: Party | None = None
    beside: bool = True
    anywhere: bool = False
    weight: float = 1.0


@cache
def fields() -> tuple[Field, ...]:
    """All fields of ``fields.toml``, in its order."""
    return tuple(_field(row) for row in _rows())


@cache
def _rows() -> list[dict[str, Any]]:
    table = tomllib.loads(Path(__file__).with_name("fields.toml").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = table["field"]
    return rows


@cache
def party_words() -> dict[Party, str]:
    """Party → regular expression over normalised text for the words that name it."""
    words: dict[Party, str] = {}
    for row in _rows():
        if "party" in row:
            stems = [stem for language in row["words"].values() for stem in language]
            words[row["party"]] = "|".join(stems)
    return words


def field_named(name: str) -> Field:
    """The first field of that name."""
    return next(field for field in fields() if field.name == name)


def _field(row: Mapping[str, Any]) -> Field:
    given = {key: row[key] for key in _PLAIN_KEYS if key in row}
    for key in ("labels", "asked", "printed"):
        given[key] = tuple(
            Phrase(text, rank, phrase_pattern(text), _stem(text))
            for language in row.get(key, {}).values()
            for rank, text in enumerate(language)
        )
    pattern = re.compile(row["pattern"]) if "pattern" in row else None
    return Field(kind=ValueKind(row["kind"]), pattern=pattern, **given)


def normalise(text: str) -> str:
    """``text`` in lower case with ё as е and full-width forms and accented letters as plain ones.

    It goes character for character: the result is as long as ``text``, so positions stay valid.
    """
    return "".join(_plain(character) for character in one_script(text))


def phrase_pattern(phrase: str) -> re.Pattern[str]:
    """The regular expression that finds ``phrase`` and its inflections in normalised text."""
    parts = re.findall(rf"[a-z]+|[а-я]+|\d+|{CHINESE}|[#№/()]", normalise(phrase))
    pieces: list[str] = []
    for part in parts:
        if re.match(r"[а-я]", part):
            pieces.append(_russian(part))
        elif re.match(r"[a-z]", part):
            pieces.append(part + ("s?" if len(part) > 3 else ""))
        elif part in "#№":
            pieces.append(r"(?:#|№|(?<![^\W_])(?:n[oоº°er]?|num)[.º°]*(?![a-zа-я]))")
        else:
            pieces.append(re.escape(part))
    chinese = count_chinese(phrase) > 0
    joined = (r"[\s、,/]*" if chinese else r"[\s.:,_'’/-]*").join(pieces)
    if chinese:
        return re.compile(joined)
    start = r"(?<![^\W_])" if re.match(r"\w", phrase) else ""
    # "PO-4711" is a number, not the label PO.
    end = r"(?![^\W_]|-\w)" if re.search(r"\w\.?$", phrase) else ""
    return re.compile(start + joined + end)


def _stem(phrase: str) -> str:
    """The beginning of the first word of ``phrase``, as long as no inflection changes it."""
    words = re.findall(rf"[a-zа-я]+|{CHINESE}", normalise(phrase))
    return words[0][: max(1, min(5, len(words[0]) - 2))] if words else ""


def _russian(word: str) -> str:
    """``word`` with any ending: the stem is what Russian inflection leaves alone, nearly always."""
    if len(word) <= 3:
        return word
    stem = word[: len(word) - (1 if len(word) <= 6 else 2)]
    return stem + r"[а-я]{0,3}"


_PLAIN_LETTERS = {"ё": "е", "ß": "s", "ł": "l", "ø": "o", "æ": "a", "đ": "d"}
"""Letters that Unicode does not take apart into a plain one and a mark."""


def _plain(character: str) -> str:
    code = ord(character)
    if 0xFF01 <= code <= 0xFF5E:
        character = chr(code - 0xFEE0)
    elif code == 0x3000:
        character = " "
    lowered = character.lower()
    if len(lowered) != 1:
        return character
    if lowered in _PLAIN_LETTERS:
        return _PLAIN_LETTERS[lowered]
    base = unicodedata.normalize("NFD", lowered)[0] if "\xe0" <= lowered <= "\u017e" else lowered
    return base if base.isascii() and base.isalpha() else lowered

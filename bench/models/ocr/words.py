"""Words that tell what a text is about, and the wording of descriptions, read from ``words.toml``."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from bench.models.ocr.characters import CHINESE


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


@cache
def word_list(name: str) -> tuple[str, ...]:
    """The words of a list, in its order."""
    return tuple(_table()["words"][name])


def description_parts(language: str) -> list[tuple[str, str]]:
    """Part of a document → the words around it, in the order of a description."""
    return [(part, wording) for part, wording in _table()["descriptions"][language]]


@cache
def words_pattern(name: str) -> re.Pattern[str]:
    """What finds any word of a list, which may be regular expressions, in normalised text."""
    return alternatives("|".join(word_list(name)))


@cache
def alternatives(words: str) -> re.Pattern[str]:
    """What finds whole words separated by ``|``; Chinese sets no blanks between its words."""
    start = rf"(?:(?<![^\W_])|(?={CHINESE}))"
    return re.compile(rf"{start}(?:{words})(?:(?![^\W_])|(?<={CHINESE}))")

"""Lists of words that tell kinds of papers and their parts, read from ``words.toml``."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path


@cache
def _lists() -> dict[str, list[str]]:
    table = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
    lists: dict[str, list[str]] = table["words"]
    return lists


@cache
def word_list(name: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(_lists()[name])


@cache
def words_pattern(name: str) -> re.Pattern[str]:
    """What finds any word of a list, which may be regular expressions, in normalised text."""
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(_lists()[name])})(?![^\W_])")

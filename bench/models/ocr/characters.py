"""Kinds of characters: how many a text holds, and which of two scripts a letter of both shapes is."""

from __future__ import annotations

import re

CHINESE = "[\u3400-\u9fff]"
"""A Chinese character, as a regular expression."""
_LATIN_SHAPES = "ABCEHKMOPTXYaceopxy"
_CYRILLIC_SHAPES = "АВСЕНКМОРТХУасеорху"
_TO_CYRILLIC = str.maketrans(_LATIN_SHAPES, _CYRILLIC_SHAPES)
_TO_LATIN = str.maketrans(_CYRILLIC_SHAPES, _LATIN_SHAPES)
_LEAST_CYRILLIC_OF_LINE = 0.6
"""Share of the letters."""
_LATIN = re.compile("[A-Za-z]")
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_MIXED_WORD = re.compile("[A-Za-z]+[\u0400-\u04ff][\\w]*|[\u0400-\u04ff]+[A-Za-z][\\w]*")
_SHAPED_TOKEN = re.compile(rf"(?<![\w@.-])[{_LATIN_SHAPES}]+(?![\w@-]|\.\w)")


def count_letters(text: str) -> int:
    """Letters of any script, Chinese characters among them."""
    return sum(character.isalpha() for character in text)


def count_digits(text: str) -> int:
    """Decimal digits."""
    return sum(character.isdigit() for character in text)


def count_chinese(text: str) -> int:
    """Chinese characters."""
    return sum("\u3400" <= character <= "\u9fff" for character in text)


def cyrillic_share(text: str) -> float:
    """How many of the letters are Cyrillic, 0 to 1; 1 where there are none."""
    letters = count_letters(text)
    return len(_CYRILLIC.findall(text)) / letters if letters else 1.0


def is_cyrillic(line: str) -> bool:
    """Whether a line is in Cyrillic: it may hold some Latin words, and a Latin one few Cyrillic letters."""
    return cyrillic_share(line) >= _LEAST_CYRILLIC_OF_LINE


def one_script(text: str) -> str:
    """``text`` without words that mix Cyrillic and Latin letters, where one script can have them all."""
    return _MIXED_WORD.sub(_unmixed, text)


def _unmixed(match: re.Match[str]) -> str:
    word = match.group()
    as_cyrillic = word.translate(_TO_CYRILLIC)
    if not _LATIN.search(as_cyrillic):
        return as_cyrillic
    as_latin = word.translate(_TO_LATIN)
    return word if _CYRILLIC.search(as_latin) else as_latin


def as_cyrillic(text: str) -> str:
    """``text`` of a Cyrillic line with its Latin words of Cyrillic shapes put back: "ООО", "АО"."""
    return _SHAPED_TOKEN.sub(lambda match: match.group().translate(_TO_CYRILLIC), text)

"""How many characters of a kind a text holds: most rules of this room compare such counts."""

from __future__ import annotations


def count_letters(text: str) -> int:
    """Letters of any script, Chinese characters among them."""
    return sum(character.isalpha() for character in text)


def count_digits(text: str) -> int:
    """Decimal digits."""
    return sum(character.isdigit() for character in text)


def count_chinese(text: str) -> int:
    """Chinese characters."""
    return sum("\u3400" <= character <= "\u9fff" for character in text)

"""Shortens names for drawings, and never so that two of them look the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def shortened(names: Iterable[str], limit: int) -> dict[str, str]:
    """Every name → its text of about ``limit`` letters, cut in the middle: variants differ at the end.

    Names that would look the same get more room until they do not.
    """
    known = list(dict.fromkeys(names))
    short = {name: _cut(name, limit) for name in known}
    room = limit
    while len(set(short.values())) < len(known):
        room += 4
        texts = list(short.values())
        twins = [name for name in known if texts.count(short[name]) > 1]
        short |= {name: _cut(name, room) for name in twins}
    return short


def width(text: str) -> int:
    """How wide ``text`` is in letters; a Chinese character is as wide as two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _cut(name: str, limit: int) -> str:
    kept = len(name)
    short = name
    while width(short) > limit and kept > 2:
        kept -= 1
        head = (kept - 1) // 2
        tail = kept - 1 - head
        short = f"{name[:head]}…{name[len(name) - tail :]}"
    return short

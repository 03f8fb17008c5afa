"""Shortens names for drawings, and never so that two of them look the same."""

from __future__ import annotations

from collections.abc import Iterable


def shortened(names: Iterable[str], limit: int) -> dict[str, str]:
    """Every name → its text of about ``limit`` characters, cut in the middle: variants differ at the end.

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


def _cut(name: str, limit: int) -> str:
    if len(name) <= limit:
        return name
    head = (limit - 1) // 2
    tail = limit - 1 - head
    return f"{name[:head]}…{name[len(name) - tail :]}"

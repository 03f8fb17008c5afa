"""Labels on a page: which phrases of the fields stand in a cell, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from rapidfuzz import fuzz, process

from bench.models.ocr.characters import CHINESE, count_digits, count_letters
from bench.models.ocr.fields import Field, Phrase, fields, normalise
from bench.models.ocr.layout import TableCell

_FUZZY_CUTOFF = 88.0
"""Per cent that a misread label is like a known one: one wrong letter in nine."""
_CHINESE = re.compile(CHINESE)
_SEPARATORS = "·•|;；"
"""What parts several labels with their values in one cell."""


class Mark(NamedTuple):
    """A label found on a page."""

    field: Field
    cell: TableCell
    start: int
    end: int
    score: float
    """How much of the cell's label the phrase covers, and how telling the phrase is; 0 to 1."""


def exact_marks(cell: TableCell, text: str) -> Iterable[Mark]:
    """Every phrase of every field in ``text``, which is the cell's, normalised."""
    for field in fields():
        for phrase in field.labels + field.printed:
            if phrase.stem not in text:
                continue
            for match in phrase.pattern.finditer(text):
                score = _score(phrase, match, text)
                yield Mark(field, cell, match.start(), match.end(), score)


def _score(phrase: Phrase, match: re.Match[str], text: str) -> float:
    """How sure it is that ``match`` is a label: much of the text before a colon, and at its beginning."""
    colon = text.find(":")
    part_start = 1 + max(text.rfind(separator, 0, match.start()) for separator in _SEPARATORS)
    head = text[part_start : colon if colon >= match.end() else None]
    share = count_letters(match.group()) / max(1, count_letters(head))
    begins_part = match.start() - part_start <= 2
    score = 0.5 + 0.35 * share + (0.15 if begins_part else 0.0)
    if match.start() > colon >= part_start:
        # Behind the colon stands a value, which may hold a label of its own.
        score = 0.65
    before = text[match.start() - 1 :][:1]
    if _CHINESE.match(match.group()) and _CHINESE.match(before):
        score *= 0.75  # the end of a longer word
    return min(1.0, score) - min(0.15, 0.006 * phrase.rank)


def fuzzy_marks(cell: TableCell, text: str) -> Iterable[Mark]:
    """Labels that OCR misread in a letter or two."""
    head = text.split(":")[0].strip()
    # Shorter ones are like too many words, longer ones are sentences, and numbers are values.
    if not 5 <= len(head) <= 40 or count_digits(head) > 2:
        return
    owners = _fuzzy_phrases()
    nearest = process.extractOne(head, owners.keys(), scorer=fuzz.ratio, score_cutoff=_FUZZY_CUTOFF)
    if nearest is not None:
        yield Mark(owners[nearest[0]], cell, 0, len(head), 0.95 * nearest[1] / 100)


@cache
def _fuzzy_phrases() -> dict[str, Field]:
    """Labels long enough to be told apart with a letter wrong → their fields; the first field has a label."""
    owners: dict[str, Field] = {}
    for field in fields():
        for phrase in field.labels:
            if len(phrase.text) >= 5:
                owners.setdefault(normalise(phrase.text), field)
    return owners


def longest(marks: list[Mark]) -> list[Mark]:
    """Marks whose span lies in no longer mark's: "date" is no label where "due date" stands."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: mark.start - mark.end):
        around = [other for other in kept if other.start <= mark.start and mark.end <= other.end]
        lengths = {other.end - other.start for other in around if other.field is not mark.field}
        # Two fields may share one label, but two phrases of one field are one mark.
        is_own = any(other.field is mark.field for other in around)
        if not is_own and lengths <= {mark.end - mark.start}:
            kept.append(mark)
    return sorted(kept, key=lambda mark: (mark.start, -mark.score))

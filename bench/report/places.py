"""Where on its pages a document says what is expected, if a text layer or an OCR model knows."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bench.metrics.grounding import spellings
from bench.metrics.leaves import flat
from bench.schema import Json, Page, PlacedText, Sample

MAX_PLACES = 3
"""Places of one reference that are shown; what stands more often, such as a single digit, says nothing."""

MAX_VALUES = 100
"""Values of one object that are looked for."""

LEAST = 2
"""Characters of a reference that is looked for inside lines; a shorter one has to be a whole word."""


class Place(NamedTuple):
    """A box in shares of a page's width and height."""

    page: int
    """Number in the document, from 0."""
    left: float
    top: float
    right: float
    bottom: float


def places(
    sample: Sample, pages: Sequence[Page], words: Mapping[str, Sequence[Sequence[PlacedText]]]
) -> tuple[Place, ...]:
    """The places of the first reference that is found, as few boxes as its lines; empty if none is.

    Of an object, the places of all its values that are found.

    Args:
        sample: the question with its references.
        pages: of its document.
        words: key of a page → every reading of it.
    """
    language = sample.metadata.get("language")
    readings = [
        (number, _Reading.of(words_of_page))
        for number, page in enumerate(pages)
        for words_of_page in words.get(page.key, ())
    ]
    for reference in sample.references if readings else ():
        values = [leaf for _, leaf in itertools.islice(flat(reference), MAX_VALUES)]
        boxes = [box for value in values for box in _places_of(value, readings, language)]
        if boxes:
            return tuple(dict.fromkeys(boxes))
    return ()


def _places_of(
    value: Json, readings: Sequence[tuple[int, _Reading]], language: str | None
) -> list[Place]:
    """The places of one value in the first of its spellings that a reading has."""
    for spelling in spellings(value, language):
        for number, reading in readings:
            boxes = _find(_squeezed(spelling), reading)
            if boxes:
                return [Place(number, *box) for box in boxes]
    return []


_Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in shares of a page's width and height."""


class _Letter(NamedTuple):
    """A character of a page, without case and blanks."""

    text: str
    word: int
    position: int
    """Of the character in its word or line."""


class _Reading(NamedTuple):
    """What was read on one page."""

    words: Sequence[PlacedText]
    letters: list[_Letter]
    text: str
    """The letters in one string."""

    @classmethod
    def of(cls, words: Sequence[PlacedText]) -> _Reading:
        letters = _letters(word.text for word in words)
        return cls(words, letters, "".join(letter.text for letter in letters))


def _squeezed(text: str) -> str:
    return "".join(letter.text for letter in _letters([text]))


def _letters(texts: Iterable[str]) -> list[_Letter]:
    return [
        _Letter(folded, number, position)
        for number, text in enumerate(texts)
        for position, character in enumerate(text)
        for folded in unicodedata.normalize("NFKC", character).casefold()
        if not folded.isspace()
    ]


def _find(wanted: str, reading: _Reading) -> list[_Box]:
    """The boxes of ``wanted`` on one page; none if it stands there too often."""
    words, letters, page = reading
    matches = []
    start = page.find(wanted)
    while start >= 0 and wanted:
        end = start + len(wanted)
        if _is_whole(letters, start, end, words):
            matches.append(letters[start:end])
        start = page.find(wanted, start + 1)
    if not 1 <= len(matches) <= MAX_PLACES:
        return []
    return [box for match in matches for box in _boxes(match, words)]


def _is_whole(
    letters: Sequence[_Letter], start: int, end: int, reading: Sequence[PlacedText]
) -> bool:
    """Whether the match is no part of a longer word or number."""
    first, last = letters[start], letters[end - 1]
    before = reading[first.word].text[: first.position][-1:]
    after = reading[last.word].text[last.position + 1 :][:1]
    inside = (before.isalnum() and first.text.isalnum()) or (
        after.isalnum() and last.text.isalnum()
    )
    if end - start < LEAST:
        return not before and not after
    # Chinese is written without blanks, so that a value may follow its label at once.
    return not inside or ord(first.text) > 0x2E80


def _boxes(match: Sequence[_Letter], reading: Sequence[PlacedText]) -> list[_Box]:
    """One box for each line of the match, taking all letters of a line for equally wide."""
    boxes: list[_Box] = []
    for number in dict.fromkeys(letter.word for letter in match):
        word = reading[number]
        positions = [letter.position for letter in match if letter.word == number]
        step = (word.right - word.left) / max(1, len(word.text))
        left, right = word.left + min(positions) * step, word.left + (max(positions) + 1) * step
        box = (left, word.top, right, word.bottom)
        if boxes and _is_beside(boxes[-1], box):
            box = _around(boxes.pop(), box)
        boxes.append(box)
    return boxes


def _is_beside(box: _Box, other: _Box) -> bool:
    """Whether two boxes stand in one line."""
    shared = min(box[3], other[3]) - max(box[1], other[1])
    return shared > 0.5 * min(box[3] - box[1], other[3] - other[1])


def _around(box: _Box, other: _Box) -> _Box:
    return (
        min(box[0], other[0]),
        min(box[1], other[1]),
        max(box[2], other[2]),
        max(box[3], other[3]),
    )

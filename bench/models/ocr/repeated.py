"""Labels that no table knows: the question repeats them, word for word or nearly so."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from rapidfuzz import fuzz

from bench.models.ocr.characters import count_chinese, count_letters
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.fields import normalise
from bench.models.ocr.layout import TableCell
from bench.models.ocr.words import word_list

_WHOLE_SHARE = 0.7
"""Share of a question's telling letters that the first words of a longer text must repeat to be a label."""
_CELL_SHARE = 0.3
"""The same for a text that has no more words: it may be the last line of a paragraph."""
_LONGEST = 8
"""Words: what is longer is a sentence, not a label."""
_ALIKE = 85
"""Per cent of a label's letters that a question must have, in their order, to mean it."""


class RepeatedLabel(NamedTuple):
    """A label on the page that a question repeats."""

    cell: TableCell
    end: int
    """Where the label ends in the cell's text."""
    phrase: str
    """The label in plain words."""
    is_whole: bool
    """Whether it is what the question quotes, or all that the question says."""


def repeated_label(document: OcrDocument, question: str) -> RepeatedLabel | None:
    """The longest label that ``question`` repeats word for word."""
    asked = _words(question)
    quoted = {
        " ".join(_words(part)) for part in re.findall(r'["«“„\']([^"«»“”]{1,60})["»”\']', question)
    }
    labels = [_repeated(cell, asked, quoted) for cell in document.cells]
    return max((label for label in labels if label is not None), key=_rank, default=None)


def similar_labels(document: OcrDocument, plain: str) -> Iterable[tuple[TableCell, int]]:
    """Cells whose beginnings, up to the given place, are nearly as a normalised question says them."""
    for cell in document.cells:
        text = document.plain[cell]
        colon = text.find(":")
        end = colon if colon > 0 else len(text)
        # Two Chinese characters make a word, which takes four letters in the other languages.
        is_word = count_letters(text[:end]) + 2 * count_chinese(text[:end]) >= 4
        is_short = len(text[:end].split()) <= _LONGEST and end < 60
        if is_word and is_short and fuzz.partial_ratio(text[:end], plain, score_cutoff=_ALIKE):
            yield cell, end


def _rank(label: RepeatedLabel) -> tuple[bool, int, bool]:
    """More letters first; of two equal labels, the one that ends its cell or has a colon."""
    rest = label.cell.text[label.end :].strip()
    return label.is_whole, count_letters(label.phrase), rest[:1] in {"", ":", "："}


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+|#", normalise(text))


def _repeated(cell: TableCell, asked: list[str], quoted: set[str]) -> RepeatedLabel | None:
    """The longest run of words at the beginning of ``cell`` that the question has as well."""
    plain = normalise(cell.text)
    if re.search(r"\w{4}[.;]$", plain):
        return None  # a sentence ends here; only an abbreviation ("No.") ends a label so
    asking = frozenset(word_list("asking"))
    telling = set(asked) - asking
    said = sum(count_letters(word) for word in asked if word not in asking)
    colon = plain.find(":")
    spans = list(re.finditer(r"[^\W_]+|#", plain[:colon] if colon > 0 else plain))[:_LONGEST]
    # A label before a colon is repeated whole or not at all.
    fewest = len(spans) if colon > 0 else 1
    for count in range(len(spans), fewest - 1, -1):
        words = [span.group() for span in spans[:count]]
        phrase = " ".join(words)
        is_repeated = f" {phrase} " in f" {' '.join(asked)} "
        says_all = is_repeated and count > 1 and telling <= set(words)
        if phrase in quoted or words == asked or says_all:
            return RepeatedLabel(cell, spans[count - 1].end(), phrase, is_whole=True)
        share = _CELL_SHARE if count == len(spans) else _WHOLE_SHARE
        is_told = colon > 0 or count_letters(phrase) >= share * said
        if is_repeated and is_told and not set(words) <= asking and count_letters(phrase) >= 3:
            return RepeatedLabel(cell, spans[count - 1].end(), phrase, is_whole=False)
    return None

"""Forms whose labels no table knows: the question repeats the label, and the page shows where answers stand.

A form writes its answers beside its labels or beneath them. Which of the two, the values that need no label
tell: a date, a telephone number or a sum has its label at its left, or above it.
Where texts stand in pairs, the label may also be the lower one. A long answer goes on in the next line.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from bench.models.ocr.characters import count_letters
from bench.models.ocr.fields import normalise
from bench.models.ocr.layout import TableCell
from bench.models.ocr.matching import OcrDocument
from bench.models.ocr.values import ValueKind

_SCORE = 0.8
"""Score of a value at a label that the question repeats word for word."""
_TYPED = (ValueKind.DATE, ValueKind.PHONE, ValueKind.EMAIL, ValueKind.AMOUNT)
_BESIDE = 12.0
"""Line heights: an answer stands no farther to the right of its label."""
_BENEATH = 2.2
"""Line heights between the top of a label and the top of the answer beneath it, at most 1.2 of them blank."""
_WHOLE_SHARE = 0.7
"""Share of a question's telling letters that the first words of a longer text must repeat to be a label."""
_CELL_SHARE = 0.3
"""The same for a text that has no more words: it may be the last line of a paragraph."""
_FULL_LINE = 18
"""Letters: a value with fewer fits its line, so the next line is another one."""
_PAIRED_SHARE = 0.6
"""Share of cells in twos from which on a form has its labels and values one above the other."""
_ASKING = frozenset(
    [
        "a",
        "an",
        "the",
        "what",
        "which",
        "who",
        "is",
        "are",
        "was",
        "of",
        "in",
        "on",
        "for",
        "to",
        "from",
        "and",
        "by",
        "does",
        "do",
        "form",
        "field",
        "written",
        "value",
        "say",
        "given",
        "name",
    ]
)
"""Words that a question uses of itself: alone, they repeat no label."""


class RepeatedLabel(NamedTuple):
    """A label on the page that a question repeats."""

    cell: TableCell
    end: int
    """Where the label ends in the cell's text."""
    phrase: str
    """The label in plain words."""
    is_whole: bool
    """Whether it is what the question quotes, or all that the question says."""

    @property
    def letters(self) -> int:
        """How much the label says."""
        return count_letters(self.phrase)


def repeated_label(document: OcrDocument, question: str) -> RepeatedLabel | None:
    """The longest label that ``question`` repeats word for word."""
    asked = _words(question)
    text = " " + " ".join(asked) + " "
    quoted = {
        " ".join(_words(part)) for part in re.findall(r'["«“„\']([^"«»“”]{1,60})["»”\']', question)
    }
    best: RepeatedLabel | None = None
    for cell in document.cells:
        label = _repeated(cell, text, quoted, asked)
        if label is not None and (best is None or _rank(label) > _rank(best)):
            best = label
    return best


def _rank(label: RepeatedLabel) -> tuple[bool, int, bool]:
    """More letters first; of two equal labels, the one that ends its cell or has a colon."""
    rest = label.cell.text[label.end :].strip()
    return label.is_whole, label.letters, rest[:1] in {"", ":", "："}


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+|#", normalise(text))


def _repeated(
    cell: TableCell, text: str, quoted: set[str], asked: list[str]
) -> RepeatedLabel | None:
    """The longest run of words at the beginning of ``cell`` that the question has as well."""
    plain = normalise(cell.text)
    telling = set(asked) - _ASKING
    said = sum(count_letters(word) for word in asked if word not in _ASKING)
    colon = plain.find(":")
    if re.search(r"\w{4}[.;]$", plain):
        return None  # a sentence ends here; only an abbreviation ("No.") ends a label so
    spans = list(re.finditer(r"[^\W_]+|#", plain[:colon] if colon > 0 else plain))[:8]
    for count in range(len(spans), 0, -1):
        words = [span.group() for span in spans[:count]]
        phrase = " ".join(words)
        # A label before a colon is repeated whole or not at all.
        if colon > 0 and count < len(spans):
            return None
        is_repeated = f" {phrase} " in text
        says_all = is_repeated and count > 1 and telling <= set(words)
        if phrase in quoted or words == asked or says_all:
            return RepeatedLabel(cell, spans[count - 1].end(), phrase, is_whole=True)
        share = _CELL_SHARE if count == len(spans) else _WHOLE_SHARE
        is_told = colon > 0 or count_letters(phrase) >= share * said
        if is_repeated and is_told and not set(words) <= _ASKING and count_letters(phrase) >= 3:
            return RepeatedLabel(cell, spans[count - 1].end(), phrase, is_whole=False)
    return None

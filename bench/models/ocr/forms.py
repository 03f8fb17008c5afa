"""Forms whose labels no table knows: the question repeats the label, and the page shows where answers stand.

A form writes its answers beside its labels or beneath them. Which of the two, the values that need no label
tell: a date, a telephone number or a sum has its label at its left, or above it.
Where texts stand in pairs, the label may also be the lower one. A long answer goes on in the next line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from bench.models.ocr.characters import count_letters
from bench.models.ocr.fields import normalise
from bench.models.ocr.layout import PageLayout, TableCell
from bench.models.ocr.matching import Candidate, OcrDocument
from bench.models.ocr.values import ValueKind, cut

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


def answers(document: OcrDocument, label: RepeatedLabel, kind: ValueKind) -> Iterable[Candidate]:
    """The values that may belong to ``label``, the likeliest place first."""
    cell = label.cell
    rest = cell.text[label.end :].strip(" .:;_|#-–—№")
    if len(rest) > 1 or rest.isdigit():
        yield from _valued(cell, rest, kind, _SCORE)
        return
    layout = document.layouts[cell.page]
    above, beneath = _partners(layout, cell)
    if above is not None and beneath is None and _is_in_pairs(layout):
        yield from _valued(above, above.text, kind, _SCORE)
        return
    places = [_beneath(document, layout, cell), _beside(document, layout, cell)]
    if not _answers_are_beneath(layout):
        places.reverse()
    for number, place in enumerate(places):
        if place is not None:
            text = place.text
            if kind is ValueKind.TEXT:
                text = " ".join(line.text for line in _paragraph(document, layout, place))
            yield from _valued(place, text, kind, _SCORE - 0.1 * number)


def _paragraph(document: OcrDocument, layout: PageLayout, first: TableCell) -> list[TableCell]:
    """The lines of a value that goes on beneath its first line."""
    lines = [first]
    for row in layout.rows[first.row + 1 :]:
        last = lines[-1]
        line = row[0]
        goes_on = (
            count_letters(last.text) >= _FULL_LINE
            and not re.search(r"[.;]$", last.text.strip())
            and abs(line.left - first.left) < first.height
            and line.top - last.bottom < 0.8 * first.height
            and 0.7 < line.height / first.height < 1.4
            and ":" not in line.text
        )
        if len(row) > 1 or not goes_on or _is_label(document, line):
            break
        lines.append(line)
    return lines


def _partners(layout: PageLayout, cell: TableCell) -> tuple[TableCell | None, TableCell | None]:
    """The cells right above and right beneath ``cell`` that begin where it does."""

    def nearest(rows: Iterable[Iterable[TableCell]]) -> TableCell | None:
        for row in rows:
            for other in row:
                upper, lower = sorted((other, cell), key=lambda one: one.top)
                gap = lower.top - upper.bottom
                is_aligned = abs(other.left - cell.left) < max(other.height, cell.height)
                if is_aligned and gap < 0.8 * max(other.height, cell.height):
                    return other
        return None

    above = layout.rows[max(0, cell.row - 2) : cell.row]
    return nearest(reversed(above)), nearest(layout.rows[cell.row + 1 :][:2])


def _is_in_pairs(layout: PageLayout) -> bool:
    """Whether most cells stand in twos, one above the other, with blanks around them."""
    paired = 0
    for cell in layout.cells:
        above, beneath = _partners(layout, cell)
        paired += (above is None) != (beneath is None)
    return paired > _PAIRED_SHARE * len(layout.cells)


def _valued(cell: TableCell, text: str, kind: ValueKind, score: float) -> Iterable[Candidate]:
    value = cut(text, kind) or cut(text, ValueKind.TEXT)
    if value is not None:
        yield Candidate(value.text, score, cell)


def _beside(document: OcrDocument, layout: PageLayout, label: TableCell) -> TableCell | None:
    for cell in layout.rows[label.row]:
        if cell.left > label.right - 0.5 * label.height:
            is_near = cell.left - label.right < _BESIDE * label.height
            return cell if is_near and not _is_label(document, cell) else None
    return None


def _beneath(document: OcrDocument, layout: PageLayout, label: TableCell) -> TableCell | None:
    for row in layout.rows[label.row + 1 :][:3]:
        for cell in row:
            is_near = cell.top - label.top < _BENEATH * max(label.height, cell.height)
            begins_there = -label.height < cell.left - label.left < 2 * label.height
            is_within = label.left <= (cell.left + cell.right) / 2 <= label.right
            if is_near and (begins_there or is_within):
                return None if _is_label(document, cell) else cell
    return None


def _is_label(document: OcrDocument, cell: TableCell) -> bool:
    return cell.text.rstrip().endswith((":", "：")) or document.is_label(cell)


def _answers_are_beneath(layout: PageLayout) -> bool:
    """Whether more values that need no label have their label above than at their left."""
    votes = 0
    for row in layout.rows:
        for number, cell in enumerate(row):
            if not any(_is_typed(cell, kind) for kind in _TYPED):
                continue
            left = row[number - 1] if number else None
            beside = left is not None and cell.left - left.right < _BESIDE * cell.height
            votes += _has_words_above(layout, cell) - (
                beside and not _has_words_above(layout, cell)
            )
    return votes > 0


def _is_typed(cell: TableCell, kind: ValueKind) -> bool:
    value = cut(cell.text, kind)
    return value is not None and len(value.text) > 0.8 * len(cell.text)


def _has_words_above(layout: PageLayout, cell: TableCell) -> bool:
    for row in reversed(layout.rows[max(0, cell.row - 2) : cell.row]):
        for above in row:
            is_near = cell.top - above.top < _BENEATH * cell.height
            begins_there = -0.5 * cell.height < cell.left - above.left < 2 * cell.height
            if is_near and begins_there and count_letters(above.text) > 1:
                return True
    return False

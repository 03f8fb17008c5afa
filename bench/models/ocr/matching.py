"""Values at a label: where they can stand, and how much speaks for each.

A label's value stands after it in the same cell, to the right of it, beneath it, or above it. Every place
gives a candidate; label, place, kind and party are scored, and the best one wins. The idea is that of
classical key-value extraction on forms, before there were layout models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from bench.models.ocr.characters import count_chinese, count_letters
from bench.models.ocr.document import OcrDocument, has_words
from bench.models.ocr.labels import Mark
from bench.models.ocr.layout import NEXT_LINE, TableCell
from bench.models.ocr.values import ValueKind, cut

_BESIDE = 12.0
"""Line heights: a free text stands no farther to the right of its label."""
_FAR_LINE = 3.0
"""Line heights between a caption in small print and the value that was written above it, at most."""
_FULL_LINE = 18
"""Letters: a text with fewer fits its line, so the next line is another one."""
_COLUMN_KINDS = frozenset({ValueKind.AMOUNT, ValueKind.QUANTITY, ValueKind.PERCENT})


class Candidate(NamedTuple):
    """A possible answer."""

    text: str
    score: float
    """0 to 1."""
    cell: TableCell

    @property
    def confidence(self) -> float:
        """How sure the answer is: the score times the confidence of the reading."""
        return self.score * self.cell.confidence


def values_at_label(document: OcrDocument, mark: Mark) -> Iterable[Candidate]:
    """Values that may belong to ``mark``, from every place where a value can stand."""
    yield from _inline(document, mark)
    partner = document.partners.get(mark.cell)
    if partner is not None and not has_words(mark.cell.text[mark.end :]):
        yield from value_in(document, mark, partner, partner.text, 1.0)
    if mark.field.beside:
        yield from _right(document, mark)
    yield from _below(document, mark)
    yield from _above(document, mark)


def value_in(
    document: OcrDocument, mark: Mark, cell: TableCell, text: str, weight: float
) -> Iterable[Candidate]:
    """The value that ``text`` of ``cell`` holds for the label ``mark``, if it holds one."""
    field = mark.field
    value = cut(text, field.kind, field.pattern, field.check)
    if value is None or not value.text:
        return
    if cell is not mark.cell:
        weight *= _freedom(document, cell)
    # What is cut out far behind the label belongs to something else.
    distance = 0.004 * value.start if field.pattern is None else 0.001 * value.start
    score = mark.score * weight * value.fit - min(0.3, distance)
    yield Candidate(continued(document, cell, value.text, field.kind), score, cell)


def _freedom(document: OcrDocument, cell: TableCell) -> float:
    """1 if ``cell`` may be any label's value, less where it carries a label of its own."""
    leading = [mark for mark in document.marks_of[cell] if mark.start <= 2]
    if any(re.match(r"\s*[:：]", cell.text[mark.end :]) for mark in leading):
        return 0.1
    return 0.6 if any(len(cell.text) > mark.end for mark in leading) else 1.0


def _inline(document: OcrDocument, mark: Mark) -> Iterable[Candidate]:
    """The rest of the label's own cell, up to the next label in it."""
    text = mark.cell.text
    end = len(text)
    for other in document.marks_of[mark.cell]:
        begins_label = re.match(r"\s*[:：№#\d(（]", text[other.end :]) is not None
        if begins_label and other.start >= mark.end and other.field is not mark.field:
            end = min(end, other.start)
    if mark.field.pattern is not None:
        # "ИНН/КПП: 7701234567/770101001": the value's shape says which it is, so all of the text is open.
        end = len(text)
    return value_in(document, mark, mark.cell, text[mark.end : end], 1.0)


def _right(document: OcrDocument, mark: Mark) -> Iterable[Candidate]:
    """The cells to the right in the label's row, up to the next label."""
    label = mark.cell
    is_amount = mark.field.kind is ValueKind.AMOUNT
    row = document.layouts[label.page].rows[label.row]
    beside = [cell for cell in row if cell.left > label.right - 0.5 * label.height]
    for number, cell in enumerate(beside if is_amount else beside[:4]):
        is_far = cell.left - label.right > _BESIDE * label.height
        if is_far and mark.field.kind is ValueKind.TEXT:
            return
        if document.is_label(cell):
            # "ИНН/КПП" spread over two cells shares the value that follows both.
            if mark.field.pattern is None:
                return
            continue
        # The last amount of a row is its sum; any other value stands next to its label.
        weight = 0.95 + 0.01 * number if is_amount else 0.95 - 0.05 * number
        yield from value_in(document, mark, cell, cell.text, weight)


def _below(document: OcrDocument, mark: Mark) -> Iterable[Candidate]:
    """The value beneath the label, or all values of the column that it heads."""
    label = mark.cell
    is_column = mark.field.kind in _COLUMN_KINDS
    # In line heights: how far beneath the last value the next one may stand.
    reach = (6 if is_column else 3) * label.height
    margin = label.height / 2
    bottom, count = label.bottom, 0
    for row in document.layouts[label.page].rows[label.row + 1 :]:
        for cell in row:
            if cell.right < label.left - margin or cell.left > label.right + margin:
                continue
            is_next = cell.top - bottom <= reach and cell.top >= label.middle
            # A label beneath ends the search, unless it is the next line of a column's head.
            if not is_next or (document.is_label(cell) and not (is_column and count == 0)):
                return
            for candidate in value_in(document, mark, cell, cell.text, 0.88):
                bottom, count = cell.bottom, count + 1
                # The last cell of a column of amounts is its sum.
                score = candidate.score * 0.9 + 0.002 * count if is_column else candidate.score
                yield candidate._replace(score=score)
            if not is_column:
                return


def _above(document: OcrDocument, mark: Mark) -> Iterable[Candidate]:
    """The value above the label: forms name a field in small print beneath its line."""
    cell = document.layouts[mark.cell.page].above(mark.cell, _FAR_LINE)
    if mark.field.kind in _COLUMN_KINDS or mark.start > 2 or cell is None:
        return
    if cell.height >= mark.cell.height and not document.is_label(cell):
        yield from value_in(document, mark, cell, cell.text, 0.6)


def continued(document: OcrDocument, cell: TableCell, text: str, kind: ValueKind) -> str:
    """An address or a free text of ``cell`` with the lines beneath that go on with it."""
    if kind not in {ValueKind.ADDRESS, ValueKind.TEXT}:
        return text
    parts, last = [text], cell
    start = cell.right - (cell.right - cell.left) * len(text) / max(1, len(cell.text))
    for row in document.layouts[cell.page].rows[cell.row + 1 :][:3]:
        lines = [c for c in row if min(abs(c.left - cell.left), abs(c.left - start)) < cell.height]
        if not lines or lines[0].top - last.bottom > NEXT_LINE * cell.height:
            break
        line = lines[0]
        is_full = count_letters(last.text) >= _FULL_LINE and last.text.strip()[-1] not in ".;"
        is_text = is_full and len(row) == 1 and 0.7 < line.height / cell.height < 1.4
        if _is_labelled(document, line) or (kind is ValueKind.TEXT and not is_text):
            break
        parts.append(line.text)
        last = line
    joined = ("" if count_chinese(text[-1:]) else " ").join(parts)
    value = cut(joined, kind)
    return joined if value is None else value.text


def _is_labelled(document: OcrDocument, cell: TableCell) -> bool:
    """Whether ``cell`` begins with a label, known or not, or with the number of an item of a form."""
    known = any(mark.start <= 2 for mark in document.marks_of[cell])
    return known or re.match(r"[^\d:,]{2,30}:|\d{1,2}[.)]\s", document.plain[cell]) is not None

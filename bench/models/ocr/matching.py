"""Where a page answers a field: labels, the places where their values stand, and whose they are.

A label's value stands after it in the same cell, to the right of it, beneath it, or above it. Every place
gives a candidate; label, place, kind and party are scored, and the best one wins. The idea is that of
classical key-value extraction on forms, before there were layout models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from bench.models.ocr.characters import count_letters
from bench.models.ocr.fields import Party, normalise
from bench.models.ocr.labels import Mark, exact_marks, fuzzy_marks, longest
from bench.models.ocr.layout import NEXT_LINE, PageLayout, TableCell
from bench.models.ocr.prose import Sentence, sentences
from bench.models.ocr.values import ValueKind, cut

_LABEL_CELL = 0.85
"""The least score of a phrase that makes up its whole cell: 1, less 0.15 for the least telling phrases."""
_REACH_OF_HEADING = 20
"""Line heights: what stands farther from every party's heading is the sender's."""
_BESIDE = 12.0
"""Line heights: a free text stands no farther to the right of its label."""
_PAIRED_SHARE = 0.6
"""Share of cells in twos from which on a form has its labels and values one above the other."""
_FAR_LINE = 3.0
"""Line heights between a caption in small print and the value that was written above it, at most."""
_FULL_LINE = 18
"""Letters: a text with fewer fits its line, so the next line is another one."""
_COLUMN_KINDS = frozenset({ValueKind.AMOUNT, ValueKind.QUANTITY, ValueKind.PERCENT})
_CHINESE = re.compile("[\u3400-\u9fff]")


class Candidate(NamedTuple):
    """A possible answer."""

    text: str
    score: float
    """0 to 1."""
    cell: TableCell


class OcrDocument:
    """A document that has been read, with the labels found in it: made once, asked many times."""

    def __init__(self, layouts: Sequence[PageLayout]) -> None:
        """Find the labels in ``layouts``, one for each page."""
        self.layouts = tuple(layouts)
        self.cells = tuple(cell for layout in layouts for cell in layout.cells)
        self.plain = {cell: normalise(cell.text) for cell in self.cells}
        self.marks_of: dict[TableCell, list[Mark]] = {
            cell: self._marks(cell) for cell in self.cells
        }
        self.marks = [mark for marks in self.marks_of.values() for mark in marks]
        self.anchors = tuple(mark for mark in self.marks if _is_party_heading(mark))

    @cached_property
    def sentences(self) -> list[Sentence]:
        """The document as running text."""
        return sentences(self.layouts)

    def _marks(self, cell: TableCell) -> list[Mark]:
        text = self.plain[cell]
        return longest(list(exact_marks(cell, text)) or list(fuzzy_marks(cell, text)))

    def is_label(self, cell: TableCell) -> bool:
        """Whether the cell is nothing but a label."""
        if cell.text.rstrip().endswith((":", "：")):
            return True
        for mark in self.marks_of.get(cell, ()):
            if mark.score >= _LABEL_CELL and not _has_words(cell.text[mark.end :]):
                return True
        return False

    def owner(self, mark: Mark) -> Party:
        """Whose the labelled value is: by a word in the cell, or by the nearest party heading."""
        for other in self.marks_of[mark.cell]:
            if other.field.party is not None:
                return other.field.party
        best: tuple[float, Party] | None = None
        for anchor in self.anchors:
            distance = _anchor_distance(anchor.cell, mark.cell)
            party = anchor.field.party
            if distance is not None and party is not None and (best is None or distance < best[0]):
                best = (distance, party)
        if best is None or best[0] > _REACH_OF_HEADING * mark.cell.height:
            return "seller"  # A letterhead needs no heading: whoever writes stands at the top and foot.
        return best[1]

    def candidates(self, mark: Mark) -> Iterable[Candidate]:
        """Values that may belong to ``mark``, from every place where a value can stand."""
        yield from self._inline(mark)
        partner = self._partners.get(mark.cell)
        if partner is not None and not _has_words(mark.cell.text[mark.end :]):
            yield from self.value_in(mark, partner, partner.text, 1.0)
        if mark.field.beside:
            yield from self._right(mark)
        yield from self._below(mark)
        yield from self._above(mark)

    @cached_property
    def _partners(self) -> dict[TableCell, TableCell]:
        """Cell → the other one of its pair, on pages whose labels and values stand one above the other."""
        partners: dict[TableCell, TableCell] = {}
        for layout in self.layouts:
            pairs: dict[TableCell, TableCell] = {}
            for cell in layout.cells:
                above, beneath = layout.above(cell), layout.beneath(cell)
                other = above or beneath
                if other is not None and (above is None or beneath is None):
                    pairs[cell] = other
            if len(pairs) > _PAIRED_SHARE * len(layout.cells):
                partners |= pairs
        return partners

    def value_in(
        self, mark: Mark, cell: TableCell, text: str, weight: float
    ) -> Iterable[Candidate]:
        """The value that ``text`` of ``cell`` holds for the label ``mark``, if it holds one."""
        field = mark.field
        value = cut(text, field.kind, field.pattern, field.check)
        if value is None or not value.text:
            return
        if cell is not mark.cell:
            weight *= self._freedom(cell)
        # What is cut out far behind the label belongs to something else.
        distance = 0.004 * value.start if field.pattern is None else 0.001 * value.start
        score = mark.score * weight * value.fit - min(0.3, distance)
        yield Candidate(self.continued(cell, value.text, field.kind), score, cell)

    def _freedom(self, cell: TableCell) -> float:
        """1 if ``cell`` may be any label's value, less where it carries a label of its own."""
        leading = [mark for mark in self.marks_of[cell] if mark.start <= 2]
        if any(re.match(r"\s*[:：]", cell.text[mark.end :]) for mark in leading):
            return 0.1
        return 0.6 if any(len(cell.text) > mark.end for mark in leading) else 1.0

    def _inline(self, mark: Mark) -> Iterable[Candidate]:
        text = mark.cell.text
        end = len(text)
        for other in self.marks_of[mark.cell]:
            begins_label = re.match(r"\s*[:：№#\d(（]", text[other.end :]) is not None
            if begins_label and other.start >= mark.end and other.field is not mark.field:
                end = min(end, other.start)
        if mark.field.pattern is not None:
            # "ИНН/КПП: 7701234567/770101001": the value's shape says which it is, so all of the text is open.
            end = len(text)
        return self.value_in(mark, mark.cell, text[mark.end : end], 1.0)

    def _right(self, mark: Mark) -> Iterable[Candidate]:
        label = mark.cell
        is_amount = mark.field.kind is ValueKind.AMOUNT
        row = self.layouts[label.page].rows[label.row]
        beside = [cell for cell in row if cell.left > label.right - 0.5 * label.height]
        for number, cell in enumerate(beside if is_amount else beside[:4]):
            is_far = cell.left - label.right > _BESIDE * label.height
            if is_far and mark.field.kind is ValueKind.TEXT:
                return
            if self.is_label(cell):
                # "ИНН/КПП" spread over two cells shares the value that follows both.
                if mark.field.pattern is None:
                    return
                continue
            # The last amount of a row is its sum; any other value stands next to its label.
            weight = 0.95 + 0.01 * number if is_amount else 0.95 - 0.05 * number
            yield from self.value_in(mark, cell, cell.text, weight)

    def _below(self, mark: Mark) -> Iterable[Candidate]:
        label = mark.cell
        is_column = mark.field.kind in _COLUMN_KINDS
        # In line heights: how far beneath the last value the next one may stand.
        reach = (6 if is_column else 3) * label.height
        margin = label.height / 2
        bottom, count = label.bottom, 0
        for row in self.layouts[label.page].rows[label.row + 1 :]:
            for cell in row:
                if cell.right < label.left - margin or cell.left > label.right + margin:
                    continue
                is_next = cell.top - bottom <= reach and cell.top >= label.middle
                # A label beneath ends the search, unless it is the next line of a column's head.
                if not is_next or (self.is_label(cell) and not (is_column and count == 0)):
                    return
                for candidate in self.value_in(mark, cell, cell.text, 0.88):
                    bottom, count = cell.bottom, count + 1
                    # The last cell of a column of amounts is its sum.
                    score = candidate.score * 0.9 + 0.002 * count if is_column else candidate.score
                    yield candidate._replace(score=score)
                if not is_column:
                    return

    def _above(self, mark: Mark) -> Iterable[Candidate]:
        """Forms name a field in small print beneath its line."""
        cell = self.layouts[mark.cell.page].above(mark.cell, _FAR_LINE)
        if mark.field.kind in _COLUMN_KINDS or mark.start > 2 or cell is None:
            return
        if cell.height >= mark.cell.height and not self.is_label(cell):
            yield from self.value_in(mark, cell, cell.text, 0.6)

    def continued(self, cell: TableCell, text: str, kind: ValueKind) -> str:
        """An address or a free text of ``cell`` with the lines beneath that go on with it."""
        if kind not in {ValueKind.ADDRESS, ValueKind.TEXT}:
            return text
        parts, last = [text], cell
        start = cell.right - (cell.right - cell.left) * len(text) / max(1, len(cell.text))
        for row in self.layouts[cell.page].rows[cell.row + 1 :][:3]:
            lines = [
                c for c in row if min(abs(c.left - cell.left), abs(c.left - start)) < cell.height
            ]
            if not lines or lines[0].top - last.bottom > NEXT_LINE * cell.height:
                break
            line = lines[0]
            is_full = count_letters(last.text) >= _FULL_LINE and last.text.strip()[-1] not in ".;"
            is_text = is_full and len(row) == 1 and 0.7 < line.height / cell.height < 1.4
            if self._is_labelled(line) or (kind is ValueKind.TEXT and not is_text):
                break
            parts.append(line.text)
            last = line
        joined = ("" if _CHINESE.search(text[-1:]) else " ").join(parts)
        value = cut(joined, kind)
        return joined if value is None else value.text

    def _is_labelled(self, cell: TableCell) -> bool:
        """Whether ``cell`` begins with a label, known or not, or with the number of an item of a form."""
        known = any(mark.start <= 2 for mark in self.marks_of[cell])
        return known or re.match(r"[^\d:,]{2,30}:|\d{1,2}[.)]\s", self.plain[cell]) is not None


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _is_party_heading(mark: Mark) -> bool:
    return mark.field.party is not None and mark.start <= 3 and mark.score > 0.6


def _anchor_distance(anchor: TableCell, cell: TableCell) -> float | None:
    """How far the party heading ``anchor`` is from ``cell``, or None if it cannot be its heading."""
    if anchor.page != cell.page:
        return None
    down = cell.middle - anchor.middle
    across = 0.0
    if anchor.right < cell.left:
        across = cell.left - anchor.right
    elif anchor.left > cell.right:
        across = 2 * (anchor.left - cell.right)
    if down < -0.6 * cell.height:
        # A heading beside a block, centred on it, may lie lower than the block's first line.
        if anchor.right > cell.left or -down > 5 * cell.height:
            return None
        down = -3 * down
    return down + across

"""Where a page answers a field: labels, the places where their values stand, and whose they are.

A label's value stands after it in the same cell, to the right of it, or beneath it. Every place gives a
candidate; label, place, kind and party are scored, and the best one wins. The idea is that of classical
key-value extraction on forms, before there were layout models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from bench.models.ocr.fields import Party, normalise
from bench.models.ocr.labels import Mark, exact_marks, fuzzy_marks, longest
from bench.models.ocr.layout import PageLayout, TableCell, stacks
from bench.models.ocr.prose import Sentence, sentences
from bench.models.ocr.values import ValueKind, cut

_LABEL_CELL = 0.85
"""The least score of a phrase that makes up its whole cell: 1, less 0.15 for the least telling phrases."""
_REACH_OF_HEADING = 20
"""Line heights: what stands farther from every party's heading is the sender's."""
_COLUMN_KINDS = frozenset({ValueKind.AMOUNT, ValueKind.QUANTITY, ValueKind.PERCENT})


_CHINESE = re.compile("[\u3400-\u9fff]")
_NUMBERS = re.compile(r"[\d\s.,%$€£¥()'-]+|[a-zа-я]?\d+[a-zа-я]?")
_MONEY = re.compile(r"\d[.,]\d\d(?!\d)")


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
        self.plain = {id(cell): normalise(cell.text) for cell in self.cells}
        self.stacked: dict[int, tuple[TableCell, ...]] = {}
        self.marks_of: dict[int, list[Mark]] = {id(cell): self._marks(cell) for cell in self.cells}
        self.marks = [mark for marks in self.marks_of.values() for mark in marks]
        for layout in layouts:
            self._mark_stacks(layout)
        self.anchors = tuple(mark for mark in self.marks if _is_party_heading(mark))

    @cached_property
    def sentences(self) -> list[Sentence]:
        """The document as running text."""
        return sentences(self.layouts)

    def _marks(self, cell: TableCell) -> list[Mark]:
        text = self.plain[id(cell)]
        marks = list(exact_marks(cell, text))
        if not marks:
            marks = list(fuzzy_marks(cell, text))
        return longest(marks)

    def _mark_stacks(self, layout: PageLayout) -> None:
        """Add the labels that run over several lines, in place of what their lines seemed to say."""
        for cell, lines in stacks(layout):
            text = normalise(cell.text)
            marks = longest(list(exact_marks(cell, text)))
            whole = [mark for mark in marks if _is_whole(mark, text)]
            # Words never are the value of a column of numbers, so they go on with its header.
            if not whole and not self._heads_numbers(cell, lines):
                continue
            headers = [_as_header(mark) for mark in marks if mark.field.kind in _COLUMN_KINDS]
            marks = whole or headers
            if not marks:
                continue
            self.plain[id(cell)] = text
            self.marks_of[id(cell)] = marks
            # The lines, and the shorter stacks that are made of some of them.
            parts = set(map(id, lines))
            for key, smaller in self.stacked.items():
                if set(map(id, smaller)) <= parts:
                    parts = parts | {key}
            self.stacked[id(cell)] = lines
            self.marks = [mark for mark in self.marks if id(mark.cell) not in parts] + marks

    def extent(self, mark: Mark) -> tuple[float, float]:
        """Left and right of the column that ``mark`` heads: its cell's, unless that heads two columns."""
        headers = [m for m in self.marks_of[id(mark.cell)] if m.field.kind in _COLUMN_KINDS]
        starts = {header.start for header in headers}
        if id(mark.cell) in self.stacked or len(starts) < 2:
            return mark.cell.left, mark.cell.right
        return mark.cell.span(mark.start, mark.end)

    def _heads_numbers(self, stack: TableCell, lines: Sequence[TableCell]) -> bool:
        """Whether ``stack`` is the header of a column of numbers, not a pile of labels with amounts."""
        rows = self.layouts[stack.page].rows
        for line in lines:
            beside = [cell for cell in rows[line.row] if cell is not line]
            if any(_MONEY.search(cell.text) for cell in beside):
                return False
        for row in rows[stack.row + 1 :]:
            beneath = [cell for cell in row if cell.right > stack.left and cell.left < stack.right]
            if beneath:
                return all(_NUMBERS.fullmatch(cell.text) for cell in beneath)
        return False

    def is_label(self, cell: TableCell) -> bool:
        """Whether the cell is nothing but a label."""
        for mark in self.marks_of.get(id(cell), ()):
            rest = cell.text[mark.end :]
            if mark.score >= _LABEL_CELL and not any(character.isalnum() for character in rest):
                return True
        return False

    def owner(self, mark: Mark) -> Party | None:
        """Whose the labelled value is: by a word in the cell, or by the nearest party heading."""
        for other in self.marks_of.get(id(mark.cell), ()):
            if other.field.party is not None:
                return other.field.party
        best: tuple[float, Party] | None = None
        for anchor in self.anchors:
            distance = _anchor_distance(anchor.cell, mark.cell)
            party = anchor.field.party
            if distance is not None and party is not None and (best is None or distance < best[0]):
                best = (distance, party)
        is_far = best is None or best[0] > _REACH_OF_HEADING * mark.cell.height
        if is_far:
            return "seller"  # A letterhead needs no heading: whoever writes stands at the top and foot.
        return None if best is None else best[1]

    def candidates(self, mark: Mark) -> Iterable[Candidate]:
        """Values that may belong to ``mark``, from every place where a value can stand."""
        yield from self._inline(mark)
        if mark.field.beside:
            yield from self._right(mark)
        yield from self._below(mark)
        yield from self._above(mark)

    def crossing(self, header: Mark, item: TableCell) -> Iterable[Candidate]:
        """The value in the row of ``item`` and the column of ``header``."""
        left, right = self.extent(header)
        for cell in self.layouts[item.page].rows[item.row]:
            if cell is item:
                continue
            apart = max(cell.left - right, left - cell.right)
            if apart < 0.5 * header.cell.height:
                candidate = self.candidate_in(header, cell, cell.text, 1.0)
                if candidate is not None:
                    yield candidate._replace(score=1.0 - 0.001 * max(0.0, apart))

    def address_after(self, name: Candidate) -> Iterable[Candidate]:
        """The address that follows a party's name without a label of its own."""
        same_line = re.search(r"(?<!\d)\d{6}(?!\d)\s*,.*", name.cell.text)
        if same_line is not None:
            yield Candidate(self._continued(name.cell, same_line.group()), 0.6, name.cell)
            return
        for row in self.layouts[name.cell.page].rows[name.cell.row + 1 :][:2]:
            for cell in row:
                aligned = abs(cell.left - name.cell.left) < 1.5 * name.cell.height
                near = cell.top - name.cell.bottom < 1.5 * name.cell.height
                if aligned and near and not self.marks_of.get(id(cell)):
                    yield Candidate(self._continued(cell, cell.text), 0.6, cell)
                    return

    def candidate_in(
        self, mark: Mark, cell: TableCell, text: str, weight: float
    ) -> Candidate | None:
        """The value that ``text`` of ``cell`` holds for the label ``mark``; None if it holds none."""
        field = mark.field
        value = cut(text, field.kind, field.pattern, field.check)
        if value is None or not value.text:
            return None
        if cell is not mark.cell:
            weight *= self._freedom(cell)
        # What is cut out far behind the label belongs to something else.
        distance = 0.004 * value.start if field.pattern is None else 0.001 * value.start
        score = mark.score * weight * value.fit - min(0.3, distance)
        if field.name == "number" and self._is_heading(mark.cell):
            score += 0.15
        return Candidate(value.text, score, cell)

    def _is_heading(self, cell: TableCell) -> bool:
        """Whether ``cell`` is set larger than the text, in the first page's upper third."""
        rows = self.layouts[0].rows
        upper = (
            cell.page == 0
            and cell.middle < rows[0][0].top + (rows[-1][0].bottom - rows[0][0].top) / 3
        )
        return upper and cell.height > 1.15 * self.layouts[0].line_height

    def _is_labelled(self, cell: TableCell) -> bool:
        """Whether ``cell`` begins with a label, known or not."""
        known = any(mark.start <= 2 for mark in self.marks_of.get(id(cell), ()))
        return known or re.match(r"[^\d:,]{2,30}:", self.plain[id(cell)]) is not None

    def _freedom(self, cell: TableCell) -> float:
        """1 if ``cell`` may be any label's value, less where it carries a label of its own."""
        leading = [mark for mark in self.marks_of.get(id(cell), ()) if mark.start <= 2]
        if any(re.match(r"\s*[:：]", cell.text[mark.end :]) for mark in leading):
            return 0.1
        return 0.6 if any(len(cell.text) > mark.end for mark in leading) else 1.0

    def _inline(self, mark: Mark) -> Iterable[Candidate]:
        next_labels = [m for m in self.marks_of[id(mark.cell)] if self._ends_value(mark, m)]
        end = min((label.start for label in next_labels), default=len(mark.cell.text))
        rest = mark.cell.text[mark.end : end]
        if mark.field.pattern is not None:
            # "ИНН/КПП: 7701234567/770101001": the value's shape says which it is, so all of the text is open.
            rest = mark.cell.text[mark.end :]
        candidate = self.candidate_in(mark, mark.cell, rest, 1.0)
        if candidate is not None:
            if mark.field.kind is ValueKind.ADDRESS:
                candidate = candidate._replace(text=self._continued(mark.cell, candidate.text))
            yield candidate

    def _ends_value(self, mark: Mark, other: Mark) -> bool:
        """Whether ``other`` begins a new label after ``mark``, not just a word of its value."""
        if other.start < mark.end or other.field is mark.field:
            return False
        text = mark.cell.text
        return bool(re.match(r"\s*[:：№#\d(（]", text[other.end :]))

    def _right(self, mark: Mark) -> Iterable[Candidate]:
        following = self._following(mark)
        seen = 0
        for cell in following:
            if self.is_label(cell) and mark.field.kind is not ValueKind.TEXT:
                # "ИНН/КПП" spread over two cells shares the value that follows both.
                if mark.field.pattern is None:
                    return
                continue
            candidate = self.candidate_in(mark, cell, cell.text, 0.95 - 0.05 * seen)
            if candidate is not None:
                seen = 0 if mark.field.kind is ValueKind.AMOUNT else seen + 1
                bonus = 0.01 * following.index(cell) if mark.field.kind is ValueKind.AMOUNT else 0.0
                if mark.field.kind is ValueKind.ADDRESS:
                    candidate = candidate._replace(text=self._continued(cell, candidate.text))
                yield candidate._replace(score=candidate.score + bonus)
            if mark.field.kind is not ValueKind.AMOUNT:
                seen += 1
            if seen > 3:
                return

    def _following(self, mark: Mark) -> list[TableCell]:
        """Cells to the right of a label, from left to right."""
        rows = self.layouts[mark.cell.page].rows
        edge = mark.cell.right - 0.5 * mark.cell.height
        if mark.field.kind is not ValueKind.PERSON:
            return [cell for cell in rows[mark.cell.row] if cell.left > edge]
        # A name stands on the line of a signature, which may lie lower than its label's first line.
        near: list[TableCell] = []
        for row in rows[max(0, mark.cell.row - 2) : mark.cell.row + 4]:
            for cell in row:
                lower_by = (cell.middle - mark.cell.middle) / mark.cell.height
                if cell.left > edge and -1 < lower_by < 2 and len(cell.text) > 2:
                    near.append(cell)
        return sorted(near, key=lambda cell: cell.left)

    def _below(self, mark: Mark) -> Iterable[Candidate]:
        left, right = self.extent(mark)
        height = mark.cell.height
        column = mark.field.kind in _COLUMN_KINDS
        floor = mark.cell.bottom
        # In line heights: how far beneath the last value the next one may stand. A table may have empty
        # rows; a label on a form has its value within three lines.
        reach = (40 if self._heads_table(mark) else 6) if column else 3
        count = 0
        for row in self.layouts[mark.cell.page].rows[mark.cell.row + 1 :]:
            for cell in row:
                if cell.right < left - height / 2 or cell.left > right + height / 2:
                    continue
                if cell.top - floor > reach * height or cell.top < mark.cell.middle:
                    return
                if self.is_label(cell) and mark.field.kind is not ValueKind.TEXT:
                    return
                candidate = self.candidate_in(
                    mark, cell, cell.text, 0.88 if column or count == 0 else 0.8
                )
                if candidate is not None:
                    count += 1
                    # The last cell of a column of amounts is its sum.
                    score = candidate.score * 0.9 + 0.002 * count if column else candidate.score
                    text = candidate.text
                    if mark.field.kind is ValueKind.ADDRESS:
                        text = self._continued(cell, text)
                    yield candidate._replace(score=score, text=text)
                    floor = cell.bottom
                if not column and (candidate is not None or count == 0):
                    return

    def _heads_table(self, mark: Mark) -> bool:
        """Whether two more column headers stand beside the label: its column may have empty rows."""
        beside = [
            m
            for m in self.marks
            if m.cell.page == mark.cell.page
            and m.cell is not mark.cell
            and m.score > 0.6
            and m.field.kind in _COLUMN_KINDS
            and abs(m.cell.middle - mark.cell.middle) < mark.cell.height
        ]
        return len(beside) >= 2

    def _above(self, mark: Mark) -> Iterable[Candidate]:
        """Forms name a field in small print beneath its line."""
        cell = mark.cell
        if mark.field.kind in _COLUMN_KINDS or mark.start > 2:
            return
        for row in reversed(self.layouts[cell.page].rows[max(0, cell.row - 3) : cell.row]):
            for value in row:
                near = 0 <= cell.top - value.bottom < 3 * cell.height
                if (
                    near
                    and abs(value.left - cell.left) < cell.height
                    and value.height >= cell.height
                ):
                    candidate = self.candidate_in(mark, value, value.text, 0.6)
                    if candidate is not None and not self.is_label(value):
                        yield candidate
                    return

    def _continued(self, cell: TableCell, text: str) -> str:
        """``text`` with the lines beneath ``cell`` that go on with it (an address has two or three)."""
        bottom, height = cell.bottom, cell.height
        parts = [text]
        left = cell.right - (cell.right - cell.left) * len(text) / max(1, len(cell.text))
        for row in self.layouts[cell.page].rows[cell.row + 1 :][:3]:
            below = [c for c in row if min(abs(c.left - cell.left), abs(c.left - left)) < height]
            if not below or below[0].top - bottom > 0.9 * height or self._is_labelled(below[0]):
                break
            parts.append(below[0].text)
            bottom = below[0].bottom
        joined = ("" if _CHINESE.search(text[-1:]) else " ").join(parts)
        value = cut(joined, ValueKind.ADDRESS)
        return joined if value is None else value.text


def _is_party_heading(mark: Mark) -> bool:
    return mark.field.party is not None and mark.start <= 3 and mark.score > 0.6


def _is_whole(mark: Mark, text: str) -> bool:
    """Whether the label is nearly all of ``text``."""
    return mark.score >= _LABEL_CELL and mark.end - mark.start > 0.7 * len(text)


def _as_header(mark: Mark) -> Mark:
    """``mark`` in a stack above numbers, where even a label that begins it or is long is the header."""
    is_telling = mark.start <= 2 or mark.end - mark.start > 6
    return mark._replace(score=max(mark.score, 0.7 if is_telling else 0.0))


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

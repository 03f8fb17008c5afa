"""Where a page answers a field: labels, the places where their values stand, and whose they are.

A label's value stands after it in the same cell, to the right of it, or beneath it. Every place gives a
candidate; label, place, kind and party are scored, and the best one wins. The idea is that of classical
key-value extraction on forms, before there were layout models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from typing import NamedTuple

from rapidfuzz import fuzz, process

from bench.models.ocr.characters import count_digits, count_letters
from bench.models.ocr.fields import Field, Party, fields, normalise
from bench.models.ocr.layout import PageLayout, TableCell, stacks
from bench.models.ocr.prose import Sentence, sentences
from bench.models.ocr.values import ValueKind, cut

_FUZZY_CUTOFF = 88.0
_LABEL_CELL = 0.85
_COLUMN_KINDS = frozenset({ValueKind.AMOUNT, ValueKind.QUANTITY, ValueKind.PERCENT})


_CHINESE = re.compile("[\u3400-\u9fff]")
_SEPARATORS = "·•|;；"
_NUMBERS = re.compile(r"[\d\s.,%$€£¥()'-]+|[a-zа-я]?\d+[a-zа-я]?")
_MONEY = re.compile(r"\d[.,]\d\d(?!\d)")


class Mark(NamedTuple):
    """A label found on a page."""

    field: Field
    cell: TableCell
    start: int
    end: int
    score: float
    """How much of the cell's label the phrase covers, and how telling the phrase is; 0 to 1."""


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
        self.anchors = tuple(
            m for m in self.marks if m.field.party is not None and m.start <= 3 and m.score > 0.6
        )

    @cached_property
    def sentences(self) -> list[Sentence]:
        """The document as running text."""
        return sentences(self.layouts)

    def _marks(self, cell: TableCell) -> list[Mark]:
        text = self.plain[id(cell)]
        found = list(_exact_marks(cell, text))
        if not found:
            found = list(_fuzzy_marks(cell, text))
        return _longest(found)

    def _mark_stacks(self, layout: PageLayout) -> None:
        """Add the labels that run over several lines, in place of what their lines seemed to say."""
        for cell, lines in stacks(layout):
            text = normalise(cell.text)
            found = _longest(list(_exact_marks(cell, text)))
            whole = [
                m for m in found if m.score >= _LABEL_CELL and m.end - m.start > 0.7 * len(text)
            ]
            # Words never are the value of a column of numbers, so they go on with its header.
            if not whole and not self._heads_numbers(cell, lines):
                continue
            found = whole or [
                m._replace(score=max(m.score, 0.7 if m.start <= 2 or m.end - m.start > 6 else 0.0))
                for m in found
                if m.field.kind in _COLUMN_KINDS
            ]
            if not found:
                continue
            self.plain[id(cell)] = text
            self.marks_of[id(cell)] = found
            parts = set(map(id, lines))
            parts |= {
                key for key, smaller in self.stacked.items() if set(map(id, smaller)) <= parts
            }
            self.stacked[id(cell)] = lines
            self.marks = [m for m in self.marks if id(m.cell) not in parts] + found

    def extent(self, mark: Mark) -> tuple[float, float]:
        """Left and right of the column that ``mark`` heads: its cell's, unless that heads two columns."""
        others = [m for m in self.marks_of[id(mark.cell)] if m.field.kind in _COLUMN_KINDS]
        if id(mark.cell) in self.stacked or len({m.start for m in others}) < 2:
            return mark.cell.left, mark.cell.right
        return mark.cell.span(mark.start, mark.end)

    def _heads_numbers(self, stack: TableCell, lines: Sequence[TableCell]) -> bool:
        """Whether ``stack`` is the header of a column of numbers, not a pile of labels with amounts."""
        rows = self.layouts[stack.page].rows
        if any(_MONEY.search(c.text) for line in lines for c in rows[line.row] if c is not line):
            return False
        for row in rows[stack.row + 1 :]:
            beneath = [c for c in row if c.right > stack.left and c.left < stack.right]
            if beneath:
                return all(_NUMBERS.fullmatch(c.text) for c in beneath)
        return False

    def is_label(self, cell: TableCell) -> bool:
        """Whether the cell is nothing but a label."""
        return any(
            m.score >= _LABEL_CELL and not any(c.isalnum() for c in cell.text[m.end :])
            for m in self.marks_of.get(id(cell), ())
        )

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
        if best is None and not any(a.field.party == "seller" for a in self.anchors):
            return "seller"  # A letterhead needs no heading: whoever writes stands at the top.
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
                candidate = self._make(header, cell, cell.text, 1.0)
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

    def _make(self, mark: Mark, cell: TableCell, text: str, weight: float) -> Candidate | None:
        field = mark.field
        value = cut(text, field.kind, field.pattern)
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
        known = any(m.start <= 2 for m in self.marks_of.get(id(cell), ()))
        return known or re.match(r"[^\d:,]{2,30}:", self.plain[id(cell)]) is not None

    def _freedom(self, cell: TableCell) -> float:
        """1 where ``cell`` may be any label's value, less where it carries a label of its own."""
        leading = [m for m in self.marks_of.get(id(cell), ()) if m.start <= 2]
        if any(re.match(r"\s*[:：]", cell.text[m.end :]) for m in leading):
            return 0.1
        return 0.6 if any(len(cell.text) > m.end for m in leading) else 1.0

    def _inline(self, mark: Mark) -> Iterable[Candidate]:
        end = min(
            (m.start for m in self.marks_of[id(mark.cell)] if self._ends_value(mark, m)),
            default=len(mark.cell.text),
        )
        rest = mark.cell.text[mark.end : end]
        if mark.field.pattern is not None:
            # "ИНН/КПП: 7701234567/770101001": the value's shape says which it is, so all of the text is open.
            rest = mark.cell.text[mark.end :]
        candidate = self._make(mark, mark.cell, rest, 1.0)
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
            candidate = self._make(mark, cell, cell.text, 0.95 - 0.05 * seen)
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
            return [c for c in rows[mark.cell.row] if c.left > edge]
        # A name stands on the line of a signature, which may lie lower than its label's first line.
        near = [
            c
            for row in rows[max(0, mark.cell.row - 2) : mark.cell.row + 4]
            for c in row
            if c.left > edge and -1 < (c.middle - mark.cell.middle) / mark.cell.height < 2
        ]
        return sorted((c for c in near if len(c.text) > 2), key=lambda c: c.left)

    def _below(self, mark: Mark) -> Iterable[Candidate]:
        left, right = self.extent(mark)
        height = mark.cell.height
        column = mark.field.kind in _COLUMN_KINDS
        floor = mark.cell.bottom
        reach = 40 if self._heads_table(mark) else 6
        found = 0
        for row in self.layouts[mark.cell.page].rows[mark.cell.row + 1 :]:
            for cell in row:
                if cell.right < left - height / 2 or cell.left > right + height / 2:
                    continue
                if (
                    cell.top - floor > (reach if column else 3) * height
                    or cell.top < mark.cell.middle
                ):
                    return
                if self.is_label(cell) and mark.field.kind is not ValueKind.TEXT:
                    return
                candidate = self._make(mark, cell, cell.text, 0.88 if column or found == 0 else 0.8)
                if candidate is not None:
                    found += 1
                    # The last cell of a column of amounts is its sum.
                    score = candidate.score * 0.9 + 0.002 * found if column else candidate.score
                    text = candidate.text
                    if mark.field.kind is ValueKind.ADDRESS:
                        text = self._continued(cell, text)
                    yield candidate._replace(score=score, text=text)
                    floor = cell.bottom
                if not column and (candidate is not None or found == 0):
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
                    candidate = self._make(mark, value, value.text, 0.6)
                    if candidate is not None and not self.is_label(value):
                        yield candidate
                    return

    def _continued(self, cell: TableCell, text: str) -> str:
        """``text`` with the lines beneath ``cell`` that go on with it (an address has two or three)."""
        bottom, height = cell.bottom, cell.height
        parts = [text]
        left = cell.right - (cell.right - cell.left) * len(text) / max(1, len(cell.text))
        for row in self.layouts[cell.page].rows[cell.row + 1 :][:3]:
            below = [
                c for c in row if abs(c.left - cell.left) < height or abs(c.left - left) < height
            ]
            if not below or below[0].top - bottom > 0.9 * height or self._is_labelled(below[0]):
                break
            parts.append(below[0].text)
            bottom = below[0].bottom
        joined = ("" if _CHINESE.search(text[-1:]) else " ").join(parts)
        value = cut(joined, ValueKind.ADDRESS)
        return joined if value is None else value.text


def _exact_marks(cell: TableCell, text: str) -> Iterable[Mark]:
    colon = text.find(":")
    for field in fields():
        for phrase in field.labels + field.printed:
            for match in phrase.pattern.finditer(text):
                part = max(text.rfind(c, 0, match.start()) for c in _SEPARATORS) + 1
                head = text[part : colon if colon >= match.end() else None]
                covered = count_letters(match.group())
                share = covered / max(1, count_letters(head))
                score = 0.5 + 0.35 * share + (0.15 if match.start() - part <= 2 else 0.0)
                if match.start() > colon >= part:
                    score = 0.65
                if _CHINESE.match(match.group()) and _CHINESE.match(text[match.start() - 1 :][:1]):
                    score *= 0.75  # the end of a longer word
                score = min(1.0, score) - min(0.15, 0.006 * phrase.rank)
                yield Mark(field, cell, match.start(), match.end(), score)


def _fuzzy_marks(cell: TableCell, text: str) -> Iterable[Mark]:
    """Labels that OCR misread in a letter or two."""
    head = text.split(":")[0].strip()
    if not 5 <= len(head) <= 40 or count_digits(head) > 2:
        return
    phrases, owners = _fuzzy_phrases()
    found = process.extractOne(head, phrases, scorer=fuzz.ratio, score_cutoff=_FUZZY_CUTOFF)
    if found is not None:
        yield Mark(owners[found[2]], cell, 0, len(head), 0.95 * found[1] / 100)


@cache
def _fuzzy_phrases() -> tuple[list[str], list[Field]]:
    """Labels long enough to be told apart with a letter wrong, and their fields."""
    pairs = [(normalise(p.text), f) for f in fields() for p in f.labels if len(p.text) >= 5]
    return [text for text, _ in pairs], [field for _, field in pairs]


def _longest(marks: list[Mark]) -> list[Mark]:
    """Marks whose span lies in no longer mark's: "date" is no label where "due date" stands."""
    kept: list[Mark] = []
    for mark in marks:
        inside = any(
            o.start <= mark.start and mark.end <= o.end and o.end - o.start > mark.end - mark.start
            for o in marks
        )
        twin = any(
            o.field is mark.field and o.start == mark.start and o.end == mark.end for o in kept
        )
        if not inside and not twin:
            kept.append(mark)
    return sorted(kept, key=lambda m: (m.start, -m.score))


def _anchor_distance(anchor: TableCell, cell: TableCell) -> float | None:
    """How far the party heading ``anchor`` is from ``cell``, or None where it cannot be its heading."""
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

"""A document that has been read: its cells, the labels in them, and the party that each label belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from bench.models.ocr.fields import Party, normalise
from bench.models.ocr.labels import Mark, exact_marks, fuzzy_marks, longest
from bench.models.ocr.layout import PageLayout, TableCell
from bench.models.ocr.prose import Sentence, sentences

_LABEL_CELL = 0.85
"""The least score of a phrase that makes up its whole cell: 1, less 0.15 for the least telling phrases."""
_REACH_OF_HEADING = 20
"""Line heights: what stands farther from every party's heading is the sender's."""
_PAIRED_SHARE = 0.6
"""Share of cells in twos from which on a form has its labels and values one above the other."""


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
            if mark.score >= _LABEL_CELL and not has_words(cell.text[mark.end :]):
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

    @cached_property
    def partners(self) -> dict[TableCell, TableCell]:
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


def has_words(text: str) -> bool:
    """Whether a text has a letter or a digit."""
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

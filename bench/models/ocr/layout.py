"""From fragments to cells and rows: the geometry of a page, for any reader.

A cell is a run of text without a column gap: a table cell, a label, a label with its value, or a line of
running text. A row is the cells that stand side by side. The page is straightened first, because a scan
that is 1° askew moves a line by its own height from one margin to the other.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.models.ocr.characters import CHINESE
from bench.models.ocr.reading import Fragment, Reading

# All in units of the text's height.
_WORD_GAP = 1.1
"""Between two columns, where fragments are words: a blank between words of one cell is narrower."""
_LINE_GAP = 0.25
"""Between two columns, where fragments are runs of words already: only what was cut apart is joined."""
_SAME_ROW = 0.5
"""Between the middles of two fragments of one row."""
NEXT_LINE = 0.8
"""Between two lines of one block, at most."""
# Chinese labels of two characters are set as wide as the longer ones above them: "名        称：".
_SPREAD = re.compile(CHINESE)
_SPREAD_END = re.compile(rf"{CHINESE}[:：].*")


@dataclass(frozen=True, slots=True, eq=False)
class TableCell:
    """A run of text without a column gap; no two cells are equal, so that each can be a key."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float
    page: int
    row: int

    @property
    def height(self) -> float:
        """Pixels, at least 1."""
        return max(1.0, self.bottom - self.top)

    @property
    def middle(self) -> float:
        """Vertical centre, pixels."""
        return (self.top + self.bottom) / 2

    def span(self, start: int, end: int) -> tuple[float, float]:
        """Left and right of ``text[start:end]``, taking all characters for equally wide."""
        width = (self.right - self.left) / max(1, len(self.text))
        return self.left + start * width, self.left + end * width


@dataclass(frozen=True, slots=True)
class PageLayout:
    """The rows of one page, from top to bottom, cells from left to right."""

    rows: tuple[tuple[TableCell, ...], ...]
    line_height: float
    """Median height of the text, pixels."""

    @property
    def cells(self) -> tuple[TableCell, ...]:
        """All cells in reading order."""
        return tuple(cell for row in self.rows for cell in row)

    def above(self, cell: TableCell, gap: float = NEXT_LINE) -> TableCell | None:
        """The cell above ``cell`` that begins where it does, at most ``gap`` line heights away."""
        return _nearest(cell, reversed(self.rows[max(0, cell.row - 2) : cell.row]), gap)

    def beneath(self, cell: TableCell, gap: float = NEXT_LINE) -> TableCell | None:
        """The cell beneath ``cell`` that begins where it does, at most ``gap`` line heights away."""
        return _nearest(cell, self.rows[cell.row + 1 : cell.row + 3], gap)


def _nearest(cell: TableCell, rows: Iterable[Sequence[TableCell]], gap: float) -> TableCell | None:
    for row in rows:
        for other in row:
            upper, lower = (other, cell) if other.top < cell.top else (cell, other)
            height = max(other.height, cell.height)
            is_near = lower.top - upper.bottom < gap * height
            if is_near and abs(other.left - cell.left) < height:
                return other
    return None


def lay_out(reading: Reading, page: int = 0) -> PageLayout:
    """The rows and cells of one page."""
    straight = _straighten(reading)
    fragments = [_clean(fragment) for fragment in straight if fragment.text.strip()]
    if not fragments:
        return PageLayout((), 1.0)
    gap = _WORD_GAP if reading.words else _LINE_GAP
    # Text that runs downwards would chain the rows beside it into one, so it gets rows of its own.
    vertical = [one for one in fragments if len(one.text) > 1 and _is_vertical(one)]
    level = [one for one in fragments if one not in vertical]
    rows_of_runs = [_runs(row, gap) for row in _rows(level)]
    rows_of_runs += [[[fragment]] for fragment in vertical]
    rows_of_runs.sort(key=_height_on_page)
    rows: list[tuple[TableCell, ...]] = []
    for number, runs in enumerate(rows_of_runs):
        rows.append(tuple(_cell(run, page, number) for run in runs))
    heights = [fragment.height for fragment in level or fragments]
    return PageLayout(tuple(rows), statistics.median(heights))


def _height_on_page(runs: list[list[Fragment]]) -> float:
    """Where a row stands: the median middle of its fragments, pixels from the top."""
    middles = [fragment.middle for run in runs for fragment in run]
    return statistics.median(middles)


def _is_vertical(fragment: Fragment) -> bool:
    return fragment.height > 1.5 * fragment.width


def _straighten(reading: Reading) -> list[Fragment]:
    """Fragments as they would stand on a page that is not askew."""
    if reading.slope == 0.0:
        return list(reading.fragments)
    straight = []
    for fragment in reading.fragments:
        # Moved by its middle, not turned: a box stays upright, and for small angles that is the same.
        down = -reading.slope * (fragment.left + fragment.right) / 2
        across = reading.slope * (fragment.top + fragment.bottom) / 2
        moved = fragment._replace(
            left=fragment.left + across,
            right=fragment.right + across,
            top=fragment.top + down,
            bottom=fragment.bottom + down,
        )
        straight.append(moved)
    return straight


def _clean(fragment: Fragment) -> Fragment:
    text = unicodedata.normalize("NFC", " ".join(fragment.text.split()))
    return fragment._replace(text=text)


def _rows(fragments: list[Fragment]) -> list[list[Fragment]]:
    """Fragments whose middles are at one height, whatever their size."""
    rows: list[list[Fragment]] = []
    usual = statistics.median(fragment.height for fragment in fragments) if fragments else 1.0
    for fragment in sorted(fragments, key=lambda fragment: (fragment.middle, fragment.left)):
        best: tuple[float, list[Fragment]] | None = None
        for row in rows[-6:]:
            apart = abs(fragment.middle - statistics.fmean(other.middle for other in row))
            smaller = min(fragment.height, statistics.fmean(other.height for other in row))
            # A dash is two pixels high, but stands in the line's middle.
            if apart < _SAME_ROW * max(smaller, 0.7 * usual) and (best is None or apart < best[0]):
                best = (apart, row)
        if best is None:
            rows.append([fragment])
        else:
            best[1].append(fragment)
    return [sorted(row, key=lambda fragment: fragment.left) for row in rows]


def _runs(row: list[Fragment], gap: float) -> list[list[Fragment]]:
    """Neighbours of a row joined where no column gap lies between them."""
    runs: list[list[Fragment]] = []
    for fragment in row:
        if runs:
            previous = runs[-1][-1]
            # The taller of the two: a word without tall letters has a flat box.
            height = max(1.0, fragment.height, previous.height)
            if fragment.left - previous.right < max(gap, _reach(previous, fragment)) * height:
                runs[-1].append(fragment)
                continue
        runs.append([fragment])
    return runs


def _reach(previous: Fragment, fragment: Fragment) -> float:
    """How wide a gap two fragments may have that belong together by what they say."""
    if _SPREAD.fullmatch(previous.text) and _SPREAD_END.fullmatch(fragment.text):
        return 8.0
    # A comma or a number sign is followed by something; at the end of a long line, by the next line.
    awaits_more = previous.text.endswith((",", "№")) and len(previous.text) < 60
    return 1.8 if awaits_more else 0.0


def _cell(run: list[Fragment], page: int, row: int) -> TableCell:
    characters = sum(len(fragment.text) for fragment in run)
    text = " ".join(fragment.text for fragment in run)
    return TableCell(
        text=re.sub(rf"^({CHINESE}) (?={CHINESE}[:：])", r"\1", text),
        left=min(fragment.left for fragment in run),
        top=min(fragment.top for fragment in run),
        right=max(fragment.right for fragment in run),
        bottom=max(fragment.bottom for fragment in run),
        confidence=sum(fragment.confidence * len(fragment.text) for fragment in run) / characters,
        page=page,
        row=row,
    )

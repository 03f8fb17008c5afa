"""Tables inside a transcription of a page: HTML or rows between pipes, as rows of cells with their spans.

Every use of such a table begins with the same cells: TEDS compares them as one canonical HTML, and
questions about neighbours ask on which grid they lie.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final, NamedTuple

from bench.errors import missing_package
from bench.metrics.metric import TooLarge
from bench.metrics.tables import MAX_ELEMENTS

MAX_SPAN: Final = 1_000
"""Rows or columns that one cell may span; HTML has the same bound for columns."""

MAX_PLACES: Final = 100_000
"""Places of the grid on which the cells of one table lie, those of spans included."""


class MarkupCell(NamedTuple):
    """A cell of a table."""

    text: str
    """Without markup; white space is one blank."""
    columns: int = 1
    """Columns that it spans."""
    rows: int = 1
    """Rows that it spans."""
    is_heading: bool = False


MarkupRows = tuple[tuple[MarkupCell, ...], ...]
"""The rows of one table."""

_TABLE_TAG = re.compile(r"<(/?)table\b[^<>]*>", re.IGNORECASE)
_PIPE = re.compile(r"(?<!\\)\|")


def html_table_spans(text: str) -> list[tuple[int, int]]:
    """Return where each outermost ``<table>`` begins and ends; without an end tag it has all that follows."""
    spans = []
    depth = start = 0
    for tag in _TABLE_TAG.finditer(text):
        if tag[1]:
            depth = max(0, depth - 1)
            if depth == 0 and start >= 0:
                spans.append((start, tag.end()))
                start = -1
            continue
        if depth == 0:
            start = tag.start()
        depth += 1
    if depth > 0:
        spans.append((start, len(text)))
    return spans


def html_rows(fragment: str) -> MarkupRows:
    """Return the rows of the first outermost table of ``fragment``; a table inside a cell is its text.

    Raises:
        TooLarge: the table has more than ``MAX_ELEMENTS`` elements.
        EnvironmentProblem: lxml is not installed.
    """
    try:
        from lxml import etree, html
    except ModuleNotFoundError as error:
        raise missing_package("reading tables of HTML", "lxml", "tables") from error
    parser = html.HTMLParser(remove_comments=True, remove_pis=True, encoding="utf-8")
    try:
        document = html.fromstring(fragment.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError):
        return ()
    table = next(document.iter("table"), None)
    if table is None:
        return ()
    if table.xpath("count(.//*)") > MAX_ELEMENTS:
        raise TooLarge
    for line_break in table.iter("br"):
        line_break.tail = f" {line_break.tail or ''}"
    own_rows = (row for row in table.iter("tr") if next(row.iterancestors("table")) is table)
    return tuple(tuple(_cells_of(row)) for row in own_rows)


def _cells_of(row: Any) -> Iterator[MarkupCell]:
    is_head = row.getparent().tag == "thead"
    for cell in row:
        if cell.tag in {"td", "th"}:
            text = " ".join("".join(cell.itertext()).split())
            columns, rows = _span(cell, "colspan"), _span(cell, "rowspan")
            yield MarkupCell(text, columns, rows, is_head or cell.tag == "th")


def _span(cell: Any, name: str) -> int:
    text = str(cell.get(name, "1")).strip()
    # int() takes time for a number of thousands of digits.
    number = int(text) if text.isdecimal() and len(text) < 10 else 1
    return min(max(1, number), MAX_SPAN)


def pipe_rows(lines: Sequence[str]) -> MarkupRows:
    """Return the rows between pipes; the first row and the first column are headings, as in olmOCR-bench."""
    rows: list[tuple[MarkupCell, ...]] = []
    for line in lines:
        if is_delimiter(line):
            continue
        texts = pipe_cells(line)
        if texts:
            cells = (
                MarkupCell(text, is_heading=not rows or column == 0)
                for column, text in enumerate(texts)
            )
            rows.append(tuple(cells))
    return tuple(rows)


def pipe_cells(line: str) -> list[str]:
    """Return the texts between the pipes of a line; a pipe behind a backslash stands inside a cell."""
    texts = [part.replace("\\|", "|").strip() for part in _PIPE.split(line)]
    if texts and not texts[0]:
        texts = texts[1:]
    if texts and not texts[-1]:
        texts = texts[:-1]
    return texts


def is_pipe_table(lines: Sequence[str]) -> bool:
    """Say whether lines with pipes are a table: with a dividing line, or with pipes at both ends of each."""
    stripped = [line.strip() for line in lines]
    return any(map(is_delimiter, lines)) or all(
        len(line) > 1 and line.startswith("|") and line.endswith("|") for line in stripped
    )


def is_delimiter(line: str) -> bool:
    """Say whether a line only divides the head of a table from its body: ``|---|:-:|``."""
    return "-" in line and "|" in line and not line.strip(" \t|:-")


def pipe_runs(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Return where runs of at least two lines with a pipe begin, and the line behind each."""
    return runs_of(["|" in line for line in lines])


def runs_of(marks: Sequence[bool]) -> list[tuple[int, int]]:
    """Return where runs of at least two marks begin, and the place behind each."""
    runs = []
    start = 0
    for place, mark in enumerate([*marks, False]):
        if mark:
            continue
        if place - start >= 2:
            runs.append((start, place))
        start = place + 1
    return runs


def canonical_html(rows: MarkupRows) -> str:
    """Return the table as the HTML that TEDS reads: ``<td>`` only, with spans and plain text."""
    parts = ["<html><body><table>"]
    for row in rows:
        parts.append("<tr>")
        for cell in row:
            columns = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
            spanned = f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
            parts.append(f"<td{columns}{spanned}>{escape(cell.text, quote=False)}</td>")
        parts.append("</tr>")
    parts.append("</table></body></html>")
    return "".join(parts)


Place = tuple[int, int]
"""Row and column of a cell's upper left corner on the grid."""


@dataclass(frozen=True, slots=True)
class CellGrid:
    """The cells of a table on the grid that their spans make, and what lies next to each."""

    cells: Mapping[Place, MarkupCell]
    up: Mapping[Place, set[Place]] = field(default_factory=dict)
    down: Mapping[Place, set[Place]] = field(default_factory=dict)
    left: Mapping[Place, set[Place]] = field(default_factory=dict)
    right: Mapping[Place, set[Place]] = field(default_factory=dict)

    def walk(self, start: Place, towards: Mapping[Place, set[Place]]) -> CellWalk:
        """Go from ``start`` over neighbours on one side, until there are no more."""
        passed, ends, waiting = set[Place](), set[Place](), {start}
        while waiting:
            place = waiting.pop()
            passed.add(place)
            if towards[place]:
                waiting |= towards[place] - passed
            else:
                ends.add(place)
        return CellWalk(passed - {start}, ends - {start})


class CellWalk(NamedTuple):
    """The cells on the way from one of them to the edge of the table."""

    passed: set[Place]
    ends: set[Place]
    """Those of them at the edge."""

    def headings(self, grid: CellGrid) -> set[Place]:
        """Return the headings on the way; where there are none, the cells at its end."""
        return {place for place in self.passed if grid.cells[place].is_heading} or self.ends


def cell_grid(rows: MarkupRows) -> CellGrid:
    """Lay the cells of a table on a grid: each begins at the first place of its row that is free.

    Raises:
        TooLarge: the grid has more than ``MAX_PLACES``.
    """
    taken: dict[Place, Place] = {}
    cells: dict[Place, MarkupCell] = {}
    for number, row in enumerate(rows):
        column = 0
        for cell in row:
            while (number, column) in taken:
                column += 1
            if len(taken) + cell.rows * cell.columns > MAX_PLACES:
                raise TooLarge
            cells[number, column] = cell
            for down in range(cell.rows):
                for across in range(cell.columns):
                    taken.setdefault((number + down, column + across), (number, column))
            column += cell.columns
    return CellGrid(cells, **_neighbours(cells, taken))


def _neighbours(
    cells: Mapping[Place, MarkupCell], taken: Mapping[Place, Place]
) -> dict[str, dict[Place, set[Place]]]:
    """Return, for each side, the cells next to each cell; a gap in the grid is looked across."""
    sides: dict[str, dict[Place, set[Place]]] = {
        side: {place: set() for place in cells} for side in ("up", "down", "left", "right")
    }
    _pair_up(taken, sides["left"], sides["right"])
    turned = {(column, row): cell for (row, column), cell in taken.items()}
    _pair_up(turned, sides["up"], sides["down"])
    return sides


def _pair_up(
    taken: Mapping[Place, Place],
    before: Mapping[Place, set[Place]],
    behind: Mapping[Place, set[Place]],
) -> None:
    """Enter every two cells that follow each other in a line of the grid."""
    places = sorted(taken)
    for first, second in itertools.pairwise(places):
        one, other = taken[first], taken[second]
        if first[0] == second[0] and one != other:
            before[other].add(one)
            behind[one].add(other)

"""Tables, and what stands below them: sums with their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bench.synth.sheet import INK, Box, Color, Font, Sheet, WrittenTable, wrap

_ALIGNMENTS = {"l": "left", "c": "center", "r": "right"}


class TableStyle(NamedTuple):
    """How the rows of a table are set."""

    widths: Sequence[float]
    """Of the columns, points."""
    aligns: str
    """One letter a column: l, c or r."""
    font: Font
    padding: float = 3.0
    line: float = 0.5
    """Width of the rules; 0 draws none."""
    color: Color = INK
    row_height: float = 0.0
    """Least height of a row, points."""
    horizontal_only: bool = False
    stripe: Color | None = None
    """Behind every second row."""


def row_height(style: TableStyle, cells: Sequence[str]) -> float:
    """Return the height that the tallest cell needs, points."""
    most_lines = max(
        len(wrap(cell, style.font, width - 2 * style.padding))
        for cell, width in zip(cells, style.widths, strict=True)
    )
    return max(style.row_height, most_lines * style.font.size * 1.15 + style.padding * 1.2)


def draw_rows(
    sheet: Sheet,
    x: float,
    y: float,
    style: TableStyle,
    rows: Iterable[Sequence[str]],
    fields: Mapping[int, str] | None = None,
    first: int = 1,
) -> float:
    """Draw ``rows`` from (x, y) down; return the y below the last.

    ``fields`` tells which columns hold a value: column 5 → ``total`` makes the cell of the first row the
    field ``item_1_total``. ``first`` is the number of the first row.
    """
    right = x + sum(style.widths)
    top = y
    drawn: list[tuple[str, ...]] = []
    for number, cells in enumerate(rows):
        drawn.append(tuple(cells))
        height = row_height(style, cells)
        if style.stripe is not None and number % 2:
            sheet.rectangle(Box(x, y, right - x, height), color=None, fill=style.stripe)
        left = x
        for column, (cell, width) in enumerate(zip(cells, style.widths, strict=True)):
            box = Box(left, y, width, height)
            if style.line and not style.horizontal_only:
                sheet.rectangle(box, width=style.line, color=style.color)
            if cell:
                align = _ALIGNMENTS[style.aligns[column]]
                field = (
                    f"item_{first + number}_{fields[column]}"
                    if fields and column in fields
                    else None
                )
                sheet.cell(box, cell, style.font, align=align, padding=style.padding, field=field)
            left += width
        y += height
        if style.line and style.horizontal_only:
            sheet.line(x, y, right, y, style.line, style.color)
    sheet.written.append(WrittenTable(Box(x, top, right - x, y - top), tuple(drawn)))
    return y


def draw_sums(
    sheet: Sheet,
    right: float,
    y: float,
    sums: Iterable[tuple[str, str, str | None]],
    font: Font,
    *,
    gap: float,
    step: float,
) -> float:
    """Draw (label, amount, field) lines that end at ``right``; return the y of the line after the last.

    Labels end ``gap`` points left of ``right``; lines are ``step`` points apart.
    """
    for label, amount, field in sums:
        sheet.text(right - gap, y, label, font, align="right")
        sheet.text(right, y, amount, font, align="right", field=field)
        y += step
    return y

"""Cells in words: what every renderer writes for a value, so that none of them differs in a digit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import formatting
from bench.report.section import Column, DataCell, Format, Output, Row, Table

FORMATS: Mapping[Format, Callable[[Any], str]] = {
    "text": str,
    "code": str,
    "score": formatting.score,
    "significant": formatting.significant,
    "count": formatting.count,
    "gib": formatting.gib,
    "seconds": formatting.seconds,
    "percent": formatting.percent,
    "signed": formatting.signed,
    "p_value": formatting.p_value,
}

EMPTY = DataCell("")
"""What a row holds in a column that it does not name."""


def written(cell: DataCell, column: Column) -> str:
    """The value of ``cell`` in words, or the dash that stands for none."""
    if cell.text or cell.value == "":
        return cell.text
    return formatting.DASH if cell.value is None else FORMATS[column.format](cell.value)


def written_interval(cell: DataCell, column: Column) -> str:
    """The interval of ``cell`` in brackets; empty where it has none."""
    if cell.interval is None:
        return ""
    low, high = (FORMATS[column.format](end) for end in cell.interval)
    return f"[{low}, {high}]"


def is_numeric(column: Column) -> bool:
    """Whether the numbers of ``column`` stand to the right."""
    return column.format not in ("text", "code")


def arrow(column: Column) -> str:
    """The direction in which ``column`` gets better."""
    return {"higher": "↑", "lower": "↓", "": ""}[column.better]


def columns_of(table: Table, output: Output) -> list[Column]:
    """The columns that ``output`` draws."""
    return [column for column in table.columns if output in column.outputs]


def cell_of(row: Row, column: Column) -> DataCell:
    """The row's cell in ``column``."""
    return row.cells.get(column.key, EMPTY)


def repeats(table: Table, number: int, column: Column) -> bool:
    """Whether row ``number`` repeats the row above in a merged column, and in the merged ones before it."""
    if not column.merged or number == 0:
        return False
    above, row = table.rows[number - 1], table.rows[number]
    merged = [other for other in table.columns if other.merged]
    before = merged[: merged.index(column) + 1]
    same = all(cell_of(above, other).value == cell_of(row, other).value for other in before)
    return same and above.group == row.group


def run_length(table: Table, number: int, column: Column) -> int:
    """How many rows from ``number`` on share their value in a merged column."""
    length = 1
    while number + length < len(table.rows) and repeats(table, number + length, column):
        length += 1
    return length


@dataclass(frozen=True, slots=True)
class TextGrid:
    """A table as plain text: headings and cells, with the reasons for missing values numbered."""

    columns: list[Column]
    """Of each column of text; the interval's column is that of its value."""
    is_interval: list[bool]
    header: list[str]
    rows: list[list[str]]
    reasons: list[str]
    """The first is marked ¹ in the cells, and so on."""


_DIGITS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def numbered(number: int) -> str:
    """The mark of a footnote."""
    return str(number).translate(_DIGITS)


def grid(table: Table, output: Output, columns: Sequence[Column] | None = None) -> TextGrid:
    """``table`` as text for ``output``.

    Args:
        table: the table.
        output: ``terminal`` writes titles short and leaves out intervals that stand beside their values.
        columns: those to keep; None: all that ``output`` draws.
    """
    kept = columns_of(table, output) if columns is None else list(columns)
    shown: list[tuple[Column, bool]] = []
    for column in kept:
        shown.append((column, False))
        if column.intervals == "column" and _has_intervals(table, column):
            shown.append((column, True))
    reasons: dict[str, int] = {}
    lines = [
        [
            _text(table, number, column, output, reasons, is_interval=is_interval)
            for column, is_interval in shown
        ]
        for number in range(len(table.rows))
    ]
    header = ["95 % interval" if interval else _title(column, output) for column, interval in shown]
    return TextGrid(
        [column for column, _ in shown],
        [interval for _, interval in shown],
        header,
        lines,
        list(reasons),
    )


def _has_intervals(table: Table, column: Column) -> bool:
    return any(cell_of(row, column).interval is not None for row in table.rows)


def _title(column: Column, output: Output) -> str:
    title = column.short if output == "terminal" and column.short else column.title
    return f"{title}{'' if output == 'terminal' or not column.better else ' '}{arrow(column)}"


def _text(
    table: Table,
    number: int,
    column: Column,
    output: Output,
    reasons: dict[str, int],
    *,
    is_interval: bool,
) -> str:
    cell = cell_of(table.rows[number], column)
    if repeats(table, number, column):
        return ""
    if is_interval:
        return written_interval(cell, column) or formatting.DASH
    text = written(cell, column)
    if cell.value is None and not cell.text:
        if not cell.reason:
            return text
        return text + numbered(reasons.setdefault(cell.reason, len(reasons) + 1))
    if column.intervals == "beside" and output != "terminal":
        text = " ".join(filter(None, (text, written_interval(cell, column))))
    return f"{text} ({cell.note})" if cell.note else text

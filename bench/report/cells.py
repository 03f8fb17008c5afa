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
    "share": formatting.share,
    "signed": formatting.signed,
    "p_value": formatting.p_value,
}

EMPTY = DataCell("")
"""The cell of a row that has nothing in a column."""


def written(cell: DataCell, column: Column) -> str:
    """The value of ``cell`` in words, or the dash that stands for none."""
    if cell.text or cell.value == "":
        return cell.text
    return formatting.DASH if cell.value is None else FORMATS[column.format](cell.value)


def written_interval(cell: DataCell, column: Column) -> str:
    """The interval of ``cell`` in brackets; empty if it has none."""
    if cell.interval is None:
        return ""
    if column.format == "signed":
        return formatting.difference_interval(*cell.interval)
    low, high = map(FORMATS[column.format], cell.interval)
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


# Tables as plain text


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A column of text: values, or the intervals that belong to them."""

    column: Column
    is_interval: bool

    @property
    def is_numeric(self) -> bool:
        """Whether its texts stand to the right."""
        return is_numeric(self.column) and not self.is_interval

    def title(self, output: Output) -> str:
        """Its heading; a terminal has no room for long ones."""
        if self.is_interval:
            return "95 % interval"
        narrow = output == "terminal"
        title = self.column.short if narrow and self.column.short else self.column.title
        return f"{title}{'' if narrow or not self.column.better else ' '}{arrow(self.column)}"


@dataclass(frozen=True, slots=True)
class TextGrid:
    """A table as text, with the reasons for missing values as numbered footnotes."""

    columns: list[TextColumn]
    rows: list[list[str]]
    footnotes: list[str]
    """Ready to be printed: each begins with the mark that stands in the cells."""


def text_grid(table: Table, output: Output, columns: Sequence[Column] | None = None) -> TextGrid:
    """``table`` as text for ``output``.

    Args:
        table: the table.
        output: ``terminal`` writes titles short and leaves out intervals that stand beside their values.
        columns: those to keep; None: all that ``output`` draws.
    """
    shown: list[TextColumn] = []
    for column in columns_of(table, output) if columns is None else columns:
        shown.append(TextColumn(column, is_interval=False))
        known = any(cell_of(row, column).interval is not None for row in table.rows)
        if column.intervals == "column" and known:
            shown.append(TextColumn(column, is_interval=True))
    footnotes: dict[str, str] = {}
    rows = []
    for number, row in enumerate(table.rows):
        texts = []
        for part in shown:
            cell = cell_of(row, part.column)
            if repeats(table, number, part.column):
                texts.append("")
            elif part.is_interval:
                texts.append(written_interval(cell, part.column) or formatting.DASH)
            elif cell.value is None and cell.reason and not cell.text:
                mark = footnotes.setdefault(cell.reason, _raised(len(footnotes) + 1))
                texts.append(formatting.DASH + mark)
            else:
                texts.append(_text(cell, part.column, output))
        rows.append(texts)
    notes = [f"{mark} {why}" for why, mark in footnotes.items()]
    return TextGrid(shown, rows, notes)


_DIGITS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _raised(number: int) -> str:
    return str(number).translate(_DIGITS)


def _text(cell: DataCell, column: Column, output: Output) -> str:
    """Value, interval and note of a cell on one line."""
    parts = [written(cell, column)]
    if column.intervals == "beside" and output != "terminal":
        parts.append(written_interval(cell, column))
    if cell.note:
        parts.append(f"({cell.note})")
    return " ".join(filter(None, parts))

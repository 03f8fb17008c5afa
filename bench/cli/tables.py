"""Tables in the terminal: no lines, numbers to the right, and no cell is cut."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench import formatting
from bench.text import printable

Row = Mapping[str, Any]

GAP = 2
"""Blanks between two columns."""
NARROWEST_TEXT = 12
"""Columns that a text cell gets before its words are folded too small to read."""
UNBOUNDED = 10_000
"""Width where nobody looks at the table: a program that reads it wants one line for each row."""
_NUMBER = re.compile(r"[<>]? ?[+\-−]?[\d,]+(\.\d+)?( ?(%|B|KiB|MiB|GiB|bytes?))?")


def table(rows: Sequence[Row]) -> str:
    """Rows of equal keys as aligned text under a header of the keys.

    A cell that is wider than the terminal allows is folded over several lines. Where standard output is no
    terminal, every row is one line, unless the variable ``COLUMNS`` says how wide a line may be.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = list(rows[0])
    cells = [[printable(_plain(row[name])) for name in names] for row in rows]
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    columns = list(zip(*cells, strict=True))
    for name, column in zip(names, columns, strict=True):
        numeric = _is_numeric(column)
        drawn.add_column(
            Text(printable(name)),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
        )
    for line in cells:
        drawn.add_row(*map(Text, line))
    stream = io.StringIO()
    terminal = sys.stdout.isatty()
    console = Console(
        file=stream,
        width=max(_line_width(), _least_width(names, columns)),
        force_terminal=terminal,
        no_color="NO_COLOR" in os.environ,
        highlight=False,
        legacy_windows=False,
    )
    console.print(drawn)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _plain(value: Any) -> str:
    if value is None:
        return formatting.DASH
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)


def _is_numeric(column: Sequence[str]) -> bool:
    """Whether a column holds numbers, beside dashes for what is not known."""
    values = [cell for cell in column if cell != formatting.DASH]
    return bool(values) and all(_NUMBER.fullmatch(cell.strip()) for cell in values)


def _line_width() -> int:
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return UNBOUNDED


def _least_width(names: Sequence[str], columns: Sequence[Sequence[str]]) -> int:
    """The width below which numbers would be broken; a terminal that is narrower wraps the lines itself."""
    from rich.cells import cell_len

    widths = []
    for name, column in zip(names, columns, strict=True):
        longest = max(cell_len(text) for text in (name, *column))
        widths.append(longest if _is_numeric(column) else min(longest, NARROWEST_TEXT))
    return sum(widths) + GAP * len(widths)

"""Tables in the terminal: no lines, numbers to the right, and no cell is cut."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench import formatting
from bench.text import printable

if TYPE_CHECKING:
    from rich.text import Text

Row = Mapping[str, Any]

GAP = 2
"""Blanks between two columns."""
NARROWEST_TEXT = 10
"""Columns that a text cell gets before its words are folded too small to read."""
SHORT_TEXT = 28
"""Columns up to which a cell shares its line with others where a row is a paragraph."""
READABLE_TEXT = 12
"""Columns that each text cell needs on average to be read beside others."""
UNBOUNDED = 10_000
"""The width if standard output is no terminal: a program wants one line for each row."""
_NUMBER = re.compile(r"[<>]? ?[+\-−]?[\d,]+(\.\d+)?( ?(%|B|KiB|MiB|GiB|bytes?))?")


def table(rows: Sequence[Row], titles: Mapping[str, str] | None = None) -> str:
    """Rows of equal keys as aligned text, under a header of the keys or of their ``titles``.

    A cell that is wider than the terminal allows is folded over several lines, and where that would leave
    columns too narrow to be read, every row becomes a paragraph. Where standard output is no terminal, every
    row is one line, unless the variable ``COLUMNS`` says how wide a line may be.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    columns = [[cell.plain for cell in column] for column in zip(*cells, strict=True)]
    headings = [printable((titles or {}).get(name, name)) for name in names]
    numeric = [_is_numeric(column) for column in columns]
    # Names, in the first column, stay whole where there is room, so that they can be copied.
    whole = [True, *numeric[1:]]
    width = line_width() or UNBOUNDED
    if _room_for_text(headings, columns, whole, width) < READABLE_TEXT:
        return "\n".join(_paragraph(headings, line, width) for line in cells)
    if _least_width(headings, columns, whole) > width:
        whole = numeric
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for heading, is_number, no_wrap in zip(headings, numeric, whole, strict=True):
        drawn.add_column(
            Text(heading),
            justify="right" if is_number else "left",
            no_wrap=no_wrap,
            overflow="fold",
        )
    for line in cells:
        drawn.add_row(*line)
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=max(width, _least_width(headings, columns, whole)),
        # Without colours there is no bold either: a heading says by its place what it is.
        force_terminal=has_color(),
        no_color=not has_color(),
        highlight=False,
        legacy_windows=False,
    )
    console.print(drawn)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _cell(value: Any) -> Text:
    """What a cell shows; a ``Text`` is one that the caller has made printable and may have coloured."""
    from rich.text import Text

    if isinstance(value, Text):
        return value
    if value is None:
        return Text(formatting.DASH)
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    return Text(printable(str(value)))


def _is_numeric(column: Sequence[str]) -> bool:
    """Whether a column holds numbers, beside dashes for what is not known."""
    values = [cell for cell in column if cell != formatting.DASH]
    return bool(values) and all(_NUMBER.fullmatch(cell.strip()) for cell in values)


def wrapped(text: str, width: int | None) -> str:
    """``text`` in lines of at most ``width`` columns, all with its indent; one line if ``width`` is None."""
    if width is None:
        return text
    indent = " " * (len(text) - len(text.lstrip()))
    lines = textwrap.wrap(text, max(NARROWEST_TEXT, width), subsequent_indent=indent)
    return "\n".join(lines)


def has_color() -> bool:
    """Whether standard output is a terminal whose user has not asked for text without colours (NO_COLOR)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def line_width() -> int | None:
    """Columns of a line; None where standard output is no terminal and ``COLUMNS`` does not say it."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def _room_for_text(
    headings: Sequence[str], columns: Sequence[Sequence[str]], whole: Sequence[bool], width: int
) -> float:
    """Columns that are left on average for each cell that has to be folded; ``width`` if none has to be."""
    widest = [
        max(map(_width, (head, *column))) for head, column in zip(headings, columns, strict=True)
    ]
    is_folded = [
        wide > READABLE_TEXT and not stays for wide, stays in zip(widest, whole, strict=True)
    ]
    taken = sum(wide for wide, folds in zip(widest, is_folded, strict=True) if not folds)
    room = width - taken - GAP * (len(widest) - 1)
    return room / sum(is_folded) if any(is_folded) else width


def _paragraph(headings: Sequence[str], line: Sequence[Text], width: int) -> str:
    """One row as its name, below it the short cells in one line, and each long cell in a line of its own."""
    name, *others = line
    said = [
        f"{heading}: {cell.plain}"
        for heading, cell in zip(headings[1:], others, strict=True)
        if cell.plain != formatting.DASH
    ]
    short = " · ".join(text for text in said if len(text) <= SHORT_TEXT)
    long = [text for text in said if len(text) > SHORT_TEXT]
    lines = [name.plain, *(f"  {text}" for text in (short, *long) if text)]
    return "\n".join(wrapped(text, width) for text in lines)


def _least_width(
    headings: Sequence[str], columns: Sequence[Sequence[str]], whole: Sequence[bool]
) -> int:
    """The width below which whole cells would be broken; a narrower terminal wraps the lines itself."""
    widths = []
    for heading, column, stays_whole in zip(headings, columns, whole, strict=True):
        longest = max(map(_width, (heading, *column)))
        widths.append(longest if stays_whole else min(longest, NARROWEST_TEXT))
    return sum(widths) + GAP * len(widths)


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    from rich.cells import cell_len

    return cell_len(text)

"""The sections in a terminal: tables first, then what they mean, and last what to type next.

Plain text unless ``color`` is asked for; the caller decides that (a terminal, no ``NO_COLOR``).
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from bench import formatting
from bench.report.cells import TextColumn, columns_of, is_numeric, text_grid
from bench.report.section import Block, Code, Column, Excerpts, Section, Table, Terms, Text, flat
from bench.text import one_line

PLAIN_WIDTH = 100
"""The width in columns if there is no terminal to ask."""

NARROWEST = 40
"""The smallest width in columns that is used."""

SHORT_NAME = 14
"""Columns that the name of a row, or of a model over numbers, may need without being folded or cut."""

READABLE = 28
"""Columns in which a sentence can still be read when it is folded into several lines."""

MAX_CELL = 120
"""Characters of a cell, or of a name that may be a path."""

GAP = 2
"""Columns between two columns of a table."""

_STYLES = {"best": "bold green", "unfinished": "dim", "failed": "dim", "sum": "bold", "": ""}


def terminal_summary(
    sections: Sequence[Section], width: int | None = None, *, color: bool = False
) -> str:
    """What of the report belongs into a terminal, at most ``width`` columns wide."""
    width = max(NARROWEST, width or PLAIN_WIDTH)
    console = _console(width, color=color)
    blocks = [
        (section, block)
        for section in sections
        if "terminal" in section.outputs
        for block in flat(section.blocks, "terminal")
    ]
    for _, block in blocks:
        if isinstance(block, Table) and block.rows:
            _print_table(console, block, width)
            console.print()
    words = _words(blocks)
    if words.row_count:
        console.print(words)
    label = ""
    for _, block in blocks:
        if isinstance(block, Code):
            # Never wrapped: a command that is broken over two lines cannot be copied.
            name = "" if block.label == label else one_line(block.label, SHORT_NAME)
            console.print(RichText(f"{name:<8} {one_line(block.text, 2000)}"), soft_wrap=True)
            label = block.label
    return _printed(console) + "\n"


def terminal_table(table: Table, width: int | None = None, *, color: bool = False) -> str:
    """One table, at most ``width`` columns wide: a narrow one leaves out its least columns."""
    width = max(NARROWEST, width or PLAIN_WIDTH)
    console = _console(width, color=color)
    _print_table(console, table, width)
    return _printed(console)


def _console(width: int, *, color: bool) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def _printed(console: Console) -> str:
    stream = console.file
    assert isinstance(stream, io.StringIO)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    return "\n".join(lines).strip("\n")


def _words(blocks: Sequence[tuple[Section, Block]]) -> RichTable:
    """Everything that is no table and no command: a label, and the text beside it."""
    words = RichTable.grid(padding=(0, GAP, 0, 0))
    last = ""
    for section, block in blocks:
        label = block.label if isinstance(block, Text) else ""
        label = label or section.short or section.title
        style = "yellow" if isinstance(block, Text) and block.kind == "warning" else ""
        if isinstance(block, Text) and block.kind == "headline":
            style = "bold"
        for line in _lines(block):
            shown = "" if label == last else one_line(label, SHORT_NAME)
            words.add_row(RichText(shown, style=style), RichText(line))
            last = label
    return words


def _line(text: str, limit: int) -> str:
    """Text for one line; a per cent sign stays with its number where the line is broken."""
    return one_line(text, limit).replace(" %", "%")


def _prose(text: str, limit: int) -> str:
    """Sentences for one line, of which the last words are left out where they are too long."""
    line = _line(text, limit)
    if not line.endswith("…") or line == _line(text, limit + 1):
        return line
    start = line.rpartition(" ")[0]
    return f"{start} …" if start else line


def _lines(block: Block) -> list[str]:
    match block:
        case Text(kind="warning" | "error" | "note"):
            return [_prose(sentence, 400) for sentence in block.sentences]
        case Text():
            text = " ".join(block.sentences)
            return [_prose(text, 600)] if text else []
        case Terms():
            return [
                _prose(f"{term.name}: {', '.join(filter(None, (term.model, term.text)))}", 400)
                for term in block.items
            ]
        case Excerpts():
            return [one_line(f"{item.task}/{item.sample}: {item.question}") for item in block.items]
        case _:
            return []


def _print_table(console: Console, table: Table, width: int) -> None:
    kept = _fitting(table, width)
    text = text_grid(table, "terminal", kept)
    # A table without lines: they say nothing in a terminal and break in a log.
    drawn = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for part in text.columns:
        drawn.add_column(
            RichText(_title(part)),
            justify="right" if part.is_numeric else "left",
            no_wrap=is_numeric(part.column),
            # A model's name may be a path: folded, it stays whole.
            overflow="fold",
        )
    # In a column of numbers, which is never folded, a long title would take the room of the names.
    names = next((i for i, part in enumerate(text.columns) if not is_numeric(part.column)), 0)
    group = ""
    for row, cells in zip(table.rows, text.rows, strict=True):
        if row.group and row.group != group:
            group = row.group
            drawn.add_row(*[""] * names, RichText(one_line(group, MAX_CELL), style="bold"))
        style = _STYLES[row.state]
        drawn.add_row(*(RichText(_line(cell, MAX_CELL), style=style) for cell in cells))
    console.print(drawn)
    for footnote in text.footnotes:
        console.print(RichText(one_line(footnote, 300), style="dim"))
    shown = {column.key for column in kept}
    hidden = [column for column in columns_of(table, "terminal") if column.key not in shown]
    models = sum(bool(column.model) for column in hidden)
    if models:
        more = formatting.plural(models, "more model")
        console.print(RichText(f"{more} in the report", style="dim"))


def _title(part: TextColumn) -> str:
    """A heading that is not much wider than its numbers: a model's long name is folded, never cut."""
    line = _line(part.title("terminal"), MAX_CELL)
    return _folded(line, SHORT_NAME) if part.column.model else line


def _folded(name: str, width: int) -> str:
    """``name`` in lines of at most ``width`` columns, broken behind its marks where it has some."""
    lines = [""]
    for piece in re.findall(r"[^-_./@ ]*[-_./@ ]?", name):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(part for line in lines for part in textwrap.wrap(line, width))


def _fitting(table: Table, width: int) -> list[Column]:
    """The columns that fit into ``width``; those of the highest priority number are left out first."""
    kept = columns_of(table, "terminal")
    while _needed(table, kept) > width:
        columns = {column.key: column.priority for column in kept}
        intervals = {
            column.key: column.interval_priority for column in kept if column.intervals == "column"
        }
        least = max([*columns.values(), *intervals.values()])
        if least == 0:
            break
        kept = [
            replace(column, intervals="hover") if intervals.get(column.key) == least else column
            for column in kept
            if columns[column.key] != least
        ]
    return kept


def _needed(table: Table, columns: Sequence[Column]) -> int:
    """Terminal columns that the table needs: numbers in one line each, words folded where they are long."""
    text = text_grid(table, "terminal", columns)
    total = 0
    for number, part in enumerate(text.columns):
        widest = max(cell_len(row[number]) for row in text.rows)
        if not is_numeric(part.column):
            widest = min(widest, SHORT_NAME if part.column.header else READABLE)
        if part.column.header and any(row.group for row in table.rows):
            # The titles of groups stand among the names.
            widest = SHORT_NAME
        heading = max(map(cell_len, _title(part).splitlines()), default=0)
        total += max(heading, widest) + GAP
    return total - GAP

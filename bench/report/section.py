"""The nouns of a report: a section is text, tables and plots, and every renderer draws just these.

A section says what there is to see; the renderers (terminal, Markdown, HTML, CSV, JSON) say how it looks and
know nothing of what it is about. Numbers are raw here: bytes, seconds, shares from 0 to 1, not rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.drawing.plots import PlotData

Output = Literal["terminal", "markdown", "html", "csv", "json"]

EVERYWHERE: frozenset[Output] = frozenset(("terminal", "markdown", "html", "csv", "json"))
DOCUMENTS: frozenset[Output] = frozenset(("markdown", "html", "csv", "json"))
"""Every output but the terminal, in which a run prints only what a person reads at once."""
DATA: frozenset[Output] = frozenset(("csv", "json"))
PAGE: frozenset[Output] = frozenset(("html",))
TERMINAL: frozenset[Output] = frozenset(("terminal",))

Format = Literal[
    "text",
    "code",
    "score",
    "significant",
    "count",
    "gib",
    "seconds",
    "percent",
    "share",
    "signed",
    "p_value",
]
"""How a value is written for people: a function of ``bench.formatting``; ``text`` and ``code`` as it is."""

Mark = Literal["", "best", "muted", "bad", "strong", "diagonal"]
"""What is special about a cell: the best of its row; less important; an error; a finding; or where row and
column are the same."""

State = Literal["", "best", "unfinished", "failed", "sum"]
"""What is special about a whole row."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    key: str
    """Names the column for cells, CSV and JSON."""
    title: str
    format: Format = "text"
    better: Literal["", "higher", "lower"] = ""
    """Draws an arrow beside the title."""
    note: str = ""
    """What the column is; a tooltip in HTML."""
    header: bool = False
    """Whether its cells name their rows."""
    model: str = ""
    """Key of the model that the column is about, for its mark in the heading."""
    priority: int = 0
    """0: a narrow terminal keeps the column; the higher the number, the sooner it is left out."""
    intervals: Literal["beside", "column", "hover"] = "beside"
    """Where a cell's interval is written: with the value; in a column of its own where there is only text
    (HTML writes it with the value); or, in HTML alone, where the pointer rests."""
    interval_priority: int = 0
    """As ``priority``, for the interval's own column."""
    picture: Literal["", "whisker", "difference", "share"] = ""
    """What HTML draws in the cells: value and interval on a common scale, the same around zero, or a bar."""
    merged: bool = False
    """Whether a value that repeats the one above is written once."""
    divided: bool = False
    """Whether a line sets the column apart from those before it."""
    short: str = ""
    """A shorter title if there is little room; empty means the title."""
    outputs: frozenset[Output] = EVERYWHERE


@dataclass(frozen=True, slots=True)
class DataCell:
    """One cell of a table."""

    value: Any = None
    """The raw number or text; None if there is none, which ``reason`` explains."""
    interval: tuple[float, float] | None = None
    text: str = ""
    """Written in the place of the formatted value."""
    note: str = ""
    """Written small after the value."""
    details: tuple[str, ...] = ()
    """Lines under the value, where a cell can have lines (HTML)."""
    hover: str = ""
    """More, where the pointer rests (HTML)."""
    mark: Mark = ""
    few: bool = False
    """Whether it counts so few samples that it is an anecdote."""
    heat: int | None = None
    """0 to 10: how strong the cell's colour is."""
    share: float | None = None
    """0 to 1, for the column's picture."""
    reason: str = ""
    """Why there is no value. The cell is then drawn as "–" with this reason."""
    budget: float | None = None
    """What a budget compares in the place of the value; None: the value."""
    filter: Mapping[str, Any] = field(default_factory=dict)
    """The samples that the cell counts, as a filter of the sample browser."""
    linked: Literal["value", "note"] = "value"
    """What leads to these samples."""
    model: str = ""
    """Key of the model that the cell names, for its mark."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    cells: Mapping[str, DataCell]
    """By key of the column; a column that is not here stays empty."""
    group: str = ""
    """Rows of one group stand together under this heading."""
    model: str = ""
    """Key of the model that the row is about."""
    state: State = ""
    note: str = ""
    """A sentence under the whole row."""
    better: tuple[str, ...] = ()
    """Of a ranked table: the keys of the models that are better beyond the noise."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and columns."""

    id: str
    """Unique in its section."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    quiet_caption: bool = False
    """Whether the caption only repeats the heading, so that it is for screen readers alone."""
    sortable: bool = False
    """Whether a page may sort it; the rows come sorted by the first column."""
    outputs: frozenset[Output] = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Text:
    """Sentences."""

    sentences: tuple[str, ...]
    kind: Literal["plain", "note", "headline", "next", "warning", "error", "empty"] = "plain"
    """``headline``: what a person remembers. ``next``: what to do then. ``warning``: what
    limits the numbers, each sentence a line. ``error``: what failed. ``empty``: that there is nothing to
    show."""
    label: str = ""
    """One word before the text in the terminal."""
    link: str = ""
    """Words of a link to the samples of ``filter``, where there is a sample browser."""
    filter: Mapping[str, Any] = field(default_factory=dict)
    grave: int = 0
    """How many of the first sentences matter more than the rest."""
    evidence: tuple[str, ...] = ()
    """Of a headline: the id of the section that proves each sentence, or an empty text."""
    causes: tuple[str, ...] = ()
    """Of a warning: the words under which each sentence stands; those of one cause follow one another."""
    outputs: frozenset[Output] = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Term:
    """A name with what it says."""

    name: str
    text: str
    note: str = ""
    model: str = ""
    """Key of a model that stands before the text."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Names with what they say: key figures, facts in a row, or definitions."""

    items: tuple[Term, ...]
    kind: Literal["figures", "facts", "definitions"] = "definitions"
    outputs: frozenset[Output] = DOCUMENTS


@dataclass(frozen=True, slots=True)
class Code:
    """Text that a person copies or a program reads: never wrapped, never changed."""

    text: str
    kind: Literal["command", "block"] = "block"
    label: str = ""
    """One word before the text in the terminal; a quiet heading elsewhere."""
    outputs: frozenset[Output] = DOCUMENTS


@dataclass(frozen=True, slots=True)
class Plot:
    """Data that HTML draws as a picture. The same numbers stand in a table, for those who cannot see it."""

    id: str
    data: PlotData
    caption: str = ""
    outputs: frozenset[Output] = PAGE


@dataclass(frozen=True, slots=True)
class Quote:
    """What one model said to a question."""

    model: str
    glyph: str
    level: str
    """Names the glyph's colour: a key of ``bench.scoring.levels.LEVELS``."""
    words: str
    """What the glyph means."""
    text: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One question with its references and what the models said."""

    task: str
    sample: str
    question: str
    language: str
    references: tuple[str, ...]
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class Excerpts:
    """Questions worth looking at."""

    items: tuple[Excerpt, ...]
    outputs: frozenset[Output] = DOCUMENTS


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit that a person may set."""

    column: str
    """Key of the column that it limits."""
    label: str
    unit: str = ""
    scale: float = 1.0
    """What the unit is in raw numbers."""
    limit: Literal["most", "least"] = "most"
    """Whether values must not be above it, or not below it."""
    given: str = ""
    """What stands in the field until a person changes it."""


@dataclass(frozen=True, slots=True)
class BudgetForm:
    """A form that greys out the rows of a table that miss a budget, and ranks the rest anew."""

    table: str
    """Id of the table, in the same section."""
    budgets: tuple[Budget, ...]
    outputs: frozenset[Output] = PAGE


@dataclass(frozen=True, slots=True)
class Browser:
    """The interactive list of all samples, with filters and one question at a time."""

    outputs: frozenset[Output] = PAGE


@dataclass(frozen=True, slots=True)
class Group:
    """Blocks that belong together."""

    blocks: tuple[Block, ...]
    title: str = ""
    layout: Literal["stack", "folded", "side", "tabs"] = "stack"
    """``folded``: hidden until it is opened. ``side``: beside one another where there is room. ``tabs``: each
    block is a titled group, and one of them is seen at a time."""
    outputs: frozenset[Output] = EVERYWHERE
    id: str = ""
    """By which an address leads to it; unique in the report."""


Block = Text | Table | Terms | Code | Plot | Excerpts | BudgetForm | Browser | Group


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a report."""

    id: str
    """Unique in the report; a word that can stand in an address."""
    title: str
    blocks: tuple[Block, ...]
    short: str = ""
    """A shorter name if there is little room; empty means the title."""
    outputs: frozenset[Output] = EVERYWHERE
    first_view: bool = False
    """Whether a page shows it in the first view, without a heading of its own."""


def seen(blocks: Sequence[Block], output: Output) -> list[Block]:
    """The blocks that ``output`` draws."""
    return [block for block in blocks if output in block.outputs]


def flat(blocks: Sequence[Block], output: Output) -> Iterator[Block]:
    """The blocks that ``output`` draws, those inside groups in the place of their groups."""
    for block in seen(blocks, output):
        if isinstance(block, Group):
            yield from flat(block.blocks, output)
        else:
            yield block


def tables(section: Section, output: Output) -> list[Table]:
    """All tables of ``section`` that ``output`` draws."""
    return [block for block in flat(section.blocks, output) if isinstance(block, Table)]


def model_columns(keys: Sequence[str], format: Format = "text", **more: Any) -> tuple[Column, ...]:
    """A column for each model; a narrow terminal leaves out the last ones first."""
    return tuple(
        Column(f"model:{key}", key, format=format, model=key, priority=number, **more)
        for number, key in enumerate(keys)
    )


def model_cells(cells: Mapping[str, DataCell]) -> dict[str, DataCell]:
    """The cells of ``model_columns``: key of the model → cell."""
    return {f"model:{key}": cell for key, cell in cells.items()}


def model_cell(key: str, **more: Any) -> DataCell:
    """A cell that names a model."""
    return DataCell(key, model=key, **more)


def score_cell(estimate: Any, reason: str = "", **more: Any) -> DataCell:
    """A cell with an estimate's value and interval, or with the reason for having none."""
    if estimate is None or estimate.value is None:
        return DataCell(reason=reason, **more)
    known = estimate.low is not None and estimate.high is not None
    return DataCell(estimate.value, (estimate.low, estimate.high) if known else None, **more)


def empty_section(id: str, title: str, short: str, words: str) -> Section:
    """A section of HTML alone that says in ``words`` that there is nothing to show."""
    return Section(id, title, (Text((words,), "empty"),), short, PAGE)

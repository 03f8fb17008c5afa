"""``report.html``: one file that opens from ``file://`` with no network, now and in ten years.

Jinja2 escapes everything; the style sheet and the script are inlined and allowed by their hashes alone, so
that nothing in a model's answer can run, load or send anything. Tables and charts need no JavaScript.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from bench import formatting
from bench.drawing import plots, svg
from bench.report import cells
from bench.report.embed import NOTHING, embed, json_text
from bench.report.options import MAX_TEXT, ReportOptions
from bench.report.section import (
    Block,
    Browser,
    Column,
    DataCell,
    Excerpt,
    Group,
    Plot,
    Row,
    Section,
    Table,
    Text,
    flat,
)
from bench.report.views import ReportView
from bench.scoring.levels import LEVELS

TEMPLATES = Path(__file__).parent / "templates"

MANY_ROWS = 9
"""Rows from which a leaderboard is drawn closer, so that it ends above the fold."""

SHORT_NAME = 26
"""Characters up to which a model's name is not broken over two lines."""


def html(view: ReportView, sections: Sequence[Section], options: ReportOptions, path: Path) -> str:
    """Draw the whole page.

    Args:
        view: the report's data, for the sample browser.
        sections: what is drawn.
        options: which page images, and the size limit.
        path: where the page will lie; beside the run's files it can link to them.
    """
    shown = [section for section in sections if "html" in section.outputs]
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    script = _script()
    has_browser = any(
        isinstance(block, Browser) for section in shown for block in flat(section.blocks, "html")
    )
    beside = len(view.runs) == 1 and path.parent.resolve() == Path(view.runs[0].path).resolve()
    context = {
        "view": view,
        "sections": shown,
        "has_browser": has_browser,
        "ids": _ids(shown),
        "index": {formatting.safe(row.key): i for i, row in enumerate(view.rows)}
        | {row.key: i for i, row in enumerate(view.rows)},
        "pages_beside": json_text(beside),
        "style": Markup(style),
        "script": Markup(script),
        "csp": _policy(style, script),
    }
    template = _environment().get_template("report.html.j2")
    bare = template.render(context | {"embedded": NOTHING})
    if not has_browser:
        return bare
    embedded = embed(view, options, len(bare.encode("utf-8", "replace")))
    return template.render(context | {"embedded": embedded})


SCRIPTS = ("base", "board", "data", "filters", "difference", "page", "detail", "start")
"""The parts of the page's script, in order; they share one scope."""


def _script() -> str:
    parts = [(TEMPLATES / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return f'(function () {{\n"use strict";\n{"".join(parts)}}})();'


def _ids(sections: Sequence[Section]) -> set[str]:
    """What an address inside the page may lead to."""
    groups = [block for section in sections for block in _groups(section.blocks)]
    return {section.id for section in sections} | {group.id for group in groups if group.id}


def _groups(blocks: Sequence[Block]) -> list[Group]:
    inside = [block for block in blocks if isinstance(block, Group) and "html" in block.outputs]
    return inside + [group for block in inside for group in _groups(block.blocks)]


def causes(text: Text) -> list[str]:
    """What the warnings are about, each once."""
    return list(dict.fromkeys(text.causes))


def places(keys: Sequence[str], index: Mapping[str, int]) -> str:
    """The rows of the leaderboard on which ``keys`` stand."""
    return " ".join(str(index[key]) for key in keys)


def starts_with_plot(block: Block) -> bool:
    """Whether a plot comes first, which needs more room than words."""
    return isinstance(block, Plot) or (
        isinstance(block, Group) and bool(block.blocks) and starts_with_plot(block.blocks[0])
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Untrusted text becomes visible where it would steer: every value passes here.
        finalize=_finalize,
    )
    for name in ("count", "percent", "plural", "moment"):
        environment.filters[name] = getattr(formatting, name)
    for filter_ in (attr_json, deep_link, names, tooltip, unbroken):
        environment.filters[filter_.__name__] = filter_
    functions: tuple[Callable[..., Any], ...] = (
        *(bodies, causes, cell_class, classes, column_class, draw, picture, picture_before),
        *(places, stacked),
        starts_with_plot,
    )
    for function in functions:
        environment.globals[function.__name__] = function
    environment.globals |= {
        "cells": cells,
        "dash": formatting.DASH,
        "kind_of": lambda block: type(block).__name__,
        "levels": LEVELS,
        "max_text": MAX_TEXT,
        "plots": plots,
        "svg": svg,
    }
    return environment


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return "" if value is None else value
    return formatting.safe(value, newlines=True)


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy: this script, this style, images from data; nothing else at all."""

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    return (
        f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


# Text

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:%|s|GB|GiB|MiB)(?!\w))")


def unbroken(text: str) -> str:
    """A sentence in which every number stays on one line with its unit."""
    return _BEFORE_UNIT.sub("\u00a0", text)


def names(text: str, keys: Iterable[str]) -> Markup:
    """A sentence with the models' names set apart; short ones are not broken over two lines."""
    known = sorted(keys, key=len, reverse=True)
    if not known:
        return Markup.escape(formatting.safe(text))
    # A model may be called "a": only whole words are names.
    parts = re.split(rf"(?<!\w)({'|'.join(map(re.escape, known))})(?!\w)", text)
    marked = []
    for number, part in enumerate(parts):
        words = formatting.safe(unbroken(part))
        # A split by a pattern in brackets has what matched at the odd places.
        if number % 2 == 0:
            marked.append(Markup.escape(words))
        else:
            kind = "name" if len(part) <= SHORT_NAME else ""
            marked.append(Markup('<b class="{}">{}</b>').format(kind, words))
    return Markup("").join(marked)


def attr_json(value: Any) -> str:
    """JSON for an attribute, with texts as the embedded samples have them."""
    return json.dumps(_safe_all(value))


def _safe_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _safe_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_safe_all(item) for item in value]
    return formatting.safe(value) if isinstance(value, str) else value


def deep_link(item: Excerpt) -> str:
    """The address of a question, as the script's ``encodeURIComponent`` writes it."""
    task, sample = (quote(formatting.safe(name), safe="") for name in (item.task, item.sample))
    return f"#s={task}/{sample}"


# Tables


@dataclass(frozen=True, slots=True)
class TableBody:
    """Rows that belong together."""

    group: str
    """Their heading; empty: none."""
    numbers: tuple[int, ...]


def bodies(table: Table) -> list[TableBody]:
    """The rows by group; rows that share a merged heading are a group, too."""
    merged = [column for column in table.columns if column.merged and column.header]
    groups: list[TableBody] = []
    for number, row in enumerate(table.rows):
        new_group = number == 0 or row.group != table.rows[number - 1].group
        # By the first merged heading alone: one that spans rows cannot reach into another body.
        new_heading = bool(merged) and not cells.repeats(table, number, merged[0])
        if new_group or new_heading:
            groups.append(TableBody(row.group if new_group else "", (number,)))
        else:
            last = groups.pop()
            groups.append(TableBody(last.group, (*last.numbers, number)))
    return groups


def classes(table: Table) -> str:
    """How a table looks follows from what it holds."""
    columns = cells.columns_of(table, "html")
    items = [cells.cell_of(row, column) for row in table.rows for column in columns]
    pictures = {column.picture for column in columns}
    kinds = ["board"] if table.sortable else []
    if table.sortable and len(table.rows) >= MANY_ROWS:
        kinds.append("dense")
    if any(item.heat is not None or item.mark == "diagonal" for item in items):
        kinds.append("heat")
    elif any(column.model and column.format == "count" for column in columns):
        kinds.append("counts")
    elif any(column.model for column in columns):
        kinds.append("by-model")
    if "difference" in pictures:
        kinds.append("pairs")
    if any(column.merged for column in columns):
        kinds.append("merged")
    if any(row.note for row in table.rows):
        kinds.append("noted")
    return " ".join(kinds)


def column_class(column: Column, head: bool) -> str:
    """Classes of a heading, or of the cells under it."""
    if column.model:
        return "model-col" if head else "cell"
    kinds = []
    if column.picture == "whisker":
        kinds.append("score")
    elif column.picture == "difference":
        kinds.append("gap-cell")
    elif cells.is_numeric(column):
        kinds.append("num")
    if column.divided:
        kinds.append("divided")
    if not head and column.format == "code":
        kinds.append("mono")
    return " ".join(kinds)


def cell_class(cell: DataCell) -> str:
    """Classes of one cell, each after a blank."""
    kinds = []
    if cell.model:
        kinds.append("model")
    if cell.heat is not None:
        kinds.append(f"h{cell.heat}")
    if cell.few:
        kinds.append("small")
    if cell.mark in ("best", "diagonal"):
        kinds.append({"best": "top", "diagonal": "diagonal"}[cell.mark])
    elif cell.mark in ("muted", "strong"):
        kinds.append({"muted": "soft", "strong": "finding"}[cell.mark])
    return "".join(f" {name}" for name in kinds)


def tooltip(cell: DataCell, column: Column) -> str:
    """What a pointer over the cell tells."""
    if cell.value is None:
        return ""
    interval = cells.written_interval(cell, column) if column.intervals == "hover" else ""
    return ", ".join(filter(None, (interval, cell.hover)))


def picture_before(table: Table, cell: DataCell, column: Column) -> Markup:
    """The drawing that stands between a difference and its interval."""
    if column.picture != "difference" or cell.value is None:
        return Markup("")
    low, high = cell.interval or (None, None)
    reach = max(abs(end) for end in _ends(table, column)) * 1.05
    return svg.difference(low, cell.value, high, reach, apart=cell.mark == "strong")


def picture(
    table: Table, row: Row, cell: DataCell, column: Column, index: Mapping[str, int]
) -> Markup:
    """The drawing under a cell's value, in the colour of its model."""
    colour = index.get(column.model or row.model, 0)
    if column.picture == "share" and cell.share:
        return svg.part(cell.share, colour)
    if column.picture == "whisker" and cell.value is not None:
        low, high = cell.interval or (None, None)
        return svg.whisker(low, cell.value, high, colour, _scale(table, column))
    return Markup("")


def draw(data: plots.PlotData, width: int) -> Markup:
    """A plot whose texts steer nothing."""
    return Markup(formatting.safe(str(plots.draw(data, width))))


def stacked(shares: Sequence[plots.Share]) -> Markup:
    """A bar of shares whose texts steer nothing."""
    return Markup(formatting.safe(str(plots.stacked(shares))))


def _ends(table: Table, column: Column) -> list[float]:
    """All values of a column, and the ends of their intervals."""
    ends: list[float] = []
    for row in table.rows:
        cell = cells.cell_of(row, column)
        if cell.value is not None:
            ends += [cell.value, *(cell.interval or ())]
    return ends


def _scale(table: Table, column: Column) -> tuple[float, float]:
    """The common scale of a column's whiskers: tenths around all intervals."""
    ends = _ends(table, column)
    low, high = math.floor(min(ends) * 10) / 10, math.ceil(max(ends) * 10 - 1e-9) / 10
    return low, max(high, low + 0.1)

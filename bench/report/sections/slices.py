"""Where each model is strong: scores by task, language, document type and field, on a scale of colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench import formatting
from bench.report.section import (
    DOCUMENTS,
    PAGE,
    Block,
    Column,
    DataCell,
    Group,
    Row,
    Section,
    Table,
    Text,
    empty_section,
    model_cells,
    model_columns,
)
from bench.report.views import ModelRow, ReportView
from bench.schema import Estimate

SMALL_N = 10
"""Slices of fewer questions are hatched: one answer moves such a score by a tenth or more."""

MAX_FIELDS = 20
"""Fields that are seen at once, the most asked ones; that many rows fit on a screen."""

MAX_SIDE = 4
"""Models up to which two tables have room beside each other."""

_NAMES = {"language": "Language", "doc_type": "Document type", "field": "Field"}


def section(view: ReportView) -> Section:
    """The slices, or that nothing has been scored."""
    main = [*_by_task(view), *_by_key(view, "language"), *_by_key(view, "doc_type")]
    fields = _by_key(view, "field")
    title = "Where each model is strong"
    if not main or not any(row.asked for row in view.rows):
        return empty_section("slices", title, "Slices", "Nothing has been scored.")
    note = (
        "Each cell shows the headline score of a slice, with its number of questions (n). A stronger colour "
        f"is a better score. The best score of a row is bold, and slices of fewer than {SMALL_N} questions "
        "are hatched."
    )
    tables = [_table(view, "slices", "Slice", main)]
    if fields:
        tables.append(_table(view, "fields", "Field", fields[:MAX_FIELDS]))
    side = len(view.rows) <= MAX_SIDE and len(tables) > 1
    blocks: list[Block] = [
        Text((note,), "note", link="Click a slice’s name to list its questions.", outputs=PAGE),
        Group(tuple(tables), layout="side" if side else "stack"),
    ]
    rare = fields[MAX_FIELDS:]
    if rare:
        count = formatting.plural(len(rare), "rarer field")
        rest = _table(view, "rare-fields", "Field", rare)
        blocks.append(Group((rest,), count, "folded", DOCUMENTS - {"markdown"}))
        sentence = f"The HTML report and the CSV tables also have {count}."
        blocks.append(Text((sentence,), "note", outputs=frozenset(("markdown",))))
    return Section("slices", title, tuple(blocks), "Slices", DOCUMENTS)


def _table(view: ReportView, name: str, title: str, rows: Sequence[Row]) -> Table:
    groups = dict.fromkeys(row.group for row in rows)
    columns = (
        Column("value", title, header=True),
        Column("n", "n", format="count"),
        *model_columns([row.key for row in view.rows if row.asked > 0], "score", intervals="hover"),
    )
    caption = f"Scores by {formatting.listed(group.lower() for group in groups)}"
    # One group needs no heading beside that of the column.
    shown = tuple(rows) if len(groups) > 1 else tuple(replace(row, group="") for row in rows)
    return Table(name, columns, shown, caption, quiet_caption=True)


def _by_task(view: ReportView) -> list[Row]:
    rows = []
    for task in view.tasks:
        scores = {row.key: row.tasks.get(task.key) for row in view.rows}
        estimates = {key: score.estimate for key, score in scores.items() if score and score.asked}
        note = task.headline_title + ("" if task.higher_is_better else " ↓")
        cell = DataCell(task.key, note=note, filter={"task": task.key})
        rows.append(_row(view, "Task", cell, task.samples, estimates, higher=task.higher_is_better))
    return rows


def _by_key(view: ReportView, key: str) -> list[Row]:
    """Slices by a key of the metadata, the most asked first."""
    listed = {sample.sample.metadata.get(key) for sample in view.samples}
    slices = sorted((item for item in view.slices if item.key == key), key=lambda item: -item.n)
    return [
        _row(
            view,
            _NAMES[key],
            # The values inside an object are no questions that could be listed.
            DataCell(item.value, filter={key: item.value} if item.value in listed else {}),
            item.n,
            item.estimates,
        )
        for item in slices
    ]


def _row(
    view: ReportView,
    group: str,
    name: DataCell,
    n: int,
    estimates: Mapping[str, Estimate],
    *,
    higher: bool = True,
) -> Row:
    cells = {row.key: _cell(estimates.get(row.key), higher) for row in view.rows}
    for key in _best(view.ranked, cells, higher):
        cells[key] = replace(cells[key], mark="best")
    return Row({"value": name, "n": DataCell(n, mark="muted")} | model_cells(cells), group)


def _cell(estimate: Estimate | None, higher: bool) -> DataCell:
    if estimate is None or estimate.value is None:
        return DataCell(reason="The model has no score on this slice.")
    goodness = estimate.value if higher else max(0.0, 1 - estimate.value)
    counts = formatting.plural(estimate.n, "question")
    known = estimate.low is not None and estimate.high is not None
    return DataCell(
        estimate.value,
        (estimate.low or 0.0, estimate.high or 0.0) if known else None,
        hover=f"{counts} of {formatting.plural(estimate.clusters, 'document')}",
        few=estimate.n < SMALL_N,
        heat=min(10, max(0, round(goodness * 10))),
    )


def _best(ranked: Sequence[ModelRow], cells: Mapping[str, DataCell], higher: bool) -> list[str]:
    """The best of a row, where the finished models differ."""
    values = {row.key: cells[row.key].value for row in ranked}
    known = {key: value for key, value in values.items() if value is not None}
    if not known or min(known.values()) == max(known.values()):
        return []
    best = max(known.values()) if higher else min(known.values())
    return [key for key, value in known.items() if value == best]

"""What kinds of mistakes every model makes."""

from __future__ import annotations

from bench import formatting
from bench.report.mistakes import judged, not_right
from bench.report.section import (
    DOCUMENTS,
    PAGE,
    Column,
    DataCell,
    Row,
    Section,
    Table,
    Text,
    empty_section,
    model_cells,
    model_columns,
)
from bench.report.views import MistakeView, ModelRow, ReportView

CAPTION = (
    "The table counts the answers without a perfect headline score by kind, and gives their share of the "
    "model's answers that are not right. Every such answer has one kind: the first whose rule applies."
)

NOT_JUDGED = "The model has no answer that can be right or wrong."


def section(view: ReportView) -> Section:
    """The counts, or that there are none."""
    title = "Kinds of mistakes"
    rows = [row for row in view.rows if row.asked > 0]
    if not rows or not view.mistakes:
        words = "No answer is wrong." if rows else "Nothing has been scored."
        return empty_section("mistakes", title, "Mistakes", words)
    columns = (
        Column("kind", "Kind", header=True),
        *model_columns([row.key for row in rows], "count", picture="share"),
        Column("rule", "Rule", outputs=DOCUMENTS - {"html"}),
    )
    lines = (_total(rows), *(_kind(kind, rows) for kind in view.mistakes))
    link = Text((), "note", link="Click a number to list its questions.", outputs=PAGE)
    table = Table("kinds", columns, lines, CAPTION)
    return Section("mistakes", title, (table, link, *_unknown_texts(view)), "Mistakes", DOCUMENTS)


def _total(rows: list[ModelRow]) -> Row:
    cells = {
        row.key: DataCell(not_right(row), note=f"of {formatting.count(judged(row))}")
        if judged(row)
        else DataCell(reason=NOT_JUDGED)
        for row in rows
    }
    return Row(
        {"kind": DataCell("not right"), "rule": DataCell("")} | model_cells(cells), state="sum"
    )


def _kind(kind: MistakeView, rows: list[ModelRow]) -> Row:
    cells = {row.key: _count(kind, row) for row in rows}
    names = {"kind": DataCell(kind.label, details=(kind.rule,)), "rule": DataCell(kind.rule)}
    return Row(names | model_cells(cells))


def _count(kind: MistakeView, row: ModelRow) -> DataCell:
    count, share = kind.counts[row.key], kind.shares[row.key]
    if not judged(row):
        return DataCell(reason=NOT_JUDGED)
    if not count:
        return DataCell(0, mark="muted")
    link = {"kind": kind.name, "model": row.key}
    return DataCell(count, note=formatting.percent(share), share=share, filter=link)


def _unknown_texts(view: ReportView) -> list[Text]:
    """For which tasks one of the kinds cannot be told."""
    tasks = [task.key for task in view.tasks if not task.texts_known]
    if not tasks:
        return []
    sentence = (
        f"The runs do not hold the texts of the documents of {formatting.listed(tasks)}. For these tasks, no "
        "answer can be counted as “not on the page”."
    )
    return [Text((sentence,), "note")]

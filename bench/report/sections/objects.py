"""What is right and wrong in structured answers, value by value."""

from __future__ import annotations

from bench.metrics import METRICS
from bench.metrics.grounding import Grounding
from bench.report.section import (
    DOCUMENTS,
    Column,
    DataCell,
    Row,
    Section,
    Table,
    model_cell,
    score_cell,
)
from bench.report.views import ReportView
from bench.scoring.leaves import LeafCounts, is_structured

CAPTION = (
    "The answers to questions with a JSON Schema. Right, wrong and missing are shares of the values that the "
    "documents have. Invented is the share of what the answers give although the document does not have it. "
    "On the page is the share of the given values that the text of the page has, where that text is known "
    "from a text layer or from an OCR model of the run; OCR may have misread a value."
)
METRIC_COLUMNS = ("null_accuracy", "object_match", "schema_valid")
"""Metrics that have a column of their own if a task is scored by them."""
_NOT_SCORED = "The task is not scored by this metric."
_NO_TEXT = "The text of the pages is not known."
_NOTHING = "There is no such value."


def section(view: ReportView) -> Section | None:
    """A line for every model and every task with a JSON Schema; None without such a task."""
    rows = [row for number in range(len(view.tasks)) for row in _rows(view, number)]
    if not rows:
        return None
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("task", "Task", header=True),
        Column("values", "Values", format="count"),
        Column("right", "Right", format="percent", better="higher"),
        Column("wrong", "Wrong", format="percent", better="lower"),
        Column("missing", "Missing", format="percent", better="lower"),
        Column("invented", "Invented", format="percent", better="lower"),
        *(
            Column(name, METRICS[name].title, format="score", better="higher")
            for name in METRIC_COLUMNS
        ),
        Column("on_page", "On the page", format="percent", better="higher"),
    )
    table = Table("values", columns, tuple(rows), CAPTION)
    return Section("objects", "What is right in structured answers", (table,), "Objects", DOCUMENTS)


def _rows(view: ReportView, task: int) -> list[Row]:
    rows = []
    samples = [sample for sample in view.samples if sample.task == task]
    for index, row in enumerate(view.rows):
        given = [sample.answers[index] for sample in samples]
        answers = [each for each in given if each is not None and is_structured(each)]
        score = row.tasks.get(view.tasks[task].key)
        if not answers or score is None or not score.asked:
            continue
        counts = LeafCounts(answers)
        cells = {
            "model": model_cell(row.key),
            "task": DataCell(
                view.tasks[task].key, filter={"task": view.tasks[task].key, "model": row.key}
            ),
            "values": DataCell(counts.expected),
            "right": _share(counts.right, counts.expected),
            "wrong": _share(counts.wrong, counts.expected),
            "missing": _share(counts.missing, counts.expected),
            "invented": _share(counts.invented, counts.given),
            "on_page": _on_page([s.grounding[index] for s in samples if s.grounding]),
        }
        for name in METRIC_COLUMNS:
            estimate = score.estimates.get(name)
            cells[name] = score_cell(estimate) if estimate else DataCell(reason=_NOT_SCORED)
        rows.append(Row(cells, model=row.key))
    return rows


def _share(count: int, whole: int) -> DataCell:
    return DataCell(count / whole) if whole else DataCell(reason=_NOTHING)


def _on_page(groundings: list[Grounding | None]) -> DataCell:
    known = [each for each in groundings if each is not None]
    given = sum(each.given for each in known)
    if not known or not given:
        return DataCell(reason=_NOTHING if known else _NO_TEXT)
    return DataCell(sum(each.on_page for each in known) / given)

"""Confusion matrices for tasks about the classes of pages."""

from __future__ import annotations

from collections import Counter

from bench.metrics.ordering import MISSING, class_scores, confusion
from bench.report.samples import raw_text
from bench.report.section import DOCUMENTS, Column, DataCell, Row, Section, Table
from bench.report.views import ReportView, TaskView


def section(view: ReportView) -> Section | None:
    """A matrix for every model and task; None without such a task."""
    tables = tuple(
        _matrix(f"{number}", model, task, counts)
        for number, ((model, task), counts) in enumerate(page_classes(view).items())
    )
    if not tables:
        return None
    return Section("page-classes", "Page classes", tables, "Page classes", DOCUMENTS)


def is_about_classes(task: TaskView) -> bool:
    """Whether a task asks for the class of every page, and not for the pages' order."""
    return "page_accuracy" in task.metrics and "kendall_tau" not in task.metrics


def page_classes(view: ReportView) -> dict[tuple[str, str], Counter[tuple[str, str]]]:
    """(Row key, task key) → counts of (right class, answered class), for tasks about page classes."""
    matrices: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for number, task in enumerate(view.tasks):
        if not is_about_classes(task):
            continue
        for index, row in enumerate(view.rows):
            answers = [sample.answers[index] for sample in view.samples if sample.task == number]
            pairs = [
                (raw_text(answer.sample.references[0]), answer.extracted)
                for answer in answers
                if answer is not None and answer.output is not None
            ]
            if pairs:
                matrices[row.key, task.key] = confusion(pairs)
    return matrices


def _matrix(name: str, model: str, task: str, counts: Counter[tuple[str, str]]) -> Table:
    scores = class_scores(counts)
    answered = [score.label for score in scores]
    if any(pair[1] == MISSING for pair in counts):
        answered.append(MISSING)
    columns = (
        Column("right", "Right class", header=True),
        *(Column(f"answered:{label}", label, format="count") for label in answered),
        Column("precision", "Precision", format="score"),
        Column("recall", "Recall", format="score"),
        Column("f1", "F1", format="score"),
    )
    rows = []
    for score in scores:
        cells = {
            f"answered:{label}": DataCell(
                counts.get((score.label, label), 0), mark="diagonal" if label == score.label else ""
            )
            for label in answered
        }
        cells["right"] = DataCell(score.label)
        for key in ("precision", "recall", "f1"):
            cells[key] = DataCell(
                getattr(score, key), reason="No page has or was given this class."
            )
        rows.append(Row(cells, model=model))
    caption = (
        f"{model} on {task}: pages by their right class (rows) and the answered class (columns)"
    )
    return Table(name, columns, tuple(rows), caption)

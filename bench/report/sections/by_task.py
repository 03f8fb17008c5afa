"""The headline score of every task, and what of it is only a matter of format."""

from __future__ import annotations

from bench import formatting
from bench.report.reasons import NOT_ASKED, UNSCORED
from bench.report.section import (
    DOCUMENTS,
    EVERYWHERE,
    TERMINAL,
    Column,
    DataCell,
    Row,
    Section,
    Table,
    model_cells,
    model_columns,
    score_cell,
)
from bench.report.views import ModelRow, ReportView, TaskScore, TaskView

EQUIVALENT = (
    "Equivalent: the share of answers that are right, or wrong only in format, because the typed value (a "
    "date, an amount, an identifier) equals that of a reference. It gives no partial credit, so it may be "
    "lower than the score; it never replaces the score."
)

NOT_IN_RUN = "The run of this model does not have this task."


def section(view: ReportView) -> Section | None:
    """Scores by task, every task that was begun."""
    rows = [row for row in view.rows if row.asked > 0]
    tasks = [task for task in view.tasks if any(_begun(row, task) for row in rows)]
    if not tasks:
        return None
    columns = (
        Column("task", "Task", header=True, merged=True),
        Column("n", "n", format="count", merged=True, outputs=DOCUMENTS),
        Column("measure", "Measure"),
        *model_columns([row.key for row in rows], "score"),
    )
    headlines = tuple(_headline(task, rows) for task in tasks)
    lines = []
    for task, headline in zip(tasks, headlines, strict=True):
        lines.append(headline)
        if any(score.equivalent for row in rows if (score := _begun(row, task))):
            lines.append(_equivalent(task, rows))
    blocks = (
        Table("headlines", columns, headlines, outputs=TERMINAL),
        Table("scores", columns, tuple(lines), EQUIVALENT, outputs=DOCUMENTS),
    )
    # With one task, the leaderboard says the same.
    outputs = DOCUMENTS if len(view.tasks) == 1 else EVERYWHERE
    return Section("tasks", "Scores by task", blocks, "Tasks", outputs)


def _begun(row: ModelRow, task: TaskView) -> TaskScore | None:
    score = row.tasks.get(task.key)
    return score if score is not None and score.asked > 0 else None


def _not_begun(row: ModelRow, task: TaskView) -> DataCell:
    return DataCell(reason=NOT_ASKED if task.key in row.tasks else NOT_IN_RUN)


def _first_cells(task: TaskView, measure: str) -> dict[str, DataCell]:
    return {
        "task": DataCell(task.key, filter={"task": task.key}),
        "n": DataCell(task.samples),
        "measure": DataCell(measure, mark="muted"),
    }


def _headline(task: TaskView, rows: list[ModelRow]) -> Row:
    arrow = "↑" if task.higher_is_better else "↓"
    cells = {
        row.key: score_cell(score.estimate, UNSCORED)
        if (score := _begun(row, task))
        else _not_begun(row, task)
        for row in rows
    }
    return Row(_first_cells(task, f"{task.headline_title} {arrow}") | model_cells(cells))


def _equivalent(task: TaskView, rows: list[ModelRow]) -> Row:
    cells = {row.key: _equivalent_cell(row, task) for row in rows}
    return Row(_first_cells(task, "equivalent ↑") | model_cells(cells))


def _equivalent_cell(row: ModelRow, task: TaskView) -> DataCell:
    score = _begun(row, task)
    if score is None:
        return _not_begun(row, task)
    count = score.mistakes.get("format_only", 0)
    if not count:
        return score_cell(score.equivalent, "A description or a page is neither right nor wrong.")
    link = {"task": task.key, "kind": "format_only", "model": row.key}
    note = f"{formatting.count(count)} only in format"
    return score_cell(score.equivalent, note=note, filter=link, linked="note")

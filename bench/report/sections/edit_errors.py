"""Of what kind the errors are that CER and WER count."""

from __future__ import annotations

from bench.metrics import METRICS
from bench.report.section import DOCUMENTS, Column, DataCell, Row, Section, Table, model_cell
from bench.report.views import ReportView
from bench.scoring.edit_errors import EditErrors, edit_errors_of

CAPTION = (
    "The errors as shares of the references' characters (CER) or words (WER). A substitution has another "
    "character or word in the place of the right one, a deletion is missing from the answer, an insertion is "
    "in the answer only. Many deletions point to text that was not read, many insertions to a model that "
    "repeats itself or explains."
)


def section(view: ReportView) -> Section | None:
    """A line for every model, task and error rate; None where no task is scored by one."""
    lines = edit_errors_of_view(view)
    if not lines:
        return None
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("task", "Task", header=True, merged=True),
        Column("metric", "Rate"),
        Column("substitutions", "Substitutions", format="percent"),
        Column("deletions", "Deletions", format="percent"),
        Column("insertions", "Insertions", format="percent"),
        Column("rate", "All errors", format="percent", better="lower"),
        Column("answers", "Answers", format="count"),
    )
    table = Table("kinds", columns, tuple(map(_row, lines)), CAPTION)
    return Section("edit-errors", "Kinds of character and word errors", (table,), "CER", DOCUMENTS)


def edit_errors_of_view(view: ReportView) -> list[EditErrors]:
    """The edits of every row of the report on every task, in the report's order."""
    lines = []
    for index, row in enumerate(view.rows):
        for number, task in enumerate(view.tasks):
            answers = [sample.answers[index] for sample in view.samples if sample.task == number]
            given = [answer for answer in answers if answer is not None]
            lines += edit_errors_of(row.key, task.key, task.metrics, given)
    return lines


def _row(line: EditErrors) -> Row:
    counts = line.counts
    cells = {
        "model": model_cell(line.model),
        "task": DataCell(line.task, filter={"task": line.task, "model": line.model}),
        "metric": DataCell(METRICS[line.metric].title, mark="muted"),
        "substitutions": DataCell(counts.substitutions / counts.length),
        "deletions": DataCell(counts.deletions / counts.length),
        "insertions": DataCell(counts.insertions / counts.length),
        "rate": DataCell(counts.rate),
        "answers": DataCell(line.answers),
    }
    return Row(cells, model=line.model)

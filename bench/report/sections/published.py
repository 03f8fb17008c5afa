"""Published scores beside those of the run, with what differs between the two."""

from __future__ import annotations

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
from bench.scoring.published import PublishedRow

VERDICTS = {
    "within": "within the noise",
    "below": "ours is lower",
    "above": "ours is higher",
    "not tested": "not comparable",
}
"""Words for ``PublishedRow.verdict``."""

NOTE = (
    "Within the noise: the published score lies in our 95 % interval, which is clustered by document. A "
    "published score of another split is about other questions, so it is not tested."
)


def section(view: ReportView) -> Section | None:
    """The comparison; None if no model has a published score on a task of the run."""
    if not view.published:
        return None
    columns = (
        Column("model", "Model", header=True),
        Column("task", "Task", header=True),
        Column("metric", "Metric"),
        Column("published", "Published", format="score"),
        Column("ours", "Ours", format="score"),
        Column("difference", "Ours − published", format="signed"),
        Column("verdict", "Verdict"),
    )
    rows = tuple(_row(line) for line in view.published)
    table = Table("scores", columns, rows, NOTE)
    return Section("published", "Published and ours", (table,), "Published", DOCUMENTS)


def _row(line: PublishedRow) -> Row:
    decided = line.verdict in ("above", "below")
    cells = {
        "model": model_cell(line.model),
        "task": DataCell(line.task),
        "metric": DataCell(line.metric),
        "published": DataCell(line.published, note=line.split or "split not stated"),
        "ours": score_cell(line.ours, "We have no score."),
        "difference": DataCell(line.difference, reason="One of the two scores is missing."),
        "verdict": DataCell(VERDICTS[line.verdict], mark="strong" if decided else "muted"),
    }
    differences = " ".join(line.differences) or "Nothing is known to differ."
    source = f"Source: {line.source}, which prints {line.printed}."
    note = " ".join(filter(None, (differences, line.conditions, source)))
    return Row(cells, model=line.model, note=note)

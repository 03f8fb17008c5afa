"""Which headline scores hang on taking the answer out of the raw text."""

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

CAPTION = (
    "These headline scores would differ if the raw texts were compared. The report shows the scores of the "
    "extracted answers."
)


def section(view: ReportView) -> Section | None:
    """The scores that extraction changed; None if it changed none."""
    if not view.extraction:
        return None
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("task", "Task", header=True),
        Column("metric", "Metric"),
        Column("extracted", "Extracted answers", format="score"),
        Column("raw", "Raw texts", format="score"),
    )
    rows = tuple(
        Row(
            {
                "model": model_cell(line.row),
                "task": DataCell(line.task, filter={"task": line.task, "model": line.row}),
                "metric": DataCell(line.metric, mark="muted"),
                "extracted": score_cell(line.extracted),
                "raw": score_cell(line.raw),
            },
            model=line.row,
        )
        for line in view.extraction
    )
    table = Table("scores", columns, rows, CAPTION)
    return Section("extraction", "What extraction changed", (table,), "Extraction", DOCUMENTS)

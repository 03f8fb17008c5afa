"""What the character and word error rates are made of: substitutions, deletions and insertions."""

from __future__ import annotations

from bench.report.section import (
    DOCUMENTS,
    Column,
    DataCell,
    Row,
    Section,
    Table,
    Text,
    model_cell,
)
from bench.report.views import ReportView
from bench.scoring.edit_errors import EditErrors

UNITS = {"cer": "characters", "wer": "words"}
"""Metric → what it counts."""

NOTE = (
    "jiwer aligns each answer with its nearest reference. Substituted: another character or word stands in "
    "its place. Missing: the answer lacks it. Added: only the answer has it. The error rate is the sum of "
    "the three over the length of the references; many additions can bring it above 1."
)


def section(view: ReportView) -> Section | None:
    """The kinds of edits; None where no task is scored by CER or WER."""
    if not view.edit_errors:
        return None
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("task", "Task", header=True),
        Column("unit", "Counted in"),
        Column("length", "In the references", format="count"),
        Column("substituted", "Substituted", format="count", better="lower"),
        Column("missing", "Missing", format="count", better="lower"),
        Column("added", "Added", format="count", better="lower"),
        Column("rate", "Error rate", format="score", better="lower"),
    )
    table = Table("edits", columns, tuple(_row(errors) for errors in view.edit_errors))
    note = Text((NOTE,), "note")
    return Section("edits", "What error rates are made of", (table, note), "Edits", DOCUMENTS)


def _row(errors: EditErrors) -> Row:
    counts = errors.counts
    return Row(
        {
            "model": model_cell(errors.model),
            "task": DataCell(errors.task, filter={"task": errors.task}),
            "unit": DataCell(UNITS[errors.metric], mark="muted"),
            "length": DataCell(counts.length),
            "substituted": DataCell(counts.substitutions),
            "missing": DataCell(counts.deletions),
            "added": DataCell(counts.insertions),
            "rate": DataCell(counts.rate),
        },
        model=errors.model,
    )

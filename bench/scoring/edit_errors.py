"""Counts the kinds of errors that CER and WER are made of: substitutions, deletions and insertions."""

from __future__ import annotations

from dataclasses import dataclass

from bench.metrics.edit import EDIT_METRICS, EditCounts, edit_counts, sum_edits
from bench.scoring.evaluation import Cell, Evaluation


@dataclass(frozen=True, slots=True)
class EditErrors:
    """The edits between all answers of one model on one task and their references."""

    model: str
    task: str
    metric: str
    """``cer`` counts characters, ``wer`` counts words."""
    counts: EditCounts
    """Summed over the task; ``counts.rate`` is the corpus rate, the value of the metric's estimate."""
    answers: int
    """Answers that were counted: those with a score, failures included."""


def edit_errors(evaluation: Evaluation) -> list[EditErrors]:
    """Count the edits of every model on every task that is scored by ``cer`` or ``wer``, in the run's order.

    A failed answer is an empty one, of which every character and word is deleted. Tasks whose answers all
    lack a score have no row.
    """
    rows = []
    for cell in evaluation.cells.values():
        for metric in cell.task.metrics:
            if metric in EDIT_METRICS:
                counts = _counts_of_answers(cell, metric)
                if counts:
                    total = sum_edits(counts)
                    rows.append(EditErrors(cell.model, cell.task.name, metric, total, len(counts)))
    return rows


def _counts_of_answers(cell: Cell, metric: str) -> list[EditCounts]:
    counts = []
    for answer in cell.answers:
        if answer.scores[metric].value is None:
            continue
        edits = edit_counts(metric, answer.extracted, answer.sample.references)
        if edits is not None:
            counts.append(edits)
    return counts

"""Counts the kinds of errors that CER and WER are made of: substitutions, deletions and insertions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.metrics.edit import EDIT_METRICS, EditCounts, edit_counts, sum_edits
from bench.scoring.answers import Answer
from bench.scoring.evaluation import Evaluation


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

    Tasks whose answers all lack a score have no row.
    """
    rows = []
    for cell in evaluation.cells.values():
        rows += edit_errors_of(cell.model, cell.task.name, cell.task.metrics, cell.answers)
    return rows


def edit_errors_of(
    model: str, task: str, metrics: Iterable[str], answers: Iterable[Answer]
) -> list[EditErrors]:
    """Count the edits in one model's answers for one task: a row for ``cer`` and one for ``wer``.

    A failed answer is an empty one, of which every character and word is deleted.
    """
    answers = tuple(answers)
    rows = []
    for metric in metrics:
        if metric in EDIT_METRICS:
            counts = _counts_of_answers(answers, metric)
            if counts:
                rows.append(EditErrors(model, task, metric, sum_edits(counts), len(counts)))
    return rows


def _counts_of_answers(answers: Iterable[Answer], metric: str) -> list[EditCounts]:
    counts = []
    for answer in answers:
        score = answer.scores.get(metric)
        if score is None or score.value is None:
            continue
        edits = edit_counts(metric, answer.extracted, answer.sample.references)
        if edits is not None:
            counts.append(edits)
    return counts

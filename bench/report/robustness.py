"""What digitally perturbed pages change: every answer against the one about the clean page.

Changes are paired by question and clustered by document. A change is a loss where its p-value, which Holm
adjusted over everything that is compared at once, is below 5 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.report.findings import ConditionChange, FieldBreak, MeanChange, Robustness
from bench.report.ranking import MIN_DOCUMENTS, Scored
from bench.report.views import ALPHA, SampleView, TaskView
from bench.stats import PairedDifference, PairedWeights, balanced, holm, paired_difference
from bench.stats.clusters import PairedRows, paired_rows

MAX_FIELDS = 20
"""Fields that are looked at, the most asked ones: every one is tested under every condition."""


class _Pairs(NamedTuple):
    """Questions about perturbed pages, each beside the same question about the clean page."""

    samples: Sequence[SampleView]
    clean_tasks: NDArray[np.intp]
    """Shape (samples,): the number of the clean task."""
    clean: NDArray[np.float64]
    """Shape (models, samples): scores turned so that higher is better; NaN if there is none."""
    perturbed: NDArray[np.float64]
    """As ``clean``."""
    clean_weights: NDArray[np.float64]
    """As ``clean``: how much each score counts."""
    perturbed_weights: NDArray[np.float64]
    clusters: NDArray[np.intp]
    """Shape (samples,): a number for each document."""

    def part(self, columns: Sequence[int] | NDArray[np.intp]) -> _Pairs:
        """The pairs in some columns."""
        chosen = np.asarray(columns, dtype=np.intp)
        return _Pairs(
            [self.samples[column] for column in chosen],
            self.clean_tasks[chosen],
            self.clean[:, chosen],
            self.perturbed[:, chosen],
            self.clean_weights[:, chosen],
            self.perturbed_weights[:, chosen],
            self.clusters[chosen],
        )

    def scored_by(self, row: int) -> _Pairs:
        """The pairs for which a model has both scores."""
        return self.part(np.flatnonzero(~np.isnan(self.perturbed[row] - self.clean[row])))

    def change(self, row: int) -> PairedDifference:
        """Perturbed minus clean of one model; every task counts the same."""
        weights = PairedWeights(
            self.perturbed_weights[row], self.clean_weights[row], self.clean_tasks
        )
        return paired_difference(
            self.perturbed[row], self.clean[row], self.clusters, weights=weights
        )

    def mean(self, values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
        """The mean over the tasks of one model's scores, all of which have a value."""
        used = np.ones_like(values, dtype=np.bool_)
        return float(np.average(values, weights=balanced(weights, self.clean_tasks, used)))


def robustness(
    keys: Sequence[str],
    clean: tuple[Sequence[SampleView], Scored],
    perturbed: tuple[Sequence[SampleView], Scored],
    tasks: Sequence[TaskView],
    *,
    comparable: bool,
) -> Robustness | None:
    """Compare the answers about perturbed pages with those about clean ones; None without any.

    Args:
        keys: of the rows of the scores.
        clean: the samples of clean tasks, with their scores.
        perturbed: the samples of perturbed tasks, with their scores.
        tasks: of all samples.
        comparable: whether the tasks have a common score. Otherwise each is looked at alone.
    """
    pairs = _paired(clean, perturbed, tasks)
    if not pairs.samples:
        return None
    conditions = _by_condition(pairs, tasks)
    used = [tasks[sample.task].perturbation for sample in pairs.samples]
    return Robustness(
        seeds=tuple(sorted({condition.seed for condition in used if condition is not None})),
        changes=tuple(_changes(keys, conditions, tasks, comparable=comparable)),
        fields=tuple(_fields(keys, conditions)) if comparable else (),
        means=tuple(_means(keys, pairs)) if comparable else (),
    )


def _paired(
    clean: tuple[Sequence[SampleView], Scored],
    perturbed: tuple[Sequence[SampleView], Scored],
    tasks: Sequence[TaskView],
) -> _Pairs:
    numbers = {task.key: number for number, task in enumerate(tasks)}
    columns = {(sample.task, sample.sample.id): column for column, sample in enumerate(clean[0])}
    left: list[int] = []
    right: list[int] = []
    for column, sample in enumerate(perturbed[0]):
        clean_task = numbers.get(tasks[sample.task].clean_task, -1)
        clean_column = columns.get((clean_task, sample.sample.id))
        if clean_column is not None:
            left.append(clean_column)
            right.append(column)
    scored = clean[1]
    documents = {document: number for number, document in enumerate(dict.fromkeys(scored.clusters))}
    clusters = np.array([documents[document] for document in scored.clusters], dtype=np.intp)
    beside = np.array(left, dtype=np.intp)
    return _Pairs(
        [perturbed[0][column] for column in right],
        scored.tasks[beside],
        scored.values[:, beside],
        perturbed[1].values[:, right],
        scored.weights[:, beside],
        perturbed[1].weights[:, right],
        clusters[beside],
    )


def _by_condition(pairs: _Pairs, tasks: Sequence[TaskView]) -> dict[tuple[str, int], _Pairs]:
    """Kind and severity → its pairs, in the order of the command."""
    columns: dict[tuple[str, int], list[int]] = {}
    for column, sample in enumerate(pairs.samples):
        condition = tasks[sample.task].perturbation
        assert condition is not None
        columns.setdefault((condition.kind, condition.severity), []).append(column)
    return {condition: pairs.part(chosen) for condition, chosen in columns.items()}


def _changes(
    keys: Sequence[str],
    conditions: Mapping[tuple[str, int], _Pairs],
    tasks: Sequence[TaskView],
    *,
    comparable: bool,
) -> list[ConditionChange]:
    changes = [
        _change(key, row, tasks_key, condition, part)
        for condition, pairs in conditions.items()
        for tasks_key, part in _by_task(pairs, tasks, comparable=comparable)
        for row, key in enumerate(keys)
        if part.scored_by(row).samples
    ]
    adjusted = _adjusted(change.change for change in changes)
    return [
        replace(change, p_holm=p, is_loss=_is_loss(change.change, p))
        for change, p in zip(changes, adjusted, strict=True)
    ]


def _by_task(
    pairs: _Pairs, tasks: Sequence[TaskView], *, comparable: bool
) -> list[tuple[str, _Pairs]]:
    """All pairs together, or those of each task under its key."""
    if comparable:
        return [("", pairs)]
    return [
        (tasks[number].key, pairs.part(np.flatnonzero(pairs.clean_tasks == number)))
        for number in dict.fromkeys(pairs.clean_tasks.tolist())
    ]


def _change(
    key: str, row: int, tasks: str, condition: tuple[str, int], pairs: _Pairs
) -> ConditionChange:
    known = pairs.scored_by(row)
    # Error rates were turned, and no accuracy is below 0.
    clean = abs(known.mean(known.clean[row], known.clean_weights[row]))
    perturbed = abs(known.mean(known.perturbed[row], known.perturbed_weights[row]))
    answers = (sample.answers[row] for sample in pairs.samples)
    return ConditionChange(
        row=key,
        tasks=tasks,
        kind=condition[0],
        severity=condition[1],
        clean=clean,
        perturbed=perturbed,
        change=pairs.change(row),
        p_holm=None,
        failed=sum(answer is not None and answer.failed for answer in answers),
        is_loss=False,
    )


def _adjusted(changes: Iterable[PairedDifference]) -> list[float | None]:
    """The p-values, adjusted over all of them (Holm); None where there is no test."""
    p_values = [change.p for change in changes]
    adjusted = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(adjusted) for p in p_values]


def _is_loss(change: PairedDifference, p: float | None) -> bool:
    return p is not None and p < ALPHA and (change.difference or 0.0) < 0


def _fields(keys: Sequence[str], conditions: Mapping[tuple[str, int], _Pairs]) -> list[FieldBreak]:
    """By model, field and kind, the first severity with a loss.

    The p-values are adjusted over the fields of one model under one condition.
    """
    fields = _common_fields(conditions.values())
    breaks: dict[tuple[str, str, str], FieldBreak] = {}
    for (kind, severity), pairs in sorted(conditions.items(), key=lambda item: item[0][1]):
        parts = {field: pairs.part(_with_field(pairs, field)) for field in fields}
        for row, key in enumerate(keys):
            changes = {field: part.change(row) for field, part in parts.items()}
            tested = {
                field: change
                for field, change in changes.items()
                if change.clusters >= MIN_DOCUMENTS
            }
            for (field, change), p in zip(tested.items(), _adjusted(tested.values()), strict=True):
                known = breaks.get((key, field, kind))
                if known is None or known.severity is None:
                    first = severity if _is_loss(change, p) else None
                    breaks[key, field, kind] = FieldBreak(key, field, kind, first, change)
    return list(breaks.values())


def _common_fields(parts: Iterable[_Pairs]) -> list[str]:
    counts = Counter(
        sample.sample.metadata.get("field") for pairs in parts for sample in pairs.samples
    )
    return [field for field, _ in counts.most_common() if field][:MAX_FIELDS]


def _with_field(pairs: _Pairs, field: str) -> list[int]:
    return [
        column
        for column, sample in enumerate(pairs.samples)
        if sample.sample.metadata.get("field") == field
    ]


def _means(keys: Sequence[str], pairs: _Pairs) -> list[MeanChange]:
    """The mean change of each model over the conditions, on questions with an answer in all of them."""
    questions: dict[tuple[int, str], list[int]] = {}
    for column, sample in enumerate(pairs.samples):
        place = (int(pairs.clean_tasks[column]), sample.sample.id)
        questions.setdefault(place, []).append(column)
    conditions_of = list(questions.values())
    is_scored = ~np.isnan(pairs.perturbed - pairs.clean)
    # Shape (questions, models): whether a model has both scores under every condition of a question.
    complete = np.array([is_scored[:, columns].all(axis=1) for columns in conditions_of])
    rows = np.flatnonzero(complete.any(axis=0)).tolist()
    by_all = np.flatnonzero(complete[:, rows].all(axis=1))
    if not rows or not by_all.size:
        return []
    asked = pairs.part([column for question in by_all for column in conditions_of[question]])
    # A task is perturbed in one way, so every condition of every clean task counts the same.
    conditions = np.array([sample.task for sample in asked.samples], dtype=np.intp)

    def change_of(row: int) -> PairedRows:
        own, other = asked.perturbed_weights[row], asked.clean_weights[row]
        weights = PairedWeights(own, other, conditions)
        return paired_rows(asked.perturbed[row], asked.clean[row], weights)

    changes = {row: change_of(row) for row in rows}
    unchanged = np.zeros(conditions.size)
    own = {
        row: paired_difference(
            change.differences, unchanged, asked.clusters, weights=change.weights
        )
        for row, change in changes.items()
    }
    hardest, *others = sorted(rows, key=lambda row: own[row].difference or 0.0)
    behind = [
        paired_difference(
            changes[hardest].differences,
            changes[row].differences,
            asked.clusters,
            weights=PairedWeights(changes[hardest].weights, changes[row].weights, conditions),
        )
        for row in others
    ]
    return [
        MeanChange(keys[hardest], own[hardest], None, None),
        *(
            MeanChange(keys[row], own[row], gap, p)
            for row, gap, p in zip(others, behind, _adjusted(behind), strict=True)
        ),
    ]

"""What digitally perturbed pages change: every answer against the one about the clean page.

Changes are paired by question and clustered by document. A change is a loss where its p-value, which Holm
adjusted over everything that is compared at once, is below 5 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.report.findings import ConditionChange, FieldBreak, MeanChange, Robustness
from bench.report.ranking import MIN_DOCUMENTS, Scored, task_weights
from bench.report.views import ALPHA, SampleView, TaskView
from bench.schema import Perturbation
from bench.stats import PairedDifference, holm, paired_difference

MAX_FIELDS = 20
"""Fields that are looked at, the most asked ones: every one is tested under every condition."""


class _Asked(NamedTuple):
    """Samples with their scores."""

    samples: Sequence[SampleView]
    scored: Scored


class _Pairs(NamedTuple):
    """Questions about perturbed pages, each beside the same question about the clean page."""

    samples: list[SampleView]
    conditions: list[Perturbation]
    """Of each sample."""
    clean_tasks: NDArray[np.intp]
    clean: NDArray[np.float64]
    """Shape (models, samples): scores turned so that higher is better; NaN if there is none."""
    perturbed: NDArray[np.float64]
    weights: NDArray[np.float64]
    clusters: list[str]

    def change(self, row: int, kept: NDArray[np.bool_]) -> PairedDifference:
        """Perturbed minus clean of one model on the ``kept`` samples."""
        known = kept & ~np.isnan(self.clean[row]) & ~np.isnan(self.perturbed[row])
        return paired_difference(
            self.perturbed[row][known],
            self.clean[row][known],
            [cluster for cluster, keep in zip(self.clusters, known.tolist(), strict=True) if keep],
            weights=self.weights_of(known),
        )

    def weights_of(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Weights by which every task counts the same."""
        part = Scored(
            self.clean[:, kept],
            self.weights[kept],
            self.clean_tasks[kept],
            (),
            np.empty((0, 0), dtype=np.bool_),
        )
        return task_weights(part)

    def mean(self, values: NDArray[np.float64], kept: NDArray[np.bool_]) -> float | None:
        """Weighted mean of the ``kept`` ones of ``values``; None if there is none."""
        if not kept.any():
            return None
        return float(np.average(values[kept], weights=self.weights_of(kept)))


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
    pairs = _paired(_Asked(*clean), _Asked(*perturbed), tasks)
    if not pairs.samples:
        return None
    scopes = {"": np.ones(len(pairs.samples), dtype=np.bool_)}
    if not comparable:
        scopes = {
            tasks[number].key: pairs.clean_tasks == number
            for number in dict.fromkeys(pairs.clean_tasks.tolist())
        }
    return Robustness(
        seeds=tuple(sorted({condition.seed for condition in pairs.conditions})),
        changes=tuple(_changes(keys, pairs, scopes)),
        fields=tuple(_fields(keys, pairs)) if comparable else (),
        means=tuple(_means(keys, pairs)) if comparable else (),
    )


def _paired(clean: _Asked, perturbed: _Asked, tasks: Sequence[TaskView]) -> _Pairs:
    numbers = {task.key: number for number, task in enumerate(tasks)}
    columns = {
        (sample.task, sample.sample.id): column for column, sample in enumerate(clean.samples)
    }
    beside: list[tuple[int, int]] = []
    for column, sample in enumerate(perturbed.samples):
        clean_column = columns.get(
            (numbers.get(tasks[sample.task].clean_task, -1), sample.sample.id)
        )
        if clean_column is not None:
            beside.append((clean_column, column))
    left = np.array([pair[0] for pair in beside], dtype=np.intp)
    right = np.array([pair[1] for pair in beside], dtype=np.intp)
    samples = [perturbed.samples[column] for column in right]
    conditions = [tasks[sample.task].perturbation for sample in samples]
    return _Pairs(
        samples,
        [condition for condition in conditions if condition is not None],
        clean.scored.tasks[left],
        clean.scored.values[:, left],
        perturbed.scored.values[:, right],
        clean.scored.weights[left],
        [clean.scored.clusters[column] for column in left],
    )


def _changes(
    keys: Sequence[str], pairs: _Pairs, scopes: dict[str, NDArray[np.bool_]]
) -> list[ConditionChange]:
    changes = []
    for tasks, inside in scopes.items():
        for (kind, severity), of_condition in _by_condition(pairs).items():
            kept = inside & of_condition
            for row, key in enumerate(keys):
                known = kept & ~np.isnan(pairs.clean[row]) & ~np.isnan(pairs.perturbed[row])
                if known.any():
                    change = ConditionChange(
                        row=key,
                        tasks=tasks,
                        kind=kind,
                        severity=severity,
                        clean=_shown(pairs.mean(pairs.clean[row], known)),
                        perturbed=_shown(pairs.mean(pairs.perturbed[row], known)),
                        change=pairs.change(row, kept),
                        p_holm=None,
                        failed=_failed(pairs.samples, row, kept),
                        is_loss=False,
                    )
                    changes.append(change)
    adjusted = _adjusted(change.change for change in changes)
    return [
        replace(change, p_holm=p, is_loss=_is_loss(change.change, p))
        for change, p in zip(changes, adjusted, strict=True)
    ]


def _by_condition(pairs: _Pairs) -> dict[tuple[str, int], NDArray[np.bool_]]:
    """Kind and severity → its samples, in the order of the command."""
    named = [(condition.kind, condition.severity) for condition in pairs.conditions]
    return {
        condition: np.array([each == condition for each in named], dtype=np.bool_)
        for condition in dict.fromkeys(named)
    }


def _shown(value: float | None) -> float | None:
    """A mean as the metric gives it: error rates were turned, and no accuracy is below 0."""
    return None if value is None else abs(value)


def _failed(samples: Sequence[SampleView], row: int, kept: NDArray[np.bool_]) -> int:
    chosen = (sample for sample, keep in zip(samples, kept.tolist(), strict=True) if keep)
    answers = (sample.answers[row] for sample in chosen)
    return sum(answer is not None and answer.failed for answer in answers)


def _adjusted(changes: Iterable[PairedDifference]) -> list[float | None]:
    """The p-values, adjusted over all of them (Holm); None where there is no test."""
    p_values = [change.p for change in changes]
    adjusted = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(adjusted) for p in p_values]


def _is_loss(change: PairedDifference, p: float | None) -> bool:
    return p is not None and p < ALPHA and (change.difference or 0.0) < 0


def _fields(keys: Sequence[str], pairs: _Pairs) -> list[FieldBreak]:
    """By model, field and kind, the first severity with a loss.

    The p-values are adjusted over the fields of one model under one condition.
    """
    fields = {field: _with_field(pairs.samples, field) for field in _common_fields(pairs.samples)}
    breaks: dict[tuple[str, str, str], FieldBreak] = {}
    for row, key in enumerate(keys):
        for (kind, severity), of_condition in sorted(_by_condition(pairs).items()):
            changes = {name: pairs.change(row, of_condition & own) for name, own in fields.items()}
            tested = {
                name: change for name, change in changes.items() if change.clusters >= MIN_DOCUMENTS
            }
            for (field, change), p in zip(tested.items(), _adjusted(tested.values()), strict=True):
                known = breaks.get((key, field, kind))
                if known is None or known.severity is None:
                    first = severity if _is_loss(change, p) else None
                    breaks[key, field, kind] = FieldBreak(key, field, kind, first, change)
    return list(breaks.values())


def _common_fields(samples: Sequence[SampleView]) -> list[str]:
    counts = Counter(sample.sample.metadata.get("field") for sample in samples)
    return [field for field, _ in counts.most_common() if field][:MAX_FIELDS]


def _with_field(samples: Sequence[SampleView], field: str) -> NDArray[np.bool_]:
    return np.array([sample.sample.metadata.get("field") == field for sample in samples], np.bool_)


def _means(keys: Sequence[str], pairs: _Pairs) -> list[MeanChange]:
    """The mean change of each model over the conditions, on questions with an answer in all of them."""
    questions: dict[tuple[int, str], list[int]] = {}
    for column, sample in enumerate(pairs.samples):
        place = (int(pairs.clean_tasks[column]), sample.sample.id)
        questions.setdefault(place, []).append(column)
    groups = list(questions.values())
    first = np.array([columns[0] for columns in groups], dtype=np.intp)
    changes = np.array([(pairs.perturbed[:, c] - pairs.clean[:, c]).mean(axis=1) for c in groups]).T
    rows = [row for row in range(len(keys)) if not np.isnan(changes[row]).all()]
    known = ~np.isnan(changes[rows]).any(axis=0)
    if not rows or not known.any():
        return []
    clusters = [pairs.clusters[column] for column in first[known]]
    kept = np.zeros(len(pairs.samples), dtype=np.bool_)
    kept[first[known]] = True
    # ``first`` ascends, so the weights of the kept samples come in the order of the questions.
    weights = pairs.weights_of(kept)
    zeros = np.zeros(len(clusters))
    own = {
        row: paired_difference(changes[row][known], zeros, clusters, weights=weights)
        for row in rows
    }
    order = sorted(rows, key=lambda row: own[row].difference or 0.0)
    hardest = changes[order[0]][known]
    behind = [
        paired_difference(hardest, changes[row][known], clusters, weights=weights)
        for row in order[1:]
    ]
    rest = zip(order[1:], behind, _adjusted(behind), strict=True)
    return [
        MeanChange(keys[order[0]], own[order[0]], None, None),
        *(MeanChange(keys[row], own[row], gap, p) for row, gap, p in rest),
    ]

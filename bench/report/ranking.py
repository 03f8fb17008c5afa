"""Which model is better, beyond the noise: paired differences, ranks, and the Pareto front.

Two models are compared on the samples that both were asked, clustered by document; p-values are adjusted
over all pairs (Holm 1979). A model's rank is one more than the number of models that are better beyond
the noise, so models that cannot be told apart share a rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.report.views import Pair
from bench.stats import PairedDifference, holm, paired_difference


class Scored(NamedTuple):
    """Headline scores of every model on every sample, turned so that higher is better."""

    values: NDArray[np.float64]
    """Shape (models, samples); NaN if a model was not asked or the metric does not apply."""
    weights: NDArray[np.float64]
    """Shape (samples,): the score's own weight (a reference length for corpus rates, otherwise 1)."""
    tasks: NDArray[np.intp]
    """Shape (samples,): the task's number; every task counts the same."""
    clusters: Sequence[str]
    """The document of each sample."""


def compare_all(keys: Sequence[str], scored: Scored) -> list[Pair]:
    """Every pair of ``keys`` (the rows of ``scored.values``, best first)."""
    differences: list[tuple[int, int, PairedDifference, int, int]] = []
    for i in range(len(keys)):
        for j in range(i + 1, len(keys)):
            gap = scored.values[i] - scored.values[j]
            both = ~np.isnan(gap)
            result = paired_difference(
                scored.values[i][both],
                scored.values[j][both],
                [c for c, keep in zip(scored.clusters, both.tolist(), strict=True) if keep],
                weights=_task_weights(scored, both),
            )
            wins, losses = int((gap[both] > 1e-9).sum()), int((gap[both] < -1e-9).sum())
            differences.append((i, j, result, wins, losses))
    tested = [k for k, row in enumerate(differences) if row[2].p is not None]
    adjusted = dict(zip(tested, holm([differences[k][2].p or 0.0 for k in tested]), strict=True))
    return [
        Pair(keys[i], keys[j], result, adjusted.get(k), wins, losses)
        for k, (i, j, result, wins, losses) in enumerate(differences)
    ]


def _task_weights(scored: Scored, both: NDArray[np.bool_]) -> NDArray[np.float64]:
    weights, tasks = scored.weights[both], scored.tasks[both]
    if np.unique(tasks).size <= 1:
        return weights
    sizes = np.bincount(tasks, minlength=int(tasks.max()) + 1)
    per_task: NDArray[np.float64] = 1.0 / sizes[tasks]
    return per_task


def ranks(keys: Sequence[str], pairs: Sequence[Pair]) -> dict[str, int]:
    """One more than the number of models that are better beyond the noise."""
    rank = dict.fromkeys(keys, 1)
    for pair in pairs:
        if pair.separated and pair.difference.difference is not None:
            rank[pair.second if pair.difference.difference > 0 else pair.first] += 1
    return rank


def pareto(costs: Mapping[str, float], scores: Mapping[str, float]) -> list[str]:
    """Keys that no other beats on both counts (lower cost, higher score), cheapest first."""
    front: list[str] = []
    best = float("-inf")
    for key in sorted(costs.keys() & scores.keys(), key=lambda k: (costs[k], -scores[k], k)):
        if scores[key] > best:
            front.append(key)
            best = scores[key]
    return front

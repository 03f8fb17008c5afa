"""Which model is better, beyond the noise: paired differences, ranks, and the Pareto front.

Two models are compared on the samples that both were asked, clustered by document; p-values are adjusted
over all pairs (Holm 1979). A model's rank is one more than the number of models that are better beyond
the noise, so models that cannot be told apart share a rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.report.findings import Reversal
from bench.report.views import ALPHA, Pair
from bench.stats import (
    Design,
    PairedDifference,
    PairedWeights,
    documents_needed,
    holm,
    paired_difference,
)


class Scored(NamedTuple):
    """Headline scores of every model on every sample, turned so that higher is better."""

    values: NDArray[np.float64]
    """Shape (models, samples); NaN if a model was not asked or the metric does not apply."""
    weights: NDArray[np.float64]
    """Shape (models, samples): how much each score counts (a reference's length for corpus rates, the values
    of answer and reference for a micro F1, otherwise 1)."""
    tasks: NDArray[np.intp]
    """Shape (samples,): the task's number; every task counts the same."""
    clusters: Sequence[str]
    """The document of each sample."""
    asked: NDArray[np.bool_]
    """Shape (models, samples): whether the model was asked and gave an output, or failed."""

    def of(self, rows: Sequence[int], kept: NDArray[np.bool_]) -> Scored:
        """The same of some models and samples."""
        chosen = list(rows)
        return Scored(
            self.values[chosen][:, kept],
            self.weights[chosen][:, kept],
            self.tasks[kept],
            [c for c, keep in zip(self.clusters, kept.tolist(), strict=True) if keep],
            self.asked[chosen][:, kept],
        )


def compare_all(keys: Sequence[str], scored: Scored, *, only_first: bool = False) -> list[Pair]:
    """Every pair of ``keys`` (the rows of ``scored.values``, best first), or those with the first alone."""
    differences: list[tuple[int, int, PairedDifference, int, int]] = []
    for i in range(min(1, len(keys)) if only_first else len(keys)):
        for j in range(i + 1, len(keys)):
            gap = scored.values[i] - scored.values[j]
            both = ~np.isnan(gap)
            result = paired_difference(
                scored.values[i][both],
                scored.values[j][both],
                [c for c, keep in zip(scored.clusters, both.tolist(), strict=True) if keep],
                weights=PairedWeights(
                    scored.weights[i][both], scored.weights[j][both], scored.tasks[both]
                ),
            )
            wins, losses = int((gap[both] > 1e-9).sum()), int((gap[both] < -1e-9).sum())
            differences.append((i, j, result, wins, losses))
    tested = [k for k, row in enumerate(differences) if row[2].p is not None]
    adjusted = dict(zip(tested, holm([differences[k][2].p or 0.0 for k in tested]), strict=True))
    return [
        Pair(keys[i], keys[j], result, adjusted.get(k), wins, losses)
        for k, (i, j, result, wins, losses) in enumerate(differences)
    ]


def better_than(keys: Sequence[str], pairs: Sequence[Pair]) -> dict[str, tuple[str, ...]]:
    """Key of a model → the models that are better beyond the noise."""
    better: dict[str, tuple[str, ...]] = dict.fromkeys(keys, ())
    for pair in pairs:
        if pair.separated and pair.difference.difference is not None:
            first_wins = pair.difference.difference > 0
            winner, loser = (pair.first, pair.second) if first_wins else (pair.second, pair.first)
            better[loser] += (winner,)
    return better


MIN_DOCUMENTS = 5
"""Of a part of the questions, below which it is not searched for another winner: so few decide nothing."""


def reversals(
    keys: Sequence[str],
    scored: Scored,
    parts: Sequence[tuple[str, str, NDArray[np.bool_]]],
) -> list[Reversal]:
    """Parts on which another model beats the first of ``keys`` beyond the noise.

    Args:
        keys: the rows of ``scored.values``, best first.
        scored: the scores.
        parts: what a part is called, the section that shows it, and its samples. The p-values are adjusted
            over all parts and models (Holm).
    """
    tested: list[tuple[Reversal, float]] = []
    for name, evidence, kept in parts:
        part = scored.of(range(len(keys)), kept)
        if len(set(part.clusters)) < MIN_DOCUMENTS:
            continue
        for pair in compare_all(keys, part, only_first=True):
            gap = pair.difference
            if gap.p is not None and gap.difference is not None:
                turned = replace(
                    gap,
                    difference=-gap.difference,
                    low=None if gap.high is None else -gap.high,
                    high=None if gap.low is None else -gap.low,
                )
                tested.append((Reversal(name, pair.second, turned, evidence), gap.p))
    adjusted = holm([p for _, p in tested])
    return [
        reversal
        for (reversal, _), p in zip(tested, adjusted, strict=True)
        if p < ALPHA and (reversal.difference.difference or 0) > 0
    ]


def more_documents(pair: Pair) -> int | None:
    """How many more documents would show a difference of this size at 5 % with a probability of 80 %.

    The 5 % are those of the adjusted p: where Holm's method has doubled it, p itself has to be below 2.5 %.
    None if no number can be told: the difference is zero, there is one document only, or p is large for
    another reason than too few documents.
    """
    gap = pair.difference
    if not gap.difference or not gap.standard_error or not gap.p or pair.p_holm is None:
        return None
    level = ALPHA * gap.p / pair.p_holm
    design = Design(variance=gap.clusters * gap.standard_error**2)
    needed = documents_needed(gap.difference, design, confidence=1 - level)
    # If all differences have one sign, p of the exact test is 2 to the power of 1 − documents.
    needed = max(needed, 1 + math.ceil(math.log2(1 / level)))
    return needed - gap.clusters if needed > gap.clusters else None


def pareto(costs: Mapping[str, float], scores: Mapping[str, float]) -> list[str]:
    """Keys that no other beats on both counts (lower cost, higher score), cheapest first."""
    front: list[str] = []
    best = float("-inf")
    for key in sorted(costs.keys() & scores.keys(), key=lambda k: (costs[k], -scores[k], k)):
        if scores[key] > best:
            front.append(key)
            best = scores[key]
    return front

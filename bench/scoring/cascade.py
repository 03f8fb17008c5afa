"""Two models in a row: ask a fast one first, and a better one where the first is unsure.

What a cascade would have scored follows from answers that are there already: a question keeps the first
model's answer if its confidence reaches a threshold, and gets the second model's otherwise (Viola and Jones,
CVPR 2001; for language models: Chen, Zaharia and Zou, FrugalGPT, arXiv 2305.05176). Pair and threshold are
chosen on one half of the documents and judged on the other (``bench.scoring.held_out``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.schema import Estimate
from bench.scoring.held_out import FEWEST_DOCUMENTS, Array, Flags, halves
from bench.stats import PairedDifference, cluster_mean, paired_difference

SAME = 1e-9
"""Two mean scores that are nearer than this are equal: the rest is rounding."""


class CascadeModel(NamedTuple):
    """A model that may be part of a cascade."""

    name: str
    scores: Array
    """0 to 1, shape (questions,)."""
    confidence: Array | None
    """0 to 1, shape (questions,), −1 where it gave none; None if it never gives any."""
    seconds: float
    """Per question, in batches."""


class Questions(NamedTuple):
    """What all candidates were asked."""

    documents: Sequence[Hashable]
    weights: Array
    """Shape (questions,)."""

    def mean(self, scores: Array, rows: Flags) -> float:
        """The weighted mean score on these rows."""
        return float(scores[rows] @ self.weights[rows] / self.weights[rows].sum())


class Choice(NamedTuple):
    """A pair with its threshold, as chosen on some documents."""

    first: int
    second: int
    threshold: float
    """From this confidence on, the first model's answer stays."""
    seconds: float
    """Per question, expected from the documents that chose it."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """A pair of models, judged on documents that did not choose its threshold."""

    first: str
    second: str
    thresholds: tuple[float, float]
    """Chosen on each half of the documents."""
    passed_on: float
    """Share of the questions that the second model is asked as well."""
    score: Estimate
    best: str
    """The model that alone scores highest."""
    gap: PairedDifference
    """The cascade's score minus that of ``best``."""
    seconds: float
    """Per question."""
    best_seconds: float


class Advice(NamedTuple):
    """What the halves of the documents say about cascades."""

    cascades: tuple[Cascade, ...]
    """Pairs that both halves find as good as the best model alone and faster, the fastest first."""
    chosen: Cascade | None
    """The one that both halves choose; None if they choose different ones, or none."""


def advise(candidates: Sequence[CascadeModel], questions: Questions) -> Advice | None:
    """The pairs that keep the best single score in less time; None if there is nothing to choose by."""
    surest = any(candidate.confidence is not None for candidate in candidates)
    documents = len(set(questions.documents))
    if len(candidates) < 2 or not surest or documents < FEWEST_DOCUMENTS:
        return None
    first = halves(questions.documents)
    chosen = [_choices(candidates, questions, rows) for rows in (first, ~first)]
    all_rows = np.ones(first.size, dtype=np.bool_)
    best = max(candidates, key=lambda each: (questions.mean(each.scores, all_rows), -each.seconds))
    cascades = {
        pair: _judged(candidates, questions, first, (chosen[0][pair], chosen[1][pair]), best)
        for pair in chosen[0].keys() & chosen[1].keys()
    }
    faster = [
        pair
        for pair, cascade in cascades.items()
        if cascade.seconds < best.seconds and cascade.passed_on > 0
    ]
    faster.sort(key=lambda pair: (cascades[pair].seconds, pair))
    winners = [_fastest(choices) for choices in chosen]
    agreed = winners[0] if winners[0] == winners[1] and winners[0] in faster else None
    return Advice(
        tuple(cascades[pair] for pair in faster), None if agreed is None else cascades[agreed]
    )


def _fastest(choices: dict[tuple[int, int], Choice]) -> tuple[int, int] | None:
    return min(choices, key=lambda pair: (choices[pair].seconds, pair), default=None)


def _choices(
    candidates: Sequence[CascadeModel], questions: Questions, rows: Flags
) -> dict[tuple[int, int], Choice]:
    """The pairs that score on ``rows`` as the best model alone, each with its cheapest threshold."""
    goal = max(questions.mean(each.scores, rows) for each in candidates)
    choices = {}
    for i, first in enumerate(candidates):
        for j, second in enumerate(candidates):
            if i != j and first.confidence is not None and first.seconds < second.seconds:
                choice = _cheapest(candidates, questions, rows, (i, j), goal)
                if choice is not None:
                    choices[i, j] = choice
    return choices


def _cheapest(
    candidates: Sequence[CascadeModel],
    questions: Questions,
    rows: Flags,
    pair: tuple[int, int],
    goal: float,
) -> Choice | None:
    """The threshold that passes on the fewest questions and still reaches ``goal``."""
    first, second = (candidates[index] for index in pair)
    assert first.confidence is not None
    order = np.argsort(first.confidence[rows], kind="stable")
    confidence = first.confidence[rows][order]
    weights = questions.weights[rows][order]
    gain = (second.scores - first.scores)[rows][order] * weights / weights.sum()
    # Entry k: the score if the k least sure answers are replaced.
    scores = questions.mean(first.scores, rows) + np.concatenate([[0.0], np.cumsum(gain)])
    thresholds = np.append(confidence, np.inf)
    # Answers of equal confidence are passed on together, and those without one always.
    is_whole = np.concatenate([[True], confidence[1:] != confidence[:-1], [True]]) & (
        thresholds >= 0
    )
    possible = np.flatnonzero(is_whole & (scores >= goal - SAME))
    if possible.size == 0:
        return None
    count = int(possible[0])
    seconds = first.seconds + count / confidence.size * second.seconds
    return Choice(*pair, float(thresholds[count]), seconds)


def _judged(
    candidates: Sequence[CascadeModel],
    questions: Questions,
    first_half: Flags,
    choices: tuple[Choice, Choice],
    best: CascadeModel,
) -> Cascade:
    """A pair, each half of the documents with the threshold of the other."""
    first, second = candidates[choices[0].first], candidates[choices[0].second]
    assert first.confidence is not None
    thresholds = np.where(first_half, choices[1].threshold, choices[0].threshold)
    stays = first.confidence >= thresholds
    scores = np.where(stays, first.scores, second.scores)
    passed_on = float(1 - stays.mean())
    return Cascade(
        first.name,
        second.name,
        (choices[0].threshold, choices[1].threshold),
        passed_on,
        cluster_mean(scores, questions.weights, questions.documents),
        best.name,
        paired_difference(scores, best.scores, questions.documents, weights=questions.weights),
        first.seconds + passed_on * second.seconds,
        best.seconds,
    )

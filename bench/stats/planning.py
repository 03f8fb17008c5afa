"""Plans a run: how small a difference it can show, and how many documents a difference needs.

It follows Miller (2024, arXiv 2411.00640, section 5), with the design effect of clusters (Kish 1965) and
with t quantiles instead of normal ones, which matter below about 30 documents. ``score_bounds`` says
after a run how far missing answers could move a score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.errors import InvalidInput
from bench.stats.clusters import (
    Ids,
    Numbers,
    PairedWeights,
    checked_weights,
    numbers,
    paired_totals,
    require_same_length,
)
from bench.stats.distributions import NORMAL, student_t_quantile
from bench.stats.means import CONFIDENCE, departures, robust_se

POWER = 0.8
"""Probability of showing a difference that is really there. 0.8 is the convention since Cohen (1988)."""


@dataclass(frozen=True, slots=True)
class Design:
    """What the size of a comparison depends on besides the number of documents."""

    variance: float
    """Variance of one question's difference between the two models (from ``discordant_variance`` or
    ``pilot_design``)."""
    questions_per_document: float = 1.0
    """Mean number of questions about one document."""
    correlation: float = 0.0
    """Intra-cluster correlation of the differences. At 0 the questions of a document are independent, at 1
    they are one question asked again."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a design."""
        if not self.variance > 0:
            raise InvalidInput(f"expected a variance above 0, got {self.variance}")
        if not self.questions_per_document >= 1:
            raise InvalidInput(
                f"expected 1 or more questions per document, got {self.questions_per_document}"
            )
        if not 0 <= self.correlation <= 1:
            raise InvalidInput(f"expected a correlation from 0 to 1, got {self.correlation}")

    @property
    def document_variance(self) -> float:
        """Variance of one document's mean difference."""
        shared = 1 + (self.questions_per_document - 1) * self.correlation
        return self.variance * shared / self.questions_per_document


def discordant_variance(discordance: float, difference: float = 0.0) -> float:
    """Variance of the difference of scores that are either 0 or 1.

    Args:
        discordance: Share of the questions to which exactly one of the models has the right answer.
        difference: Expected difference of the two shares of right answers.

    Raises:
        InvalidInput: the difference is larger than the discordance allows.
    """
    if not abs(difference) <= discordance <= 1:
        raise InvalidInput(
            f"expected a discordance between the difference and 1, "
            f"got {discordance} for a difference of {difference}"
        )
    return discordance - difference**2


def pilot_design(
    a: Numbers, b: Numbers, clusters: Ids, weights: PairedWeights | Numbers | None = None
) -> Design:
    """The design that a small run of both models suggests, with whole documents as its units.

    With its variance, as many documents as the pilot has get the pilot's cluster-robust standard error. It
    therefore takes account of unequal documents and of any dependence within them.

    Raises:
        InvalidInput: under two documents, or the difference is the same on all of them.
    """
    require_same_length(a=a, b=b, clusters=clusters)
    totals = paired_totals(numbers(a, "a"), numbers(b, "b"), clusters, weights)
    if totals.count < 2 or departures(totals) == 0:
        raise InvalidInput("a pilot needs two or more documents on which the difference varies")
    return Design(variance=totals.count * robust_se(totals) ** 2)


def minimum_detectable_difference(
    documents: int, design: Design, *, power: float = POWER, confidence: float = CONFIDENCE
) -> float:
    """The smallest true difference that ``documents`` show with probability ``power``.

    ``confidence`` is that of the two-sided interval which has to exclude 0: 95 % for a test at 5 %.

    Raises:
        InvalidInput: under two documents, or ``power`` not between a half and 1.
    """
    if documents < 2:
        raise InvalidInput(f"expected 2 or more documents, got {documents}")
    _check_power(power)
    spread = student_t_quantile(0.5 + confidence / 2, documents - 1)
    spread += student_t_quantile(power, documents - 1)
    return spread * math.sqrt(design.document_variance / documents)


def documents_needed(
    difference: float, design: Design, *, power: float = POWER, confidence: float = CONFIDENCE
) -> int:
    """Documents that show a true ``difference`` with probability ``power``.

    ``confidence`` is that of the two-sided interval which has to exclude 0: 95 % for a test at 5 %.

    Raises:
        InvalidInput: the difference is 0, or ``power`` not between a half and 1.
    """
    if not abs(difference) > 0:
        raise InvalidInput(f"expected a difference other than 0, got {difference}")
    _check_power(power)
    spread = NORMAL.inv_cdf(0.5 + confidence / 2) + NORMAL.inv_cdf(power)
    # Normal quantiles are smaller than those of t, so the search never starts beyond the answer.
    documents = max(2, math.ceil(design.document_variance * (spread / difference) ** 2))
    while True:
        shown = minimum_detectable_difference(documents, design, power=power, confidence=confidence)
        if shown <= abs(difference):
            return documents
        documents += 1


def _check_power(power: float) -> None:
    if not 0.5 < power < 1:
        raise InvalidInput(f"expected a power between 0.5 and 1, got {power}")


class ScoreBounds(NamedTuple):
    """A mean score, in four ways of counting the samples without an answer or a score."""

    failed_as_worst: float | None
    """Failures count as the worst score, and unscored samples are left out. This is the score that is
    reported."""
    left_out: float | None
    """Failures and unscored samples are left out, which flatters a model that fails on hard samples."""
    lowest: float | None
    """Failed and unscored samples all get the lowest score of the range."""
    highest: float | None
    """Failed and unscored samples all get the highest score of the range."""


def score_bounds(
    values: Numbers,
    failed: float,
    unscored: float = 0,
    worst: float = 0.0,
    best: float = 1.0,
    *,
    weights: Numbers | None = None,
) -> ScoreBounds:
    """Compute how far missing answers could move a mean score (worst-case bounds, Manski 1989).

    Args:
        values: Scores of the samples that were answered; None and NaN count as unscored.
        failed: Weight of the samples without an answer, not among ``values``; their number, if all samples
            weigh alike.
        unscored: Weight of further samples without a score, not among ``values``.
        worst: The worst score that a sample can get (above ``best`` for an error rate).
        best: The best score.
        weights: Weight of each of ``values``; None weighs all alike.

    Raises:
        InvalidInput: columns of different lengths, a weight is negative, or a value infinite.
    """
    require_same_length(values=values, weights=weights)
    if failed < 0 or unscored < 0:
        raise InvalidInput(f"expected counts from 0, got {failed} failed, {unscored} unscored")
    value = numbers(values, "values")
    weight = checked_weights(weights, value)
    is_scored = ~np.isnan(value)
    total = float((value * weight)[is_scored].sum())
    scored = float(weight[is_scored].sum())
    missing = failed + unscored + float(weight[~is_scored].sum())

    def mean_with(more: float, score: float) -> float | None:
        """The mean with samples of the weight ``more`` that all get ``score``; None without any."""
        return (total + more * score) / (scored + more) if scored + more > 0 else None

    return ScoreBounds(
        failed_as_worst=mean_with(failed, worst),
        left_out=mean_with(0, worst),
        lowest=mean_with(missing, min(worst, best)),
        highest=mean_with(missing, max(worst, best)),
    )

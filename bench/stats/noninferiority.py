"""Has a mean become worse, and is it certain that it has lost no more than a margin?

One-sided, paired by sample and clustered by document, as in trials of non-inferiority. Two questions are
asked of the same loss (how much lower the second mean is): is it above 0 beyond the noise, and is it below
the margin beyond the noise? For the second question the standard error is at least the one that such a loss
would have (Tango 1998, Statistics in Medicine 17, for pairs of 0 and 1). Otherwise a few documents on which
nothing happened by chance would prove that nothing ever happens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.errors import InvalidInput
from bench.stats.clusters import (
    ClusterTotals,
    Ids,
    Numbers,
    PairedWeights,
    numbers,
    paired_totals,
    require_same_length,
)
from bench.stats.distributions import student_t_quantile, student_t_tail
from bench.stats.means import Interval, departures, robust_se, widen
from bench.stats.paired import SAME_SCORE
from bench.stats.planning import POWER, Design, documents_needed

LEVEL = 0.05
"""Error probability of every one-sided statement."""

MOST_DOCUMENTS = 10_000_000
"""A larger number of documents is not worth being named."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How much lower the second of two means is, on the same samples."""

    value: float | None
    """Mean of first − second; None if no sample was scored on both sides."""
    low: float | None
    """The loss is above this with 95 % confidence; None for fewer than two documents."""
    high: float | None
    """The loss is below this with 95 % confidence; None for fewer than two documents."""
    p_worse: float | None
    """One-sided p-value of "there is no loss"; None for fewer than two documents."""
    n: int
    """Samples that were scored on both sides."""
    clusters: int
    """Documents that these samples come from."""
    differing: int
    """Documents on which the two sides' scores differ."""
    needed: int | None
    """Documents that would probably decide, if the loss stayed as it is; None if no number would, or one
    above ``MOST_DOCUMENTS``."""


def paired_loss(
    first: Numbers,
    second: Numbers,
    clusters: Ids,
    *,
    margin: float,
    weights: PairedWeights | Numbers | None = None,
) -> Loss:
    """Compute the difference of two weighted means, first − second, with one-sided bounds.

    Args:
        first: Scores before, higher is better, shape (samples,); None and NaN leave the sample out.
        second: Scores after, for the same samples in the same order.
        clusters: Document of each sample.
        margin: The largest loss that is accepted, at least 0, in units of the scores.
        weights: Weight of each sample, or its weights on both sides; None weighs all alike.

    Raises:
        InvalidInput: columns of different lengths, infinite scores, a negative weight or margin.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise InvalidInput(f"expected a margin of at least 0, got {margin}")
    require_same_length(first=first, second=second, clusters=clusters)
    before, after = numbers(first, "first"), numbers(second, "second")
    totals = paired_totals(before, after, clusters, weights)
    if totals.count == 0:
        return Loss(None, None, None, None, 0, 0, 0, None)
    differing = int(np.count_nonzero(np.abs(totals.sums) > SAME_SCORE * totals.weights))
    if totals.count == 1:
        return Loss(totals.mean, None, None, None, totals.rows, 1, differing, None)
    # A score's range, and so how far a document that was not drawn could pull the mean.
    reach = max(1.0, float(np.nanmax(np.abs([before, after]))))
    interval = _bounds(totals, reach)
    return Loss(
        value=totals.mean,
        low=interval.low,
        high=interval.high,
        p_worse=_p_worse(totals, reach),
        n=totals.rows,
        clusters=totals.count,
        differing=differing,
        needed=_needed(totals, margin, reach, differing),
    )


def _bounds(totals: ClusterTotals, reach: float) -> Interval:
    """One-sided bounds within ±``reach``, beyond which no difference of two scores can lie."""
    t = student_t_quantile(1 - LEVEL, max(1.0, totals.effective - 1))
    half, step = t * robust_se(totals), _half_a_change(totals)
    high = max(totals.mean + half, _score_bound(totals, t, reach))
    low, high = widen(Interval(totals.mean - half - step, high + step), totals, -reach, reach)
    return Interval(max(low, -reach), min(high, reach))


def _change_size(totals: ClusterTotals, extra: float) -> float:
    """By how much one change of a score typically moves the mean; changes are weighed by their size.

    ``extra`` is the size of one more change, in units of ``totals.sums``; 0 adds none.
    """
    changes = np.abs(totals.sums)
    total = float(changes.sum()) + extra
    if not total > 0:
        return 0.0
    size = (float(changes @ changes) + extra**2) / total
    return size / float(totals.weights.sum())


def _half_a_change(totals: ClusterTotals) -> float:
    """Correction for continuity: scores change in steps, which a bell curve does not know."""
    return _change_size(totals, 0.0) / 2


class _Null(NamedTuple):
    """What the variance of the mean would be if a certain loss were true; in units of the score's range."""

    lost: float
    """By how much losses alone lower the mean."""
    gained: float
    """By how much gains alone raise it."""
    size: float
    """By how much one change moves it."""

    def variance(self, loss: float) -> float:
        """As Tango's score test has it for pairs of 0 and 1.

        Losses exceed gains by ``loss``, and the gains are the most likely ones under this condition.
        """
        # The likelihood of the gains g is largest where 2·g² + b·g − c = 0 (Tango 1998).
        b = (2 - self.lost + self.gained) * loss - self.lost - self.gained
        c = self.gained * loss * (1 - loss)
        gains = (math.sqrt(b * b + 8 * c) - b) / 4
        return self.size * max(0.0, 2 * gains + loss - loss * loss)


def _null(totals: ClusterTotals, reach: float) -> _Null:
    scale = reach * float(totals.weights.sum())
    # One change of a whole document is added to those seen: a few documents may not show the large ones.
    whole = reach * float(totals.weights.mean())
    return _Null(
        lost=float(np.maximum(totals.sums, 0).sum()) / scale,
        gained=float(np.maximum(-totals.sums, 0).sum()) / scale,
        size=_change_size(totals, whole) / reach,
    )


def _score_bound(totals: ClusterTotals, t: float, reach: float) -> float:
    """The smallest loss that the data contradict: it is t of its own standard errors above the mean.

    It is minus infinity if a loss of 0 is contradicted as well, because the mean is so much better.
    """
    null, mean = _null(totals, reach), totals.mean / reach

    def is_contradicted(loss: float) -> bool:
        return loss - mean >= t * math.sqrt(null.variance(loss))

    low, high = max(0.0, mean), 1.0
    if mean < 0 and is_contradicted(0.0):
        return -math.inf
    for _ in range(40):
        loss = (low + high) / 2
        if is_contradicted(loss):
            high = loss
        else:
            low = loss
    return high * reach


def _p_worse(totals: ClusterTotals, reach: float) -> float:
    mean, different = totals.mean, departures(totals)
    if different == 0:
        p = 2.0 ** (-totals.count) if mean > 0 else 1.0
    else:
        ratio = (mean - _half_a_change(totals)) / robust_se(totals)
        p = student_t_tail(ratio, max(1.0, totals.effective - 1))
    if different <= 1 and mean > 0:
        # Where ``widen`` extends the interval, p is the level at which it would just reach 0.
        p = max(p, float((reach / (mean + reach)) ** totals.effective))
    return p


def _needed(totals: ClusterTotals, margin: float, reach: float, differing: int) -> int | None:
    mean = totals.mean
    distance = margin - mean if mean < margin else mean
    if distance <= 0:
        return None
    documents = 2
    if differing > 0:
        null_variance = reach**2 * _null(totals, reach).variance(min(margin / reach, 1.0))
        variance = totals.count * max(robust_se(totals) ** 2, null_variance)
        if variance / distance**2 > MOST_DOCUMENTS / 7:
            return None
        # Both bounds are one-sided, so together they are the ends of an interval of 90 %.
        design = Design(variance=variance)
        documents = documents_needed(distance, design, power=POWER, confidence=1 - 2 * LEVEL)
    if departures(totals) <= 1:
        unseen = distance / (reach - mean) if mean < margin else distance / (reach + mean)
        if unseen < 1:
            documents = max(documents, math.ceil(math.log(LEVEL) / math.log(1 - unseen)))
    # Unequal documents count as fewer equal ones.
    documents = math.ceil(documents * totals.count / totals.effective)
    return documents if documents <= MOST_DOCUMENTS else None

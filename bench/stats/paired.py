"""Two models on the same samples: paired difference, McNemar's exact test, many comparisons at once.

Both models see the same questions, so they are compared question by question. Most of the spread of scores is
shared and drops out of the difference (Miller 2024, arXiv 2411.00640, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import InvalidInput
from bench.stats.clusters import (
    ClusterTotals,
    Ids,
    Numbers,
    cluster_totals,
    numbers,
    require_same_length,
)
from bench.stats.distributions import half_binomial_cdf, student_t_tail
from bench.stats.means import (
    ONE_DOCUMENT,
    Interval,
    departures,
    few_documents,
    robust_se,
    t_quantile,
    widen,
)

FEW_DIFFERING = 10
"""If the models differ on fewer documents than this, p is printed with a warning."""

SAME_SCORE = 1e-12
"""Two scores of a document that are nearer than this are equal: the rest is rounding."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How far the first model's mean score is above the second's, on the same samples."""

    difference: float | None
    """Mean of first − second; None if no sample was scored for both models."""
    low: float | None
    """Lower end of the 95 % interval; None if there is one document only."""
    high: float | None
    """Upper end of the 95 % interval."""
    p: float | None
    """Two-sided p-value of "no difference"; None if no test can be made."""
    n: int
    """Samples scored for both models."""
    clusters: int
    """Documents that these samples come from."""
    standard_error: float | None = None
    """Cluster-robust standard error of the difference; None if there is one document only."""
    differing: int = 0
    """Documents on which the two models' scores differ: the evidence that p rests on."""
    unscored: int = 0
    """Samples left out because one of the two models has no score."""
    warning: str | None = None
    """Why the interval or p deserves doubt."""


def paired_difference(
    a: Numbers,
    b: Numbers,
    clusters: Ids,
    *,
    weights: Numbers | None = None,
) -> PairedDifference:
    """Compute the weighted mean of a − b, paired by sample and clustered by document.

    The difference over its cluster-robust standard error is taken for Student's t with (effective
    documents − 1) degrees of freedom.

    Args:
        a: Scores of the first model, shape (samples,); None and NaN leave the sample out.
        b: Scores of the second model for the same samples in the same order.
        clusters: Document of each sample.
        weights: Weight of each sample; None weighs all alike.

    Raises:
        InvalidInput: columns of different lengths, infinite scores, a weight below 0 or missing.
    """
    require_same_length(a=a, b=b, clusters=clusters)
    first, second = numbers(a, "a"), numbers(b, "b")
    totals = cluster_totals(first - second, weights, clusters)
    if totals.count == 0:
        nothing = "no sample was scored for both models"
        return PairedDifference(
            None, None, None, None, 0, 0, unscored=totals.dropped, warning=nothing
        )
    error = interval = p = None
    if totals.count > 1:
        # A score's range, and so how far a document that was not drawn could pull the difference.
        reach = max(1.0, float(np.nanmax(np.abs([first, second]))))
        error, p = robust_se(totals), _p_value(totals, reach)
        half = t_quantile(totals) * error
        plain = Interval(totals.mean - half, totals.mean + half)
        interval = widen(plain, totals, -reach, reach)
    return PairedDifference(
        totals.mean,
        interval.low if interval is not None else None,
        interval.high if interval is not None else None,
        p,
        n=totals.rows,
        clusters=totals.count,
        standard_error=error,
        differing=_differing(totals),
        unscored=totals.dropped,
        warning=_doubts(totals),
    )


def _differing(totals: ClusterTotals) -> int:
    return int(np.count_nonzero(np.abs(totals.sums) > SAME_SCORE * totals.weights))


def _p_value(totals: ClusterTotals, reach: float) -> float:
    if _differing(totals) == 0:
        return 1.0
    different = departures(totals)
    if different == 0:
        # The same difference on every document has no spread to be held against. The sign test takes
        # it for as many heads in as many throws of a coin.
        p = float(2.0 ** (1 - totals.count))
    else:
        ratio = abs(totals.mean) / robust_se(totals)
        p = min(1.0, 2 * student_t_tail(ratio, max(1.0, totals.effective - 1)))
    if different <= 1:
        # Where ``widen`` extends the interval for what the documents may have missed, p is the level at
        # which that interval would just reach 0, so that the two never contradict each other.
        p = max(p, float((reach / (abs(totals.mean) + reach)) ** totals.effective))
    return p


def _doubts(totals: ClusterTotals) -> str | None:
    if totals.count == 1:
        return ONE_DOCUMENT
    reasons = few_documents(totals, "interval and p are rough")
    differing = _differing(totals)
    if differing < min(FEW_DIFFERING, totals.count):
        reasons.append(f"the models differ on {differing} of {totals.count} documents")
    return "; ".join(reasons) or None


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided p of McNemar's exact test on paired answers to separate documents.

    Args:
        b: Samples whose answer of the first model alone is accepted.
        c: Samples whose answer of the second model alone is accepted.

    Raises:
        InvalidInput: a count is negative.
    """
    if b < 0 or c < 0:
        raise InvalidInput(f"expected counts of discordant samples from 0, got {b} and {c}")
    return min(1.0, 2 * half_binomial_cdf(min(b, c), b + c))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for how many they are (Holm 1979), in the order given.

    If only adjusted values below 5 % count, the chance of any false alarm in the whole family of
    comparisons stays below 5 %, however the comparisons depend on each other.

    Raises:
        InvalidInput: a value is not between 0 and 1.
    """
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise InvalidInput(f"expected p-values from 0 to 1, got {wrong[0]}")
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return [float(value) for value in np.minimum(adjusted, 1.0)]

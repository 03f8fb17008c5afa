"""Two models on the same samples: paired difference, exact tests, many comparisons at once.

Both models see the same questions, so they are compared question by question. Most of the spread of scores is
shared and drops out of the difference (Miller 2024, arXiv 2411.00640, section 4).

Where few documents differ, two tests stand behind p: Student's t, which knows how the documents vary, and
Fisher's randomisation test, which is exact. The larger p counts, and the interval follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import InvalidInput
from bench.stats.clusters import (
    Array,
    ClusterTotals,
    Ids,
    Numbers,
    PairedWeights,
    numbers,
    paired_totals,
    require_same_length,
)
from bench.stats.distributions import half_binomial_cdf, student_t_tail
from bench.stats.means import (
    CONFIDENCE,
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

_FINE = 2520
"""Steps of the largest difference of a document: the least number that 1 to 10 all divide, so that whole
numbers of questions stay exact."""

_CELLS = 8192
"""Most steps that the differences of all documents may add up to; finer ones are rounded to fit."""

FEW_FOR_T = 25
"""If the models differ on fewer documents than this, Student's t is not trusted alone. It is the usual bound
below which McNemar's test is computed exactly."""


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
    weights: PairedWeights | Numbers | None = None,
) -> PairedDifference:
    """Compute the difference of two weighted means, paired by sample and clustered by document.

    The interval is Student's t with the cluster-robust standard error and (effective documents − 1) degrees
    of freedom, cut at the largest difference that is possible: 1 for scores from 0 to 1, and the largest
    score for error rates. Cutting changes no coverage, because the true difference is not beyond. p is
    that of the same t. If fewer than ``FEW_FOR_T`` documents differ, it is at least that of
    ``sign_flip_test``, and where only the latter allows 0, the interval is extended to 0. So p is below 5 %
    exactly where the interval excludes 0.

    Args:
        a: Scores of the first model, shape (samples,); None and NaN leave the sample out.
        b: Scores of the second model for the same samples in the same order.
        clusters: Document of each sample.
        weights: Weight of each sample, or its weights for both models; None weighs all alike.

    Raises:
        InvalidInput: columns of different lengths, infinite scores, a weight below 0 or missing.
    """
    require_same_length(a=a, b=b, clusters=clusters)
    first, second = numbers(a, "a"), numbers(b, "b")
    totals = paired_totals(first, second, clusters, weights)
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
        interval = _interval(totals, reach, p)
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


def _interval(totals: ClusterTotals, reach: float, p: float) -> Interval:
    """The t interval within ±``reach``; it contains 0 exactly where ``p`` is at least 5 %."""
    half = t_quantile(totals) * robust_se(totals)
    low, high = widen(Interval(totals.mean - half, totals.mean + half), totals, -reach, reach)
    if p >= 1 - CONFIDENCE:
        low, high = min(low, 0.0), max(high, 0.0)
    return Interval(max(low, -reach), min(high, reach))


def _p_value(totals: ClusterTotals, reach: float) -> float:
    differing = _differing(totals)
    if differing == 0:
        return 1.0
    different = departures(totals)
    # The same difference on every document has no spread to compare it with: only its sign tells.
    p = sign_flip_test(totals.sums) if differing < FEW_FOR_T or different == 0 else 0.0
    if different > 0:
        ratio = abs(totals.mean) / robust_se(totals)
        p = max(p, min(1.0, 2 * student_t_tail(ratio, max(1.0, totals.effective - 1))))
    if different <= 1:
        # Where ``widen`` extends the interval for what the documents may have missed, p is the level at
        # which that interval would just reach 0, so that the two never contradict each other.
        p = max(p, float((reach / (abs(totals.mean) + reach)) ** totals.effective))
    return p


def sign_flip_test(differences: Numbers) -> float:
    """Two-sided p of Fisher's randomisation test on one difference for each document.

    If the two models were interchangeable, each document's difference could as well have had the other sign.
    p is the share of all 2ⁿ assignments of signs whose sum is at least as far from 0 as the one observed.
    On differences of −1, 0 and 1 (one question a document, right or wrong) this is McNemar's exact test.
    The sum is exact for whole numbers up to 10 and rounded to 1/8192 of the total otherwise. Source: Fisher,
    The Design of Experiments (1935), section 21; Pitman, Supplement to the J. of the Royal Statistical
    Society 4(1), 1937.

    Args:
        differences: Sum of (first − second) of each document, shape (documents,).

    Raises:
        InvalidInput: a difference is missing or infinite.
    """
    values = numbers(differences, "differences")
    if np.isnan(values).any():
        raise InvalidInput("expected a difference for each document, got one without a value")
    sizes = np.abs(values)
    largest = float(sizes.max(initial=0.0))
    if largest == 0:
        return 1.0
    steps = _whole_steps(sizes)
    steps_sum = int(steps.sum())
    observed = abs(int((np.sign(values) * steps).sum()))
    moved = steps[steps > 0]
    if moved.min() == moved.max():
        # Equal steps are throws of a coin, whose distribution is known in closed form.
        heads = (moved.size - observed // int(moved[0])) // 2
        return min(1.0, 2 * half_binomial_cdf(heads, moved.size))
    # Signs that make ``minus`` of the steps negative give the sum ``steps_sum − 2·minus``.
    most_minus = (steps_sum - observed) // 2
    return min(1.0, 2 * float(_share_by_minus(moved)[: most_minus + 1].sum()))


def _whole_steps(sizes: Array) -> NDArray[np.int64]:
    """``sizes`` as whole multiples of a common step, as few as they need and at most ``_CELLS`` in all."""
    steps: NDArray[np.int64] = np.rint(sizes / sizes.max() * _FINE).astype(np.int64)
    steps //= int(np.gcd.reduce(steps))
    if steps.sum() > _CELLS and len(np.unique(steps[steps > 0])) > 1:
        steps = np.rint(sizes / sizes.sum() * _CELLS).astype(np.int64)
    return steps


def _share_by_minus(steps: NDArray[np.int64]) -> Array:
    """The share of all assignments of signs by the sum of the steps that they make negative."""
    shares = np.ones(1)
    for step in np.sort(steps).tolist():
        longer = np.zeros(shares.size + step)
        longer[: shares.size] += shares / 2
        longer[step:] += shares / 2
        shares = longer
    return shares


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

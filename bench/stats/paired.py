"""Two models on the same samples: paired difference, McNemar's test, many comparisons at once.

Two models see the same questions, so they are compared question by question: most of the spread
of scores is shared and drops out of the difference (Miller 2024, arXiv 2411.00640, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.errors import InvalidInput
from bench.stats.bootstrap import REPLICATES, resample
from bench.stats.clusters import (
    ClusterTotals,
    Ids,
    Numbers,
    cluster_totals,
    numbers,
    require_same_length,
)
from bench.stats.distributions import (
    chi_square_tail,
    half_binomial_cdf,
    student_t_quantile,
    student_t_tail,
)
from bench.stats.means import (
    FEW_CLUSTERS,
    Method,
    departures,
    robust_se,
    t_quantile,
    widen,
)
from bench.stats.proportions import CONFIDENCE, Interval

FEW_DIFFERING = 10
"""Where the models differ on fewer documents than this, p is printed with a warning."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How far the first model's mean score is above the second's, on the same samples."""

    difference: float | None
    """Mean of first − second; None where no sample was scored for both."""
    low: float | None
    """Lower end of the 95 % interval; None where no interval can be had (one document only)."""
    high: float | None
    p: float | None
    """Two-sided p-value of "no difference"; None where no test can be made."""
    n: int
    """Samples scored for both models."""
    clusters: int
    """Documents they come from."""
    standard_error: float | None = None
    """Cluster-robust, of the difference; None where no interval can be had."""
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
    method: Method = "log-odds",
    seed: int = 0,
) -> PairedDifference:
    """Weighted mean of a − b, paired by sample and clustered by document.

    The difference over its cluster-robust standard error is taken for Student's t with (effective
    documents − 1) degrees of freedom.

    Args:
        a: Scores of the first model, shape (samples,); None and NaN leave the sample out.
        b: Scores of the second model for the same samples in the same order.
        clusters: Document of each sample.
        weights: Weight of each sample; None weighs all alike.
        method: ``bootstrap`` takes the interval (not p) from resampled documents.
        seed: Of the bootstrap; the other method draws nothing.

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
        interval = _interval(totals, reach, method, seed)
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
    return int(np.count_nonzero(np.abs(totals.sums) > 1e-12 * totals.weights))


def _interval(totals: ClusterTotals, reach: float, method: Method, seed: int) -> Interval:
    if method == "bootstrap":
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(resample(totals, REPLICATES, seed), (tail, 1 - tail))
        return Interval(float(low), float(high))
    half = t_quantile(totals) * robust_se(totals)
    mean = totals.mean
    return widen(Interval(mean - half, mean + half), totals, -reach, reach)


def _p_value(totals: ClusterTotals, reach: float) -> float:
    if _differing(totals) == 0:
        return 1.0
    different = departures(totals)
    if different == 0:
        # The same difference on every document has no spread to be held against; by the sign test
        # it is as likely as as many heads in as many throws.
        p = float(2.0 ** (1 - totals.count))
    else:
        ratio = abs(totals.mean) / robust_se(totals)
        p = min(1.0, 2 * student_t_tail(ratio, max(1.0, totals.effective - 1)))
    if different <= 1:
        # Where the interval is widened for what the documents may have missed (``widen``), p is the
        # level at which that interval would just reach 0: the two never contradict each other.
        p = max(p, float((reach / (abs(totals.mean) + reach)) ** totals.effective))
    return p


def _doubts(totals: ClusterTotals) -> str | None:
    if totals.count == 1:
        return "all samples are from one document: no interval can be given"
    found = []
    if totals.count < FEW_CLUSTERS:
        found.append(f"only {totals.count} documents: interval and p are rough")
    elif totals.effective < FEW_CLUSTERS:
        found.append(
            f"documents of unequal weight count as {totals.effective:.1f}: interval and p are rough"
        )
    if (differing := _differing(totals)) < min(FEW_DIFFERING, totals.count):
        found.append(f"the models differ on {differing} of {totals.count} documents")
    return "; ".join(found) or None


class PairedTTest(NamedTuple):
    """A paired t-test that takes all samples for independent."""

    difference: float
    standard_error: float
    low: float
    high: float
    t: float
    p: float
    n: int


def paired_ttest(a: Numbers, b: Numbers) -> PairedTTest:
    """The paired t-test of the textbooks, as in lmms-eval: too sure where questions share a page.

    NaN for fewer than two samples and where any score is NaN; for equal differences throughout,
    t is 0 or infinite. The harness prints ``paired_difference`` instead.

    Raises:
        InvalidInput: ``a`` and ``b`` differ in length.
    """
    require_same_length(a=a, b=b)
    # Summed in the reference's order, so that differences equal up to rounding agree with it too.
    differences = [float(d) for d in numbers(a, "a") - numbers(b, "b")]
    n, nan = len(differences), math.nan
    if n < 2 or any(math.isnan(d) for d in differences):
        return PairedTTest(nan, nan, nan, nan, nan, nan, n)
    mean = sum(differences) / n
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    if error == 0:
        t, p = (math.copysign(math.inf, mean), 0.0) if mean != 0 else (0.0, 1.0)
        return PairedTTest(mean, error, mean, mean, t, p, n)
    t = mean / error
    half = student_t_quantile(0.5 + CONFIDENCE / 2, n - 1) * error
    p = 2 * student_t_tail(abs(t), n - 1)
    return PairedTTest(mean, error, mean - half, mean + half, t, p, n)


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided p of McNemar's exact test for paired right-or-wrong answers to separate documents.

    Args:
        b: Samples that only the first model answered rightly.
        c: Samples that only the second did.

    Raises:
        InvalidInput: a count is negative.
    """
    _check_counts(b, c)
    return min(1.0, 2 * half_binomial_cdf(min(b, c), b + c))


class ChiSquare(NamedTuple):
    """A test statistic with one degree of freedom and its p-value."""

    statistic: float
    p: float


def mcnemar_chi_square(b: int, c: int, *, corrected: bool = True) -> ChiSquare:
    """McNemar's large-sample test; with Edwards's continuity correction where ``corrected``.

    For fewer than 25 discordant samples use ``mcnemar_exact``. Without any, there is no evidence:
    statistic 0 and p 1.

    Raises:
        InvalidInput: a count is negative.
    """
    _check_counts(b, c)
    if b + c == 0:
        return ChiSquare(0.0, 1.0)
    statistic = (abs(b - c) - int(corrected)) ** 2 / (b + c)
    return ChiSquare(statistic, chi_square_tail(statistic))


def _check_counts(b: int, c: int) -> None:
    if b < 0 or c < 0:
        raise InvalidInput(f"expected counts of discordant samples from 0, got {b} and {c}")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values, in the order given.

    Rejecting where the adjusted value is below 5 % keeps the chance of any false alarm in the
    whole family of comparisons below 5 %, however they depend on each other.

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

"""Statistics that other tools print, to compare with and to check against: the harness prints none of them.

Standard errors, the cluster bootstrap, the unclustered t-test, McNemar's large-sample test and intervals of
proportions. ``docs/statistics.md`` measures why ``bench.stats`` computes its intervals in another way.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from bench.errors import InvalidInput
from bench.stats.clusters import (
    Array,
    ClusterTotals,
    Ids,
    Numbers,
    cluster_totals,
    numbers,
    require_same_length,
)
from bench.stats.distributions import NORMAL, beta_cdf, student_t_quantile, student_t_tail
from bench.stats.means import CONFIDENCE, Interval, robust_se

# Standard errors of one mean


def naive_se(values: Numbers) -> float:
    """Standard error that takes all rows for independent; NaN for fewer than two rows."""
    scored = numbers(values, "values")
    scored = scored[~np.isnan(scored)]
    if scored.size < 2:
        return math.nan
    return float(scored.std(ddof=1)) / math.sqrt(scored.size)


def cluster_robust_se(values: Numbers, clusters: Ids, weights: Numbers | None = None) -> float:
    """Standard error of the (weighted) mean that allows any dependence within a document.

    √(C/(C−1) · Σ_c (Σ_i w_i (x_i − x̄))²) / Σ w, as in inspect_ai and as statsmodels' default for
    ``cov_type="cluster"``. NaN for fewer than two documents.
    """
    return robust_se(cluster_totals(values, weights, clusters))


def clustered_se_miller(values: Numbers, clusters: Ids) -> float:
    """Miller's equation 4 (2024): the naive variance plus the covariances within documents.

    It lacks the factor C/(C−1) of ``cluster_robust_se``. It is therefore a little smaller where documents
    are few, and says nothing for one document. NaN for fewer than two rows.
    """
    totals = cluster_totals(values, None, clusters)
    scored = numbers(values, "values")
    deviations = scored[~np.isnan(scored)] - totals.mean
    residuals = totals.sums - totals.mean * totals.weights
    covariances = float(residuals @ residuals - deviations @ deviations) / totals.rows**2
    return math.sqrt(naive_se(values) ** 2 + covariances)


# The cluster bootstrap

REPLICATES = 10_000
"""Resamples. The ends of a 95 % interval then move by about 1 % of its width from seed to seed."""

_DRAWS_IN_A_BLOCK = 1 << 20
"""Documents drawn in one block, whose indices and sums take 24 MiB and so stay near the processor."""

_THREADS = 2


class BootstrapInterval(NamedTuple):
    """Percentile interval and standard error from resampled documents."""

    low: float
    high: float
    standard_error: float


def cluster_bootstrap_interval(
    values: Numbers,
    clusters: Ids,
    weights: Numbers | None = None,
    *,
    seed: int,
    replicates: int = REPLICATES,
    confidence: float = CONFIDENCE,
) -> BootstrapInterval:
    """Percentile interval of the (weighted) mean over documents that are drawn with replacement.

    It is too narrow for few documents and for means near 0 or 1.

    Raises:
        InvalidInput: no row has a value, columns differ in length, ``replicates`` is below 2, or ``seed``
            is below 0.
    """
    totals = cluster_totals(values, weights, clusters)
    if totals.count == 0:
        raise InvalidInput("the bootstrap needs at least one scored row, got none")
    if replicates < 2 or seed < 0:
        raise InvalidInput(
            f"the bootstrap needs 2 or more replicates and a seed from 0, "
            f"got {replicates} replicates and seed {seed}"
        )
    means = _resampled_means(totals, replicates, seed)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return BootstrapInterval(float(low), float(high), float(means.std(ddof=1)))


def _resampled_means(totals: ClusterTotals, replicates: int, seed: int) -> Array:
    """Means of the resamples, shape (replicates,), which depend on ``seed`` alone.

    Each block of work has a child of the seed, so the number of threads does not matter.
    """
    largest = max(1, _DRAWS_IN_A_BLOCK // totals.count)
    sizes = [min(largest, replicates - start) for start in range(0, replicates, largest)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    # Sum and weight travel as one complex number: each document drawn is then one look-up.
    sums_and_weights = totals.sums + 1j * totals.weights

    def resampled(child: np.random.SeedSequence, size: int) -> Array:
        generator = np.random.Generator(np.random.PCG64(child))
        drawn = generator.integers(0, totals.count, size=(size, totals.count))
        resampled_totals = sums_and_weights.take(drawn).sum(axis=1)
        means: Array = resampled_totals.real / resampled_totals.imag
        return means

    with ThreadPoolExecutor(_THREADS) as pool:
        return np.concatenate(list(pool.map(resampled, seeds, sizes)))


# Two models


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

    NaN for fewer than two samples and where any score is NaN. If all differences are equal, t is 0 or
    infinite.

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


class ChiSquare(NamedTuple):
    """A test statistic with one degree of freedom, and its p-value."""

    statistic: float
    p: float


def chi_square_tail(x: float) -> float:
    """P(X > x) for chi-square with one degree of freedom."""
    return math.erfc(math.sqrt(x / 2))


def mcnemar_chi_square(b: int, c: int, *, corrected: bool = True) -> ChiSquare:
    """McNemar's large-sample test, with Edwards's continuity correction where ``corrected``.

    ``b`` samples were answered rightly by the first model alone, ``c`` by the second alone. Without any
    such sample there is no evidence: the statistic is 0 and p is 1.
    """
    if b + c == 0:
        return ChiSquare(0.0, 1.0)
    statistic = (abs(b - c) - int(corrected)) ** 2 / (b + c)
    return ChiSquare(statistic, chi_square_tail(statistic))


# Proportions of independent trials: Brown, Cai and DasGupta (2001), "Interval Estimation for a Binomial
# Proportion", Statistical Science 16(2)


def wilson(successes: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval for ``successes`` out of ``n`` independent trials.

    Raises:
        InvalidInput: ``n`` is not above 0, or ``successes`` is not between 0 and ``n``.
    """
    _check_trials(successes, n)
    share = successes / n
    shrink = NORMAL.inv_cdf(0.5 + confidence / 2) ** 2 / n
    centre = (share + shrink / 2) / (1 + shrink)
    half = math.sqrt(shrink * (share * (1 - share) + shrink / 4)) / (1 + shrink)
    # At the ends the formula is exact only on paper.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return Interval(low, 1.0 if successes == n else min(1.0, centre + half))


def clopper_pearson(successes: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """The exact ("beta") interval, which covers at least ``confidence`` and is therefore wide.

    Raises:
        InvalidInput: ``n`` is not above 0, or ``successes`` is not between 0 and ``n``.
    """
    _check_trials(successes, n)
    tail = (1 - confidence) / 2
    failures = n - successes
    low = 0.0 if successes == 0 else beta_quantile(tail, successes, failures + 1)
    high = 1.0 if failures == 0 else beta_quantile(1 - tail, successes + 1, failures)
    return Interval(low, high)


def wald(successes: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """The interval of the textbooks, which is too narrow near 0 and 1.

    Raises:
        InvalidInput: ``n`` is not above 0, or ``successes`` is not between 0 and ``n``.
    """
    _check_trials(successes, n)
    share = successes / n
    half = NORMAL.inv_cdf(0.5 + confidence / 2) * math.sqrt(share * (1 - share) / n)
    return Interval(max(0.0, share - half), min(1.0, share + half))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The ``x`` at which ``beta_cdf`` is ``probability``, to the last bits, by bisection."""
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        if beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _check_trials(successes: float, n: float) -> None:
    if not (n > 0 and 0 <= successes <= n):
        raise InvalidInput(f"expected 0 to n successes of n > 0 trials, got {successes} of {n}")

"""Mean scores with intervals clustered by document.

The interval is a t interval on the log-odds scale, with the standard error that leaving out one
document at a time gives and as many degrees of freedom as the documents are worth
(``docs/statistics.md`` compares it with its rivals and holds the measured coverage). Standard
errors: Miller (2024), "Adding Error Bars to Evals", arXiv 2411.00640; Cameron and Miller (2015),
"A Practitioner's Guide to Cluster-Robust Inference"; MacKinnon, Nielsen and Webb (2023),
"Cluster-robust inference: A guide to empirical practice".
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from bench.schema import Estimate
from bench.stats.bootstrap import REPLICATES, resample
from bench.stats.clusters import ClusterTotals, Ids, Numbers, cluster_totals, numbers
from bench.stats.distributions import student_t_quantile
from bench.stats.proportions import CONFIDENCE, Interval

FEW_CLUSTERS = 20
"""Below this many documents an interval is printed with a warning."""

FEW_NEAR_THE_END = 100
"""Below this many documents so is one of a mean above 0.9 or below 0.1: 100 are the fewest among
which a kind of document that makes up 3 % of them appears with 95 % probability."""

Method = Literal["log-odds", "bootstrap"]
"""``log-odds``: t interval on the log-odds scale. ``bootstrap``: the percentiles of the means of
resampled documents."""


def cluster_mean(
    values: Numbers,
    weights: Numbers | None,
    clusters: Ids,
    *,
    failed: int = 0,
    unscored: int = 0,
    method: Method = "log-odds",
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Estimate:
    """Σ value·weight / Σ weight with a 95 % interval clustered by document.

    Args:
        values: Scores by sample, shape (samples,); None and NaN are dropped and counted as
            unscored, as are samples of weight 0. Failed samples are to be given as worst values.
        weights: Weight of each sample (a reference's length, for CER); None weighs all alike.
        clusters: Document of each sample.
        failed: Samples without an answer, for the record.
        unscored: Samples without a score that are not among ``values``.
        method: How the interval is made.
        seed: Of the bootstrap; the other method draws nothing.
        replicates: Of the bootstrap.

    Raises:
        InvalidInput: columns of different lengths, infinite values, a weight below 0 or missing.
    """
    totals = cluster_totals(values, weights, clusters)
    unscored += totals.dropped
    if totals.count == 0:
        return Estimate(None, None, None, 0, 0, failed, unscored, "nothing could be scored")
    interval: tuple[float | None, float | None] = (None, None)
    if totals.count > 1 and method == "bootstrap":
        means = resample(totals, replicates, seed)
        tail = (1 - CONFIDENCE) / 2
        interval = Interval(*(float(q) for q in np.quantile(means, (tail, 1 - tail))))
    elif totals.count > 1:
        interval = log_odds_interval(totals)
    return Estimate(
        totals.mean,
        *interval,
        n=totals.rows,
        clusters=totals.count,
        failed=failed,
        unscored=unscored,
        warning=doubts(totals),
    )


def cluster_robust_se(values: Numbers, clusters: Ids, weights: Numbers | None = None) -> float:
    """Standard error of the (weighted) mean that allows any dependence within a document.

    √(C/(C−1) · Σ_c (Σ_i w_i (x_i − x̄))²) / Σ w, as in inspect_ai and as statsmodels' default for
    ``cov_type="cluster"``. NaN for fewer than two documents, where nothing can be said.
    """
    return robust_se(cluster_totals(values, weights, clusters))


def clustered_se_miller(values: Numbers, clusters: Ids) -> float:
    """Miller's equation 4: the naive variance plus the covariances within documents.

    Without the C/(C−1) of ``cluster_robust_se``, so a little smaller where documents are few, and
    meaningless for one document. NaN for fewer than two rows.
    """
    totals = cluster_totals(values, None, clusters)
    value = numbers(values, "values")
    deviations = value[~np.isnan(value)] - totals.mean
    between = totals.sums - totals.mean * totals.weights
    cross = float(between @ between - deviations @ deviations) / totals.rows**2
    return math.sqrt(naive_se(values) ** 2 + cross)


def naive_se(values: Numbers) -> float:
    """Standard error that takes all rows for independent; NaN for fewer than two rows."""
    value = numbers(values, "values")
    value = value[~np.isnan(value)]
    return float(value.std(ddof=1)) / math.sqrt(value.size) if value.size > 1 else math.nan


def robust_se(totals: ClusterTotals) -> float:
    """``cluster_robust_se`` from sums by document."""
    if totals.count < 2:
        return math.nan
    residuals = totals.sums - totals.mean * totals.weights
    scale = totals.count / (totals.count - 1)
    return math.sqrt(scale * float(residuals @ residuals)) / float(totals.weights.sum())


def jackknife_se(totals: ClusterTotals) -> float:
    """Standard error of the mean from the means without one document (CV3), for two or more.

    Equal to ``robust_se`` for documents of equal weight, larger for unequal ones: it knows that a
    large document pulls the mean towards itself.
    """
    residuals = totals.sums - totals.mean * totals.weights
    moves = residuals / (totals.weights.sum() - totals.weights)
    return math.sqrt((totals.count - 1) / totals.count * float(moves @ moves))


def t_quantile(totals: ClusterTotals) -> float:
    """Two-sided 95 % quantile of Student's t with (effective documents − 1), at least 1, degrees.

    With unequal documents C − 1 degrees promise more than the standard error knows (Carter,
    Schnepel and Steigerwald 2017): the large documents decide it alone.
    """
    return student_t_quantile(0.5 + CONFIDENCE / 2, max(1.0, totals.effective - 1))


def log_odds_interval(totals: ClusterTotals) -> Interval:
    """95 % interval of the mean of two or more documents; contains the mean.

    Values within 0 and 1 are transformed by the log-odds; values that may exceed 1 (error rates)
    by the logarithm; where some are negative, not at all.
    """
    mean, reach = totals.mean, t_quantile(totals) * jackknife_se(totals)
    if totals.lowest < 0:
        interval = Interval(mean - reach, mean + reach)
    elif mean <= 0 or (totals.highest <= 1 and mean >= 1):
        interval = Interval(mean, mean)
    elif totals.highest <= 1:
        factor = math.exp(min(reach / (mean * (1 - mean)), 700.0))
        odds = mean / (1 - mean)
        interval = Interval(1 / (1 + factor / odds), 1 / (1 + 1 / (odds * factor)))
    else:
        factor = math.exp(min(reach / mean, 700.0))
        interval = Interval(mean / factor, mean * factor)
    floor, ceiling = min(0.0, totals.lowest), max(1.0, totals.highest)
    return widen(interval, totals, floor, ceiling)


def departures(totals: ClusterTotals) -> int:
    """Documents whose mean is not the one that is commonest (strictly: the median document's)."""
    means = totals.sums / totals.weights
    common = np.sort(means)[totals.count // 2]
    return int(np.count_nonzero(np.abs(means - common) > 1e-9 * max(1.0, abs(common))))


def widen(interval: Interval, totals: ClusterTotals, floor: float, ceiling: float) -> Interval:
    """``interval``, made to contain its mean and, where documents hardly vary, the unseen.

    Where all documents but at most one score the same, their spread says nothing about the
    documents that were not drawn. A share r of those can differ and still be missed by K
    documents with probability (1 − r)^K = 5 % (the exact rule of three); the interval then
    reaches to what the mean would be if that share scored ``floor`` or ``ceiling``.
    """
    mean = totals.mean
    low, high = min(interval.low, mean), max(interval.high, mean)
    if departures(totals) <= 1:
        unseen = 1 - (1 - CONFIDENCE) ** (1 / totals.effective)
        low = min(low, mean - unseen * (mean - floor))
        high = max(high, mean + unseen * (ceiling - mean))
    return Interval(low, high)


def doubts(totals: ClusterTotals) -> str | None:
    """Why an interval from these documents deserves doubt, in words; None where it does not."""
    if totals.count == 1:
        return "all samples are from one document: no interval can be given"
    found = []
    if totals.count < FEW_CLUSTERS:
        found.append(f"only {totals.count} documents: the interval is rough")
    elif totals.effective < FEW_CLUSTERS:
        found.append(
            f"documents of unequal weight count as {totals.effective:.1f}: the interval is rough"
        )
    elif totals.count < FEW_NEAR_THE_END and not 0.1 <= totals.mean <= 0.9:
        found.append(f"{totals.count} documents may lack a rare kind that scores quite differently")
    if (different := departures(totals)) <= 1:
        which = "all documents" if different == 0 else "all documents but one"
        found.append(f"{which} score the same: the interval bounds what they may have missed")
    return "; ".join(found) or None

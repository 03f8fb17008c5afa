"""Mean scores with 95 % intervals that count documents, not questions, as evidence.

The interval is a t interval on the log-odds scale. Its standard error comes from leaving out one document at
a time, and its degrees of freedom from how many documents of equal weight the documents are worth.
``docs/statistics.md`` compares it with other intervals and shows how often each holds the truth. Standard
errors: Miller (2024), "Adding Error Bars to Evals", arXiv 2411.00640; Cameron and Miller (2015),
"A Practitioner's Guide to Cluster-Robust Inference"; MacKinnon, Nielsen and Webb (2023),
"Cluster-robust inference: A guide to empirical practice".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bench.schema import Estimate
from bench.stats.clusters import ClusterTotals, Ids, Numbers, cluster_totals
from bench.stats.distributions import student_t_quantile

CONFIDENCE = 0.95
"""Confidence of every interval that the harness prints."""

FEW_CLUSTERS = 20
"""Below this many documents an interval is printed with a warning."""

FEW_NEAR_THE_END = 100
"""Below this many documents the interval of a mean above 0.9 or below 0.1 is printed with a warning. A
kind of document that makes up 3 % of all documents appears among 100 of them with 95 % probability."""

ONE_DOCUMENT = "all samples are from one document: no interval can be given"
"""The warning where documents cannot differ, because there is only one."""

MAX_EXPONENT = 700.0
"""``math.exp`` overflows above 709; an interval that wide ends at the limits of the scale anyway."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def cluster_mean(
    values: Numbers,
    weights: Numbers | None,
    clusters: Ids,
    *,
    failed: int = 0,
    unscored: int = 0,
) -> Estimate:
    """Compute Σ value·weight / Σ weight, with a 95 % interval clustered by document.

    Args:
        values: Scores by sample, shape (samples,). None and NaN are left out and counted as unscored, and
            so are samples of weight 0. A failed sample must be given with the worst value.
        weights: Weight of each sample (the reference's length, for CER); None weighs all alike.
        clusters: Document of each sample.
        failed: Number of samples without an answer; it is only recorded.
        unscored: Number of samples without a score that are not among ``values``.

    Raises:
        InvalidInput: columns of different lengths, infinite values, a weight below 0 or missing.
    """
    totals = cluster_totals(values, weights, clusters)
    unscored += totals.dropped
    if totals.count == 0:
        return Estimate(None, None, None, 0, 0, failed, unscored, "nothing could be scored")
    interval = log_odds_interval(totals) if totals.count > 1 else None
    return Estimate(
        totals.mean,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        n=totals.rows,
        clusters=totals.count,
        failed=failed,
        unscored=unscored,
        warning=doubts(totals),
    )


def robust_se(totals: ClusterTotals) -> float:
    """Compute the standard error of the mean that allows any dependence within a document.

    √(C/(C−1) · Σ_c (Σ_i w_i (x_i − x̄))²) / Σ w, as in inspect_ai and as statsmodels' default for
    ``cov_type="cluster"``. NaN for fewer than two documents.
    """
    if totals.count < 2:
        return math.nan
    residuals = totals.sums - totals.mean * totals.weights
    scale = totals.count / (totals.count - 1)
    return math.sqrt(scale * float(residuals @ residuals)) / float(totals.weights.sum())


def jackknife_se(totals: ClusterTotals) -> float:
    """Compute the standard error from the means without one document (CV3), for two or more documents.

    It equals ``robust_se`` for documents of equal weight and is larger for unequal ones, because it knows
    that a large document pulls the mean towards itself.
    """
    residuals = totals.sums - totals.mean * totals.weights
    moves = residuals / (totals.weights.sum() - totals.weights)
    return math.sqrt((totals.count - 1) / totals.count * float(moves @ moves))


def t_quantile(totals: ClusterTotals) -> float:
    """Two-sided 95 % quantile of Student's t with (effective documents − 1), at least 1, degrees.

    With unequal documents, C − 1 degrees of freedom would promise more than the standard error knows,
    because the large documents decide it alone (Carter, Schnepel and Steigerwald 2017).
    """
    return student_t_quantile(0.5 + CONFIDENCE / 2, max(1.0, totals.effective - 1))


def log_odds_interval(totals: ClusterTotals) -> Interval:
    """95 % interval of the mean of two or more documents; it contains the mean.

    Values between 0 and 1 are transformed by the log-odds, and values that may exceed 1 (error rates) by
    the logarithm. If some values are negative, nothing is transformed.
    """
    mean = totals.mean
    reach = t_quantile(totals) * jackknife_se(totals)
    if totals.lowest < 0:
        interval = Interval(mean - reach, mean + reach)
    elif mean <= 0 or (totals.highest <= 1 and mean >= 1):
        interval = Interval(mean, mean)
    elif totals.highest <= 1:
        factor = math.exp(min(reach / (mean * (1 - mean)), MAX_EXPONENT))
        odds = mean / (1 - mean)
        interval = Interval(1 / (1 + factor / odds), 1 / (1 + 1 / (odds * factor)))
    else:
        factor = math.exp(min(reach / mean, MAX_EXPONENT))
        interval = Interval(mean / factor, mean * factor)
    floor, ceiling = min(0.0, totals.lowest), max(1.0, totals.highest)
    return widen(interval, totals, floor, ceiling)


def departures(totals: ClusterTotals) -> int:
    """Count the documents whose mean differs from the median document's."""
    means = totals.sums / totals.weights
    common = np.sort(means)[totals.count // 2]
    return int(np.count_nonzero(np.abs(means - common) > 1e-9 * max(1.0, abs(common))))


def widen(interval: Interval, totals: ClusterTotals, floor: float, ceiling: float) -> Interval:
    """Make ``interval`` contain its mean and, where documents hardly vary, what was not seen.

    Where all documents but at most one score the same, their spread says nothing about documents that
    were not drawn. A share r of those can score otherwise and still be missed by K documents with
    probability (1 − r)^K = 5 % (the exact rule of three). The interval is then extended to what the mean
    would be if that share scored ``floor`` or ``ceiling``.
    """
    mean = totals.mean
    low, high = min(interval.low, mean), max(interval.high, mean)
    if departures(totals) <= 1:
        unseen = 1 - (1 - CONFIDENCE) ** (1 / totals.effective)
        low = min(low, mean - unseen * (mean - floor))
        high = max(high, mean + unseen * (ceiling - mean))
    return Interval(low, high)


def few_documents(totals: ClusterTotals, consequence: str) -> list[str]:
    """Say that these documents are too few for what ``consequence`` names; nothing where they are enough."""
    if totals.count < FEW_CLUSTERS:
        return [f"only {totals.count} documents: {consequence}"]
    if totals.effective < FEW_CLUSTERS:
        return [f"documents of unequal weight count as {totals.effective:.1f}: {consequence}"]
    return []


def doubts(totals: ClusterTotals) -> str | None:
    """Say why an interval from these documents deserves doubt; None if it does not."""
    if totals.count == 1:
        return ONE_DOCUMENT
    reasons = few_documents(totals, "the interval is rough")
    if not reasons and totals.count < FEW_NEAR_THE_END and not 0.1 <= totals.mean <= 0.9:
        reasons.append(
            f"{totals.count} documents may lack a rare kind that scores quite differently"
        )
    different = departures(totals)
    if different <= 1:
        which = "all documents" if different == 0 else "all documents but one"
        reasons.append(f"{which} score the same: the interval bounds what they may have missed")
    return "; ".join(reasons) or None

"""Mean scores with intervals clustered by document."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.schema import Estimate
from bench.stats.clusters import Array, ClusterTotals, Numbers, cluster_totals

CONFIDENCE = 0.95
"""Of every interval that the harness prints."""

FEW_CLUSTERS = 20
"""Below this many documents an interval is printed with a warning (Cameron and Miller 2015, VI)."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def cluster_mean(
    values: Numbers,
    weights: Numbers | None,
    clusters: Sequence[Hashable] | NDArray[Any],
    *,
    failed: int = 0,
    unscored: int = 0,
    seed: int = 0,
    replicates: int = 10_000,
) -> Estimate:
    """Σ value·weight / Σ weight with a 95 % interval clustered by document."""
    totals = cluster_totals(values, weights, clusters)
    count = len(totals.sums)
    unscored += totals.dropped
    if count == 0:
        return Estimate(
            None, None, None, 0, 0, failed, unscored, "nothing could be scored"
        )
    if count == 1:
        warning = "all samples come from one document: no interval can be had"
        return Estimate(
            totals.mean, None, None, totals.rows, 1, failed, unscored, warning
        )
    interval = _score_interval(totals)
    warning = f"only {count} documents: the interval may be too narrow"
    return Estimate(
        totals.mean,
        interval.low,
        interval.high,
        totals.rows,
        count,
        failed,
        unscored,
        warning if count < FEW_CLUSTERS else None,
    )


def cluster_robust_se(
    values: Numbers,
    clusters: Sequence[Hashable] | NDArray[Any],
    weights: Numbers | None = None,
) -> float:
    """Standard error of the mean, robust to dependence within a document; NaN for one document."""
    return _robust_se(cluster_totals(values, weights, clusters))


def _robust_se(totals: ClusterTotals) -> float:
    count = len(totals.sums)
    if count < 2:
        return math.nan
    residuals: Array = totals.sums - totals.mean * totals.weights
    squares = float(residuals @ residuals)
    return math.sqrt(count / (count - 1) * squares) / float(totals.weights.sum())


def _score_interval(totals: ClusterTotals) -> Interval:
    from scipy.special import stdtrit

    count = len(totals.sums)
    quantile = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2))
    mean, error = totals.mean, _robust_se(totals)
    if totals.low < 0 or totals.high > 1:
        return Interval(mean - quantile * error, mean + quantile * error)
    effective = mean * (1 - mean) / error**2 if error > 0 else float(count)
    return wilson_interval(mean, effective, quantile)


def wilson_interval(proportion: float, n: float, quantile: float) -> Interval:
    """Wilson's score interval around ``proportion`` of ``n`` draws (need not be whole)."""
    shrink = quantile**2 / n
    centre = (proportion + shrink / 2) / (1 + shrink)
    half = math.sqrt(shrink * (proportion * (1 - proportion) + shrink / 4)) / (
        1 + shrink
    )
    return Interval(max(0.0, centre - half), min(1.0, centre + half))

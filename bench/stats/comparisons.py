"""Two models on the same samples: paired difference, and corrections for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.stats.clusters import Numbers, cluster_totals, numbers, same_length
from bench.stats.means import _robust_se


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much better the first model is than the second on the same samples."""

    difference: float | None
    """Mean of (first − second); None where no sample was scored for both."""
    low: float | None
    """Lower end of the 95 % interval; None where no interval can be had."""
    high: float | None
    p: float | None
    """Two-sided p-value of "no difference"; None where no test can be made."""
    n: int
    """Samples scored for both models."""
    clusters: int
    """Documents they come from."""
    unscored: int = 0
    """Samples left out because one of the two models has no score."""
    warning: str | None = None
    """Why the interval or p deserves doubt."""


def paired_difference(
    a: Numbers,
    b: Numbers,
    clusters: Sequence[Hashable] | NDArray[Any],
    *,
    weights: Numbers | None = None,
    seed: int = 0,
) -> PairedDifference:
    """Mean of a − b over the samples that both models have a score for, clustered by document."""
    from scipy.special import stdtr, stdtrit

    same_length(a=a, b=b, clusters=clusters)
    totals = cluster_totals(numbers(a, "a") - numbers(b, "b"), weights, clusters)
    count = len(totals.sums)
    if count == 0:
        return PairedDifference(
            None,
            None,
            None,
            None,
            0,
            0,
            totals.dropped,
            "no sample was scored for both models",
        )
    mean = totals.mean
    if count == 1:
        warning = "all samples come from one document: no interval can be had"
        return PairedDifference(
            mean, None, None, None, totals.rows, 1, totals.dropped, warning
        )
    error = _robust_se(totals)
    half = float(stdtrit(count - 1, 0.975)) * error
    p = 1.0 if mean == 0 else 0.0
    if error > 0:
        p = float(2 * stdtr(count - 1, -abs(mean) / error))
    warning = f"only {count} documents" if count < 20 else None
    return PairedDifference(
        mean, mean - half, mean + half, p, totals.rows, count, totals.dropped, warning
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (p.size - np.arange(p.size))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [math.nan if math.isnan(v) else v for v in adjusted.tolist()]

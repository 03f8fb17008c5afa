"""Rows of scores summed up per document: everything else in this package starts from these sums.

A score's document is its cluster. The questions of one page share the scan, the layout and the
model's luck with both, so they are not independent, and only documents are resampled or counted
as evidence.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.errors import InvalidInput

Array = NDArray[np.float64]
Numbers = Sequence[float | None] | NDArray[Any]
"""Scores by row; None and NaN mean "not scored"."""


class ClusterTotals(NamedTuple):
    """Sums by document; documents in an order that does not depend on the order of the rows."""

    sums: Array
    """Σ value·weight of each document, shape (clusters,)."""
    weights: Array
    """Σ weight of each document, shape (clusters,)."""
    rows: int
    """Rows that were used."""
    dropped: int
    """Rows left out: without a value, or of weight 0."""
    low: float
    """Smallest value used; NaN without rows."""
    high: float
    """Largest value used; NaN without rows."""

    @property
    def mean(self) -> float:
        """Σ value·weight / Σ weight."""
        return float(self.sums.sum() / self.weights.sum())


def numbers(values: Numbers, name: str) -> Array:
    """``values`` as an array of shape (rows,), None as NaN; infinities are refused."""
    try:
        array = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name}: expected one number or None in each row") from None
    if array.ndim != 1:
        raise InvalidInput(
            f"{name}: expected one number in each row, got shape {array.shape}"
        )
    infinite = np.flatnonzero(np.isinf(array))
    if infinite.size > 0:
        raise InvalidInput(
            f"{name}: row {infinite[0]} is {array[infinite[0]]}, expected a number"
        )
    return array


def same_length(**columns: Sequence[Any] | NDArray[Any] | None) -> None:
    """Refuse columns of different lengths; None stands for a column that was not given."""
    lengths = {
        name: len(column) for name, column in columns.items() if column is not None
    }
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise InvalidInput(f"expected one entry a row in every column, got {shown}")


def codes(clusters: Iterable[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Each row's document as a number from 0, in the order of the ids, and how many there are."""
    ids = clusters.tolist() if isinstance(clusters, np.ndarray) else list(clusters)
    # Sorted, so that a seeded resample does not depend on the order of the rows.
    index = {cluster: i for i, cluster in enumerate(sorted(set(ids), key=str))}
    return np.fromiter((index[c] for c in ids), dtype=np.intp, count=len(ids)), len(
        index
    )


def cluster_totals(
    values: Numbers,
    weights: Numbers | None,
    clusters: Sequence[Hashable] | NDArray[Any],
) -> ClusterTotals:
    """Sum ``values`` by document; rows without a value or of weight 0 are dropped and counted.

    Raises:
        InvalidInput: columns of different lengths, infinite values, weights below 0 or missing.
    """
    same_length(values=values, weights=weights, clusters=clusters)
    value = numbers(values, "values")
    weight = np.ones_like(value) if weights is None else numbers(weights, "weights")
    if np.isnan(weight).any() or (weight < 0).any():
        row = int(np.flatnonzero(np.isnan(weight) | (weight < 0))[0])
        raise InvalidInput(f"weights: row {row} is {weight[row]}, expected 0 or more")
    used = ~np.isnan(value) & (weight > 0)
    value, weight = value[used], weight[used]
    ids = clusters.tolist() if isinstance(clusters, np.ndarray) else clusters
    code, count = codes([c for c, keep in zip(ids, used.tolist(), strict=True) if keep])
    return ClusterTotals(
        sums=np.bincount(code, weights=value * weight, minlength=count),
        weights=np.bincount(code, weights=weight, minlength=count),
        rows=int(used.sum()),
        dropped=int((~used).sum()),
        low=float(value.min()) if value.size else float("nan"),
        high=float(value.max()) if value.size else float("nan"),
    )

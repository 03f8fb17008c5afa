"""Rows of scores summed up by document: everything else in this package starts from these sums.

A document is a cluster. The questions about one page share the scan, the layout and the model's luck with
both, so they are not independent. Documents, not questions, are counted as evidence.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InvalidInput

Array = NDArray[np.float64]
Numbers = Sequence[float | None] | NDArray[Any]
"""Scores by row; None and NaN mean that the row is not scored."""
Ids = Sequence[Hashable] | NDArray[Any]
"""The document of each row."""


@dataclass(frozen=True, slots=True)
class ClusterTotals:
    """Sums by document, in an order of documents that does not depend on the order of the rows."""

    sums: Array
    """Σ value·weight of each document, shape (clusters,)."""
    weights: Array
    """Σ weight of each document, shape (clusters,); none is 0."""
    rows: int
    """Rows that were used."""
    dropped: int
    """Rows that were left out, because they have no value or weight 0."""
    lowest: float
    """Smallest value used; 0 without rows."""
    highest: float
    """Largest value used; 0 without rows."""

    @property
    def count(self) -> int:
        """Documents."""
        return self.sums.size

    @property
    def mean(self) -> float:
        """Σ value·weight / Σ weight."""
        return float(self.sums.sum() / self.weights.sum())

    @property
    def effective(self) -> float:
        """The number of documents of equal weight that these are worth: (Σ w)² / Σ w² (Kish 1965)."""
        return float(self.weights.sum() ** 2 / (self.weights @ self.weights))


def numbers(values: Numbers, name: str) -> Array:
    """``values`` as an array of shape (rows,), None as NaN.

    Raises:
        InvalidInput: a row is not a number, or infinite.
    """
    try:
        array = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name}: expected one number or None in each row") from None
    if array.ndim != 1:
        raise InvalidInput(f"{name}: expected one number in each row, got shape {array.shape}")
    infinite = np.flatnonzero(np.isinf(array))
    if infinite.size > 0:
        row = int(infinite[0])
        raise InvalidInput(f"{name}: expected a finite number, got {array[row]} in row {row}")
    return array


def require_same_length(**columns: Numbers | Ids | None) -> None:
    """Refuse columns of different lengths; None stands for a column that was not given."""
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise InvalidInput(f"expected columns of one length, got {shown}")


def cluster_codes(clusters: Iterable[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Number the documents from 0, in the order of their ids.

    Returns:
        The number of each row's document, and how many documents there are.
    """
    ids = list(clusters)
    # Sorted, so that no sum depends on the order of the rows.
    numbers_of_ids = {cluster: i for i, cluster in enumerate(sorted(set(ids), key=str))}
    codes = np.fromiter((numbers_of_ids[id_] for id_ in ids), dtype=np.intp, count=len(ids))
    return codes, len(numbers_of_ids)


def cluster_totals(values: Numbers, weights: Numbers | None, clusters: Ids) -> ClusterTotals:
    """Sum ``values`` by document; rows without a value or of weight 0 are left out and counted.

    Raises:
        InvalidInput: columns of different lengths, infinite values, a weight below 0 or missing.
    """
    require_same_length(values=values, weights=weights, clusters=clusters)
    value = numbers(values, "values")
    weight = np.ones_like(value) if weights is None else numbers(weights, "weights")
    wrong = np.flatnonzero(~(weight >= 0))
    if wrong.size > 0:
        row = int(wrong[0])
        raise InvalidInput(f"weights: expected 0 or more, got {weight[row]} in row {row}")
    used = ~np.isnan(value) & (weight > 0)
    value, weight = value[used], weight[used]
    ids = clusters.tolist() if isinstance(clusters, np.ndarray) else clusters
    used_ids = [id_ for id_, is_used in zip(ids, used.tolist(), strict=True) if is_used]
    code, count = cluster_codes(used_ids)
    return ClusterTotals(
        sums=_sum_by(code, value * weight, count),
        weights=_sum_by(code, weight, count),
        rows=value.size,
        dropped=used.size - value.size,
        lowest=float(value.min(initial=np.inf)) if value.size else 0.0,
        highest=float(value.max(initial=-np.inf)) if value.size else 0.0,
    )


def _sum_by(code: NDArray[np.intp], value: Array, count: int) -> Array:
    return np.asarray(np.bincount(code, weights=value, minlength=count), dtype=np.float64)

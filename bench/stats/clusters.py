"""Rows of scores summed up by document: everything else in this package starts from these sums.

A document is a cluster. The questions about one page share the scan, the layout and the model's luck with
both, so they are not independent. Documents, not questions, are counted as evidence.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
    weight = checked_weights(weights, value)
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


def checked_weights(weights: Numbers | None, values: Array) -> Array:
    """``weights`` as an array; None weighs all of ``values`` alike."""
    weight = np.ones_like(values) if weights is None else numbers(weights, "weights")
    wrong = np.flatnonzero(~(weight >= 0))
    if wrong.size > 0:
        row = int(wrong[0])
        raise InvalidInput(f"weights: expected 0 or more, got {weight[row]} in row {row}")
    return weight


def balanced(weights: Array, tasks: NDArray[np.intp], used: NDArray[np.bool_]) -> Array:
    """``weights`` by which every task counts the same: those of its ``used`` rows add up to 1."""
    totals = np.bincount(tasks, weights=np.where(used, weights, 0.0))[tasks]
    return np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0)


class PairedWeights(NamedTuple):
    """How much each sample counts in the two means whose difference is taken."""

    first: Numbers
    second: Numbers
    """They differ from ``first`` where an answer decides how much it counts, as in a micro F1."""
    tasks: NDArray[np.intp]
    """A number for the task of each sample; every task counts the same."""


class PairedRows(NamedTuple):
    """Rows whose weighted mean is the difference of two weighted means."""

    differences: Array
    weights: Array


def paired_rows(first: Array, second: Array, weights: PairedWeights) -> PairedRows:
    """One row for each sample: a difference, and how much it counts.

    Where a sample counts the same in both means, its difference is first − second. Elsewhere it is what the
    sample adds to the first mean, less what it adds to the second. Both are measured from the middle between
    the two means, because then the weighted mean of all rows is the difference of the two means.

    Raises:
        InvalidInput: columns of different lengths, infinite values, a weight below 0 or missing.
    """
    require_same_length(values=first, weights=weights.first, tasks=weights.tasks)
    require_same_length(values=first, weights=weights.second)
    first_weights = checked_weights(weights.first, first)
    second_weights = checked_weights(weights.second, first)
    common = (first_weights + second_weights) / 2
    differences = first - second
    scored = ~np.isnan(differences)
    unlike = scored & (first_weights != second_weights)
    for task in np.unique(weights.tasks[unlike]):
        rows = scored & (weights.tasks == task)
        if first_weights[rows].sum() > 0 and second_weights[rows].sum() > 0:
            first_mean = np.average(first[rows], weights=first_weights[rows])
            second_mean = np.average(second[rows], weights=second_weights[rows])
            middle = (first_mean + second_mean) / 2
            rows &= unlike
            to_first = first_weights[rows] * (first[rows] - middle)
            to_second = second_weights[rows] * (second[rows] - middle)
            differences[rows] = (to_first - to_second) / common[rows]
    if np.unique(weights.tasks[scored]).size > 1:
        common = balanced(common, weights.tasks, scored)
    return PairedRows(differences, common)


def paired_totals(
    first: Array, second: Array, clusters: Ids, weights: PairedWeights | Numbers | None
) -> ClusterTotals:
    """Sum first − second by document, so that the mean is the difference of the two weighted means.

    Raises:
        InvalidInput: columns of different lengths, infinite values, a weight below 0 or missing.
    """
    if isinstance(weights, PairedWeights):
        return cluster_totals(*paired_rows(first, second, weights), clusters)
    return cluster_totals(first - second, weights, clusters)


def _sum_by(code: NDArray[np.intp], value: Array, count: int) -> Array:
    return np.asarray(np.bincount(code, weights=value, minlength=count), dtype=np.float64)

"""Calibration measures whether a model that is 80 % sure is right in 80 % of its answers.

The expected calibration error is binned as in torchmetrics 1.9 (equal width, right-open, single-precision
edges); beside it stands the Brier score. Both are of a corpus, not of a sample: they take all confidences and
what turned out to be right. The number of bins changes the value and must be named with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from bench.errors import InvalidInput
from bench.metrics.metric import MetricRow

DEFAULT_BINS = 15
"""As in torchmetrics and in most papers since Guo et al. (2017)."""


class Bin(NamedTuple):
    """One bin of a reliability diagram."""

    low: float
    """Lower edge, inside."""
    high: float
    """Upper edge, outside; the last bin holds exactly 1."""
    samples: int
    confidence: float
    """Mean confidence of its samples."""
    accuracy: float
    """Mean correctness of its samples."""

    @property
    def gap(self) -> float:
        """How far mean confidence and mean correctness are apart."""
        return abs(self.accuracy - self.confidence)


@dataclass(frozen=True, slots=True)
class CorpusMetric(MetricRow):
    """A metric of many samples together: computed from (confidence, correct) pairs."""

    compute: Callable[[Sequence[float], Sequence[float]], float | None]
    """From confidences in 0..1 and correctness (0/1, or a score in 0..1) to a value; None without any."""


def reliability_bins(
    confidences: Sequence[float], correct: Sequence[float], *, bins: int = DEFAULT_BINS
) -> tuple[Bin, ...]:
    """The bins that hold a sample, by rising confidence.

    Raises:
        InvalidInput: lengths differ, a confidence lies outside 0..1, or there are no bins.
    """
    import numpy as np

    _check(confidences, correct, bins)
    if not confidences:
        return ()
    values = np.asarray(confidences, dtype=np.float32)
    right = np.asarray(correct, dtype=np.float64)
    # Single precision, because a value on an edge falls where the reference implementation puts it.
    edges = np.linspace(0, 1, bins + 1, dtype=np.float32)
    index = np.searchsorted(edges, values, side="right") - 1
    counts = np.bincount(index, minlength=bins + 1)
    sums = np.bincount(index, weights=values.astype(np.float64), minlength=bins + 1)
    hits = np.bincount(index, weights=right, minlength=bins + 1)
    bins_with_samples = []
    for filled in np.flatnonzero(counts).tolist():
        samples = int(counts[filled])
        bins_with_samples.append(
            Bin(
                low=float(edges[filled]),
                high=float(edges[min(filled + 1, bins)]),
                samples=samples,
                confidence=float(sums[filled] / samples),
                accuracy=float(hits[filled] / samples),
            )
        )
    return tuple(bins_with_samples)


def ece(
    confidences: Sequence[float], correct: Sequence[float], *, bins: int = DEFAULT_BINS
) -> float | None:
    """Expected calibration error over ``bins`` bins of equal width; None without samples.

    Raises:
        InvalidInput: as ``reliability_bins``.
    """
    filled = reliability_bins(confidences, correct, bins=bins)
    if not filled:
        return None
    return sum(each.gap * (each.samples / len(confidences)) for each in filled)


def brier(confidences: Sequence[float], correct: Sequence[float]) -> float | None:
    """Mean squared difference of confidence and correctness (Brier, 1950); None without samples."""
    _check(confidences, correct, 1)
    if not confidences:
        return None
    pairs = zip(confidences, correct, strict=True)
    squares = [(confidence - outcome) ** 2 for confidence, outcome in pairs]
    return sum(squares) / len(confidences)


def _check(confidences: Sequence[float], correct: Sequence[float], bins: int) -> None:
    if len(confidences) != len(correct):
        raise InvalidInput(
            f"calibration needs one verdict for each confidence, got {len(confidences)} confidences "
            f"and {len(correct)} verdicts"
        )
    if bins < 1:
        raise InvalidInput(f"calibration needs at least one bin, got {bins}")
    wrong = next((value for value in confidences if not 0 <= value <= 1), None)
    if wrong is not None:
        raise InvalidInput(f"a confidence must lie between 0 and 1, got {wrong!r}")


CORPUS_METRICS: Final[Mapping[str, CorpusMetric]] = MappingProxyType(
    {
        row.name: row
        for row in (
            CorpusMetric(
                name="ece",
                title="Expected calibration error",
                direction="lower",
                range=(0.0, 1.0),
                definition="Mean gap between confidence and accuracy over 15 bins of confidence.",
                source="torchmetrics 1.9, binary calibration error (l1); Naeini et al., AAAI 2015",
                variant="equal width, right-open bins, single-precision edges",
                compute=ece,
            ),
            CorpusMetric(
                name="brier",
                title="Brier score",
                direction="lower",
                range=(0.0, 1.0),
                definition="Mean squared difference of confidence and correctness.",
                source="Brier, 1950; scikit-learn 1.9, brier_score_loss",
                variant="correctness 0/1, or a score in 0..1",
                compute=brier,
            ),
        )
    }
)
"""Metrics of a corpus by name. They need a confidence with every answer and have no value for one sample."""

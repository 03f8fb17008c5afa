"""How many answers need no person: risk and coverage of the answers that a model is sure of.

An answer passes if the model's confidence reaches a threshold. *Coverage* is the share of answers that pass,
and the *risk* is the share of wrong ones among them (El-Yaniv and Wiener, JMLR 11, 2010; Geifman and
El-Yaniv, NeurIPS 2017). A threshold that is judged on the answers that chose it looks better than it is, so
it is chosen on one half of the documents and judged on the other (``bench.scoring.held_out``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.schema import Estimate
from bench.scoring.held_out import FEWEST_DOCUMENTS, Array, Flags, halves
from bench.stats import cluster_mean

CURVE_POINTS = 12
"""Points of a curve, spread evenly over the coverage."""


class Sureness(NamedTuple):
    """The answers of one model, with how sure it was of each."""

    confidence: Array
    """0 to 1, shape (answers,); −1 where the model gave none, or no answer: such an answer never passes."""
    right: Flags
    """Whether each answer is right, shape (answers,)."""
    documents: Sequence[Hashable]
    """The document of each answer."""

    def only(self, rows: Flags) -> Sureness:
        """The answers of these rows."""
        kept = [name for name, keep in zip(self.documents, rows.tolist(), strict=True) if keep]
        return Sureness(self.confidence[rows], self.right[rows], kept)


class CurvePoint(NamedTuple):
    """One point of the risk–coverage curve."""

    coverage: float
    """Share of the answers that pass."""
    threshold: float
    """The confidence from which an answer passes."""
    right: Estimate
    """Share of right answers among them."""


@dataclass(frozen=True, slots=True)
class Unreviewed:
    """What passes if a share of it is to be right, judged on documents that did not choose the threshold."""

    target: float
    """The share of right answers that is asked for."""
    thresholds: tuple[float | None, float | None]
    """Chosen on each half of the documents; None where no threshold reaches the target."""
    coverage: Estimate
    """Share of the answers that pass."""
    right: Estimate
    """Share of right answers among those that pass; without a value if none passes."""

    @property
    def threshold(self) -> float | None:
        """The stricter one of both thresholds; None if a half found none."""
        first, second = self.thresholds
        return None if first is None or second is None else max(first, second)


def choose_threshold(answers: Sureness, target: float) -> float | None:
    """The lowest confidence from which a share ``target`` of the answers is right; None if there is none.

    Answers of equal confidence pass together.
    """
    order = np.argsort(-answers.confidence, kind="stable")
    confidence, right = answers.confidence[order], answers.right[order]
    passed = np.arange(1, confidence.size + 1)
    is_last_of_its_confidence = np.append(confidence[:-1] != confidence[1:], True)[
        : confidence.size
    ]
    reaches = np.cumsum(right) / passed >= target
    possible = np.flatnonzero(reaches & is_last_of_its_confidence & (confidence >= 0))
    return float(confidence[possible[-1]]) if possible.size else None


def unreviewed(answers: Sureness, target: float) -> Unreviewed | None:
    """How many answers pass so that a share ``target`` of them is right; None with too few documents."""
    if len(set(answers.documents)) < FEWEST_DOCUMENTS:
        return None
    first = halves(answers.documents)
    thresholds = tuple(choose_threshold(answers.only(rows), target) for rows in (first, ~first))
    on_first, on_second = thresholds
    # Each half is judged by what the other one chose.
    passes = np.zeros(first.size, dtype=np.bool_)
    for rows, threshold in ((first, on_second), (~first, on_first)):
        if threshold is not None:
            passes |= rows & (answers.confidence >= threshold)
    return Unreviewed(
        target,
        (on_first, on_second),
        cluster_mean(passes.astype(np.float64), None, answers.documents),
        share_right(answers.only(passes)),
    )


def share_right(answers: Sureness) -> Estimate:
    """The share of right answers, with its interval."""
    return cluster_mean(answers.right.astype(np.float64), None, answers.documents)


def risk_coverage(answers: Sureness) -> list[CurvePoint]:
    """The share of right answers among the surest 1/12, 2/12 … of all; equal confidences stay together."""
    known = np.sort(answers.confidence[answers.confidence >= 0])[::-1]
    points: list[CurvePoint] = []
    for step in range(1, CURVE_POINTS + 1):
        wanted = round(step / CURVE_POINTS * known.size)
        if wanted == 0:
            continue
        threshold = float(known[wanted - 1])
        passes = answers.confidence >= threshold
        coverage = float(passes.mean())
        if not points or coverage > points[-1].coverage:
            points.append(CurvePoint(coverage, threshold, share_right(answers.only(passes))))
    return points


class ReliabilityBin(NamedTuple):
    """Answers of about one confidence."""

    confidence: float
    """The mean of theirs."""
    right: Estimate
    """Share of right answers among them."""


def reliability(answers: Sureness) -> list[ReliabilityBin]:
    """The share of right answers by tenths of confidence; a tenth without an answer is left out."""
    tenth = np.minimum(np.floor(answers.confidence * 10), 9)
    bins = []
    for number in range(10):
        part = answers.only((tenth == number) & (answers.confidence >= 0))
        if part.confidence.size:
            bins.append(ReliabilityBin(float(part.confidence.mean()), share_right(part)))
    return bins

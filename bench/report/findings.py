"""What follows from the rows of a report, as pure data.

These are boards, the verdict, sweeps, checks, and what limits the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.schema import Estimate
from bench.stats import PairedDifference


@dataclass(frozen=True, slots=True)
class Board:
    """Models that are ranked together, because they answered the same questions."""

    keys: tuple[str, ...]
    """Of the rows, best first."""
    questions: int
    """That all of them answered; they alone count for the scores and ranks."""
    documents: int
    tasks: tuple[str, ...]
    """Keys of the tasks that these questions belong to."""
    is_part: bool
    """Whether a model answered more questions than these."""
    score_name: str
    """What its scores are: a metric's title, or the mean over its tasks."""
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Reversal:
    """A part of the questions on which another model beats the leading one beyond the noise."""

    part: str
    """``slips``, or ``documents of type invoice``."""
    model: str
    """Key of the row that is better there."""
    difference: PairedDifference
    """Of this model minus the leading one, with the better score positive."""
    evidence: str
    """Id of the section that shows it."""


@dataclass(frozen=True, slots=True)
class Highlight:
    """One fact worth a line: ``Fastest`` · ``ocr`` · ``0.21 s a question (p50)``."""

    label: str
    model: str
    text: str


@dataclass(frozen=True, slots=True)
class Clause:
    """One sentence of the verdict."""

    text: str
    evidence: str = ""
    """Id of the section that proves it; empty if none does."""
    leads: bool = False
    """Whether it says which model to take."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person remembers."""

    best: str | None
    """Key of the leading model, of the first board if there are several; None if nothing is ranked."""
    headline: str
    """The sentences that lead: which model to take."""
    detail: str
    """The other sentences."""
    clauses: tuple[Clause, ...]
    """All sentences with their evidence: those that lead first, then by how much, at what price, and where
    another model is better."""
    points: tuple[Highlight, ...]
    leaders: tuple[str, ...] = ()
    """Key of the leading model of each board."""
    next_step: str = ""
    """What to do if there is no result."""


@dataclass(frozen=True, slots=True)
class Caveat:
    """Something a reader must know before trusting the numbers."""

    kind: str
    """``state``, ``failures``, ``model``, ``scope``, ``hardware``, ``speed``, ``code``, ``statistics``."""
    text: str


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One bound."""

    row: str
    """Key of the row."""
    max_pixels: int
    visual_tokens: float | None
    """Of a question's pages, the mean; None if the backend counts none."""
    score: Estimate
    latency: float | None
    """p50 seconds of the single-stream scenario."""
    questions_per_second: float | None
    memory: int | None
    """Peak bytes, of the kind that the leaderboard shows."""


@dataclass(frozen=True, slots=True)
class SweepView:
    """One model under several bounds."""

    name: str
    points: tuple[SweepPoint, ...]
    """At least two, smallest pages first."""


@dataclass(frozen=True, slots=True)
class CheckView:
    """What one ``bench check`` found out about a model."""

    row: str
    """Key of the row."""
    against: str
    """Name of what its answers were held against."""
    ways: str
    """How the model was asked."""
    against_ways: str
    """How the other side was asked."""
    tasks: tuple[str, ...]
    answers: int
    differing: int
    sentence: str
    verdict: str
    """A value of ``bench.scoring.agreement.Agreement``, as it was recorded."""
    margin: float | None
    when: str
    examples: tuple[str, ...]
    """Answers that differ, each in one sentence."""

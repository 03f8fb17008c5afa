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
    boards: tuple[tuple[Clause, ...], ...]
    """The sentences of each board with their evidence: those that lead first, then by how much, at what
    price, and where another model is better. Where nothing is ranked, one sentence."""
    points: tuple[Highlight, ...]
    leaders: tuple[str, ...] = ()
    """Key of the leading model of each board."""
    next_step: str = ""
    """What to do if there is no result."""

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """All sentences, board by board."""
        return tuple(clause for clauses in self.boards for clause in clauses)


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
    """Name of what its answers were compared with."""
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


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """What one condition of the pages changes for one model."""

    row: str
    """Key of the row."""
    tasks: str
    """Key of the task; empty for all tasks together, which count the same."""
    kind: str
    severity: int
    clean: float | None
    """Mean score on the clean pages of the questions that were asked on both."""
    perturbed: float | None
    change: PairedDifference
    """Perturbed minus clean, paired by question; a minus is a loss, whatever the metric's direction."""
    p_holm: float | None
    """Adjusted over all changes of the report."""
    failed: int
    """Questions about perturbed pages that ended in an error."""
    is_loss: bool
    """Whether the score is lower beyond the noise."""


@dataclass(frozen=True, slots=True)
class FieldBreak:
    """The first severity at which a model loses a field beyond the noise."""

    row: str
    """Key of the row."""
    field: str
    kind: str
    severity: int | None
    """None if no severity of the run does it."""
    change: PairedDifference
    """At that severity, or else at the highest one of the run."""


@dataclass(frozen=True, slots=True)
class MeanChange:
    """What a model loses over all conditions, which count the same."""

    row: str
    """Key of the row."""
    change: PairedDifference
    """Mean of the perturbed scores minus the clean one."""
    behind: PairedDifference | None
    """The change of the model that is hit hardest minus this one; None for that model itself."""
    p_holm: float | None
    """Of ``behind``, adjusted over all models."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """What the models lose on perturbed pages."""

    seeds: tuple[int, ...]
    changes: tuple[ConditionChange, ...]
    fields: tuple[FieldBreak, ...]
    """Of the most asked fields with enough documents."""
    means: tuple[MeanChange, ...]
    """The hardest hit first; empty if the tasks have no common score, or the models no common condition."""


@dataclass(frozen=True, slots=True)
class GpuFit:
    """Whether a model fits into one kind of GPU, by the formula of ``bench plan``."""

    name: str
    memory: int
    """Bytes."""
    peak: int
    """Bytes that the model is predicted to hold at most."""
    batch_size: int
    """Questions a call with which it fits; it does not fit with one where ``fits`` is false."""
    fits: bool

    @property
    def spare(self) -> float:
        """Share of the memory that stays free; negative if it does not fit."""
        return 1 - self.peak / self.memory


@dataclass(frozen=True, slots=True)
class ExtractionView:
    """A model and a task whose headline is another one on raw texts."""

    row: str
    """Key of the row."""
    task: str
    """Key of the task."""
    metric: str
    """Title of the headline metric."""
    extracted: Estimate
    """Of the extracted answers: the score that the report shows."""
    raw: Estimate
    """Of the raw texts."""

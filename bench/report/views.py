"""A report as pure data: every renderer (terminal, Markdown, HTML, CSV, JSON) draws the same view.

``build`` joins the evaluations of one or several runs. A row is one model in one run; a task is the same
one in two runs when name, version and digest agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.report.facts import Facts
from bench.report.mistakes import ExtractionView, MistakeView
from bench.report.ranking import Pair
from bench.report.sweep import SweepView
from bench.report.verdict import Caveat, Verdict
from bench.schema import Estimate, Page, Sample
from bench.scoring.answers import Answer
from bench.scoring.comparison import Trained
from bench.scoring.levels import Level
from bench.scoring.published import PublishedRow

MAX_MEGABYTES = 25.0
"""Default size that an HTML report stays under, MB: what most mail systems let through."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Choices of the person who wants the report."""

    images: str | int = "all"
    """Page images inside the HTML: ``none``, ``failures``, ``all``, or how many."""
    max_mb: float = MAX_MEGABYTES
    """The HTML file stays under this size, in MB; what is left out is stated on the page."""
    title: str | None = None
    """Heading; None: the run's name."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as the runs recorded it."""

    key: str
    """Its name; with the digest's first characters where two runs hold different tasks of one name."""
    name: str
    version: str
    title: str
    digest: str
    headline: str
    """Name of the first metric."""
    headline_title: str
    higher_is_better: bool
    metrics: tuple[str, ...]
    source: str
    license: str
    citation: str
    samples: int
    documents: int
    pages: int
    prompt: str
    system: str | None
    max_new_tokens: int
    stop: tuple[str, ...]
    languages: tuple[str, ...]
    texts_known: bool
    """Whether it is known what is written on the documents, so that "not on the page" can be told."""


@dataclass(frozen=True, slots=True)
class RunView:
    """What run.json says, read leniently."""

    id: str
    name: str
    path: str
    started: str
    state: str
    """``complete``, ``running`` or ``unfinished``."""
    command: str
    """As a person would type it again, quoted for a shell."""
    labels: Mapping[str, str]
    hardware: str
    software: str
    """Versions of the harness, Python, CUDA and the packages, in one line."""
    record_version: str
    """Version of the harness that made the run."""
    commit: str
    dirty: bool
    protocol: str
    """Name of the protocol by which it asked and scored; empty for the product's own way."""
    protocol_title: str
    deviations: tuple[str, ...]
    """Where the run departs from its protocol."""
    differences: tuple[str, ...]
    """Where the protocol departs from the tool that it follows."""
    warnings: tuple[str, ...]
    """What the run itself recorded as a doubt about its numbers."""
    record: Mapping[str, Any]
    """run.json without the tasks' bodies."""


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One model on one task."""

    task: str
    """Key of the task."""
    estimate: Estimate
    """Of the headline metric; over the questions asked so far while the task is unfinished."""
    estimates: Mapping[str, Estimate]
    """Of every metric."""
    raw: Estimate
    """The headline metric on the raw text, before the answer was extracted."""
    equivalent: Estimate | None
    """Share of answers that are right, or wrong only in format; None where there is no right and wrong."""
    mistakes: Mapping[str, int]
    """Answers that are not right, by class of ``bench.metrics.mistakes``."""
    asked: int
    samples: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a model could not be loaded, or died."""

    error: str
    message: str
    hint: str
    when: str


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model in one run: a row of the leaderboard."""

    key: str
    """The model's name; with the run's where several runs hold it."""
    name: str
    run: str
    """Id of the run."""
    state: str
    """``complete``, ``running``, ``unfinished``, or ``failed`` (it never loaded, or it died)."""
    failure: Failure | None
    rank: int | None
    """None while unfinished or failed: such a score is no result yet."""
    tied: bool
    """Whether another model has the same rank."""
    score: Estimate | None
    """Mean of the tasks' headline scores; over the questions asked so far where ``so_far``."""
    so_far: bool
    tasks: Mapping[str, TaskScore]
    """By task key."""
    levels: Mapping[Level, int]
    """Answers by how right they are."""
    facts: Facts
    asked: int
    samples: int
    failed: int
    """Questions asked that ended in an error."""
    degraded: Mapping[int, int]
    """max_pixels that memory forced on answers → how many, the smallest first."""
    untimed: int
    """Answers that are in no throughput: a run that is killed may lose the last batch's measurement."""
    device: str
    hardware: str
    parameters: int | None
    setup: Mapping[str, str]
    """What was loaded: checkpoint, revision, precision, attention, pixel bounds, …"""
    warnings: tuple[str, ...]
    """What the model itself said about its limits when it was loaded."""
    page_reuse: str
    """What the model does once for all questions of a page; empty where it does not say."""
    trained: Mapping[str, Trained]
    """What a tuned model saw in training of each task, by task key; empty for any other model."""

    @property
    def ranked(self) -> bool:
        """Whether the score is a result."""
        return self.rank is not None


@dataclass(frozen=True, slots=True)
class SliceValue:
    """One value of a metadata key, with every model's score on its samples."""

    key: str
    """``language``, ``doc_type``, ``field``."""
    value: str
    estimates: Mapping[str, Estimate]
    """By row key."""
    n: int
    """Samples."""


@dataclass(frozen=True, slots=True)
class SampleView:
    """One question with what every model made of it."""

    task: int
    """Index into ``ReportView.tasks``."""
    sample: Sample
    pages: tuple[Page, ...]
    answers: tuple[Answer | None, ...]
    """By row; None where the row's run does not hold this sample."""
    levels: tuple[Level, ...]
    """By row."""
    latency: tuple[float | None, ...]
    """Seconds in the single-stream scenario, by row; None where it was not part of it."""


@dataclass(frozen=True, slots=True)
class Front:
    """The models that no other beats on both accuracy and a cost."""

    cost: str
    """``latency`` (p50 seconds) or ``memory`` (peak bytes)."""
    keys: tuple[str, ...]
    """Cheapest first."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was asked of how much: questions per page decide what encoding a page once is worth."""

    questions: int
    documents: int
    pages: int
    """Distinct ones, by content."""

    @property
    def questions_per_page(self) -> float | None:
        """None where the documents have no pages."""
        return self.questions / self.pages if self.pages > 0 else None


@dataclass(frozen=True, slots=True)
class ReportView:
    """All that a report shows."""

    title: str
    generated: str
    """UTC, ISO 8601."""
    bench_version: str
    verdict: Verdict
    caveats: tuple[Caveat, ...]
    runs: tuple[RunView, ...]
    tasks: tuple[TaskView, ...]
    rows: tuple[ModelRow, ...]
    """Ranked rows first, best first; then unfinished ones; then failed ones."""
    score_name: str
    """What ``ModelRow.score`` is: a metric's title, or the mean over tasks."""
    higher_is_better: bool
    pairs: tuple[Pair, ...]
    slices: tuple[SliceValue, ...]
    mistakes: tuple[MistakeView, ...]
    """Kinds of wrong that occur, in the order of their rules."""
    extraction: tuple[ExtractionView, ...]
    """Models and tasks whose headline would be another one on raw texts."""
    load: Load
    fronts: Mapping[str, Front]
    sweeps: tuple[SweepView, ...]
    """Models that were run with several bounds on a page."""
    published: tuple[PublishedRow, ...]
    """Published scores of the rows' models on the report's tasks, beside ours."""
    samples: tuple[SampleView, ...] = field(repr=False)
    previews: tuple[str, ...] = field(repr=False)
    """Folders of the runs, where page previews are looked for."""

    @property
    def ranked(self) -> list[ModelRow]:
        """Rows whose score is a result."""
        return [row for row in self.rows if row.ranked]

    @property
    def mixed_hardware(self) -> bool:
        """Whether rows were measured on different machines or devices."""
        measured = (row.hardware for row in self.rows if row.facts.throughput is not None)
        return len(set(filter(None, measured))) > 1

    def row(self, key: str) -> ModelRow:
        """The row of this key."""
        return next(row for row in self.rows if row.key == key)

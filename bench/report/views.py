"""A report as pure data: what was scored, what was measured, and what follows from both.

``build`` joins the evaluations of one or several runs into a ``ReportView``, from which the sections of a
report are made. A row is one model in one run; a task is the same one in two runs when name, version and
digest agree. What was measured of a row is in ``measurements``, and what follows from rows in ``findings``.
The other modules make these classes or read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.metrics.grounding import Grounding
from bench.report.findings import (
    Board,
    Caveat,
    CheckView,
    ExtractionView,
    GpuFit,
    Robustness,
    SweepView,
    Verdict,
)
from bench.report.measurements import Facts, Traits
from bench.report.places import Place
from bench.schema import Estimate, Page, Perturbation, Sample
from bench.scoring.answers import Answer
from bench.scoring.comparison import Trained
from bench.scoring.levels import Level
from bench.scoring.prices import Tariff
from bench.scoring.published import PublishedRow
from bench.stats import PairedDifference


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """A prompt that questions of a task were asked with instead of the task's own."""

    text: str
    source: str
    """The file that it comes from, or who documents it."""
    models: tuple[str, ...]
    """Names of the models that were asked with it."""
    questions: int
    """Of one model."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as the runs recorded it."""

    key: str
    """Its name; with the digest's first characters if two runs have different tasks of one name."""
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
    """The task's own."""
    prompts: tuple[AskedPrompt, ...]
    """Those that were used instead of it."""
    system: str | None
    max_new_tokens: int
    stop: tuple[str, ...]
    languages: tuple[str, ...]
    texts_known: bool
    """Whether it is known what is written on the documents, so that "not on the page" can be told."""
    perturbation: Perturbation | None = None
    """What was done to its pages."""
    clean_task: str = ""
    """Key of the task whose pages were perturbed."""


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
    """Share of answers that are right, or wrong only in format; None if there is no right and wrong."""
    mistakes: Mapping[str, int]
    """Answers that are not right, by class of ``bench.metrics.mistakes``."""
    asked: int
    samples: int


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """Why a model could not be loaded, or died."""

    error: str
    message: str
    hint: str
    when: str


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model in one run: a row of the leaderboard."""

    key: str
    """The model's name; with the run's if several runs have it."""
    name: str
    run: str
    """Id of the run."""
    state: str
    """``complete``, ``running``, ``unfinished``, or ``failed`` (it never loaded, or it died)."""
    failure: LoadFailure | None
    rank: int | None
    """None while unfinished or failed: such a score is no result yet."""
    tied: bool
    """Whether another model has the same rank."""
    score: Estimate | None
    """Mean of the tasks' headline scores; over the questions asked so far if ``so_far``."""
    so_far: bool
    tasks: Mapping[str, TaskScore]
    """By task key."""
    levels: Mapping[Level, int]
    """Answers by how right they are."""
    facts: Facts
    traits: Traits
    asked: int
    samples: int
    failed: int
    """Questions asked that ended in an error."""
    degraded: Mapping[int, int]
    """max_pixels that memory forced on answers → how many, the smallest first."""
    doubted: int
    """Answers of a server that did not see the pages as they were sent."""
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
    """What the model does once for all questions of a page; empty if it does not say."""
    trained: Mapping[str, Trained]
    """What a tuned model saw in training of each task, by task key; empty for any other model."""
    cost_per_1000_pages: float | None = None
    """What 1,000 pages cost, in the currency of the price that was given; None without a price."""
    is_part: bool = False
    """Whether the score counts only the questions that all models of its board answered."""
    better: tuple[str, ...] = ()
    """Keys of the models on the same board that are better beyond the noise."""
    tariff: Tariff | None = None
    """What asking the model costs, by the hour, the page or the token; None if nobody said."""

    @property
    def ranked(self) -> bool:
        """Whether the score is a result."""
        return self.rank is not None

    @property
    def degraded_answers(self) -> int:
        """Answers about pages that were shrunk for want of memory."""
        return sum(self.degraded.values())


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
    """Index into ``ReportView.all_tasks``."""
    sample: Sample
    pages: tuple[Page, ...]
    answers: tuple[Answer | None, ...]
    """By row; None if the row's run does not hold this sample."""
    levels: tuple[Level, ...]
    """By row."""
    latency: tuple[float | None, ...]
    """Seconds in the single-stream scenario, by row; None if it was not part of it."""
    places: tuple[Place, ...] = ()
    """Where the pages say what is expected; empty if it is not known."""
    grounding: tuple[Grounding | None, ...] = ()
    """By row, of an answer that is looked at value by value; empty if the text of the pages is not known."""


COSTS: Mapping[str, str] = {
    "latency": "facts.latency.p50",
    "memory": "facts.memory.bytes",
    "cost": "cost_per_1000_pages",
}
"""What accuracy costs → where it stands in a row."""


@dataclass(frozen=True, slots=True)
class Front:
    """The models that no other beats on both accuracy and a cost."""

    cost: str
    """A key of ``COSTS``."""
    keys: tuple[str, ...]
    """Cheapest first; of several boards, the fronts of each."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much was asked of how many documents."""

    questions: int
    documents: int
    pages: int
    """Distinct ones, by content."""


ALPHA = 0.05
"""A difference counts where its Holm-adjusted p-value is below this."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the samples that both were asked."""

    first: str
    """Key of the model ranked higher."""
    second: str
    difference: PairedDifference
    """First minus second; positive means that the first is better, whatever the metric's direction."""
    p_holm: float | None
    """Adjusted over all pairs of the board."""
    wins: int
    """Samples on which the first scores higher."""
    losses: int
    """Samples on which the second scores higher."""

    @property
    def separated(self) -> bool:
        """Whether the difference is beyond the noise."""
        return self.p_holm is not None and self.p_holm < ALPHA


@dataclass(frozen=True, slots=True)
class MistakeView:
    """One kind of wrong, with how often it happened to every row."""

    name: str
    """Class of ``bench.metrics.mistakes``."""
    label: str
    rule: str
    """What puts an answer into this class, in one line."""
    counts: Mapping[str, int]
    """By row key: answers of this class."""
    shares: Mapping[str, float | None]
    """By row key: of the answers that are not right; None if there are none."""


@dataclass(frozen=True, slots=True)
class PerturbedView:
    """What was asked about perturbed pages, and what they change."""

    tasks: tuple[TaskView, ...]
    samples: tuple[SampleView, ...] = field(repr=False)
    robustness: Robustness | None
    """None if no question was asked on clean pages, too."""


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
    """Tasks of clean pages: scores and ranks count these alone."""
    rows: tuple[ModelRow, ...]
    """Ranked rows first, best first; then unfinished ones; then failed ones."""
    score_name: str
    """What ``ModelRow.score`` is: a metric's title, or the mean over tasks."""
    higher_is_better: bool
    boards: tuple[Board, ...]
    """More than one if models share too few questions to be ranked together."""
    pairs: tuple[Pair, ...]
    """Of models on the same board."""
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
    checks: tuple[CheckView, ...]
    """Whether other ways of asking the rows' models give the same answers, where that was checked."""
    gpu_fits: Mapping[str, tuple[GpuFit, ...]]
    """By row key: which GPUs the model is predicted to fit into; empty for a model without a prediction."""
    samples: tuple[SampleView, ...] = field(repr=False)
    """Of clean pages."""
    perturbed: PerturbedView
    previews: tuple[str, ...] = field(repr=False)
    """Folders of the runs, where page previews are looked for."""
    repeated: tuple[str, ...] = ()
    """Options that ``bench report`` needs to write the same report again."""

    @property
    def all_tasks(self) -> tuple[TaskView, ...]:
        """The tasks of clean pages, and behind them those of perturbed ones."""
        return (*self.tasks, *self.perturbed.tasks)

    @property
    def all_samples(self) -> tuple[SampleView, ...]:
        """What a person can look at: the questions about clean pages, and behind them the others."""
        return (*self.samples, *self.perturbed.samples)

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

"""A report as pure data: what was measured, what was scored, and what follows from both.

``build`` joins the evaluations of one or several runs into a ``ReportView``, from which the sections of a
report are made. A row is one model in one run; a task is the same one in two runs when name, version and
digest agree. The other modules make these classes or read them.
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
from bench.report.places import Place
from bench.schema import Estimate, Page, Perturbation, Sample
from bench.scoring.answers import Answer
from bench.scoring.comparison import Trained
from bench.scoring.levels import Level
from bench.scoring.prices import Tariff
from bench.scoring.published import PublishedRow
from bench.stats import PairedDifference

# What was measured of a model

MEMORY_KINDS: Mapping[str, str] = {
    "peak_process": "GPU memory of the process (NVML)",
    "peak_reserved": "GPU memory reserved by torch",
    "peak_allocated": "GPU memory allocated by torch",
    "peak_rss": "peak RSS (CPU)",
}
"""Name in the records → name on the page; the first that was measured stands in the leaderboard."""

BUSY_SHARE = 0.1
"""Share of the machine's cores from which the load of other processes is worth a warning: at a tenth, they
slow a model that uses all cores by about as much as two runs of it differ."""

FEW_SAMPLES = 3
"""Seconds of sampling below which the load of a processor says nothing: starting the model fills them."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where a reading lay."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """Everything that was sampled beside one model; of several GPUs, all of them together."""

    seconds: int
    """Samples, a second apart."""
    gpu: Mapping[str, Range]
    """Key of ``GPU_FIELDS`` → what was read."""
    throttled_seconds: int
    """During which a GPU was slower than it could be."""
    throttles: Mapping[str, int]
    """Reason → seconds, the most frequent first; reasons may coincide."""
    others: int | None
    """Most other processes that computed on one of the GPUs at a time; None if the driver does not say."""
    other_bytes: int | None
    """The most that they held."""
    cpu_mhz: Range | None
    cores: int | None
    other_cores: Range | None
    """Cores busy with other processes; None if it is not known."""

    @property
    def busy(self) -> bool:
        """Whether other processes took a good part of the processor."""
        if self.other_cores is None or self.cores is None or self.seconds < FEW_SAMPLES:
            return False
        return self.other_cores.median >= BUSY_SHARE * self.cores


LEAST_QUESTIONS: Mapping[str, int] = {"p50": 1, "p90": 5, "p95": 5, "p99": 100}
"""Measured questions from which a percentile is shown: with fewer it is the slowest of them."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of single questions, as percentiles."""

    n: int
    """Questions measured."""
    p50: float
    p90: float
    p95: float
    p99: float
    seconds: tuple[float, ...]
    """Every measurement, ascending."""

    def shown(self) -> dict[str, float]:
        """The percentiles that enough questions were measured for."""
        values = {"p50": self.p50, "p90": self.p90, "p95": self.p95, "p99": self.p99}
        return {name: values[name] for name in values if self.n >= LEAST_QUESTIONS[name]}


@dataclass(frozen=True, slots=True)
class SingleStream:
    """What latency is made of. Its cold whole is ``Facts.latency``."""

    warm: Latency | None
    """The same questions asked again at once."""
    first_token: Latency | None
    """Cold; None if the backend has no tokens."""
    warm_first_token: Latency | None
    first_token_parts: Mapping[str, float]
    """Mean seconds of each stage on the way to the first token, cold; empty without ``first_token``."""
    tokens_per_second: float | None
    """Cold: all tokens after the first of all answers, over the seconds that they took together."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """The offline scenario: all the work, batched."""

    questions: int
    pages: int | None
    """Each counted as often as it was given to the model; None if a batch did not say."""
    distinct_pages: int | None
    """The pages that the questions are about, each counted once, however many batches it was given in."""
    questions_per_page: float | None
    """``questions`` over ``distinct_pages``. The rates depend on it if a model encodes a page once for all
    its questions."""
    generated_tokens: int | None
    """None if the backend counts none."""
    seconds: float
    """Wall time inside the model, over all batches; see ``wall_seconds`` for several devices."""
    questions_per_second: float | None
    pages_per_second: float | None
    tokens_per_second: float | None
    """Generated tokens over the whole wall time, padding excluded."""
    device_seconds: float
    """As ``seconds``, but of all devices together."""
    stages: Mapping[str, float]
    """Seconds by stage, in the order first seen; of all devices together."""
    largest_batch: int | None
    in_flight: int | None = None
    """The most requests that a server had at once; None for a model of this machine's own process."""


@dataclass(frozen=True, slots=True)
class Energy:
    """What the GPUs took over windows of the offline scenario of at least 10 s, by their own counter."""

    joules: float
    seconds: float
    questions: int

    @property
    def joules_per_question(self) -> float:
        """Idle power and the harness's pauses included."""
        return self.joules / self.questions


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Peak memory over all batches."""

    kind: str
    """Key of ``MEMORY_KINDS``: what ``bytes`` is the peak of."""
    bytes: int
    peaks: Mapping[str, int]
    """Every kind that was measured, in bytes."""
    by_page: tuple[int, ...] = ()
    """For every page that was given to the model: the peak of its batch, of the kind ``kind``, ascending."""

    @property
    def label(self) -> str:
        """What the number is, in words."""
        return MEMORY_KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was measured of one model in one run."""

    throughput: Throughput | None
    latency: Latency | None
    """Of whole answers, every page met for the first time."""
    single_stream: SingleStream | None
    memory: PeakMemory | None
    energy: Energy | None
    """None if no window was long enough, or no GPU counts."""
    conditions: Conditions | None
    """None if nothing was sampled."""
    load_seconds: float | None
    first_call_seconds: float | None
    memory_after_load: Mapping[str, int]
    """Bytes: allocated, reserved, process, rss."""
    errors: Mapping[str, int]
    """Failures by error class, the most frequent first."""
    stop_reasons: Mapping[str, int]
    """``stop``, ``length``, ``error`` → outputs."""
    thoughts: Mapping[str, int] = field(default_factory=dict)
    """``thought``, ``open_thought`` → outputs that begin with thinking, and that never end it."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a model's backend is, as the run recorded it; None and empty if it did not."""

    runs_in: str = ""
    """``process``, ``own server`` (one that the run started), or ``server``: then nothing that this machine
    measures of itself is the model's."""
    local_memory: bool | None = None
    """Whether this machine's memory holds the model."""
    token_counts: bool | None = None
    """Whether the backend counts tokens."""
    first_token_times: bool | None = None
    """Whether the backend says when the first token of an answer is there."""


# What a report is made of


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
    """Adjusted over all pairs of the report."""
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

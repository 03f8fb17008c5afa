"""What was measured of one model in one run: speed, latency, memory, and the state of the machine.

``facts`` and ``conditions`` compute these classes from the records of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """None if the run did not measure it."""
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

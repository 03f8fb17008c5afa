"""Defines the nouns of the harness in the terms of the field. Every room passes these around.

This module needs the standard library only, so that any module may import it. Read it first. Times are in
seconds and memory is in bytes everywhere; GiB and milliseconds exist only on pages that people read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

SCHEMA_VERSION = 1
"""Version of the files of a run directory; raised when an older program would misread a new file."""

MENDED = "+mended."
"""In the version of a task whose references were changed by ``bench data audit``, before how often."""

Json = Any
"""A JSON value: a reference or a parsed answer of a task with structured answers."""

AnswerType = Literal["text", "json", "description", "markdown"]
"""``text``: a short string. ``json``: an object with fields. ``description``: free text in any wording.
``markdown``: a whole page as Markdown."""

StopReason = Literal["stop", "length", "error"]
"""``stop``: the model ended its answer. ``length``: it reached ``max_new_tokens``. ``error``: no answer."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What is done to a page before a model sees it, for ``bench run --perturb``."""

    kind: str
    """A key of ``bench.tasks.perturbing.PERTURBATIONS``: ``blur``, ``scan`` and others."""
    severity: int
    """1 (just visible) to 3 (a person still reads the page with effort)."""
    seed: int
    """Of the random numbers: for a task that of the run, for a page one of its own."""

    @property
    def label(self) -> str:
        """Kind and severity: ``blur-2``."""
        return f"{self.kind}-{self.severity}"


@dataclass(frozen=True, slots=True)
class Page:
    """One page image: an image file, one frame of a TIFF, or one page of a PDF."""

    path: Path
    """Absolute path of the file."""
    index: int
    """Number of the frame or page inside the file, from 0."""
    width: int
    """Pixels, after EXIF rotation and ``turn``; for a PDF at ``dpi``."""
    height: int
    """Pixels, after EXIF rotation and ``turn``; for a PDF at ``dpi``."""
    sha256: str
    """Digest of the bytes of the file: equal files have equal pages, wherever they lie."""
    dpi: int | None = None
    """Resolution at which a PDF page is rendered; None for images."""
    turn: int = 0
    """Degrees (0, 90, 180, 270) by which the page of the file is turned clockwise for the models."""
    perturbation: Perturbation | None = None
    """What is done to the page after its turn; its size stays the same."""

    @property
    def key(self) -> str:
        """Identity of the page: pages with equal keys show a model the same picture."""
        if self.perturbation is None:
            return self.source_key
        return f"{self.source_key}.{self.perturbation.label}.{self.perturbation.seed}"

    @property
    def source_key(self) -> str:
        """Identity of the page without its perturbation: equal files, the same number and the same turn."""
        turn = f".{self.turn}" if self.turn else ""
        return f"{self.sha256[:16]}.{self.index}{turn}"

    def turned(self, degrees: int) -> Page:
        """Return the page after a further clockwise turn by 0, 90, 180 or 270 degrees."""
        turn = (self.turn + degrees) % 360
        if degrees in {90, 270}:
            return replace(self, width=self.height, height=self.width, turn=turn)
        return replace(self, turn=turn)


@dataclass(frozen=True, slots=True)
class Document:
    """Pages that belong together. The document is the cluster of all statistics."""

    id: str
    pages: tuple[Page, ...]

    def pixels(self, bound: int | None = None) -> int:
        """Pixels of all pages before any resizing, or with each page shrunk to at most ``bound``."""
        areas = (page.width * page.height for page in self.pages)
        return sum(area if bound is None else min(area, bound) for area in areas)


@dataclass(frozen=True, slots=True)
class Sample:
    """One question about one document, with its reference answers."""

    id: str
    document_id: str
    question: str
    references: tuple[Json, ...]
    """The answers that are right: strings, or JSON values if ``answer_type`` is ``json``. For ``markdown``,
    also objects with the blocks of the page, or with tests that its transcription passes."""
    answer_type: AnswerType = "text"
    metadata: Mapping[str, str] = field(default_factory=dict)
    """``doc_type``, ``field``, ``language`` and more: reports break scores down by these."""
    json_schema: Json = None
    """What a JSON answer has to look like, as ``bench.json_schemas`` reads it; None if nothing says."""


DEFAULT_QUESTION = "Опиши документ."
"""What a model is asked about pages where nobody says what to ask."""

SHORT_ANSWER: Mapping[str, str] = {
    "en": "Answer the question using a single word or phrase.",
    "ru": "Ответьте одним словом или короткой фразой.",
    "zh": "请用一个词或短语回答。",
}
"""Language → the sentence that follows a question where a short answer is wanted."""

TRANSCRIBE: Mapping[str, str] = {
    "en": (
        "Transcribe the page as Markdown, in the order in which it is read. Write tables as HTML (<table>) "
        "and formulas as LaTeX ($…$, or $$…$$ on a line of their own). Add nothing and leave nothing out."
    ),
    "ru": (
        "Перепишите страницу в формате Markdown в порядке чтения. Таблицы запишите в HTML (<table>), "
        "формулы в LaTeX ($…$ или $$…$$ на отдельной строке). Ничего не добавляйте и не пропускайте."
    ),
    "zh": (
        "请按阅读顺序把这一页转写为Markdown。表格用HTML（<table>）书写，公式用LaTeX书写（$…$，"
        "独占一行时用$$…$$）。不要添加或遗漏任何内容。"
    ),
}
"""Language → the question that asks for a whole page as Markdown."""


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """Turns a question into the text that a model is given after the page images."""

    template: str = "{question}"
    """Contains ``{question}`` once; the page images always come before this text."""
    system: str | None = None
    """System message; None leaves it to the chat template of the checkpoint."""

    def render(self, question: str) -> str:
        """Return the user text for ``question``; braces inside the question stay as they are."""
        return self.template.replace("{question}", question)


@dataclass(frozen=True, slots=True)
class Generation:
    """Decoding settings. Decoding is greedy unless a later field says otherwise."""

    max_new_tokens: int = 64
    stop: tuple[str, ...] = ()
    """Strings at which an answer is cut; the string itself is not part of the answer."""


@dataclass(frozen=True, slots=True)
class Task:
    """A set of samples about documents, with the prompt and the metrics that belong to them."""

    name: str
    version: str
    """Changes whenever a score can change."""
    title: str
    documents: Mapping[str, Document]
    samples: tuple[Sample, ...]
    metrics: tuple[str, ...]
    """Names in ``bench.metrics.METRICS``; the first is the headline."""
    prompt: PromptTemplate = PromptTemplate()
    generation: Generation = Generation()
    source: str = ""
    license: str = ""
    citation: str = ""
    digest: str = ""
    """sha256 of samples, prompt, generation and page contents: tasks with equal digests are equal."""
    perturbation: Perturbation | None = None
    """What was done to all pages; None if they are as they are."""
    clean_task: str = ""
    """Name of the task whose pages were perturbed; empty if they are as they are."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a person asked for: a row of the catalog, a path of a checkpoint, or a hub id."""

    name: str
    backend: str
    """A key of ``bench.models.BACKENDS``."""
    checkpoint: str | None = None
    """Hub id or local folder; None if the backend needs no weights."""
    revision: str | None = None
    """Commit, tag or branch of the hub repository."""
    quantization: str | None = None
    """``gptq-int4``, ``gptq-int8``, ``awq``, ``nf4``, ``int8`` or None."""
    adapter: str | None = None
    """Folder or hub id of a PEFT adapter that is put on the checkpoint."""
    dtype: str = "auto"
    """``auto`` (bf16 on CUDA, fp32 on CPU), ``bf16``, ``fp16`` or ``fp32``."""
    attention: str = "auto"
    """``auto``, ``sdpa``, ``flash_attention_2`` or ``eager``."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    min_pixels: int | None = None
    """Lower bound on the pixels of a page after resizing; None leaves the bound of the checkpoint."""
    max_pixels: int | None = None
    """Upper bound on the pixels of a page after resizing; None leaves the bound of the checkpoint."""
    options: Mapping[str, Json] = field(default_factory=dict)
    """Settings that only this backend knows."""
    price: Mapping[str, Json] | None = None
    """What asking it costs, as ``bench.models.price.Price`` records it; None if nobody said."""

    def identity(self) -> dict[str, Json]:
        """Everything that can change an answer: all fields but the price."""
        fields = asdict(self)
        del fields["price"]
        return fields


@dataclass(frozen=True, slots=True)
class Request:
    """One question, ready for a model."""

    sample_id: str
    question: str
    """The question alone, for a backend that needs no prompt."""
    prompt: str
    """The question in the template of the task."""
    json_schema: Json = None
    """As of the sample."""


@dataclass(frozen=True, slots=True)
class PageGroup:
    """A document with its questions: the unit that a model is given."""

    document: Document
    requests: tuple[Request, ...]
    generation: Generation = Generation()
    system: str | None = None
    max_pixels: int | None = None
    """Bound on each page of this group, set when memory ran out; None leaves the bound of the model."""


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One token of an answer, as the model chose it."""

    text: str
    logprob: float
    """Natural logarithm of the token's probability."""
    runner_up: str | None = None
    """The most probable other token; None if the backend does not tell it."""
    runner_up_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """The answer of a model to one request. A failure is an output too, never a missing row."""

    sample_id: str
    text: str
    stop_reason: StopReason
    prompt_tokens: int | None = None
    """Tokens that the model read, with visual tokens and without padding; None without a tokenizer."""
    visual_tokens: int | None = None
    generated_tokens: int | None = None
    """Tokens that the model wrote, with the end token and without padding."""
    confidence: float | None = None
    """Mean probability of the tokens of the answer, 0 to 1; None if the backend knows none."""
    min_confidence: float | None = None
    """Smallest probability of a token of the answer; None if the backend knows none."""
    error: str | None = None
    """``ErrorClass: message`` if ``stop_reason`` is ``error``."""
    degraded: int | None = None
    """``max_pixels`` of the pages if they were shrunk because memory ran out; None otherwise."""
    served: Mapping[str, Json] | None = None
    """What a server said beside the answer: finish reason, cached tokens, attempts, seconds, and ``doubt``
    if the model did not see what was sent. None for a model on this machine."""
    tokens: tuple[TokenChoice, ...] | None = None
    """The tokens of the answer, the end token included; only where the option ``token_details`` asks for
    them."""


class PlacedText(NamedTuple):
    """A word or a line with its box, in shares of the page's width and height from its upper left corner."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def turned_back(self, degrees: int) -> PlacedText:
        """The same on the page as it was before a clockwise turn by 0, 90, 180 or 270 degrees."""
        text, left, top, right, bottom = self
        if degrees == 90:
            return PlacedText(text, top, 1 - right, bottom, 1 - left)
        if degrees == 180:
            return PlacedText(text, 1 - right, 1 - bottom, 1 - left, 1 - top)
        if degrees == 270:
            return PlacedText(text, 1 - bottom, left, 1 - top, right)
        return self


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of ``Model.generate``: the outputs of one call and where its time went."""

    outputs: tuple[Output, ...]
    stages: Mapping[str, float] = field(default_factory=dict)
    """Stage → seconds, in order: ``preprocess``, ``vision``, ``decode`` and whatever else the backend can
    measure."""
    first_token_seconds: float | None = None
    """Seconds from the start of the call to the first token of an answer; None if the backend has no tokens
    or does not know."""
    retry_seconds: float = 0.0
    """Seconds of the call that went into attempts that failed and into the pauses behind them. A latency
    leaves them out."""
    memory: Mapping[str, int] = field(default_factory=dict)
    """Peaks in bytes that the backend measured of processes other than its own, as ``bench.measure.Memory``
    names them."""
    notes: Mapping[str, Json] = field(default_factory=dict)
    """What was done otherwise than ``ModelInfo.details`` says, by the names there."""
    words: Mapping[str, Sequence[PlacedText]] = field(default_factory=dict)
    """Key of a page → what was read on it in this call, by a backend that knows where it stands."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was really loaded, which can differ from what was asked for."""

    backend: str
    details: Mapping[str, Json]
    """Checkpoint, revision, dtype, quantization, attention, pixel bounds and more, as they took effect."""
    parameters: int | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score as it is printed: always with its interval and its failures."""

    value: float | None
    """None if nothing could be scored."""
    low: float | None
    """Lower end of the 95 % interval; None if there is no interval (one document only)."""
    high: float | None
    n: int
    """Number of samples that were scored."""
    clusters: int
    """Number of documents that the samples come from."""
    failed: int
    """Number of samples without an answer; they count as the worst value, not as missing."""
    unscored: int = 0
    """Number of samples for which the metric has no value (an empty reference)."""
    warning: str | None = None
    """Why the interval is doubtful: too few documents, for instance."""

"""The nouns of the harness, in the field's own terms. Everything else passes these around.

Standard library only: any module may import this one, and reading it first explains the rest.
Seconds and bytes everywhere; GiB and milliseconds exist only on a page that a person reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SCHEMA_VERSION = 1
"""Version of the run directory's files; raised when an old reader would misread a new file."""

Json = Any
"""A JSON value: what a reference or a parsed answer of a structured task may be."""

AnswerType = Literal["text", "json", "description"]
"""``text``: a short string. ``json``: an object with fields. ``description``: free text, any wording."""

StopReason = Literal["stop", "length", "error"]
"""``stop``: the model ended its answer. ``length``: it hit ``max_new_tokens``. ``error``: no answer."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page image: an image file, one frame of a TIFF, or one page of a PDF."""

    path: Path
    """The file, absolute."""
    index: int
    """Frame or page inside the file, from 0."""
    width: int
    """Pixels, after EXIF rotation; for a PDF at ``dpi``."""
    height: int
    """Pixels, after EXIF rotation; for a PDF at ``dpi``."""
    sha256: str
    """Of the file's bytes, so that equal files are one content wherever they lie."""
    dpi: int | None = None
    """Resolution a PDF page is rendered at; None for images."""

    @property
    def key(self) -> str:
        """What makes two pages the same one: the contents of the file, and which page of it they are."""
        return f"{self.sha256[:16]}.{self.index}"


@dataclass(frozen=True, slots=True)
class Document:
    """The pages that belong together. The document is the cluster for all statistics."""

    id: str
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One question about one document, with the answers that count as right."""

    id: str
    document_id: str
    question: str
    references: tuple[Json, ...]
    """Accepted answers: strings, or JSON values where ``answer_type`` is ``json``."""
    answer_type: AnswerType = "text"
    metadata: Mapping[str, str] = field(default_factory=dict)
    """``doc_type``, ``field``, ``language``, … : what the report can slice by."""


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """How a question becomes the text that a model is given after the page images."""

    template: str = "{question}"
    """Holds ``{question}`` once; the page images always come before this text."""
    system: str | None = None
    """System message; None leaves it to the checkpoint's chat template."""

    def render(self, question: str) -> str:
        """The user text for ``question``; braces inside the question stay as they are."""
        return self.template.replace("{question}", question)


@dataclass(frozen=True, slots=True)
class Generation:
    """Decoding settings. Decoding is greedy unless a later field says otherwise."""

    max_new_tokens: int = 64
    stop: tuple[str, ...] = ()
    """Strings at which an answer is cut, the string itself left out."""


@dataclass(frozen=True, slots=True)
class Task:
    """A set of samples over documents, with the prompt and the metrics that belong to it."""

    name: str
    version: str
    """Changes whenever a score can."""
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
    """sha256 over samples, prompt, generation and page contents: equal digests, equal task."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a person asked for: a row of the catalog, or a checkpoint path or hub id."""

    name: str
    backend: str
    """Key of ``bench.models.BACKENDS``."""
    checkpoint: str | None = None
    """Hub id or local folder; None where the backend needs no weights."""
    revision: str | None = None
    """Commit, tag or branch of the hub repository."""
    quantization: str | None = None
    """``gptq-int4``, ``gptq-int8``, ``awq``, ``nf4``, ``int8`` or None."""
    adapter: str | None = None
    """Folder or hub id of a PEFT adapter put on the checkpoint."""
    dtype: str = "auto"
    """``auto`` (bf16 on CUDA, fp32 on CPU), ``bf16``, ``fp16`` or ``fp32``."""
    attention: str = "auto"
    """``auto``, ``sdpa``, ``flash_attention_2`` or ``eager``."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    min_pixels: int | None = None
    """Lower bound on a page's pixels after resizing; None leaves the checkpoint's."""
    max_pixels: int | None = None
    """Upper bound on a page's pixels after resizing; None leaves the checkpoint's."""
    options: Mapping[str, Json] = field(default_factory=dict)
    """Settings that only this backend knows."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question, ready for a model."""

    sample_id: str
    question: str
    """The bare question, for a backend that needs no prompt."""
    prompt: str
    """The question in the task's template."""


@dataclass(frozen=True, slots=True)
class PageGroup:
    """A document with its questions: the unit that models are given."""

    document: Document
    requests: tuple[Request, ...]
    generation: Generation = Generation()
    system: str | None = None
    max_pixels: int | None = None
    """Bound on each page of this group alone, for want of memory; None leaves the model's."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a model answered to one request. A failure is an output too, never a missing row."""

    sample_id: str
    text: str
    stop_reason: StopReason
    prompt_tokens: int | None = None
    """Tokens the model read, padding excluded, visual tokens included; None without a tokenizer."""
    visual_tokens: int | None = None
    generated_tokens: int | None = None
    """Tokens the model wrote up to and including the end token, padding excluded."""
    confidence: float | None = None
    """Mean probability of the answer's tokens, 0 to 1; None where the backend knows none."""
    min_confidence: float | None = None
    """Smallest probability of a token of the answer; None where the backend knows none."""
    error: str | None = None
    """``ErrorClass: message`` where ``stop_reason`` is ``error``."""
    degraded: int | None = None
    """max_pixels that the pages were shrunk to because memory ran out at the model's own; None otherwise."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What ``Model.generate`` returns: the outputs of one call and where its time went."""

    outputs: tuple[Output, ...]
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, in order: ``preprocess``, ``vision``, ``decode`` and whatever else the backend can
    tell apart."""
    first_token_seconds: float | None = None
    """From the beginning of the call to the first token of an answer; None where the backend has no tokens,
    or does not know."""
    notes: Mapping[str, Json] = field(default_factory=dict)
    """What was done otherwise than ``ModelInfo.details`` says, by the names there."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was really loaded, as opposed to what was asked for."""

    backend: str
    details: Mapping[str, Json]
    """Checkpoint, revision, dtype, quantization, attention, pixel bounds, … as they took effect."""
    parameters: int | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Score:
    """One metric's verdict on one output."""

    sample_id: str
    metric: str
    value: float | None
    """None: not scored (an empty reference for CER, say); such samples are counted, not averaged."""
    weight: float = 1.0
    """Σ value·weight / Σ weight gives a plain mean (weight 1) or a corpus rate (reference length)."""
    answer: str = ""
    """What was extracted from the raw text and compared."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that can be printed: never without its interval and its failures."""

    value: float | None
    """None where nothing could be scored."""
    low: float | None
    """Lower end of the 95 % interval; None where no interval can be had (one document only)."""
    high: float | None
    n: int
    """Samples that were scored."""
    clusters: int
    """Documents they come from."""
    failed: int
    """Samples without an answer; they count as the worst value, not as missing."""
    unscored: int = 0
    """Samples that the metric does not define (an empty reference)."""
    warning: str | None = None
    """Why the interval deserves doubt: few documents, for instance."""

"""Whether a model fits into a GPU's memory, with how many documents at once, and up to which resolution.

``bench.models.qwen_vl.fit`` has the formula. This module applies it to tasks: to the batches that the runner
cuts, and to pages as large as the model will see them. It needs neither weights nor a GPU.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.formatting import gib
from bench.models.architectures import Published
from bench.models.backends import traits_of
from bench.models.checkpoints import is_adapter
from bench.models.footprint import expected_weights, local_folder, published_shape
from bench.models.pixels import visual_tokens
from bench.models.qwen_vl.fit import (
    CUDA_CONTEXT_BYTES,
    Activations,
    Peak,
    Work,
    adapter_bytes,
    stored_weight_bytes,
    weights_of,
)
from bench.models.qwen_vl.plan import Need, cuda_limits
from bench.runner.batches import batched
from bench.schema import Document, Generation, ModelSpec, Page, PageGroup, Request, Task
from bench.text import shell_word

TEMPLATE_TOKENS = 32
"""What the chat template adds: the default system message, and the marks around the user's turn."""
PAGE_MARKS = 2
"""Tokens around each page."""
BYTES_PER_TOKEN = 2
"""Bytes of a question in UTF-8 for each of its tokens. English has about four, so this predicts more memory
than it needs, never less."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a model is expected to hold on a GPU, in bytes, documents, pages and pixels."""

    model: str
    fits: bool
    """Whether it fits with ``batch_size`` questions a call."""
    memory_bytes: int
    """The memory of the GPU."""
    peak_bytes: int
    """What the model would hold at most: context, weights and the fullest stage."""
    context_bytes: int
    weight_bytes: int
    column_bytes: int
    """The keys and values of one token."""
    stages: Mapping[str, int]
    """The fields of ``fit.Peak`` for the fullest call, in bytes."""
    batch_size: int
    """Questions a call: as many as were asked for, halved until they fit, as the runner does."""
    documents: int
    """Documents that are in memory together, at most."""
    pages: int
    """Pages that are in memory together, at most."""
    max_pixels: int
    """The bound on the pixels of a page for which all of this holds."""
    largest_page_tokens: int
    """Visual tokens of the largest page under that bound."""
    largest_max_pixels: int | None
    """The largest bound with which every question fits at least when it is asked alone; at most that of the
    checkpoint, and None if no bound is small enough."""

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@functools.lru_cache(maxsize=100_000)
def _tokens(height: int, width: int, factor: int, low: int, high: int) -> int:
    """Visual tokens of a page. The pages of a task have few sizes, so most of the answers are known."""
    return visual_tokens(height, width, factor=factor, min_pixels=low, max_pixels=high)


class _Model(NamedTuple):
    """A specification, with what its checkpoint says."""

    spec: ModelSpec
    published: Published
    activations: Activations
    weights: int

    def works(self, groups: Iterable[PageGroup], max_pixels: int) -> list[Work]:
        """What each group asks of the model; a group with a page that it would refuse is left out."""
        works = (self._work(group, max_pixels) for group in groups)
        return [work for work in works if work is not None]

    def _work(self, group: PageGroup, max_pixels: int) -> Work | None:
        factor = self.published.architecture.factor
        low = self.spec.min_pixels
        if low is None:
            low = self.published.bounds.min_pixels
        low = min(low, max_pixels)
        try:
            pages = tuple(
                _tokens(page.height, page.width, factor, low, max_pixels)
                for page in group.document.pages
            )
        except InvalidInput:
            return None
        system = len((group.system or "").encode()) // BYTES_PER_TOKEN
        prefix = sum(pages) + PAGE_MARKS * len(pages) + TEMPLATE_TOKENS + system
        questions = tuple(
            len(request.prompt.encode()) // BYTES_PER_TOKEN + group.generation.max_new_tokens
            for request in group.requests
        )
        return Work(pages, Need(prefix, questions))

    def peak(self, groups: Sequence[PageGroup], size: int, max_pixels: int, free: int) -> Peak:
        """The fullest moment while the model answers ``groups`` in batches of ``size`` questions."""
        limits = cuda_limits(free)
        cache_bytes = self.spec.options.get("cache_bytes")
        if isinstance(cache_bytes, int) and cache_bytes > 0:
            limits = limits._replace(cache_bytes=cache_bytes)
        works = (self.works(batch, max_pixels) for batch in batched(groups, size))
        peaks = [self.activations.peak(batch, limits) for batch in works if batch]
        return max(peaks, key=lambda peak: peak.bytes, default=Peak(0, 0, 0, 0, 0, 0, 0, 0))


def forecast(
    spec: ModelSpec, groups: Sequence[PageGroup], *, memory: int, batch_size: int
) -> Forecast:
    """What ``spec`` will hold while it answers ``groups`` on a GPU with ``memory`` bytes.

    Raises:
        InvalidInput: the model has no weights, its shape is not known here, or it has settings for which the
            formula does not hold.
    """
    model = _read(spec)
    own = model.published.bounds.max_pixels
    bound = own if spec.max_pixels is None else spec.max_pixels
    free = memory - CUDA_CONTEXT_BYTES - model.weights
    size = batch_size
    peak = model.peak(groups, size, bound, free)
    while size > 1 and peak.bytes > free:
        size //= 2
        peak = model.peak(groups, size, bound, free)
    tokens = [page for work in model.works(groups, bound) for page in work.pages]
    return Forecast(
        model=spec.name,
        fits=peak.bytes <= free,
        memory_bytes=memory,
        peak_bytes=CUDA_CONTEXT_BYTES + model.weights + peak.bytes,
        context_bytes=CUDA_CONTEXT_BYTES,
        weight_bytes=model.weights,
        column_bytes=model.activations.column,
        stages={
            name: getattr(peak, name)
            for name in ("vision", "prefix", "questions", "logits", "features", "cache")
        },
        batch_size=size,
        documents=peak.documents,
        pages=peak.pages,
        max_pixels=bound,
        largest_page_tokens=max(tokens, default=0),
        largest_max_pixels=_largest(model, groups, free),
    )


def _largest(model: _Model, groups: Sequence[PageGroup], free: int) -> int | None:
    """The largest bound on a page, in whole visual tokens, with which each question fits alone."""
    area = model.published.architecture.factor**2

    def fits(tokens: int) -> bool:
        return model.peak(groups, 1, tokens * area, free).bytes <= free

    low, high = 4, model.published.bounds.max_pixels // area
    if not fits(low):
        return None
    if fits(high):
        return high * area
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low * area


def check_needs_memory(spec: ModelSpec) -> None:
    """Refuse a model that holds no weights in the memory of a GPU of this machine.

    Raises:
        InvalidInput: it has no weights, or a server holds them.
    """
    traits = traits_of(spec)
    if traits.memory == "gpu" and spec.checkpoint is not None and traits.runs_in == "process":
        return
    reason = "has no weights" if traits.runs_in == "process" else "runs on a server"
    raise InvalidInput(
        f"model {spec.name!r} {reason}, so its memory cannot be predicted here",
        hint="name models of the Qwen-VL family; bench list models shows them",
    )


def _read(spec: ModelSpec) -> _Model:
    check_needs_memory(spec)
    published = published_shape(spec)
    if published is None and (weights := expected_weights(spec)) is not None:
        raise InvalidInput(
            f"what {spec.name!r} holds beside its weights cannot be computed: no formula is known for its "
            f"family; its weights alone take {gib(weights)} GiB",
            hint="run it with --limit 20 and read the peak in the report; bench plan computes it for the "
            "Qwen-VL family",
        )
    if published is None:
        raise InvalidInput(
            f"the layers of {spec.checkpoint} are not known before it is downloaded",
            hint=f"bench pull --models {shell_word(spec.checkpoint)}, or name a checkpoint folder",
        )
    number = 4 if spec.dtype == "fp32" else 2
    folder = local_folder(spec)
    if folder is not None and any(folder.glob("*.safetensors")):
        weights = stored_weight_bytes(folder, published.architecture, spec.quantization, number)
    else:
        weights = weights_of(published.architecture).bytes(spec.quantization, number)
    adapter = Path(spec.adapter) if spec.adapter is not None else None
    merged = spec.options.get("merge_adapter", spec.quantization is None)
    if adapter is not None and not merged and is_adapter(adapter):
        weights += adapter_bytes(adapter)
    if (otherwise := _answered_otherwise(spec)) is not None:
        raise InvalidInput(
            f"model {spec.name!r} {otherwise}, and no formula is known for that; "
            f"its weights alone take {gib(weights)} GiB",
            hint="leave that setting out to plan the model as it runs by default",
        )
    return _Model(spec, published, Activations(published.architecture, number), weights)


def _answered_otherwise(spec: ModelSpec) -> str | None:
    """How ``spec`` wants its questions answered, where that is not by the engine of the formula."""
    if spec.options.get("device_map") is not None:
        return "is spread over several GPUs (device_map)"
    if spec.options.get("reference"):
        return "is answered by plain generate (reference)"
    if spec.options.get("reuse") is False:
        return "encodes a page for every question (reuse = false)"
    if spec.options.get("engine") == "padded" or spec.attention == "eager":
        return "is answered by padded rows"
    return None


def stand_in(
    name: str, width: int, height: int, prompt: str, generation: Generation, documents: int
) -> list[PageGroup]:
    """Documents of one page and one question each, for a task whose documents are not on this machine.

    With one question a page, the most pages are in memory together.
    """
    return [
        PageGroup(
            Document(f"{name}-{number}", (Page(Path(), 0, width, height, ""),)),
            (Request(f"{name}-{number}", "", prompt),),
            generation,
        )
        for number in range(documents)
    ]


def resized(task: Task, width: int, height: int) -> Task:
    """``task`` as if all its pages had this size."""
    documents = {
        key: replace(
            document,
            pages=tuple(replace(page, width=width, height=height) for page in document.pages),
        )
        for key, document in task.documents.items()
    }
    return replace(task, documents=documents)

"""The engine: a page is encoded once, its prefix prefilled once, its questions answered together.

    pixels ─► vision ─► prefix ─► questions ─► decode
    threads   a pack    a row      a row        a token of every open answer
              of pages  of them    of them

Each stage takes what the one before it has ready. How many documents share the last three is planned
from a memory budget (``plan``); together they are a ``flight``. Their keys and values lie in a ``tree`` under
masks, or, where the device has a kernel for it, as runs in a ``cascade``, decoded by ``steps``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bench.formatting import byte_size
from bench.models.qwen_vl import plan, vision
from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.decode import decode
from bench.models.qwen_vl.flight import Decode, Encoded, Flight
from bench.models.qwen_vl.generation import (
    Completion,
    Decoding,
    Engine,
    Prompted,
    PromptedQuestion,
)
from bench.models.qwen_vl.pixels import PageReader
from bench.models.qwen_vl.steps import Steps
from bench.models.qwen_vl.tree import (
    Attention,
    Cache,
    TreeCache,
    tree_shape,
    use_tree_attention,
)
from bench.schema import Json


class TreeEngine(Engine):
    """See the module's docstring."""

    def __init__(
        self,
        model: Any,
        reader: PageReader,
        decoding: Decoding,
        limits: plan.Limits,
        steps: Steps | None = None,
        attention: Attention | None = None,
    ) -> None:
        """Prepare ``model``: its language model attends through the tree from now on.

        With ``steps`` the tree lies in their cache, otherwise under masks (``tree``), where ``attention``
        replaces torch's own.
        """
        self._model, self._reader, self._decoding, self._limits = model, reader, decoding, limits
        use_tree_attention(model)
        vision.flatten_patch_embedding(model)
        self._shape = tree_shape(model)
        self._steps, self._attention = steps, attention

    def answer(
        self, documents: Iterable[Prompted], clock: Clock
    ) -> list[tuple[PromptedQuestion, Completion]]:
        """See ``Engine``."""
        import torch

        answers: list[tuple[PromptedQuestion, Completion]] = []
        try:
            with torch.inference_mode():
                encoded = self._encode(documents, clock)
                for together in plan.flights(encoded, lambda item: item.need, self._budget):
                    answers += self._fly(together, clock)
        except (RuntimeError, MemoryError):
            # It may have been for want of memory, which the next call should find free.
            if self._steps is not None:
                self._steps.release()
            raise
        return answers

    def economize(self) -> str | None:
        """See ``Engine``: half as much is in flight, and a row is half as long."""
        lower = plan.smaller(self._limits)
        if lower is None:
            return None
        self._limits = lower
        return (
            f"{byte_size(lower.cache_bytes)} of keys and values, {lower.vision_patches:,} patches, "
            f"{lower.prefix_tokens:,} and {lower.question_tokens:,} tokens at a time"
        )

    def notes(self) -> Mapping[str, Json]:
        """See ``Engine``."""
        refused = self._steps.refused_later if self._steps is not None else None
        if refused is None:
            return {}
        return {"decoding_steps": f"no CUDA graphs since then: {refused}"}

    def rest(self) -> None:
        """See ``Engine``."""
        if self._steps is not None:
            self._steps.rest()

    def hurry(self) -> None:
        """See ``Engine``."""
        if self._steps is not None:
            self._steps.captures_within_calls = True

    @property
    def _budget(self) -> int:
        """Columns in flight."""
        return max(1, self._limits.cache_bytes // self._shape.bytes_per_column)

    def _encode(self, documents: Iterable[Prompted], clock: Clock) -> Iterator[Encoded]:
        """Every document with its features, as soon as a pack of pages is full."""
        waiting: list[Prompted] = []
        for document in documents:
            clock.lap("preprocess")
            waiting.append(document)
            pages = [page for one in waiting for page in one.prefix.pages]
            if sum(len(page.patches) for page in pages) >= self._limits.vision_patches:
                yield from self._features(waiting, clock)
                waiting = []
        clock.lap("preprocess")
        yield from self._features(waiting, clock)

    def _features(self, documents: Sequence[Prompted], clock: Clock) -> Iterator[Encoded]:
        pages = [page for document in documents for page in document.prefix.pages]
        patches = [len(page.patches) for page in pages]
        features: list[vision.PageFeatures] = []
        for pack in plan.packs(patches, self._limits.vision_patches):
            features += vision.encode_pages(self._model, self._reader, pages[pack], clock)
        start = 0
        for document in documents:
            end = start + len(document.prefix.pages)
            yield Encoded(without_patches(document), features[start:end])
            start = end

    def _fly(
        self, documents: Sequence[Encoded], clock: Clock
    ) -> list[tuple[PromptedQuestion, Completion]]:
        """The answers of documents that are in memory together."""
        columns = [plan.columns(item.need, self._budget) for item in documents]
        cache, way = self._memory(columns)
        flight = Flight(self._model, cache, documents, way, self._limits)
        clock.lap("prefix")
        answers: list[tuple[PromptedQuestion, Completion]] = []
        for turn in flight.turns(self._budget):
            answers += flight.answer(turn, clock)
        return answers

    def _memory(self, columns: Sequence[int]) -> tuple[Cache, Decode]:
        """Room for documents of so many columns each, and the way to decode what is in it."""
        if self._steps is not None:
            self._steps.begin(columns, self._budget)
            return self._steps.cache, self._steps.decode
        cache = TreeCache(self._shape, len(columns), max(columns), self._attention)
        return cache, partial(decode, self._model, cache, decoding=self._decoding)


def without_patches(document: Prompted) -> Prompted:
    """``document``, whose pages have become features: their patches need not stay in memory."""
    # A copy: a view of nothing would keep all of them alive.
    pages = tuple(page._replace(patches=page.patches[:0].clone()) for page in document.prefix.pages)
    return document._replace(prefix=document.prefix._replace(pages=pages))

"""The engine: a page is encoded once, its prefix prefilled once, its questions answered together.

    pixels ─► vision ─► prefix ─► questions ─► decode
    threads   a pack    a row      a row        a token of every open answer
              of pages  of them    of them

Each stage takes what the one before it has ready. How many documents share the last three is planned
from a memory budget (``plan``); together they are a ``flight``, with one row of keys and values each
(``tree``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bench.models.qwen_vl import plan, vision
from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.flight import Encoded, Flight
from bench.models.qwen_vl.generation import Answer, Decoding, Prompted, Question
from bench.models.qwen_vl.pixels import PageReader
from bench.models.qwen_vl.tree import TreeCache, tree_shape, use_tree_attention


class TreeEngine:
    """See the module's docstring."""

    def __init__(
        self, model: Any, reader: PageReader, decoding: Decoding, limits: plan.Limits
    ) -> None:
        """Prepare ``model``: its language model attends through the tree from now on."""
        self._model, self._reader, self._decoding, self._limits = model, reader, decoding, limits
        use_tree_attention(model)
        vision.flatten_patch_embedding(model)
        self._shape = tree_shape(model)
        self._budget = max(1, limits.cache_bytes // self._shape.bytes_per_column)
        """Columns in flight."""

    def answer(self, documents: Iterable[Prompted], clock: Clock) -> list[tuple[Question, Answer]]:
        """See ``Engine``."""
        import torch

        answers: list[tuple[Question, Answer]] = []
        with torch.inference_mode():
            encoded = self._encode(documents, clock)
            for together in plan.flights(encoded, lambda item: item.need, self._budget):
                answers += self._fly(together, clock)
        return answers

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
        features = [
            found
            for pack in vision.packs(pages, self._limits.vision_patches)
            for found in vision.encode_pages(self._model, self._reader, pack, clock)
        ]
        start = 0
        for document in documents:
            end = start + len(document.prefix.pages)
            yield Encoded(document, features[start:end])
            start = end

    def _fly(self, documents: Sequence[Encoded], clock: Clock) -> list[tuple[Question, Answer]]:
        """The answers of documents that are in memory together; the memory is free when it returns."""
        columns = max(plan.columns(item.need, self._budget) for item in documents)
        cache = TreeCache(self._shape, len(documents), columns)
        flight = Flight(self._model, cache, documents, self._decoding, self._limits)
        clock.lap("prefix")
        return [
            answer for asked in flight.turns(self._budget) for answer in flight.answer(asked, clock)
        ]

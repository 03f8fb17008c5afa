"""The engine: a page is encoded once, its prefix prefilled once, its questions answered together.

    pixels ─► vision ─► prefix ─► questions ─► decode
    threads   a pack    a row      a row        a token of every open answer
              of pages  of them    of them

Each stage takes what the one before it has ready. How many documents share the last three is planned
from a memory budget (``plan``); they form a flight, with one row of keys and values each (``tree``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from bench.models.qwen_vl import plan, prefix, questions, vision
from bench.models.qwen_vl.decode import decode
from bench.models.qwen_vl.generation import Answer, Clock, Decoding, Prompted, Question
from bench.models.qwen_vl.pixels import PageReader
from bench.models.qwen_vl.questions import Branch
from bench.models.qwen_vl.tree import TreeCache, tree_shape, use_tree_attention


class _Encoded(NamedTuple):
    """A document after the vision tower."""

    document: Prompted
    features: list[vision.PageFeatures]
    """Of each page."""

    @property
    def need(self) -> plan.Need:
        """Columns for the prefix, and for each question with its answer."""
        return plan.Need(
            len(self.document.prefix.ids),
            tuple(len(question.ids) + question.limit for question in self.document.questions),
        )


class _Asked(NamedTuple):
    """One question of a flight."""

    row: int
    """Its document's, in the cache."""
    number: int
    """Among the questions that are in the cache behind its document."""
    question: Question


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
            for flight in plan.flights(encoded, lambda item: item.need, self._budget):
                answers += self._fly(flight, clock)
        return answers

    def _encode(self, documents: Iterable[Prompted], clock: Clock) -> Iterator[_Encoded]:
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

    def _features(self, documents: Sequence[Prompted], clock: Clock) -> Iterator[_Encoded]:
        pages = [page for document in documents for page in document.prefix.pages]
        features = [
            found
            for pack in vision.packs(pages, self._limits.vision_patches)
            for found in vision.encode_pages(self._model, self._reader, pack)
        ]
        clock.lap("prefill")
        start = 0
        for document in documents:
            end = start + len(document.prefix.pages)
            yield _Encoded(document, features[start:end])
            start = end

    def _fly(self, flight: Sequence[_Encoded], clock: Clock) -> Iterator[tuple[Question, Answer]]:
        """The answers of documents that are in memory together."""
        needs = [item.need for item in flight]
        columns = max(plan.columns(need, self._budget) for need in needs)
        cache = TreeCache(self._shape, len(flight), columns)
        positions = self._prefill(cache, flight)
        prefixes = [item.document.prefix.ids for item in flight]

        def ask(asked: Sequence[_Asked]) -> list[Answer]:
            branches = [
                Branch(row, number, question.ids, positions[row], question.limit)
                for row, number, question in asked
            ]
            logits = questions.ask(self._model, cache, branches, self._limits.question_tokens)
            clock.lap("prefill")
            decode(self._model, cache, branches, logits, prefixes, self._decoding)
            clock.lap("decode")
            return [branch.answer for branch in branches]

        for asked in _turns(flight, self._budget):
            answers = ask(asked)
            for number, one in enumerate(asked):
                # What is not a number in one question's keys reaches its neighbours even through a mask.
                if not math.isfinite(answers[number].confidence) and len(asked) > 1:
                    cache.forget_branches(wipe=True)
                    answers[number] = ask([one])[0]
                yield one.question, answers[number]
            cache.forget_branches(wipe=any(not math.isfinite(one.confidence) for one in answers))

    def _prefill(self, cache: TreeCache, flight: Sequence[_Encoded]) -> list[int]:
        """The position at which the questions of each document begin."""
        lengths = [item.need.prefix for item in flight]
        positions: list[int] = []
        for pack in prefix.packs(lengths, self._limits.prefix_tokens):
            positions += prefix.prefill(
                self._model,
                cache,
                len(positions),
                [item.document.prefix for item in flight[pack]],
                [item.features for item in flight[pack]],
            )
        return positions


def _turns(flight: Sequence[_Encoded], budget: int) -> Iterator[list[_Asked]]:
    """What is asked together: of each document as many questions as its row has room for."""
    needs = [item.need for item in flight]
    turns = [plan.turns(need, plan.room_for_questions(need, budget)) for need in needs]
    for turn in range(max(map(len, turns))):
        yield [
            _Asked(row, number, question)
            for row, item in enumerate(flight)
            if turn < len(turns[row])
            for number, question in enumerate(item.document.questions[turns[row][turn]])
        ]

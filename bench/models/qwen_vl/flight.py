"""The documents that are in memory together: their prefixes, then their questions in turns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bench.models.qwen_vl import plan, prefix, questions
from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.generation import Completion, Prompted, PromptedQuestion
from bench.models.qwen_vl.questions import QuestionBranch
from bench.models.qwen_vl.tree import Cache
from bench.models.qwen_vl.vision import PageFeatures

if TYPE_CHECKING:
    import torch


class Encoded(NamedTuple):
    """A document after the vision tower."""

    document: Prompted
    features: list[PageFeatures]
    """What the vision tower made of each page."""

    @property
    def need(self) -> plan.Need:
        """Columns for the prefix, and for each question with its answer."""
        return plan.Need(
            len(self.document.prefix.ids),
            tuple(len(question.ids) + question.limit for question in self.document.questions),
        )


class FlightQuestion(NamedTuple):
    """One question of a flight."""

    row: int
    """The row of its document in the cache."""
    number: int
    """Its number among the questions about its document in the same turn."""
    question: PromptedQuestion


class Decode(Protocol):
    """A way to answer questions whose prompts are in the cache."""

    def __call__(
        self,
        branches: Sequence[QuestionBranch],
        logits: torch.Tensor,
        prefixes: Sequence[torch.Tensor],
    ) -> None:
        """See ``decode.decode``."""
        ...


class Flight:
    """Documents with one row of the cache each."""

    def __init__(
        self,
        model: Any,
        cache: Cache,
        documents: Sequence[Encoded],
        decode: Decode,
        limits: plan.Limits,
    ) -> None:
        """Prefill the prefixes of ``documents`` into ``cache``."""
        self._model, self._cache, self._decode, self._limits = model, cache, decode, limits
        self._documents = documents
        self._prefixes = [item.document.prefix.ids for item in documents]
        self._positions: list[int] = []
        """Where the questions of each document begin."""
        lengths = [len(ids) for ids in self._prefixes]
        for pack in plan.packs(lengths, limits.prefix_tokens):
            self._positions += prefix.prefill(
                model,
                cache,
                pack.start,
                [item.document.prefix for item in documents[pack]],
                [item.features for item in documents[pack]],
            )

    def turns(self, budget: int) -> Iterator[list[FlightQuestion]]:
        """What is asked together: of each document as many questions as its row has room for."""
        turns = [plan.turns(item.need, budget) for item in self._documents]
        for turn in range(max(map(len, turns))):
            asked: list[FlightQuestion] = []
            for row, item in enumerate(self._documents):
                # A document with fewer turns than the others has no question left.
                if turn < len(turns[row]):
                    together = item.document.questions[turns[row][turn]]
                    asked += [FlightQuestion(row, *numbered) for numbered in enumerate(together)]
            yield asked

    def answer(
        self, asked: Sequence[FlightQuestion], clock: Clock
    ) -> list[tuple[PromptedQuestion, Completion]]:
        """The answers to one turn's questions.

        What is not a number in one question's keys reaches the other questions about its document even
        through the mask. So questions that come back without a number are asked again, one at a time.
        """
        answers = self._ask(asked, clock)
        broken = [number for number, answer in enumerate(answers) if not _sound(answer)]
        for number in broken:
            self._cache.forget_branches(wipe=True)
            answers[number] = self._ask([asked[number]], clock)[0]
        self._cache.forget_branches(wipe=bool(broken))
        return list(zip([one.question for one in asked], answers, strict=True))

    def _ask(self, asked: Sequence[FlightQuestion], clock: Clock) -> list[Completion]:
        branches = [
            QuestionBranch(
                row, number, question.ids, self._positions[row], question.limit, question.heard
            )
            for row, number, question in asked
        ]
        for branch in branches:
            columns = len(branch.prompt) + branch.limit
            self._cache.reserve(branch.document, branch.number, columns)
        logits = questions.ask(self._model, self._cache, branches, self._limits.question_tokens)
        clock.lap("suffix")
        clock.first_token()
        self._decode(branches, logits, self._prefixes)
        clock.lap("decode")
        return [branch.answer for branch in branches]


def _sound(answer: Completion) -> bool:
    return math.isfinite(answer.confidence)

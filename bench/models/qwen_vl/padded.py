"""The engine of last resort: one row a question, padded on the left, prefix and question together.

For language models whose attention cannot be a tree (eager attention, sliding windows), and to compare
with. A page still goes through the vision tower once for all its questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.decode import best_tokens, penalized, record
from bench.models.qwen_vl.generation import (
    Completion,
    Decoding,
    Engine,
    Prompted,
    PromptedQuestion,
)
from bench.models.qwen_vl.pixels import PageReader
from bench.models.qwen_vl.prefix import rope_positions
from bench.models.qwen_vl.questions import QuestionBranch
from bench.models.qwen_vl.vision import encode_pages

if TYPE_CHECKING:
    import torch


class _Row(NamedTuple):
    document: Prompted
    question: PromptedQuestion
    features: Any
    """What the vision tower made of each of the document's pages."""


class _Prompt(NamedTuple):
    ids: torch.Tensor
    """(rows, longest prompt), padded on the left."""
    mask: torch.Tensor
    """(rows, longest prompt), 0 over padding."""
    positions: torch.Tensor
    """(3, rows, longest prompt): temporal, vertical and horizontal position of every token."""


class PaddedEngine(Engine):
    """See the module's docstring."""

    def __init__(self, model: Any, reader: PageReader, decoding: Decoding) -> None:
        self._model, self._reader, self._decoding = model, reader, decoding

    def answer(
        self, documents: Iterable[Prompted], clock: Clock
    ) -> list[tuple[PromptedQuestion, Completion]]:
        """See ``Engine``. All questions are one batch."""
        import torch
        from transformers import DynamicCache

        prepared = list(documents)
        clock.lap("preprocess")
        if not prepared:
            return []
        with torch.inference_mode():
            rows: list[_Row] = []
            for document in prepared:
                pages = document.prefix.pages
                features = encode_pages(self._model, self._reader, pages, clock)
                rows += [_Row(document, question, features) for question in document.questions]
            prompt = self._pad(rows)
            cache = DynamicCache(config=self._model.config.get_text_config())
            state = _Greedy(rows, prompt, self._decoding)
            token, mask, position = prompt.ids, prompt.mask, prompt.positions
            extra = {"mm_encoder_outputs": {"image": _joined(rows)}}
            while True:
                logits = self._model(
                    input_ids=token,
                    attention_mask=mask,
                    position_ids=position,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                    **extra,
                ).logits
                token = state.choose(logits[:, -1])
                clock.lap("prefill" if extra else "decode")
                clock.first_token()
                if state.done:
                    break
                extra = {}
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                # A prompt ends in text, where the three positions are equal.
                position = position[:, :, -1:] + 1
        answers = [branch.answer for branch in state.branches]
        return list(zip([row.question for row in rows], answers, strict=True))

    def economize(self) -> str | None:
        """See ``Engine``: a batch is one piece."""
        return None

    def _pad(self, rows: Sequence[_Row]) -> _Prompt:
        """The prompts of ``rows``, each at the right end of its row.

        Padding on the left, because the last column of every row is then the end of its prompt: one
        column of logits serves all rows, and the next token has the same place in each.
        """
        import torch

        longest = max(row.question.prompt_tokens for row in rows)
        ids = torch.full((len(rows), longest), self._decoding.pad_token)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        positions = torch.zeros(3, len(rows), longest, dtype=torch.long)
        for index, (document, question, _) in enumerate(rows):
            start = longest - question.prompt_tokens
            behind = start + len(document.prefix.ids)
            ids[index, start:behind] = document.prefix.ids
            ids[index, behind:] = torch.tensor(question.ids)
            mask[index, start:] = 1
            before = rope_positions(self._model, document.prefix)
            positions[:, index, start:behind] = before
            positions[:, index, behind:] = before.max() + 1 + torch.arange(len(question.ids))
        device = self._model.device
        return _Prompt(ids.to(device), mask.to(device), positions.to(device))


def _joined(rows: Sequence[_Row]) -> Any:
    """The features of all rows' pages, as ``get_image_features`` returns them."""
    from types import SimpleNamespace

    pages = [page for row in rows for page in row.features]
    return SimpleNamespace(
        pooler_output=[page.tokens for page in pages],
        deepstack_features=list(zip(*(page.deepstack for page in pages), strict=True)),
    )


class _Greedy:
    """The growing answers of a batch, and which of them are finished."""

    def __init__(self, rows: Sequence[_Row], prompt: _Prompt, decoding: Decoding) -> None:
        self._prompt, self._decoding = prompt, decoding
        # A row is a document of its own here, and its positions are kept by the engine.
        self.branches = [
            QuestionBranch(number, 0, row.question.ids, 0, row.question.limit, row.question.heard)
            for number, row in enumerate(rows)
        ]
        self._seen: torch.Tensor | None = None

    @property
    def done(self) -> bool:
        return not any(branch.open for branch in self.branches)

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """Append the best token of ``logits`` (rows, vocabulary) to every unfinished answer.

        Returns:
            (rows, 1): the tokens to go on with; the padding token for finished answers.
        """
        import torch

        best, probabilities = best_tokens(self._penalized(logits.float())).tolist()
        tokens = []
        for branch, number, value in zip(self.branches, best, probabilities, strict=True):
            tokens.append(int(number) if branch.open else self._decoding.pad_token)
            if branch.open:
                record(branch, int(number), value, self._decoding)
        return torch.tensor(tokens, device=logits.device).unsqueeze(1)

    def _penalized(self, logits: torch.Tensor) -> torch.Tensor:
        """``logits`` after the repetition penalty.

        Padding does not count as seen: its token is an end token in this family, and a padded row
        would find it harder to stop than the same row alone.
        """
        import torch

        penalty = self._decoding.repetition_penalty
        if penalty == 1.0:
            return logits
        if self._seen is None:
            seen = torch.zeros(logits.shape, dtype=torch.int32, device=logits.device)
            seen.scatter_add_(1, self._prompt.ids, self._prompt.mask.int())
            self._seen = seen > 0
        for index, branch in enumerate(self.branches):
            if branch.ids:
                self._seen[index, branch.ids[-1]] = True
        return penalized(logits, self._seen, penalty)

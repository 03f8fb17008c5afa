"""Plain ``generate`` of transformers: rows of tokens and pixels in, completions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.generation import Completion, Decoding

NOT_FOLLOWED = frozenset(
    {
        "do_sample",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "typical_p",
        "num_beams",
        "num_return_sequences",
        "max_length",
        "max_new_tokens",
    }
)
"""What a checkpoint's generation configuration may say of sampling, beams and lengths: a run decides it."""


class Generator:
    """Greedy answers of one model."""

    def __init__(self, model: Any, decoding: Decoding) -> None:
        self._model, self._decoding = model, decoding

    def answer(self, batch: Any, limit: int, clock: Clock) -> list[Completion]:
        """The completions of the rows of ``batch``, each of at most ``limit`` tokens."""
        import torch

        batch = batch.to(self._model.device, dtype=self._model.dtype)
        clock.lap("transfer")
        probabilities = _Probabilities(clock)
        with torch.inference_mode():
            output = self._model.generate(
                **batch,
                generation_config=self._settings(limit),
                logits_processor=[probabilities],
            )
        steps = torch.stack(probabilities.steps, dim=1).tolist()
        # An encoder-decoder does not repeat the prompt, so tokens are counted from the end.
        ids = output[:, -len(probabilities.steps) :].tolist()
        clock.lap("decode")
        return [self._completion(row, sure) for row, sure in zip(ids, steps, strict=True)]

    def _settings(self, limit: int) -> Any:
        """The checkpoint's own settings beside ``NOT_FOLLOWED``, with the most probable token each time."""
        import copy

        settings = copy.deepcopy(self._model.generation_config)
        settings.update(
            max_new_tokens=limit,
            max_length=None,
            do_sample=False,
            num_beams=1,
            num_return_sequences=1,
            temperature=1.0,
            top_p=1.0,
            top_k=50,
            eos_token_id=list(self._decoding.end_tokens),
            pad_token_id=self._decoding.pad_token,
            repetition_penalty=self._decoding.repetition_penalty,
        )
        return settings

    def _completion(self, ids: Sequence[int], probabilities: Sequence[float]) -> Completion:
        """One row up to the token that ended it; behind that, other rows went on."""
        ends = [place for place, token in enumerate(ids) if token in self._decoding.end_tokens]
        length = ends[0] + 1 if ends else len(ids)
        return Completion.of(ids[:length], probabilities[:length], ended=bool(ends))


class _Probabilities:
    """Stands last among the processors of logits, and notes how probable the chosen token is.

    ``generate`` could return the scores themselves, but those of a long answer are larger than the model.
    """

    def __init__(self, clock: Clock) -> None:
        self.steps: list[Any] = []
        self._clock = clock

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """``scores`` as they are."""
        self.steps.append(scores.float().softmax(dim=-1).amax(dim=-1))
        if len(self.steps) == 1:
            self._clock.lap("prefill")
            self._clock.first_token()
        return scores

"""What the other engines are measured against: plain ``generate`` of transformers, one question a call.

Page, prefix and question are computed anew for every question, from the processor's own pixel values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.generation import (
    Completion,
    Decoding,
    Engine,
    Prompted,
    PromptedQuestion,
)
from bench.models.qwen_vl.pixels import PageReader


class ReferenceEngine(Engine):
    """See the module's docstring."""

    def __init__(self, model: Any, reader: PageReader, decoding: Decoding) -> None:
        self._model, self._reader, self._decoding = model, reader, decoding

    def answer(
        self, documents: Iterable[Prompted], clock: Clock
    ) -> list[tuple[PromptedQuestion, Completion]]:
        """See ``Engine``."""
        answers: list[tuple[PromptedQuestion, Completion]] = []
        for document in documents:
            clock.lap("preprocess")
            answers += [
                (question, self._generate(document, question, clock))
                for question in document.questions
            ]
        return answers

    def economize(self) -> str | None:
        """See ``Engine``: what ``generate`` computes together is its own."""
        return None

    def _generate(self, document: Prompted, question: PromptedQuestion, clock: Clock) -> Completion:
        import torch
        from transformers import GenerationConfig

        device, pages = self._model.device, document.prefix.pages
        ids = torch.cat([document.prefix.ids, torch.tensor(question.ids)]).unsqueeze(0).to(device)
        # Untyped in transformers.
        make: Any = GenerationConfig
        settings = make(
            max_new_tokens=question.limit,
            do_sample=False,
            # The checkpoint's own values would fill what is left out here.
            temperature=1.0,
            top_p=1.0,
            top_k=50,
            eos_token_id=list(self._decoding.end_tokens),
            pad_token_id=self._decoding.pad_token,
            repetition_penalty=self._decoding.repetition_penalty,
            output_scores=True,
            return_dict_in_generate=True,
        )
        values = torch.cat([self._reader.values(page, device) for page in pages])
        clock.lap("transfer")
        output = self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == self._model.config.image_token_id).int(),
            pixel_values=values,
            image_grid_thw=torch.tensor([(1, page.height, page.width) for page in pages]).to(
                device
            ),
            generation_config=settings,
            streamer=_FirstToken(clock),
        )
        clock.lap("decode")
        generated = output.sequences[0, ids.shape[1] :].tolist()
        probabilities: list[float] = []
        runners_up: list[tuple[int, float]] = []
        for token, scores in zip(generated, output.scores, strict=True):
            all_probabilities = scores[0].float().softmax(-1)
            probabilities.append(float(all_probabilities[token]))
            all_probabilities[token] = -1.0
            other = int(all_probabilities.argmax())
            runners_up.append((other, float(all_probabilities[other])))
        ended = generated[-1] in self._decoding.end_tokens
        return Completion.of(generated, probabilities, ended=ended, runners_up=runners_up)


class _FirstToken:
    """What ``generate`` gives its tokens to: tells the clock when the first one is there."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._calls = clock, 0

    def put(self, tokens: Any) -> None:
        """The prompt, then each token as it is chosen."""
        self._calls += 1
        if self._calls == 2:
            self._clock.lap("prefill")
            self._clock.first_token()

    def end(self) -> None:
        """Nothing to close."""

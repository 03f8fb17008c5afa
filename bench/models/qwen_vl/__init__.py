"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL through transformers.

Data go one way: ``loading`` puts the weights on a device, ``processing`` turns pages and questions into
patches and tokens, ``generation`` turns those into answers.

Papers: arXiv 2409.12191 (Qwen2-VL), 2502.13923 (Qwen2.5-VL).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.errors import BenchError, InvalidInput, did_you_mean
from bench.schema import Batch, ModelInfo, ModelSpec, Output, Page, PageGroup, Request
from bench.text import one_line

if TYPE_CHECKING:
    from bench.models.qwen_vl.generation import Answer, Clock, Decoding
    from bench.models.qwen_vl.loading import LoadedModel
    from bench.models.qwen_vl.processing import PageImages, Processor, Row


_OPTIONS = {
    "offline": "never ask the hub",
    "merge_adapter": "put an adapter into the weights; true unless they are quantized",
}


class _Parts(NamedTuple):
    """What ``load`` leaves behind."""

    loaded: LoadedModel
    processor: Processor
    decoding: Decoding
    context: int
    """Tokens that the language model was trained to hold."""


class QwenVL:
    """A checkpoint of the Qwen-VL family; see ``bench.models.base.Model``."""

    def __init__(self, spec: ModelSpec) -> None:
        if spec.checkpoint is None:
            raise InvalidInput(
                f"model {spec.name!r} names no checkpoint",
                hint="name a checkpoint folder or a hub id",
            )
        for name in spec.options:
            if name not in _OPTIONS:
                raise InvalidInput(
                    f"model {spec.name!r}: the Qwen-VL backend has no option {name!r}",
                    hint=did_you_mean(name, _OPTIONS),
                )
        self._spec = spec
        self._parts: _Parts | None = None

    def load(self) -> ModelInfo:
        """Load weights, tokenizer, template and processor; see ``bench.models.base.Model``."""
        from bench.models.qwen_vl.generation import read_decoding
        from bench.models.qwen_vl.loading import load_model, locate
        from bench.models.qwen_vl.processing import Processor

        folder = locate(self._spec)
        # Before the weights: what is wrong with the small files should not take minutes to be said.
        processor = Processor(self._spec, folder)
        loaded = load_model(self._spec, folder)
        config = loaded.model.config
        decoding = read_decoding(folder, config, processor.tokenizer)
        context = int(config.get_text_config().max_position_embeddings)
        self._parts = _Parts(loaded, processor, decoding, context)
        details = {
            **loaded.details,
            **processor.details(),
            **decoding.details(),
            "context_tokens": context,
            "page_reuse": "within a batch a page is opened, resized and encoded once for its questions",
        }
        return ModelInfo(
            backend="qwen_vl",
            details=details,
            parameters=loaded.model.num_parameters(),
            device=str(loaded.device),
        )

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Answer every request as one batch; see ``bench.models.base.Model``.

        A document with a page that cannot be read, and a prompt longer than the model's context, come
        back as errors of their own requests.
        """
        from bench.models.qwen_vl.generation import Clock
        from bench.models.qwen_vl.loading import is_out_of_memory, out_of_memory

        if self._parts is None:
            raise RuntimeError("load() comes before generate()")
        clock = Clock(self._parts.loaded.device)
        try:
            return Batch(tuple(_answer(self._parts, groups, clock)), clock.stages)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Raised below: while the error is handled, its traceback keeps the batch's tensors alive.
            failure = error.with_traceback(None)
        self._free_memory()
        questions = sum(len(group.requests) for group in groups)
        raise out_of_memory(failure, f"answering {questions} question(s) at once") from None

    def reset(self) -> None:
        """Nothing to forget: no page outlives the call that brought it."""

    def _free_memory(self) -> None:
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _answer(parts: _Parts, groups: Sequence[PageGroup], clock: Clock) -> list[Output]:
    """One output per request, in the groups' order."""
    from bench.models.qwen_vl.generation import answer_rows

    prepared = list(_prepare(parts, groups))
    clock.lap("preprocess")
    rows = [row for row in prepared if not isinstance(row, Output)]
    answers = iter(answer_rows(parts.loaded.model, rows, parts.decoding, clock) if rows else ())
    outputs = [
        row if isinstance(row, Output) else _output(parts, row, next(answers)) for row in prepared
    ]
    clock.lap("decode")
    return outputs


def _prepare(parts: _Parts, groups: Sequence[PageGroup]) -> list[Row | Output]:
    """A row for every request, or the output that says why there is none."""
    # By pages, not by group: a plan may give one document's questions in several groups.
    images: dict[tuple[Page, ...], PageImages | BenchError] = {}
    prepared: list[Row | Output] = []
    for group in groups:
        pages = group.document.pages
        if pages not in images:
            try:
                images[pages] = parts.processor.page_images(pages)
            except InvalidInput as error:
                images[pages] = error
        found = images[pages]
        for request in group.requests:
            if isinstance(found, BenchError):
                prepared.append(_failure(request, found))
            else:
                prepared.append(_fit(parts, parts.processor.row(group, request, found)))
    return prepared


def _fit(parts: _Parts, row: Row) -> Row | Output:
    """``row``, unless its prompt and answer are longer than what the model can hold."""
    needed = len(row.ids) + row.group.generation.max_new_tokens
    if needed <= parts.context:
        return row
    problem = InvalidInput(
        f"{len(row.ids)} prompt tokens ({sum(row.images.tokens)} of them visual) and "
        f"{row.group.generation.max_new_tokens} for the answer exceed the model's context of "
        f"{parts.context}; lower --max-pixels"
    )
    return _failure(row.request, problem)


def _output(parts: _Parts, row: Row, answer: Answer) -> Output:
    if not math.isfinite(answer.confidence):
        dtype = parts.loaded.details["dtype"]
        return _failure(
            row.request, ArithmeticError(f"the model's logits are not finite in {dtype}")
        )
    text, cut = _cut(parts.processor.text(answer.ids), row.group.generation.stop)
    return Output(
        sample_id=row.request.sample_id,
        text=text,
        stop_reason="stop" if answer.ended or cut else "length",
        prompt_tokens=len(row.ids),
        visual_tokens=sum(row.images.tokens),
        generated_tokens=len(answer.ids),
        confidence=answer.confidence,
    )


def _failure(request: Request, error: Exception) -> Output:
    return Output(
        sample_id=request.sample_id,
        text="",
        stop_reason="error",
        error=f"{type(error).__name__}: {one_line(str(error), 400)}",
    )


def _cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """``text`` up to the first of ``stops``, and whether there was one."""
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)

"""Runs Qwen2-VL, Qwen2.5-VL and Qwen3-VL on this machine, with weights loaded by transformers.

The data go one way: ``loading`` puts the weights on a device, ``processing`` reads what belongs to them,
``prompting`` turns groups into pages and tokens, an engine turns those into answers. Read the engine's files
in the order of the data: ``pixels``, ``vision``, ``prefix``, ``questions``, ``decode``,
with ``tree`` for the memory between them and ``engine`` for the whole; ``last_layer`` leaves out what nobody
reads. On a GPU, ``cascade`` (on ``varlen``) replaces ``tree``, and ``steps`` replaces ``decode``; ``cuda``
contains what only CUDA can do. On a CPU, ``products`` and ``blocks`` replace torch's own products and
attention where they are faster.

Papers: arXiv 2409.12191 (Qwen2-VL), 2502.13923 (Qwen2.5-VL).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bench.errors import InvalidInput
from bench.formatting import plural
from bench.models.backends import check_options
from bench.models.model import cut_at, failed, log_probability
from bench.schema import Batch, Json, ModelInfo, ModelSpec, Output, PageGroup, TokenChoice

if TYPE_CHECKING:
    from pathlib import Path

    from bench.models.qwen_vl.clock import Clock
    from bench.models.qwen_vl.generation import Completion, Engine, PromptedQuestion
    from bench.models.qwen_vl.loading import LoadedModel
    from bench.models.qwen_vl.processing import Processor
    from bench.models.qwen_vl.tree import Attention
    from bench.models.reading_along import Reader


class _Parts(NamedTuple):
    """What ``load`` leaves behind."""

    loaded: LoadedModel
    processor: Processor
    engine: Engine
    context: int
    """Tokens that the language model was trained to hold."""
    token_details: bool
    """Whether answers say which tokens they consist of."""


class QwenVL:
    """A checkpoint of the Qwen-VL family; see ``bench.models.model.Model``."""

    def __init__(self, spec: ModelSpec) -> None:
        if spec.checkpoint is None:
            raise InvalidInput(
                f"model {spec.name!r} names no checkpoint",
                hint="name a checkpoint folder or a hub id",
            )
        _check_choices(spec)
        self._spec = spec
        self._reference = bool(spec.options.get("reference", False))
        self._reuse = spec.options.get("reuse") is not False and not self._reference
        self._parts: _Parts | None = None
        self._readers: Mapping[str, Reader] = {}

    def load(self) -> ModelInfo:
        """Load weights, tokenizer, template and processor; see ``bench.models.model.Model``."""
        from bench.models.qwen_vl.blocks import choose_attention, use_in_tower
        from bench.models.qwen_vl.generation import read_decoding
        from bench.models.qwen_vl.loading import load_model, locate
        from bench.models.qwen_vl.processing import Processor
        from bench.models.qwen_vl.products import pack_products

        folder = locate(self._spec)
        # Before the weights: what is wrong with the small files should not take minutes to be said.
        processor = Processor(self._spec, folder)
        read_decoding(folder, processor.config, processor.tokenizer)
        loaded = load_model(self._spec, folder)
        # Neither is for a model that was adopted: it may be in training.
        attention, attends = choose_attention(self._spec, loaded.model)
        info = self._use(loaded, processor, folder, attention)
        if attention is not None:
            use_in_tower(loaded.model, attention)
        products = pack_products(self._spec, loaded.model)
        record: dict[str, Json] = {"products": products, "attention_products": attends}
        return replace(info, details={**info.details, **record})

    def adopt(self, loaded: LoadedModel, processor: Processor, folder: Path) -> ModelInfo:
        """Use weights that are already loaded, for example those of a model in training.

        ``folder`` is the checkpoint's. Returns what ``load`` does.
        """
        return self._use(loaded, processor, folder, None)

    def _use(
        self,
        loaded: LoadedModel,
        processor: Processor,
        folder: Path,
        attention: Attention | None,
    ) -> ModelInfo:
        """Build the engine over ``loaded``; ``attention`` is used instead of torch's own."""
        from bench.models.qwen_vl.generation import read_decoding
        from bench.models.qwen_vl.selection import select_engine

        config = loaded.model.config
        decoding = read_decoding(folder, config, processor.tokenizer)
        context = int(config.get_text_config().max_position_embeddings)
        engine, chosen = select_engine(
            self._spec, loaded.model, processor.reader, decoding, attention
        )
        token_details = bool(self._spec.options.get("token_details"))
        self._parts = _Parts(loaded, processor, engine, context, token_details)
        details: dict[str, Json] = {
            **loaded.details,
            **processor.details(),
            **decoding.details(),
            **chosen,
            "context_tokens": context,
            "page_reuse": "within a batch a page is opened, resized and encoded once for its questions"
            if self._reuse
            else "none: a page is opened, resized and encoded for every question",
        }
        return ModelInfo(
            backend=self._spec.backend,
            details=details,
            parameters=loaded.model.num_parameters(),
            device=str(loaded.device),
        )

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Answer every request as one batch; see ``bench.models.model.Model``.

        A document with a page that cannot be read, and a prompt longer than the model's context, come
        back as errors of their own requests.
        """
        from bench.measure import is_out_of_memory
        from bench.models.qwen_vl.clock import Clock
        from bench.models.qwen_vl.failures import NOT_FOR_PEOPLE, out_of_memory, reason

        if self._parts is None:
            raise RuntimeError("load() comes before generate()")
        clock = Clock(self._parts.loaded.device)
        try:
            outputs = tuple(self._answer(self._parts, groups, clock))
            notes = self._parts.engine.notes()
            return Batch(outputs, clock.stages, clock.first_token_seconds, notes=notes)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Raised below: while the error is handled, its traceback keeps the batch's tensors alive.
            failure = error.with_traceback(None)
        except NOT_FOR_PEOPLE as error:
            raise InvalidInput(
                f"{self._parts.processor.folder}: the model cannot answer; {reason(error)}",
                hint="copy config.json from where the checkpoint comes from",
            ) from error
        self._free_memory()
        questions = sum(len(group.requests) for group in groups)
        raise out_of_memory(failure, f"answering {plural(questions, 'question')} at once") from None

    def let_read_along(self, readers: Mapping[str, Reader]) -> None:
        """See ``bench.models.model.ReadAlong``."""
        self._readers = readers

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Let worker threads read the pages of ``groups`` ahead; see ``bench.models.model.Model``."""
        from bench.models.qwen_vl.prompting import Prompting

        if self._parts is not None:
            parts = self._parts
            Prompting(parts.processor, parts.context, reuse=self._reuse).expect(groups)
            parts.engine.hurry()

    def reset(self) -> None:
        """Forget pages that were read ahead; no other outlives the call that brought it."""
        if self._parts is not None:
            self._parts.processor.queue.forget()
            self._parts.engine.rest()

    def economize(self) -> str | None:
        """Compute in smaller chunks; see ``bench.models.model.Model``."""
        return None if self._parts is None else self._parts.engine.economize()

    def _answer(self, parts: _Parts, groups: Sequence[PageGroup], clock: Clock) -> list[Output]:
        """One output per request, in the groups' order."""
        from bench.models.qwen_vl.prompting import Prompting

        prompting = Prompting(
            parts.processor, parts.context, reuse=self._reuse, readers=self._readers
        )
        answers = parts.engine.answer(prompting.documents(groups), clock)
        outputs = dict(prompting.settled)
        for question, answer in answers:
            outputs[question.place] = _output(parts, question, answer)
        in_order = [outputs[place] for place in sorted(outputs)]
        clock.lap("other")
        return in_order

    def _free_memory(self) -> None:
        from bench.measure import release_memory

        if self._parts is not None:
            # Pages that were read ahead may lie on the device.
            self._parts.processor.queue.forget()
        release_memory()


def _check_choices(spec: ModelSpec) -> None:
    """Refuse options whose values are not among their choices, or contradict the device."""
    check_options(spec)
    engine = spec.options.get("engine")
    if engine not in {None, "tree", "cascade", "padded"}:
        raise InvalidInput(
            f"model {spec.name!r}: the option engine should be tree, cascade or padded, but it is {engine!r}"
        )
    placement = spec.options.get("device_map")
    if placement not in {None, "auto"}:
        raise InvalidInput(
            f"model {spec.name!r}: the option device_map should be auto, but it is {placement!r}"
        )
    if placement is not None and spec.device not in {"auto", "cuda"}:
        raise InvalidInput(
            f"model {spec.name!r}: the option device_map spreads it over all GPUs, but the device "
            f"{spec.device} is a single one",
            hint="leave out one of them",
        )


def _output(parts: _Parts, question: PromptedQuestion, answer: Completion) -> Output:
    if not math.isfinite(answer.confidence):
        dtype = parts.loaded.details["dtype"]
        # The largest number of fp16 is 65,504, which activations of some checkpoints exceed.
        advice = (
            "; its range may be too small for this model: --dtype fp32"
            if dtype == "float16"
            else ""
        )
        return failed(
            question.request.sample_id,
            ArithmeticError(f"the model's logits are not finite in {dtype}{advice}"),
        )
    text, cut = cut_at(parts.processor.text(answer.ids), question.group.generation.stop)
    return Output(
        sample_id=question.request.sample_id,
        text=text,
        stop_reason="stop" if answer.ended or cut else "length",
        prompt_tokens=question.prompt_tokens,
        visual_tokens=question.visual_tokens,
        generated_tokens=len(answer.ids),
        confidence=answer.confidence,
        min_confidence=answer.min_confidence,
        tokens=_token_choices(parts, answer) if parts.token_details else None,
    )


def _token_choices(parts: _Parts, answer: Completion) -> tuple[TokenChoice, ...]:
    """The tokens of ``answer`` with their probabilities, and the runners-up where the engine knows them."""
    names = [parts.processor.token_name(token) for token in answer.ids]
    choices = [
        TokenChoice(name, log_probability(probability))
        for name, probability in zip(names, answer.probabilities, strict=True)
    ]
    if not answer.runners_up:
        return tuple(choices)
    return tuple(
        replace(
            choice,
            runner_up=parts.processor.token_name(token),
            runner_up_logprob=log_probability(probability),
        )
        for choice, (token, probability) in zip(choices, answer.runners_up, strict=True)
    )

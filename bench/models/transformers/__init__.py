"""Runs any checkpoint that transformers' ``AutoModelForImageTextToText`` can load, by plain ``generate``.

For the families without an engine of their own. In the order of the data: ``known`` (which types),
``loading`` (weights), ``processor`` and ``bounds`` (pages and questions become tensors), ``generating``
(tensors become answers), ``checks`` (whether rows may be padded).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import InvalidInput, OutOfMemory, require_package
from bench.formatting import count, plural
from bench.models.backends import check_options
from bench.models.model import cut_at, failed
from bench.schema import Batch, Document, Json, ModelInfo, ModelSpec, Output, PageGroup, Request

if TYPE_CHECKING:
    from bench.models.qwen_vl.clock import Clock
    from bench.models.qwen_vl.generation import Completion
    from bench.models.qwen_vl.loading import LoadedModel
    from bench.models.transformers.checks import BatchCheck, Circumstances
    from bench.models.transformers.generating import Generator
    from bench.models.transformers.processor import PageProcessor


class _Parts(NamedTuple):
    """What ``load`` leaves behind."""

    weights: LoadedModel
    processor: PageProcessor
    generator: Generator
    context: int | None
    """Tokens that the language model was trained to hold; None if its configuration does not say."""
    circumstances: Circumstances


class _Row(NamedTuple):
    """One request, and its place among the outputs of the call."""

    place: int
    group: PageGroup
    request: Request


class AnyVisionModel:
    """A checkpoint of any family; see ``bench.models.model.Model``."""

    def __init__(self, spec: ModelSpec) -> None:
        check_options(spec)
        if spec.checkpoint is None:
            raise InvalidInput(
                f"model {spec.name!r} names no checkpoint",
                hint="name a checkpoint folder or a hub id",
            )
        self._spec = spec
        self._parts: _Parts | None = None
        self._pages: tuple[Document, list[Any]] | None = None
        """The document that was asked about last, and its pages."""

    def load(self) -> ModelInfo:
        """Load weights, tokenizer, template and processor; see ``bench.models.model.Model``."""
        for package in ("torch", "transformers", "accelerate"):
            require_package("a checkpoint", package, "hf")
        from bench.models.checkpoints import read_checkpoint
        from bench.models.qwen_vl.download import fetch, offline
        from bench.models.qwen_vl.generation import read_decoding
        from bench.models.qwen_vl.loading import quiet_transformers
        from bench.models.qwen_vl.readable import readable
        from bench.models.transformers.generating import NOT_FOLLOWED, Generator
        from bench.models.transformers.loading import load_weights, read_config
        from bench.models.transformers.processor import PageProcessor

        spec = self._spec
        folder = fetch(str(spec.checkpoint), spec.revision, offline=offline(spec))
        read_checkpoint(folder)
        with readable(folder) as files, quiet_transformers():
            # Before the weights: what is wrong with the small files should not take minutes to be said.
            config = read_config(folder, files)
            processor = PageProcessor(spec, folder, files, config)
            decoding = read_decoding(folder, config, processor.tokenizer)
            weights = load_weights(spec, folder, files, config)
        circumstances = _circumstances(weights)
        context = getattr(config.get_text_config(), "max_position_embeddings", None)
        generator = Generator(weights.model, decoding)
        self._parts = _Parts(weights, processor, generator, context, circumstances)
        rows = self._rows()
        # Unlike the engines, generate also follows what the configuration says beside these.
        written = decoding.ignored.items()
        details: dict[str, Json] = {
            **weights.details,
            **processor.details(),
            **decoding.details(),
            "generation_config_ignored": {k: v for k, v in written if k in NOT_FOLLOWED},
            "generation_config_followed": {k: v for k, v in written if k not in NOT_FOLLOWED},
            "engine": "generate",
            "batch_size": 1,
            "padded_rows": rows,
            "padded_batches": _padding_in_words(rows),
            "padding_circumstances": circumstances._asdict(),
            "context_tokens": context,
            "page_reuse": "none: a page is encoded for every question",
        }
        return ModelInfo(
            backend=spec.backend,
            details=details,
            parameters=weights.model.num_parameters(),
            device=str(weights.device),
        )

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Answer every request; see ``bench.models.model.Model``.

        Questions are answered one by one, or in padded rows as far as a check has passed. A document with
        a page that cannot be read, and a prompt longer than the model's context, are errors of their own
        requests.
        """
        return self.generate_rows(groups, self._rows())

    def check_batches(self, groups: Sequence[PageGroup], rows: int) -> BatchCheck:
        """Answer ``groups`` one by one and in padded batches of ``rows`` questions.

        Nothing is recorded; ``bench check`` does that with the answers of two runs.
        """
        from bench.models.transformers.checks import BatchCheck

        single, padded = self.generate_rows(groups, 1), self.generate_rows(groups, rows)
        return BatchCheck(self._loaded().circumstances, rows, single, padded)

    def generate_rows(self, groups: Sequence[PageGroup], rows: int) -> Batch:
        """``generate`` with at most ``rows`` questions in a padded batch, whether that was checked or not."""
        from bench.measure import is_out_of_memory, release_memory
        from bench.models.qwen_vl.clock import Clock
        from bench.models.qwen_vl.failures import out_of_memory
        from bench.models.qwen_vl.loading import quiet_transformers

        parts = self._loaded()
        clock = Clock(parts.weights.device)
        outputs: dict[int, Output] = {}
        failure: BaseException
        try:
            with quiet_transformers():
                for chunk in _chunks(groups, rows):
                    outputs |= self._answer(parts, chunk, clock)
            in_order = tuple(outputs[place] for place in sorted(outputs))
            return Batch(in_order, clock.stages, clock.first_token_seconds)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Raised below: while the error is handled, its traceback keeps the batch's tensors alive.
            failure = error.with_traceback(None)
        self._pages = None
        release_memory()
        questions = sum(len(group.requests) for group in groups)
        raise out_of_memory(
            failure, f"answering {plural(min(questions, rows), 'question')} at once"
        )

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Nothing is read ahead."""

    def reset(self) -> None:
        """Forget the pages of the last document."""
        self._pages = None

    def economize(self) -> str | None:
        """What ``generate`` computes together is its own."""
        return None

    def _rows(self) -> int:
        """How many questions a padded batch may have."""
        from bench.models.transformers.checks import checked_rows

        unchecked = self._spec.options.get("unchecked_rows")
        if isinstance(unchecked, int):
            return max(1, unchecked)
        return checked_rows(self._loaded().circumstances)

    def _loaded(self) -> _Parts:
        if self._parts is None:
            raise RuntimeError("load() comes before generate()")
        return self._parts

    def _answer(self, parts: _Parts, chunk: Sequence[_Row], clock: Clock) -> dict[int, Output]:
        """Place → output for the rows of ``chunk``, which share their limit and their bound on pages."""
        from bench.models.transformers.processor import Asked

        outputs: dict[int, Output] = {}
        rows: list[_Row] = []
        asked: list[Asked] = []
        limit, bound = chunk[0].group.generation.max_new_tokens, chunk[0].group.max_pixels
        if bound is not None and not parts.processor.can_shrink_to(bound):
            raise OutOfMemory(f"the model's pages cannot be made as small as {count(bound)} pixels")
        for row in chunk:
            try:
                pages = self._read(row.group.document)
                asked.append(Asked(pages, row.request.prompt, row.group.system))
                rows.append(row)
            except InvalidInput as error:
                outputs[row.place] = failed(row.request.sample_id, error)
        if not rows:
            return outputs
        try:
            batch = parts.processor.rows(asked, bound)
        except InvalidInput as error:
            if len(rows) == 1:
                return {**outputs, rows[0].place: failed(rows[0].request.sample_id, error)}
            for row in rows:
                outputs |= self._answer(parts, [row], clock)
            return outputs
        clock.lap("preprocess")
        prompts = _prompts(batch)
        refused = {
            row.place: output
            for row, prompt in zip(rows, prompts, strict=True)
            if (output := _unanswered(parts, row, prompt, limit)) is not None
        }
        if refused:
            # The others are asked without them: a prompt beyond the context would cost them memory.
            left = [row for row in rows if row.place not in refused]
            return outputs | refused | (self._answer(parts, left, clock) if left else {})
        completions = parts.generator.answer(batch, limit, clock)
        for row, prompt, completion in zip(rows, prompts, completions, strict=True):
            outputs[row.place] = _output(parts, row, prompt, completion)
        clock.lap("other")
        return outputs

    def _read(self, document: Document) -> list[Any]:
        """The pages of ``document``, opened once for the questions that follow each other.

        Raises:
            InvalidInput: a page cannot be read.
        """
        from bench.tasks.pages import open_page

        if self._pages is None or self._pages[0] != document:
            pages = [open_page(page).convert("RGB") for page in document.pages]
            self._pages = (document, pages)
        return self._pages[1]


def _chunks(groups: Sequence[PageGroup], size: int) -> Iterator[list[_Row]]:
    """The requests of ``groups`` in batches of at most ``size`` that can be padded together."""
    requests = ((group, request) for group in groups for request in group.requests)
    rows = [_Row(place, group, request) for place, (group, request) in enumerate(requests)]
    for _, alike in groupby(rows, key=lambda row: (row.group.generation, row.group.max_pixels)):
        together = list(alike)
        for start in range(0, len(together), size):
            yield together[start : start + size]


def _prompts(batch: Any) -> list[list[int]]:
    """The tokens of each row without its padding."""
    kept = batch["attention_mask"].bool()
    return [ids[mask].tolist() for ids, mask in zip(batch["input_ids"], kept, strict=True)]


def _unanswered(parts: _Parts, row: _Row, prompt: Sequence[int], limit: int) -> Output | None:
    """The output of a row that the model is not asked about; None if it is asked."""
    if parts.context is not None and len(prompt) + limit > parts.context:
        problem = InvalidInput(
            f"the prompt has {len(prompt)} tokens and the answer may have {limit}, which is more than the "
            f"model's context of {parts.context}; lower --max-pixels"
        )
        return failed(row.request.sample_id, problem)
    if limit < 1:
        visual = parts.processor.visual_tokens(prompt, len(row.group.document.pages))
        return Output(row.request.sample_id, "", "length", len(prompt), visual, 0)
    return None


def _output(parts: _Parts, row: _Row, prompt: Sequence[int], answer: Completion) -> Output:
    sample_id = row.request.sample_id
    if not math.isfinite(answer.confidence):
        dtype = parts.weights.details["dtype"]
        return failed(
            sample_id,
            ArithmeticError(f"the model's logits are not finite in {dtype}; try --dtype fp32"),
        )
    text, cut = cut_at(parts.processor.text(answer.ids), row.group.generation.stop)
    return Output(
        sample_id=sample_id,
        text=text,
        stop_reason="stop" if answer.ended or cut else "length",
        prompt_tokens=len(prompt),
        visual_tokens=parts.processor.visual_tokens(prompt, len(row.group.document.pages)),
        generated_tokens=len(answer.ids),
        confidence=answer.confidence,
        min_confidence=answer.min_confidence,
    )


def _circumstances(weights: LoadedModel) -> Circumstances:
    import torch
    import transformers

    from bench.models.transformers.checks import Circumstances

    device = weights.device
    return Circumstances(
        model_type=str(weights.details["model_type"]),
        device="cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        dtype=str(weights.details["dtype"]),
        attention=str(weights.details["attention"]),
        torch=torch.__version__,
        transformers=transformers.__version__,
    )


def _padding_in_words(rows: int) -> str:
    if rows > 1:
        return f"at most {rows} questions: a check of that many has passed here, or is being made"
    return "none: questions are answered one by one, because no batch check of this type has passed here"

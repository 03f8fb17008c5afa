"""Validates the model in training: its loss, and its answers scored by the task's own metric.

The answers come from the engine of ``bench run``, so ``bench run`` will show the same score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import OutOfMemory
from bench.metrics import METRICS
from bench.models.qwen_vl import QwenVL
from bench.runner.batches import batched, default_batch_size, halves, page_groups
from bench.schema import ModelSpec, Output, PageGroup, Task
from bench.scoring.answers import score_answer
from bench.tuning.packing import Packed, compute_dtype, question_losses

if TYPE_CHECKING:
    from bench.models.qwen_vl.loading import LoadedModel
    from bench.models.qwen_vl.processing import Processor

CACHE_BYTES = 2**30
"""The bytes of keys and values that are held while the model answers; no answer depends on it."""


class Validated(NamedTuple):
    """The result of one validation."""

    loss: float
    """The mean over the questions."""
    score: float
    """The mean of the task's headline metric."""


class Validator:
    """Validates a model in training."""

    def __init__(
        self,
        spec: ModelSpec,
        folder: Path,
        loaded: LoadedModel,
        processor: Processor,
        task: Task,
        packed: Callable[[], Iterator[Packed]],
    ) -> None:
        """Prepare ``loaded`` to answer questions.

        Args:
            spec: the base model.
            folder: the folder of its checkpoint.
            loaded: the model with the adapter inside.
            processor: the processor of the model.
            task: the validation part.
            packed: returns the rows of that part, at each call from the first on.
        """
        self._model, self._task, self._packed = loaded.model, task, packed
        # Training needs the memory that CUDA graphs, and keys and values in half of what is free, would hold.
        options = {**spec.options, "graphs": False, "cache_bytes": CACHE_BYTES}
        asked = replace(spec, options=options)
        self._backend = QwenVL(asked)
        with _restored(self._parts()):
            self._backend.adopt(loaded, processor, folder)
            self._answering = [part.config._attn_implementation for part in self._parts()]
        size = default_batch_size(loaded.device.type)
        self._batches = list(batched(page_groups(task, spec), size))

    def validate(self, wrapped: Any) -> Validated:
        """Measure loss and score of the model as it is now; ``wrapped`` computes the loss."""
        training = wrapped.training
        wrapped.eval()
        try:
            return Validated(self._loss(wrapped), self._score())
        finally:
            wrapped.train(training)

    def _loss(self, wrapped: Any) -> float:
        import torch

        total, questions = 0.0, 0
        dtype = compute_dtype(self._model)
        with torch.no_grad():
            for packed in self._packed():
                inputs = {
                    name: tensor.to(self._model.device)
                    for name, tensor in packed.inputs(dtype).items()
                }
                losses = question_losses(wrapped(**inputs, use_cache=False).logits, packed)
                total += float(losses.sum())
                questions += packed.questions
        return total / questions

    def _score(self) -> float:
        outputs: dict[str, Output] = {}
        with _restored(self._parts()):
            _use_attention(self._parts(), self._answering)
            for batch in self._batches:
                outputs |= {output.sample_id: output for output in self._answer(batch)}
        return mean_score(self._task, outputs)

    def _answer(self, groups: Sequence[PageGroup]) -> list[Output]:
        try:
            return list(self._backend.generate(groups).outputs)
        except OutOfMemory:
            if sum(len(group.requests) for group in groups) == 1:
                raise
            return [output for half in halves(groups) for output in self._answer(half)]

    def _parts(self) -> list[Any]:
        """The two halves of the model, each of which has its own choice of attention."""
        return [self._model.model.language_model, self._model.model.visual]


def mean_score(task: Task, outputs: dict[str, Output]) -> float:
    """The mean headline score of ``outputs`` (by sample id), as ``bench run`` prints it, or NaN."""
    headline = task.metrics[0]
    total = weights = 0.0
    for sample in task.samples:
        score = score_answer(task, sample, outputs[sample.id]).scores[headline]
        if score.value is not None:
            total += score.value * score.weight
            weights += score.weight
    return total / weights if weights else float("nan")


def direction(task: Task) -> int:
    """1 if a higher headline score is better, else -1."""
    return 1 if METRICS[task.metrics[0]].direction == "higher" else -1


@contextmanager
def _restored(parts: Sequence[Any]) -> Iterator[None]:
    """Give ``parts`` their own attention back at the end: that of the engine keeps no gradients."""
    before = [part.config._attn_implementation for part in parts]
    try:
        yield
    finally:
        _use_attention(parts, before)


def _use_attention(parts: Sequence[Any], attention: Sequence[str]) -> None:
    """Let each of ``parts`` use the attention of that name."""
    for part, name in zip(parts, attention, strict=True):
        # Not ``set_attn_implementation``: it takes any name with ``flash`` in it for a package to import.
        part.config._attn_implementation = name

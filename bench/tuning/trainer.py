"""transformers' Trainer with our packed rows, our loss, and our validation.

A batch is one row (``packing``). Its loss is summed over its questions and divided by the questions of the
whole step. The validation uses the task's own metric. The best checkpoint becomes the adapter as soon as it
is known, so that there is an adapter whatever happens later. A loss or gradient that is not finite stops the
training before it reaches the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import transformers

from bench.errors import INCOMPLETE, BenchError
from bench.files import write_bytes_atomically
from bench.tuning.adapter_folder import ADAPTER_FILES, write_history
from bench.tuning.examples import TrainingExample
from bench.tuning.feeding import Feeder
from bench.tuning.packing import Packed, compute_dtype, question_losses
from bench.tuning.validation import Validated

_TIE = 1e-6
"""The weight of the loss beside the score: so small that the loss decides only where two scores are equal."""


class Listener(Protocol):
    """Is told how the training goes on."""

    def say(self, text: str) -> None:
        """Show one line of text."""
        ...

    def step(self, done: int, total: int, loss: float | None) -> None:
        """An optimizer step was made."""
        ...

    def validated(self, step: int, result: Validated, *, best: bool) -> None:
        """The model was validated; ``best`` where it is the best so far, apart from the untrained one."""
        ...


class Diverged(BenchError):
    """The loss or a gradient is no longer a finite number; the best adapter so far is kept."""

    exit_code = INCOMPLETE


class Subject(NamedTuple):
    """What is trained, on what, and how it is measured."""

    model: Any
    """A base with an adapter, as PEFT wraps it."""
    rows: Sequence[tuple[TrainingExample, ...]]
    """The rows of an epoch."""
    feeder: Feeder
    """Makes tensors of rows."""
    validate: Callable[[Any], Validated]
    """Measures loss and score of the model that it is given."""
    direction: int
    """1 if a higher score is better, else -1."""


class PackedTrainer(transformers.Trainer):
    """The Trainer, with our batches, loss and validation."""

    def __init__(self, subject: Subject, arguments: transformers.TrainingArguments) -> None:
        """Prepare to train ``subject`` with what ``_arguments`` returned."""
        # The Trainer wants an evaluation set, but our validation reads its own rows.
        super().__init__(
            model=subject.model,
            args=arguments,
            train_dataset=subject.rows,
            eval_dataset=subject.rows[:1],
            data_collator=subject.feeder.collate,
        )
        # compute_loss divides by the questions of the whole step, so the Trainer must not divide again.
        self.loss_is_scaled_for_ga = True
        self._subject = subject

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int]:
        """The rows of a step, and the questions in them."""
        rows, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        return rows, sum(row["questions"] for row in rows)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The row's share of the step's mean loss over questions."""
        packed = Packed(**inputs)
        dtype = compute_dtype(self.model)
        losses = question_losses(model(**packed.inputs(dtype), use_cache=False).logits, packed)
        loss = losses.sum() / (num_items_in_batch or packed.questions)
        if not torch.isfinite(loss):
            raise Diverged("the loss is not a finite number")
        return loss

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: Any = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Loss and score of the validation part."""
        result = self._subject.validate(self.model)
        # Where no answer could be scored, the loss alone decides.
        score = result.score if math.isfinite(result.score) else 0.0
        merit = self._subject.direction * score - _TIE * result.loss
        metrics = {"eval_loss": result.loss, "eval_score": result.score, "eval_merit": merit}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class Watch(transformers.TrainerCallback):
    """Tells the listener, publishes the best checkpoint, and stops the training where it is asked to."""

    def __init__(self, out: Path, listener: Listener) -> None:
        self.out, self.listener = out, listener
        self.asked_to_stop = False
        self._best: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin, or go on from a checkpoint."""
        if state.best_model_checkpoint is not None:
            # The process may have ended between saving this checkpoint and publishing it.
            publish(Path(state.best_model_checkpoint), self.out)
        # The Trainer writes -inf where no validation was better than none before an interruption.
        if state.best_metric is not None and math.isfinite(state.best_metric):
            self._best = state.best_metric
        self.listener.step(state.global_step, state.max_steps, None)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop before a gradient that is not finite ruins the weights."""
        gradients = [p.grad for p in kwargs["model"].parameters() if p.grad is not None]
        if not torch.isfinite(torch.stack([gradient.sum() for gradient in gradients])).all():
            raise Diverged("a gradient is not a finite number")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Validate and save after the last step, whatever the interval, and obey a request to stop."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True
        if self.asked_to_stop:
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the listener the loss of a step."""
        logs = kwargs["logs"]
        if "loss" in logs:
            self.listener.step(state.global_step, state.max_steps, logs["loss"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the history so far, and tell the listener the result of a validation."""
        metrics = kwargs["metrics"]
        merit = metrics["eval_merit"]
        best = state.global_step > 0 and (self._best is None or merit > self._best)
        if best:
            self._best = merit
        # First, because the listener may draw the history.
        write_history(self.out, state.log_history)
        result = Validated(metrics["eval_loss"], metrics["eval_score"])
        self.listener.validated(state.global_step, result, best=best)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Make the best checkpoint the adapter."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.best_global_step == state.global_step:
            publish(folder, self.out)


def publish(checkpoint: Path, out: Path) -> None:
    """Make the adapter of ``checkpoint`` the adapter of ``out``; its configuration is written last."""
    for name in ADAPTER_FILES:
        write_bytes_atomically(out / name, (checkpoint / name).read_bytes())

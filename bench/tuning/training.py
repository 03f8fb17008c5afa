"""Training with transformers' Trainer: our packed rows, our loss, and our validation.

A batch is one row (``packing``). Its loss is summed over its questions and divided by the questions of the
whole step. The validation uses the task's own metric. The best checkpoint becomes the adapter as soon as it
is known, so that there is an adapter whatever happens later. A loss or gradient that is not finite stops the
training before it reaches the weights.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import transformers

from bench.errors import INCOMPLETE, BenchError
from bench.files import write_bytes_atomically
from bench.tuning.adapter_folder import ADAPTER_FILES, CHECKPOINTS, write_history
from bench.tuning.examples import TrainingExample
from bench.tuning.feeding import Feeder
from bench.tuning.packing import Packed, question_losses
from bench.tuning.validation import Validated

_TIE = 1e-6
"""The weight of the loss beside the score: so small that the loss decides only where two scores are equal."""


class Schedule(NamedTuple):
    """How long the training lasts, and how large its steps are."""

    learning_rate: float = 2e-4
    shape: str = "cosine"
    """How the learning rate goes on after its rise: ``cosine``, ``linear`` or ``constant_with_warmup``."""
    warmup: float = 0.03
    """The share of the steps over which the learning rate rises."""
    weight_decay: float = 0.0
    epochs: float = 3.0
    max_steps: int | None = None
    """The number of optimizer steps; where it is given, ``epochs`` has no effect."""
    batch_tokens: int = 4096
    """Tokens of a row: the pages, questions and answers that are computed together."""
    accumulate: int = 1
    """Rows for each optimizer step."""
    validate_every: int | None = None
    """Steps from one validation to the next; None makes ten validations."""
    patience: int = 3
    """Training stops after so many validations without a better one; 0 never stops it."""
    gradient_checkpointing: bool = False
    seed: int = 0

    def steps(self, rows: int) -> int:
        """Optimizer steps where an epoch has so many rows."""
        return self.max_steps or math.ceil(math.ceil(rows / self.accumulate) * self.epochs)

    def interval(self, rows: int) -> int:
        """Steps from one validation to the next."""
        return self.validate_every or max(1, math.ceil(self.steps(rows) / 10))


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
    """1 where a higher score is better, else -1."""


class Ended(NamedTuple):
    """How a training ended."""

    steps: int
    """The steps that were made, also those before an interruption."""
    total: int
    best_step: int | None
    interrupted: bool
    stopped_early: bool
    history: list[dict[str, Any]]


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
        dtype = _dtype(self.model)
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


class _Watch(transformers.TrainerCallback):
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


def train(subject: Subject, schedule: Schedule, out: Path, listener: Listener) -> Ended:
    """Train the adapter of ``subject``, from the last checkpoint in ``out`` where there is one.

    The first Ctrl-C ends the training after the current step, with a checkpoint; the second ends it at once.

    Raises:
        Diverged: the loss or a gradient is not finite.
    """
    last = last_checkpoint(out)
    arguments = _arguments(subject.model, schedule, len(subject.rows), out, first=last is None)
    trainer = PackedTrainer(subject, arguments)
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    if schedule.patience:
        trainer.add_callback(transformers.EarlyStoppingCallback(schedule.patience))
    watch = _Watch(out, listener)
    trainer.add_callback(watch)
    if last is not None:
        listener.say(f"Training goes on from step {step_of(last)}")
    with _one_interrupt(watch, listener), _quiet():
        try:
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
        except Diverged as error:
            write_history(out, trainer.state.log_history)
            raise _diverged(error, trainer.state, out) from None
    state = trainer.state
    write_history(out, state.log_history)
    return Ended(
        steps=state.global_step,
        total=state.max_steps,
        best_step=state.best_global_step,
        interrupted=watch.asked_to_stop,
        stopped_early=state.global_step < state.max_steps and not watch.asked_to_stop,
        history=list(state.log_history),
    )


def _arguments(
    model: Any, schedule: Schedule, rows: int, out: Path, *, first: bool
) -> transformers.TrainingArguments:
    on_cpu = model.device.type == "cpu"
    interval = schedule.interval(rows)
    arguments = transformers.TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=schedule.accumulate,
        max_steps=schedule.steps(rows),
        learning_rate=schedule.learning_rate,
        lr_scheduler_type=schedule.shape,
        warmup_steps=math.ceil(schedule.warmup * schedule.steps(rows)),
        weight_decay=schedule.weight_decay,
        activation_checkpointing=schedule.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        bf16=_dtype(model) == torch.bfloat16,
        use_cpu=on_cpu,
        seed=schedule.seed,
        eval_strategy="steps",
        eval_steps=interval,
        # The untrained model is the first point of the curve.
        eval_on_start=first,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=1,
        metric_for_best_model="eval_merit",
        greater_is_better=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=not on_cpu,
    )
    if not on_cpu:
        # Reading the device sets the number of GPUs, so it comes first. One GPU is used, however many exist.
        assert arguments.device.type == "cuda"
        arguments._n_gpu = 1
    return arguments


def publish(checkpoint: Path, out: Path) -> None:
    """Make the adapter of ``checkpoint`` the adapter of ``out``; its configuration is written last."""
    for name in ADAPTER_FILES:
        write_bytes_atomically(out / name, (checkpoint / name).read_bytes())


def _dtype(model: Any) -> torch.dtype:
    """The precision in which the model computes; its adapter may have another one."""
    dtype: torch.dtype = model.get_input_embeddings().weight.dtype
    return dtype


def last_checkpoint(out: Path) -> Path | None:
    """The newest complete checkpoint in ``out``; one that a killed process left incomplete is removed."""
    newest_first = sorted((out / CHECKPOINTS).glob("checkpoint-*"), key=step_of, reverse=True)
    for folder in newest_first:
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(folder)
        else:
            return folder
    return None


def step_of(checkpoint: Path) -> int:
    """The number in the name of a checkpoint's folder."""
    return int(checkpoint.name.rpartition("-")[2])


def _diverged(error: Diverged, state: Any, out: Path) -> Diverged:
    kept = "no adapter was kept, because no validation was better than none"
    if state.best_global_step:
        kept = f"{out} keeps the adapter of step {state.best_global_step}, the best until then"
    return Diverged(
        f"training stopped after step {state.global_step}: {error.message}; {kept}",
        hint="try a smaller --learning-rate, with --fresh",
    )


@contextmanager
def _one_interrupt(watch: _Watch, listener: Listener) -> Iterator[None]:
    """Turn the first Ctrl-C into a request to stop; only the main thread may do that."""

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        watch.asked_to_stop = True
        listener.say("Stopping after this step; press Ctrl-C again to stop at once")

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from giving advice while the block runs."""
    logging: Any = transformers.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)

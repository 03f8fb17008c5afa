"""One training: how long and how fast, where it goes on, and how it ends; ``trainer`` does the steps."""

from __future__ import annotations

import math
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from bench.errors import InvalidInput
from bench.models.qwen_vl.loading import quiet_transformers
from bench.parsing import read_json
from bench.tuning.adapter_folder import CHECKPOINTS, write_history
from bench.tuning.packing import compute_dtype
from bench.tuning.trainer import Diverged, Listener, PackedTrainer, Subject, Watch


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


class Ended(NamedTuple):
    """How a training ended."""

    steps: int
    """The steps that were made, also those before an interruption."""
    total: int
    best_step: int | None
    interrupted: bool
    stopped_early: bool
    history: list[dict[str, Any]]


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
    watch = Watch(out, listener)
    trainer.add_callback(watch)
    if last is not None:
        listener.say(f"The training continues from step {step_of(last)}")
    with _one_interrupt(watch, listener), quiet_transformers():
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
        bf16=compute_dtype(model) == torch.bfloat16,
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


def last_checkpoint(out: Path) -> Path | None:
    """The newest complete checkpoint in ``out``; one that a killed process left incomplete is removed."""
    newest_first = sorted((out / CHECKPOINTS).glob("checkpoint-*"), key=step_of, reverse=True)
    for folder in newest_first:
        try:
            read_json(folder / "trainer_state.json")
        except InvalidInput:
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
        kept = f"{out} keeps the adapter of step {state.best_global_step}, the best so far"
    return Diverged(
        f"training stopped after step {state.global_step}: {error.message}; {kept}",
        hint="try a smaller --learning-rate, with --fresh",
    )


@contextmanager
def _one_interrupt(watch: Watch, listener: Listener) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; only the main thread may do that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: Any) -> None:
        restore()
        watch.asked_to_stop = True
        listener.say("Stopping after this step; press Ctrl-C again to stop at once")

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        restore()

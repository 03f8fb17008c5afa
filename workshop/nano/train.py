"""Train a checkpoint in slices: every call goes on where the last one stopped.

    python -m workshop.nano.train FOLDER --minutes 10

The batch of a step depends only on the seed and on the number of the step, so many slices give the same
training as one long run. The learning rate stays level after a warm-up and falls to zero over the last part
(Hu et al., 2024, "warmup-stable-decay"), so the length need not be known from the beginning. Muon (Jordan et
al., 2024) updates the matrices of the blocks, AdamW everything else. ``README.md`` beside this file tells how
the bundled model was trained.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from bench.errors import BenchError, InvalidInput
from bench.files import write_bytes_atomically
from bench.measure.bf16 import bf16_pays
from workshop.nano import checkpoint, lessons
from workshop.nano.batches import KINDS, Batcher, LessonKind, TrainingBatch
from workshop.nano.curves import LOG, write_curves
from workshop.nano.muon import Muon
from workshop.nano.network import Learner, inputs
from workshop.nano.vocabulary import train_tokenizer
from workshop.tiny_checkpoint import write_weights

WARMUP_STEPS = 60
GRADIENT_NORM = 1.0
KEEP_SECONDS = 240
"""Seconds between two times that everything is written: a crash loses no more than that."""


class Settings(NamedTuple):
    """What decides a training. The defaults are those of the bundled checkpoint."""

    steps: int = 4400
    """Of all slices together."""
    cooldown: int = 2750
    """Last steps, over which the learning rate falls to zero."""
    cells: int = 1200
    """Visual tokens a step, about."""
    rate: float = 2e-3
    """Highest learning rate."""
    weight_decay: float = 0.02
    """Of the blocks' matrices."""
    auxiliary_weight: float = 0.5
    """Of the characters' loss beside the answers'."""
    seed: int = 1
    """Of weights and lessons."""

    def check_same(self, before: Mapping[str, Any]) -> None:
        """Refuse to go on with other settings; only the length of a training may change on the way."""
        for name, value in self._asdict().items():
            if name not in {"steps", "cooldown"} and before[name] != value:
                raise InvalidInput(
                    f"the training was begun with --{name.replace('_', '-')} {before[name]}, not {value}",
                    hint="go on with the same settings, or name a new folder",
                )


class Stage(NamedTuple):
    """What is taught up to a step: how often each kind of lesson comes."""

    until: int
    text: float
    parts: float
    pages: float


CURRICULUM = (
    Stage(1000, text=1.0, parts=0.0, pages=0.0),
    Stage(1200, text=0.2, parts=0.8, pages=0.0),
    Stage(1500, text=0.1, parts=0.5, pages=0.4),
    Stage(10**9, text=0.1, parts=0.2, pages=0.7),
)


class LessonDataset(Dataset[TrainingBatch]):
    """Step → its batch."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._batcher = Batcher(train_tokenizer())

    def __len__(self) -> int:
        return self._settings.steps

    def __getitem__(self, step: int) -> TrainingBatch:
        rng = Random(f"{self._settings.seed}/{step}")
        stage = next(stage for stage in CURRICULUM if step < stage.until)
        (kind,) = rng.choices(KINDS, (stage.text, stage.parts, stage.pages))
        return self._batcher.batch(kind, self._lessons(kind, rng), rng)

    def _lessons(self, kind: LessonKind, rng: Random) -> list[lessons.Lesson]:
        if kind == "text":
            size = (rng.randint(5, 12), rng.randint(1, 6))
            return [lessons.text(rng, size) for _ in range(self._count(size))]
        if kind == "parts":
            size = (rng.randint(6, 12), rng.randint(2, 4))
            most = max(1, min(3, size[1] - 1))
            return [
                lessons.page(rng, size, rng.randint(1, most), 3) for _ in range(self._count(size))
            ]
        size = (rng.randint(11, 14), rng.randint(8, 13))
        return [lessons.page(rng, size, None, 7) for _ in range(self._count(size))]

    def _count(self, size: tuple[int, int]) -> int:
        return max(1, round(self._settings.cells / (size[0] * size[1])))


class Trainer:
    """The model, its optimisers and the folder that they are kept in."""

    def __init__(self, folder: Path, settings: Settings, *, bfloat16: bool | None = None) -> None:
        """Begin a training in ``folder``, or go on with the one that is there.

        Args:
            folder: of the checkpoint and of the training's state.
            settings: must be those that the training was begun with.
            bfloat16: whether the forward pass computes in bf16. None means: on a GPU only, because most
                processors have no bf16 units and are many times slower with it than with fp32.
        """
        self.folder, self.settings = folder, settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bfloat16 = self.device.type == "cuda" if bfloat16 is None else bfloat16
        checkpoint.write_settings(folder)
        torch.manual_seed(settings.seed)
        self.learner = Learner(checkpoint.new_model(folder, settings.seed)).to(self.device)
        blocks: list[torch.nn.Parameter] = []
        rest: list[torch.nn.Parameter] = []
        for name, parameter in self.learner.named_parameters():
            inner = ".blocks." in name or ".layers." in name or ".merger." in name
            (blocks if inner and parameter.ndim == 2 else rest).append(parameter)
        fast_bfloat16 = self.device.type == "cuda" or bf16_pays()
        self.optimisers: list[torch.optim.Optimizer] = [
            Muon(
                blocks,
                lr=settings.rate,
                weight_decay=settings.weight_decay,
                dtype=torch.bfloat16 if fast_bfloat16 else torch.float32,
            ),
            torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.step = 0
        self.seconds = 0.0
        self.stopped = False
        self._sums: dict[str, list[float]] = {}
        """Measure → its values in the steps since the last line of the log."""
        self._restore()

    @property
    def _state(self) -> Path:
        return self.folder / "training.pt"

    def _restore(self) -> None:
        if self._state.is_file():
            state = torch.load(self._state, map_location=self.device, weights_only=True)
            self.settings.check_same(state["settings"])
            self.learner.load_state_dict(state["learner"])
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
            self.step, self.seconds, self._sums = state["step"], state["seconds"], state["sums"]

    def save(self) -> None:
        """Write everything that the next slice needs, and the checkpoint as it is now."""
        state = io.BytesIO()
        torch.save({
            "settings": self.settings._asdict(), "learner": self.learner.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step, "seconds": self.seconds, "sums": self._sums,
        }, state)  # fmt: skip
        write_bytes_atomically(self._state, state.getvalue())
        write_weights(self.folder, self.learner.model, torch.float16)
        write_curves(self.folder)

    def rate(self) -> float:
        """Return the learning rate of this step, as a share of the highest one."""
        left = float(self.settings.steps - self.step) / max(1, self.settings.cooldown)
        return float(max(0.0, min(1.0, (self.step + 1) / WARMUP_STEPS, left)))

    def learn(self, batch: TrainingBatch) -> dict[str, float]:
        """Learn from one batch and return its measures.

        Raises:
            FloatingPointError: the gradient is not finite; no weight was changed.
        """
        share = self.rate()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.settings.rate * share
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            losses = self.learner(**inputs(self.learner.model, batch, self.device))
        loss = self.settings.auxiliary_weight * losses.characters
        if losses.answers is not None:
            loss = loss + losses.answers
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.learner.parameters(), GRADIENT_NORM).item()
        if not math.isfinite(norm):
            raise FloatingPointError(f"step {self.step}: the gradient's norm is {norm}")
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return {
            name: value.item() for name, value in losses._asdict().items() if value is not None
        } | {"norm": norm}

    def batches(self, workers: int) -> Iterator[TrainingBatch]:
        """Yield the batches from this step to the last one, drawn by ``workers`` processes."""
        loader = DataLoader(
            LessonDataset(self.settings),
            batch_size=None,
            sampler=range(self.step, self.settings.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            collate_fn=_identity,
            worker_init_fn=_ignore_interrupt,
        )
        yield from loader

    def run(self, *, minutes: float, workers: int = 1, log_every: int = 25) -> None:
        """Train until the last step, the end of the slice, or a signal; a step that has begun is finished."""
        handlers = {
            number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self._slice(minutes, workers, log_every)
        finally:
            self.save()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _stop(self, *_: Any) -> None:
        self.stopped = True

    def _slice(self, minutes: float, workers: int, log_every: int) -> None:
        started = kept = time.monotonic()
        before, seconds = self.step, self.seconds
        for batch in self.batches(workers):
            for name, value in self.learn(batch).items():
                self._sums.setdefault(f"{batch.kind}.{name}", []).append(value)
            now = time.monotonic()
            self.seconds = seconds + now - started
            if self.step % log_every == 0:
                self._log((now - started) / (self.step - before))
            if now - kept > KEEP_SECONDS:
                self.save()
                kept = now
            if self.stopped or now - started > minutes * 60:
                break

    def _log(self, pace: float) -> None:
        means: dict[str, Any] = {
            name: round(sum(values) / len(values), 4) for name, values in sorted(self._sums.items())
        }
        self._sums = {}
        record = {"step": self.step, "seconds": round(self.seconds), "rate": round(self.rate(), 3)}
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(record | means) + "\n")
        sys.stderr.write(json.dumps(record | {"pace": round(pace, 3)} | means) + "\n")


def _identity(batch: Any) -> Any:
    return batch


def _ignore_interrupt(_worker: int) -> None:
    # Ctrl-C reaches every process of the terminal; the trainer decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_HELP = {
    "steps": "steps of the whole training",
    "cooldown": "last steps, over which the learning rate falls to zero",
    "cells": "visual tokens in a step, about",
    "rate": "highest learning rate",
    "weight_decay": "weight decay of the blocks' matrices",
    "auxiliary_weight": "weight of the characters' loss, beside 1 for the answers'",
    "seed": "seed of the weights and of the lessons",
}


def main() -> None:
    """Read the command line and train for one slice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="folder of the checkpoint and of the training's state"
    )
    parser.add_argument(
        "--minutes", type=float, default=10, help="length of this slice, minutes (10)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="number of processes that draw lessons (1)"
    )
    parser.add_argument("--log-every", type=int, default=25, help="steps between log lines (25)")
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction,
                        help="compute the forward pass in bf16 (on a GPU yes, on a CPU no)")  # fmt: skip
    for name, value in Settings()._asdict().items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(
            option, type=type(value), default=value, help=f"{_HELP[name]} ({value})"
        )
    options = vars(parser.parse_args())
    settings = Settings(**{name: options[name] for name in Settings._fields})
    try:
        trainer = Trainer(options["folder"], settings, bfloat16=options["bfloat16"])
        trainer.run(
            minutes=options["minutes"], workers=options["workers"], log_every=options["log_every"]
        )
    except BenchError as error:
        sys.exit(f"{error.message}; {error.hint}")
    sys.stderr.write(f"{trainer.step} of {settings.steps} steps are done.\n")
    if trainer.step < settings.steps:
        sys.stderr.write("Run the same command again to go on.\n")


if __name__ == "__main__":
    main()

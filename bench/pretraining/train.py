"""Train a checkpoint in slices: every call goes on where the last one stopped.

    python -m bench.pretraining.train FOLDER --minutes 10

A step's batch depends on the seed and the step's number alone, so training in slices is training in one
go. The learning rate stays level after a short rise and falls to zero over the last part (Hu et al., 2024,
"warmup-stable-decay"), so that the length need not be known from the beginning. Matrices of the blocks are
updated by Muon (Jordan et al., 2024), everything else by AdamW. ``docs/nano.md`` tells how it went.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from bench.pretraining import checkpoint, lessons
from bench.pretraining.batches import Batch, Batcher
from bench.pretraining.curves import LOG, write_curves
from bench.pretraining.network import Learner, inputs
from bench.pretraining.vocabulary import train_tokenizer

RISE = 60
"""Steps until the learning rate is at its height."""
GRADIENT_NORM = 1.0
KEEP_SECONDS = 240
"""Between two times that everything is written: what a crash loses at most."""


class Stage(NamedTuple):
    """What is taught up to a step: relative shares of the kinds of lessons."""

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


class Course(Dataset[Batch]):
    """Step → its batch."""

    def __init__(self, seed: int, cells: int, steps: int) -> None:
        self._seed, self._cells, self._steps = seed, cells, steps
        self._batcher = Batcher(train_tokenizer())

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        rng = Random(f"{self._seed}/{step}")
        stage = next(stage for stage in CURRICULUM if step < stage.until)
        (kind,) = rng.choices(("text", "parts", "pages"), (stage.text, stage.parts, stage.pages))
        return self._batcher.batch(self._lessons(kind, rng), rng)

    def _lessons(self, kind: str, rng: Random) -> list[lessons.Lesson]:
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
        return max(1, round(self._cells / (size[0] * size[1])))


class Trainer:
    """The model, its optimisers and the folder that they are kept in."""

    def __init__(self, folder: Path, settings: argparse.Namespace) -> None:
        self.folder, self.settings = folder, settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        checkpoint.write_settings(folder)
        torch.manual_seed(settings.seed)
        self.learner = Learner(checkpoint.new_model(folder, settings.seed)).to(self.device)
        blocks: list[torch.nn.Parameter] = []
        rest: list[torch.nn.Parameter] = []
        for name, parameter in self.learner.named_parameters():
            inner = ".blocks." in name or ".layers." in name or ".merger." in name
            (blocks if inner and parameter.ndim == 2 else rest).append(parameter)
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                blocks,
                lr=settings.rate,
                weight_decay=settings.decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.step = 0
        self.seconds = 0.0
        self.stopped = False
        self._restore()

    @property
    def _state(self) -> Path:
        return self.folder / "training.pt"

    def _restore(self) -> None:
        if self._state.is_file():
            state = torch.load(self._state, map_location=self.device, weights_only=True)
            self.learner.load_state_dict(state["learner"])
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Keep everything that the next slice needs, and the checkpoint as it is now."""
        draft = self._state.with_suffix(".draft")
        torch.save({
            "learner": self.learner.state_dict(), "step": self.step, "seconds": self.seconds,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }, draft)  # fmt: skip
        draft.replace(self._state)
        checkpoint.write_weights(self.folder, self.learner.model)
        write_curves(self.folder)

    def rate(self) -> float:
        """The learning rate of this step, as a share of its height."""
        left = float(self.settings.steps - self.step) / max(1, self.settings.fall)
        return float(max(0.0, min(1.0, (self.step + 1) / RISE, left)))

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; ``FloatingPointError`` where the gradient is no number, before any weight is touched."""
        share = self.rate()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.settings.rate * share
        with torch.autocast(self.device.type, torch.bfloat16):
            losses = self.learner(**inputs(self.learner.model, batch, self.device))
        loss = self.settings.reading * losses.characters
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

    def batches(self) -> Iterator[Batch]:
        """From this step to the last one."""
        course = Course(self.settings.seed, self.settings.cells, self.settings.steps)
        loader = DataLoader(
            course,
            batch_size=None,
            sampler=range(self.step, self.settings.steps),
            num_workers=self.settings.workers,
            prefetch_factor=4 if self.settings.workers else None,
            collate_fn=_as_it_is,
            worker_init_fn=_deaf,
        )
        yield from loader

    def run(self) -> None:
        """Until the last step, the end of the slice, or a signal; the step in hand is finished."""
        handlers = {
            number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self._slice()
        finally:
            self.save()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _stop(self, *_: Any) -> None:
        self.stopped = True

    def _slice(self) -> None:
        started = kept = time.monotonic()
        before, seconds = self.step, self.seconds
        sums: dict[str, list[float]] = {}
        for batch in self.batches():
            asks = bool((batch.segments > 0).any())
            kind = "text" if not asks else "parts" if batch.cells[1] <= 4 else "pages"
            for name, value in self.learn(batch).items():
                sums.setdefault(f"{kind}.{name}", []).append(value)
            now = time.monotonic()
            self.seconds = seconds + now - started
            if self.step % self.settings.log == 0:
                self._log(sums, (now - started) / (self.step - before))
                sums = {}
            if now - kept > KEEP_SECONDS:
                self.save()
                kept = now
            if self.stopped or now - started > self.settings.minutes * 60:
                break

    def _log(self, sums: dict[str, list[float]], pace: float) -> None:
        means: dict[str, Any] = {
            name: round(sum(values) / len(values), 4) for name, values in sorted(sums.items())
        }
        record = {"step": self.step, "seconds": round(self.seconds), "rate": round(self.rate(), 3)}
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(record | means) + "\n")
        sys.stderr.write(json.dumps(record | {"pace": round(pace, 3)} | means) + "\n")


def _as_it_is(batch: Any) -> Any:
    return batch


def _deaf(_worker: int) -> None:
    # Ctrl-C reaches every process of the terminal; the trainer decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, help="of the checkpoint and of the training's state")
    add("--minutes", type=float, default=10, help="length of this slice (default: %(default)s)")
    add("--steps", type=int, default=4400, help="of all slices (default: %(default)s)")
    add("--fall", type=int, default=2750, help="last steps, in which the rate falls (%(default)s)")
    add("--cells", type=int, default=1200, help="visual tokens a step (%(default)s)")
    add("--rate", type=float, default=2e-3, help="learning rate at its height (%(default)s)")
    add("--decay", type=float, default=0.02, help="weight decay of the blocks (%(default)s)")
    add("--reading", type=float, default=0.5, help="weight of the characters' loss (%(default)s)")
    add("--seed", type=int, default=1, help="of weights and lessons (%(default)s)")
    add("--workers", type=int, default=1, help="processes that draw lessons (%(default)s)")
    add("--log", type=int, default=25, help="steps between two lines of the log (%(default)s)")
    settings = parser.parse_args()
    trainer = Trainer(settings.folder, settings)
    trainer.run()
    sys.stderr.write(f"{trainer.step} of {settings.steps} steps; the same command goes on\n")


if __name__ == "__main__":
    main()

"""Train the recogniser: ``python -m workshop.recognizer.train FOLDER --minutes 20``.

The lower part of RapidOCR's recogniser, which sees strokes, stays as it is. The upper part and a new last
layer learn Cyrillic. Another process draws lines and computes the lower part with onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import onnx
import rapidocr
import torch
from torch.nn import functional

from workshop.recognizer.network import Network, output_signs
from workshop.recognizer.texts import CHARACTERS

BASE = Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_rec_small.onnx"
"""The recogniser of Chinese and Latin script in RapidOCR's wheel (PP-OCRv6, Apache-2.0)."""
CUTS = {"neck": "p2o.pd_op.pool2d.1.0", "stage": "p2o.pd_op.depthwise_conv2d.10.0"}
"""Between the part that stays and the part that learns: before the two attention layers (cheap: learn these
first), or before the last stage of convolutions."""
BATCH = 24
"""Lines of like width that are learnt from at once."""
POOL = 700
"""Batches kept in memory; the next one to learn from is any of them."""
WARMUP = 50
"""Steps."""
STAGE_FACTOR = 0.1
"""The convolutions learn at this share of the rate of the rest: they know most of what they need."""
USES = 6
"""How often a batch is learnt from at most, where drawing is slower than learning."""
AHEAD = 20
"""Batches that are drawn ahead at most."""


class LineBatch(NamedTuple):
    """The lower part's output for some lines, and what they say."""

    seen: np.ndarray[Any, np.dtype[np.float16]]
    signs: np.ndarray[Any, np.dtype[np.int64]]
    lengths: np.ndarray[Any, np.dtype[np.int64]]


def draw_batches(seed: int, lower: Path, cut: str, queue: Any) -> None:
    """Put batches on ``queue`` for ever (the process that draws)."""
    import cv2
    import onnxruntime

    from workshop.recognizer.lines import Lines

    cv2.setNumThreads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(lower, options)
    lines = Lines(seed)
    number = {sign: i for i, sign in enumerate(output_signs(CHARACTERS))}
    rng = Random(seed)
    while True:
        drawn = [lines.draw() for _ in range(BATCH * 8)]
        drawn = [line for line in drawn if line.pixels.shape[1] <= 1100]
        drawn.sort(key=lambda line: line.pixels.shape[1])
        starts = list(range(0, len(drawn) - BATCH + 1, BATCH))
        rng.shuffle(starts)
        for start in starts:
            some = drawn[start : start + BATCH]
            width = max(320, max(line.pixels.shape[1] for line in some))
            pixels = np.zeros((len(some), 3, 48, width), np.float32)
            for row, line in zip(pixels, some, strict=True):
                row[:, :, : line.pixels.shape[1]] = line.pixels.transpose(2, 0, 1) / 127.5 - 1
            [seen] = session.run([cut], {"x": pixels})
            signs = [number[sign] for line in some for sign in line.text]
            lengths = [len(line.text) for line in some]
            queue.put(LineBatch(seen.astype(np.float16), np.array(signs), np.array(lengths)))


def loss_of(network: Network, batch: LineBatch) -> torch.Tensor:
    """Mean CTC loss per character."""
    logits = network.upper(torch.from_numpy(batch.seen).float())
    chances = functional.log_softmax(logits, -1).transpose(0, 1)
    steps = torch.full((logits.shape[0],), logits.shape[1])
    losses = functional.ctc_loss(
        chances,
        torch.from_numpy(batch.signs),
        steps,
        torch.from_numpy(batch.lengths),
        reduction="none",
        zero_infinity=True,
    )
    return losses.sum() / float(batch.lengths.sum())


class LinePool:
    """Batches to learn from: a process draws new ones, the oldest are forgotten."""

    def __init__(self, seed: int, lower: Path, cut: str) -> None:
        """Start the process that draws."""
        context = multiprocessing.get_context("spawn")
        self.queue = context.Queue(8)
        drawing = (1000 * seed, lower, cut, self.queue)
        context.Process(target=draw_batches, args=drawing, daemon=True).start()
        self.rng = Random(seed)
        self.batches: list[LineBatch] = []
        self.drawn = 0

    def draw(self, step: int) -> LineBatch:
        """The batch for ``step``."""
        while self.drawn * USES <= step or (self.drawn <= step + AHEAD and not self.queue.empty()):
            self.batches.append(self.queue.get())
            self.drawn += 1
        del self.batches[:-POOL]
        return self.rng.choice(self.batches)


def optimizer_of(network: Network, cut: str, rate: float) -> torch.optim.AdamW:
    """An optimizer of what lies above ``cut``, with a ``factor`` for the rate of each part."""
    neck = network.weights_above(CUTS["neck"])
    of_neck = {id(weight) for weight in neck}
    stage = [weight for weight in network.weights_above(cut) if id(weight) not in of_neck]
    groups = [{"params": neck, "factor": 1.0}, {"params": stage, "factor": STAGE_FACTOR}]
    return torch.optim.AdamW(groups, rate, betas=(0.9, 0.98), weight_decay=0.01)


def train(folder: Path, minutes: float, seed: int, part: str, top_rate: float) -> None:
    """Learn for ``minutes``, then write ``recognizer.onnx``; the rate follows the clock."""
    folder.mkdir(parents=True, exist_ok=True)
    cut = CUTS[part]
    network = Network(BASE, CHARACTERS, cut)
    lower = folder / f"lower-{part}.onnx"
    onnx.utils.extract_model(BASE, lower, ["x"], [cut])
    state = folder / "state.pt"
    if state.is_file():
        network.load_state_dict(torch.load(state, weights_only=True))
    learning = network.weights_above(cut)
    optimizer = optimizer_of(network, cut, top_rate)
    pool = LinePool(seed, lower, cut)
    pool.draw(0)
    started = time.monotonic()
    recent: list[float] = []
    step = 0
    while (gone := (time.monotonic() - started) / (60 * minutes)) < 1:
        rate = top_rate * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * gone))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        loss = loss_of(network, pool.draw(step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learning, 2.0)
        optimizer.step()
        recent.append(loss.item())
        step += 1
        if step % 50 == 0:
            entry = {"part": part, "step": step, "minutes": round(gone * minutes, 1)}
            entry |= {"batches": pool.drawn, "loss": round(sum(recent) / 50, 4)}
            entry |= {"rate": round(rate, 6)}
            recent.clear()
            _log(entry, folder)
        if step % 200 == 0:
            _keep(network, folder)
    _keep(network, folder)


def _log(entry: dict[str, Any], folder: Path) -> None:
    print(json.dumps(entry), flush=True)
    with (folder / "training.jsonl").open("a") as log:
        log.write(json.dumps(entry) + "\n")


def _keep(network: Network, folder: Path) -> None:
    torch.save(network.state_dict(), folder / "new.pt")
    (folder / "new.pt").replace(folder / "state.pt")
    network.save(folder / "recognizer.onnx", {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=tuple(CUTS), default="stage", help="what learns")
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.folder, options.minutes, options.seed, options.part, options.rate)

"""What the harness costs beside the model, and whether its memory grows with the number of questions.

``python benchmarks/overhead.py`` runs ``bench.runner`` as ``bench run`` does, a process for the model, and
looks at it from outside. Overhead: of the seconds from the loaded model to the last stored answer, those
that belong to no stage of a call, be it preprocessing or the model. A model of 41 million random parameters
about pages of 1,024 visual tokens stands for real work; without a model there is the harness alone.
Memory: the resident set of the model's process, read after every batch of 10,000 questions.

Another process that takes the processor adds to the wall time of stages and harness alike, so the processor's
seconds of the model's process stand beside it. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from engine import make_groups, show, write_checkpoint
from PIL import Image

from bench.models.catalog import resolve
from bench.rundir.store import RunStore
from bench.runner import RunSettings, execute, plan_run
from bench.schema import ModelSpec, PageGroup
from bench.tasks import load_task
from workshop.tiny_checkpoint import write_tiny_checkpoint

MEMORY_AT = (500, 1_000, 2_500, 5_000, 7_500, 10_000)
"""Questions after which the resident set is printed."""


class Watch:
    """What a run says of itself, with the moment and the resident set of its process."""

    def __init__(self) -> None:
        self.loaded = self.ended = (0.0, 0.0)
        """Wall and processor seconds."""
        self.resident: list[tuple[int, int]] = []
        """(questions answered, bytes)."""

    def started(self, run: RunStore, *, resumed: bool) -> None:
        """Nothing."""

    def stopping(self) -> None:
        """Nothing."""

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        """Keep the time, and look at the process that spoke."""
        if event["event"] == "failed":
            sys.exit(f"{model}: {event['message']}")
        if event["event"] not in {"loaded", "task"}:
            return
        # Pages are opened in another process.
        [child] = [
            child
            for child in psutil.Process().children()
            if "bench.runner.worker" in child.cmdline()
        ]
        spent = child.cpu_times()
        now = (time.perf_counter(), spent.user + spent.system)
        if event["event"] == "loaded":
            self.loaded = now
        elif event["done"] > 0:
            self.ended = now
            self.resident.append((event["done"], child.memory_info().rss))


def main() -> None:
    """Print overhead, then memory."""
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text_pages = make_groups(folder, options.pages, 4)
        real = write_task(folder / "text", text_pages, 4)
        blanks = write_task(folder / "blanks", make_blanks(folder / "500", 500), 20)
        few_pages = make_blanks(folder / "few-pages", options.tiny // 20)
        few = write_task(folder / "few", few_pages, 20)
        tiny = resolve(str(write_tiny_checkpoint(folder / "tiny")), max_pixels=64 * 784)
        large = resolve(str(write_checkpoint(folder / "large")), max_pixels=1024 * 784)
        fake = ModelSpec("fake", "fake", options={"default": "the answer to {sample_id}"})
        for title, spec, task in (
            ("no model", fake, blanks),
            ("41 million parameters, 1,024 visual tokens", large, real),
            ("tiny model, 64 visual tokens", tiny, few),
        ):
            measure(title, spec, task, folder / "results")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=24, help="with four questions each")
    parser.add_argument("--tiny", type=int, default=10_000, help="questions to the tiny model")
    return parser.parse_args()


def write_task(folder: Path, groups: Sequence[PageGroup], questions: int) -> Path:
    """A task about the pages of ``groups``, each with ``questions`` questions."""
    folder.mkdir()
    rows = []
    for group in groups:
        page = group.document.pages[0].path
        (folder / page.name).hardlink_to(page)
        rows += [
            {
                "id": f"{group.document.id}-{number}",
                "images": [page.name],
                "question": group.requests[number % len(group.requests)].question,
                "answers": ["1"],
            }
            for number in range(questions)
        ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "samples.jsonl").write_text(lines, encoding="utf-8")
    (folder / "task.toml").write_text("[generation]\nmax_new_tokens = 16\n", encoding="utf-8")
    return folder


def make_blanks(folder: Path, count: int) -> list[PageGroup]:
    """Small pages, no two of them equal, with the questions of pages of text."""
    folder.mkdir()
    for number in range(count):
        colour = (number % 256, number // 256, 200)
        Image.new("RGB", (224, 224), colour).save(folder / f"page-{number}.png")
    return make_groups(folder, count, 4)


def measure(title: str, spec: ModelSpec, task: Path, results: Path) -> None:
    """One run, and what it cost beside its stages."""
    settings = RunSettings(latency_samples=0)
    watch = Watch()
    plan = plan_run([spec], [load_task(task)], settings, name=spec.name)
    run = execute(plan, results, progress=watch).run
    batches = run.batches(spec.name, task.name)
    questions = sum(len(batch["samples"]) for batch in batches)
    wall, processor = (end - start for start, end in zip(watch.loaded, watch.ended, strict=True))
    stages = [batch["stages"] for batch in batches]
    work = sum(seconds for found in stages for name, seconds in found.items() if name != "other")
    calls = sum(batch["seconds"] for batch in batches)
    show(f"\n{title}: {questions} questions in {len(batches)} batches")
    show(
        f"{wall:8.2f} s wall, {work:8.2f} s in stages: overhead {1 - work / wall:6.2%}, "
        f"{1000 * (wall - work) / questions:.3f} ms a question, "
        f"{1000 * (wall - calls) / questions:.3f} ms of them outside the model's calls"
    )
    show(f"{processor:8.2f} s of the processor, {1000 * processor / questions:.3f} ms a question")
    for wanted in MEMORY_AT if questions >= MEMORY_AT[-1] else ():
        done, held = min(watch.resident, key=lambda found: abs(found[0] - wanted))
        show(f"{held / 2**20:8.1f} MiB resident after {done:6d} questions")


if __name__ == "__main__":
    main()

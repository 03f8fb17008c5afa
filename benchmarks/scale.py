"""What the commands on a large run take: ``python benchmarks/scale.py [QUESTIONS [CHECKOUT]]``.

Runs 4 scripted models on QUESTIONS questions with ``bench run``. Then makes a run of as many questions, with
a plausible share of right answers, for ``bench score``, ``report`` (without pages), ``show`` and ``compare``.
Prints the processor seconds of each command with its processes, its seconds by the clock, and the largest
resident memory of one process. With CHECKOUT, a folder with another version, each command is measured with
that version first and with this one right afterwards, on the same files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

if TYPE_CHECKING:
    from bench.schema import Task

ROOT = os.environ.get("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, ROOT)

MODEL_NAMES = ("first", "second", "third", "fourth")
COMPARED = ("qwen2-vl-7b", "qwen2-vl-2b")
"""Models of the run directory that is made."""


def main(questions: int, before: Path | None) -> None:
    """Print a line for each command and version."""
    from tests.run_fixture import MODELS, make_run, make_tasks

    # A run that nobody keeps need not wait for the disk.
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    tasks = make_tasks(questions // 12, 4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task in tasks:
            write_task(folder / task.name, task)
        write_models(folder / "bench.toml", tasks)
        names = ",".join(f"./{task.name}" for task in tasks)
        made = make_run(folder, MODELS, tasks, previews=False).path
        versions = {"now": Path(ROOT)} if before is None else {"before": before, "now": Path(ROOT)}
        # Each version uses the scores that it has written itself for its reports and comparisons.
        runs = {name: shutil.copytree(made, folder / name / made.name) for name in versions}
        commands = [commands_on(str(run), names, questions) for run in runs.values()]
        for same in zip(*commands, strict=True):
            for (name, checkout), command in zip(versions.items(), same, strict=True):
                show(questions, name, command, folder, checkout)


def commands_on(run: str, tasks: str, questions: int) -> list[list[str]]:
    """What is measured: a run of ``tasks``, and the commands on the run directory ``run``."""
    first, second = (f"{run}:{model}" for model in COMPARED)
    return [
        ["run", "-m", ",".join(MODEL_NAMES), "-t", tasks, "--no-report", "--fresh"],
        ["score", run],
        ["report", run, "--images", "none"],
        ["show", run, f"invoices-zh/zh-{questions // 24:02}/q2"],
        ["compare", first, second],
    ]


def write_task(folder: Path, task: Task) -> None:
    """Write a task folder whose pages are small pictures, each another one."""
    folder.mkdir()
    for number, document in enumerate(task.documents):
        page = Image.new("L", (160, 226), 255)
        page.putpixel((0, 0), number % 256)
        page.putpixel((1, 0), number // 256)
        page.save(folder / f"{document}.png")
    with (folder / "samples.jsonl").open("w", encoding="utf-8") as file:
        for sample in task.samples:
            row = {
                "id": sample.id,
                "images": [f"{sample.document_id}.png"],
                "question": sample.question,
                "answers": list(sample.references),
                "metadata": dict(sample.metadata),
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    metrics = ", ".join(f'"{metric}"' for metric in task.metrics)
    (folder / "task.toml").write_text(f"metrics = [{metrics}]\n", encoding="utf-8")


def write_models(path: Path, tasks: Sequence[Task]) -> None:
    """Write four models that each give the answers of one document to all: nearly all are wrong.

    Wrong answers take longest to score, and no two models give the same ones.
    """
    lines = []
    for number, name in enumerate(MODEL_NAMES, 1):
        answers = {}
        for task in tasks:
            of_document = task.samples[4 * number : 4 * number + 4]
            answers |= {sample.question: sample.references[0] for sample in of_document}
        table = ", ".join(
            f"{json.dumps(question, ensure_ascii=False)} = {json.dumps(answer, ensure_ascii=False)}"
            for question, answer in answers.items()
        )
        options = f"{{ answers = {{ {table} }} }}"
        lines.append(f'[models.{name}]\nmodel = "fake"\noptions = {options}\n')
    path.write_text("\n".join(lines), encoding="utf-8")


def show(questions: int, version: str, command: list[str], folder: Path, checkout: Path) -> None:
    """Measure a command and print what it took."""
    took = measure(command, folder, checkout)
    figures = f"{took.seconds:7.1f} s of processors {took.clock:7.1f} s {took.peak / 1e6:7.0f} MB"
    load = os.getloadavg()[0]
    print(f"{questions:>7,} {command[0]:8} {version:7} {figures}   load {load:.1f}", flush=True)


class Took(NamedTuple):
    """What a command took."""

    seconds: float
    """Processor seconds, with its processes."""
    clock: float
    """Seconds by the clock."""
    peak: int
    """Largest resident memory of one process, bytes."""


def measure(command: list[str], folder: Path, checkout: Path) -> Took:
    """Run a command of the version in ``checkout`` and measure it."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(checkout)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"bench {' '.join(command)} ended with {process.returncode}")
    clock = time.perf_counter() - started
    return Took(usage.ru_utime + usage.ru_stime, clock, usage.ru_maxrss * 1024)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        int(arguments[0]) if arguments else 50_000,
        Path(arguments[1]).resolve() if len(arguments) > 1 else None,
    )

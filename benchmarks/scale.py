"""What the commands on a large run take: ``python benchmarks/scale.py [QUESTIONS]``.

Runs 4 scripted models on QUESTIONS questions with ``bench run``. Then makes a run of as many questions, with
a plausible share of right answers, for ``bench score``, ``report`` (without pages), ``show`` and ``compare``.
Prints processor seconds and the largest resident memory of each command, in a process of its own.
Run it with another version of the package on PYTHONPATH and the two can be compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from bench.schema import Task

ROOT = os.environ.get("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, ROOT)

MODEL_NAMES = ("first", "second", "third", "fourth")


def main(questions: int) -> None:
    """Print a line for each command."""
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
        run = ["run", "-m", ",".join(MODEL_NAMES), "-t", names, "--no-report", "--out", "results"]
        show(questions, run, folder)
        path = str(make_run(folder, MODELS, tasks, previews=False).path)
        first, second = (f"{path}:{model.name}" for model in MODELS[:2])
        show(questions, ["score", path], folder)
        show(questions, ["report", path, "--images", "none"], folder)
        show(questions, ["show", path, f"invoices-zh/zh-{questions // 24:02}/q2"], folder)
        show(questions, ["compare", first, second], folder)


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


def show(questions: int, command: list[str], folder: Path) -> None:
    """Measure a command and print what it took."""
    seconds, peak = measure(command, folder)
    print(f"{questions:>7,} {command[0]:8} {seconds:7.1f} s {peak / 1e6:7.0f} MB", flush=True)


def measure(command: list[str], folder: Path) -> tuple[float, int]:
    """Processor seconds of a command with its processes, and the largest resident memory of one, in bytes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"bench {' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)

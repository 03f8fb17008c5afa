"""What a store of many answers takes, measured by its parts: ``python benchmarks/store.py [ROWS]``.

Writes ROWS answers (1,000,000 unless told; 233 bytes each). The first and the last hundred batches of 64 are
appended as a run does it, with a wait for the disk, and are timed; all between them come in bulk.
Then each part works in a process of its own, of which processor seconds and the peak of memory are printed:

- reading the ids of the answers, as a resumed run does,
- reading the answers, as scoring does,
- scoring one part of 50,000 questions of one model,
- the sums by document, of which means and intervals are made,
- the report of a run with so many answers, which reads the estimates that scoring has kept.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.rundir.store import RunStore
    from bench.schema import Output

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BATCH = 64
TIMED = 100
"""Batches at either end of the file that are timed."""
PART = 50_000
QUESTIONS = 10
"""Questions of a document."""


def main(rows: int) -> None:
    """Print a line for each part."""
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate, write_scores
    from tests.run_fixture import MODELS, make_run, make_tasks

    with tempfile.TemporaryDirectory(dir=".") as folder:
        run = make_run(Path(folder), MODELS[:1], make_tasks(2, 2, ["en"]), previews=False)
        write_scores(evaluate(run))
        model, task = run.model_names()[0], run.task_names()[0]
        path = run.cell_folder(model, task) / "outputs.jsonl"
        path.unlink()
        append(run, model, task, rows)
        print(f"an answer is {path.stat().st_size / rows:.0f} bytes on the disk", flush=True)
        alone("ids of all answers", lambda: RunStore.open(run.path).answered(model, task), rows)
        alone("all answers", lambda: RunStore.open(run.path).outputs(model, task), rows)
        part = part_to_score(Path(folder) / "part")
        alone("one part scored", lambda: score(part), PART)
        alone("sums by document", lambda: sums(rows), rows)
        with not_waiting_for_the_disk():
            add_scores_and_batches(run, model, task, rows)
        alone("report", lambda: report(run.path), rows)


def append(run: RunStore, model: str, task: str, rows: int) -> None:
    """Append the answers; print what a batch takes where the file is empty, and where it is full."""
    outputs = answers(rows)
    append_timed(run, model, task, outputs, "empty")
    between = islice(outputs, max(0, rows - 2 * TIMED * BATCH))
    with not_waiting_for_the_disk():
        while bulk := list(islice(between, PART)):
            run.append_outputs(model, task, bulk)
    append_timed(run, model, task, outputs, "full")


def append_timed(
    run: RunStore, model: str, task: str, outputs: Iterator[Output], state: str
) -> None:
    """Append some batches, each as a run does, and print the median of their seconds by the clock."""
    seconds = []
    for _ in range(TIMED):
        batch = list(islice(outputs, BATCH))
        started = time.perf_counter()
        run.append_outputs(model, task, batch)
        seconds.append(time.perf_counter() - started)
    milliseconds = median(seconds) * 1000
    print(f"append {BATCH} answers, file {state}: {milliseconds:.2f} ms (median)", flush=True)


@contextmanager
def not_waiting_for_the_disk() -> Iterator[None]:
    """Leave out the waits of files that nobody keeps."""
    real, os.fsync = os.fsync, lambda descriptor: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = real


def answers(rows: int) -> Iterator[Output]:
    """Answers as a model with tokens gives them."""
    from bench.schema import Output

    for number in range(rows):
        text = f"{number % 1000} {number % 900 + 100},00"
        yield Output(sample_id(number), text, "stop", 1296, 1204, 9, 0.9012, 0.7421)


def sample_id(number: int) -> str:
    """The id of an answer."""
    return f"documents/{number // QUESTIONS:08}/{number % QUESTIONS}"


def part_to_score(results: Path) -> Path:
    """A run of one model with as many questions as a part."""
    from tests.run_fixture import MODELS, make_run, make_tasks

    with not_waiting_for_the_disk():
        tasks = make_tasks(PART // 4, 4, ["ru"])
        return make_run(results, MODELS[1:2], tasks, previews=False).path


def score(path: Path) -> object:
    """Compute the scores of a run and write them."""
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate, write_scores

    write_scores(evaluate(RunStore.open(path), reuse=False))
    return None


def sums(rows: int) -> object:
    """The two sums of each document, of one metric; half of the answers are right."""
    from bench.stats.clusters import cluster_totals

    values = [float(number % 2) for number in range(rows)]
    documents = [f"documents/{number // QUESTIONS:08}" for number in range(rows)]
    totals = cluster_totals(values, None, documents)
    kept = totals.sums.nbytes + totals.weights.nbytes
    print(f"sums by document: {kept / len(totals.sums):.0f} bytes of each document are kept")
    return totals


def add_scores_and_batches(run: RunStore, model: str, task: str, rows: int) -> None:
    """Add a line of scores for each answer, the batches that named them all, and what scoring keeps of them.

    The estimates are those of the few answers that the run had before: what they say is not measured here.
    """
    from bench.scoring.evaluation import answer_mode
    from bench.scoring.reuse import common_parts, made_from, scores_path, write_digests

    with scores_path(run, model, task).open("w", encoding="utf-8") as file:
        for number in range(rows):
            value = float(number % 2)
            line = {"sample_id": sample_id(number), "answer": "0", "failed": False}
            scores = {name: [value, 1.0] for name in run.task_record(task)["metrics"]}
            line |= {"scores": scores, "raw_headline": value, "mistake": None}
            file.write(json.dumps(line) + "\n")
    template = run.batches(model, task)[0]
    with (run.cell_folder(model, task) / "batches.jsonl").open("w", encoding="utf-8") as file:
        for first in range(0, rows, BATCH):
            ids = [sample_id(number) for number in range(first, first + BATCH)]
            file.write(json.dumps({**template, "samples": ids}) + "\n")
    common = common_parts(run, task, run.task_record(task)["metrics"], answer_mode(run))
    write_digests(run, {(model, task): made_from(run, model, task, common)})


def report(path: Path) -> object:
    """Make the report of a large run from what is kept of its scores."""
    from bench.report.large import large_sections
    from bench.report.markdown import markdown
    from bench.rundir.store import RunStore
    from bench.scoring.stored import stored_scores

    kept = stored_scores(RunStore.open(path))
    assert kept is not None
    return markdown(large_sections([kept]))


def alone(name: str, work: Callable[[], object], rows: int) -> None:
    """Do the work in a process of its own and print what it took."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF)
        start = resident()
        kept = work()
        after = resource.getrusage(resource.RUSAGE_SELF)
        spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        peak = resident("VmHWM") - start
        print(
            f"{name}: {spent:.1f} s and {peak / 1e6:.0f} MB for {rows:,} rows, "
            f"{spent / rows * 1e6:.1f} µs and {peak / rows:.0f} bytes each",
            flush=True,
        )
        del kept
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit(f"{name}: the process ended with status {status}")


def resident(kind: str = "VmRSS") -> int:
    """Resident memory of this process in bytes, now or (``VmHWM``) at most."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith(kind))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

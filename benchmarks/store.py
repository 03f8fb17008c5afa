"""What a store of many answers takes, measured by its parts: ``python benchmarks/store.py [ROWS]``.

Appends ROWS answers (1,000,000 unless told) in batches of 64 and waits for the disk, as a run does.
Then each part works in a process of its own, of which processor seconds and the peak of memory are printed:

- reading the ids of the answers, as a resumed run does,
- reading the answers, as scoring does,
- scoring one part of 50,000 questions of one model,
- the sums by document, of which means and intervals are made.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.rundir.store import RunStore
    from bench.schema import Output

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BATCH = 64
PART = 50_000
QUESTIONS = 10
"""Questions of a document."""


def main(rows: int) -> None:
    """Print a line for each part."""
    from bench.rundir.store import RunStore
    from tests.run_fixture import MODELS, make_run, make_tasks

    with tempfile.TemporaryDirectory(dir=".") as folder:
        run = make_run(Path(folder), MODELS[:1], make_tasks(2, 2, ["en"]), previews=False)
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


def append(run: RunStore, model: str, task: str, rows: int) -> None:
    """Append the answers; print what a batch took at the beginning and at the end."""
    outputs = answers(rows)
    seconds = []
    while batch := list(islice(outputs, BATCH)):
        started = time.perf_counter()
        run.append_outputs(model, task, batch)
        seconds.append(time.perf_counter() - started)
    share = max(1, len(seconds) // 20)
    for name, part in (("first", seconds[:share]), ("last", seconds[-share:])):
        median = sorted(part)[len(part) // 2]
        print(
            f"append {BATCH} answers, {name} twentieth: {median * 1000:.2f} ms (median)", flush=True
        )


def answers(rows: int) -> Iterator[Output]:
    """Answers as a model with tokens gives them."""
    from bench.schema import Output

    for number in range(rows):
        sample_id = f"documents/{number // QUESTIONS:08}/{number % QUESTIONS}"
        text = f"{number % 1000} {number % 900 + 100},00"
        yield Output(sample_id, text, "stop", 1296, 1204, 9, 0.9012, 0.7421)


def part_to_score(results: Path) -> Path:
    """A run of one model with as many questions as a part."""
    from tests.run_fixture import MODELS, make_run, make_tasks

    # A run that nobody keeps need not wait for the disk.
    real, os.fsync = os.fsync, lambda descriptor: None  # type: ignore[assignment]
    tasks = make_tasks(PART // 4, 4, ["ru"])
    path = make_run(results, MODELS[1:2], tasks, previews=False).path
    os.fsync = real
    return path


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

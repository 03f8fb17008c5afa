"""Reads published benchmarks of whole pages from copies on this machine, as they are.

::

    OmniDocBench.json + images/    the blocks of every page    (omnidocbench.py)
    bench_data/*.jsonl + pdfs/     tests that a page passes    (olmocr_bench.py)

Nothing is downloaded or copied. Name, licence, prompt and metrics stand in the ``task.toml`` of the
benchmark, which comes with the package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.paths import data_root
from bench.tasks.page_benchmarks import olmocr_bench, omnidocbench
from bench.tasks.page_benchmarks.pages import BenchmarkPages
from bench.tasks.samples import TaskSource
from bench.tasks.taskfile import TASK_FILE, check_task_file

_LAYOUTS: Final[
    dict[str, tuple[Callable[[Path], Path | None], Callable[[Path], BenchmarkPages]]]
] = {
    "omnidocbench": (omnidocbench.home, omnidocbench.page_samples),
    "olmocr-bench": (olmocr_bench.home, olmocr_bench.page_samples),
}
"""Name of a benchmark → what finds the folder with its data, and what reads it."""


def benchmark_at(path: Path) -> str | None:
    """Return the name of the benchmark whose data lie at ``path``; None if none's do."""
    return next((name for name, (home, _) in _LAYOUTS.items() if home(path) is not None), None)


def read_benchmark(path: Path) -> TaskSource | None:
    """Read the benchmark at ``path``; None if none lies there."""
    for name, (home, page_samples) in _LAYOUTS.items():
        folder = home(path)
        if folder is not None:
            spec = check_task_file(data_root() / "tasks" / name / TASK_FILE).spec
            pages = page_samples(folder)
            source = ", ".join([spec.source, *pages.facts])
            return TaskSource(folder, spec.model_copy(update={"source": source}), pages.samples)
    return None

"""How large and how quick a report of a large run is: ``benchmarks/report_size.py [QUESTIONS [MODELS]]``.

Makes a run (no model is run), writes its report as HTML and Markdown, once with the scores computed and once
with those on the disk, and opens the page in headless Chromium. The time of the browser includes its start,
which is measured on an empty page beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.scoring.evaluation import Evaluation

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main(questions: int, models: int) -> None:
    """Print sizes and times for a run of so many questions and models."""
    from bench.scoring.evaluation import evaluate, write_scores
    from tests.run_fixture import MODELS, make_run, make_tasks

    # A run that nobody keeps need not wait for the disk.
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        several = [
            replace(MODELS[number % len(MODELS)], name=f"model-{number}")
            for number in range(models)
        ]
        tasks = make_tasks(questions // 12, 4)
        run = make_run(Path(folder), several, tasks, previews=False)
        print(f"{sum(len(task.samples) for task in tasks):,} questions x {models} models")
        clock.lap("make the run")
        evaluation = evaluate(run)
        clock.lap("score")
        write_scores(evaluation)
        clock.lap("write the scores")
        report(evaluation, clock)
        evaluation = evaluate(run)
        clock.lap("read the scores again")
        page = report(evaluation, clock)
        print(f"{'report.html':24} {page.stat().st_size / 1e6:8.2f} MB")
        browser = shutil.which("chromium") or shutil.which("google-chrome")
        if browser is None:
            return
        empty = Path(folder) / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>", encoding="utf-8")
        opened = open_page(browser, page, Path(folder))
        base = open_page(browser, empty, Path(folder))
        print(f"{'open, browser start off':24} {opened - base:8.2f} s")


class Clock:
    """Prints the processor seconds, and those by the clock, since the last lap."""

    def __init__(self) -> None:
        self.last = time.process_time(), time.perf_counter()

    def lap(self, name: str) -> None:
        """Print ``name`` and its seconds."""
        now = time.process_time(), time.perf_counter()
        processor, clock = now[0] - self.last[0], now[1] - self.last[1]
        print(f"{name:24} {processor:8.2f} s of a processor {clock:8.2f} s", flush=True)
        self.last = now


def report(evaluation: Evaluation, clock: Clock) -> Path:
    """Write the report of ``evaluation``; returns its page."""
    from bench.report import ReportOptions, build, write_view

    view = build([evaluation])
    clock.lap("build the view")
    page, _ = write_view(view, None, ["html", "md"], ReportOptions())
    clock.lap("write html and md")
    return page


def open_page(browser: str, page: Path, folder: Path) -> float:
    """Seconds until the browser has run the page's script to its end."""
    started = time.perf_counter()
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=60000",
        "--dump-dom",
    ]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    shutil.rmtree(folder / "profile", ignore_errors=True)
    if "empty" not in page.name and 'data-ready="1"' not in done.stdout:
        raise SystemExit("the page's script did not finish")
    return seconds


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(50_000, 4)[len(given) :])

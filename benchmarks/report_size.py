"""How large and how quick the HTML report of a large run is: ``python benchmarks/report_size.py``.

Makes a run of 50,000 questions and 4 models (no model is run), writes the report, and opens it in headless
Chromium; the wall time of the browser includes its start, which is measured on an empty page beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main(questions: int) -> None:
    """Print sizes and times for a run of ``questions`` questions."""
    from bench.report import ReportOptions, build, write_view
    from bench.scoring.evaluation import evaluate
    from tests.run_fixture import MODELS, make_run, make_tasks

    # A run that nobody keeps need not wait for the disk.
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        run = make_run(Path(folder), MODELS, make_tasks(questions // 12, 4), previews=False)
        clock.lap("make the run")
        evaluation = evaluate(run)
        clock.lap("score")
        view = build([evaluation])
        clock.lap("build the view")
        (page,) = write_view(view, None, ["html"], ReportOptions())
        clock.lap("write report.html")
        print(f"{len(view.samples):,} questions x {len(view.rows)} models")
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
    """Prints the seconds since the last lap."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Print ``name`` and its seconds."""
        now = time.perf_counter()
        print(f"{name:24} {now - self.last:8.2f} s")
        self.last = now


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
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)

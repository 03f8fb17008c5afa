"""The runs of a folder of results."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bench.errors import InvalidInput
from bench.rundir.record import RUN_FILE
from bench.rundir.store import RunStore


def find_runs(results: Path) -> list[RunStore]:
    """Return every run under ``results``, newest first; folders that are no runs are left out."""
    if not results.is_dir():
        return []
    folders = sorted(path.parent for path in results.glob(f"*/{RUN_FILE}"))
    runs = []
    for folder in folders:
        with contextlib.suppress(InvalidInput):
            runs.append(RunStore.open(folder))
    return sorted(runs, key=_start, reverse=True)


def _start(run: RunStore) -> tuple[str, str]:
    """Return when the run began; of two runs of one second, the folder's name tells the order."""
    return str(run.record.get("started", "")), run.path.name

"""The runs of a folder of results."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bench.errors import InvalidInput
from bench.rundir.record import MERGED, RUN_FILE
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
    """Return when the run directory was begun; of two of one second, the folder's name tells the order."""
    # A merged run is newer than its parts, although its first question was asked when theirs was.
    began = run.record.get(MERGED) or run.record.get("started", "")
    return str(began), run.path.name

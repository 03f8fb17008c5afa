"""Removes folders that became no run, because the process that made them was killed before ``run.json``.

Only older versions leave them: today a run is hidden until it is whole (``bench.litter``).
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from bench.litter import OLD_SECONDS, TEMPORARY

_RUN_FOLDER = re.compile(r"\d{8}T\d{6}Z-.+-[0-9a-f]{6}(?:-\d+)?")
"""How ``RunStore`` names the folder of a run."""

_FIRST_FILES = frozenset({"samples.jsonl", "texts.json"})
"""What is written before ``run.json``."""


def remove_unborn_runs(results: Path) -> None:
    """Remove the folders under ``results`` whose process was killed before it wrote ``run.json``.

    A folder with anything but samples in it stays: it may be a run that somebody copied in part.
    """
    for folder in results.glob("*Z-*"):
        if _RUN_FOLDER.fullmatch(folder.name) and folder.is_dir() and _is_unborn(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_unborn(folder: Path) -> bool:
    newest = 0.0
    try:
        for path in [folder, *folder.rglob("*")]:
            is_first_file = path.name in _FIRST_FILES and path.parent != folder
            is_plain = not path.is_symlink()
            if not (
                is_plain and (path.is_dir() or is_first_file or TEMPORARY.fullmatch(path.name))
            ):
                return False
            newest = max(newest, path.stat().st_mtime)
    except OSError:
        # Somebody is at work in it.
        return False
    return time.time() - newest > OLD_SECONDS

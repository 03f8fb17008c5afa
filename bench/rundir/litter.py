"""Removes what killed processes left: temporary files in a run directory, and folders that became no run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.(?:(?P<process>\d+)-)?[a-z0-9_]{8}")
"""How ``bench.files`` names a file until it is complete; older versions left out the process."""

OLD_SECONDS = 3600
"""What names no process is nobody's after so long without a change: nothing takes an hour to write."""

_RUN_FOLDER = re.compile(r"\d{8}T\d{6}Z-.+-[0-9a-f]{6}(?:-\d+)?")
"""How ``RunStore`` names the folder of a run."""

_FIRST_FILES = frozenset({"samples.jsonl", "texts.json"})
"""What is written before ``run.json``."""


def remove_litter(run: Path) -> None:
    """Remove every temporary file under ``run`` whose process has ended; a file that stays does no harm."""
    for folder, _, names in os.walk(run):
        for name in names:
            match = _TEMPORARY.fullmatch(name)
            if match is None:
                continue
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                if _is_abandoned(path, match["process"]):
                    path.unlink()


@contextlib.contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    """Remove ``folder`` if what is done in it fails, because nothing else would on a disk that is full."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


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
                is_plain and (path.is_dir() or is_first_file or _TEMPORARY.fullmatch(path.name))
            ):
                return False
            newest = max(newest, path.stat().st_mtime)
    except OSError:
        # Somebody is at work in it.
        return False
    return time.time() - newest > OLD_SECONDS


def _is_abandoned(path: Path, process: str | None) -> bool:
    if process is None:
        return time.time() - path.lstat().st_mtime > OLD_SECONDS
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False

"""Leaves nothing behind: folders that are whole or not there, and temporary files of killed processes.

What is not complete yet has a hidden name that holds the process which makes it. So the next command knows
what is nobody's, and removes it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.files import storage_errors

TEMPORARY = re.compile(r"\..+\.(?:(?P<process>\d+)-)?[a-z0-9_]{8}")
"""How a file or a folder is called until it is complete; older versions left out the process."""

OLD_SECONDS = 3600
"""What names no process is nobody's after so long without a change: nothing takes an hour to write."""


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write into that becomes ``path`` when the block ends, and nothing if it fails.

    ``path`` does not exist yet, or is an empty folder: ``is_free`` tells.

    Raises:
        EnvironmentProblem: the disk is full, or the folder cannot be written to.
    """
    place = _place(path)
    with storage_errors(path), unfinished_folder(place, _name(path)) as hidden:
        yield hidden
        if place == path:
            # It may be the place where a disk is mounted, which cannot be replaced.
            for entry in hidden.iterdir():
                entry.rename(path / entry.name)
        else:
            hidden.rename(path)


@contextlib.contextmanager
def unfinished_folder(place: Path, name: str) -> Iterator[Path]:
    """Give a hidden folder in ``place`` that is removed at the end of the block, if it is still there.

    What killed commands have left of others of this ``name`` is removed, too.
    """
    place.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(place, name)
    hidden = place / f".{name}.{os.getpid()}-{secrets.token_hex(4)}"
    hidden.mkdir()
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def is_free(path: Path) -> bool:
    """Say whether ``path`` does not exist or is an empty folder; what killed commands began is removed."""
    if _place(path).is_dir():
        _remove_unfinished(_place(path), _name(path))
    return not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir()))


def _place(path: Path) -> Path:
    """The folder in which ``path`` is written before it has its name."""
    return path if path.is_dir() else path.parent


def _name(path: Path) -> str:
    """The name of the folder, short enough to have more behind it."""
    return path.resolve().name[:40]


def _remove_unfinished(place: Path, name: str) -> None:
    for entry in os.scandir(place):
        if entry.name.startswith(f".{name}.") and entry.is_dir(follow_symlinks=False):
            _remove_if_abandoned(Path(entry.path))


def remove_litter(folder: Path) -> None:
    """Remove every temporary file under ``folder`` whose process has ended; one that stays does no harm."""
    for place, _, names in os.walk(folder):
        for name in names:
            _remove_if_abandoned(Path(place, name))


def remove_litter_beside(paths: Iterable[Path]) -> None:
    """Remove temporary files of ended processes in the folders of ``paths``, but not in folders below."""
    for place in dict.fromkeys(path.parent for path in paths):
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(path: Path) -> None:
    match = TEMPORARY.fullmatch(path.name)
    if match is None:
        return
    with contextlib.suppress(OSError):
        if not _is_abandoned(path, match["process"]):
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


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

"""Removes the temporary files that killed processes left in a run directory."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.(?:(?P<process>\d+)-)?[a-z0-9_]{8}")
"""How ``bench.files`` names a file until it is complete; older versions left out the process."""

OLD_SECONDS = 3600
"""A temporary file that names no process is nobody's after so long: none takes an hour to write."""


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

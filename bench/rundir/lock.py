"""Lets one process at a time write to a run directory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.errors import InvalidInput
from bench.files import storage_errors

LOCK_FILE = "run.lock"
PATIENCE_SECONDS = 5


class RunLock:
    """Keeps a second command out of a run directory; the processes of the models inherit the lock.

    An ``flock`` belongs to the open file, not to a process: it holds until the last process that has the
    descriptor is gone. So the next command waits for an orphan of a killed one instead of writing beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path / LOCK_FILE
        self.descriptor: int | None = None

    def __enter__(self) -> RunLock:
        with storage_errors(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # The process of a model notices within moments that its command was killed, and lets go.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            os.close(descriptor)
            raise InvalidInput(
                f"another process is writing to {self.path.parent}",
                hint="wait until it ends, or stop it; then run the same command again",
            )
        self.descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _try_lock(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Say whether a process holds the run directory at ``path``."""
    import fcntl

    lock = path / LOCK_FILE
    if not lock.is_file():
        return False
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False

"""Lets one process at a time write to a run directory."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import EnvironmentProblem, InvalidInput
from bench.files import storage_errors
from bench.parsing import Unreadable, read_json_object
from bench.text import one_line

LOCK_FILE = "run.lock"
HOLDER_FILE = "run.lock.holder"
"""Who writes to the run directory, where the file system has no ``flock``."""
MAX_HOLDER_BYTES = 65_536
PATIENCE_SECONDS = 5
ORPHAN_SECONDS = 2
"""What the processes of a killed command are given to notice it, where no lock shows that they are gone."""

_NO_FLOCK = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY}
)
"""What Lustre, NFS without lockd, and some FUSE file systems answer to ``flock``."""


class RunLock:
    """Keeps a second command out of a run directory; the processes of the models inherit the lock.

    An ``flock`` belongs to the open file, not to a process: it holds until the last process that has the
    descriptor is gone. So the next command waits for an orphan of a killed one instead of writing beside it.

    Where the file system has no ``flock``, a file names the process that holds the run. A command on the same
    machine sees whether that process is still there; one on another machine believes the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path / LOCK_FILE
        self.descriptor: int | None = None
        self._holder: Path | None = None

    def __enter__(self) -> RunLock:
        with storage_errors(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self.descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        if self._holder is not None:
            self._holder.unlink(missing_ok=True)
            self._holder = None
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _lock(self, descriptor: int) -> None:
        holder = self.path.with_name(HOLDER_FILE)
        # The process of a model notices within moments that its command was killed, and lets go.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            locked = _try_flock(descriptor)
            if locked is None and _try_holder(holder):
                self._holder = holder
                return
            if locked:
                return
            if time.monotonic() >= deadline:
                raise _taken(self.path.parent, holder if locked is None else None)
            time.sleep(0.05)


def is_locked(path: Path) -> bool:
    """Say whether a process holds the run directory at ``path``."""
    import fcntl

    lock = path / LOCK_FILE
    if not lock.is_file():
        return False
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        locked = _try_flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
    if locked is None:
        return _is_alive(_read_holder(path / HOLDER_FILE))
    return not locked


def has_flock(folder: Path) -> bool:
    """Say whether the file system of ``folder`` has ``flock``, by trying it on a file of no name.

    Raises:
        OSError: no file can be made there.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        return _try_flock(file.fileno()) is not None


def _try_flock(descriptor: int, kind: int | None = None) -> bool | None:
    """Whether the lock was got; None if the file system has no such locks."""
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if kind is None else kind) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return None
        raise EnvironmentProblem(
            f"the run directory cannot be locked: {error.strerror or error}",
            hint="choose a folder on another file system: --out FOLDER",
        ) from None
    return True


def _try_holder(holder: Path) -> bool:
    """Write this process into ``holder``; false if another one that is still there is in it."""
    mine = json.dumps(_this_process()).encode()
    with storage_errors(holder):
        try:
            # Of two processes that create a file in this way, one fails, on every file system.
            descriptor = os.open(holder, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            descriptor = None
    if descriptor is None:
        _set_aside_if_dead(holder)
        return False
    with storage_errors(holder), os.fdopen(descriptor, "wb") as file:
        file.write(mine)
    return True


def _set_aside_if_dead(holder: Path) -> None:
    """Remove ``holder`` if the process that it names is gone."""
    process = _read_holder(holder)
    if _is_alive(process):
        return
    time.sleep(ORPHAN_SECONDS)
    # A rename succeeds for one process only. What it took is looked at again: it may be a new holder's.
    aside = holder.with_name(f"{holder.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        holder.rename(aside)
        if _read_holder(aside) != process:
            os.link(aside, holder)
        aside.unlink()


def _this_process() -> dict[str, Any]:
    import psutil

    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def _read_holder(holder: Path) -> Mapping[str, Any] | None:
    """The process that ``holder`` names; None if there is no such file, empty if it is not written yet."""
    try:
        return read_json_object(holder, MAX_HOLDER_BYTES)
    except Unreadable:
        return {} if holder.exists() else None


def _is_alive(process: Mapping[str, Any] | None) -> bool:
    """Whether the process is there, as far as this machine can see."""
    import psutil

    if process is None:
        return False
    pid, started = process.get("pid"), process.get("started")
    if process.get("host") != socket.gethostname() or type(pid) is not int:
        return True
    try:
        # Numbers of processes are used again; the time at which one started is not.
        return bool(abs(psutil.Process(pid).create_time() - float(started or 0)) < 1)
    except (psutil.Error, ValueError, TypeError, OverflowError):
        return False


def _taken(folder: Path, holder: Path | None) -> InvalidInput:
    if holder is None:
        return InvalidInput(
            f"another process is writing to {folder}",
            hint="wait until it ends, or stop it; then run the same command again",
        )
    process = _read_holder(holder) or {}
    who = f"process {process.get('pid', '?')} on {one_line(process.get('host', '?'), 60)}"
    return InvalidInput(
        f"another process is writing to {folder}: {who}, as {holder.name} says",
        hint=f"wait until it ends, or stop it; if it is gone, remove {holder}",
    )

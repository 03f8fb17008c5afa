"""The lock of a run directory on file systems that have ``flock`` and on those that have none."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import EnvironmentProblem, InvalidInput
from bench.measure import doctor
from bench.rundir import lock
from bench.rundir.lock import HOLDER_FILE, RunLock, has_flock, is_locked

ROOT = Path(__file__).resolve().parent.parent
WITHOUT = [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL]

# What another process does on a file system whose flock fails with the number in its second argument.
HOLD = """
import fcntl, pathlib, sys
from bench.rundir.lock import RunLock
def refuse(*_):
    raise OSError(int(sys.argv[2]), "refused")
fcntl.flock = refuse
with RunLock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
print("gone", flush=True)
"""


def hold(folder: Path, number: int) -> subprocess.Popen[str]:
    """Another process that holds the run directory until its standard input ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(lock, "ORPHAN_SECONDS", 0.01)


def without_flock(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("number", WITHOUT)
def test_without_flock_a_run_is_held_by_one_at_a_time(
    number: int, impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch, number)
    assert not is_locked(tmp_path)
    with RunLock(tmp_path) as held:
        assert held.descriptor is not None
        assert is_locked(tmp_path)
        with pytest.raises(InvalidInput, match="another process is writing to"), RunLock(tmp_path):
            pass
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]


def test_without_flock_another_process_is_kept_out_until_it_ends(
    impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch, errno.ENOLCK)
    with hold(tmp_path, errno.ENOSYS) as holder:
        assert is_locked(tmp_path)
        with (
            pytest.raises(InvalidInput, match=f"process {holder.pid} on .* says"),
            RunLock(tmp_path),
        ):
            pass
        assert holder.stdin is not None
        holder.stdin.close()
        assert holder.stdout is not None
        assert holder.stdout.readline() == "gone\n"
        with RunLock(tmp_path):
            assert is_locked(tmp_path)


def test_without_flock_a_killed_process_lets_go(
    impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch, errno.ENOTSUP)
    with hold(tmp_path, errno.ENOTSUP) as holder:
        holder.kill()
        holder.wait()
    assert (tmp_path / HOLDER_FILE).is_file()
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        assert is_locked(tmp_path)


@pytest.mark.parametrize(
    ("process", "held"),
    [
        ({"host": "elsewhere", "pid": 1, "started": 0}, True),
        ({"pid": os.getpid(), "started": 0}, False),
        ({"pid": 2**22 + 7, "started": 0}, False),
        ({"pid": os.getpid(), "started": [1]}, False),
        ({}, True),
    ],
    ids=["another machine", "its number was used again", "gone", "damaged", "not written yet"],
)
def test_a_holder_is_believed_as_far_as_it_can_be_checked(
    process: dict[str, object],
    held: bool,
    impatient: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_flock(monkeypatch, errno.ENOLCK)
    here = {"host": lock.socket.gethostname()} if process else {}
    (tmp_path / "run.lock").touch()
    (tmp_path / HOLDER_FILE).write_text(json.dumps(here | process), encoding="utf-8")
    assert is_locked(tmp_path) is held
    if held:
        with pytest.raises(InvalidInput) as caught, RunLock(tmp_path):
            pass
        assert f"if it is gone, remove {tmp_path / HOLDER_FILE}" in str(caught.value.hint)
    else:
        with RunLock(tmp_path):
            assert is_locked(tmp_path)


def test_another_error_of_flock_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch, errno.EIO)
    with (
        pytest.raises(EnvironmentProblem, match="cannot be locked: Input/output"),
        RunLock(tmp_path),
    ):
        pass


@pytest.mark.parametrize("number", [None, errno.EIO, *WITHOUT])
def test_doctor_tries_the_lock_where_results_go(
    number: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if number is not None:
        without_flock(monkeypatch, number)
    (check,) = [c for c in doctor._disk(tmp_path / "results") if c.name == "run lock"]
    assert check.state == {None: "ok", errno.EIO: "missing"}.get(number, "note")
    assert (check.cure is None) == (number is None)
    assert list(tmp_path.iterdir()) == []
    if number != errno.EIO:
        assert has_flock(tmp_path) == (number is None)

"""Standard streams that are closed, full, or in an old encoding cost no work and end in no traceback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeTask

BENCH = f"{shlex.quote(sys.executable)} -m bench"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_characters_that_an_encoding_lacks_are_written_as_escapes(make_task: MakeTask) -> None:
    make_task(name="счета")
    done = shell(f"{BENCH} data validate счета", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert rb"\u0441\u0447\u0435\u0442\u0430 has 12 questions" in done.stdout


def test_json_stays_json_in_every_encoding(make_task: MakeTask) -> None:
    folder = make_task([{"id": "é😀"}])
    done = shell(f"{BENCH} data validate {folder} --json", PYTHONIOENCODING="latin-1")
    problems = json.loads(done.stdout.decode("ascii"))
    assert (done.returncode, problems[0]["line"]) == (2, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_for_the_output_is_one_line() -> None:
    done = shell(f"{BENCH} list metrics > /dev/full")
    assert done.returncode == 3
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "error: the output could not be written: No space left on device"
    assert len(lines) == 2


def test_a_run_needs_no_standard_streams(make_task: MakeTask, tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text('[models.f]\nmodel = "fake"\n')
    make_task()
    closed = shell(f"{BENCH} run -m f -t mine --no-report <&- >&- 2>&-")
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, b"", b"")
    (run,) = (tmp_path / "results").iterdir()
    # No file of the run got the number of a standard stream, in which a library would have printed.
    for path in run.rglob("*.jsonl"):
        assert all(json.loads(line) for line in path.read_text().splitlines()), path


def test_progress_that_cannot_be_shown_is_left_out(make_task: MakeTask, tmp_path: Path) -> None:
    make_task(name="second")
    (tmp_path / "bench.toml").write_text('[models.f]\nmodel = "fake"\n')
    done = shell(f"{BENCH} run -m f -t second --no-report 2> /dev/full")
    assert done.returncode == 0
    assert b"second" in done.stdout

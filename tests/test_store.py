"""The run directory survives whatever can happen while it is written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import EnvironmentProblem, InvalidInput
from bench.files import append_lines, read_lines, write_atomically, write_json
from bench.rundir.listing import find_runs
from bench.rundir.lock import RunLock, is_locked
from bench.rundir.store import RunStore


def test_lines_come_back_as_they_were_appended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "outputs.jsonl"
    records = [{"text": "a\nb\u2028c"}, {"text": "ё№中\x00"}]
    append_lines(path, records[:1])
    append_lines(path, records[1:])
    assert list(read_lines(path)) == records


def test_a_lone_surrogate_in_an_answer_can_be_stored(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    append_lines(path, [{"text": "x\ud800y"}])
    assert list(read_lines(path)) == [{"text": "x\ud800y"}]


def test_a_torn_last_line_is_passed_over_and_then_repaired(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    append_lines(path, [{"n": 1}])
    with path.open("a") as stream:
        stream.write('{"n": 2, "te')
    assert list(read_lines(path)) == [{"n": 1}]
    append_lines(path, [{"n": 3}])
    assert list(read_lines(path)) == [{"n": 1}, {"n": 3}]


def test_a_file_that_is_nothing_but_a_torn_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text('{"n": ' + "1" * 200_000)
    append_lines(path, [{"n": 3}])
    assert list(read_lines(path)) == [{"n": 3}]


def test_a_bad_line_elsewhere_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text('{"n": 1}\nrubbish\n{"n": 3}\n')
    with pytest.raises(InvalidInput, match=r"outputs.jsonl:2: the line is not JSON"):
        list(read_lines(path))


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outputs.jsonl"
    append_lines(path, [{"n": 1}])

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(EnvironmentProblem, match="disk is full") as caught:
        append_lines(path, [{"n": 2}])
    assert "resumes" in (caught.value.hint or "")
    assert path.read_text() == '{"n":1}\n'


def test_a_write_that_ends_half_way_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Under a limit on the size of files, which the kernel enforces as it does a full disk."""
    path = tmp_path / "outputs.jsonl"
    append_lines(path, [{"n": 1}])
    program = (
        "import resource, signal, sys; from pathlib import Path; from bench.files import append_lines\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "append_lines(Path(sys.argv[1]), [{'n': 2, 'text': 'x' * 9000}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert "cannot be written: File too large" in done.stderr
    assert path.read_text() == '{"n":1}\n'


def test_a_failed_atomic_write_keeps_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"old": True})

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(EnvironmentProblem):
        write_atomically(path, "new")
    assert "old" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_results_path_that_is_a_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(EnvironmentProblem) as caught:
        RunStore.create(
            tmp_path / "results", "run", {"spec_id": "0" * 64, "tasks": [], "models": []}, []
        )
    assert "--out" in (caught.value.hint or "")


def test_two_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    record = {"spec_id": "0" * 64, "tasks": [], "models": []}
    runs = {RunStore.create(tmp_path, "run", record, []).path for _ in range(3)}
    assert len(runs) == 3
    assert {run.path for run in find_runs(tmp_path)} == runs


def test_a_run_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"schema_version": 999})
    with pytest.raises(InvalidInput, match="schema version 999"):
        RunStore.open(tmp_path)


def test_a_lock_keeps_others_out_until_its_holder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.rundir.lock.PATIENCE_SECONDS", 0.3)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\nfrom bench.rundir.lock import RunLock\n"
            "with RunLock(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(tmp_path)
        with pytest.raises(InvalidInput, match="another process"), RunLock(tmp_path):
            pass
        holder.kill()
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        assert is_locked(tmp_path)


def test_the_texts_of_documents_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"spec_id": "0" * 64, "tasks": [], "models": []}
    run = RunStore.create(tmp_path, "run", record, [])
    write_json(run.path / "mine" / "texts.json", {"p0.png": "Total 12"})
    assert run.document_texts("mine") == {"p0.png": "Total 12"}
    monkeypatch.setattr("bench.rundir.rows.read_json", None)
    assert run.document_texts("mine") == {"p0.png": "Total 12"}
    assert run.document_texts("other") == {}

"""Folders on object storage, in fsspec's memory: what comes back is what went, or one line says why not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.cli.lookup import find_run, find_sides
from bench.errors import EnvironmentProblem, InvalidInput
from bench.models.catalog import resolve
from bench.rundir.store import RunStore
from bench.storage import MANIFEST, fetch_folder, is_address, push_folder
from tests.conftest import MakeTask
from tests.damage import FOR_PROGRAMMERS
from tests.run_fixture import MODELS, make_run, make_tasks
from tests.test_catalog import write_adapter

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty storage, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "adapter"
    (made / "deep").mkdir(parents=True)
    (made / "weights.bin").write_bytes(os.urandom(3000))
    (made / "deep" / "счёт.json").write_text("{}")
    (made / "empty").touch()
    (made / ".lock").touch()
    (made / "outside").symlink_to("/etc/hostname")
    return made


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_what_comes_back_is_what_went_without_hidden_files_and_links(
    memory: Any, folder: Path
) -> None:
    assert push_folder(folder, "memory://bucket/mine").files == 3
    copy = fetch_folder("memory://bucket/mine")
    wanted = contents(folder)
    assert contents(copy) == {
        name: wanted[name] for name in ("weights.bin", "deep/счёт.json", "empty")
    }


def test_a_second_push_copies_what_has_changed_and_a_second_fetch_nothing(
    memory: Any, folder: Path
) -> None:
    push_folder(folder, "memory://bucket/mine")
    first = fetch_folder("memory://bucket/mine")
    assert push_folder(folder, "memory://bucket/mine").files == 0
    assert fetch_folder("memory://bucket/mine") == first
    (folder / "weights.bin").write_bytes(b"new")
    (folder / "empty").unlink()
    with pytest.raises(InvalidInput, match="another folder is at memory://bucket/mine"):
        push_folder(folder, "memory://bucket/mine")
    again = push_folder(folder, "memory://bucket/mine", replace=True)
    assert (again.files, again.unchanged) == (1, 1)
    second = fetch_folder("memory://bucket/mine")
    assert contents(second) == {"weights.bin": b"new", "deep/счёт.json": b"{}"}
    assert contents(first)["weights.bin"] != b"new"


def test_a_push_that_broke_off_is_no_folder_until_it_is_repeated(
    memory: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = type(memory).put_file
    calls = []

    def breaks(self: Any, source: str, target: str) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise ConnectionError("the line is cut")
        put_file(self, source, target)

    monkeypatch.setattr(type(memory), "put_file", breaks)
    with pytest.raises(EnvironmentProblem, match="the line is cut"):
        push_folder(folder, "memory://bucket/mine")
    with pytest.raises(InvalidInput, match="no folder is at"):
        fetch_folder("memory://bucket/mine")
    push_folder(folder, "memory://bucket/mine")
    assert "weights.bin" in contents(fetch_folder("memory://bucket/mine"))


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "a/../../evil", "a//b", ".hidden", "a\\b", "a\nb", "", "é" * 200],
)
def test_a_manifest_cannot_lead_out_of_the_folder(memory: Any, tmp_path: Path, name: str) -> None:
    manifest = {"files": {name: {"bytes": 0, "sha256": "0" * 64}}}
    memory.pipe_file(f"/bucket/evil/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(InvalidInput, match="damaged"):
        fetch_folder("memory://bucket/evil")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "[]",
        "{}",
        '{"files": []}',
        '{"files": {"a": 1}}',
        '{"files": {"a": {"bytes": -1, "sha256": ""}}}',
        '{"files": {"a": {"bytes": true, "sha256": ""}}}',
        '{"files": {"a": {"bytes": 1e300, "sha256": 7}}}',
        '{"files": {"a": null}}',
        '{"files": null}',
        "\ud800",
        f'{{"files": {{"a": {{"bytes": {10**15}, "sha256": "{"0" * 64}"}}}}}}',
    ],
)
def test_a_manifest_that_is_none_is_one_line(memory: Any, text: str) -> None:
    memory.pipe_file(f"/bucket/bad/{MANIFEST}", text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidInput, match="damaged") as failure:
        fetch_folder("memory://bucket/bad")
    assert "\n" not in str(failure.value)
    assert not FOR_PROGRAMMERS.search(str(failure.value))


def test_a_file_that_somebody_changed_is_refused_and_leaves_nothing(
    memory: Any, folder: Path, tmp_path: Path
) -> None:
    push_folder(folder, "memory://bucket/mine")
    memory.pipe_file("/bucket/mine/weights.bin", b"x" * 10_000)
    with pytest.raises(InvalidInput, match="not the file that was pushed"):
        fetch_folder("memory://bucket/mine")
    assert not contents(tmp_path / "cache")


@pytest.mark.parametrize(
    "address",
    [
        *("memory://", "s3:/bucket", "https://host/x", "file:///etc", "x", "dir::memory://x"),
        *("memory://a/../../b", "s3://a/./b", "memory://a?x=1", "memory://me:secret@a/b#f"),
    ],
)
def test_what_is_no_address_is_refused(memory: Any, folder: Path, address: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        push_folder(folder, address)
    assert "secret" not in failure.value.message


def test_a_password_that_a_driver_repeats_is_not_shown(
    memory: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complains(self: Any, path: str, *_: Any, **__: Any) -> None:
        raise ValueError(f"no bucket can be called {path}")

    monkeypatch.setattr(type(memory), "open", complains)
    with pytest.raises(EnvironmentProblem, match=r"called /\*\*\*@bucket") as failure:
        push_folder(folder, "memory://me:secret@bucket/x")
    assert "secret" not in str(failure.value)


def test_an_endpoint_is_no_address() -> None:
    assert not is_address("model@http://host:8000/v1")
    assert is_address("s3://bucket/runs/one")


def test_a_missing_driver_and_a_password_in_an_address_are_one_line(
    memory: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3", name="s3fs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(EnvironmentProblem, match="s3fs") as failure:
        push_folder(folder, "s3://me:secret@bucket/x")
    assert "[s3]" in (failure.value.hint or "")
    assert "secret" not in str(failure.value)


def test_a_run_is_pushed_and_named_by_its_address(memory: Any, tmp_path: Path, bench: Any) -> None:
    run = make_run(tmp_path / "results", MODELS[:2], make_tasks(4, 2, ["en"]), previews=False)
    done = bench("push", run.path, "memory://bucket/runs")
    assert done.status == 0, done.err
    assert "note: memory:// is the memory of this process" in done.err
    for typed in ("s3://", "file:///tmp/x", "memory://a/.."):
        refused = bench("push", run.path, typed)
        assert (refused.status, refused.err.startswith(f"error: {typed} ")) == (2, True), (
            refused.err
        )
    address = done.out.strip()
    assert address == f"memory://bucket/runs/{run.path.name}"
    copy = find_run(address, tmp_path)
    assert copy != run.path
    (side,) = find_sides(f"{address}:{MODELS[1].name}", None, tmp_path)
    assert side.model == MODELS[1].name
    compared = bench("compare", f"{address}:{MODELS[0].name}", f"{address}:{MODELS[1].name}")
    assert compared.status == 0, compared.err
    for command in (("score", address), ("show", address, "--wrong"), ("gate", address, address)):
        done = bench(*command)
        assert done.status == 0, (command, done.err)
    written = bench("report", address, "--out", tmp_path / "out", "--format", "md")
    assert written.status == 0, written.err
    assert (tmp_path / "out").exists()


def test_an_unfinished_run_is_not_pushed(memory: Any, tmp_path: Path, bench: Any) -> None:
    from dataclasses import replace

    half = replace(MODELS[0], asked=0.5)
    run = make_run(tmp_path / "results", [half], make_tasks(4, 2, ["en"]), previews=False)
    done = bench("push", run.path, "memory://bucket/runs")
    assert done.status == 2
    assert "only finished runs are pushed" in done.err
    assert not memory.store


def test_an_adapter_is_a_model_by_its_address(memory: Any, tmp_path: Path, bench: Any) -> None:
    adapter = write_adapter(tmp_path / "mine", "Qwen/Qwen2-VL-2B-Instruct")
    done = bench("push", adapter, "memory://bucket/adapters")
    assert done.status == 0, done.err
    spec = resolve(done.out.strip())
    assert spec.checkpoint == "Qwen/Qwen2-VL-2B-Instruct"
    assert spec.adapter is not None
    assert Path(spec.adapter).name == "mine"


def break_writing(memory: Any, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise PermissionError("access denied")

    monkeypatch.setattr(type(memory), method, breaks)


def test_a_folder_that_grew_takes_its_own_place_and_no_others(memory: Any, folder: Path) -> None:
    known = {"known_by": "empty"}
    push_folder(folder, "memory://bucket/mine", **known)
    (folder / "report.html").write_text("later")
    assert push_folder(folder, "memory://bucket/mine", **known).files == 1
    (folder / "empty").write_text("another")
    with pytest.raises(InvalidInput, match="another folder is at"):
        push_folder(folder, "memory://bucket/mine", **known)


def test_a_finished_run_is_pushed_and_the_same_command_pushes_what_was_not(
    memory: Any, tmp_path: Path, bench: Any, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["run", "-m", "fake", "-t", str(make_task(documents=1)), "--latency-samples", "0"]
    command += ["--no-warmup", "--no-report", "--out", "memory://bucket/runs/"]
    with monkeypatch.context() as broken:
        break_writing(memory, broken, "put_file")
        done = bench(*command)
    assert done.status == 3
    (path,) = (tmp_path / "results").iterdir()
    assert f"results/{path.name} is finished, but it was not pushed" in done.err
    assert f"bench push results/{path.name} memory://bucket/runs/" in done.err
    assert not RunStore.open(path).is_concluded()
    again = bench(*command)
    assert again.status == 0, again.err
    assert f"Pushed to memory://bucket/runs/{path.name}" in again.err
    assert list((tmp_path / "results").iterdir()) == [path]
    assert RunStore.open(path).is_concluded()
    copy = contents(fetch_folder(f"memory://bucket/runs/{path.name}"))
    assert {"run.json", "fake/mine/outputs.jsonl", "scores/summary.json"} <= copy.keys()
    assert not [name for name in memory.store if "trial" in name]


def test_a_part_of_a_run_is_pushed_to_the_address_in_the_environment(
    memory: Any, bench: Any, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_RUN_OUT", "memory://bucket/parts")
    done = bench("run", "-m", "fake", "-t", make_task(), "--shard", "1/2", "--latency-samples", "0")
    assert done.status == 0, done.err
    assert "Pushed to memory://bucket/parts/" in done.err
    (run,) = (address.parent for address in map(Path, memory.store) if address.name == "run.json")
    assert "-1of2-" in run.name


def test_an_address_that_cannot_be_written_to_is_refused_before_a_model_is_asked(
    memory: Any, tmp_path: Path, bench: Any, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_writing(memory, monkeypatch, "pipe_file")
    done = bench("run", "-m", "fake", "-t", make_task(), "--out", "memory://bucket/runs")
    assert done.status == 3
    assert "memory://bucket/runs: the storage answers: access denied" in done.err
    assert not (tmp_path / "results").exists()


def test_a_dry_run_says_where_the_run_goes_and_writes_nothing_there(
    memory: Any, tmp_path: Path, bench: Any, make_task: MakeTask
) -> None:
    (tmp_path / "bench.toml").write_text('[run]\nout = "memory://bucket/runs"\n')
    done = bench("run", "-m", "fake", "-t", make_task(), "--dry-run")
    assert done.status == 0, done.err
    assert "push to   memory://bucket/runs, when the run is finished" in done.out
    done = bench("run", "-m", "fake", "-t", "mine", "--dry-run", "--json")
    assert json.loads(done.out)["push_to"] == "memory://bucket/runs"
    assert not memory.store


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run -m fake --out s3:/bucket/runs", "expected a folder, or an address such as s3://"),
        ("run -m fake --out dir::memory://runs", "expected a folder, or an address such as s3://"),
        ("run -m fake --out https://host/runs", "expected a folder, or an address such as s3://"),
        ("merge a b --out S3://bucket/runs", "expected a folder, or an address such as s3://"),
        ("report last --out s3://bucket/report", "expected a path on this machine"),
        ("list runs --results gs://bucket/runs", "expected a path on this machine"),
        ("tune -m fake -t all --out s3://bucket/adapters", "bench push copies runs and adapters"),
    ],
)
def test_an_address_where_none_is_taken_is_one_line(
    tmp_path: Path, bench: Any, command: str, said: str
) -> None:
    done = bench(*command.split())
    assert done.status == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) <= 2
    assert not list(tmp_path.iterdir())

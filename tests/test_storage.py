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
from bench.storage import MANIFEST, fetch_folder, is_address, push_folder
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
    "address", ["memory://", "s3:/bucket", "https://host/x", "file:///etc", "x"]
)
def test_what_is_no_address_is_refused(memory: Any, folder: Path, address: str) -> None:
    with pytest.raises(InvalidInput):
        push_folder(folder, address)


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

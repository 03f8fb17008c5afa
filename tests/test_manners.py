"""Files follow the umask, and no password of an address is printed or stored."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.errors import BenchError, EnvironmentProblem, InvalidInput
from bench.files import append_lines, open_temporary, write_atomically, write_json, write_lines
from bench.models.qwen_vl import download
from bench.rundir.lock import RunLock
from bench.text import error_line, one_line, without_user_info
from tests.damage import call


@pytest.fixture(params=[0o077, 0o027, 0o022, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_every_file_that_is_written_follows_the_umask(umask: int, tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    write_atomically(tmp_path / "b.txt", "b")
    write_lines(tmp_path / "c.jsonl", [{}])
    append_lines(tmp_path / "d.jsonl", [{}])
    descriptor, temporary = open_temporary(tmp_path / "e")
    os.close(descriptor)
    with RunLock(tmp_path):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~umask)
    assert {"a.json", "b.txt", "c.jsonl", "d.jsonl", "run.lock", temporary.name} == modes.keys()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://anna:geheim@hub.example/api", "http://***@hub.example/api"),
        ("see https://token@h, https://b:c@i/d", "see https://***@h, https://***@i/d"),
        ("http://anna:ge@heim@hub.example", "http://***@hub.example"),
        ("m@http://host:8000/v1", "m@http://host:8000/v1"),
        ("https://host/a@b?c=d@e", "https://host/a@b?c=d@e"),
        ("hf://datasets/a/b@main/c", "hf://datasets/a/b@main/c"),
        ("a@b.example", "a@b.example"),
    ],
)
def test_names_and_passwords_in_addresses_are_masked(text: str, shown: str) -> None:
    assert without_user_info(text) == shown
    assert one_line(text) == shown
    error = InvalidInput(text, hint=text)
    assert (str(error), error.message, error.hint) == (shown, shown, shown)
    assert error_line(ValueError(text)) == f"ValueError: {shown}"


def test_half_a_password_is_not_shown_either() -> None:
    assert "gehe" not in one_line("x" * 50 + " http://anna:geheim@hub.example", 70)


def test_the_password_of_the_hubs_address_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")

    def refuse(*args: object, **kwargs: object) -> object:
        raise OSError("cannot reach http://anna:geheim@127.0.0.1:9/api/models/some/model")

    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", refuse)
    with pytest.raises(EnvironmentProblem) as caught:
        download.fetch("some/model", None, offline=False)
    assert "geheim" not in f"{caught.value.message} {caught.value.hint}"
    assert "***@127.0.0.1:9" in caught.value.message
    assert isinstance(caught.value, BenchError)


@pytest.mark.parametrize("name", ["my scans", "it's", 'a "b"', "a;rm -rf b", "счета", "$HOME"])
def test_a_printed_command_can_be_typed_as_it_stands(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    ended = call("data", "accept", str(folder))
    typed = ended.complaint.splitlines()[-1].removeprefix("try:").strip()
    assert shlex.split(typed) == ["bench", "data", "init", str(folder)]

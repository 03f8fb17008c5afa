"""Files from outside are read with bounds: every broken one ends in one line, and none in a traceback."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import BenchError, InvalidInput
from bench.files import read_lines
from bench.models import bounded
from bench.models.catalog import user_models
from bench.models.checkpoints import read_adapter, read_checkpoint, weight_files
from bench.parsing import (
    MAX_DEPTH,
    MAX_KEY_PARTS,
    Unreadable,
    parse_json,
    parse_toml,
    read_bytes,
    read_json,
    read_json_object,
    read_toml,
    whole_number,
)
from bench.tasks.taskfile import check_task_file
from tests.damage import FOR_PROGRAMMERS, write_odd_adapter

JSON_BOMBS = {
    "deep lists": "[" * 200_000,
    "closed deep lists": "[" * 500 + "]" * 500,
    "deep objects": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "a long number": f'{{"hidden_size": {"9" * 1_000_000}}}',
    "a number that fits into no float": f"[{'9' * 400}]",
    "a key twice": '{"model_type": "qwen2_vl", "model_type": "evil"}',
    "not JSON": "{",
    "nothing": "",
}

TOML_BOMBS = {
    "deep lists": "a = " + "[" * 50_000,
    "deep tables": "a = " + "{a=" * 5_000 + "1" + "}" * 5_000,
    "a dotted key": ".".join("a" * 30_000) + " = 1",
    "a dotted table": "[" + ".".join("a" * 30_000) + "]",
    "a quoted dotted key": ".".join(['"a\\"b"'] * 100) + " = 1",
    "a decimal number": "a = " + "9" * 1_000_000,
    "a hexadecimal number": "a = 0x" + "f" * 900_000,
    "a key twice": "a = 1\na = 2",
    "not TOML": "a = ",
}


@pytest.mark.parametrize(
    ("text", "place"), [('{"a": 1,, }', "column 9"), ('{\n"a": 1,, }', "line 2, column 8")]
)
def test_a_fault_of_json_is_placed(text: str, place: str) -> None:
    with pytest.raises(Unreadable, match=rf"is not JSON: .*: {place}$"):
        parse_json(text, "here")


@pytest.mark.parametrize("text", JSON_BOMBS.values(), ids=JSON_BOMBS)
def test_json_beyond_the_bounds_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    for read in (read_json, read_json_object):
        with pytest.raises(Unreadable) as caught:
            read(path)
        assert str(path) in caught.value.message
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 500


@pytest.mark.parametrize("text", TOML_BOMBS.values(), ids=TOML_BOMBS)
def test_toml_beyond_the_bounds_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(text)
    with pytest.raises(Unreadable, match=r"task\.toml"):
        read_toml(path)
    assert len(check_task_file(path).problems) == 1
    with pytest.raises(InvalidInput, match=r"task\.toml"):
        user_models(path)


def test_what_honest_files_contain_is_read() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(deep, "x") == json.loads(deep)
    assert parse_json('{"digest": "' + "1" * 1_000 + '", "n": 1e3}', "x")["n"] == 1000.0
    key = ".".join("a" * MAX_KEY_PARTS)
    assert parse_toml(f"{key} = 0xff", "x")
    dots = parse_toml('text = "one. two. three' + ". x" * 200 + '"\n# a.b.c', "x")
    assert dots["text"].startswith("one. two")


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(tmp_path / "a.json") == {}


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for name in ("pipe", "link", "."):
        with pytest.raises(Unreadable, match="not a regular file"):
            read_bytes(tmp_path / name, 10)
    with pytest.raises(Unreadable, match="at most 10 bytes"):
        read_bytes(tmp_path / "large", 10)
    with pytest.raises(Unreadable, match="does not exist"):
        read_bytes(tmp_path / "gone", 10)


def test_a_key_that_comes_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "outputs.jsonl").write_text('{"a": 1}\n{"text": 1, "text": 2}\n')
    with pytest.raises(InvalidInput, match=r"jsonl:2: .*'text' twice"):
        list(read_lines(tmp_path / "outputs.jsonl"))


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("²", None), ("٣", None), ("-1", None), ("9" * 5_000, None)]
)
def test_only_plain_digits_are_a_number(text: str, number: int | None) -> None:
    assert whole_number(text) == number


HONEST = {
    "model_type": "qwen2_vl",
    "hidden_size": 64,
    "weight_map": {"a": "model.safetensors"},
    "base_model_name_or_path": "base",
    "quantization_config": {"quant_method": "gptq", "bits": 4},
    "text_config": {"dtype": "float32"},
}
ODD: list[Callable[[random.Random], object]] = [
    lambda _: None,
    lambda _: [["a"], {}],
    lambda _: {"a": []},
    lambda _: float("nan"),
    lambda draw: draw.randrange(10**20),
    lambda _: "\x1b[31m²" * 9,
    lambda _: True,
]


@pytest.mark.parametrize("seed", range(60))
def test_a_checkpoint_of_odd_json_ends_in_one_line(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 16)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x" * 16)
    for name in ("config.json", "model.safetensors.index.json", "adapter_config.json"):
        content: dict[str, object] = dict(HONEST)
        for key in draw.sample(sorted(content), k=2):
            content[key] = draw.choice(ODD)(draw)
        data = bytearray(json.dumps(content).encode())
        if draw.random() < 0.5:
            data[draw.randrange(len(data))] = draw.randrange(256)
        (tmp_path / name).write_bytes(data)
    for read in (read_checkpoint, read_adapter, weight_files):
        try:
            read(tmp_path)
        except InvalidInput as error:
            assert "\n" not in error.message
            assert "\x1b" not in error.message


@pytest.mark.parametrize("seed", range(60))
def test_an_odd_adapter_ends_in_one_line(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.1)
    write_odd_adapter(tmp_path, random.Random(seed))
    try:
        read_adapter(tmp_path)
    except BenchError as error:
        assert "\n" not in error.message
        assert not FOR_PROGRAMMERS.search(error.message)

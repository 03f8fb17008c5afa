"""The small files of a checkpoint as other people write them: they work, or one line says why not."""

from __future__ import annotations

import codecs
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.errors import BenchError, InvalidInput  # noqa: E402
from bench.models import bounded, chat_templates, checkpoints, tokenizer_files  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import QwenVL  # noqa: E402
from tests.tiny_qwen import edit_json, make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import TEMPLATE, write_tiny_checkpoint  # noqa: E402

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture
def checkpoint(tiny: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny, tmp_path / "checkpoint")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def loaded(folder: Path) -> QwenVL:
    model = QwenVL(resolve(str(folder)))
    model.load()
    return model


def texts(folder: Path, tmp_path: Path) -> list[str]:
    group = make_group(make_document(tmp_path, "page", [(200, 300)]))
    return [output.text for output in loaded(folder).generate([group]).outputs]


def refusal(folder: Path) -> str:
    with pytest.raises(BenchError) as caught:
        QwenVL(resolve(str(folder))).load()
    assert "\n" not in caught.value.message
    return caught.value.message


# Tokens that end an answer


def test_end_tokens_are_united_from_every_file(checkpoint: Path) -> None:
    text = read(checkpoint / "config.json")
    edit_json(checkpoint / "generation_config.json", eos_token_id=300)
    edit_json(checkpoint / "config.json", eos_token_id=[301, 300])
    own = text["eos_token_id"]
    assert QwenVL(resolve(str(checkpoint))).load().details["end_tokens"] == [300, 301, own]


@pytest.mark.parametrize("kept", ["generation_config.json", "config.json", "tokenizer_config.json"])
def test_any_one_file_is_enough_to_end_an_answer(kept: str, checkpoint: Path) -> None:
    if kept != "generation_config.json":
        (checkpoint / "generation_config.json").unlink()
    if kept != "config.json":
        edit_json(checkpoint / "config.json", eos_token_id=None)
    if kept != "tokenizer_config.json":
        edit_json(checkpoint / "tokenizer_config.json", eos_token=None)
    assert QwenVL(resolve(str(checkpoint))).load().details["end_tokens"]


def test_an_end_token_that_the_vocabulary_lacks_ends_nothing(checkpoint: Path) -> None:
    edit_json(checkpoint / "generation_config.json", eos_token_id=[300, 10**9, -1])
    ends = QwenVL(resolve(str(checkpoint))).load().details["end_tokens"]
    assert isinstance(ends, list)
    assert 300 in ends
    assert 10**9 not in ends
    assert -1 not in ends


# Chat templates


@pytest.mark.parametrize("file", ["chat_template.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "named",
    [
        [{"name": "tool_use", "template": "no"}, {"name": "default", "template": TEMPLATE}],
        [{"name": "only", "template": TEMPLATE}],
        {"rag": "no", "default": TEMPLATE},
    ],
    ids=["a list", "a list of one", "a table"],
)
def test_the_default_of_several_templates_is_used(
    named: Any, file: str, checkpoint: Path, tiny: Path, tmp_path: Path
) -> None:
    if isinstance(named, dict) and file == "tokenizer_config.json":
        pytest.skip("tokenizers keep their templates in a list")
    (checkpoint / "chat_template.json").unlink()
    path = checkpoint / file
    path.write_text(json.dumps({**(read(path) if path.is_file() else {}), "chat_template": named}))
    assert texts(checkpoint, tmp_path) == texts(tiny, tmp_path)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (
            [{"name": "a", "template": "x"}, {"name": "b", "template": "y"}],
            "none is called default",
        ),
        ([{"name": "default"}], "should be a text, or a list of templates"),
        ([], "should be a text, or a list of templates"),
        (["x"], "should be a text, or a list of templates"),
        (7, "should be a text, or a list of templates"),
    ],
)
def test_templates_of_which_none_can_be_chosen_are_refused_when_the_run_is_planned(
    named: Any, reason: str, checkpoint: Path
) -> None:
    edit_json(checkpoint / "chat_template.json", chat_template=named)
    with pytest.raises(InvalidInput, match=reason):
        resolve(str(checkpoint))


LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        LOOPS,
        "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{{ 'a' * 100000000000 }}",
        "{% set n = namespace(s='aaaaaaaa') %}"
        "{% for i in range(90) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
    ],
    ids=["loops", "a macro of itself", "a product", "doubling"],
)
def test_a_template_that_never_ends_or_fills_memory_is_refused(
    template: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.1)
    edit_json(checkpoint / "chat_template.json", chat_template=template)
    bound = "did not end within 0.1 seconds|needs more memory than it may take"
    with pytest.raises(InvalidInput, match=bound):
        resolve(str(checkpoint))
    monkeypatch.setattr("bench.models.catalog.check_template", lambda folder: None)
    assert re.search(bound, refusal(checkpoint))


def test_a_template_that_loops_only_for_several_pages_is_refused_with_its_questions(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.1)
    several = "{% if messages[0].content | length > 2 %}" + LOOPS + "{% endif %}"
    edit_json(checkpoint / "chat_template.json", chat_template=several + TEMPLATE)
    model = loaded(checkpoint)
    with pytest.raises(InvalidInput, match=r"did not end within 0\.1 seconds"):
        model.generate([make_group(make_document(tmp_path, "two", [(60, 60), (60, 60)]))])


def test_a_prompt_of_millions_of_characters_is_refused(checkpoint: Path) -> None:
    edit_json(checkpoint / "chat_template.json", chat_template="{{ 'a' * 2000000 }}" + TEMPLATE)
    assert "characters of one question; at most 1000000 are read" in refusal(checkpoint)


# Byte-order marks, and which weights are loaded


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_files_that_begin_with_a_byte_order_mark_are_read(
    mark: bytes, checkpoint: Path, tiny: Path, tmp_path: Path
) -> None:
    encoding = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le"}.get(mark, "utf-16-be")
    for path in checkpoint.glob("*.json"):
        path.write_bytes(mark + path.read_text(encoding="utf-8").encode(encoding))
    assert texts(checkpoint, tmp_path) == texts(tiny, tmp_path)


def write_index(folder: Path, weight_map: Any) -> None:
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def test_a_single_file_beside_an_index_is_what_is_loaded_counted_and_digested(
    checkpoint: Path, tiny: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(checkpoint / "model.safetensors")
    other = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    save_file(other, checkpoint / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    write_index(checkpoint, dict.fromkeys(weights, "model-00001-of-00001.safetensors"))
    assert checkpoints.weight_files(checkpoint) == (checkpoint / "model.safetensors",)
    assert checkpoints.weights_digest(checkpoint) == checkpoints.weights_digest(tiny)
    expected = (checkpoint / "model.safetensors").stat().st_size
    assert checkpoints.read_checkpoint(checkpoint).weight_bytes == expected
    assert texts(checkpoint, tmp_path) == texts(tiny, tmp_path)


@pytest.mark.parametrize(
    ("weight_map", "reason"),
    [
        (
            {"a": "../elsewhere.safetensors"},
            "should name a file in its folder for a, but it contains",
        ),
        ({"a": ["x"]}, "should name a file in its folder"),
        ({"a": 7}, "should name a file in its folder"),
        ({"a": ".."}, "should name a file in its folder"),
        ({"a": "x" * 300}, "should name a file in its folder"),
        (["a"], "lists no weights"),
        ("a", "lists no weights"),
        ({}, "lists no weights"),
    ],
)
def test_an_index_that_names_no_files_of_its_folder_is_refused(
    weight_map: Any, reason: str, checkpoint: Path
) -> None:
    (checkpoint / "model.safetensors").unlink()
    write_index(checkpoint, weight_map)
    assert reason in refusal(checkpoint)


# Values of another type


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("config.json", {"hidden_size": "64"}, "hidden_size should be a whole number from 1"),
        ("config.json", {"hidden_size": 10**6}, "describes a model of .* but the weight files"),
        ("config.json", {"num_hidden_layers": 10**9}, "num_hidden_layers should be a whole number"),
        ("config.json", {"num_attention_heads": 0}, "num_attention_heads should be a whole number"),
        ("config.json", {"vision_config": [1]}, "vision_config should be an object"),
        ("config.json", {"rope_scaling": "evil"}, "config.json"),
        ("config.json", {"hidden_act": "evil"}, "config.json"),
        ("config.json", {"model_type": ["qwen2_vl"]}, "model_type should be a text"),
        ("config.json", {"torch_dtype": {"a": 1}}, "torch_dtype should be a text"),
        ("config.json", {"image_token_id": "evil"}, "config.json"),
        (
            "generation_config.json",
            {"eos_token_id": "evil"},
            "eos_token_id should be a whole number",
        ),
        ("generation_config.json", {"eos_token_id": [[1]]}, "an entry of eos_token_id should be a"),
        ("generation_config.json", {"pad_token_id": [1]}, "pad_token_id should be a whole number"),
        ("generation_config.json", {"repetition_penalty": "evil"}, "repetition_penalty should be"),
        ("generation_config.json", {"repetition_penalty": -1}, "repetition_penalty should be"),
        ("preprocessor_config.json", {"patch_size": [14]}, "patch_size should be a whole number"),
        (
            "preprocessor_config.json",
            {"patch_size": 7},
            "patch_size should be 14, as in config.json, but",
        ),
        ("preprocessor_config.json", {"merge_size": 0}, "merge_size should be a whole number"),
        ("preprocessor_config.json", {"min_pixels": "evil"}, "min_pixels should be a whole number"),
        ("preprocessor_config.json", {"image_mean": ["a", 0, 0]}, "image_mean should be three num"),
        ("preprocessor_config.json", {"image_std": [0, 1, 1]}, "image_std should be three numbers"),
        ("preprocessor_config.json", {"size": [1]}, "size should be an object, but it is a list"),
        ("tokenizer_config.json", {"extra_special_tokens": 7}, "tokenizer"),
        ("tokenizer_config.json", {"tokenizer_class": ["evil"]}, "tokenizer"),
        ("tokenizer.json", {"model": "evil"}, "tokenizer"),
        ("tokenizer.json", {"added_tokens": {"a": 1}}, "tokenizer"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_file(
    file: str, changes: dict[str, Any], reason: str, checkpoint: Path
) -> None:
    edit_json(checkpoint / file, **changes)
    message = refusal(checkpoint)
    assert str(checkpoint) in message
    assert re.search(reason, message), message


# What other people's messages look like when they were not meant for people.
PYTHON = re.compile(
    r"object has no attribute|unhashable|not subscriptable|NoneType|object is not|indices must be|"
    r"unsupported operand|^\W*'\w+'\W*$|\w+Error\b|argument must be|/tmp/bench-checkpoint|For details look"
)
EVIL: tuple[Any, ...] = (
    None,
    True,
    7,
    -1,
    1.5,
    10**30,
    "",
    "evil",
    "7",
    [],
    [7],
    ["a"],
    {},
    {"a": 1},
)
FILES = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "chat_template.json"),
    *("tokenizer_config.json", "tokenizer.json"),
)


def places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """(container, key) of what may be replaced, not deeper than a person would look."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = list(enumerate(value))[:3]
    for key, entry in list(pairs):
        yield value, key
        if depth < 3:
            yield from places(entry, depth + 1)


def damaged(rng: random.Random, path: Path) -> str:
    """Replace one value in the JSON file ``path`` by another one, and say which."""
    content = read(path)
    container, key = rng.choice(list(places(content)))
    container[key] = rng.choice(EVIL)
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"{path.name}: {key} = {container[key]!r}"


def check_damage(folder: Path, work: Path, what: str) -> None:
    """Load the checkpoint in ``folder`` and ask it: it works, or one line says why not."""
    try:
        model = QwenVL(resolve(str(folder)))
        model.load()
        group = make_group(make_document(work, "page", [(60, 60)]), max_new_tokens=2)
        model.generate([group])
    except BenchError as error:
        assert "\n" not in error.message, what
        assert not PYTHON.search(error.message), f"{what}: {error.message}"
        assert str(folder) in error.message, f"{what}: {error.message}"


@pytest.mark.parametrize("seed", range(25))
def test_a_damaged_small_file_is_one_line_or_works(
    seed: int, checkpoint: Path, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    check_damage(checkpoint, tmp_path, damaged(rng, checkpoint / rng.choice(FILES)))


@pytest.mark.parametrize("file", [*FILES, "model.safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"7",
        b"\xff\xfe\xff",
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"a": ' + b"9" * 1_000_000 + b"}",
        b"\x00" * 64,
    ],
    ids=["empty", "list", "number", "not text", "braces", "objects", "lists", "digits", "zeros"],
)
def test_a_file_that_holds_something_else_is_one_line(
    content: bytes, file: str, checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / file).write_bytes(content)
    check_damage(checkpoint, tmp_path, file)


HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda header: [header],
    "no offsets": lambda header: {**header, "visual.x": {"dtype": "F32", "shape": [1]}},
    "a shape of words": lambda header: {
        **header,
        "visual.x": {"dtype": "F32", "shape": ["a"], "data_offsets": [0, 4]},
    },
    "offsets beyond the end": lambda header: {
        **header,
        "visual.x": {"dtype": "F32", "shape": [1], "data_offsets": [10**12, 10**12 + 4]},
    },
    "a dtype of its own": lambda header: {
        **header,
        "visual.x": {"dtype": "EVIL", "shape": [1], "data_offsets": [0, 4]},
    },
    "a negative shape": lambda header: {
        **header,
        "visual.x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
    },
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_damaged_header_of_the_weights_is_one_line(kind: str, checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(HEADERS[kind](json.loads(data[8 : 8 + length]))).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    message = refusal(checkpoint)
    assert str(checkpoint) in message
    assert not PYTHON.search(message), message


def test_the_template_of_a_checkpoint_is_found_without_its_tokenizer(checkpoint: Path) -> None:
    assert chat_templates.find_template(checkpoint) == (TEMPLATE, "chat_template.json")
    (checkpoint / "chat_template.jinja").write_bytes(codecs.BOM_UTF8 + b"of its own")
    assert chat_templates.find_template(checkpoint) == ("of its own", "chat_template.jinja")


def _doubling(times: int) -> dict[str, Any]:
    double = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    return {"normalizer": {"type": "Sequence", "normalizers": [double] * times}}


def _split(pattern: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    return {"pre_tokenizer": {**split, "invert": False}}


@pytest.mark.parametrize(
    "change",
    [_doubling(40), _split(r"(\w+\s?)+\b\B"), _split(r"(?:(?=(.*)*)\w+ ?)*\b\B")],
    ids=["doubled words", "words in words", "looking ahead"],
)
def test_a_tokenizer_that_computes_without_end_is_refused_before_it_is_loaded(
    change: dict[str, Any], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_files, "SECONDS", 1)
    monkeypatch.setattr(tokenizer_files, "MEMORY_BYTES", 128 * 2**20)
    path = checkpoint / "tokenizer.json"
    path.write_text(json.dumps({**read(path), **change}), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"tokenizer\.json cannot be used: reading a line"):
        QwenVL(resolve(str(checkpoint))).load()


def test_hundreds_of_thousands_of_added_tokens_are_refused(checkpoint: Path) -> None:
    path = checkpoint / "added_tokens.json"
    path.write_text(json.dumps({f"<{n}>": n for n in range(50_001)}), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"added_tokens\.json adds 50,001 tokens"):
        QwenVL(resolve(str(checkpoint))).load()


@pytest.mark.parametrize(
    "name",
    [
        *("vocab.json", "special_tokens_map.json", "processor_config.json"),
        *("video_preprocessor_config.json", "additional_chat_templates/other.jinja", "merges.txt"),
    ],
)
def test_no_small_file_of_a_checkpoint_may_be_a_pipe(name: str, checkpoint: Path) -> None:
    path = checkpoint / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(InvalidInput, match="not a regular file"):
        QwenVL(resolve(str(checkpoint))).load()

"""Damages run directories as a stranger would, and runs the verbs that read them."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import re
from pathlib import Path
from typing import Any, NamedTuple

from bench.cli import main
from bench.files import read_lines, write_json, write_lines
from bench.rundir.store import RunStore
from bench.scoring.evaluation import evaluate, write_scores
from tests.run_fixture import FixtureModel, make_run, make_tasks

WRONG_VALUES: tuple[Any, ...] = (
    *(None, 7, -1, 0, 1.5, True, 2**63, -(10**20), 10**290, 1e308),
    *(float("nan"), float("inf"), "", "x", "y" * 3_000, "../../x", "/etc/passwd"),
    *("\x00", "\x1b[31m", "\ud800", "__proto__"),
    *([], [[]], ["a"], [None], [1, "a", None, {}], {}, {"a": 1}, {"": None}),
)
"""What stands where something else was expected."""

FOR_PROGRAMMERS = re.compile(r"\b\w+Error\b|object has no|NoneType|__init__|unhashable|Traceback")
"""What no message to a person holds."""

PATTERNS = (
    r"(a+)+$",
    r"(.*)*x",
    r"((q|v)_?proj|.*)*z",
    r"(?:(?:.?){50}){50}",
    "(" * 200,
    "[",
    "x" * 100_000,
    r".*\.(q|v)_proj",
)
"""Patterns for the modules of an adapter: some never end, some are none, one is honest."""


class Ended(NamedTuple):
    """How a verb ended."""

    status: int
    output: str
    complaint: str
    """What it wrote to standard error."""


def call(*arguments: str) -> Ended:
    """Run ``bench`` with ``arguments`` in this process; what is no clean end is raised."""
    output, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaint):
        try:
            main(list(arguments))
        except SystemExit as end:
            return Ended(int(end.code or 0), output.getvalue(), complaint.getvalue())


def unguarded_run(folder: Path) -> RunStore:
    """A run with scores, but without digests and checksums: whoever forges a run makes new ones."""
    models = [
        FixtureModel("a", watched=True),
        FixtureModel("b", skill=0.6, misformat=0.3, error_rate=0.2),
        FixtureModel("c", asked=0.5),
        FixtureModel("d", load_failure="it does not fit"),
    ]
    run = make_run(folder, models, make_tasks(2, 2, ["en", "ru"]), previews=False, hostile=True)
    write_scores(evaluate(run))
    tasks = [{**task} for task in run.record["tasks"]]
    for task in tasks:
        del task["samples_sha256"]
    write_json(run.path / "run.json", {**run.record, "tasks": tasks})
    for path in run.path.rglob("outputs.jsonl"):
        rows = list(read_lines(path))
        for row in rows:
            del row["crc32"]
        write_lines(path, rows)
    return run


def verbs_that_read(run: Path) -> list[tuple[str, ...]]:
    """Every way in which a run is read."""
    return [
        ("show", str(run)),
        ("show", str(run), "invoices-en/en-00/q0'\"<&>#0"),
        ("score", str(run)),
        ("score", str(run), "--json"),
        ("list", "runs", "--results", str(run.parent)),
        ("compare", "a", "b", "--run", str(run)),
        ("compare", "a", "c", "--run", str(run), "--json"),
        ("report", str(run), "--format", "html,md,csv,json"),
        ("report", str(run), "--format", "vlmhyperbench"),
    ]


def damage(path: Path, chance: random.Random) -> None:
    """Flip bytes of a file of JSON, cut, empty or remove it, or replace values in it."""
    data = bytearray(path.read_bytes())
    kind = chance.choice(["flip", "cut", "empty", "remove", *["type"] * 12])
    if not data:
        # An earlier damage has left nothing.
        return
    if kind == "remove":
        path.unlink()
        return
    if kind == "flip":
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        data = data[: chance.randrange(len(data))]
    elif kind == "empty":
        data = bytearray()
    else:
        lines = data.splitlines(keepends=True) if path.suffix == ".jsonl" else [data]
        number = chance.randrange(len(lines))
        value = json.loads(lines[number])
        replace_somewhere(value, chance)
        lines[number] = bytearray(json.dumps(value).encode() + b"\n")
        data = bytearray(b"".join(lines))
    path.write_bytes(data)


def replace_somewhere(value: Any, chance: random.Random) -> None:
    """Replace, remove, double or add one value at any depth."""
    while value:
        key = chance.choice(list(value) if isinstance(value, dict) else list(range(len(value))))
        inside = value[key]
        if isinstance(inside, dict | list) and inside and chance.random() < 0.85:
            value = inside
            continue
        match chance.randrange(8):
            case 0:
                del value[key]
            case 1 if isinstance(value, list):
                value.append(copy.deepcopy(inside))
            case 1:
                value[chance.choice(["id", "name", "text", "__class__"])] = copy.deepcopy(inside)
            case _:
                # A copy: a value that is damaged later must not become a part of itself.
                value[key] = copy.deepcopy(chance.choice(WRONG_VALUES))
        return


def write_odd_adapter(folder: Path, chance: random.Random) -> None:
    """Write a LoRA adapter with a pattern of ``PATTERNS``, or values of other types."""
    settings: dict[str, Any] = {
        "peft_type": "LORA",
        "base_model_name_or_path": "base",
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["q_proj", "v_proj"],
        "exclude_modules": r".*visual.*",
        "rank_pattern": {"q_proj": 4},
        "modules_to_save": None,
        "layers_to_transform": [0, 1],
    }
    if chance.random() < 0.3:
        settings["target_modules"] = chance.choice(PATTERNS)
    for _ in range(chance.choice([0, 1, 2])):
        replace_somewhere(settings, chance)
    write_json(folder / "adapter_config.json", settings)
    names = [f"layers.{layer}.q_proj.lora_{part}.weight" for layer in range(2) for part in "AB"]
    entry = {"dtype": "F32", "shape": [8, 4], "data_offsets": [0, 128]}
    header = json.dumps({f"base_model.model.{name}": entry for name in names}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(128)
    (folder / "adapter_model.safetensors").write_bytes(weights)

"""Before and after: what a tuned model was trained on stands beside its gains; and the curves' picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.errors import InvalidInput
from bench.models.catalog import resolve
from bench.report.curves import curves, write_curves
from bench.schema import Task
from tests.run_fixture import FixtureModel, make_run, make_tasks


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A run of a base and an adapter that says what it was trained on: one of three tasks."""
    tasks = [_with_fields(task) for task in make_tasks()]
    trained = {
        "name": "whole",
        "train": {"name": "elsewhere", "digest": tasks[1].digest},
        "validation": {"name": "held", "digest": "0"},
        "tests": [{"name": tasks[0].name, "digest": "1"}],
    }
    models = (
        FixtureModel("base", 0.4),
        FixtureModel("adapter", 0.8, details={"trained_on": trained}),
    )
    return make_run(tmp_path / "results", models, tasks, previews=False)


def _with_fields(task: Task) -> Task:
    samples = tuple(
        replace(sample, metadata={**sample.metadata, "field": f"f{number % 2}"})
        for number, sample in enumerate(task.samples)
    )
    return replace(task, samples=samples)


def compare(*arguments: object) -> str:
    result = CliRunner().invoke(cli, ["compare", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_every_task_is_marked_by_what_the_model_saw_of_it(run: Any, tmp_path: Path) -> None:
    names = run.task_names()
    (found,) = json.loads(compare("base", "adapter", "--out", tmp_path / "results", "--json"))
    marks = {row["name"]: row["trained"] for row in found["rows"] if " · " not in row["name"]}
    assert marks == {names[0]: "test", names[1]: "train", names[2]: "none"}
    text = compare("base", "adapter", "--out", tmp_path / "results")
    assert f"{names[0]}: test part of the task it was trained on" in text
    assert f"{names[1]}: holds documents that B was trained on" in text
    assert f"{names[2]}: not trained on: a loss here is forgetting" in text


def test_a_model_that_was_not_tuned_has_no_marks(run: Any, tmp_path: Path) -> None:
    text = compare("adapter", "base", "--out", tmp_path / "results")
    assert "trained on" not in text
    assert "field=" not in text


def test_fields_are_shown_for_a_tuned_model_and_flips_both_ways(run: Any, tmp_path: Path) -> None:
    text = compare("base", "adapter", "--out", tmp_path / "results", "--flips", 1)
    assert " · field=" in text
    gained, lost = text.index("answers gained:"), text.index("answers lost:")
    assert gained < text.index("\ngained ") < lost < text.index("\nlost ")
    assert text.count("\ngained ") == text.count("\nlost ") == 1
    assert " · field=" not in compare(
        "base", "adapter", "--out", tmp_path / "results", "--by", "language"
    )


HISTORY = [
    {"step": 0, "eval_loss": 4.0, "eval_score": 0.1, "eval_merit": 0.1},
    {"step": 1, "loss": 3.5},
    {"step": 2, "loss": 2.0},
    {"step": 2, "eval_loss": 2.1, "eval_score": 0.6, "eval_merit": 0.6},
    {"step": 3, "loss": None},
    {"step": 3, "eval_loss": 2.4, "eval_score": 0.5, "eval_merit": 0.5},
]


def test_curves_are_a_picture_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(e) + "\n" for e in HISTORY))
    path = write_curves(tmp_path)
    assert path is not None
    picture = ElementTree.fromstring(path.read_text())
    circles = picture.findall(".//{*}circle")
    assert len(circles) == 6
    # The kept step is ringed in both panels, at one place.
    kept = [circle for circle in circles if circle.get("class") == "best"]
    assert len({circle.get("cx") for circle in kept}) == 1
    assert len(kept) == 2
    lines = {line.get("class"): line for line in picture.findall(".//{*}polyline")}
    assert len(str(lines["train"].get("points")).split()) == 2


def test_no_validation_no_picture(tmp_path: Path) -> None:
    assert curves(HISTORY[1:3]) == ""
    assert write_curves(tmp_path) is None


def test_an_adapter_may_name_its_base_as_the_catalog_does(tmp_path: Path) -> None:
    def adapter(base: str) -> Path:
        folder = tmp_path / base
        folder.mkdir()
        config = {"peft_type": "LORA", "base_model_name_or_path": base}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "adapter_model.safetensors").write_bytes(b"not read here")
        return folder

    spec = resolve(str(adapter("qwen2-vl-2b")))
    assert spec.checkpoint == resolve("qwen2-vl-2b").checkpoint
    assert spec.adapter == str(tmp_path / "qwen2-vl-2b")
    with pytest.raises(InvalidInput, match="neither a folder nor a hub id"):
        resolve(str(adapter("nowhere")))

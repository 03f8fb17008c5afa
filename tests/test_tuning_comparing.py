"""Before and after: what a tuned model was trained on stands beside its gains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.errors import InvalidInput
from bench.models.catalog import resolve
from bench.report.assemble import build
from bench.schema import Task
from bench.scoring.evaluation import evaluate
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
    (found,) = json.loads(compare("base", "adapter", "--results", tmp_path / "results", "--json"))
    marks = {row["name"]: row["trained"] for row in found["rows"] if " · " not in row["name"]}
    assert marks == {names[0]: "test", names[1]: "train", names[2]: "none"}
    text = compare("base", "adapter", "--results", tmp_path / "results")
    assert f"{names[0]}: it is the test part of the training task" in text
    assert f"{names[1]}: B was trained on some of its documents" in text
    assert f"{names[2]}: B was not trained on it" in text


def test_every_report_says_what_a_score_of_a_tuned_model_is_worth(run: Any) -> None:
    names = run.task_names()
    said = [caveat.text for caveat in build([evaluate(run)]).caveats]
    assert (
        f"adapter was trained on documents of {names[1]}: its score there proves nothing." in said
    )
    assert (
        f"adapter is fine-tuned, but not on {names[2]}: a lower score there shows what it has forgotten."
        in said
    )
    assert not any(text.startswith("base") and "trained" in text for text in said)
    assert not any(names[0] in text for text in said if "tuned" in text or "trained" in text)


def test_documents_of_the_training_are_known_under_another_name(tmp_path: Path) -> None:
    """Training and validation documents in folders that were renamed, among others that are new."""
    tasks = make_tasks()
    pages = [
        [page.key for document in task.documents.values() for page in document.pages]
        for task in tasks
    ]
    trained = {
        "name": "whole",
        "train": {"name": "a", "digest": "0", "pages": pages[0][:1]},
        "validation": {"name": "b", "digest": "1", "pages": [*pages[1][-1:], *pages[0][1:2]]},
        "tests": [{"name": "c", "digest": "2"}],
    }
    tuned = FixtureModel("adapter", 0.8, details={"trained_on": trained})
    make_run(tmp_path / "results", (FixtureModel("base", 0.4), tuned), tasks, previews=False)
    (found,) = json.loads(compare("base", "adapter", "--results", tmp_path / "results", "--json"))
    marks = {row["name"]: row["trained"] for row in found["rows"] if " · " not in row["name"]}
    assert list(marks.values()) == ["train", "validation", "none"]


def test_a_model_that_was_not_tuned_has_no_marks(run: Any, tmp_path: Path) -> None:
    text = compare("adapter", "base", "--results", tmp_path / "results")
    assert "trained on" not in text
    assert "field=" not in text


def test_fields_are_shown_for_a_tuned_model_and_flips_both_ways(run: Any, tmp_path: Path) -> None:
    text = compare("base", "adapter", "--results", tmp_path / "results", "--flips", 1)
    assert " · field=" in text
    gained, lost = text.index("answers gained:"), text.index("answers lost:")
    assert gained < text.index("\ngained ") < lost < text.index("\nlost ")
    assert text.count("\ngained ") == text.count("\nlost ") == 1
    assert " · field=" not in compare(
        "base", "adapter", "--results", tmp_path / "results", "--by", "language"
    )


def test_an_adapter_may_name_its_base_as_the_catalog_does(tmp_path: Path) -> None:
    def adapter(base: str) -> Path:
        folder = tmp_path / base
        folder.mkdir()
        config = {"peft_type": "LORA", "base_model_name_or_path": base}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "adapter_model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
        return folder

    spec = resolve(str(adapter("qwen2-vl-2b")))
    assert spec.checkpoint == resolve("qwen2-vl-2b").checkpoint
    assert spec.adapter == str(tmp_path / "qwen2-vl-2b")
    with pytest.raises(InvalidInput, match="neither a folder nor a hub id"):
        resolve(str(adapter("nowhere")))

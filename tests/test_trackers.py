"""``--log-to``: what a tracker is told, and that no tracker costs a run. The trackers are fakes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import require_package
from bench.publishing import TRACKERS, check_tracker, trackers
from bench.rundir.store import RunStore
from bench.scoring.evaluation import evaluate
from tests.run_fixture import FixtureModel, make_run, make_tasks

FAKES = Path(__file__).parent / "fake_trackers"
MODELS = (
    FixtureModel("qwen2-vl-2b", 0.6, error_rate=0.2, details={"base_url": "http://x:hunter2@h/v1"}),
    FixtureModel("stopped", 0.6, asked=0.5),
)
Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    """Puts the fakes in the trackers' place; gives a function that returns what they were told."""
    path = tmp_path / "told.jsonl"
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.setenv("PYTHONPATH", str(FAKES), prepend=":")
    monkeypatch.setenv("FAKE_TRACKER_LOG", str(path))
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")

    def read() -> list[dict[str, Any]]:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines]

    return read


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    tasks = make_tasks(documents=3, questions=2, languages=("en",))
    labels = {"labels": {"card": "L4"}}
    return make_run(tmp_path / "results", MODELS, tasks, previews=True, record=labels)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_is_told_settings_scores_and_costs(
    bench: Any, told: Log, run: RunStore, tracker: str
) -> None:
    ended = bench("score", run.path, "--log-to", tracker, "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)
    calls = told()
    assert [call["call"] for call in calls if call["call"] == "report"] == ["report", "report"]
    assert calls[0] == {"call": "experiment", "name": "docvlm-bench"}
    by_call = {call["call"]: call for call in reversed(calls)}
    assert by_call["begin"]["name"] == f"qwen2-vl-2b {run.id}"
    parameters = by_call["parameters"]["values"]
    assert parameters["checkpoint"] == "Qwen/qwen2-vl-2b" and parameters["dtype"] == "bf16"
    assert parameters["tasks"] == "invoices-en 1" and parameters["batch_size"] == "8"
    tags = by_call["begin"]["tags"]
    assert tags["run_identity"] == run.record["spec_id"] and tags["label.card"] == "L4"
    assert tags["docvlm-bench.commit"].startswith("3f2a9c1d") and tags["state"] == "complete"
    metrics = by_call["metrics"]["values"]
    estimate = evaluate(run).cells["qwen2-vl-2b", "invoices-en"].estimates["anls"]
    assert metrics["invoices-en/anls"] == estimate.value
    assert metrics["invoices-en/anls_low"] == estimate.low
    assert metrics["questions"] == 6 and metrics["questions_failed"] == estimate.failed
    for cost in ("latency_p50_seconds", "questions_per_second", "memory_bytes", "load_seconds"):
        assert metrics[cost] > 0
    assert all(math.isfinite(value) for value in metrics.values())
    assert by_call["end"]["status"] == "FINISHED"
    # A model that was stopped has no score of a task yet.
    stopped = [call["values"] for call in calls if call["call"] == "metrics"][1]
    assert stopped["questions_asked"] == 3
    assert not [name for name in stopped if "/" in name]
    # No secret, and no page: a tracker may be on somebody else's machine.
    assert "hunter2" not in json.dumps(calls)
    assert by_call["report"]["content"].startswith("<!doctype html>")
    assert 'id="image-' not in by_call["report"]["content"]


def test_a_tracker_that_is_away_costs_nothing(
    bench: Any, told: Log, run: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRACKER", "away")
    ended = bench("score", run.path, "--log-to", "wandb")
    assert ended.status == 3
    assert (run.path / "scores" / "summary.json").is_file() and "qwen2-vl-2b" in ended.out
    assert f"bench score {run.path} --log-to wandb" in ended.err
    assert "Traceback" not in ended.err and "hunter2" not in ended.err
    assert "ConnectionError" in ended.err
    assert told() == []


def test_a_tracker_that_never_answers_is_left(
    bench: Any, told: Log, run: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRACKER", "silent")
    monkeypatch.setattr(trackers, "PATIENCE", 0.3)
    ended = bench("score", run.path, "--log-to", "mlflow")
    assert ended.status == 3 and "did not answer within 0.3 seconds" in ended.err


def test_a_run_ends_as_it_did_whatever_the_tracker_does(
    bench: Any, told: Log, make_task: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRACKER", "away")
    arguments = ("-m", "fake", "-t", make_task(), "--latency-samples", "0", "--log-to", "mlflow")
    ended = bench("run", *arguments)
    assert ended.status == 0, ended.err
    assert "warning: MLflow did not take the results" in ended.err
    monkeypatch.delenv("FAKE_TRACKER")
    assert bench("score", "last", "--log-to", "mlflow").status == 0
    assert [call["name"].split()[0] for call in told() if call["call"] == "begin"] == ["fake"]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_missing_package_is_told_before_the_run(
    bench: Any, make_task: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tracker: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = bench("run", "-m", "fake", "-t", make_task(), "--log-to", tracker)
    assert ended.status == 3
    assert f"--log-to {tracker} needs the package {tracker}" in ended.err
    assert f"[{tracker}]" in ended.err and "pip install" in ended.err
    assert not Path("results").exists()


def test_a_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # wandb makes a folder of its own name where it is used.
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(Exception, match="needs the package wandb"):
        check_tracker("wandb")


def test_an_installed_package_need_have_no_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As optimum has none, without which no GPTQ checkpoint can be loaded."""
    (tmp_path / "wandb" / "sdk").mkdir(parents=True)
    record = tmp_path / "wandb-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: wandb\nVersion: 1.0\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    require_package("a test", "wandb", "wandb")


def test_a_part_of_a_run_has_nothing_to_log(
    bench: Any, told: Log, make_task: Callable[..., Path]
) -> None:
    task = make_task()
    ended = bench("run", "-m", "fake", "-t", task, "--shard", "1/2", "--log-to", "mlflow")
    assert ended.status == 2 and "bench merge RUN... --log-to mlflow" in ended.err
    assert not Path("results").exists()


def test_a_tracker_is_one_that_is_known(bench: Any) -> None:
    ended = bench("score", "last", "--log-to", "neptune")
    assert ended.status == 2 and "mlflow" in ended.err

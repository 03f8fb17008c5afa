"""A run in a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.runner import RunSettings, execute, plan_run
from bench.schema import ModelSpec
from bench.scoring.frames import answers, batches, latencies
from bench.tasks import load_task
from tests.conftest import MakeTask


@pytest.fixture
def run(make_task: MakeTask, tmp_path: Path) -> Path:
    model = ModelSpec("fake", "fake", options={"answers": {"What is field 0?": "value 0"}})
    plan = plan_run([model], [load_task(make_task())], RunSettings(latency_samples=2))
    return execute(plan, tmp_path / "results").run.path


def test_answers_hold_scores_and_metadata_of_every_question(run: Path) -> None:
    frame = answers(run)
    assert len(frame) == 12
    means = frame.groupby("field").anls.mean()
    assert means["f0"] == 1.0
    assert means["f1"] == 0.0
    assert frame.document.nunique() == 3


def test_batches_and_latencies_are_in_seconds(run: Path) -> None:
    assert (batches(run).seconds > 0).all()
    assert "memory.peak_rss" in batches(run).columns
    assert len(latencies(run)) == 2

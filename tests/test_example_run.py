"""The committed run renders with this version and with every later one: its format is a promise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.report import build, terminal_summary, write_report
from bench.rundir.store import RunStore
from bench.scoring.evaluation import evaluate

EXAMPLE = Path(__file__).parent.parent / "results" / "example"


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    shutil.copytree(EXAMPLE, tmp_path / "example")
    return RunStore.open(tmp_path / "example")


def test_the_example_run_has_a_report_in_every_format(run: RunStore, tmp_path: Path) -> None:
    paths = write_report([run], tmp_path / "out", ("html", "md", "csv", "json"))
    assert all(path.stat().st_size > 0 for path in paths)
    page = next(path for path in paths if path.suffix == ".html").read_text(encoding="utf-8")
    # The page images come from the run directory alone.
    assert "data:image/jpeg;base64," in page


def test_the_example_run_keeps_its_scores(run: RunStore) -> None:
    recorded = json.loads((EXAMPLE / "scores" / "summary.json").read_text(encoding="utf-8"))
    evaluation = evaluate(run)
    for cell in recorded["cells"]:
        estimate = evaluation.cells[cell["model"], cell["task"]].estimates[cell["headline"]]
        assert estimate.value == pytest.approx(cell["estimates"][cell["headline"]]["value"])


def test_the_example_run_has_a_leaderboard(run: RunStore) -> None:
    text = terminal_summary(build([evaluate(run)]))
    assert "ocr-fast" in text
    assert "preprocess < 1%, read 97%, match 2%" in text


def test_the_example_run_names_no_folder_of_the_machine_it_was_made_on() -> None:
    for path in EXAMPLE.rglob("*.json*"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert '"/' not in line.replace('"//', ""), path

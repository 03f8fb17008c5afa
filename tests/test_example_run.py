"""The committed run renders with this version and with every later one: its format is a promise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.report import build, make_sections, terminal_summary, write_report
from bench.report.markdown import markdown
from bench.rundir.store import RunStore
from bench.scoring.evaluation import evaluate, write_scores

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


def test_the_example_run_keeps_its_scores_to_the_byte(run: RunStore) -> None:
    shutil.rmtree(run.path / "scores")
    write_scores(evaluate(run))
    committed = sorted((EXAMPLE / "scores").rglob("*.jsonl"))
    assert [path.relative_to(EXAMPLE) for path in committed] == sorted(
        path.relative_to(run.path) for path in (run.path / "scores").rglob("*.jsonl")
    )
    for path in committed:
        written = run.path / path.relative_to(EXAMPLE)
        assert written.read_bytes() == path.read_bytes(), path


def test_the_example_run_keeps_its_estimates(run: RunStore) -> None:
    write_scores(evaluate(run))
    written = json.loads((run.path / "scores" / "summary.json").read_text(encoding="utf-8"))
    committed = json.loads((EXAMPLE / "scores" / "summary.json").read_text(encoding="utf-8"))
    old, new = flat(committed), flat(written)
    # The version of the program is no score.
    assert {*old, "/version"} == {*new, "/version"}
    for path in old.keys() - {"/version"}:
        if isinstance(old[path], float):
            # The last bit of an interval differs from processor to processor.
            assert new[path] == pytest.approx(old[path], rel=1e-12), path
        else:
            assert new[path] == old[path], path


def flat(value: object, key: str = "") -> dict[str, object]:
    """Every number and text of a JSON value by its path."""
    if isinstance(value, dict):
        children = [(f"{key}/{name}", child) for name, child in value.items()]
    elif isinstance(value, list):
        children = [(f"{key}/{index}", child) for index, child in enumerate(value)]
    else:
        return {key: value}
    return {
        path: leaf for child_key, child in children for path, leaf in flat(child, child_key).items()
    }


def test_the_example_run_has_a_leaderboard(run: RunStore) -> None:
    text = terminal_summary(make_sections(build([evaluate(run)])))
    assert "ocr-fast" in text
    assert "preprocess < 1%, read 97%, match 2%" in text


def test_the_committed_report_begins_as_this_version_would_write_it(run: RunStore) -> None:
    committed = (EXAMPLE / "report.md").read_text(encoding="utf-8").splitlines()
    written = markdown(make_sections(build([evaluate(run)]))).splitlines()
    details = committed.index("<details>")
    assert committed[:details] == written[:details]


def test_the_example_run_names_no_folder_of_the_machine_it_was_made_on() -> None:
    for path in EXAMPLE.rglob("*.json*"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert '"/' not in line.replace('"//', ""), path

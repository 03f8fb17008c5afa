"""The report of a run with too many answers for memory has the figures of the ordinary one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cli.execution import conclude
from bench.errors import InvalidInput
from bench.formatting import score
from bench.report import build, large
from bench.report.section import Table, tables
from bench.rundir.store import SUMMARY_FILE, RunStore
from bench.scoring.evaluation import evaluate, write_scores
from bench.scoring.stored import answers_in, stored_scores
from tests.run_fixture import MODELS, make_run, make_tasks


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr(large, "MOST_ANSWERS", 20)
    made = make_run(tmp_path, MODELS, make_tasks(4, 3, ["ru", "en"]), previews=False)
    write_scores(evaluate(made))
    return made


def only_table(section: large.Section) -> Table:
    (table,) = tables(section, "markdown")
    return table


def test_the_figures_are_those_of_the_ordinary_report(run: RunStore) -> None:
    kept = stored_scores(run)
    assert kept is not None
    leaderboard, by_task, mistakes = map(only_table, large.large_sections([kept]))
    view = build([evaluate(run)])
    assert [row.model for row in leaderboard.rows] == [row.key for row in view.rows]
    for line, row in zip(leaderboard.rows, view.rows, strict=True):
        cells = line.cells
        assert row.score is not None
        assert cells["score"].value == row.score.value
        assert cells["score"].interval == (row.score.low, row.score.high)
        assert cells["n"].value == row.score.n
        assert cells["documents"].value == row.score.clusters
        assert cells["failed"].value == row.failed
        throughput, latency = row.facts.throughput, row.facts.latency
        assert throughput is not None
        assert latency is not None
        assert cells["questions_per_second"].value == throughput.questions_per_second
        assert cells["p50"].value == latency.shown()["p50"]
    for row in view.rows:
        found = [line.cells[f"model:{row.key}"].value for line in by_task.rows]
        expected = [e.value for task in row.tasks.values() for e in task.estimates.values()]
        assert found == expected
        wrong = sum(line.cells[f"model:{row.key}"].value for line in mistakes.rows)
        assert wrong == sum(sum(task.mistakes.values()) for task in row.tasks.values())


def test_the_commands_choose_it_above_the_bound(bench: Any, run: RunStore, tmp_path: Path) -> None:
    assert answers_in([run]) == 96
    done = bench("report", run.path)
    assert done.status == 0
    assert "96 answers, more than a report holds in memory" in " ".join(done.out.split())
    written = (run.path / "report.md").read_text("utf-8")
    kept = stored_scores(run)
    assert kept is not None
    assert all(score(estimate.value) in written for estimate in kept.overall.values())
    assert not (run.path / "report.html").exists()
    assert bench("report", run.path, "--out", tmp_path / "x.html").status == 2
    done = bench("report", run.path, "--out", tmp_path / "x.md", "--json")
    assert json.loads(done.out)[0]["overall"] == kept.summary["overall"]
    again = (tmp_path / "x.md").read_text("utf-8")
    # The last line says when the report was written.
    assert again.partition("docvlm-bench ")[0] == written.partition("docvlm-bench ")[0]
    assert bench("score", run.path).status == 0
    assert bench("report", run.path, "--full", "--images", "none").status == 0
    assert (run.path / "report.html").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "csv,json"),
        ("--format", "html"),
        ("--format", "md,csv"),
        ("--price", "1/h"),
        ("--images", "none"),
        ("--max-mb", "3"),
        ("--open",),
    ],
)
def test_an_option_that_it_cannot_follow_is_refused(
    bench: Any, run: RunStore, options: tuple[str, ...]
) -> None:
    done = bench("report", run.path, *options)
    assert done.status == 2
    assert f"cannot follow {options[0]}" in done.err
    assert not (run.path / "report.md").exists()


@pytest.mark.parametrize(("out", "file"), [("v1.2", "v1.2/report.md"), ("X.MD", "X.MD")])
def test_its_place_is_a_folder_or_a_markdown_file(
    bench: Any, run: RunStore, tmp_path: Path, out: str, file: str
) -> None:
    done = bench("report", run.path, "--out", tmp_path / out, "--format", "md")
    assert done.status == 0
    assert (tmp_path / file).is_file()


def test_a_run_by_user_config_says_that_its_files_are_left_out(
    run: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SimpleNamespace(
        no_report=False, push_to=None, log_to="trackio", as_json=False, max_errors=1.0, has_csv=True
    )
    conclude([run], (), 2, options)
    warnings = capsys.readouterr().err
    assert "not logged to trackio" in warnings
    assert "no files of VLMHyperBench" in warnings
    assert (run.path / "report.md").is_file()


def test_different_tasks_of_one_name_are_refused(run: RunStore) -> None:
    kept = stored_scores(run)
    assert kept is not None
    record = json.loads(json.dumps(run.record))
    record["tasks"][0]["digest"] = "another"
    other = kept._replace(run=RunStore(run.path, record))
    with pytest.raises(InvalidInput, match="different tasks of the name invoices-ru"):
        large.large_sections([kept, other])


def test_rows_of_one_model_in_two_runs_are_called_as_in_the_ordinary_report(
    run: RunStore, tmp_path: Path
) -> None:
    again = make_run(tmp_path, MODELS, make_tasks(4, 3, ["ru", "en"]), name="again", previews=False)
    write_scores(evaluate(again))
    runs = [run, again]
    kept = [scores for each in runs if (scores := stored_scores(each)) is not None]
    rows = only_table(large.large_sections(kept)[0]).rows
    view = build([evaluate(each) for each in runs])
    assert {row.model for row in rows} == {row.key for row in view.rows}
    assert len(rows) == 2 * len(MODELS)


def change_answers(run: RunStore) -> None:
    path = run.cell_folder(run.model_names()[0], run.task_names()[0]) / "outputs.jsonl"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[1:]), "utf-8")


def damage_summary(run: RunStore) -> None:
    path = run.path / SUMMARY_FILE
    record = json.loads(path.read_text("utf-8"))
    record["cells"][0]["estimates"] = {"anls": {"value": "1"}}
    path.write_text(json.dumps(record), "utf-8")


def remove_scores(run: RunStore) -> None:
    (run.path / SUMMARY_FILE).unlink()


@pytest.mark.parametrize("change", [change_answers, damage_summary, remove_scores])
def test_scores_of_something_else_are_not_reported(bench: Any, run: RunStore, change: Any) -> None:
    change(run)
    assert stored_scores(run) is None
    done = bench("report", run.path)
    assert done.status == 2
    assert "needs their scores" in done.err
    assert f"bench score {run.path}" in done.err

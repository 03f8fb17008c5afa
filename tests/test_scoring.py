"""From outputs to estimates: failures, the unasked, extraction, classes, bounds, calibration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.metrics.edit import EditCounts
from bench.rundir.store import RunStore
from bench.runner import RunSettings, execute, plan_run
from bench.schema import Document, ModelSpec, Output, Sample, Task
from bench.scoring.answers import score_answer, score_models
from bench.scoring.edit_errors import edit_errors
from bench.scoring.evaluation import Cell, document_key, evaluate, write_scores
from bench.scoring.levels import LEVELS, level
from bench.tasks import load_task
from tests.conftest import MakeTask


def scored(folder: Path, results: Path, **options: Any) -> Cell:
    plan = plan_run(
        [ModelSpec("m", "fake", options=options)],
        [load_task(folder)],
        RunSettings(latency_samples=0),
    )
    return evaluate(execute(plan, results).run).cells["m", "mine"]


RIGHT = {f"What is field {q}?": f"value {q}" for q in range(4)}


def test_a_failure_counts_as_the_worst_score_and_is_named(
    make_task: MakeTask, tmp_path: Path
) -> None:
    cell = scored(make_task(), tmp_path / "r", answers=RIGHT, fail=["d0/q0"])
    estimate = cell.estimates["anls"]
    assert estimate.value == pytest.approx(11 / 12)
    assert (estimate.n, estimate.failed, estimate.clusters) == (12, 1, 3)
    assert cell.mistakes == {"failed": 1}


def test_bounds_say_what_failures_could_change(make_task: MakeTask, tmp_path: Path) -> None:
    bounds = scored(make_task(), tmp_path / "r", answers=RIGHT, fail=["d0/q0"]).bounds
    assert bounds.failed_as_worst == pytest.approx(11 / 12)
    assert bounds.left_out == 1.0
    assert bounds.highest == 1.0


def test_what_was_not_asked_is_not_scored(make_task: MakeTask, tmp_path: Path) -> None:
    folder = make_task()
    plan = plan_run([ModelSpec("m", "fake")], [load_task(folder)], RunSettings(latency_samples=0))
    run = execute(plan, tmp_path / "r").run
    path = run.cell_folder("m", "mine") / "outputs.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    cell = evaluate(RunStore.open(run.path)).cells["m", "mine"]
    assert (cell.asked, cell.estimates["anls"].n, cell.estimates["anls"].failed) == (5, 5, 0)


def test_extraction_is_recorded_beside_the_raw_score(make_task: MakeTask, tmp_path: Path) -> None:
    wordy = {question: f"Answer: {answer}" for question, answer in RIGHT.items()}
    cell = scored(make_task(), tmp_path / "r", answers=wordy)
    assert cell.estimates["anls"].value == 1.0
    assert cell.raw_headline.value is not None
    assert cell.raw_headline.value < 1.0
    assert cell.answers[0].extracted == "value 0"


def test_wrong_only_in_format_is_equivalent_but_not_right(
    make_task: MakeTask, tmp_path: Path
) -> None:
    rows = [
        {"id": str(d), "images": [f"p{d}.png"], "question": "Total?", "answers": ["1 234,50"]}
        for d in range(3)
    ]
    cell = scored(make_task(rows), tmp_path / "r", answers={"Total?": "1234.50"})
    assert cell.mistakes == {"format_only": 3}
    assert cell.equivalent is not None
    assert cell.equivalent.value == 1.0
    assert cell.estimates["exact_match"].value == 0.0


def test_equal_pages_are_one_document_whatever_their_names(make_task: MakeTask) -> None:
    folder = make_task()
    (folder / "p1.png").write_bytes((folder / "p0.png").read_bytes())
    task = load_task(folder)
    assert (
        document_key(task, "p0.png") == document_key(task, "p1.png") != document_key(task, "p2.png")
    )


def test_calibration_is_there_where_answers_carry_confidence(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task()
    plan = plan_run([ModelSpec("m", "fake")], [load_task(folder)], RunSettings(latency_samples=0))
    run = execute(plan, tmp_path / "r").run
    assert evaluate(run).cells["m", "mine"].calibration == {}
    sure = [
        Output(s.id, str(s.references[0]), "stop", confidence=0.9)
        for s in load_task(folder).samples
    ]
    run.append_outputs("m", "mine", sure)
    calibration = evaluate(run).cells["m", "mine"].calibration
    assert calibration["ece"] == pytest.approx(0.1)
    assert calibration["brier"] == pytest.approx(0.01)


def test_scores_are_the_same_bytes_every_time(make_task: MakeTask, tmp_path: Path) -> None:
    plan = plan_run([ModelSpec("m", "fake")], [load_task(make_task())], RunSettings())
    run = execute(plan, tmp_path / "r").run
    write_scores(evaluate(run))
    first = {p: p.read_bytes() for p in (run.path / "scores").rglob("*.json*")}
    write_scores(evaluate(RunStore.open(run.path)))
    assert {p: p.read_bytes() for p in (run.path / "scores").rglob("*.json*")} == first


def test_the_overall_score_weighs_every_task_alike(make_task: MakeTask, tmp_path: Path) -> None:
    few = load_task(make_task(name="few", documents=1))
    many = load_task(make_task(name="many", documents=4))
    answers = {s.id: "value 0" if s.question.endswith("0?") else "" for s in few.samples}
    spec = ModelSpec("m", "fake", options={"answers": answers})
    run = execute(plan_run([spec], [few, many], RunSettings(latency_samples=0)), tmp_path / "r").run
    evaluation = evaluate(run)
    values = [evaluation.cells["m", name].estimates["anls"].value for name in ("few", "many")]
    assert None not in values
    mean = sum(value for value in values if value is not None) / 2
    assert evaluation.overall["m"].value == pytest.approx(mean)


def test_the_kinds_of_errors_add_up_to_the_error_rates(make_task: MakeTask, tmp_path: Path) -> None:
    rows = [
        {"id": str(d), "images": [f"p{d}.png"], "question": f"Q{d}?", "answers": ["ab cd"]}
        for d in range(3)
    ]
    plan = plan_run(
        [
            ModelSpec(
                "m",
                "fake",
                options={"answers": {"Q0?": "ab cd", "Q1?": "aX cde"}, "fail": ["2"]},
            )
        ],
        [load_task(make_task(rows))],
        RunSettings(latency_samples=0),
    )
    evaluation = evaluate(execute(plan, tmp_path / "r").run, ["cer", "wer"])
    by_metric = {row.metric: row for row in edit_errors(evaluation)}
    estimates = evaluation.cells["m", "mine"].estimates
    for metric, row in by_metric.items():
        assert (row.model, row.task, row.answers) == ("m", "mine", 3)
        assert row.counts.rate == pytest.approx(estimates[metric].value)
    # The second answer has one other and one surplus character; the third failed and lacks them all.
    assert by_metric["cer"].counts == EditCounts(9, 1, 5, 1)
    assert by_metric["wer"].counts == EditCounts(2, 2, 2, 0)


def test_tasks_without_error_rates_have_no_kinds_of_errors(
    make_task: MakeTask, tmp_path: Path
) -> None:
    plan = plan_run([ModelSpec("m", "fake")], [load_task(make_task())], RunSettings())
    run = execute(plan, tmp_path / "r").run
    assert edit_errors(evaluate(run, ["anls"])) == []


@pytest.mark.parametrize(
    ("text", "metric", "expected"),
    [
        ("abcd", "anls", "right"),
        ("abXd", "anls", "partly"),
        ("abXY", "anls", "partly"),
        ("aXYZ", "anls", "wrong"),
        ("abcd", "cer", "right"),
        ("abXY", "cer", "partly"),
        ("aXYZ", "cer", "wrong"),
    ],
)
def test_an_answer_is_accepted_from_half_a_score_on_and_right_if_perfect(
    make_task: MakeTask, text: str, metric: str, expected: str
) -> None:
    rows = [{"id": "0", "images": ["p0.png"], "question": "Q?", "answers": ["abcd"]}]
    task = replace(load_task(make_task(rows)), metrics=(metric,))
    sample = task.samples[0]
    assert level(score_answer(task, sample, Output("0", text, "stop")), metric) == expected
    assert (
        level(score_answer(task, sample, Output("0", "", "error", error="x")), metric) == "failed"
    )
    assert level(score_answer(task, sample, None), metric) == level(None, metric) == "open"
    assert len(LEVELS) == 7


def test_a_task_may_be_averaged_over_its_groups() -> None:
    """Three questions of one set and one of another: each set counts half."""
    groups = ["a", "a", "a", "b"]
    documents = {name: Document(name, ()) for name in "1234"}
    samples = tuple(
        Sample(name, name, "?", ("x",), metadata={"field": group, "average_over": "field"})
        for name, group in zip("1234", groups, strict=True)
    )
    task = Task("t", "1", "t", documents, samples, ("exact_match",))
    outputs = {name: Output(name, "x" if name in "14" else "y", "stop") for name in "1234"}
    (answers,) = score_models(task, [outputs], {})
    scores = [answer.scores["exact_match"] for answer in answers]
    total = sum(score.weight for score in scores)
    mean = sum(score.weight * (score.value or 0.0) for score in scores) / total
    assert mean == pytest.approx((1 / 3 + 1) / 2)

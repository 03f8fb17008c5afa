"""Scores on the disk are used while they belong to the same answers, metrics and program, and only then."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.rundir.store import RunStore
from bench.scoring import answers, evaluation, reuse
from bench.scoring.evaluation import evaluate, write_scores
from tests.run_fixture import MODELS, make_run, make_tasks


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    run = make_run(tmp_path, MODELS[:2], make_tasks(2), previews=False)
    write_scores(evaluate(run))
    return run


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The task of every cell that is computed and not read from the disk."""
    computed: list[str] = []
    original = answers.score_models

    def count(task, outputs, *args, **kwargs):  # type: ignore[no-untyped-def]
        computed.extend(task.name for _ in outputs)
        return original(task, outputs, *args, **kwargs)

    monkeypatch.setattr(evaluation, "score_models", count)
    return computed


def files(run: RunStore) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in (run.path / "scores").rglob("*") if p.is_file()}


def test_stored_scores_are_used_and_give_the_same_bytes(run: RunStore, scored: list[str]) -> None:
    before = files(run)
    again = evaluate(run)
    write_scores(again)
    assert scored == []
    assert files(run) == before
    (run.path / reuse.DIGESTS_FILE).unlink()
    computed = evaluate(run)
    assert len(scored) == len(computed.cells)
    for key, cell in computed.cells.items():
        assert again.cells[key].estimates == cell.estimates
        assert again.cells[key].mistakes == cell.mistakes
        for old, new in zip(again.cells[key].answers, cell.answers, strict=True):
            assert (old.scores, old.extracted, old.output) == (
                new.scores,
                new.extracted,
                new.output,
            )


def test_a_changed_answer_is_scored_again(run: RunStore, scored: list[str]) -> None:
    model, task = run.model_names()[0], run.task_names()[0]
    path = run.cell_folder(model, task) / "outputs.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows[0].pop("crc32")
    rows[0]["text"] = "quite another answer"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = evaluate(run).cells[model, task].answers
    assert scored == [task]
    assert any(answer.extracted == "quite another answer" for answer in found)


def test_other_metrics_are_scored_again(run: RunStore, scored: list[str]) -> None:
    evaluate(run, ["exact_match"])
    assert len(scored) == 6


def test_another_program_scores_again(
    run: RunStore, scored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "program_digest", lambda: "of another version")
    evaluate(run)
    assert len(scored) == 6


def test_equal_answers_of_several_models_are_scored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, [MODELS[0], replace(MODELS[0], name="twin")], previews=False)
    asked: list[str] = []
    original = answers._scored

    def count(task, sample, *args):  # type: ignore[no-untyped-def]
        asked.append(sample.id)
        return original(task, sample, *args)

    for task in run.task_names():
        first, second = (run.cell_folder(m, task) / "outputs.jsonl" for m in run.model_names())
        second.write_bytes(first.read_bytes())
    monkeypatch.setattr(answers, "_scored", count)
    found = evaluate(run)
    assert len(asked) == sum(len(task.samples) for task in found.tasks.values())
    for task in found.tasks:
        one, other = (found.cells[model, task] for model in found.models)
        assert one.answers == other.answers
        assert one.mistakes == other.mistakes


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '{"qwen2-vl-7b/invoices-ru": 3}'])
def test_damaged_digests_and_edited_scores_are_not_used(
    run: RunStore, scored: list[str], text: str
) -> None:
    model, task = run.model_names()[0], run.task_names()[0]
    path = reuse.scores_path(run, model, task)
    path.write_text(path.read_text(encoding="utf-8") + "{}\n", encoding="utf-8")
    evaluate(run)
    assert scored == [task]
    (run.path / reuse.DIGESTS_FILE).write_text(text, encoding="utf-8")
    evaluate(run)
    assert len(scored) == 7


@pytest.mark.parametrize("command", ["score", "report"])
def test_score_and_report_remove_what_killed_processes_left(run: RunStore, command: str) -> None:
    # No process has a number as large as this one.
    litter = run.path / "scores" / ".summary.json.99999999-abcdef01"
    litter.write_text("half", encoding="utf-8")
    result = CliRunner().invoke(cli, [command, str(run.path)])
    assert result.exit_code == 0, result.output
    assert not litter.exists()

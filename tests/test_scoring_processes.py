"""Scores of several processes are those of one, and a process that is lost ends in one clear line."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import EnvironmentProblem
from bench.rundir.store import RunStore
from bench.schema import Document, Output, Sample, Task
from bench.scoring import answers, processes
from bench.scoring.answers import Said, ScoringPart, score_models, score_part
from bench.scoring.evaluation import evaluate, write_scores
from bench.scoring.processes import MIN_ANSWERS, ScoringProcesses, scoring_processes

EXAMPLE = Path(__file__).parent.parent / "results" / "example"

SAMPLES = tuple(
    Sample(str(number), f"d{number % 3}", "?", (f"{number}.50 EUR",), metadata={"language": "en"})
    for number in range(12)
)
"""The documents take turns, so that no part of a task is a piece of its list of samples."""
TASK = Task("t", "1", "t", {f"d{i}": Document(f"d{i}", ()) for i in range(3)}, SAMPLES, ("anls",))


def part() -> ScoringPart:
    task = replace(TASK, samples=SAMPLES[::3], documents={})
    said = [[Said("3.50 EUR", "stop"), None] for _ in task.samples]
    return ScoringPart(task, said, {}, "extract", mistakes=True)


def test_several_processes_write_the_bytes_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed scores are those of one process."""
    shutil.copytree(EXAMPLE, tmp_path / "example")
    run = RunStore.open(tmp_path / "example")
    monkeypatch.setattr(processes, "MIN_ANSWERS", 1)
    monkeypatch.setattr(processes, "usable_cores", lambda: 2)
    monkeypatch.setattr(answers, "PART_ANSWERS", 20)
    steps: list[tuple[int, int]] = []
    step = lambda *counts: steps.append(counts)  # noqa: E731
    evaluation = evaluate(run, reuse=False, in_processes=True, progress=step)
    write_scores(evaluation)
    for path in (EXAMPLE / "scores").rglob("*.jsonl"):
        assert (run.path / path.relative_to(EXAMPLE)).read_bytes() == path.read_bytes(), path
    total = sum(len(cell.answers) for cell in evaluation.cells.values())
    assert steps[-1] == (total, total)
    assert len(steps) > len(evaluation.tasks)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("questions", [1, 5, 1_000])
def test_the_size_of_the_parts_changes_nothing(
    questions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {sample.id: Output(sample.id, sample.references[0], "stop") for sample in SAMPLES}
    # Every answer is the reference of the next question about the same document.
    shifted = {
        sample.id: Output(sample.id, SAMPLES[(number + 3) % 12].references[0], "stop")
        for number, sample in enumerate(SAMPLES)
    }
    failed = {"0": Output("0", "", "error", error="x")}
    monkeypatch.setattr(answers, "PART_ANSWERS", 3 * questions)
    scored = score_models(TASK, [right, shifted, failed], {})
    for of_model in scored:
        assert [answer.sample for answer in of_model] == list(SAMPLES)
    assert {answer.mistake for answer in scored[0]} == {None}
    # Right answers of all parts share their scores in memory.
    assert len({id(answer.scores) for answer in scored[0]}) == 1
    assert {answer.mistake for answer in scored[1]} == {"other_field"}
    assert [answer.mistake for answer in scored[2]][:2] == ["failed", None]
    assert [answer.output for answer in scored[1]] == list(shifted.values())


def test_small_runs_and_single_cores_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "usable_cores", lambda: 2)
    with scoring_processes(MIN_ANSWERS - 1) as few:
        assert few is None
    monkeypatch.setattr(processes, "usable_cores", lambda: 1)
    with scoring_processes(10 * MIN_ANSWERS) as alone:
        assert alone is None


def test_a_system_without_semaphores_scores_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(processes, "usable_cores", lambda: 2)
    monkeypatch.setattr(processes, "ProcessPoolExecutor", refuse)
    with scoring_processes(MIN_ANSWERS) as none:
        assert none is None


def test_a_process_that_the_system_ends_is_one_clear_line() -> None:
    expected = score_part(part())

    def parts() -> Iterator[ScoringPart]:
        yield from [part()] * 3
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
        yield part()

    with ScoringProcesses(1) as one:
        scored = one.score(parts())
        assert next(scored) == expected
        with pytest.raises(EnvironmentProblem, match="was ended by the system") as problem:
            list(scored)
    assert "\n" not in str(problem.value)
    assert problem.value.hint is not None


def test_an_interruption_leaves_no_process() -> None:
    def parts() -> Iterator[ScoringPart]:
        yield part()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ScoringProcesses(1) as one:
        list(one.score(parts()))
    assert not multiprocessing.active_children()

"""What is wrong in arguments, files and pipes is said in one line, and nothing is written or lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.errors import EnvironmentProblem, InvalidInput
from bench.rundir.store import RunStore
from bench.runner import RunSettings, execute, plan_run
from bench.runner.imported import import_predictions, read_predictions
from bench.schema import ModelSpec
from bench.scoring.comparison import Side, compare
from bench.scoring.evaluation import evaluate, write_scores
from bench.tasks import load_task
from tests.conftest import MakeTask

ALL = [f"d{d}/q{q}" for d in range(3) for q in range(4)]


def run_bench(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    captured = capfd.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


def answers(path: Path, **fields: Any) -> Path:
    rows = [{"sample_id": sample_id, "text": "x", **fields} for sample_id in ALL]
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def make_run(
    folder: Path, results: Path, models: Sequence[str] = ("good", "bad"), name: str = "run"
) -> RunStore:
    specs = [ModelSpec(m, "fake", options={"default": "value 0 of " + m}) for m in models]
    settings = RunSettings(latency_samples=0)
    run = execute(plan_run(specs, [load_task(folder)], settings, name=name), results).run
    write_scores(evaluate(run))
    return run


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"confidence": "high"}, "confidence must be a probability from 0 to 1, not 'high'"),
        ({"confidence": float("nan")}, "confidence must be a probability from 0 to 1, not nan"),
        ({"stop_reason": "eos"}, "stop_reason must be one of stop, length, error, not 'eos'"),
        ({"generated_tokens": "7"}, "generated_tokens must be a count, not '7'"),
        ({"error": ["E"]}, "error must be a text"),
    ],
)
def test_a_field_of_another_type_in_answers_made_elsewhere_is_refused(
    make_task: MakeTask, tmp_path: Path, fields: dict[str, Any], says: str
) -> None:
    path = answers(tmp_path / "gpt.jsonl", **fields)
    with pytest.raises(InvalidInput) as caught:
        import_predictions(path, load_task(make_task()), tmp_path / "results")
    assert caught.value.message.startswith(f"{path}:1: {says}")
    assert not (tmp_path / "results").exists()


def check_list(err: str, cache: Path, name: str, count: int) -> None:
    """Twenty lines, how many more there are and where all of them are, then the error."""
    lines = err.splitlines()
    path = cache / "docvlm-bench" / "problems" / f"{name}.txt"
    assert lines[20] == f"… and {count - 20:,} more problems; all {count:,} are in {path}"
    assert len(path.read_text(encoding="utf-8").splitlines()) == count
    assert lines[21].startswith("error: ") and lines[21].endswith(f" has {count:,} problems")
    # Whoever reads the list has read the first line already.
    assert err.count(lines[0]) == 1
    assert len(lines) <= 23


def test_a_long_list_of_bad_answers_is_cut_counted_and_written(
    make_task: MakeTask,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "gpt.jsonl"
    kinds = ('{"id": "nobody/%d", "text": "x"}', "{%d", "[%d]", '{"id": "d0/q0", "n": %d}')
    path.write_text("".join(kinds[number % 4] % number + "\n" for number in range(4_000)))
    results = tmp_path / "results"
    status, out, err = run_bench(capfd, "score", path, "--task", make_task(), "--results", results)
    assert (status, out) == (2, "")
    check_list(err, tmp_path / "cache", "gpt.jsonl", 4_000)
    assert not results.exists()


def test_a_run_of_a_bad_task_lists_the_first_problems(
    make_task: MakeTask,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_task()
    rows = [{"id": str(number), "images": ["p0.png"], "question": 7} for number in range(500)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, _, err = run_bench(
        capfd, "run", "--models", "ocr", "--tasks", folder, "--results", tmp_path / "results"
    )
    assert status == 2
    check_list(err, tmp_path / "cache", folder.name, 1000)
    assert f"bench data validate {folder}" in err


def test_a_line_separator_inside_an_answer_does_not_end_its_line(
    make_task: MakeTask, tmp_path: Path
) -> None:
    path = answers(tmp_path / "gpt.jsonl", text="one\u2028two\x85three")
    found = read_predictions(path, load_task(make_task()))
    assert found["d0/q0"].text == "one\u2028two\x85three"


def test_answers_in_a_file_called_like_the_task_ask_for_another_name(
    make_task: MakeTask, tmp_path: Path
) -> None:
    path = answers(tmp_path / "mine.jsonl")
    with pytest.raises(InvalidInput) as caught:
        import_predictions(path, load_task(make_task()), tmp_path / "results")
    assert "--model NAME" in (caught.value.hint or "")
    assert not (tmp_path / "results").exists()


def test_a_file_of_answers_that_is_not_there_is_not_taken_for_a_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    status, _, err = run_bench(capfd, "score", "gone.jsonl", "--task", "forms")
    assert (status, "gone.jsonl does not exist" in err) == (2, True)


def test_a_model_is_compared_even_where_a_run_is_named_after_it(
    make_task: MakeTask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_run(make_task(), tmp_path / "results", name="good-against-bad")
    status, out, _ = run_bench(capfd, "compare", "good", "bad", "--json")
    (found,) = json.loads(out)
    assert status == 0
    assert found["first"].endswith(":good")
    assert found["second"].endswith(":bad")


def test_an_unknown_side_of_a_comparison_names_the_models_that_are_there(
    make_task: MakeTask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_run(make_task(), tmp_path / "results")
    status, _, err = run_bench(capfd, "compare", "good", "bat")
    assert status == 2
    assert "did you mean bad?" in err


def test_a_run_is_found_by_its_whole_name_where_another_begins_with_it(
    make_task: MakeTask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(make_task(), tmp_path / "results")
    (run.path.with_name(f"{run.id}-2")).mkdir()
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    record["id"] = f"{run.id}-2"
    (run.path.with_name(f"{run.id}-2") / "run.json").write_text(json.dumps(record))
    assert run_bench(capfd, "show", run.id, "d0/q0")[0] == 0


def test_a_comparison_by_a_key_that_no_question_has_is_refused(
    make_task: MakeTask, tmp_path: Path
) -> None:
    evaluation = evaluate(make_run(make_task(), tmp_path / "results"))
    with pytest.raises(InvalidInput, match="metadata key 'fild'") as caught:
        compare(Side(evaluation, "good"), Side(evaluation, "bad"), by=["fild"])
    assert caught.value.hint == "did you mean field?"


def test_a_question_that_neither_side_answered_is_left_out_once(
    make_task: MakeTask, tmp_path: Path
) -> None:
    run = make_run(make_task(), tmp_path / "results", models=["good"])
    outputs = run.cell_folder("good", "mine") / "outputs.jsonl"
    outputs.write_text("".join(outputs.read_text().splitlines(keepends=True)[:-3]))
    side = Side(evaluate(run), "good")
    assert compare(side, side).unpaired == {"mine": 3}


@pytest.mark.parametrize("difference", [0.3, 0.9])
def test_a_large_difference_can_be_planned_for(
    make_task: MakeTask, capfd: pytest.CaptureFixture[str], difference: float
) -> None:
    status, out, _ = run_bench(
        capfd, "plan", "--task", make_task(), "--difference", difference, "--json"
    )
    assert status == 0
    assert json.loads(out)["comparisons"][0]["rows"]


def test_a_difference_above_the_discordant_share_is_refused(
    make_task: MakeTask, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run_bench(
        capfd, *["plan", "--task", make_task(), "--difference", 0.05, "--discordance", 0.01]
    )
    assert (status, "discordance between the difference and 1" in err) == (2, True)


def test_sample_ids_may_be_longer_than_the_name_of_a_file(
    make_task: MakeTask, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bench.toml").write_text('[models.f]\nmodel = "fake"\n')
    ids = [f"{n:0100}" for n in range(4)]
    rows = [{"id": i, "images": ["p0.png"], "question": "q", "answers": ["a"]} for i in ids]
    status, out, _ = run_bench(
        capfd,
        *["run", "-m", "f", "-t", make_task(rows), "--sample-ids", ",".join(ids[:3]), "--dry-run"],
    )
    assert status == 0
    assert "3 questions in all" in out


@pytest.mark.parametrize("verb", [("show",), ("score",), ("run", "-m", "ocr", "-t")])
def test_a_name_too_long_for_the_file_system_is_one_line(
    capfd: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    status, _, err = run_bench(capfd, *verb, "a" * 300)
    assert status in {2, 3}
    assert "Traceback" not in err


@pytest.fixture
def deaf() -> Iterator[int]:
    """The writing end of a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_a_reader_that_leaves_is_no_failure(deaf: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "list", "metrics", "--json"],
        stdout=deaf,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_run_goes_on_where_nobody_reads_its_progress(
    make_task: MakeTask, tmp_path: Path, deaf: int
) -> None:
    (tmp_path / "bench.toml").write_text('[models.f]\nmodel = "fake"\n')
    subprocess.run(
        [sys.executable, "-m", "bench", "run", "-m", "f", "-t", make_task(), "--no-report"],
        stdout=deaf,
        stderr=deaf,
        check=True,
    )
    (path,) = (tmp_path / "results").iterdir()
    assert RunStore.open(path).is_concluded()


@pytest.mark.parametrize("key", ["schema_version", "id", "models", "tasks"])
def test_a_run_record_that_lacks_something_is_called_damaged(
    make_task: MakeTask, tmp_path: Path, key: str
) -> None:
    run = make_run(make_task(), tmp_path / "results", models=["good"])
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    del record[key]
    (run.path / "run.json").write_text(json.dumps(record))
    with pytest.raises(InvalidInput, match=f"run.json is damaged: it has no {key}"):
        RunStore.open(run.path)


def test_a_run_that_lost_samples_is_not_scored(make_task: MakeTask, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "results", models=["good"])
    path = run.path / "mine" / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InvalidInput, match="has 11 of 12 samples"):
        evaluate(run)


def test_a_list_in_the_config_gives_an_option_its_values(
    make_task: MakeTask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_task(name="bills, 2024")
    (tmp_path / "bench.toml").write_text(
        '[models.f]\nmodel = "fake"\n[run]\nlabel = ["a=1", "b=2"]\n'
        f"tasks = [{json.dumps(str(folder))}]\nsample-ids = ['d0/q0', 'd0/q1']\nno-report = true\n"
    )
    status, _, err = run_bench(capfd, "run", "-m", "f")
    assert status == 0, err
    (path,) = (tmp_path / "results").iterdir()
    run = RunStore.open(path)
    assert run.record["labels"] == {"a": "1", "b": "2"}
    assert len(run.outputs("f", run.task_names()[0])) == 2


def test_a_config_whose_run_is_no_table_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench.toml").write_text("run = 5\n")
    status, _, err = run_bench(capfd, "run", "-m", "ocr")
    assert (status, "run should be a table" in err) == (2, True)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("mine/samples.jsonl", {"id": "d0/q0"}),
        ("good/mine/outputs.jsonl", {"sample_id": ["d0/q0"], "text": "x"}),
    ],
)
def test_a_line_of_a_run_that_is_no_record_names_its_file(
    make_task: MakeTask, tmp_path: Path, file: str, line: dict[str, Any]
) -> None:
    run = make_run(make_task(), tmp_path / "results", models=["good"])
    with (run.path / file).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    with pytest.raises(InvalidInput, match=file):
        evaluate(run)


def test_the_report_of_a_run_that_cannot_be_written_to_goes_elsewhere(
    make_task: MakeTask,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise EnvironmentProblem("pages/1.jpg cannot be written: Read-only file system")

    run = make_run(make_task(), tmp_path / "results")
    monkeypatch.setattr("bench.tasks.previews.write_previews", refuse)
    status, _, err = run_bench(capfd, "report", run.path, "-o", tmp_path / "mine.html")
    assert status == 0
    assert "warning: the report has no page images" in err
    assert (tmp_path / "mine.html").is_file()


def test_a_task_that_is_named_twice_is_refused_in_these_words(make_task: MakeTask) -> None:
    task = load_task(make_task())
    with pytest.raises(InvalidInput, match="two tasks are called 'mine'"):
        plan_run([ModelSpec("f", "fake")], [task, task], RunSettings())


def test_a_damaged_run_is_not_passed_over_in_silence(
    make_task: MakeTask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(make_task(), tmp_path / "results", models=["good"])
    (run.path / "run.json").write_text("{")
    status, _, err = run_bench(capfd, "list", "runs")
    assert status == 0
    assert f"warning: results/{run.id}/run.json is not JSON" in err


def test_resume_and_fresh_exclude_each_other(
    make_task: MakeTask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(make_task(), tmp_path / "results", models=["good"])
    arguments = ["-m", "ocr", "-t", tmp_path / "mine", "--resume", run.path, "--fresh"]
    status, _, err = run_bench(capfd, "run", *arguments)
    assert (status, "--resume continues a run, but --fresh begins a new one" in err) == (2, True)

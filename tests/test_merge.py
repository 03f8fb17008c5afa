"""A run in parts: each answers its own questions, and together they are the run in one piece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from bench.cli import cli
from bench.cli.progress import RunProgress
from bench.errors import InvalidInput
from bench.files import write_json
from bench.rundir.checksums import with_checksum
from bench.rundir.listing import find_runs
from bench.rundir.lock import RunLock
from bench.rundir.store import RunStore
from bench.runner import RunPlan, RunSettings, execute, plan_run
from bench.runner.merge import merge
from bench.runner.shards import Part
from bench.schema import ModelSpec
from bench.scoring.evaluation import evaluate, write_scores
from bench.storage import push_folder
from bench.tasks import load_task

Change = Callable[[Path], None]


def make_plan(folder: Path, part: Part) -> RunPlan:
    spec = ModelSpec("fake", "fake", options={"default": "value {question}", "fail": ["d3/q1"]})
    settings = RunSettings(batch_size=3, latency_samples=3)
    return plan_run([spec], [load_task(folder)], settings, part=part)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task") / "mine"
    folder.mkdir()
    rows = []
    for number in range(7):
        Image.new("L", (40 + 10 * number, 60), 200).save(folder / f"p{number}.png")
        rows += [
            {
                "id": f"d{number}/q{q}",
                "images": [f"p{number}.png"],
                "question": f"{q}?",
                "answers": ["0?"],
            }
            for q in range(2 + number % 2)
        ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "samples.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made(task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run in one piece (``whole``) and its two parts (``1`` and ``2``)."""
    results = tmp_path_factory.mktemp("made")
    for name, part in (("whole", Part()), ("1", Part(1, 2)), ("2", Part(2, 2))):
        run = execute(make_plan(task, part), results / "runs").run
        run.path.rename(results / name)
    return results


@pytest.fixture
def parts(made: Path, tmp_path: Path) -> list[Path]:
    return [Path(shutil.copytree(made / name, tmp_path / name)) for name in "12"]


def opened(paths: list[Path]) -> list[RunStore]:
    return [RunStore.open(path) for path in paths]


def scores(run: RunStore) -> dict[str, bytes]:
    write_scores(evaluate(run))
    paths = (path for path in (run.path / "scores").rglob("*") if path.is_file())
    return {str(path.relative_to(run.path)): path.read_bytes() for path in paths}


def lines(path: Path, file: str) -> list[str]:
    return (path / "fake/mine" / file).read_text(encoding="utf-8").splitlines()


def edit(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    write_json(path, value)


def edit_answers(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    changed = change(lines(path, "outputs.jsonl"))
    text = "".join(f"{line}\n" for line in changed)
    (path / "fake/mine/outputs.jsonl").write_text(text, encoding="utf-8")


def test_merged_parts_score_as_the_run_in_one_piece(
    made: Path, parts: list[Path], tmp_path: Path
) -> None:
    whole = RunStore.open(made / "whole")
    # In any order.
    run = merge(opened(parts[::-1]), tmp_path / "results")
    assert all(0 < len(lines(path, "outputs.jsonl")) < 17 for path in parts)
    assert lines(run.path, "outputs.jsonl") == lines(whole.path, "outputs.jsonl")
    asked = [{row["sample_id"] for row in each.latencies("fake", "mine")} for each in (run, whole)]
    assert asked[0] == asked[1]
    assert len(asked[0]) == 3
    assert scores(run) == scores(whole)
    assert run.record["spec_id"] == whole.record["spec_id"]
    assert run.is_complete()
    # A command that is killed before it scores finds the merged run again.
    assert merge(opened(parts), tmp_path / "results").path == run.path


def test_a_batch_is_the_same_one_in_a_part(made: Path) -> None:
    batches = [RunStore.open(made / name).batches("fake", "mine") for name in ("whole", "1", "2")]
    whole, *of_parts = [sorted(row["samples"] for row in rows) for rows in batches]
    assert sorted(of_parts[0] + of_parts[1]) == whole


def test_a_part_goes_on_where_it_was_stopped(task: Path, made: Path, tmp_path: Path) -> None:
    """What is left is asked in the same batches, by the command of this part and of no other."""
    path = tmp_path / "results" / "stopped"
    shutil.copytree(made / "2", path)
    kept = lines(path, "outputs.jsonl")
    edit_answers(path, lambda rows: rows[:2])
    run = execute(make_plan(task, Part(2, 2)), tmp_path / "results").run
    assert run.path == path
    assert lines(path, "outputs.jsonl") == kept
    with pytest.raises(InvalidInput, match="is part 2 of 2, but the command asks for a whole run"):
        execute(make_plan(task, Part()), tmp_path / "results", resume=path)


def cut(path: Path) -> None:
    edit_answers(path, lambda rows: rows[:-2])


def foreign(path: Path) -> None:
    """An answer of the other part."""
    other = lines(path.parent / ("2" if path.name == "1" else "1"), "outputs.jsonl")
    edit_answers(path, lambda rows: [*rows, other[0]])


def flip(path: Path) -> None:
    edit_answers(path, lambda rows: [rows[0].replace("value", "valve"), *rows[1:]])


def unsign(path: Path) -> None:
    """An answer that was edited by someone who took the checksum out."""

    def change(rows: list[str]) -> list[str]:
        row = json.loads(rows[0])
        del row["crc32"]
        return [json.dumps({**row, "text": "0?"}), *rows[1:]]

    edit_answers(path, change)


def double(path: Path) -> None:
    def change(rows: list[str]) -> list[str]:
        row = json.loads(rows[0])
        del row["crc32"]
        return [*rows, json.dumps(with_checksum({**row, "text": "0?"}))]

    edit_answers(path, change)


def in_run(**changes: Any) -> Change:
    return lambda path: edit(path / "run.json", lambda record: record.update(changes))


def other_version(path: Path) -> None:
    edit(path / "run.json", lambda record: record["environment"].update(bench="0.0.1"))


def other_commit(path: Path) -> None:
    edit(path / "run.json", lambda record: record["environment"].update(git={"commit": "abc"}))


def other_settings(path: Path) -> None:
    edit(path / "run.json", lambda record: record["spec"]["settings"].update(max_new_tokens=7))


def other_batches(path: Path) -> None:
    edit(path / "fake/model.json", lambda record: record.update(batch_size=4))


def other_samples(path: Path) -> None:
    text = (path / "mine/samples.jsonl").read_text(encoding="utf-8")
    (path / "mine/samples.jsonl").write_text(text.replace('["0?"]', '["1?"]'), encoding="utf-8")


def undone(path: Path) -> None:
    (path / "fake/done.json").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "part 2 of 2 lacks 2 answers of fake to mine"),
        (foreign, "a question of part 1"),
        (flip, r"outputs.jsonl:1: the line is damaged: the checksum does not fit"),
        (unsign, r"outputs.jsonl:1: the line was edited: it has no checksum"),
        (double, "has a second answer"),
        (undone, "part 2 of 2 is not finished: fake is not done"),
        (other_version, "made by docvlm-bench 0.0.1"),
        (other_commit, "at commit abc"),
        (other_settings, "another specification than .*max_new_tokens: not set → 7"),
        (other_batches, "asked fake otherwise than .*batch_size: 3 → 4"),
        (other_samples, "samples.jsonl was changed after the run began"),
        (in_run(spec_id="0"), "run.json was changed after the run began"),
        (in_run(part={"number": 2, "total": 3}), "is part 2 of 3, but .* is one of 2 parts"),
        (in_run(part={"number": 1, "total": 2}), "part 1 of 2 is named twice"),
        (in_run(models=[]), "lists other models or tasks"),
    ],
)
def test_what_does_not_fit_is_named(
    parts: list[Path], tmp_path: Path, change: Change, said: str
) -> None:
    change(parts[1])
    with pytest.raises(InvalidInput, match=said):
        merge(opened(parts), tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "part",
    [
        None,
        3,
        {"number": 0, "total": 2},
        {"number": 3, "total": 2},
        {"number": True, "total": 1},
        {"number": 1, "total": 2, "division": "2"},
        {},
    ],
)
def test_a_part_that_is_none_is_refused(parts: list[Path], part: Any) -> None:
    in_run(part=part)(parts[0])
    with pytest.raises(InvalidInput, match="its part is not a number and the total"):
        RunStore.open(parts[0])


def of_an_earlier_version(path: Path) -> None:
    edit(path / "run.json", lambda record: record["part"].pop("division"))


def test_parts_of_an_earlier_division_are_merged_by_their_answers(
    made: Path, parts: list[Path], tmp_path: Path
) -> None:
    *_, moved = lines(parts[0], "outputs.jsonl")
    edit_answers(parts[0], lambda rows: rows[:-1])
    edit_answers(parts[1], lambda rows: [*rows, moved])
    with pytest.raises(InvalidInput, match="part 1 of 2 lacks 1 answer"):
        merge(opened(parts), tmp_path / "results")
    of_an_earlier_version(parts[1])
    with pytest.raises(InvalidInput, match="were divided by different versions of the program"):
        merge(opened(parts), tmp_path / "results")
    of_an_earlier_version(parts[0])
    run = merge(opened(parts), tmp_path / "results")
    assert scores(run) == scores(RunStore.open(made / "whole"))


def test_damaged_parts_of_an_earlier_division_are_named(parts: list[Path], tmp_path: Path) -> None:
    for path in parts:
        of_an_earlier_version(path)
    kept = lines(parts[1], "outputs.jsonl")
    edit_answers(parts[1], lambda rows: rows[1:])
    with pytest.raises(InvalidInput, match="the parts lack 1 answer of fake to mine"):
        merge(opened(parts), tmp_path / "results")
    other = lines(parts[0], "outputs.jsonl")[0]
    edit_answers(parts[1], lambda rows: [*kept, other])
    with pytest.raises(InvalidInput, match="a question of part 1"):
        merge(opened(parts), tmp_path / "results")


def test_a_part_of_an_earlier_division_is_not_continued(
    task: Path, parts: list[Path], tmp_path: Path
) -> None:
    of_an_earlier_version(parts[0])
    # It is done, so the command has nothing to do.
    assert execute(make_plan(task, Part(1, 2)), parts[0].parent).run.path == parts[0]
    (parts[0] / "fake/done.json").unlink()
    for resume in (None, parts[0]):
        with pytest.raises(InvalidInput, match="another version of the program chose"):
            execute(make_plan(task, Part(1, 2)), parts[0].parent, resume=resume)


def test_a_part_that_goes_on_says_what_it_has_of_itself(
    parts: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    RunProgress().started(RunStore.open(parts[0]), resumed=True)
    done = capsys.readouterr().err
    assert "has all answers of part 1 of 2" in done and "Continuing" not in done
    (parts[0] / "fake/done.json").unlink()
    RunProgress().started(RunStore.open(parts[0]), resumed=True)
    assert capsys.readouterr().err.startswith(f"Continuing part 1 of 2, {parts[0]}; it already has")


def test_the_bar_of_a_part_fills(parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # Standard error is then a terminal for rich.
    monkeypatch.setenv("FORCE_COLOR", "1")
    progress = RunProgress()
    progress.started(RunStore.open(parts[0]), resumed=False)
    progress.event("fake", {"event": "task", "task": "mine", "done": 9, "total": 9, "failed": 0})
    assert progress.progress is not None
    assert [(bar.completed, bar.total) for bar in progress.progress.tasks] == [(9, 9), (9, 9)]


def test_a_missing_part_a_whole_run_and_a_busy_one_are_named(
    made: Path, parts: list[Path], tmp_path: Path
) -> None:
    first, second = opened(parts)
    with pytest.raises(InvalidInput, match="part 2 of 2 is missing"):
        merge([first], tmp_path)
    with pytest.raises(InvalidInput, match="whole is a whole run"):
        merge([RunStore.open(made / "whole"), first], tmp_path)
    with (
        RunLock(second.path),
        pytest.raises(InvalidInput, match="part 2 of 2 is still at work"),
    ):
        merge([first, second], tmp_path)


@pytest.mark.parametrize("odd", [3, [], {"gpus": 3, "git": 4, "packages": []}])
def test_odd_records_of_machines_do_no_harm(parts: list[Path], tmp_path: Path, odd: Any) -> None:
    for path in parts:
        in_run(environment=odd, warnings=5)(path)
    assert merge(opened(parts), tmp_path / "results").is_complete()


def test_parts_of_other_machines_are_said(parts: list[Path], tmp_path: Path) -> None:
    edit(parts[1] / "run.json", lambda record: record["environment"].update(cpu="Another CPU"))
    warnings = merge(opened(parts), tmp_path / "results").record["warnings"]
    assert "different hardware" in warnings[-1]


def test_the_command_merges_and_scores(parts: list[Path], made: Path, tmp_path: Path) -> None:
    names = [str(path) for path in parts]
    arguments = ["merge", *names, "--out", str(tmp_path / "all"), "--name", "joined"]
    result = CliRunner().invoke(cli, [*arguments, "--no-report", "--max-errors", "1"])
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "all").iterdir()
    assert "joined" in path.name
    # Beside its parts the merged run is the newest, although its questions were asked when theirs were.
    beside = tmp_path / "beside"
    for folder in (*parts, path):
        shutil.copytree(folder, beside / folder.name)
    assert find_runs(beside)[0].path.name == path.name
    whole: Mapping[str, bytes] = scores(RunStore.open(made / "whole"))
    assert (path / "scores/fake/mine.jsonl").read_bytes() == whole["scores/fake/mine.jsonl"]
    # More failed answers than are all right.
    assert CliRunner().invoke(cli, [*arguments, "--max-errors", "0.01"]).exit_code == 4


def test_parts_on_object_storage_are_merged_and_pushed(
    parts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(type(memory), "store", {})
    for path in parts:
        push_folder(path, f"memory://parts/{path.name}")
    arguments = ["merge", "memory://parts/1", "memory://parts/2", "--max-errors", "1"]
    result = CliRunner().invoke(cli, [*arguments, "--no-report", "--out", "memory://whole"])
    assert result.exit_code == 0, result.output
    # Not in the cache, where the copies of the parts are.
    (path,) = (tmp_path / "results").iterdir()
    assert f"Pushed to memory://whole/{path.name}" in result.output
    assert f"/whole/{path.name}/scores/summary.json" in memory.store
    # Without --out, the same run is found again.
    result = CliRunner().invoke(cli, [*arguments, "--no-report"])
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "results").iterdir()) == [path]


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "1/2/3", "a/b", "1/10001", "²/3"])
def test_a_wrong_shard_is_refused(text: str) -> None:
    result = CliRunner().invoke(cli, ["run", "-m", "x", "--shard", text])
    assert result.exit_code == 2
    assert "expected K/N" in result.output


def test_a_plan_of_a_part_has_the_identity_of_the_whole(task: Path) -> None:
    plan = make_plan(task, Part(1, 2))
    assert plan.spec_id() == replace(plan, part=Part()).spec_id()

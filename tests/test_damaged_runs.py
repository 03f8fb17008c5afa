"""A run directory that was damaged, or made to do harm, ends in a clear line and writes nothing elsewhere."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from bench.errors import EnvironmentProblem, InvalidInput
from bench.files import read_lines, write_json
from bench.litter import OLD_SECONDS, remove_litter
from bench.report.markdown import escape
from bench.report.show import show_sample
from bench.rundir import store
from bench.rundir.listing import find_runs
from bench.rundir.store import RunStore
from bench.rundir.unborn import remove_unborn_runs
from bench.schema import Output
from bench.scoring.evaluation import evaluate, evaluate_sample
from tests.damage import FOR_PROGRAMMERS, call, damage, unguarded_run, verbs_that_read
from tests.run_fixture import MODELS, FixtureModel, make_run, make_tasks


def small_run(folder: Path) -> RunStore:
    return make_run(folder, MODELS[:2], make_tasks(2, 2, ["en"]), previews=False)


def changed_record(run: RunStore, **changes: Any) -> None:
    write_json(run.path / "run.json", {**run.record, **changes})


@pytest.mark.parametrize(
    "name", ["/abs/victim", "../pkg", "..", "a/b", "scores", "", "a\\b", ["x"], 7, None]
)
@pytest.mark.parametrize("kind", ["task", "model"])
def test_a_name_that_leads_out_of_the_run_is_refused(tmp_path: Path, kind: str, name: Any) -> None:
    run = small_run(tmp_path)
    if kind == "task":
        changed_record(run, tasks=[{**run.record["tasks"][0], "name": name}])
    else:
        changed_record(run, models=[{**run.record["models"][0], "folder": name}])
    with pytest.raises(InvalidInput, match=r"run\.json"):
        RunStore.open(run.path)
    assert find_runs(tmp_path) == []


@pytest.mark.parametrize(
    "place", ["scores", "scores/qwen2-vl-7b", "qwen2-vl-7b/linked", "log.txt", "pages"]
)
def test_a_link_that_leads_out_of_the_run_is_refused(tmp_path: Path, place: str) -> None:
    run = small_run(tmp_path / "results")
    victim = tmp_path / "victim"
    victim.mkdir()
    link = run.path / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(victim)
    with pytest.raises(InvalidInput, match="leads out of the run directory"):
        RunStore.open(run.path)


@pytest.mark.parametrize(
    "place", ["log.txt", "run.lock", "qwen2-vl-7b/model.json", "scores/summary.json", "pages/x.jpg"]
)
def test_a_pipe_in_a_run_is_refused(tmp_path: Path, place: str) -> None:
    run = small_run(tmp_path)
    pipe = run.path / place
    pipe.parent.mkdir(exist_ok=True)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    with pytest.raises(InvalidInput, match="is a pipe or a device"):
        RunStore.open(run.path)


@pytest.mark.parametrize("place", ["log.txt", "scores/summary.json", "qwen2-vl-7b/done.json"])
def test_a_folder_where_a_file_should_be_is_refused(tmp_path: Path, place: str) -> None:
    run = small_run(tmp_path)
    (run.path / place).unlink(missing_ok=True)
    (run.path / place).mkdir(parents=True)
    with pytest.raises(InvalidInput, match="is damaged: it is a folder, where a run has a file"):
        RunStore.open(run.path)


@pytest.mark.parametrize("place", ["scores", "qwen2-vl-7b", "invoices-en"])
def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path, place: str) -> None:
    run = small_run(tmp_path)
    shutil.rmtree(run.path / place, ignore_errors=True)
    (run.path / place).write_text("")
    with pytest.raises(InvalidInput, match="is damaged: it is a file, where a run has a folder"):
        RunStore.open(run.path)


def test_a_model_may_be_called_like_a_file(tmp_path: Path) -> None:
    run = make_run(tmp_path, [FixtureModel("gpt.json")], make_tasks(1, 1, ["en"]), previews=False)
    assert RunStore.open(run.path).is_complete()


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    (run.path / "scores").symlink_to("scores")
    with pytest.raises(InvalidInput, match="scores cannot be read: Too many levels"):
        RunStore.open(run.path)
    assert find_runs(tmp_path) == []


def test_a_folder_that_may_not_be_read_does_not_hide_the_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, other = small_run(tmp_path), small_run(tmp_path)
    scandir = os.scandir

    def refuse(folder: Any) -> Any:
        # Tests may run as root, to whom nothing is closed.
        if Path(folder) == closed.path / "qwen2-vl-7b":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refuse)
    assert [run.path for run in find_runs(tmp_path)] == [other.path]
    ended = call("list", "runs", "--results", str(tmp_path))
    assert ended.status == 0
    assert "qwen2-vl-7b cannot be read: Permission denied" in ended.complaint


def test_scores_that_cannot_be_kept_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise EnvironmentProblem("scores cannot be written: Read-only file system")

    monkeypatch.setattr("bench.scoring.evaluation.write_scores", refuse)
    ended = call("score", str(small_run(tmp_path).path))
    assert ended.status == 3
    assert "qwen2-vl-7b" in ended.output
    assert "Read-only file system" in ended.complaint


def test_an_edited_reference_is_noticed(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    path = run.path / "invoices-en" / "samples.jsonl"
    path.write_text(path.read_text().replace("$1,284.50", "$9,284.50", 1))
    with pytest.raises(InvalidInput, match="was changed after the run began"):
        RunStore.open(run.path).load_task("invoices-en")


def test_every_flipped_bit_of_an_answer_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    path = run.cell_folder("qwen2-vl-7b", "invoices-en") / "outputs.jsonl"
    whole = path.read_bytes()
    right = run.outputs("qwen2-vl-7b", "invoices-en")
    chance = random.Random(5)
    for _ in range(300):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        try:
            found = run.outputs("qwen2-vl-7b", "invoices-en")
        except InvalidInput:
            continue
        # A line that is torn at the end is asked again; what is read is what was written.
        assert all(right[key] == output for key, output in found.items())


def test_a_damaged_answer_is_named_by_its_line(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    path = run.cell_folder("qwen2-vl-7b", "invoices-en") / "outputs.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[1] = lines[1].replace('"stop_reason":"stop"', '"stop_reason":"length"')
    path.write_text("".join(lines), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"outputs\.jsonl:2: the line is damaged"):
        run.outputs("qwen2-vl-7b", "invoices-en")


@pytest.mark.parametrize("value", [{}, 1e308, None])
def test_the_path_of_a_page_is_a_text(tmp_path: Path, value: object) -> None:
    run = small_run(tmp_path)
    path = run.path / "invoices-en" / "samples.jsonl"
    rows = list(read_lines(path))
    rows[0]["pages"][0]["path"] = value
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    record = {key: content for key, content in run.record.items() if key != "samples_sha256"}
    write_json(run.path / "run.json", record)
    with pytest.raises(InvalidInput, match=r"samples\.jsonl"):
        RunStore.open(run.path).load_task("invoices-en")


def test_answers_without_a_checksum_still_load(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    path = run.cell_folder("qwen2-vl-7b", "invoices-en") / "outputs.jsonl"
    before = run.outputs("qwen2-vl-7b", "invoices-en")
    rows = [{key: row[key] for key in row if key != "crc32"} for row in read_lines(path)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run.outputs("qwen2-vl-7b", "invoices-en") == before


def test_a_model_that_lost_answers_is_no_longer_done(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    model = "qwen2-vl-7b"
    run.mark_done(model, "invoices-en")
    run.mark_done(model)
    assert run.reopen(model) == 0
    path = run.cell_folder(model, "invoices-en") / "outputs.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert run.reopen(model) == 1
    assert not run.is_model_done(model)
    assert not run.is_done(model, "invoices-en")


def test_success_removes_the_failure_of_an_earlier_try(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    write_json(run.model_folder("qwen2-vl-7b") / "failure.json", {"error": "E"})
    run.mark_done("qwen2-vl-7b")
    assert run.failure("qwen2-vl-7b") is None


def test_temporary_files_of_the_dead_are_removed_and_those_of_the_living_stay(
    tmp_path: Path,
) -> None:
    dead = tmp_path / "scores" / ".summary.json.4194304-abcdefgh"
    living = tmp_path / f".report.html.{os.getpid()}-abcdefgh"
    other = tmp_path / ".hidden"
    dead.parent.mkdir()
    for path in (dead, living, other):
        path.write_text("")
    remove_litter(tmp_path)
    assert not dead.exists()
    assert living.exists()
    assert other.exists()


@pytest.mark.parametrize("file", ["samples.jsonl", "run.json"])
def test_a_full_disk_leaves_no_folder_that_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    def write(path: Path, *arguments: Any) -> None:
        if path.name == file:
            raise EnvironmentProblem(f"{path} cannot be written: the disk is full")
        write_json(path, {})

    monkeypatch.setattr(store, "write_json", write)
    monkeypatch.setattr(store, "write_samples", write)
    tasks = make_tasks(1, 1, ["en"])
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        RunStore.create(tmp_path, "mine", {"spec_id": "abcdef", "tasks": []}, tasks)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_became_no_run_is_removed_when_it_is_old(tmp_path: Path) -> None:
    def folder_with(name: str, *files: str, age: float) -> Path:
        folder = tmp_path / name
        written = [folder / file for file in files]
        for path in written:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        when = time.time() - age
        for path in (*written, *(path.parent for path in written), folder):
            os.utime(path, (when, when))
        return folder

    samples, half = "mine/samples.jsonl", "mine/.texts.json.4194304-abcdefgh"
    unborn = folder_with("20260101T000000Z-mine-abcdef", samples, half, age=2 * OLD_SECONDS)
    others = [
        folder_with("20260101T000000Z-young-abcdef", samples, age=0),
        folder_with("20260101T000000Z-run-abcdef", samples, "run.json", age=2 * OLD_SECONDS),
        folder_with(
            "20260101T000000Z-a-abcdef", samples, "m/mine/outputs.jsonl", age=2 * OLD_SECONDS
        ),
        folder_with("my-task", samples, age=2 * OLD_SECONDS),
    ]
    remove_unborn_runs(tmp_path)
    assert not unborn.exists()
    assert all(other.exists() for other in others)


@pytest.mark.parametrize("text", ["www.example.org", "WWW.Example.org", "a@b.c", "see @someone"])
def test_a_bare_address_or_a_mention_is_no_link_in_markdown(text: str) -> None:
    escaped = escape(text).replace("&#64;", "@").replace("&#8203;", "\u200b")
    assert "www." not in escaped.lower()
    assert "@\u200b" in escaped or "@" not in escaped


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return unguarded_run(tmp_path_factory.mktemp("unguarded"))


@pytest.mark.parametrize("seed", range(24))
def test_random_damage_ends_in_a_clear_line_or_a_result(
    seed: int, unguarded: RunStore, tmp_path: Path
) -> None:
    run = tmp_path / unguarded.path.name
    shutil.copytree(unguarded.path, run)
    chance = random.Random(seed)
    damage(chance.choice(sorted(run.rglob("*.json*"))), chance)
    ended = call(*chance.choice(verbs_that_read(run)))
    assert ended.status in {0, 2}, ended.complaint
    assert not FOR_PROGRAMMERS.search(ended.complaint)


@pytest.mark.parametrize(
    ("file", "keys", "value"),
    [
        ("run.json", ("models", 0, "spec", "checkpoint"), 7),
        ("run.json", ("models", 1, "spec", "options"), "x"),
        ("run.json", ("tasks", 0, "citation"), 7),
        ("run.json", ("environment", "cores"), float("nan")),
        ("a/model.json", ("details",), 7),
        ("a/invoices-en/batches.jsonl", ("ladder",), {"batch_size": 1, "chunks": 10**12}),
        ("a/invoices-en/latency.jsonl", ("sample_id",), []),
        ("invoices-en/samples.jsonl", ("pages",), 7),
        ("invoices-en/samples.jsonl", ("pages", 0), ["path"]),
        ("invoices-en/samples.jsonl", ("pages", 0, "other"), 7),
    ],
)
def test_what_a_record_may_not_hold_is_named_with_its_file(
    file: str, keys: tuple[Any, ...], value: Any, unguarded: RunStore, tmp_path: Path
) -> None:
    run = tmp_path / unguarded.path.name
    shutil.copytree(unguarded.path, run)
    path = run / file
    is_lines = path.suffix == ".jsonl"
    records = list(read_lines(path)) if is_lines else [json.loads(path.read_text())]
    place: Any = records[0]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    ended = call("report", str(run), "--format", "json")
    assert ended.status == 2
    assert file in ended.complaint
    assert not FOR_PROGRAMMERS.search(ended.complaint)


def test_an_output_of_a_wrong_type_is_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    path = run.cell_folder("qwen2-vl-7b", "invoices-en") / "outputs.jsonl"
    path.write_text('{"sample_id": "a", "text": "b", "confidence": "high"}\n')
    with pytest.raises(InvalidInput, match="confidence is not a number"):
        run.outputs("qwen2-vl-7b", "invoices-en")
    path.write_text('{"sample_id": "a", "text": "b"}\n')
    assert run.outputs("qwen2-vl-7b", "invoices-en")["a"] == Output("a", "b", "stop")


def test_one_question_is_found_without_scoring_the_others(tmp_path: Path) -> None:
    run = make_run(tmp_path, MODELS[:3], make_tasks(3, 3), previews=False, hostile=True)
    whole = evaluate(run)
    for task in whole.tasks.values():
        for sample in task.samples:
            for wanted in (sample.id, f"{task.name}/{sample.id}"):
                part = evaluate_sample(run, wanted)
                assert show_sample(part, wanted) == show_sample(whole, wanted)
    assert evaluate_sample(run, "no such sample").tasks == {}

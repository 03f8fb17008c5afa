"""Folders of documents that are odd, broken or changed meanwhile: nothing is lost, nothing half is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.__main__ import main
from bench.authoring.annotate import annotate
from bench.authoring.contact_sheet import write_perturbed_pages
from bench.authoring.drafts import accept_drafts, read_records, write_records
from bench.authoring.mending import apply_decisions
from bench.authoring.splitting import split_task
from bench.errors import EnvironmentProblem, InvalidInput
from bench.files import append_lines, write_json
from bench.litter import is_free, new_folder
from bench.models.checkpoints import TUNING_FILE
from bench.publishing.described import check_new
from bench.rundir.listing import find_runs
from bench.rundir.store import RunStore
from bench.runner.imported import import_predictions
from bench.runner.perturb import conditions
from bench.schema import Document, ModelSpec
from bench.synth import synthesise
from bench.tasks import check_task, find_task, load_task
from bench.tasks.pages import read_pages
from bench.tuning.adapter_folder import clear, former
from tests.conftest import MakeTask
from tests.source_fixtures import write_parquet

DEAD = 4_194_304
"""The number of a process that cannot be: it is above the largest one."""


def row(number: int, image: str, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "images": [image],
        "question": "Total?",
        "answers": ["12"],
        **more,
    }


def nothing(_: Path) -> None:
    """Leave the folder as it is."""


def decomposed(folder: Path) -> None:
    (folder / "p0.png").rename(folder / unicodedata.normalize("NFD", "й.png"))


def in_pages(folder: Path) -> None:
    (folder / "pages").mkdir()
    for path in folder.glob("*.png"):
        path.rename(folder / "pages" / path.name)


def in_utf16(folder: Path) -> None:
    (folder / "task.toml").write_bytes('name = "mine"\n'.encode("utf-16"))


@pytest.mark.parametrize(
    ("written", "documents", "prepare"),
    [
        ("P0.PNG", None, nothing),
        ("p%30.png", None, nothing),
        (" p0.png ", None, nothing),
        ("й.png", None, decomposed),
        ("{folder}/p0.png", None, nothing),
        ("../mine/p0.png", None, nothing),
        ("p0.png", "pages", in_pages),
        ("p0.png", "{folder}/pages", in_pages),
        ("p0.png", "../mine/pages", in_pages),
        ("p0.png", None, in_utf16),
    ],
)
def test_a_part_of_a_task_has_pages_of_its_own_however_they_are_written(
    make_task: MakeTask,
    tmp_path: Path,
    written: str,
    documents: str | None,
    prepare: Callable[[Path], None],
) -> None:
    folder = tmp_path / "mine"
    make_task([row(0, written.format(folder=folder)), row(1, "p1.png")], documents=2)
    prepare(folder)
    if documents is not None:
        text = f"documents = {json.dumps(documents.format(folder=folder))}\n"
        (folder / "task.toml").write_text(text, encoding="utf-8")
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    parts = split_task(folder, 0.5, 0)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    for part in (parts.train, parts.test):
        (document,) = load_task(part).documents.values()
        assert document.pages[0].path.is_relative_to(part)


def test_a_split_that_fails_half_way_leaves_nothing(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_task()

    def write(part: Path, records: Any) -> None:
        if "test" in part.name:
            raise OSError(28, "No space left on device")
        write_records(part, records)

    monkeypatch.setattr("bench.authoring.splitting.write_records", write)
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        split_task(folder, 0.5, 0)
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_split_has_left_is_removed_by_the_next_one(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task()
    dead, living = (
        tmp_path / f".mine-train.{process}-abcdefgh" for process in (DEAD, os.getppid())
    )
    for unfinished in (dead, living):
        unfinished.mkdir()
        (unfinished / "p0.png").write_bytes(b"half")
    split_task(folder, 0.5, 0)
    assert {path.name for path in tmp_path.iterdir()} == {
        "mine",
        "mine-train",
        "mine-test",
        living.name,
    }


def test_a_synthetic_task_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.synth.generate.write_samples", draw)
    out = tmp_path / "slips"
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        synthesise(["slip"], ["en"], 1, 0, out)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_and_is_empty_is_filled(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / f".out.{DEAD}-abcdefgh").mkdir(parents=True)
    assert is_free(out)
    before = out.stat().st_ino
    with new_folder(out) as folder:
        (folder / "a").write_text("b")
    assert [path.name for path in out.iterdir()] == ["a"]
    # A mounted disk, for example, cannot be replaced by another folder.
    assert out.stat().st_ino == before
    assert not is_free(out)


@pytest.mark.parametrize("name", ["task.toml", "samples.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "broken link"])
def test_what_is_no_file_is_not_taken_for_missing(
    make_task: MakeTask, name: str, kind: str
) -> None:
    folder = make_task()
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("gone")
    says = "link to a file that is not there" if kind == "broken link" else "not a regular file"
    with pytest.raises(InvalidInput, match=says) as caught:
        check_task(folder).require_task(folder)
    assert name in caught.value.message
    with pytest.raises(InvalidInput, match=says):
        annotate(folder, ModelSpec("f", "fake"))
    assert path.is_symlink() == (kind == "broken link")


def test_metadata_of_another_type_are_named_with_their_line(make_task: MakeTask) -> None:
    folder = make_task([row(0, "p0.png"), row(1, "p1.png", metadata=7, draft=True)])
    for work in (accept_drafts, read_records):
        with pytest.raises(InvalidInput, match=r"samples\.jsonl:2: metadata should be an object"):
            work(folder)


def test_drafts_of_one_id_are_all_accepted(make_task: MakeTask) -> None:
    folder = make_task([row(0, "p0.png", draft=True), row(0, "p1.png", draft=True)])
    assert accept_drafts(folder).accepted == 2
    assert not any("draft" in record for record in read_records(folder))


def test_what_a_person_writes_while_a_model_answers_is_kept(make_task: MakeTask) -> None:
    rows = [row(number, f"p{number}.png", answers=[], draft=True) for number in range(3)]
    folder = make_task(rows)

    def correct(done: int, _: int) -> None:
        if done == 1:
            records = read_records(folder)
            # The answer of the model is corrected, a line that it comes to later is answered, and one is new.
            records[0]["answers"] = ["corrected"]
            records[2] = {**records[2], "answers": ["mine"]}
            write_records(folder, [*records, row(3, "p0.png", answers=["new"])])

    annotate(folder, ModelSpec("f", "fake", options={"default": "drafted"}), correct)
    answers = [record["answers"][0] for record in read_records(folder)]
    assert answers == ["corrected", "drafted", "mine", "new"]


def test_a_damaged_task_file_is_named_before_anything_is_mended(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task(toml='name = "mine\n')
    before = (folder / "samples.jsonl").read_bytes()
    findings = tmp_path / "findings.jsonl"
    decision = {"key": "k", "decision": "mend", "answers": {"d0/q0": ["other"]}}
    append_lines(findings, [decision])
    with pytest.raises(InvalidInput, match=r"task\.toml"):
        apply_decisions(folder, findings)
    assert (folder / "samples.jsonl").read_bytes() == before


def test_a_file_that_its_owner_keeps_to_himself_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text("old")
    path.chmod(0o600)
    write_json(path, {})
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_killed_command_leaves_no_half_task(tmp_path: Path) -> None:
    """What is left of a process that is killed while it draws is hidden, and the same command removes it."""
    script = (
        "import os, signal, sys; from pathlib import Path; import bench.synth.generate as g; "
        "g.write_samples = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "g.synthesise(['slip'], ['en'], 1, 0, Path(sys.argv[1]))"
    )
    out = tmp_path / "slips"
    done = subprocess.run([sys.executable, "-c", script, str(out)], check=False)
    assert done.returncode == -9
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 1
    synthesise(["slip"], ["en"], 1, 0, out)
    assert list(tmp_path.iterdir()) == [out]
    assert load_task(out).samples


def test_what_a_killed_command_has_made_of_a_run_is_removed_by_the_next_one(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; import bench.rundir.store as s; "
        "s.RunStore._show_in = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "s.RunStore.create(Path(sys.argv[1]), 'run', {'spec_id': '0' * 64, 'tasks': []}, [])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".run.")
    assert find_runs(tmp_path) == []
    run = RunStore.create(tmp_path, "run", {"spec_id": "0" * 64, "tasks": [], "models": []}, [])
    assert list(tmp_path.iterdir()) == [run.path]


def test_answers_made_elsewhere_become_a_run_when_all_of_it_is_written(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task(make_task([row(0, "p0.png"), row(1, "p1.png")]))
    answers = tmp_path / "gpt.jsonl"
    append_lines(answers, [{"sample_id": number, "text": "x"} for number in "01"])

    def refuse(*_: object, **__: object) -> None:
        raise EnvironmentProblem("the disk is full")

    results = tmp_path / "results"
    with monkeypatch.context() as full:
        full.setattr(RunStore, "mark_done", refuse)
        with pytest.raises(EnvironmentProblem):
            import_predictions(answers, task, results)
    assert list(results.iterdir()) == []
    run = import_predictions(answers, task, results)
    assert RunStore.open(run.path).record["id"] == run.path.name


# What a killed command leaves beside the files that it writes


def half_written(path: Path) -> Path:
    """What a killed process has left of ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    litter = path.with_name(f".{path.name}.{DEAD}-abcdefgh")
    litter.write_bytes(b"half")
    return litter


def perturb_again(folder: Path) -> Path:
    litter = half_written(folder / "out" / "p0.png@fax-1.png")
    document = Document("p0.png", read_pages(folder / "p0.png"))
    write_perturbed_pages([document], conditions(("crop:1",), 0), folder / "out")
    return litter


def export_again(folder: Path) -> Path:
    litter = half_written(folder / "out" / "a.jsonl")
    check_new([folder / "out" / "b.jsonl"], overwrite=False)
    return litter


def train_again(folder: Path) -> Path:
    litter = half_written(folder / "adapter" / TUNING_FILE)
    assert former(folder / "adapter", {}) is None
    return litter


def copy_a_data_set_again(folder: Path) -> Path:
    data = write_parquet("docvqa", folder / "data.parquet")
    copy = find_task(f"docvqa={data}")
    (copy / "done.json").unlink()
    page = half_written(next((copy / "pages").iterdir()))
    litter = half_written(copy / "samples.jsonl")
    assert find_task(f"docvqa={data}") == copy
    assert not page.exists()
    return litter


@pytest.mark.parametrize("again", [perturb_again, export_again, train_again, copy_a_data_set_again])
def test_the_next_command_removes_what_a_killed_one_has_left(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch, again: Callable[[Path], Path]
) -> None:
    folder = make_task()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    assert not again(folder).exists()


def test_a_training_that_is_begun_anew_can_be_killed_while_it_removes_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (TUNING_FILE, "history.jsonl", "adapter_config.json"):
        (tmp_path / name).write_text("{}")
    removed = []
    monkeypatch.setattr(Path, "unlink", lambda path, **_: removed.append(path.name))
    clear(tmp_path)
    assert removed[-1] == TUNING_FILE


def test_ctrl_c_while_the_program_is_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(ModuleType):
        @property
        def main(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "bench.cli", Interrupted("bench.cli"))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "error: the program was interrupted\n"

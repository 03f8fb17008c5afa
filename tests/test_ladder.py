"""The memory ladder: documents, chunks, questions, pixels, in this order; on the record, and resumed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.rundir.checksums import CHECKSUM, with_checksum
from bench.rundir.store import RunStore
from bench.runner import RunSettings, execute, plan_run
from bench.runner.ladder import Ladder, PageBounds, marked
from bench.schema import (
    Batch,
    Document,
    Generation,
    ModelSpec,
    Output,
    Page,
    PageGroup,
    Request,
)
from bench.tasks import load_task
from tests.conftest import MakeTask

AREA = 1000 * 1000
FORMATS = ("html", "md", "csv", "json")


def group(document: str, questions: int, side: int = 1000) -> PageGroup:
    requests = tuple(Request(f"{document}/{n}", "?", "?") for n in range(questions))
    return PageGroup(Document(document, (Page(Path(), 0, side, side, ""),)), requests, Generation())


def chunks(times: int) -> tuple[list[str], Callable[[], str | None]]:
    """What a model's ``economize`` did, and the function."""
    done: list[str] = []

    def economize() -> str | None:
        if len(done) == times:
            return None
        done.append("smaller")
        return "smaller"

    return done, economize


def test_the_rungs_come_in_their_order() -> None:
    ladder = Ladder(16, allow_downscale=True, bounds=PageBounds(3136, AREA))
    done, economize = chunks(2)
    asked: tuple[PageGroup, ...] = (group("a", 4), group("b", 4))
    step = ladder.down(asked, economize)
    assert step is not None
    assert [[g.document.id for g in batch] for batch in step.batches] == [["a"], ["b"]]
    assert (ladder.batch_size, done) == (4, [])
    actions = []
    asked = step.batches[0]
    while (step := ladder.down(asked, economize)) is not None:
        actions.append(step.action)
        asked = step.batches[0]
    assert actions == [
        "smaller",
        "smaller",
        "batches of 2",
        "batches of 1",
        *(f"pages of {AREA // 2**times:,} pixels" for times in (1, 2, 3, 4)),
    ]
    assert (ladder.chunks, ladder.batch_size) == (2, 1)


def test_pages_are_not_shrunk_unless_it_is_allowed() -> None:
    ladder = Ladder(1, bounds=PageBounds(3136, AREA))
    assert ladder.down((group("a", 1),), lambda: None) is None


def test_pages_are_never_shrunk_below_the_models_own_bound() -> None:
    ladder = Ladder(1, allow_downscale=True, bounds=PageBounds(AREA // 3, AREA))
    step = ladder.down((group("a", 1),), lambda: None)
    assert step is not None
    assert step.batches[0][0].max_pixels == AREA // 2
    assert ladder.down(step.batches[0], lambda: None) is None


def test_a_document_with_as_many_pixels_starts_from_the_rung_that_held() -> None:
    ladder = Ladder(1, allow_downscale=True, bounds=PageBounds(3136, None))
    first = ladder.down((group("a", 1),), lambda: None)
    assert first is not None
    second = ladder.down(first.batches[0], lambda: None)
    assert second is not None
    ladder.held(second.batches[0])
    assert ladder.ceiling == AREA // 2
    # As large, larger, just large enough to fail, and small enough to be tried as it is.
    sides = {"same": 1000, "larger": 2000, "at": 710, "below": 700}
    bounds = {
        name: ladder.bounded((group(name, 1, side),))[0].max_pixels for name, side in sides.items()
    }
    assert bounds == {
        "same": AREA // 4,
        "larger": 2000 * 2000 // 16,
        "at": 710 * 710 // 2,
        "below": None,
    }


def test_a_question_that_fails_at_every_resolution_says_nothing_of_others() -> None:
    ladder = Ladder(1, allow_downscale=True)
    asked: tuple[PageGroup, ...] = (group("a", 1),)
    while (step := ladder.down(asked, lambda: None)) is not None:
        (asked,) = step.batches
    assert ladder.ceiling is None
    assert ladder.bounded((group("b", 1),))[0].max_pixels is None


def test_only_answers_are_marked() -> None:
    bounded = group("a", 2)
    bounded = PageGroup(bounded.document, bounded.requests, max_pixels=500)
    outputs = (Output("a/0", "x", "stop"), Output("a/1", "", "error", error="E: e"))
    found = marked((bounded,), Batch(outputs)).outputs
    assert [output.degraded for output in found] == [500, None]


# Through the whole program, with a model whose memory is scripted. The task's pages have 40x60, 50x60 and
# 60x60 pixels, with four questions each; the largest comes first.


def carry_out(
    folder: Path, results: Path, *, allow: bool = False, batch: int = 12, **options: object
) -> RunStore:
    spec = ModelSpec("f", "fake", options={"default": "x", **options})
    settings = RunSettings(batch_size=batch, latency_samples=0, warmup=False, allow_downscale=allow)
    return execute(plan_run([spec], [load_task(folder)], settings), results).run


def rows(run: RunStore) -> list[tuple[int, dict[str, int | None]]]:
    return [(len(row["samples"]), row["ladder"]) for row in run.batches("f", "mine")]


def test_smaller_chunks_come_before_fewer_questions(make_task: MakeTask, tmp_path: Path) -> None:
    run = carry_out(make_task(), tmp_path / "r", memory=1900, chunks=1)
    # 12 questions about three documents, 6 about two, 4 about one of 3,600 pixels; in chunks that fits.
    assert rows(run) == [(4, {"batch_size": 6, "chunks": 1, "ceiling": None})] * 3
    assert all(output.text == "x" for output in run.outputs("f", "mine").values())
    assert all(output.degraded is None for output in run.outputs("f", "mine").values())


def test_without_permission_a_page_that_does_not_fit_is_a_failure(
    make_task: MakeTask, tmp_path: Path
) -> None:
    run = carry_out(make_task(), tmp_path / "r", memory=3100)
    outputs = run.outputs("f", "mine")
    failed = {name for name, output in outputs.items() if output.stop_reason == "error"}
    assert failed == {f"d2/q{n}" for n in range(4)}
    assert all((outputs[name].error or "").startswith("OutOfMemory") for name in failed)


def test_with_permission_it_is_answered_smaller_and_marked(
    make_task: MakeTask, tmp_path: Path
) -> None:
    # Of the least bound that a page may be shrunk to, 3,136 pixels, only larger pages have a half.
    folder = make_task(documents=0, rows=[])
    from PIL import Image

    lines = []
    for number, side in enumerate((200, 400, 400)):
        Image.new("L", (side, side), 200).save(folder / f"p{number}.png")
        lines += [
            {
                "id": f"d{number}/q{q}",
                "images": [f"p{number}.png"],
                "question": "?",
                "answers": ["x"],
            }
            for q in range(2)
        ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "samples.jsonl").write_text(text)
    run = carry_out(folder, tmp_path / "r", allow=True, memory=45_000)
    outputs = run.outputs("f", "mine")
    assert {name: output.degraded for name, output in outputs.items()} == {
        "d0/q0": None,
        "d0/q1": None,
        **{f"d{n}/q{q}": 40_000 for n in (1, 2) for q in range(2)},
    }
    # The second large document did not begin at the top again.
    ladders = [row["ladder"]["ceiling"] for row in run.batches("f", "mine")]
    assert ladders == [80_000] * 6


def test_answers_about_shrunk_pages_are_counted_and_warned_of_everywhere(
    make_task: MakeTask, tmp_path: Path
) -> None:
    from bench.report import build, make_sections, show_sample, terminal_summary, write_report
    from bench.scoring.evaluation import evaluate

    run = carry_out(make_task(), tmp_path / "r")
    path = run.cell_folder("f", "mine") / "outputs.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, bound in zip(lines, (802_816, 401_408, 401_408), strict=False):
        line["degraded"] = bound
        del line[CHECKSUM]
        line.update(with_checksum(line))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    evaluation = evaluate(run)
    view = build([evaluation])
    assert view.rows[0].degraded == {401_408: 2, 802_816: 1}
    said = "that of the resolution asked for: f (3 answers of 12, down to 401,408 pixels)"
    files = {p.name: p.read_text() for p in write_report([run], tmp_path / "o", FORMATS)}
    assert said in " ".join(terminal_summary(make_sections(view)).split())
    for name in ("report.html", "report.md", "report.json"):
        assert said in files[name], name
    header, *rows = csv.reader(files["samples.csv"].splitlines())
    marks = [row[header.index("degraded")] for row in rows]
    assert sorted(filter(None, marks)) == ["401408", "401408", "802816"]
    header, row = csv.reader(files["leaderboard.csv"].splitlines())
    assert row[header.index("degraded")] == "3"
    shown = show_sample(evaluation, lines[0]["sample_id"])
    assert "memory ran out: page shrunk to 802,816 pixels" in shown
    assert "memory ran out" not in show_sample(evaluation, lines[-1]["sample_id"])


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
def test_a_resumed_run_starts_from_the_rung_that_held(
    make_task: MakeTask, tmp_path: Path, kept: int
) -> None:
    folder = make_task()
    options: dict[str, Any] = {"memory": 3700, "chunks": 0, "capacity": 3}
    whole = carry_out(folder, tmp_path / "whole", **options)
    cut = carry_out(folder, tmp_path / "cut", **options)
    # As after a kill: the last batches' records are gone.
    cell = cut.cell_folder("f", "mine")
    lines = (cell / "batches.jsonl").read_text().splitlines(keepends=True)
    answers = (cell / "outputs.jsonl").read_text().splitlines(keepends=True)
    left = sum(len(json.loads(line)["samples"]) for line in lines[:kept])
    (cell / "batches.jsonl").write_text("".join(lines[:kept]))
    (cell / "outputs.jsonl").write_text("".join(answers[:left]))
    for marker in (cell / "done.json", cut.model_folder("f") / "done.json"):
        marker.unlink()
    resumed = carry_out(folder, tmp_path / "cut", **options)
    assert resumed.id == cut.id

    def strip(run: RunStore) -> list[tuple[list[str], dict[str, int | None]]]:
        return [(row["samples"], row["ladder"]) for row in run.batches("f", "mine")]

    assert strip(resumed) == strip(whole)
    assert resumed.outputs("f", "mine") == whole.outputs("f", "mine")


# The engine itself, on a device whose memory ends.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    from workshop.tiny_checkpoint import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("ladder") / "tiny")


def test_smaller_chunks_change_no_answer(tiny: Path, tmp_path: Path) -> None:
    from bench.models.catalog import resolve
    from bench.models.qwen_vl import QwenVL
    from tests.tiny_qwen import make_document, make_group

    model = QwenVL(resolve(str(tiny), device="cpu"))
    assert model.economize() is None
    model.load()
    groups = [make_group(make_document(tmp_path, name, [(300, 420)])) for name in "abc"]
    before = [output.text for output in model.generate(groups).outputs]
    said = []
    while (smaller := model.economize()) is not None:
        said.append(smaller)
        assert [output.text for output in model.generate(groups).outputs] == before
    # 512 tokens of questions in a row become 256, and 128.
    assert [text.split(" tokens")[0].rsplit(" ", 1)[-1] for text in said] == ["256", "128"]


def test_the_engine_goes_down_the_ladder_to_fewer_pixels(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from bench.errors import OutOfMemory
    from bench.models.catalog import resolve
    from bench.models.qwen_vl import QwenVL, vision
    from tests.tiny_qwen import make_document, make_group

    encode = vision.encode_pages

    def limited(model: Any, reader: Any, pages: Any, *rest: Any) -> Any:
        if sum(len(page.patches) for page in pages) > 100:
            raise torch.OutOfMemoryError("scripted")
        return encode(model, reader, pages, *rest)

    monkeypatch.setattr(vision, "encode_pages", limited)
    model = QwenVL(resolve(str(tiny), device="cpu"))
    details = model.load().details
    bounds = PageBounds(details["min_pixels"], details["max_pixels"])
    ladder = Ladder(16, allow_downscale=True, bounds=bounds)
    pending = [tuple(make_group(make_document(tmp_path, n, [(300, 420)]), ["A"]) for n in "ab")]
    outputs: dict[str, Output] = {}
    while pending:
        groups = ladder.bounded(pending.pop(0))
        try:
            found = marked(groups, model.generate(groups))
        except OutOfMemory:
            step = ladder.down(groups, model.economize)
            assert step is not None
            pending = step.batches + pending
        else:
            ladder.held(groups)
            outputs |= {output.sample_id: output for output in found.outputs}
    # Under the checkpoint's own bound of 50,176 pixels this page has more than 100 patches.
    assert {output.degraded for output in outputs.values()} == {25_088}
    assert all((output.visual_tokens or 99) <= 25_088 // 784 for output in outputs.values())
    assert ladder.ceiling == 50_176

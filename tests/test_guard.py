"""A page that asks for too much is one failed page: its process is ended, and the next page opens."""

from __future__ import annotations

import io
import logging
import os
import random
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from bench.errors import InvalidInput
from bench.models.fake import Fake
from bench.rundir.store import RunStore
from bench.runner import RunSettings, plan_run, worker
from bench.runner.run_record import run_record
from bench.runner.shards import Shard
from bench.schema import Batch, Document, ModelSpec, PageGroup
from bench.tasks import guard, images, load_task, opener, pdf, textlayer
from bench.tasks.limits import PageLimits, page_limits, set_page_limits
from bench.tasks.pages import open_page, read_pages, unreadable_page
from tests.bombs import many_frames, many_pages, pdf_of, png, write_bombs
from tests.conftest import MakeTask

EXAMPLES = Path(__file__).resolve().parent.parent / "example_docs"


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a bomb passes quickly."""
    monkeypatch.setenv("BENCH_PAGE_SECONDS", "1")
    monkeypatch.setenv("BENCH_PAGE_GIB", "0.25")
    # A busy machine may take its time over a second of processor time.
    monkeypatch.setattr(guard, "CLOCK_FACTOR", 100)


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("content.pdf", "of memory"),
        ("forms.pdf", "of memory|more than 1.00 s of processor time"),
        ("tiling.pdf", "more than 1.00 s of processor time"),
        ("large.png", "needs more than 256.0 MiB of memory"),
    ],
)
def test_a_page_that_asks_for_too_much_is_one_failed_page(
    name: str, says: str, tmp_path: Path
) -> None:
    (path,) = write_bombs(tmp_path, [name])
    (page,) = read_pages(path)
    with pytest.raises(InvalidInput, match=f"{name} .*({says})") as caught:
        open_page(page)
    assert "--page-" in str(caught.value.hint)
    (honest,) = read_pages(EXAMPLES / "form-en-1.png")
    assert open_page(honest).size == (honest.width, honest.height)


def test_a_process_that_somebody_stopped_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BENCH_PAGE_SECONDS", "2")
    # Processes with other limits would take the places of those that wait.
    guard._POOL.end()
    (page,) = read_pages(EXAMPLES / "form-en-1.png")
    (idle,) = (each for each in guard._POOL._idle if each.opener.limits == page_limits())
    os.kill(idle.opener._process.pid, signal.SIGSTOP)
    # A process that is stopped gets no alarm, and this one is given no time beyond that.
    monkeypatch.setattr(guard, "GRACE_SECONDS", 0.1 - 20)
    with pytest.raises(InvalidInput, match=r"not opened within 20\.0 s by the clock"):
        open_page(page)
    assert idle.opener._process.poll() == -signal.SIGKILL
    monkeypatch.undo()
    assert open_page(page).size == (page.width, page.height)


@pytest.mark.parametrize("name", ["one-page.pdf", "deep-tree.pdf", "tall.png"])
def test_what_is_too_much_already_in_its_header_is_refused_at_once(
    name: str, tmp_path: Path
) -> None:
    (path,) = write_bombs(tmp_path, [name])
    with pytest.raises(InvalidInput, match=name):
        read_pages(path)


def test_the_number_of_pages_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pdf").write_bytes(many_pages(4))
    (tmp_path / "a.tif").write_bytes(many_frames(4))
    assert [len(read_pages(tmp_path / name)) for name in ("a.pdf", "a.tif")] == [4, 4]
    monkeypatch.setenv("BENCH_FILE_PAGES", "3")
    for name in ("a.pdf", "a.tif"):
        with pytest.raises(InvalidInput, match="more than 3 pages") as caught:
            read_pages(tmp_path / name)
        assert "--file-pages" in str(caught.value.hint)


def test_the_number_of_pixels_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(png(100, 100))
    monkeypatch.setenv("BENCH_PAGE_PIXELS", "9999")
    with pytest.raises(InvalidInput, match="at most 9,999") as caught:
        read_pages(tmp_path / "a.png")
    assert "--page-pixels" in str(caught.value.hint)


def test_what_is_no_regular_file_is_no_page(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    with (tmp_path / "c.pdf").open("wb") as stream:
        stream.truncate(2**40)
    for name, says in (("a.png", "regular"), ("b.png", "regular"), ("c.pdf", "are read")):
        for read in (read_pages, unreadable_page):
            with pytest.raises(InvalidInput, match=says):
                read(tmp_path / name)


def test_pages_are_the_same_as_without_a_process() -> None:
    for path in sorted(EXAMPLES.iterdir()):
        if path.suffix not in {".png", ".jpg", ".tiff", ".pdf"}:
            continue
        for page in read_pages(path):
            if page.dpi is None:
                direct = images.decode(path, page.index)
            else:
                direct = pdf.render(path, page.index, page.dpi)
                assert guard.text_layer(page) == textlayer.text_layer(page)
                document = Document("d", (page,))
                assert guard.document_text(document) == textlayer.document_text(document)
            opened = open_page(page)
            assert opened.mode == "RGB"
            assert opened.size == direct.size
            assert opened.tobytes() == direct.tobytes()


def test_what_is_logged_about_a_page_reaches_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    (page,) = read_pages(EXAMPLES / "form-en-1.png")
    opener._NOTES.emit(logging.makeLogRecord({"msg": "of %s", "args": ("a page",)}))
    assert opener._NOTES.taken() == ["of a page"]
    assert opener._NOTES.taken() == []
    reply = {"result": [[1, 2]], "notes": ["a note\nin two lines"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "_reply", lambda *_: reply)
        assert guard.frame_sizes(page.path) == [(1, 2)]
    assert [record.getMessage() for record in caplog.records] == ["a note in two lines"]


def test_a_large_page_comes_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.effect_noise((3_001, 2_999), 60).convert("RGB")
    noise.save(tmp_path / "noise.bmp")
    (page,) = read_pages(tmp_path / "noise.bmp")
    assert open_page(page).tobytes() == noise.tobytes()


@pytest.mark.usefixtures("tight")
def test_a_page_that_passed_a_limit_is_not_tried_again_for_each_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write_bombs(tmp_path, ["tiling.pdf"])
    (page,) = read_pages(path)
    with pytest.raises(InvalidInput, match="takes more than") as first:
        open_page(page)
    monkeypatch.setattr(guard, "_POOL", None)
    with pytest.raises(InvalidInput, match="takes more than") as second:
        open_page(page)
    assert second.value.hint == first.value.hint


def test_a_file_of_which_three_pages_passed_a_limit_is_not_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").write_bytes(many_pages(5))
    pages = read_pages(tmp_path / "a.pdf")
    monkeypatch.setattr(guard, "_reply", lambda *_: {"memory": True})
    for page in pages[:3]:
        with pytest.raises(InvalidInput, match="of memory"):
            open_page(page)
    with pytest.raises(InvalidInput, match="3 of its pages have passed a limit"):
        open_page(pages[3])


def test_a_process_that_is_always_ended_from_outside_costs_one_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (page,) = read_pages(EXAMPLES / "form-en-1.png")
    monkeypatch.setattr(guard, "_reply", lambda *_: -signal.SIGKILL)
    monkeypatch.setattr(guard, "_REFUSED", {})
    with pytest.raises(InvalidInput, match="ended twice from outside"):
        open_page(page)


def test_a_process_that_somebody_else_ended_is_replaced() -> None:
    (page,) = read_pages(EXAMPLES / "form-en-1.png")
    process = guard._POOL.take(page_limits())
    os.kill(process._process.pid, signal.SIGKILL)
    process._process.wait()
    guard._POOL.give(process)
    assert open_page(page).width == page.width


class PageReader(Fake):
    """A model that looks at its pages."""

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        for group in groups:
            for page in group.document.pages:
                open_page(page)
        return super().generate(groups)


@pytest.mark.parametrize(("killed", "lost"), [([3, 6], 0), ([4, 5], 1)], ids=["once", "twice"])
def test_a_kill_of_the_process_that_opens_pages_costs_a_run_at_most_that_page(
    killed: list[int],
    lost: int,
    make_task: MakeTask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = guard._Opener.ask
    requests: list[bytes] = []

    def ask_and_kill(self: guard._Opener, line: bytes, patience: float) -> dict[str, Any] | None:
        requests.append(line)
        if len(requests) in killed:
            # It is held until the kill, so that it dies with a request that it has not answered.
            threading.Timer(0.0, os.kill, (self._process.pid, signal.SIGKILL)).start()
            os.kill(self._process.pid, signal.SIGSTOP)
        return ask(self, line, patience)

    task = load_task(make_task(documents=8, questions=2))
    settings = RunSettings(batch_size=2, latency_samples=0, warmup=False)
    plan = plan_run([ModelSpec("reader", "fake")], [task], settings)
    run = RunStore.create(tmp_path / "r", "run", run_record(plan), plan.tasks)
    monkeypatch.setattr(worker, "model_for_process", PageReader)
    monkeypatch.setattr(guard._Opener, "ask", ask_and_kill)
    assert worker.Worker(run, "reader", io.StringIO(), Shard()).work() == 0
    outputs = run.outputs("reader", "mine")
    document_of = {sample.id: sample.document_id for sample in task.samples}
    failed = {document_of[output.sample_id] for output in outputs.values() if output.error}
    assert len(outputs) == 16
    assert len(failed) == lost
    assert sum(output.error is not None for output in outputs.values()) == 2 * lost
    assert len(requests) >= 8 + len(killed) - lost


def test_a_changed_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    for count in (2, 3):
        path.write_bytes(many_pages(count))
        assert len(read_pages(path)) == count


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BENCH_PAGE_SECONDS", "BENCH_PAGE_GIB", "BENCH_PAGE_PIXELS", "BENCH_FILE_PAGES"):
        monkeypatch.delenv(name, raising=False)
    assert page_limits() == PageLimits()
    for text in ("²", "nan", "inf", "-1", "1e99", "0"):
        monkeypatch.setenv("BENCH_FILE_PAGES", text)
        with pytest.raises(InvalidInput, match="BENCH_FILE_PAGES"):
            page_limits()
    monkeypatch.setenv("BENCH_FILE_PAGES", "7")
    monkeypatch.setenv("BENCH_PAGE_SECONDS", "1")
    set_page_limits(seconds=2.5, pages=None)
    assert page_limits() == PageLimits(seconds=2.5, pages=7)


SEEDS = (
    pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 90]/Contents 4 0 R>>",
            b"<</Length 24>>stream\n0 0 m 9 9 l S 0 0 9 9 re\nendstream",
        ]
    ),
    png(20, 20),
    png(20, 20, colour=6, depth=16),
    many_frames(3),
)


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_page_ends_in_one_line_or_opens(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    data = bytearray(SEEDS[seed % len(SEEDS)])
    for _ in range(draw.randint(1, 6)):
        data[draw.randrange(len(data))] = draw.choice([0, 1, 0x7F, 0xFF, draw.randrange(256)])
    del data[draw.randint(len(data) // 2, len(data)) :]
    path = tmp_path / f"page.{draw.choice(['pdf', 'png', 'tif'])}"
    path.write_bytes(data)
    try:
        for page in read_pages(path):
            open_page(page)
            guard.text_layer(page)
    except InvalidInput as error:
        assert "\n" not in error.message


def test_pages_of_a_tiff_are_read_without_walking_to_each_from_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.tif"
    path.write_bytes(many_frames(200))
    loads = []
    load = TiffImagePlugin.ImageFileDirectory_v2.load
    monkeypatch.setattr(
        TiffImagePlugin.ImageFileDirectory_v2,
        "load",
        lambda tags, stream: (loads.append(1), load(tags, stream)),
    )
    for index in (*range(200), 7, 150):
        assert images.decode(path, index).size == (1, 1)
    assert len(loads) < 6 * 200
    with pytest.raises(InvalidInput, match="has no page 201"):
        images.decode(path, 200)


def test_a_tiff_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    for width in (30, 40):
        pages = [Image.new("L", (width + page, 20), 10 * page) for page in range(3)]
        pages[0].save(path, save_all=True, append_images=pages[1:])
        for index in (2, 0, 1, 1):
            assert images.decode(path, index).size == (width + index, 20)

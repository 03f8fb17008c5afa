"""Scans that lie sideways or upside down, and pages whose text layer does."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

import bench.synth.fonts
from bench.models.ocr import Ocr
from bench.models.ocr.orientation import glance, text_layer_reading
from bench.models.ocr.readers import glancing_engines
from bench.runner import RunSettings, plan_run
from bench.runner.run_record import run_record
from bench.runner.upright import turn_upright
from bench.schema import Document, ModelSpec, PageGroup, Request, Sample, Task
from bench.tasks.images import turned
from bench.tasks.pages import open_page, read_pages
from bench.tasks.textlayer import text_layer

pytest.importorskip("rapidocr")

FONT = Path(bench.synth.fonts.__file__).parent / "office.ttf"
LATIN = ["Northgate Tools Limited", "Invoice number: LN-20417", "Invoice date: 14 March 2024"]
LATIN += ["Subtotal without tax: 410.00", "Total amount due: 492.00", "Thank you for your business"]
CYRILLIC = ["ООО «Северный ветер», г. Казань", "Счёт на оплату № 20417", "от 14 марта 2024 года"]
CYRILLIC += ["Итого без налога: 410,00", "Всего к оплате: 492,00", "Спасибо за вашу покупку"]


def scan(lines: list[str] = LATIN) -> Image.Image:
    image = Image.new("RGB", (800, 700), "white")
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        pen.text((60, 60 + 90 * number), line, "black", ImageFont.truetype(FONT, 32))
    return image


@pytest.mark.parametrize(
    ("lines", "degrees"),
    [(LATIN, 0), (LATIN, 90), (CYRILLIC, 0), (CYRILLIC, 90), (CYRILLIC, 180), (CYRILLIC, 270)],
)
def test_a_scan_is_turned_back(lines: list[str], degrees: int) -> None:
    seen = glance(turned(scan(lines), degrees), glancing_engines())
    assert seen.turn == -degrees % 360
    assert lines[1].rpartition(" ")[2] in seen.text


def test_a_page_with_few_lines_stays_as_it_is() -> None:
    engines = glancing_engines()
    assert glance(Image.new("RGB", (300, 300), "white"), engines).turn == 0
    assert glance(turned(scan(), 180).crop((0, 520, 800, 700)), engines).turn == 0


def test_the_baseline_answers_from_a_scan_upside_down_and_records_the_turn(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    turned(scan(), 180).save(path)
    (page,) = read_pages(path)
    model = Ocr(ModelSpec("ocr", "ocr", options={"reader": "rapidocr"}))
    model.load()
    request = Request("q", "What is the invoice number?", "What is the invoice number?")
    batch = model.generate([PageGroup(Document("scan", (page,)), (request,))])
    assert [output.text for output in batch.outputs] == ["LN-20417"]
    assert batch.notes == {"turned_pages": {page.key: 180}}


@pytest.mark.parametrize("name", ["scan-stamp", "scan-badocr"])
def test_a_scan_with_a_text_that_is_not_its_own_is_read_by_ocr(name: str) -> None:
    pages = read_pages(Path(__file__).parent / "pages" / "05-hybrid-pdf" / f"{name}.pdf")
    model = Ocr(ModelSpec("ocr", "ocr"))
    model.load()
    request = Request("q", "What is the total?", "What is the total?")
    (output,) = model.generate([PageGroup(Document(name, pages), (request,))]).outputs
    assert output.text == "4711.00"


@pytest.mark.parametrize("name", ["rotate90", "rotate180", "rotate270", "upright"])
def test_a_text_layer_is_read_upright(name: str) -> None:
    (page,) = read_pages(Path(__file__).parent / "pages" / f"{name}.pdf")
    reading = text_layer_reading(page)
    assert reading is not None
    rows = [(round(word.top / 10), word.left) for word in reading.fragments]
    assert rows == sorted(rows)
    assert all(word.width > word.height / 2 for word in reading.fragments)


def test_a_plan_is_turned_upright_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    turned(scan(), 90).save(path)
    (page,) = read_pages(path)
    (drawn,) = read_pages(Path(__file__).parent / "pages" / "upright.pdf")
    documents = {"d": Document("d", (page, drawn))}
    sample = Sample("q", "d", "What is the invoice number?", ("LN-20417",))
    task = Task("t", "1", "t", documents, (sample,), ("anls",))
    plan = plan_run([ModelSpec("ocr", "ocr")], [task], RunSettings(upright=True))
    record = run_record(upright := turn_upright(plan))
    pages = upright.tasks[0].documents["d"].pages
    assert [one.turn for one in pages] == [270, 0]
    assert (pages[0].width, pages[0].height) == open_page(pages[0]).size == (800, 700)
    assert open_page(pages[0]).tobytes() == scan().tobytes()
    assert record["spec"]["settings"]["upright"] is True
    assert record["warnings"][0].startswith("--upright: 1 of 2 pages")
    assert plan.spec_id() == upright.spec_id()
    assert plan.spec_id() != plan_run(plan.models, [task], RunSettings()).spec_id()


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_words_of_a_turned_page_lie_on_its_ink(degrees: int) -> None:
    (page,) = read_pages(Path(__file__).parent / "pages" / "upright.pdf")
    page = page.turned(degrees)
    image = open_page(page).convert("L")
    words = text_layer(page)
    assert image.size == (page.width, page.height)
    assert words
    for word in words:
        lowest, _ = image.crop((word.left, word.top, word.right, word.bottom)).getextrema()
        assert lowest < 128, word
        assert word.turn == -degrees % 360

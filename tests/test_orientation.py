"""Scans that lie sideways or upside down, and pages whose text layer does."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

import bench.synth.fonts
from bench.models.ocr import Ocr
from bench.models.ocr.orientation import scan_turn, text_layer_reading, turned
from bench.models.ocr.readers import RapidOcrReader
from bench.schema import Document, ModelSpec, PageGroup, Request
from bench.tasks.pages import read_pages

pytest.importorskip("rapidocr")

FONT = Path(bench.synth.fonts.__file__).parent / "office.ttf"
LINES = ["Northgate Tools Limited", "Invoice number: LN-20417", "Invoice date: 14 March 2024"]
LINES += ["Subtotal without tax: 410.00", "Total amount due: 492.00", "Thank you for your business"]


def scan() -> Image.Image:
    image = Image.new("RGB", (800, 700), "white")
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(LINES):
        pen.text((60, 60 + 90 * number), line, "black", ImageFont.truetype(FONT, 32))
    return image


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    return RapidOcrReader()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_scan_is_turned_back(reader: RapidOcrReader, degrees: int) -> None:
    assert scan_turn(turned(scan(), degrees), reader.engine) == -degrees % 360


def test_a_page_with_few_lines_stays_as_it_is(reader: RapidOcrReader) -> None:
    assert scan_turn(Image.new("RGB", (300, 300), "white"), reader.engine) == 0
    assert scan_turn(turned(scan(), 180).crop((0, 520, 800, 700)), reader.engine) == 0


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


@pytest.mark.parametrize("name", ["rotate90", "rotate180", "rotate270", "upright"])
def test_a_text_layer_is_read_upright(name: str) -> None:
    (page,) = read_pages(Path(__file__).parent / "pages" / f"{name}.pdf")
    reading = text_layer_reading(page)
    assert reading is not None
    rows = [(round(word.top / 10), word.left) for word in reading.fragments]
    assert rows == sorted(rows)
    assert all(word.width > word.height / 2 for word in reading.fragments)

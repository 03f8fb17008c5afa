"""Readers: recorded Tesseract output, the PDF text layer, and RapidOCR on small pages made here."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

import bench.synth.fonts
from bench.errors import EnvironmentProblem, InvalidInput
from bench.models.ocr import Ocr
from bench.models.ocr.layout import lay_out
from bench.models.ocr.rapid_ocr import RapidOcrReader
from bench.models.ocr.reading import Reader, Reading
from bench.models.ocr.tesseract import TesseractReader, parse_tesseract_tsv
from bench.schema import Batch, Document, ModelSpec, Page, PageGroup, Request
from bench.tasks.pages import open_page, read_pages

FONTS = Path(bench.synth.fonts.__file__).parent

TSV = "\n".join(
    "\t".join(columns.split())
    for columns in (
        "level page_num block_num par_num line_num word_num left top width height conf text",
        "1 1 0 0 0 0 0 0 2000 1000 -1 ",
        "4 1 1 1 1 0 100 100 700 40 -1 ",
        "5 1 1 1 1 1 100 100 200 40 96.5 Продавец:",
        "5 1 1 1 1 2 310 101 100 40 93.0 ООО",
        "5 1 1 1 1 3 420 102 300 40 88.0 «Ветер»",
        "5 1 2 1 1 1 1500 103 100 40 90.0 № ",
        "5 1 3 1 1 1 100 300 900 2 12.0 ——",
        "5 1 4 1 1 1 100 400 200 40 5.0 И",
    )
)


def draw(path: Path, font: str, *lines: str) -> Path:
    image = Image.new("RGB", (900, 80 + 60 * len(lines)), "white")
    pen = ImageDraw.Draw(image)
    face = ImageFont.truetype(FONTS / font, 30)
    for number, line in enumerate(lines):
        pen.text((40, 40 + 60 * number), line, fill="black", font=face)
    image.save(path)
    return path


def group(path: Path, *questions: str) -> PageGroup:
    document = Document(path.stem, read_pages(path))
    requests = tuple(Request(f"{path.stem}-{i}", q, q) for i, q in enumerate(questions))
    return PageGroup(document, requests)


def texts(batch: Batch) -> list[str]:
    return [output.text for output in batch.outputs]


def loaded(**options: Any) -> Ocr:
    model = Ocr(ModelSpec("ocr", "ocr", options=options))
    model.load()
    return model


@pytest.fixture(scope="module")
def rapidocr() -> Ocr:
    return loaded(reader="rapidocr")


def test_tesseract_words_are_joined_into_cells_in_the_page_s_own_pixels() -> None:
    layout = lay_out(parse_tesseract_tsv(TSV, scale=2.0))
    first = layout.rows[0][0]
    assert [cell.text for cell in layout.rows[0]] == ["Продавец: ООО «Ветер»", "№"]
    assert (first.left, first.top, first.right) == (50.0, 50.0, 360.0)


def test_tesseract_confidence_becomes_a_share_and_rules_are_no_text() -> None:
    reading = parse_tesseract_tsv(TSV)
    assert [f.text for f in reading.fragments] == ["Продавец:", "ООО", "«Ветер»", "№", "И"]
    assert reading.fragments[0].confidence == pytest.approx(0.965)


def test_tesseract_is_called_with_the_installed_ones_of_the_wanted_languages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        calls.append(command[1:])
        answers = {
            "--version": "tesseract 5.3.0\n",
            "--list-langs": "List (2):\nosd\nrus\n",
            "stdin": TSV,
        }
        return subprocess.CompletedProcess(command, 0, answers[command[1]].encode(), b"")

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/tesseract")
    monkeypatch.setattr(subprocess, "run", run)
    reader = TesseractReader()
    reader.read(Image.new("RGB", (2000, 1000)))
    assert reader.details() == {"engine": "tesseract", "version": "5.3.0", "languages": ["rus"]}
    assert calls[-1] == ["stdin", "stdout", "-l", "rus", "--psm", "11", "tsv"]


def test_tesseract_that_hangs_is_an_error_not_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/tesseract")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(EnvironmentProblem, match="did not finish"):
        TesseractReader()


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_installed_tesseract_reads_a_page(tmp_path: Path) -> None:
    page = draw(tmp_path / "page.png", "office.ttf", "Invoice No: INV-2024-17", "Total: $1,980.72")
    model = loaded(reader="tesseract")
    batch = model.generate([group(page, "What is the invoice number?", "What is the total?")])
    assert texts(batch) == ["INV-2024-17", "$1,980.72"]


def test_rapidocr_answers_from_an_english_page(rapidocr: Ocr, tmp_path: Path) -> None:
    page = draw(
        tmp_path / "en.png",
        "office.ttf",
        "Invoice No: INV-2024-17",
        "Invoice Date: 14 March 2024",
        "Total: $1,980.72",
    )
    batch = rapidocr.generate(
        [group(page, "What is the invoice number?", "What is the date?", "What is the total?")]
    )
    assert texts(batch) == ["INV-2024-17", "14 March 2024", "$1,980.72"]
    assert list(batch.stages) == ["preprocess", "read", "match"]
    assert all(0.5 < (output.confidence or 0) <= 1 for output in batch.outputs)


def test_rapidocr_answers_from_a_chinese_page(rapidocr: Ocr, tmp_path: Path) -> None:
    page = draw(
        tmp_path / "zh.png", "zh-sans.otf", "发票号码：24312000", "开票日期：2024年03月14日"
    )
    batch = rapidocr.generate([group(page, "发票号码是多少？", "开票日期是哪一天？")])
    assert texts(batch) == ["24312000", "2024年03月14日"]


def test_page_is_read_once_for_all_its_questions(
    rapidocr: Ocr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = draw(tmp_path / "once.png", "office.ttf", "Total: $5.00")
    reads: list[object] = []
    reader = rapidocr.readers["rapidocr"]
    monkeypatch.setitem(rapidocr.readers, "rapidocr", _Counting(reader, reads))
    rapidocr.generate([group(page, "What is the total?", "What is the date?")])
    rapidocr.generate([group(page, "What is the total?")])
    assert len(reads) == 1


class _Counting:
    poor_confidence = 0.9

    def __init__(self, reader: Reader, reads: list[object]) -> None:
        self.name, self.reader, self.reads = reader.name, reader, reads

    def read(self, image: Image.Image) -> Reading:
        self.reads.append(image)
        return self.reader.read(image)

    def details(self) -> dict[str, Any]:
        return {}


def test_rapidocr_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    page = draw(tmp_path / "offline.png", "office.ttf", "Total: $5.00")
    with Image.open(page) as image:
        reading = RapidOcrReader().read(image.convert("RGB"))
    assert [f.text for f in reading.fragments] == ["Total: $5.00"]


def test_blank_page_is_read_as_nothing(rapidocr: Ocr, tmp_path: Path) -> None:
    path = tmp_path / "blank.png"
    Image.new("RGB", (300, 200), "white").save(path)
    batch = rapidocr.generate([group(path, "What is the total?")])
    assert (batch.outputs[0].text, batch.outputs[0].stop_reason) == ("", "stop")


def test_pdf_with_a_text_layer_needs_no_ocr(tmp_path: Path) -> None:
    from reportlab.pdfgen.canvas import Canvas

    path = tmp_path / "contract.pdf"
    canvas = Canvas(str(path), invariant=1)
    canvas.drawString(72, 720, "Contract No: 17-A")
    canvas.showPage()
    canvas.drawString(72, 720, "Seller: Miller and Sons Ltd.")
    canvas.save()
    model = loaded(reader="text-layer")
    batch = model.generate([group(path, "What is the contract number?", "Who is the seller?")])
    assert texts(batch) == ["17-A", "Miller and Sons Ltd."]


def test_unreadable_page_fails_its_own_questions_only(rapidocr: Ocr, tmp_path: Path) -> None:
    good = group(draw(tmp_path / "good.png", "office.ttf", "Total: $5.00"), "What is the total?")
    gone = Document("gone", (Page(tmp_path / "gone.png", 0, 100, 100, "0" * 64),))
    bad = PageGroup(gone, (Request("a", "What is the total?", ""), Request("b", "Who?", "")))
    outputs = rapidocr.generate([bad, good]).outputs
    assert [(o.sample_id, o.stop_reason, o.text) for o in outputs] == [
        ("a", "error", ""),
        ("b", "error", ""),
        ("good-0", "stop", "$5.00"),
    ]
    assert outputs[0].error is not None
    assert outputs[0].error.startswith("InvalidInput: ")


@pytest.mark.parametrize("package", ["rapidocr", "onnxruntime"])
def test_missing_engine_names_the_extra_that_installs_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == package else find_spec(name, *a),
    )
    with pytest.raises(EnvironmentProblem, match=package) as caught:
        Ocr(ModelSpec("ocr", "ocr")).load()
    assert (caught.value.hint or "").endswith("[ocr]'")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"raeder": "rapidocr"}, "no option 'raeder'"),
        ({"reader": "easyocr"}, "cannot be 'easyocr'"),
    ],
)
def test_unknown_option_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Ocr(ModelSpec("ocr", "ocr", options=options))


def test_pages_are_shrunk_to_the_bound_on_pixels_and_never_enlarged() -> None:

    model = Ocr(ModelSpec("small", "ocr", max_pixels=10_000))
    assert model._shrunk(Image.new("RGB", (400, 100))).size == (200, 50)
    assert model._shrunk(Image.new("RGB", (50, 50))).size == (50, 50)


@pytest.mark.parametrize(
    ("max_pixels", "size"),
    [(None, (3600, 900)), (1_000_000, (2000, 500)), (9_000_000, (3600, 900))],
)
def test_no_page_is_read_larger_than_readers_need(
    max_pixels: int | None, size: tuple[int, int]
) -> None:
    model = Ocr(ModelSpec("ocr", "ocr", max_pixels=max_pixels))
    assert model._shrunk(Image.new("L", (8000, 2000))).size == size


@pytest.mark.parametrize(
    ("mode", "ending"),
    [("RGB", "png"), ("RGB", "jpg"), ("L", "jpg"), ("RGBA", "png"), ("P", "png")],
)
def test_a_large_page_may_be_opened_smaller_and_a_small_one_stays(
    tmp_path: Path, mode: str, ending: str
) -> None:
    path = tmp_path / f"page.{ending}"
    Image.new("L", (900, 300), 200).convert(mode).save(path)
    page = read_pages(path)[0]
    smaller = open_page(page, 400)
    assert (smaller.size, smaller.getpixel((200, 60))) == ((400, 133), (200, 200, 200))
    assert open_page(page, 900).size == (900, 300)

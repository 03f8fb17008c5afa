"""Forms, turned and cropped pages, text layers to believe or not, and deep or turned images."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from bench.models.catalog import resolve
from bench.models.ocr import Ocr
from bench.runner.batches import page_groups
from bench.schema import Document
from bench.tasks import find_task, load_task
from bench.tasks.pages import open_page, read_pages
from bench.tasks.plausibility import is_meaningless
from bench.tasks.textlayer import TextWord, document_text, text_layer, upright_turn

PAGES = Path(__file__).parent / "pages"
INVOICE = ["Invoice", "No:", "A-17", "Date:", "2024-03-12", "Total:", "4711.00", "Buyer:", "ACME"]


def layer(path: Path, index: int = 0) -> list[TextWord]:
    words = text_layer(read_pages(path)[index])
    assert words is not None
    return words


def ink_box(path: Path) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of all ink on the rendered page."""
    grey = np.asarray(open_page(read_pages(path)[0]).convert("L"))
    rows, columns = np.nonzero(grey < 128)
    return columns.min(), rows.min(), columns.max(), rows.max()


def assert_words_lie_on_their_ink(path: Path) -> None:
    page = read_pages(path)[0]
    dark = np.asarray(open_page(page).convert("L")) < 128
    free = dark.copy()
    for word in layer(path):
        rows = slice(max(0, int(word.top) - 2), int(word.bottom) + 3)
        columns = slice(max(0, int(word.left) - 2), int(word.right) + 3)
        assert dark[rows, columns].any(), word
        free[rows, columns] = False
    assert free.sum() < 0.01 * dark.sum()


@pytest.mark.parametrize("name", ["with-ap", "no-ap", "need-ap"])
def test_values_of_fields_and_free_text_are_drawn_and_in_the_text(name: str) -> None:
    path = PAGES / "01-acroform" / f"{name}.pdf"
    text = document_text(Document(name, read_pages(path)))
    assert text is not None
    assert {"4711", "B-998"} <= set(text.split())
    assert_words_lie_on_their_ink(path)


def test_a_filled_form_holds_what_was_typed() -> None:
    words = [word.text for word in layer(PAGES / "form.pdf")]
    assert words[-4:] == ["Maria", "Lindqvist", "03.11.1990", "Tallinn"]


def test_chosen_values_are_on_the_page(tmp_path: Path) -> None:
    path = tmp_path / "form.pdf"
    sheet = Canvas(str(path), pagesize=(400, 300))
    sheet.drawString(20, 260, "Country Notes Agree")
    form = sheet.acroForm
    form.choice(name="c", x=20, y=200, value="Oslo", options=["Rome", "Oslo"], width=90, height=20)
    form.textfield(name="t", x=20, y=100, value="one\ntwo", fieldFlags="multiline", height=60)
    form.checkbox(name="k", x=200, y=200, checked=True)
    sheet.save()
    assert {"Oslo", "one", "two"} <= {word.text for word in layer(path)}
    dark = np.asarray(open_page(read_pages(path)[0]).convert("L"))[160:210, 418:458] < 100
    assert dark.any()


@pytest.mark.parametrize("path", sorted((PAGES / "03-boxes").glob("*.pdf")), ids=lambda p: p.stem)
def test_boxes_lie_on_the_words_wherever_the_page_begins(path: Path) -> None:
    assert [word.text for word in layer(path)] == INVOICE
    assert_words_lie_on_their_ink(path)


@pytest.mark.parametrize("name", ["rotate90", "rotate180", "rotate270", "crop"])
def test_a_turned_or_cropped_page_has_the_words_of_the_upright_one(name: str) -> None:
    upright = [word.text for word in layer(PAGES / "upright.pdf")]
    assert [word.text for word in layer(PAGES / f"{name}.pdf")] == upright
    assert_words_lie_on_their_ink(PAGES / f"{name}.pdf")


sides = st.integers(200, 620).map(lambda points: points + 0.276) | st.integers(200, 620)


@settings(max_examples=20, deadline=None)
@given(
    width=sides,
    height=sides,
    rotation=st.sampled_from([0, 90, 180, 270]),
    origin=st.tuples(st.integers(-300, 300), st.integers(-300, 300)),
    margin=st.integers(0, 40),
    dpi=st.sampled_from([72, 96, 150]),
)
def test_any_page_has_its_planned_size_and_its_words_on_their_ink(
    tmp_path_factory: pytest.TempPathFactory,
    width: float,
    height: float,
    rotation: int,
    origin: tuple[int, int],
    margin: int,
    dpi: int,
) -> None:
    buffer = io.BytesIO()
    sheet = Canvas(buffer, pagesize=(width, height))
    sheet.translate(*origin)
    sheet.setFont("Helvetica", 14)
    sheet.drawString(60, 100, "Invoice LN-20417")
    sheet.drawString(60, 130, "Total 492.00")
    sheet.save()
    document = pypdfium2.PdfDocument(buffer.getvalue())
    page, (x, y) = document[0], origin
    page.set_mediabox(x, y, x + width, y + height)
    page.set_cropbox(x + margin, y + margin, x + width - margin, y + height - margin)
    page.set_rotation(rotation)
    path = tmp_path_factory.mktemp("any") / "page.pdf"
    document.save(path)
    (planned,) = read_pages(path, dpi)
    assert open_page(planned).size == (planned.width, planned.height)
    words = text_layer(planned)
    assert words is not None
    assert sorted(word.text for word in words) == ["492.00", "Invoice", "LN-20417", "Total"]
    # The words stand upright once the page is turned back by what /Rotate turned it.
    assert {word.turn for word in words} == {-rotation % 360}
    dark = np.asarray(open_page(planned).convert("L")) < 128
    for word in words:
        box = dark[int(word.top) : int(word.bottom) + 1, int(word.left) : int(word.right) + 1]
        assert box.mean() > 0.05


def test_us_letter_is_1650_pixels_high_in_plan_and_picture() -> None:
    (page,) = read_pages(PAGES / "us-letter.pdf")
    assert (page.width, page.height) == open_page(page).size == (1275, 1650)


NOT_TEXT = [
    "garbage-layer",
    "scan-stamped",
    *(f"05-hybrid-pdf/scan-{n}" for n in ("stamp", "badocr", "only")),
]


@pytest.mark.parametrize("name", NOT_TEXT)
def test_a_stamped_scan_and_meaningless_codes_are_no_text(name: str) -> None:
    pages = read_pages(PAGES / f"{name}.pdf")
    assert text_layer(pages[0]) is None
    assert document_text(Document(name, pages)) is None


def scanned(path: Path, *, lines: list[str], invisible: bool) -> Path:
    """A scan of ten lines with ``lines`` as text: over their place (an OCR layer), or in the margin."""
    picture = Image.new("L", (1240, 1754), 245)
    pen = ImageDraw.Draw(picture)
    for number in range(10):
        pen.text((150, 200 + 100 * number), "Delivery note for our customers", 0, font_size=40)
    sheet = Canvas(str(path), pagesize=(595, 842))
    sheet.drawImage(ImageReader(picture), 0, 0, 595, 842)
    for number, line in enumerate(lines):
        text = sheet.beginText()
        text.setTextRenderMode(3 if invisible else 0)
        text.setFont("Helvetica", 20 if invisible else 8)
        text.setTextOrigin(72, 729 - 48 * number) if invisible else text.setTextOrigin(
            30, 60 - 10 * number
        )
        text.textOut(line)
        sheet.drawText(text)
    sheet.save()
    return path


REMARKS = [
    ["Page 1 of 1"],
    ["ACME-000123"],
    [
        "Digitally signed by Maria Lindqvist",
        "DN: cn=Maria Lindqvist, o=Norhaven, c=EE",
        "Date: 2024.03.12 10:11:12 +01'00'",
    ],
]


@pytest.mark.parametrize("remark", REMARKS, ids=lambda lines: lines[0])
def test_a_remark_on_a_scan_is_not_its_text(tmp_path: Path, remark: list[str]) -> None:
    path = scanned(tmp_path / "scan.pdf", lines=remark, invisible=False)
    assert text_layer(read_pages(path)[0]) is None


def test_the_layer_of_an_ocr_program_is_the_text_of_a_scan(tmp_path: Path) -> None:
    lines = ["Delivery note for our customers"] * 10
    path = scanned(tmp_path / "scan.pdf", lines=lines, invisible=True)
    assert len(layer(path)) == 50


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_text_that_is_drawn_sideways_says_how_to_turn_the_page(tmp_path: Path, turn: int) -> None:
    path = tmp_path / "sideways.pdf"
    sheet = Canvas(str(path), pagesize=(600, 600))
    sheet.translate(300, 300)
    sheet.rotate(turn)
    sheet.drawString(-100, 0, "Delivery note for customers")
    sheet.save()
    words = layer(path)
    assert [word.text for word in words] == ["Delivery", "note", "for", "customers"]
    assert upright_turn(words) == turn
    assert_words_lie_on_their_ink(path)


TEXTS = [
    "Rechnungsnummer 4711 Zahlungsziel vierzehn Tage Gesamtbetrag Umsatzsteuer Bankverbindung",
    "Montant total toutes taxes comprises, date de facturation, adresse de livraison, siège social",
    "Счёт на оплату, поставщик, грузополучатель, всего к оплате, назначение платежа, банк",
    "Faktura VAT, sprzedawca, nabywca, do zapłaty, numer rachunku bankowego, wystawił Grzegorz",
    "Số tiền bằng chữ, ngày thanh toán, địa chỉ người mua hàng, mã số thuế, hình thức thanh toán",
    "发票代码 购买方 纳税人识别号 合计金额",
    "IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFFXXX USt-IdNr. DE123456789",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_any_language_is_text_and_its_codes_are_not(text: str) -> None:
    assert not is_meaningless(text.split())
    private = "".join(chr(0xE000 + ord(c) % 256) if c.isalpha() else c for c in text)
    assert is_meaningless(private.split())


@pytest.mark.parametrize(
    ("text", "shift"), list(product([TEXTS[0], TEXTS[1], TEXTS[3]], [1, 3, 9]))
)
def test_shifted_letters_are_no_text(text: str, shift: int) -> None:
    codes = "".join(chr(ord(c) + shift) if c.isalpha() else c for c in text)
    assert is_meaningless(codes.split())


def test_cyrillic_that_was_taken_for_latin_is_no_text() -> None:
    assert is_meaningless(TEXTS[2].encode("cp1251").decode("latin-1").split())


TIFFS = ["exif6", "orient-1-6", "orient-6-1", "orientation6-lzw", "thumb-subfile"]


@pytest.mark.parametrize("name", TIFFS)
def test_every_frame_of_a_tiff_has_its_planned_size(name: str) -> None:
    pages = read_pages(PAGES / f"{name}.tif")
    assert [(page.width, page.height) for page in pages] == [open_page(p).size for p in pages]
    expected = {"orient-1-6": 3, "orient-6-1": 2}
    assert len(pages) == expected.get(name, 1)


@pytest.mark.parametrize(
    ("orientation", "compression"),
    list(product(range(1, 9), ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])),
)
def test_a_turned_tiff_is_turned_once(tmp_path: Path, orientation: int, compression: str) -> None:
    picture = Image.new("RGB", (60, 40), "white")
    picture.paste("black", (0, 0, 30, 20))
    path = tmp_path / "turned.tif"
    picture.save(path, compression=compression, tiffinfo={274: orientation})
    (page,) = read_pages(path)
    image = open_page(page)
    assert image.size == (page.width, page.height)
    assert image.size == ((40, 60) if orientation >= 5 else (60, 40))
    corner = {1: "lt", 2: "rt", 3: "rb", 4: "lb", 5: "lt", 6: "rt", 7: "rb", 8: "lb"}[orientation]
    x = 3 if corner[0] == "l" else image.width - 4
    y = 3 if corner[1] == "t" else image.height - 4
    assert image.getpixel((x, y))[0] < 30  # type: ignore[index]


@pytest.mark.parametrize("name", ["gray12in16", "int32", "floatnan"])
def test_no_deep_page_is_black_in_silence(name: str) -> None:
    grey = np.asarray(open_page(read_pages(PAGES / f"{name}.tif")[0]).convert("L"))
    assert np.median(grey) > 250
    assert grey.min() < 10


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(8, 31), paper=st.floats(0.6, 1.0), kind=st.sampled_from(["int32", "float32"])
)
def test_paper_stays_light_at_any_depth(
    tmp_path_factory: pytest.TempPathFactory, bits: int, paper: float, kind: str
) -> None:
    white = 2**bits - 1 if kind == "int32" else 1.0
    levels = np.full((20, 20), paper * white, dtype=kind)
    levels[5:10] = 0
    path = tmp_path_factory.mktemp("deep") / "deep.tif"
    Image.fromarray(levels).save(path)
    grey = np.asarray(open_page(read_pages(path)[0]).convert("L"))
    assert np.median(grey) >= 127
    assert grey.min() == 0


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_turned_contract_is_answered_as_the_upright_one(tmp_path: Path, angle: int) -> None:
    """Only ``/Rotate`` differs: a person turns the page, and reads the same."""
    task = load_task(find_task("contract-ru"))
    (document,) = task.documents.values()
    turned_path = tmp_path / "contract.pdf"
    with pypdfium2.PdfDocument(document.pages[0].path) as pdf:
        for number in range(len(pdf)):
            sheet = pdf[number]
            sheet.set_rotation((sheet.get_rotation() + angle) % 360)
        pdf.save(turned_path)
    model = Ocr(resolve("ocr", options={"reader": "text-layer"}))
    model.load()
    (group,) = page_groups(task)
    turned = replace(group, document=replace(document, pages=read_pages(turned_path)))
    upright, rotated = (
        [output.text for output in model.generate([asked]).outputs] for asked in (group, turned)
    )
    assert rotated == upright
    assert sum(map(bool, upright)) == 16

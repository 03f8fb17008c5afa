"""What lies beside the content of a PDF page: unlisted fields, boxes to tick, bare annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.schema import Document
from bench.tasks.pages import open_page, read_pages
from bench.tasks.textlayer import document_text, text_layer

FONT = "/Type /Font /Subtype /Type1 /BaseFont"
LABELS = "BT /Helv 12 Tf 60 200 Td (I agree) Tj 100 0 Td (I refuse) Tj -140 -50 Td (Name) Tj ET"
FORM = "/AcroForm << /Fields [10 0 R 11 0 R] /DR << /Font << /Helv 5 0 R >> >> >>"
NAME = "/Subtype /Widget /FT /Tx /T (n) /V (Anna Berg) /DA (/Helv 12 Tf) /Rect [60 140 200 160]"
TICKED = "<< /N << /Yes 7 0 R /Off 8 0 R >> >>"


def stream(entries: str, content: str) -> str:
    return f"<< {entries} /Length {len(content)} >>\nstream\n{content}\nendstream"


def tick(left: int, state: str, more: str = f"/AP {TICKED}") -> str:
    place = f"/Rect [{left} 195 {left + 20} 215]"
    return f"/Subtype /Widget /FT /Btn /T (b{left}) /V /{state} /AS /{state} {place} {more}"


def write_pdf(path: Path, annotations: list[str], form: str = "", page: str = "") -> Path:
    """A page of 400 by 300 points with labels and ``annotations``; those without a place are parents."""
    placed = [number for number, one in enumerate(annotations, 10) if "/Rect" in one]
    listed = " ".join(f"{number} 0 R" for number in placed)
    fonts = "/Resources << /Font << /Helv 5 0 R /Dingbats 6 0 R >> >>"
    picture = f"/Type /XObject /Subtype /Form /BBox [0 0 20 20] {fonts}"
    objects = {
        1: f"<< /Type /Catalog /Pages 2 0 R {form} >>",
        2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 300] {page} {fonts} /Contents 4 0 R"
        f" /Annots [{listed}] >>",
        4: stream("", LABELS),
        5: f"<< {FONT} /Helvetica >>",
        6: f"<< {FONT} /ZapfDingbats >>",
        7: stream(picture, "BT /Dingbats 16 Tf 3 4 Td (4) Tj ET"),
        8: stream(picture, "1 1 18 18 re S"),
    }
    for number, annotation in enumerate(annotations):
        objects[10 + number] = f"<< /Type /Annot /F 4 {annotation} >>"
    body, offsets = "%PDF-1.7\n", {}
    for number, content in objects.items():
        offsets[number] = len(body)
        body += f"{number} 0 obj\n{content}\nendobj\n"
    size = max(objects) + 1
    rows = [f"{offsets.get(number, 0):010d} 00000 n \n" for number in range(size)]
    table = f"xref\n0 {size}\n{''.join(rows)}trailer << /Size {size} /Root 1 0 R >>"
    path.write_bytes(f"{body}{table}\nstartxref\n{len(body)}\n%%EOF".encode("latin-1"))
    return path


def text_of(path: Path) -> str:
    text = document_text(Document("form", read_pages(path)))
    assert text is not None
    return text


def ink(path: Path, left: int, bottom: int, right: int, top: int) -> int:
    """Dark pixels in a rectangle of the page, in points."""
    grey = np.asarray(open_page(read_pages(path, 72)[0]).convert("L"))
    return int((grey[300 - top : 300 - bottom, left:right] < 128).sum())


@pytest.mark.parametrize("form", [FORM, "", FORM.replace("10 0 R 11 0 R", "")])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_ticks_stand_beside_their_labels(tmp_path: Path, form: str, turn: int) -> None:
    boxes = [tick(35, "Yes"), tick(135, "Off"), NAME]
    path = write_pdf(tmp_path / "form.pdf", boxes, form, f"/Rotate {turn}")
    assert text_of(path) == "[x] I agree [ ] I refuse Name Anna Berg"
    assert text_of(path) == "[x] I agree [ ] I refuse Name Anna Berg"  # opened a second time


def test_a_box_behind_its_label_stands_behind_it(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "form.pdf", [tick(105, "Off"), tick(204, "Yes")], FORM)
    assert text_of(path) == "I agree [ ] I refuse [x] Name"


@pytest.mark.parametrize("state", ["Yes", "On", "1"])
def test_a_tick_without_a_picture_is_drawn(tmp_path: Path, state: str) -> None:
    path = write_pdf(tmp_path / "form.pdf", [tick(35, state, ""), tick(135, "Off", "")])
    assert text_of(path) == "[x] I agree [ ] I refuse Name"
    assert ink(path, 36, 196, 54, 214) > 10
    assert ink(path, 136, 196, 154, 214) == 0


def test_a_radio_button_knows_its_own_state(tmp_path: Path) -> None:
    buttons = [
        f"/Subtype /Widget /Parent 12 0 R /AS /{state} /Rect [{left} 195 {left + 20} 215] "
        f"/AP << /N << /{name} 7 0 R /Off 8 0 R >> >>"
        for left, state, name in [(35, "Off", "a"), (135, "b", "b")]
    ]
    group = "/FT /Btn /Ff 49152 /T (r) /V /b /Kids [10 0 R 11 0 R]"
    path = write_pdf(
        tmp_path / "form.pdf", [*buttons, group], FORM.replace("10 0 R 11 0 R", "12 0 R")
    )
    assert text_of(path) == "[ ] I agree [x] I refuse Name"


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        ("/Subtype /FreeText /Contents (Paid 12.03.2024)", "Paid 12.03.2024"),
        ("/Subtype /FreeText /Contents (Paid\\nin cash) /DA (/Helv 9 Tf)", "Paid in cash"),
        (f"/Subtype /FreeText /Contents <FEFF{'Оплачено'.encode('utf-16-be').hex()}>", "Оплачено"),
        (f"/Subtype /FreeText /Contents <FEFF{'已付款'.encode('utf-16-be').hex()}>", "已付款"),
        ("/Subtype /Stamp /Name /NotApproved", "NOT APPROVED"),
        ("/Subtype /Stamp /Name /Approved", "APPROVED"),
        ("/Subtype /Line /L [60 50 250 90]", ""),
        ("/Subtype /Polygon /Vertices [60 50 250 50 250 90]", ""),
        ("/Subtype /Square /C [1 0 0]", ""),
        ("/Subtype /Caret /Contents (insert)", ""),
        ("/Subtype /Redact /QuadPoints [60 90 250 90 60 50 250 50]", ""),
        ("/Subtype /FileAttachment /Name /Paperclip", ""),
    ],
)
def test_an_annotation_without_an_appearance_is_drawn(
    tmp_path: Path, annotation: str, text: str
) -> None:
    place = "/Rect [60 50 250 90]"
    path = write_pdf(tmp_path / "page.pdf", [f"{annotation} {place}"])
    assert text_of(path) == f"I agree I refuse Name {text}".rstrip()
    assert ink(path, 55, 45, 255, 95) > 30
    hidden = write_pdf(tmp_path / "hidden.pdf", [f"{annotation} {place} /F 2"])
    assert text_of(hidden) == "I agree I refuse Name"
    assert ink(hidden, 55, 45, 255, 95) == 0


@pytest.mark.parametrize(
    ("value", "text"), [("42", "42"), ("-7.5", "-7.5"), ("12.1", "12.1"), ("40702811", "")]
)
def test_a_number_as_value_of_a_field_is_text(tmp_path: Path, value: str, text: str) -> None:
    field = NAME.replace("(Anna Berg)", value)
    path = write_pdf(tmp_path / "form.pdf", [field], FORM.replace("11 0 R", ""))
    assert text_of(path) == f"I agree I refuse Name {text}".rstrip()


def test_a_list_with_chosen_lines_is_text(tmp_path: Path) -> None:
    """A chosen line is a dark bar, which is no ink that the words leave out."""
    chosen = (
        "/Subtype /Widget /FT /Ch /T (d) /V [(two) (three)] /I [1 2] /Opt [(one) (two) (three)]"
        " /DA (/Helv 12 Tf) /Rect [220 50 330 120]"
    )
    words = text_layer(read_pages(write_pdf(tmp_path / "form.pdf", [chosen]))[0])
    assert words is not None
    assert [word.text for word in words][-3:] == ["one", "two", "three"]

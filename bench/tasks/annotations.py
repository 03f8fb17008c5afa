"""What lies on a PDF page beside its content: boxes to tick, and annotations without a picture of themselves.

pdfium draws fields and most annotations that come without an appearance stream. It leaves out stamps, lines,
carets, marks of redaction and icons of attachments, draws free text in Latin letters and on one line, knows
one name for the state of a ticked box, and no number as a field's value, so these are drawn here. A box to
tick has no text of its own, so its state is told apart.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.synth.fonts import font_path, text_width
from bench.synth.sheet import Font, wrap
from bench.text import one_line

if TYPE_CHECKING:
    import pypdfium2

_HIDDEN = 0b100010
"""The flags Hidden and NoView of an annotation (PDF 32000-1, table 165)."""
_USUAL_SIZE = 12.0
"""Points: the size of free text that names none."""
_MARGIN = 2.0
"""Points between the frame of free text and its letters."""
_LARGEST_NUMBER = 10**7
_CARET = ((0.0, 0.0), (0.5, 1.0), (1.0, 0.0))
_CLIP = (
    (0.7, 0.3),
    (0.7, 0.8),
    (0.3, 0.8),
    (0.3, 0.1),
    (0.9, 0.1),
    (0.9, 1.0),
    (0.1, 1.0),
    (0.1, 0.2),
)
"""Lines of the marks "^" and of a paper clip, in shares of their rectangle."""
_CHINESE = re.compile("[\u3000-\u9fff\uff00-\uffef]")

Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]
"""Left, bottom, right and top, in points of the page."""


class TickBox(NamedTuple):
    """A check box or a radio button, in points of the page."""

    left: float
    bottom: float
    right: float
    top: float
    is_ticked: bool


def start_forms(document: pypdfium2.PdfDocument) -> pypdfium2.PdfFormEnv:
    """Start what draws form fields and annotations without an appearance.

    ``PdfDocument.init_forms`` does nothing where the file lists no form, but its pages may hold fields.
    """
    import pypdfium2
    import pypdfium2.raw as pdfium

    config = pdfium.FPDF_FORMFILLINFO(version=2)
    return pypdfium2.PdfFormEnv(pdfium.FPDFDOC_InitFormFillEnvironment(document, config), config)


def fill_in(
    document: pypdfium2.PdfDocument, sheet: pypdfium2.PdfPage, forms: pypdfium2.PdfFormEnv
) -> list[TickBox]:
    """Make the fields and annotations of a page part of its content, and return its boxes to tick.

    ``sheet`` must be closed afterwards: only a page that is opened after it has the new content.
    """
    import pypdfium2.raw as pdfium

    # pdfium gives an appearance to what has none as soon as it knows of the page.
    bare = [number for number, one in _annotations(sheet) if not _has_appearance(one)]
    for number, annotation in _annotations(sheet):
        if number in bare:
            _write_out_number(annotation)
    pdfium.FORM_OnAfterLoadPage(sheet, forms)
    boxes = []
    for number, annotation in _annotations(sheet):
        is_drawn = number in bare and _draw_bare(document, sheet, annotation)
        kind = pdfium.FPDFAnnot_GetFormFieldType(forms, annotation)
        if kind in {pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON}:
            is_ticked = bool(pdfium.FPDFAnnot_IsChecked(forms, annotation))
            if number in bare and not is_ticked:
                # pdfium knows one name for the ticked state of a box without a picture; files have others.
                is_ticked = is_drawn = _string(annotation, b"AS") not in {"", "Off"}
                if is_ticked:
                    _draw_cross(sheet, _rectangle(annotation))
            boxes.append(TickBox(*_rectangle(annotation), is_ticked))
        if is_drawn:
            # What pdfium made of it would lie over this.
            pdfium.FPDFAnnot_SetAP(annotation, pdfium.FPDF_ANNOT_APPEARANCEMODE_NORMAL, None)
    pdfium.FPDFPage_GenerateContent(sheet)
    pdfium.FPDFPage_Flatten(sheet, pdfium.FLAT_NORMALDISPLAY)
    pdfium.FORM_OnBeforeClosePage(sheet, forms)
    return boxes


def _has_appearance(annotation: Any) -> bool:
    import pypdfium2.raw as pdfium

    return bool(pdfium.FPDFAnnot_HasKey(annotation, b"AP"))


def _write_out_number(annotation: Any) -> None:
    """Make a field's value a string where the file has a number, which pdfium does not draw."""
    import numpy as np
    import pypdfium2.raw as pdfium

    value = ctypes.c_float()
    is_number = pdfium.FPDFAnnot_GetNumberValue(annotation, b"V", value)
    # pdfium gives a number in single precision: the last digits of a larger one would be wrong.
    if is_number and abs(value.value) < _LARGEST_NUMBER:
        digits = np.format_float_positional(np.float32(value.value), trim="-")
        content = ctypes.create_string_buffer(digits.encode("utf-16-le") + b"\0\0")
        pdfium.FPDFAnnot_SetStringValue(
            annotation, b"V", ctypes.cast(content, pdfium.FPDF_WIDESTRING)
        )


def _draw_bare(document: pypdfium2.PdfDocument, sheet: pypdfium2.PdfPage, annotation: Any) -> bool:
    """Draw an annotation without an appearance if pdfium does not, and say whether it was drawn."""
    import pypdfium2.raw as pdfium

    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind == pdfium.FPDF_ANNOT_STAMP:
        _draw_stamp(document, sheet, annotation)
    elif kind == pdfium.FPDF_ANNOT_FREETEXT:
        _draw_free_text(document, sheet, annotation)
    elif kind == pdfium.FPDF_ANNOT_POLYGON:
        _draw_line(sheet, _points(annotation), is_closed=True)
    elif kind in {pdfium.FPDF_ANNOT_LINE, pdfium.FPDF_ANNOT_POLYLINE}:
        _draw_line(sheet, _points(annotation))
    elif kind == pdfium.FPDF_ANNOT_CARET:
        _draw_mark(sheet, annotation, _CARET)
    elif kind in {pdfium.FPDF_ANNOT_FILEATTACHMENT, pdfium.FPDF_ANNOT_SOUND}:
        _draw_mark(sheet, annotation, _CLIP)
    elif kind == pdfium.FPDF_ANNOT_REDACT:
        # What is marked for redaction can still be read.
        _draw_frame(sheet, _rectangle(annotation))
    else:
        return False
    return True


def _draw_stamp(document: pypdfium2.PdfDocument, sheet: pypdfium2.PdfPage, annotation: Any) -> None:
    """Draw a frame with the stamp's words: its name, as "NotApproved", or else its remark."""
    box = _rectangle(annotation)
    width, height = box[2] - box[0], box[3] - box[1]
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _string(annotation, b"Name").strip("#")).upper()
    words = one_line(name or _string(annotation, b"Contents") or "DRAFT", 80)
    font = Font(_face(words), 10.0)
    # As large as the frame allows, with a tenth of it free.
    fit = min(0.6 * height / font.size, 0.9 * width / text_width(font.face, words, font.size))
    font = font.at(max(1.0, font.size * fit))
    start = box[0] + (width - text_width(font.face, words, font.size)) / 2
    _write(document, sheet, words, font, (start, box[1] + (height - 0.7 * font.size) / 2))
    _draw_frame(sheet, box)


def _draw_free_text(
    document: pypdfium2.PdfDocument, sheet: pypdfium2.PdfPage, annotation: Any
) -> None:
    """Draw the text in its frame, in the size that its default appearance names."""
    left, _, right, top = box = _rectangle(annotation)
    text = "\n".join(_string(annotation, b"Contents").splitlines())
    size = re.search(r"([\d.]+)\s+Tf", _string(annotation, b"DA"))
    font = Font(_face(text), float(size.group(1)) if size is not None else 0.0)
    font = font.at(font.size or _USUAL_SIZE)
    down = top - 2 * _MARGIN - font.size
    for line in wrap(text, font, max(font.size, right - left - 2 * _MARGIN)):
        _write(document, sheet, line, font, (left + _MARGIN, down))
        down -= 1.2 * font.size
    _draw_frame(sheet, box)


def _face(text: str) -> str:
    return "zh-sans" if _CHINESE.search(text) else "sans"


def _write(
    document: pypdfium2.PdfDocument,
    sheet: pypdfium2.PdfPage,
    words: str,
    font: Font,
    start: Point,
) -> None:
    """Write ``words`` on an open page from the point ``start`` on."""
    import pypdfium2.raw as pdfium

    data = font_path(font.face).read_bytes()
    buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
    loaded = pdfium.FPDFText_LoadFont(document, buffer, len(data), pdfium.FPDF_FONT_TRUETYPE, True)
    text = pdfium.FPDFPageObj_CreateTextObj(document, loaded, font.size)
    content = ctypes.create_string_buffer(words.encode("utf-16-le") + b"\0\0")
    pdfium.FPDFText_SetText(text, ctypes.cast(content, pdfium.FPDF_WIDESTRING))
    pdfium.FPDFPageObj_Transform(text, 1, 0, 0, 1, *start)
    pdfium.FPDFPage_InsertObject(sheet, text)
    pdfium.FPDFFont_Close(loaded)


def _draw_frame(sheet: pypdfium2.PdfPage, box: Rectangle) -> None:
    left, bottom, right, top = box
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    _draw_line(sheet, corners, is_closed=True)


def _draw_mark(sheet: pypdfium2.PdfPage, annotation: Any, mark: Sequence[Point]) -> None:
    left, bottom, right, top = _rectangle(annotation)
    width, height = right - left, top - bottom
    _draw_line(sheet, [(left + x * width, bottom + y * height) for x, y in mark])


def _draw_cross(sheet: pypdfium2.PdfPage, box: Rectangle) -> None:
    left, bottom, right, top = box
    _draw_line(sheet, [(left, bottom), (right, top)])
    _draw_line(sheet, [(left, top), (right, bottom)])


def _draw_line(
    sheet: pypdfium2.PdfPage, points: Sequence[Point], *, is_closed: bool = False
) -> None:
    """Draw a black line one point wide through ``points``, and back to the first if ``is_closed``."""
    import pypdfium2.raw as pdfium

    if not points:
        return
    path = pdfium.FPDFPageObj_CreateNewPath(*points[0])
    for point in points[1:]:
        pdfium.FPDFPath_LineTo(path, *point)
    if is_closed:
        pdfium.FPDFPath_Close(path)
    pdfium.FPDFPath_SetDrawMode(path, pdfium.FPDF_FILLMODE_NONE, True)
    pdfium.FPDFPage_InsertObject(sheet, path)


def _annotations(sheet: pypdfium2.PdfPage) -> Iterator[tuple[int, Any]]:
    """Yield number and handle of the annotations of an open page that a viewer shows."""
    import pypdfium2.raw as pdfium

    for number in range(pdfium.FPDFPage_GetAnnotCount(sheet)):
        annotation = pdfium.FPDFPage_GetAnnot(sheet, number)
        if not annotation:
            continue
        if not pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
            yield number, annotation
        pdfium.FPDFPage_CloseAnnot(annotation)


def _rectangle(annotation: Any) -> Rectangle:
    import pypdfium2.raw as pdfium

    box = pdfium.FS_RECTF()
    pdfium.FPDFAnnot_GetRect(annotation, box)
    return box.left, box.bottom, box.right, box.top


def _points(annotation: Any) -> list[Point]:
    """Return the ends of a line, or the corners of a polygon."""
    import pypdfium2.raw as pdfium

    start, end = pdfium.FS_POINTF(), pdfium.FS_POINTF()
    if pdfium.FPDFAnnot_GetLine(annotation, start, end):
        return [(start.x, start.y), (end.x, end.y)]
    count = pdfium.FPDFAnnot_GetVertices(annotation, None, 0)
    corners = (pdfium.FS_POINTF * count)()
    pdfium.FPDFAnnot_GetVertices(annotation, corners, count)
    return [(corner.x, corner.y) for corner in corners]


def _string(annotation: Any, key: bytes) -> str:
    import pypdfium2.raw as pdfium

    size = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    content = ctypes.create_string_buffer(max(2, size))
    pdfium.FPDFAnnot_GetStringValue(
        annotation, key, ctypes.cast(content, ctypes.POINTER(pdfium.FPDF_WCHAR)), size
    )
    return content.raw.decode("utf-16-le", "replace").rstrip("\0")

"""Reads PDF files with pdfium: page sizes and rendered pages, with all that is filled in.

What a person typed into a form, ticked, or wrote on a page as a comment lies beside the content of the page.
``opened_page`` puts it into the content, so that rendering and the text layer see the same page as a viewer.
pdfium is not thread-safe, so every call into it holds a lock.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import InvalidInput
from bench.tasks.annotations import TickBox, fill_in, start_forms
from bench.tasks.images import REPAIR
from bench.tasks.limits import check_page_count
from bench.text import one_line

if TYPE_CHECKING:
    import pypdfium2
    from PIL.Image import Image

POINTS_PER_INCH = 72
_PDFIUM = threading.Lock()
_LOG = logging.getLogger(__name__)


def page_sizes(path: Path, dpi: int) -> list[tuple[int, int]]:
    """Return width and height in pixels of every page, as rendered at ``dpi``."""
    with opened(path) as document:
        count = len(document)
        if count == 0:
            raise InvalidInput(f"PDF {one_line(path, 160)} has no pages", hint=REPAIR)
        check_page_count(path, count)
        if _is_dynamic_xfa(document):
            _LOG.warning(
                "note: %s is an XFA form, whose fields only Adobe's programs draw; the pages show what other "
                "viewers show (print it to a PDF to have its content)",
                one_line(path, 160),
            )
        points = [document.get_page_size(index) for index in range(count)]
    return [page_pixels(size, dpi) for size in points]


def render(path: Path, index: int, dpi: int) -> Image:
    """Render page ``index`` at ``dpi`` as an RGB image."""
    with opened(path) as document, opened_page(document, index) as page:
        return rendered(page.sheet, page_pixels(page.sheet.get_size(), dpi))


def rendered(sheet: pypdfium2.PdfPage, size: tuple[int, int]) -> Image:
    """Render an open page at exactly ``size`` pixels as an RGB image."""
    import pypdfium2.raw as pdfium
    from pypdfium2 import PdfBitmap

    # pypdfium2's own render() rounds US Letter at 150 dpi (1650 pixels) up to 1651.
    width, height = size
    bitmap = PdfBitmap.new_native(width, height, pdfium.FPDFBitmap_BGR, rev_byteorder=True)
    bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
    flags = pdfium.FPDF_ANNOT | pdfium.FPDF_REVERSE_BYTE_ORDER
    pdfium.FPDF_RenderPageBitmap(bitmap, sheet, 0, 0, width, height, 0, flags)
    image: Image = bitmap.to_pil()
    return image.convert("RGB")


def page_pixels(points: tuple[float, float], dpi: int) -> tuple[int, int]:
    """Return the width and height in pixels of a page of ``points``: its planned and its rendered size."""
    width, height = (_pixels(length, dpi) for length in points)
    return width, height


def _pixels(points: float, dpi: int) -> int:
    """Convert a length in points to whole pixels; what is more than a hundredth of one gets its own."""
    exact = Fraction(points) * dpi / POINTS_PER_INCH
    # A4 is 595.276 points in some files and 595.27563 in others, in 32-bit arithmetic.
    return math.ceil(exact - Fraction(1, 100))


class _LastDocument:
    """Keeps the document that was opened last, because opening takes time for each of its pages."""

    def __init__(self) -> None:
        self.forms: pypdfium2.PdfFormEnv | None = None
        self.tick_boxes: dict[int, list[TickBox]] = {}
        """Page → its boxes, which are fields only until the page is opened first."""
        self._state: tuple[Any, ...] = ()
        self._document: pypdfium2.PdfDocument | None = None

    def document(self, path: Path) -> pypdfium2.PdfDocument:
        """Return the opened document; a file that was replaced meanwhile is opened again."""
        import pypdfium2

        status = path.stat()
        state = (path.resolve(), status.st_ino, status.st_size, status.st_mtime_ns)
        if self._document is None or state != self._state:
            self.close()
            self._document, self._state = pypdfium2.PdfDocument(path), state
            # It must stand before the first page is opened.
            self.forms = start_forms(self._document)
        return self._document

    def close(self) -> None:
        """Close the document, if there is one."""
        import pypdfium2.raw as pdfium

        if self._document is not None:
            pdfium.FPDFDOC_ExitFormFillEnvironment(self.forms)
            self._document.close()
        self._document = None
        self.tick_boxes = {}


_LAST = _LastDocument()


@contextmanager
def opened(path: Path) -> Iterator[pypdfium2.PdfDocument]:
    """Open the PDF with pdfium's lock held.

    Raises:
        InvalidInput: the file is missing, encrypted or broken, or one of its pages is.
    """
    import pypdfium2

    name = one_line(path, 160)
    with _PDFIUM:
        try:
            document = _LAST.document(path)
        except FileNotFoundError:
            raise InvalidInput(f"page file {name} does not exist", hint=REPAIR) from None
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise InvalidInput(
                    f"PDF {name} is encrypted and needs a password",
                    hint="save a copy without a password",
                ) from None
            raise InvalidInput(
                f"PDF {name} is broken or not a PDF: {one_line(error, 120)}", hint=REPAIR
            ) from None
        try:
            yield document
        except pypdfium2.PdfiumError as error:
            raise InvalidInput(
                f"PDF {name} has a broken page: {one_line(error, 120)}", hint=REPAIR
            ) from None


class OpenedPage(NamedTuple):
    """A page of an open PDF, and its boxes to tick."""

    sheet: pypdfium2.PdfPage
    tick_boxes: Sequence[TickBox]


@contextmanager
def opened_page(document: pypdfium2.PdfDocument, index: int) -> Iterator[OpenedPage]:
    """Open a page with the values of its form fields and its annotations as part of its content."""
    import pypdfium2.raw as pdfium

    sheet = document[index]
    if pdfium.FPDFPage_GetAnnotCount(sheet) > 0:
        _LAST.tick_boxes[index] = fill_in(document, sheet, _LAST.forms)
        sheet.close()
        sheet = document[index]
    try:
        yield OpenedPage(sheet, _LAST.tick_boxes.get(index, ()))
    finally:
        sheet.close()


def _is_dynamic_xfa(document: pypdfium2.PdfDocument) -> bool:
    import pypdfium2.raw as pdfium

    form: Any = document.get_formtype()
    return bool(form in {pdfium.FORMTYPE_XFA_FULL, pdfium.FORMTYPE_XFA_FOREGROUND})

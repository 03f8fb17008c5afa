"""Reads PDF files with pdfium: page sizes, rendered pages, and the words of a text layer.

pdfium is not thread-safe, so every call into it holds a lock.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import InvalidInput
from bench.schema import Document, Page
from bench.tasks.images import REPAIR
from bench.tasks.limits import check_page_count
from bench.text import one_line

if TYPE_CHECKING:
    import pypdfium2
    from PIL.Image import Image

POINTS_PER_INCH = 72
_PDFIUM = threading.Lock()


class TextWord(NamedTuple):
    """One word of a PDF's text layer, with its box in pixels of the rendered page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


class _Box(NamedTuple):
    """A box in PDF points, counted from the lower left corner of the page."""

    left: float
    bottom: float
    right: float
    top: float


def page_sizes(path: Path, dpi: int) -> list[tuple[int, int]]:
    """Return width and height in pixels of every page, as rendered at ``dpi``."""
    with _opened(path) as document:
        count = len(document)
        if count == 0:
            raise InvalidInput(f"PDF {one_line(path, 160)} has no pages", hint=REPAIR)
        check_page_count(path, count)
        points = [document.get_page_size(index) for index in range(count)]
    return [(_pixels(width, dpi), _pixels(height, dpi)) for width, height in points]


def render(path: Path, index: int, dpi: int) -> Image:
    """Render page ``index`` at ``dpi`` as an RGB image."""
    with _opened(path) as document:
        bitmap = document[index].render(scale=dpi / POINTS_PER_INCH, rev_byteorder=True)
        image: Image = bitmap.to_pil()
        return image.convert("RGB")


def text_layer(page: Page) -> list[TextWord] | None:
    """Return the words of a PDF page's text layer; None for images and for scanned PDFs."""
    if page.dpi is None:
        return None
    scale = page.dpi / POINTS_PER_INCH
    with _opened(page.path) as document:
        sheet = document[page.index]
        _, height = sheet.get_size()
        words = [
            TextWord(
                word,
                left=box.left * scale,
                top=(height - box.top) * scale,
                right=box.right * scale,
                bottom=(height - box.bottom) * scale,
            )
            for word, box in _words(sheet.get_textpage())
        ]
    return words or None


def document_text(document: Document) -> str | None:
    """Return all words of a document; None unless every one of its pages has a text layer."""
    pages = []
    for page in document.pages:
        words = text_layer(page)
        if words is None:
            return None
        pages.append(" ".join(word.text for word in words))
    return "\n".join(pages) if pages else None


def _words(text: pypdfium2.PdfTextPage) -> Iterator[tuple[str, _Box]]:
    """Yield the words of a page, split at white space and at jumps, with their boxes."""
    word, box = "", _Box(0.0, 0.0, 0.0, 0.0)
    for index in range(text.count_chars()):
        character = text.get_text_range(index, 1)
        if not character.strip():
            if word:
                yield word, box
            word = ""
            continue
        glyph = _Box(*text.get_charbox(index, loose=True))
        height = glyph.top - glyph.bottom
        # A jump to another line or far to the right ends a word even where no space stands.
        if word and (abs(glyph.bottom - box.bottom) > height or glyph.left - box.right > height):
            yield word, box
            word = ""
        box = _joined(box, glyph) if word else glyph
        word += character
    if word:
        yield word, box


def _joined(box: _Box, glyph: _Box) -> _Box:
    """Extend the box of a word by its next character."""
    return _Box(
        box.left,
        min(box.bottom, glyph.bottom),
        max(box.right, glyph.right),
        max(box.top, glyph.top),
    )


class _LastDocument:
    """Keeps the document that was opened last, because opening takes time for each of its pages."""

    def __init__(self) -> None:
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
        return self._document

    def close(self) -> None:
        """Close the document, if there is one."""
        if self._document is not None:
            self._document.close()
        self._document = None


_LAST = _LastDocument()


@contextmanager
def _opened(path: Path) -> Iterator[pypdfium2.PdfDocument]:
    """Open the PDF with pdfium's lock held; its failures become one ``InvalidInput``."""
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


def _pixels(points: float, dpi: int) -> int:
    """Convert a length in points to pixels, rounded up as pdfium's renderer does."""
    return math.ceil(points * dpi / POINTS_PER_INCH)

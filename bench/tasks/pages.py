"""Reads pages: their sizes from the headers of files, their pixels on demand.

Files come from people and from data sets. Every way in which a file can be broken ends in one clear
``InvalidInput``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput
from bench.schema import Page
from bench.tasks import images, pdf
from bench.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

PAGE_SUFFIXES = images.IMAGE_SUFFIXES | {".pdf"}
"""File types that can be a document."""

DEFAULT_DPI = 150
"""Resolution at which PDF pages are rendered: A4 becomes 1240 × 1754 pixels."""


_PDF_HEAD = 1024
"""Bytes at the beginning of a file in which the mark of a PDF may stand."""


def read_pages(path: Path, dpi: int = DEFAULT_DPI) -> tuple[Page, ...]:
    """Read every page of one file from its header alone: no pixel is decoded.

    Raises:
        InvalidInput: the file is missing, empty, not a page image or PDF, encrypted, or too large.
    """
    _check_regular(path)
    digest = _sha256(path)
    is_pdf = _is_pdf(path)
    sizes = pdf.page_sizes(path, dpi) if is_pdf else images.frame_sizes(path)
    absolute = path.resolve()
    pages = []
    for index, (width, height) in enumerate(sizes):
        _check_size(path, index, width, height)
        pages.append(Page(absolute, index, width, height, digest, dpi if is_pdf else None))
    return tuple(pages)


def open_page(page: Page) -> Image:
    """Decode the page to RGB, upright, on white where the file is transparent.

    Raises:
        InvalidInput: the file cannot be decoded: it is truncated, broken, or gone since the plan was made.
    """
    if page.dpi is not None:
        return pdf.render(page.path, page.index, page.dpi)
    return images.decode(page.path, page.index)


def unreadable_page(path: Path, dpi: int = DEFAULT_DPI) -> Page:
    """Stand in for a page that cannot be read: 0 × 0 pixels, and an error when it is opened."""
    _check_regular(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Page(path.resolve(), 0, 0, 0, digest, dpi if _is_pdf(path) else None)


def _is_pdf(path: Path) -> bool:
    """Say whether the file is a PDF by its content: names lie, and viewers do not mind them."""
    with path.open("rb") as stream:
        head = stream.read(_PDF_HEAD)
    return b"%PDF-" in head


def _check_regular(path: Path) -> None:
    """Refuse what is there but is no file: reading a pipe waits for ever, and reading a device never ends."""
    if path.exists() and not path.is_file():
        raise InvalidInput(
            f"page file {one_line(path, 160)} is a folder, a pipe or a device, not a regular file",
            hint="name an image file or a PDF in the samples file",
        )


def _sha256(path: Path) -> str:
    name = one_line(path, 160)
    try:
        with path.open("rb") as stream:
            if not stream.peek(1):
                raise InvalidInput(f"page file {name} is empty (0 bytes)", hint=images.REPAIR)
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise InvalidInput(
            f"page file {name} does not exist", hint="check the path in the samples file"
        ) from None
    except OSError as error:
        raise InvalidInput(
            f"page file {name} cannot be read: {error.strerror}",
            hint="check the permissions of the file",
        ) from None


def _check_size(path: Path, index: int, width: int, height: int) -> None:
    name = one_line(path, 160)
    where = f"page {index + 1} of {name}" if index else f"page {name}"
    if width < 1 or height < 1:
        raise InvalidInput(
            f"{where} is {width}×{height} pixels, so there is nothing to read", hint=images.REPAIR
        )
    if width * height > images.MAX_PIXELS:
        raise InvalidInput(
            f"{where} has {width}×{height} pixels; at most {images.MAX_PIXELS:,} are accepted",
            hint=images.SCALE_DOWN,
        )

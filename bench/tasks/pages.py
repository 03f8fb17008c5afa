"""Reads pages: their sizes from the headers of files, their pixels on demand.

Files come from people and from data sets. Every way in which a file can be broken ends in one clear
``InvalidInput``.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput
from bench.formatting import byte_size
from bench.parsing import Unreadable, open_regular
from bench.schema import Page
from bench.tasks import guard, images
from bench.tasks.limits import MAX_FILE_BYTES, check_page_size
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
    digest = _sha256(path)
    is_pdf = _is_pdf(path)
    sizes = guard.page_sizes(path, dpi) if is_pdf else guard.frame_sizes(path)
    absolute = path.resolve()
    pages = []
    for index, (width, height) in enumerate(sizes):
        _check_size(path, index, width, height)
        pages.append(Page(absolute, index, width, height, digest, dpi if is_pdf else None))
    return tuple(pages)


def open_page(page: Page, longest: int | None = None) -> Image:
    """Decode the page to RGB, on white where the file is transparent; turn and perturb it as it says.

    An image file whose longer side has more than ``longest`` pixels comes with so many, which saves time and
    memory where a huge page is not needed.

    Raises:
        InvalidInput: the file cannot be decoded: it is truncated, broken, or gone since the plan was made.
    """
    if page.perturbation is not None:
        return guard.perturbed(page)
    if page.dpi is not None:
        image = guard.render(page.path, page.index, page.dpi)
    else:
        image = guard.decode(page.path, page.index, longest)
    return images.turned(image, page.turn)


def unreadable_page(path: Path, dpi: int = DEFAULT_DPI) -> Page:
    """Stand in for a page that cannot be read: 0 × 0 pixels, and an error when it is opened."""
    digest = _sha256(path, may_be_empty=True)
    return Page(path.resolve(), 0, 0, 0, digest, dpi if _is_pdf(path) else None)


def _is_pdf(path: Path) -> bool:
    """Say whether the file is a PDF by its content: names lie, and viewers do not mind them."""
    with open_regular(path) as stream:
        head = stream.read(_PDF_HEAD)
    return b"%PDF-" in head


def _sha256(path: Path, *, may_be_empty: bool = False) -> str:
    name = one_line(path, 160)
    try:
        with open_regular(path) as stream:
            length = os.fstat(stream.fileno()).st_size
            if length > MAX_FILE_BYTES:
                raise InvalidInput(
                    f"page file {name} has {byte_size(length)}; at most {byte_size(MAX_FILE_BYTES)} are read",
                    hint="split the file, or scale its pages down",
                )
            if not length and not may_be_empty:
                raise InvalidInput(f"page file {name} is empty (0 bytes)", hint=images.REPAIR)
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except Unreadable as error:
        raise InvalidInput(
            f"page file {name} {error.reason}",
            hint="check the path and the permissions of the file",
        ) from None
    except OSError as error:
        raise InvalidInput(f"page file {name} cannot be read: {error.strerror}") from None


def _check_size(path: Path, index: int, width: int, height: int) -> None:
    name = one_line(path, 160)
    where = f"page {index + 1} of {name}" if index else f"page {name}"
    if width < 1 or height < 1:
        raise InvalidInput(
            f"{where} is {width}×{height} pixels, so there is nothing to read", hint=images.REPAIR
        )
    check_page_size(where, width, height)

"""Writes small JPEG copies of page images into the run directory, so that a report needs nothing else."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

from bench.errors import InvalidInput
from bench.files import write_bytes_atomically
from bench.parsing import open_regular
from bench.schema import Page, Task
from bench.tasks.pages import open_page

PREVIEW_SIDE = 1280
"""Longest side in pixels: small print of an A4 page can still be read."""


def preview_path(run: Path, page: Page) -> Path:
    """Return the file of the preview of ``page``; it is named by content, so equal pages share it."""
    # Longer than Page.key: runs of earlier versions have their previews under these names.
    return run / "pages" / f"{page.sha256[:20]}-{page.index}.jpg"


def write_preview(run: Path, page: Page) -> Path | None:
    """Write the preview of ``page`` unless it exists; None if the page cannot be opened."""
    from PIL import Image

    path = preview_path(run, page)
    if path.is_file():
        return path
    try:
        image = open_page(page)
    except InvalidInput:
        return None
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=72, optimize=True)
    write_bytes_atomically(path, buffer.getvalue())
    return path


def write_previews(run: Path, tasks: Iterable[Task], *, limit: int) -> None:
    """Write the previews of the first ``limit`` pages of ``tasks``, unless they exist already."""
    documents = (document for task in tasks for document in task.documents.values())
    pages = {preview_path(run, page): page for document in documents for page in document.pages}
    for path, page in list(pages.items())[:limit]:
        # A file that was replaced since the run is another page, and must not stand for the old one.
        if not path.is_file() and _is_unchanged(page):
            write_preview(run, page)


def _is_unchanged(page: Page) -> bool:
    # A pipe or a device would be read without end.
    if not page.path.is_file():
        return False
    try:
        with open_regular(page.path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == page.sha256
    except (InvalidInput, OSError):
        return False

"""Writes small JPEG copies of page images into the run directory, so that a report needs nothing else."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.errors import InvalidInput
from bench.files import write_bytes_atomically
from bench.measure.cores import usable_cores
from bench.parsing import open_regular
from bench.schema import Page
from bench.tasks.pages import open_page

MOST_WORKERS = 8
"""Pages that are opened at the same time, at most: each may take gigabytes."""

PREVIEW_SIDE = 1280
"""Longest side in pixels: small print of an A4 page can still be read."""


def preview_path(run: Path, page: Page) -> Path:
    """Return the file of the preview of ``page``; it is named by content, so equal pages share it."""
    # Longer than Page.key: runs of earlier versions have their previews under these names.
    done = (
        "" if page.perturbation is None else f"-{page.perturbation.label}-{page.perturbation.seed}"
    )
    return run / "pages" / f"{page.sha256[:20]}-{page.index}{done}.jpg"


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


def write_previews(
    run: Path,
    pages: Iterable[Page],
    *,
    most_bytes: float,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the previews of ``pages`` in their order, until they fill ``most_bytes``; some exist already.

    Several pages are opened at the same time, each in a process of its own.

    Args:
        run: the folder of the run.
        pages: the pages that are worth most first.
        most_bytes: what follows is left out, because no report has room for it.
        progress: is called with how many pages are done, and how many there are at most.

    Returns:
        Bytes of the previews.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    wanted = list({preview_path(run, page): page for page in pages}.items())
    unchanged = _Unchanged()
    size = done = 0
    workers = min(MOST_WORKERS, usable_cores())
    with ThreadPoolExecutor(workers) as pool:
        # A few at a time: what would not fit any more is not begun.
        step = 4 * workers
        for start in range(0, len(wanted), step):
            part = wanted[start : start + step]
            list(pool.map(lambda item: _write_if_unchanged(run, item, unchanged), part))
            done += len(part)
            size += sum(path.stat().st_size for path, _ in part if path.is_file())
            if progress is not None:
                progress(done, len(wanted))
            if size >= most_bytes:
                break
    return size


def _write_if_unchanged(run: Path, item: tuple[Path, Page], unchanged: _Unchanged) -> None:
    path, page = item
    # A file that was replaced since the run is another page, and must not stand for the old one.
    if not path.is_file() and unchanged(page):
        write_preview(run, page)


class _Unchanged:
    """Whether the file of a page is still the one that the models saw; every file is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], bool] = {}

    def __call__(self, page: Page) -> bool:
        key = (page.path, page.sha256)
        if key not in self._known:
            self._known[key] = _is_unchanged(page)
        return self._known[key]


def _is_unchanged(page: Page) -> bool:
    # A pipe or a device would be read without end.
    if not page.path.is_file():
        return False
    try:
        with open_regular(page.path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == page.sha256
    except (InvalidInput, OSError):
        return False

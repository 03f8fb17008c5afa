"""Perturbed pages as files, and a sheet of them, so that a person sees what a model will be shown."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput
from bench.files import write_bytes_atomically
from bench.litter import remove_litter_beside
from bench.runner.perturb import perturbed_document
from bench.schema import Document, Page, Perturbation
from bench.tasks.pages import open_page
from bench.text import file_name

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 240
"""Pixels of the longest side of a page on the sheet."""
_LABEL, _GAP = 24, 12


def write_perturbed_pages(
    documents: Iterable[Document], conditions: Sequence[Perturbation], out: Path
) -> list[Path]:
    """Write every page under every condition as ``DOCUMENT[-PAGE]@KIND-SEVERITY.png``, and their sheets.

    The sheet of a page, ``DOCUMENT[-PAGE].jpg``, has a column for each kind.

    Args:
        documents: with clean pages.
        conditions: as ``bench.runner.perturb.conditions`` returns them.
        out: the folder; it is made if it is missing.

    Returns:
        The sheets.

    Raises:
        InvalidInput: a page cannot be opened, or two documents would write the same file, or one would
            replace a page.
    """
    sheets: list[Path] = []
    documents = list(documents)
    pages = {page.path.resolve() for document in documents for page in document.pages}
    for document in documents:
        for number, page in enumerate(document.pages):
            name = file_name(document.id + (f"-{number + 1}" if len(document.pages) > 1 else ""))
            sheet = out / f"{name}.jpg"
            if sheet in sheets:
                raise InvalidInput(
                    f"two documents would be written as {sheet}",
                    hint="write them into folders of their own: --out DIR",
                )
            if sheet.resolve() in pages:
                raise InvalidInput(
                    f"{sheet} is a page of the task, and a sheet would replace it",
                    hint="write the pictures into another folder: --out DIR",
                )
            remove_litter_beside([sheet])
            columns: dict[str, list[Image]] = {"clean": [_thumbnail(open_page(page))]}
            for condition in conditions:
                image = open_page(_under(condition, document, number))
                _write(out / f"{name}@{condition.label}.png", image, "PNG")
                columns.setdefault(condition.kind, []).append(_thumbnail(image))
            _write(sheet, _sheet(columns), "JPEG", quality=70)
            sheets.append(sheet)
    return sheets


def _under(condition: Perturbation, document: Document, number: int) -> Page:
    return perturbed_document(document, condition).pages[number]


def _thumbnail(image: Image) -> Image:
    from PIL import Image as pillow

    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), pillow.Resampling.LANCZOS)
    return small


def _write(path: Path, image: Image, kind: str, **options: int) -> None:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    write_bytes_atomically(path, buffer.getvalue())


def _sheet(columns: dict[str, list[Image]]) -> Image:
    """The pictures of each column below one another, under the name of the column."""
    from PIL import Image as pillow
    from PIL import ImageDraw

    images = [image for column in columns.values() for image in column]
    wide = max(image.width for image in images) + _GAP
    high = max(image.height for image in images) + _GAP
    rows = max(map(len, columns.values()))
    size = (_GAP + wide * len(columns), _LABEL + _GAP + high * rows)
    sheet = pillow.new("RGB", size, (96, 102, 110))
    pen = ImageDraw.Draw(sheet)
    for number, (name, pictures) in enumerate(columns.items()):
        left = _GAP + wide * number
        pen.text((left, _GAP // 2), name, fill="white", font_size=16)
        for row, picture in enumerate(pictures):
            sheet.paste(picture, (left, _LABEL + _GAP // 2 + high * row))
    return sheet

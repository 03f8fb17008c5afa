"""Takes the images out of the cells of data sets: structs of bytes and path, bytes, or base64 text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.parsing import Unreadable, read_bytes
from bench.text import one_line

Row = Mapping[str, Any]
"""Column → cell."""

MAX_CELL_BYTES = 256 * 2**20
"""A larger cell is refused: it is no page image, and one cell must not take all memory."""

IMAGE_TYPES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tiff"),
    (b"MM\0*", ".tiff"),
    (b"\0\0\0\x0cjP  ", ".jp2"),
    (b"%PDF-", ".pdf"),
)
"""First bytes of a file → its suffix."""


def image_bytes(value: Any, root: Path) -> bytes:
    """Return the bytes of an image cell.

    Raises:
        InvalidInput: the cell holds no image, one that lies outside ``root``, or one that is too large.
    """
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
        if data is None and isinstance(path, str):
            return _image_file(path, root)
        value = data
    if isinstance(value, str):
        value = _from_base64(value)
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidInput(f"expected an image, got {type(value).__name__}")
    if not 0 < len(value) <= MAX_CELL_BYTES:
        raise InvalidInput(
            f"expected an image of at most {MAX_CELL_BYTES:,} bytes, got {len(value):,}"
        )
    return bytes(value)


def image_suffix(data: bytes) -> str:
    """Return the suffix that fits ``data``; ``.bin`` where it is no known image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    if data[4:8] == b"ftyp":
        return ".avif" if data[8:12] in {b"avif", b"avis"} else ".heic"
    return next((suffix for start, suffix in IMAGE_TYPES if data.startswith(start)), ".bin")


def _image_file(name: str, root: Path) -> bytes:
    path = (root / name).resolve()
    shown = one_line(name, 80)
    if not path.is_relative_to(root):
        # A data set from elsewhere could otherwise name any file of this machine.
        raise InvalidInput(f"image path {shown!r} leaves the data set's folder")
    try:
        return read_bytes(path, MAX_CELL_BYTES)
    except Unreadable as error:
        raise InvalidInput(f"image {shown!r} {error.reason}") from None


def _from_base64(text: str) -> bytes:
    # Some writers put "data:image/png;base64," in front.
    head, comma, rest = text.partition(",")
    body = rest if comma and head.startswith("data:") else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"expected base64 of an image, got {one_line(text, 40)!r}") from None

"""Looks at the end of an image file, which is where an interrupted copy or download shows.

To decode every page before a run would take as long as the run of a small model. So only a file whose end is
not what its format asks for is decoded, and the decoder decides.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

_TAIL_BYTES = 4096
"""Bytes at the end of a file among which its end mark stands."""
_ZEROS = bytes(256)
"""A file that was given its length before its content ends so where the content never came."""
_END_OF_JPEG = b"\xff\xd9"
_END_OF_GIF = b"\x3b"
_BOX_HEAD, _LONG_BOX_HEAD = 8, 16


def seems_cut(path: Path, format_name: str | None) -> bool:
    """Whether the file at ``path`` may lack its end; ``format_name`` is Pillow's name of its format.

    What is true of a whole file costs no more than that it is decoded. A PNG and a TIFF are not looked at
    any further here: the one has checksums, the other says where each page ends.
    """
    with path.open("rb") as stream:
        length = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, length - _TAIL_BYTES))
        tail = stream.read(_TAIL_BYTES)
        if tail.endswith(_ZEROS):
            return True
        has_end = _HAS_END.get(format_name or "")
        return has_end is not None and not has_end(stream, tail, length)


def _has_jpeg_end(stream: BinaryIO, tail: bytes, length: int) -> bool:
    return _END_OF_JPEG in tail


def _has_gif_end(stream: BinaryIO, tail: bytes, length: int) -> bool:
    return tail.rstrip(b"\0").endswith(_END_OF_GIF)


def _has_webp_length(stream: BinaryIO, tail: bytes, length: int) -> bool:
    """Whether the file is as long as its header says, which does not count its own eight bytes."""
    stream.seek(4)
    return int.from_bytes(stream.read(4), "little") + 8 <= length


def _has_bmp_length(stream: BinaryIO, tail: bytes, length: int) -> bool:
    """Whether the file is as long as its header says."""
    stream.seek(2)
    return int.from_bytes(stream.read(4), "little") <= length


def _has_whole_boxes(stream: BinaryIO, tail: bytes, length: int) -> bool:
    """Whether the last box of an ISO media file ends inside it."""
    place = 0
    while place < length:
        stream.seek(place)
        head = stream.read(_LONG_BOX_HEAD)
        size = int.from_bytes(head[:4])
        if size == 1:
            size = int.from_bytes(head[_BOX_HEAD:])
        if size == 0:
            return True
        if size < _BOX_HEAD:
            return False
        place += size
    return place == length


_HAS_END: Mapping[str, Callable[[BinaryIO, bytes, int], bool]] = {
    "JPEG": _has_jpeg_end,
    "MPO": _has_jpeg_end,
    "JPEG2000": _has_jpeg_end,
    "GIF": _has_gif_end,
    "WEBP": _has_webp_length,
    "BMP": _has_bmp_length,
    "AVIF": _has_whole_boxes,
    "HEIF": _has_whole_boxes,
}
"""Pillow's name of a format → whether a file has the end that the format asks for."""

"""Writes page files that ask for far more than their size: hostile inputs for tests and for the fuzzer."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path


def pdf_of(objects: Sequence[bytes]) -> bytes:
    """A PDF file of numbered objects, of which the first is the catalog."""
    data = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return bytes(data + trailer % (len(objects) + 1, start))


def _stream(data: bytes, entries: bytes = b"", filters: int = 0) -> bytes:
    for _ in range(filters):
        data = zlib.compress(data, 9)
    names = b"/Filter[%b]" % (b"/FlateDecode" * filters) if filters else b""
    return b"<<%b%b/Length %d>>stream\n%b\nendstream" % (entries, names, len(data), data)


def _page(resources: bytes = b"") -> list[bytes]:
    return [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<<%b>>>>"
        % resources,
    ]


def large_content() -> bytes:
    """A content stream that unpacks to gigabytes."""
    block = zlib.compressobj(9)
    chunk = b"0 0 m 9 9 l S\n" * 80_000
    packed = b"".join(block.compress(chunk) for _ in range(250)) + block.flush()
    packed = zlib.compress(packed, 9)
    entries = b"/Filter[/FlateDecode/FlateDecode]"
    stream = b"<<%b/Length %d>>stream\n%b\nendstream" % (entries, len(packed), packed)
    return pdf_of([*_page(), stream])


def nested_forms(depth: int = 12, calls: int = 10) -> bytes:
    """Forms that draw the next form ``calls`` times, down to ``depth``."""
    objects = [*_page(b"/XObject<</F 5 0 R>>"), _stream(b"/F Do")]
    for level in range(depth):
        following = 6 + level
        draw = b"/F Do " * calls if level < depth - 1 else b"0 0 9 9 re f "
        objects.append(
            _stream(
                draw,
                b"/Type/XObject/Subtype/Form/BBox[0 0 612 792]/Resources<</XObject<</F %d 0 R>>>>"
                % following,
            )
        )
    objects.append(_stream(b"", b"/Type/XObject/Subtype/Form/BBox[0 0 1 1]"))
    return pdf_of(objects)


def tiling() -> bytes:
    """A page that is filled many times with a pattern of tiny tiles."""
    fill = b"/Pattern cs /P scn " + b"0 0 612 792 re f " * 20_000
    tile = (
        b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]"
        b"/XStep .01/YStep .01/Resources<<>>"
    )
    return pdf_of([*_page(b"/Pattern<</P 5 0 R>>"), _stream(fill), _stream(b"0 0 1 1 re f", tile)])


def one_page_many_times(count: int = 1_000_000) -> bytes:
    """A page tree that names the same page again and again."""
    first, _, page = _page()
    tree = b"<</Type/Pages/Kids[%b]/Count %d>>" % (b"3 0 R " * count, count)
    return pdf_of([first, tree, page, _stream(b"")])


def many_pages(count: int = 20_000) -> bytes:
    """A PDF of many different pages."""
    kids = b" ".join(b"%d 0 R" % (number + 3) for number in range(count))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, count),
    ]
    objects += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]>>"] * count
    return pdf_of(objects)


def deep_tree(depth: int = 100_000) -> bytes:
    """A page tree in which every node has one node below it."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    objects += [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % (number + 3) for number in range(depth)]
    objects.append(b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 612 792]>>" % (depth + 1))
    return pdf_of(objects)


def many_frames(count: int = 100_000) -> bytes:
    """A TIFF of many frames of one pixel."""
    tags = (
        (256, 1),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, 1),
    )
    size = 2 + 12 * len(tags) + 4
    data = bytearray(struct.pack("<2sHI", b"II", 42, 16)) + bytes(8)
    for number in range(count):
        data += struct.pack("<H", len(tags))
        for tag, value in tags:
            data += struct.pack("<HHII", tag, 4, 1, value)
        following = 16 + (number + 1) * size if number < count - 1 else 0
        data += struct.pack("<I", following)
    return bytes(data)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, colour: int = 2, depth: int = 8, rows: int | None = None) -> bytes:
    """A PNG of zeros; it may hold fewer ``rows`` than it says."""
    samples = {0: 1, 2: 3, 6: 4}[colour]
    row = bytes(1 + (width * samples * depth + 7) // 8)
    block = zlib.compressobj(9)
    packed = bytearray()
    remaining = height if rows is None else rows
    step = max(1, 2**20 // len(row))
    while remaining > 0:
        packed += block.compress(row * min(step, remaining))
        remaining -= step
    packed += block.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [_png_chunk(b"IHDR", head), _png_chunk(b"IDAT", bytes(packed)), _png_chunk(b"IEND", b"")]
    )


def tall_png() -> bytes:
    """A PNG that is one pixel wide."""
    return png(1, 178_000_000, colour=0, depth=1, rows=1_000)


def large_png() -> bytes:
    """A PNG of the most pixels that are accepted, with transparency."""
    return png(13_000, 13_000, colour=6)


BOMBS: dict[str, Callable[[], bytes]] = {
    "content.pdf": large_content,
    "forms.pdf": nested_forms,
    "tiling.pdf": tiling,
    "one-page.pdf": one_page_many_times,
    "pages.pdf": many_pages,
    "deep-tree.pdf": deep_tree,
    "frames.tif": many_frames,
    "tall.png": tall_png,
    "large.png": large_png,
}
"""File name → its content."""


def write_bombs(folder: Path, names: Sequence[str] = tuple(BOMBS)) -> list[Path]:
    """Write the bombs of these names into ``folder``."""
    paths = []
    for name in names:
        path = folder / name
        path.write_bytes(BOMBS[name]())
        paths.append(path)
    return paths

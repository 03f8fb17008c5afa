"""Turn a sheet into pixels, with Pillow.

Each glyph is placed on its own at the position the font's design widths give, because FreeType's
advances are whole pixels: at screen resolutions a line set with them would come out shorter or longer
than the layout measured. Low resolutions are drawn larger and reduced, which also smooths lines.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.synth.fonts import advances, font
from bench.synth.sheet import Color, Ink, Shape, Sheet, TextRun

if TYPE_CHECKING:
    from PIL import Image

_SMOOTH_BELOW = 220
"""Resolutions (dpi) below this are drawn at a multiple and reduced."""


class _Glyph(NamedTuple):
    mask: Any
    """``L`` image of the glyph's box; None for a blank."""
    left: int
    top: int
    """Offset of the box from the pen position on the baseline, pixels."""


@lru_cache(maxsize=8192)
def _glyph(face: str, size: float, character: str) -> _Glyph:
    """Draw a glyph at ``size`` pixels per em."""
    from PIL import Image, ImageDraw

    drawn = font(face, size)
    left, top, right, bottom = (int(v) for v in drawn.getbbox(character, anchor="ls"))
    if right <= left or bottom <= top:
        return _Glyph(None, 0, 0)
    mask = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(mask).text((-left, -top), character, font=drawn, fill=255, anchor="ls")
    return _Glyph(mask, left, top)


def _paint_text(image: Image.Image, text: TextRun, scale: float, color: Any) -> None:
    size = round(text.font.size * scale * 4) / 4
    if text.angle:
        _paint_turned(image, text, size, scale, color)
        return
    x, y = text.x * scale, round(text.y * scale)
    widths = advances(text.font.face, text.text, text.font.size * scale)
    for character, width in zip(text.text, widths, strict=True):
        glyph = _glyph(text.font.face, size, character)
        if glyph.mask is not None:
            image.paste(color, (round(x) + glyph.left, y + glyph.top), glyph.mask)
        x += width


def _paint_turned(image: Image.Image, text: TextRun, size: float, scale: float, color: Any) -> None:
    """Paint a text at an angle: draw it level around the middle of a square, then turn the square."""
    from PIL import Image

    half = math.ceil(text.width * scale + size * 2)
    level = Image.new("L", (2 * half, 2 * half), 0)
    flat = TextRun(half / scale, half / scale, text.text, text.font)
    _paint_text(level, flat, scale, 255)
    turned = level.rotate(text.angle, Image.Resampling.BICUBIC)
    image.paste(color, (round(text.x * scale) - half, round(text.y * scale) - half), turned)


def _paint_shape(image: Image.Image, shape: Shape, scale: float, color: Any, fill: Any) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    points = [(x * scale, y * scale) for x, y in shape.points]
    width = max(1, round(shape.width * scale))
    level = len({round(y) for _, y in points}) <= 2 and len({round(x) for x, _ in points}) <= 2
    if shape.closed and level and len(points) == 4:
        (left, top), (right, bottom) = points[0], points[2]
        box = (round(left), round(top), round(right), round(bottom))
        if box[2] >= box[0] and box[3] >= box[1]:
            outline = color if shape.color is not None else None
            draw.rectangle(box, fill=fill, outline=outline, width=width)
        return
    if fill is not None and len(points) > 2:
        draw.polygon(points, fill=fill)
    if shape.color is None:
        return
    if shape.closed:
        points.append(points[0])
    if len(points) == 2 and level:
        points = [(round(x), round(y)) for x, y in points]
    draw.line(points, fill=color, width=width, joint="curve" if len(points) > 2 else None)


def _extent(ink: Ink, scale: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box of pixels that ``ink`` may touch, inside the page."""
    xs: list[float] = []
    ys: list[float] = []
    for part in ink.operations:
        if isinstance(part, TextRun):
            reach = part.width + part.font.size
            xs += [part.x - reach, part.x + reach]
            ys += [part.y - reach, part.y + reach]
        else:
            xs += [x for x, _ in part.points]
            ys += [y for _, y in part.points]
    return (
        max(0, math.floor((min(xs) - 3) * scale)),
        max(0, math.floor((min(ys) - 3) * scale)),
        min(size[0], math.ceil((max(xs) + 3) * scale)),
        min(size[1], math.ceil((max(ys) + 3) * scale)),
    )


def _moved(part: TextRun | Shape, x: float, y: float) -> TextRun | Shape:
    if isinstance(part, TextRun):
        return replace(part, x=part.x - x, y=part.y - y)
    return replace(part, points=tuple((px - x, py - y) for px, py in part.points))


def _color_of(ink: Ink) -> Color:
    first = ink.operations[0]
    color = first.font.color if isinstance(first, TextRun) else first.color
    return color if color is not None else (0, 0, 0)


def _paint_ink(image: Image.Image, ink: Ink, scale: float) -> None:
    """Multiply what lies beneath by the ink's colour where the ink covers it."""
    from PIL import Image, ImageChops

    left, top, right, bottom = _extent(ink, scale, image.size)
    if right <= left or bottom <= top:
        return
    box = (left, top, right, bottom)
    mask = Image.new("L", (right - left, bottom - top), 0)
    for part in ink.operations:
        moved = _moved(part, left / scale, top / scale)
        if isinstance(moved, TextRun):
            _paint_text(mask, moved, scale, 255)
        else:
            _paint_shape(mask, moved, scale, 255, 255 if moved.fill is not None else None)
    if ink.wear is not None:
        mask = ImageChops.multiply(mask, _blotches(mask.size, ink.wear, scale))
    mask = mask.point(lambda value: value * ink.opacity)
    beneath = image.crop(box)
    inked = ImageChops.multiply(beneath, Image.new("RGB", beneath.size, _color_of(ink)))
    image.paste(inked, box[:2], mask)


def _blotches(size: tuple[int, int], seed: int, scale: float) -> Image.Image:
    """Return the coverage of uneven ink: smooth noise, mostly full, thin in places."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(seed)
    grain = max(1.0, 2.2 * scale)
    small = noise.random((max(2, int(size[1] / grain)), max(2, int(size[0] / grain)))) * 255
    coarse = noise.random((5, 5)) * 255
    fine = Image.fromarray(small.astype("uint8")).resize(size, Image.Resampling.BICUBIC)
    slow = Image.fromarray(coarse.astype("uint8")).resize(size, Image.Resampling.BICUBIC)
    mixed = Image.blend(fine, slow, 0.5)
    return mixed.point(lambda value: max(120, min(255, int((value - 40) * 3.2))))


def rasterise(sheet: Sheet, dpi: int) -> Image.Image:
    """Draw ``sheet`` as an RGB image at ``dpi``, its size rounded to whole pixels."""
    from PIL import Image

    factor = 1 if dpi >= _SMOOTH_BELOW else 2
    scale = dpi / 72 * factor
    size = (round(sheet.width * dpi / 72), round(sheet.height * dpi / 72))
    image = Image.new("RGB", (size[0] * factor, size[1] * factor), sheet.paper)
    for operation in sheet.operations:
        if isinstance(operation, TextRun):
            _paint_text(image, operation, scale, operation.font.color)
        elif isinstance(operation, Shape):
            _paint_shape(image, operation, scale, operation.color, operation.fill)
        else:
            _paint_ink(image, operation, scale)
    return image if factor == 1 else image.reduce(factor)

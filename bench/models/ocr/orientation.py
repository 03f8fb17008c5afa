"""Glances at a scan before it is read: which way up it lies, and in what script and language it is.

A scanner that is fed sideways leaves no mark in the file. The lines that RapidOCR's detector sees tell the
axis: on a sideways page they are tall. Of the two ways that remain, the one is right in which the recognisers
are surer of the longest lines. That is right more often than RapidOCR's own classifier of lines, which knows
no Cyrillic, and than Tesseract's detection of the orientation; docs/pages.md has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.models.ocr.rapid_ocr import as_bgr
from bench.models.ocr.reading import LONGEST_SIDE, Fragment, Reading
from bench.schema import Page, PlacedText
from bench.tasks.guard import text_layer
from bench.tasks.images import turned
from bench.tasks.pages import open_page
from bench.tasks.textlayer import upright_turn

if TYPE_CHECKING:
    from PIL.Image import Image

_DETECTION_SIDE = 672
"""Pixels of the longer side at which lines are looked for."""
_READ_LINES = 5
"""Longest lines that are read."""
_LINE_LENGTH = 16
"""Line heights of a long line that are read: some thirty letters."""
_FEWEST_LINES = 3
"""With fewer lines there is no decision: a single line may be a stamp."""
_CLEAR = 0.03
"""By how much the mean confidence of the lines must be better for a page to be turned."""
_SURE = 0.97
"""Mean confidence that a recogniser reaches only in a script that it knows, on lines that stand upright."""
_SLENDER = 1.5
"""Ratio of the sides from which a box is a line with an axis."""


class Glance(NamedTuple):
    """What the longest lines of a scan say."""

    turn: int
    """Clockwise turn in degrees (0, 90, 180, 270) after which the text stands upright."""
    text: str
    """These lines, by the recogniser that is surest of them."""


class _Lines(NamedTuple):
    """Lines as a recogniser read them."""

    confidence: float
    text: str


class _Line(NamedTuple):
    """The box of a line of text, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def length(self) -> float:
        return max(self.right - self.left, self.bottom - self.top)

    @property
    def pixels(self) -> tuple[int, int, int, int]:
        """The box of its beginning, as ``Image.crop`` takes it."""
        most = _LINE_LENGTH * min(self.right - self.left, self.bottom - self.top)
        right, bottom = min(self.right, self.left + most), min(self.bottom, self.top + most)
        return int(self.left), int(self.top), int(right) + 1, int(bottom) + 1

    @property
    def is_tall(self) -> bool:
        return self.bottom - self.top > _SLENDER * (self.right - self.left)

    @property
    def is_wide(self) -> bool:
        return self.right - self.left > _SLENDER * (self.bottom - self.top)


def glance(image: Image, engines: Sequence[Any]) -> Glance:
    """Look at the longest lines of a scan.

    Args:
        image: an RGB page.
        engines: of the type ``rapidocr.RapidOCR``. The first one's detector and all recognisers are used.
    """
    parts = [(engine.use_det, engine.use_cls, engine.use_rec) for engine in engines]
    try:
        return _glance(image, engines)
    finally:
        # RapidOCR keeps the choice of a call for the calls after it.
        for engine, chosen in zip(engines, parts, strict=True):
            engine.use_det, engine.use_cls, engine.use_rec = chosen


def _glance(image: Image, engines: Sequence[Any]) -> Glance:
    lines = _lines(image, engines[0])
    tall = [line for line in lines if line.is_tall]
    wide = [line for line in lines if line.is_wide]
    is_sideways = len(tall) > len(wide)
    longest = sorted(tall if is_sideways else wide, key=lambda line: -line.length)[:_READ_LINES]
    if len(longest) < _FEWEST_LINES:
        return Glance(0, "")
    axis = 90 if is_sideways else 0
    crops = [turned(image.crop(line.pixels), axis) for line in longest]
    over = [turned(crop, 180) for crop in crops]
    one_way = other_way = _Lines(0.0, "")
    for engine in engines:
        one_way = max(one_way, _read(crops, engine))
        other_way = max(other_way, _read(over, engine))
        if max(one_way, other_way).confidence > _SURE:
            break  # it knows the script, so no other recogniser is asked
    gain = other_way.confidence - one_way.confidence
    if is_sideways and abs(gain) < _CLEAR:
        # Columns of upright Chinese are tall, too.
        return Glance(0, "")
    return Glance(axis + 180, other_way.text) if gain > _CLEAR else Glance(axis, one_way.text)


def page_turn(page: Page, engines: Sequence[Any]) -> int:
    """Return the clockwise turn in degrees after which the text of a page stands upright.

    The letters of a text layer know it. Elsewhere ``glance`` looks at the picture.
    """
    words = text_layer(page)
    return upright_turn(words) if words else glance(open_page(page, LONGEST_SIDE), engines).turn


def text_layer_reading(page: Page) -> Reading | None:
    """Return the words that a PDF page carries, turned upright; None for a scan or an image."""
    words = text_layer(page)
    if not words:
        return None
    turn = upright_turn(words)
    width, height = page.width, page.height
    across, down = (height, width) if turn in {90, 270} else (width, height)
    fragments = []
    for word in words:
        text, left, top, right, bottom = PlacedText(
            word.text,
            word.left / width,
            word.top / height,
            word.right / width,
            word.bottom / height,
        ).turned_back(-turn % 360)
        fragments.append(Fragment(text, left * across, top * down, right * across, bottom * down))
    return Reading(tuple(fragments))


def _lines(image: Image, engine: Any) -> list[_Line]:
    """Return the boxes of the lines that the detector sees, in pixels of ``image``."""
    shrink = min(1.0, _DETECTION_SIDE / max(image.size))
    size = max(1, round(image.width * shrink)), max(1, round(image.height * shrink))
    small = image.resize(size, reducing_gap=2.0)
    boxes = engine(as_bgr(small), use_det=True, use_cls=False, use_rec=False).boxes
    if boxes is None:
        return []
    scale = image.width / small.width
    lines = []
    for corners in boxes:
        xs = [float(x) * scale for x, _ in corners]
        ys = [float(y) * scale for _, y in corners]
        lines.append(_Line(min(xs), min(ys), max(xs), max(ys)))
    return lines


def _read(crops: Sequence[Image], engine: Any) -> _Lines:
    """Recognise single lines; the confidence is their mean."""
    total, texts = 0.0, []
    for crop in crops:
        result = engine(as_bgr(crop), use_det=False, use_cls=False, use_rec=True)
        if result.txts:
            total += float(result.scores[0])
            texts.append(result.txts[0])
    return _Lines(total / len(crops), "\n".join(texts))

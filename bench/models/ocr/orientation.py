"""Finds out which way up a scan lies, so that OCR reads it upright.

A scanner that is fed sideways leaves no mark in the file. The lines that RapidOCR's detector
sees tell the axis: on a sideways page they are tall. Its classifier, which tells a line from the
same line upside down, then votes on the longest of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bench.models.ocr.readers import Fragment, Reading
from bench.schema import Page
from bench.tasks.guard import text_layer
from bench.tasks.images import turned
from bench.tasks.pages import open_page
from bench.tasks.textlayer import upright_turn

if TYPE_CHECKING:
    from PIL.Image import Image

_DETECTION_SIDE = 960
"""Pixels of the longer side at which lines are looked for."""
_VOTERS = 12
"""Longest lines that vote."""
_FEWEST_VOTERS = 3
"""With fewer lines there is no vote: a single line may be a stamp."""
_CLEAR_SIDEWAYS = 0.35
"""Share of the votes, weighed by their confidence, by which one side of a sideways page must win."""
_CLEAR_UPSIDE_DOWN = 0.75
"""The same for a turn by 180°: most wide pages stand upright, and Cyrillic misleads the classifier."""
_SLENDER = 1.5
"""Ratio of the sides from which a box is a line with an axis."""


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
    def is_tall(self) -> bool:
        return self.bottom - self.top > _SLENDER * (self.right - self.left)

    @property
    def is_wide(self) -> bool:
        return self.right - self.left > _SLENDER * (self.bottom - self.top)


def scan_turn(image: Image, engine: Any) -> int:
    """Return the clockwise turn in degrees (0, 90, 180, 270) after which the text of a scan stands upright.

    Args:
        image: an RGB page.
        engine: a ``rapidocr.RapidOCR``; its detector and its classifier are used.
    """
    parts = engine.use_det, engine.use_cls, engine.use_rec
    try:
        return _voted_turn(image, engine)
    finally:
        # RapidOCR keeps the choice of a call for the calls after it.
        engine.use_det, engine.use_cls, engine.use_rec = parts


def _voted_turn(image: Image, engine: Any) -> int:
    lines = _lines(image, engine)
    tall = [line for line in lines if line.is_tall]
    wide = [line for line in lines if line.is_wide]
    is_sideways = len(tall) > len(wide)
    voters = sorted(tall if is_sideways else wide, key=lambda line: -line.length)[:_VOTERS]
    if len(voters) < _FEWEST_VOTERS:
        return 0
    balance = 0.0
    for line in voters:
        crop = image.crop(
            (int(line.left), int(line.top), int(line.right) + 1, int(line.bottom) + 1)
        )
        balance += _vote(turned(crop, 90) if is_sideways else crop, engine)
    share = balance / len(voters)
    if not is_sideways:
        return 180 if share < -_CLEAR_UPSIDE_DOWN else 0
    # Columns of upright Chinese are tall, too: without a clear vote the page stays as it is.
    if abs(share) < _CLEAR_SIDEWAYS:
        return 0
    return 90 if share > 0 else 270


def page_turn(page: Page, engine: Any) -> int:
    """Return the clockwise turn in degrees after which the text of a page stands upright.

    The letters of a text layer know it. Elsewhere ``scan_turn`` looks at the picture.
    """
    words = text_layer(page)
    return upright_turn(words) if words else scan_turn(open_page(page), engine)


def text_layer_reading(page: Page) -> Reading | None:
    """Return the words that a PDF page carries, turned upright; None for a scan or an image."""
    words = text_layer(page)
    if not words:
        return None
    turn = upright_turn(words)
    width, height = page.width, page.height
    fragments = []
    for word in words:
        left, top, right, bottom = word.left, word.top, word.right, word.bottom
        if turn == 90:
            left, top, right, bottom = height - bottom, left, height - top, right
        elif turn == 180:
            left, top, right, bottom = width - right, height - bottom, width - left, height - top
        elif turn == 270:
            left, top, right, bottom = top, width - right, bottom, width - left
        fragments.append(Fragment(word.text, left, top, right, bottom))
    return Reading(tuple(fragments))


def _lines(image: Image, engine: Any) -> list[_Line]:
    """Return the boxes of the lines that the detector sees, in pixels of ``image``."""
    small = image.copy()
    small.thumbnail((_DETECTION_SIDE, _DETECTION_SIDE))
    boxes = engine(_pixels(small), use_det=True, use_cls=False, use_rec=False).boxes
    if boxes is None:
        return []
    scale = image.width / small.width
    lines = []
    for corners in boxes:
        xs = [float(x) * scale for x, _ in corners]
        ys = [float(y) * scale for _, y in corners]
        lines.append(_Line(min(xs), min(ys), max(xs), max(ys)))
    return lines


def _vote(line: Image, engine: Any) -> float:
    """Return the confidence that a line is upright, or minus the confidence that it is upside down."""
    result = engine(_pixels(line), use_det=False, use_cls=True, use_rec=False)
    if not result.cls_res:
        return 0.0
    label, confidence = result.cls_res[0]
    return -float(confidence) if label == "180" else float(confidence)


def _pixels(image: Image) -> Any:
    """Return an RGB image as RapidOCR takes it: an array in OpenCV's order, BGR."""
    import numpy as np

    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])

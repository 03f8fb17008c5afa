"""How large a page is when a Qwen-VL model sees it, and how many visual tokens that makes.

A pure copy of the model's arithmetic, so that batches can be planned without loading anything.
Reference: ``smart_resize`` of qwen-vl-utils (https://github.com/QwenLM/Qwen2-VL), commit 35ba6e1.
transformers' image processor rounds the same way except where a side is at most half a factor
(14 pixels): there it first rounds the side to 0 and enlarges the page to ``min_pixels``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from bench.errors import InvalidInput

FACTOR = 28
"""Side of a visual token in pixels: patches of 14, merged two by two (Qwen2-VL, Qwen2.5-VL)."""

MIN_PIXELS = 56 * 56
MAX_PIXELS = 16384 * 28 * 28
"""Bounds in the preprocessor configuration of the Qwen2-VL checkpoints: 4 to 16384 visual tokens."""

MAX_ASPECT_RATIO = 200


class Size(NamedTuple):
    """Height and width in pixels, in the order in which image tensors have them."""

    height: int
    width: int


def smart_resize(
    height: int,
    width: int,
    *,
    factor: int = FACTOR,
    min_pixels: int = MIN_PIXELS,
    max_pixels: int = MAX_PIXELS,
) -> Size:
    """The size that a page is resized to: multiples of ``factor``, the area within the bounds.

    The aspect ratio is kept as nearly as the multiples allow. Rounding is to even, as in the
    reference: 42 and 70 pixels both become 56.

    Raises:
        InvalidInput: a side is not positive, or one side is more than 200 times the other.
    """
    if height < 1 or width < 1:
        raise InvalidInput(f"a page of {width}x{height} pixels has no content")
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise InvalidInput(
            f"a page of {width}x{height} pixels is too narrow: "
            f"one side may be at most {MAX_ASPECT_RATIO} times the other",
            hint="cut the page into pieces",
        )
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    return Size(new_height, new_width)


def visual_tokens(
    height: int,
    width: int,
    *,
    factor: int = FACTOR,
    min_pixels: int = MIN_PIXELS,
    max_pixels: int = MAX_PIXELS,
) -> int:
    """Tokens that a page of ``height`` x ``width`` pixels costs, markers around it left out.

    Raises:
        InvalidInput: as ``smart_resize``.
    """
    size = smart_resize(height, width, factor=factor, min_pixels=min_pixels, max_pixels=max_pixels)
    return (size.height // factor) * (size.width // factor)

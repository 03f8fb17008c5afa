"""Computes what the case file ``smart_resize`` expects: the size at which a Qwen-VL model sees a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.models.pixels import FACTOR, smart_resize


def resized(case: Mapping[str, Any]) -> dict[str, int]:
    """The size and the visual tokens of a page, whose sides and pixel bounds are in ``case["input"]``."""
    bounds = dict(case["input"])
    height, width = bounds.pop("height"), bounds.pop("width")
    size = smart_resize(height, width, **bounds)
    tokens = (size.height // FACTOR) * (size.width // FACTOR)
    return {"height": size.height, "width": size.width, "visual_tokens": tokens}


CONFORMANCE: dict[str, Callable[[Mapping[str, Any]], object]] = {"smart_resize": resized}
"""Name of the case file → what computes the values of one case."""

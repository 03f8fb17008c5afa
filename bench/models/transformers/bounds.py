"""What ``min_pixels`` and ``max_pixels`` are called by the image processors of transformers.

Each family bounds a page in its own unit: the area, the longest side, a number of tiles or of tokens. A bound
in pixels is translated to the largest setting whose pages have at most as many pixels. Other processors make
every page the same size, or choose among fixed ones; asking them for a bound is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from bench.errors import InvalidInput

Unit = Literal["area", "volume", "side", "tiled side", "tiles", "slices", "tokens"]
"""``area``: pixels of a page. ``volume``: the same, times the frames that a still page is repeated for.
``side``: the longest side. ``tiled side``: the longest side, which tiles fill up. ``tiles``: equal tiles.
``slices``: tiles that follow the shape of the page. ``tokens``: visual tokens, in steps."""

_IN_WORDS: dict[Unit, str] = {
    "area": "area of a page",
    "volume": "area of a page",
    "side": "longest side of a page",
    "tiled side": "longest side of a page, in whole tiles",
    "tiles": "number of tiles",
    "slices": "number of slices",
    "tokens": "number of visual tokens",
}

_UNITS: dict[str, Unit] = {
    "Qwen2VLImageProcessor": "area",
    "PaddleOCRVLImageProcessor": "area",
    "HunYuanVLImageProcessor": "area",
    "VideoLlama3ImageProcessor": "area",
    "Ernie4_5_VLMoeImageProcessor": "area",
    "CohereCompassImageProcessor": "area",
    "Glm4vImageProcessor": "volume",
    "Glm46VImageProcessor": "volume",
    "GlmgaImageProcessor": "volume",
    "Cosmos3EdgeImageProcessor": "volume",
    "PixtralImageProcessor": "side",
    "Idefics3ImageProcessor": "tiled side",
    "SmolVLMImageProcessor": "tiled side",
    "GotOcr2ImageProcessor": "tiles",
    "GraniteDoclingImageProcessor": "tiles",
    "MiniCPMV4_6ImageProcessor": "slices",
    "Gemma4ImageProcessor": "tokens",
}
"""Class of an image processor, without the ending of its backend → the unit of its bound."""

_GEMMA4_TOKENS = (70, 140, 280, 560, 1120)
"""The only values that its image processor accepts."""


class PixelSetting(NamedTuple):
    """How one image processor bounds its pages."""

    processor: str
    """Its class."""
    unit: Unit | None
    """None if there is no bound that could be set."""
    min_pixels: int | None
    """Its own lower bound on a page; None if it has none."""
    max_pixels: int | None
    """Its own upper bound on a page; None if it has none."""
    step: int
    """Pixels of one tile, slice or token: the smallest bound that it can follow; 1 for an area or a side."""
    frames: int
    """Times that a page is counted in ``volume``."""

    def check(self, name: str, low: int | None, high: int | None) -> None:
        """Refuse bounds for the model ``name`` that its image processor cannot follow.

        Raises:
            InvalidInput: naming the bound, and what the processor does.
        """
        asked = "max_pixels" if high is not None else "min_pixels"
        if (low, high) != (None, None) and self.unit is None:
            raise InvalidInput(
                f"model {name!r} cannot follow {asked}: its image processor ({self.processor}) has no bound "
                "on a page that could be set",
                hint=f"leave out {asked}",
            )
        if low is not None and self.unit not in {"area", "volume"}:
            raise InvalidInput(
                f"model {name!r} cannot follow min_pixels: its image processor ({self.processor}) has an "
                "upper bound only",
                hint="leave out min_pixels",
            )
        if high is not None and high < self.step:
            raise InvalidInput(
                f"model {name!r} cannot follow max_pixels = {high:,}: the smallest page of its image "
                f"processor ({self.processor}) has {self.step:,} pixels",
                hint=f"--max-pixels {self.step}",
            )
        least, most = low or self.min_pixels or 0, high or self.max_pixels
        if most is not None and least > most:
            raise InvalidInput(
                f"model {name!r}: min_pixels ({least:,}) is above max_pixels ({most:,})",
                hint="give both --min-pixels and --max-pixels",
            )

    def arguments(self, low: int | None, high: int | None) -> dict[str, Any]:
        """The arguments of the image processor under which a page has at most ``high`` pixels.

        ``low`` and ``high`` have passed ``check``; None leaves the processor's own bound.
        """
        if self.unit is None or (low is None and high is None):
            return {}
        if self.unit in {"area", "volume"}:
            return self._areas(low, high)
        assert high is not None  # check refuses a lower bound alone
        fitting = high // self.step
        if self.unit == "side":
            return {"size": {"longest_edge": math.isqrt(high)}}
        if self.unit == "tiled side":
            return {"size": {"longest_edge": math.isqrt(fitting) * math.isqrt(self.step)}}
        if self.unit == "tiles":
            return {"max_patches": fitting, "crop_to_patches": fitting > 1}
        if self.unit == "slices":
            return {"max_slice_nums": fitting, "slice_mode": fitting > 1}
        return {"max_soft_tokens": max(size for size in _GEMMA4_TOKENS if size <= fitting)}

    def in_words(self, low: int | None, high: int | None) -> str:
        """How pages are bounded, for the record of a run: the unit, and the setting that took effect."""
        if self.unit is None:
            return "none that could be set"
        arguments = self.arguments(low, self.max_pixels if high is None else high)
        setting = ", ".join(f"{key} = {value}" for key, value in arguments.items())
        return f"{_IN_WORDS[self.unit]}: {setting}"

    def _areas(self, low: int | None, high: int | None) -> dict[str, Any]:
        most = self.max_pixels if high is None else high
        least = self.min_pixels if low is None else low
        # A bound that memory sets may lie below the processor's own lower one.
        if least is not None and most is not None:
            least = min(least, most)
        size = {"shortest_edge": least, "longest_edge": most}
        return {"size": {key: value * self.frames for key, value in size.items() if value}}


def pixel_setting(images: Any) -> PixelSetting:
    """How the image processor ``images`` bounds its pages."""
    name = type(images).__name__
    unit = next((_UNITS[base] for base in _base_names(type(images)) if base in _UNITS), None)
    size = _sizes(getattr(images, "size", None))
    frames = int(getattr(images, "temporal_patch_size", 1)) if unit == "volume" else 1
    low, high, step = None, None, 1
    if unit in {"area", "volume"}:
        low, high = (_divided(size.get(key), frames) for key in ("shortest_edge", "longest_edge"))
    elif unit == "side":
        high = _square(size.get("longest_edge"))
    elif unit == "tiled side":
        step = _square(_sizes(images.max_image_size).get("longest_edge")) or 1
        high = _square(size.get("longest_edge"))
    elif unit == "tiles":
        step = (size.get("height") or 1) * (size.get("width") or 1)
        high = step * (int(images.max_patches) if images.crop_to_patches else 1)
    elif unit == "slices":
        step = int(images.scale_resolution) ** 2
        high = step * (int(images.max_slice_nums) if images.slice_mode else 1)
    elif unit == "tokens":
        token = (int(images.patch_size) * int(images.pooling_kernel_size)) ** 2
        return PixelSetting(name, unit, None, token * int(images.max_soft_tokens), token, 1)
    return PixelSetting(name, unit, low, high, step, frames)


def _base_names(processor: type) -> list[str]:
    """The names of a class and of what it is made from, without the ending of a backend."""
    names = [base.__name__ for base in processor.__mro__]
    return [name.removesuffix("Pil").removesuffix("Fast") for name in names]


def _sizes(size: Any) -> Mapping[str, int]:
    """The sides that ``size`` gives, whether it is a table or an object of transformers."""
    sides: dict[str, int] = {}
    for key in ("height", "width", "shortest_edge", "longest_edge"):
        value = size.get(key) if isinstance(size, Mapping) else getattr(size, key, None)
        if isinstance(value, int):
            sides[key] = value
    return sides


def _square(side: int | None) -> int | None:
    return None if side is None else side * side


def _divided(pixels: int | None, frames: int) -> int | None:
    return None if pixels is None else pixels // frames

"""``--sweep max_pixels=256,512,1024``: runs every model once for each bound on the size of a page.

A value is in visual tokens, so that it means the same for every model; the side of a token is 28 pixels for
Qwen2-VL and Qwen2.5-VL, and 32 for Qwen3-VL. A backend without visual tokens, such as ``ocr``, gets the
pixels of Qwen2-VL. The variants are ordinary models: they resume, compare and rank as all others do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from bench.errors import InvalidInput, did_you_mean
from bench.formatting import count, plural
from bench.models.backends import traits_of
from bench.models.footprint import published_shape
from bench.models.pixels import FACTOR, MIN_PIXELS
from bench.models.settings import check_followed
from bench.schema import ModelSpec
from bench.text import one_line

FIELDS = ("max_pixels",)
MOST_TOKENS = 16_384
"""The largest page that the processor configuration of the Qwen2-VL checkpoints allows."""
_EXAMPLE = "--sweep max_pixels=256,512,1024 (visual tokens)"


class _Grain(NamedTuple):
    """The sizes from which a model's bound is computed."""

    area: int
    """Pixels of a visual token."""
    least: int
    """Pixels to which the model enlarges every smaller page."""


def parse_sweep(text: str) -> tuple[int, ...]:
    """The bounds that ``max_pixels=256,512,…`` names, ascending, in visual tokens.

    Raises:
        InvalidInput: it names another setting, a value is not a whole number from 4 to 16384, or one is
            named twice.
    """
    name, equals, values = text.partition("=")
    if name.strip() not in FIELDS or not equals:
        raise InvalidInput(
            f"--sweep {one_line(text, 60)}: only max_pixels can be swept",
            hint=did_you_mean(name.strip(), FIELDS) if equals else _EXAMPLE,
        )
    bounds: list[int] = []
    for part in values.split(","):
        value = part.strip()
        least = MIN_PIXELS // FACTOR**2
        if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= MOST_TOKENS:
            raise InvalidInput(
                f"--sweep {one_line(text, 60)}: {one_line(value, 20)!r} is not a number of visual tokens "
                f"from {least} to {count(MOST_TOKENS)}",
                hint=_EXAMPLE,
            )
        if int(value) in bounds:
            raise InvalidInput(
                f"--sweep {one_line(text, 60)}: {value} is named twice",
                hint="name every value once",
            )
        bounds.append(int(value))
    return tuple(sorted(bounds))


def swept(models: Sequence[ModelSpec], tokens: Sequence[int]) -> tuple[ModelSpec, ...]:
    """Each model once for every bound, called ``NAME@TOKENS``.

    Raises:
        InvalidInput: a model cannot follow a bound, has one already, cannot go as low, or has tokens of
            unknown size.
    """
    check_followed(models, {"max_pixels": max(tokens)}, flags={"max_pixels": "--sweep"})
    return tuple(_variant(spec, bound) for spec in models for bound in tokens)


def _variant(spec: ModelSpec, tokens: int) -> ModelSpec:
    if spec.max_pixels is not None:
        raise InvalidInput(
            f"model {spec.name!r} already has the bound max_pixels = {count(spec.max_pixels)}, "
            "so it cannot be swept",
            hint="leave out --max-pixels, or name the model without a bound",
        )
    grain = _grain(spec)
    pixels = tokens * grain.area
    least = grain.least if spec.min_pixels is None else spec.min_pixels
    if pixels < least:
        raise InvalidInput(
            f"model {spec.name!r}: {plural(tokens, 'visual token')} are {count(pixels)} pixels, which is "
            f"below its min_pixels ({count(least)})",
            hint=f"sweep from {-(-least // grain.area)} visual tokens on, or lower --min-pixels",
        )
    return replace(spec, name=f"{spec.name}@{tokens}", max_pixels=pixels)


def _grain(spec: ModelSpec) -> _Grain:
    if not traits_of(spec).visual_tokens:
        return _Grain(FACTOR**2, 0)
    published = published_shape(spec)
    if published is None:
        raise InvalidInput(
            f"the size of a visual token of {spec.checkpoint} is not known before it is downloaded",
            hint=f"hf download {spec.checkpoint}, or name a checkpoint folder",
        )
    return _Grain(published.architecture.factor**2, published.bounds.min_pixels)

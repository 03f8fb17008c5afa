"""``--sweep visual_tokens=256,512,1024``: every model once for each bound on a page, as variants of its own.

The bounds may also be given in pixels: ``--sweep max_pixels=200704,401408``. A visual token covers 28 x 28
pixels for Qwen2-VL and Qwen2.5-VL and 32 x 32 for Qwen3-VL. A backend without visual tokens, such as
``ocr``, gets the pixels of Qwen2-VL. Variants are ordinary models: they resume, compare and rank as all
others do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from bench.errors import InvalidInput, did_you_mean
from bench.models.backends import traits_of
from bench.models.footprint import local_folder, published_shape
from bench.models.pixels import FACTOR, MAX_PIXELS, MIN_PIXELS
from bench.models.settings import check_followed
from bench.schema import ModelSpec
from bench.text import one_line

VISUAL_TOKENS, MAX_PIXELS_FIELD = "visual_tokens", "max_pixels"
FIELDS = (VISUAL_TOKENS, MAX_PIXELS_FIELD)
FEWEST_TOKENS, MOST_TOKENS = MIN_PIXELS // FACTOR**2, MAX_PIXELS // FACTOR**2
"""In the processor configuration of the Qwen2-VL checkpoints; no page becomes fewer or more."""
MOST_PIXELS = MOST_TOKENS * 32 * 32
"""As many tokens of the largest size, that of Qwen3-VL."""
_EXAMPLE = "--sweep visual_tokens=256,512,1024"


class Sweep(NamedTuple):
    """The bounds that every model of a run is tried under, ascending."""

    unit: str
    """One of ``FIELDS``."""
    bounds: tuple[int, ...]


class PageBound(NamedTuple):
    """The bound on a page in both units."""

    pixels: int
    visual_tokens: int | None
    """None if the size of the model's tokens is not known."""


class _Grain(NamedTuple):
    """The sizes from which a model's bound is computed."""

    area: int
    """Pixels of a visual token."""
    least: int
    """Pixels to which the model enlarges every smaller page."""


def parse_sweep(text: str) -> Sweep:
    """The bounds of ``visual_tokens=256,512,…`` or of ``max_pixels=200704,…``.

    Raises:
        InvalidInput: another setting, a value that is no whole number of its unit, or one twice.
    """
    name, equals, values = text.partition("=")
    unit = name.strip().replace("-", "_")
    where = f"--sweep {one_line(text, 60)}"
    if not equals:
        raise InvalidInput(f"{where}: expected NAME=VALUES", hint=_EXAMPLE)
    if unit not in FIELDS:
        raise InvalidInput(
            f"{where}: only visual_tokens and max_pixels can be swept",
            hint=did_you_mean(unit, FIELDS),
        )
    bounds: list[int] = []
    for part in values.split(","):
        bound = _bound(part.strip(), unit, where)
        if bound in bounds:
            raise InvalidInput(f"{where}: {bound} is named twice", hint="name every value once")
        bounds.append(bound)
    return Sweep(unit, tuple(sorted(bounds)))


def _bound(value: str, unit: str, where: str) -> int:
    """One value of ``--sweep`` as a number, where it is one of its unit."""
    in_pixels = unit == MAX_PIXELS_FIELD
    least, most = (MIN_PIXELS, MOST_PIXELS) if in_pixels else (FEWEST_TOKENS, MOST_TOKENS)
    if re.fullmatch(r"[0-9]{1,9}", value) and least <= int(value) <= most:
        return int(value)
    noun = "pixels" if in_pixels else "visual tokens"
    message = (
        f"{where}: {one_line(value, 20)!r} is not a number of {noun} from {least:,} to {most:,}"
    )
    if in_pixels and re.fullmatch(r"[0-9]{1,4}", value):
        tokens = where.replace("max-pixels", VISUAL_TOKENS).replace("max_pixels", VISUAL_TOKENS)
        raise InvalidInput(message, hint=f"{tokens}, if you mean visual tokens")
    raise InvalidInput(message, hint=_EXAMPLE)


def swept(models: Sequence[ModelSpec], sweep: Sweep) -> tuple[ModelSpec, ...]:
    """Each model once for every bound, called ``NAME@TOKENS`` whichever unit the bound was given in.

    Where the size of a token is not known, a bound in pixels makes ``NAME@PIXELSpx``.

    Raises:
        InvalidInput: a model cannot follow a bound, has one already, cannot go as low, or has tokens of
            unknown size, of which the bounds are a number.
    """
    check_followed(models, {"max_pixels": sweep.bounds[-1]}, flags={"max_pixels": "--sweep"})
    return tuple(_variant(spec, bound, sweep.unit) for spec in models for bound in sweep.bounds)


def _variant(spec: ModelSpec, bound: int, unit: str) -> ModelSpec:
    if spec.max_pixels is not None:
        raise InvalidInput(
            f"model {spec.name!r} already has a bound of {spec.max_pixels:,} pixels on a page, "
            "so it cannot be swept",
            hint="leave out --max-pixels and --visual-tokens, or name the model without a bound",
        )
    if unit == VISUAL_TOKENS:
        return replace(spec, name=f"{spec.name}@{bound}", max_pixels=tokens_as_pixels(spec, bound))
    if traits_of(spec).visual_tokens and published_shape(spec) is None:
        return replace(spec, name=f"{spec.name}@{bound}px", max_pixels=bound)
    grain = _grain(spec)
    _check_least(spec, grain, bound)
    return replace(spec, name=f"{spec.name}@{bound // grain.area}", max_pixels=bound)


def tokens_as_pixels(spec: ModelSpec, tokens: int) -> int:
    """The bound of ``tokens`` visual tokens on a page in the pixels of the model.

    Raises:
        InvalidInput: the model enlarges every page beyond it, or has tokens of unknown size.
    """
    grain = _grain(spec)
    _check_least(spec, grain, tokens * grain.area)
    return tokens * grain.area


def token_pixels(spec: ModelSpec) -> int:
    """The pixels that one visual token of the model covers.

    Raises:
        InvalidInput: it is not known.
    """
    return _grain(spec).area


def _check_least(spec: ModelSpec, grain: _Grain, pixels: int) -> None:
    least = grain.least if spec.min_pixels is None else spec.min_pixels
    if pixels < least:
        raise InvalidInput(
            f"model {spec.name!r} enlarges every page to {least:,} pixels (min_pixels), so a bound of "
            f"{pixels // grain.area:,} visual tokens ({pixels:,} pixels) cannot hold",
            hint=f"name at least {-(-least // grain.area):,} visual tokens, or lower --min-pixels",
        )


def page_bound(spec: ModelSpec) -> PageBound | None:
    """The bound on a page that holds for ``spec`` in both units; None if it is not known or has none."""
    shape = published_shape(spec)
    if shape is None:
        pixels = spec.max_pixels
        return None if pixels is None else PageBound(pixels, None)
    pixels = shape.bounds.max_pixels if spec.max_pixels is None else spec.max_pixels
    return PageBound(pixels, pixels // shape.architecture.factor**2)


def _grain(spec: ModelSpec) -> _Grain:
    if not traits_of(spec).visual_tokens:
        return _Grain(FACTOR**2, 0)
    shape = published_shape(spec)
    if shape is None and local_folder(spec) is not None:
        raise InvalidInput(
            f"the pixels that a visual token of {spec.name!r} covers are not known",
            hint="bound its pages in pixels: --max-pixels N, or --sweep max_pixels=N,N",
        )
    if shape is None:
        raise InvalidInput(
            f"the size of a visual token of {spec.checkpoint} is not known before it is downloaded",
            hint=f"hf download {spec.checkpoint}, or name a checkpoint folder",
        )
    return _Grain(shape.architecture.factor**2, shape.bounds.min_pixels)

"""Charts as inline SVG, drawn here so that they print, need no JavaScript and no library.

Colours are CSS classes (``m0`` … ``m7``, one a model, always together with a shape of its own), so that
light and dark need no second drawing. Text goes through ``markupsafe``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from bench.schema import Estimate

SHAPES = 8
"""Models have a colour and a shape each; the ninth begins again."""

_GLYPHS = (
    "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "M-4.6,-4.6H4.6V4.6H-4.6Z",
    "M0,-5.8L5.4,4.2H-5.4Z",
    "M0,-6.4L6,0L0,6.4L-6,0Z",
    "M0,5.8L5.4,-4.2H-5.4Z",
    "M-2,-5.6H2V-2H5.6V2H2V5.6H-2V2H-5.6V-2H-2Z",
    "M-5.2,-3L0,-6L5.2,-3V3L0,6L-5.2,3Z",
    "M-5.5,-2.5H5.5V2.5H-5.5Z",
)


def glyph(index: int, x: float = 0, y: float = 0, *, hollow: bool = False) -> Markup:
    """A model's mark."""
    kind = "hollow" if hollow else "solid"
    return Markup('<path class="mark m{} {}" transform="translate({:.1f},{:.1f})" d="{}"/>').format(
        index % SHAPES, kind, x, y, Markup(_GLYPHS[index % SHAPES])
    )


def swatch(index: int) -> Markup:
    """A model's mark in running text."""
    return Markup('<svg class="swatch" viewBox="-7 -7 14 14" aria-hidden="true">{}</svg>').format(
        glyph(index)
    )


def whisker(
    estimate: Estimate | None, index: int, low: float = 0.0, high: float = 1.0, *, width: int = 132
) -> Markup:
    """A score with its interval on a common scale, for a table cell; the cell's text says the numbers."""
    if estimate is None or estimate.value is None or high <= low:
        return Markup("")

    def at(value: float) -> float:
        return 7 + (min(max(value, low), high) - low) / (high - low) * (width - 14)

    parts = [
        Markup('<line class="axis" x1="7" x2="{}" y1="10" y2="10"/>').format(width - 7),
    ]
    parts += [
        Markup('<line class="tick" x1="{0:.1f}" x2="{0:.1f}" y1="6" y2="14"/>').format(at(tick))
        for tick in (low, (low + high) / 2, high)
    ]
    if estimate.low is not None and estimate.high is not None:
        parts.append(
            Markup('<line class="whisker m{}" x1="{:.1f}" x2="{:.1f}" y1="10" y2="10"/>').format(
                index % SHAPES, at(estimate.low), at(estimate.high)
            )
        )
    parts.append(glyph(index, at(estimate.value), 10))
    return Markup(
        '<svg class="whiskers" width="{0}" height="20" viewBox="0 0 {0} 20" aria-hidden="true">{1}</svg>'
    ).format(width, Markup("").join(parts))


def part(share: float | None, index: int) -> Markup:
    """A share as a bar under a table cell's number; the cell's text says it."""
    if share is None or share <= 0:
        return Markup("")
    return Markup(
        '<svg class="part" viewBox="0 0 100 3" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="ground" width="100" height="3"/><rect class="m{}" width="{:.1f}" height="3"/></svg>'
    ).format(index % SHAPES, share * 100)


def difference(
    low: float | None, value: float | None, high: float | None, reach: float, *, apart: bool
) -> Markup:
    """A paired difference with its interval around zero."""
    if value is None or reach <= 0:
        return Markup("")

    def at(number: float) -> float:
        return 80 + max(-1.0, min(1.0, number / reach)) * 72

    kind = "apart" if apart else "noise"
    line = Markup("")
    if low is not None and high is not None:
        line = Markup('<line class="gap {}" x1="{:.1f}" x2="{:.1f}" y1="10" y2="10"/>').format(
            kind, at(low), at(high)
        )
    return Markup(
        '<svg class="whiskers" width="160" height="20" viewBox="0 0 160 20" aria-hidden="true">'
        '<line class="axis" x1="8" x2="152" y1="10" y2="10"/>'
        '<line class="zero" x1="80" x2="80" y1="2" y2="18"/>{}'
        '<circle class="dot {}" cx="{:.1f}" cy="10" r="4"/></svg>'
    ).format(line, kind, at(value))


OTHER_STAGE = 8
"""Colour of the time that no stage claims; stages have the colours before it."""


class Share(NamedTuple):
    """A part of a whole."""

    name: str
    value: float
    """0 to 1."""
    colour: int
    """0 to ``OTHER_STAGE``."""


def stacked(shares: Sequence[Share], *, width: int = 420) -> Markup:
    """One bar of shares that sum to 1; the list under it says the numbers."""
    parts = []
    x = 0.0
    for share in shares:
        wide = share.value * width
        parts.append(
            Markup(
                '<g><title>{}</title><rect class="stage s{}" x="{:.1f}" y="0" '
                'width="{:.1f}" height="18"/></g>'
            ).format(f"{share.name} {share.value:.0%}", share.colour, x, max(0.0, wide - 1))
        )
        x += wide
    return Markup(
        '<svg class="stages" viewBox="0 0 {0} 18" preserveAspectRatio="none" role="img">'
        "<title>{1}</title>{2}</svg>"
    ).format(width, ", ".join(f"{s.name} {s.value:.0%}" for s in shares), Markup("").join(parts))

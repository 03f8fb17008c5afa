"""The primitives of every drawing, and the small marks that stand in table cells and running text.

Drawings are SVG text: they print, they need no JavaScript and no library. Colours are CSS classes (``m0`` …
``m7``, one for each model, always together with a shape of its own), so that light and dark need no second
drawing. Text goes through ``markupsafe``.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

SHAPES = 8
"""Models have a colour and a shape each; 64 models differ in one of the two."""

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


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A straight line of CSS class ``kind``."""
    return Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
        kind, x1, x2, y1, y2
    )


def label(kind: str, x: float, y: float, text: str, anchor: str = "start") -> Markup:
    """Text of CSS class ``kind`` whose base line begins, has its middle, or ends at (``x``, ``y``)."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, text
    )


def joined(parts: Iterable[Markup]) -> Markup:
    """All ``parts``, one after the other."""
    return Markup("").join(parts)


def plot(
    width: int,
    height: float,
    parts: Iterable[Markup],
    title: str,
    description: str = "",
    better: str = "",
) -> Markup:
    """A drawing with axes inside a page; ``title`` and ``description`` are for screen readers.

    ``better`` tells a script where marks are better: ``higher`` or ``lower``.
    """
    told = Markup("<desc>{}</desc>").format(description) if description else Markup("")
    return Markup(
        '<svg class="plot" viewBox="0 0 {0} {1:.0f}" width="{0}" height="{1:.0f}" role="img"{5}>'
        "<title>{2}</title>{3}{4}</svg>"
    ).format(width, height, title, told, joined(parts), _told_to_scripts(better))


def _told_to_scripts(better: str) -> Markup:
    return Markup(' data-better="{}"').format(better) if better else Markup("")


def glyph(index: int, x: float = 0, y: float = 0, *, hollow: bool = False) -> Markup:
    """A model's mark. After all colours were used, each comes again with another shape."""
    kind = "hollow" if hollow else "solid"
    shape = _GLYPHS[(index + index // SHAPES) % SHAPES]
    return Markup('<path class="mark m{} {}" transform="translate({:.1f},{:.1f})" d="{}"/>').format(
        index % SHAPES, kind, x, y, Markup(shape)
    )


def swatch(index: int) -> Markup:
    """A model's mark in running text."""
    return Markup('<svg class="swatch" viewBox="-7 -7 14 14" aria-hidden="true">{}</svg>').format(
        glyph(index)
    )


def whisker(
    low: float | None,
    value: float,
    high: float | None,
    index: int,
    scale: tuple[float, float],
    *,
    width: int = 132,
) -> Markup:
    """A value with its interval on a common scale, for a table cell; the cell's text says the numbers."""
    first, last = scale
    if last <= first:
        return Markup("")

    def at(number: float) -> float:
        return 7 + (min(max(number, first), last) - first) / (last - first) * (width - 14)

    parts = [line("axis", 7, 10, width - 7, 10)]
    parts += [line("tick", at(tick), 6, at(tick), 14) for tick in (first, (first + last) / 2, last)]
    if low is not None and high is not None:
        parts.append(line(f"whisker m{index % SHAPES}", at(low), 10, at(high), 10))
    parts.append(glyph(index, at(value), 10))
    return _in_cell(width, parts)


def difference(
    low: float | None, value: float, high: float | None, reach: float, *, apart: bool
) -> Markup:
    """A difference with its interval around zero; ``reach`` is the value at either end."""
    if reach <= 0:
        return Markup("")

    def at(number: float) -> float:
        return 80 + max(-1.0, min(1.0, number / reach)) * 72

    kind = "apart" if apart else "noise"
    parts = [line("axis", 8, 10, 152, 10), line("zero", 80, 2, 80, 18)]
    if low is not None and high is not None:
        parts.append(line(f"gap {kind}", at(low), 10, at(high), 10))
    parts.append(
        Markup('<circle class="dot {}" cx="{:.1f}" cy="10" r="4"/>').format(kind, at(value))
    )
    return _in_cell(160, parts)


def _in_cell(width: int, parts: Iterable[Markup]) -> Markup:
    return Markup(
        '<svg class="whiskers" width="{0}" height="20" viewBox="0 0 {0} 20" aria-hidden="true">{1}</svg>'
    ).format(width, joined(parts))


def part(share: float, index: int) -> Markup:
    """A share as a bar under a table cell's number; the cell's text says it."""
    return Markup(
        '<svg class="part" viewBox="0 0 100 3" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="ground" width="100" height="3"/><rect class="m{}" width="{:.1f}" height="3"/></svg>'
    ).format(index % SHAPES, share * 100)

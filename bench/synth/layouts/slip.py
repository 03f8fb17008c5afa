"""Slips: small pages that fit a small screen, drawn at 72 dpi, so that a point is a pixel."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from bench.synth.data import read_table
from bench.synth.fonts import bold, text_width
from bench.synth.sheet import Box, Color, Font, Sheet
from bench.synth.values.slip import Slip, SlipEntry

DPI = 72


class SlipStyle(NamedTuple):
    """What varies inside a layout."""

    face: str
    size: float
    """Of a line, points."""
    pitch: float
    """Between the baselines of two lines, points."""
    width: float
    height: float
    """Of the page, points."""
    margin: float
    ink: Color
    paper: Color
    colon: str
    """What follows a label."""


def draw_style(rng: Random, size: tuple[int, int] | None = None) -> SlipStyle:
    """Draw a style at random, for a page of ``size`` (width, height) in points, or of a drawn size."""
    width, height = size or (28 * rng.randint(11, 14), 28 * rng.randint(8, 13))
    letter = rng.randint(29, 40) / 2 * (0.85 if width < 308 else 1.0)
    dark = rng.randrange(0, 70)
    light = rng.randrange(228, 256)
    tint = rng.choice((0, 0, 0, 6, 12))
    return SlipStyle(
        face=rng.choice(read_table("slips")["faces"]),
        size=letter,
        pitch=letter * rng.uniform(1.35, 1.9),
        width=width,
        height=height,
        margin=rng.uniform(8, 22),
        ink=(dark, dark, min(255, dark + rng.choice((0, 0, 60)))),
        paper=(light, max(0, light - tint // 2), max(0, light - tint)),
        colon=rng.choice((":", ":", "", " -")),
    )


class _Page:
    """Writes lines from the top. What does not fit is left out, so nobody asks about it."""

    def __init__(self, style: SlipStyle) -> None:
        self.style = style
        self.sheet = Sheet(style.width, style.height, paper=style.paper)
        self.font = Font(style.face, style.size, style.ink)
        self.strong = Font(bold(style.face), style.size, style.ink)
        self.left, self.right = style.margin, style.width - style.margin
        self.y = style.margin * 0.6

    def step(self, lines: float = 1.0) -> float | None:
        """Move down and return the next baseline, or None at the foot of the page."""
        if self.y + self.style.pitch * lines > self.style.height - 4:
            return None
        self.y += self.style.pitch * lines
        return self.y - (self.style.pitch - self.style.size) * 0.5 - self.style.size * 0.12

    def fit(self, text: str, font: Font, room: float) -> Font:
        """Return ``font``, smaller where ``text`` would not fit into ``room`` points."""
        wide = text_width(font.face, text, font.size)
        return font if wide <= room else font.at(font.size * room / wide)

    def write(
        self,
        x: float,
        y: float,
        text: str,
        font: Font,
        *,
        align: str = "left",
        room: float = 0,
        field: str | None = None,
    ) -> None:
        """Draw ``text`` at a baseline, shrunk into ``room``."""
        font = self.fit(text, font, room or self.right - self.left)
        self.sheet.text(x, y, text, font, align=align, field=field)


def _begin(values: Slip, rng: Random, style: SlipStyle) -> _Page:
    """Begin a page with company and title, in either order, at the left or in the middle."""
    page = _Page(style)
    middle = rng.random() < 0.5
    x = page.style.width / 2 if middle else page.left
    parts = [(values.company, "company"), (values.title, None)]
    if rng.random() < 0.4:
        parts.reverse()
    for text, field in parts:
        if text and (y := page.step()) is not None:
            page.write(x, y, text, page.strong, align="center" if middle else "left", field=field)
    return page


def lines(values: Slip, rng: Random, style: SlipStyle) -> Sheet:
    """Draw ``Label: value`` a line, the value behind its label."""
    page = _begin(values, rng, style)
    for entry in values.entries:
        if (y := page.step()) is None:
            break
        label = f"{entry.label}{style.colon} "
        font = page.fit(label + entry.value, page.font, page.right - page.left)
        page.sheet.flow(page.left, y, ((label, font, None), (entry.value, font, entry.field)))
    return page.sheet


def columns(values: Slip, rng: Random, style: SlipStyle) -> Sheet:
    """Draw labels on the left, values in a column of their own."""
    page = _begin(values, rng, style)
    widest = max(
        text_width(style.face, entry.label + style.colon, style.size) for entry in values.entries
    )
    start = min(
        page.left + widest + style.size * rng.uniform(0.6, 1.5), page.left + style.width * 0.52
    )
    for entry in values.entries:
        if (y := page.step()) is None:
            break
        page.write(page.left, y, entry.label + style.colon, page.font, room=start - page.left - 5)
        page.write(start, y, entry.value, page.font, room=page.right - start, field=entry.field)
    return page.sheet


def ends(values: Slip, rng: Random, style: SlipStyle) -> Sheet:
    """Draw labels at the left edge, values at the right one, as a till prints; goods before the sums."""
    page = _begin(values, rng, style)
    sums = {"subtotal", "tax", "total", "cash", "change", "card"}
    above = [entry for entry in values.entries if entry.field not in sums]
    below = [entry for entry in values.entries if entry.field in sums]
    goods = [SlipEntry("", name, amount) for name, amount in values.goods]
    rule = rng.random() < 0.6
    for part in (above, goods, below):
        if part and rule and page.y + style.pitch * 1.4 < style.height:
            page.sheet.dashes(page.left, page.right, page.y + 1, on=4, off=3, width=1)
            page.y += style.pitch * 0.2
        for entry in part:
            if (y := page.step()) is None:
                return page.sheet
            strong = entry.field == "total" and rng.random() < 0.5
            font = page.strong if strong else page.font
            room = page.right - page.left
            page.write(page.left, y, entry.label + style.colon, font, room=room * 0.5)
            field = entry.field or None
            page.write(
                page.right, y, entry.value, font, align="right", room=room * 0.48, field=field
            )
    return page.sheet


def grid(values: Slip, rng: Random, style: SlipStyle) -> Sheet:
    """Draw a bordered table of two columns."""
    page = _begin(values, rng, style)
    page.y += 4
    split = page.left + (page.right - page.left) * rng.uniform(0.38, 0.5)
    light = rng.randrange(90, 190)
    color = (light, light, light)
    for entry in values.entries:
        top = page.y
        if (y := page.step()) is None:
            break
        height = page.y - top
        page.sheet.rectangle(Box(page.left, top, split - page.left, height), width=1, color=color)
        page.sheet.rectangle(Box(split, top, page.right - split, height), width=1, color=color)
        page.write(page.left + 5, y, entry.label, page.font, room=split - page.left - 9)
        room = page.right - split - 9
        page.write(split + 5, y, entry.value, page.font, room=room, field=entry.field)
    return page.sheet


def stacked(values: Slip, rng: Random, style: SlipStyle) -> Sheet:
    """Draw each value on the line under its label, which is smaller."""
    page = _begin(values, rng, style)
    small = page.font.at(style.size * rng.uniform(0.8, 1.0))
    for entry in values.entries:
        y = page.step(0.85)
        below = page.step() if y is not None else None
        if y is None or below is None:
            break
        page.write(page.left, y, entry.label + style.colon, small)
        indented = page.left + rng.choice((0, 0, 10))
        page.write(indented, below, entry.value, page.font, field=entry.field)
    return page.sheet


def card(values: Slip, rng: Random, style: SlipStyle) -> Sheet:
    """Draw two columns of labels over values, in boxes: no other layout puts values side by side."""
    page = _begin(values, rng, style)
    page.y += 4
    width = (page.right - page.left) / 2
    small = page.font.at(style.size * 0.85)
    for row in range(0, len(values.entries), 2):
        top = page.y
        y = page.step(0.85)
        below = page.step() if y is not None else None
        if y is None or below is None:
            break
        for column, entry in enumerate(values.entries[row : row + 2]):
            x = page.left + column * width
            page.sheet.rectangle(Box(x, top, width, page.y - top), width=1, color=(150, 150, 150))
            page.write(x + 4, y, entry.label, small, room=width - 8)
            page.write(x + 4, below, entry.value, page.font, room=width - 8, field=entry.field)
    return page.sheet


LAYOUTS: dict[str, Callable[[Slip, Random, SlipStyle], Sheet]] = {
    "lines": lines,
    "columns": columns,
    "ends": ends,
    "grid": grid,
    "stacked": stacked,
    "card": card,
}
"""Layout → how it is drawn."""

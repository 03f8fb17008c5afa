"""Slips: small pages that fit a small screen, drawn at 72 dpi, so that a point is a pixel."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from bench.synth.fonts import bold, text_width
from bench.synth.sheet import Box, Color, Font, Sheet
from bench.synth.values.slip import Entry, Slip

DPI = 72
FACES = (
    "sans",
    "serif",
    "office",
    "mono",
    "grotesque",
    "humanist",
    "till",
    "sans-bold",
    "humanist-bold",
)


class Style(NamedTuple):
    """What varies inside a family."""

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
    """Behind a label."""


def style(rng: Random, size: tuple[int, int] | None = None) -> Style:
    """A style drawn at random, on a page of ``size`` (width, height) or of a drawn one."""
    width, height = size or (28 * rng.randint(11, 14), 28 * rng.randint(8, 13))
    letter = rng.randint(29, 40) / 2 * (0.85 if width < 308 else 1.0)
    dark = rng.randrange(0, 70)
    light = rng.randrange(228, 256)
    tint = rng.choice((0, 0, 0, 6, 12))
    return Style(
        face=rng.choice(FACES),
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
    """Writes lines from the top; what does not fit is left out, and so is not asked."""

    def __init__(self, st: Style) -> None:
        self.st = st
        self.sheet = Sheet(st.width, st.height, paper=st.paper)
        self.font = Font(st.face, st.size, st.ink)
        self.strong = Font(bold(st.face), st.size, st.ink)
        self.left, self.right = st.margin, st.width - st.margin
        self.y = st.margin * 0.6

    def step(self, lines: float = 1.0) -> float | None:
        """The next baseline, or None at the foot of the page."""
        if self.y + self.st.pitch * lines > self.st.height - 4:
            return None
        self.y += self.st.pitch * lines
        return self.y - (self.st.pitch - self.st.size) * 0.5 - self.st.size * 0.12

    def fit(self, text: str, font: Font, room: float) -> Font:
        """``font``, smaller where ``text`` would not fit into ``room``."""
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


def _head(page: _Page, values: Slip, rng: Random) -> None:
    """Company and title, in either order, at the left or in the middle."""
    middle = rng.random() < 0.5
    x = page.st.width / 2 if middle else page.left
    parts = [(values.company, "company"), (values.title, None)]
    if rng.random() < 0.4:
        parts.reverse()
    for text, field in parts:
        if text and (y := page.step()) is not None:
            page.write(x, y, text, page.strong, align="center" if middle else "left", field=field)


def lines(values: Slip, rng: Random, st: Style) -> Sheet:
    """``Label: value`` a line, the value behind its label."""
    page = _Page(st)
    _head(page, values, rng)
    for entry in values.entries:
        if (y := page.step()) is None:
            break
        label = f"{entry.label}{st.colon} "
        font = page.fit(label + entry.value, page.font, page.right - page.left)
        page.sheet.flow(page.left, y, ((label, font, None), (entry.value, font, entry.field)))
    return page.sheet


def columns(values: Slip, rng: Random, st: Style) -> Sheet:
    """Labels on the left, values in a column of their own."""
    page = _Page(st)
    _head(page, values, rng)
    widest = max(text_width(st.face, entry.label + st.colon, st.size) for entry in values.entries)
    start = min(page.left + widest + st.size * rng.uniform(0.6, 1.5), page.left + st.width * 0.52)
    for entry in values.entries:
        if (y := page.step()) is None:
            break
        page.write(page.left, y, entry.label + st.colon, page.font, room=start - page.left - 5)
        page.write(start, y, entry.value, page.font, room=page.right - start, field=entry.field)
    return page.sheet


def ends(values: Slip, rng: Random, st: Style) -> Sheet:
    """Labels at the left edge, values at the right one, as a till prints; goods before the sums."""
    page = _Page(st)
    _head(page, values, rng)
    sums = {"subtotal", "tax", "total", "cash", "change", "card"}
    above = [entry for entry in values.entries if entry.field not in sums]
    below = [entry for entry in values.entries if entry.field in sums]
    goods = [Entry("", name, amount) for name, amount in values.goods]
    rule = rng.random() < 0.6
    for part in (above, goods, below):
        if part and rule and page.y + st.pitch * 1.4 < st.height:
            page.sheet.dashes(page.left, page.right, page.y + 1, on=4, off=3, width=1)
            page.y += st.pitch * 0.2
        for entry in part:
            if (y := page.step()) is None:
                return page.sheet
            strong = entry.field == "total" and rng.random() < 0.5
            font = page.strong if strong else page.font
            room = page.right - page.left
            page.write(page.left, y, entry.label + st.colon, font, room=room * 0.5)
            page.write(
                page.right,
                y,
                entry.value,
                font,
                align="right",
                room=room * 0.48,
                field=entry.field or None,
            )
    return page.sheet


def grid(values: Slip, rng: Random, st: Style) -> Sheet:
    """A bordered table of two columns."""
    page = _Page(st)
    _head(page, values, rng)
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
        page.write(
            split + 5, y, entry.value, page.font, room=page.right - split - 9, field=entry.field
        )
    return page.sheet


def stacked(values: Slip, rng: Random, st: Style) -> Sheet:
    """Each value on the line under its label, which is smaller."""
    page = _Page(st)
    _head(page, values, rng)
    small = page.font.at(st.size * rng.uniform(0.8, 1.0))
    for entry in values.entries:
        y = page.step(0.85)
        below = page.step() if y is not None else None
        if y is None or below is None:
            break
        page.write(page.left, y, entry.label + st.colon, small)
        indented = page.left + rng.choice((0, 0, 10))
        page.write(indented, below, entry.value, page.font, field=entry.field)
    return page.sheet


def card(values: Slip, rng: Random, st: Style) -> Sheet:
    """Two columns of labels over values, in boxes: no other family puts values side by side."""
    page = _Page(st)
    _head(page, values, rng)
    page.y += 4
    width = (page.right - page.left) / 2
    small = page.font.at(st.size * 0.85)
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


FAMILIES: dict[str, Callable[[Slip, Random, Style], Sheet]] = {
    "lines": lines,
    "columns": columns,
    "ends": ends,
    "grid": grid,
    "stacked": stacked,
    "card": card,
}

"""Parts that several layouts share: tables, stamps, signatures, QR-like blocks, bar codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from bench.synth.fonts import advances, text_width
from bench.synth.sheet import BLUE_INK, INK, Box, Color, Font, Ink, Shape, Sheet, Text, wrap

RED: Color = (205, 40, 40)
STAMP_BLUE: Color = (45, 70, 170)


@dataclass(frozen=True, slots=True)
class Table:
    """How the rows of a table are set."""

    widths: tuple[float, ...]
    """Points."""
    aligns: str
    """One letter a column: l, c or r."""
    font: Font
    padding: float = 3.0
    line: float = 0.5
    """Width of the rules; 0 draws none."""
    color: Color = INK
    row_height: float = 0.0
    """Least height of a row, points."""
    horizontal_only: bool = False
    stripe: Color | None = None
    fields: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """(row, column) → field."""


_ALIGN = {"l": "left", "c": "center", "r": "right"}


def row_height(table: Table, cells: Sequence[str]) -> float:
    """Height the tallest cell needs, points."""
    most = max(
        len(wrap(cell, table.font, width - 2 * table.padding))
        for cell, width in zip(cells, table.widths, strict=True)
    )
    return max(table.row_height, most * table.font.size * 1.15 + table.padding * 1.2)


def draw_rows(
    sheet: Sheet, x: float, y: float, table: Table, rows: Sequence[Sequence[str]]
) -> float:
    """Draw ``rows`` from (x, y) down; return the y below the last."""
    right = x + sum(table.widths)
    for number, cells in enumerate(rows):
        height = row_height(table, cells)
        if table.stripe is not None and number % 2:
            sheet.rectangle(Box(x, y, right - x, height), color=None, fill=table.stripe)
        left = x
        for column, (cell, width) in enumerate(zip(cells, table.widths, strict=True)):
            box = Box(left, y, width, height)
            if table.line and not table.horizontal_only:
                sheet.rectangle(box, width=table.line, color=table.color)
            if cell:
                sheet.cell(
                    box, cell, table.font, align=_ALIGN[table.aligns[column]], padding=table.padding,
                    field=table.fields.get((number, column)),
                )  # fmt: skip
            left += width
        y += height
        if table.line and table.horizontal_only:
            sheet.line(x, y, right, y, table.line, table.color)
    return y


def circle(
    x: float, y: float, radius: float, width: float, color: Color, *, squash: float = 1.0
) -> Shape:
    """A circle, or an ellipse where ``squash`` (height over width) is not 1."""
    points = tuple(
        (x + radius * math.cos(a / 36 * math.pi), y + radius * squash * math.sin(a / 36 * math.pi))
        for a in range(73)
    )
    return Shape(points, color, width)


def arc_text(
    text: str,
    font: Font,
    centre: tuple[float, float],
    radius: float,
    *,
    top: bool = True,
    squash: float = 1.0,
    spread: float | None = None,
) -> list[Text]:
    """``text`` along a circle (or ellipse), centred at its top or bottom, read from outside or inside.

    ``spread`` is the angle (radians) that the whole text is stretched or squeezed to.
    """
    widths = advances(font.face, text, font.size)
    total = sum(widths)
    angle_per_point = (spread / total) if spread is not None else 1 / radius
    out = []
    position = -total / 2
    for character, width in zip(text, widths, strict=True):
        angle = (position + width / 2) * angle_per_point
        position += width
        if top:
            turn = math.pi / 2 - angle
            tilt = -angle
        else:
            turn = -math.pi / 2 + angle
            tilt = angle
        px = centre[0] + radius * math.cos(turn)
        py = centre[1] - radius * squash * math.sin(turn)
        if squash != 1.0:
            tilt = math.atan2(math.sin(tilt) * squash, math.cos(tilt))
        # The glyph turns about the left end of its baseline, so that end is moved back by half a glyph.
        px -= width / 2 * math.cos(tilt)
        py += width / 2 * math.sin(tilt)
        out.append(Text(px, py, character, font, angle=math.degrees(tilt)))
    return out


def star(x: float, y: float, radius: float, color: Color) -> Shape:
    """A five-pointed star."""
    points = []
    for n in range(10):
        r = radius if n % 2 == 0 else radius * 0.382
        angle = -math.pi / 2 + n * math.pi / 5
        points.append((x + r * math.cos(angle), y + r * math.sin(angle)))
    return Shape(tuple(points), None, 0, color, closed=True)


def turned(
    parts: Sequence[Text | Shape], centre: tuple[float, float], degrees: float
) -> tuple[Text | Shape, ...]:
    """``parts`` turned counter-clockwise about ``centre``."""
    a = math.radians(degrees)
    cos, sin = math.cos(a), math.sin(a)

    def move(x: float, y: float) -> tuple[float, float]:
        dx, dy = x - centre[0], y - centre[1]
        return centre[0] + dx * cos + dy * sin, centre[1] - dx * sin + dy * cos

    out: list[Text | Shape] = []
    for part in parts:
        if isinstance(part, Text):
            x, y = move(part.x, part.y)
            out.append(
                Text(x, y, part.text, part.font, part.angle + degrees, part.field, part.squeeze)
            )
        else:
            points = tuple(move(*point) for point in part.points)
            out.append(Shape(points, part.color, part.width, part.fill, part.closed))
    return tuple(out)


def russian_stamp(
    rng: Random, x: float, y: float, name: str, city: str, ogrn: str, radius: float = 52
) -> Ink:
    """The round blue seal of a Russian company, its centre at (x, y)."""
    color = rng.choice((STAMP_BLUE, (60, 60, 160), (35, 90, 175)))
    ring = Font("sans-bold", radius * 0.135, color)
    limited = name.startswith("ООО")
    outer = "ОБЩЕСТВО С ОГРАНИЧЕННОЙ ОТВЕТСТВЕННОСТЬЮ" if limited else "АКЦИОНЕРНОЕ ОБЩЕСТВО"
    title = name.partition(" ")[2].strip("«»")
    parts: list[Text | Shape] = [
        circle(x, y, radius, 1.6, color),
        circle(x, y, radius * 0.95, 0.5, color),
        circle(x, y, radius * 0.62, 0.8, color),
    ]
    parts += arc_text(
        outer,
        ring.at(radius * 0.115),
        (x, y),
        radius * 0.815,
        spread=4.3 if len(outer) > 25 else 2.6,
    )
    parts += arc_text(f"* г. {city} *", ring, (x, y), radius * 0.905, top=False)
    parts += arc_text(f"ОГРН {ogrn}", ring.at(radius * 0.1), (x, y), radius * 0.675, spread=2.1)
    size = min(
        radius * 0.24,
        radius
        * 0.24
        * radius
        * 1.05
        / max(1, text_width("sans-bold", f"«{title}»", radius * 0.24)),
    )
    width = text_width("sans-bold", f"«{title}»", size)
    parts.append(Text(x - width / 2, y + size * 0.35, f"«{title}»", Font("sans-bold", size, color)))
    return Ink(turned(parts, (x, y), rng.uniform(-25, 25)), 0.78, rng.getrandbits(32))


def chinese_oval_stamp(
    rng: Random,
    x: float,
    y: float,
    name: str,
    code: str,
    radius: float = 57,
    *,
    title: str = "发票专用章",
) -> Ink:
    """发票专用章: the red oval invoice seal with the tax number in its middle."""
    squash = 0.72
    song = "zh-song"
    parts: list[Text | Shape] = [circle(x, y, radius, 2.0, RED, squash=squash)]
    parts += arc_text(name, Font(song, radius * 0.19, RED), (x, y), radius * 0.73, squash=squash,
                      spread=min(4.2, len(name) * 0.26))  # fmt: skip
    size = radius * 0.135
    face = "sans" if code.isascii() else song
    width = text_width(face, code, size)
    parts.append(Text(x - width / 2, y + size * 0.5, code, Font(face, size, RED)))
    size = radius * 0.2
    width = text_width(song, title, size)
    parts.append(Text(x - width / 2, y + radius * 0.44, title, Font(song, size, RED)))
    return Ink(turned(parts, (x, y), rng.uniform(-12, 12)), 0.82, rng.getrandbits(32))


def chinese_round_stamp(
    rng: Random, x: float, y: float, name: str, title: str, radius: float = 50
) -> Ink:
    """公章: the round red seal with a star."""
    parts: list[Text | Shape] = [circle(x, y, radius, 2.2, RED), star(x, y, radius * 0.3, RED)]
    parts += arc_text(
        name,
        Font("zh-song", radius * 0.23, RED),
        (x, y),
        radius * 0.7,
        spread=min(4.3, len(name) * 0.3),
    )
    size = radius * 0.19
    width = text_width("zh-song", title, size)
    parts.append(Text(x - width / 2, y + radius * 0.62, title, Font("zh-song", size, RED)))
    return Ink(turned(parts, (x, y), rng.uniform(-12, 12)), 0.82, rng.getrandbits(32))


def box_stamp(
    rng: Random, x: float, y: float, lines: Sequence[str], color: Color, size: float = 15
) -> Ink:
    """A rectangular office stamp (PAID, RECEIVED), its centre at (x, y)."""
    fonts = [Font("sans-bold", size if n == 0 else size * 0.52, color) for n in range(len(lines))]
    width = (
        max(text_width(f.face, line, f.size) for f, line in zip(fonts, lines, strict=True)) + size
    )
    height = sum(f.size for f in fonts) * 1.25 + size * 0.6
    left, top = x - width / 2, y - height / 2
    frame = ((left, top), (left + width, top), (left + width, top + height), (left, top + height))
    parts: list[Text | Shape] = [Shape(frame, color, 1.8, closed=True)]
    baseline = top + size * 0.25
    for f, line in zip(fonts, lines, strict=True):
        baseline += f.size * 1.05
        parts.append(Text(x - text_width(f.face, line, f.size) / 2, baseline, line, f))
        baseline += f.size * 0.2
    return Ink(turned(parts, (x, y), rng.uniform(3, 14)), 0.75, rng.getrandbits(32))


def signature(
    rng: Random, x: float, y: float, width: float = 60, height: float = 20, color: Color = BLUE_INK
) -> Ink:
    """A pen signature over the line at ``y``: a capital, running waves, mostly a flourish."""
    capital = rng.choice(_CAPITALS)
    start = max(px for px, _ in capital)
    controls = list(capital)
    position, number = start + 0.04, rng.randrange(3, 8)
    tall = rng.randrange(number)
    for n in range(number):
        height_here = rng.uniform(0.75, 1.05) if n == tall else rng.uniform(0.15, 0.5)
        position += rng.uniform(0.035, 0.075)
        controls.append((position, -height_here * (1 - n / number * 0.4)))
        position += rng.uniform(0.02, 0.06)
        controls.append((position, rng.choice((rng.uniform(-0.1, 0.1), rng.uniform(0.2, 0.45)))))
    ending = rng.randrange(4)
    if ending == 0:
        controls += [(position + 0.1, -0.4), (1.0, -rng.uniform(0.0, 0.3))]
    elif ending == 1:
        controls += [
            (position + 0.15, -0.2),
            (0.8, 0.3),
            (0.2, rng.uniform(0.25, 0.5)),
            (0.95, 0.2),
        ]
    elif ending == 2:
        controls += [
            (position + 0.12, -0.9),
            (position + 0.02, -1.1),
            (position, -0.2),
            (1.05, 0.1),
        ]
    else:
        controls += [
            (position + 0.1, 0.25),
            (position + 0.02, 0.6),
            (position - 0.1, 0.3),
            (0.98, -0.35),
        ]
    jitter = [
        (px + rng.uniform(-0.012, 0.012), py + rng.uniform(-0.05, 0.05)) for px, py in controls
    ]
    slant = rng.uniform(-0.05, 0.3)
    points = tuple(
        (x + px * width - py * height * slant, y + py * height) for px, py in _smooth(jitter)
    )
    return Ink((Shape(points, color, rng.uniform(0.7, 1.1)),), 0.9)


_CAPITALS = (
    ((0.02, 0.1), (0.1, -0.75), (0.17, -1.0), (0.14, -0.3), (0.05, 0.25), (0.2, -0.1)),
    ((0.2, -0.85), (0.08, -0.95), (0.02, -0.4), (0.1, 0.1), (0.22, -0.1)),
    (
        (0.04, -0.9),
        (0.06, 0.15),
        (0.05, -0.85),
        (0.2, -0.95),
        (0.22, -0.5),
        (0.07, -0.4),
        (0.24, 0.1),
    ),
    ((0.0, 0.1), (0.12, -1.0), (0.2, 0.1), (0.16, -0.3), (0.05, -0.35), (0.24, -0.3)),
    ((0.2, -0.9), (0.06, -0.8), (0.14, -0.5), (0.22, -0.1), (0.08, 0.15), (0.02, -0.1), (0.2, 0.0)),
    ((0.02, -0.8), (0.05, 0.1), (0.14, -0.6), (0.16, 0.1), (0.26, -0.9), (0.25, 0.1)),
)
"""Control points of capitals, in widths and heights of the signature."""


def _smooth(points: list[tuple[float, float]], steps: int = 10) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through ``points``."""
    padded = [points[0], *points, points[-1]]
    out = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for n in range(steps):
            t = n / steps
            out.append(
                tuple(
                    0.5
                    * (
                        2 * q
                        + (r - p) * t
                        + (2 * p - 5 * q + 4 * r - s) * t**2
                        + (3 * q - p - 3 * r + s) * t**3
                    )
                    for p, q, r, s in zip(a, b, c, d, strict=True)
                )
            )
    return [(px, py) for px, py in out]


def qr_block(rng: Random, sheet: Sheet, x: float, y: float, side: float, modules: int = 29) -> None:
    """A square that looks like a QR code: finder patterns and random modules. It encodes nothing."""
    unit = side / modules
    finders = ((0, 0), (modules - 7, 0), (0, modules - 7))

    def dark(column: int, row: int) -> bool:
        for left, top in finders:
            dx, dy = column - left, row - top
            if -1 <= dx <= 7 and -1 <= dy <= 7:
                ring = max(abs(dx - 3), abs(dy - 3))
                return ring in (0, 1, 3)
        if column == 6 or row == 6:
            return (column + row) % 2 == 0
        return rng.random() < 0.5

    for row in range(modules):
        start = None
        for column in range(modules + 1):
            on = column < modules and dark(column, row)
            if on and start is None:
                start = column
            elif not on and start is not None:
                sheet.rectangle(
                    Box(x + start * unit, y + row * unit, (column - start) * unit - 0.01, unit),
                    color=None,
                    fill=INK,
                )
                start = None


def bar_code(rng: Random, sheet: Sheet, box: Box) -> None:
    """Bars of random widths between guard bars. They encode nothing."""
    unit = box.width / 113
    x = box.x
    while x < box.x + box.width - 3 * unit:
        width = unit * rng.choice((1, 1, 2, 2, 3))
        sheet.rectangle(Box(x, box.y, width * 0.96, box.height), color=None, fill=INK)
        x += width + unit * rng.choice((1, 1, 2, 3))

"""What people put on paper by hand: stamps and signatures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from bench.synth.data import read_table
from bench.synth.fonts import advances, text_width
from bench.synth.sheet import BLUE_INK, Color, Font, Ink, Shape, TextRun
from bench.synth.values.parties import Company

RED: Color = (205, 40, 40)
STAMP_BLUE: Color = (45, 70, 170)


def circle(
    x: float, y: float, radius: float, width: float, color: Color, *, squash: float = 1.0
) -> Shape:
    """Return a circle, or an ellipse where ``squash`` (height over width) is not 1."""
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
) -> list[TextRun]:
    """Set ``text`` along a circle or ellipse, centred at its top or bottom.

    ``spread`` is the angle (radians) that the whole text is stretched or squeezed to.
    """
    widths = advances(font.face, text, font.size)
    total = sum(widths)
    angle_per_point = (spread / total) if spread is not None else 1 / radius
    texts = []
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
        texts.append(TextRun(px, py, character, font, angle=math.degrees(tilt)))
    return texts


def turned(
    parts: Sequence[TextRun | Shape], centre: tuple[float, float], degrees: float
) -> tuple[TextRun | Shape, ...]:
    """Turn ``parts`` counter-clockwise about ``centre``."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def move(x: float, y: float) -> tuple[float, float]:
        dx, dy = x - centre[0], y - centre[1]
        return centre[0] + dx * cos + dy * sin, centre[1] - dx * sin + dy * cos

    moved: list[TextRun | Shape] = []
    for part in parts:
        if isinstance(part, TextRun):
            x, y = move(part.x, part.y)
            moved.append(replace(part, x=x, y=y, angle=part.angle + degrees))
        else:
            moved.append(replace(part, points=tuple(move(*point) for point in part.points)))
    return tuple(moved)


def _centred(x: float, y: float, text: str, font: Font) -> TextRun:
    """Set ``text`` level, the middle of its baseline at (x, y)."""
    return TextRun(x - text_width(font.face, text, font.size) / 2, y, text, font)


def russian_stamp(rng: Random, x: float, y: float, company: Company, radius: float) -> Ink:
    """Draw the round blue seal of a Russian company, its centre at (x, y)."""
    color = rng.choice((STAMP_BLUE, (60, 60, 160), (35, 90, 175)))
    ring = Font("sans-bold", radius * 0.135, color)
    limited = company.name.startswith("ООО")
    form = "ОБЩЕСТВО С ОГРАНИЧЕННОЙ ОТВЕТСТВЕННОСТЬЮ" if limited else "АКЦИОНЕРНОЕ ОБЩЕСТВО"
    name = f"«{company.name.partition(' ')[2].strip('«»')}»"
    city, number = f"* г. {company.city} *", f"ОГРН {company.ogrn}"
    name_size = radius * 0.24
    widest = radius * 1.05
    name_size = min(name_size, name_size * widest / max(1, text_width(ring.face, name, name_size)))
    parts: list[TextRun | Shape] = [
        circle(x, y, radius, 1.6, color),
        circle(x, y, radius * 0.95, 0.5, color),
        circle(x, y, radius * 0.62, 0.8, color),
        *arc_text(form, ring.at(radius * 0.115), (x, y), radius * 0.815, spread=4.3 if limited else 2.6),
        *arc_text(city, ring, (x, y), radius * 0.905, top=False),
        *arc_text(number, ring.at(radius * 0.1), (x, y), radius * 0.675, spread=2.1),
        _centred(x, y + name_size * 0.35, name, ring.at(name_size)),
    ]  # fmt: skip
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
    """Draw a 发票专用章: the red oval invoice seal with the tax number in its middle."""
    squash = 0.72
    name_font = Font("zh-song", radius * 0.19, RED)
    code_font = Font("sans" if code.isascii() else "zh-song", radius * 0.135, RED)
    spread = min(4.2, len(name) * 0.26)
    parts: list[TextRun | Shape] = [
        circle(x, y, radius, 2.0, RED, squash=squash),
        *arc_text(name, name_font, (x, y), radius * 0.73, squash=squash, spread=spread),
        _centred(x, y + code_font.size * 0.5, code, code_font),
        _centred(x, y + radius * 0.44, title, name_font.at(radius * 0.2)),
    ]
    return Ink(turned(parts, (x, y), rng.uniform(-12, 12)), 0.82, rng.getrandbits(32))


def box_stamp(
    rng: Random, x: float, y: float, lines: Sequence[str], color: Color, size: float = 15
) -> Ink:
    """Draw a rectangular office stamp (PAID, RECEIVED), its centre at (x, y)."""
    large = Font("sans-bold", size, color)
    fonts = [large, *[large.at(size * 0.52)] * (len(lines) - 1)]
    printed = list(zip(lines, fonts, strict=True))
    width = max(text_width(font.face, line, font.size) for line, font in printed) + size
    height = sum(font.size for font in fonts) * 1.25 + size * 0.6
    left, top = x - width / 2, y - height / 2
    right, bottom = left + width, top + height
    frame = ((left, top), (right, top), (right, bottom), (left, bottom))
    parts: list[TextRun | Shape] = [Shape(frame, color, 1.8, closed=True)]
    baseline = top + size * 0.25
    for line, font in printed:
        baseline += font.size * 1.05
        parts.append(_centred(x, baseline, line, font))
        baseline += font.size * 0.2
    return Ink(turned(parts, (x, y), rng.uniform(3, 14)), 0.75, rng.getrandbits(32))


def signature(
    rng: Random, x: float, y: float, width: float = 60, height: float = 20, color: Color = BLUE_INK
) -> Ink:
    """Draw a pen signature over the line at ``y``: a capital, running waves, a flourish."""
    capital = [(px, py) for px, py in rng.choice(read_table("signature")["capitals"])]
    start = max(px for px, _ in capital)
    controls = list(capital)
    position, number = start + 0.04, rng.randrange(3, 8)
    tall = rng.randrange(number)
    for n in range(number):
        wave_height = rng.uniform(0.75, 1.05) if n == tall else rng.uniform(0.15, 0.5)
        position += rng.uniform(0.035, 0.075)
        controls.append((position, -wave_height * (1 - n / number * 0.4)))
        position += rng.uniform(0.02, 0.06)
        controls.append((position, rng.choice((rng.uniform(-0.1, 0.1), rng.uniform(0.2, 0.45)))))
    ending = rng.randrange(4)
    if ending == 0:
        flourish = [(position + 0.1, -0.4), (1.0, -rng.uniform(0.0, 0.3))]
    elif ending == 1:
        flourish = [(position + 0.15, -0.2), (0.8, 0.3), (0.2, rng.uniform(0.25, 0.5)), (0.95, 0.2)]
    elif ending == 2:
        flourish = [(position + 0.12, -0.9), (position + 0.02, -1.1), (position, -0.2), (1.05, 0.1)]
    else:
        flourish = [
            (position + 0.1, 0.25),
            (position + 0.02, 0.6),
            (position - 0.1, 0.3),
            (0.98, -0.35),
        ]
    controls += flourish
    jitter = [
        (px + rng.uniform(-0.012, 0.012), py + rng.uniform(-0.05, 0.05)) for px, py in controls
    ]
    slant = rng.uniform(-0.05, 0.3)
    points = tuple(
        (x + px * width - py * height * slant, y + py * height) for px, py in _smooth(jitter)
    )
    return Ink((Shape(points, color, rng.uniform(0.7, 1.1)),), 0.9)


def _smooth(points: list[tuple[float, float]], steps: int = 10) -> Iterator[tuple[float, float]]:
    """Follow a Catmull-Rom curve through ``points``."""
    padded = [points[0], *points, points[-1]]
    for around in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        xs, ys = zip(*around, strict=True)
        for step in range(steps):
            yield _between(*xs, step / steps), _between(*ys, step / steps)


def _between(before: float, start: float, end: float, after: float, t: float) -> float:
    """Return the coordinate a share ``t`` of the way from ``start`` to ``end``."""
    linear = (end - before) * t
    square = (2 * before - 5 * start + 4 * end - after) * t**2
    cubic = (3 * start - before - 3 * end + after) * t**3
    return 0.5 * (2 * start + linear + square + cubic)

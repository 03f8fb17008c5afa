"""Shares against shares: one line of points for each model on two axes from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from bench import formatting
from bench.drawing import svg
from bench.drawing.axes import TOP, Axis, Frame
from bench.drawing.names import shortened

LEGEND = 20
"""Pixels of a name below the drawing."""


@dataclass(frozen=True, slots=True)
class LinePoint:
    """A point with the interval of its height."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The points of one model, from left to right."""

    index: int
    """Row of the leaderboard: colour and shape."""
    name: str
    points: tuple[LinePoint, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of several models, with their names below them."""

    lines: tuple[Line, ...]
    x_title: str
    y_title: str
    diagonal: bool = False
    """Whether a line marks where both shares are equal."""
    level: float | None = None
    """A height that a line marks."""


def draw_lines(data: Lines, width: int) -> Markup:
    """``data`` as SVG, ``width`` pixels wide; empty if there is no point."""
    points = [point for line in data.lines for point in line.points]
    if not points:
        return Markup("")
    lowest = min(point.y if point.low is None else point.low for point in points)
    floor = 0.0 if data.diagonal else max(0.0, lowest - 0.05)
    plain = 330 if width > 500 else 280
    height = plain + LEGEND * len(data.lines) + 8
    frame = Frame(Axis(0, 1, 52, width - 20), Axis(floor, 1.02, plain - 44, TOP))
    ticks = frame.x.ticks()
    parts = [
        *frame.levels([tick for tick in frame.y.ticks() if tick <= 1], formatting.percent),
        *frame.uprights(ticks),
        *frame.numbers(ticks, formatting.percent),
        svg.label("axis-title", width - 20, plain - 6, f"{data.x_title} →", "end"),
        svg.label("axis-title", 4, 12, f"↑ {data.y_title}"),
    ]
    if data.diagonal:
        parts.append(_path("front", frame, [(floor, floor), (1.0, 1.0)]))
    if data.level is not None and data.level >= floor:
        parts.append(_path("front", frame, [(0.0, data.level), (1.0, data.level)]))
    for line in data.lines:
        parts += draw_line(line, frame, formatting.percent, formatting.percent)
    named = {line.index: line.name for line in data.lines}
    parts += draw_legend(named, frame.x.start, plain + 12, width)
    told = "; ".join(_described(line) for line in data.lines)
    return svg.plot(width, height, parts, f"{data.y_title} over {data.x_title}", told)


def draw_line(
    line: Line,
    frame: Frame,
    height: Callable[[float], str],
    place: Callable[[float], str] | None = None,
    *,
    bars: str = "grid",
) -> list[Markup]:
    """One line with its intervals and marks.

    Args:
        line: the points.
        frame: the axes.
        height: writes a height, for whoever points at a mark.
        place: writes the place on the horizontal axis; None leaves it out.
        bars: CSS class of the intervals.
    """
    parts = [
        svg.line(bars, frame.x.at(p.x), frame.y.at(p.low), frame.x.at(p.x), frame.y.at(p.high))
        for p in line.points
        if p.low is not None and p.high is not None
    ]
    kind = f"whisker m{line.index % svg.SHAPES}"
    parts.append(_path(kind, frame, [(point.x, point.y) for point in line.points]))
    for point in line.points:
        words = f"{line.name}: {height(point.y)}"
        if place is not None:
            words += f" at {place(point.x)}"
        mark = svg.glyph(line.index, frame.x.at(point.x), frame.y.at(point.y))
        parts.append(
            Markup('<g data-model="{}"><title>{}</title>{}</g>').format(line.index, words, mark)
        )
    return parts


def draw_legend(names: Mapping[int, str], left: float, top: float, width: int) -> list[Markup]:
    """The marks of rows of the leaderboard with their ``names``, one below the other."""
    start = left + 18
    # A letter is about 7 pixels wide, a wide one of other scripts somewhat more.
    labels = shortened(names.values(), int((width - start) // 8))
    parts = []
    for number, (index, name) in enumerate(names.items()):
        y = top + LEGEND * number
        parts.append(svg.glyph(index, left + 6, y - 4))
        parts.append(svg.label("label", start, y, labels[name]))
    return parts


def _path(kind: str, frame: Frame, places: list[tuple[float, float]]) -> Markup:
    path = "L".join(f"{frame.x.at(x):.1f},{frame.y.at(y):.1f}" for x, y in places)
    return Markup('<path class="{}" fill="none" d="M{}"/>').format(kind, path)


def _described(line: Line) -> str:
    places = ", ".join(
        f"{formatting.percent(point.y)} at {formatting.percent(point.x)}" for point in line.points
    )
    return f"{line.name}: {places}"

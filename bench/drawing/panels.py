"""Small drawings beside one another on one scale: scores over a few named steps, a drawing for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from bench import formatting
from bench.drawing import svg
from bench.drawing.axes import Axis, Frame
from bench.drawing.lines import LEGEND, Line, draw_legend, draw_line

_HEIGHT, _LEFT, _GAP = 150, 44, 14
_FEWEST = 150
"""Pixels that a panel needs."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One small drawing."""

    title: str
    lines: tuple[Line, ...]
    """Their points stand at 0, 1, 2, …: the numbers of ``Panels.steps``."""


@dataclass(frozen=True, slots=True)
class Panels:
    """Drawings with the same axes, and the names of the lines below them."""

    panels: tuple[Panel, ...]
    steps: tuple[str, ...]
    x_title: str
    y_title: str


def draw_panels(data: Panels, width: int) -> Markup:
    """``data`` as SVG, ``width`` pixels wide; empty if there is no point."""
    points = [point for panel in data.panels for line in panel.lines for point in line.points]
    if not points:
        return Markup("")
    low = min(point.y if point.low is None else point.low for point in points)
    high = max(point.y if point.high is None else point.high for point in points)
    pad = max(0.02, (high - low) * 0.06)
    levels = (max(0.0, low - pad) if low >= 0 else low - pad, high + pad)
    across = max(1, min(len(data.panels), (width - _LEFT) // _FEWEST))
    wide = (width - _LEFT - 12) / across
    named = {line.index: line.name for panel in data.panels for line in panel.lines}
    rows = -(-len(data.panels) // across)
    bottom = 18 + rows * (_HEIGHT + 40)
    parts = [svg.label("axis-title", 4, 12, f"↑ {data.y_title}")]
    for number, panel in enumerate(data.panels):
        row, column = divmod(number, across)
        left, top = _LEFT + column * wide, 18 + row * (_HEIGHT + 40)
        x = Axis(-0.35, len(data.steps) - 0.65, left, left + wide - _GAP)
        parts += _panel(panel, Frame(x, Axis(*levels, top + _HEIGHT, top + 20)), data.steps, column)
    parts.append(svg.label("axis-title", width - 12, bottom + 2, f"{data.x_title} →", "end"))
    parts += draw_legend(named, _LEFT, bottom + 12, width)
    height = bottom + 8 + LEGEND * len(named)
    told = "; ".join(_described(panel, data.steps) for panel in data.panels)
    return svg.plot(width, height, parts, f"{data.y_title} over {data.x_title}", told)


def _panel(panel: Panel, frame: Frame, steps: Sequence[str], column: int) -> list[Markup]:
    ticks = frame.y.ticks(4)
    parts = frame.levels(ticks, lambda value: f"{value:g}" if column == 0 else "")
    parts.append(svg.label("label", frame.x.start + 4, frame.y.end - 6, panel.title))
    parts += frame.numbers(range(len(steps)), lambda value: steps[int(value)])
    for number, line in enumerate(panel.lines):
        # Two models at one step would hide each other, so each stands a little aside.
        aside = 0.09 * (number - (len(panel.lines) - 1) / 2)
        points = tuple(replace(point, x=point.x + aside) for point in line.points)
        bars = f"whisker m{line.index % svg.SHAPES}"
        parts += draw_line(replace(line, points=points), frame, formatting.score, bars=bars)
    return parts


def _described(panel: Panel, steps: Sequence[str]) -> str:
    return "; ".join(
        f"{panel.title}, {line.name}: "
        + ", ".join(
            f"{formatting.score(point.y)} at {steps[round(point.x)]}" for point in line.points
        )
        for line in panel.lines
    )

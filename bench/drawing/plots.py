"""The plots with axes: a score against a cost, scores over a setting, every measurement, and shares.

The classes are data; ``draw`` makes SVG of them. A plot is drawn once for wide screens and once for narrow
ones, so that its letters keep their size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import assert_never

from markupsafe import Markup

from bench import formatting
from bench.drawing import svg
from bench.drawing.axes import TOP, Axis, Frame
from bench.drawing.lines import Lines, draw_lines
from bench.drawing.names import shortened
from bench.drawing.names import width as name_width
from bench.drawing.panels import Panels, draw_panels
from bench.schema import Estimate

WIDE, MEDIUM, NARROW = 760, 520, 380
"""Pixels of the drawings of a plot: on a line of its own, beside a table, and on a telephone."""

OTHER_COLOUR = 8
"""Colour of the part that has no name; the other parts have the colours before it."""

MAX_LABEL = 34
"""Characters of a model's name in a plot; the whole name stands in the table beside it."""

CROWD = 6
"""Points from which a small scatter writes only the names of those on the front."""

MAX_DOTS = 300
"""Measurements of one model that are drawn; more of them would hide one another."""


@dataclass(frozen=True, slots=True)
class PlotPoint:
    """One model in a scatter, or one setting of it on a curve."""

    index: int
    """Row of the leaderboard: colour, shape, and what a script finds it by."""
    label: str
    x: float
    estimate: Estimate
    on_front: bool = False
    """Whether no other model is both better and cheaper."""
    hollow: bool = False
    """Whether it is drawn as an outline, because it was measured in another way than the rest."""

    @property
    def y(self) -> float:
        """The score."""
        return self.estimate.value or 0.0

    @property
    def words(self) -> str:
        """Name, score and interval, for whoever points at the mark."""
        score = formatting.score(self.estimate.value)
        return f"{self.label}: {score} {formatting.interval(self.estimate)}"


@dataclass(frozen=True, slots=True)
class Scatter:
    """Scores with their intervals against a cost on a logarithmic axis."""

    points: tuple[PlotPoint, ...]
    x_title: str
    unit: str
    """Of the cost."""
    y_title: str
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Curve:
    """One model under several settings, in their order."""

    name: str
    points: tuple[PlotPoint, ...]
    """``PlotPoint.x`` is the setting."""
    costs: tuple[float, ...] = ()
    """The cost at each point, in the same order; empty if there is nothing to draw below the scores."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Scores over a setting on a logarithmic axis, and below them what they cost, on the same axis."""

    curves: tuple[Curve, ...]
    x_title: str
    x_scale: float
    """What a setting is divided by for the numbers under the axis."""
    y_title: str
    cost_title: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """Every measurement of one model."""

    index: int
    label: str
    values: tuple[float, ...]
    """Ascending."""
    quantiles: Mapping[str, float]
    """Name → value: ``p50``, ``p95``, …"""


@dataclass(frozen=True, slots=True)
class Strips:
    """Every measurement as a dot, one line for each model, on a common logarithmic axis."""

    strips: tuple[Strip, ...]
    title: str
    unit: str


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole."""

    name: str
    value: float
    """0 to 1."""
    colour: int
    """0 to ``OTHER_COLOUR``."""


@dataclass(frozen=True, slots=True)
class ShareBar:
    """What one model's whole is made of."""

    index: int
    label: str
    shares: tuple[Share, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ShareBars:
    """One bar for each model; the page writes names and numbers beside the bars."""

    bars: tuple[ShareBar, ...]


PlotData = Scatter | Curves | Strips | ShareBars | Lines | Panels


def draw(data: PlotData, width: int) -> Markup:
    """``data`` as SVG, ``width`` pixels wide; empty if there is nothing to draw."""
    match data:
        case Scatter():
            return _scatter(data, width)
        case Curves():
            return _curves(data, width)
        case Strips():
            return _strips(data, width)
        case Lines():
            return draw_lines(data, width)
        case Panels():
            return draw_panels(data, width)
        case ShareBars():
            return svg.joined(stacked(bar.shares, width=width) for bar in data.bars)
        case _:
            assert_never(data)


def _scatter(data: Scatter, width: int) -> Markup:
    points = data.points
    if not points:
        return Markup("")
    height = 380 if width > 500 else 330
    xs = [point.x for point in points]
    frame = Frame(
        # More room on the right, where most of the names stand.
        Axis(min(xs) / 1.6, max(xs) * 1.9, 48, width - 20, logarithmic=True),
        Axis(*_padded(*_extent(points)), height - 44, TOP),
    )
    x_title = data.x_title if width > 500 else data.x_title.split(" (")[0]
    ticks = frame.x.ticks()
    parts = [
        *frame.levels(_score_ticks(points), _short),
        *frame.uprights(ticks),
        *frame.numbers(ticks, lambda value: f"{value:g}{data.unit}"),
        svg.label("axis-title", width - 20, height - 6, f"{x_title} →", "end"),
        svg.label("axis-title", 4, 12, f"↑ {data.y_title}"),
        _staircase([point for point in points if point.on_front], frame),
        *(_interval(point, frame) for point in points),
        *_labelled(points, frame, width),
    ]
    better = "upper left" if data.higher_is_better else "lower left"
    described = "; ".join(
        f"{point.label}: {formatting.score(point.estimate.value)} at {point.x:g}{data.unit}"
        for point in points
    )
    title = f"{data.y_title} against {x_title}; {better} is better"
    direction = "higher" if data.higher_is_better else "lower"
    return svg.plot(width, height, parts, title, described, better=direction)


def _curves(data: Curves, width: int) -> Markup:
    points = [point for curve in data.curves for point in curve.points]
    if not points:
        return Markup("")
    upper, lower = (260, 150) if width > 500 else (230, 140)
    has_costs = all(curve.costs for curve in data.curves)
    settings = sorted({point.x for point in points})
    # A wide drawing has room for the names behind the curves' ends.
    longest = max(len(curve.name) for curve in data.curves)
    right = min(200, 30 + 7 * longest) if width > 500 else 20
    x = Axis(settings[0] / 1.15, settings[-1] * 1.15, 48, width - right, logarithmic=True)
    score = Frame(x, Axis(*_padded(*_extent(points)), upper - (18 if has_costs else 44), TOP))
    parts = [*score.levels(_score_ticks(points), _short), *score.uprights(settings)]
    parts.append(svg.label("axis-title", 4, 12, f"↑ {data.y_title}"))
    parts += _score_lines(data.curves, score, width)
    last, height = score, upper
    if has_costs:
        height = upper + lower
        most = max(cost for curve in data.curves for cost in curve.costs)
        last = Frame(x, Axis(0, most * 1.12, height - 44, upper + 22))
        parts += last.levels(last.y.ticks(3), lambda value: f"{value:,.10g}")
        parts += last.uprights(settings)
        parts.append(svg.label("axis-title", 4, upper + 17, f"↑ {data.cost_title}"))
        parts += _cost_lines(data.curves, last)
    parts += last.numbers(
        settings, lambda value: formatting.significant(value / data.x_scale, 2), apart=34
    )
    parts.append(svg.label("axis-title", width - right, height - 6, f"{data.x_title} →", "end"))
    described = "; ".join(
        f"{point.label}: {formatting.score(point.estimate.value)} at {point.x:,.0f}"
        for point in points
    )
    return svg.plot(width, height, parts, f"{data.y_title} over {data.x_title}", described)


def _score_lines(curves: Sequence[Curve], frame: Frame, width: int) -> list[Markup]:
    """Every curve with its intervals and marks; the name of the whole stands at its end."""
    parts: list[Markup] = []
    ends = []
    course: list[tuple[float, float]] = []
    for number, curve in enumerate(curves):
        # Two models under one setting would hide each other's interval, so each stands a little aside.
        pixels = 5 * (number - (len(curves) - 1) / 2)
        aside = (frame.x.high / frame.x.low) ** (pixels / (frame.x.end - frame.x.start))
        drawn = [replace(point, x=point.x * aside) for point in curve.points]
        parts.append(_line(frame, [(point.x, point.y) for point in drawn]))
        parts += [_interval(point, frame) for point in drawn]
        parts += [_marked(point, frame, point.y) for point in drawn[:-1]]
        ends.append(replace(drawn[-1], label=curve.name))
        course += _course(drawn, frame)
    return parts + _labelled(ends, frame, width, course)


def _course(points: Sequence[PlotPoint], frame: Frame) -> list[tuple[float, float]]:
    """Pixels along a curve, its marks among them."""
    marks = [(frame.x.at(point.x), frame.y.at(point.y)) for point in points]
    between = [
        (x + (next_x - x) * share, y + (next_y - y) * share)
        for (x, y), (next_x, next_y) in pairwise(marks)
        for share in (0.25, 0.5, 0.75)
    ]
    return marks + between


def _cost_lines(curves: Sequence[Curve], frame: Frame) -> list[Markup]:
    parts: list[Markup] = []
    for curve in curves:
        pairs = list(zip(curve.points, curve.costs, strict=True))
        parts.append(_line(frame, [(point.x, cost) for point, cost in pairs]))
        parts += [_marked(point, frame, cost) for point, cost in pairs]
    return parts


def _strips(data: Strips, width: int) -> Markup:
    positive = [value for strip in data.strips for value in strip.values if value > 0]
    if not positive:
        return Markup("")
    pitch = 54
    height = pitch * len(data.strips) + 34
    x = Axis(min(positive) / 1.25, max(positive) * 1.25, 8, width - 20, logarithmic=True)
    frame = Frame(x, Axis(0, 1, height - 28, 4))
    ticks = x.ticks()
    parts = [*frame.uprights(ticks), *frame.numbers(ticks, lambda value: f"{value:g} {data.unit}")]
    labels = shortened([strip.label for strip in data.strips], 18 if width < 500 else 40)
    for number, strip in enumerate(data.strips):
        shown = replace(strip, label=labels[strip.label])
        parts += _strip(shown, x, number * pitch + 38, data.unit)
    return svg.plot(width, height, parts, data.title)


def _strip(strip: Strip, x: Axis, y: float, unit: str) -> list[Markup]:
    figures = ", ".join(
        f"{key} {formatting.significant(strip.quantiles[key])}"
        for key in ("p50", "p95")
        if key in strip.quantiles
    )
    parts = [
        svg.glyph(strip.index, x.start + 6, y - 20),
        Markup(
            '<text class="label" x="{:.0f}" y="{:.0f}">{}<tspan class="soft" dx="10">{}</tspan></text>'
        ).format(x.start + 18, y - 16, strip.label, f"{figures} {unit} · n {len(strip.values)}"),
    ]
    for number, value in enumerate(_thinned(strip.values)):
        # A fixed jitter keeps equal values apart and the drawing the same every time.
        offset = (number * 7 % 5 - 2) * 2.2
        parts.append(
            Markup('<circle class="drop m{}" cx="{:.1f}" cy="{:.1f}" r="2.6"/>').format(
                strip.index % svg.SHAPES, x.at(value), y + offset
            )
        )
    for name, value in strip.quantiles.items():
        kind = "median" if name == "p50" else "tail"
        mark = svg.line(f"quantile {kind}", x.at(value), y - 9, x.at(value), y + 9)
        parts.append(Markup("<g><title>{}</title>{}</g>").format(name, mark))
    return parts


def _thinned(values: Sequence[float]) -> list[float]:
    """At most ``MAX_DOTS`` of ``values``, the smallest and the largest among them."""
    if len(values) <= MAX_DOTS:
        return list(values)
    step = (len(values) - 1) / (MAX_DOTS - 1)
    return [values[round(number * step)] for number in range(MAX_DOTS)]


def stacked(shares: Sequence[Share], *, width: int = 420) -> Markup:
    """One bar of shares that sum to 1; the list under it says the numbers."""
    parts = []
    x = 0.0
    for share in shares:
        wide = share.value * width
        parts.append(
            Markup(
                "<g><title>{} {}</title>"
                '<rect class="stage s{}" x="{:.1f}" y="0" width="{:.1f}" height="18"/></g>'
            ).format(
                share.name, formatting.percent(share.value), share.colour, x, max(0.0, wide - 1)
            )
        )
        x += wide
    words = ", ".join(f"{share.name} {formatting.percent(share.value)}" for share in shares)
    return Markup(
        '<svg class="stages" viewBox="0 0 {0} 18" preserveAspectRatio="none" role="img">'
        "<title>{1}</title>{2}</svg>"
    ).format(width, words, svg.joined(parts))


def _extent(points: Sequence[PlotPoint]) -> tuple[float, float]:
    """The least and the most of all scores and intervals."""
    ends = [
        end
        for point in points
        for end in (point.estimate.low, point.estimate.value, point.estimate.high)
        if end is not None
    ]
    return min(ends), max(ends)


def _padded(low: float, high: float) -> tuple[float, float]:
    """A little air around the scores, but no scale beyond 0 and 1 if all lie within."""
    pad = max((high - low) * 0.08, 0.02)
    bottom = max(0.0, low - pad) if low >= 0 else low - pad
    # A mark at exactly 1 must not be cut in half by the edge.
    top = min(1.0 + pad / 3, high + pad) if high <= 1 else high + pad
    return bottom, top


def _score_ticks(points: Sequence[PlotPoint]) -> list[float]:
    least, most = _extent(points)
    low, high = _padded(least, most)
    return Axis(low, min(high, 1.0) if most <= 1 else high, 0, 1).ticks()


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"


def _line(frame: Frame, places: Sequence[tuple[float, float]]) -> Markup:
    path = "L".join(f"{frame.x.at(x):.1f},{frame.y.at(y):.1f}" for x, y in places)
    return Markup('<path class="curve" d="M{}"/>').format(path)


def _staircase(front: Sequence[PlotPoint], frame: Frame) -> Markup:
    """The line of the models that no other beats: a staircase, as between two of them nothing is known."""
    if len(front) < 2:
        return Markup("")
    first, *rest = sorted(front, key=lambda point: point.x)
    steps = [f"M{frame.x.at(first.x):.1f},{frame.y.at(first.y):.1f}"]
    steps += [f"H{frame.x.at(point.x):.1f}V{frame.y.at(point.y):.1f}" for point in rest]
    return Markup('<path class="front" d="{}"/>').format("".join(steps))


def _interval(point: PlotPoint, frame: Frame) -> Markup:
    low, high = point.estimate.low, point.estimate.high
    if low is None or high is None:
        return Markup("")
    x = frame.x.at(point.x)
    kind = f"whisker m{point.index % svg.SHAPES}"
    return Markup('<g data-model="{}">{}</g>').format(
        point.index, svg.line(kind, x, frame.y.at(low), x, frame.y.at(high))
    )


def _marked(point: PlotPoint, frame: Frame, y: float, name: Markup | None = None) -> Markup:
    """A model's mark; whoever points at it is told its name and score."""
    mark = svg.glyph(point.index, frame.x.at(point.x), frame.y.at(y), hollow=point.hollow)
    return Markup(
        '<g data-model="{}" data-x="{:.1f}" data-y="{:.1f}" class="point"><title>{}</title>{}{}</g>'
    ).format(
        *(point.index, frame.x.at(point.x), frame.y.at(y), point.words, mark, name or Markup(""))
    )


def _labelled(
    points: Sequence[PlotPoint],
    frame: Frame,
    width: int,
    others: Sequence[tuple[float, float]] = (),
) -> list[Markup]:
    """Marks with their names, each name where it hides the least of all marks and of ``others``."""
    marks = [(frame.x.at(point.x), frame.y.at(point.y)) for point in points]
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in (*marks, *others)]
    parts = []
    room = MAX_LABEL if width > NARROW else MAX_LABEL - 8
    labels = shortened([point.label for point in points], room)
    # Beside a table, whose rows have the same marks, many names would only hide each other.
    crowded = width <= MEDIUM and len(points) > CROWD and any(point.on_front for point in points)
    for point in sorted(points, key=lambda point: -point.y):
        label = labels[point.label]
        quiet = crowded and not point.on_front
        # About the width of the letters at 13 pixels.
        long = 7.0 * name_width(label)
        x, y, anchor = _spot(point, frame, long, taken, width)
        start = x if anchor == "start" else x - long
        if not quiet:
            taken.append((start, y - 11, start + long, y + 3))
        kind = "label quiet" if quiet else "label"
        parts.append(_marked(point, frame, point.y, svg.label(kind, x, y, label, anchor)))
    return parts


def _spot(
    point: PlotPoint,
    frame: Frame,
    long: float,
    taken: Sequence[tuple[float, float, float, float]],
    width: int,
) -> tuple[float, float, str]:
    """The first of the places around a mark at which a name of ``long`` pixels hides and loses the least."""
    x, y = frame.x.at(point.x), frame.y.at(point.y)
    spots = [
        (x + 11, y + 4, "start"),
        (x - 11, y + 4, "end"),
        (x + 9, y - 9, "start"),
        (x + 9, y + 18, "start"),
        (x - 9, y - 9, "end"),
        (x - 9, y + 18, "end"),
        (x + 9, y - 24, "start"),
        (x + 9, y + 33, "start"),
    ]

    def harm(spot: tuple[float, float, str]) -> float:
        left = spot[0] if spot[2] == "start" else spot[0] - long
        right, top, bottom = left + long, spot[1] - 11, spot[1] + 3
        outside = max(0.0, frame.x.start - left) + max(0.0, right - width + 4)
        hidden = 0.0
        for box_left, box_top, box_right, box_bottom in taken:
            wide = max(0.0, min(right, box_right) - max(left, box_left))
            high = max(0.0, min(bottom, box_bottom) - max(top, box_top))
            hidden += wide * high
        # A name that is cut off is worse than one that touches another.
        return hidden + outside * 20

    return min(spots, key=harm)

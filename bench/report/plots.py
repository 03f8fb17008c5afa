"""The plots with axes: accuracy against a cost, or over resolution, and the latency of every question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from bench import formatting
from bench.drawing import svg
from bench.drawing.ticks import linear_ticks, log_ticks
from bench.schema import Estimate


@dataclass(frozen=True, slots=True)
class Point:
    """One model in the scatter."""

    index: int
    """Row of the leaderboard: colour, shape, and what a script finds it by."""
    label: str
    x: float
    estimate: Estimate
    on_front: bool
    hollow: bool = False
    """Drawn as an outline: measured in another way than the rest."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot's inner rectangle and what its axes mean."""

    width: int
    height: int
    x: Callable[[float], float]
    y: Callable[[float], float]
    left: int = 48
    right: int = 20
    top: int = 16
    bottom: int = 44


def scatter(
    points: Sequence[Point],
    *,
    width: int,
    x_title: str,
    x_text: Callable[[float], str],
    y_title: str,
    higher: bool = True,
) -> Markup:
    """Accuracy with its interval against a cost on a logarithmic axis, and the Pareto line.

    Args:
        points: the models.
        width: pixels; wide and narrow screens get a drawing each, so that letters keep their size.
        x_title: what the cost is, with its unit.
        x_text: how a tick of the cost is written.
        y_title: what the score is.
        higher: whether a higher score is better.
    """
    if not points:
        return Markup("")
    height = 380 if width > 500 else 330
    frame = _frame(points, width, height)
    parts = [_grid(frame, points, x_text, y_title, x_title)]
    front = sorted((p for p in points if p.on_front), key=lambda p: p.x)
    parts.append(_front(front, frame))
    parts += [_interval(p, frame) for p in points]
    parts += _labelled(points, frame)
    better = "upper left" if higher else "lower left"
    description = "; ".join(
        f"{p.label}: {formatting.score(p.estimate.value)} at {x_text(p.x)}" for p in points
    )
    return Markup(
        '<svg class="plot" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">'
        "<title>{2} against {3}; {4} is better</title><desc>{5}</desc>{6}</svg>"
    ).format(width, height, y_title, x_title, better, description, Markup("").join(parts))


def _frame(points: Sequence[Point], width: int, height: int) -> Frame:
    xs = [p.x for p in points]
    low, high = min(xs) / 1.6, max(xs) * 1.9
    bottom, top = _padded(*_extent(points))
    left, right, up, down = 48, 20, 16, 44

    def at_x(value: float) -> float:
        share = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return left + share * (width - left - right)

    def at_y(value: float) -> float:
        return height - down - (value - bottom) / (top - bottom) * (height - up - down)

    return Frame(width, height, at_x, at_y)


def _padded(low: float, high: float) -> tuple[float, float]:
    """A little air around the scores, but no scale beyond 0 and 1 where all lie within."""
    pad = max((high - low) * 0.08, 0.02)
    padded_low, padded_high = low - pad, high + pad
    if low >= 0:
        padded_low = max(0.0, padded_low)
    if high <= 1:
        padded_high = min(1.0 + pad / 3, padded_high)
    return padded_low, padded_high


def _grid(
    frame: Frame,
    points: Sequence[Point],
    x_text: Callable[[float], str],
    y_title: str,
    x_title: str,
) -> Markup:
    base, ceiling = frame.height - frame.bottom, frame.top
    xs = [p.x for p in points]
    parts = []
    for tick, written in _score_ticks(points):
        y = frame.y(tick)
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(
                frame.left, frame.width - frame.right, y=y
            )
        )
        parts.append(
            Markup('<text class="tick-text" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                frame.left - 8, y + 4, written
            )
        )
    for tick in log_ticks(min(xs) / 1.6, max(xs) * 1.9):
        x = frame.x(tick)
        parts.append(
            Markup('<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>').format(
                ceiling, base, x=x
            )
        )
        parts.append(
            Markup(
                '<text class="tick-text" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
            ).format(x, base + 18, x_text(tick))
        )
    parts.append(
        Markup('<text class="axis-title" x="{}" y="{}" text-anchor="end">{} →</text>').format(
            frame.width - frame.right, frame.height - 6, x_title
        )
    )
    parts.append(
        Markup('<text class="axis-title" x="{}" y="{}">↑ {}</text>').format(4, 11, y_title)
    )
    return Markup("").join(parts)


def _front(front: Sequence[Point], frame: Frame) -> Markup:
    """A staircase: between two models nothing better is known."""
    if len(front) < 2:
        return Markup("")
    first = front[0]
    path = [f"M{frame.x(first.x):.1f},{frame.y(first.estimate.value or 0):.1f}"]
    path += [
        f"H{frame.x(point.x):.1f}V{frame.y(point.estimate.value or 0):.1f}" for point in front[1:]
    ]
    return Markup('<path class="front" d="{}"/>').format("".join(path))


def _interval(point: Point, frame: Frame) -> Markup:
    if point.estimate.low is None or point.estimate.high is None:
        return Markup("")
    return Markup(
        '<line class="whisker m{}" data-model="{}" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
    ).format(
        point.index % svg.SHAPES,
        point.index,
        frame.y(point.estimate.low),
        frame.y(point.estimate.high),
        x=frame.x(point.x),
    )


def _labelled(points: Sequence[Point], frame: Frame) -> list[Markup]:
    """Marks with their names, each name where it hides nothing."""
    taken = [
        (
            frame.x(p.x) - 8,
            frame.y(p.estimate.value or 0) - 8,
            frame.x(p.x) + 8,
            frame.y(p.estimate.value or 0) + 8,
        )
        for p in points
    ]
    parts = []
    for point in sorted(points, key=lambda p: -(p.estimate.value or 0)):
        x, y = frame.x(point.x), frame.y(point.estimate.value or 0)
        label = point.label if len(point.label) <= 34 else point.label[:33] + "…"
        long = sum(13 if ord(c) > 0x2E80 else 7.0 for c in label)
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
        tx, ty, anchor = min(spots, key=lambda s: (_clash(s, long, taken, frame), spots.index(s)))
        start = tx if anchor == "start" else tx - long
        taken.append((start, ty - 11, start + long, ty + 3))
        parts.append(
            Markup(
                '<g data-model="{}" class="point"><title>{}</title>{}'
                '<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text></g>'
            ).format(
                point.index,
                f"{point.label}: {formatting.score(point.estimate.value)} {formatting.interval(point.estimate)}",  # noqa: E501
                svg.glyph(point.index, x, y, hollow=point.hollow),
                tx,
                ty,
                anchor,
                label,
            )
        )
    return parts


def _clash(
    spot: tuple[float, float, str],
    long: float,
    taken: Sequence[tuple[float, float, float, float]],
    frame: Frame,
) -> float:
    """How much a label at ``spot`` would hide or lose."""
    x, y, anchor = spot
    left = x if anchor == "start" else x - long
    right, top, bottom = left + long, y - 11, y + 3
    outside = max(0.0, frame.left - left) + max(0.0, right - frame.width + 4)
    overlap = sum(
        max(0.0, min(right, b[2]) - max(left, b[0])) * max(0.0, min(bottom, b[3]) - max(top, b[1]))
        for b in taken
    )
    return overlap + outside * 20


@dataclass(frozen=True, slots=True)
class Curve:
    """One model under several bounds, in the order of the bounds."""

    name: str
    points: tuple[Point, ...]
    costs: tuple[float, ...]
    """Of each point; none at all where there is nothing to draw below."""


def curves(found: Sequence[Curve], *, width: int, y_title: str, cost_title: str) -> Markup:
    """Scores with their intervals over the bound on a page, and below what they cost, on the same axis.

    Args:
        found: the curves; ``Point.x`` is the bound in pixels.
        width: pixels; wide and narrow screens get a drawing each, so that letters keep their size.
        y_title: what the score is.
        cost_title: what ``Curve.costs`` are.
    """
    points = [point for curve in found for point in curve.points]
    if not points:
        return Markup("")
    upper, lower = (260, 150) if width > 500 else (230, 140)
    has_costs = all(curve.costs for curve in found)
    xs = sorted({point.x for point in points})
    left, bottom = 48, 18 if has_costs else 44
    # A wide drawing has room for the names behind the curves' ends.
    right = min(200, 30 + 7 * max(len(curve.name) for curve in found)) if width > 500 else 20
    low, high = xs[0] / 1.15, xs[-1] * 1.15
    least, most = _padded(*_extent(points))

    def at_x(value: float) -> float:
        share = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return left + share * (width - left - right)

    def score_y(value: float) -> float:
        return upper - bottom - (value - least) / (most - least) * (upper - bottom - 16)

    score = Frame(width, upper, at_x, score_y, right=right, bottom=bottom)
    parts = [_rules(score, _score_ticks(points), y_title), *_bounds(score, xs, last=not has_costs)]
    ends = []
    for number, curve in enumerate(found):
        # Two models under one bound would hide each other's interval.
        aside = 5 * (number - (len(found) - 1) / 2) / (width - left - right)
        drawn = [replace(p, x=p.x * (high / low) ** aside) for p in curve.points]
        parts.append(_line(score, [(p.x, p.estimate.value or 0) for p in drawn]))
        parts += [_interval(point, score) for point in drawn]
        parts += [_marked(point, score, point.estimate.value or 0) for point in drawn[:-1]]
        ends.append(replace(drawn[-1], label=curve.name))
    # The name of the whole stands at its end.
    parts += _labelled(ends, score)
    height = upper
    if has_costs:
        height += lower
        top = max(cost for curve in found for cost in curve.costs) * 1.12
        base, ceiling = height - 44, upper + 22

        def at_y(value: float) -> float:
            return base - value / top * (base - ceiling)

        cost = Frame(width, height, at_x, at_y, right=right, top=ceiling)
        ticks = [(tick, f"{tick:,.10g}") for tick in linear_ticks(0, top, 3)]
        parts += [_rules(cost, ticks, cost_title), *_bounds(cost, xs, last=True)]
        for curve in found:
            pairs = list(zip(curve.points, curve.costs, strict=True))
            parts.append(_line(cost, [(point.x, value) for point, value in pairs]))
            parts += [_marked(point, cost, value) for point, value in pairs]
    description = "; ".join(
        f"{p.label}: {formatting.score(p.estimate.value)} at {p.x:,.0f} pixels" for p in points
    )
    return Markup(
        '<svg class="plot" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">'
        "<title>{2} over max_pixels</title><desc>{3}</desc>{4}</svg>"
    ).format(width, height, y_title, description, Markup("").join(parts))


def _extent(points: Sequence[Point]) -> tuple[float, float]:
    """The least and the most of all scores and intervals."""
    bounds = [
        b
        for p in points
        for b in (p.estimate.low, p.estimate.high, p.estimate.value)
        if b is not None
    ]
    return min(bounds), max(bounds)


def _marked(point: Point, frame: Frame, y: float) -> Markup:
    """A row's mark without its name, which a pointer over it tells."""
    return Markup('<g data-model="{}" class="point"><title>{}</title>{}</g>').format(
        point.index,
        f"{point.label}: {formatting.score(point.estimate.value)} {formatting.interval(point.estimate)}",
        svg.glyph(point.index, frame.x(point.x), frame.y(y)),
    )


def _score_ticks(points: Sequence[Point]) -> list[tuple[float, str]]:
    least, most = _extent(points)
    low, high = _padded(least, most)
    ticks = linear_ticks(low, min(high, 1.0) if most <= 1 else high)
    return [(tick, f"{tick:.2f}".rstrip("0").rstrip(".") if tick else "0") for tick in ticks]


def _rules(frame: Frame, ticks: Sequence[tuple[float, str]], title: str) -> Markup:
    """Level lines with their numbers, and what they are of."""
    parts = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>'
            '<text class="tick-text" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(frame.left, frame.width - frame.right, frame.left - 8, y + 4, text, y=y)
        for tick, text in ticks
        for y in [frame.y(tick)]
    ]
    parts.append(
        Markup('<text class="axis-title" x="4" y="{}">↑ {}</text>').format(frame.top - 5, title)
    )
    return Markup("").join(parts)


def _bounds(frame: Frame, xs: Sequence[float], *, last: bool) -> list[Markup]:
    """A line for every bound; under the last panel with megapixels, where they do not touch."""
    base = frame.height - frame.bottom
    parts, free = [], 0.0
    for value in xs:
        x = frame.x(value)
        parts.append(
            Markup('<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>').format(
                frame.top, base, x=x
            )
        )
        if last and x >= free:
            free = x + 34
            parts.append(
                Markup(
                    '<text class="tick-text" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
                ).format(x, base + 18, formatting.significant(value / 1e6, 2))
            )
    if last:
        parts.append(
            Markup('<text class="axis-title" x="{}" y="{}" text-anchor="end">{} →</text>').format(
                frame.width - frame.right, frame.height - 6, "max_pixels, megapixels"
            )
        )
    return parts


def _line(frame: Frame, places: Sequence[tuple[float, float]]) -> Markup:
    path = "L".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in places)
    return Markup('<path class="curve" d="M{}"/>').format(path)


def strips(
    latencies: Mapping[int, tuple[str, Sequence[float], Mapping[str, float]]], *, width: int
) -> Markup:
    """Every single-stream latency as a dot, one line a model, percentiles as marks, a common log axis.

    Args:
        latencies: row → (name, seconds ascending, percentile name → seconds).
        width: pixels.
    """
    if not latencies:
        return Markup("")
    every = [v for _, values, _ in latencies.values() for v in values if v > 0]
    if not every:
        return Markup("")
    low, high = min(every) / 1.25, max(every) * 1.25
    left, right, pitch = 8, 8, 54
    height = pitch * len(latencies) + 34

    def at(value: float) -> float:
        share = (math.log(max(value, low)) - math.log(low)) / (math.log(high) - math.log(low))
        return left + share * (width - left - right)

    parts = [
        Markup(
            '<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{}"/>'
            '<text class="tick-text" x="{x:.1f}" y="{}" text-anchor="middle">{} s</text>'
        ).format(height - 28, height - 12, f"{tick:g}", x=at(tick))
        for tick in log_ticks(low, high)
    ]
    for line, (index, (name, values, marks)) in enumerate(latencies.items()):
        y = line * pitch + 38
        facts = f"p50 {formatting.significant(marks['p50'])} s · p95 {formatting.significant(marks['p95'])} s"
        parts.append(
            Markup(
                '{}<text class="label" x="{}" y="{}">{}'
                '<tspan class="soft" dx="10">{} · n {}</tspan></text>'
            ).format(
                svg.glyph(index, left + 6, y - 20), left + 18, y - 16, name, facts, len(values)
            )
        )
        shown = _thinned(values)
        for i, value in enumerate(shown):
            # A fixed jitter keeps equal latencies apart and the drawing the same every time.
            offset = (i * 7 % 5 - 2) * 2.2
            parts.append(
                Markup('<circle class="drop m{}" cx="{:.1f}" cy="{:.1f}" r="2.6"/>').format(
                    index % svg.SHAPES, at(value), y + offset
                )
            )
        for mark, value in marks.items():
            kind = "median" if mark == "p50" else "tail"
            parts.append(
                Markup(
                    '<line class="quantile {}" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>'
                    "<title>{}</title>"
                ).format(kind, y - 9, y + 9, mark, x=at(value))
            )
    return Markup(
        '<svg class="plot" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">'
        "<title>Single-stream latency of every question measured</title>{2}</svg>"
    ).format(width, height, Markup("").join(parts))


def _thinned(values: Sequence[float], limit: int = 300) -> list[float]:
    if len(values) <= limit:
        return list(values)
    return [values[round(i * (len(values) - 1) / (limit - 1))] for i in range(limit)]

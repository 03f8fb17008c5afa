"""The picture of a training: values over steps, in panels one above the other.

An SVG file of its own, with its colours in it for light and dark screens, so that any viewer shows it.
``draw_curves`` takes any named series; ``write_curves`` draws what ``bench tune`` has logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench.drawing import svg
from bench.drawing.axes import Axis, Frame
from bench.files import read_lines, write_atomically
from bench.tuning.adapter_folder import CURVES, HISTORY

WIDTH, PANEL = 720, 200
LEFT, RIGHT, TOP, GAP, BOTTOM, EDGE = 60, 20, 60, 48, 44, 12
MARKED = 30
"""Points of a series up to which each has a dot; a line tells more of a longer one."""
NOISY = 60
"""Points of a series from which its running mean is drawn over it."""
DRAWN = 1000
"""Points of a line that can be told apart on such a width."""

Series = Sequence[tuple[int, float]]
"""(step, value). Of a step that was done again, after a training was broken off, the last value counts."""
Panels = Mapping[str, Mapping[str, Series]]
"""Title of a panel → name of a series → the series; all panels share the axis of steps."""

# The colours of models in reports. Written out, for not every viewer of SVG knows CSS variables.
_LIGHT = ("#0b66a8", "#c75000", "#00805c", "#a8508c", "#8a6d00", "#5b5fc7")
_DARK = ("#5fb0ea", "#ff9650", "#3ccfa0", "#e193c8", "#e0c14a", "#a5a8ff")


def draw_curves(panels: Panels, *, title: str, kept: int | None = None) -> str:
    """Draw an SVG document with a panel for each of ``panels``; empty if there is no point at all.

    A name has one colour in all panels. Long series are drawn faintly, with their running mean over them.

    Args:
        panels: what is drawn, from top to bottom; values are finite.
        title: of the whole.
        kept: a step that is marked in every panel: the one whose weights were kept.
    """
    shown = {
        name: {key: sorted(dict(points).items()) for key, points in lines.items() if points}
        for name, lines in panels.items()
        if any(lines.values())
    }
    if not shown:
        return ""
    names = list(dict.fromkeys(key for lines in shown.values() for key in lines))
    colours = {key: number % len(_LIGHT) for number, key in enumerate(names)}
    last = max(points[-1][0] for lines in shown.values() for points in lines.values()) or 1
    steps = Axis(0, last, LEFT, WIDTH - RIGHT)
    height = TOP + len(shown) * (PANEL + GAP) - GAP + BOTTOM
    parts = []
    for number, (name, lines) in enumerate(shown.items()):
        top = TOP + number * (PANEL + GAP)
        frame = Frame(steps, Axis(*_range(lines), top + PANEL, top))
        parts += _panel(name, lines, frame, colours)
    if kept is not None:
        x = steps.at(kept)
        parts.append(svg.line("kept", x, TOP, x, height - BOTTOM + 6))
        # Its name stands below, where no curve is.
        parts.append(svg.label("title", x, height - 8, f"kept: step {kept:,}", _anchor(x)))
    shared = Frame(steps, Axis(0, 1, height - BOTTOM, TOP))
    whole = [tick for tick in steps.ticks(8) if tick == int(tick)]
    parts += shared.numbers(whole, lambda tick: f"{tick:,.0f}")
    parts.append(svg.label("tick-text", LEFT - 12, height - BOTTOM + 18, "step", "end"))
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">'
        '<title>{2}</title><desc>{3}</desc><style>{4}</style><rect class="paper" width="{0}" height="{1}"/>'
        "{5}{6}</svg>\n"
    ).format(
        WIDTH,
        height,
        title,
        _described(shown),
        Markup(_style()),
        svg.label("head", EDGE, 24, title),
        svg.joined(parts),
    )


def _range(lines: Mapping[str, Series]) -> tuple[float, float]:
    """What the axis of values runs over: from zero, unless that would press everything together."""
    values = [value for points in lines.values() for _, value in points]
    low, high = min(values), max(values)
    if 0 <= low < 0.6 * high:
        return 0.0, high * 1.04
    air = 0.06 * (high - low) or 0.05
    return low - air, high + air


def _panel(
    title: str, lines: Mapping[str, Series], frame: Frame, colours: Mapping[str, int]
) -> list[Markup]:
    parts = [svg.label("title", EDGE, frame.y.end - 10, title)]
    parts += frame.levels(frame.y.ticks(), lambda tick: f"{tick:g}")
    for key, points in lines.items():
        parts += _line(points, frame, colours[key])
    if len(lines) > 1:
        parts += _legend(lines, frame.y.end - 10, colours)
    return parts


def _line(points: Series, frame: Frame, colour: int) -> list[Markup]:
    def drawn(kind: str, series: Series) -> Markup:
        kept = series[:: 1 + len(series) // DRAWN]
        places = " ".join(f"{frame.x.at(step):.1f},{frame.y.at(value):.1f}" for step, value in kept)
        return Markup('<polyline class="{} c{}" points="{}"/>').format(kind, colour, places)

    if len(points) > NOISY:
        return [drawn("faint", points), drawn("line", running_mean(points))]
    dots = points if len(points) <= MARKED else ()
    circle = Markup('<circle class="c{}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>')
    return [
        drawn("line", points),
        *(circle.format(colour, frame.x.at(step), frame.y.at(value)) for step, value in dots),
    ]


def running_mean(points: Series) -> list[tuple[int, float]]:
    """Each point with the mean of a twentieth of the series around it; at the ends of what is there."""
    reach = len(points) // 40
    sums = [0.0, *accumulate(value for _, value in points)]
    means = []
    for number, (step, _) in enumerate(points):
        first, behind = max(0, number - reach), min(len(points), number + reach + 1)
        means.append((step, (sums[behind] - sums[first]) / (behind - first)))
    return means


def _legend(lines: Mapping[str, Series], y: float, colours: Mapping[str, int]) -> list[Markup]:
    """Names in the line of the title, from the right."""
    parts: list[Markup] = []
    x: float = WIDTH - RIGHT
    for key in reversed(list(lines)):
        # About the width of a letter of this size.
        x -= 6.6 * len(key)
        parts.append(svg.line(f"line c{colours[key]}", x - 22, y - 4, x - 6, y - 4))
        parts.append(svg.label("tick-text", x, y, key))
        x -= 38
    return parts


def _anchor(x: float) -> str:
    """So that a short text at ``x`` stays within the picture."""
    return "start" if x < 100 else "end" if x > WIDTH - 100 else "middle"


def _described(panels: Panels) -> str:
    """What the picture says, for those who cannot see it."""
    return "; ".join(
        f"{title}, {key}: "
        + ", ".join(f"{value:.3g} at step {step}" for step, value in (points[0], points[-1]))
        for title, lines in panels.items()
        for key, points in lines.items()
    )


def _style() -> str:
    def colours(which: Sequence[str]) -> str:
        lines = (
            f".c{i} {{ stroke: {c} }} circle.c{i} {{ fill: {c} }}" for i, c in enumerate(which)
        )
        return " ".join(lines)

    return f"""
svg {{ max-width: 100%; height: auto }}
text {{ font: 12px system-ui, "Segoe UI", "Noto Sans", sans-serif; fill: #5c636d }}
.title, .head {{ font-weight: 600; fill: #1d2126 }} .head {{ font-size: 14px }}
.paper {{ fill: #fff }} .grid {{ stroke: #e3e1db }}
polyline {{ fill: none; stroke-linejoin: round }} .line {{ stroke-width: 2 }} .faint {{ stroke-opacity: 0.3 }}
.kept {{ stroke: #5c636d; stroke-dasharray: 4 3 }}
{colours(_LIGHT)}
@media (prefers-color-scheme: dark) {{
text {{ fill: #9aa2ad }} .title, .head {{ fill: #e6e7e9 }}
.paper {{ fill: #181b1f }} .grid {{ stroke: #2a2e34 }} .kept {{ stroke: #9aa2ad }}
{colours(_DARK)}
}}
"""


def write_curves(folder: Path) -> Path | None:
    """Draw the history of the training in ``folder`` beside it; None if nothing was validated yet."""
    history = list(read_lines(folder / HISTORY))
    score = _series(history, "eval_score")
    if not score:
        return None
    loss = {"training": _series(history, "loss"), "validation": _series(history, "eval_loss")}
    drawn = draw_curves(
        {"loss": loss, "score of the validation part": {"validation": score}},
        title=folder.name,
        kept=_best(history),
    )
    path = folder / CURVES
    write_atomically(path, drawn)
    return path


def _series(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    # What was no number is null.
    return [(int(e["step"]), float(e[key])) for e in history if e.get(key) is not None]


def _best(history: Sequence[Mapping[str, Any]]) -> int | None:
    """The step whose adapter was kept; the untrained model is none."""
    validated = [e for e in history if e.get("eval_merit") is not None and e["step"] > 0]
    return int(max(validated, key=lambda e: e["eval_merit"])["step"]) if validated else None

"""The picture of a training: losses above, the validation's score below, by optimizer step.

A pure function of the ``history.jsonl`` that a training writes; a file of its own, with its colours in it,
so that any viewer shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from bench.files import read_lines, write_atomically
from bench.report.plots import linear_ticks

WIDTH, PANEL = 720, 220
LEFT, RIGHT, TOP, GAP, BOTTOM = 56, 16, 26, 44, 40

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #444 }
.title { font-weight: 600; fill: #222 }
.grid { stroke: #ddd }
.train { stroke: #9bb7d4; fill: none }
.validation { stroke: #1f5a99; fill: none; stroke-width: 2 }
.dot { fill: #1f5a99 }
.best { fill: #fff; stroke: #c2410c; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
  svg { background: #1a1a1a } text { fill: #bbb } .title { fill: #eee } .grid { stroke: #383838 }
}
"""


class Point(NamedTuple):
    """One value at one step."""

    step: int
    value: float


def write_curves(folder: Path) -> Path | None:
    """Draw ``history.jsonl`` of a training into ``curves.svg`` beside it; None where nothing is known yet."""
    history = list(read_lines(folder / "history.jsonl"))
    drawn = curves(history)
    if not drawn:
        return None
    path = folder / "curves.svg"
    write_atomically(path, str(drawn))
    return path


def curves(history: Sequence[dict[str, Any]]) -> Markup:
    """The picture of what a Trainer logged; empty where nothing was validated."""
    train, loss, score = (_points(history, key) for key in ("loss", "eval_loss", "eval_score"))
    if not score:
        return Markup("")
    last = max(point.step for point in (*train, *loss, *score)) or 1
    best = _best(history)
    height = TOP + PANEL + GAP + PANEL + BOTTOM
    upper = _panel("loss", {"train": train, "validation": loss}, last, TOP, best, floor=0.0)
    lower = _panel(
        "score of the validation part",
        {"validation": score},
        last,
        TOP + PANEL + GAP,
        best,
        floor=None,
    )
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">'
        "<title>Loss and score by step</title><desc>{2}</desc><style>{3}</style>{4}{5}{6}</svg>\n"
    ).format(
        WIDTH,
        height,
        "; ".join(f"step {point.step}: score {point.value:.3f}" for point in score),
        Markup(_STYLE),
        upper,
        lower,
        _steps(last, height),
    )


def _points(history: Sequence[dict[str, Any]], key: str) -> list[Point]:
    return [
        Point(int(entry["step"]), float(entry[key]))
        for entry in history
        if entry.get(key) is not None
    ]


def _best(history: Sequence[dict[str, Any]]) -> int | None:
    """The step whose adapter was kept."""
    found = [e for e in history if e.get("eval_merit") is not None and e["step"] > 0]
    return max(found, key=lambda e: e["eval_merit"])["step"] if found else None


def _panel(
    title: str,
    lines: dict[str, list[Point]],
    last: int,
    top: int,
    best: int | None,
    *,
    floor: float | None,
) -> Markup:
    values = [point.value for points in lines.values() for point in points]
    low = min(values) if floor is None else floor
    high = max(values)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05

    def at(point: Point) -> tuple[float, float]:
        share = (point.value - low) / (high - low)
        return _x(point.step, last), top + PANEL - share * PANEL

    parts = [Markup('<text class="title" x="4" y="{}">{}</text>').format(top - 10, title)]
    for tick in linear_ticks(low, high, 4):
        y = at(Point(0, tick))[1]
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>'
                '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(LEFT, WIDTH - RIGHT, LEFT - 8, y + 4, f"{tick:g}", y=y)
        )
    for number, (name, points) in enumerate(lines.items()):
        placed = [at(point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(Markup('<polyline class="{}" points="{}"/>').format(name, path))
        if name == "validation":
            parts += [
                Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(
                    "best" if point.step == best else "dot", x, y
                )
                for point, (x, y) in zip(points, placed, strict=True)
            ]
        if len(lines) > 1:
            x = WIDTH - RIGHT - 150 + 60 * number
            parts.append(
                Markup(
                    '<line class="{}" x1="{}" x2="{}" y1="{y}" y2="{y}"/><text x="{}" y="{}">{}</text>'
                ).format(name, x, x + 14, x + 18, top - 10, name, y=top - 14)
            )
    return Markup("").join(parts)


def _steps(last: int, height: int) -> Markup:
    parts = [
        Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            _x(int(tick), last), height - BOTTOM + 18, int(tick)
        )
        for tick in linear_ticks(0, last, 8)
        if tick == int(tick)
    ]
    title = Markup('<text x="{}" y="{}" text-anchor="end">steps; ring: kept</text>').format(
        WIDTH - RIGHT, height - 4
    )
    return Markup("").join([*parts, title])


def _x(step: int, last: int) -> float:
    return LEFT + step / last * (WIDTH - LEFT - RIGHT)

"""What accuracy costs: scores against latency and against memory."""

from __future__ import annotations

from typing import NamedTuple

from bench import formatting
from bench.drawing.plots import PlotPoint, Scatter
from bench.report.records import at
from bench.report.section import (
    Column,
    DataCell,
    Format,
    Group,
    Plot,
    Row,
    Section,
    Table,
    model_cell,
    score_cell,
)
from bench.report.sections.leaderboard import GIB, usual_memory
from bench.report.views import COSTS, ReportView


class _Cost(NamedTuple):
    """What accuracy is weighed against."""

    name: str
    """Of the tab."""
    axis: str
    unit: str
    column: str
    format: Format


_COSTS = {
    "latency": _Cost(
        "Latency", "Latency, p50 seconds per question (one at a time)", " s", "p50 s", "significant"
    ),
    "memory": _Cost("Memory", "Peak memory, GiB", " GiB", "GiB", "gib"),
}


def section(view: ReportView) -> Section | None:
    """A tab for each cost that finished models have."""
    tabs = [_tab(view, cost) for cost in _COSTS]
    shown = tuple(tab for tab in tabs if tab is not None)
    if not shown:
        return None
    blocks = (Group(shown, layout="tabs"),)
    return Section(
        "tradeoff", "What accuracy costs", blocks, "Trade-off", frozenset(("html", "csv", "json"))
    )


def _tab(view: ReportView, cost: str) -> Group | None:
    points = _points(view, cost)
    if not points:
        return None
    about = _COSTS[cost]
    data = Scatter(points, about.axis, about.unit, view.score_name, view.higher_is_better)
    columns = (
        Column("model", "Model", header=True),
        Column("score", "Score", format="score", intervals="hover"),
        Column(cost, about.column, about.format),
        Column("front", "Pareto", note="Yes: no other model is both better and cheaper."),
    )
    rows = tuple(_row(view, point, cost) for point in sorted(points, key=lambda point: point.x))
    table = Table(cost, columns, rows, "From the cheapest model to the most expensive")
    plot = Plot(f"by-{cost}", data, _caption(view, cost, points))
    return Group((Group((plot, table), layout="side"),), about.name)


def _points(view: ReportView, cost: str) -> tuple[PlotPoint, ...]:
    usual = usual_memory(view.ranked)
    points = []
    for index, row in enumerate(view.rows):
        if not row.ranked or row.score is None or row.score.value is None:
            continue
        value = at(row.facts, COSTS[cost])
        if value is not None and value > 0:
            value /= GIB if cost == "memory" else 1
            memory = row.facts.memory
            hollow = cost == "memory" and memory is not None and memory.kind != usual
            front = row.key in view.fronts[cost].keys
            points.append(PlotPoint(index, row.key, value, row.score, front, hollow))
    return tuple(points)


def _row(view: ReportView, point: PlotPoint, cost: str) -> Row:
    row = view.rows[point.index]
    value = point.x * GIB if cost == "memory" else point.x
    cells = {
        "model": model_cell(row.key),
        "score": score_cell(row.score),
        cost: DataCell(value),
        "front": DataCell("yes" if point.on_front else "", mark="muted"),
    }
    return Row(cells, model=row.key)


def _caption(view: ReportView, cost: str, points: tuple[PlotPoint, ...]) -> str:
    sentences = ["The bars are 95 % intervals; the cost axis is logarithmic."]
    front = view.fronts[cost].keys
    if len(front) > 1:
        sentences.append(
            "The line joins the models that no other model beats on both counts: "
            f"{formatting.listed(front, 8)}."
        )
    elif front:
        sentences.append(f"No other model beats {front[0]} on either count.")
    hollow = [point.label for point in points if point.hollow]
    if hollow:
        sentences.append(
            f"Hollow marks ({formatting.listed(hollow)}) were measured in another way: the memory of a "
            "process on the CPU is not GPU memory."
        )
    return " ".join(sentences)

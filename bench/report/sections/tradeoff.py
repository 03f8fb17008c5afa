"""What accuracy costs: scores against latency, memory and money."""

from __future__ import annotations

from typing import NamedTuple

from bench import formatting
from bench.drawing.plots import PlotPoint, Scatter
from bench.report.cost import currency_of
from bench.report.facts import GIB, usual_memory
from bench.report.findings import Board
from bench.report.records import at
from bench.report.section import (
    DATA,
    PAGE,
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
from bench.report.views import COSTS, ReportView

MAX_BOARDS = 2
"""Boards that have plots of their own: more tabs would be a second leaderboard."""


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
    "cost": _Cost(
        "Cost", "Cost of 1,000 pages, {currency}", "", "{currency} / 1,000 pages", "significant"
    ),
}


def plots(view: ReportView) -> Group | None:
    """The plots in tabs: one for each cost that finished models have, on each board."""
    tabs = []
    for number, board in enumerate(view.boards[:MAX_BOARDS], start=1):
        for cost, about in _COSTS.items():
            points = _points(view, board, cost)
            # One point is no trade-off.
            if len(points) > 1:
                axis = about.axis.format(currency=currency_of(view.rows))
                data = Scatter(points, axis, about.unit, view.score_name, view.higher_is_better)
                plot = Plot(f"by-{cost}-{number}", data, _caption(view, cost, points))
                name = f"{about.name}, board {number}" if len(view.boards) > 1 else about.name
                tabs.append(Group((plot,), name))
    return Group(tuple(tabs), layout="tabs", id="tradeoff", outputs=PAGE) if tabs else None


def section(view: ReportView) -> Section | None:
    """The numbers of the plots, for spreadsheets and programs."""
    tables = []
    currency = currency_of(view.rows)
    for cost, about in _COSTS.items():
        points = [point for board in view.boards for point in _points(view, board, cost)]
        if points:
            columns = (
                Column("model", "Model", header=True),
                Column("score", "Score", format="score", intervals="hover"),
                Column(cost, about.column.format(currency=currency), about.format),
                Column("front", "Pareto", note="Yes: no other model is both better and cheaper."),
            )
            rows = tuple(_row(view, point, cost) for point in sorted(points, key=lambda p: p.x))
            caption = "From the cheapest model to the most expensive"
            tables.append(Table(cost, columns, rows, caption))
    if not tables:
        return None
    return Section("tradeoff", "What accuracy costs", tuple(tables), "Trade-off", DATA)


def _points(view: ReportView, board: Board, cost: str) -> tuple[PlotPoint, ...]:
    usual = usual_memory(row.facts for row in view.ranked)
    points = []
    for index, row in enumerate(view.rows):
        value = at(row, COSTS[cost])
        if row.key not in board.keys or row.score is None or value is None or value <= 0:
            continue
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
    sentences = []
    shown = {point.label for point in points}
    front = [key for key in view.fronts[cost].keys if key in shown]
    if len(front) > 1:
        sentences.append("No other model is both better and cheaper than those on the line.")
    elif front:
        sentences.append(f"No other model is better or cheaper than {front[0]}.")
    bars = any(point.estimate.low is not None for point in points)
    sentences += ["The bars are 95 % intervals."] if bars else []
    sentences.append("The cost axis is logarithmic.")
    hollow = [point.label for point in points if point.hollow]
    if hollow:
        sentences.append(
            f"Hollow marks ({formatting.listed(hollow)}) were measured in another way: the memory of a "
            "process on the CPU is not GPU memory."
        )
    return " ".join(sentences)

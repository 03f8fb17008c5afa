"""What resolution changes: one model with its pages shrunk to several sizes."""

from __future__ import annotations

from collections.abc import Mapping

from bench.drawing.plots import Curve, Curves, PlotPoint
from bench.report.findings import SweepPoint, SweepView
from bench.report.reasons import NO_BATCH, NO_LATENCY
from bench.report.section import (
    DATA,
    Block,
    Column,
    DataCell,
    Plot,
    Row,
    Section,
    Table,
    Text,
    score_cell,
)
from bench.report.sweep import TOKENS, answers, bounds, cost
from bench.report.views import ReportView

NOTE = (
    "Each row is the same model with its pages shrunk to at most the bound. Visual tokens per question: the "
    "mean number that the pages of a question became."
)


def section(view: ReportView) -> Section | None:
    """The curves with their numbers; None if no model ran with several bounds."""
    if not view.sweeps:
        return None
    unit, by_row = bounds(view.sweeps)
    columns = (
        Column("model", "Model", header=True),
        Column("bound", f"Bound, {unit}", format="count"),
        Column("max_pixels", "max_pixels", format="count", outputs=DATA),
        Column("visual_tokens", "Visual tokens per question", format="count", priority=3),
        Column("score", "Score", format="score", intervals="column", interval_priority=2),
        Column("p50", "p50 s", format="significant", priority=1),
        Column(
            "questions_per_second", "Questions/s", format="significant", short="q/s", priority=1
        ),
        Column("memory", "Peak GiB", format="gib", priority=2),
    )
    marks = {
        point.row: view.rows[_mark(view, sweep)].key
        for sweep in view.sweeps
        for point in sweep.points
    }
    rows = tuple(
        _row(point, by_row, marks[point.row]) for sweep in view.sweeps for point in sweep.points
    )
    caption = f"{NOTE} The bars are 95 % intervals; the axis of the bound is logarithmic."
    blocks: tuple[Block, ...] = (
        *(Text(tuple(answers(view, sweep)), label="Sweep") for sweep in view.sweeps),
        Plot("curves", _curves(view, unit, by_row), caption),
        Table("bounds", columns, rows, NOTE, quiet_caption=True),
    )
    return Section("sweep", "What resolution changes", blocks, "Resolution")


def _mark(view: ReportView, sweep: SweepView) -> int:
    """The row whose colour and shape the whole sweep has: one model, one colour, whichever its bound."""
    keys = {point.row for point in sweep.points}
    return next(number for number, row in enumerate(view.rows) if row.key in keys)


def _row(point: SweepPoint, by_row: Mapping[str, int], mark: str) -> Row:
    cells = {
        "model": DataCell(point.row, model=mark),
        "bound": DataCell(by_row[point.row]),
        "max_pixels": DataCell(point.max_pixels),
        "visual_tokens": DataCell(
            point.visual_tokens, reason="The backend does not count visual tokens."
        ),
        "score": score_cell(point.score),
        "p50": DataCell(point.latency, reason=NO_LATENCY),
        "questions_per_second": DataCell(point.questions_per_second, reason=NO_BATCH),
        "memory": DataCell(point.memory, reason="The run recorded no memory."),
    }
    return Row(cells, model=mark)


def _curves(view: ReportView, unit: str, by_row: Mapping[str, int]) -> Curves:
    title, costs = cost(view.sweeps) or ("", {})
    curves = tuple(
        Curve(
            sweep.name,
            tuple(
                PlotPoint(
                    _mark(view, sweep),
                    point.row,
                    by_row[point.row],
                    point.score,
                )
                for point in sweep.points
            ),
            tuple(costs[point.row] for point in sweep.points if point.row in costs),
        )
        for sweep in view.sweeps
    )
    scale = 1.0 if unit == TOKENS else 1e6
    x_title = f"bound on a page, {unit if unit == TOKENS else 'megapixels'}"
    return Curves(curves, x_title, scale, view.score_name, title)

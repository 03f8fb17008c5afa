"""What resolution changes: one model with its pages shrunk to several sizes."""

from __future__ import annotations

from bench.drawing.plots import Curve, Curves, PlotPoint
from bench.report.reasons import NO_BATCH, NO_LATENCY
from bench.report.section import Column, DataCell, Plot, Row, Section, Table, model_cell, score_cell
from bench.report.sweep import cost
from bench.report.views import ReportView, SweepPoint

NOTE = (
    "Each row is the same model with its pages shrunk to at most so many pixels. Visual tokens: the mean "
    "number that the pages of a question became."
)


def section(view: ReportView) -> Section | None:
    """The curves with their numbers; None if no model ran with several bounds."""
    if not view.sweeps:
        return None
    columns = (
        Column("model", "Model", header=True),
        Column("max_pixels", "max_pixels", format="count"),
        Column("visual_tokens", "Visual tokens", format="count"),
        Column("score", "Score", format="score", intervals="column"),
        Column("p50", "p50 s", format="significant"),
        Column("questions_per_second", "Questions/s", format="significant"),
        Column("memory", "Peak GiB", format="gib"),
    )
    rows = tuple(_row(point) for sweep in view.sweeps for point in sweep.points)
    caption = f"{NOTE} The bars are 95 % intervals; the axis of pixels is logarithmic."
    blocks = (
        Plot("curves", _curves(view), caption),
        Table("bounds", columns, rows, NOTE, quiet_caption=True),
    )
    return Section("sweep", "What resolution changes", blocks, "Resolution")


def _row(point: SweepPoint) -> Row:
    cells = {
        "model": model_cell(point.row),
        "max_pixels": DataCell(point.max_pixels),
        "visual_tokens": DataCell(
            point.visual_tokens, reason="The backend does not count visual tokens."
        ),
        "score": score_cell(point.score),
        "p50": DataCell(point.latency, reason=NO_LATENCY),
        "questions_per_second": DataCell(point.questions_per_second, reason=NO_BATCH),
        "memory": DataCell(point.memory, reason="The run recorded no memory."),
    }
    return Row(cells, model=point.row)


def _curves(view: ReportView) -> Curves:
    index = {row.key: number for number, row in enumerate(view.rows)}
    title, costs = cost(view.sweeps) or ("", {})
    curves = tuple(
        Curve(
            sweep.name,
            tuple(
                PlotPoint(index[point.row], point.row, point.max_pixels, point.score)
                for point in sweep.points
            ),
            tuple(costs[point.row] for point in sweep.points if point.row in costs),
        )
        for sweep in view.sweeps
    )
    return Curves(curves, "max_pixels, megapixels", 1e6, view.score_name, title)

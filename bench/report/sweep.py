"""What resolution changes: rows that differ in their bound on a page alone, as one curve.

Nothing says in a run that its models are a sweep, and nothing needs to: variants of ``bench run --sweep``
and runs of one model with several ``--max-pixels`` are the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean

from bench.report.records import at
from bench.report.rows import RowSource
from bench.report.views import ModelRow, SweepPoint, SweepView

_VARIANT = re.compile(r"@\d+(px)?$")


def sweep_views(sources: Sequence[RowSource], rows: Sequence[ModelRow]) -> tuple[SweepView, ...]:
    """The sweeps among ranked ``rows``, in the order of the leaderboard."""
    by_key = {source.key: source for source in sources}
    variants: dict[str, list[SweepPoint]] = {}
    for row in rows:
        source = by_key[row.key]
        spec = source.evaluation.run.model_spec(source.name)
        if row.ranked and row.score is not None and spec.max_pixels is not None:
            same = {**asdict(spec), "name": "", "max_pixels": 0, "hardware": row.hardware}
            variants.setdefault(repr(same), []).append(_point(source, row, spec.max_pixels))
    sweeps = []
    for points in variants.values():
        if len({point.max_pixels for point in points}) > 1:
            ordered = tuple(sorted(points, key=lambda point: point.max_pixels))
            sweeps.append(SweepView(_VARIANT.sub("", by_key[ordered[-1].row].name), ordered))
    return tuple(sweeps)


def _point(source: RowSource, row: ModelRow, max_pixels: int) -> SweepPoint:
    assert row.score is not None
    tokens = [
        answer.output.visual_tokens
        for task in source.evaluation.tasks
        for answer in source.evaluation.cells[source.name, task].answers
        if answer.output is not None and answer.output.visual_tokens is not None
    ]
    return SweepPoint(
        row=row.key,
        max_pixels=max_pixels,
        visual_tokens=fmean(tokens) if tokens else None,
        score=row.score,
        latency=at(row.facts, "latency.p50"),
        questions_per_second=at(row.facts, "throughput.questions_per_second"),
        memory=at(row.facts, "memory.bytes"),
    )


def cost(sweeps: Sequence[SweepView]) -> tuple[str, Mapping[str, float]] | None:
    """What the lower curve shows, and its value for each row: latency, else visual tokens, else nothing.

    Only what every point has: a curve of which some points are missing misleads.
    """
    points = [point for sweep in sweeps for point in sweep.points]
    for title, name in (
        ("latency, p50 seconds", "latency"),
        ("visual tokens per question", "visual_tokens"),
    ):
        values = {point.row: getattr(point, name) for point in points}
        if all(value is not None and value > 0 for value in values.values()):
            return title, values
    return None

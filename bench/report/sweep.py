"""What resolution changes: rows that differ in their bound on a page alone, as one curve.

Nothing says in a run that its models are a sweep, and nothing needs to: variants of ``bench run --sweep``
and runs of one model with several ``--max-pixels`` are the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from statistics import fmean

from bench import formatting
from bench.report.findings import SweepPoint, SweepView
from bench.report.records import at
from bench.report.rows import RowSource
from bench.report.views import ModelRow, Pair, ReportView, SampleView

_VARIANT = re.compile(r"@(\d+)(px)?$")

TOKENS, PIXELS = "visual tokens", "pixels"
"""Units of a bound on a page."""

NOTABLE = 1.05
"""How many times as long a question takes before it is worth a word."""


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


def bounds(sweeps: Sequence[SweepView]) -> tuple[str, Mapping[str, int]]:
    """The unit of all bounds, and the bound of each row in it: visual tokens where all rows name them."""
    points = [point for sweep in sweeps for point in sweep.points]
    named = {point.row: _VARIANT.search(point.row.partition(" @ ")[0]) for point in points}
    # A name in pixels ends in px; then the rows are not all named in visual tokens.
    tokens = {row: int(match[1]) for row, match in named.items() if match and not match[2]}
    if len(tokens) == len(points):
        return TOKENS, tokens
    return PIXELS, {point.row: point.max_pixels for point in points}


def answers(view: ReportView, sweep: SweepView) -> list[str]:
    """What a sweep was made to find out: which bound suffices, and what a larger one brings and takes."""
    unit, by_row = bounds(view.sweeps)
    points = sweep.points
    pairs = {frozenset((pair.first, pair.second)): pair for pair in view.pairs}

    def is_better(one: SweepPoint, other: SweepPoint) -> bool:
        pair = pairs.get(frozenset((one.row, other.row)))
        return pair is not None and pair.separated and _gain(pair, one.row)[0] > 0

    enough = next(
        number
        for number, point in enumerate(points)
        if not any(is_better(larger, point) for larger in points[number + 1 :])
    )
    best, larger = points[enough], points[enough + 1 :]
    name = f"{sweep.name}: {by_row[best.row]:,} {unit}"
    if not larger:
        said = [
            f"{name}, the largest bound, scores higher than all smaller ones beyond the noise; a larger one "
            "may score higher still."
        ]
    else:
        said = [f"{name} suffice within the noise."]
        said += [_against(view, pairs, best, other, by_row) for other in larger]
    return said + _same_pages(view, points, by_row)


def _gain(pair: Pair, row: str) -> tuple[float, float, float]:
    """The difference of the pair as a gain of ``row``, with its interval."""
    gap = pair.difference
    ends = (gap.difference or 0.0, gap.low or 0.0, gap.high or 0.0)
    return ends if pair.first == row else (-ends[0], -ends[2], -ends[1])


def _against(
    view: ReportView,
    pairs: Mapping[frozenset[str], Pair],
    best: SweepPoint,
    other: SweepPoint,
    by_row: Mapping[str, int],
) -> str:
    """What a larger bound changes against one that suffices."""
    pair = pairs.get(frozenset((best.row, other.row)))
    words = f"{by_row[other.row]:,} cannot be compared with it"
    if pair is not None and pair.difference.differing == 0:
        words = f"{by_row[other.row]:,} changes nothing"
    elif pair is not None and pair.difference.low is not None:
        gain, low, high = map(formatting.signed, _gain(pair, other.row))
        words = f"{by_row[other.row]:,} changes the score by {gain} [{low}, {high}]"
    times = _times_as_long(view, best, other)
    if times is None:
        return f"{words}."
    if times < NOTABLE:
        return f"{words} and takes as long."
    return f"{words} and takes {formatting.significant(times, 2)} times as long."


def _times_as_long(view: ReportView, best: SweepPoint, other: SweepPoint) -> float | None:
    """How many times as long as ``best`` a question takes: in batches, or else alone."""
    if best.questions_per_second and other.questions_per_second:
        return best.questions_per_second / other.questions_per_second
    if best.latency and other.latency:
        return other.latency / best.latency
    return None


def _same_pages(
    view: ReportView, points: Sequence[SweepPoint], by_row: Mapping[str, int]
) -> list[str]:
    """Which neighbouring bounds shrank no page differently, so that they are one setting."""
    index = {row.key: number for number, row in enumerate(view.rows)}
    said = []
    for one, other in pairwise(points):
        rows = index[one.row], index[other.row]
        if all(_is_same_page(sample, rows, one, other) for sample in view.samples):
            said.append(
                f"{by_row[one.row]:,} and {by_row[other.row]:,} gave the same pages: none is larger than "
                "the smaller bound."
            )
    return said


def _is_same_page(
    sample: SampleView, rows: tuple[int, int], one: SweepPoint, other: SweepPoint
) -> bool:
    answers = [sample.answers[row] for row in rows]
    outputs = [None if answer is None else answer.output for answer in answers]
    tokens = [None if output is None else output.visual_tokens for output in outputs]
    if None not in tokens:
        return tokens[0] == tokens[1]
    areas = [page.width * page.height for page in sample.pages]
    return all(min(area, one.max_pixels) == min(area, other.max_pixels) for area in areas)

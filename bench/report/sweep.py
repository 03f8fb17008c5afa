"""What resolution changes: rows that differ in their bound on a page alone, as one curve.

Nothing says in a run that its models are a sweep, and nothing needs to: variants of ``bench run --sweep``
and runs of one model with several ``--max-pixels`` are the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean

from bench import formatting
from bench.report.findings import SweepPoint, SweepView
from bench.report.records import at
from bench.report.rows import RowSource
from bench.report.views import ALPHA, ModelRow, ReportView, SampleView
from bench.stats import holm

_VARIANT = re.compile(r"@(\d+)(px)?$")

TOKENS, PIXELS = "visual tokens", "pixels"
"""Units of a bound on a page."""

NOTABLE = 1.05
"""How many times as long a question takes, or how many times less, before it is worth a word."""


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
    """What a sweep was made to find out: which bound suffices, and what a larger one brings and takes.

    A sweep is an experiment of its own, so p-values are adjusted for its own comparisons only. The table of
    all pairs adjusts them for every pair of the board.
    """
    unit, by_row = bounds(view.sweeps)
    points = sweep.points
    gains = _gains(view, sweep)

    def is_better(larger: SweepPoint, smaller: SweepPoint) -> bool:
        gain = gains.get((smaller.row, larger.row))
        return gain is not None and gain.certain and gain.value > 0

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
        said += [
            _against(gains.get((best.row, other.row)), best, other, by_row) for other in larger
        ]
    return said + _same_pages(view, points, by_row)


@dataclass(frozen=True, slots=True)
class _Gain:
    """What a larger bound adds to the score of a smaller one."""

    value: float
    low: float | None
    high: float | None
    differing: int
    p: float
    """Adjusted for the comparisons of the sweep."""

    @property
    def certain(self) -> bool:
        return self.p < ALPHA


def _gains(view: ReportView, sweep: SweepView) -> dict[tuple[str, str], _Gain]:
    """The gain of every larger bound over every smaller one, by the keys of both rows."""
    order = {point.row: number for number, point in enumerate(sweep.points)}
    pairs = [pair for pair in view.pairs if pair.first in order and pair.second in order]
    pairs = [pair for pair in pairs if pair.difference.difference is not None]
    # One document has no p-value: then nothing is certain.
    adjusted = holm([1.0 if pair.difference.p is None else pair.difference.p for pair in pairs])
    gains = {}
    for pair, p in zip(pairs, adjusted, strict=True):
        gap = pair.difference
        assert gap.difference is not None
        if order[pair.first] > order[pair.second]:
            gain = _Gain(gap.difference, gap.low, gap.high, gap.differing, p)
            gains[pair.second, pair.first] = gain
        else:
            low = None if gap.high is None else -gap.high
            high = None if gap.low is None else -gap.low
            gains[pair.first, pair.second] = _Gain(-gap.difference, low, high, gap.differing, p)
    return gains


def _against(
    gain: _Gain | None,
    best: SweepPoint,
    other: SweepPoint,
    by_row: Mapping[str, int],
) -> str:
    """What a larger bound changes against one that suffices."""
    bound = f"{by_row[other.row]:,}"
    words = f"{bound} cannot be compared with it"
    if gain is not None and gain.differing == 0:
        words = f"{bound} changes nothing"
    elif gain is not None and gain.low is not None and gain.high is not None:
        interval = formatting.difference_interval(gain.low, gain.high)
        words = f"{bound} changes the score by {formatting.signed(gain.value)} {interval}"
        if not gain.certain and not gain.low <= 0 <= gain.high:
            words += f" ({formatting.p_equals(gain.p)}, adjusted for the comparisons of the sweep)"
    times = _times_as_long(best, other)
    if times is None:
        return f"{words}."
    if 1 / NOTABLE < times < NOTABLE:
        return f"{words} and takes as long."
    return f"{words} and takes {formatting.significant(times, 2)} times as long."


def _times_as_long(best: SweepPoint, other: SweepPoint) -> float | None:
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

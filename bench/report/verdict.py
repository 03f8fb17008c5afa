"""The report in words: who answers best, what is within the noise, and what the numbers cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import formatting
from bench.report.conditions import doubts
from bench.report.ranking import Pair
from bench.report.records import nested, number
from bench.stats.means import FEW_CLUSTERS
from bench.text import clip

if TYPE_CHECKING:
    from bench.report.views import ModelRow, RunView

MAX_WARNINGS = 4
"""Warnings of one model, or of one run, that are repeated; its record holds them all."""

MAX_WARNING = 300
"""Characters of a warning that are repeated."""


@dataclass(frozen=True, slots=True)
class Point:
    """One fact worth a line: ``Fastest`` · ``ocr`` · ``0.21 s a question (p50)``."""

    label: str
    model: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person remembers."""

    best: str | None
    """Key of the leading model; None where nothing is ranked."""
    headline: str
    """One sentence."""
    detail: str
    """Who is within the noise, and how many documents stand behind it."""
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Caveat:
    """Something a reader must know before trusting the numbers."""

    kind: str
    """``state``, ``failures``, ``model``, ``scope``, ``hardware``, ``speed``, ``code``, ``statistics``."""
    text: str


def judge(rows: Sequence[ModelRow], pairs: Sequence[Pair], score_name: str) -> Verdict:
    """The verdict over ranked ``rows``, best first."""
    ranked = [row for row in rows if row.ranked]
    if not ranked:
        return Verdict(None, _nothing(rows), "", ())
    best = ranked[0]
    tied = [
        pair.second if pair.first == best.key else pair.first
        for pair in pairs
        if best.key in (pair.first, pair.second) and not pair.separated
    ]
    value = best.score.value if best.score is not None else None
    spread = formatting.interval(best.score)
    said = f"{formatting.score(value)} {score_name}"
    if spread != formatting.DASH:
        said += f", 95 % interval {spread}"
    if len(ranked) == 1:
        headline = f"{best.key} scores {said}."
        detail = ""
    elif all(pair.p_holm is None for pair in pairs):
        headline = f"{best.key} scores highest: {said}."
        detail = "There are too few documents to test the differences between models."
    elif len(tied) == len(ranked) - 1:
        headline, detail = _all_tied(ranked, said, pairs)
    else:
        verb = "scores highest" if tied else "answers best"
        headline = f"{best.key} {verb}: {said}."
        detail = _within_noise(best.key, tied, pairs)
    return Verdict(best.key, headline, detail, tuple(_points(ranked)))


def _all_tied(ranked: Sequence[ModelRow], said: str, pairs: Sequence[Pair]) -> tuple[str, str]:
    best, other = ranked[0].key, ranked[1].key
    if len({row.score.value for row in ranked if row.score is not None}) == 1:
        names = formatting.listed(row.key for row in ranked)
        return f"{names} score the same: {said}.", ""
    if len(ranked) > 2:
        return (
            f"{best} scores highest ({said}), but no model is ahead beyond the noise.",
            "The paired differences to all other models are compatible with zero.",
        )
    gap = pairs[0].difference
    return (
        f"{best} scores highest ({said}), but not beyond the noise.",
        f"Its paired difference to {other}, {formatting.signed(gap.difference)} "
        f"[{formatting.signed(gap.low)}, {formatting.signed(gap.high)}], is compatible with zero.",
    )


def _nothing(rows: Sequence[ModelRow]) -> str:
    if any(row.state == "complete" for row in rows):
        return "The models have no common score; compare them task by task."
    if any(row.asked for row in rows):
        return "No model has finished yet; the scores below are of the questions asked so far."
    if rows and all(row.state == "failed" for row in rows):
        return "No model could be measured: every one failed to load or died."
    return "Nothing has been measured yet."


def _within_noise(best: str, tied: Sequence[str], pairs: Sequence[Pair]) -> str:
    if tied:
        verb = "is" if len(tied) == 1 else "are"
        return f"{formatting.listed(tied)} {verb} within the noise of it."
    pair = next(p for p in pairs if best in (p.first, p.second))
    other = pair.second if pair.first == best else pair.first
    gap = pair.difference
    return (
        f"It leads {other} by {formatting.signed(gap.difference)} "
        f"[{formatting.signed(gap.low)}, {formatting.signed(gap.high)}], paired over {gap.clusters} documents."  # noqa: E501
    )


def _points(ranked: Sequence[ModelRow]) -> list[Point]:
    points = []
    timed = [(row.facts.latency.p50, row) for row in ranked if row.facts.latency is not None]
    if timed:
        value, row = min(timed, key=lambda item: item[0])
        points.append(
            Point("Fastest answer", row.key, f"{formatting.seconds(value)} a question (p50)")
        )
    rates = [
        (row.facts.throughput.questions_per_second, row)
        for row in ranked
        if row.facts.throughput is not None
        and row.facts.throughput.questions_per_second is not None
    ]
    if rates:
        rate, row = max(rates, key=lambda item: item[0] or 0.0)
        points.append(
            Point(
                "Highest throughput",
                row.key,
                f"{formatting.significant(rate)} questions/s, batched",
            )
        )
    held = [(row.facts.memory, row) for row in ranked if row.facts.memory is not None]
    if held:
        memory, row = min(held, key=lambda item: item[0].bytes)
        points.append(
            Point("Least memory", row.key, f"{formatting.gib(memory.bytes)} GiB, {memory.label}")
        )
    return points


def warn(rows: Sequence[ModelRow], runs: Sequence[RunView], *, same_tasks: bool) -> list[Caveat]:
    """Everything that limits what the numbers mean, the gravest first."""
    found: list[Caveat] = []
    names = {run.id: f"Run {run.name}" if len(runs) > 1 else "The run" for run in runs}
    for run in runs:
        own = [row for row in rows if row.run == run.id]
        if state := _state(run, own):
            found.append(Caveat("state", f"{names[run.id]} {state}"))
    found += [
        Caveat("failures", f"{row.key} {_reason(row)}") for row in rows if row.failure is not None
    ]
    failing = [
        f"{row.key} ({row.failed:,} of {row.asked:,})"
        for row in sorted(rows, key=lambda row: -row.failed / max(1, row.asked))
        if row.failed > 0 and row.failed / max(1, row.asked) >= 0.01
    ]
    if failing:
        found.append(
            Caveat(
                "failures",
                f"Questions failed, and count as the worst score: {formatting.listed(failing, 6)}.",
            )
        )
    found += [Caveat("failures", _shrunk(row)) for row in rows if row.degraded]
    found += _said_by_models(rows)
    found += [Caveat("model", text) for row in rows for text in _tuned(row)]
    found += [Caveat("scope", text) for text in _scope(runs, names)]
    found += [Caveat("scope", _ended(text)) for run in runs for text in run.warnings[:MAX_WARNINGS]]
    if not same_tasks:
        found.append(
            Caveat(
                "scope",
                "The runs hold different tasks or questions: overall scores average different things; "
                "paired differences use shared questions only.",
            )
        )
    found += _speed(rows)
    found += _machines(rows, runs)
    found += _statistics(rows)
    return found


def _shrunk(row: ModelRow) -> str:
    """Answers about smaller pages than were asked for."""
    count = sum(row.degraded.values())
    return (
        f"{row.key}: memory ran out, and {formatting.plural(count, 'answer')} of {row.asked:,} "
        f"{'is' if count == 1 else 'are'} about pages that were shrunk, down to "
        f"{formatting.count(min(row.degraded))} pixels; the score is not that of the resolution asked for."
    )


def _said_by_models(rows: Sequence[ModelRow]) -> list[Caveat]:
    """What models said of their own limits; those that say the same share a line."""
    said: dict[str, list[str]] = {}
    for row in rows:
        for warning in row.warnings[:MAX_WARNINGS]:
            said.setdefault(warning, []).append(row.key)
    return [
        Caveat("model", f"{formatting.listed(keys)}: {_ended(clip(warning, MAX_WARNING))}")
        for warning, keys in said.items()
    ]


def _tuned(row: ModelRow) -> list[str]:
    """What a model's training has to do with the tasks that it is tested on."""
    by_part: dict[str, list[str]] = {}
    for task, part in row.trained.items():
        by_part.setdefault(part, []).append(task)
    return [
        text.format(model=row.key, tasks=formatting.listed(by_part[part], 6))
        for part, text in _TUNED.items()
        if part in by_part
    ]


_TUNED = {
    "train": "{model} was trained on documents of {tasks}: its score there proves nothing.",
    "validation": "{model} was chosen by its score on {tasks}: that score is flattering.",
    "none": "{model} is fine-tuned, but not on {tasks}: what it loses there is forgetting.",
}


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _reason(row: ModelRow) -> str:
    failure = row.failure
    if failure is None:
        return ""
    done = f" after {row.asked:,} of {row.samples:,} questions" if row.asked > 0 else ""
    return f"has no result{done}: {failure.message or failure.error or 'no reason was recorded'}"


def _state(run: RunView, rows: Sequence[ModelRow]) -> str:
    """What is still to come, as the end of a sentence; empty where nothing is."""
    asked, total = sum(row.asked for row in rows), sum(row.samples for row in rows)
    if run.state == "running":
        return f"is still going: {asked:,} of {total:,} questions asked."
    if any(row.state == "unfinished" for row in rows):
        return f"is unfinished: {asked:,} of {total:,} questions asked."
    if run.state != "complete" and asked == total:
        return "is unfinished: latency has not been measured to the end."
    # What a model that failed leaves open is said with the model.
    return ""


def _scope(runs: Sequence[RunView], names: Mapping[str, str]) -> list[str]:
    found = []
    for run in runs:
        spec = run.record.get("spec")
        limit = number(nested(spec, "settings", "limit") or nested(spec, "limit"))
        chosen = nested(spec, "settings", "sample_ids") or nested(spec, "sample_ids")
        if limit is not None:
            found.append(
                f"{names[run.id]} was limited to the first {limit:.0f} questions of each task."
            )
        if run.protocol:
            found += [
                f"{names[run.id]} departs from the protocol {run.protocol}: {_ended(sentence)}"
                for sentence in run.deviations[:MAX_WARNINGS]
            ]
        if isinstance(chosen, list) and chosen:
            count = formatting.plural(len(chosen), "chosen question")
            found.append(f"{names[run.id]} was limited to {count}.")
    return found


def _speed(rows: Sequence[ModelRow]) -> list[Caveat]:
    """Why speeds may be worse than the device's best, or stand for fewer questions than were asked."""
    found = []
    for row in rows:
        said = doubts(row.facts.conditions) if row.facts.conditions is not None else []
        if said:
            text = f"{row.key} may be faster than measured: {formatting.listed(said)}."
            found.append(Caveat("speed", text))
        if row.untimed > 0:
            rest = formatting.plural(row.asked - row.untimed, "question")
            text = (
                f"{row.key}: {formatting.plural(row.untimed, 'answer')} of {row.asked:,} carry no measurement "  # noqa: E501
                f"(the run was broken off while it wrote); throughput is of the other {rest}."
            )
            found.append(Caveat("speed", text))
    return found


def _machines(rows: Sequence[ModelRow], runs: Sequence[RunView]) -> list[Caveat]:
    found = []
    measured = (row.hardware for row in rows if row.facts.throughput is not None)
    hardware = dict.fromkeys(filter(None, measured))
    if len(hardware) > 1:
        found.append(
            Caveat(
                "hardware",
                f"Speed and memory come from different hardware ({' / '.join(hardware)}); "
                "compare them only within one.",
            )
        )
    dirty = [run.name for run in runs if run.dirty]
    if dirty:
        where = f" ({formatting.listed(dict.fromkeys(dirty))})" if len(runs) > 1 else ""
        found.append(Caveat("code", f"The working tree had uncommitted changes{where}."))
    versions = dict.fromkeys(filter(None, (run.record_version for run in runs)))
    if len(versions) > 1:
        found.append(
            Caveat(
                "code", f"The runs were made by different versions ({formatting.listed(versions)})."
            )
        )
    return found


def _statistics(rows: Sequence[ModelRow]) -> list[Caveat]:
    counted = [row for row in rows if row.ranked] or rows
    clusters = [row.score.clusters for row in counted if row.score is not None and row.score.n > 0]
    if clusters and min(clusters) < FEW_CLUSTERS:
        count = formatting.plural(min(clusters), "document")
        return [
            Caveat("statistics", f"Only {count}: intervals are wide and may still be too narrow.")
        ]
    return []

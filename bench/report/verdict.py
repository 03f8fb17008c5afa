"""The report in words: which model answers best, what may be chance, and what limits the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench import formatting
from bench.report.conditions import doubts
from bench.report.records import at, nested, number
from bench.report.views import Caveat, Highlight, ModelRow, Pair, RunView, Verdict, distinct_names
from bench.stats.means import FEW_CLUSTERS
from bench.text import clip

MAX_WARNINGS = 4
"""Warnings of one model, or of one run, that are repeated; its record holds them all."""

MAX_WARNING = 300
"""Characters of a warning that are repeated."""

MANY_FAILURES = 0.01
"""Share of failed questions from which a warning says so: it can move a score by one point of a hundred."""


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
    said = f"{formatting.score(best.score.value if best.score else None)} {score_name}"
    interval = formatting.interval(best.score)
    if interval != formatting.DASH:
        said += f", 95 % interval {interval}"
    if len(ranked) == 1:
        headline, detail = f"{best.key} scores {said}.", ""
    elif all(pair.p_holm is None for pair in pairs):
        headline = f"{best.key} scores highest: {said}."
        detail = "There are too few documents to test the differences between models."
    elif len(tied) == len(ranked) - 1:
        headline, detail = _all_tied(ranked, said, pairs)
    else:
        verb = "scores highest" if tied else "answers best"
        headline = f"{best.key} {verb}: {said}."
        detail = _rest(best.key, tied, pairs)
    return Verdict(best.key, headline, detail, tuple(_highlights(ranked)))


def _nothing(rows: Sequence[ModelRow]) -> str:
    if any(row.state == "complete" for row in rows):
        return "The models have no common score; compare them task by task."
    if any(row.asked for row in rows):
        return "No model has finished yet; the scores below count only the questions asked so far."
    if rows and all(row.state == "failed" for row in rows):
        return "No model could be measured: each of them failed to load or stopped with an error."
    return "Nothing has been measured yet."


def _all_tied(ranked: Sequence[ModelRow], said: str, pairs: Sequence[Pair]) -> tuple[str, str]:
    best, other = ranked[0].key, ranked[1].key
    if len({row.score.value for row in ranked if row.score is not None}) == 1:
        names = formatting.listed(row.key for row in ranked)
        return f"{names} score the same: {said}.", ""
    if len(ranked) > 2:
        return (
            f"{best} scores highest ({said}), but no model is ahead beyond the noise.",
            "Its paired differences to all other models are compatible with zero.",
        )
    return (
        f"{best} scores highest ({said}), but not beyond the noise.",
        f"Its paired difference to {other}, {_gap(pairs[0])}, is compatible with zero.",
    )


def _rest(best: str, tied: Sequence[str], pairs: Sequence[Pair]) -> str:
    """How the best model stands to the others, where it is ahead of at least one."""
    if tied:
        noun = "difference" if len(tied) == 1 else "differences"
        verb = "is" if len(tied) == 1 else "are"
        return f"Its {noun} to {formatting.listed(tied)} {verb} within the noise."
    pair = next(pair for pair in pairs if best in (pair.first, pair.second))
    other = pair.second if pair.first == best else pair.first
    documents = formatting.plural(pair.difference.clusters, "document")
    return f"It leads {other} by {_gap(pair)}, paired over {documents}."


def _gap(pair: Pair) -> str:
    gap = pair.difference
    low, high = formatting.signed(gap.low), formatting.signed(gap.high)
    return f"{formatting.signed(gap.difference)} [{low}, {high}]"


def _highlights(ranked: Sequence[ModelRow]) -> list[Highlight]:
    highlights = []
    if fastest := _extreme(ranked, "latency.p50", min):
        text = f"{formatting.seconds(at(fastest.facts, 'latency.p50'))} per question (p50)"
        highlights.append(Highlight("Fastest answer", fastest.key, text))
    rate = "throughput.questions_per_second"
    if quickest := _extreme(ranked, rate, max):
        text = f"{formatting.significant(at(quickest.facts, rate))} questions/s, in batches"
        highlights.append(Highlight("Highest throughput", quickest.key, text))
    smallest = _extreme(ranked, "memory.bytes", min)
    if smallest and (memory := smallest.facts.memory):
        text = f"{formatting.gib(memory.bytes)} GiB, {memory.label}"
        highlights.append(Highlight("Least memory", smallest.key, text))
    return highlights


def _extreme(
    rows: Sequence[ModelRow], path: str, choose: Callable[..., ModelRow]
) -> ModelRow | None:
    """The row with the least or the most at ``path`` of its facts; None where no row has it."""
    known = [row for row in rows if at(row.facts, path) is not None]
    return choose(known, key=lambda row: at(row.facts, path)) if known else None


def warn(rows: Sequence[ModelRow], runs: Sequence[RunView], *, same_tasks: bool) -> list[Caveat]:
    """Everything that limits what the numbers mean, the gravest first."""
    names = {id_: f"The run “{name}”" for id_, name in distinct_names(runs).items()}
    if len(runs) == 1:
        names = {runs[0].id: "The run"}
    caveats = [Caveat("state", text) for text in _states(rows, runs, names)]
    caveats += [Caveat("failures", text) for text in _failures(rows)]
    caveats += [Caveat("model", text) for text in _said_by_models(rows)]
    caveats += [Caveat("model", text) for row in rows for text in _tuned(row)]
    caveats += [Caveat("scope", text) for text in _scope(runs, names)]
    if not same_tasks:
        text = (
            "The runs hold different tasks or questions: their overall scores are means of different "
            "things, and paired differences use only the questions that both models were asked."
        )
        caveats.append(Caveat("scope", text))
    caveats += [Caveat("speed", text) for text in _speed(rows)]
    caveats += _machines(rows, runs)
    caveats += [Caveat("statistics", text) for text in _statistics(rows)]
    return caveats


def _states(
    rows: Sequence[ModelRow], runs: Sequence[RunView], names: Mapping[str, str]
) -> list[str]:
    """Which runs have something still to come."""
    said = []
    for run in runs:
        own = [row for row in rows if row.run == run.id]
        asked, total = sum(row.asked for row in own), sum(row.samples for row in own)
        progress = f"{asked:,} of {formatting.plural(total, 'question')} have been asked"
        if run.state == "running":
            said.append(f"{names[run.id]} has not finished: {progress} so far.")
        elif any(row.state == "unfinished" for row in own):
            said.append(f"{names[run.id]} is unfinished: {progress}.")
        elif run.state != "complete" and asked == total:
            said.append(f"{names[run.id]} is unfinished: latency has not been measured to the end.")
        # What a model that failed leaves open is said with the model.
    return said


def _failures(rows: Sequence[ModelRow]) -> list[str]:
    said = []
    for row in rows:
        if row.failure is not None:
            done = f" after {row.asked:,} of {row.samples:,} questions" if row.asked > 0 else ""
            why = row.failure.message or row.failure.error or "no reason was recorded"
            said.append(f"{row.key} has no result{done}: {why}")
    shares = {row.key: row.failed / max(1, row.asked) for row in rows}
    failing = [
        f"{row.key} ({row.failed:,} of {row.asked:,})"
        for row in sorted(rows, key=lambda row: -shares[row.key])
        if row.failed > 0 and shares[row.key] >= MANY_FAILURES
    ]
    if failing:
        models = formatting.listed(failing, 6)
        said.append(f"Questions that failed count as the worst score: {models}.")
    said += [_shrunk(row) for row in rows if row.degraded]
    return said + [_shrunk_by_server(row) for row in rows if row.doubted > 0]


def _shrunk(row: ModelRow) -> str:
    """That answers are about smaller pages than were asked for."""
    count = sum(row.degraded.values())
    return (
        f"{row.key}: memory ran out, and {formatting.plural(count, 'answer')} of {row.asked:,} "
        f"{'is' if count == 1 else 'are'} about pages that were shrunk, down to "
        f"{formatting.count(min(row.degraded))} pixels. The score is not that of the resolution asked for."
    )


def _shrunk_by_server(row: ModelRow) -> str:
    """That a server answered about other pages than it was sent."""
    count = formatting.plural(row.doubted, "answer")
    return (
        f"{row.key}: the server shrank the pages or cut the prompt for {count} of {row.asked:,}; "
        "the score is not that of the pages that were sent."
    )


def _said_by_models(rows: Sequence[ModelRow]) -> list[str]:
    """What models said of their own limits; those that say the same share a line."""
    said: dict[str, list[str]] = {}
    for row in rows:
        for warning in row.warnings[:MAX_WARNINGS]:
            said.setdefault(warning, []).append(row.key)
    return [
        f"{formatting.listed(keys)}: {formatting.ended(clip(warning, MAX_WARNING))}"
        for warning, keys in said.items()
    ]


_TUNED = {
    "train": "{model} was trained on documents of {tasks}: its score there proves nothing.",
    "validation": "{model} was chosen by its score on {tasks}: that score is too high for new documents.",
    "none": "{model} is fine-tuned, but not on {tasks}: a lower score there shows what it has forgotten.",
}


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


def _scope(runs: Sequence[RunView], names: Mapping[str, str]) -> list[str]:
    said = []
    for run in runs:
        spec = run.record.get("spec")
        limit = number(nested(spec, "settings", "limit") or nested(spec, "limit"))
        chosen = nested(spec, "settings", "sample_ids") or nested(spec, "sample_ids")
        if limit is not None:
            count = "one question" if limit == 1 else f"{limit:.0f} questions"
            said.append(f"{names[run.id]} was limited to {count} of each task.")
        if run.protocol:
            said += [
                f"{names[run.id]} departs from the protocol {run.protocol}: {formatting.ended(sentence)}"
                for sentence in run.deviations[:MAX_WARNINGS]
            ]
        if isinstance(chosen, list) and chosen:
            count = formatting.plural(len(chosen), "chosen question")
            said.append(f"{names[run.id]} was limited to {count}.")
    return said + [formatting.ended(text) for run in runs for text in run.warnings[:MAX_WARNINGS]]


def _speed(rows: Sequence[ModelRow]) -> list[str]:
    """Why speeds may be worse than the device's best, or stand for fewer questions than were asked."""
    said = []
    for row in rows:
        reasons = doubts(row.facts.conditions) if row.facts.conditions is not None else []
        if reasons:
            said.append(f"{row.key} may be faster than measured: {formatting.listed(reasons)}.")
        if row.untimed > 0:
            verb = "has" if row.untimed == 1 else "have"
            rest = formatting.plural(row.asked - row.untimed, "question")
            said.append(
                f"{row.key}: {formatting.plural(row.untimed, 'answer')} of {row.asked:,} {verb} no "
                "measurement, because the run was interrupted while it wrote; throughput counts the other "
                f"{rest}."
            )
    return said


def _machines(rows: Sequence[ModelRow], runs: Sequence[RunView]) -> list[Caveat]:
    caveats = []
    measured = (row.hardware for row in rows if row.facts.throughput is not None)
    machines = dict.fromkeys(filter(None, measured))
    if len(machines) > 1:
        text = (
            f"Speed and memory were measured on different hardware ({' / '.join(machines)}); compare them "
            "only between models that ran on the same."
        )
        caveats.append(Caveat("hardware", text))
    dirty = [distinct_names(runs)[run.id] for run in runs if run.dirty]
    if dirty:
        where = f" ({formatting.listed(dict.fromkeys(dirty))})" if len(runs) > 1 else ""
        caveats.append(Caveat("code", f"The working tree had uncommitted changes{where}."))
    versions = dict.fromkeys(filter(None, (run.record_version for run in runs)))
    if len(versions) > 1:
        text = f"The runs were made by different versions ({formatting.listed(versions)})."
        caveats.append(Caveat("code", text))
    return caveats


def _statistics(rows: Sequence[ModelRow]) -> list[str]:
    counted = [row for row in rows if row.ranked] or rows
    clusters = [row.score.clusters for row in counted if row.score is not None and row.score.n > 0]
    if not clusters or min(clusters) >= FEW_CLUSTERS:
        return []
    count = formatting.plural(min(clusters), "document")
    return [
        f"The scores rest on only {count}, so the intervals are wide and may still be too narrow."
    ]

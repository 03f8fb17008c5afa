"""What limits the numbers, in words: one sentence for each cause, whichever models it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench import formatting
from bench.report.conditions import doubts
from bench.report.findings import Board, Caveat
from bench.report.records import nested, number
from bench.report.run_names import distinct_names
from bench.report.views import ModelRow, RunView
from bench.stats.means import FEW_CLUSTERS
from bench.text import clip

MAX_WARNINGS = 4
"""Warnings of one model, or of one run, that are repeated; its record holds them all."""

MAX_WARNING = 300
"""Characters of a warning that are repeated."""

MAX_NAMES = 6
"""Models that one warning names."""

MANY_FAILURES = 0.01
"""Share of failed questions from which a warning says so: it can move a score by one point of a hundred."""

CAUSES: Mapping[str, str] = {
    "state": "unfinished work",
    "failures": "failures",
    "model": "what models cannot do",
    "scope": "what was asked",
    "speed": "speed",
    "hardware": "hardware",
    "code": "code",
    "statistics": "too few documents",
}
"""Kind of a caveat → the words under which warnings of this kind stand together."""


def warn(
    rows: Sequence[ModelRow], runs: Sequence[RunView], boards: Sequence[Board]
) -> list[Caveat]:
    """Everything that limits what the numbers mean, the gravest first."""
    names = {id_: f"The run “{name}”" for id_, name in distinct_names(runs).items()}
    if len(runs) == 1:
        names = {runs[0].id: "The run"}
    caveats = [Caveat("state", text) for text in _states(rows, runs, names)]
    caveats += [Caveat("failures", text) for text in _failures(rows)]
    caveats += [Caveat("model", text) for text in _said_by_models(rows)]
    caveats += [Caveat("model", text) for text in _tuned(rows)]
    caveats += [Caveat("scope", text) for text in _scope(runs, names)]
    caveats += [Caveat("scope", text) for text in _different_questions(boards)]
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
    died: list[tuple[str, str]] = []
    for row in rows:
        if row.failure is not None:
            done = f" after {row.asked:,} of {row.samples:,} questions" if row.asked > 0 else ""
            why = row.failure.message or row.failure.error or "no reason was recorded"
            died.append((row.key, f"no result{done}: {formatting.ended(why)}"))
    said = [f"{names} {'have' if many else 'has'} {why}" for names, why, many in _merged(died)]
    shares = {row.key: row.failed / max(1, row.asked) for row in rows}
    failing = [
        f"{row.key} ({row.failed:,} of {row.asked:,})"
        for row in sorted(rows, key=lambda row: -shares[row.key])
        if row.failed > 0 and shares[row.key] >= MANY_FAILURES
    ]
    if failing:
        models = formatting.listed(failing, MAX_NAMES)
        said.append(f"Questions that failed count as the worst score: {models}.")
    return [*said, *_shrunk(rows), *_shrunk_by_server(rows)]


def _merged(said: Iterable[tuple[str, str]]) -> list[tuple[str, str, bool]]:
    """Who says what → the names of all who say the same, what they say, and whether they are several."""
    by_text: dict[str, list[str]] = {}
    for name, text in said:
        by_text.setdefault(text, []).append(name)
    return [
        (formatting.listed(names, MAX_NAMES), text, len(names) > 1)
        for text, names in by_text.items()
    ]


def _shrunk(rows: Sequence[ModelRow]) -> list[str]:
    """That answers are about smaller pages than were asked for."""
    cases = [
        f"{row.key} ({formatting.plural(row.degraded_answers, 'answer')} of {row.asked:,}, down to "
        f"{formatting.count(min(row.degraded))} pixels)"
        for row in rows
        if row.degraded
    ]
    if not cases:
        return []
    return [
        "Memory ran out, and pages were shrunk, so that the score is not that of the resolution asked "
        f"for: {formatting.listed(cases, MAX_NAMES)}."
    ]


def _shrunk_by_server(rows: Sequence[ModelRow]) -> list[str]:
    """That a server answered about other pages than it was sent."""
    cases = [
        f"{row.key} ({formatting.plural(row.doubted, 'answer')} of {row.asked:,})"
        for row in rows
        if row.doubted > 0
    ]
    if not cases:
        return []
    return [
        "A server shrank the pages or cut the prompt, so that the score is not that of the pages that "
        f"were sent: {formatting.listed(cases, MAX_NAMES)}."
    ]


def _said_by_models(rows: Sequence[ModelRow]) -> list[str]:
    """What models said of their own limits."""
    said = [(row.key, warning) for row in rows for warning in row.warnings[:MAX_WARNINGS]]
    return [
        f"{names}: {formatting.ended(clip(warning, MAX_WARNING))}"
        for names, warning, _ in _merged(said)
    ]


_TUNED = {
    "train": (
        "was trained on documents of {tasks}: its score there proves nothing",
        "were trained on documents of {tasks}: their scores there prove nothing",
    ),
    "validation": (
        "was chosen by its score on {tasks}: that score is too high for new documents",
        "were chosen by their scores on {tasks}: those scores are too high for new documents",
    ),
    "none": (
        "is fine-tuned, but not on {tasks}: a lower score there shows what it has forgotten",
        "are fine-tuned, but not on {tasks}: lower scores there show what they have forgotten",
    ),
}
"""What was seen of tasks in training → what to say of one model, and of several."""


def _tuned(rows: Sequence[ModelRow]) -> list[str]:
    """What training has to do with the tasks that models are tested on."""
    models: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in rows:
        for part in _TUNED:
            tasks = tuple(task for task, seen in row.trained.items() if seen == part)
            if tasks:
                models.setdefault((part, tasks), []).append(row.key)
    said = []
    for (part, tasks), names in models.items():
        words = _TUNED[part][len(names) > 1].format(tasks=formatting.listed(tasks, MAX_NAMES))
        said.append(f"{formatting.listed(names, MAX_NAMES)} {words}.")
    return said


def _different_questions(boards: Sequence[Board]) -> list[str]:
    """On what models are compared that did not answer the same questions."""
    said = []
    if len(boards) > 1:
        sets = "; ".join(
            f"{formatting.listed(board.keys, 3)}: {formatting.plural(board.questions, 'question')}"
            for board in boards
        )
        said.append(
            "The models did not answer the same questions, so they stand on separate boards, and no model "
            f"of one board is ranked with a model of another ({sets})."
        )
    for board in boards:
        if board.is_part:
            count = formatting.plural(board.questions, "question")
            documents = formatting.plural(board.documents, "document")
            said.append(
                f"{formatting.listed(board.keys)} answered different questions: their scores and ranks count "
                f"only the {count} of {documents} that all of them answered."
            )
    return said


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
    doubted: list[tuple[str, str]] = []
    for row in rows:
        reasons = doubts(row.facts.conditions) if row.facts.conditions is not None else []
        if reasons:
            doubted.append((row.key, formatting.listed(reasons)))
    said = []
    if doubted:
        models = "; ".join(f"{names} ({why})" for names, why, _ in _merged(doubted))
        said.append(f"Some models may be faster than measured: {models}.")
    untimed = [
        f"{row.key}: {formatting.plural(row.untimed, 'answer')} of {row.asked:,}"
        for row in rows
        if row.untimed > 0
    ]
    if untimed:
        said.append(
            "The run was interrupted while it wrote, so that some answers have no measurement, and "
            f"throughput leaves them out ({'; '.join(untimed)})."
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
    if min(clusters) == 1:
        return ["The scores rest on only 1 document, so they have no intervals."]
    count = formatting.plural(min(clusters), "document")
    return [
        f"The scores rest on only {count}, so the intervals are wide and may still be too narrow."
    ]

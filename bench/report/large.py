"""The report of runs with more answers than memory holds: their figures, without the questions.

The ordinary report (``bench.report.assemble``) has every question with its answers in memory. This one reads
the estimates that were kept when the answers were scored, and what was measured, batch by batch. So it needs
as much memory as there are batches. Its figures are those of the ordinary report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import bench
from bench import formatting
from bench.errors import InvalidInput
from bench.metrics import METRICS
from bench.metrics.mistakes import MISTAKES
from bench.report.facts import measure, usual_memory
from bench.report.measurements import MEMORY_KINDS, Facts
from bench.report.mistakes import label
from bench.report.rows import of_the_model, recorded_traits
from bench.report.run_names import keys_of_rows
from bench.report.runs import run_views
from bench.report.section import (
    Column,
    DataCell,
    Row,
    Section,
    Table,
    Text,
    model_cell,
    model_cells,
    model_columns,
    score_cell,
)
from bench.schema import Estimate
from bench.scoring.levels import common_direction, higher_is_better
from bench.scoring.stored import StoredCell, StoredScores
from bench.text import utc_now

MOST_ANSWERS: Final = 1_000_000
"""Answers up to which a report has every question: it holds some 3 kB of memory for each."""

LEFT_OUT: Final = (
    "So what needs the answers themselves is left out: the comparison of models with each other, costs, "
    "perturbed pages, scores by language, type of document and field, and every single question.",
    "bench show shows a question; bench report --full makes the full report, if there is memory enough.",
)


class _Line(NamedTuple):
    """One model in one run."""

    key: str
    name: str
    scores: StoredScores
    facts: Facts

    def cells(self, tasks: Sequence[str]) -> list[StoredCell]:
        """Of those of ``tasks`` that the run has."""
        return [
            self.scores.cells[self.name, task]
            for task in tasks
            if (self.name, task) in self.scores.cells
        ]


def large_sections(runs: Sequence[StoredScores], title: str | None = None) -> tuple[Section, ...]:
    """The report of complete runs in sections, the leaderboard first.

    Args:
        runs: what is kept of each run.
        title: the heading; None takes the names of the runs.

    Raises:
        InvalidInput: two runs have different tasks of one name.
    """
    _check_tasks(runs)
    lines = list(_lines(runs))
    # Scores are those of clean pages.
    tasks = list(dict.fromkeys(task for scores in runs for task in scores.run.clean_task_names()))
    names = dict.fromkeys(str(scores.run.record.get("name")) for scores in runs)
    return (
        _leaderboard(lines, tasks, title or " + ".join(names)),
        _by_task(lines, tasks),
        _mistakes(lines, tasks),
    )


def _check_tasks(runs: Sequence[StoredScores]) -> None:
    digests: dict[str, str] = {}
    for scores in runs:
        for task in scores.run.task_names():
            digest = str(scores.run.task_record(task)["digest"])
            if digests.setdefault(task, digest) != digest:
                raise InvalidInput(
                    f"the runs have different tasks of the name {task}, so one table cannot hold both",
                    hint="report each run alone",
                )


def _lines(runs: Sequence[StoredScores]) -> Iterator[_Line]:
    models = [scores.run.model_names() for scores in runs]
    views = run_views(scores.run for scores in runs)
    for scores, keys in zip(runs, keys_of_rows(models, views), strict=True):
        for model, key in keys.items():
            yield _Line(key, model, scores, _facts(scores, model))


def _facts(scores: StoredScores, model: str) -> Facts:
    """What was measured of a model; its batches are kept without the ids of their questions."""
    run = scores.run
    tasks = run.clean_task_names()
    rows = (row for task in tasks for row in run.each_batch(model, task))
    batches = list(map(_without_ids, rows))
    latencies = [row for task in tasks for row in run.latencies(model, task)]
    record = run.model_record(model)
    facts = measure(record, batches, latencies, (), run.monitor(model))
    return of_the_model(facts, recorded_traits(record))


def _without_ids(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    samples = batch.get("samples")
    return {**batch, "samples": [None] * len(samples)} if isinstance(samples, list) else batch


def _score(line: _Line, tasks: Sequence[str]) -> Estimate | None:
    """The mean over the tasks, or the score of the only task; None where a mean would say nothing."""
    if line.name in line.scores.overall:
        return line.scores.overall[line.name]
    cells = line.cells(tasks)
    return cells[0].estimates[cells[0].headline] if len(cells) == 1 else None


def _leaderboard(lines: Sequence[_Line], tasks: Sequence[str], title: str) -> Section:
    cells = [cell for line in lines for cell in line.cells(tasks)]
    better = common_direction(cell.headline for cell in cells) or "higher"
    kind = usual_memory(line.facts for line in lines)
    columns = (
        Column("model", "Model", header=True),
        Column("score", "Score", "score", better, intervals="column"),
        Column("n", "n", "count", priority=4),
        Column("documents", "Documents", "count", priority=5),
        Column("questions_per_second", "Questions/s", "significant", "higher", short="q/s"),
        Column("p50", "p50 s", "significant", "lower", priority=1),
        Column("p95", "p95 s", "significant", "lower", priority=2),
        Column("memory", "Memory GiB", "gib", "lower", short="Peak GiB", priority=3),
        Column("failed", "Failed", "count", "lower"),
    )
    scores = {line.key: _score(line, tasks) for line in lines}
    ordered = sorted(lines, key=lambda line: _place(scores[line.key], better), reverse=True)
    rows = tuple(_row(line, scores[line.key], tasks, kind) for line in ordered)
    memory = (
        f"Memory is the peak over all batches, measured as {MEMORY_KINDS[kind]}." if kind else ""
    )
    answers = formatting.count(sum(cell.asked for cell in cells))
    why = f"The run has {answers} answers, more than a report holds in memory."
    notes = (why, *LEFT_OUT, memory)
    blocks = (Table("models", columns, rows), Text(tuple(filter(None, notes)), "note", "Large run"))
    return Section("leaderboard", title, blocks, "Leaderboard")


def _place(score: Estimate | None, better: str) -> float:
    if score is None or score.value is None:
        return float("-inf")
    return score.value if better == "higher" else -score.value


def _row(line: _Line, score: Estimate | None, tasks: Sequence[str], kind: str) -> Row:
    facts = line.facts
    rate = facts.throughput.questions_per_second if facts.throughput is not None else None
    latency = facts.latency.shown() if facts.latency is not None else {}
    memory = facts.memory.peaks.get(kind) if facts.memory is not None else None
    own = line.cells(tasks)
    failed = sum(cell.estimates[cell.headline].failed for cell in own)
    asked = sum(cell.asked for cell in own)
    run = line.scores.run
    questions = sum(int(run.task_record(task)["samples"]) for task in run.clean_task_names())
    open_ = f"{formatting.count(asked)} of {formatting.count(questions)} asked"
    cells = {
        "model": model_cell(line.key, note=open_ if asked < questions else ""),
        "score": score_cell(score, "The tasks have no common score."),
        "n": DataCell(score.n if score is not None else None),
        "documents": DataCell(score.clusters if score is not None else None),
        "questions_per_second": DataCell(rate),
        "p50": DataCell(latency.get("p50")),
        "p95": DataCell(latency.get("p95")),
        "memory": DataCell(memory),
        "failed": DataCell(failed),
    }
    return Row(cells, model=line.key)


def _by_task(lines: Sequence[_Line], tasks: Sequence[str]) -> Section:
    columns = (
        Column("task", "Task", header=True, merged=True),
        Column("metric", "Measure"),
        *model_columns([line.key for line in lines], "score"),
    )
    rows = []
    for task in tasks:
        by_line = {line.key: cell.estimates for line in lines for cell in line.cells([task])}
        for metric in dict.fromkeys(name for own in by_line.values() for name in own):
            arrow = "↑" if higher_is_better(metric) else "↓"
            title = METRICS[metric].title if metric in METRICS else metric
            scores = {key: score_cell(own.get(metric)) for key, own in by_line.items()}
            first = {"task": DataCell(task), "metric": DataCell(f"{title} {arrow}", mark="muted")}
            rows.append(Row(first | model_cells(scores)))
    return Section("tasks", "Scores by task", (Table("scores", columns, tuple(rows)),), "Tasks")


def _mistakes(lines: Sequence[_Line], tasks: Sequence[str]) -> Section:
    columns = (
        Column("kind", "Kind", header=True),
        *model_columns([line.key for line in lines], "count"),
    )
    counts: dict[str, Counter[str]] = {line.key: Counter() for line in lines}
    for line in lines:
        for cell in line.cells(tasks):
            counts[line.key].update(cell.mistakes)
    rows = []
    for kind in MISTAKES:
        if any(of_line[kind] for of_line in counts.values()):
            cells = model_cells({key: DataCell(of_line[kind]) for key, of_line in counts.items()})
            rows.append(Row({"kind": DataCell(label(kind))} | cells))
    program = Text(
        (f"docvlm-bench {bench.__version__}, {formatting.moment(utc_now())}",),
        "note",
        outputs=frozenset(("markdown",)),
    )
    table = Table("kinds", columns, tuple(rows))
    return Section("mistakes", "Kinds of mistakes", (table, program), "Mistakes")

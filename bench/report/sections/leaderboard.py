"""One row for each model: what it scored and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench import formatting
from bench.report.reasons import NOT_ASKED, UNSCORED, reason
from bench.report.section import (
    EVERYWHERE,
    Block,
    Cell,
    Chooser,
    Column,
    Row,
    Section,
    State,
    Table,
    Text,
    score_cell,
)
from bench.report.views import MEMORY_KINDS, ModelRow, ReportView, TaskView

MAX_TASK_COLUMNS = 12
"""Tasks that have a column of their own on the page; with more, the table is wider than two screens."""

GIB = 2.0**30

MEMORY_WORDS = {
    "peak_process": "process",
    "peak_reserved": "reserved",
    "peak_allocated": "allocated",
    "peak_rss": "RSS",
}
"""Kind of memory → the word beside a number, where kinds differ."""


def section(view: ReportView) -> Section:
    """The leaderboard, best model first."""
    kind = usual_memory(view.rows)
    tasks = view.tasks if 1 < len(view.tasks) <= MAX_TASK_COLUMNS else ()
    better = "higher" if view.higher_is_better else "lower"
    caption = (
        f"Score: {view.score_name} ({better} is better), with its 95 % interval, clustered by document. "
        "Models share a rank (=) where their paired difference is within the noise."
    )
    table = Table(
        "models",
        _columns(view, kind, tasks),
        tuple(_row(view, row, kind, tasks) for row in view.rows),
        caption=caption,
        sortable=True,
    )
    blocks: list[Block] = [
        Chooser(
            "models",
            "score",
            {
                "memory": ("Memory at most", "GiB", GIB),
                "p95": ("p95 latency at most", "s", 1.0),
            },
        ),
        table,
    ]
    if kind:
        blocks.append(Text((_memory_note(view.rows, kind),), "note", "Memory"))
    return Section("leaderboard", "Leaderboard", tuple(blocks))


def usual_memory(rows: Sequence[ModelRow]) -> str:
    """The kind of memory that the column shows unless a cell says otherwise; empty where none is known."""
    kinds = [row.facts.memory.kind for row in rows if row.facts.memory is not None]
    if "peak_process" in kinds:
        return "peak_process"
    return max(kinds, key=kinds.count) if kinds else ""


def _memory_note(rows: Sequence[ModelRow], usual: str) -> str:
    kinds = {row.facts.memory.kind for row in rows if row.facts.memory is not None}
    others = [
        f"{MEMORY_WORDS[kind]} means {label}"
        for kind, label in MEMORY_KINDS.items()
        if kind in kinds - {usual}
    ]
    words = "; ".join([MEMORY_KINDS[usual], *others])
    return f"Memory is the peak over all batches, measured as {words}."


def _columns(view: ReportView, kind: str, tasks: Sequence[TaskView]) -> tuple[Column, ...]:
    scores = [
        Column(
            task.key,
            task.key,
            format="score",
            better=_direction(task.higher_is_better),
            note=f"{task.title}: {task.headline_title}",
            intervals="hover",
            divided=task is tasks[0],
            outputs=frozenset(("html",)),
        )
        for task in tasks
    ]
    single = "single questions, each about another document"
    return (
        Column(
            "rank",
            "#",
            format="count",
            note="1 + the number of models that are better beyond the noise",
        ),
        Column("model", "Model", header=True),
        Column(
            "score",
            "Score",
            format="score",
            better=_direction(view.higher_is_better),
            intervals="column",
            interval_priority=2,
            picture="whisker",
        ),
        Column(
            "n",
            "n",
            format="count",
            note="Questions that the score counts",
            priority=4,
            outputs=EVERYWHERE - {"html"},
        ),
        Column(
            "questions_per_second",
            "Questions/s",
            "q/s",
            "significant",
            "higher",
            "Questions per second over all batches (offline scenario)",
            priority=3,
        ),
        Column(
            "p50",
            "p50 s",
            format="significant",
            better="lower",
            note=f"Median latency of {single}",
            priority=1,
        ),
        Column(
            "p95",
            "p95 s",
            format="significant",
            better="lower",
            note=f"95th percentile of the latency of {single}",
            priority=6,
        ),
        Column(
            "memory",
            "Memory GiB",
            "Peak GiB",
            "gib",
            "lower",
            f"Peak over all batches: {MEMORY_KINDS[kind]}" if kind else "",
            priority=5,
        ),
        Column(
            "failed",
            "Failed",
            format="count",
            better="lower",
            note="Questions that ended in an error; they count as the worst score",
        ),
        *scores,
    )


def _direction(higher: bool) -> Literal["higher", "lower"]:
    return "higher" if higher else "lower"


def _row(view: ReportView, row: ModelRow, kind: str, tasks: Sequence[TaskView]) -> Row:
    facts = row.facts
    rate, latency, memory = facts.throughput, facts.latency, facts.memory
    cells = {
        "rank": _rank_cell(row),
        "model": _name_cell(view, row),
        "score": score_cell(row.score, reason(row, "score"), details=_so_far(row)),
        "n": Cell(row.score.n if row.score else None, reason=reason(row, "score")),
        "questions_per_second": Cell(
            rate.questions_per_second if rate else None, reason=reason(row, "throughput")
        ),
        "p50": Cell(latency.p50 if latency else None, reason=reason(row, "latency")),
        "p95": Cell(latency.p95 if latency else None, reason=reason(row, "latency")),
        "memory": Cell(
            memory.bytes if memory else None,
            note=MEMORY_WORDS[memory.kind] if memory and memory.kind != kind else "",
            reason=reason(row, "memory"),
        ),
        "failed": _failed_cell(row),
    }
    cells |= {task.key: _task_cell(row, task) for task in tasks}
    return Row(cells, model=row.key, state=_state(view, row))


def _state(view: ReportView, row: ModelRow) -> State:
    if row.key == view.verdict.best:
        return "best"
    if row.state == "failed":
        return "failed"
    return "" if row.state == "complete" else "unfinished"


def _rank_cell(row: ModelRow) -> Cell:
    if row.rank is None:
        return Cell(reason=reason(row, "rank"))
    hover = "shares this rank with another model" if row.tied else ""
    return Cell(row.rank, text=f"{row.rank}{'=' if row.tied else ''}", hover=hover)


def _name_cell(view: ReportView, row: ModelRow) -> Cell:
    note = ""
    if row.state != "complete":
        note = "still running" if row.state == "running" else row.state
        if 0 < row.asked < row.samples:
            note += f", {row.asked:,} of {row.samples:,} asked"
    setup = [row.setup.get("quantization", ""), row.setup.get("dtype", "")]
    setup += [formatting.parameters(row.parameters) if row.parameters else "", row.device]
    if view.mixed_hardware:
        setup.append(row.hardware)
    details = [" · ".join(filter(None, setup))]
    if row.failure is not None:
        details.append(": ".join(filter(None, (row.failure.error, row.failure.message))))
        details.append(row.failure.hint)
    return Cell(row.key, note=note, details=tuple(filter(None, details)), model=row.key)


def _so_far(row: ModelRow) -> tuple[str, ...]:
    """How many questions stand behind the score of a model that has not finished."""
    if row.score is None or not row.so_far:
        return ()
    return (f"so far, n = {formatting.count(row.score.n)}",)


def _failed_cell(row: ModelRow) -> Cell:
    if row.asked == 0:
        return Cell(reason=NOT_ASKED)
    if row.failed == 0:
        return Cell(0)
    return Cell(row.failed, mark="bad", filter={"show": "failed", "model": row.key})


def _task_cell(row: ModelRow, task: TaskView) -> Cell:
    score = row.tasks.get(task.key)
    if score is None or score.asked == 0:
        return Cell(reason=NOT_ASKED)
    return score_cell(score.estimate, UNSCORED, hover=f"n = {score.estimate.n:,}")

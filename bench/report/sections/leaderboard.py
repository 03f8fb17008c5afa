"""One row for each model: what it scored and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from bench import formatting
from bench.report.reasons import NOT_ASKED, UNSCORED, measured, reason
from bench.report.section import (
    EVERYWHERE,
    PAGE,
    Block,
    BudgetForm,
    Column,
    DataCell,
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
"""Kind of memory → the word beside a number, if kinds differ."""


def section(view: ReportView) -> Section:
    """The leaderboard, best model first."""
    kind = usual_memory(view.rows)
    tasks = view.tasks if 1 < len(view.tasks) <= MAX_TASK_COLUMNS else ()
    better = "higher" if view.higher_is_better else "lower"
    caption = (
        f"Score: {view.score_name} ({better} is better), with its 95 % interval, clustered by document. "
        "Models share a rank (=) if their paired difference is within the noise."
    )
    table = Table(
        "models",
        _columns(view, kind, tasks),
        tuple(_row(view, row, kind, tasks) for row in view.rows),
        caption=caption,
        sortable=True,
    )
    budgets = {"memory": ("Memory at most", "GiB", GIB), "p95": ("p95 latency at most", "s", 1.0)}
    if has_costs(view):
        budgets["cost"] = ("Cost of 1,000 pages at most", "", 1.0)
    blocks: list[Block] = [BudgetForm("models", "score", budgets), table]
    if kind:
        blocks.append(Text((_memory_note(view.rows, kind),), "note", "Memory"))
    return Section("leaderboard", "Leaderboard", tuple(blocks))


def has_costs(view: ReportView) -> bool:
    """Whether it is known what any model costs."""
    return any(row.cost_per_1000_pages is not None for row in view.rows)


def usual_memory(rows: Sequence[ModelRow]) -> str:
    """The kind of memory that the column shows unless a cell says otherwise; empty if none is known."""
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


_SCORE = Column(
    "score", "Score", "score", intervals="column", interval_priority=2, picture="whisker"
)

_RATE = Column(
    "questions_per_second",
    "Questions/s",
    "significant",
    "higher",
    "Questions per second over all batches (offline scenario)",
    short="q/s",
    priority=3,
)

_COST = Column(
    "cost",
    "Cost / 1,000 pages",
    "significant",
    "lower",
    "What 1,000 pages cost at the price given, at the measured throughput",
    short="cost/1k",
    priority=2,
)


def _columns(view: ReportView, kind: str, tasks: Sequence[TaskView]) -> tuple[Column, ...]:
    single = "the latency of single questions, each about another document"
    rank = "1 + the number of models that are better beyond the noise"
    memory = f"Peak over all batches: {MEMORY_KINDS[kind]}" if kind else ""
    failed = "Questions that ended in an error; they count as the worst score"
    higher = _direction(view.higher_is_better)
    return (
        Column("rank", "#", "count", note=rank),
        Column("model", "Model", header=True),
        replace(_SCORE, better=higher),
        Column("n", "n", "count", priority=4, outputs=EVERYWHERE - PAGE),
        _RATE,
        Column("p50", "p50 s", "significant", "lower", f"Median of {single}", priority=1),
        Column("p95", "p95 s", "significant", "lower", f"95th percentile of {single}", priority=6),
        Column("memory", "Memory GiB", "gib", "lower", memory, short="Peak GiB", priority=5),
        *((_COST,) if has_costs(view) else ()),
        Column("failed", "Failed", "count", "lower", failed),
        *(_task_column(task, first=task is tasks[0]) for task in tasks),
    )


def _task_column(task: TaskView, *, first: bool) -> Column:
    better = _direction(task.higher_is_better)
    note = f"{task.title}: {task.headline_title}"
    return Column(
        *(f"task:{task.key}", task.key, "score", better, note),
        divided=first,
        intervals="hover",
        outputs=PAGE,
    )


def _direction(higher: bool) -> Literal["higher", "lower"]:
    return "higher" if higher else "lower"


_FIGURES = {
    "questions_per_second": ("throughput.questions_per_second", "throughput"),
    "p50": ("latency.p50", "latency"),
    "p95": ("latency.p95", "latency"),
    "memory": ("memory.bytes", "memory"),
}
"""Column → where its value stands in the facts, and the figure that a reason is asked for."""


def _row(view: ReportView, row: ModelRow, kind: str, tasks: Sequence[TaskView]) -> Row:
    so_far: tuple[str, ...] = ()
    if row.so_far and row.score is not None:
        so_far = (f"so far, n = {formatting.count(row.score.n)}",)
    cells = {
        "rank": _rank_cell(row),
        "model": _name_cell(view, row),
        "score": score_cell(row.score, reason(row, "score"), details=so_far),
        "n": DataCell(row.score.n if row.score else None, reason=reason(row, "score")),
        "failed": _failed_cell(row),
        "cost": DataCell(row.cost_per_1000_pages, reason="No price, or no throughput, is known."),
    }
    cells |= {key: measured(row, *figure) for key, figure in _FIGURES.items()}
    memory = row.facts.memory
    if memory is not None and memory.kind != kind:
        cells["memory"] = DataCell(memory.bytes, note=MEMORY_WORDS[memory.kind])
    cells |= {f"task:{task.key}": _task_cell(row, task) for task in tasks}
    return Row(cells, model=row.key, state=_state(view, row))


def _state(view: ReportView, row: ModelRow) -> State:
    if row.key == view.verdict.best:
        return "best"
    if row.state == "failed":
        return "failed"
    return "" if row.state == "complete" else "unfinished"


def _rank_cell(row: ModelRow) -> DataCell:
    if row.rank is None:
        return DataCell(reason=reason(row, "rank"))
    hover = "shares this rank with another model" if row.tied else ""
    return DataCell(row.rank, text=f"{row.rank}{'=' if row.tied else ''}", hover=hover)


def _name_cell(view: ReportView, row: ModelRow) -> DataCell:
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
    return DataCell(row.key, note=note, details=tuple(filter(None, details)), model=row.key)


def _failed_cell(row: ModelRow) -> DataCell:
    if row.asked == 0:
        return DataCell(reason=NOT_ASKED)
    if row.failed == 0:
        return DataCell(0)
    return DataCell(row.failed, mark="bad", filter={"show": "failed", "model": row.key})


def _task_cell(row: ModelRow, task: TaskView) -> DataCell:
    score = row.tasks.get(task.key)
    if score is None or score.asked == 0:
        return DataCell(reason=NOT_ASKED)
    return score_cell(score.estimate, UNSCORED, hover=f"n = {score.estimate.n:,}")

"""One row for each model: what it scored and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from bench import formatting
from bench.report.cost import currency_of, why_no_cost
from bench.report.facts import GIB, usual_memory
from bench.report.measurements import LEAST_QUESTIONS, MEMORY_KINDS
from bench.report.reasons import NOT_ASKED, measured, percentile, reason
from bench.report.records import at
from bench.report.section import (
    DATA,
    EVERYWHERE,
    PAGE,
    Budget,
    BudgetForm,
    Column,
    DataCell,
    Group,
    Row,
    Section,
    State,
    Table,
    Text,
    score_cell,
)
from bench.report.sections.tradeoff import plots
from bench.report.verdict import USUAL_GPU
from bench.report.views import ModelRow, ReportView

MEMORY_WORDS = {
    "peak_process": "process",
    "peak_reserved": "reserved",
    "peak_allocated": "allocated",
    "peak_rss": "RSS",
}
"""Kind of memory → the word beside a number, if kinds differ."""


ENOUGH_FOR_P95 = 20
"""Measured questions from which one of them is slower than p95."""


def section(view: ReportView) -> Section:
    """The leaderboard, best model first, and beside it what accuracy costs."""
    kind = usual_memory(row.facts for row in view.rows)
    table = Table(
        "models",
        _columns(view, kind),
        tuple(_row(view, row, kind) for row in view.rows),
        caption=_caption(view),
        sortable=True,
    )
    notes = [Text((_memory_note(view.rows, kind),), "note", "Memory")] if kind else []
    notes += _unscored_note(view.rows)
    board = Group((BudgetForm("models", _budgets(view)), table, *_rates_note(view), *notes))
    costs = plots(view)
    whole = board if costs is None else Group((board, costs), layout="side")
    return Section("leaderboard", "Leaderboard", (whole,), first_view=True)


def _caption(view: ReportView) -> str:
    if all(row.score is None for row in view.rows):
        return ""
    better = "higher" if view.higher_is_better else "lower"
    count = ", counting the questions that all models of a board answered"
    part = count if any(board.is_part for board in view.boards) else ""
    has_interval = any(row.score is not None and row.score.low is not None for row in view.rows)
    interval = ", with its 95 % interval" if has_interval else ""
    ties = " Models that cannot be told apart share a rank (=)."
    return (
        f"Score: {view.score_name} ({better} is better){part}{interval}."
        f"{ties if any(row.tied for row in view.rows) else ''}"
    )


def _rates_note(view: ReportView) -> tuple[Text, ...]:
    """Why 1.5 questions/s may stand beside a latency of 15 s."""
    if not any(row.facts.latency is not None for row in view.rows):
        return ()
    loads = [
        load
        for row in view.rows
        if (load := at(row.facts, "throughput.questions_per_page")) is not None
    ]
    serves = "may serve several"
    if loads and max(loads) > 1:
        least, most = formatting.significant(min(loads)), formatting.significant(max(loads))
        mean = most if least == most else f"{least} to {most}"
        serves = f"serves {mean} questions on average"
    few = min(row.facts.latency.n for row in view.rows if row.facts.latency is not None)
    slowest = ""
    if LEAST_QUESTIONS["p95"] <= few < ENOUGH_FOR_P95:
        slowest = f" ({few} of them, so that p95 is nearly the slowest)"
    return (
        Text(
            (
                f"Questions/s is measured in batches, in which one reading of a page {serves}; p50 and "
                f"p95 are the time of questions asked alone, each about another document{slowest}.",
            ),
            "note",
            outputs=PAGE,
        ),
    )


def _budgets(view: ReportView) -> tuple[Budget, ...]:
    budgets = []
    kinds = {row.facts.memory.kind for row in view.rows if row.facts.memory is not None}
    if kinds - {"peak_rss"}:
        budgets.append(Budget("memory", "My GPU:", "GB", GIB, given=str(USUAL_GPU)))
    elif kinds:
        budgets.append(Budget("memory", "Memory at most", "GiB", GIB))
    if any(row.facts.latency is not None for row in view.rows):
        budgets.append(Budget("p95", "p95 at most", "s"))
    if has_costs(view):
        budgets.append(Budget("cost", "1,000 pages for at most", currency_of(view.rows)))
    if view.ranked:
        least: Literal["least", "most"] = "least" if view.higher_is_better else "most"
        budgets.append(Budget("score", f"Score at {least}", limit=least))
    return tuple(budgets)


def has_costs(view: ReportView) -> bool:
    """Whether it is known what any model costs."""
    return any(row.cost_per_1000_pages is not None for row in view.rows)


def _memory_note(rows: Sequence[ModelRow], usual: str) -> str:
    kinds = {row.facts.memory.kind for row in rows if row.facts.memory is not None}
    others = [
        f"{MEMORY_WORDS[kind]} means {label}"
        for kind, label in MEMORY_KINDS.items()
        if kind in kinds - {usual}
    ]
    words = "; ".join([MEMORY_KINDS[usual], *others])
    return f"Memory is the peak over all batches, measured as {words}."


def _unscored_note(rows: Sequence[ModelRow]) -> list[Text]:
    """What the counts beside the scores mean."""
    if not any(row.levels.get("unscored") for row in rows):
        return []
    words = (
        "Unscored answers count in no mean: the metric does not apply (no reference), or the answer is too "
        "large for it."
    )
    return [Text((words,), "note", "Unscored")]


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


def _cost_column(currency: str) -> Column:
    return Column(
        "cost",
        f"{currency} / 1,000 pages",
        "significant",
        "lower",
        f"What 1,000 pages cost at the price given, in {currency}, at the measured throughput",
        short=f"{currency}/1k",
        priority=2,
    )


def _columns(view: ReportView, kind: str) -> tuple[Column, ...]:
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
        Column(
            "memory",
            "Memory GiB",
            "gib",
            "lower",
            memory,
            short="Peak GiB",
            priority=5,
            # Where every model runs on a server, the column would be empty.
            outputs=EVERYWHERE if kind else DATA,
        ),
        *((_cost_column(currency_of(view.rows)),) if has_costs(view) else ()),
        Column("failed", "Failed", "count", "lower", failed),
    )


def _direction(higher: bool) -> Literal["higher", "lower"]:
    return "higher" if higher else "lower"


_FIGURES = {
    "questions_per_second": ("throughput.questions_per_second", "throughput"),
    "p50": ("latency.p50", "latency"),
}
"""Column → where its value stands in the facts, and the figure that a reason is asked for."""


def _row(view: ReportView, row: ModelRow, kind: str) -> Row:
    cells = {
        "rank": _rank_cell(row),
        "model": _name_cell(view, row),
        "score": _score_cell(row),
        "n": DataCell(row.score.n if row.score else None, reason=reason(row, "score")),
        "failed": _failed_cell(row),
        "cost": DataCell(row.cost_per_1000_pages, reason=why_no_cost(row, currency_of(view.rows))),
    }
    cells |= {key: measured(row, *figure) for key, figure in _FIGURES.items()}
    cells["p95"] = percentile(row.facts.latency, "p95", reason(row, "latency"))
    cells["memory"] = _memory_cell(row, kind)
    return Row(
        cells, group=_group(view, row), model=row.key, state=_state(view, row), better=row.better
    )


def _score_cell(row: ModelRow) -> DataCell:
    """The score, and how many answers are not in it."""
    so_far: tuple[str, ...] = ()
    if row.so_far and row.score is not None:
        so_far = (f"so far, n = {formatting.count(row.score.n)}",)
    unscored = row.levels.get("unscored", 0)
    return score_cell(
        row.score,
        reason(row, "score"),
        details=so_far,
        note=f"{formatting.count(unscored)} unscored" if unscored else "",
        filter={"show": "unscored", "model": row.key} if unscored else {},
        linked="note",
    )


def _group(view: ReportView, row: ModelRow) -> str:
    """The heading of the board that the row stands on, if there are several."""
    if len(view.boards) < 2:
        return ""
    for number, board in enumerate(view.boards, start=1):
        if row.key in board.keys:
            count = formatting.plural(board.questions, "question")
            return f"Board {number}. Ranked on {count} of {formatting.listed(board.tasks)}"
    return "Not ranked"


def _memory_cell(row: ModelRow, kind: str) -> DataCell:
    memory = row.facts.memory
    on_gpus = kind != "peak_rss"
    if memory is None:
        # What runs on a server needs no GPU of the reader's; of anything else nothing is known.
        elsewhere = row.traits.runs_in == "server" or row.traits.local_memory is False
        need = 0.0 if elsewhere and on_gpus else None
        return DataCell(reason=reason(row, "memory"), budget=need)
    need = 0.0 if memory.kind == "peak_rss" and on_gpus else float(memory.bytes)
    note = MEMORY_WORDS[memory.kind] if memory.kind != kind else ""
    return DataCell(memory.bytes, note=note, budget=need)


def _state(view: ReportView, row: ModelRow) -> State:
    if row.key in view.verdict.leaders:
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
        details.append(row.failure.message or row.failure.error)
        details.append(f"Hint: {row.failure.hint}" if row.failure.hint else "")
    return DataCell(row.key, note=note, details=tuple(filter(None, details)), model=row.key)


def _failed_cell(row: ModelRow) -> DataCell:
    if row.asked == 0:
        return DataCell(reason=NOT_ASKED)
    if row.failed == 0:
        return DataCell(0)
    return DataCell(row.failed, mark="bad", filter={"show": "failed", "model": row.key})

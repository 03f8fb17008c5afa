"""What pages and right answers cost, at a price that a person gave."""

from __future__ import annotations

from bench import formatting
from bench.report.answered import RIGHT_WORDS, JudgedAnswers, answered
from bench.report.cost import currency_of, why_no_cost
from bench.report.section import (
    DOCUMENTS,
    EVERYWHERE,
    Column,
    DataCell,
    Row,
    Section,
    Table,
    Text,
    model_cell,
    score_cell,
)
from bench.report.views import ReportView

NONE_RIGHT = "No answer is right."


def section(view: ReportView) -> Section | None:
    """The costs of every model with a price; None if no model has one."""
    rows = [
        answered(view, index)
        for index, row in enumerate(view.rows)
        if row.tariff is not None and row.asked > 0
    ]
    if not rows:
        return None
    priced = [row for row in rows if row.row.cost_per_1000_pages is not None]
    currency = currency_of([row.row for row in priced])
    unit = f", {currency}" if currency else ""
    columns = (
        Column("model", "Model", header=True),
        Column("price", "Price", priority=4),
        Column("pages", f"1,000 pages{unit}", "significant", "lower"),
        Column("questions", f"1,000 questions{unit}", "significant", "lower", priority=3),
        Column(
            "right_answers",
            f"1,000 right answers{unit}",
            "significant",
            "lower",
            intervals="column",
            interval_priority=2,
        ),
        Column("right", "Right", "share", "higher", priority=1),
    )
    short = [_sentence(priced), *_assumptions(rows)[:1]]
    blocks = (
        Table("costs", columns, tuple(_row(row, currency) for row in rows)),
        Text(tuple(filter(None, short)), "note", "Cost"),
        Text(tuple(_assumptions(rows)[1:]), "note", outputs=DOCUMENTS),
    )
    return Section("cost", "What it costs", blocks, "Cost", EVERYWHERE)


def _row(answers: JudgedAnswers, currency: str) -> Row:
    row, per_page = answers.row, answers.questions_per_page
    no_cost = why_no_cost(row, currency)
    pages, right = row.cost_per_1000_pages, answers.right
    per_question = None if pages is None or not per_page else pages / per_page
    cells = {
        "model": model_cell(row.key),
        "price": DataCell(row.tariff.words if row.tariff is not None else None),
        "pages": DataCell(pages, reason=no_cost),
        "questions": DataCell(per_question, reason=no_cost),
        "right": score_cell(right, NONE_RIGHT),
        "right_answers": DataCell(reason=no_cost if per_question is None else NONE_RIGHT),
    }
    if per_question is not None and right.value:
        interval = None
        if right.low and right.high:
            interval = (per_question / right.high, per_question / right.low)
        cells["right_answers"] = DataCell(per_question / right.value, interval)
    return Row(cells, model=row.key)


def _sentence(rows: list[JudgedAnswers]) -> str:
    """How far apart the cheapest and the dearest right answers are; empty if there is nothing to compare."""
    costs = {
        answers.row.key: cost
        for answers in rows
        if (cost := _row(answers, "").cells["right_answers"].value)
    }
    if len(costs) < 2:
        return ""
    cheapest, dearest = min(costs, key=costs.__getitem__), max(costs, key=costs.__getitem__)
    times = formatting.significant(costs[dearest] / costs[cheapest], 2)
    return f"A right answer of {dearest} costs {times} times as much as one of {cheapest}."


def _assumptions(rows: list[JudgedAnswers]) -> list[str]:
    """What the figures take for granted."""
    loads = {formatting.significant(row.questions_per_page) for row in rows}
    per_page = next(iter(loads)) if len(loads) == 1 else "as many"
    words = [f"The figures assume {per_page} questions per page, asked in batches as in this run."]
    tariffs = [row.row.tariff for row in rows if row.row.tariff is not None]
    if any(tariff.hour is not None for tariff in tariffs):
        words.append(
            "A price by the hour is that of the whole machine, and the machine is assumed to answer all the "
            "time at the measured throughput; loading the model and idle hours come on top."
        )
    if any(tariff.tokens is not None for tariff in tariffs):
        words.append(
            "A price by the token is for the tokens that the server counted, without a discount for cached "
            "ones and without failed attempts."
        )
    return [*words, f"{RIGHT_WORDS} The interval is that of the share of right answers alone."]

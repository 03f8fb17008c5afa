"""Whether two models in a row do as well as the best one, in less time."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bench import formatting
from bench.report.answered import confidences, document
from bench.report.cost import currency_of
from bench.report.section import (
    DOCUMENTS,
    Block,
    Column,
    DataCell,
    Row,
    Section,
    Table,
    Text,
    model_cell,
    score_cell,
)
from bench.report.views import ReportView, SampleView
from bench.scoring.cascade import Advice, Cascade, CascadeModel, Questions, advise
from bench.scoring.conclusions import ALPHA
from bench.scoring.levels import is_accuracy

MAX_PAIRS = 8
"""Pairs that are listed, the fastest first."""


def section(view: ReportView) -> Section | None:
    """The pairs worth running; None if no model says how sure it is, or nothing was timed."""
    rows = [
        index
        for index, row in enumerate(view.rows)
        if row.state == "complete" and row.facts.throughput is not None
    ]
    samples = [sample for sample in view.samples if _is_shared(sample, rows)]
    if len(rows) < 2 or not samples or not all(is_accuracy(task.headline) for task in view.tasks):
        return None
    sizes = Counter(sample.task for sample in samples)
    questions = Questions(
        [document(sample) for sample in samples],
        np.array([1 / sizes[sample.task] for sample in samples]),
    )
    advice = advise([_candidate(view, samples, index) for index in rows], questions)
    if advice is None:
        return None
    blocks: list[Block] = [Text((_sentence(advice),))]
    if advice.cascades:
        blocks.append(_table(view, advice))
    blocks.append(Text((_note(view, samples),), "note"))
    return Section("cascade", "Two models in a row", tuple(blocks), "Cascade", DOCUMENTS)


def _is_shared(sample: SampleView, rows: list[int]) -> bool:
    """Whether every model was asked the question, and has a score for its answer."""
    return all(sample.levels[index] not in ("open", "unscored") for index in rows)


def _candidate(view: ReportView, samples: list[SampleView], index: int) -> CascadeModel:
    row = view.rows[index]
    scores = []
    for sample in samples:
        answer = sample.answers[index]
        score = None if answer is None else answer.scores[view.tasks[sample.task].headline].value
        scores.append(score or 0.0)
    sure = confidences(samples, index)
    throughput = row.facts.throughput
    assert throughput is not None
    seconds = throughput.seconds / max(1, throughput.questions)
    return CascadeModel(row.key, np.array(scores), sure if (sure >= 0).any() else None, seconds)


def _sentence(advice: Advice) -> str:
    if not advice.cascades:
        return "No pair of models in a row does as well as the best model alone, in less time."
    pair = advice.chosen or advice.cascades[0]
    gap = pair.gap
    if gap.p is not None and gap.p < ALPHA and (gap.difference or 0) < 0:
        return (
            f"No pair can be recommended: {pair.first}, and {pair.second} where it is unsure, looked as good "
            f"as {pair.best} alone, but is worse on documents that were not used to choose it. "
            f"{_against_best(pair)}"
        )
    times = formatting.significant(pair.best_seconds / pair.seconds, 2)
    words = (
        f"Ask {pair.first} first, and {pair.second} where it is unsure "
        f"({formatting.percent(pair.passed_on)} of the questions): {formatting.score(pair.score.value)} in "
        f"{formatting.seconds(pair.seconds)} per question instead of {formatting.seconds(pair.best_seconds)} "
        f"({times} times as fast as {pair.best} alone). "
        f"{_against_best(pair)}"
    )
    if advice.chosen is None:
        words += (
            " The two halves of the documents would each choose another pair; this is the fastest one that "
            "both find good enough, so only its threshold is judged on other documents, not the pair."
        )
    return words


def _against_best(best: Cascade) -> str:
    """How the cascade's score stands to that of the best model, beyond the noise or not."""
    gap = best.gap
    if gap.low is None or gap.high is None:
        return ""
    interval = formatting.difference_interval(gap.low, gap.high)
    difference = f"{formatting.signed(gap.difference)} {interval}"
    return (
        f"Its score differs from that of {best.best} by {difference}, on documents that were not used to "
        "choose it."
    )


def _table(view: ReportView, advice: Advice) -> Table:
    keys = {row.key: row for row in view.rows}
    has_costs = all(row.cost_per_1000_pages is not None for row in view.rows if row.ranked)
    cost = f"{currency_of(view.rows)} / 1,000 pages"
    columns = (
        Column("first", "Ask first", header=True),
        Column("second", "Where unsure, ask", header=True),
        Column("threshold", "Unsure below", "score", note="The stricter threshold of both halves"),
        Column("passed_on", "Passed on", "percent"),
        Column("score", "Score", "score", "higher", intervals="column"),
        Column("gap", "Against the best", "signed", intervals="column"),
        Column("seconds", "s / question", "significant", "lower"),
        Column("saved", "Times as fast", "significant", "higher"),
        *((Column("cost", cost, "significant", "lower"),) if has_costs else ()),
    )
    rows = []
    for pair in advice.cascades[:MAX_PAIRS]:
        gap = pair.gap
        known = gap.low is not None and gap.high is not None
        interval = (gap.low or 0.0, gap.high or 0.0) if known else None
        costs = [keys[name].cost_per_1000_pages for name in (pair.first, pair.second)]
        cells = {
            "first": model_cell(pair.first),
            "second": model_cell(pair.second),
            "threshold": DataCell(max(pair.thresholds)),
            "passed_on": DataCell(pair.passed_on),
            "score": score_cell(pair.score),
            "gap": DataCell(gap.difference, interval),
            "seconds": DataCell(pair.seconds),
            "saved": DataCell(pair.best_seconds / pair.seconds),
        }
        if has_costs and None not in costs:
            cells["cost"] = DataCell((costs[0] or 0.0) + pair.passed_on * (costs[1] or 0.0))
        rows.append(Row(cells, state="best" if pair is advice.chosen else ""))
    caption = (
        "Pairs that both halves of the documents find as good as the best model alone, and faster."
    )
    return Table("pairs", columns, tuple(rows), caption)


def _note(view: ReportView, samples: list[SampleView]) -> str:
    words = (
        "The figures follow from the answers of this run: a question keeps the first model's answer if its "
        "confidence reaches a threshold, and gets the second model's otherwise. Pair and threshold are "
        "chosen on one half of the documents and judged on the other, and the other way round. The time is "
        "the first model's per question in batches, plus the second model's for the questions that are "
        "passed on. Both models have to be loaded."
    )
    if any(_counts_otherwise(view, sample) for sample in samples):
        words += (
            " Every question counts the same here. In the leaderboard, an answer with more values counts "
            "more, so the scores differ."
        )
    if view.mixed_hardware:
        words += " The models were timed on different hardware, so the times cannot be compared."
    return words


def _counts_otherwise(view: ReportView, sample: SampleView) -> bool:
    """Whether a score of the sample does not weigh 1, as in a micro F1."""
    headline = view.tasks[sample.task].headline
    answers = (answer for answer in sample.answers if answer is not None and answer.scores)
    return any(answer.scores[headline].weight != 1 for answer in answers)

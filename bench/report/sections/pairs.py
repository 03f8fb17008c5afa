"""Which differences between models are real, and which may be chance."""

from __future__ import annotations

from bench import formatting
from bench.report.section import (
    DOCUMENTS,
    Block,
    Column,
    DataCell,
    Group,
    Mark,
    Row,
    Section,
    Table,
    Text,
    model_cell,
)
from bench.report.sections.flips import detail
from bench.report.variants import paired, variants
from bench.report.views import ALPHA, Pair, ReportView
from bench.scoring.conclusions import conclusion

MAX_CONCLUSIONS = 3
"""Sentences about the best model and others."""

NOT_TESTED = "The models share too few documents for a test."


def section(view: ReportView) -> Section | None:
    """Every pair of finished models; None if there is none."""
    if not view.pairs:
        return None
    columns = (
        Column("first", "A", header=True),
        Column("second", "B"),
        Column("difference", "A − B", format="signed", intervals="column", picture="difference"),
        Column("p", "p (Holm)", format="p_value"),
        Column(
            "wins", "A better", format="count", note="Questions on which A scores higher than B"
        ),
        Column(
            "losses", "B better", format="count", note="Questions on which B scores higher than A"
        ),
        Column("verdict", "Verdict"),
    )
    pairs = formatting.plural(len(view.pairs), "pair")
    family = "the pairs of each board" if len(view.boards) > 1 else pairs
    adjusted = (
        f"The p-values are adjusted over {family} (Holm), and the intervals are not adjusted. "
        if len(view.pairs) > 1
        else ""
    )
    caption = (
        "Each difference A − B is paired on the questions that both models were asked, and clustered by "
        f"document. A positive difference means that A is better. {adjusted}A difference is beyond the "
        f"noise if p is below {ALPHA}."
    )
    table = Table("pairs", columns, tuple(_row(pair) for pair in view.pairs), caption)
    return Section(
        "compare",
        "Which differences are real",
        (*(Text((words,)) for words in _conclusions(view)), table, *_detail(view)),
        "Compare",
        DOCUMENTS,
    )


def _conclusions(view: ReportView) -> list[str]:
    """What can be said of the best model and each of the next ones."""
    best = view.pairs[0].first
    return [
        f"{pair.first} against {pair.second}: "
        + conclusion(pair.difference, pair.second, pair.first, p=pair.p_holm)
        for pair in view.pairs
        if pair.first == best
    ][:MAX_CONCLUSIONS]


def _detail(view: ReportView) -> tuple[Block, ...]:
    """Where two models are compared: all tasks together, each task, and what flipped both ways."""
    ranked = [number for number, row in enumerate(view.rows) if row.ranked]
    if len(ranked) != 2 or variants(view):
        # The section on variants has the same.
        return ()
    better, worse = ranked
    answers = paired(view, worse, better)
    if answers is None:
        return ()
    first, second = view.rows[worse].key, view.rows[better].key
    blocks = detail(view, answers, (first, second), ("B", "A"), "1")
    return (Group(blocks, f"{second} (A) against {first} (B)"),)


def _row(pair: Pair) -> Row:
    gap = pair.difference
    interval = (gap.low, gap.high) if gap.low is not None and gap.high is not None else None
    mark: Mark = "strong" if pair.separated else "muted"
    cells = {
        "first": model_cell(pair.first),
        "second": model_cell(pair.second),
        "difference": DataCell(gap.difference, interval, mark=mark, reason=NOT_TESTED),
        "p": DataCell(pair.p_holm, reason=NOT_TESTED),
        "wins": _count(pair.wins, pair.first, pair.second),
        "losses": _count(pair.losses, pair.second, pair.first),
        "verdict": DataCell(_verdict(pair), mark=mark),
    }
    return Row(cells)


def _count(number: int, better: str, worse: str) -> DataCell:
    return DataCell(number, filter={"better": [better, worse]}) if number else DataCell(0)


def _verdict(pair: Pair) -> str:
    if pair.p_holm is None:
        return "cannot be tested"
    if not pair.separated:
        return "within the noise"
    return "A is better" if (pair.difference.difference or 0) > 0 else "B is better"

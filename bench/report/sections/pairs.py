"""Which differences between models are real, and which may be chance."""

from __future__ import annotations

from bench import formatting
from bench.report.section import DOCUMENTS, Column, DataCell, Mark, Row, Section, Table, model_cell
from bench.report.views import ALPHA, Pair, ReportView

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
    caption = (
        "Each difference A − B is paired on the questions that both models were asked, and clustered by "
        "document. A positive difference means that A is better. The p-values are adjusted over "
        f"{formatting.plural(len(view.pairs), 'pair')} (Holm), and a difference is beyond the noise if p is "
        f"below {ALPHA}. The intervals are not adjusted."
    )
    table = Table("pairs", columns, tuple(_row(pair) for pair in view.pairs), caption)
    return Section("compare", "Which differences are real", (table,), "Compare", DOCUMENTS)


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

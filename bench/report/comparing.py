"""A comparison of two models as a table and sentences, for the terminal and for the report alike."""

from __future__ import annotations

from bench import formatting
from bench.report.section import Column, DataCell, Row, Table
from bench.scoring.comparison import ComparisonRow, PairedAnswers
from bench.scoring.conclusions import ALPHA
from bench.scoring.levels import higher_is_better

NOT_SCORED = "No question was scored for both."
NOT_TESTED = "One document allows no test."
NOT_ACCEPTED = "By an error rate, no answer is accepted or refused."


def comparison_table(
    comparison: PairedAnswers, first: str = "A", second: str = "B", id_: str = "tasks"
) -> Table:
    """One row for all tasks together, then one for each task and each part of a task."""
    rows = [_row(row, is_overall=False) for row in comparison.rows]
    overall = comparison.overall
    if overall is not None and sum(not row.is_slice for row in comparison.rows) > 1:
        rows.insert(0, _row(overall, is_overall=True))
    columns = (
        Column("task", "task", header=True),
        Column("metric", "metric", priority=8),
        Column("n", "n", "count", priority=7),
        Column("documents", "docs", "count", priority=3),
        Column("first", first, "score", priority=4),
        Column("second", second, "score", priority=4),
        Column(
            "difference",
            f"{second} − {first}",
            "signed",
            intervals="column",
            picture="difference",
        ),
        Column("p", "p", "p_value", priority=2),
        Column("p_holm", "p (Holm)", "p_value", priority=5),
        Column("gained", "gained", "count", priority=6),
        Column("lost", "lost", "count", priority=6),
    )
    return Table(id_, columns, tuple(rows))


def _row(row: ComparisonRow, *, is_overall: bool) -> Row:
    gap = row.difference
    interval = (gap.low, gap.high) if gap.low is not None and gap.high is not None else None
    is_beyond = gap.p is not None and gap.p < ALPHA and (row.p_holm or gap.p) < ALPHA
    not_tested = NOT_TESTED if gap.n else NOT_SCORED
    cells = {
        "task": DataCell(row.name),
        "metric": DataCell(row.metric, mark="muted"),
        "n": DataCell(gap.n, mark="muted"),
        "documents": DataCell(gap.clusters, mark="muted"),
        "first": DataCell(row.first, reason=NOT_SCORED),
        "second": DataCell(row.second, reason=NOT_SCORED),
        "difference": DataCell(
            gap.difference,
            interval,
            mark="strong" if is_beyond else "",
            reason=NOT_SCORED,
        ),
        "p": DataCell(gap.p, reason=not_tested),
        "gained": _accepted(row, row.gained),
        "lost": _accepted(row, row.lost),
    }
    if not is_overall:
        cells["p_holm"] = DataCell(row.p_holm, reason=not_tested)
    return Row(cells, state="sum" if is_overall else "")


def _accepted(row: ComparisonRow, count: int) -> DataCell:
    return DataCell(count) if higher_is_better(row.metric) else DataCell(reason=NOT_ACCEPTED)


def legend(comparison: PairedAnswers, first: str = "A", second: str = "B") -> str:
    """What the columns are, and which tests stand behind them."""
    count = len(comparison.rows)
    accepted = ""
    if any(higher_is_better(row.metric) for row in comparison.rows):
        accepted = (
            f" An answer is gained where only {second} scores 0.5 or higher, and lost where only {first} "
            "does."
        )
    tasks = sum(not row.is_slice for row in comparison.rows)
    below = " below the first" if comparison.overall is not None and tasks > 1 else ""
    several = f" p (Holm) is p after correction for the {count} rows{below}." if count > 1 else ""
    return (
        f"{second} − {first} is paired by question, and its 95 % interval is clustered by document. p is "
        "Student's t's, or that of the exact randomisation test where it is larger and few documents differ. "
        f"It is below 0.05 exactly where the interval excludes 0.{several}{accepted}"
    )


def balance(comparison: PairedAnswers) -> str:
    """How many answers flipped each way, with the exact test of the two numbers; empty if none flipped."""
    gained = sum(flip.gained for flip in comparison.flips)
    lost = len(comparison.flips) - gained
    if not comparison.flips:
        return ""
    words = f"{formatting.plural(gained, 'answer')} gained and {lost:,} lost"
    row = comparison.overall
    if row is None or row.p_mcnemar is None:
        return f"{words}."
    words += f" (test by document: {formatting.p_equals(row.p_mcnemar)})."
    p = row.difference.p
    if p is not None and (p < ALPHA) != (row.p_mcnemar < ALPHA):
        words += (
            " This test knows only which side of 0.5 a score is on; the difference above also counts how "
            "nearly right the answers are, so it decides."
        )
    return words

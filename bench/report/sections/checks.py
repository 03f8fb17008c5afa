"""What ``bench check`` found out: whether other ways of asking give the same answers."""

from __future__ import annotations

from bench import formatting
from bench.report.findings import CheckView
from bench.report.section import (
    DOCUMENTS,
    Column,
    DataCell,
    Row,
    Section,
    Table,
    Term,
    Terms,
    model_cell,
)
from bench.report.views import ReportView

VERDICTS = {
    "passed": "the two ways agree",
    "differs": "the two ways do not agree",
    "undecided": "too few questions to tell",
}
"""Words for ``CheckView.verdict``."""


def section(view: ReportView) -> Section | None:
    """The checks of the report's models; None if there are none."""
    if not view.checks:
        return None
    columns = (
        Column("model", "Model", header=True),
        Column("ways", "Asked"),
        Column("against", "Held against"),
        Column("answers", "Answers", format="count"),
        Column("differing", "Differ", format="count"),
        Column("result", "Result"),
        Column("verdict", "Verdict"),
        Column("when", "When"),
    )
    rows = tuple(_row(check) for check in view.checks)
    blocks: list[Table | Terms] = [Table("checks", columns, rows, "Checks", quiet_caption=True)]
    examples = [Term(check.row, example) for check in view.checks for example in check.examples]
    if examples:
        blocks.append(Terms(tuple(examples)))
    return Section(
        "checks",
        "Do other ways of asking give the same answers?",
        tuple(blocks),
        "Checks",
        DOCUMENTS,
    )


def _row(check: CheckView) -> Row:
    failed = check.verdict == "differs"
    cells = {
        "model": model_cell(check.row),
        "ways": DataCell(check.ways),
        "against": DataCell(f"{check.against}, {check.against_ways}".rstrip(", ")),
        "answers": DataCell(check.answers),
        "differing": DataCell(check.differing),
        "result": DataCell(f"{check.sentence} on {formatting.listed(check.tasks)}"),
        "verdict": DataCell(
            VERDICTS.get(check.verdict, check.verdict), mark="bad" if failed else ""
        ),
        "when": DataCell(formatting.moment(check.when)),
    }
    return Row(cells, model=check.row)

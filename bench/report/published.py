"""The section "Published and ours" of a report: published scores beside the run's, with what differs."""

from __future__ import annotations

from collections.abc import Sequence

from bench import formatting
from bench.report.markup import escape, table
from bench.scoring.published import PublishedRow

VERDICTS = {
    "within": "within the noise",
    "below": "ours is lower",
    "above": "ours is higher",
    "not tested": "not comparable",
}
"""Words for ``PublishedRow.verdict``."""

NOTE = (
    "Within the noise: the published score lies in our 95 % interval, which is clustered by document. A "
    "published score of another split is of other questions, and is not tested."
)


def published_markdown(rows: Sequence[PublishedRow]) -> str:
    """The section; empty where no model has a published score on a task of the run."""
    if not rows:
        return ""
    lines = [
        [
            escape(row.model),
            escape(row.task),
            escape(row.metric),
            f"{formatting.score(row.published)} ({escape(row.split or 'split not stated')})",
            f"{formatting.score(row.ours.value)} {formatting.interval(row.ours)}",
            formatting.signed(row.difference),
            VERDICTS[row.verdict],
        ]
        for row in rows
    ]
    header = ["Model", "Task", "Metric", "Published", "Ours", "Ours − published", "Verdict"]
    body = table(header, lines, [False, False, False, True, True, True, False])
    notes = []
    for row in rows:
        what = " ".join(row.differences) or "Nothing is known to differ."
        notes.append(
            f"- {escape(row.model)} on {escape(row.task)}, {escape(row.split or 'split not stated')}: "
            f"{escape(what, 900)} {escape(row.conditions, 400)} Source: {escape(row.source)}."
        )
    listed = "\n".join(notes)
    return f"## Published and ours\n\n{body}\n{NOTE}\n\n{listed}\n"

"""What ``bench check`` found out about the models of a report, read leniently from the run directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import InvalidInput
from bench.report.findings import Caveat, CheckView
from bench.report.records import nested, number, text
from bench.report.rows import RowSource

MOST_EXAMPLES = 5
"""Differing answers of one check that a report shows."""


def check_views(sources: Sequence[RowSource]) -> tuple[CheckView, ...]:
    """The checks of every row, the newest first."""
    views: list[CheckView] = []
    for source in sources:
        try:
            records = source.evaluation.run.checks(source.name)
        except InvalidInput:
            # The scores of a run do not depend on its checks.
            continue
        views += [_view(source.key, record) for record in reversed(records)]
    return tuple(views)


def check_caveats(checks: Sequence[CheckView]) -> list[Caveat]:
    """That a model did not agree with another way of asking it, by the newest check of the two."""
    newest: dict[tuple[str, str], CheckView] = {}
    for check in checks:
        newest.setdefault((check.row, check.against), check)
    return [
        Caveat("model", f"{check.row} does not agree with {check.against}: {check.sentence}.")
        for check in newest.values()
        if check.verdict == "differs"
    ]


def _view(key: str, record: Mapping[str, Any]) -> CheckView:
    rows = _objects(record.get("rows"))
    how = record.get("how")
    ways = [text(each) for each in how] if isinstance(how, list) else []
    differing = _objects(record.get("differing"))
    return CheckView(
        row=key,
        against=text(record.get("against")),
        ways=", ".join(ways[:1]),
        against_ways=", ".join(ways[1:2]),
        tasks=tuple(text(row.get("task")) for row in rows),
        answers=int(sum(number(row.get("answers")) or 0 for row in rows)),
        differing=len(differing),
        sentence=text(record.get("sentence")),
        verdict=text(record.get("verdict")),
        margin=number(record.get("margin")),
        when=text(record.get("when")),
        examples=tuple(map(_example, differing[:MOST_EXAMPLES])),
    )


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _example(answer: Mapping[str, Any]) -> str:
    first, second = text(answer.get("first")), text(answer.get("second"))
    place = text(nested(answer, "divergence", "sentence"))
    where = f"{text(answer.get('task'))}/{text(answer.get('sample_id'))}"
    return f"{where}: {first!r}, and {second!r} the other way{f'; {place}' if place else ''}"

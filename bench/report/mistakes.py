"""The kinds of mistakes, how much of them is format, and what extraction changed: scoring's findings, joined.

The classes and their rules are those of ``bench.metrics.mistakes``; here they get the names that a person
reads and are counted for every row of the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics.mistakes import RULES
from bench.report.findings import ExtractionView
from bench.report.views import MistakeView, ModelRow, TaskView

LABELS: Mapping[str, str] = {
    "failed": "failed",
    "empty": "empty",
    "unparseable": "not parseable",
    "format_only": "only in format",
    "truncated": "truncated",
    "refusal": "refusal",
    "other_field": "another field’s value",
    "partial": "partial",
    "ambiguous": "ambiguous",
    "invented": "invented for an absent field",
    "misread": "misread letters or digits",
    "repetition": "repetition loop",
    "other_language": "another language",
    "other_line": "another line of the page",
    "not_on_page": "not on the page",
    "other_type": "another type of value",
    "other_value": "another value of the type",
    "wrong": "otherwise wrong",
}
"""Class → what it is called on the page; a class that is not here is called by its name."""

RULE_TEXTS: Mapping[str, str] = {name: text for name, _, text in RULES}
"""Class → its rule in one line, in the order in which the rules are tried."""

VISIBLE = 0.0005
"""Scores that differ by less are the same with three decimals."""


def label(name: str) -> str:
    """What a class is called on the page."""
    return LABELS.get(name, name.replace("_", " "))


def not_right(row: ModelRow) -> int:
    """Answers of ``row`` that fall short of a perfect headline score; each has one class."""
    return sum(sum(score.mistakes.values()) for score in row.tasks.values())


def judged(row: ModelRow) -> int:
    """Answers of ``row`` that can be right or wrong at all: descriptions cannot."""
    return sum(score.asked for score in row.tasks.values() if score.equivalent is not None)


def mistake_views(rows: Sequence[ModelRow]) -> tuple[MistakeView, ...]:
    """The classes that occur, in the order of their rules."""
    kinds = []
    wrong = {row.key: not_right(row) for row in rows}
    for name, rule in RULE_TEXTS.items():
        counts = {
            row.key: sum(score.mistakes.get(name, 0) for score in row.tasks.values())
            for row in rows
        }
        if any(counts.values()):
            shares = {
                key: count / wrong[key] if wrong[key] > 0 else None for key, count in counts.items()
            }
            kinds.append(MistakeView(name, label(name), rule, counts, shares))
    return tuple(kinds)


def extraction_views(
    rows: Sequence[ModelRow], tasks: Sequence[TaskView]
) -> tuple[ExtractionView, ...]:
    """Where extracting the answers changed a headline score, in the order of rows and tasks."""
    changed = []
    for row in rows:
        for task in tasks:
            score = row.tasks.get(task.key)
            if score is None or score.estimate.value is None or score.raw.value is None:
                continue
            if abs(score.estimate.value - score.raw.value) >= VISIBLE:
                changed.append(
                    ExtractionView(
                        row.key, task.key, task.headline_title, score.estimate, score.raw
                    )
                )
    return tuple(changed)

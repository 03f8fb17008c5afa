"""What kind of wrong, how much of it is format, and what extraction changed: scoring's findings, joined.

The classes and their rules are those of ``bench.metrics.mistakes``; here they get the names that a person
reads and are counted for every row of the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import formatting
from bench.metrics.mistakes import RULES

if TYPE_CHECKING:
    from bench.report.views import ModelRow, TaskView
    from bench.schema import Estimate

LABELS: Mapping[str, str] = {
    "failed": "failed",
    "empty": "empty",
    "unparseable": "not parseable",
    "format_only": "only in format",
    "truncated": "truncated",
    "refusal": "refusal",
    "other_field": "another field’s value",
    "partial": "partial",
    "not_on_page": "not on the page",
    "wrong": "otherwise wrong",
}
"""Class → what it is called on the page; a class that is not here is called by its name."""

RULE_TEXTS: Mapping[str, str] = {name: text for name, _, text in RULES}
"""Class → its rule in one line, in the order in which the rules are tried."""

EQUIVALENT = (
    "Equivalent is the share of answers that are right, or wrong only in format: the typed value (a date, "
    "an amount, an identifier) equals a reference's. It gives no partial credit, so it may lie below the "
    "score, and it stands beside the score, never in its place."
)
"""The one explanation of the column, for every renderer."""

VISIBLE = 0.0005
"""Scores that differ by less are the same with three decimals."""


@dataclass(frozen=True, slots=True)
class MistakeView:
    """One kind of wrong, with how often it happened to every row."""

    name: str
    """Class of ``bench.metrics.mistakes``."""
    label: str
    rule: str
    """What puts an answer into this class, in one line."""
    counts: Mapping[str, int]
    """By row key: answers of this class."""
    shares: Mapping[str, float | None]
    """By row key: of the answers that are not right; None where there are none."""


@dataclass(frozen=True, slots=True)
class ExtractionView:
    """A model and a task whose headline is another one on raw texts."""

    row: str
    """Key of the row."""
    task: str
    """Key of the task."""
    metric: str
    """Title of the headline metric."""
    extracted: Estimate
    """Of the extracted answers: the score that the report shows."""
    raw: Estimate
    """Of the raw texts."""


def label(name: str) -> str:
    """What a class is called on the page."""
    return LABELS.get(name, name.replace("_", " "))


def not_right(row: ModelRow) -> int:
    """Answers of ``row`` that fall short of a perfect headline score; each has one class."""
    return sum(sum(score.mistakes.values()) for score in row.tasks.values())


def judged(row: ModelRow) -> int:
    """Answers of ``row`` that can be right or wrong at all: descriptions cannot."""
    return sum(score.asked for score in row.tasks.values() if score.equivalent is not None)


def extraction_line(view: ExtractionView) -> str:
    """One line: model, task, and the score on either text."""
    extracted, raw = (
        f"{formatting.score(estimate.value)} {formatting.interval(estimate)}"
        for estimate in (view.extracted, view.raw)
    )
    return f"{view.row} on {view.task}: {view.metric} {extracted} on extracted answers, {raw} on raw texts"


def mistake_views(rows: Sequence[ModelRow]) -> tuple[MistakeView, ...]:
    """The classes that occur, in the order of their rules."""
    found = []
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
            found.append(MistakeView(name, label(name), rule, counts, shares))
    return tuple(found)


def extraction_views(
    rows: Sequence[ModelRow], tasks: Sequence[TaskView]
) -> tuple[ExtractionView, ...]:
    """Where extracting the answers changed a headline score, in the order of rows and tasks."""
    found = []
    for row in rows:
        for task in tasks:
            score = row.tasks.get(task.key)
            if score is None or score.estimate.value is None or score.raw.value is None:
                continue
            if abs(score.estimate.value - score.raw.value) >= VISIBLE:
                found.append(
                    ExtractionView(
                        row.key, task.key, task.headline_title, score.estimate, score.raw
                    )
                )
    return tuple(found)

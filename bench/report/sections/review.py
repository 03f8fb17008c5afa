"""How many answers need no person, if a share of the rest is to be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import formatting
from bench.drawing.lines import Line, LinePoint, Lines
from bench.metrics.calibration import ece
from bench.report.answered import RIGHT_WORDS, JudgedAnswers, answered
from bench.report.section import (
    DATA,
    DOCUMENTS,
    PAGE,
    Block,
    Column,
    DataCell,
    Group,
    Plot,
    Row,
    Section,
    Table,
    Text,
    model_cell,
    score_cell,
)
from bench.report.views import ReportView
from bench.schema import Estimate
from bench.scoring.held_out import FEWEST_DOCUMENTS
from bench.scoring.review import (
    CurvePoint,
    ReliabilityBin,
    Unreviewed,
    reliability,
    risk_coverage,
    unreviewed,
)

TARGETS = (0.99, 0.95, 0.9)
"""Shares of right answers that are asked for; the first one is what the sentences are about."""

FEWEST_ANSWERS = 40
"""Answers that a field needs for a threshold of its own: 20 in each half."""

MAX_FIELDS = 12
"""Fields of one model that are listed, those with the most answers."""

MAX_SENTENCES = 4
"""Models of which the result is said in words."""

NONE_PASSES = "No threshold reaches this share on the documents that chose it."
TOO_FEW = f"There are fewer than {FEWEST_DOCUMENTS} documents to choose and judge by."


@dataclass(frozen=True, slots=True)
class _Reviewed:
    """The answers of a row with what was computed of them, once for sentences, tables and curves."""

    answers: JudgedAnswers
    by_target: Mapping[float, Unreviewed | None]
    curve: Sequence[CurvePoint]
    bins: Sequence[ReliabilityBin]

    @classmethod
    def of(cls, answers: JudgedAnswers) -> _Reviewed:
        sure = answers.sureness
        by_target = {target: unreviewed(sure, target) for target in TARGETS}
        return cls(answers, by_target, risk_coverage(sure), reliability(sure))

    @property
    def key(self) -> str:
        return self.answers.row.key


def section(view: ReportView) -> Section | None:
    """What passes at which share of right answers; None if no model says how sure it is."""
    complete = [index for index, row in enumerate(view.rows) if row.state == "complete"]
    judged = [answered(view, index) for index in complete]
    rows = [_Reviewed.of(answers) for answers in judged if answers.gives_confidence]
    if not rows:
        return None
    note = (
        f"{RIGHT_WORDS} An answer needs no review if the model's confidence reaches a threshold. "
        "The threshold is chosen on one half of the documents and judged on the other, and the other way "
        "round, so no document judges a threshold that it chose. Intervals are 95 % intervals, clustered by "
        "document."
    )
    blocks: tuple[Block, ...] = (
        *(Text((_sentence(row),)) for row in rows[:MAX_SENTENCES]),
        Group(
            (
                Group((_curves(rows),), "Answers that pass"),
                Group((_calibration(rows),), "Calibration"),
            ),
            layout="tabs",
            outputs=PAGE,
        ),
        _targets(rows),
        *_fields(rows),
        _curve_table(rows),
        _calibration_table(rows),
        Text((note,), "note"),
    )
    return Section("review", "What needs no review", blocks, "Review", DOCUMENTS)


def _sentence(row: _Reviewed) -> str:
    target = TARGETS[0]
    name, wanted = row.key, formatting.percent(target)
    result = row.by_target[target]
    if result is None:
        return f"{name}: {TOO_FEW[0].lower()}{TOO_FEW[1:]}"
    if not result.coverage.value:
        right = formatting.share(row.answers.right.value)
        return (
            f"{name}: no confidence promises that {wanted} are right, so every answer needs review "
            f"({right} of all are right)."
        )
    passed, held = (formatting.share(each.value) for each in (result.coverage, result.right))
    return (
        f"{name}: if {wanted} are to be right, {passed} {_interval(result.coverage)} of the answers need no "
        f"review. On documents that were not used to choose the threshold, {held} "
        f"{_interval(result.right)} of such answers were right, {_kept(result)}."
    )


def _kept(result: Unreviewed) -> str:
    """Whether what was asked for was reached on the other documents."""
    value, high = result.right.value, result.right.high
    if value is None or high is None:
        return "but these come from too few documents to judge by"
    if value >= result.target:
        return "as many as asked for"
    if high < result.target:
        return "fewer than asked for"
    return "which is within the noise of what was asked for"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{formatting.share(estimate.low)}, {formatting.share(estimate.high)}]"


# Tables


_JUDGED = (
    Column("target", "Right, asked for", "percent"),
    Column("coverage", "Needs no review", "share", "higher", intervals="column"),
    Column("held", "Right among these", "share", "higher", intervals="column"),
    Column("threshold", "Confidence from", "score", note="The stricter threshold of both halves"),
)


def _targets(rows: Sequence[_Reviewed]) -> Table:
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("right", "Right of all", "share", merged=True),
        *_JUDGED,
    )
    right = {row.key: row.answers.right.value for row in rows}
    lines = tuple(
        Row(
            {
                "model": model_cell(row.key),
                "right": DataCell(right[row.key]),
                **_judged(row.by_target[target], target),
            },
            model=row.key,
        )
        for row in rows
        for target in TARGETS
    )
    caption = "What needs no review at three shares of right answers, over all tasks."
    return Table("targets", columns, lines, caption)


def _judged(result: Unreviewed | None, target: float) -> dict[str, DataCell]:
    cells = {"target": DataCell(target)}
    if result is None:
        return cells | {key: DataCell(reason=TOO_FEW) for key in ("coverage", "held", "threshold")}
    return cells | {
        "coverage": score_cell(result.coverage),
        "held": score_cell(result.right, NONE_PASSES),
        "threshold": DataCell(result.threshold, reason=NONE_PASSES),
    }


def _fields(rows: Sequence[_Reviewed]) -> list[Group]:
    """A threshold for each field, which has answers of its own kind."""
    lines = [line for row in rows for line in _field_rows(row.answers)]
    if not lines:
        return []
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("field", "Field", header=True),
        Column("n", "Answers", "count"),
        Column("right", "Right of all", "share"),
        *_JUDGED,
    )
    caption = (
        f"Each field with a threshold of its own; fields with fewer than {FEWEST_ANSWERS} answers are left "
        f"out, and of more than {MAX_FIELDS} fields those with the fewest answers."
    )
    table = Table("fields", columns, tuple(lines), caption)
    return [Group((table,), "By field", "folded")]


def _field_rows(row: JudgedAnswers) -> list[Row]:
    fields = [sample.sample.metadata.get("field", "") for sample in row.samples]
    lines = []
    for field, count in Counter(filter(None, fields)).most_common(MAX_FIELDS):
        if count < FEWEST_ANSWERS:
            break
        part = row.sureness.only(np.array([each == field for each in fields], dtype=np.bool_))
        cells = {
            "model": model_cell(row.row.key),
            "field": DataCell(field),
            "n": DataCell(count),
            "right": DataCell(float(part.right.mean())),
            **_judged(unreviewed(part, TARGETS[0]), TARGETS[0]),
        }
        lines.append(Row(cells, model=row.row.key))
    return lines


# Curves


def _curves(rows: Sequence[_Reviewed]) -> Plot:
    lines = []
    for row in rows:
        points = tuple(
            LinePoint(point.coverage, point.right.value or 0.0, point.right.low, point.right.high)
            for point in row.curve
        )
        lines.append(Line(row.answers.index, row.key, points))
    data = Lines(tuple(lines), "answers that pass", "right among them", level=TARGETS[0])
    caption = (
        "The surest answers first: how many are right among those that pass. The bars are 95 % intervals, "
        f"and the dashed line is {formatting.percent(TARGETS[0])}. All documents are in the curve, so "
        "it is a little too good for the point that one picks from it; the table is not."
    )
    return Plot("risk-coverage", data, caption)


def _calibration(rows: Sequence[_Reviewed]) -> Plot:
    lines = []
    for row in rows:
        points = tuple(
            LinePoint(each.confidence, each.right.value or 0.0, each.right.low, each.right.high)
            for each in row.bins
        )
        lines.append(Line(row.answers.index, row.key, points))
    data = Lines(tuple(lines), "confidence", "right", diagonal=True)
    caption = (
        "Calibration: of the answers with about this confidence, how many are right. On the dashed line, "
        "confidence says how often an answer is right; below it, the model is too sure."
    )
    return Plot("calibration", data, caption)


def _curve_table(rows: Sequence[_Reviewed]) -> Table:
    columns = (
        Column("model", "Model", header=True),
        Column("coverage", "Answers that pass", "share"),
        Column("threshold", "Confidence from", "score"),
        Column("right", "Right among them", "share"),
    )
    lines = tuple(
        Row(
            {
                "model": model_cell(row.key),
                "coverage": DataCell(point.coverage),
                "threshold": DataCell(point.threshold),
                "right": score_cell(point.right),
            }
        )
        for row in rows
        for point in row.curve
    )
    return Table("curve", columns, lines, "The risk–coverage curve.", outputs=DATA)


def _calibration_table(rows: Sequence[_Reviewed]) -> Table:
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("ece", "Calibration error", "score", "lower", merged=True),
        Column("confidence", "Confidence", "score"),
        Column("n", "Answers", "count"),
        Column("right", "Right", "share"),
    )
    lines = []
    for row in rows:
        sure = row.answers.sureness
        known = sure.only(sure.confidence >= 0)
        error = ece(known.confidence.tolist(), known.right.astype(float).tolist())
        lines += [
            Row(
                {
                    "model": model_cell(row.key),
                    "ece": DataCell(error),
                    "confidence": DataCell(each.confidence),
                    "n": DataCell(each.right.n),
                    "right": score_cell(each.right),
                }
            )
            for each in row.bins
        ]
    caption = "Calibration: confidence against the share of right answers, in tenths of confidence."
    return Table("calibration", columns, tuple(lines), caption, outputs=DATA)

"""How robust the models are: what digitally perturbed pages change, by kind, severity, model and field."""

from __future__ import annotations

from collections.abc import Sequence

from bench import formatting
from bench.drawing.lines import Line, LinePoint
from bench.drawing.panels import Panel, Panels
from bench.report.findings import ConditionChange, FieldBreak, MeanChange, Robustness
from bench.report.section import (
    DATA,
    DOCUMENTS,
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
)
from bench.report.views import ALPHA, ReportView

NOTE = (
    "Each number is the score on perturbed pages minus the score on the same clean pages, with its 95 % "
    "interval: paired by question, clustered by document. A minus is a loss. A model breaks at the first "
    f"severity whose loss is beyond the noise: its p, adjusted over all numbers (Holm), is below {ALPHA}. "
    "The pages were perturbed digitally; no page was printed and captured again."
)

NOT_RUN = "The run did not ask this severity."
NOT_TESTED = "Too few documents have this field under this condition."


def section(view: ReportView) -> Section | None:
    """The changes with their picture, and the fields that break; None if no page was perturbed."""
    robustness = view.perturbed.robustness
    if robustness is None or not robustness.changes:
        return None
    sentences = [*_sentences(robustness), *_unasked(view)]
    blocks: list[Block] = [Text(tuple(sentences), label="Robust")]
    whole = [change for change in robustness.changes if not change.tasks]
    if whole:
        caption = "The bars are the 95 % intervals of the change from the clean pages."
        blocks.append(Plot("kinds", _panels(view, whole), caption))
    blocks.append(_table(view, robustness))
    blocks.append(_conditions(robustness))
    if robustness.fields:
        tables = [_field_table(view, robustness, row.key) for row in view.rows]
        shown = tuple(table for table in tables if table is not None)
        blocks.append(Group(shown, "At which severity each field breaks", outputs=DOCUMENTS))
    return Section("robustness", "How robust", tuple(blocks), "Robust")


def _sentences(robustness: Robustness) -> list[str]:
    """Who is hit hardest, and by what."""
    said = [*_hardest_hit(robustness.means)]
    losses = [change for change in robustness.changes if change.is_loss]
    if losses:
        worst = min(losses, key=lambda change: change.change.difference or 0.0)
        said.append(
            f"The score of {worst.row} falls most with {worst.kind} at severity {worst.severity}: "
            f"{_interval(worst)}."
        )
    else:
        said.append("No loss is beyond the noise.")
    unharmed = [
        kind for kind in _kinds(robustness) if not any(loss.kind == kind for loss in losses)
    ]
    if losses and unharmed:
        names = formatting.listed(unharmed, 8)
        said.append(f"No loss beyond the noise is seen with {names}.")
    failed = sum(change.failed for change in robustness.changes)
    if failed:
        said.append(
            f"{formatting.plural(failed, 'question')} about perturbed pages failed and "
            f"{'counts' if failed == 1 else 'count'} as wrong."
        )
    return said


def _unasked(view: ReportView) -> list[str]:
    """How much an unfinished run leaves open."""
    answers = (answer for sample in view.perturbed.samples for answer in sample.answers)
    number = sum(answer is not None and answer.output is None for answer in answers)
    if not number:
        return []
    questions = formatting.plural(number, "question")
    return [
        f"{questions} about perturbed pages {'has' if number == 1 else 'have'} not been asked yet."
    ]


def _hardest_hit(means: Sequence[MeanChange]) -> list[str]:
    if not means:
        return []
    first, *others = means
    interval = formatting.difference_interval(first.change.low, first.change.high)
    change = formatting.signed(first.change.difference)
    words = f"Over all conditions, the score of {first.row} changes by {change} {interval}"
    if not others:
        return [f"{words}."]
    rest = formatting.listed(
        f"that of {other.row} by {formatting.signed(other.change.difference)}" for other in others
    )
    beaten = [
        other.row
        for other in others
        if other.p_holm is not None and other.p_holm < ALPHA and other.behind is not None
    ]
    if not beaten:
        verdict = "Which model is hit hardest cannot be told: they differ within the noise."
    else:
        verdict = f"{first.row} is hit harder than {formatting.listed(beaten)} beyond the noise."
    return [f"{words}, {rest}.", verdict]


def _interval(change: ConditionChange) -> str:
    gap = change.change
    ends = formatting.difference_interval(gap.low, gap.high)
    scores = f"from {formatting.score(change.clean)} to {formatting.score(change.perturbed)}"
    return f"{formatting.signed(gap.difference)} {ends}, {scores}"


def _kinds(robustness: Robustness) -> list[str]:
    return list(dict.fromkeys(change.kind for change in robustness.changes))


def _severities(robustness: Robustness) -> list[int]:
    return sorted({change.severity for change in robustness.changes})


def _panels(view: ReportView, changes: Sequence[ConditionChange]) -> Panels:
    panels = []
    for kind in dict.fromkeys(change.kind for change in changes):
        lines = []
        for number, row in enumerate(view.rows):
            own = [each for each in changes if each.kind == kind and each.row == row.key]
            if own:
                lines.append(Line(number, row.key, tuple(_points(own))))
        panels.append(Panel(kind, tuple(lines)))
    highest = max(change.severity for change in changes)
    steps = ("clean", *map(str, range(1, highest + 1)))
    return Panels(tuple(panels), steps, "severity", view.score_name)


def _points(changes: Sequence[ConditionChange]) -> list[LinePoint]:
    """The clean score, and the score at each severity with the interval of the change."""
    clean = next((change.clean for change in changes if change.clean is not None), None)
    points = [] if clean is None else [LinePoint(0, clean)]
    for change in sorted(changes, key=lambda change: change.severity):
        if change.clean is None or change.perturbed is None:
            continue
        gap = change.change
        low = None if gap.low is None else change.clean + gap.low
        high = None if gap.high is None else change.clean + gap.high
        points.append(LinePoint(change.severity, change.perturbed, low, high))
    return points


def _table(view: ReportView, robustness: Robustness) -> Table:
    severities = _severities(robustness)
    scopes = list(dict.fromkeys(change.tasks for change in robustness.changes))
    columns = (
        Column("kind", "Perturbation", header=True, merged=True),
        Column("model", "Model"),
        *(
            Column(
                f"severity-{each}",
                f"Severity {each}",
                format="signed",
                intervals="column",
                interval_priority=1,
            )
            for each in severities
        ),
        Column("breaks", "Breaks at"),
    )
    rows = []
    for scope in scopes:
        for kind in _kinds(robustness):
            for row in view.rows:
                own = {
                    change.severity: change
                    for change in robustness.changes
                    if (change.tasks, change.kind, change.row) == (scope, kind, row.key)
                }
                if own:
                    cells = {f"severity-{each}": _cell(own.get(each), view) for each in severities}
                    cells |= {"kind": DataCell(kind), "model": model_cell(row.key)}
                    cells["breaks"] = _breaking_point(list(own.values()))
                    rows.append(Row(cells, group=scope))
    seeds = formatting.listed(map(str, robustness.seeds))
    caption = f"{NOTE} {'Seed' if len(robustness.seeds) == 1 else 'Seeds'}: {seeds}."
    return Table("changes", columns, tuple(rows), caption)


def _breaking_point(changes: Sequence[ConditionChange]) -> DataCell:
    """The first severity with a loss beyond the noise."""
    losses = [change.severity for change in changes if change.is_loss]
    return DataCell(min(losses), mark="strong") if losses else DataCell(text=formatting.DASH)


def _cell(change: ConditionChange | None, view: ReportView) -> DataCell:
    if change is None or change.change.difference is None:
        return DataCell(reason=NOT_RUN)
    gap = change.change
    known = gap.low is not None and gap.high is not None
    questions = formatting.plural(gap.n, "question")
    return DataCell(
        gap.difference,
        (gap.low or 0.0, gap.high or 0.0) if known else None,
        mark="strong" if change.is_loss else "muted",
        hover=f"{questions} of {formatting.plural(gap.clusters, 'document')}; "
        f"p {formatting.p_value(change.p_holm)} (Holm)",
        filter=_wrong_answers(change, view),
    )


def _wrong_answers(change: ConditionChange, view: ReportView) -> dict[str, str]:
    """What lists the wrong answers behind a change, where one task has them all."""
    condition = (change.kind, change.severity)
    tasks = [
        task.key
        for task in view.perturbed.tasks
        if task.perturbation is not None
        and (task.perturbation.kind, task.perturbation.severity) == condition
        and change.tasks in ("", task.clean_task)
    ]
    if len(tasks) != 1:
        return {}
    return {"task": tasks[0], "model": change.row, "show": "wrong"}


def _conditions(robustness: Robustness) -> Table:
    """All numbers, a row for each condition, for programs."""
    columns = (
        Column("model", "Model", header=True),
        Column("tasks", "Tasks"),
        Column("perturbation", "Perturbation"),
        Column("severity", "Severity", format="count"),
        Column("questions", "Questions", format="count"),
        Column("documents", "Documents", format="count"),
        Column("failed", "Failed", format="count"),
        Column("clean", "Clean", format="score"),
        Column("perturbed", "Perturbed", format="score"),
        Column("change", "Change", format="signed"),
        Column("p", "p (Holm)", format="p_value"),
        Column("is_loss", "Loss beyond the noise"),
    )
    rows = tuple(Row(_condition_cells(change)) for change in robustness.changes)
    return Table("conditions", columns, rows, outputs=DATA)


def _condition_cells(change: ConditionChange) -> dict[str, DataCell]:
    gap = change.change
    known = gap.low is not None and gap.high is not None
    return {
        "model": model_cell(change.row),
        "tasks": DataCell(change.tasks),
        "perturbation": DataCell(change.kind),
        "severity": DataCell(change.severity),
        "questions": DataCell(gap.n),
        "documents": DataCell(gap.clusters),
        "failed": DataCell(change.failed),
        "clean": DataCell(change.clean),
        "perturbed": DataCell(change.perturbed),
        "change": DataCell(gap.difference, (gap.low or 0.0, gap.high or 0.0) if known else None),
        "p": DataCell(change.p_holm),
        "is_loss": DataCell(change.is_loss),
    }


def _field_table(view: ReportView, robustness: Robustness, model: str) -> Table | None:
    """The severities at which one model loses its fields."""
    own = {(each.field, each.kind): each for each in robustness.fields if each.row == model}
    if not own:
        return None
    kinds = [kind for kind in _kinds(robustness) if any(kind == known for _, known in own)]
    columns = (
        Column("field", model if len(view.rows) > 1 else "Field", header=True, model=model),
        *(Column(f"kind-{kind}", kind) for kind in kinds),
    )
    rows = []
    for field in dict.fromkeys(name for name, _ in own):
        cells = {f"kind-{kind}": _field_cell(own.get((field, kind))) for kind in kinds}
        cells["field"] = DataCell(field, filter={"field": field})
        rows.append(Row(cells))
    number = next(i for i, row in enumerate(view.rows) if row.key == model)
    caption = (
        f"{model}: the first severity with a loss beyond the noise, and the change there. The p-values are "
        "adjusted over the fields of one kind and severity (Holm). A dash means that no loss is beyond the "
        "noise, which is no promise that nothing is lost."
    )
    return Table(f"fields-{number + 1}", columns, tuple(rows), caption)


def _field_cell(robustness: FieldBreak | None) -> DataCell:
    if robustness is None:
        return DataCell(reason=NOT_TESTED)
    change = formatting.signed(robustness.change.difference)
    if robustness.severity is None:
        return DataCell(text=formatting.DASH, hover=f"{change} at the highest severity of the run")
    return DataCell(robustness.severity, note=change, mark="strong")

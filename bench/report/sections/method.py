"""How the numbers were made, and how to get them again."""

from __future__ import annotations

import json

from bench import formatting
from bench.metrics import METRICS
from bench.report.section import (
    DOCUMENTS,
    PAGE,
    Block,
    Code,
    Column,
    DataCell,
    Group,
    Row,
    Section,
    Table,
    Term,
    Terms,
    Text,
    model_cell,
)
from bench.report.sections.by_task import EQUIVALENT
from bench.report.views import ALPHA, ReportView, RunView, TaskView


def section(view: ReportView) -> Section:
    """Runs, models, tasks, prompts and the method of scoring."""
    blocks: list[Block] = [_run(run) for run in view.runs]
    blocks += [
        Group((_models(view),), "Models"),
        Group((_tasks(view),), "Tasks"),
        Group(_prompts(view), "Prompts and decoding", "folded", PAGE),
        Group((Terms(_method(view)),), "How it was scored", "folded"),
        Text(
            (f"docvlm-bench {view.bench_version}, {formatting.moment(view.generated)}",),
            "note",
            outputs=frozenset(("markdown",)),
        ),
    ]
    return Section(
        "reproduce", "How to get these numbers again", tuple(blocks), "Reproduce", DOCUMENTS
    )


def _run(run: RunView) -> Group:
    commit = f"{run.commit}{', with uncommitted changes' if run.dirty else ''}"
    items = [
        Term("State", run.state),
        Term("Started", formatting.moment(run.started) or formatting.DASH),
        Term("Hardware", run.hardware),
        Term("Software", run.software or formatting.DASH),
        Term("Commit", commit if run.commit else formatting.DASH),
    ]
    if run.protocol:
        name = f"{run.protocol} ({run.protocol_title})" if run.protocol_title else run.protocol
        items.append(Term("Protocol", name, " ".join((*run.deviations, *run.differences))))
    if run.labels:
        labels = ", ".join(f"{key} = {value}" for key, value in run.labels.items())
        items.append(Term("Labels", labels))
    record = json.dumps(run.record, ensure_ascii=False, indent=2, default=str)
    blocks: list[Block] = [Code(run.command, "command", "Command")] if run.command else []
    blocks.append(Terms(tuple(items)))
    whole = Group((Code(record),), "Complete record (run.json)", "folded", PAGE)
    return Group((*blocks, whole), f"Run {run.name} ({run.id})" if run.name != run.id else run.id)


def _models(view: ReportView) -> Table:
    columns = (Column("model", "Model", header=True), Column("setup", "What was loaded"))
    rows = []
    for row in view.rows:
        setup = " · ".join(f"{key.replace('_', ' ')}: {value}" for key, value in row.setup.items())
        rows.append(Row({"model": model_cell(row.key), "setup": DataCell(setup)}, model=row.key))
    return Table("models", columns, tuple(rows), "What was loaded", quiet_caption=True)


def _tasks(view: ReportView) -> Table:
    columns = (
        Column("task", "Task", header=True),
        Column("version", "Version"),
        Column("digest", "Digest", "code"),
        Column("questions", "Questions", format="count"),
        Column("documents", "Documents", format="count"),
        Column("pages", "Pages", format="count"),
        Column("metrics", "Metrics"),
        Column("source", "Source, licence"),
    )
    rows = tuple(_task(task) for task in view.tasks)
    return Table("tasks", columns, rows, "Tasks, their versions and contents", quiet_caption=True)


def _task(task: TaskView) -> Row:
    source = ", ".join(filter(None, (task.source, task.license)))
    cells = {
        "task": DataCell(task.key, details=(task.title,) if task.title != task.key else ()),
        "version": DataCell(task.version),
        "digest": DataCell(task.digest[:12] or None, reason="The run recorded none."),
        "questions": DataCell(task.samples),
        "documents": DataCell(task.documents),
        "pages": DataCell(task.pages),
        "metrics": DataCell(", ".join(task.metrics)),
        "source": DataCell(source or None, reason="The task does not say."),
    }
    return Row(cells)


_MOST_PROMPTS = 12
"""Shown of one task; a collection has hundreds."""


def _prompts(view: ReportView) -> tuple[Block, ...]:
    groups = []
    for task in view.tasks:
        limit = f"at most {formatting.plural(task.max_new_tokens, 'new token')}, greedy"
        stop = f", stop at {' '.join(task.stop)}" if task.stop else ""
        blocks: list[Block] = []
        if task.system is not None:
            blocks.append(Code(task.system, label="system"))
        blocks.append(Code(task.prompt, label="the task's own" if task.prompts else ""))
        for asked in task.prompts[:_MOST_PROMPTS]:
            count = formatting.plural(asked.questions, "question")
            names = formatting.listed(asked.models)
            blocks.append(Code(asked.text, label=f"{names}: {count}, from {asked.source}"))
        if len(task.prompts) > _MOST_PROMPTS:
            more = formatting.plural(len(task.prompts) - _MOST_PROMPTS, "more prompt")
            blocks.append(Text((f"There are {more}; run.json lists all of them.",), "note"))
        groups.append(Group(tuple(blocks), f"{task.key}: {limit}{stop}"))
    return tuple(groups)


def _method(view: ReportView) -> tuple[Term, ...]:
    equivalent = EQUIVALENT.removeprefix("Equivalent: ")
    names = dict.fromkeys(name for task in view.tasks for name in task.metrics)
    metrics = [METRICS[name] for name in names if name in METRICS]
    unless = (
        ", unless the protocol says otherwise" if any(run.protocol for run in view.runs) else ""
    )
    return (
        *(
            Term(
                f"{metric.title} {'↑' if metric.direction == 'higher' else '↓'}",
                metric.definition,
                metric.source,
            )
            for metric in metrics
        ),
        Term(
            "Extraction",
            "What is compared is the answer taken out of the raw text: prefixes such as “Answer:”, code "
            f"fences and what surrounds a JSON object are left out{unless}. {_extraction(view)}",
        ),
        Term("Equivalent", equivalent[0].upper() + equivalent[1:]),
        Term(
            "Intervals",
            "They are 95 % intervals, clustered by document, because questions about one page are not "
            "independent.",
        ),
        Term(
            "Overall",
            "It is the mean of the tasks' headline scores. Every task counts the same, whatever its size.",
        ),
        Term(
            "Differences",
            "They are paired on the same questions and tested by document: by a t-test, or by an exact "
            "randomisation test where few documents differ and it is stricter. Holm's method adjusts the "
            f"p-values. A difference is beyond the noise if the adjusted p is below {ALPHA}.",
        ),
        Term(
            "Failures",
            "A question that ended in an error counts as the worst score, never as missing.",
        ),
        Term(
            "Speed",
            "Throughput and memory come from the offline scenario (batches), latency from the "
            "single-stream scenario (one question at a time); the two are never mixed.",
        ),
    )


def _extraction(view: ReportView) -> str:
    if not view.extraction:
        return "It changed no headline score."
    count = formatting.plural(len(view.extraction), "headline score")
    return f"It changed {count}; see “What extraction changed”."

"""The report for programs and spreadsheets: CSV tables, and ``report.json``.

``leaderboard.csv`` and ``samples.csv`` have columns that programs rely on; beside them every table of every
section is a file of its own under ``tables/``. Numbers are raw: seconds and bytes, not rounded.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report.cells import cell_of, columns_of
from bench.report.measurements import MEMORY_KINDS
from bench.report.records import at
from bench.report.samples import reference_texts
from bench.report.section import Block, Group, Section, Table, seen, tables
from bench.report.views import ReportView, TaskView
from bench.text import clip, csv_cell, file_name, printable

CELL_CHARACTERS = 32_000
"""A spreadsheet cell holds 32,767 characters."""


LEADERBOARD: Mapping[str, str] = {
    "rank": "rank",
    "model": "key",
    "run": "run",
    "state": "state",
    "score": "score.value",
    "low": "score.low",
    "high": "score.high",
    "n": "score.n",
    "documents": "score.clusters",
    "asked": "asked",
    "samples": "samples",
    "failed": "failed",
    "degraded": "degraded_answers",
    "questions_per_second": "facts.throughput.questions_per_second",
    "pages_per_second": "facts.throughput.pages_per_second",
    "generated_tokens_per_second": "facts.throughput.tokens_per_second",
    "questions_per_page": "facts.throughput.questions_per_page",
    "page_reuse": "page_reuse",
    "energy_joules_per_question": "facts.energy.joules_per_question",
    "latency_n": "facts.latency.n",
    "latency_p50_s": "facts.latency.p50",
    "latency_p90_s": "facts.latency.p90",
    "latency_p95_s": "facts.latency.p95",
    "latency_p99_s": "facts.latency.p99",
    "warm_latency_p50_s": "facts.single_stream.warm.p50",
    "first_token_p50_s": "facts.single_stream.first_token.p50",
    "first_token_p95_s": "facts.single_stream.first_token.p95",
    "warm_first_token_p50_s": "facts.single_stream.warm_first_token.p50",
    "decode_tokens_per_second": "facts.single_stream.tokens_per_second",
    "memory_kind": "facts.memory.kind",
    "memory_peak_bytes": "facts.memory.bytes",
    **{f"memory_{kind}_bytes": f"facts.memory.peaks.{kind}" for kind in MEMORY_KINDS},
    "load_s": "facts.load_seconds",
    "first_call_s": "facts.first_call_seconds",
    "parameters": "parameters",
    "hardware": "hardware",
    "reason": "failure.message",
}
"""Column → where its value stands in a ``ModelRow``. Programs rely on the names; add, but do not change."""

SAMPLES: Mapping[str, str] = {
    "text": "output.text",
    "extracted": "extracted",
    "stop_reason": "output.stop_reason",
    "error": "output.error",
    "generated_tokens": "output.generated_tokens",
    "confidence": "output.confidence",
    "min_confidence": "output.min_confidence",
    "degraded": "output.degraded",
}
"""Column → where its value stands in an ``Answer``."""


def leaderboard_csv(view: ReportView) -> str:
    """One line a model; seconds and bytes, no rounding."""
    tasks = [task.key for task in view.tasks]
    header = [*LEADERBOARD, *(f"{task.key}:{task.headline}" for task in view.tasks)]
    header += [f"{task}:equivalent" for task in tasks]
    lines = []
    for row in view.rows:
        begun = [
            score if (score := row.tasks.get(task)) and score.asked else None for task in tasks
        ]
        line = [at(row, path) for path in LEADERBOARD.values()]
        line += [at(score, "estimate.value") for score in begun]
        line += [at(score, "equivalent.value") for score in begun]
        lines.append(line)
    return _csv(header, lines)


def samples_csv(view: ReportView) -> str:
    """One line a question and model: what was asked, expected, answered, compared and scored."""
    metrics = list(dict.fromkeys(name for task in view.all_tasks for name in task.metrics))
    header: list[str] = ["task", "sample_id", "document_id", *_METADATA, "question", "references"]
    header += ["model", "level", "mistake", *SAMPLES, "latency_s", *metrics]
    if view.perturbed.tasks:
        header += ["clean_task", "perturbation", "severity"]
    return _csv(header, _sample_rows(view, metrics))


_METADATA = ("language", "doc_type", "field")


def _sample_rows(view: ReportView, metrics: Sequence[str]) -> Iterable[list[Any]]:
    for sample in view.all_samples:
        own, task = sample.sample, view.all_tasks[sample.task]
        condition = _condition(task) if view.perturbed.tasks else []
        question: list[Any] = [task.key, own.id, own.document_id]
        question += [own.metadata.get(key) for key in _METADATA]
        question += [own.question, " | ".join(reference_texts(own))]
        for i, row in enumerate(view.rows):
            answer = sample.answers[i]
            if answer is None:
                continue
            asked = answer.output is not None
            scores = [answer.scores.get(name) for name in metrics]
            yield [
                *question,
                *(row.key, sample.levels[i], answer.mistake if asked else None),
                *(at(answer, path) for path in SAMPLES.values()),
                sample.latency[i],
                *(score.value if score is not None and asked else None for score in scores),
                *condition,
            ]


def _condition(task: TaskView) -> list[Any]:
    """Of which task the pages were perturbed, how, and how much."""
    if task.perturbation is None:
        return [None, None, None]
    return [task.clean_task, task.perturbation.kind, task.perturbation.severity]


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_cell(name) for name in header])
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return csv_cell(printable(clip(value, CELL_CHARACTERS), newlines=True))


def section_tables(sections: Sequence[Section]) -> dict[str, str]:
    """File name → CSV, for every table of every section."""
    return {
        f"{file_name(f'{section.id}-{table.id}')}.csv": table_csv(table)
        for section in sections
        if "csv" in section.outputs
        for table in tables(section, "csv")
    }


def table_csv(table: Table) -> str:
    """One table; a column with intervals has their ends in two more columns."""
    columns = columns_of(table, "csv")
    with_interval = {
        column.key
        for column in columns
        if any(cell_of(row, column).interval is not None for row in table.rows)
    }
    groups = any(row.group for row in table.rows)
    header = ["group"] if groups else []
    for column in columns:
        header.append(column.key)
        if column.key in with_interval:
            header += [f"{column.key} low", f"{column.key} high"]
    lines = []
    for row in table.rows:
        line: list[Any] = [row.group] if groups else []
        for column in columns:
            cell = cell_of(row, column)
            line.append(cell.value)
            if column.key in with_interval:
                line += cell.interval or (None, None)
        lines.append(line)
    return _csv(header, lines)


def report_json(view: ReportView, sections: Sequence[Section]) -> str:
    """The view and the sections, without the samples, which are in ``samples.csv``."""
    fields = {
        field.name: getattr(view, field.name)
        for field in dataclasses.fields(view)
        if field.name not in {"samples", "perturbed", "previews", "repeated"}
    }
    fields["robustness"] = view.perturbed.robustness
    # Where the run lay on one machine is nobody's business on another.
    fields["runs"] = [
        {key: value for key, value in _plain(run).items() if key != "path"} for run in view.runs
    ]
    fields["sections"] = [
        {
            "id": section.id,
            "title": section.title,
            "blocks": [_block(block) for block in seen(section.blocks, "json")],
        }
        for section in sections
        if "json" in section.outputs
    ]
    return _lines(fields)


def _lines(fields: Mapping[str, Any]) -> str:
    """JSON with a line for each key and each item: a third of the size of an indented one."""

    def dumped(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False)

    lines = []
    for key, value in fields.items():
        text = dumped(value)
        if isinstance(value, list | tuple) and value:
            text = "[\n  " + ",\n  ".join(map(dumped, value)) + "\n]"
        lines.append(f"{dumped(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _block(block: Block) -> dict[str, Any]:
    """A block with the name of its kind; what has its default value is left out."""
    kind = type(block).__name__.lower()
    if isinstance(block, Group):
        inside = [_block(part) for part in seen(block.blocks, "json")]
        return {"block": kind, "title": block.title, "blocks": inside}
    return {"block": kind, **_spoken(block)}


LOOKS = (
    {"outputs", "layout", "kind", "short", "grave", "quiet_caption", "state", "filter", "link"}
    | {"hover", "details", "heat", "few", "mark", "linked"}
    | {"evidence", "budget", "first_view"}
    | {"merged", "divided", "picture", "priority", "intervals", "interval_priority"}
)
"""Fields of blocks and rows, of cells, and of columns that say how something looks or what it leads to, which
is nothing to a program."""


def _spoken(value: Any) -> Any:
    """Data without its looks, and without what is only said by default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _spoken(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name not in LOOKS and not _is_nothing(getattr(value, field.name))
        }
    if isinstance(value, Mapping):
        return {key: _spoken(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spoken(item) for item in value]
    return value


def _is_nothing(value: Any) -> bool:
    """Whether a field says nothing; a zero says something."""
    return value is None or value is False or value in ("", (), {})


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")

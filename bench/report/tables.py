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
from bench.report.samples import raw_text
from bench.report.section import Block, Group, Section, Table, seen, tables
from bench.report.sections import make_sections
from bench.report.views import MEMORY_KINDS, ModelRow, ReportView, SingleStream
from bench.text import clip, csv_cell, file_name, printable

CELL_CHARACTERS = 32_000
"""A spreadsheet cell holds 32,767 characters."""


def leaderboard_csv(view: ReportView) -> str:
    """One line a model; seconds and bytes, no rounding."""
    header = [
        *(
            "rank",
            "model",
            "run",
            "state",
            "score",
            "low",
            "high",
            "n",
            "documents",
            "asked",
            "samples",
        ),
        *("failed", "degraded"),
        *("questions_per_second", "pages_per_second", "generated_tokens_per_second"),
        *("questions_per_page", "page_reuse", "energy_joules_per_question"),
        *("latency_n", "latency_p50_s", "latency_p90_s", "latency_p95_s", "latency_p99_s"),
        *("warm_latency_p50_s", "first_token_p50_s", "first_token_p95_s", "warm_first_token_p50_s"),
        "decode_tokens_per_second",
        *(
            "memory_kind",
            "memory_peak_bytes",
            *(f"memory_{kind}_bytes" for kind in MEMORY_KINDS),
            "load_s",
            "first_call_s",
            "parameters",
            "hardware",
            "reason",
        ),
        *(f"{task.key}:{task.headline}" for task in view.tasks),
        *(f"{task.key}:equivalent" for task in view.tasks),
    ]
    return _csv(header, (_leaderboard_row(view, row) for row in view.rows))


def _leaderboard_row(view: ReportView, row: ModelRow) -> list[Any]:
    facts, score = row.facts, row.score
    rate, latency, memory = facts.throughput, facts.latency, facts.memory
    tasks = [row.tasks.get(task.key) for task in view.tasks]
    return [
        *(row.rank, row.key, row.run, row.state),
        *((score.value, score.low, score.high, score.n, score.clusters) if score else [None] * 5),
        *(row.asked, row.samples, row.failed, sum(row.degraded.values())),
        *(
            (rate.questions_per_second, rate.pages_per_second, rate.tokens_per_second)
            if rate is not None
            else [None] * 3
        ),
        rate.questions_per_page if rate is not None else None,
        row.page_reuse or None,
        facts.energy.joules_per_question if facts.energy is not None else None,
        *(
            (latency.n, latency.p50, latency.p90, latency.p95, latency.p99)
            if latency is not None
            else [None] * 5
        ),
        *_alone(facts.single_stream),
        *((memory.kind, memory.bytes) if memory is not None else [None] * 2),
        *(memory.peaks.get(kind) if memory is not None else None for kind in MEMORY_KINDS),
        *(facts.load_seconds, facts.first_call_seconds, row.parameters, row.hardware),
        row.failure.message if row.failure is not None else None,
        *(t.estimate.value if t is not None and t.asked > 0 else None for t in tasks),
        *(
            t.equivalent.value if t is not None and t.asked > 0 and t.equivalent else None
            for t in tasks
        ),
    ]


def _alone(alone: SingleStream | None) -> list[float | None]:
    if alone is None:
        return [None] * 5
    first = alone.first_token
    return [
        alone.warm.p50 if alone.warm is not None else None,
        first.p50 if first is not None else None,
        first.p95 if first is not None else None,
        alone.warm_first_token.p50 if alone.warm_first_token is not None else None,
        alone.tokens_per_second,
    ]


def samples_csv(view: ReportView) -> str:
    """One line a question and model: what was asked, expected, answered, compared and scored."""
    metrics = list(dict.fromkeys(name for task in view.tasks for name in task.metrics))
    header = [
        *(
            "task",
            "sample_id",
            "document_id",
            "language",
            "doc_type",
            "field",
            "question",
            "references",
        ),
        *(
            "model",
            "level",
            "mistake",
            "text",
            "extracted",
            "stop_reason",
            "error",
            "generated_tokens",
            "confidence",
            "min_confidence",
            "degraded",
        ),
        *("latency_s", *metrics),
    ]
    return _csv(header, _sample_rows(view, metrics))


def _sample_rows(view: ReportView, metrics: Sequence[str]) -> Iterable[list[Any]]:
    for sample in view.samples:
        own = sample.sample
        head = [
            *(view.tasks[sample.task].key, own.id, own.document_id),
            *(own.metadata.get(key) for key in ("language", "doc_type", "field")),
            own.question,
            " | ".join(raw_text(reference) for reference in own.references),
        ]
        for i, row in enumerate(view.rows):
            answer = sample.answers[i]
            if answer is None:
                continue
            output = answer.output
            scores = [answer.scores.get(name) for name in metrics]
            yield [
                *(*head, row.key, sample.levels[i]),
                answer.mistake if output is not None else None,
                output.text if output is not None else None,
                answer.extracted,
                output.stop_reason if output is not None else None,
                output.error if output is not None else None,
                output.generated_tokens if output is not None else None,
                output.confidence if output is not None else None,
                output.min_confidence if output is not None else None,
                output.degraded if output is not None else None,
                sample.latency[i],
                *(s.value if s is not None and output is not None else None for s in scores),
            ]


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


def report_json(view: ReportView, sections: Sequence[Section] | None = None) -> str:
    """The view and the sections, without the samples, which are in ``samples.csv``."""
    sections = make_sections(view) if sections is None else sections
    fields = {
        field.name: getattr(view, field.name)
        for field in dataclasses.fields(view)
        if field.name not in {"samples", "previews"}
    }
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
    return json.dumps(fields, ensure_ascii=False, indent=2, default=_plain, allow_nan=False) + "\n"


def _block(block: Block) -> dict[str, Any]:
    """A block with the name of its kind; what has its default value is left out."""
    kind = type(block).__name__.lower()
    if isinstance(block, Group):
        inside = [_block(part) for part in seen(block.blocks, "json")]
        return {"block": kind, "title": block.title, "blocks": inside}
    return {"block": kind, **_spoken(block)}


LOOKS = frozenset(
    {
        *(
            "outputs",
            "layout",
            "short",
            "grave",
            "quiet_caption",
            "hover",
            "details",
            "heat",
            "few",
        ),
        *("linked", "merged", "divided", "picture", "priority", "intervals", "interval_priority"),
    }
)
"""Fields of the nouns that say how something looks, which is nothing to a program."""


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

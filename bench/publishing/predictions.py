"""A run's answers as files that anybody can score: ``<task>/<model>.jsonl`` and a manifest.

A line is what ``bench score FILE --task T`` reads, with what was asked beside it. The manifest names the run,
the settings, the versions and the sha256 of every file. Paths, addresses and options are left out,
and so are references and pages if the licence of the task does not let anybody pass them on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.files import write_bytes_atomically, write_json
from bench.formatting import plural
from bench.parsing import Unreadable, read_bytes
from bench.publishing.described import (
    check_new,
    full_prompts,
    harness_of,
    prompt_sources,
    protocol_of,
    restrictions,
    settings_of,
    source_of,
    unique_names,
    versions_of,
)
from bench.publishing.licences import may_be_shared
from bench.report.facts import error_class
from bench.report.records import number, text
from bench.schema import Page, Task
from bench.scoring.answers import Answer
from bench.scoring.evaluation import Cell, Evaluation
from bench.tasks.pages import PAGE_SUFFIXES
from bench.text import csv_cell, one_line

FORMAT = "docvlm-bench predictions"
VERSION = 1
"""Raised when a reader of an older file would misread a newer one."""
MANIFEST = "manifest.json"
FORMATS = ("jsonl", "csv")
PAGES = "pages"

_MAX_PAGE_BYTES = 512 * 2**20
_COUNTS = ("prompt_tokens", "visual_tokens", "generated_tokens")
_PROBABILITIES = ("confidence", "min_confidence")


class Exported(NamedTuple):
    """What was written, and what was not, in words."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


class _Table(NamedTuple):
    """The answers of one model to one task."""

    path: PurePosixPath
    """From the folder of the export."""
    model: str
    task: str
    rows: int
    data: bytes


def export_predictions(
    evaluation: Evaluation,
    out: Path,
    *,
    formats: Sequence[str] = ("jsonl",),
    references: bool = False,
    pages: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write the answers of every model of ``evaluation`` into ``out``; the manifest comes last.

    Args:
        evaluation: the scored run.
        out: a folder; it is made.
        formats: of ``FORMATS``.
        references: whether references are written also where the licence is not known to allow it.
        pages: whether pages are copied where the licence allows it.
        overwrite: whether files that exist may be replaced.

    Raises:
        InvalidInput: a file exists, or the run is damaged.
        EnvironmentProblem: ``out`` cannot be written.
    """
    with_references = {
        name: references or may_be_shared(task.license) for name, task in evaluation.tasks.items()
    }
    left_out = [
        f"references of {name}: {_why_not(task)}"
        for name, task in evaluation.tasks.items()
        if not with_references[name]
    ]
    tables = list(_tables(evaluation, formats, with_references))
    left_out += _not_asked(evaluation)
    page_files: Mapping[PurePosixPath, Page] = {}
    if pages:
        page_files, refused = _page_files(evaluation.tasks.values())
        left_out += refused
    planned = [PurePosixPath(MANIFEST), *(table.path for table in tables), *page_files]
    check_new([out / path for path in planned], overwrite=overwrite)
    copied = [path for path, page in page_files.items() if _copy(page, out / path)]
    if missing := len(page_files) - len(copied):
        left_out.append(f"{plural(missing, 'page file')}: not on this machine any more")
    for table in tables:
        write_bytes_atomically(out / table.path, table.data)
    write_json(out / MANIFEST, _manifest(evaluation, tables, copied, left_out))
    written = [*(table.path for table in tables), *copied, PurePosixPath(MANIFEST)]
    return Exported(tuple(out / path for path in written), tuple(left_out))


def _why_not(task: Task) -> str:
    stated = one_line(task.license, 120)
    if not stated:
        return "the task states no licence"
    return f"its licence is not known to let anybody pass them on ({stated})"


def _tables(
    evaluation: Evaluation,
    formats: Sequence[str],
    with_references: Mapping[str, bool],
) -> Iterator[_Table]:
    # The name of a file is the model's, as bench score takes it.
    folders, files = unique_names(list(evaluation.tasks)), unique_names(evaluation.models)
    for (model, task), cell in evaluation.cells.items():
        rows = list(_rows(evaluation, cell, with_references[task]))
        for name in formats:
            data = _jsonl(rows) if name == "jsonl" else _csv(rows)
            path = PurePosixPath(folders[task], f"{files[model]}.{name}")
            yield _Table(path, model, task, len(rows), data)


def _not_asked(evaluation: Evaluation) -> list[str]:
    """How many questions each model was not asked, in words."""
    counts = {key: len(cell.answers) - cell.asked for key, cell in evaluation.cells.items()}
    return [
        f"{plural(count, 'question')} of {task}: {model} was not asked them"
        for (model, task), count in counts.items()
        if count
    ]


def _rows(evaluation: Evaluation, cell: Cell, references: bool) -> Iterator[dict[str, Any]]:
    prompts = full_prompts(evaluation.run, cell.model, cell.task)
    for answer in cell.answers:
        if answer.output is not None:
            yield _row(cell, answer, prompts[answer.sample.id], references)


def _row(cell: Cell, answer: Answer, prompt: str, references: bool) -> dict[str, Any]:
    sample, output, perturbed = answer.sample, answer.output, cell.task.perturbation
    assert output is not None
    row: dict[str, Any] = {
        "sample_id": sample.id,
        "text": output.text,
        "perturbation": None if perturbed is None else perturbed.label,
        "stop_reason": output.stop_reason,
        # The message of an error may hold a path or an address; its class does not.
        "error": error_class(output.error) if answer.failed else None,
        "question": sample.question,
        "prompt": prompt,
        "references": list(sample.references) if references else None,
        "answer": answer.extracted,
        "scores": {name: number(scored.value) for name, scored in answer.scores.items()},
        "pages": [page.key for page in cell.task.documents[sample.document_id].pages],
        "metadata": dict(sample.metadata),
        **{name: getattr(output, name) for name in _COUNTS},
        **{name: number(getattr(output, name)) for name in _PROBABILITIES},
        "shrunk_to_pixels": output.degraded,
    }
    return {key: value for key, value in row.items() if value is not None}


def _jsonl(rows: Sequence[Mapping[str, Any]]) -> bytes:
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    # A lone surrogate in a model's text is not valid UTF-8; its escaped form is, and stays JSON.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_csv_value(row.get(column)) for column in columns])
    return stream.getvalue().encode("utf-8-sig", "backslashreplace")


def _csv_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # No spreadsheet takes it for a formula, and none of them knows a null character.
        return csv_cell(value.replace("\0", "\ufffd"))
    return json.dumps(value, ensure_ascii=False)


# Pages


def _page_files(tasks: Iterable[Task]) -> tuple[dict[PurePosixPath, Page], list[str]]:
    """File of the export → a page in it, for every page that may be passed on; and which may not, and why.

    Raises:
        InvalidInput: no licence does.
    """
    files: dict[PurePosixPath, Page] = {}
    refused = []
    for task in tasks:
        if not may_be_shared(task.license):
            refused.append(f"pages of {task.name}: {_why_not(task)}")
            continue
        for document in task.documents.values():
            for page in document.pages:
                suffix = page.path.suffix.lower()
                # The path is what the run says, and a run directory may come from somebody else.
                if suffix in PAGE_SUFFIXES:
                    files[PurePosixPath(PAGES, f"{page.sha256[:16]}{suffix}")] = page
    if refused and not files:
        raise InvalidInput(f"--pages: {refused[0]}", hint="leave out --pages")
    return files, refused


def _copy(page: Page, path: Path) -> bool:
    """Copy the file of a page, if it is here and has the bytes that the models saw."""
    try:
        data = read_bytes(page.path, _MAX_PAGE_BYTES)
    except Unreadable:
        return False
    if hashlib.sha256(data).hexdigest() != page.sha256:
        return False
    write_bytes_atomically(path, data)
    return True


# The manifest


def _manifest(
    evaluation: Evaluation,
    tables: Sequence[_Table],
    copied: Sequence[PurePosixPath],
    left_out: Sequence[str],
) -> dict[str, Any]:
    run = evaluation.run
    return {
        "format": FORMAT,
        "version": VERSION,
        "run": run.id,
        "run_identity": text(run.record.get("spec_id")),
        "started": text(run.record.get("started")),
        "harness": harness_of(run),
        "packages": versions_of(run),
        "protocol": protocol_of(run),
        "models": [
            {"name": name, "settings": settings_of(run, name)} for name in evaluation.models
        ],
        "tasks": [_task(evaluation, task) for task in evaluation.tasks.values()],
        "files": [
            {
                "path": str(table.path),
                "model": table.model,
                "task": table.task,
                "rows": table.rows,
                "restrictions": restrictions(run, evaluation.cells[table.model, table.task]),
                "sha256": hashlib.sha256(table.data).hexdigest(),
            }
            for table in tables
        ],
        # Each is named by the beginning of its sha256, as the pages of an answer are.
        "pages": [str(path) for path in copied],
        "left_out": list(left_out),
    }


def _task(evaluation: Evaluation, task: Task) -> dict[str, Any]:
    sources = {
        model: prompt_sources(evaluation.run, model, task) or ["task"]
        for model in evaluation.models
    }
    return {
        "name": task.name,
        "version": task.version,
        "title": task.title,
        "digest": task.digest,
        "license": task.license,
        "source": source_of(task),
        "citation": task.citation,
        "metrics": list(task.metrics),
        "prompt": task.prompt.template,
        "system": task.prompt.system,
        "prompts_from": sources,
        "max_new_tokens": task.generation.max_new_tokens,
        "stop": list(task.generation.stop),
        "questions": len(task.samples),
        "documents": len(task.documents),
    }

"""Lets a model draft answers for a person to correct: ``bench data annotate``.

Only questions without an answer are asked, so that a second model fills what the first one left open. What a
model answers is marked as a draft, and no score uses it until a person accepts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.authoring.drafts import is_open, read_records, record_files, write_records
from bench.authoring.starter import start_task
from bench.errors import BenchError, InvalidInput
from bench.json_schemas.questions import question_from
from bench.metrics.extract import extract
from bench.metrics.metric import as_json
from bench.models import make_model
from bench.models.model import Model, ModelGone, closing
from bench.schema import Document, Json, ModelSpec, Output, Page, PageGroup, Request
from bench.tasks.loading import documents_root
from bench.tasks.pagefiles import page_path
from bench.tasks.pages import read_pages
from bench.tasks.schemas import TaskSchemas
from bench.tasks.taskfile import TASK_FILE, TaskFile, check_task_file, has_task_file
from bench.text import shell_word

Progress = Callable[[int, int], None]
"""Called with the number of documents done and the number of all."""

_Record = dict[str, Any]


class Annotated(NamedTuple):
    """What ``annotate`` did."""

    documents: int
    """Documents that the model was asked about."""
    drafted: int
    """Questions that have a draft answer now."""
    failed: tuple[str, ...]
    """``document: reason`` of each question that the model could not answer."""
    empty: int = 0
    """Questions that the model answered with nothing; they stay open."""


def annotate(folder: Path, model: ModelSpec, progress: Progress | None = None) -> Annotated:
    """Ask ``model`` every question of the folder's drafts that has no answer yet, and save its answers.

    Documents without any line first get the questions that the other documents have. The file is written
    after each document, so that an interruption loses the answers of one document. Lines that somebody
    changes meanwhile stay as they are then.

    Raises:
        InvalidInput: the folder does not exist, holds no documents, or its samples cannot be read.
        EnvironmentProblem: the model cannot be loaded.
    """
    start_task(folder)
    spec = _task_file(folder)
    schemas = TaskSchemas(folder, spec.json_schema)
    unanswered = _unanswered(read_records(folder), spec, schemas)
    if not unanswered:
        return Annotated(0, 0, ())
    backend = make_model(model)
    with closing(backend):
        backend.load()
        return _draft(backend, model.name, folder, spec, schemas, unanswered, progress)


def _draft(
    backend: Model,
    name: str,
    folder: Path,
    spec: TaskFile,
    schemas: TaskSchemas,
    unanswered: dict[tuple[str, ...], list[_Record]],
    progress: Progress | None,
) -> Annotated:
    """Ask ``backend`` the ``unanswered`` drafts, and write its answers after each document."""
    drafted = empty = 0
    failed: list[str] = []
    for done, (files, lines) in enumerate(unanswered.items(), 1):
        outputs: list[Output] = []
        try:
            outputs = _ask(backend, folder, spec, schemas, files, lines)
        except ModelGone:
            raise
        except BenchError as error:
            failed.append(f"{'+'.join(files)}: {error.message}")
        answered: list[tuple[_Record, _Record]] = []
        for record, output in zip(lines, outputs, strict=False):
            if output.error is not None:
                failed.append(f"{record.get('id')}: {output.error}")
                continue
            if not output.text.strip():
                answered.append((record, {**record, "answers": []}))
                empty += 1
                continue
            metadata = {**(record.get("metadata") or {}), "drafted_by": name}
            reference = _reference(output.text, record, spec)
            answered.append((record, {**record, "answers": [reference], "metadata": metadata}))
            drafted += 1
        _replace(folder, answered)
        if progress is not None:
            progress(done, len(unanswered))
    return Annotated(len(unanswered), drafted, tuple(failed), empty)


def _replace(folder: Path, answered: Sequence[tuple[_Record, _Record]]) -> None:
    """Put each second line in place of the first, in the file as it is now.

    A model may be at work for hours, and meanwhile a person corrects its drafts, or another model answers.
    """
    records = read_records(folder)
    for number, record in enumerate(records):
        if is_open(record):
            records[number] = next((new for old, new in answered if old == record), record)
    write_records(folder, records)


def _task_file(folder: Path) -> TaskFile:
    if not has_task_file(folder):
        return TaskFile()
    spec, problems = check_task_file(folder / TASK_FILE)
    if problems:
        raise InvalidInput(
            str(problems[0].inside(folder)), hint=f"bench data validate {shell_word(folder)}"
        )
    return spec


def _unanswered(
    records: list[_Record], spec: TaskFile, schemas: TaskSchemas
) -> dict[tuple[str, ...], list[_Record]]:
    """Return page files → the drafts about them that have a question and no answer."""
    by_files: dict[tuple[str, ...], list[_Record]] = {}
    for record in records:
        if is_open(record) and _question_of(record, spec, schemas):
            by_files.setdefault(record_files(record), []).append(record)
    return by_files


def _ask(
    backend: Model,
    folder: Path,
    spec: TaskFile,
    schemas: TaskSchemas,
    files: tuple[str, ...],
    lines: list[_Record],
) -> list[Output]:
    root = documents_root(folder, spec)
    pages: list[Page] = []
    for name in files:
        pages += read_pages(page_path(root, name), spec.pdf_dpi)
    if not pages:
        raise InvalidInput("the line names no pages")
    document = Document("+".join(files), tuple(pages))
    prompt = spec.prompt_template()
    outputs: list[Output] = []
    # One question at a time needs the least memory, and nobody waits for drafts.
    for number, record in enumerate(lines):
        schema = _schema_of(record, spec, schemas)
        question = _question_of(record, spec, schemas)
        request = Request(str(record.get("id", number)), question, prompt.render(question), schema)
        group = PageGroup(document, (request,), spec.decoding(), prompt.system)
        outputs += backend.generate([group]).outputs
    return outputs


def _question_of(record: _Record, spec: TaskFile, schemas: TaskSchemas) -> str:
    """Return the question of a line: its own, the task's, or the one that the schema makes; "" if none."""
    question = record.get("question") or spec.question
    schema = _schema_of(record, spec, schemas)
    if question is None and schema is not None:
        return question_from(schema, (record.get("metadata") or {}).get("language"))
    return question if isinstance(question, str) else ""


def _schema_of(record: _Record, spec: TaskFile, schemas: TaskSchemas) -> Json:
    """Return the schema of the answer that a line asks for; None if there is none."""
    if record.get("schema") is not None:
        return schemas.read(record["schema"])
    return schemas.own if record.get("answer_type", spec.answer_type) == "json" else None


def _reference(text: str, record: _Record, spec: TaskFile) -> Any:
    """Return the answer as a reference: an object where the answers of the task are objects."""
    if record.get("schema") is None and record.get("answer_type", spec.answer_type) != "json":
        return text.strip()
    try:
        return as_json(extract(text, "json").answer)
    except ValueError:
        return text.strip()

"""Draft answers by a model, for a person to correct: ``bench data annotate``.

Only questions without an answer are asked, and what the model says is marked as a draft, which no score
uses until a person accepts it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.authoring.drafts import has_answers, is_draft, read_records, record_files, write_records
from bench.authoring.starter import start_task
from bench.errors import BenchError, InvalidInput
from bench.metrics.extract import extract
from bench.metrics.metric import as_json
from bench.models import make_model
from bench.models.model import Model
from bench.schema import Document, ModelSpec, Output, Page, PageGroup, Request
from bench.tasks.loading import documents_root
from bench.tasks.pages import read_pages
from bench.tasks.problems import Problem
from bench.tasks.taskfile import TaskFile, check_task_file
from bench.text import one_line

Progress = Callable[[int, int], None]
"""Called with documents done and documents in all."""


class Annotated(NamedTuple):
    """What ``annotate`` did."""

    documents: int
    """Documents that were asked about."""
    drafted: int
    """Questions that have a draft answer now."""
    failed: tuple[str, ...]
    """``document: reason`` of what could not be answered."""


def annotate(folder: Path, model: ModelSpec, progress: Progress | None = None) -> Annotated:
    """Ask ``model`` every question of the folder's drafts that has no answer yet, and write it down.

    Documents without any line get the questions that the others have, first. The file is written after
    each document, so that an interruption loses one.

    Raises:
        InvalidInput: no folder, no documents, or samples that cannot be read.
        EnvironmentProblem: the model cannot be loaded.
    """
    start_task(folder)
    spec = TaskFile()
    problems: list[Problem] = []
    if (folder / "task.toml").is_file():
        spec, problems = check_task_file(folder / "task.toml")
    if problems:
        raise InvalidInput(
            str(problems[0]._replace(file=str(folder / "task.toml"))),
            hint=f"bench data validate {one_line(str(folder))}",
        )
    records = read_records(folder)
    waiting: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in records:
        question = record.get("question")
        if is_draft(record) and not has_answers(record) and isinstance(question, str) and question:
            waiting.setdefault(record_files(record), []).append(record)
    if not waiting:
        return Annotated(0, 0, ())
    backend = make_model(model)
    backend.load()
    drafted, failed = 0, []
    for done, (files, lines) in enumerate(waiting.items(), 1):
        try:
            outputs = _ask(backend, folder, spec, files, lines)
        except BenchError as error:
            failed.append(f"{'+'.join(files)}: {error.message}")
            outputs = []
        for record, output in zip(lines, outputs, strict=False):
            if output.error is not None:
                failed.append(f"{record.get('id')}: {output.error}")
                continue
            record["answers"] = [_answer(output.text, record, spec)]
            record["metadata"] = {**(record.get("metadata") or {}), "drafted_by": model.name}
            drafted += 1
        write_records(folder, records)
        if progress is not None:
            progress(done, len(waiting))
    return Annotated(len(waiting), drafted, tuple(failed))


def _ask(
    backend: Model,
    folder: Path,
    spec: TaskFile,
    files: tuple[str, ...],
    lines: list[dict[str, Any]],
) -> list[Output]:
    root = documents_root(folder, spec)
    pages: list[Page] = []
    for name in files:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise InvalidInput(f"page path {one_line(name, 80)!r} leaves the folder {root}")
        pages += read_pages(path, spec.pdf_dpi)
    if not pages:
        raise InvalidInput("names no pages")
    prompt, document = spec.prompt_template(), Document("+".join(files), tuple(pages))
    outputs: list[Output] = []
    # One question at a time: it needs the least memory, and nobody waits for drafts.
    for number, record in enumerate(lines):
        question = str(record["question"])
        request = Request(str(record.get("id", number)), question, prompt.render(question))
        group = PageGroup(document, (request,), spec.decoding(), prompt.system)
        outputs += backend.generate([group]).outputs
    return outputs


def _answer(text: str, record: dict[str, Any], spec: TaskFile) -> Any:
    """The answer as a reference: an object where the task's answers are objects."""
    if record.get("answer_type", spec.answer_type) != "json":
        return text.strip()
    extracted = extract(text, "json").answer
    try:
        return as_json(extracted)
    except ValueError:
        return text.strip()

"""Loads a task from its folder: checks all of it, and reads the sizes of its pages.

A task is a folder with ``task.toml`` and ``samples.jsonl`` (or ``samples.csv``). A folder of page images or
PDFs with a samples file beside them is a task too; defaults stand in for the ``task.toml``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.errors import InvalidInput, did_you_mean
from bench.formatting import plural
from bench.metrics import METRICS
from bench.paths import data_root
from bench.schema import Document, Page, Sample, Task
from bench.tasks.cache import MARKER, provenance
from bench.tasks.hyperbench import read_dataset
from bench.tasks.page_benchmarks import read_benchmark
from bench.tasks.pagefiles import page_path
from bench.tasks.pages import open_page, read_pages, unreadable_page
from bench.tasks.problems import Problem, error_of
from bench.tasks.samples import (
    NO_SAMPLES,
    SAMPLE_FILES,
    SampleRow,
    SampleTable,
    TaskSource,
    read_samples,
    samples_file,
)
from bench.tasks.schemas import TaskSchemas
from bench.tasks.taskfile import (
    DEFAULT_METRICS,
    SCHEMA_METRICS,
    TASK_FILE,
    TaskFile,
    check_task_file,
    has_task_file,
)
from bench.text import file_name, one_line, shell_word

BUNDLED_DOCUMENTS = "example_docs"

NO_SCHEMA = "The schema cannot be read."
"""Stands for the questions of a task while the schema that makes them has a problem."""

_LOG = logging.getLogger(__name__)

_SUGGESTIONS = 20
"""Names of pages that were not found for which the nearest names are looked for: it takes far longer."""

PagesByFile = Mapping[str, tuple[Page, ...]]
"""Name of a page file, as the samples write it → its pages."""


@dataclass(frozen=True, slots=True)
class CheckedTask:
    """A task folder, read to its end: the task if nothing is wrong, and everything that is."""

    task: Task | None
    problems: list[Problem]
    notes: list[Problem] = field(default_factory=list)
    """What a person should know although nothing is wrong."""
    spec: TaskFile = field(default_factory=TaskFile)
    rows: Sequence[SampleRow] = ()
    root: Path = Path()
    """The folder that the names of page files count from."""
    pages: PagesByFile = field(default_factory=dict)

    def require_task(self, folder: Path) -> Task:
        """Return the task.

        Raises:
            InvalidInput: something is wrong. The error names the first problem and how many there are.
        """
        if self.task is None or self.problems:
            hint = f"bench data validate {shell_word(folder)}"
            raise error_of(self.problems, folder.name, hint=hint)
        return self.task


def load_task(folder: Path, *, allow_unreadable: bool = False) -> Task:
    """Load the task in ``folder``, complete and checked; its notes are logged as warnings.

    Args:
        folder: as ``find_task`` returns it.
        allow_unreadable: keep samples whose page file is broken. Their questions fail, which is recorded.

    Raises:
        InvalidInput: something is wrong. The error names the first problem and how many there are.
    """
    checked = check_task(folder, allow_unreadable=allow_unreadable)
    task = checked.require_task(folder)
    for note in checked.notes:
        _LOG.warning("note: %s", one_line(note, 300))
    return task


def check_task(folder: Path, *, allow_unreadable: bool = False, deep: bool = False) -> CheckedTask:
    """Read a whole task folder once, and collect every problem in it.

    Args:
        folder: holds the task.
        allow_unreadable: keep samples whose page file is broken.
        deep: decode every page as well, not only its header.
    """
    source, problems = _read_source(folder)
    source = source._replace(spec=_with_metrics_for_all(source.spec, source.samples))
    folder, spec, samples = source
    _check_answer_types(spec, samples)
    notes = [note.inside(folder) for note in [*samples.notes, *_blank_ends(samples)]]
    try:
        root = documents_root(folder, spec)
    except InvalidInput as error:
        # Without the folder every page would be missing: one problem stands for all of those.
        problems += [Problem.of(error, TASK_FILE), *samples.problems]
        return CheckedTask(None, [problem.inside(folder) for problem in problems], notes)
    pages, page_problems = _read_pages(samples, root, spec.pdf_dpi, allow_unreadable)
    if deep:
        page_problems += _undecodable_pages(samples, pages)
    problems += sorted(samples.problems + page_problems, key=lambda problem: problem.line)
    return CheckedTask(
        task=None if problems else _assemble(source, pages),
        problems=[problem.inside(folder) for problem in problems],
        notes=notes,
        spec=spec,
        rows=samples.rows,
        root=root,
        pages=pages,
    )


def _read_source(folder: Path) -> tuple[TaskSource, list[Problem]]:
    """Read the task file and the samples of ``folder``; the problems are those of the task file."""
    spec = TaskFile()
    problems: list[Problem] = []
    is_described = has_task_file(folder)
    if is_described:
        spec, problems = check_task_file(folder / TASK_FILE)
        problems += _metric_problems(spec)
    path = samples_file(folder)
    foreign = read_dataset(folder) or read_benchmark(folder) if path is None else None
    if foreign is not None:
        source = foreign._replace(spec=spec) if is_described else foreign
    elif path is not None:
        schemas, schema_problems = _schemas(folder, spec)
        problems += schema_problems
        # Without its schema no line would have a question: one problem stands for all of those.
        question = NO_SCHEMA if schema_problems else spec.question
        samples = read_samples(
            path, spec.answer_type, spec.encoding, schemas=schemas, question=question
        )
        for other in SAMPLE_FILES:
            if other != path.name and (folder / other).exists():
                samples.add_note(f"{other} lies beside it and is not read; keep one of the two")
        source = TaskSource(folder, spec, samples)
    else:
        nothing = SampleTable(".")
        nothing.add_problem(f"the folder {NO_SAMPLES}")
        return TaskSource(folder, spec, nothing), problems
    if spec.dataset is not None and not (folder / MARKER).is_file():
        message = "the file has a [dataset], but samples lie beside it; remove one of the two"
        problems.append(Problem(TASK_FILE, 0, message))
    return source, problems


def _schemas(folder: Path, spec: TaskFile) -> tuple[TaskSchemas, list[Problem]]:
    """Read the task's own JSON Schema, if it has one; without a valid one there is none."""
    try:
        return TaskSchemas(folder, spec.json_schema), []
    except InvalidInput as error:
        return TaskSchemas(folder), [Problem.of(error, TASK_FILE)]


def _blank_ends(samples: SampleTable) -> list[Problem]:
    """Note the references that begin or end with blanks, which nobody sees in a table."""
    lines = [
        row.line
        for row in samples.rows
        if any(isinstance(text, str) and text != text.strip() for text in row.references)
    ]
    if not lines:
        return []
    shown = ", ".join(map(str, lines[:10])) + (", …" if len(lines) > 10 else "")
    references = "has a reference" if len(lines) == 1 else "have references"
    message = (
        f"{plural(len(lines), 'line')} {references} with blanks at the ends: "
        f"{'line' if len(lines) == 1 else 'lines'} {shown}; strict metrics count blanks, so remove them"
    )
    return [Problem(samples.file, 0, message)]


def _metric_problems(spec: TaskFile) -> list[Problem]:
    messages = []
    for name in spec.metrics:
        if name not in METRICS:
            messages.append(f"there is no metric {name!r}; {did_you_mean(name, METRICS)}")
        elif spec.answer_type not in METRICS[name].answer_types:
            messages.append(f"metric {name} cannot score {spec.answer_type} answers")
    return [Problem(TASK_FILE, 0, message) for message in messages]


def _with_metrics_for_all(spec: TaskFile, samples: SampleTable) -> TaskFile:
    """Return ``spec``; where it names no metrics and its samples differ in type, with those that fit all.

    One task has one headline, so a text among objects is scored by a metric that knows both.
    """
    types = {row.answer_type for row in samples.rows}
    if not spec.metrics and samples.rows and all(row.json_schema for row in samples.rows):
        return spec.model_copy(update={"metrics": list(SCHEMA_METRICS)})
    if spec.metrics or types <= {spec.answer_type}:
        return spec
    candidates = dict.fromkeys(name for kind in DEFAULT_METRICS for name in DEFAULT_METRICS[kind])
    fitting = [name for name in candidates if types <= METRICS[name].answer_types]
    return spec.model_copy(update={"metrics": fitting})


def _check_answer_types(spec: TaskFile, samples: SampleTable) -> None:
    """Note every sample whose own answer type a metric of the task cannot score.

    Otherwise all questions would be asked, and then no score could be computed.
    """
    for row in samples.rows:
        if row.answer_type == spec.answer_type:
            continue
        unfit = [
            name
            for name in spec.headline_first_metrics()
            if name in METRICS and row.answer_type not in METRICS[name].answer_types
        ]
        if unfit:
            samples.add_problem(
                f"answer_type is {row.answer_type}, which the metric {unfit[0]} of this task cannot score; "
                "name other metrics in task.toml, or put such samples into a task of their own",
                line=row.line,
            )


def documents_root(folder: Path, spec: TaskFile) -> Path:
    """Return the folder that the names of the task's page files count from, absolute.

    Raises:
        InvalidInput: the task names a folder that does not exist or lies outside it.
    """
    if spec.documents is None:
        return folder.resolve()
    own = (folder / spec.documents).resolve()
    # The bundled tasks share their pages, which lie outside the folder of each task.
    if spec.documents == BUNDLED_DOCUMENTS and not own.is_dir():
        return (data_root() / BUNDLED_DOCUMENTS).resolve()
    if not own.is_relative_to(folder.resolve()):
        raise InvalidInput(
            f"documents = {one_line(spec.documents, 80)!r} leaves the task folder",
            hint="put the pages into the task folder",
        )
    if not own.is_dir():
        raise InvalidInput(f"the documents folder {own} does not exist")
    return own


def _read_pages(
    samples: SampleTable, root: Path, dpi: int, allow_unreadable: bool
) -> tuple[dict[str, tuple[Page, ...]], list[Problem]]:
    """Read the pages of every file that a line names; each file is read once."""
    pages: dict[str, tuple[Page, ...]] = {}
    problems: list[Problem] = []
    for line, name in samples.page_files:
        if name in pages:
            continue
        pages[name] = ()
        path = None
        try:
            path = page_path(root, name, suggest=len(problems) < _SUGGESTIONS)
            pages[name] = read_pages(path, dpi)
        except InvalidInput as error:
            if allow_unreadable and path is not None and path.is_file():
                pages[name] = (unreadable_page(path, dpi),)
            else:
                problems.append(_page_problem(error, samples.file, line))
    return pages, problems


def _page_problem(error: InvalidInput, file: str, line: int) -> Problem:
    """Return what is wrong with a page; of the hints only a name that may be meant belongs to the line."""
    if error.hint is not None and error.hint.startswith("did you mean"):
        return Problem.of(error, file, line)
    return Problem(file, line, error.message)


def _undecodable_pages(samples: SampleTable, pages: PagesByFile) -> list[Problem]:
    """Name every file with pixels that cannot be decoded although its header is fine."""
    problems = []
    first_lines = {name: line for line, name in reversed(samples.page_files)}
    for name, line in first_lines.items():
        try:
            for page in pages[name]:
                open_page(page)
        except InvalidInput as error:
            problems.append(Problem(samples.file, line, error.message))
    return problems


def _assemble(source: TaskSource, pages: PagesByFile) -> Task:
    """Make the task of samples and pages without problems."""
    folder, spec, samples = source
    name = spec.name or folder.resolve().name
    stored = _names_as_stored(documents_root(folder, spec), pages)
    documents = {row.files: _document(row.files, pages, stored) for row in samples.rows}
    task = Task(
        name=file_name(name),
        version=spec.version,
        title=spec.title or name,
        documents={document.id: document for document in documents.values()},
        samples=tuple(_sample(row, documents[row.files].id) for row in samples.rows),
        metrics=spec.headline_first_metrics(),
        prompt=spec.prompt_template(),
        generation=spec.decoding(),
        source=provenance(folder) or spec.source,
        license=spec.license,
        citation=spec.citation,
    )
    return replace(task, digest=task_digest(task))


def _sample(row: SampleRow, document_id: str) -> Sample:
    return Sample(
        id=row.id,
        document_id=document_id,
        question=row.question,
        references=row.references,
        answer_type=row.answer_type,
        metadata=dict(row.metadata),
        json_schema=row.json_schema,
    )


def _names_as_stored(root: Path, pages: PagesByFile) -> dict[str, str]:
    """Return each name of a page file, as it stands or, where no file has it, as the file that it means.

    Otherwise ``p.png`` and ``P.PNG`` would be two documents with the same page.
    """
    stored = {}
    for name in pages:
        path = page_path(root, name)
        is_literal = path == Path(os.path.normpath(root / name))
        stored[name] = name if is_literal else path.relative_to(root).as_posix()
    return stored


def _document(files: tuple[str, ...], pages: PagesByFile, stored: Mapping[str, str]) -> Document:
    """Make the document of ``files``, named by them; of many files by the first, and a digest of all."""
    pages_in_order = tuple(page for name in files for page in pages[name])
    files = tuple(stored[name] for name in files)
    if len(files) <= 3:
        return Document("+".join(files), pages_in_order)
    digest = hashlib.sha256("\0".join(files).encode("utf-8", "surrogatepass")).hexdigest()
    return Document(f"{files[0]}+{len(files) - 1}-{digest[:12]}", pages_in_order)


def task_digest(task: Task) -> str:
    """Return the sha256 of all that an answer can depend on: questions, prompt, decoding, page contents."""
    # Runs are compared by this digest for years: what goes into it must not change.
    pages = {
        document.id: [(page.sha256, page.index, page.dpi) for page in document.pages]
        for document in task.documents.values()
    }
    samples = [
        [
            sample.id,
            sample.document_id,
            sample.question,
            list(sample.references),
            sample.answer_type,
            # A sample without a schema is what it was before there were any.
            *([] if sample.json_schema is None else [sample.json_schema]),
        ]
        for sample in task.samples
    ]
    content = [
        task.name,
        task.version,
        [task.prompt.template, task.prompt.system],
        [task.generation.max_new_tokens, list(task.generation.stop)],
        pages,
        samples,
    ]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

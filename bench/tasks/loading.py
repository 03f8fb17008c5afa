"""From a name or a path to a ``Task``: find it, check all of it, read the sizes of its pages.

A task is a folder with ``task.toml`` and ``samples.jsonl`` (or ``samples.csv``). Without a ``task.toml``
a folder of page images or PDFs with a samples file beside them is a task with sensible defaults.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bench.errors import EnvironmentProblem, InvalidInput, did_you_mean
from bench.paths import data_root
from bench.schema import Document, Page, Sample, Task
from bench.tasks import hyperbench_layout as hyperbench
from bench.tasks.cache import MARKER, find_made, make_from_path, provenance, refresh
from bench.tasks.pages import PAGE_SUFFIXES, open_page, read_pages
from bench.tasks.problems import Problem
from bench.tasks.samples import SampleRow, read_rows
from bench.tasks.taskfile import TaskFile, check_task_file
from bench.text import file_name, one_line

SAMPLE_FILES = ("samples.jsonl", "samples.csv")
BUNDLED_DOCUMENTS = "example_docs"

_LOG = logging.getLogger(__name__)


def bundled_tasks() -> dict[str, Path]:
    """Name → folder of every task whose documents come with the package."""
    return {name: folder for name, folder in _task_folders().items() if not needs_data(folder)}


def public_tasks() -> dict[str, Path]:
    """Name → folder of every published data set that the package knows and does not hold."""
    return {name: folder for name, folder in _task_folders().items() if needs_data(folder)}


def _task_folders() -> dict[str, Path]:
    root = data_root() / "tasks"
    if not root.is_dir():
        return {}
    return {p.name: p for p in sorted(root.iterdir()) if (p / "task.toml").is_file()}


def needs_data(folder: Path) -> bool:
    """Whether the task in ``folder`` describes a published data set whose rows lie elsewhere."""
    if not (folder / "task.toml").is_file() or _samples_file(folder) is not None:
        return False
    try:
        return "dataset" in tomllib.loads((folder / "task.toml").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False


def find_task(name: str) -> Path:
    """The folder of a task's name, or of a path that a person gave.

    ``NAME=PATH`` is a published data set with a copy of its data on this machine. Nothing is downloaded.

    Raises:
        InvalidInput: neither a task's name nor a folder that can be one.
        EnvironmentProblem: a published data set that is not on this machine.
    """
    known = _task_folders()
    if name in known:
        return _with_data(name, known[name])
    path = Path(name).expanduser()
    task, equals, data = name.partition("=")
    if equals and task in known and not path.exists():
        if not needs_data(known[task]):
            raise InvalidInput(
                f"task {task} comes with its documents and takes no data",
                hint=f"--tasks {task}",
            )
        return make_from_path(task, known[task], _spec(known[task]), Path(data)).folder
    if path.is_file() and path.name in {"task.toml", hyperbench.ANNOTATION, *SAMPLE_FILES}:
        path = path.parent
    if hyperbench.is_dataset(path):
        return path
    if path.is_dir():
        if needs_data(path):
            return _with_data(str(path), path)
        if _samples_file(path) is not None or (path / "task.toml").is_file():
            return path
        pages = sum(p.suffix.lower() in PAGE_SUFFIXES for p in path.iterdir())
        raise InvalidInput(
            f"{one_line(str(path))} has no samples.jsonl or samples.csv ({pages} page files lie there)",
            hint=f"bench data init {one_line(str(path))}",
        )
    if path.is_file():
        raise InvalidInput(
            f"{one_line(str(path))} is a file, not a folder of documents",
            hint="name the folder; unpack an archive first",
        )
    raise InvalidInput(
        f"no task and no folder is called {one_line(name, 80)!r}",
        hint=did_you_mean(task if equals else name, known),
    )


def _with_data(name: str, folder: Path) -> Path:
    if not needs_data(folder):
        return folder
    spec = _spec(folder)
    made = find_made(spec.name or folder.name, spec)
    if made is None:
        raise EnvironmentProblem(
            f"the data of task {one_line(name, 80)} is not on this machine",
            hint=f"bench pull --tasks {one_line(name, 80)}; "
            f"or, with a copy that you have, --tasks {one_line(name, 80)}=PATH",
        )
    return refresh(folder, made.folder)


def _spec(folder: Path) -> TaskFile:
    """The task file of a published data set, which must be right before its data are read."""
    spec, problems = check_task_file(folder / "task.toml")
    if problems:
        raise InvalidInput(str(problems[0]._replace(file=str(folder / "task.toml"))))
    return spec


def dataset_spec(name: str) -> tuple[Path, TaskFile] | None:
    """Folder and task file of a published data set's name or folder; None for any other task."""
    folder = _task_folders().get(name, Path(name).expanduser())
    return (folder, _spec(folder)) if needs_data(folder) else None


def expand_tasks(names: Sequence[str]) -> list[Path]:
    """Folders for what a person typed after ``--tasks``: names, paths, or ``all``.

    ``all`` are the tasks that come with their documents; published data sets are named one by one.
    """
    folders: list[Path] = []
    for name in names:
        folders += bundled_tasks().values() if name == "all" else [find_task(name)]
    return list(dict.fromkeys(folders))


class Checked(NamedTuple):
    """A task folder read to the end: the task where that was possible, and all that is wrong."""

    task: Task | None
    problems: list[Problem]


def load_task(folder: Path, *, allow_unreadable: bool = False) -> Task:
    """The task in ``folder``, complete and checked. What is only worth saying is logged as a warning.

    Args:
        folder: as ``find_task`` returns it.
        allow_unreadable: keep samples whose page file is broken; asking them fails, and is recorded.

    Raises:
        InvalidInput: anything wrong, naming the first problem and how many there are.
    """
    notes: list[Problem] = []
    task, problems = check_task(folder, allow_unreadable=allow_unreadable, notes=notes)
    if task is None or problems:
        first, more = problems[0], len(problems) - 1
        also = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
        raise InvalidInput(f"{first}{also}", hint=f"bench data validate {one_line(str(folder))}")
    for note in notes:
        _LOG.warning("note: %s", one_line(str(note), 300))
    return task


def check_task(
    folder: Path,
    *,
    allow_unreadable: bool = False,
    deep: bool = False,
    notes: list[Problem] | None = None,
) -> Checked:
    """Read a whole task folder and collect every problem in it, in one pass.

    Args:
        folder: holds the task.
        allow_unreadable: keep samples whose page file is broken.
        deep: decode every page as well, not only its header.
        notes: what is worth saying and not wrong is added here.
    """
    spec = TaskFile()
    problems: list[Problem] = []
    if (folder / "task.toml").is_file():
        spec, problems = check_task_file(folder / "task.toml")
        problems += _metric_problems(spec)
    foreign = hyperbench.read_dataset(folder) if _samples_file(folder) is None else None
    if foreign is not None:
        spec = spec if (folder / "task.toml").is_file() else foreign.spec
        folder = foreign.root
    root = folder.resolve()
    try:
        root = documents_root(folder, spec)
    except InvalidInput as error:
        message = f"{error.message}; {error.hint}" if error.hint else error.message
        problems.append(Problem("task.toml", 0, message))
        # Without the folder, every page would be missing: the one problem stands for all of those.
        allow_unreadable = True
    samples_file = _samples_file(folder) if foreign is None else folder / foreign.file
    if samples_file is None:
        message = "has no samples.jsonl or samples.csv"
        return Checked(None, [*_placed(folder, problems), Problem(str(folder), 0, message)])
    if spec.dataset is not None and not (folder / MARKER).is_file():
        message = "has a [dataset], and samples of its own beside it; remove one of the two"
        problems.append(Problem("task.toml", 0, message))
    read = read_rows(samples_file, spec.answer_type) if foreign is None else foreign.rows
    if notes is not None:
        notes += _placed(folder, read.notes)
    pages, page_problems = _read_files(
        read.files, samples_file, root, spec.pdf_dpi, allow_unreadable
    )
    if deep:
        page_problems += _undecodable(read.files, samples_file.name, pages)
    problems = [*problems, *sorted(read.problems + page_problems, key=lambda p: p.line)]
    if problems:
        return Checked(None, _placed(folder, problems))
    return Checked(_assemble(folder, spec, read.rows, pages), [])


def _placed(folder: Path, problems: Sequence[Problem]) -> list[Problem]:
    return [problem._replace(file=str(folder / problem.file)) for problem in problems]


def _samples_file(folder: Path) -> Path | None:
    return next((folder / n for n in SAMPLE_FILES if (folder / n).is_file()), None)


def read_samples(folder: Path, spec: TaskFile) -> list[SampleRow]:
    """The lines of a task that ``check_task`` found nothing wrong with, drafts left out."""
    samples_file = _samples_file(folder)
    if samples_file is None:
        raise InvalidInput(
            f"{one_line(str(folder))} has no samples.jsonl or samples.csv",
            hint=f"bench data init {one_line(str(folder))}",
        )
    return read_rows(samples_file, spec.answer_type).rows


def documents_root(folder: Path, spec: TaskFile) -> Path:
    """The folder that the task's page files are named from, absolute.

    Raises:
        InvalidInput: the task names one that does not exist or lies outside it.
    """
    if spec.documents is None:
        return folder.resolve()
    # The bundled pages are shared by the bundled tasks, so they lie outside each task's folder.
    own = (folder / spec.documents).resolve()
    if spec.documents == BUNDLED_DOCUMENTS and not own.is_dir():
        return (data_root() / BUNDLED_DOCUMENTS).resolve()
    if not own.is_relative_to(folder.resolve()):
        raise InvalidInput(
            f"documents = {one_line(spec.documents, 80)!r} leaves the task folder",
            hint="put the pages into the task folder",
        )
    if not own.is_dir():
        raise InvalidInput(f"documents folder {own} does not exist")
    return own


def _metric_problems(spec: TaskFile) -> list[Problem]:
    from bench.metrics import METRICS

    problems = []
    for name in spec.metrics:
        if name not in METRICS:
            message = f"unknown metric {name!r}; {did_you_mean(name, METRICS)}"
            problems.append(Problem("task.toml", 0, message))
        elif spec.answer_type not in METRICS[name].answer_types:
            message = f"metric {name} does not score {spec.answer_type} answers"
            problems.append(Problem("task.toml", 0, message))
    return problems


def _read_files(
    files: Sequence[tuple[int, str]],
    samples_file: Path,
    root: Path,
    dpi: int,
    allow_unreadable: bool,
) -> tuple[dict[str, tuple[Page, ...]], list[Problem]]:
    """The pages of every file that a line names; each file is read once."""
    found: dict[str, tuple[Page, ...]] = {}
    problems: list[Problem] = []
    for line, name in files:
        if name in found:
            continue
        try:
            found[name] = read_pages(_inside(root, name), dpi)
        except InvalidInput as error:
            path = root / name
            if allow_unreadable and path.is_file() and path.resolve().is_relative_to(root):
                found[name] = (_unreadable(path, dpi),)
                continue
            found[name] = ()
            problems.append(Problem(samples_file.name, line, error.message))
    return found, problems


def _inside(root: Path, name: str) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise InvalidInput(f"page path {one_line(name, 80)!r} leaves the folder {root}")
    return path


def _unreadable(path: Path, dpi: int) -> Page:
    """A page of size 0×0 that fails when it is opened: its samples are recorded as failures."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Page(path.resolve(), 0, 0, 0, digest, dpi if path.suffix.lower() == ".pdf" else None)


def _assemble(
    folder: Path,
    spec: TaskFile,
    rows: Sequence[SampleRow],
    files: Mapping[str, tuple[Page, ...]],
) -> Task:
    name = spec.name or folder.resolve().name
    documents = {
        row.files: Document(
            _document_id(row.files), tuple(p for name in row.files for p in files[name])
        )
        for row in rows
    }
    task = Task(
        name=file_name(name),
        version=spec.version,
        title=spec.title or name,
        documents={document.id: document for document in documents.values()},
        samples=tuple(
            Sample(
                row.id,
                documents[row.files].id,
                row.question,
                row.references,
                row.answer_type,
                dict(row.metadata),
            )
            for row in rows
        ),
        metrics=spec.headline_first_metrics(),
        prompt=spec.prompt_template(),
        generation=spec.decoding(),
        source=provenance(folder) or spec.source,
        license=spec.license,
        citation=spec.citation,
    )
    return replace(task, digest=task_digest(task))


def _document_id(files: tuple[str, ...]) -> str:
    """The names of the pages; of many pages the first, and a digest of all."""
    if len(files) <= 3:
        return "+".join(files)
    digest = hashlib.sha256("\0".join(files).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{files[0]}+{len(files) - 1}-{digest[:12]}"


def task_digest(task: Task) -> str:
    """sha256 over all that an answer can depend on: questions, prompt, decoding, page contents."""
    pages = {
        document.id: [(page.sha256, page.index, page.dpi) for page in document.pages]
        for document in task.documents.values()
    }
    content = [
        task.name,
        task.version,
        [task.prompt.template, task.prompt.system],
        [task.generation.max_new_tokens, list(task.generation.stop)],
        pages,
        [
            [s.id, s.document_id, s.question, list(s.references), s.answer_type]
            for s in task.samples
        ],
    ]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _undecodable(
    files: Sequence[tuple[int, str]], name: str, pages: Mapping[str, tuple[Page, ...]]
) -> list[Problem]:
    """Every page whose pixels cannot be decoded although its header is fine."""
    problems = []
    first_lines = {file: line for line, file in reversed(files)}
    for file, line in first_lines.items():
        for page in pages.get(file, ()):
            try:
                open_page(page)
            except InvalidInput as error:
                problems.append(Problem(name, line, error.message))
                break
    return problems

"""Finds the folder of a task: by the name of a task, by a path, or by ``NAME=PATH``.

``NAME=PATH`` is a published data set with a copy of its data on this machine. Nothing is downloaded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import EnvironmentProblem, InvalidInput, did_you_mean
from bench.formatting import plural
from bench.parsing import read_toml
from bench.paths import data_root
from bench.tasks.cache import find_made, make_from_path, refresh
from bench.tasks.hyperbench import is_dataset
from bench.tasks.hyperbench.annotation import ANNOTATION
from bench.tasks.pages import PAGE_SUFFIXES
from bench.tasks.samples import NO_SAMPLES, SAMPLE_FILES, samples_file
from bench.tasks.taskfile import TASK_FILE, TaskFile, check_task_file, has_task_file
from bench.text import one_line


def bundled_tasks() -> dict[str, Path]:
    """Return name → folder of every task whose documents come with the package."""
    return {name: folder for name, folder in _known_tasks().items() if not needs_data(folder)}


def public_tasks() -> dict[str, Path]:
    """Return name → folder of every published data set that the package describes but does not hold."""
    return {name: folder for name, folder in _known_tasks().items() if needs_data(folder)}


def _known_tasks() -> dict[str, Path]:
    root = data_root() / "tasks"
    if not root.is_dir():
        return {}
    return {path.name: path for path in sorted(root.iterdir()) if (path / TASK_FILE).is_file()}


def needs_data(folder: Path) -> bool:
    """Say whether the task in ``folder`` describes a published data set whose rows lie elsewhere."""
    if not (folder / TASK_FILE).is_file() or samples_file(folder) is not None:
        return False
    try:
        return "dataset" in read_toml(folder / TASK_FILE)
    except InvalidInput:
        return False


def find_task(name: str) -> Path:
    """Return the folder of a task's name, or of a path that a person gave.

    Raises:
        InvalidInput: ``name`` is neither the name of a task nor a folder that can be one.
        EnvironmentProblem: the data of a published data set are not on this machine.
    """
    known = _known_tasks()
    if name in known:
        return _with_data(name, known[name])
    path = Path(name).expanduser()
    task, equals, data = name.partition("=")
    if equals and task in known and not path.exists():
        return _from_copy(task, known[task], Path(data))
    if path.is_file() and path.name in {TASK_FILE, ANNOTATION, *SAMPLE_FILES}:
        path = path.parent
    if is_dataset(path):
        return path
    if path.is_dir():
        return _own_folder(path)
    if path.is_file():
        raise InvalidInput(
            f"{one_line(path)} is a file; a task is a folder of documents",
            hint="name the folder; unpack an archive first",
        )
    raise InvalidInput(
        f"no task and no folder is called {one_line(name, 80)!r}",
        hint=did_you_mean(task if equals else name, known),
    )


def _own_folder(path: Path) -> Path:
    if needs_data(path):
        return _with_data(str(path), path)
    if samples_file(path) is not None or has_task_file(path):
        return path
    pages = sum(file.suffix.lower() in PAGE_SUFFIXES for file in path.iterdir())
    raise InvalidInput(
        f"{one_line(path)} {NO_SAMPLES} (the folder holds {plural(pages, 'page file')})",
        hint=f"bench data init {one_line(path)}",
    )


def _from_copy(name: str, folder: Path, data: Path) -> Path:
    if not needs_data(folder):
        raise InvalidInput(
            f"task {name} comes with its own documents, so NAME=PATH does not apply to it",
            hint=f"--tasks {name}",
        )
    return make_from_path(name, folder, _valid_task_file(folder), data).folder


def _with_data(name: str, folder: Path) -> Path:
    """Return ``folder``, or the copy in the cache if the task is a published data set."""
    if not needs_data(folder):
        return folder
    spec = _valid_task_file(folder)
    made = find_made(spec.name or folder.name, spec)
    if made is None:
        task = one_line(name, 80)
        raise EnvironmentProblem(
            f"the data of task {task} are not on this machine",
            hint=f"bench pull --tasks {task}; or, with a copy that you have, --tasks {task}=PATH",
        )
    return refresh(folder, made.folder)


def _valid_task_file(folder: Path) -> TaskFile:
    """Read the task file of a published data set, which must be right before its data are read."""
    spec, problems = check_task_file(folder / TASK_FILE)
    if problems:
        raise InvalidInput(str(problems[0].inside(folder)))
    return spec


def dataset_spec(name: str) -> tuple[Path, TaskFile] | None:
    """Return folder and task file of a published data set's name or folder; None for any other task."""
    folder = _known_tasks().get(name, Path(name).expanduser())
    return (folder, _valid_task_file(folder)) if needs_data(folder) else None


def expand_tasks(names: Sequence[str]) -> list[Path]:
    """Return the folders of what a person typed after ``--tasks``: names, paths, or ``all``.

    ``all`` are the tasks that come with their documents, but for those that their task file says are run only
    if they are named; published data sets are named one by one.
    """
    folders: list[Path] = []
    for name in names:
        folders += _all_tasks() if name == "all" else [find_task(name)]
    return list(dict.fromkeys(folders))


def _all_tasks() -> list[Path]:
    folders = bundled_tasks().values()
    return [folder for folder in folders if not read_toml(folder / TASK_FILE).get("named_only")]

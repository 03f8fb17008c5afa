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
from bench.tasks.page_benchmarks import benchmark_at
from bench.tasks.pages import PAGE_SUFFIXES
from bench.tasks.samples import NO_SAMPLES, SAMPLE_FILES, samples_file
from bench.tasks.taskfile import (
    TASK_FILE,
    LocalTable,
    TaskFile,
    check_task_file,
    has_task_file,
)
from bench.text import one_line, shell_word


def bundled_tasks() -> dict[str, Path]:
    """Return name → folder of every task whose documents come with the package."""
    return {
        name: folder
        for name, folder in _known_tasks().items()
        if not needs_data(folder) and _local(folder) is None
    }


def local_benchmarks() -> dict[str, Path]:
    """Return name → folder of every published benchmark that is read from a copy on this machine."""
    return {name: folder for name, folder in _known_tasks().items() if _local(folder) is not None}


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


def _local(folder: Path) -> LocalTable | None:
    """Return what the task file says about a copy on this machine; None for any other task."""
    if samples_file(folder) is not None:
        return None
    return check_task_file(folder / TASK_FILE).spec.local


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
    if is_dataset(path) or benchmark_at(path) is not None:
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
        hint=f"bench data init {shell_word(path)}",
    )


def _from_copy(name: str, folder: Path, data: Path) -> Path:
    local = _local(folder)
    if local is not None:
        return _benchmark_copy(name, local, data.expanduser())
    if not needs_data(folder):
        raise InvalidInput(
            f"task {name} comes with its own documents, so NAME=PATH does not apply to it",
            hint=f"--tasks {shell_word(name)}",
        )
    return make_from_path(name, folder, _valid_task_file(folder), data).folder


def _benchmark_copy(name: str, local: LocalTable, data: Path) -> Path:
    """Return ``data``, which must hold the benchmark ``name``."""
    if benchmark_at(data) == local.layout:
        return data
    raise InvalidInput(
        f"{one_line(data)} is no copy of {name}",
        hint=f"name the folder that this command makes: {local.download()}",
    )


def _with_data(name: str, folder: Path) -> Path:
    """Return ``folder``, or the copy in the cache if the task is a published data set."""
    local = _local(folder)
    if local is not None:
        raise EnvironmentProblem(
            f"task {name} is read from a copy on this machine, and none is named",
            hint=f"{local.download()}; then --tasks {shell_word(name)}=PATH",
        )
    if not needs_data(folder):
        return folder
    spec = _valid_task_file(folder)
    made = find_made(spec.name or folder.name, spec)
    if made is None:
        word = shell_word(name)
        raise EnvironmentProblem(
            f"the data of task {one_line(name, 80)} are not on this machine",
            hint=f"bench pull --tasks {word}; or, with a copy that you have, --tasks {word}=PATH",
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

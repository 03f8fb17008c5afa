"""Checks a ``run.json`` when it is read: a run directory may come from somebody else."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.rundir.lock import LOCK_FILE
from bench.rundir.rows import perturbation_of
from bench.schema import SCHEMA_VERSION, Generation, ModelSpec, PromptTemplate
from bench.text import one_line, shell_word

RUN_FILE = "run.json"
RESERVED_NAMES = frozenset({"scores", "pages", "report", "assets", "log.txt", RUN_FILE, LOCK_FILE})
"""Names in a run directory that no task and no model may take."""

PART = "part"
"""Key of ``run.json``: which part of a run it is; a whole run has none."""

_FILE_SUFFIXES = frozenset({".json", ".jsonl", ".txt", ".lock", ".html", ".md"})
"""Of what is a file in a run directory, but for tasks and models that are called so."""

MERGED = "merged"
"""Key of ``run.json``: when parts were joined to this run; other runs have none."""

_RUN_KEYS = ("id", "models", "tasks")
"""Keys that every ``run.json`` has."""

_TASK_TEXTS = ("name", "version", "title", "digest")
_TASK_CREDITS = ("source", "license", "citation")
"""Texts of a task that older runs may lack."""

_SPEC_TYPES: dict[str, Any] = {
    **dict.fromkeys(("name", "backend", "dtype", "attention", "device"), str),
    **dict.fromkeys(("checkpoint", "revision", "quantization", "adapter"), str | None),
    **dict.fromkeys(("min_pixels", "max_pixels"), int | None),
    "options": dict,
}
"""Field of a ``ModelSpec`` → what it may hold."""


def check_record(path: Path, record: Any) -> dict[str, Any]:
    """Return what ``path``, a ``run.json``, holds, if all that the program relies on is there.

    Raises:
        InvalidInput: a newer version wrote it, something is missing or of another type, or a name leads out
            of the run directory.
    """
    version = record.get("schema_version") if isinstance(record, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InvalidInput(
            f"{path} has schema version {version}; this program reads up to {SCHEMA_VERSION}",
            hint="pip install --upgrade docvlm-bench",
        )
    if not isinstance(record, dict) or not version:
        raise _damaged(path, "it has no schema_version")
    missing = [key for key in _RUN_KEYS if key not in record]
    if missing:
        raise _damaged(path, f"it has no {', '.join(missing)}")
    try:
        json.dumps(record, allow_nan=False)
    except ValueError:
        raise _damaged(path, "a number in it is infinite, or no number") from None
    _expect(path, isinstance(record["id"], str), "its id is not a text")
    if PART in record:
        _check_part(path, record[PART])
    spec = record.get("spec", {})
    _expect(path, isinstance(spec, dict), "its spec is not an object")
    _expect(path, isinstance(spec.get("settings", {}), dict), "its settings are not an object")
    for key in ("models", "tasks"):
        entries = record[key]
        is_list = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
        _expect(path, is_list, f"its {key} are not a list of objects")
    for entry in record["models"]:
        _check_model(path, entry)
    for entry in record["tasks"]:
        _check_task(path, entry)
    return record


def _check_part(path: Path, part: Any) -> None:
    # The division counts the ways in which versions of the program divide a run; the first was not recorded.
    keys = {"number", "total"}
    has_all = isinstance(part, dict) and part.keys() - {"division"} == keys
    are_numbers = has_all and all(type(value) is int for value in part.values())
    is_part = are_numbers and 1 <= part["number"] <= part["total"]
    _expect(path, is_part, "its part is not a number and the total of all parts")


def _check_model(path: Path, entry: Mapping[str, Any]) -> None:
    spec = entry.get("spec")
    _expect(path, isinstance(spec, dict) and "name" in spec, "a model has no name")
    try:
        spec = ModelSpec(**entry["spec"])
    except TypeError as error:
        raise _damaged(path, f"a model's spec is wrong: {one_line(error, 100)}") from None
    for key, kind in _SPEC_TYPES.items():
        is_right = isinstance(getattr(spec, key), kind)
        _expect(path, is_right, f"the {key} of a model is of another type")
    _check_name(path, entry.get("folder"), "the folder of a model")


def _check_task(path: Path, entry: Mapping[str, Any]) -> None:
    for key in _TASK_TEXTS:
        _expect(path, isinstance(entry.get(key), str), f"a task's {key} is not a text")
    for key in _TASK_CREDITS:
        _expect(path, isinstance(entry.get(key, ""), str), f"a task's {key} is not a text")
    _check_name(path, entry["name"], "the name of a task")
    metrics = entry.get("metrics")
    are_names = isinstance(metrics, list) and all(isinstance(name, str) for name in metrics)
    _expect(path, are_names and bool(metrics), "a task has no metrics")
    samples = entry.get("samples")
    is_count = isinstance(samples, int) and not isinstance(samples, bool) and samples >= 0
    _expect(path, is_count, "a task's samples are not a number")
    try:
        prompt = PromptTemplate(**entry["prompt"])
        generation = Generation(
            entry["generation"]["max_new_tokens"], tuple(entry["generation"]["stop"])
        )
    except (KeyError, TypeError) as error:
        raise _damaged(path, f"a task's prompt or generation is wrong: {one_line(error)}") from None
    is_prompt = isinstance(prompt.template, str) and isinstance(prompt.system, str | None)
    _expect(path, is_prompt, "a task's prompt is not a text")
    is_limit = isinstance(generation.max_new_tokens, int)
    _expect(path, is_limit, "a task's max_new_tokens is not a number")
    are_texts = all(isinstance(text, str) for text in generation.stop)
    _expect(path, are_texts, "a task's stop is not a list of texts")
    _expect(path, isinstance(entry.get("clean_task", ""), str), "a task's clean_task is not a text")
    try:
        perturbation_of(entry.get("perturbation"))
    except ValueError as error:
        raise _damaged(path, f"{error} (task {one_line(entry['name'], 40)})") from None


def _check_name(path: Path, name: Any, what: str) -> None:
    """Refuse a name that is more than one part of a path, or that a file of every run has."""
    is_part = isinstance(name, str) and bool(name) and name not in {".", ".."}
    if not is_part or any(mark in name for mark in "/\\\0") or name in RESERVED_NAMES:
        raise InvalidInput(
            f"{path} is not to be trusted: {what} is {one_line(repr(name), 80)}, "
            "which cannot be a folder of the run",
            hint="get the run directory again from who made it",
        )


def check_entries(run: Path, folders: Sequence[Path]) -> None:
    """Refuse links in ``folders`` that lead out of ``run``, pipes and devices, and files that are folders.

    What is written to a link would land elsewhere, and what is read there would get into a report. A pipe
    waits for ever.

    Raises:
        InvalidInput: there is such an entry, or a folder is none or may not be read.
    """
    inside = run.resolve()
    for folder in (run, *folders):
        try:
            _check_folder(folder, inside, folders)
        except OSError as error:
            raise InvalidInput(
                f"{error.filename or folder} cannot be read: {error.strerror}",
                hint=f"see who may read it: ls -ld {shell_word(folder)}",
            ) from None


def _check_folder(folder: Path, inside: Path, folders: Sequence[Path]) -> None:
    if not folder.is_dir():
        if folder.is_file():
            raise _damaged(folder, "it is a file, where a run has a folder")
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() and not _target(entry).is_relative_to(inside):
                raise InvalidInput(
                    f"{entry.path} is a link that leads out of the run directory",
                    hint="remove the link, or put what it names in its place",
                )
            is_plain = entry.is_file() or entry.is_dir() or not Path(entry.path).exists()
            if not is_plain:
                raise InvalidInput(
                    f"{entry.path} is a pipe or a device, which no run directory holds",
                    hint="get the run directory again from who made it",
                )
            path = Path(entry.path)
            if entry.is_dir() and path.suffix in _FILE_SUFFIXES and path not in folders:
                raise _damaged(path, "it is a folder, where a run has a file")


def _target(link: os.DirEntry[str]) -> Path:
    try:
        return Path(link.path).resolve()
    except RuntimeError:
        # Links in a circle, which newer versions of Python give back as they are.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), link.path) from None


def _expect(path: Path, is_right: bool, what: str) -> None:
    if not is_right:
        raise _damaged(path, what)


def _damaged(path: Path, what: str) -> InvalidInput:
    return InvalidInput(
        f"{path} is damaged: {what}",
        hint="copy the run directory again, or run the same command to make a new one",
    )

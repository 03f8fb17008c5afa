"""Scores on the disk, used again while they belong to the same answers, samples, metrics and program.

``scores/digests.json`` says of each file of scores what it was computed from. A file that was changed is not
used. Neither is one whose answers, questions, metrics or program have changed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import bench
from bench.errors import InvalidInput
from bench.files import read_lines, write_json
from bench.metrics.metric import MetricValue
from bench.parsing import read_json
from bench.rundir.checksums import file_digest
from bench.rundir.store import RunStore
from bench.schema import Output, Task
from bench.scoring.answers import Answer, held_once

DIGESTS_FILE = "scores/digests.json"
"""Written after all scores: a process that is killed half-way leaves no digest of what it did not write."""

_ROOMS = ("metrics", "scoring", "json_schemas", "schema.py", "text.py", "parsing.py")
"""What of the package decides the scores of an answer."""
_LIBRARIES = (
    *(
        "babel",
        "jiwer",
        "jsonschema",
        "lxml",
        "munkres",
        "numpy",
        "python-dateutil",
        "python-stdnum",
    ),
    *("rapidfuzz", "scipy"),
)
"""Packages that metrics compute with."""


def scores_path(run: RunStore, model: str, task: str) -> Path:
    """Where the scores of a model's answers to a task are written."""
    return run.path / "scores" / run.model_folder(model).name / f"{task}.jsonl"


def stored_answers(
    run: RunStore, model: str, task: Task, outputs: Mapping[str, Output], source: str
) -> tuple[Answer, ...] | None:
    """The answers with the scores on the disk; None if there are none, or they are of something else."""
    if not has_scores(run, model, task.name, source):
        return None
    try:
        rows = list(read_lines(scores_path(run, model, task.name)))
        return _answers(task, outputs, rows)
    except (InvalidInput, KeyError, TypeError, ValueError):
        # Scores can always be computed again.
        return None


def has_scores(run: RunStore, model: str, task: str, source: str) -> bool:
    """Whether the scores of a model's answers to a task are on the disk, as computed from ``source``."""
    recorded = _recorded(run).get(f"{run.model_folder(model).name}/{task}")
    path = scores_path(run, model, task)
    if not isinstance(recorded, dict) or not path.is_file():
        return False
    return recorded.get("scores") == file_digest(path) and recorded.get("made_from") == source


def write_digests(run: RunStore, sources: Mapping[tuple[str, str], str | None]) -> None:
    """Record what the scores of these models and tasks, which are on the disk, were computed from."""
    digests = {}
    for (model, task), source in sources.items():
        digests[f"{run.model_folder(model).name}/{task}"] = {
            "made_from": source,
            "scores": file_digest(scores_path(run, model, task)),
        }
    write_json(run.path / DIGESTS_FILE, digests)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # An extra that is not installed.
        return None


def _recorded(run: RunStore) -> Mapping[str, Any]:
    path = run.path / DIGESTS_FILE
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except InvalidInput:
        return {}
    return value if isinstance(value, dict) else {}


def common_parts(run: RunStore, task: str, metrics: Iterable[str], mode: str) -> list[str]:
    """What decides the scores of all models' answers to a task: program, metrics, questions and texts."""
    files = [run.path / task / name for name in ("samples.jsonl", "texts.json")]
    return [program_digest(), mode, *metrics, *map(_digest_if_any, files)]


def made_from(run: RunStore, model: str, task: str, common: Sequence[str]) -> str:
    """A digest of everything that decides the scores of a model's answers to a task.

    ``common`` is what ``common_parts`` says of the task.
    """
    folder = run.cell_folder(model, task)
    files = [folder / "outputs.jsonl", *sorted(folder.glob("outputs.shard-*.jsonl"))]
    parts = [*common, *map(_digest_if_any, files)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _digest_if_any(path: Path) -> str:
    return file_digest(path) if path.is_file() else ""


@functools.cache
def program_digest() -> str:
    """A digest of the code that scores, and of the versions of what it uses."""
    digest = hashlib.sha256()
    package = resources.files("bench")
    for room in _ROOMS:
        _add(digest, package.joinpath(room))
    versions = [f"{name} {_version(name)}" for name in _LIBRARIES]
    python = platform.python_version()
    digest.update(repr([bench.__version__, python, unicodedata.unidata_version, versions]).encode())
    return digest.hexdigest()


def _add(digest: Any, item: Traversable) -> None:
    if item.is_file():
        digest.update(item.name.encode() + b"\0" + item.read_bytes())
    elif item.name != "__pycache__":
        for child in sorted(item.iterdir(), key=lambda each: each.name):
            _add(digest, child)


def _answers(
    task: Task, outputs: Mapping[str, Output], rows: Sequence[Mapping[str, Any]]
) -> tuple[Answer, ...]:
    answers = []
    shared: dict[tuple[MetricValue, ...], Mapping[str, MetricValue]] = {}
    for sample, row in zip(task.samples, rows, strict=True):
        if row["sample_id"] != sample.id:
            raise ValueError("the scores are in another order than the samples")
        output = outputs.get(sample.id)
        own = {name: MetricValue(*row["scores"][name]) for name in task.metrics}
        for value, weight in own.values():
            if not isinstance(value, float | int | None) or not isinstance(weight, float | int):
                raise TypeError("a score is not a number")
        scores = shared.setdefault(tuple(own.values()), own)
        raw, mistake = row["raw_headline"], row["mistake"]
        if not isinstance(raw, float | int | None) or not isinstance(mistake, str | None):
            raise TypeError("a raw score is not a number, or a mistake is not a name")
        answers.append(
            Answer(sample, output, held_once(row["answer"], output), scores, raw, mistake)
        )
    return tuple(answers)

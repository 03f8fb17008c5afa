"""What a run is asked to do, and its identity: the same plan goes on, another one begins a run of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.asking.prompts import PromptRule
from bench.asking.prompts import from_record as prompt_rules
from bench.errors import InvalidInput, did_you_mean
from bench.formatting import plural
from bench.rundir.record import RESERVED_NAMES
from bench.runner.shards import WHOLE, Part
from bench.schema import ModelSpec, Sample, Task
from bench.text import file_name, one_line


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Choices that hold for every model and task of a run.

    A setting that is added here needs nothing else: while it has its default, the identity leaves it out,
    so a run that was begun before the setting existed still goes on.
    """

    limit: int | None = None
    """Questions per task, spread over its documents; None asks all."""
    sample_ids: tuple[str, ...] | None = None
    """The run asks only these questions; None asks all."""
    batch_size: int | None = None
    """Questions per call of a model; None chooses by device, documents and model."""
    max_new_tokens: int | None = None
    """Replaces the tasks' own bound on the length of an answer."""
    warmup: bool = True
    """Whether the model answers one question before the clock starts."""
    latency_samples: int = 20
    """Questions per model in the single-stream scenario; with 0 no latency is measured."""
    prompts: tuple[PromptRule, ...] = ()
    """Rows of a prompt collection; where none fits, the task's own prompt is used."""
    protocol: Mapping[str, Any] | None = None
    """The protocol that models and tasks were set up by, as ``bench.asking.protocols`` records it."""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Metadata key → values: the run asks only questions that have one of the values under every key."""
    allow_downscale: bool = False
    """Whether pages that do not fit into memory may be shrunk; such answers are marked."""
    upright: bool = False
    """Whether models see every page turned as its text stands upright."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RunSettings:
        """The settings that a ``run.json`` holds; names that this version does not know are passed over."""
        values = {f.name: record[f.name] for f in dataclasses.fields(cls) if f.name in record}
        if "prompts" in values:
            values["prompts"] = prompt_rules(values["prompts"])
        return cls(**values)

    def record(self) -> dict[str, Any]:
        """What ``run.json`` and the identity hold: what is not at its default, over ``ALWAYS_RECORDED``."""
        default, values = RunSettings(), dataclasses.asdict(self)
        for rule in values["prompts"]:
            # Runs from before there were variants go on as they began.
            if not rule["variant"]:
                del rule["variant"]
        changed = {
            name: value
            for name, value in values.items()
            if getattr(self, name) != getattr(default, name)
        }
        return {**ALWAYS_RECORDED, **changed}


ALWAYS_RECORDED: Mapping[str, Any] = {
    "limit": None,
    "sample_ids": None,
    "batch_size": None,
    "max_new_tokens": None,
    "warmup": True,
    "latency_samples": 20,
    "seed": 0,
}
"""What the first ``run.json`` files spelled out, at its default too. It stays as it is, or the runs that were
begun with them would not go on. (A run draws nothing at random, so ``seed`` is no setting any more.)"""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything a run will do, decided before anything is written or loaded."""

    name: str
    models: tuple[ModelSpec, ...]
    tasks: tuple[Task, ...]
    settings: RunSettings
    labels: Mapping[str, str] = field(default_factory=dict)
    part: Part = WHOLE
    """The part of the run that is carried out here; the identity is that of the whole run."""

    def identity(self) -> dict[str, Any]:
        """What must be equal for two runs to be the same one; the name and the labels do not belong to it."""
        return {
            "models": [spec.identity() for spec in self.models],
            "tasks": [
                {
                    "name": task.name,
                    "version": task.version,
                    "digest": task.digest,
                    "metrics": list(task.metrics),
                    **_perturbation(task),
                }
                for task in self.tasks
            ],
            "settings": self.settings.record(),
        }

    def spec_id(self) -> str:
        """sha256 of the identity, hexadecimal."""
        return identity_digest(self.identity())


def _perturbation(task: Task) -> dict[str, Any]:
    """What was done to the pages of a task; runs of clean pages do not mention it."""
    perturbation = task.perturbation
    return {} if perturbation is None else {"perturbation": dataclasses.asdict(perturbation)}


def identity_digest(identity: Mapping[str, Any]) -> str:
    """sha256 of an identity, hexadecimal."""
    text = json.dumps(identity, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def plan_run(
    models: Sequence[ModelSpec],
    tasks: Sequence[Task],
    settings: RunSettings,
    *,
    name: str = "run",
    labels: Mapping[str, str] | None = None,
    part: Part = WHOLE,
) -> RunPlan:
    """Apply the settings to the tasks and check that names fit into one run directory.

    Raises:
        InvalidInput: no model or task was named, two have one name, a sample id is unknown, or no question
            is left.
    """
    if not models:
        raise InvalidInput("no model was named", hint="--models NAME; see bench list models")
    if not tasks:
        raise InvalidInput("no task was named", hint="--tasks NAME; see bench list tasks")
    check_names([spec.name for spec in models], [task.name for task in tasks])
    if settings.sample_ids is not None:
        _check_sample_ids(settings.sample_ids, tasks)
    restricted = (_restrict(task, settings) for task in tasks)
    chosen = tuple(task for task in restricted if task.samples)
    if not chosen:
        wanted = ", ".join(f"{key} = {' or '.join(v)}" for key, v in settings.only.items())
        raise InvalidInput(f"no question is left to ask, because none has {one_line(wanted)}")
    return RunPlan(name, tuple(models), chosen, settings, dict(labels or {}), part)


def _check_sample_ids(sample_ids: Sequence[str], tasks: Sequence[Task]) -> None:
    known = {sample.id for task in tasks for sample in task.samples}
    for sample_id in sample_ids:
        if sample_id not in known:
            raise InvalidInput(
                f"no question in {plural(len(tasks), 'task')} has the id {one_line(sample_id, 80)!r}",
                hint=did_you_mean(sample_id, known),
            )


def _restrict(task: Task, settings: RunSettings) -> Task:
    """``task`` with the samples and the decoding that the settings ask for."""
    samples = task.samples
    if settings.sample_ids is not None:
        wanted = set(settings.sample_ids)
        samples = tuple(sample for sample in samples if sample.id in wanted)
    for key, values in settings.only.items():
        samples = tuple(sample for sample in samples if sample.metadata.get(key) in values)
    if settings.limit is not None:
        samples = _spread(samples, settings.limit)
    generation = task.generation
    if settings.max_new_tokens is not None:
        generation = dataclasses.replace(generation, max_new_tokens=settings.max_new_tokens)
    used = {sample.document_id for sample in samples}
    documents = {key: value for key, value in task.documents.items() if key in used}
    return dataclasses.replace(task, samples=samples, documents=documents, generation=generation)


def _spread(samples: tuple[Sample, ...], limit: int) -> tuple[Sample, ...]:
    """``limit`` of the samples, of as many documents as possible, in their order.

    A task often begins with one kind of document, and a document with one kind of question. So the documents
    are visited in halves, quarters and so on of the task, one question at a time, and each begins with
    another question. A larger limit asks all that a smaller one asks.
    """
    by_document: dict[str, list[Sample]] = {}
    for sample in samples:
        by_document.setdefault(sample.document_id, []).append(sample)
    groups = list(by_document.values())
    bits = max(1, (len(groups) - 1).bit_length())
    mirrored = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits))
    visits = [groups[position] for position in mirrored if position < len(groups)]
    chosen: list[str] = []
    for turn in range(max(map(len, groups), default=0)):
        for number, group in enumerate(visits):
            if turn < len(group):
                chosen.append(group[(number + turn) % len(group)].id)
    kept = set(chosen[:limit])
    return tuple(sample for sample in samples if sample.id in kept)


def check_names(models: Sequence[str], tasks: Sequence[str]) -> None:
    """Models and tasks are folders of one run directory, so no two may share a folder's name."""
    taken: dict[str, str] = {name.lower(): "a file of every run" for name in RESERVED_NAMES}
    for kind, names in (("task", tasks), ("model", models)):
        for name in names:
            folder = file_name(name).lower()
            if taken.get(folder) == f"the {kind} {one_line(name, 60)!r}":
                raise InvalidInput(
                    f"two {kind}s are called {one_line(name, 60)!r}",
                    hint="name each one once, or rename one of them in its task.toml or in bench.toml",
                )
            if folder in taken:
                raise InvalidInput(
                    f"{kind} {one_line(name, 60)!r} has the folder name of {taken[folder]}",
                    hint="rename one of them in its task.toml or in bench.toml",
                )
            taken[folder] = f"the {kind} {one_line(name, 60)!r}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The fields in which two identities differ, each as ``path: old → new``."""
    changes: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        left, right = old.get(key), new.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            changes += differences(left, right, f"{prefix}{key}.")
        elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            pairs = {str(i): item for i, item in enumerate(left)}
            others = {str(i): item for i, item in enumerate(right)}
            changes += differences(pairs, others, f"{prefix}{key}.")
        elif left != right:
            changes.append(f"{prefix}{key}: {_shown(left)} → {_shown(right)}")
    return changes


def _shown(value: Any) -> str:
    """A value of an identity in a few words: models and tasks by their names."""
    if isinstance(value, list):
        names = [str(item["name"]) if _has_name(item) else str(item) for item in value]
        return one_line(", ".join(names) or "none", 60)
    return "not set" if value is None else one_line(str(value), 60)


def _has_name(value: Any) -> bool:
    return isinstance(value, Mapping) and "name" in value

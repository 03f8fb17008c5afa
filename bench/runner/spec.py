"""What a run is asked to do, and its identity: the same spec resumes, another one is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.asking.prompts import PromptRule
from bench.errors import InvalidInput, did_you_mean
from bench.rundir.store import RESERVED_NAMES
from bench.schema import ModelSpec, Task
from bench.text import file_name, one_line


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Choices that hold for every model and task of a run."""

    limit: int | None = None
    """Questions per task, from the first on; None: all."""
    sample_ids: tuple[str, ...] | None = None
    """Only these questions; None: all."""
    batch_size: int | None = None
    """Questions per call of a model; None: by device (16 on a CPU, 64 on a GPU)."""
    max_new_tokens: int | None = None
    """Replaces the tasks' own bound on the length of an answer."""
    warmup: bool = True
    """Ask one question before the clock runs."""
    latency_samples: int = 20
    """Questions per model in the single-stream scenario; 0: no latency is measured."""
    seed: int = 0
    prompts: tuple[PromptRule, ...] = ()
    """Rows of a prompt collection; where none fits, the task's own prompt is used."""
    protocol: Mapping[str, Any] | None = None
    """The protocol that models and tasks were set up by, as ``bench.asking.protocols`` records it."""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Metadata key → values: only the questions that have one of them under every key."""
    allow_downscale: bool = False
    """Whether pages that do not fit into memory may be shrunk; such answers are marked."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything a run will do, decided before anything is written or loaded."""

    name: str
    models: tuple[ModelSpec, ...]
    tasks: tuple[Task, ...]
    settings: RunSettings
    labels: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What must be equal for two runs to be the same one; name and labels are not in it."""
        return {
            "models": [dataclasses.asdict(spec) for spec in self.models],
            "tasks": [
                {
                    "name": t.name,
                    "version": t.version,
                    "digest": t.digest,
                    "metrics": list(t.metrics),
                }
                for t in self.tasks
            ],
            "settings": self._settings(),
        }

    def _settings(self) -> dict[str, Any]:
        """Settings that came later are left out while unused: what was begun before them goes on."""
        settings = dataclasses.asdict(self.settings)
        later = {"prompts", "protocol", "only", "allow_downscale"}
        return {k: v for k, v in settings.items() if v or k not in later}

    def spec_id(self) -> str:
        """sha256 of the identity, hexadecimal."""
        text = json.dumps(self.identity(), sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()


def plan_run(
    models: Sequence[ModelSpec],
    tasks: Sequence[Task],
    settings: RunSettings,
    *,
    name: str = "run",
    labels: Mapping[str, str] | None = None,
) -> RunPlan:
    """Apply the settings to the tasks and check that names fit into one run directory.

    Raises:
        InvalidInput: no model or task, two of one name, an unknown sample id, a task left empty.
    """
    if not models:
        raise InvalidInput("no model was named", hint="--models NAME; see bench list models")
    if not tasks:
        raise InvalidInput("no task was named", hint="--tasks NAME; see bench list tasks")
    _check_names([spec.name for spec in models], [task.name for task in tasks])
    if settings.sample_ids is not None:
        known = {sample.id for task in tasks for sample in task.samples}
        for sample_id in settings.sample_ids:
            if sample_id not in known:
                raise InvalidInput(
                    f"no sample is called {one_line(sample_id, 80)!r} in {len(tasks)} task(s)",
                    hint=did_you_mean(sample_id, known),
                )
    chosen = tuple(task for task in (_restrict(t, settings) for t in tasks) if task.samples)
    if not chosen:
        shown = ", ".join(f"{key} = {' or '.join(v)}" for key, v in settings.only.items())
        raise InvalidInput(f"no question is left to ask: none has {one_line(shown)}")
    return RunPlan(name, tuple(models), chosen, settings, dict(labels or {}))


def _restrict(task: Task, settings: RunSettings) -> Task:
    """The task with the samples and the decoding that the settings ask for."""
    samples = task.samples
    if settings.sample_ids is not None:
        wanted = set(settings.sample_ids)
        samples = tuple(sample for sample in samples if sample.id in wanted)
    for key, values in settings.only.items():
        samples = tuple(sample for sample in samples if sample.metadata.get(key) in values)
    if settings.limit is not None:
        samples = samples[: settings.limit]
    generation = task.generation
    if settings.max_new_tokens is not None:
        generation = dataclasses.replace(generation, max_new_tokens=settings.max_new_tokens)
    used = {sample.document_id for sample in samples}
    documents = {key: value for key, value in task.documents.items() if key in used}
    return dataclasses.replace(task, samples=samples, documents=documents, generation=generation)


def _check_names(models: Sequence[str], tasks: Sequence[str]) -> None:
    """Models and tasks are folders of one run directory, so no two may share a folder's name."""
    taken: dict[str, str] = {name.lower(): "a file of every run" for name in RESERVED_NAMES}
    for kind, names in (("task", tasks), ("model", models)):
        for name in names:
            folder = file_name(name).lower()
            if taken.get(folder) == f"the {kind} {one_line(name, 60)!r}":
                raise InvalidInput(
                    f"two {kind}s are called {one_line(name, 60)!r}",
                    hint="name each once, or give one another name in its task.toml or in bench.toml",
                )
            if folder in taken:
                raise InvalidInput(
                    f"{kind} {one_line(name, 60)!r} has the folder name of {taken[folder]}",
                    hint="give one of them another name in its task.toml or in bench.toml",
                )
            taken[folder] = f"the {kind} {one_line(name, 60)!r}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Fields in which two identities differ, each as ``path: old → new``."""
    found: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        left, right = old.get(key), new.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            found += differences(left, right, f"{prefix}{key}.")
        elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            pairs = {str(i): item for i, item in enumerate(left)}
            others = {str(i): item for i, item in enumerate(right)}
            found += differences(pairs, others, f"{prefix}{key}.")
        elif left != right:
            found.append(f"{prefix}{key}: {one_line(str(left), 60)} → {one_line(str(right), 60)}")
    return found

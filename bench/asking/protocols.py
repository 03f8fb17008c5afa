"""Protocols: how another tool asks and scores, so that a run can repeat a published number by its name.

``protocols.toml`` holds the protocols with their sources, and ``docs/protocols.md`` says what each of them
does to a number. Applying a protocol is a pure function of models and tasks. What a person asks for wins over
the protocol, and the run records it as a deviation.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.asking.prompts import begins_name
from bench.errors import InvalidInput, did_you_mean
from bench.metrics import METRICS
from bench.models.backends import traits_of
from bench.schema import Generation, ModelSpec, PromptTemplate, Task
from bench.tasks.loading import task_digest
from bench.text import one_line, shell_word

AnswerMode = Literal["extract", "strip", "raw"]
"""What is scored: the extracted answer (``bench.metrics.extract``), the stripped text, or the raw text."""

NATIVE = "native"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PixelBoundsTable(_Table):
    """Bounds on the pixels of a page after resizing, as a table of the file may hold them."""

    min_pixels: Annotated[int, Field(gt=0)] | None = None
    max_pixels: Annotated[int, Field(gt=0)] | None = None


class TaskSettings(PixelBoundsTable):
    """What a protocol sets for a task; None leaves the protocol's general setting."""

    prompt: str | None = None
    system: str | None = None
    max_new_tokens: Annotated[int, Field(gt=0, le=32_768)] | None = None
    stop: tuple[str, ...] | None = None
    metrics: Mapping[str, str] = {}
    """Metric → the variant of it that the tool uses, which is computed as well and comes first."""
    differences: tuple[str, ...] = ()

    @field_validator("prompt")
    @classmethod
    def _holds_the_question(cls, prompt: str | None) -> str | None:
        if prompt is not None and prompt.count("{question}") != 1:
            raise ValueError("the prompt must hold {question} exactly once")
        return prompt

    @field_validator("metrics")
    @classmethod
    def _are_known(cls, metrics: Mapping[str, str]) -> Mapping[str, str]:
        for name in (*metrics, *metrics.values()):
            if name not in METRICS:
                raise ValueError(f"there is no metric {name}; {did_you_mean(name, METRICS)}")
        return metrics


class Protocol(TaskSettings):
    """One table of ``protocols.toml``."""

    title: str
    source: str
    answer: AnswerMode
    jpeg_quality: Annotated[int, Field(ge=1, le=95)] | None = None
    headline: tuple[str, ...] = ()
    tasks: Mapping[str, TaskSettings] = {}
    models: Mapping[str, PixelBoundsTable] = {}

    def task(self, name: str) -> TaskSettings | None:
        """What is said of a task of this name; ``docvqa`` also covers ``docvqa-lite``."""
        keys = [key for key in self.tasks if name == key or name.startswith((f"{key}-", f"{key}_"))]
        return self.tasks[max(keys, key=len)] if keys else None


class Applied(NamedTuple):
    """Models and tasks set up as a protocol asks."""

    models: tuple[ModelSpec, ...]
    tasks: tuple[Task, ...]
    record: dict[str, Any] | None
    """For ``run.json``: the protocol, what it set, and where the run deviates from it. None for native."""


@functools.cache
def protocols() -> Mapping[str, Protocol]:
    """Every protocol by name."""
    text = resources.files("bench.asking").joinpath("protocols.toml").read_text(encoding="utf-8")
    return {name: Protocol.model_validate(table) for name, table in tomllib.loads(text).items()}


def get_protocol(name: str) -> Protocol:
    """The protocol called ``name``.

    Raises:
        InvalidInput: there is none.
    """
    known = protocols()
    if name not in known:
        raise InvalidInput(
            f"there is no protocol {one_line(name, 60)!r}", hint=did_you_mean(name, known)
        )
    return known[name]


def apply(
    name: str,
    models: Sequence[ModelSpec],
    tasks: Sequence[Task],
    *,
    max_new_tokens: int | None = None,
    collection: str | None = None,
) -> Applied:
    """Set up models and tasks as the protocol ``name`` asks.

    Args:
        name: the protocol's name.
        models: the models; pixel bounds that they already have were asked for by a person, and stay.
        tasks: the tasks as they were loaded.
        max_new_tokens: the value that a person asked for, which wins.
        collection: the prompt collection that a person asked for, which wins where it has a prompt.

    Raises:
        InvalidInput: no such protocol, or two tasks need different pixel bounds.
    """
    protocol = get_protocol(name)
    if name == NATIVE:
        return Applied(tuple(models), tuple(tasks), None)
    deviations: list[str] = []
    if max_new_tokens is not None:
        deviations.append(f"--max-new-tokens {max_new_tokens} is used for every task.")
    if collection is not None:
        deviations.append(
            f"If {one_line(collection, 80)} has a prompt for a question, that prompt is used."
        )
    bounds = _shared_bounds(name, protocol, tasks)
    bounded = tuple(_model(protocol, bounds, spec, deviations) for spec in models)
    asked = tuple(_task(protocol, task) for task in tasks)
    differences = list(protocol.differences)
    for task in tasks:
        settings = protocol.task(task.name)
        if settings is not None:
            differences += settings.differences
        elif protocol.tasks:
            # A protocol without tables for tasks asks all tasks in the same way, so nothing is missing.
            deviations.append(
                f"It is not known how {name} asks {task.name}, so its general settings are used."
            )
    record = {
        "name": name,
        "title": protocol.title,
        "source": protocol.source,
        "answer": protocol.answer,
        "tasks": {task.name: _asked(task) for task in asked},
        "models": {spec.name: _bounds_of(spec) for spec in bounded},
        "deviations": deviations,
        "differences": list(dict.fromkeys(differences)),
    }
    return Applied(bounded, asked, record)


def _shared_bounds(name: str, protocol: Protocol, tasks: Sequence[Task]) -> PixelBoundsTable:
    """The bounds of all tasks: a model is loaded once, so it has one pair of bounds for all of them."""
    first_with: dict[tuple[int | None, int | None], str] = {}
    for task in tasks:
        own = protocol.task(task.name) or TaskSettings()
        first_with.setdefault((own.min_pixels, own.max_pixels), task.name)
    if len(first_with) > 1:
        first, second = list(first_with.values())[:2]
        raise InvalidInput(
            f"the protocol {name} resizes the pages of {first} and {second} differently",
            hint=f"run them separately: --tasks {shell_word(first)}, then --tasks {shell_word(second)}",
        )
    low, high = next(iter(first_with), (None, None))
    return PixelBoundsTable(min_pixels=low, max_pixels=high)


def _model(
    protocol: Protocol, bounds: PixelBoundsTable, spec: ModelSpec, deviations: list[str]
) -> ModelSpec:
    traits = traits_of(spec)
    # A protocol's bounds are those of a vision-language model; an OCR baseline reads pages as they are.
    if not traits.visual_tokens:
        return spec
    families = [table for key, table in protocol.models.items() if begins_name(key, spec)]
    family = families[0] if families else PixelBoundsTable()
    chosen: dict[str, int | None] = {}
    for key in ("min_pixels", "max_pixels"):
        # The most specific table that says something: the task's, the model family's, the protocol's.
        asked = _first(*(getattr(table, key) for table in (bounds, family, protocol)))
        own = getattr(spec, key)
        if own is not None and asked not in {None, own}:
            deviations.append(f"{spec.name}: {key} is {own}; the protocol sets {asked}.")
        chosen[key] = asked if own is None else own
    options = dict(spec.options)
    if protocol.jpeg_quality is not None and "jpeg_quality" in traits.options:
        options.setdefault("jpeg_quality", protocol.jpeg_quality)
    low, high = chosen["min_pixels"], chosen["max_pixels"]
    if low is not None and high is not None and low > high:
        raise InvalidInput(
            f"{spec.name}: min_pixels ({low}) is above max_pixels ({high}) under this protocol",
            hint="give both --min-pixels and --max-pixels",
        )
    return replace(spec, min_pixels=low, max_pixels=high, options=options)


def _task(protocol: Protocol, task: Task) -> Task:
    own = protocol.task(task.name) or TaskSettings()
    prompt = task.prompt
    if all(sample.answer_type == "text" for sample in task.samples):
        template = own.prompt or protocol.prompt or prompt.template
        prompt = PromptTemplate(template, _first(own.system, protocol.system, prompt.system))
    generation = Generation(
        _first(own.max_new_tokens, protocol.max_new_tokens, task.generation.max_new_tokens),
        _first(own.stop, protocol.stop, task.generation.stop),
    )
    types = {sample.answer_type for sample in task.samples}
    variants = {**protocol.metrics, **own.metrics}
    as_the_tool = [variants.get(metric, metric) for metric in task.metrics]
    named = dict.fromkeys([*protocol.headline, *as_the_tool, *task.metrics])
    metrics = tuple(metric for metric in named if types <= METRICS[metric].answer_types)
    changed = replace(task, prompt=prompt, generation=generation, metrics=metrics)
    # Another prompt is another task: runs under different protocols must not stand in one column.
    return replace(changed, digest=task_digest(changed))


def _first(*values: Any) -> Any:
    """The first value that is not None; None if all are."""
    return next((value for value in values if value is not None), None)


def _asked(task: Task) -> dict[str, Any]:
    return {
        "prompt": task.prompt.template,
        "system": task.prompt.system,
        "max_new_tokens": task.generation.max_new_tokens,
        "stop": list(task.generation.stop),
        "metrics": list(task.metrics),
    }


def _bounds_of(spec: ModelSpec) -> dict[str, Any]:
    return {
        "min_pixels": spec.min_pixels,
        "max_pixels": spec.max_pixels,
        "jpeg_quality": spec.options.get("jpeg_quality"),
    }

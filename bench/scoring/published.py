"""Published scores beside a run's: whether they agree, and what was done otherwise.

``published.toml`` holds the scores with their sources. A published score lies *within* where it is inside
the 95 % interval of ours, which is clustered by document: the two-sided test at 5 % that a random sample of
such documents has the published mean. Where the split is another one, the questions are others, and nothing
is tested.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.asking.protocols import NATIVE, Protocol, protocols
from bench.metrics import METRICS
from bench.rundir.store import RunStore
from bench.schema import Estimate, ModelSpec, Task
from bench.scoring.evaluation import Cell, Evaluation

Verdict = Literal["within", "below", "above", "not tested"]
"""Where our score stands: the published one lies within our interval, or ours is below or above it."""

_SPLITS = {"val": "validation", "dev": "validation", "valid": "validation"}


class PublishedScores(BaseModel):
    """One ``[[published]]`` table: a benchmark's scores from one source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    split: str
    metric: str
    scale: Annotated[float, Field(gt=0)]
    questions: Annotated[int, Field(gt=0)] | None = None
    protocol: str = ""
    source: str
    conditions: str = ""
    values: Mapping[str, float]

    @field_validator("metric")
    @classmethod
    def _is_known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"unknown metric {metric}")
        return metric

    @field_validator("protocol")
    @classmethod
    def _is_a_protocol(cls, protocol: str) -> str:
        if protocol and protocol not in protocols():
            raise ValueError(f"unknown protocol {protocol}")
        return protocol


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One published score beside one of ours."""

    model: str
    checkpoint: str
    """Hub id that the published score is of."""
    task: str
    metric: str
    """Ours: the published variant, or the headline where the run did not compute that."""
    split: str
    published: float
    """In our unit, 0 to 1."""
    printed: str
    """As the source prints it."""
    ours: Estimate
    difference: float | None
    """Ours minus published."""
    verdict: Verdict
    differences: tuple[str, ...]
    """What is known to differ: protocol, split, subset, precision, …"""
    conditions: str
    source: str


@functools.cache
def published_scores() -> tuple[PublishedScores, ...]:
    """Every table of ``published.toml``."""
    text = resources.files("bench.scoring").joinpath("published.toml").read_text(encoding="utf-8")
    return tuple(PublishedScores.model_validate(row) for row in tomllib.loads(text)["published"])


def headline_scores() -> dict[str, dict[str, str]]:
    """Hub id → benchmark → the score that its authors print first, with its split where that is known.

    A score reads as in its source: ``90.1 (test)``.
    """
    headlines: dict[str, dict[str, str]] = {}
    for scores in published_scores():
        split = f" ({scores.split})" if scores.split else ""
        for hub_id, value in scores.values.items():
            headlines.setdefault(hub_id, {}).setdefault(scores.benchmark, f"{value:g}{split}")
    return headlines


def published_comparison(evaluation: Evaluation) -> list[PublishedRow]:
    """Every published score that one of the run's models has on one of its tasks, in the run's order."""
    rows = []
    for (model, _), cell in evaluation.cells.items():
        spec = evaluation.run.model_spec(model)
        if spec.adapter is not None or cell.asked == 0:
            continue
        for scores in published_scores():
            found = _value(scores, spec)
            if found is not None and _is_benchmark(cell.task, scores.benchmark):
                rows.append(_row(evaluation.run, spec, cell, scores, found))
    return rows


def _value(scores: PublishedScores, spec: ModelSpec) -> tuple[str, float] | None:
    """Hub id and score of the model; a local folder is recognised by its name."""
    checkpoint = (spec.checkpoint or "").rstrip("/").lower()
    for hub_id, value in scores.values.items():
        if checkpoint == hub_id.lower() or _last(checkpoint) == _last(hub_id.lower()):
            return hub_id, value
    return None


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _is_benchmark(task: Task, benchmark: str) -> bool:
    return task.name == benchmark or task.name.startswith(f"{benchmark}-")


def _row(
    run: RunStore, spec: ModelSpec, cell: Cell, scores: PublishedScores, found: tuple[str, float]
) -> PublishedRow:
    hub_id, value = found
    metric = scores.metric if scores.metric in cell.estimates else cell.headline
    ours = cell.estimates[metric]
    split = _split(cell.task)
    published = value / scores.scale
    same_split = bool(scores.split) and scores.split == split
    same_kind = METRICS[metric].direction == METRICS[scores.metric].direction
    difference = None if ours.value is None else ours.value - published
    return PublishedRow(
        model=spec.name,
        checkpoint=hub_id,
        task=cell.task.name,
        metric=metric,
        split=scores.split,
        published=published,
        printed=f"{value:g}",
        ours=ours,
        difference=difference if same_kind else None,
        verdict=_verdict(ours, published) if same_split and same_kind else "not tested",
        differences=(
            *_of_questions(run, cell, scores, split),
            *_of_scoring(run, cell, scores, metric),
            *_of_model(run, spec, scores),
        ),
        conditions=scores.conditions,
        source=scores.source,
    )


def _verdict(ours: Estimate, published: float) -> Verdict:
    if ours.low is None or ours.high is None:
        return "not tested"
    if published > ours.high:
        return "below"
    return "above" if published < ours.low else "within"


def _split(task: Task) -> str:
    """The split that all samples name, or the one in the task's title; empty where neither says."""
    named = {sample.metadata.get("split", "").lower() for sample in task.samples}
    one = named.pop() if len(named) == 1 else ""
    one = one or task.title.rpartition(",")[2].strip().lower()
    one = _SPLITS.get(one, one)
    return one if one in {"train", "validation", "test"} else ""


def _of_questions(run: RunStore, cell: Cell, scores: PublishedScores, split: str) -> list[str]:
    found = []
    if not scores.split:
        found.append("The source does not say which split its score is of.")
    elif split != scores.split:
        ours = f"{split} here" if split else "not known here"
        found.append(f"Split: {ours}, {scores.split} there; the questions are others.")
    asked = len(cell.answers)
    if scores.questions is not None and split == scores.split and asked < scores.questions:
        settings = run.record.get("spec", {}).get("settings", {})
        how = "the first ones, no random sample" if settings.get("limit") else "a part"
        found.append(f"Subset: {asked:,} of {scores.questions:,} questions ({how}).")
    if cell.asked < asked:
        found.append(f"Unfinished: {cell.asked:,} of {asked:,} questions have been asked.")
    return found


def _of_scoring(run: RunStore, cell: Cell, scores: PublishedScores, metric: str) -> list[str]:
    found = []
    record = run.record.get("protocol") or {}
    name = str(record.get("name", NATIVE))
    if not scores.protocol:
        found.append(f"Protocol: {name} here; how the published score was measured is not known.")
    elif name != scores.protocol:
        found.append(
            f"Protocol: {name} here, {scores.protocol} there; --protocol {scores.protocol} asks alike."
        )
        wanted = protocols()[scores.protocol]
        found += _prompt_differences(cell.task, wanted)
    else:
        found += [
            str(text) for text in (*record.get("deviations", ()), *record.get("differences", ()))
        ]
    if metric != scores.metric:
        found.append(f"Metric: {metric} here, {scores.metric} there.")
    if cell.estimates[metric].failed:
        failed = cell.estimates[metric].failed
        found.append(f"Failed questions, which count as wrong: {failed:,}.")
    return found


def _prompt_differences(task: Task, wanted: Protocol) -> list[str]:
    own = wanted.task(task.name)
    prompt = (own.prompt if own is not None else None) or wanted.prompt
    tokens = (own.max_new_tokens if own is not None else None) or wanted.max_new_tokens
    found = []
    if prompt is not None and prompt != task.prompt.template:
        found.append("Prompt: another instruction follows the question.")
    if tokens is not None and tokens != task.generation.max_new_tokens:
        found.append(f"Answers: {task.generation.max_new_tokens} tokens here, {tokens} there.")
    return found


def _of_model(run: RunStore, spec: ModelSpec, scores: PublishedScores) -> list[str]:
    found = []
    if spec.quantization in {"nf4", "int8"}:
        found.append(f"Weights: quantized as {spec.quantization} when they were loaded.")
    details = (run.model_record(spec.name) or {}).get("details", {})
    dtype = str(details.get("dtype") or "")
    if spec.quantization is None and dtype and "bf" not in dtype.lower():
        found.append(f"Precision: {dtype} here, bfloat16 in the checkpoint.")
    if scores.protocol:
        wanted = protocols()[scores.protocol]
        for key in ("min_pixels", "max_pixels"):
            ours, theirs = details.get(key), getattr(wanted, key)
            if ours is not None and theirs is not None and ours != theirs:
                found.append(f"Pixels: {key} {ours:,} here, {theirs:,} there.")
    return found

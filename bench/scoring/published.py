"""Published scores beside a run's: whether they agree, and what was done otherwise.

``published.toml`` holds the scores with their sources; nothing else in the package does. A published
score agrees with ours if it lies inside our 95 % interval, which is clustered by document. This is the
two-sided test at 5 % of whether a random sample of such documents has the published mean. If the split is
another one, the questions are other ones, and nothing is tested.
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
from bench.formatting import plural
from bench.metrics import METRICS
from bench.rundir.store import RunStore
from bench.schema import Estimate, ModelSpec, Task
from bench.scoring.evaluation import Cell, Evaluation

PublishedVerdict = Literal["within", "below", "above", "not tested"]
"""Where our score stands. ``within``: the published score lies inside our interval. ``below`` and
``above``: our interval lies below or above the published score."""

_SPLITS = {"val": "validation", "dev": "validation", "valid": "validation"}
"""Other names of a split → its name in ``published.toml``."""


class PublishedScores(BaseModel):
    """One ``[[published]]`` table: a benchmark's scores from one source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    split: str
    metric: str = ""
    """Empty if this program does not compute it; then the score is shown, and never compared with."""
    scale: Annotated[float, Field(gt=0)]
    questions: Annotated[int, Field(gt=0)] | None = None
    protocol: str = ""
    source: str
    conditions: str = ""
    values: Mapping[str, float]

    @field_validator("metric")
    @classmethod
    def _is_known(cls, metric: str) -> str:
        if metric and metric not in METRICS:
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
    verdict: PublishedVerdict
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


@dataclass(frozen=True, slots=True)
class CheckpointScore:
    """One published score of one checkpoint."""

    checkpoint: str
    """Hub id that the score is of."""
    value: float
    """In the source's unit."""
    scores: PublishedScores
    """The table that it stands in: benchmark, split, metric, scale, source."""

    @property
    def printed(self) -> str:
        """The score as the source prints it."""
        return f"{self.value:g}"


def checkpoint_scores(checkpoint: str | None) -> tuple[CheckpointScore, ...]:
    """Every published score of ``checkpoint``, in the order of ``published.toml``.

    Args:
        checkpoint: a hub id, or a local folder, which is recognised by its last name. None, or a checkpoint
            that nothing is published of, has no scores.
    """
    wanted = (checkpoint or "").rstrip("/").lower()
    matches = []
    for scores in published_scores():
        for hub_id, value in scores.values.items():
            if wanted == hub_id.lower() or _last_part(wanted) == _last_part(hub_id.lower()):
                matches.append(CheckpointScore(hub_id, value, scores))
                break
    return tuple(matches)


def _last_part(path: str) -> str:
    return path.rpartition("/")[2]


def published_comparison(evaluation: Evaluation) -> list[PublishedRow]:
    """Every published score that one of the run's models has on one of its tasks, in the run's order."""
    rows = []
    for (model, _), cell in evaluation.cells.items():
        spec = evaluation.run.model_spec(model)
        # With an adapter it is another model, of which nothing is published.
        if spec.adapter is not None or cell.asked == 0:
            continue
        rows += [
            _row(evaluation.run, spec, cell, score)
            for score in checkpoint_scores(spec.checkpoint)
            if score.scores.metric and _is_benchmark(cell.task, score.scores.benchmark)
        ]
    return rows


def _is_benchmark(task: Task, benchmark: str) -> bool:
    return task.name == benchmark or task.name.startswith(f"{benchmark}-")


def _row(run: RunStore, spec: ModelSpec, cell: Cell, score: CheckpointScore) -> PublishedRow:
    scores = score.scores
    metric = scores.metric if scores.metric in cell.estimates else cell.headline
    ours = cell.estimates[metric]
    split = _split(cell.task)
    published = score.value / scores.scale
    same_split = bool(scores.split) and scores.split == split
    same_kind = METRICS[metric].direction == METRICS[scores.metric].direction
    difference = None if ours.value is None else ours.value - published
    return PublishedRow(
        model=spec.name,
        checkpoint=score.checkpoint,
        task=cell.task.name,
        metric=metric,
        split=scores.split,
        published=published,
        printed=score.printed,
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


def _verdict(ours: Estimate, published: float) -> PublishedVerdict:
    if ours.low is None or ours.high is None:
        return "not tested"
    if published > ours.high:
        return "below"
    return "above" if published < ours.low else "within"


def _split(task: Task) -> str:
    """The split that all samples name, or the one that ends the task's title; empty if neither says."""
    named = {sample.metadata.get("split", "").lower() for sample in task.samples}
    split = named.pop() if len(named) == 1 else ""
    if not split:
        split = task.title.rpartition(",")[2].strip().lower()
    split = _SPLITS.get(split, split)
    return split if split in {"train", "validation", "test"} else ""


def _of_questions(run: RunStore, cell: Cell, scores: PublishedScores, split: str) -> list[str]:
    """How the questions differ from those of the source."""
    differences = []
    if not scores.split:
        differences.append("The source does not say which split its score is of.")
    elif split != scores.split:
        ours = f"{split} here" if split else "not known here"
        differences.append(f"Split: {ours}, {scores.split} there; the questions are other ones.")
    given = len(cell.answers)
    if scores.questions is not None and split == scores.split and given < scores.questions:
        how = "the first ones, no random sample" if run.settings.get("limit") else "a part"
        differences.append(f"Subset: {given:,} of {scores.questions:,} questions ({how}).")
    if cell.asked < given:
        differences.append(
            f"Unfinished: {cell.asked:,} of {given:,} questions have been asked so far."
        )
    return differences


def _of_scoring(run: RunStore, cell: Cell, scores: PublishedScores, metric: str) -> list[str]:
    """How protocol and metric differ from those of the source."""
    differences = []
    record = run.record.get("protocol") or {}
    name = str(record.get("name", NATIVE))
    if not scores.protocol:
        differences.append(
            f"Protocol: {name} here; how the published score was measured is not known."
        )
    elif name != scores.protocol:
        differences.append(
            f"Protocol: {name} here, {scores.protocol} there. "
            f"With --protocol {scores.protocol} the questions are asked as there."
        )
        differences += _prompt_differences(cell.task, protocols()[scores.protocol])
    else:
        recorded = (*record.get("deviations", ()), *record.get("differences", ()))
        differences += [str(text) for text in recorded]
    if metric != scores.metric:
        differences.append(f"Metric: {metric} here, {scores.metric} there.")
    failed = cell.estimates[metric].failed
    if failed:
        differences.append(f"{plural(failed, 'question')} failed and counted as wrong.")
    return differences


def _prompt_differences(task: Task, protocol: Protocol) -> list[str]:
    own = protocol.task(task.name)
    prompt = (own.prompt if own is not None else None) or protocol.prompt
    tokens = (own.max_new_tokens if own is not None else None) or protocol.max_new_tokens
    differences = []
    if prompt is not None and prompt != task.prompt.template:
        differences.append("Prompt: another instruction follows the question.")
    if tokens is not None and tokens != task.generation.max_new_tokens:
        ours = task.generation.max_new_tokens
        differences.append(f"Answers: up to {ours} tokens here, up to {tokens} there.")
    return differences


def _of_model(run: RunStore, spec: ModelSpec, scores: PublishedScores) -> list[str]:
    """How weights, precision and pixel bounds differ from those of the source."""
    differences = []
    if spec.quantization in {"nf4", "int8"}:
        differences.append(f"Weights: quantized as {spec.quantization} here when they were loaded.")
    details = (run.model_record(spec.name) or {}).get("details", {})
    dtype = str(details.get("dtype") or "")
    if spec.quantization is None and dtype and "bf" not in dtype.lower():
        differences.append(f"Precision: {dtype} here, bfloat16 in the checkpoint.")
    if scores.protocol:
        protocol = protocols()[scores.protocol]
        for key in ("min_pixels", "max_pixels"):
            ours, theirs = details.get(key), getattr(protocol, key)
            if isinstance(ours, int) and theirs is not None and ours != theirs:
                differences.append(f"Pixels: {key} is {ours:,} here, {theirs:,} there.")
    return differences

"""Scores as ``.eval_results/*.yaml``, the files of a model's repository from which the Hub shows results.

The form is that of hub-docs, ``docs/hub/eval-results.md`` (064c7548): a list of entries with ``dataset``
(``id``, ``task_id``, ``revision``), ``value``, ``date``, ``source`` and ``notes``. A data set is a benchmark
of the Hub if its repository has an ``eval.yaml``, which names the benchmark's tasks by config and split.

A number there stands for the whole of a benchmark's task. What measured less, or something else, is refused;
what was done otherwise but measures the same questions stands in the notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.asking.protocols import NATIVE
from bench.errors import InvalidInput, did_you_mean
from bench.formatting import plural, score
from bench.metrics import METRICS
from bench.parsing import MAX_TOML_BYTES, read_text
from bench.publishing.described import (
    LIBRARY,
    harness_of,
    prompt_sources,
    protocol_of,
    restrictions,
    settings_of,
    unique_names,
)
from bench.report.records import text
from bench.schema import Estimate
from bench.scoring.evaluation import Cell, Evaluation
from bench.tasks.cache import HubOrigin, hub_origin
from bench.text import one_line

FOLDER = ".eval_results"
"""Folder of a model's repository."""
BENCHMARK_FILE = "eval.yaml"
"""File of a data set's repository that makes it a benchmark."""

_LONGEST = 4_000
"""Characters of the notes."""


class BenchmarkTask(NamedTuple):
    """One task of an ``eval.yaml``."""

    id: str
    config: str
    split: str


class ResultSource(NamedTuple):
    """Who stands for a result: where it can be looked at, and the names that the Hub shows."""

    url: str
    name: str | None = None
    user: str | None = None


class HubResult(NamedTuple):
    """One file of ``.eval_results``."""

    name: str
    content: str


def read_benchmark(path: Path) -> tuple[BenchmarkTask, ...]:
    """The tasks of the benchmark that ``path``, an ``eval.yaml``, describes.

    Raises:
        InvalidInput: the file cannot be read, or it names no tasks.
    """
    import yaml

    try:
        content = yaml.safe_load(read_text(path, MAX_TOML_BYTES))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not YAML: {one_line(error, 140)}") from None
    listed = content.get("tasks") if isinstance(content, dict) else None
    tasks = [_benchmark_task(entry) for entry in (listed if isinstance(listed, list) else [])]
    known = tuple(task for task in tasks if task is not None)
    if not known:
        raise InvalidInput(
            f"{path} names no tasks",
            hint="it should be the eval.yaml of a data set's repository, with tasks: - id, config, split",
        )
    return known


def _benchmark_task(entry: Any) -> BenchmarkTask | None:
    if not isinstance(entry, dict):
        return None
    parts: list[Any] = [entry.get("id"), entry.get("config") or "default", entry.get("split")]
    # What cannot be shown as it is was not meant as a name.
    are_names = all(isinstance(part, str) and part and one_line(part) == part for part in parts)
    return BenchmarkTask(*parts) if are_names else None


def obstacles(evaluation: Evaluation, model: str, task: str) -> list[str]:
    """Why the score of a model on a task is not one that may stand on the Hub; empty if it is."""
    run, cell = evaluation.run, evaluation.cells[model, task]
    reasons = restrictions(run, cell)
    if run.model_record(model) is None:
        reasons.append("how the answers were made is not on record, as for answers from a file")
    if hub_origin(cell.task.source) is None:
        reasons.append("its questions do not come from a data set of the Hub (bench pull)")
    return reasons


def entry_task(
    origin: HubOrigin, tasks: Sequence[BenchmarkTask], task_id: str | None = None
) -> BenchmarkTask:
    """The task of a benchmark that has the questions of ``origin``.

    Raises:
        InvalidInput: none has them, or several have and ``task_id`` does not name one of them.
    """
    if task_id is not None:
        ids = [task.id for task in tasks]
        if task_id not in ids:
            raise InvalidInput(
                f"the benchmark {origin.hub_id} has no task {one_line(task_id, 60)!r}",
                hint=did_you_mean(task_id, ids),
            )
        tasks = [task for task in tasks if task.id == task_id]
    config = origin.config or "default"
    fitting = [task for task in tasks if (task.config, task.split) == (config, origin.split)]
    if not fitting:
        offered = ", ".join(f"{task.id} ({task.config}, {task.split})" for task in tasks[:4])
        raise InvalidInput(
            f"the benchmark {origin.hub_id} has no task with the questions that were asked, config "
            f"{one_line(config, 60)} and split {one_line(origin.split, 60)}; it has {one_line(offered)}"
        )
    if len(fitting) > 1:
        raise InvalidInput(
            f"{plural(len(fitting), 'task')} of the benchmark {origin.hub_id} have these questions",
            hint="name one: " + ", ".join(f"--task-id {task.id}" for task in fitting[:4]),
        )
    return fitting[0]


def check_source(source: ResultSource) -> None:
    """Refuse an address that the Hub could not show, or that holds a password.

    Raises:
        InvalidInput: it is no such address.
    """
    try:
        parts = urlsplit(source.url)
        is_shown = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_shown = False
    is_one_word = one_line(source.url, 2_000) == source.url and " " not in source.url
    if not (is_shown and is_one_word):
        raise InvalidInput(
            f"--source-url {one_line(source.url, 80)} is not an address without a password",
            hint="--source-url https://…",
        )


def hub_result(
    evaluation: Evaluation,
    model: str,
    task: str,
    benchmark: BenchmarkTask,
    *,
    metric: str | None = None,
    percent: bool = False,
    source: ResultSource | None = None,
) -> HubResult:
    """The file with the score of a model on a task.

    Args:
        evaluation: the scored run.
        model: one of its models.
        task: one of its tasks, for which there are no ``obstacles``.
        benchmark: the task of the Hub's benchmark.
        metric: the metric whose mean is written; None for the task's headline.
        percent: whether the score is written times 100.
        source: who stands for it.

    Raises:
        InvalidInput: the run did not compute the metric, or it has no value.
    """
    import yaml

    cell = evaluation.cells[model, task]
    name = metric or cell.headline
    if name not in cell.estimates:
        raise InvalidInput(
            f"{task} was not scored by {one_line(name, 60)!r}",
            hint=did_you_mean(name, cell.estimates),
        )
    estimate = cell.estimates[name]
    if estimate.value is None:
        raise InvalidInput(
            f"no answer of {one_line(model, 60)} to {task} could be scored by {name}"
        )
    origin = hub_origin(cell.task.source)
    assert origin is not None, "obstacles come first"
    entry: dict[str, Any] = {
        "dataset": {"id": origin.hub_id, "task_id": benchmark.id, "revision": origin.revision},
        "value": round(estimate.value * 100, 4) if percent else round(estimate.value, 6),
    }
    if date := _date(text(evaluation.run.record.get("started"))):
        entry["date"] = date
    if source is not None:
        told = {"url": source.url, "name": source.name, "user": source.user}
        entry["source"] = {key: one_line(value) for key, value in told.items() if value}
    entry["notes"] = one_line(" ".join(_notes(evaluation, cell, name, estimate)), _LONGEST)
    names = unique_names(evaluation.models)
    content = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=100)
    return HubResult(f"{task}-{names[model]}.yaml", content)


def _date(moment: str) -> str | None:
    """The day of an ISO 8601 time; None for anything else."""
    try:
        return datetime.fromisoformat(moment).date().isoformat()
    except ValueError:
        return None


def _notes(evaluation: Evaluation, cell: Cell, metric: str, estimate: Estimate) -> list[str]:
    """Sentences: what the number is, how it was asked, and what differs from the plain way."""
    run, task = evaluation.run, cell.task
    known = METRICS.get(metric)
    title = metric if known is None else f"{known.title} ({known.name})"
    documents = plural(estimate.clusters, "document")
    interval = (
        f"95 % interval {score(estimate.low)} to {score(estimate.high)}, clustered by document"
        if estimate.low is not None
        else "without an interval"
    )
    harness = harness_of(run)
    commit = f", commit {harness['commit']}" if "commit" in harness else ""
    notes = [
        f"{title}: {score(estimate.value)}, {interval}.",
        f"{plural(estimate.n, 'question')} on {documents}, each asked once.",
        f"Measured with {LIBRARY} {harness.get('asked_by', harness['scored_by'])}{commit}.",
    ]
    if known is not None and known.direction == "lower":
        notes.append("Lower is better.")
    notes += _how_asked(evaluation, cell)
    notes += [f"{remark[:1].upper()}{remark[1:]}." for remark in _remarks(task.source)]
    if estimate.failed:
        notes.append(
            f"{plural(estimate.failed, 'question')} ended in an error, which counts as wrong."
        )
    if estimate.unscored:
        notes.append(f"{plural(estimate.unscored, 'question')} could not be scored.")
    degraded = sum(a.output is not None and a.output.degraded is not None for a in cell.answers)
    if degraded:
        notes.append(f"For {plural(degraded, 'question')}, pages were shrunk for want of memory.")
    doubted = sum(answer.doubt is not None for answer in cell.answers)
    if doubted:
        notes.append(f"For {plural(doubted, 'question')}, the server changed the pages.")
    return notes


def _how_asked(evaluation: Evaluation, cell: Cell) -> list[str]:
    run, model, task = evaluation.run, cell.model, cell.task
    sources = prompt_sources(run, model, task) or ["task"]
    protocol = protocol_of(run)
    prompt = "the task's own" if sources == ["task"] else ", ".join(sources)
    if protocol != NATIVE and sources == ["task"]:
        prompt = f"that of the protocol {protocol}"
    notes = [
        f"Protocol: {protocol}. Prompt: {prompt}. Answers of up to "
        f"{plural(task.generation.max_new_tokens, 'token')}."
    ]
    settings = settings_of(run, model)
    named = [f"{key} {value}" for key, value in settings.items() if key != "backend"]
    notes.append(f"Backend {'; '.join([settings['backend'], *named])}.")
    if run.model_spec(model).quantization is not None:
        notes.append("These are the quantized weights, not the original ones.")
    if run.model_spec(model).adapter is not None:
        notes.append("The checkpoint was measured with an adapter.")
    if run.settings.get("upright"):
        notes.append("Pages that lay sideways or upside down were turned first.")
    return notes


def _remarks(source: str) -> tuple[str, ...]:
    origin = hub_origin(source)
    return () if origin is None else origin.remarks

"""A row of the leaderboard: one model in one run, what it scored and what was measured of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench import formatting
from bench.metrics.metric import MetricValue
from bench.report.facts import measure
from bench.report.measurements import Facts, Traits
from bench.report.records import nested, number, text
from bench.report.views import LoadFailure, ModelRow, RunView, TaskScore
from bench.rundir.store import RunStore
from bench.schema import Estimate
from bench.scoring.answers import Answer
from bench.scoring.comparison import Side
from bench.scoring.evaluation import Cell, Evaluation, document_key
from bench.scoring.levels import Level
from bench.stats import balanced, cluster_mean
from bench.text import without_user_info

_SETUP = ("checkpoint", "revision", "quantization", "adapter", "dtype", "attention")
_BOUNDS = ("min_pixels", "max_pixels")


@dataclass(frozen=True, slots=True)
class RowSource:
    """One model in one run, before it becomes a row."""

    key: str
    name: str
    evaluation: Evaluation
    run: RunView
    task_keys: Mapping[str, str]
    """Name of the task → key in the report."""


def model_row(source: RowSource, levels: Mapping[Level, int], *, comparable: bool) -> ModelRow:
    """The leaderboard's row of one model in one run.

    Args:
        source: the model and its run.
        levels: how many of its answers are how right.
        comparable: whether the tasks' headline metrics have a common score.
    """
    evaluation, model, keys = source.evaluation, source.name, source.task_keys
    run, side = evaluation.run, Side(evaluation, model)
    cells = {task: evaluation.cells[model, task] for task in evaluation.tasks}
    record = _leniently(run.model_record, model)
    failure = _failure(_leniently(run.failure, model))
    by_task = {task: run.batches(model, task) for task in cells}
    batches = [batch for of_task in by_task.values() for batch in of_task]
    latencies = [record for task in cells for record in run.latencies(model, task)]
    answers = [answer for cell in cells.values() for answer in cell.answers]
    pages = _measured_pages(by_task, cells)
    traits = recorded_traits(record)
    facts = measure(record, batches, latencies, answers, run.monitor(model), len(pages) or None)
    facts = of_the_model(facts, traits)
    asked, total = sum(cell.asked for cell in cells.values()), len(answers)
    tasks = {keys[task]: _task_score(keys[task], cell) for task, cell in cells.items()}
    trained = {keys[task]: side.trained(task) for task in cells}
    state = _row_state(source.run.state, failure, asked, total)
    so_far = asked < total
    device = text(nested(record, "device"))
    if not device and record is not None:
        device = text(run.model_spec(model).device)
    return ModelRow(
        key=source.key,
        name=model,
        run=source.run.id,
        state=state,
        failure=failure if state != "complete" else None,
        rank=None,
        tied=False,
        score=_overall(evaluation, model, cells, so_far) if comparable and asked > 0 else None,
        so_far=so_far,
        tasks=tasks,
        levels=levels,
        facts=facts,
        traits=traits,
        asked=asked,
        samples=total,
        failed=sum(answer.failed and answer.output is not None for answer in answers),
        degraded=_degraded(answers),
        doubted=sum(answer.doubt is not None for answer in answers),
        untimed=sum(_untimed(by_task[task], cell) for task, cell in cells.items()),
        device=device,
        hardware=_machine(run, record, device, traits),
        parameters=_whole(nested(record, "parameters")),
        setup=_setup(run.model_spec(model), record, facts),
        warnings=_warnings(record, batches),
        page_reuse=_page_reuse(nested(record, "details")),
        trained={task: part for task, part in trained.items() if part is not None},
    )


def of_the_model(facts: Facts, traits: Traits) -> Facts:
    """``facts`` without what this machine measured of itself, where the model is on another one."""
    if traits.local_memory is False or traits.runs_in == "server":
        return replace(facts, memory=None, energy=None, conditions=None, memory_after_load={})
    return facts


def recorded_traits(record: Mapping[str, Any] | None) -> Traits:
    """What the record says of the backend; a record without ``traits`` says nothing."""
    traits = nested(record, "traits") or nested(record, "details", "traits")
    if not isinstance(traits, Mapping):
        return Traits()
    flags = {
        key: traits[key]
        for key in ("token_counts", "first_token_times")
        if isinstance(traits.get(key), bool)
    }
    local_memory = traits["memory"] is not None if "memory" in traits else None
    return Traits(text(traits.get("runs_in")), local_memory, **flags)


def _measured_pages(
    batches: Mapping[str, Sequence[Mapping[str, Any]]], cells: Mapping[str, Cell]
) -> set[str]:
    """Keys of the pages that the questions of the measured batches are about."""
    pages: set[str] = set()
    for name, cell in cells.items():
        timed = _timed_samples(batches[name])
        for answer in cell.answers:
            if answer.sample.id in timed:
                document = cell.task.documents[answer.sample.document_id]
                pages.update(page.key for page in document.pages)
    return pages


def _timed_samples(batches: Sequence[Mapping[str, Any]]) -> set[str]:
    """Ids of the questions whose batch was measured."""
    timed: set[str] = set()
    for batch in batches:
        samples = batch.get("samples")
        if number(batch.get("seconds")) is not None and isinstance(samples, list):
            timed.update(map(str, samples))
    return timed


def _untimed(batches: Sequence[Mapping[str, Any]], cell: Cell) -> int:
    """Answers of a task whose batch has no measurement; none if nothing was measured at all."""
    timed = _timed_samples(batches)
    answered = {answer.sample.id for answer in cell.answers if answer.output is not None}
    return len(answered - timed) if timed else 0


def _degraded(answers: Sequence[Answer]) -> dict[int, int]:
    forced = [a.output.degraded for a in answers if a.output is not None]
    return dict(sorted(Counter(bound for bound in forced if bound is not None).items()))


def _leniently(read: Any, model: str) -> Mapping[str, Any] | None:
    record = read(model)
    return record if isinstance(record, Mapping) else None


def _whole(value: Any) -> int | None:
    known = number(value)
    return None if known is None else int(known)


def _failure(record: Mapping[str, Any] | None) -> LoadFailure | None:
    if record is None:
        return None
    return LoadFailure(*(text(record.get(key)) for key in ("error", "message", "hint", "when")))


def _row_state(run_state: str, failure: LoadFailure | None, asked: int, total: int) -> str:
    if asked >= total:
        return "complete"
    if run_state == "running":
        # A failure record may be left from the attempt before this one.
        return "running"
    return "failed" if failure is not None else "unfinished"


def _setup(spec: Any, record: Mapping[str, Any] | None, facts: Facts) -> dict[str, str]:
    """What was loaded, where the record says; what was asked for otherwise."""
    details = nested(record, "details")
    setup: dict[str, str] = {"backend": text(nested(record, "backend")) or spec.backend}
    for key in (*_SETUP, *_BOUNDS):
        value = nested(details, key)
        value = getattr(spec, key) if value is None else value
        if value not in (None, "", "auto"):
            shown = formatting.count(value) if key in _BOUNDS and number(value) else str(value)
            setup[key] = without_user_info(shown)
    devices = nested(record, "devices")
    if isinstance(devices, list):
        setup["devices"] = ", ".join(text(nested(device, "device")) for device in devices)
    if isinstance(details, Mapping):
        for key, value in details.items():
            if key not in setup and isinstance(value, str | int | float | bool):
                setup[str(key)] = without_user_info(str(value))
    if facts.throughput is not None and facts.throughput.largest_batch is not None:
        setup["largest batch"] = str(facts.throughput.largest_batch)
    return setup


def sentences(value: Any) -> tuple[str, ...]:
    """The texts of a record's list; records are other programs' work, so anything else is passed over."""
    items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(dict.fromkeys(item.strip() for item in items if isinstance(item, str) and item))


def _warnings(
    record: Mapping[str, Any] | None, batches: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """What the model said of its own limits, when it was loaded and in its batches."""
    at_loading = sentences(nested(record, "details", "warnings"))
    return (*at_loading, *_turned_pages(batches), *_without_graphs(batches))


def _turned_pages(batches: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many pages the model turned upright by itself, as the notes of its batches say."""
    turned: set[str] = set()
    for batch in batches:
        pages = nested(batch, "notes", "turned_pages")
        turned.update(map(str, pages) if isinstance(pages, Mapping) else ())
    if not turned:
        return []
    count = formatting.plural(len(turned), "page")
    return [f"{count} lay sideways or upside down, and it turned them before it read them"]


def _without_graphs(batches: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many calls decoded without CUDA graphs, as the batches' notes say, though the record names them."""
    noted = [text(nested(batch, "notes", "decoding_steps")) for batch in batches]
    reasons = [note.partition(": ")[2] for note in noted if note]
    if not reasons:
        return []
    calls = formatting.plural(len(batches), "call")
    return [
        f"{len(reasons):,} of {calls} decoded without CUDA graphs, which is slower: {reasons[0]}"
    ]


def _page_reuse(details: Any) -> str:
    said = nested(details, "page_reuse")
    said = nested(details, "reuse") if said is None else said
    if isinstance(said, bool):
        return "a page is encoded once for its questions" if said else "none"
    return said if isinstance(said, str) else ""


def _task_score(key: str, cell: Cell) -> TaskScore:
    estimates, raw = cell.estimates, cell.raw_headline
    if 0 < cell.asked < len(cell.answers):
        estimates = {m: _asked_only([(cell, m)]) for m in cell.task.metrics}
    return TaskScore(
        task=key,
        estimate=estimates[cell.headline],
        estimates=estimates,
        raw=raw,
        equivalent=cell.equivalent,
        mistakes=cell.mistakes,
        asked=cell.asked,
        samples=len(cell.answers),
    )


def _overall(
    evaluation: Evaluation, model: str, cells: Mapping[str, Cell], so_far: bool
) -> Estimate | None:
    if so_far:
        return _asked_only([(cell, cell.headline) for cell in cells.values() if cell.asked > 0])
    if model in evaluation.overall:
        return evaluation.overall[model]
    return next(iter(cells.values())).estimates[next(iter(cells.values())).headline]


def _asked_only(parts: Sequence[tuple[Cell, str]]) -> Estimate:
    """An estimate over the questions asked so far: those still open are no failures."""
    scores: list[MetricValue] = []
    tasks: list[int] = []
    clusters: list[str] = []
    failed = 0
    for task, (cell, metric) in enumerate(parts):
        for answer in cell.answers:
            if answer.output is not None:
                scores.append(answer.scores[metric])
                tasks.append(task)
                clusters.append(document_key(cell.task, answer.sample.document_id))
                failed += answer.failed
    weights = balanced(
        np.array([score.weight for score in scores]),
        np.array(tasks),
        np.array([score.value is not None for score in scores]),
    )
    return cluster_mean([score.value for score in scores], weights, clusters, failed=failed)


def _machine(run: RunStore, record: Mapping[str, Any] | None, device: str, traits: Traits) -> str:
    """The device that the model ran on, in words; empty if it is a server's or not known."""
    if not device or traits.runs_in == "server":
        return ""
    # A model on a cluster says on which machine it ran.
    return hardware(nested(record, "details", "node") or nested(run.record, "environment"), device)


def hardware(environment: Any, device: str) -> str:
    """The device in words: the GPU's name, or the CPU's."""
    gpus = nested(environment, "gpus")
    if device.startswith("cuda") and isinstance(gpus, list) and gpus:
        index = re.fullmatch(r"cuda:(\d+)", device)
        gpu = gpus[min(int(index[1]), len(gpus) - 1)] if index else gpus[0]
        memory = number(nested(gpu, "memory_bytes"))
        size = f" {formatting.gib(memory)} GiB" if memory is not None else ""
        return f"{text(nested(gpu, 'name')) or 'GPU'}{size}"
    cores = number(nested(environment, "cores"))
    name = text(nested(environment, "cpu")) or "CPU"
    return f"{name} ({formatting.plural(int(cores), 'core')})" if cores is not None else name

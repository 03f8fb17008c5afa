"""From scored answers to estimates: an evaluation is a pure function of the run directory.

It needs no model, no GPU and no data set, so a metric that is corrected tomorrow scores the runs of today
again. Scores are written in a fixed order and without time stamps: equal outputs give equal bytes.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, cast

import bench
from bench.asking.protocols import AnswerMode
from bench.errors import InvalidInput
from bench.files import write_atomically, write_json
from bench.measure import collector_paused
from bench.metrics import METRICS, Metric, get_metric
from bench.metrics.calibration import CORPUS_METRICS
from bench.metrics.mistakes import MISTAKES
from bench.rundir.store import SUMMARY_FILE, RunStore
from bench.schema import Estimate, Task
from bench.scoring.answers import Answer, score_models
from bench.scoring.leaves import is_structured, scores_by_path
from bench.scoring.levels import common_direction
from bench.scoring.processes import ScoringProcesses, scoring_processes
from bench.scoring.reuse import (
    common_parts,
    made_from,
    scores_path,
    stored_answers,
    write_digests,
)
from bench.stats import ScoreBounds, cluster_mean, score_bounds

GRADED_TYPES = frozenset({"description", "markdown"})
"""Types of answers that are more or less good, but never simply right."""

FIELD = "field"
SLICES = ("language", "doc_type", FIELD)
"""Metadata keys by which every report breaks scores down."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one task: a cell of the table of models by tasks."""

    model: str
    task: Task
    answers: tuple[Answer, ...]
    """One for each sample of the task, in the task's order."""
    estimates: Mapping[str, Estimate]
    """By metric name."""
    raw_headline: Estimate
    """The headline metric on raw texts. Its distance from the headline estimate is what extraction
    changes."""
    asked: int
    """Samples with an output, failures included; fewer than ``answers`` while a run is unfinished."""
    equivalent: Estimate | None
    """Share of answers that are right, or wrong only in format; None for ``GRADED_TYPES``."""
    source: str | None = None
    """Digest of what the scores were computed from; None for a part of a task."""
    was_stored: bool = False
    """Whether the scores were on the disk already."""

    @property
    def headline(self) -> str:
        """The task's first metric."""
        return self.task.metrics[0]

    @property
    def mistakes(self) -> dict[str, int]:
        """Number of wrong answers by class, in the order of the classes."""
        counts = Counter(answer.mistake for answer in self.answers if answer.mistake is not None)
        return {name: counts[name] for name in MISTAKES if counts[name]}

    @property
    def bounds(self) -> ScoreBounds:
        """How far failures and unscored samples could move the headline."""
        values: list[float | None] = []
        weights: list[float] = []
        failed = 0.0
        for answer in self.answers:
            value, weight = answer.scores[self.headline]
            if answer.failed and value is not None:
                failed += weight
            elif answer.output is not None:
                values.append(value)
                # What is too large to be scored has no weight, but might have had a score.
                weights.append(weight or 1.0)
        worst, best = (0.0, 1.0) if METRICS[self.headline].direction == "higher" else (1.0, 0.0)
        return score_bounds(values, failed, worst=worst, best=best, weights=weights)

    @property
    def calibration(self) -> dict[str, float | None]:
        """``ece`` and ``brier`` of the answers' confidences; empty if the model gives none."""
        confidences: list[float] = []
        correct: list[float] = []
        for answer in self.answers:
            if answer.output is None or answer.output.confidence is None:
                continue
            if answer.sample.answer_type not in GRADED_TYPES:
                confidences.append(answer.output.confidence)
                correct.append(float(answer.mistake is None))
        if not confidences:
            return {}
        return {
            metric.name: metric.compute(confidences, correct) for metric in CORPUS_METRICS.values()
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A whole run, scored."""

    run: RunStore
    tasks: Mapping[str, Task]
    models: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    """By (model, task)."""
    overall: Mapping[str, Estimate]
    """By model: the mean of the tasks' headline scores, in which every task counts the same, on clean pages.
    It is empty if a headline is an error rate, which cannot be averaged with accuracies."""
    slices: Mapping[str, Mapping[str, Mapping[str, Estimate]]] = field(default_factory=dict)
    """Metadata key → value → model → estimate of the headline scores."""

    @property
    def clean(self) -> Evaluation:
        """The part on pages as they are."""
        return self._part(lambda task: task.perturbation is None)

    @property
    def perturbed(self) -> Evaluation:
        """The part on perturbed pages; its ``overall`` and ``slices`` are still those of clean pages."""
        return self._part(lambda task: task.perturbation is not None)

    def _part(self, belongs: Callable[[Task], bool]) -> Evaluation:
        tasks = {name: task for name, task in self.tasks.items() if belongs(task)}
        cells = {key: cell for key, cell in self.cells.items() if key[1] in tasks}
        return replace(self, tasks=tasks, cells=cells)

    @property
    def was_stored(self) -> bool:
        """Whether all scores were on the disk already."""
        return all(cell.was_stored for cell in self.cells.values())


@collector_paused()
def evaluate(
    run: RunStore,
    metrics: Sequence[str] | None = None,
    *,
    only: Sequence[str] | None = None,
    mistakes: bool = True,
    reuse: bool = True,
    in_processes: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score every output of ``run``.

    Args:
        run: the run directory.
        metrics: names that replace each task's own metrics; the first becomes the headline.
        only: names of the models that are scored; None scores all.
        mistakes: whether the kind of each mistake is found. Without it, no answer says what is wrong, and
            ``equivalent`` and slices are left out.
        reuse: whether scores on the disk that belong to the same answers, metrics and program are used. A run
            from somebody else may hold scores that were never computed.
        in_processes: whether several processes may score a large run. They are spawned, so a script that
            allows it must guard its main part by ``if __name__ == "__main__"``.
        progress: is called with how many answers are scored, and how many there are.

    Raises:
        InvalidInput: an unknown metric, or one that does not fit a task's type of answer.
        EnvironmentProblem: the system ended one of the processes.
    """
    tasks = {}
    for name in run.task_names():
        task = run.load_task(name)
        tasks[name] = replace(task, metrics=check_metrics(task, metrics))
    models = tuple(run.model_names() if only is None else only)
    scored: dict[tuple[str, str], Cell] = {}
    count = _Count(len(models) * sum(len(task.samples) for task in tasks.values()), progress)
    with scoring_processes(count.total if in_processes else 0) as processes:
        for task in tasks.values():
            for cell in _score_task(
                run, task, models, processes, count, mistakes=mistakes, reuse=reuse
            ):
                scored[cell.model, task.name] = cell
    cells = {(model, name): scored[model, name] for model in models for name in tasks}
    evaluation = Evaluation(run, tasks, models, cells, overall={})
    clean = evaluation.clean
    if common_direction(task.metrics[0] for task in clean.tasks.values()) is None:
        return evaluation
    overall: dict[str, Estimate] = {}
    for model in models:
        cells_of_model = [cells[model, name] for name in clean.tasks]
        overall[model] = _overall(cells_of_model)
    slices = _slices(clean.cells.values()) if mistakes else {}
    return replace(evaluation, overall=overall, slices=slices)


def evaluate_sample(run: RunStore, wanted: str) -> Evaluation:
    """Score one sample alone, without reading the answers to the others.

    Args:
        run: the run directory.
        wanted: the sample's id, or ``task/id``. The evaluation has the tasks with such a sample, each with
            the questions about its document; it has none if no task has one.
    """
    tasks: dict[str, Task] = {}
    cells: dict[tuple[str, str], Cell] = {}
    for name in run.task_names():
        for sample_id in dict.fromkeys((wanted, wanted.removeprefix(f"{name}/"))):
            task = run.load_task(name, about=sample_id)
            if not task.samples:
                continue
            tasks[name] = replace(task, metrics=check_metrics(task, None))
            models = run.model_names()
            outputs = [run.outputs(model, name, of=sample_id) for model in models]
            texts = run.document_texts(name)
            answers = score_models(tasks[name], outputs, texts, answer_mode(run))
            for model, own in zip(models, answers, strict=True):
                cells[model, name] = _cell(model, tasks[name], own, mistakes=True)
    return Evaluation(run, tasks, tuple(run.model_names()), cells, overall={})


def document_key(task: Task, document_id: str) -> str:
    """What makes two documents the same one, also in different tasks: the contents of their pages."""
    pages = task.documents[document_id].pages
    # The same page in several conditions is one document.
    return "+".join(page.source_key for page in pages) or document_id


def document_keys(cell: Cell) -> list[str]:
    """The document of each answer of ``cell``, in order: the clusters of every interval."""
    return [document_key(cell.task, answer.sample.document_id) for answer in cell.answers]


def check_metrics(task: Task, metrics: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics that ``task`` is scored by: ``metrics``, or its own.

    Raises:
        InvalidInput: an unknown metric, or one that does not fit the task's type of answer.
    """
    names = tuple(dict.fromkeys(metrics)) if metrics else task.metrics
    for name in names:
        _check_fit(get_metric(name), task)
    return names


def _check_fit(metric: Metric, task: Task) -> None:
    types = {sample.answer_type for sample in task.samples}
    unfit = types - metric.answer_types
    if unfit:
        fitting = [other.name for other in METRICS.values() if types <= other.answer_types]
        raise InvalidInput(
            f"metric {metric.name} scores {' and '.join(sorted(metric.answer_types))} answers, "
            f"but task {task.name} has {' and '.join(sorted(unfit))} answers",
            hint=f"--metrics {','.join(fitting[:4])}",
        )


class _Count:
    """Counts the answers that are scored; a question that was not asked yet counts, too."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.total, self._done, self._progress = total, 0, progress

    def add(self, answers: int) -> None:
        self._done += answers
        if self._progress is not None:
            self._progress(self._done, self.total)


def _score_task(
    run: RunStore,
    task: Task,
    models: Sequence[str],
    processes: ScoringProcesses | None,
    count: _Count,
    *,
    mistakes: bool,
    reuse: bool,
) -> Iterator[Cell]:
    """Score the models' answers to one task, but for those whose scores are on the disk."""
    mode = answer_mode(run)
    common = common_parts(run, task.name, task.metrics, mode)
    # Before the answers are read: a run in progress may append some meanwhile.
    sources = {model: made_from(run, model, task.name, common) for model in models}
    outputs = {model: run.outputs(model, task.name) for model in models}
    known: dict[str, tuple[Answer, ...]] = {}
    for model, source in sources.items():
        stored = stored_answers(run, model, task, outputs[model], source) if reuse else None
        if stored is not None:
            known[model] = stored if mistakes else _without_mistakes(stored)
            count.add(len(stored))
    computed = [model for model in models if model not in known]
    if computed:
        of_computed = [outputs[model] for model in computed]
        texts = run.document_texts(task.name) if mistakes else {}
        answers = score_models(
            task,
            of_computed,
            texts,
            mode,
            mistakes=mistakes,
            score=None if processes is None else processes.score,
            progress=count.add,
        )
        known |= zip(computed, answers, strict=True)
    for model, source in sources.items():
        yield _cell(
            model,
            task,
            known[model],
            mistakes=mistakes,
            source=source,
            was_stored=model not in computed,
        )


def _without_mistakes(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    return tuple(replace(answer, mistake=None) for answer in answers)


def _cell(
    model: str,
    task: Task,
    answers: tuple[Answer, ...],
    *,
    mistakes: bool,
    source: str | None = None,
    was_stored: bool = False,
) -> Cell:
    """The estimates of a model's ``answers`` to a task."""
    clusters = [document_key(task, answer.sample.document_id) for answer in answers]
    failed = sum(answer.failed for answer in answers)
    estimates = {}
    for name in task.metrics:
        scores = [answer.scores[name] for answer in answers]
        estimates[name] = cluster_mean(
            [score.value for score in scores],
            [score.weight for score in scores],
            clusters,
            failed=failed,
        )
    headline = task.metrics[0]
    raw_headline = cluster_mean(
        [answer.raw_headline for answer in answers],
        [answer.scores[headline].weight for answer in answers],
        clusters,
        failed=failed,
    )
    return Cell(
        model=model,
        task=task,
        source=source,
        was_stored=was_stored,
        answers=answers,
        estimates=estimates,
        raw_headline=raw_headline,
        asked=sum(answer.output is not None for answer in answers),
        equivalent=_equivalent(answers, headline, clusters, failed) if mistakes else None,
    )


def answer_mode(run: RunStore) -> AnswerMode:
    """What the run's protocol scores of an answer; a run without a protocol scores what is extracted."""
    protocol = run.settings.get("protocol") or {}
    return cast(AnswerMode, protocol.get("answer", "extract"))


def _equivalent(
    answers: Sequence[Answer], headline: str, clusters: Sequence[str], failed: int
) -> Estimate | None:
    if any(answer.sample.answer_type in GRADED_TYPES for answer in answers):
        return None
    values: list[float | None] = []
    for answer in answers:
        is_scored = answer.scores[headline].value is not None
        is_equivalent = answer.mistake in {None, "format_only"}
        values.append(float(is_equivalent) if is_scored else None)
    return cluster_mean(values, None, clusters, failed=failed)


class _PooledAnswer(NamedTuple):
    """One answer among those of several tasks whose headline scores are averaged."""

    value: float | None
    weight: float
    document: str
    failed: bool


def _overall(cells: Sequence[Cell]) -> Estimate:
    """The mean in which every task weighs the same, however many questions it has."""
    return _pooled_estimate([row for cell in cells for row in _pooled_answers(cell, 1.0)])


def _slices(cells: Iterable[Cell]) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Metadata key → value → model → estimate over all tasks; each counts by its number of questions.

    Within a task, answers weigh as in its score. An answer that is looked at value by value is no field: each
    of its values counts for the field of its path, as a question does.
    """
    pooled: dict[tuple[str, str, str], list[_PooledAnswer]] = defaultdict(list)
    for cell in cells:
        scored = cell.estimates[cell.headline].n
        for answer, row in zip(cell.answers, _pooled_answers(cell, scored), strict=True):
            for key in SLICES:
                value = answer.sample.metadata.get(key)
                if key == FIELD and is_structured(answer):
                    for path, score in scores_by_path(answer).items():
                        own = row._replace(value=score.value, weight=score.weight)
                        pooled[key, path, cell.model].append(own)
                elif value:
                    pooled[key, value, cell.model].append(row)
    slices: dict[str, dict[str, dict[str, Estimate]]] = {}
    for key, value, model in sorted(pooled):
        estimate = _pooled_estimate(pooled[key, value, model])
        slices.setdefault(key, {}).setdefault(value, {})[model] = estimate
    return slices


def _pooled_answers(cell: Cell, weight_of_task: float) -> list[_PooledAnswer]:
    """The answers of a cell; the weights of those with a score add up to ``weight_of_task``."""
    scores = [answer.scores[cell.headline] for answer in cell.answers]
    total = sum(score.weight for score in scores if score.value is not None) or 1.0
    unit = total / weight_of_task if weight_of_task else 1.0
    return [
        _PooledAnswer(score.value, score.weight / unit, document, answer.failed)
        for answer, score, document in zip(cell.answers, scores, document_keys(cell), strict=True)
    ]


def _pooled_estimate(pooled: Sequence[_PooledAnswer]) -> Estimate:
    return cluster_mean(
        [row.value for row in pooled],
        [row.weight for row in pooled],
        [row.document for row in pooled],
        failed=sum(row.failed for row in pooled),
    )


_encode = json.JSONEncoder(sort_keys=True).encode


@collector_paused()
def write_scores(evaluation: Evaluation) -> None:
    """Write ``scores/<model>/<task>.jsonl``, their digests and ``scores/summary.json``."""
    for (model, task), cell in evaluation.cells.items():
        path = scores_path(evaluation.run, model, task)
        lines = [_encode(_answer_record(answer)) for answer in cell.answers]
        write_atomically(path, "".join(f"{line}\n" for line in lines))
    sources = {key: cell.source for key, cell in evaluation.cells.items()}
    write_digests(evaluation.run, sources)
    summary = {
        "version": bench.__version__,
        "overall": {model: asdict(estimate) for model, estimate in evaluation.overall.items()},
        "cells": [_cell_record(cell) for cell in evaluation.cells.values()],
    }
    write_json(evaluation.run.path / SUMMARY_FILE, summary)


def _answer_record(answer: Answer) -> dict[str, Any]:
    return {
        "sample_id": answer.sample.id,
        "answer": answer.extracted,
        "failed": answer.failed,
        "scores": {name: [score.value, score.weight] for name, score in answer.scores.items()},
        "raw_headline": answer.raw_headline,
        "mistake": answer.mistake,
    }


def _cell_record(cell: Cell) -> dict[str, Any]:
    return {
        "model": cell.model,
        "task": cell.task.name,
        "headline": cell.headline,
        "asked": cell.asked,
        "estimates": {name: asdict(estimate) for name, estimate in cell.estimates.items()},
        "raw_headline": asdict(cell.raw_headline),
        "equivalent": asdict(cell.equivalent) if cell.equivalent is not None else None,
        "mistakes": cell.mistakes,
        "bounds": cell.bounds._asdict(),
        "calibration": cell.calibration,
    }

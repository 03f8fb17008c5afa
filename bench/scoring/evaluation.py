"""From a run's outputs to scores and estimates: a pure function of the run directory.

No model, no GPU, no data set is needed, so a metric that is mended tomorrow re-scores the runs of today.
Scores are written in a fixed order with no time stamps: equal outputs give equal bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import bench
from bench.errors import InvalidInput
from bench.files import write_atomically, write_json
from bench.metrics import METRICS, Metric, get_metric, score_failed
from bench.metrics.calibration import CORPUS_METRICS
from bench.metrics.extract import extract
from bench.metrics.mistakes import MISTAKES, Answered, classify
from bench.rundir.store import SUMMARY_FILE, RunStore
from bench.schema import Estimate, Output, Sample, Score, Task
from bench.stats import ScoreBounds, cluster_mean, score_bounds

SLICES = ("language", "doc_type", "field")
"""Metadata keys by which every report breaks scores down."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample with what a model made of it."""

    sample: Sample
    output: Output | None
    """None where the model has not been asked yet (a run in progress, or one that was killed)."""
    extracted: str
    scores: Mapping[str, Score]
    """By metric name, computed on the extracted answer."""
    raw_headline: float | None
    """The task's headline metric on the raw text, before extraction."""
    mistake: str | None = None
    """A class of ``bench.metrics.mistakes``; None where the headline is perfect, or has no right and
    wrong (descriptions)."""

    @property
    def failed(self) -> bool:
        """Whether the model was asked and gave no answer."""
        return self.output is not None and self.output.stop_reason == "error"


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one task."""

    model: str
    task: Task
    answers: tuple[Answer, ...]
    estimates: Mapping[str, Estimate]
    """By metric name."""
    raw_headline: Estimate
    """The headline metric on raw texts: what extraction changes is the difference."""
    asked: int
    """Samples with an output, failures included; fewer than ``answers`` while a run is unfinished."""
    equivalent: Estimate | None
    """Share of answers that are right, or wrong only in format; None for descriptions."""

    @property
    def mistakes(self) -> dict[str, int]:
        """Wrong answers by class, in the order of the classes."""
        found = Counter(answer.mistake for answer in self.answers if answer.mistake is not None)
        return {name: found[name] for name in MISTAKES if found[name]}

    @property
    def bounds(self) -> ScoreBounds:
        """How far failures and unscored samples could move the headline (an unweighted mean)."""
        failed = sum(answer.failed for answer in self.answers)
        answered = [
            answer.scores[self.headline].value
            for answer in self.answers
            if answer.output is not None and not answer.failed
        ]
        higher = METRICS[self.headline].direction == "higher"
        return score_bounds(
            answered,
            failed,
            worst=0.0 if higher else 1.0,
            best=1.0 if higher else 0.0,
        )

    @property
    def calibration(self) -> dict[str, float | None]:
        """``ece`` and ``brier`` of the answers' confidences; empty where the model gives none."""
        pairs = [
            (answer.output.confidence, float(answer.mistake is None))
            for answer in self.answers
            if answer.output is not None
            and answer.output.confidence is not None
            and answer.sample.answer_type != "description"
        ]
        if not pairs:
            return {}
        confidences, right = zip(*pairs, strict=True)
        return {m.name: m.compute(confidences, right) for m in CORPUS_METRICS.values()}

    @property
    def headline(self) -> str:
        """The task's first metric."""
        return self.task.metrics[0]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A whole run, scored."""

    run: RunStore
    tasks: Mapping[str, Task]
    models: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    """By (model, task)."""
    overall: Mapping[str, Estimate]
    """By model: the mean of the tasks' headline scores, every task counting the same. Absent where a
    headline is an error rate, which cannot be averaged with accuracies."""
    slices: Mapping[str, Mapping[str, Mapping[str, Estimate]]] = field(default_factory=dict)
    """Metadata key → value → model → estimate of the headline scores."""


def evaluate(run: RunStore, metrics: Sequence[str] | None = None, *, seed: int = 0) -> Evaluation:
    """Score every output of ``run``.

    Args:
        run: the run directory.
        metrics: names that replace each task's own; the first becomes the headline.
        seed: of the bootstrap, where an interval needs one.

    Raises:
        InvalidInput: an unknown metric, or one that does not fit a task's type of answer.
    """
    tasks = {name: _with_metrics(run.load_task(name), metrics) for name in run.task_names()}
    models = tuple(run.model_names())
    cells = {
        (model, name): _score_cell(run, model, task, seed)
        for model in models
        for name, task in tasks.items()
    }
    averageable = all(_is_accuracy(task.metrics[0]) for task in tasks.values())
    overall = (
        {m: _overall([cells[m, t] for t in tasks], seed) for m in models} if averageable else {}
    )
    slices = _slices(cells.values(), seed) if averageable else {}
    return Evaluation(run, tasks, models, cells, overall, slices)


def document_key(task: Task, document_id: str) -> str:
    """What makes two documents the same one, across tasks: the contents of their pages."""
    pages = task.documents[document_id].pages
    return "+".join(page.key for page in pages) or document_id


def write_scores(evaluation: Evaluation) -> None:
    """Write ``scores/<model>/<task>.jsonl`` and ``scores/summary.json`` into the run directory."""
    folder = evaluation.run.path / "scores"
    summary: dict[str, Any] = {"version": bench.__version__, "overall": {}, "cells": []}
    for model, estimate in evaluation.overall.items():
        summary["overall"][model] = asdict(estimate)
    for (model, task), cell in evaluation.cells.items():
        lines = (
            json.dumps(_row(answer), ensure_ascii=True, sort_keys=True) for answer in cell.answers
        )
        path = folder / evaluation.run.model_folder(model).name / f"{task}.jsonl"
        write_atomically(path, "".join(f"{line}\n" for line in lines))
        summary["cells"].append(
            {
                "model": model,
                "task": task,
                "headline": cell.headline,
                "asked": cell.asked,
                "estimates": {name: asdict(e) for name, e in cell.estimates.items()},
                "raw_headline": asdict(cell.raw_headline),
                "equivalent": asdict(cell.equivalent) if cell.equivalent is not None else None,
                "mistakes": cell.mistakes,
                "bounds": cell.bounds._asdict(),
                "calibration": cell.calibration,
            }
        )
    write_json(evaluation.run.path / SUMMARY_FILE, summary)


def _row(answer: Answer) -> dict[str, Any]:
    return {
        "sample_id": answer.sample.id,
        "answer": answer.extracted,
        "failed": answer.failed,
        "scores": {name: [score.value, score.weight] for name, score in answer.scores.items()},
        "raw_headline": answer.raw_headline,
        "mistake": answer.mistake,
    }


def check_metrics(task: Task, metrics: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics that ``task`` is scored by: ``metrics``, or its own.

    Raises:
        InvalidInput: an unknown metric, or one that does not fit the task's type of answer.
    """
    names = tuple(dict.fromkeys(metrics)) if metrics else task.metrics
    for name in names:
        _check_fit(get_metric(name), task)
    return names


def _with_metrics(task: Task, metrics: Sequence[str] | None) -> Task:
    return replace(task, metrics=check_metrics(task, metrics))


def _check_fit(metric: Metric, task: Task) -> None:
    types = {sample.answer_type for sample in task.samples}
    unfit = types - metric.answer_types
    if unfit:
        fitting = [m.name for m in METRICS.values() if types <= m.answer_types]
        raise InvalidInput(
            f"metric {metric.name} scores {' and '.join(sorted(metric.answer_types))} answers; "
            f"task {task.name} has {' and '.join(sorted(unfit))} answers",
            hint=f"--metrics {','.join(fitting[:4])}",
        )


def _is_accuracy(metric: str) -> bool:
    return METRICS[metric].direction == "higher" and METRICS[metric].range == (0.0, 1.0)


def _score_cell(run: RunStore, model: str, task: Task, seed: int) -> Cell:
    outputs, texts = run.outputs(model, task.name), run.document_texts(task.name)
    mode = _answer_mode(run)
    answers = _with_mistakes(
        task,
        [score_answer(task, sample, outputs.get(sample.id), mode) for sample in task.samples],
        texts,
    )
    clusters = [document_key(task, answer.sample.document_id) for answer in answers]
    failed = sum(answer.failed for answer in answers)

    def estimate(values: Sequence[float | None], weights: Sequence[float]) -> Estimate:
        return cluster_mean(values, weights, clusters, failed=failed, seed=seed)

    def of_metric(name: str) -> Estimate:
        scores = [answer.scores[name] for answer in answers]
        return estimate([score.value for score in scores], [score.weight for score in scores])

    headline = task.metrics[0]
    weights = [answer.scores[headline].weight for answer in answers]
    return Cell(
        model=model,
        task=task,
        answers=answers,
        estimates={name: of_metric(name) for name in task.metrics},
        raw_headline=estimate([answer.raw_headline for answer in answers], weights),
        asked=sum(answer.output is not None for answer in answers),
        equivalent=_equivalent(answers, headline, clusters, failed, seed),
    )


def _equivalent(
    answers: Sequence[Answer], headline: str, clusters: Sequence[str], failed: int, seed: int
) -> Estimate | None:
    if any(answer.sample.answer_type == "description" for answer in answers):
        return None
    right = {None, "format_only"}
    values = [
        None if answer.scores[headline].value is None else float(answer.mistake in right)
        for answer in answers
    ]
    return cluster_mean(values, [1.0] * len(values), clusters, failed=failed, seed=seed)


def score_answer(
    task: Task, sample: Sample, output: Output | None, mode: str = "extract"
) -> Answer:
    """One output by all metrics of ``task``; ``mode`` is what is scored of its text, see ``_answer_mode``."""
    if output is None:
        nothing = {name: Score(sample.id, name, None) for name in task.metrics}
        return Answer(sample, None, "", nothing, None)
    if output.stop_reason == "error":
        scores = {}
        for name in task.metrics:
            value, weight = score_failed(METRICS[name], sample.references)
            scores[name] = Score(sample.id, name, value, weight)
        return Answer(sample, output, "", scores, scores[task.metrics[0]].value)
    extracted = _compared(output.text, sample, mode)
    scores = {}
    for name in task.metrics:
        value, weight = METRICS[name].score(extracted, sample.references)
        scores[name] = Score(sample.id, name, value, weight, extracted)
    headline = task.metrics[0]
    raw = scores[headline].value
    if output.text != extracted:
        raw = METRICS[headline].score(output.text, sample.references).value
    return Answer(sample, output, extracted, scores, raw)


def _answer_mode(run: RunStore) -> str:
    """What the run's protocol scores of an answer; ``extract`` where it has none."""
    settings = run.record.get("spec", {}).get("settings", {})
    return str((settings.get("protocol") or {}).get("answer", "extract"))


def _compared(text: str, sample: Sample, mode: str) -> str:
    """What is scored of ``text``; a structured answer is always looked for in it."""
    if mode == "extract" or sample.answer_type != "text":
        return extract(text, sample.answer_type).answer
    return text.strip() if mode == "strip" else text


def _with_mistakes(
    task: Task, answers: Sequence[Answer], texts: Mapping[str, str]
) -> tuple[Answer, ...]:
    """The answers with the class of each wrong one, which the document's other answers help to tell."""
    asked: dict[str, dict[str, list[str]]] = {}
    for answer in answers:
        references = [r for r in answer.sample.references if isinstance(r, str)]
        asked.setdefault(answer.sample.document_id, {})[answer.sample.id] = references
    return tuple(
        replace(answer, mistake=_mistake(task, answer, asked, texts)) for answer in answers
    )


def _mistake(
    task: Task,
    answer: Answer,
    asked: Mapping[str, Mapping[str, list[str]]],
    texts: Mapping[str, str],
) -> str | None:
    sample, value = answer.sample, answer.scores[task.metrics[0]].value
    perfect = 1.0 if METRICS[task.metrics[0]].direction == "higher" else 0.0
    if value is None or value == perfect or sample.answer_type == "description":
        return None
    others = asked[sample.document_id]
    return classify(
        Answered(
            answer=answer.extracted,
            references=sample.references,
            answer_type=sample.answer_type,
            stop_reason="error" if answer.output is None else answer.output.stop_reason,
            field=sample.metadata.get("field"),
            language=sample.metadata.get("language"),
            other_fields={name: texts_ for name, texts_ in others.items() if name != sample.id},
            document_text=texts.get(sample.document_id),
        )
    )


def _overall(cells: Sequence[Cell], seed: int) -> Estimate:
    """Every task weighs the same, however many questions it has; documents stay the clusters."""
    return _pooled(
        [
            (cell.answers, cell.headline, document_keys(cell), 1 / max(1, len(cell.answers)))
            for cell in cells
        ],
        seed,
    )


def document_keys(cell: Cell) -> list[str]:
    """The cluster of each answer of ``cell``, in order."""
    return [document_key(cell.task, answer.sample.document_id) for answer in cell.answers]


def _pooled(
    parts: Iterable[tuple[Sequence[Answer], str, Sequence[str], float]], seed: int
) -> Estimate:
    values: list[float | None] = []
    weights: list[float] = []
    clusters: list[str] = []
    failed = 0
    for answers, headline, keys, weight in parts:
        for answer, key in zip(answers, keys, strict=True):
            values.append(answer.scores[headline].value)
            weights.append(weight)
            clusters.append(key)
            failed += answer.failed
    return cluster_mean(values, weights, clusters, failed=failed, seed=seed)


def _slices(cells: Iterable[Cell], seed: int) -> dict[str, dict[str, dict[str, Estimate]]]:
    parts: dict[tuple[str, str, str], list[tuple[Sequence[Answer], str, Sequence[str], float]]] = {}
    for cell in cells:
        keys = document_keys(cell)
        for slice_key in SLICES:
            groups: dict[str, list[int]] = {}
            for index, answer in enumerate(cell.answers):
                if value := answer.sample.metadata.get(slice_key):
                    groups.setdefault(value, []).append(index)
            for value, indices in groups.items():
                part = (
                    [cell.answers[i] for i in indices],
                    cell.headline,
                    [keys[i] for i in indices],
                    1.0,
                )
                parts.setdefault((slice_key, value, cell.model), []).append(part)
    found: dict[str, dict[str, dict[str, Estimate]]] = {}
    for (slice_key, value, model), group in sorted(parts.items(), key=lambda item: item[0]):
        found.setdefault(slice_key, {}).setdefault(value, {})[model] = _pooled(group, seed)
    return found

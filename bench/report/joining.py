"""Joins what several models were asked: every sample once, with all models' answers beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bench.report.grounded import groundings
from bench.report.places import places
from bench.report.ranking import Scored
from bench.report.records import number
from bench.report.rows import RowSource
from bench.report.views import SampleView, TaskView
from bench.schema import Page, PlacedText, Sample
from bench.scoring.answers import Answer
from bench.scoring.evaluation import document_key
from bench.scoring.levels import goodness, level

Key = tuple[int, str]
"""Number of a task in the report, and id of a sample in it."""


class _Question(NamedTuple):
    """What is the same for all models."""

    sample: Sample
    pages: tuple[Page, ...]
    cluster: str
    """The document, by its content."""


def join_samples(
    sources: Sequence[RowSource], tasks: Sequence[TaskView]
) -> tuple[tuple[SampleView, ...], Scored]:
    """Every sample of ``tasks`` with the answers of ``sources``, and the scores as arrays."""
    numbers = {task.key: number for number, task in enumerate(tasks)}
    answers = [_answers(source, numbers) for source in sources]
    latency = [_latency(source, numbers) for source in sources]
    questions: dict[Key, _Question] = {}
    for source in sources:
        _add_questions(questions, source, numbers)
    keys = sorted(questions, key=lambda key: key[0])
    samples = []
    for key in keys:
        sample, pages, _ = questions[key]
        headline = tasks[key[0]].headline
        by_row = tuple(own.get(key) for own in answers)
        levels = tuple(level(answer, headline) for answer in by_row)
        seconds = tuple(timed.get(key) for timed in latency)
        samples.append(SampleView(key[0], sample, pages, by_row, levels, seconds))
    clusters = [questions[key].cluster for key in keys]
    scored = _scored(samples, [task.headline for task in tasks], len(sources), clusters)
    return tuple(_placed(samples, sources, tasks)), scored


def _answers(source: RowSource, numbers: Mapping[str, int]) -> dict[Key, Answer]:
    return {
        (numbers[source.task_keys[name]], answer.sample.id): answer
        for name in source.evaluation.tasks
        for answer in source.evaluation.cells[source.name, name].answers
    }


def _latency(source: RowSource, numbers: Mapping[str, int]) -> dict[Key, float]:
    """Seconds of the questions that were asked one at a time."""
    timed: dict[Key, float] = {}
    for name in source.evaluation.tasks:
        for record in source.evaluation.run.latencies(source.name, name):
            seconds = number(record.get("seconds"))
            if seconds is not None:
                timed[numbers[source.task_keys[name]], str(record.get("sample_id"))] = seconds
    return timed


def _add_questions(
    questions: dict[Key, _Question], source: RowSource, numbers: Mapping[str, int]
) -> None:
    """Add the questions of ``source`` that are not among ``questions`` yet."""
    for name, task in source.evaluation.tasks.items():
        for answer in source.evaluation.cells[source.name, name].answers:
            sample = answer.sample
            key = (numbers[source.task_keys[name]], sample.id)
            if key not in questions:
                pages = task.documents[sample.document_id].pages
                cluster = document_key(task, sample.document_id)
                questions[key] = _Question(sample, pages, cluster)


def _scored(
    samples: Sequence[SampleView], headlines: Sequence[str], rows: int, clusters: list[str]
) -> Scored:
    """The headline scores of all answers, a row a model and a column a sample."""
    values = np.full((rows, len(samples)), np.nan)
    weights = np.ones_like(values)
    asked = np.zeros((rows, len(samples)), dtype=np.bool_)
    for column, sample in enumerate(samples):
        headline = headlines[sample.task]
        for row, answer in enumerate(sample.answers):
            if answer is None or answer.output is None:
                continue
            asked[row, column] = True
            score = answer.scores[headline]
            weights[row, column] = score.weight
            if score.value is not None:
                values[row, column] = goodness(score.value, headline)
    positions = np.array([sample.task for sample in samples], dtype=np.intp)
    return Scored(values, weights, positions, clusters, asked)


def _placed(
    samples: Sequence[SampleView], sources: Sequence[RowSource], tasks: Sequence[TaskView]
) -> list[SampleView]:
    """The samples with the places of their references, and of values, as far as any run knows them."""
    words: dict[str, dict[str, list[list[PlacedText]]]] = {}
    for run, keys in {id(s.evaluation): (s.evaluation.run, s.task_keys) for s in sources}.values():
        for name, key in keys.items():
            for page, readings in run.words(name).items():
                words.setdefault(key, {}).setdefault(page, []).extend(readings)
    return [
        replace(
            sample,
            places=places(sample.sample, sample.pages, known),
            grounding=groundings(sample, known),
        )
        if (known := words.get(tasks[sample.task].key))
        else sample
        for sample in samples
    ]


def in_order(samples: Sequence[SampleView], order: Sequence[int]) -> tuple[SampleView, ...]:
    """The samples with the rows in the order of the leaderboard."""
    return tuple(
        replace(
            sample,
            answers=tuple(sample.answers[i] for i in order),
            levels=tuple(sample.levels[i] for i in order),
            latency=tuple(sample.latency[i] for i in order),
        )
        for sample in samples
    )

"""Ranks models on boards: only models that answered the same questions are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import formatting
from bench.report.findings import Board, Reversal
from bench.report.ranking import Scored, better_than, compare_all, reversals
from bench.report.views import ModelRow, Pair, SampleView, TaskView
from bench.schema import Estimate
from bench.scoring.levels import common_direction
from bench.stats import balanced, cluster_mean

COMMON_SHARE = 0.25
"""Of the questions of the model with the fewest, how many must be common to all models of a board: on a
handful of common questions, the ranks would say nothing of the rest."""


class Ranking(NamedTuple):
    """Rows in the order of the leaderboard, and what follows from their order."""

    rows: list[ModelRow]
    boards: tuple[Board, ...]
    pairs: tuple[Pair, ...]
    reversals: tuple[tuple[Reversal, ...], ...]
    """By board: where another model beats its first one."""


def rank(
    rows: Sequence[ModelRow],
    scored: Scored,
    samples: Sequence[SampleView],
    tasks: Sequence[TaskView],
    *,
    higher: bool,
) -> Ranking:
    """Put ``rows`` into the order of the leaderboard, with a rank on the board that each stands on.

    Args:
        rows: every row of the report.
        scored: their scores, in the same order.
        samples: the samples of ``scored``.
        tasks: that the samples belong to.
        higher: whether a higher score is better.
    """
    finished = [
        i for i, row in enumerate(rows) if row.state == "complete" and _value(row) is not None
    ]
    ordered: list[ModelRow] = []
    boards: list[Board] = []
    pairs: list[Pair] = []
    exceptions: list[tuple[Reversal, ...]] = []
    for members, common in groups(scored.asked, finished):
        is_part = bool((scored.asked[members] & ~common).any())
        own = {i: rows[i] for i in members}
        if is_part:
            scores = {i: _score_on(scored, i, common, samples, higher=higher) for i in members}
            own = {i: replace(rows[i], score=scores[i], is_part=True) for i in members}
        members = sorted(members, key=lambda i: (-_goodness(own[i], higher), i))
        keys = [rows[i].key for i in members]
        part = scored.of(members, common)
        compared = compare_all(keys, part)
        ordered += _ranked([own[i] for i in members], compared)
        numbers = sorted(set(part.tasks.tolist()))
        boards.append(
            Board(
                tuple(keys),
                questions=int(common.sum()),
                documents=len(set(part.clusters)),
                tasks=tuple(tasks[number].key for number in numbers),
                is_part=is_part,
                score_name=score_name([tasks[number] for number in numbers])[0],
                higher_is_better=higher,
            )
        )
        pairs += compared
        kept = [sample for sample, keep in zip(samples, common.tolist(), strict=True) if keep]
        exceptions.append(tuple(reversals(keys, part, _parts(kept, tasks))))
    rest = [row for i, row in enumerate(rows) if i not in finished]
    ordered += sorted(rest, key=lambda row: _unranked_key(row, higher))
    return Ranking(ordered, tuple(boards), tuple(pairs), tuple(exceptions))


def score_name(tasks: Sequence[TaskView]) -> tuple[str, bool, bool]:
    """What the leading column is, whether higher is better, and whether there is a common score at all."""
    direction = common_direction(task.headline for task in tasks)
    higher, comparable = direction != "lower", direction is not None
    titles = {task.headline_title for task in tasks}
    title = titles.pop() if len(titles) == 1 else "score"
    if len(tasks) == 1:
        return title, higher, comparable
    # Within a name, only an abbreviation keeps its capital: ANLS, but character error rate.
    title = title if title[1:2].isupper() else title[:1].lower() + title[1:]
    return f"mean {title} over {formatting.plural(len(tasks), 'task')}", higher, comparable


def groups(
    asked: NDArray[np.bool_], rows: Sequence[int]
) -> list[tuple[list[int], NDArray[np.bool_]]]:
    """``rows`` that may be ranked together, each list with the questions that all of them answered."""
    boards: list[tuple[list[int], NDArray[np.bool_]]] = []
    for row in rows:
        for place, (members, common) in enumerate(boards):
            shared = common & asked[row]
            fewest = min(int(asked[member].sum()) for member in (*members, row))
            if shared.sum() >= max(1.0, COMMON_SHARE * fewest):
                boards[place] = ([*members, row], shared)
                break
        else:
            boards.append(([row], asked[row]))
    return boards


def _ranked(rows: Sequence[ModelRow], pairs: Sequence[Pair]) -> list[ModelRow]:
    better = better_than([row.key for row in rows], pairs)
    shared = Counter(len(winners) for winners in better.values())
    return [
        replace(
            row,
            rank=1 + len(better[row.key]),
            tied=shared[len(better[row.key])] > 1,
            better=better[row.key],
        )
        for row in rows
    ]


def _score_on(
    scored: Scored,
    row: int,
    common: NDArray[np.bool_],
    samples: Sequence[SampleView],
    *,
    higher: bool,
) -> Estimate:
    """The score of a row on some of its questions alone, in which every task counts the same."""
    part = scored.of([row], common)
    # The scores were turned so that higher is better; a score is shown as the metric gives it.
    values = part.values[0] if higher else -part.values[0]
    weights = balanced(part.weights[0], part.tasks, ~np.isnan(values))
    answers = [sample.answers[row] for sample, keep in zip(samples, common, strict=True) if keep]
    failed = sum(answer is not None and answer.failed for answer in answers)
    return cluster_mean(values, weights, part.clusters, failed=failed)


def _parts(
    samples: Sequence[SampleView], tasks: Sequence[TaskView]
) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """The tasks and the types of documents, each with its samples; one that is everything is no part."""
    numbers = [sample.task for sample in samples]
    types = [str(sample.sample.metadata.get("doc_type") or "") for sample in samples]
    named = [
        (tasks[number].key, "tasks", np.array([other == number for other in numbers]))
        for number in dict.fromkeys(numbers)
    ]
    named += [
        (f"documents of type {name}", "slices", np.array([other == name for other in types]))
        for name in dict.fromkeys(types)
        if name
    ]
    # A type that is exactly one task's is told as the task, and one that is everything is no part.
    parts: dict[bytes, tuple[str, str, NDArray[np.bool_]]] = {}
    for name, evidence, kept in named:
        if not kept.all():
            parts.setdefault(kept.tobytes(), (name, evidence, kept))
    return list(parts.values())


def _value(row: ModelRow) -> float | None:
    return None if row.score is None else row.score.value


def _goodness(row: ModelRow, higher: bool) -> float:
    value = _value(row) or 0.0
    return value if higher else -value


def _unranked_key(row: ModelRow, higher: bool) -> tuple[bool, float]:
    """Failed rows stand last, better scores first."""
    return row.state == "failed", -_goodness(row, higher)

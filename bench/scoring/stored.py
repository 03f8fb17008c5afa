"""The estimates of a run that ``write_scores`` has kept, without the answers that they were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.parsing import read_json
from bench.rundir.store import SUMMARY_FILE, RunStore
from bench.schema import Estimate
from bench.scoring.evaluation import answer_mode
from bench.scoring.reuse import common_parts, has_scores, made_from

_COUNTS = ("n", "clusters", "failed", "unscored")


class StoredCell(NamedTuple):
    """What is kept of one model on one task."""

    headline: str
    """The task's first metric."""
    asked: int
    estimates: Mapping[str, Estimate]
    """By metric name."""
    mistakes: Mapping[str, int]
    """Wrong answers by class."""


class StoredScores(NamedTuple):
    """What is kept of a run."""

    run: RunStore
    cells: Mapping[tuple[str, str], StoredCell]
    """By (model, task)."""
    overall: Mapping[str, Estimate]
    """By model, as in an ``Evaluation``."""
    summary: Mapping[str, Any]
    """All that the file holds."""


def answers_in(runs: Sequence[RunStore]) -> int:
    """How many answers the runs have when they are complete."""
    return sum(
        len(run.model_names()) * sum(int(entry["samples"]) for entry in run.record["tasks"])
        for run in runs
    )


def stored_scores(run: RunStore) -> StoredScores | None:
    """The estimates on the disk; None if there are none, or they are of other answers or another program.

    It holds no answer in memory: it compares the digests of the files.
    """
    path = run.path / SUMMARY_FILE
    if not path.is_file():
        return None
    try:
        summary = read_json(path)
        cells = {(str(c["model"]), str(c["task"])): _cell(c) for c in summary["cells"]}
        overall = {str(model): _estimate(e) for model, e in summary["overall"].items()}
    except (InvalidInput, AttributeError, KeyError, TypeError):
        # Scores can always be computed again.
        return None
    for model in run.model_names():
        for task in run.task_names():
            cell = cells.get((model, task))
            if cell is None or not _is_current(run, model, task, cell):
                return None
    return StoredScores(run, cells, overall, summary)


def _is_current(run: RunStore, model: str, task: str, cell: StoredCell) -> bool:
    common = common_parts(run, task, cell.estimates, answer_mode(run))
    return has_scores(run, model, task, made_from(run, model, task, common))


def _cell(record: Mapping[str, Any]) -> StoredCell:
    estimates = {str(name): _estimate(e) for name, e in record["estimates"].items()}
    mistakes = {str(name): _whole(count) for name, count in record["mistakes"].items()}
    headline = str(record["headline"])
    if headline not in estimates:
        raise KeyError(headline)
    return StoredCell(headline, _whole(record["asked"]), estimates, mistakes)


def _estimate(record: Mapping[str, Any]) -> Estimate:
    estimate = Estimate(**record)
    for value in (estimate.value, estimate.low, estimate.high):
        if not isinstance(value, float | int | None):
            raise TypeError("a score is not a number")
    for name in _COUNTS:
        _whole(getattr(estimate, name))
    return estimate


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("a count is not a number")
    return value

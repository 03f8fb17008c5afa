"""Reads ``user_config.csv`` of VLMHyperBench: every row asks one model about one data set.

Lists in cells are Python literals: ``['CER', 'WER']``. A cell with one name needs no brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InvalidInput, did_you_mean
from bench.metrics import METRICS
from bench.tasks.csvfile import read_table
from bench.tasks.decoders import decode
from bench.tasks.hyperbench.bundles import CLASSIFICATION, SORTING
from bench.tasks.problems import Problem, error_of
from bench.text import one_line

AGGREGATORS = ("by_id", "by_doc_question", "by_doc_type", "general")
VQA = "VQA"
TASKS = (VQA, CLASSIFICATION, SORTING)
NOT_COMPUTED = frozenset({"bleu"})
"""Metrics of VLMHyperBench that this program leaves out with a warning."""

_NEEDED = (("dataset",), ("model_name",))
_COLUMNS = (
    "dataset",
    "task",
    "framework",
    "model_name",
    "system_prompt",
    "prompt_collection",
    "metrics",
    "only_evaluate_metrics",
    "metrics_aggregators",
    "filter_doc_class",
    "filter_question_type",
)
_FILTERS = {"filter_doc_class": "doc_type", "filter_question_type": "field"}
"""Column → the metadata key that its values are compared with."""
_TRUE_WORDS = frozenset({"true", "1", "да", "yes"})
_FALSE_WORDS = frozenset({"false", "0", "нет", "no"})


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """One row: a model on a data set."""

    line: int
    dataset: str
    model: str
    task: str = VQA
    system_prompt: str = ""
    prompt_collection: str = ""
    metrics: tuple[str, ...] = ()
    """Names in ``bench.metrics.METRICS``; none means the metrics of the data set."""
    skipped_metrics: tuple[str, ...] = ()
    """Metrics that the file names and that are not computed here."""
    only_evaluate: bool = False
    """Ask no model: score the answers that are already there."""
    aggregators: tuple[str, ...] = AGGREGATORS
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The filters: metadata key → accepted values. A filter may also stand alone."""


def read_user_config(path: Path) -> tuple[ConfigRow, ...]:
    """Read the rows of a ``user_config.csv``.

    Raises:
        InvalidInput: the file cannot be read, or a row is not valid. The error names the first problem.
    """
    if not path.is_file():
        raise InvalidInput(f"the configuration file {one_line(path)} does not exist")
    problems: list[Problem] = []
    rows: list[ConfigRow] = []
    for line, cells in read_table(path, problems, [], _NEEDED):
        try:
            rows.append(_row(line, cells))
        except InvalidInput as error:
            problems.append(Problem.of(error, path.name, line))
    if problems:
        raise error_of([problem.inside(path.parent) for problem in problems], path.name)
    if not rows:
        raise InvalidInput(f"{one_line(path)} contains no rows")
    return tuple(rows)


def _row(line: int, cells: Mapping[str, str]) -> ConfigRow:
    _check_known(cells, _COLUMNS, "column")
    for column in ("dataset", "model_name"):
        if column not in cells:
            raise InvalidInput(f"the cell of {column} is empty")
    metrics = [_metric_name(name) for name in _names(cells, "metrics")]
    aggregators = _names(cells, "metrics_aggregators") or AGGREGATORS
    _check_known(aggregators, AGGREGATORS, "aggregator")
    task = cells.get("task", VQA).strip()
    _check_known([task], TASKS, "task")
    filters = [(key, _names(cells, column)) for column, key in _FILTERS.items() if column in cells]
    return ConfigRow(
        line=line,
        dataset=cells["dataset"].strip(),
        model=cells["model_name"].strip(),
        task=task,
        system_prompt=cells.get("system_prompt", "").strip(),
        prompt_collection=cells.get("prompt_collection", "").strip(),
        metrics=tuple(name for name in metrics if name in METRICS),
        skipped_metrics=tuple(name for name in metrics if name not in METRICS),
        only_evaluate=_truth(cells.get("only_evaluate_metrics", "False")),
        aggregators=tuple(aggregators),
        only=tuple(filters),
    )


def _metric_name(name: str) -> str:
    """Return the name of a metric as it is written here: ``CER_v2`` is ``cer``."""
    plain_name = re.sub(r"_v\d+$", "", name.strip().lower())
    if plain_name not in NOT_COMPUTED:
        _check_known([plain_name], METRICS, "metric")
    return plain_name


def _names(cells: Mapping[str, str], column: str) -> tuple[str, ...]:
    """Read a cell with a Python list of names, or with one name."""
    if column not in cells:
        return ()
    value = decode("literal-or-string", cells[column].strip())
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"{column}: expected a list of names, got {one_line(cells[column], 60)}")
    return tuple(names)


def _check_known(names: Iterable[str], known: Iterable[str], noun: str) -> None:
    known = tuple(known)
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"there is no {noun} {one_line(name, 40)!r}", hint=did_you_mean(name, known)
            )


def _truth(cell: str) -> bool:
    word = cell.strip().lower()
    if word not in _TRUE_WORDS | _FALSE_WORDS:
        raise InvalidInput(
            f"only_evaluate_metrics: expected True or False, got {one_line(cell, 40)!r}"
        )
    return word in _TRUE_WORDS

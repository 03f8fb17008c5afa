"""What a gate accepts: margins of score, ratios of costs, and questions that must be answered right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.errors import InvalidInput, did_you_mean
from bench.gate.baseline import COSTS, Baseline
from bench.parsing import kind_of, read_toml
from bench.text import one_line

FAILURES = "failures"
RATIOS = (*COSTS, FAILURES)
"""What can be gated by a ratio."""

KEYS = ("margin", "must_pass", "tasks", "fields", "ratios")
"""Keys of a file of rules."""

LARGEST_RATIO = 1000.0

WhenUndecided = Literal["tell", "pass", "fail"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is accepted."""

    margin: float = 0.01
    """The largest loss of a mean score that is accepted, of every task that has no margin of its own."""
    tasks: Mapping[str, float] = field(default_factory=dict)
    """Margins by task."""
    fields: Mapping[str, float] = field(default_factory=dict)
    """Margins by field: each of them is gated on its own, in every task that has it."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """A name of ``RATIOS`` → how many times the baseline's cost is accepted."""
    must_pass: tuple[str, ...] = ()
    """Ids of questions, or TASK/ID, whose answers must be accepted."""
    undecided: WhenUndecided = "tell"
    other_prompts: bool = False
    """Whether runs with different prompts are compared, because the prompt is what changed."""

    def margin_of(self, task: str) -> float:
        """The margin of ``task``."""
        return self.tasks.get(task, self.margin)


def read_rules(path: Path) -> dict[str, Any]:
    """The fields of ``Rules`` that the TOML file ``path`` sets.

    Raises:
        InvalidInput: a key is unknown, or a value is not valid.
    """
    content = read_toml(path)
    for key in content:
        if key not in KEYS:
            raise InvalidInput(
                f"{path}: unknown key {one_line(key, 60)!r}", hint=did_you_mean(key, KEYS)
            )
    rules: dict[str, Any] = {}
    if "margin" in content:
        rules["margin"] = margin_of(content["margin"], f"{path}: margin")
    for key in ("tasks", "fields"):
        table = _table(content.get(key, {}), path, key)
        rules[key] = {
            name: margin_of(value, f"{path}: [{key}] {one_line(name, 60)}")
            for name, value in table.items()
        }
    ratios = _table(content.get("ratios", {}), path, "ratios")
    rules["ratios"] = {
        name: ratio_of(name, value, f"{path}: [ratios]") for name, value in ratios.items()
    }
    must_pass = content.get("must_pass", [])
    if not isinstance(must_pass, list):
        raise InvalidInput(
            f"{path}: must_pass should be a list of question ids, not {kind_of(must_pass)}"
        )
    for id_ in must_pass:
        if not isinstance(id_, str):
            raise InvalidInput(f"{path}: an id in must_pass should be a text, not {kind_of(id_)}")
    rules["must_pass"] = tuple(must_pass)
    return rules


def _table(value: Any, path: Path, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}: {key} should be a table, not {kind_of(value)}")
    return value


def margin_of(value: Any, where: str) -> float:
    """``value`` as a margin.

    Raises:
        InvalidInput: it is no number from 0 to 1.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise InvalidInput(f"{where} should be a number from 0 to 1, not {kind_of(value)}")
    return float(value)


def ratio_of(name: str, value: Any, where: str) -> float:
    """``value`` as the ratio of the cost ``name``.

    Raises:
        InvalidInput: there is no such cost, or the value is no number from 1.
    """
    if name not in RATIOS:
        raise InvalidInput(
            f"{where} {one_line(name, 40)!r} cannot be gated", hint=did_you_mean(name, RATIOS)
        )
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (math.isfinite(value) and 1 <= value <= LARGEST_RATIO):
        raise InvalidInput(
            f"{where} {name} should be a number from 1 to {LARGEST_RATIO:g}, not {kind_of(value)}"
        )
    return float(value)


def check_names(rules: Rules, baseline: Baseline) -> None:
    """Refuse rules about what the baseline does not have: a misspelled name would gate nothing.

    Raises:
        InvalidInput: a task, a field or a question is unknown.
    """
    tasks = {task.name for task in baseline.tasks}
    fields = {question.field for question in baseline.questions if question.field is not None}
    _check_known("task", rules.tasks, tasks)
    _check_known("field", rules.fields, fields)
    ids = {question.id for question in baseline.questions}
    full_ids = {f"{question.task}/{question.id}" for question in baseline.questions}
    _check_known("question", rules.must_pass, ids | full_ids)


def _check_known(noun: str, names: Iterable[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"the baseline has no {noun} {one_line(name, 80)!r}", hint=did_you_mean(name, known)
            )


def is_must_pass(rules: Rules, task: str, id_: str) -> bool:
    """Whether the question ``id_`` of ``task`` must be answered right."""
    return id_ in rules.must_pass or f"{task}/{id_}" in rules.must_pass


def merged(file_rules: Mapping[str, Any], must_pass: Sequence[str], **flags: Any) -> Rules:
    """The rules of a file, overridden by what the command line gives; None gives nothing."""
    given = {key: value for key, value in flags.items() if value is not None}
    ratios = {**file_rules.get("ratios", {}), **given.pop("ratios", {})}
    ids = tuple(dict.fromkeys([*file_rules.get("must_pass", ()), *must_pass]))
    return Rules(**{**file_rules, **given, "ratios": ratios, "must_pass": ids})

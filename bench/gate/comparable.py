"""Whether two sides of a gate were asked the same, and what differs if they were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.formatting import plural
from bench.gate.baseline import Baseline, BaselineQuestion, BaselineTask
from bench.text import one_line

PROMPTS = frozenset({"prompt", "system message", "prompt collection"})
"""Keys of ``BaselineTask.asked_by`` that say in which words a question was put."""


def obstacles(
    before: Baseline, model: str, after: Baseline, other: str, *, other_prompts: bool = False
) -> list[str]:
    """Why ``other`` of ``after`` cannot be compared with ``model`` of ``before``; empty if it can.

    Tasks that the baseline does not have are not gated, so they are no obstacle. With ``other_prompts``,
    neither are prompts that differ.
    """
    reasons: list[str] = []
    tasks, others = before.tasks_of(model), after.tasks_of(other)
    for name, task in tasks.items():
        shown = one_line(name, 60)
        if name not in others:
            reasons.append(f"task {shown} is missing in the run")
            continue
        differences = _task_differences(task, others[name], other_prompts=other_prompts)
        reasons += [f"task {shown}: {what}" for what in differences]
        questions = _question_differences(before.of(model, name), after.of(other, name))
        reasons += [f"task {shown}: {what}" for what in questions]
    return reasons


def _task_differences(task: BaselineTask, other: BaselineTask, *, other_prompts: bool) -> list[str]:
    reasons = []
    if task.version != other.version:
        versions = f"{one_line(task.version, 20)} → {one_line(other.version, 20)}"
        reasons.append(f"another version of the task ({versions})")
    if task.metric != other.metric:
        metrics = f"{one_line(task.metric, 40)} → {one_line(other.metric, 40)}"
        reasons.append(f"another metric ({metrics})")
    keys = dict.fromkeys([*task.asked_by, *other.asked_by])
    changed = [key for key in keys if task.asked_by.get(key) != other.asked_by.get(key)]
    if other_prompts:
        changed = [key for key in changed if key not in PROMPTS]
    reasons += [f"another {one_line(key, 40)}{_values(task, other, key)}" for key in changed]
    return reasons


def _values(task: BaselineTask, other: BaselineTask, key: str) -> str:
    """The two values of what is short enough to be read; a digest says nothing to a person."""
    if key not in ("protocol", "limit of new tokens", "perturbation"):
        return ""
    old, new = (one_line(each.asked_by.get(key, "none"), 30) for each in (task, other))
    return f" ({old} → {new})"


def _question_differences(
    before: Mapping[str, BaselineQuestion], after: Mapping[str, BaselineQuestion]
) -> list[str]:
    missing = [id_ for id_ in before if id_ not in after]
    added = [id_ for id_ in after if id_ not in before]
    changed = [
        id_
        for id_, question in before.items()
        if id_ in after
        and (question.question, question.document) != (after[id_].question, after[id_].document)
    ]
    unasked = [id_ for id_, question in after.items() if question.answer is None]
    unknown = [id_ for id_, question in before.items() if question.answer is None]
    said = (
        (missing, "the run lacks {} of the baseline"),
        (added, "the run has {} more than the baseline"),
        (changed, "{} changed, or the pages or references did"),
        (unasked, "{} in the run have no answer, because the run is incomplete"),
        (unknown, "{} in the baseline have no answer, because its run was incomplete"),
    )
    return [words.format(_counted(ids)) for ids, words in said if ids]


def _counted(ids: Sequence[str]) -> str:
    return f"{plural(len(ids), 'question')} (such as {one_line(ids[0], 60)!r})"

"""Runs for rows of a ``user_config.csv`` that ask no model, because their answers are already stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput
from bench.rundir.listing import find_runs
from bench.rundir.store import RunStore
from bench.schema import Output, Task

if TYPE_CHECKING:
    from bench.runner import RunPlan
    from bench.tasks.hyperbench.config import ConfigRow
    from bench.tasks.hyperbench.layout import ConfigLayout


def run_of_stored_answers(
    rows: Sequence[ConfigRow], plan: RunPlan, layout: ConfigLayout, results: Path
) -> RunStore:
    """A complete run with the stored answers of every row.

    Args:
        rows: rows with only_evaluate_metrics, each a model and a data set of ``plan``.
        plan: the models and tasks, in the order in which the rows first name them.
        layout: where the configuration keeps its answer files.
        results: the folder of earlier runs, and of the new one.

    Raises:
        InvalidInput: a row has no answers, or the file lacks a question.
    """
    from bench.runner.run_record import known_texts, run_record

    names = list(dict.fromkeys(row.model for row in rows))
    places = list(dict.fromkeys((row.dataset, row.task) for row in rows))
    outputs: dict[tuple[str, str], list[Output]] = {}
    for row in rows:
        spec = plan.models[names.index(row.model)]
        task = plan.tasks[places.index((row.dataset, row.task))]
        outputs[spec.name, task.name] = _stored_answers(row, task, layout, results)
    texts = known_texts(plan)
    with RunStore.making(results, plan.name, run_record(plan), plan.tasks, texts) as run:
        for (model, task_name), answers in outputs.items():
            run.append_outputs(model, task_name, answers)
            run.mark_done(model, task_name, samples=len(answers), failed=0)
        for spec in plan.models:
            run.mark_done(spec.name)
    return run


def _stored_answers(
    row: ConfigRow, task: Task, layout: ConfigLayout, results: Path
) -> list[Output]:
    """The answers of a row, from its file or else from the newest run that has them."""
    path = layout.answers(row)
    if path is not None:
        return _from_file(path, task)
    answers = _from_runs(row, task, results)
    if answers is None:
        raise InvalidInput(
            f"line {row.line} has only_evaluate_metrics, but neither the folder "
            f"{layout.folders['model_answers'][0]} nor a run in {results} has answers of {row.model} "
            f"to {row.dataset}",
            hint="set only_evaluate_metrics to False, or put the answers file into that folder",
        )
    return answers


def _from_file(path: Path, task: Task) -> list[Output]:
    """The answers of an answers file to every question of ``task``."""
    from bench.tasks.hyperbench.annotation import read_answers

    answers = read_answers(path)
    missing = next((sample.id for sample in task.samples if sample.id not in answers), None)
    if missing is not None:
        raise InvalidInput(f"{path} has no answer to question {missing!r} of {task.name}")
    return [Output(sample.id, answers[sample.id], "stop") for sample in task.samples]


def _from_runs(row: ConfigRow, task: Task, results: Path) -> list[Output] | None:
    """The newest run's answers of the row's model to the same questions; None if no run has them."""
    for run in find_runs(results):
        if task.name not in run.task_names() or not _has_same_questions(run, task):
            continue
        for model in run.model_names():
            checkpoint = (run.model_spec(model).checkpoint or "").rpartition("/")[2]
            is_same_model = row.model.lower() in {model.lower(), checkpoint.lower()}
            outputs = run.outputs(model, task.name)
            if is_same_model and all(sample.id in outputs for sample in task.samples):
                return [outputs[sample.id] for sample in task.samples]
    return None


def _has_same_questions(run: RunStore, task: Task) -> bool:
    """Whether ``run`` asked every question of ``task`` in the same words, with the same references."""
    asked = {sample.id: sample for sample in run.load_task(task.name).samples}
    return all(
        sample.id in asked
        and asked[sample.id].question == sample.question
        and asked[sample.id].references == sample.references
        for sample in task.samples
    )

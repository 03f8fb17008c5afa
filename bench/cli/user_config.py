"""``bench run --config user_config.csv``: the rows of a VLMHyperBench configuration as runs.

Rows that differ only in model and data set share a run. Rows with other filters, system prompts, metrics or
aggregators get runs of their own, and so does the same model on the same data set with another prompt
collection. All runs are reported together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from bench.cli import echo_json
from bench.cli.execution import conclude, devices_of, execute_plan
from bench.cli.run_options import RunOptions
from bench.errors import InvalidInput
from bench.rundir.pushing import is_push_awaited
from bench.schema import ModelSpec
from bench.text import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from bench.asking.prompts import PromptRule
    from bench.rundir.store import RunStore
    from bench.runner import RunPlan
    from bench.schema import Task
    from bench.tasks.hyperbench.config import ConfigRow
    from bench.tasks.hyperbench.layout import ConfigLayout


@dataclass(frozen=True, slots=True)
class ConfiguredRun:
    """Rows that make one run: every model of them is asked every task."""

    rows: tuple[ConfigRow, ...]

    @property
    def first(self) -> ConfigRow:
        """What all rows have in common stands in each of them."""
        return self.rows[0]

    @property
    def models(self) -> list[str]:
        """The models of the rows, each once."""
        return list(dict.fromkeys(row.model for row in self.rows))


def run_config(options: RunOptions) -> None:
    """Run every row of ``options.config``, then report all runs together."""
    from bench.tasks.hyperbench.config import read_user_config
    from bench.tasks.hyperbench.layout import find_layout

    path = options.config
    assert path is not None
    _refuse_what_rows_say(options)
    rows = read_user_config(path)
    layout = find_layout(path)
    for row in rows:
        for name in row.skipped_metrics:
            click.echo(f"warning: line {row.line}: {name} is not computed here", err=True)
    runs = configured_runs(rows)
    plans = [_plan(run, path, layout, options) for run in runs]
    if options.dry_run:
        _print_plans(plans, options)
        return
    _refuse_continuing(options)
    stores, failed_models = _execute(runs, plans, layout, options)
    conclude(stores, failed_models, len({row.model for row in rows}), options)


def _refuse_what_rows_say(options: RunOptions) -> None:
    """An option that the rows decide would be passed over in silence."""
    from click.core import ParameterSource

    if options.sweep is not None:
        raise InvalidInput(
            "--sweep and a user_config.csv exclude each other",
            hint="name the models of a sweep with --models",
        )
    if options.shard is not None:
        raise InvalidInput(
            "--shard divides one run, but a user_config.csv may make several",
            hint="name models and tasks with --models and --tasks",
        )
    context = click.get_current_context()
    for name in ("models", "tasks", "prompts"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InvalidInput(
                f"--{name} and a user_config.csv exclude each other, because its rows name the {name}",
                hint=f"leave out --{name}, or --config",
            )


def _refuse_continuing(options: RunOptions) -> None:
    for name, given in (("--resume", options.resume), ("--retry-failed", options.retry_failed)):
        if given:
            raise InvalidInput(
                f"{name} continues one run, but a user_config.csv may make several",
                hint=f"leave out {name}: the same command continues what is unfinished",
            )


def _execute(
    runs: Sequence[ConfiguredRun],
    plans: Sequence[RunPlan],
    layout: ConfigLayout,
    options: RunOptions,
) -> tuple[list[RunStore], list[str]]:
    """The stores of all runs in their order, and the names of models that failed."""
    from bench.cli.stored_answers import run_of_stored_answers

    stores: list[RunStore] = []
    failed_models: list[str] = []
    complete = {} if options.fresh else _complete_runs(plans, options.out.folder)
    for number, (run, plan) in enumerate(zip(runs, plans, strict=True)):
        if number in complete:
            stores.append(complete[number])
        elif run.first.only_evaluate:
            stores.append(run_of_stored_answers(run.rows, plan, layout, options.out.folder))
        else:
            outcome = execute_plan(plan, options)
            stores.append(outcome.run)
            failed_models += outcome.failed_models
    return stores, failed_models


def _complete_runs(plans: Sequence[RunPlan], results: Path) -> dict[int, RunStore]:
    """Position of a plan → its complete run, where the configuration as a whole was broken off.

    Where every plan has a complete run there is nothing to continue, and all are run anew, unless some of the
    runs have still to be pushed.
    """
    from bench.rundir.listing import find_runs

    # Of several runs of a plan, the newest counts.
    runs = reversed(find_runs(results))
    by_spec = {run.record.get("spec_id"): run for run in runs if run.is_complete()}
    ids = [plan.spec_id() for plan in plans]
    complete = {i: by_spec[spec_id] for i, spec_id in enumerate(ids) if spec_id in by_spec}
    is_unpushed = any(is_push_awaited(run.path) for run in complete.values())
    return complete if len(complete) < len(plans) or is_unpushed else {}


def configured_runs(rows: Sequence[ConfigRow]) -> list[ConfiguredRun]:
    """Rows by run, in the order of the file."""
    groups: dict[tuple[Any, ...], list[dict[tuple[str, str, str], ConfigRow]]] = {}
    for row in rows:
        key = (row.only, row.system_prompt, row.metrics, row.aggregators, row.only_evaluate)
        place = (row.dataset, row.task, row.model)
        rounds = groups.setdefault(key, [])
        # The same cell once more, with other prompts, is another run.
        cells = next((cells for cells in rounds if place not in cells), None)
        if cells is None:
            cells = {}
            rounds.append(cells)
        cells[place] = row
    return [
        ConfiguredRun(part)
        for rounds in groups.values()
        for cells in rounds
        for part in _rectangles(tuple(cells.values()))
    ]


def _rectangles(rows: tuple[ConfigRow, ...]) -> list[tuple[ConfigRow, ...]]:
    """Rows split so that in each part every model has every data set."""
    by_dataset: dict[tuple[str, str], list[ConfigRow]] = {}
    for row in rows:
        by_dataset.setdefault((row.dataset, row.task), []).append(row)
    by_models: dict[frozenset[str], list[ConfigRow]] = {}
    for dataset_rows in by_dataset.values():
        models = frozenset(row.model for row in dataset_rows)
        by_models.setdefault(models, []).extend(dataset_rows)
    return [tuple(part) for part in by_models.values()]


def _plan(run: ConfiguredRun, config: Path, layout: ConfigLayout, options: RunOptions) -> RunPlan:
    """The plan of one run: its models, its tasks as the rows set them up, and their prompts."""
    from bench.cli.planning import models_to_run, plan_of
    from bench.tasks import load_task

    names = run.models
    if run.first.only_evaluate:
        # A model that is not asked need not be known here.
        specs = tuple(ModelSpec(file_name(name), backend="imported") for name in names)
    else:
        specs = models_to_run(names, options)
    by_name = dict(zip(names, specs, strict=True))
    tasks: dict[tuple[str, str], Task] = {}
    rules: list[PromptRule] = []
    for row in run.rows:
        place = (row.dataset, row.task)
        if place not in tasks:
            task = load_task(layout.dataset(row), allow_unreadable=options.allow_unreadable)
            tasks[place] = _set_up(task, row, layout)
        rules += _prompt_rules(row, layout, by_name[row.model], tasks[place])
    labels = (
        ("metrics_aggregators", ",".join(run.first.aggregators)),
        ("user_config", config.name),
    )
    named = replace(
        options,
        name=config.stem if options.name == "run" else options.name,
        labels=(*options.labels, *labels),
    )
    return plan_of(specs, tuple(tasks.values()), tuple(rules), named, dict(run.first.only))


def _set_up(task: Task, row: ConfigRow, layout: ConfigLayout) -> Task:
    """The task with the row's metrics leading and its system prompt."""
    from bench.scoring.evaluation import check_metrics
    from bench.tasks.loading import task_digest

    check_metrics(task, row.metrics)
    system = layout.system(row)
    prompt = task.prompt if system is None else replace(task.prompt, system=system)
    metrics = tuple(dict.fromkeys((*row.metrics, *task.metrics)))
    changed = replace(task, prompt=prompt, metrics=metrics)
    return changed if system is None else replace(changed, digest=task_digest(changed))


def _prompt_rules(
    row: ConfigRow, layout: ConfigLayout, spec: ModelSpec, task: Task
) -> list[PromptRule]:
    """The row's prompts, for its model and data set alone."""
    from bench.asking.prompts import read_prompts

    path = layout.prompts(row)
    if path is None:
        return []
    return [replace(rule, model=spec.name, task=task.name) for rule in read_prompts(path)]


def _print_plans(plans: Sequence[RunPlan], options: RunOptions) -> None:
    from bench.cli.dry_run import describe, describe_json

    devices = [devices_of(plan, options) for plan in plans]
    if options.as_json:
        echo_json(
            [describe_json(*one, options.push_to) for one in zip(plans, devices, strict=True)]
        )
        return
    for number, one in enumerate(zip(plans, devices, strict=True), 1):
        click.echo(f"Run {number} of {len(plans)}\n{describe(*one, options.push_to)}\n")

"""From the options of ``bench run`` to a plan: which models, which tasks, asked how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.cli.model_options import resolve_models
from bench.cli.option_types import text_list
from bench.cli.run_options import RunOptions
from bench.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from bench.asking.prompts import PromptRule
    from bench.runner import RunPlan, RunSettings
    from bench.schema import ModelSpec, Task


def make_plan(options: RunOptions) -> RunPlan:
    """The plan that the options of ``bench run`` ask for.

    Raises:
        InvalidInput: they name what does not exist, or contradict each other.
    """
    from bench.asking.prompt_sets import compared, read_prompt_set
    from bench.runner.sweep import parse_sweep, swept
    from bench.tasks import expand_tasks

    models = models_to_run(options.models, options)
    if options.sweep is not None:
        models = swept(models, parse_sweep(options.sweep))
    folders = expand_tasks(options.tasks)
    tasks = [_load(folder, options.allow_unreadable) for folder in folders]
    rules: tuple[PromptRule, ...] = ()
    sets = [read_prompt_set(source, models) for source in options.prompts or ()]
    if len(sets) == 1:
        rules = sets[0].rules
    elif sets:
        models, rules = compared(models, sets)
    return plan_of(models, tasks, rules, options)


def _load(folder: Path, allow_unreadable: bool) -> Task:
    from bench.tasks.loading import check_task, load_task

    try:
        return load_task(folder, allow_unreadable=allow_unreadable)
    except InvalidInput as error:
        if not check_task(folder, allow_unreadable=True).problems:
            error.hint = (
                f"{error.hint}; or add --allow-unreadable: these questions then count as failed"
            )
        raise


def models_to_run(names: Sequence[str], options: RunOptions) -> tuple[ModelSpec, ...]:
    """The models that ``names`` mean, with the engine that the command line chose for them."""
    engine: dict[str, bool] = {}
    if options.no_reuse:
        engine["reuse"] = False
    if options.reference:
        engine["reference"] = True
    return resolve_models(
        names,
        options,
        options.model_tables,
        engine,
        options.engine,
        may_ask_hub=not options.dry_run,
    )


def plan_of(
    models: Sequence[ModelSpec],
    tasks: Sequence[Task],
    rules: tuple[PromptRule, ...],
    options: RunOptions,
    only: Mapping[str, tuple[str, ...]] | None = None,
) -> RunPlan:
    """The plan for ``models`` and ``tasks`` as the protocol sets them up; its warnings are printed.

    Args:
        models: the models to run.
        tasks: the tasks to run.
        rules: rows of a prompt collection; empty for the tasks' own prompts.
        options: everything else.
        only: metadata key → values of the questions to ask; None for all questions.
    """
    from bench.asking.prompts import check_used, tuning_warnings
    from bench.asking.protocols import apply
    from bench.runner import plan_run
    from bench.runner.perturb import conditions, with_perturbed
    from bench.runner.shards import Part
    from bench.runner.upright import turn_upright

    sources = dict.fromkeys(rule.source for rule in rules)
    models, tasks, protocol = apply(
        options.protocol,
        models,
        tasks,
        max_new_tokens=options.max_new_tokens,
        collection=", ".join(sources) or None,
    )
    settings = _settings(options, rules, protocol, only or {})
    plan = plan_run(
        models,
        tasks,
        settings,
        name=options.name,
        labels=dict(options.labels),
        part=Part(*options.shard or ()),
    )
    if settings.upright:
        plan = turn_upright(plan)
    if options.perturb is not None:
        plan = with_perturbed(plan, conditions(options.perturb, options.perturb_seed))
    warnings = check_used(rules, plan.models, plan.tasks)
    for warning in [*warnings, *tuning_warnings(rules, plan.models, plan.tasks)]:
        click.echo(f"warning: {warning}", err=True)
    return plan


def _settings(
    options: RunOptions,
    rules: tuple[PromptRule, ...],
    protocol: Mapping[str, Any] | None,
    only: Mapping[str, tuple[str, ...]],
) -> RunSettings:
    from bench.runner import RunSettings

    ids = None if options.sample_ids is None else text_list(options.sample_ids, "--sample-ids")
    return RunSettings(
        limit=options.limit,
        sample_ids=ids,
        batch_size=options.batch_size or None,
        max_new_tokens=options.max_new_tokens,
        warmup=not options.no_warmup,
        latency_samples=options.latency_samples,
        prompts=rules,
        protocol=protocol,
        only=only,
        allow_downscale=options.allow_downscale,
        upright=options.upright,
    )

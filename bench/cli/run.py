"""``bench run``: models answer the questions of tasks, and a report says how well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bench.cli import echo_json
from bench.cli.commands import GroupedCommand, takes
from bench.cli.execution import (
    check_loadable,
    conclude,
    conclude_part,
    devices_of,
    execute_plan,
)
from bench.cli.run_options import RunOptions
from bench.storage import check_address

if TYPE_CHECKING:
    from bench.runner import RunPlan


@click.command("run", cls=GroupedCommand)
@takes(RunOptions)
def run_command(options: RunOptions) -> None:
    """Run models on tasks, and write a report.

    The same command continues a run that was stopped or killed.

    \b
    bench run --models ocr --tasks all
    bench run --models qwen2-vl-2b,adapters/mine --tasks my/documents --visual-tokens 1280
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.cli.planning import make_plan
    from bench.cli.user_config import run_config

    if options.push_to is not None:
        # Before any model is asked: a run of hours whose results go nowhere is no use to anybody.
        check_address(options.push_to, ask=not options.dry_run)
    if options.has_csv:
        run_config(options)
        return
    plan = make_plan(options)
    if options.dry_run:
        _print_plan(plan, options)
        return
    outcome = execute_plan(plan, options)
    if plan.part.total > 1:
        conclude_part(outcome, plan.part, options)
        return
    models = len(plan.models)
    # The questions are read again from the run directory; a large run would be in memory twice.
    del plan
    conclude([outcome.run], outcome.failed_models, models, options)


def _print_plan(plan: RunPlan, options: RunOptions) -> None:
    from bench.cli.dry_run import describe, describe_json

    check_loadable(plan)
    devices = devices_of(plan, options)
    if options.as_json:
        echo_json({**describe_json(plan, devices, options.push_to), **plan.part.record()})
    else:
        click.echo(describe(plan, devices, options.push_to))
        if plan.part.total > 1:
            click.echo(f"\nOf these questions, this command would ask {plan.part}.")

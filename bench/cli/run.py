"""``bench run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bench.cli.commands import GroupedCommand, takes
from bench.cli.execution import check_loadable, devices_for, execute_plan
from bench.cli.run_options import RunOptions
from bench.errors import ENVIRONMENT, INCOMPLETE

if TYPE_CHECKING:
    from bench.runner import RunPlan
    from bench.runner.execute import Outcome


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

    if options.has_csv:
        run_config(options)
        return
    plan = make_plan(options)
    if options.dry_run:
        _print_plan(plan, options)
        return
    outcome = execute_plan(plan, options)
    share = _conclude(outcome, options)
    if len(outcome.failed_models) == len(plan.models):
        raise click.exceptions.Exit(ENVIRONMENT)
    if outcome.failed_models or share > options.max_errors:
        raise click.exceptions.Exit(INCOMPLETE)


def _print_plan(plan: RunPlan, options: RunOptions) -> None:
    from bench.cli import echo_json
    from bench.cli.dry_run import describe, describe_json

    check_loadable(plan)
    devices = devices_for(plan, options.devices)
    if options.as_json:
        echo_json(describe_json(plan, devices))
    else:
        click.echo(describe(plan, devices))


def _conclude(outcome: Outcome, options: RunOptions) -> float:
    """Score the run, write its report and print its summary; the share of answers that failed."""
    from bench.cli.reporting import failed_share, print_summary, write_reports
    from bench.scoring.evaluation import evaluate, write_scores

    evaluation = evaluate(outcome.run)
    formats = () if options.no_report else ("html", "md", "json")
    written = write_reports([evaluation], None, formats) if formats else []
    # Last: the same command finishes a run that has no scores, instead of beginning another.
    write_scores(evaluation)
    print_summary([evaluation], written, as_json=options.as_json)
    return failed_share([evaluation])

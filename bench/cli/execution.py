"""Carrying out the plans of ``bench run``, from the devices to the report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from bench.cli import command_to_continue, echo_json
from bench.cli.lookup import find_run
from bench.cli.run_options import RunOptions
from bench.errors import (
    ENVIRONMENT,
    INCOMPLETE,
    INTERRUPTED,
    BenchError,
    EnvironmentProblem,
    InvalidInput,
)
from bench.formatting import listed
from bench.rundir.pushing import mark_push
from bench.text import one_line, printable, shell_word

if TYPE_CHECKING:
    from bench.rundir.store import RunStore
    from bench.runner import RunPlan
    from bench.runner.devices import Device
    from bench.runner.execute import Outcome
    from bench.runner.shards import Part
    from bench.scoring.evaluation import Evaluation


def execute_plan(plan: RunPlan, options: RunOptions) -> Outcome:
    """Execute ``plan`` as the options of ``bench run`` say; a request to stop ends the program."""
    for name, given in (("--resume", options.resume), ("--retry-failed", options.retry_failed)):
        if given and options.fresh:
            raise InvalidInput(
                f"{name} continues a run, but --fresh begins a new one",
                hint="leave out one of them",
            )
    if options.log_to is not None and plan.part.total > 1:
        raise InvalidInput(
            "--log-to logs scores, but a part of a run has none",
            hint=f"join the parts first: bench merge RUN... --log-to {shell_word(options.log_to)}",
        )
    check_loadable(plan)
    results = options.out.folder
    return carry_out(
        plan,
        results,
        resume=None if options.resume is None else find_run(str(options.resume), results),
        fresh=options.fresh,
        retry_failed=options.retry_failed,
        devices=devices_of(plan, options),
    )


def carry_out(
    plan: RunPlan,
    results: Path,
    *,
    resume: Path | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    devices: Sequence[Device] = (),
) -> Outcome:
    """Execute ``plan`` with its progress on standard error; a request to stop ends the program.

    The arguments are those of ``bench.runner.execute``.
    """
    from bench.cli.progress import RunProgress
    from bench.runner import execute

    with RunProgress() as progress:
        outcome = execute(
            plan,
            results,
            resume=resume,
            fresh=fresh,
            retry_failed=retry_failed,
            devices=devices,
            progress=progress,
        )
    if outcome.interrupted:
        click.echo(f"The run was stopped. To continue it, type: {command_to_continue()}", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    return outcome


def conclude_part(outcome: Outcome, part: Part, options: RunOptions) -> None:
    """Say what a part of a run has done; scores and a report are of the whole run, after ``bench merge``."""
    run = outcome.run
    failed = outcome.failed_models
    if options.push_to is not None:
        push_finished([run], options.push_to)
    if options.as_json:
        echo_json({"run": str(run.path), **part.record(), "failed_models": list(failed)})
    elif failed:
        click.echo(f"{part} is not finished, because of {listed(failed)}: {run.path}")
    else:
        click.echo(f"{part} is done: {run.path}")
        click.echo("When all parts are done, join them: bench merge RUN...")
    if failed:
        everything_failed = len(set(failed)) >= len(run.model_names())
        raise click.exceptions.Exit(ENVIRONMENT if everything_failed else INCOMPLETE)


def check_loadable(plan: RunPlan) -> None:
    """Refuse at once what would only fail later, after other models have run for hours."""
    from bench.models import make_model
    from bench.models.openai.settings import api_key, endpoint_settings

    for spec in plan.models:
        make_model(spec)
        if spec.options.get("api_key_env") is not None:
            api_key(endpoint_settings(spec))


def devices_of(plan: RunPlan, options: RunOptions) -> tuple[Device, ...]:
    """The devices of this machine, or the places on a cluster, that share each model's questions.

    Raises:
        InvalidInput: the options contradict each other, or are not valid.
        EnvironmentProblem: a device, a package or the cluster is not there.
    """
    if options.executor is None:
        if options.workers is not None:
            raise InvalidInput("--workers counts actors of a cluster", hint="add --executor ray")
        return devices_for(plan, options.devices)
    from bench.runner.on_ray import cluster_address, workers_on

    address = cluster_address(options.executor)
    if options.devices is not None:
        raise InvalidInput(
            "--devices names devices of this machine, but --executor runs the models on a cluster",
            hint="leave out one of them",
        )
    return workers_on(address, plan.models, options.workers)


def devices_for(plan: RunPlan, text: str | None) -> tuple[Device, ...]:
    """The devices that ``--devices`` names for the models of ``plan``; empty if it is not given.

    Raises:
        InvalidInput: a model has a device of its own, or ``text`` names no devices.
    """
    from bench.runner.devices import parse_devices

    if text is None:
        return ()
    for spec in plan.models:
        if spec.device != "auto":
            raise InvalidInput(
                f"model {spec.name!r} is to run on {spec.device}, but --devices names {one_line(text, 60)}",
                hint="leave out --devices, or --device, or the device in the model's table of bench.toml",
            )
        if spec.options.get("device_map") is not None:
            raise InvalidInput(
                f"model {spec.name!r} is spread over all GPUs (device_map), but --devices loads a whole "
                "model on each device",
                hint="leave out --devices, or remove device_map from the model's table in bench.toml",
            )
    return parse_devices(text)


class Conclusion(Protocol):
    """What ``conclude`` asks of the options of a command."""

    @property
    def no_report(self) -> bool:
        """Whether scores are enough."""

    @property
    def push_to(self) -> str | None:
        """The address on object storage that finished runs are pushed to; None for none."""

    @property
    def log_to(self) -> str | None:
        """The experiment tracker that the results are logged to; None for none."""

    @property
    def as_json(self) -> bool:
        """Whether the summary is printed as JSON."""

    @property
    def max_errors(self) -> float:
        """Share of failed answers that is still all right."""

    @property
    def has_csv(self) -> bool:
        """Whether VLMHyperBench's files are written, too."""


def conclude(
    runs: Sequence[RunStore], failed_models: Sequence[str], models: int, options: Conclusion
) -> None:
    """Score the runs, report all of them together, and end the program if they are incomplete.

    Args:
        runs: the runs of one command.
        failed_models: names of the models that could not be run.
        models: how many models there are.
        options: whether and how to report, and how many failed answers are too many.
    """
    from bench.cli.progress import scoring_progress
    from bench.cli.reporting import are_large, report_large
    from bench.scoring.evaluation import evaluate, write_scores

    with scoring_progress() as progress:
        evaluations = [evaluate(run, in_processes=True, progress=progress.step) for run in runs]
    # Before the scores, with which a run is whole: the same command pushes what was not pushed.
    for run in runs:
        mark_push(run.path, awaited=options.push_to is not None)
    if are_large(runs):
        for evaluation in evaluations:
            write_scores(evaluation)
        report_large(
            runs, write=not options.no_report, as_json=options.as_json, log_to=options.log_to
        )
        if options.has_csv and not options.no_report:
            click.echo("warning: so large a run gets no files of VLMHyperBench", err=True)
    else:
        _report(evaluations, options)
    if options.push_to is not None:
        push_finished(runs, options.push_to)
    if failed_models and len(set(failed_models)) >= models:
        raise click.exceptions.Exit(ENVIRONMENT)
    cells = [cell for evaluation in evaluations for cell in evaluation.cells.values()]
    failures = [answer.failed for cell in cells for answer in cell.answers]
    failed_share = sum(failures) / max(1, len(failures))
    is_incomplete = any(cell.asked < len(cell.answers) for cell in cells)
    if failed_models or is_incomplete or failed_share > options.max_errors:
        raise click.exceptions.Exit(INCOMPLETE)


def _report(evaluations: Sequence[Evaluation], options: Conclusion) -> None:
    """Report the runs together, keep their scores, and print the result."""
    from bench.cli.config_file import known_prices
    from bench.cli.reporting import (
        gpu_fits,
        log_results,
        print_summary,
        sections_to_print,
        write_reports,
    )
    from bench.report import ReportOptions, build, make_sections
    from bench.scoring.evaluation import write_scores

    report_options = ReportOptions(prices=known_prices(()), gpu_fits=gpu_fits(evaluations))
    view = build(evaluations, report_options)
    written = []
    if options.no_report:
        sections = sections_to_print(view, as_json=options.as_json)
    else:
        sections = make_sections(view)
        if options.has_csv:
            for evaluation in evaluations:
                write_reports([evaluation], build([evaluation]), None, ("vlmhyperbench",))
        formats = ("html", "md", "json")
        written = write_reports(evaluations, view, None, formats, report_options, sections)
    # Last: the same command finishes a run that has no scores, instead of beginning another.
    for evaluation in evaluations:
        write_scores(evaluation)
    print_summary(view, sections, written, as_json=options.as_json)
    if options.log_to is not None:
        # Whatever a tracker does, the run is complete: how the command ends does not depend on it.
        log_results(options.log_to, evaluations, view)


def push_finished(runs: Sequence[RunStore], address: str) -> None:
    """Push the finished ones of ``runs`` below ``address``, and say where they are.

    Raises:
        EnvironmentProblem: a run could not be pushed; the message says how to do it later.
    """
    from bench.cli.push import push_below

    for run in runs:
        path = printable(str(run.path))
        if not run.is_complete():
            click.echo(
                f"{path} is not finished, so it was not pushed. The same command continues it.",
                err=True,
            )
            continue
        try:
            place, _ = push_below(run.path, address)
        except BenchError as error:
            raise EnvironmentProblem(
                f"{path} is finished, but it was not pushed: {error.message}",
                hint=shlex.join(["bench", "push", str(run.path), address]),
            ) from None
        click.echo(f"Pushed to {one_line(place, 1000)}", err=True)

"""Carrying out a plan of ``bench run`` with its progress on the screen."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from bench.cli.run_options import RunOptions
from bench.errors import INTERRUPTED, InvalidInput
from bench.text import one_line

if TYPE_CHECKING:
    from bench.runner import RunPlan
    from bench.runner.devices import Device
    from bench.runner.execute import Outcome


def execute_plan(plan: RunPlan, options: RunOptions) -> Outcome:
    """Execute ``plan`` with its progress on standard error; a request to stop ends the program."""
    from bench.cli.progress import RunProgress
    from bench.runner import execute

    _refuse_contradictions(options)
    check_loadable(plan)
    devices = devices_for(plan, options.devices)
    with RunProgress() as progress:
        outcome = execute(
            plan,
            options.out,
            resume=options.resume,
            fresh=options.fresh,
            retry_failed=options.retry_failed,
            devices=devices,
            progress=progress,
        )
    if outcome.interrupted:
        command = shlex.join(["bench", *sys.argv[1:]])
        click.echo(f"The run was stopped. To continue it, type: {command}", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    return outcome


def _refuse_contradictions(options: RunOptions) -> None:
    for name, given in (("--resume", options.resume), ("--retry-failed", options.retry_failed)):
        if given and options.fresh:
            raise InvalidInput(
                f"{name} continues a run, but --fresh begins a new one",
                hint="leave out one of them",
            )


def check_loadable(plan: RunPlan) -> None:
    """Refuse at once what would only fail later, after other models have run for hours."""
    from bench.models import make_model

    for spec in plan.models:
        make_model(spec)


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

"""``bench doctor``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.cli.commands import takes
from bench.cli.options import json_choice, results_choice
from bench.errors import ENVIRONMENT
from bench.text import printable

_MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "missing": ("✗", "red")}


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """What a person chose for ``bench doctor``."""

    results: Path = results_choice()
    as_json: bool = json_choice()


@click.command("doctor")
@takes(DoctorOptions)
def doctor_command(options: DoctorOptions) -> None:
    """Check this machine, and say how to install what is missing.

    The exit status is 3 if something is marked ✗.
    """
    from bench.measure.doctor import examine

    checks = examine(options.results)
    if options.as_json:
        from bench.cli import echo_json

        echo_json([asdict(check) for check in checks])
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark, colour = _MARKS[check.state]
            click.echo(
                f"{click.style(mark, fg=colour)} {check.name:<{width}}  {printable(check.found)}"
            )
            if check.cure:
                click.echo(f"  {'':<{width}}  try: {printable(check.cure)}")
    if any(check.state == "missing" for check in checks):
        raise click.exceptions.Exit(ENVIRONMENT)

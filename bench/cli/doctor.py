"""``bench doctor``: what this machine lacks, and how to install it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import echo_json
from bench.cli.commands import takes
from bench.cli.config_file import bench_toml
from bench.cli.options import json_choice, results_choice
from bench.cli.tables import table
from bench.errors import ENVIRONMENT

if TYPE_CHECKING:
    from bench.measure.doctor import Check

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
    from bench.models.serving.choice import engine_table
    from bench.models.serving.engines import ENGINES

    tables = {engine: engine_table(engine, bench_toml()) for engine in ENGINES}
    checks = examine(options.results, tables)
    if options.as_json:
        echo_json([asdict(check) for check in checks])
    else:
        click.echo(table([row for check in checks for row in _rows(check)]))
    if any(check.state == "missing" for check in checks):
        raise click.exceptions.Exit(ENVIRONMENT)


def _rows(check: Check) -> list[dict[str, Any]]:
    """One line for a check, and one for what to type where something is missing."""
    from rich.text import Text

    mark, colour = _MARKS[check.state]
    rows: list[dict[str, Any]] = [
        {"": Text(mark, style=colour), "check": check.name, "result": check.found}
    ]
    if check.cure:
        rows.append({"": "", "check": "", "result": f"try: {check.cure}"})
    return rows

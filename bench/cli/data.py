"""``bench data synth|validate``: making and checking document sets."""

from __future__ import annotations

import click

from bench.cli.options import json_option
from bench.errors import InvalidInput
from bench.text import one_line, printable


@click.group("data")
def data_command() -> None:
    """Make and check document sets."""


@data_command.command("validate")
@click.argument("task")
@click.option("--deep", is_flag=True, help="Also decode every page, not only its header.")
@json_option
def validate_command(task: str, deep: bool, as_json: bool) -> None:
    """Check a task (a name, a task folder, or a folder of own documents); name every problem.

    Exit status 0 where it can be run, 2 where it cannot.
    """
    from bench.tasks import check_task, find_task
    from bench.tasks.problems import Problem

    notes: list[Problem] = []
    loaded, problems = check_task(find_task(task), deep=deep, notes=notes)
    if as_json:
        from bench.cli import echo_json

        echo_json([problem._asdict() for problem in problems])
    else:
        for problem in problems:
            click.echo(printable(str(problem)))
        for note in notes:
            click.echo(printable(f"note: {note}"))
    if problems:
        raise InvalidInput(
            f"{one_line(task, 80)}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
        )
    if loaded is not None and not as_json:
        pages = sum(len(document.pages) for document in loaded.documents.values())
        click.echo(
            f"{loaded.name}: {len(loaded.samples)} questions on {len(loaded.documents)} documents "
            f"({pages} pages), headline {loaded.metrics[0]}; nothing is wrong"
        )

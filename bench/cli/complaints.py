"""Prints a list of problems so that a person can read it, however long it is."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bench.errors import EnvironmentProblem
from bench.files import write_atomically
from bench.text import file_name, printable

SHOWN = 20
"""Lines that are printed; a longer list is written into a file as a whole."""


def print_list(lines: Sequence[str], what: str, name: str, *, err: bool = False) -> None:
    """Print the first lines, then how many more there are and where all of them are written.

    Args:
        lines: in their order; control characters in them become visible.
        what: what the lines are, in the plural: ``problems``.
        name: begins the name of the file that a long list is written into.
        err: print to standard error.
    """
    for line in lines[:SHOWN]:
        click.echo(printable(line), err=err)
    more = len(lines) - SHOWN
    if more <= 0:
        return
    # Imported when first needed: `bench --help` loads no task.
    from bench.tasks.cache import cache_root

    path = cache_root().parent / what / f"{file_name(name)}.txt"
    try:
        write_atomically(path, "".join(f"{printable(line)}\n" for line in lines))
    except EnvironmentProblem:
        click.echo(f"… and {more:,} more {what}; the list of all could not be written", err=err)
        return
    click.echo(
        f"… and {more:,} more {what}; all {len(lines):,} are in {printable(str(path))}", err=err
    )

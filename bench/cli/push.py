"""``bench push``: a finished run or an adapter goes to object storage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import echo_json
from bench.cli.commands import argument, choice, takes
from bench.cli.lookup import find_run
from bench.cli.options import json_choice, results_choice
from bench.cli.progress import LateProgress
from bench.errors import InvalidInput
from bench.formatting import byte_size, plural
from bench.text import one_line

if TYPE_CHECKING:
    from bench.storage import Copied


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """What a person chose for ``bench push``."""

    what: str = argument(metavar="RUN")
    address: str = argument(metavar="ADDRESS")
    replace: bool = choice(help="Overwrite a different folder that is at the address.")
    results: Path = results_choice()
    as_json: bool = json_choice()


@click.command("push")
@takes(PushOptions)
def push_command(options: PushOptions) -> None:
    """Copy a finished run or an adapter to object storage.

    RUN is the path of a run, its name, a part of its name, "last", or the folder of an adapter. It becomes a
    folder below ADDRESS: s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER. The command prints
    its address, which can be named wherever a run or a model can. The same command again copies only what
    has changed.

    \b
    bench push last s3://bucket/runs
    bench report s3://bucket/runs/RUN --out report
    bench push adapters/mine s3://bucket/adapters
    bench run --models s3://bucket/adapters/mine --tasks my/documents
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    folder = _folder(options.what, options.results)
    address, copied = push_below(folder, options.address, replace=options.replace)
    if options.as_json:
        echo_json(
            {
                "address": address,
                "files": copied.files,
                "bytes": copied.bytes,
                "unchanged": copied.unchanged,
            }
        )
        return
    files = f"{plural(copied.files, 'file')} ({byte_size(copied.bytes)})"
    click.echo(f"{files} copied, {copied.unchanged} unchanged", err=True)
    click.echo(one_line(address, 1000))


def push_below(folder: Path, address: str, *, replace: bool = False) -> tuple[str, Copied]:
    """Copy a finished run or an adapter to the place of its name below ``address``, with progress.

    Returns:
        The address of the copy, and what was copied.

    Raises:
        InvalidInput: ``address`` is none, or another folder is there and ``replace`` is false.
        EnvironmentProblem: a driver is missing, or the storage refuses or fails.
    """
    from bench.rundir.pushing import mark_push
    from bench.rundir.record import RUN_FILE
    from bench.storage import check_address, ends_with_process, push_folder

    # As it was typed, so that a message repeats nothing else.
    check_address(address, ask=False)
    place = f"{address.rstrip('/')}/{folder.resolve().name}"
    with LateProgress("copying, by bytes") as progress:
        copied = push_folder(
            folder, place, replace=replace, known_by=RUN_FILE, progress=progress.step
        )
    mark_push(folder, awaited=False)
    if ends_with_process(place):
        click.echo(
            "note: memory:// is the memory of this process, so this copy is gone when the command ends",
            err=True,
        )
    return place, copied


def _folder(what: str, results: Path) -> Path:
    """The folder of the run or adapter that ``what`` names.

    Raises:
        InvalidInput: it names neither, or a run that is not finished.
    """
    from bench.models.checkpoints import is_adapter
    from bench.rundir.store import RunStore

    named = Path(what)
    if named.is_dir() and is_adapter(named):
        return named.resolve()
    run = RunStore.open(find_run(what, results))
    if not run.is_complete():
        raise InvalidInput(
            f"run {run.id} is {run.state()}, and only finished runs are pushed",
            hint="the command that began the run continues it",
        )
    return run.path.resolve()

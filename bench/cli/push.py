"""``bench push``: a finished run or an adapter goes to object storage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from bench.cli import echo_json
from bench.cli.commands import argument, choice, takes
from bench.cli.lookup import find_run
from bench.cli.options import json_choice, results_choice
from bench.cli.progress import LateProgress
from bench.errors import InvalidInput
from bench.formatting import byte_size, plural
from bench.text import one_line


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
    from bench.storage import push_folder

    folder = _folder(options.what, options.results)
    address = f"{options.address.rstrip('/')}/{folder.name}"
    with LateProgress("copying, by bytes") as progress:
        copied = push_folder(folder, address, replace=options.replace, progress=progress.step)
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

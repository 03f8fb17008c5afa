"""``bench merge``: the parts of a run, which ``bench run --shard`` made, become one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from bench.cli.commands import argument, choice, takes
from bench.cli.execution import conclude
from bench.cli.lookup import find_run
from bench.cli.option_types import FolderOrAddress, RunPlace
from bench.cli.options import (
    json_choice,
    log_choice,
    max_errors_choice,
    no_report_choice,
    only_results_choice,
)
from bench.storage import check_address, is_address
from bench.text import printable


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """What a person chose for ``bench merge``."""

    runs: tuple[str, ...] = argument(nargs=-1, required=True, metavar="RUN...")
    out: RunPlace | None = choice(
        "-o",
        type=FolderOrAddress(),
        help="Make the run directory of the whole run in this folder. With an address of object storage, "
        "such as s3://BUCKET/FOLDER, make it in results, and push it to that address.  [default: the folder "
        "of the first part, or results if that part is on object storage]",
    )
    name: str | None = choice(
        metavar="NAME",
        help="Put this name into the name of the run directory.  [default: the name of the parts]",
    )
    max_errors: float = max_errors_choice()
    no_report: bool = no_report_choice()
    log_to: str | None = log_choice()
    results: Path = only_results_choice()
    as_json: bool = json_choice()

    @property
    def has_csv(self) -> bool:
        """No part comes from a ``user_config.csv``."""
        return False

    @property
    def push_to(self) -> str | None:
        """The address on object storage that the whole run is pushed to; None for none."""
        return None if self.out is None else self.out.address


@click.command("merge")
@takes(MergeOptions)
def merge_command(options: MergeOptions) -> None:
    """Join the parts of a run that bench run --shard divided, and score the whole.

    RUN is the run directory of a part: its path, its name, or a part of its name. All parts are named, in any
    order. The parts themselves stay as they are. Scores are those of the same run in one piece.

    \b
    bench merge results/*-1of2-* results/*-2of2-*
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.rundir.store import RunStore
    from bench.runner.merge import merge

    if options.push_to is not None:
        check_address(options.push_to)
    parts = [RunStore.open(find_run(name, options.results)) for name in options.runs]
    run = merge(parts, _folder(options, parts[0].path), options.name)
    click.echo(f"{len(parts)} parts are joined in {printable(str(run.path))}", err=True)
    conclude([run], (), len(run.model_names()), options)


def _folder(options: MergeOptions, first: Path) -> Path:
    """The folder of the whole run: that of the ``first`` part, unless this is a copy in the cache."""
    if options.out is not None:
        return options.out.folder
    return options.results if is_address(options.runs[0]) else first.parent

"""``bench pull``: everything that later runs need from the hub, so that they can do without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bench.cli.options import NameList, json_option
from bench.errors import InvalidInput
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.schema import ModelSpec
    from bench.tasks.hub import HubDataset
    from bench.tasks.taskfile import TaskFile


class Wanted(NamedTuple):
    """One thing to be fetched, or a reason why there is nothing to fetch."""

    kind: str
    """``task`` or ``model``."""
    name: str
    source: str
    revision: str | None
    license: str
    bytes: int | None
    """To download; 0 where nothing is, None where it is not known."""
    note: str
    subject: Any = None
    """What ``_fetch`` needs: the task's folder, file and hub entry, or the model's specification."""


@click.command("pull")
@click.option("-t", "--tasks", type=NameList(), help="Tasks, separated by commas.")
@click.option("-m", "--models", type=NameList(), help="Models, separated by commas.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="TOML file whose [models.NAME] tables give models.",
)
@click.option("--dry-run", is_flag=True, help="Print sizes and licences, and stop.")
@json_option
def pull_command(
    tasks: Sequence[str] | None,
    models: Sequence[str] | None,
    config: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Download data sets and checkpoints for later use without a network.

    Sizes and licences are printed first. After a break, the same command fetches what is still missing.

    \b
    bench pull --tasks docvqa,chartqa --models qwen2-vl-2b
    bench run --tasks docvqa,chartqa --models qwen2-vl-2b --offline
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    if not tasks and not models:
        raise InvalidInput(
            "neither tasks nor models were named",
            hint="bench pull --tasks docvqa --models qwen2-vl-2b",
        )
    wanted = [_task(name) for name in tasks or ()] + _models(models or (), config)
    if as_json:
        from bench.cli import echo_json

        if dry_run:
            echo_json([_row(item) for item in wanted])
    else:
        click.echo(_described(wanted))
    if dry_run:
        return
    done = [_fetch(item) for item in wanted]
    if as_json:
        echo_json(
            [{**_row(item), "folder": str(where)} for item, where in zip(wanted, done, strict=True)]
        )
        return
    for item, where in zip(wanted, done, strict=True):
        if where is not None:
            click.echo(f"{item.name}: ready in {printable(str(where))}")


def _task(name: str) -> Wanted:
    from bench.tasks import dataset_spec, find_task
    from bench.tasks.cache import find_made
    from bench.tasks.hub import look_up

    found = dataset_spec(name) if name != "all" else None
    if found is None:
        if name != "all":
            find_task(name)
        return Wanted("task", name, "this package", None, "-", 0, "needs no download")
    folder, spec = found
    if spec.dataset is None:
        raise InvalidInput(f"task {one_line(name, 60)} has no [dataset]")
    here = find_made(spec.name or folder.name, spec)
    if here is not None and spec.dataset.revision is not None:
        return Wanted(
            "task", name, spec.dataset.id, spec.dataset.revision, spec.license or "not stated", 0,
            "here already",
        )  # fmt: skip
    hub = look_up(spec.dataset)
    if here is not None and here.facts.get("revision") == hub.revision:
        hub = hub._replace(bytes=0)
    license_ = spec.license or hub.license or "not stated"
    notes = []
    if spec.license and hub.license and hub.license.lower() not in spec.license.lower():
        notes.append(f"the hub says {hub.license}")
    if hub.gated:
        notes.append("gated: terms must be accepted on the hub")
    if spec.dataset.revision is None:
        notes.append("newest revision, not pinned")
    return Wanted(
        "task", name, hub.hub_id, hub.revision, license_, hub.bytes, "; ".join(notes),
        (folder, spec, hub),
    )  # fmt: skip


def _models(names: Sequence[str], config: Path | None) -> list[Wanted]:
    from bench.models.catalog import catalog, resolve_all
    from bench.models.footprint import download_size

    if not names:
        return []
    licenses = {entry.checkpoint: entry.license for entry in catalog().values() if entry.checkpoint}
    found = []
    for spec in resolve_all(names, bench_toml=config):
        if spec.checkpoint is None:
            found.append(
                Wanted("model", spec.name, "this package", None, "-", 0, "needs no download")
            )
            continue
        size = download_size(spec)
        license_ = licenses.get(spec.checkpoint, "see its page on the hub")
        note = "here already" if size == 0 else ""
        found.append(
            Wanted("model", spec.name, spec.checkpoint, spec.revision, license_, size, note, spec)
        )
    return found


def _fetch(item: Wanted) -> Path | None:
    if item.subject is None:
        return None
    if item.kind == "model":
        return _fetch_model(item.subject)
    return _fetch_task(item.name, *item.subject)


def _fetch_model(spec: ModelSpec) -> Path:
    from bench.models.checkpoints import offline_by_environment
    from bench.models.qwen_vl.download import fetch

    offline = offline_by_environment()
    folder = fetch(spec.checkpoint or "", spec.revision, offline=offline)
    if spec.adapter is not None:
        fetch(spec.adapter, None, offline=offline)
    return folder


def _fetch_task(name: str, folder: Path, spec: TaskFile, hub: HubDataset) -> Path:
    from bench.tasks.cache import make_from_hub
    from bench.tasks.hub import download

    if spec.dataset is None:
        raise InvalidInput(f"task {one_line(name, 60)} has no [dataset]")
    files = download(hub, spec.dataset)
    made = make_from_hub(spec.name or folder.name, folder, spec, files, _every_thousand(name))
    facts = made.facts
    left = ", ".join(f"{count} rows {why}" for why, count in facts.get("left_out", {}).items())
    click.echo(
        f"{name}: {facts['samples']} questions, {facts['pages']} page images"
        + (f"; left out: {left}" if left else ""),
        err=True,
    )
    return made.folder


def _every_thousand(name: str) -> Callable[[int], None]:
    def say(rows: int) -> None:
        if rows % 1000 == 0:
            click.echo(f"{name}: {rows} rows", err=True)

    return say


def _row(item: Wanted) -> dict[str, Any]:
    return {key: value for key, value in item._asdict().items() if key != "subject"}


def _described(wanted: Sequence[Wanted]) -> str:
    from bench.cli.listing import table

    rows = [
        {
            "kind": item.kind,
            "name": item.name,
            "from": item.source,
            "revision": (item.revision or "-")[:12],
            "size": _size(item.bytes),
            "license": item.license,
            "note": item.note,
        }
        for item in wanted
    ]
    sizes = [item.bytes for item in wanted]
    total = sum(size for size in sizes if size is not None)
    unknown = "" if all(size is not None for size in sizes) else ", and what has no size above"
    return f"{table(rows)}\nIn all: {_size(total)}{unknown}"


def _size(count: int | None) -> str:
    if count is None:
        return "unknown"
    if count < 2**20:
        return f"{count / 2**10:.1f} KiB" if count else "0"
    return f"{count / 2**20:.1f} MiB" if count < 2**30 else f"{count / 2**30:.2f} GiB"

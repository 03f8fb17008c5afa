"""``bench pull``: everything that later runs need from the hub, so that they can do without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import click

from bench.cli import echo_json
from bench.cli.commands import choice, takes
from bench.cli.config_file import bench_toml
from bench.cli.options import json_choice, models_choice, tasks_choice
from bench.cli.tables import table
from bench.errors import InvalidInput
from bench.formatting import byte_size, plural
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.models.backends import ExtraDownload
    from bench.schema import ModelSpec
    from bench.tasks.hub import HubDataset
    from bench.tasks.taskfile import TaskFile


class Download(NamedTuple):
    """A task or a model, and what has to be downloaded for it."""

    kind: str
    """``task`` or ``model``."""
    name: str
    source: str
    revision: str | None
    license: str
    bytes: int | None
    """Bytes to download; 0 if nothing is missing, None if the size is not known."""
    note: str
    fetch: Callable[[], Path] | None = None
    """Downloads it, and names the folder it lies in; None where nothing is to be done."""


@dataclass(frozen=True, kw_only=True)
class PullOptions:
    """What a person chose for ``bench pull``."""

    tasks: tuple[str, ...] | None = tasks_choice(
        help="Download the data sets of these tasks, separated by commas."
    )
    models: tuple[str, ...] | None = models_choice(
        help="Download the checkpoints of these models, separated by commas. For ocr, this is a better "
        "recogniser of Cyrillic script."
    )
    config: Path | None = choice(
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Look for the models also in the tables [models.NAME] of this TOML file. Without the option, "
        "bench.toml in the working directory is read.",
    )
    dry_run: bool = choice(help="Print sizes and licences, then stop.")
    as_json: bool = json_choice()


@click.command("pull")
@takes(PullOptions)
def pull_command(options: PullOptions) -> None:
    """Download data sets and checkpoints, so that a run needs no network.

    Sizes and licences are printed first. If the download is interrupted, the same command fetches what is
    still missing.

    \b
    bench pull --tasks docvqa,chartqa --models qwen2-vl-2b
    bench run --tasks docvqa,chartqa --models qwen2-vl-2b --offline
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    if not options.tasks and not options.models:
        raise InvalidInput(
            "the command names neither a task nor a model to download",
            hint="bench pull --tasks docvqa --models qwen2-vl-2b",
        )
    downloads = [_task_download(name) for name in options.tasks or ()]
    downloads += _model_downloads(options.models or (), options.config)
    if not options.as_json:
        click.echo(_described(downloads))
    if options.dry_run:
        if options.as_json:
            echo_json([_record(download) for download in downloads])
        return
    folders = [download.fetch and download.fetch() for download in downloads]
    if options.as_json:
        pairs = zip(downloads, folders, strict=True)
        echo_json([{**_record(download), "folder": str(folder)} for download, folder in pairs])
        return
    for download, folder in zip(downloads, folders, strict=True):
        if folder is not None:
            click.echo(f"{download.name} is ready in {printable(str(folder))}")


def _nothing(kind: str, name: str) -> Download:
    """A task or model that is part of this package."""
    return Download(kind, name, "this package", None, "-", 0, "needs no download")


def _task_download(name: str) -> Download:
    from bench.tasks import dataset_spec, find_task
    from bench.tasks.cache import find_made
    from bench.tasks.hub import look_up

    entry = dataset_spec(name) if name != "all" else None
    if entry is None:
        if name != "all":
            # Raises where there is no such task either.
            find_task(name)
        return _nothing("task", name)
    folder, spec = entry
    if spec.dataset is None:
        raise InvalidInput(
            f"the task.toml of {one_line(name, 60)} has no table [dataset], so there is nothing to download"
        )
    made = find_made(spec.name or folder.name, spec)
    if made is not None and spec.dataset.revision is not None:
        return Download(
            "task",
            name,
            spec.dataset.id,
            spec.dataset.revision,
            spec.license or "not stated",
            0,
            "is already here",
        )
    hub = look_up(spec.dataset)
    if made is not None and made.facts.get("revision") == hub.revision:
        hub = hub._replace(bytes=0)
    return Download(
        "task",
        name,
        hub.hub_id,
        hub.revision,
        spec.license or hub.license or "not stated",
        hub.bytes,
        "; ".join(_notes(spec, hub)),
        partial(_fetch_task, name, folder, spec, hub),
    )


def _notes(spec: TaskFile, hub: HubDataset) -> list[str]:
    """What a person should know before the data set is downloaded."""
    notes = []
    if spec.license and hub.license and hub.license.lower() not in spec.license.lower():
        notes.append(f"the hub states the licence {hub.license}")
    if hub.gated:
        notes.append("you must accept its terms on the hub first")
    if spec.dataset is not None and spec.dataset.revision is None:
        notes.append("the newest revision is taken, because none is pinned")
    return notes


def _model_downloads(names: Sequence[str], config: Path | None) -> list[Download]:
    from bench.models.backends import extra_download_of, traits_of
    from bench.models.catalog import catalog, resolve_all
    from bench.models.footprint import download_size

    if not names:
        return []
    licenses = {entry.checkpoint: entry.license for entry in catalog().values() if entry.checkpoint}
    downloads = []
    # What a model can do without comes last: if it cannot be fetched, the rest is here.
    extras = []
    for spec in resolve_all(names, bench_toml=config or bench_toml()):
        if spec.checkpoint is None:
            extra = extra_download_of(spec)
            if extra is not None:
                extras.append(_extra(spec.name, extra))
            else:
                downloads.append(_nothing("model", spec.name))
            continue
        if traits_of(spec).runs_in == "server":
            downloads.append(
                Download("model", spec.name, "a server", None, "-", 0, "needs no download")
            )
            continue
        size = download_size(spec)
        license_ = licenses.get(spec.checkpoint, "see its page on the hub")
        note = "is already here" if size == 0 else ""
        downloads.append(
            Download(
                "model",
                spec.name,
                spec.checkpoint,
                spec.revision,
                license_,
                size,
                note,
                partial(_fetch_model, spec),
            )
        )
    return [*downloads, *extras]


def _extra(name: str, extra: ExtraDownload) -> Download:
    """A file that makes a model of this package better."""
    return Download(
        "model",
        name,
        urlsplit(extra.source).netloc,
        None,
        extra.license,
        0 if extra.is_here else None,
        "is already here" if extra.is_here else extra.note,
        extra.fetch,
    )


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

    def say(rows: int) -> None:
        if rows % 1000 == 0:
            click.echo(f"{name}: {plural(rows, 'row')} read", err=True)

    assert spec.dataset is not None
    files = download(hub, spec.dataset)
    made = make_from_hub(spec.name or folder.name, folder, spec, files, say)
    facts = made.facts
    left_out = [f"{plural(n, 'row')} {why}" for why, n in facts.get("left_out", {}).items()]
    questions, pages = plural(facts["samples"], "question"), plural(facts["pages"], "page image")
    tail = f"; it leaves out {', '.join(left_out)}" if left_out else ""
    click.echo(f"{name} has {questions} on {pages}{tail}", err=True)
    return made.folder


def _record(download: Download) -> dict[str, Any]:
    return {key: value for key, value in download._asdict().items() if key != "fetch"}


def _described(downloads: Sequence[Download]) -> str:
    rows = [
        {
            "kind": download.kind,
            "name": download.name,
            "from": download.source,
            "revision": (download.revision or "-")[:12],
            "size": "unknown" if download.bytes is None else byte_size(download.bytes),
            "license": download.license,
            "note": download.note,
        }
        for download in downloads
    ]
    known = [download.bytes for download in downloads if download.bytes is not None]
    total = f"In all, {byte_size(sum(known))} will be downloaded"
    if len(known) < len(downloads):
        total += ", and also files of unknown size"
    return f"{table(rows)}\n{total}."

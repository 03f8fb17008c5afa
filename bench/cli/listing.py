"""``bench list models|tasks|metrics|prompts|runs``: the names that the other verbs take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import echo_json
from bench.cli.commands import argument, takes
from bench.cli.config_file import bench_toml
from bench.cli.lookup import FIRST_RUN
from bench.cli.options import json_choice, results_choice
from bench.cli.tables import table
from bench.errors import BenchError, InvalidInput
from bench.formatting import count
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.metrics import Metric
    from bench.metrics.calibration import CorpusMetric
    from bench.models.catalog import CatalogEntry
    from bench.rundir.store import RunStore
    from bench.schema import ModelSpec

KINDS = ("models", "tasks", "metrics", "prompts", "runs")
TITLES = {
    "docvqa": "DocVQA",
    "pages": "whole pages",
    "memory_gib": "memory, GiB",
    "headline": "main metric",
    "here": "on this machine",
}
"""Headings of columns whose key says too little to a person."""
PAGE_BENCHMARKS = {
    "omnidocbench-1.6": "OmniDocBench 1.6",
    "omnidocbench-1.5": "OmniDocBench 1.5",
    "olmocr-bench": "olmOCR-Bench",
}
"""Benchmark of whole pages in ``published.toml`` → its title."""
TableRow = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What a person chose for ``bench list``."""

    kind: str = argument(type=click.Choice(KINDS))
    results: Path = results_choice()
    as_json: bool = json_choice()


@click.command("list")
@takes(ListOptions)
def list_command(options: ListOptions) -> None:
    """List the models, tasks, metrics, prompts or runs that you can name."""
    listings = {"models": _models, "tasks": _tasks, "metrics": _metrics, "prompts": _prompts}
    rows = _runs(options.results) if options.kind == "runs" else listings[options.kind]()
    if options.as_json:
        echo_json(rows)
    elif rows:
        click.echo(table(rows, TITLES))
    else:
        click.echo(f"There are no {options.kind} yet. To make one, type: {FIRST_RUN}", err=True)


def _models() -> list[TableRow]:
    """The models of ``bench.toml``, whose names come before those of the catalog, and the catalog's."""
    from bench.models.catalog import catalog

    own = _own_models()
    names = {row["name"] for row in own}
    listed = [_model(entry.spec(), entry) for entry in catalog().values()]
    return [*own, *(row for row in listed if row["name"] not in names)]


def _own_models() -> list[TableRow]:
    """The tables [models.NAME] of ``bench.toml``; what is wrong in one is a warning."""
    from bench.models.catalog import user_models

    path = bench_toml()
    if path is None:
        return []
    try:
        tables = user_models(path)
    except InvalidInput as error:
        click.echo(f"warning: {printable(error.message)}", err=True)
        return []
    return [_own_model(name, getattr(table, "model", None), path) for name, table in tables.items()]


def _own_model(name: str, source: str | None, path: Path) -> TableRow:
    """One model of ``path``; ``source`` is the model that its table builds on."""
    from bench.models.catalog import entry_of, resolve
    from bench.storage import is_address

    # To look into what lies on object storage would download it.
    if source is None or not is_address(source):
        try:
            spec = resolve(name, bench_toml=path)
            return _model(spec, entry_of(spec.checkpoint or "", spec.quantization))
        except BenchError as error:
            click.echo(f"warning: {printable(name)}: {printable(error.message)}", err=True)
    return {**_UNKNOWN_MODEL, "name": name, "checkpoint": source}


_UNKNOWN_MODEL: TableRow = {
    "name": None,
    "checkpoint": None,
    "license": None,
    "size": None,
    "docvqa": None,
    "pages": None,
    "memory_gib": None,
    "here": "no",
}
"""A model of which nothing is known before it is downloaded, or because its table is wrong."""


def _model(spec: ModelSpec, entry: CatalogEntry | None) -> TableRow:
    """One model; ``entry`` is the catalog's row of its checkpoint."""
    from bench.models.footprint import expected_memory, is_local
    from bench.models.settings import LOADED_QUANTIZED
    from bench.scoring.published import headline_scores

    memory = expected_memory(spec)
    # Nobody publishes scores of weights that are quantized while they are loaded, or of an adapter.
    is_published = spec.quantization not in LOADED_QUANTIZED and spec.adapter is None
    headline = headline_scores().get(spec.checkpoint or "", {}) if is_published else {}
    parameters = entry.parameters if entry is not None else None
    size = entry.size if entry is not None else None
    return {
        "name": spec.name,
        "checkpoint": spec.checkpoint,
        "license": entry.license if entry is not None else None,
        "size": size or (count(parameters) if parameters else None),
        "docvqa": headline.get("docvqa"),
        "pages": _page_scores(headline),
        "memory_gib": round(memory / 2**30, 1) if memory else None,
        "here": "yes" if is_local(spec) else "no",
    }


def _page_scores(headline: Mapping[str, str]) -> str | None:
    """The published scores of benchmarks of whole pages, whose totals this program does not compute."""
    scores = [
        f"{headline[name]} ({title})" for name, title in PAGE_BENCHMARKS.items() if name in headline
    ]
    return ", ".join(scores) or None


def _tasks() -> list[TableRow]:
    from bench.tasks import bundled_tasks, local_benchmarks, public_tasks

    bundled = [_bundled_task(name, folder) for name, folder in bundled_tasks().items()]
    public = [_public_task(name) for name in public_tasks()]
    local = [_page_benchmark(name, folder) for name, folder in local_benchmarks().items()]
    return [*bundled, *(row for row in public if row is not None), *local]


def _bundled_task(name: str, folder: Path) -> TableRow:
    from bench.tasks import load_task

    task = load_task(folder)
    languages = {sample.metadata.get("language") for sample in task.samples} - {None}
    return {
        "name": name,
        "questions": len(task.samples),
        "documents": len(task.documents),
        "languages": sorted(str(language) for language in languages),
        "headline": task.metrics[0],
        "title": task.title,
        "here": "yes",
    }


def _public_task(name: str) -> TableRow | None:
    """A data set on the hub; None if the name stands for no data set."""
    from bench.tasks import dataset_spec
    from bench.tasks.cache import find_made

    entry = dataset_spec(name)
    if entry is None or entry[1].dataset is None:
        return None
    spec, labels = entry[1], entry[1].dataset.labels
    made = find_made(spec.name or name, spec)
    return {
        "name": name,
        "questions": made.facts["samples"] if made is not None else None,
        "documents": None,
        "languages": [labels["language"]] if "language" in labels else [],
        "headline": spec.headline_first_metrics()[0],
        "title": spec.title,
        "here": "yes" if made is not None else "bench pull",
    }


def _page_benchmark(name: str, folder: Path) -> TableRow:
    """A benchmark that is read from a copy, wherever that is."""
    from bench.tasks.taskfile import TASK_FILE, check_task_file

    spec = check_task_file(folder / TASK_FILE).spec
    return {
        "name": name,
        "questions": None,
        "documents": None,
        "languages": [],
        "headline": spec.headline_first_metrics()[0],
        "title": spec.title,
        "here": f"{name}=PATH",
    }


def _metrics() -> list[TableRow]:
    from bench.metrics import METRICS
    from bench.metrics.calibration import CORPUS_METRICS

    rows: list[tuple[Metric | CorpusMetric, list[str]]] = [
        (metric, sorted(metric.answer_types)) for metric in METRICS.values()
    ]
    rows += [(metric, ["(confidences)"]) for metric in CORPUS_METRICS.values()]
    return [
        {
            "name": metric.name,
            "better": metric.direction,
            "range": f"{metric.range[0]:g} to {metric.range[1]:g}",
            "answers": answers,
            "variant": metric.variant,
            "definition": metric.definition,
            "source": metric.source,
        }
        for metric, answers in rows
    ]


def _prompts() -> list[TableRow]:
    from bench.asking.prompt_sets import OWN, documented_prompts

    return [
        {
            "name": OWN + name,
            "model": entry.name,
            "prompt": one_line(text, 80),
            "source": entry.prompts_source,
        }
        for entry in documented_prompts()
        for name, text in entry.prompts.items()
    ]


def _state(run: RunStore) -> str:
    """How far a run is; a part of a run says so."""
    from bench.runner.shards import Part

    part = Part.of(run.record)
    return run.state() if part.total == 1 else f"{run.state()}, {part}"


def _runs(results: Path) -> list[TableRow]:
    from bench.rundir.listing import find_runs
    from bench.rundir.record import RUN_FILE
    from bench.rundir.store import RunStore

    runs = find_runs(results)
    rows: list[TableRow] = [
        {
            "run": run.id,
            "started": run.record.get("started"),
            "state": _state(run),
            "models": run.model_names(),
            "tasks": run.clean_task_names(),
        }
        for run in runs
    ]
    readable = {run.path for run in runs}
    for record in sorted(results.glob(f"*/{RUN_FILE}")):
        if record.parent not in readable:
            try:
                RunStore.open(record.parent)
            except InvalidInput as error:
                click.echo(f"warning: {printable(error.message)}", err=True)
                broken = {"run": record.parent.name, "started": None, "state": "broken"}
                rows.append({**broken, "models": [], "tasks": []})
    return rows

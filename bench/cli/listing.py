"""``bench list models|tasks|metrics|runs``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import json_option, results_option
from bench.errors import InvalidInput
from bench.text import clip, printable

if TYPE_CHECKING:
    from bench.metrics import Metric
    from bench.metrics.calibration import CorpusMetric

KINDS = ("models", "tasks", "metrics", "runs")
Row = Mapping[str, Any]

CELL = 60
"""Columns that a cell of a table gets however narrow the terminal is."""
_GAP = "  "


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS))
@results_option
@json_option
def list_command(kind: str, results: Path, as_json: bool) -> None:
    """List models, tasks, metrics or runs."""
    rows: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "models": _models,
        "tasks": _tasks,
        "metrics": _metrics,
        "runs": lambda: _runs(results),
    }
    found = rows[kind]()
    if as_json:
        from bench.cli import echo_json

        echo_json(found)
        return
    if not found:
        click.echo(f"no {kind} yet; try: bench run --models ocr --tasks all", err=True)
        return
    click.echo(table(found))


def table(rows: Sequence[Row]) -> str:
    """Rows of equal keys as aligned text, the keys as the header."""
    columns = list(rows[0])
    full = [[printable(_plain(row[c])) for c in columns] for row in rows]
    longest = [max(map(_width, column)) for column in zip(columns, *full, strict=True)]
    limit = _limit(longest, shutil.get_terminal_size().columns)
    cells = [[clip(text, limit) for text in line] for line in full]
    widths = [max(_width(text) for text in column) for column in zip(columns, *cells, strict=True)]
    lines = [columns, *cells]
    return "\n".join(
        _GAP.join(_pad(text, width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _limit(widths: Sequence[int], room: int) -> int:
    """Columns that a cell may take: as many as let the table fit into ``room``, at least ``CELL``."""
    room -= len(_GAP) * (len(widths) - 1)
    limit = max(CELL, *widths)
    while limit > CELL and sum(min(width, limit) for width in widths) > room:
        limit -= 1
    return limit


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    from rich.cells import cell_len

    return cell_len(text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)


def _models() -> list[dict[str, Any]]:
    from bench.models.catalog import catalog
    from bench.models.footprint import expected_memory, is_local
    from bench.models.settings import LOADED_QUANTIZED
    from bench.scoring.published import headline_scores

    published = headline_scores()
    rows = []
    for entry in catalog().values():
        memory = expected_memory(entry.spec())
        # Nobody publishes scores of weights that are quantized while they are loaded.
        is_published = entry.quantization not in LOADED_QUANTIZED
        headline = published.get(entry.checkpoint or "", {}) if is_published else {}
        rows.append(
            {
                "name": entry.name,
                "checkpoint": entry.checkpoint,
                "license": entry.license,
                "docvqa": headline.get("docvqa"),
                "memory_gib": round(memory / 2**30, 1) if memory else None,
                "here": "yes" if is_local(entry.spec()) else "no",
            }
        )
    return rows


def _tasks() -> list[dict[str, Any]]:
    from bench.tasks import bundled_tasks, dataset_spec, load_task, public_tasks
    from bench.tasks.cache import find_made

    rows: list[dict[str, Any]] = []
    for name, folder in bundled_tasks().items():
        task = load_task(folder)
        languages = {s.metadata.get("language") for s in task.samples} - {None}
        rows.append(
            {
                "name": name,
                "questions": len(task.samples),
                "documents": len(task.documents),
                "languages": sorted(str(language) for language in languages),
                "headline": task.metrics[0],
                "title": task.title,
                "here": "yes",
            }
        )
    for name in public_tasks():
        found = dataset_spec(name)
        if found is None or found[1].dataset is None:
            continue
        spec, labels = found[1], found[1].dataset.labels
        made = find_made(spec.name or name, spec)
        rows.append(
            {
                "name": name,
                "questions": made.facts["samples"] if made is not None else None,
                "documents": None,
                "languages": [labels["language"]] if "language" in labels else [],
                "headline": spec.headline_first_metrics()[0],
                "title": spec.title,
                "here": "yes" if made is not None else "bench pull",
            }
        )
    return rows


def _metrics() -> list[dict[str, Any]]:
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


def _runs(results: Path) -> list[dict[str, Any]]:
    from bench.rundir.store import RUN_FILE, RunStore, find_runs

    runs = find_runs(results)
    found = {run.path for run in runs}
    for record in sorted(results.glob(f"*/{RUN_FILE}")):
        if record.parent not in found:
            try:
                RunStore.open(record.parent)
            except InvalidInput as error:
                click.echo(f"warning: {printable(error.message)}", err=True)
    return [
        {
            "run": run.id,
            "started": run.record.get("started"),
            "state": run.state(),
            "models": run.model_names(),
            "tasks": run.task_names(),
        }
        for run in runs
    ]

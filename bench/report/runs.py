"""What a report says of a run, read from its record."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bench.report.records import nested, text
from bench.report.rows import hardware, sentences
from bench.report.views import RunView
from bench.rundir.store import RunStore


def run_views(runs: Iterable[RunStore]) -> tuple[RunView, ...]:
    """What a report says of each of several ``runs``; a copy of another one gets an id of its own."""
    views = []
    seen: Counter[str] = Counter()
    for run in runs:
        view = _run_view(run)
        seen[view.id] += 1
        count = seen[view.id]
        views.append(view if count == 1 else replace(view, id=f"{view.id} ({count})"))
    return tuple(views)


def _run_view(run: RunStore) -> RunView:
    record = run.record
    environment = record.get("environment")
    git = nested(environment, "git")
    command = record.get("command")
    arguments = [str(part) for part in command] if isinstance(command, list) else []
    labels = record.get("labels")
    protocol = text(nested(record, "protocol", "name"))
    return RunView(
        id=run.id,
        name=text(record.get("name")) or run.id,
        path=str(run.path),
        started=text(record.get("started")),
        state=run.state(),
        command=shlex.join(arguments),
        labels={str(k): str(v) for k, v in labels.items()} if isinstance(labels, Mapping) else {},
        hardware=hardware(environment, "cuda" if nested(environment, "gpus") else "cpu"),
        software=_software(environment),
        record_version=text(nested(environment, "bench")),
        commit=text(nested(git, "commit")),
        dirty=bool(nested(git, "dirty")),
        protocol="" if protocol == "native" else protocol,
        protocol_title=text(nested(record, "protocol", "title")),
        deviations=sentences(nested(record, "protocol", "deviations")),
        differences=sentences(nested(record, "protocol", "differences")),
        warnings=sentences(record.get("warnings")),
        record={key: value for key, value in record.items() if key != "tasks"},
    )


def _software(environment: Any) -> str:
    parts = []
    for label, key in (("docvlm-bench", "bench"), ("Python", "python"), ("CUDA", "cuda")):
        if value := text(nested(environment, key)):
            parts.append(f"{label} {value}")
    gpus = nested(environment, "gpus")
    if isinstance(gpus, list) and gpus and (driver := text(nested(gpus[0], "driver"))):
        parts.append(f"driver {driver}")
    packages = nested(environment, "packages")
    if isinstance(packages, Mapping):
        parts += [f"{name} {version}" for name, version in packages.items() if version]
    return ", ".join(parts)

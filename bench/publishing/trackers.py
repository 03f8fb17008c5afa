"""Scores and costs of a run as entries of an experiment tracker: MLflow, trackio or Weights & Biases.

An entry is one model of one run: parameters, scores with intervals, latency, memory, failures, tags, and the
report without page images. A tracker may ask at a terminal for a key, wait for a server for minutes, write to
standard output, and end the process it lives in. None of this may cost a run that took hours, so the entries
are sent by a process of its own (``bench.publishing.sender``) that has no terminal and may be ended.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.errors import EnvironmentProblem
from bench.publishing import TRACKERS
from bench.publishing.described import (
    LIBRARY,
    harness_of,
    prompt_sources,
    protocol_of,
    restrictions,
    settings_of,
)
from bench.report.records import number, text
from bench.report.views import ModelRow, ReportView
from bench.rundir.store import RunStore
from bench.schema import Estimate
from bench.scoring.evaluation import Evaluation
from bench.text import file_name, one_line

PATIENCE = 300.0
"""Seconds that sending all entries may take."""

LONGEST = 500
"""Characters of a parameter or a tag; older servers of MLflow take no more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of one run, in a form that every tracker takes."""

    name: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    """Finite numbers; the names say the unit where there is one."""
    tags: Mapping[str, str]


def entries(evaluations: Sequence[Evaluation], view: ReportView) -> list[Entry]:
    """An entry for every row of the report, the best first."""
    by_run = {evaluation.run.id: evaluation for evaluation in evaluations}
    return [_entry(by_run[row.run], row) for row in view.rows]


def _entry(evaluation: Evaluation, row: ModelRow) -> Entry:
    run = evaluation.run
    metrics = {**_scores(evaluation, row), **_costs(row)}
    known = {name: value for name, given in metrics.items() if (value := number(given)) is not None}
    return Entry(
        name=one_line(f"{row.name} {run.id}", 200),
        parameters=_texts(_parameters(evaluation, row)),
        metrics=known,
        tags=_texts(_tags(run, row)),
    )


def _key(name: str) -> str:
    """``name`` with the characters that every tracker takes in the name of a metric, a parameter or a tag."""
    return re.sub(r"[^\w.-]+", "-", file_name(name))


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: one_line(value, LONGEST) for key, value in given.items() if value not in (None, "")
    }


def _scores(evaluation: Evaluation, row: ModelRow) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    if row.score is not None:
        scores |= _estimate("score", row.score)
    for task in evaluation.tasks:
        cell = evaluation.cells[row.name, task]
        if cell.asked < len(cell.answers):
            # The mean over what was asked so far is no result.
            continue
        for metric, estimate in cell.estimates.items():
            scores |= _estimate(f"{_key(task)}/{_key(metric)}", estimate)
    return scores


def _estimate(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _costs(row: ModelRow) -> dict[str, float | None]:
    facts = row.facts
    costs: dict[str, float | None] = {
        "questions": row.samples,
        "questions_asked": row.asked,
        "questions_failed": row.failed,
        "load_seconds": facts.load_seconds,
    }
    if facts.latency is not None:
        shown = facts.latency.shown()
        costs |= {f"latency_{name}_seconds": value for name, value in shown.items()}
    if facts.throughput is not None:
        costs["questions_per_second"] = facts.throughput.questions_per_second
        costs["generated_tokens_per_second"] = facts.throughput.tokens_per_second
    if facts.memory is not None:
        costs["memory_bytes"] = facts.memory.bytes
    if facts.energy is not None:
        costs["joules_per_question"] = facts.energy.joules_per_question
    return costs


def _parameters(evaluation: Evaluation, row: ModelRow) -> dict[str, Any]:
    run = evaluation.run
    tasks = evaluation.tasks.values()
    prompts = [source for task in tasks for source in prompt_sources(run, row.name, task)]
    limits = [
        said for task in tasks for said in restrictions(run, evaluation.cells[row.name, task.name])
    ]
    memory = row.facts.memory
    return {
        "model": row.name,
        **settings_of(run, row.name),
        "device": row.device,
        "hardware": row.hardware,
        "parameters": row.parameters,
        "tasks": ", ".join(f"{task.name} {task.version}" for task in tasks),
        "protocol": protocol_of(run),
        "prompts": ", ".join(dict.fromkeys(prompts)),
        "restrictions": "; ".join(dict.fromkeys(limits)),
        "memory_is": memory.label if memory is not None else None,
        **{key: run.settings.get(key) for key in ("limit", "batch_size", "max_new_tokens")},
        **{f"digest.{_key(task.name)}": task.digest for task in tasks},
    }


def _tags(run: RunStore, row: ModelRow) -> dict[str, Any]:
    labels = run.record.get("labels")
    kept = labels.items() if isinstance(labels, Mapping) else ()
    return {
        "run": run.id,
        "run_identity": text(run.record.get("spec_id")),
        "state": row.state,
        **{f"{LIBRARY}.{key}": value for key, value in harness_of(run).items()},
        **{f"label.{_key(str(key))}": value for key, value in kept},
    }


def send(tracker: str, wanted: Sequence[Entry], report: Path) -> str:
    """Send entries with the report to a tracker, and say where they are.

    Raises:
        EnvironmentProblem: the tracker did not take them.
    """
    title = TRACKERS[tracker]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        order = Path(folder) / "entries.json"
        content = {"entries": [asdict(entry) for entry in wanted], "report": str(report)}
        order.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        command = [sys.executable, "-m", "bench.publishing.sender", tracker, str(order)]
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EnvironmentProblem(
                f"{title} did not answer within {PATIENCE:g} seconds"
            ) from None
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        raise EnvironmentProblem(f"{title} did not take the results: {one_line(said[-1], 300)}")
    return one_line(ended.stdout.strip().rpartition("\n")[2], 300)

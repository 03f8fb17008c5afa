"""``run.json``: what is known about a run before any model is loaded."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.asking.prompts import prompts_record, tuning_warnings
from bench.errors import InvalidInput
from bench.measure import environment
from bench.runner.spec import RunPlan
from bench.runner.upright import upright_note
from bench.schema import Document, ModelSpec, Task
from bench.tasks.guard import document_text
from bench.text import file_name, utc_now


def run_record(plan: RunPlan) -> dict[str, Any]:
    """What ``run.json`` holds besides its id and the version of its schema."""
    return {
        "name": plan.name,
        "spec_id": plan.spec_id(),
        "started": utc_now(),
        "command": _command(sys.argv),
        "labels": dict(plan.labels),
        **plan.part.record(),
        "spec": plan.identity(),
        "models": [_model_record(spec) for spec in plan.models],
        "tasks": [_task_record(task) for task in plan.tasks],
        "protocol": plan.settings.protocol or {"name": "native"},
        "prompts": prompts_record(plan.settings.prompts, plan.models, plan.tasks),
        "warnings": _warnings(plan),
        "environment": environment(),
    }


def _warnings(plan: RunPlan) -> list[str]:
    """What the report says about the conditions of the run."""
    upright = [upright_note(plan.tasks)] if plan.settings.upright else []
    return [*upright, *tuning_warnings(plan.settings.prompts, plan.models, plan.tasks)]


def _command(arguments: Sequence[str]) -> list[str]:
    """The command line as a person would type it again."""
    return [Path(arguments[0]).name or "bench", *arguments[1:]]


def _model_record(spec: ModelSpec) -> dict[str, Any]:
    price = {} if spec.price is None else {"price": dict(spec.price)}
    return {"folder": file_name(spec.name), "spec": spec.identity(), **price}


def _task_record(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "version": task.version,
        "title": task.title,
        "digest": task.digest,
        "metrics": list(task.metrics),
        "prompt": dataclasses.asdict(task.prompt),
        "generation": dataclasses.asdict(task.generation),
        "source": task.source,
        "license": task.license,
        "citation": task.citation,
        "samples": len(task.samples),
        "documents": len(task.documents),
        "pages": sum(len(document.pages) for document in task.documents.values()),
    }


def known_texts(plan: RunPlan) -> dict[str, dict[str, str]]:
    """By task and document, the text of documents that carry a text layer."""
    return {
        task.name: {
            document.id: text
            for document in task.documents.values()
            if (text := _text_of(document)) is not None
        }
        for task in plan.tasks
    }


def _text_of(document: Document) -> str | None:
    try:
        return document_text(document)
    except InvalidInput:
        # The model is asked about this page all the same, and its failure is recorded there.
        return None

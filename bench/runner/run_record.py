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
from bench.rundir.store import RunStore
from bench.runner.spec import RunPlan
from bench.runner.upright import upright_note
from bench.schema import Document, ModelSpec, Page, PlacedText, Task
from bench.tasks.guard import document_text, text_layer
from bench.text import file_name, utc_now, without_user_info


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
    return [Path(arguments[0]).name or "bench", *map(without_user_info, arguments[1:])]


def _model_record(spec: ModelSpec) -> dict[str, Any]:
    price = {} if spec.price is None else {"price": dict(spec.price)}
    return {"folder": file_name(spec.name), "spec": spec.identity(), **price}


def _task_record(task: Task) -> dict[str, Any]:
    perturbed = {}
    if task.perturbation is not None:
        perturbation = dataclasses.asdict(task.perturbation)
        perturbed = {"perturbation": perturbation, "clean_task": task.clean_task}
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
        **perturbed,
    }


def known_texts(plan: RunPlan) -> dict[str, dict[str, str]]:
    """By task and document, the text of documents that carry a text layer."""
    texts: dict[str, dict[str, str]] = {}
    for task in plan.tasks:
        if task.clean_task in texts:
            # Perturbed pages say what they said before, and reading a long PDF again takes long.
            texts[task.name] = texts[task.clean_task]
            continue
        texts[task.name] = {
            document.id: text
            for document in task.documents.values()
            if (text := _text_of(document)) is not None
        }
    return texts


def _text_of(document: Document) -> str | None:
    try:
        return document_text(document)
    except InvalidInput:
        # The model is asked about this page all the same, and its failure is recorded there.
        return None


MAX_PLACED = 10
"""Pages of a document up to which it is kept where its words stand: a report shows few pages."""


def write_known_words(run: RunStore, plan: RunPlan) -> None:
    """Keep where the words of text layers stand, so that a report can point at them."""
    for task in plan.tasks:
        pages = {
            page.key: page
            for document in task.documents.values()
            if len(document.pages) <= MAX_PLACED
            for page in document.pages
            if page.dpi is not None
        }
        words = {key: _words_of(page) for key, page in pages.items()}
        if known := {key: placed for key, placed in words.items() if placed}:
            run.append_words(task.name, known)


def _words_of(page: Page) -> list[PlacedText]:
    try:
        words = text_layer(page) or []
    except InvalidInput:
        return []
    wide, high = max(1, page.width), max(1, page.height)
    placed = [
        PlacedText(
            *(word.text, word.left / wide, word.top / high, word.right / wide, word.bottom / high)
        )
        for word in words
    ]
    return [word for word in placed if all(0 <= edge <= 1 for edge in word[1:])]

"""``--perturb blur,scan:2``: every task once more for each condition, with its pages perturbed.

A condition is a kind or a mixture at one severity. The questions keep their ids, so that the report compares
each answer with the one about the clean page. Tasks rather than models become variants: a model is loaded
once for all conditions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace

from bench.errors import InvalidInput, did_you_mean
from bench.runner.spec import RunPlan, check_names
from bench.schema import Document, Page, Perturbation, Task
from bench.tasks.perturbing import KINDS, PERTURBATIONS, SEVERITIES, VERSION
from bench.text import one_line

ALL = "all"
"""In ``--perturb``: every kind, but no mixture."""

_EXAMPLE = "--perturb blur,rotate:1-2,scan:3"
_SEVERITIES = re.compile(r"([0-9])(?:-([0-9]))?")


def conditions(names: Sequence[str], seed: int) -> tuple[Perturbation, ...]:
    """The conditions that ``names`` mean, by severity within each name.

    Args:
        names: kinds and mixtures, or ``all`` for all kinds. ``blur`` means severities 1 to 3, ``blur:2`` one
            of them and ``blur:2-3`` two.
        seed: of the run.

    Raises:
        InvalidInput: an unknown name, a severity that does not exist, or a condition that is named twice.
    """
    chosen: list[Perturbation] = []
    for name in names:
        kind, colon, severities = name.partition(":")
        kinds = list(KINDS) if kind == ALL else [kind]
        for each in kinds:
            if each not in PERTURBATIONS:
                raise InvalidInput(
                    f"--perturb {one_line(name, 60)}: no perturbation is called {one_line(each, 40)!r}",
                    hint=did_you_mean(each, [*PERTURBATIONS, ALL]),
                )
            wanted = _severities(severities, name) if colon else SEVERITIES
            chosen += [Perturbation(each, severity, seed) for severity in wanted]
    for number, condition in enumerate(chosen):
        if condition in chosen[:number]:
            raise InvalidInput(
                f"--perturb names {condition.kind} at severity {condition.severity} twice",
                hint="name every condition once",
            )
    return tuple(chosen)


def _severities(text: str, name: str) -> range:
    """The severities of ``2`` or of ``1-3``."""
    match = _SEVERITIES.fullmatch(text)
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else 0
    if not SEVERITIES[0] <= first <= last <= SEVERITIES[-1]:
        raise InvalidInput(
            f"--perturb {one_line(name, 60)}: expected a severity from {SEVERITIES[0]} to {SEVERITIES[-1]}, "
            f"or two with a dash between them, got {one_line(text, 20)!r}",
            hint=_EXAMPLE,
        )
    return range(first, last + 1)


def with_perturbed(plan: RunPlan, chosen: Sequence[Perturbation]) -> RunPlan:
    """``plan`` with every task followed by one task for each condition, called ``TASK@KIND-SEVERITY``.

    Raises:
        InvalidInput: a task has such a name already.
    """
    tasks = [
        each
        for task in plan.tasks
        for each in (task, *(perturbed_task(task, condition) for condition in chosen))
    ]
    check_names([spec.name for spec in plan.models], [task.name for task in tasks])
    return replace(plan, tasks=tuple(tasks))


def perturbed_task(task: Task, condition: Perturbation) -> Task:
    """``task`` under ``condition``: the same questions about perturbed pages."""
    content = json.dumps([task.digest, asdict(condition), VERSION], sort_keys=True)
    return replace(
        task,
        name=f"{task.name}@{condition.label}",
        documents={
            name: perturbed_document(document, condition)
            for name, document in task.documents.items()
        },
        digest=hashlib.sha256(content.encode()).hexdigest(),
        perturbation=condition,
        clean_task=task.name,
    )


def perturbed_document(document: Document, condition: Perturbation) -> Document:
    """``document`` with its pages under ``condition``, each with a seed of its own."""
    pages = [
        _perturbed_page(page, document.id, number, condition)
        for number, page in enumerate(document.pages)
    ]
    return replace(document, pages=tuple(pages))


def _perturbed_page(page: Page, document: str, number: int, condition: Perturbation) -> Page:
    """The page with a seed from the run's seed, the document and the page's number, whatever the order is."""
    place = json.dumps([condition.seed, document, number])
    digest = hashlib.sha256(place.encode()).digest()
    # 32 bits: every JSON reader keeps the number, and it stands in names of files.
    own = replace(condition, seed=int.from_bytes(digest[:4], "big"))
    return replace(page, perturbation=own)

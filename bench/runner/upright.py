"""Turns pages upright before a model sees them, for the option ``--upright``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bench.errors import InvalidInput, require_package
from bench.formatting import plural
from bench.runner.spec import RunPlan
from bench.schema import Document, Page, Task

_TURNS: dict[str, int] = {}
"""Key of a page → the turn that was found: tasks share pages."""


def turn_upright(plan: RunPlan) -> RunPlan:
    """Return ``plan`` with every page turned as its text stands upright; sizes follow the turn.

    Raises:
        EnvironmentProblem: the packages that look at pages are missing.
    """
    _require_packages()
    return replace(plan, tasks=tuple(_upright_task(task) for task in plan.tasks))


def upright_pages(pages: Iterable[Page]) -> tuple[Page, ...]:
    """Return ``pages``, each turned as its text stands upright.

    Raises:
        EnvironmentProblem: the packages that look at pages are missing.
    """
    _require_packages()
    return tuple(page.turned(_turn(page)) for page in pages)


def upright_note(tasks: Iterable[Task]) -> str:
    """Return a sentence that says how many pages were turned."""
    pages = {
        page.key: page
        for task in tasks
        for document in task.documents.values()
        for page in document.pages
    }
    number = sum(page.turn != 0 for page in pages.values())
    of_all = f"{number} of {plural(len(pages), 'page')}"
    return f"--upright: {of_all} lay sideways or upside down; every model saw them turned upright."


def _upright_task(task: Task) -> Task:
    documents = {name: _upright_document(one) for name, one in task.documents.items()}
    return replace(task, documents=documents)


def _upright_document(document: Document) -> Document:
    return replace(document, pages=upright_pages(document.pages))


def _require_packages() -> None:
    for package in ("onnxruntime", "rapidocr"):
        require_package("--upright", package, "ocr")


def _turn(page: Page) -> int:
    from bench.models.ocr.orientation import page_turn
    from bench.models.ocr.readers import glancing_engines

    if page.key not in _TURNS:
        try:
            _TURNS[page.key] = page_turn(page, glancing_engines())
        except InvalidInput:
            # The model is asked about this page all the same, and its failure is recorded there.
            _TURNS[page.key] = 0
    return _TURNS[page.key]

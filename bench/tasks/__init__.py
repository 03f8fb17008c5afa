"""Finds, checks and loads tasks: those in ``tasks/``, published data sets, and people's own folders.

``finding`` turns a name or a path into a folder, ``loading`` a folder into a ``Task``. What lies in a folder:
``taskfile`` (task.toml), ``samples`` (the questions), ``pages`` (the images and PDFs), or a data set of
``hyperbench`` or ``page_benchmarks``. What makes a folder of a published data set: ``hub`` downloads,
``rows`` reads, ``mapping`` turns rows into samples, and ``cache`` keeps the folder.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.tasks.finding import (
        bundled_tasks,
        dataset_spec,
        expand_tasks,
        find_task,
        local_benchmarks,
        public_tasks,
    )
    from bench.tasks.loading import check_task, load_task

__all__ = [
    "bundled_tasks",
    "check_task",
    "dataset_spec",
    "expand_tasks",
    "find_task",
    "load_task",
    "local_benchmarks",
    "public_tasks",
]


def __getattr__(name: str) -> Any:
    # Loaded on demand: the process that opens pages needs two small modules of this room and nothing else.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "loading" if name in {"check_task", "load_task"} else "finding"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)

"""Finds, checks and loads tasks: those in ``tasks/``, published data sets, and people's own folders.

``finding`` turns a name or a path into a folder, ``loading`` a folder into a ``Task``. What lies in a folder:
``taskfile`` (task.toml), ``samples`` (the questions), ``pages`` (the images and PDFs), or a data set of
``hyperbench``. What makes a folder of a published data set: ``hub`` downloads, ``rows`` reads, ``mapping``
turns rows into samples, and ``cache`` keeps the folder.
"""

from bench.tasks.finding import (
    bundled_tasks,
    dataset_spec,
    expand_tasks,
    find_task,
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
    "public_tasks",
]

"""Defines what a folder says about a task before any page of it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench.tasks.samples import SampleTable
from bench.tasks.taskfile import TaskFile


class TaskSource(NamedTuple):
    """The task file and the samples of one folder."""

    folder: Path
    """The folder that page paths and problems count from."""
    spec: TaskFile
    samples: SampleTable

"""Tasks: finding, checking and loading what ``tasks/`` and people's own folders hold."""

from bench.tasks.loading import (
    bundled_tasks,
    check_task,
    dataset_spec,
    expand_tasks,
    find_task,
    load_task,
    public_tasks,
    task_digest,
)

__all__ = [
    "bundled_tasks",
    "check_task",
    "dataset_spec",
    "expand_tasks",
    "find_task",
    "load_task",
    "public_tasks",
    "task_digest",
]

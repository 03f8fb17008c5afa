"""Reads data sets of VLMHyperBench as they are: nothing in them is changed, renamed or copied.

https://github.com/VLMHyperBenchTeam/VLMHyperBench (the formats were read at commit ba79c53 and in
``dataset_iterator`` and ``model_qwen2.5_vl_lora``)::

    <name>/annotation.csv + images/       one row for each question               (annotation.py)
    <name>/images/<id>/*.jpg              bundles of pages: the class of each     (bundles.py)
    <name>/jsons/<id>.json                page, and the order of the pages of a
    <name>/classes.json                   class
    user_config.csv                       one model on one data set a row         (config.py)
    VLMHyperBench_config.json             where the files of the rows lie         (layout.py)
"""

from __future__ import annotations

from pathlib import Path

from bench.tasks.hyperbench.annotation import ANNOTATION, annotation_samples
from bench.tasks.hyperbench.bundles import (
    CLASSIFICATION,
    bundle_task,
    classification_samples,
    sorting_samples,
)
from bench.tasks.samples import TaskSource
from bench.tasks.taskfile import GenerationTable, PromptTable, TaskFile

_FIELD_METRICS = ("anls", "exact_match", "field_match", "cer", "wer")
_CLASSIFICATION_METRICS = ("page_accuracy", "sequence_match")
_SORTING_METRICS = ("sequence_match", "page_accuracy", "kendall_tau", "spearman_rho")


def is_dataset(path: Path) -> bool:
    """Say whether ``path`` is a folder that ``read_dataset`` reads."""
    return (path / ANNOTATION).is_file() or bundle_task(path) is not None


def read_dataset(path: Path) -> TaskSource | None:
    """Read the data set at ``path``; None if no VLMHyperBench data set lies there."""
    if (path / ANNOTATION).is_file():
        title = f"{path.resolve().name} (VLMHyperBench)"
        spec = _task_file(None, title, _FIELD_METRICS)
        return TaskSource(path, spec, annotation_samples(path / ANNOTATION))
    bundles = bundle_task(path)
    if bundles is None:
        return None
    name = bundles.folder.resolve().name
    title = f"{name}, {bundles.kind} (VLMHyperBench)"
    if bundles.kind == CLASSIFICATION:
        spec = _task_file(name, title, _CLASSIFICATION_METRICS)
        return TaskSource(bundles.folder, spec, classification_samples(bundles.folder))
    spec = _task_file(f"{name}-{bundles.kind}", title, _SORTING_METRICS)
    return TaskSource(bundles.folder, spec, sorting_samples(bundles.folder))


def _task_file(name: str | None, title: str, metrics: tuple[str, ...]) -> TaskFile:
    """Return what stands in for a ``task.toml``; the questions are whole instructions already."""
    return TaskFile(
        name=name,
        title=title,
        metrics=list(metrics),
        prompt=PromptTable(template="{question}"),
        generation=GenerationTable(max_new_tokens=128),
    )

"""The parts of a task: documents to train on, to validate with, and those that training must not see.

A part is known by the samples' ``metadata.split``, which ``bench data split`` writes, or by its folder's name
(``NAME-train``, ``NAME-validation``, ``NAME-test``). Documents are compared by what their pages show, not by
file name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from bench.errors import InvalidInput
from bench.formatting import plural
from bench.schema import Page, Sample, Task
from bench.tasks import find_task, load_task
from bench.tasks.contents import clusters, page_contents
from bench.tasks.loading import task_digest
from bench.text import one_line, shell_word

_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""What people write into ``metadata.split``, and the part that it means."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A task, cut into parts for training."""

    name: str
    """The name of the task before it was cut."""
    train: Task
    validation: Task
    held_out: bool
    """Whether the validation documents were held out of the training part by ``find_parts``."""
    tests: tuple[Task, ...]
    """Tasks whose documents training must not see; empty if there is none."""
    test_names: tuple[str, ...]
    """What a person types to run those tasks. A part that has no folder of its own has no such name."""


def find_parts(name: str, others: Sequence[str], share: float, seed: int) -> Parts:
    """The parts of the task ``name``.

    Args:
        name: a task or folder, cut by ``bench data split`` or by its samples' ``metadata.split``; it may also
            be the training part itself.
        others: further tasks whose documents training must not see.
        share: the share of the training documents that validates, where there is no validation part.
        seed: decides which documents these are.

    Raises:
        InvalidInput: there is no training part, or two parts share a document.
    """
    parts = _by_part(name)
    if "train" not in parts:
        raise InvalidInput(
            f"task {one_line(name, 80)} has no training part",
            hint=f"bench data split {shell_word(name)}",
        )
    train = parts["train"]
    whole = train.name.removesuffix("-train")
    tests = [parts["test"]] if "test" in parts else []
    tests += [load_task(find_task(other)) for other in others]
    test_folder = f"{_stem(name)}-test"
    has_folder = "test" in parts and Path(test_folder).is_dir()
    names = (test_folder, *others) if has_folder else tuple(others)
    check_apart({"training": [train], "test": tests})
    if "validation" in parts:
        validation = parts["validation"]
        check_apart({"training": [train], "validation": [validation]})
        check_apart({"validation": [validation], "test": tests})
        return Parts(whole, train, validation, False, tuple(tests), names)
    train, validation = _hold_out(train, share, seed)
    return Parts(whole, train, validation, True, tuple(tests), names)


def check_apart(parts: Mapping[str, Sequence[Task]]) -> None:
    """Refuse two parts that share a page.

    Raises:
        InvalidInput: they do; the message names the files.
    """
    (first, these), (second, those) = parts.items()
    contents = page_contents(page for task in (*these, *those) for page in _pages(task))
    known: dict[str, Page] = {}
    for task in those:
        known |= {contents[page]: page for page in _pages(task)}
    shared = {
        (page.path, known[contents[page]].path)
        for task in these
        for page in _pages(task)
        if contents[page] in known
    }
    if shared:
        named = "; ".join(
            f"{one} shows the same page as {other}" for one, other in sorted(shared)[:3]
        )
        more = f"; and {len(shared) - 3} more" if len(shared) > 3 else ""
        files = plural(len(shared), "file")
        raise InvalidInput(
            f"the {first} part and the {second} part share pages in {files}: {named}{more}",
            hint="take them out of one part, or cut the whole task again with bench data split",
        )


def subset(task: Task, documents: Iterable[str], suffix: str) -> Task:
    """The part of ``task`` that asks about ``documents`` (ids); its name has ``suffix`` at the end."""
    kept = set(documents)
    part = replace(
        task,
        name=f"{task.name}{suffix}",
        documents={key: value for key, value in task.documents.items() if key in kept},
        samples=tuple(sample for sample in task.samples if sample.document_id in kept),
    )
    return replace(part, digest=task_digest(part))


def _by_part(name: str) -> dict[str, Task]:
    """The task of each part, from folders beside each other or from one task's metadata."""
    stem = _stem(name)
    if Path(f"{stem}-train").is_dir():
        return {
            part: load_task(find_task(f"{stem}-{part}"))
            for part in ("train", "validation", "test")
            if Path(f"{stem}-{part}").is_dir()
        }
    task = load_task(find_task(name))
    documents: dict[str, dict[str, None]] = {}
    for sample in task.samples:
        part = _part_of(sample)
        if part is not None:
            documents.setdefault(part, {})[sample.document_id] = None
    return {part: subset(task, ids, f"-{part}") for part, ids in documents.items()}


def _stem(name: str) -> str:
    """The task's name before it was cut."""
    return name.rstrip("/").removesuffix("-train")


def _part_of(sample: Sample) -> str | None:
    return _SPLITS.get(sample.metadata.get("split", "").strip().lower())


def _hold_out(task: Task, share: float, seed: int) -> tuple[Task, Task]:
    """``task`` in two: without a share of its documents, and with these alone; equal pages stay together."""
    contents = page_contents(_pages(task))
    ids = list(task.documents)
    pages = [[contents[page] for page in task.documents[key].pages] for key in ids]
    groups = clusters(pages)
    if len(groups) < 2:
        raise InvalidInput(
            f"the training part {task.name} has one document only, so none is left to validate with",
            hint="add documents, or make a validation part: bench data split --validation 0.1",
        )
    Random(f"validation/{seed}").shuffle(groups)
    count = min(max(1, round(share * len(groups))), len(groups) - 1)
    held = [ids[number] for group in groups[:count] for number in group]
    rest = [ids[number] for group in groups[count:] for number in group]
    return subset(task, rest, ""), subset(task, held, "-held-out")


def _pages(task: Task) -> list[Page]:
    return [page for document in task.documents.values() for page in document.pages]

"""A model's questions divided among processes, one to a device: a pure function of tasks and sizes.

The batches are those of a single process, and each goes to one shard whole. So a question is answered in
the same company however many devices there are, and runs that are broken off and go on with another
number of devices give the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.runner.batches import pixels
from bench.schema import Document, PageGroup

QUESTION_PIXELS = 40_000
"""A question weighs as much as so many pixels of its page: ten of them took half of what a page of 1,024
visual tokens (802,816 pixels) took (docs/performance.md, "Measured on a CPU")."""

Batches = Sequence[Sequence[PageGroup]]


class Shard(NamedTuple):
    """One of the processes that answer a model's questions."""

    number: int = 0
    """The first, 0, also does what is done once: latency, and saying that the model is done."""
    total: int = 1
    device: str = ""
    """As ``--devices`` named it; empty where it named none."""
    session: str = ""
    """Equal for processes that ran together: when they were started."""
    others: int | None = None
    """Of shard 0: descriptor of a pipe that ends when all other shards have ended."""

    def facts(self) -> dict[str, object]:
        """What the record of a batch says of it; nothing where one process did everything."""
        if self.total == 1:
            return {}
        return {"session": self.session, "shard": self.number, "device": self.device}


class _Unit(NamedTuple):
    """Batches that belong together because they share a document."""

    task: str
    numbers: range
    """Of its task's batches."""
    weight: int


def divide(
    tasks: Mapping[str, Batches], shards: int, max_pixels: int | None = None
) -> list[dict[str, list[int]]]:
    """For each shard and task the numbers of its batches, in their order.

    Heaviest first, each to the shard that has least so far (Graham, 1969: at most 4/3 of the best division).

    Args:
        tasks: task → its batches, of which consecutive ones may share a document.
        shards: how many.
        max_pixels: no page weighs more than this, because it is shrunk to it.
    """
    units = [unit for task, batches in tasks.items() for unit in _units(task, batches, max_pixels)]
    loads = [0] * shards
    found: list[dict[str, list[int]]] = [{task: [] for task in tasks} for _ in range(shards)]
    for unit in sorted(units, key=lambda unit: -unit.weight):
        lightest = loads.index(min(loads))
        loads[lightest] += unit.weight
        found[lightest][unit.task] += unit.numbers
    return [{task: sorted(numbers) for task, numbers in shard.items()} for shard in found]


def _units(task: str, batches: Batches, max_pixels: int | None) -> list[_Unit]:
    units: list[_Unit] = []
    start = 0
    for end in range(1, len(batches) + 1):
        cut = batches[end - 1][-1].document.id
        if end < len(batches) and batches[end][0].document.id == cut:
            continue
        groups = [group for batch in batches[start:end] for group in batch]
        weight = sum(_weight(group, max_pixels) for group in groups)
        units.append(_Unit(task, range(start, end), weight))
        start = end
    return units


def _weight(group: PageGroup, max_pixels: int | None) -> int:
    return _pixels(group.document, max_pixels) + QUESTION_PIXELS * len(group.requests)


def _pixels(document: Document, max_pixels: int | None) -> int:
    if max_pixels is None:
        return pixels(document)
    return sum(min(max_pixels, page.width * page.height) for page in document.pages)

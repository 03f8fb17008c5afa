"""A model's questions, divided among processes that have a device each: a pure function of tasks and sizes.

The batches are those of a single process, and each goes to one shard whole. So a question is answered in
the same batch however many devices there are, and a run that was stopped gives the same answers when it goes
on with another number of devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.rundir.record import PART
from bench.schema import PageGroup

QUESTION_PIXELS = 40_000
"""A question weighs as much as so many pixels of its page: ten of them took half of what a page of 1,024
visual tokens (802,816 pixels) took (docs/performance.md, "Measured on a CPU")."""

Batches = Sequence[Sequence[PageGroup]]


class Part(NamedTuple):
    """One of the parts of a run, which are answered on their own: on several machines, or one by one."""

    number: int = 1
    """From 1."""
    total: int = 1

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Part:
        """The part that a ``run.json`` is of its run; a whole run is the only one."""
        return cls(**record[PART]) if PART in record else cls()

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says of the part; nothing of a whole run."""
        return {} if self.total == 1 else {PART: self._asdict()}

    def __str__(self) -> str:
        """As a person says it."""
        return f"part {self.number} of {self.total}"


WHOLE = Part()
"""A run in one piece."""


class Shard(NamedTuple):
    """One of the processes that answer a model's questions."""

    number: int = 0
    """The first shard, 0, also does what is done once: it measures latency and marks the model as done."""
    total: int = 1
    device: str = ""
    """As ``--devices`` named it; empty if it named none."""
    session: str = ""
    """The moment at which the processes were started, equal for those that ran together."""
    others: int | None = None
    """For shard 0: the descriptor of a pipe that ends when all other shards have ended."""

    def facts(self) -> dict[str, object]:
        """What the record of a batch says of its shard; nothing if one process answers everything."""
        if self.total == 1:
            return {}
        return {"session": self.session, "shard": self.number, "device": self.device}


class _Unit(NamedTuple):
    """Batches that belong together because they share a document."""

    task: str
    numbers: range
    """The numbers of these batches among those of the task."""
    weight: int
    """In pixels; see ``QUESTION_PIXELS``."""


def divide(
    tasks: Mapping[str, Batches], shards: int, max_pixels: int | None = None
) -> list[dict[str, list[int]]]:
    """The numbers of the batches of each shard, by task and in their order.

    The heaviest batches come first, and each goes to the shard that has least so far (Graham, 1969: the
    slowest shard gets at most 4/3 of what it would in the best division).

    Args:
        tasks: task → its batches, of which consecutive ones may share a document.
        shards: how many there are.
        max_pixels: no page weighs more than this, because it is shrunk to it.
    """
    units = [unit for task, batches in tasks.items() for unit in _units(task, batches, max_pixels)]
    loads = [0] * shards
    shares: list[dict[str, list[int]]] = [{task: [] for task in tasks} for _ in range(shards)]
    for unit in sorted(units, key=lambda unit: -unit.weight):
        lightest = loads.index(min(loads))
        loads[lightest] += unit.weight
        shares[lightest][unit.task] += unit.numbers
    return [{task: sorted(numbers) for task, numbers in share.items()} for share in shares]


def share_of(
    tasks: Mapping[str, Batches], number: int, shards: int, max_pixels: int | None = None
) -> dict[str, list[Sequence[PageGroup]]]:
    """The batches of shard ``number`` (from 0), by task and in their order; arguments as ``divide``."""
    numbers = divide(tasks, shards, max_pixels)[number]
    return {task: [tasks[task][i] for i in mine] for task, mine in numbers.items()}


def _units(task: str, batches: Batches, max_pixels: int | None) -> list[_Unit]:
    """The batches of a task, joined where a document goes on in the next one."""
    units: list[_Unit] = []
    start = 0
    for end in range(1, len(batches) + 1):
        last_document = batches[end - 1][-1].document.id
        if end < len(batches) and batches[end][0].document.id == last_document:
            continue
        groups = [group for batch in batches[start:end] for group in batch]
        weight = sum(_weight(group, max_pixels) for group in groups)
        units.append(_Unit(task, range(start, end), weight))
        start = end
    return units


def _weight(group: PageGroup, max_pixels: int | None) -> int:
    return group.document.pixels(max_pixels) + QUESTION_PIXELS * len(group.requests)

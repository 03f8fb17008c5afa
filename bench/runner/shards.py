"""A model's questions, divided among processes that have a device each: a pure function of tasks and sizes.

The batches are those of a single process, and each goes to one shard whole. So a question is answered in
the same batch however many devices there are, and a run that was stopped gives the same answers when it goes
on with another number of devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.rundir.record import PART
from bench.schema import PageGroup

DIVISION = 2
"""Counts up when ``divide`` divides otherwise: then the parts of an earlier division ask other questions."""

CHAIN_SHARE = 0.25
"""Of the work that each shard would get if all got the same: documents that share batches stay together up
to so much of it."""

Batches = Sequence[Sequence[PageGroup]]


class Part(NamedTuple):
    """One of the parts of a run, which are answered on their own: on several machines, or one by one."""

    number: int = 1
    """From 1."""
    total: int = 1
    division: int = DIVISION

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Part:
        """The part that a ``run.json`` is of its run; a whole run is the only one."""
        # The first division was not numbered.
        return cls(**{"division": 1, **record[PART]}) if PART in record else cls()

    def is_same(self, other: Part) -> bool:
        """Whether both are the same part of as many, whatever version of the program divided the run."""
        return (self.number, self.total) == (other.number, other.total)

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
    warm_up: int = 0
    """How many of the smallest documents are passed over for the first call: those that ended the process."""

    def facts(self) -> dict[str, object]:
        """What the record of a batch says of its shard; nothing if one process answers everything."""
        if self.total == 1:
            return {}
        return {"session": self.session, "shard": self.number, "device": self.device}


class _Load(NamedTuple):
    """Shares of all the work: what a model takes for a page and for a question, nobody knows before."""

    pixels: float
    questions: float


class _Unit(NamedTuple):
    """Batches that belong together because they share a document."""

    task: str
    numbers: range
    """The numbers of these batches among those of the task."""
    load: _Load


def divide(
    tasks: Mapping[str, Batches], shards: int, max_pixels: int | None = None
) -> list[dict[str, list[int]]]:
    """The numbers of the batches of each shard, by task and in their order.

    Both the pixels and the questions are divided evenly, so the shards take equally long whatever a model
    takes for each of the two. The heaviest batches come first, and each goes to the shard that then has least
    (Graham, 1969, for a load of two dimensions).

    Args:
        tasks: task → its batches, of which consecutive ones may share a document.
        shards: how many there are.
        max_pixels: no page counts more than this, because it is shrunk to it.
    """
    units = _units(tasks, CHAIN_SHARE / shards, max_pixels)
    units.sort(key=lambda unit: -max(unit.load))
    pixels, questions = np.zeros(shards), np.zeros(shards)
    shares: list[dict[str, list[int]]] = [{task: [] for task in tasks} for _ in range(shards)]
    for unit in units:
        after = np.maximum(pixels + unit.load.pixels, questions + unit.load.questions)
        lightest = int(after.argmin())
        pixels[lightest] += unit.load.pixels
        questions[lightest] += unit.load.questions
        shares[lightest][unit.task] += unit.numbers
    return [{task: sorted(numbers) for task, numbers in share.items()} for share in shares]


def share_of(
    tasks: Mapping[str, Batches], number: int, shards: int, max_pixels: int | None = None
) -> dict[str, list[Sequence[PageGroup]]]:
    """The batches of shard ``number`` (from 0), by task and in their order; arguments as ``divide``."""
    numbers = divide(tasks, shards, max_pixels)[number]
    return {task: [tasks[task][i] for i in mine] for task, mine in numbers.items()}


def _units(tasks: Mapping[str, Batches], most: float, max_pixels: int | None) -> list[_Unit]:
    """The batches of all tasks, joined where a document goes on in the next one.

    A batch may end one document and begin another, which ends in a later batch, and so on. A chain of such
    batches is cut as soon as its load is more than ``most``; a single document never is.
    """
    all_batches = [batch for batches in tasks.values() for batch in batches]
    all_pixels = sum(_pixels(batch, max_pixels) for batch in all_batches) or 1
    all_questions = sum(map(_questions, all_batches)) or 1
    units: list[_Unit] = []
    for task, batches in tasks.items():
        start, pixels, questions = 0, 0, 0
        for end, batch in enumerate(batches, 1):
            pixels += _pixels(batch, max_pixels)
            questions += _questions(batch)
            load = _Load(pixels / all_pixels, questions / all_questions)
            last = batch[-1].document.id
            goes_on = end < len(batches) and batches[end][0].document.id == last
            if goes_on and (len(batch) == 1 or max(load) <= most):
                continue
            units.append(_Unit(task, range(start, end), load))
            start, pixels, questions = end, 0, 0
    return units


def _pixels(batch: Sequence[PageGroup], max_pixels: int | None) -> int:
    return sum(group.document.pixels(max_pixels) for group in batch)


def _questions(batch: Sequence[PageGroup]) -> int:
    return sum(len(group.requests) for group in batch)

"""The order of the work: a pure function of a task and a batch size, the same for every model.

The questions of one document stay together, so that a model may read its pages once. Documents with the
most pixels come first: what does not fit into memory shows in the first minute, not in the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from bench.asking.prompts import Chooser, PromptRule
from bench.schema import Document, ModelSpec, PageGroup, Request, Task


def page_groups(
    task: Task, spec: ModelSpec | None = None, rules: Sequence[PromptRule] = ()
) -> list[PageGroup]:
    """Every document of ``task`` with all its questions, the largest document first.

    Only the prompts depend on the model, and only where ``rules`` of a collection name it.
    """
    chooser = Chooser(rules, spec, task)
    requests: dict[str, list[Request]] = {}
    for sample in task.samples:
        prompt = chooser.prompt(sample)
        requests.setdefault(sample.document_id, []).append(
            Request(sample.id, sample.question, prompt)
        )
    documents = sorted(
        (task.documents[key] for key in requests),
        key=lambda document: (-pixels(document), document.id),
    )
    return [
        PageGroup(document, tuple(requests[document.id]), task.generation, task.prompt.system)
        for document in documents
    ]


def pixels(document: Document) -> int:
    """Pixels of all pages of a document, before any resizing."""
    return sum(page.width * page.height for page in document.pages)


def batched(groups: Sequence[PageGroup], size: int) -> Iterator[tuple[PageGroup, ...]]:
    """Consecutive groups with at most ``size`` requests together; a larger group is cut."""
    batch: list[PageGroup] = []
    room = size
    for group in groups:
        rest = group
        while rest.requests:
            # A document that does not fit into what is left starts a batch of its own, unless it would
            # fill more than one anyway.
            if batch and len(rest.requests) > room and len(group.requests) <= size:
                yield tuple(batch)
                batch, room = [], size
            head, rest = _cut(rest, room)
            batch.append(head)
            room -= len(head.requests)
            if room == 0:
                yield tuple(batch)
                batch, room = [], size
    if batch:
        yield tuple(batch)


def halves(groups: Sequence[PageGroup]) -> list[tuple[PageGroup, ...]]:
    """A batch cut into two of about equal numbers of requests."""
    total = sum(len(group.requests) for group in groups)
    return list(batched(groups, (total + 1) // 2))


def singles(groups: Sequence[PageGroup]) -> list[tuple[PageGroup, ...]]:
    """A batch cut into its requests."""
    return list(batched(groups, 1))


def _cut(group: PageGroup, size: int) -> tuple[PageGroup, PageGroup]:
    head, tail = group.requests[:size], group.requests[size:]
    return replace(group, requests=head), replace(group, requests=tail)


class SingleStream(NamedTuple):
    """One question of the latency scenario."""

    task: str
    group: PageGroup
    """Holds exactly one request."""


def single_stream(tasks: Mapping[str, Sequence[PageGroup]], count: int) -> list[SingleStream]:
    """Questions for the latency scenario: each of another document, sizes spread evenly.

    Tasks take turns, so that none is left out while others fill the count; a document that two tasks
    share is asked once.
    """
    queues: dict[str, list[PageGroup]] = {}
    seen: set[str] = set()
    for name, groups in tasks.items():
        fresh = []
        for group in groups:
            content = "+".join(page.key for page in group.document.pages)
            if content not in seen:
                seen.add(content)
                fresh.append(group)
        queues[name] = fresh
    share = dict.fromkeys(queues, 0)
    for _ in range(count):
        open_tasks = [name for name in queues if share[name] < len(queues[name])]
        if not open_tasks:
            break
        share[min(open_tasks, key=lambda name: share[name])] += 1
    return [
        SingleStream(name, _cut(queues[name][index], 1)[0])
        for name, number in share.items()
        for index in _spread(len(queues[name]), number)
    ]


def _spread(length: int, number: int) -> list[int]:
    """``number`` indices below ``length``, evenly spaced, the first and the last among them."""
    if number <= 1:
        return [length // 2] * min(number, length)
    return [round(i * (length - 1) / (number - 1)) for i in range(number)]

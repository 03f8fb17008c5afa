"""The order of the work: a pure function of a task and a batch size, the same for every model.

The questions of one document stay together, so that a model may read its pages once. The documents with the
most pixels come first: whatever does not fit into memory shows in the first minute, not in the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from bench.asking.prompts import Chooser, PromptRule
from bench.schema import ModelSpec, PageGroup, Request, Task

GPU_BATCH = 64
"""Questions per call on a GPU: enough for all questions of most documents, which share the work on pages."""
CPU_BATCH = 16
"""Questions per call on a CPU for a large model, which takes minutes for them; a kill loses one call."""
CPU_DOCUMENTS = 16
"""Documents per call on a CPU for a small model. With 80 questions a call the bundled model takes less
processor time than with 16 (docs/performance.md)."""
CPU_MOST = 128
"""Questions per call on a CPU for a small model, however many a document has."""
SERVER_ROUNDS = 4
"""A call of a server brings so many times as many questions as it may have in flight: at its end fewer and
fewer are, so few rounds would leave the server idle, and many would lose much at a kill."""
SMALL_MODEL = 2**30
"""Bytes of the weights of the largest model that counts as small."""


def default_batch_size(
    device: str,
    groups: Sequence[PageGroup] = (),
    weight_bytes: int = 0,
    concurrency: int = 0,
) -> int:
    """Questions per call where nobody asks for a number. Memory bounds a call further, within the model.

    Args:
        device: ``cpu``, or a GPU's name.
        groups: all documents that will be asked about, with their questions.
        weight_bytes: what the model's weights hold in memory; 0 for a model that has none.
        concurrency: the most requests that a server is sent at once; 0 for a model of this process.
    """
    if concurrency > 0:
        return max(GPU_BATCH, SERVER_ROUNDS * concurrency)
    if device != "cpu":
        return GPU_BATCH
    if weight_bytes > SMALL_MODEL or not groups:
        return CPU_BATCH
    questions = sum(len(group.requests) for group in groups)
    wanted = math.ceil(CPU_DOCUMENTS * questions / len(groups))
    return min(max(wanted, CPU_BATCH), CPU_MOST)


def page_groups(
    task: Task, spec: ModelSpec | None = None, rules: Sequence[PromptRule] = ()
) -> list[PageGroup]:
    """Every document of ``task`` with all its questions, the largest document first.

    Only the prompts depend on the model ``spec``, and only where a rule of the prompt collection names it.
    """
    chooser = Chooser(rules, spec, task)
    requests: dict[str, list[Request]] = {}
    for sample in task.samples:
        prompt = chooser.prompt(sample)
        requests.setdefault(sample.document_id, []).append(
            Request(sample.id, sample.question, prompt, sample.json_schema)
        )
    documents = sorted(
        (task.documents[key] for key in requests),
        key=lambda document: (-document.pixels(), document.id),
    )
    return [
        PageGroup(document, tuple(requests[document.id]), task.generation, task.prompt.system)
        for document in documents
    ]


def batched(groups: Sequence[PageGroup], size: int) -> Iterator[tuple[PageGroup, ...]]:
    """Consecutive groups that have at most ``size`` requests together; a larger group is cut."""
    batch: list[PageGroup] = []
    room = size
    for group in groups:
        rest = group
        while rest.requests:
            # A document that does not fit into the rest of this batch begins a new one, so that its pages are
            # read in one call. A document that fills more than one batch anyway gains nothing by that.
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


class LatencyQuestion(NamedTuple):
    """One question of the single-stream scenario, which measures latency."""

    task: str
    group: PageGroup
    """A document with exactly one request."""


def latency_questions(
    tasks: Mapping[str, Sequence[PageGroup]], count: int
) -> list[LatencyQuestion]:
    """``count`` questions, each about another document, evenly spread over the documents' sizes.

    The tasks take turns, so that none is left out. A document that two tasks share is asked about once,
    because at the second time a model might know its pages. Nothing is drawn at random.
    """
    documents = _distinct_documents(tasks)
    shares = dict.fromkeys(documents, 0)
    for _ in range(count):
        unfilled = [name for name, share in shares.items() if share < len(documents[name])]
        if not unfilled:
            break
        shares[min(unfilled, key=shares.__getitem__)] += 1
    questions = []
    for name, share in shares.items():
        for index in _evenly_spaced(len(documents[name]), share):
            first_question, _ = _cut(documents[name][index], 1)
            questions.append(LatencyQuestion(name, first_question))
    return questions


def _distinct_documents(
    tasks: Mapping[str, Sequence[PageGroup]],
) -> dict[str, list[PageGroup]]:
    """The groups of each task without those whose pages an earlier group showed."""
    seen: set[tuple[str, ...]] = set()
    distinct: dict[str, list[PageGroup]] = {}
    for name, groups in tasks.items():
        distinct[name] = []
        for group in groups:
            pages = tuple(page.key for page in group.document.pages)
            if pages not in seen:
                seen.add(pages)
                distinct[name].append(group)
    return distinct


def _evenly_spaced(length: int, number: int) -> list[int]:
    """``number`` indices below ``length``, evenly spaced, the first and the last among them."""
    if number <= 1:
        return [length // 2] * min(number, length)
    return [round(i * (length - 1) / (number - 1)) for i in range(number)]

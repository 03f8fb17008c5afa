"""One call of a model, and what becomes of the questions that fail in it."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Sequence

from bench.errors import OutOfMemory
from bench.measure import is_device_lost, release_memory
from bench.models.model import Model, ModelGone, failed
from bench.runner.batches import singles
from bench.schema import Batch, Output, PageGroup
from bench.text import error_line


class DeviceLost(Exception):
    """The GPU can compute nothing more in this process; no question is at fault yet."""


def answer(model: Model, groups: Sequence[PageGroup]) -> Batch:
    """Ask ``model`` all questions of ``groups`` in one call, with one output for each, in their order.

    Where the call fails, each question is asked alone, so that one broken page costs no other question its
    answer. A question that fails alone is recorded as failed.

    Raises:
        OutOfMemory: the batch does not fit; the caller asks for less.
        DeviceLost: the process must end, and another one may ask these questions once more.
        ModelGone: nothing more can be answered, and these questions stay open.
    """
    try:
        return _complete(groups, model.generate(groups))
    except (OutOfMemory, ModelGone):
        raise
    except Exception as error:
        if is_device_lost(error):
            raise DeviceLost(error_line(error)) from error
        if len(sample_ids(groups)) == 1:
            traceback.print_exc()
            return failures(groups, error)
    parts = [answer_alone(model, single) for single in singles(groups)]
    stages: dict[str, float] = {}
    for part in parts:
        for stage, seconds in part.stages.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    return Batch(tuple(output for part in parts for output in part.outputs), stages)


def failures(groups: Sequence[PageGroup], error: Exception) -> Batch:
    """A failed output for each question of ``groups``, with the message of ``error``."""
    return Batch(tuple(failed(sample_id, error) for sample_id in sample_ids(groups)))


def sample_ids(groups: Sequence[PageGroup]) -> list[str]:
    """The ids of the questions of ``groups``, in their order."""
    return [request.sample_id for group in groups for request in group.requests]


def answer_alone(model: Model, single: Sequence[PageGroup]) -> Batch:
    """``answer`` for one question, for which there is nothing less to ask: without memory it has failed."""
    try:
        return answer(model, single)
    except OutOfMemory as error:
        release_memory()
        return failures(single, error)


def _complete(groups: Sequence[PageGroup], batch: Batch) -> Batch:
    """``batch`` with exactly one output for each question, in order; one that is missing is a failure."""
    by_id = {output.sample_id: output for output in batch.outputs}
    outputs = tuple(
        by_id.get(sample_id)
        or Output(sample_id, "", "error", error="BackendError: the backend returned no output")
        for sample_id in sample_ids(groups)
    )
    return dataclasses.replace(batch, outputs=outputs)

"""The protocol that every backend follows.

A backend turns page groups into outputs, and nothing else. The runner makes batches, orders them, asks again
after failures, measures the whole and stores the outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from bench.errors import EnvironmentProblem
from bench.schema import Batch, ModelInfo, ModelSpec, Output, PageGroup
from bench.text import error_line


def failed(sample_id: str, error: BaseException) -> Output:
    """The output of a question that has no answer because of ``error``."""
    return Output(sample_id, "", "error", error=error_line(error))


class ModelGone(EnvironmentProblem):
    """The model can answer nothing more, and no question is at fault."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        answered: Sequence[Output] = (),
        restarts: bool = False,
    ) -> None:
        """Keep what is still of use.

        Args:
            message: why the model can answer nothing more.
            hint: what to do about it.
            answered: outputs of the same call that were there before.
            restarts: whether another process of the model may go on.
        """
        super().__init__(message, hint=hint)
        self.answered = tuple(answered)
        self.restarts = restarts


def log_probability(probability: float) -> float:
    """The natural logarithm of ``probability``; -1000 where that is 0 or too small to tell."""
    return math.log(probability) if probability > 0 else -1000.0


def cut_at(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """``text`` up to the first of ``stops``, and whether there was one."""
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


class Model(Protocol):
    """One model in a process of its own. It is made as ``Backend(spec)``, which loads nothing yet."""

    def __init__(self, spec: ModelSpec) -> None:
        """Keep ``spec``; raise ``InvalidInput`` where it asks for something that the backend cannot do."""

    def load(self) -> ModelInfo:
        """Load weights onto the device and say what was really loaded.

        Raises:
            EnvironmentProblem: weights, packages or the device are missing; the hint names the cure.
        """
        ...

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Answer every request of ``groups``, as one batch on the device.

        Returns one output per request, in the groups' order. A request that fails alone may come back
        with ``stop_reason="error"``.

        Raises:
            OutOfMemory: the batch does not fit into memory; the runner then asks for less
                (``bench.runner.ladder``). A backend that raises it also follows ``PageGroup.max_pixels``.
            ModelGone: what answers is gone, a server for instance. The questions stay open.
        """
        ...

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Learn which groups the call after the next one will probably bring.

        They replace what was expected before. A backend may read their pages while the next call computes.
        The runner may still ask for other groups instead.
        """
        ...

    def economize(self) -> str | None:
        """Compute in smaller pieces from now on, because memory ran out.

        Returns:
            What was made smaller, in a few words; None if nothing can be made smaller any more.
        """
        ...

    def reset(self) -> None:
        """Forget the pages seen so far, so that the next request is the first one about its page.

        Until ``expect``, calls are timed one by one: what a backend prepares once for many calls belongs
        in here rather than in one of them.
        """
        ...


@runtime_checkable
class ReadAlong(Protocol):
    """A model whose answers can be read while they are written."""

    def let_read_along(self, readers: Mapping[str, Callable[[str], None]]) -> None:
        """In the next calls, tell each of ``readers``, by its sample, the text of the answer so far.

        What is told is a beginning of the answer as ``generate`` gives it, unless the question has to be
        asked once more.
        """
        ...


@contextmanager
def closing(model: Model) -> Iterator[None]:
    """At the end of the block, give back what ``model`` holds beside memory, where its backend can."""
    try:
        yield
    finally:
        if (close := getattr(model, "close", None)) is not None:
            close()

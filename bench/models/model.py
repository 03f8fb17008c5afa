"""The protocol that every backend follows.

A backend turns page groups into outputs, and nothing else: batching, ordering, retries, timing of the
whole and storing are the runner's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bench.schema import Batch, ModelInfo, ModelSpec, PageGroup


class Model(Protocol):
    """One loaded model in its own process. Made as ``Backend(spec)``; making it loads nothing."""

    def __init__(self, spec: ModelSpec) -> None:
        """Keep ``spec``; raise ``InvalidInput`` where it asks for what the backend cannot do."""

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
            OutOfMemory: the batch does not fit; the runner asks for less (``bench.runner.ladder``). A
                backend that raises it follows ``PageGroup.max_pixels``.
        """
        ...

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Learn what will be asked after the next call, in place of what was expected before.

        Its pages may be read while that call computes. It need not come true.
        """
        ...

    def economize(self) -> str | None:
        """Compute in smaller chunks from now on, for want of memory.

        Returns:
            What was made smaller, in a few words; None where nothing more can be.
        """
        ...

    def reset(self) -> None:
        """Forget pages seen so far, so that the next request meets its page for the first time.

        Until ``expect``, calls are timed one by one: what a backend prepares once for many calls belongs
        in here rather than in one of them.
        """
        ...

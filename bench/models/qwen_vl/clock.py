"""Where the time of a call goes: seconds by stage, and the moment of the first token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STAGES = ("preprocess", "transfer", "vision", "prefix", "suffix", "prefill", "decode", "other")
"""Where the time of a call goes, in order; an engine uses those that it can tell apart.

``preprocess``: waiting for the threads that decode and resize pages, and tokenizing. ``transfer``: patches
to the device, and their table. ``vision``: the vision tower. ``prefix``, ``suffix``: what comes before a
question, and the question itself, through the language model; ``prefill``: both in one pass, and in
``generate`` the vision tower as well. ``decode``: the answers after their first logits. ``other``: the rest,
turning tokens into text above all.
"""


class Clock:
    """Seconds by stage. Every moment from its making to its last lap is counted for exactly one stage."""

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        """Start counting; ``now`` gives seconds that never go back."""
        self._device, self._now = device, now
        self._start = self._last = now()
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self.first_token_seconds: float | None = None
        """Seconds until the logits of the first token were there; None before that."""

    @property
    def stages(self) -> dict[str, float]:
        """Stage → its seconds, for every stage that took some, in the order of ``STAGES``."""
        return {stage: seconds for stage, seconds in self._seconds.items() if seconds > 0}

    def lap(self, stage: str) -> None:
        """Count the time since the last lap for ``stage``, once the device has done what it was given."""
        import torch

        if self._device.type == "cuda":
            # Not the whole device: pages of the next call may be on their way on another stream.
            torch.cuda.current_stream(self._device).synchronize()
        now = self._now()
        self._seconds[stage] += now - self._last
        self._last = now

    def first_token(self) -> None:
        """Note that the lap that has just ended brought the logits of an answer's first token."""
        if self.first_token_seconds is None:
            self.first_token_seconds = self._last - self._start

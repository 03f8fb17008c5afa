"""The energy that GPUs take, by the driver's own counter, over windows that are long enough for it."""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_SECONDS = 10.0
"""Shortest window: the counter moves in steps of up to a tenth of a second, 1 % of this."""


class EnergyMeter:
    """Cuts a stretch of work into windows. What is left at its end is dropped where it is too short."""

    def __init__(
        self,
        joules: Callable[[], float | None],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin a window.

        Args:
            joules: reads a counter that only grows; None where there is none.
            now: gives seconds that never go back.
        """
        self._joules, self._now = joules, now
        self.restart()

    def restart(self) -> None:
        """Begin a window at this moment; what was counted before and not returned is dropped."""
        self._first, self._start, self._questions = self._joules(), self._now(), 0

    def count(self, questions: int) -> dict[str, float] | None:
        """``questions`` have been answered since the last call.

        Returns:
            ``joules``, ``seconds`` and ``questions`` of the window if it is long enough to end here, when
            the next one begins; else None.
        """
        self._questions += questions
        seconds = self._now() - self._start
        if self._first is None or seconds < WINDOW_SECONDS:
            return None
        last, first, answered = self._joules(), self._first, self._questions
        self.restart()
        if last is None:
            return None
        return {"joules": last - first, "seconds": seconds, "questions": answered}

"""The energy that GPUs use, read from the driver's own counter over windows that are long enough."""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_SECONDS = 10.0
"""The shortest window. The counter moves in steps of up to a tenth of a second, which is 1 % of this."""


class EnergyMeter:
    """Cuts the work into windows. What remains at the end is dropped, because its window is too short."""

    def __init__(
        self,
        joules: Callable[[], float | None],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin a window.

        Args:
            joules: reads a counter that only grows; it returns None if there is no counter.
            now: gives the time in seconds of a clock that never goes back.
        """
        self._joules, self._now = joules, now
        self.restart()

    def restart(self) -> None:
        """Begin a window at this moment, and drop what was counted in the one that was open."""
        self._first, self._start, self._questions = self._joules(), self._now(), 0

    def count(self, questions: int) -> dict[str, float] | None:
        """Add the ``questions`` that have been answered since the last call.

        Returns:
            ``joules``, ``seconds`` and ``questions`` of the window, where it is long enough to end here; the
            next window then begins. None if it is not.
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

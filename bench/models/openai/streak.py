"""When there is no use in another request, because the endpoint is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bench.models.model import ModelGone

GIVE_UP_AFTER = 8
"""Requests in a row that failed in all their attempts, after which the endpoint counts as gone. A page that
breaks a server fails alone: others are answered in between."""


class FailureStreak:
    """Counts failed requests in a row, and ends the asking after several. Safe to use from many threads."""

    def __init__(self, ended: Callable[[], str | None] | None = None) -> None:
        """Begin; ``ended`` says why the endpoint has ended where that is known, and None while it has not."""
        self._ended = ended
        self._count = 0
        self._reason = ""
        self._lock = threading.Lock()

    def broken(self) -> None:
        """The endpoint answered, if only to refuse one request."""
        with self._lock:
            self._count = 0

    def failed(self, reason: str) -> None:
        """A request failed for good, and ``reason`` says why.

        Raises:
            ModelGone: it was one too many.
        """
        with self._lock:
            self._count += 1
            self._reason = reason
        self.check()

    def check(self) -> None:
        """Go on only while the endpoint may still be there.

        Raises:
            ModelGone: too many requests failed in a row, or the endpoint is known to have ended.
        """
        if self._ended is not None and (reason := self._ended()) is not None:
            raise ModelGone(reason)
        if self._count < GIVE_UP_AFTER:
            return
        raise ModelGone(
            f"{GIVE_UP_AFTER} requests in a row failed, and the run of this model ends here: {self._reason}",
            hint="when the endpoint is well again, repeat the command with --retry-failed",
        )

"""How many requests are in flight, and how soon they follow one another.

More are in flight while the server keeps up, and half as many when it refuses. Additive increase and
multiplicative decrease, as in TCP's congestion control (Jacobson 1988): the number settles at what the server
can take, without knowing its queue.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

START = 4
"""Requests in flight at the beginning: enough to find out, too few to flood a small server."""

BASELINE = 8
"""Answers at the starting number whose mean time says how long the server takes when it is at ease."""

SLOWER = 2.0
"""The number stops rising if answers take this many times as long as then: more requests would only
wait in the server's queue."""


class RateLimit:
    """A token bucket of one request: no more than so many begin in a minute, evenly spread."""

    def __init__(self, per_minute: float | None) -> None:
        self._interval = 0.0 if per_minute is None else 60.0 / per_minute
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until one more request may begin."""
        with self._lock:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + self._interval
        if mine > now:
            time.sleep(mine - now)


class AdaptiveLimit:
    """A semaphore whose size follows how the server behaves. Safe to use from many threads."""

    def __init__(self, maximum: int) -> None:
        self._maximum = float(maximum)
        self._limit = min(float(START), self._maximum)
        self._in_flight = 0
        self._most = 0
        self._first: list[float] = []
        self._recent = 0.0
        self._resume_at = 0.0
        self._halved_at = -math.inf
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    def most(self) -> int:
        """The most requests that were in flight at once since this was asked last."""
        with self._changed:
            most, self._most = self._most, self._in_flight
        return most

    @contextmanager
    def place(self) -> Iterator[None]:
        """Wait for a place and for the end of any pause; give the place back at the end."""
        with self._changed:
            # Read once a round: a pause that ended between two readings would be waited for for ever.
            while (pause := self._resume_at - time.monotonic()) > 0 or (
                self._in_flight >= self.limit
            ):
                self._changed.wait(timeout=pause if pause > 0 else None)
            self._in_flight += 1
            self._most = max(self._most, self._in_flight)
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                # One place, one thread: waking all that wait for every answer costs more than the answer.
                self._changed.notify()

    def succeeded(self, seconds: float) -> None:
        """One request was answered in ``seconds``."""
        with self._changed:
            if len(self._first) < BASELINE:
                self._first.append(seconds)
                self._recent = sum(self._first) / len(self._first)
                return
            # A moving mean over about one round, since pages and answers differ in length.
            self._recent += (seconds - self._recent) * 2 / (self._limit + 1)
            if self._recent <= SLOWER * sum(self._first) / BASELINE:
                # One more for every full round of the present number.
                self._limit = min(self._maximum, self._limit + 1 / self._limit)
                self._changed.notify()

    def refused(self, retry_after: float) -> None:
        """The server said that it is too busy; nobody asks it for ``retry_after`` seconds."""
        now = time.monotonic()
        with self._changed:
            self._resume_at = max(self._resume_at, now + retry_after)
            # The requests that were sent together are refused together: they count once.
            if now - self._halved_at > 1.0:
                self._limit = max(1.0, self._limit / 2)
                self._halved_at = now

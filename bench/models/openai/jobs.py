"""The order in which questions travel: a document's first question alone, then the others right behind it.

The first question puts the pages into the server's prefix cache, where the others find them. Asked all at
once, every one of them would have its pages computed anew.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.models.openai.messages import PageEncoder, SentPage
from bench.schema import PageGroup, Request


class Job(NamedTuple):
    """One question, and its place among the outputs of the call."""

    place: int
    group: PageGroup
    request: Request
    pages: EncodedPages
    followers: tuple[Job, ...] = ()
    """Further questions about the same pages."""


class EncodedPages:
    """The pages of one document, encoded once, when the first of its questions is asked."""

    def __init__(self, group: PageGroup, encoder: PageEncoder) -> None:
        self._group, self._encoder = group, encoder
        self._sent: tuple[SentPage, ...] | None = None
        self._lock = threading.Lock()

    def sent(self) -> tuple[SentPage, ...]:
        """The pages as they travel.

        Raises:
            InvalidInput: a page cannot be opened or resized.
        """
        with self._lock:
            if self._sent is None:
                self._sent = tuple(
                    self._encoder.encode(page) for page in self._group.document.pages
                )
            return self._sent


def jobs_of(groups: Sequence[PageGroup], encoder: PageEncoder) -> list[Job]:
    """One job for the first question of every group, with the other questions as its followers."""
    jobs: list[Job] = []
    place = 0
    for group in groups:
        pages = EncodedPages(group, encoder)
        questions = []
        for request in group.requests:
            questions.append(Job(place, group, request, pages))
            place += 1
        if questions:
            first, *others = questions
            jobs.append(first._replace(followers=tuple(others)))
    return jobs


class JobQueue:
    """Hands jobs to threads; a job's followers come next once it is done. Safe to use from many threads."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = deque(jobs)
        self._closed = False
        self._taken = 0
        self._changed = threading.Condition()

    def take(self) -> Job | None:
        """The next job; None if there is none and none can come."""
        with self._changed:
            while not self._waiting and self._taken > 0:
                self._changed.wait()
            if not self._waiting:
                return None
            self._taken += 1
            return self._waiting.popleft()

    def done(self, job: Job) -> None:
        """Let the followers of ``job`` go in front of all others."""
        with self._changed:
            self._taken -= 1
            if not self._closed:
                self._waiting.extendleft(reversed(job.followers))
                self._changed.notify(len(job.followers))
            if not self._waiting and self._taken == 0:
                # There is nothing left to wait for.
                self._changed.notify_all()

    def close(self) -> None:
        """Hand out no further job."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

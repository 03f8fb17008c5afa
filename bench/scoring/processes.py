"""Scores parts of large runs in several processes, each with an interpreter of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, Self

from bench.errors import EnvironmentProblem
from bench.measure import collector_paused
from bench.measure.cores import usable_cores
from bench.scoring.answers import OutputScores, ScoringPart, score_part

MIN_ANSWERS: Final = 50_000
"""Fewer answers are scored in one process: they take five seconds, and a process half a second to start."""

MOST_PROCESSES: Final = 8
"""The process that hands out parts and takes scores back keeps about so many busy."""


class ScoringProcesses:
    """Processes that score parts: started with the first part, and gone when the block ends."""

    def __init__(self, number: int) -> None:
        """``number`` is how many there are at most."""
        self._number = number
        # Spawned, because the copy that a fork makes lacks the threads of the libraries in it.
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(number, spawn, initializer=_begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def score(self, parts: Iterable[ScoringPart]) -> Iterator[list[list[OutputScores]]]:
        """Yield what ``score_part`` gives for each part, in their order.

        Raises:
            EnvironmentProblem: the system ended a process, or refused to start one.
        """
        pending: deque[Future[list[list[OutputScores]]]] = deque()
        try:
            for part in parts:
                pending.append(self._pool.submit(_score_quickly, part))
                # No more parts are made than are needed to keep all processes busy.
                if len(pending) > 2 * self._number:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise EnvironmentProblem(
                "a process that scored answers was ended by the system, probably because the memory was full",
                hint="free some memory and run the same command again; no answer is lost",
            ) from None
        except OSError as error:
            raise EnvironmentProblem(
                f"the system could not start a process that scores answers: {error.strerror or error}",
                hint="end other programs and run the same command again; no answer is lost",
            ) from None


@contextlib.contextmanager
def scoring_processes(answers: int) -> Iterator[ScoringProcesses | None]:
    """Processes to score so many ``answers``, one for each core; None where this process does it as well."""
    number = min(usable_cores(), MOST_PROCESSES)
    if number <= 1 or answers < MIN_ANSWERS:
        yield None
        return
    try:
        processes = ScoringProcesses(number)
    except (ImportError, NotImplementedError, OSError):
        # The system has no semaphores, as in a container without /dev/shm.
        yield None
        return
    with processes:
        yield processes


@collector_paused()
def _score_quickly(part: ScoringPart) -> list[list[OutputScores]]:
    return score_part(part)


def _begin() -> None:
    """Leave Ctrl-C to the parent, which ends this process, and end with a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

"""Runs what a checkpoint's author wrote (patterns, templates) within bounds of time and memory.

A regular expression or a template of a few characters can compute for years or fill any memory. Python runs
both as its own code, which a timer can interrupt and an allocation limit can stop.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from bench.errors import InvalidInput
from bench.measure import collector_paused

SECONDS = 10.0
"""For one pattern over the names of a model's modules, or one template: both take milliseconds."""
MEMORY_BYTES = 2 * 2**30
"""That may be allocated meanwhile, beside what the process holds already."""

_LAST_RESORT = 3
_LEAST_SECONDS = 10.0
"""Before the last resort, however small the bound is: filling the memory that is allowed takes seconds."""

_PAGES_OF_THE_PROCESS = Path("/proc/self/statm")


class _TimeIsUp(BaseException):
    """Raised by the timer; no library's ``except Exception`` keeps it from the one who set the timer."""


@contextlib.contextmanager
def bounded(
    what: str, *, hint: str, seconds: float | None = None, memory_bytes: int = MEMORY_BYTES
) -> Iterator[None]:
    """End what runs inside after ``seconds`` of computing, or when it takes ``memory_bytes`` more.

    The default is ``SECONDS``.
    ``what`` begins the message: ``"the chat template in chat_template.jinja"``. Python delivers signals to
    the main thread only, between two of its own instructions. A single instruction that never ends, such
    as a power of huge numbers, ends the process after ``_LAST_RESORT`` times the bound, and not before
    ``_LEAST_SECONDS``.

    Raises:
        InvalidInput: a bound was reached.
    """
    seconds = SECONDS if seconds is None else seconds
    try:
        last_resort = max(_LAST_RESORT * seconds, _LEAST_SECONDS)
        # What the timer raises while the collector calls back is printed and forgotten, so it has to pause.
        with collector_paused(), _limits(last_resort, memory_bytes), _timer(seconds):
            yield
    except _TimeIsUp:
        raise InvalidInput(f"{what} did not end within {seconds:g} seconds", hint=hint) from None
    except (MemoryError, RecursionError, OverflowError):
        raise InvalidInput(f"{what} needs more memory than it may take", hint=hint) from None


@contextlib.contextmanager
def _timer(seconds: float) -> Iterator[None]:
    """Raise ``_TimeIsUp`` inside after ``seconds`` of computing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise _TimeIsUp

    before: Any = signal.signal(signal.SIGPROF, ring)
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def _limits(more_seconds: float, more_bytes: int) -> Iterator[None]:
    """Let the process take ``more_seconds`` of computing and ``more_bytes`` beside what it has taken so far.

    Does nothing where the system has no such limits.
    """
    try:
        import resource

        pages = int(_PAGES_OF_THE_PROCESS.read_text(encoding="ascii").split()[0])
    except (ImportError, OSError, ValueError):
        yield
        return
    bytes_now = pages * resource.getpagesize()
    with (
        _lowered(resource.RLIMIT_AS, bytes_now + more_bytes),
        _lowered(resource.RLIMIT_CPU, math.ceil(time.process_time() + more_seconds)),
    ):
        yield


@contextlib.contextmanager
def _lowered(kind: int, wanted: int) -> Iterator[None]:
    """The limit ``kind`` at ``wanted`` inside, unless it is lower already."""
    import resource

    soft, hard = resource.getrlimit(kind)
    lower = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(kind, (min([wanted, *lower]), hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))

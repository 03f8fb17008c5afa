"""The standard streams as the program finds them: closed, in an old encoding, or on a disk that is full."""

from __future__ import annotations

import contextlib
import io
import os
import sys


def prepare_streams() -> None:
    """Make standard input, output and error usable, whatever the program was given.

    A closed one is opened on the null device. Otherwise the next file would get its number, and what a
    library prints would land in that file. Characters that an encoding does not have are written as escapes.
    What cannot be written to standard error is left out: a run does not end because its progress is not seen.
    """
    for descriptor in range(3):
        _open_if_closed(descriptor)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # A test or another program may have put a stream of its own in place.
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        encoding = sys.stderr.encoding
        sys.stderr = _Lenient(
            sys.stderr.buffer, encoding, errors="backslashreplace", line_buffering=True
        )


def drop_output() -> None:
    """Send what is left for standard output nowhere, so that Python does not complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def json_is_ascii() -> bool:
    """Say whether JSON for standard output must be ASCII: an escape of the encoding would be no JSON."""
    return not (sys.stdout.encoding or "utf-8").lower().startswith("utf")


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        # It gets the lowest number that is free, which is this one.
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


class _Lenient(io.TextIOWrapper):
    """A stream that loses what cannot be written."""

    def write(self, text: str) -> int:
        """Write ``text``, or nothing."""
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is waiting, or nothing."""
        with contextlib.suppress(OSError):
            super().flush()

"""A small process that stands between a model's process and its server, and ends the server with it.

Started as ``python -m bench.models.serving.supervisor``. Its standard input is a pipe from the model's
process. The first line is a JSON object: ``command``, ``environment``, and ``cleanup``, a command for what a
kill does not end, a container for instance. The line ``stop`` asks the server to leave; the end of the input
means that the model's process is gone, and with it all need for the server. Standard output carries one JSON
object a line: ``started`` and ``ended``. The server's own output goes to standard error, made safe to print.

This module needs the standard library and ``bench.text`` only, so that it is ready at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from bench.text import one_line

STOP_SECONDS = 10.0
"""How long a server that was asked to leave may take."""
TAIL_LINES = 40
"""Last lines of the server's output that are kept for the message about its end."""
MOST_LINE = 4_000
"""Characters of a line that are kept."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# Loaded before any fork: a child between fork and exec must load nothing.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Supervisor:
    """Runs one server."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        """Start the server; it and all that it starts are one process group of a session of its own."""
        self._cleanup: Sequence[str] = task["cleanup"]
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._stopping = threading.Event()
        # Processes whose parent dies become children of this one, and not of init.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._child = subprocess.Popen(
            task["command"],
            env=task["environment"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        _say("started", pid=self._child.pid)

    def run(self) -> None:
        """Copy the server's output and obey the model's process, until the server has ended."""
        threading.Thread(target=self._copy, daemon=True).start()
        threading.Thread(target=self._obey, daemon=True).start()
        status = self._child.wait()
        self._end_all()
        # What it said last may still be on the way.
        time.sleep(0.2)
        _say("ended", status=status, tail=list(self._tail), asked=self._stopping.is_set())

    def _copy(self) -> None:
        output: IO[bytes] | None = self._child.stdout
        assert output is not None
        for line in iter(lambda: output.readline(MOST_LINE), b""):
            text = one_line(line.decode("utf-8", "replace").rstrip(), MOST_LINE)
            self._tail.append(text)
            with contextlib.suppress(OSError):
                sys.stderr.write(f"server: {text}\n")
                sys.stderr.flush()

    def _obey(self) -> None:
        for line in sys.stdin:
            if line.strip() == "stop":
                self._stopping.set()
                self._signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(STOP_SECONDS)
                break
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    def _end_all(self) -> None:
        """Kill whatever the server has left, wherever it has put itself."""
        self._signal(signal.SIGKILL)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and (left := list(descendants(os.getpid()))):
            for process in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
            _reap()
            time.sleep(0.02)
        if self._cleanup:
            subprocess.run(
                self._cleanup,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=60,
                check=False,
            )


def descendants(process: int) -> Iterator[int]:
    """The processes that ``process`` has started, those that they have started, and so on."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_bytes()
        except OSError:
            continue
        # The name in parentheses may hold anything.
        parent = int(stat.rpartition(b")")[2].split()[1])
        children.setdefault(parent, []).append(int(folder.name))
    waiting = [process]
    while waiting:
        started = children.get(waiting.pop(), [])
        yield from started
        waiting += started


def _reap() -> None:
    """Let go of children that have ended, so that they are not counted as running."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    """Linux's ``prctl``; elsewhere nothing happens, and a kill of the supervisor leaves the server."""
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


def _say(event: str, **facts: Any) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
        sys.stdout.flush()


def main() -> int:
    """Run the server that standard input describes; see the module's docstring."""
    # Ctrl-C in a terminal is for the model's process, which then says what is to be done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    task = json.loads(sys.stdin.readline())
    try:
        supervisor = Supervisor(task)
    except OSError as error:
        _say("ended", status=127, tail=[one_line(str(error), 300)], asked=False)
        return 1
    supervisor.run()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # At once: a thread may still wait for standard input.
    os._exit(status)

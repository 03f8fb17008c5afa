"""A server that is running: started, waited for, watched and ended, through a supervisor."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench.errors import EnvironmentProblem
from bench.models.serving.supervisor import STOP_SECONDS, descendants
from bench.text import one_line

POLL_SECONDS = 0.25
"""Between two looks at a server that is not ready yet."""


class ServerProcess:
    """A server of this machine, and everything that it starts."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        port: int,
        cleanup: Sequence[str] = (),
    ) -> None:
        """Start ``command``.

        Args:
            name: what it is called in messages.
            command: its words.
            environment: all of its environment variables.
            port: of the loopback address, on which it will listen.
            cleanup: a command for what a kill does not end.
        """
        self.port = port
        self._name = name
        self._pid: int | None = None
        self._ended: Mapping[str, Any] | None = None
        self._changed = threading.Condition()
        root = str(Path(bench.__file__).resolve().parent.parent)
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "bench.models.serving.supervisor"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *_python_path()])},
            # In a session of its own, Ctrl-C does not reach it.
            start_new_session=True,
        )
        task = {
            "command": list(command),
            "environment": dict(environment),
            "cleanup": list(cleanup),
        }
        self._tell(json.dumps(task))
        threading.Thread(target=self._listen, name="server", daemon=True).start()

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until the server says that it is well.

        Raises:
            EnvironmentProblem: it has ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not self._is_well():
            if (reason := self.ended()) is not None:
                raise EnvironmentProblem(
                    f"{reason}, before it was ready",
                    hint="its output is above, or in the log of the run",
                )
            if time.monotonic() > deadline:
                raise EnvironmentProblem(
                    f"{self._name} was not ready after {seconds:g} s",
                    hint="start_seconds gives it more time; its output is above, or in the log of the run",
                )
            with self._changed:
                self._changed.wait(POLL_SECONDS)

    def ended(self) -> str | None:
        """Why the server is no longer there; None while it is."""
        if self._ended is None:
            return None
        status = self._ended["status"]
        how = f"ended with status {status}"
        if status < 0:
            how = f"was ended by signal {-status} ({signal.Signals(-status).name})"
        last = _telling_line(self._ended["tail"])
        return f"{self._name} {how}" + (f" ({last})" if last else "")

    def processes(self) -> list[int]:
        """The processes of the server."""
        if self._pid is None or self._ended is not None:
            return []
        return [self._pid, *descendants(self._pid)]

    def stop(self) -> None:
        """End the server with everything that it has started; after this nothing of it is left."""
        self._tell("stop")
        with contextlib.suppress(OSError):
            assert self._supervisor.stdin is not None
            self._supervisor.stdin.close()
        try:
            self._supervisor.wait(3 * STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
            self._kill()

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            assert self._supervisor.stdin is not None
            self._supervisor.stdin.write(line + "\n")
            self._supervisor.stdin.flush()

    def _listen(self) -> None:
        assert self._supervisor.stdout is not None
        said: dict[str, Any] = {}
        for line in self._supervisor.stdout:
            said = json.loads(line)
            if said["event"] == "started":
                self._pid = said["pid"]
        self._supervisor.stdout.close()
        if said.get("event") != "ended":
            # The supervisor was killed. The server dies with it, but not what the server has started.
            self._kill()
            said = {"status": -signal.SIGKILL, "tail": ["its supervisor was killed"]}
        with self._changed:
            self._ended = said
            self._changed.notify_all()

    def _kill(self) -> None:
        """Kill the server's process group."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    def _is_well(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def free_port() -> int:
    """A port of the loopback address on which nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def _telling_line(tail: Sequence[str]) -> str:
    """The line of a server's last output that says most about its end."""
    telling = [line for line in tail if "Error" in line or "error" in line]
    lines = telling or [line for line in tail if line.strip()]
    return one_line(lines[-1].strip(), 200) if lines else ""

"""The model's process as the service sees it: started, asked one batch at a time, and watched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from bench.errors import BenchError, EnvironmentProblem, InvalidInput
from bench.formatting import significant
from bench.rundir.rows import output_of
from bench.runner.threads import thread_environment
from bench.schema import ModelInfo, ModelSpec, Output
from bench.service.jobs import ServiceJob, fields_of
from bench.text import one_line

MAX_LINE_BYTES = 256 * 2**20
"""The longest line of the process: all answers of a batch with the probabilities of their tokens."""
LAST_LINES = 30
"""Lines that are kept of what the process writes for a person."""
STATUS_INVALID = 2

Wrote = Callable[[str, str], None]
"""Is told the id of a job and the text of its answer so far."""


class ModelDied(Exception):
    """The process ended while it was asked."""

    def __init__(
        self, message: str, *, blames: bool = True, reason: BenchError | None = None
    ) -> None:
        """Keep why the process ended.

        Args:
            message: for the log.
            blames: whether the questions may have caused it.
            reason: what the process said itself, if it could.
        """
        super().__init__(message)
        self.message, self.blames, self.reason = message, blames, reason


class Loaded(NamedTuple):
    """What the process said when the model was loaded."""

    info: ModelInfo
    seconds: float
    batch_size: int
    """Questions of one call unless a person says otherwise."""


class CallResult(NamedTuple):
    """The answers to a batch, and what they took."""

    outputs: Mapping[str, Output]
    """Id of a job → its output."""
    seconds: float
    memory: Mapping[str, int | None]
    """Peaks in bytes, as ``bench.measure.Memory`` names them."""


class ModelProcess:
    """One process that holds the model; after ``ModelDied``, ``start`` makes another one."""

    def __init__(self, spec: ModelSpec, call_seconds: float) -> None:
        """Start nothing yet; a call that takes longer than ``call_seconds`` counts as a death."""
        self._spec, self._call_seconds = spec, call_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        """What the process wrote last for a person, for the log of the service."""

    async def start(self) -> Loaded:
        """Start the process and have it load the model.

        Raises:
            InvalidInput: the model's specification is wrong.
            EnvironmentProblem: the model cannot be loaded; the message says why.
        """
        self.last_lines.clear()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.service.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            # In a session of its own, Ctrl-C reaches only the service, which lets the batch be finished.
            start_new_session=True,
            env={**environment, **thread_environment(environment)},
        )
        self._listening = asyncio.create_task(self._listen())
        try:
            said = await self._exchange(asdict(self._spec))
        except ModelDied as death:
            raise death.reason or EnvironmentProblem(
                f"the model {self._spec.name} cannot be loaded: {death.message}"
            ) from None
        info = ModelInfo(**said["info"])
        if self._spec.device == "auto" and info.device.startswith("cuda"):
            # If the GPU is lost, ``auto`` would bring the model back on the CPU without a word.
            self._spec = replace(self._spec, device="cuda")
        return Loaded(info, said["seconds"], said["batch_size"])

    async def ask(self, jobs: Sequence[ServiceJob], wrote: Wrote) -> CallResult:
        """The answers to ``jobs``, in one batch; ``wrote`` is told of those whose clients read along.

        Raises:
            ModelDied: the process has ended, and there are no answers.
        """
        try:
            async with asyncio.timeout(self._call_seconds):
                said = await self._exchange(_groups(jobs), wrote)
        except TimeoutError:
            await self.stop()
            message = f"its process gave no answer within {significant(self._call_seconds)} s"
            raise ModelDied(message) from None
        outputs = {row["sample_id"]: output_of(row) for row in said["outputs"]}
        return CallResult(outputs, said["seconds"], said["memory"])

    async def stop(self) -> None:
        """End the process, whatever it does."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        if self._listening is not None:
            await self._listening
        self._process = None

    async def _exchange(self, value: Any, wrote: Wrote | None = None) -> dict[str, Any]:
        """Send one line and return the reply; ``wrote`` is told what is written before it.

        Raises:
            ModelDied: the process ended instead.
        """
        process = self._process
        assert process is not None, "start comes first"
        assert process.stdin is not None
        assert process.stdout is not None
        # What the process said before it ended is still to be read.
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(value).encode() + b"\n")
            await process.stdin.drain()
        while True:
            line = await process.stdout.readline()
            if not line.endswith(b"\n"):
                raise ModelDied(await self._cause())
            said: dict[str, Any] = json.loads(line)
            if said["event"] != "written":
                break
            if wrote is not None:
                wrote(said["id"], said["text"])
        if said["event"] == "failed":
            await self.stop()
            raise ModelDied(one_line(said["message"], 300), reason=_failure(said))
        if said["event"] == "lost":
            await self.stop()
            raise ModelDied(one_line(said["message"], 300), blames=said["blames"])
        return said

    async def _cause(self) -> str:
        """Why the process ended, in the words of the system."""
        assert self._process is not None
        status = await self._process.wait()
        await self.stop()
        if status >= 0:
            return f"its process ended with status {status}"
        likely = (
            "the system ran out of memory" if -status == signal.SIGKILL else "native code crashed"
        )
        name = signal.Signals(-status).name
        return f"its process was ended by signal {-status} ({name}), probably because {likely}"

    async def _listen(self) -> None:
        """Keep the last lines that the process writes for a person."""
        assert self._process is not None
        assert self._process.stderr is not None
        while piece := await self._process.stderr.read(65_536):
            lines = piece.decode("utf-8", "replace").splitlines()
            self.last_lines.extend(one_line(line, 300) for line in lines[-LAST_LINES:])


def _failure(said: Mapping[str, Any]) -> BenchError:
    kind = InvalidInput if said["status"] == STATUS_INVALID else EnvironmentProblem
    return kind(said["message"], hint=said["hint"])


def _groups(jobs: Sequence[ServiceJob]) -> list[dict[str, Any]]:
    """The questions of ``jobs``, those on the same pages together, as ``worker`` reads them."""
    groups: dict[Any, dict[str, Any]] = {}
    for job in jobs:
        asked = job.question
        shared = (asked.pages, asked.system, asked.max_pixels, asked.max_new_tokens, asked.stop)
        if shared not in groups:
            groups[shared] = {
                "pages": [{**fields_of(page), "path": str(page.path)} for page in asked.pages],
                "system": asked.system,
                "max_pixels": asked.max_pixels,
                "max_new_tokens": asked.max_new_tokens,
                "stop": asked.stop,
                "requests": [],
                "read_along": [],
            }
        groups[shared]["requests"].append((job.id, asked.prompt))
        if job.is_read_along:
            groups[shared]["read_along"].append(job.id)
    return list(groups.values())

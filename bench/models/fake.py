"""A model that follows a script: for tests, for the docs, and for trying a set-up without weights.

Options of the spec (all may be left out)::

    answers   {sample id or question: answer}; the sample id wins
    default   the answer to everything else; {question} and {sample_id} are filled in
    fail      sample ids (or fragments of them) whose answer is an exception
    refuse    fragments of sample ids for which even the whole batch raises
    capacity  requests that one call may hold; more raise OutOfMemory
    memory    pixels that the pages of one call may have, under its bound; more raise OutOfMemory
    chunks    how often smaller chunks help: each time the memory holds twice as many pixels
    delay     seconds a request takes
    load_error  a message: loading fails with it
    kill      fragments of sample ids at which the process ends as if the system killed it
    lose      fragments of sample ids at which the call fails as if the GPU were lost
    exit      status with which the process ends after its work, as if a driver failed while it was unloaded
    once      a file that is made at the first ``kill`` or ``lose``; while it is there, both are over
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import EnvironmentProblem, OutOfMemory
from bench.models.backends import check_options
from bench.models.reading_along import Reader
from bench.schema import Batch, ModelInfo, ModelSpec, Output, PageGroup, Request


class Fake:
    """Scripted answers, delays and failures; equal requests get equal answers."""

    def __init__(self, spec: ModelSpec) -> None:
        check_options(spec)
        self.spec = spec
        self.options: dict[str, Any] = dict(spec.options)
        self.chunked = 0
        self._readers: Mapping[str, Reader] = {}

    def load(self) -> ModelInfo:
        """Load nothing; fail where the script says so."""
        if "load_error" in self.options:
            raise EnvironmentProblem(self.options["load_error"])
        if "exit" in self.options:
            atexit.register(os._exit, self.options["exit"])
        return ModelInfo(self.spec.backend, {"options": sorted(self.options)}, device="cpu")

    def reset(self) -> None:
        """Do nothing, because nothing is remembered."""

    def let_read_along(self, readers: Mapping[str, Reader]) -> None:
        """See ``bench.models.model.ReadAlong``; half of an answer is told before its delay."""
        self._readers = readers

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Do nothing, because no page is read."""

    def economize(self) -> str | None:
        """Say yes as often as the script allows."""
        if self.chunked >= self.options.get("chunks", 0):
            return None
        self.chunked += 1
        return f"chunks cut {self.chunked} times"

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Answer as the script says."""
        requests = [request for group in groups for request in group.requests]
        if len(requests) > self.options.get("capacity", len(requests)):
            raise OutOfMemory(f"{len(requests)} requests; {self.options['capacity']} fit")
        pixels = sum(group.document.pixels(group.max_pixels) for group in groups)
        if pixels > self.options.get("memory", pixels) * 2**self.chunked:
            raise OutOfMemory(f"{pixels} pixels; {self.options['memory']} fit")
        for request in requests:
            if any(part in request.sample_id for part in self.options.get("refuse", ())):
                raise RuntimeError(f"scripted failure of {request.sample_id}")
            self._end_badly(request.sample_id)
        started = time.perf_counter()
        outputs = tuple(self._answer(request) for request in requests)
        return Batch(outputs, {"decode": time.perf_counter() - started})

    def _end_badly(self, sample_id: str) -> None:
        """Kill this process, or fail as a lost GPU does, where the script says so."""
        ways = {"kill", "lose"} & self.options.keys()
        chosen = [way for way in ways if any(part in sample_id for part in self.options[way])]
        once = self.options.get("once")
        if not chosen or (once is not None and Path(once).exists()):
            return
        if once is not None:
            Path(once).touch()
        if "kill" in chosen:
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def _answer(self, request: Request) -> Output:
        text = self._text(request)
        reader = self._readers.get(request.sample_id)
        if reader is not None:
            reader(text[: len(text) // 2])
        if "delay" in self.options:
            time.sleep(self.options["delay"])
        if any(part in request.sample_id for part in self.options.get("fail", ())):
            return Output(request.sample_id, "", "error", error="RuntimeError: scripted failure")
        return Output(request.sample_id, text, "stop", generated_tokens=len(text.split()))

    def _text(self, request: Request) -> str:
        answers = self.options.get("answers", {})
        text: str | None = answers.get(request.sample_id, answers.get(request.question))
        if text is not None:
            return text
        text = str(self.options.get("default", "")).replace("{question}", request.question)
        return text.replace("{sample_id}", request.sample_id)

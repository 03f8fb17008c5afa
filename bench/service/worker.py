"""The model's own process: load, then answer what the service asks, until the service is gone.

Started as ``python -m bench.service.worker``. Its standard input brings lines of JSON: first the model's
specification, then one batch of questions a line. What it says goes to the former standard output, one JSON
object a line. The end of the input means that the service is gone.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from bench.errors import BenchError, OutOfMemory
from bench.measure import MemoryMeter, is_device_lost, release_memory
from bench.models import make_model, with_traits
from bench.models.model import Model, ModelGone, ReadAlong, closing
from bench.runner.answering import DeviceLost, answer, failures, sample_ids
from bench.runner.batches import default_batch_size, halves
from bench.runner.ladder import Ladder
from bench.runner.statuses import FAILED, LOST
from bench.schema import Document, Generation, ModelSpec, Output, Page, PageGroup, Request
from bench.service.jobs import fields_of
from bench.text import error_line


class _Voice:
    """What this process says to the service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # An endpoint tells several answers at the same time.
        self._lock = threading.Lock()

    def say(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, **facts}, default=fields_of) + "\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


def main() -> int:
    """Serve until the input ends; returns the exit status."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        # What a library prints must not come between the replies.
        os.dup2(2, 1)
        voice = _Voice(stream)
        lines = _lines()
        try:
            return _serve(ModelSpec(**next(lines)), lines, voice)
        except Exception as error:
            traceback.print_exc()
            if isinstance(error, ModelGone | DeviceLost) or is_device_lost(error):
                # A server behind the model that has gone is no question's fault.
                voice.say("lost", message=str(error), blames=not isinstance(error, ModelGone))
                # At once: what a dead GPU still holds cannot be freed, and trying may hang.
                os._exit(LOST)
            said: dict[str, Any] = {"message": error_line(error), "hint": None, "status": FAILED}
            if isinstance(error, BenchError):
                said = {"message": error.message, "hint": error.hint, "status": error.exit_code}
            voice.say("failed", **said)
            return FAILED


def _serve(spec: ModelSpec, lines: Iterator[Any], voice: _Voice) -> int:
    model = make_model(spec)
    with closing(model), MemoryMeter() as meter:
        started = time.perf_counter()
        info = with_traits(model.load(), spec)
        weights, concurrency = (
            number if isinstance(number := info.details.get(name), int) else 0
            for name in ("weight_bytes", "concurrency")
        )
        voice.say(
            "loaded",
            info=asdict(info),
            seconds=time.perf_counter() - started,
            batch_size=default_batch_size(info.device, (), weights, concurrency),
        )
        for batch in lines:
            groups = [_group(record) for record in batch]
            _let_read_along(model, batch, voice)
            started = time.perf_counter()
            outputs = _outputs(model, groups)
            voice.say(
                "answered",
                outputs=[fields_of(output) for output in outputs],
                seconds=time.perf_counter() - started,
                memory=meter.reading()._asdict(),
            )
    return 0


def _let_read_along(model: Model, batch: Sequence[Mapping[str, Any]], voice: _Voice) -> None:
    """Have ``model`` tell the answers whose clients read along, where it can."""
    if isinstance(model, ReadAlong):
        names = [name for record in batch for name in record["read_along"]]
        model.let_read_along({name: partial(_tell, voice, name) for name in names})


def _tell(voice: _Voice, name: str, text: str) -> None:
    voice.say("written", id=name, text=text)


def _outputs(model: Model, groups: Sequence[PageGroup]) -> list[Output]:
    """One output for each question of ``groups``, in as many calls as memory asks for."""
    ladder = Ladder(len(sample_ids(groups)))
    pending: list[Sequence[PageGroup]] = [groups]
    outputs: list[Output] = []
    while pending:
        part = pending.pop(0)
        if len(sample_ids(part)) > ladder.batch_size:
            pending = [*halves(part), *pending]
            continue
        try:
            outputs += answer(model, part).outputs
        except OutOfMemory as error:
            release_memory()
            step = ladder.down(part, model.economize)
            if step is None:
                outputs += failures(part, error).outputs
            else:
                pending = [*step.batches, *pending]
    return outputs


def _group(record: Mapping[str, Any]) -> PageGroup:
    """What ``model_process`` wrote about the questions on the same pages."""
    pages = tuple(Page(**{**page, "path": Path(page["path"])}) for page in record["pages"])
    requests = tuple(Request(name, prompt, prompt) for name, prompt in record["requests"])
    generation = Generation(record["max_new_tokens"], tuple(record["stop"]))
    document = Document("+".join(page.key for page in pages), pages)
    return PageGroup(document, requests, generation, record["system"], record["max_pixels"])


def _lines() -> Iterator[Any]:
    """The values that the service sends. When the service is gone, the process ends at once."""
    received: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            received.put(line)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield json.loads(received.get())


if __name__ == "__main__":
    sys.exit(main())

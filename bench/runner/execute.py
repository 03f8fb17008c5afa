"""Carrying a plan out: the run directory, its lock, one process per model, and what a person sees of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from bench.errors import InvalidInput
from bench.files import write_json
from bench.lock import RunLock
from bench.runner.record import known_texts, run_record
from bench.runner.spec import RunPlan, differences
from bench.runner.statuses import FAILED, STOPPED
from bench.store import RunStore, find_runs, utc_now


class Progress(Protocol):
    """What is told about a run while it goes on; ``bench.cli`` draws it."""

    def started(self, run: RunStore, *, resumed: bool) -> None:
        """A run directory exists; ``resumed`` where it existed before."""

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        """A model's process said something; see ``bench.runner.worker``."""

    def stopping(self) -> None:
        """A first request to stop came; the batch in flight is being finished."""


class Silent:
    """Shows nothing."""

    def started(self, run: RunStore, *, resumed: bool) -> None:
        """Nothing."""

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        """Nothing."""

    def stopping(self) -> None:
        """Nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    run: RunStore
    interrupted: bool
    failed_models: tuple[str, ...]


def execute(
    plan: RunPlan,
    results: Path,
    *,
    resume: Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Carry out ``plan`` under ``results``; what an earlier, broken run of the same plan did is kept.

    Args:
        plan: what to do.
        results: the folder of run directories.
        resume: this run directory and no other; its spec must be the plan's.
        fresh: begin a new run even where one that is unfinished, or lacks its report, could go on.
        progress: what to tell while it runs.

    Raises:
        InvalidInput: ``resume`` has another spec, or another process holds the run directory.
    """
    progress = progress or Silent()
    run = _existing(plan, results, resume, fresh)
    resumed = run is not None
    if run is None:
        run = RunStore.create(results, plan.name, run_record(plan), plan.tasks, known_texts(plan))
    with RunLock(run.path) as lock:
        progress.started(run, resumed=resumed)
        failed: list[str] = []
        with _stop_requests(progress) as stop:
            for spec in plan.models:
                if run.is_model_done(spec.name):
                    continue
                status = _run_model(run, spec.name, lock, progress, stop)
                if stop.requested:
                    return Outcome(run, True, tuple(failed))
                if status != 0:
                    failed.append(spec.name)
    return Outcome(run, False, tuple(failed))


def _existing(plan: RunPlan, results: Path, resume: Path | None, fresh: bool) -> RunStore | None:
    """The run that ``plan`` continues, if there is one."""
    if resume is not None:
        run = RunStore.open(resume)
        changed = differences(run.record.get("spec", {}), json.loads(json.dumps(plan.identity())))
        if changed:
            shown = "; ".join(changed[:4]) + ("; …" if len(changed) > 4 else "")
            raise InvalidInput(
                f"{resume} was made with another specification: {shown}",
                hint="use the options it was made with, or leave out --resume to begin a new run",
            )
        return run
    if fresh:
        return None
    for run in find_runs(results):
        if run.record.get("spec_id") == plan.spec_id() and not run.is_concluded():
            return run
    return None


class _Stop:
    """Requests to stop: the first is passed on to the model's process, the second ends it."""

    def __init__(self, progress: Progress) -> None:
        self.requested = False
        self.child: subprocess.Popen[str] | None = None
        self._progress = progress

    def __call__(self, *_: object) -> None:
        child = self.child
        if self.requested:
            if child is not None:
                child.kill()
            return
        self.requested = True
        self._progress.stopping()
        if child is not None and child.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                child.stdin.write("stop\n")
                child.stdin.flush()


@contextlib.contextmanager
def _stop_requests(progress: Progress) -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM become requests while the block runs (only a main thread may ask for that)."""
    stop = _Stop(progress)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run_model(run: RunStore, name: str, lock: RunLock, progress: Progress, stop: _Stop) -> int:
    """One model in a process of its own; its exit status."""
    reader, writer = os.pipe()
    keep = [writer] if lock.descriptor is None else [writer, lock.descriptor]
    with (run.path / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"--- {utc_now()} {name}\n")
        log.flush()
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.runner.worker", str(run.path), name, str(writer)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=keep,
            # Its own session: Ctrl-C reaches the parent alone, which lets the batch be finished.
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
    os.close(writer)
    stop.child = child
    if stop.requested:
        # The signal came between two models.
        child.kill()
    try:
        with os.fdopen(reader, encoding="utf-8") as events:
            _forward(events, name, progress)
        status = child.wait()
    finally:
        stop.child = None
        if child.poll() is None:
            child.kill()
            child.wait()
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
    if status not in {0, STOPPED, FAILED} and not stop.requested:
        _record_death(run, name, status, progress)
    return status


def _forward(events: IO[str], name: str, progress: Progress) -> None:
    for line in events:
        # A process that is killed may leave half a line.
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            progress.event(name, event)


def _record_death(run: RunStore, name: str, status: int, progress: Progress) -> None:
    """The process ended without a word of its own: say what the system says."""
    if status < 0:
        cause = f"was ended by signal {-status} ({signal.Signals(-status).name})"
        likely = (
            "the system ran out of memory"
            if -status == signal.SIGKILL
            else "a crash in native code"
        )
        message, hint = f"the model's process {cause}; likely {likely}", "try --batch-size 1"
    else:
        message, hint = (
            f"the model's process ended with status {status}",
            f"see {run.path / 'log.txt'}",
        )
    record = {"error": "ProcessDied", "message": message, "hint": hint, "when": utc_now()}
    write_json(run.model_folder(name) / "failure.json", record)
    progress.event(name, {"event": "failed", "message": message, "hint": hint})

"""Carrying a plan out: the run directory, its lock, the models' processes, and what a person sees of it.

A model has one process, or one for each of several devices (``bench.runner.shards``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from bench.errors import InvalidInput
from bench.files import write_json
from bench.rundir.lock import RunLock
from bench.rundir.store import RunStore, find_runs
from bench.runner.devices import Device
from bench.runner.run_record import known_texts, run_record
from bench.runner.shards import Shard
from bench.runner.spec import RunPlan, differences
from bench.runner.statuses import FAILED, STOPPED, UNFINISHED
from bench.runner.threads import thread_environment
from bench.text import utc_now


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
    retry_failed: bool = False,
    devices: Sequence[Device] = (),
    progress: Progress | None = None,
) -> Outcome:
    """Carry out ``plan`` under ``results``; what an earlier, broken run of the same plan did is kept.

    Args:
        plan: what to do.
        results: the folder of run directories.
        resume: this run directory and no other; its spec must be the plan's.
        fresh: begin a new run even where one that is unfinished, or lacks its report, could go on.
        retry_failed: go on with the newest run of this plan, finished or not; ask again what failed.
        devices: a process for each of them shares every model's questions; none: one process, whose
            device is the model's own setting. They are no part of a run's identity.
        progress: what to tell while it runs.

    Raises:
        InvalidInput: ``resume`` has another spec, another process holds the run directory, or there is no
            run to ask again in.
    """
    progress = progress or Silent()
    run = _existing(plan, results, resume, retry_failed) if not fresh else None
    resumed = run is not None
    if run is None:
        run = RunStore.create(results, plan.name, run_record(plan), plan.tasks, known_texts(plan))
    with RunLock(run.path) as lock:
        for spec in plan.models:
            run.merge_shards(spec.name)
            if retry_failed and (answers := run.set_failures_aside(spec.name)):
                progress.event(spec.name, {"event": "retry", "answers": answers})
        progress.started(run, resumed=resumed)
        failed: list[str] = []
        with _stop_requests(progress) as stop:
            for spec in plan.models:
                if run.is_model_done(spec.name):
                    continue
                status = _run_model(run, spec.name, devices, lock, progress, stop)
                if stop.requested:
                    return Outcome(run, True, tuple(failed))
                if status != 0:
                    failed.append(spec.name)
    return Outcome(run, False, tuple(failed))


def _existing(
    plan: RunPlan, results: Path, resume: Path | None, retry_failed: bool
) -> RunStore | None:
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
    for run in find_runs(results):
        same = run.record.get("spec_id") == plan.spec_id()
        if same and (retry_failed or not run.is_concluded()):
            return run
    if retry_failed:
        raise InvalidInput(
            f"--retry-failed: {results} holds no run of these models, tasks and options",
            hint="type the command of the run in question, or leave out --retry-failed to begin one",
        )
    return None


class _Stop:
    """Requests to stop: the first is passed on to the model's processes, the second ends them."""

    def __init__(self, progress: Progress) -> None:
        self.requested = False
        self.children: Sequence[subprocess.Popen[str]] = ()
        self._progress = progress

    def __call__(self, *_: object) -> None:
        if self.requested:
            for child in self.children:
                child.kill()
            return
        self.requested = True
        self._progress.stopping()
        for child in self.children:
            if child.stdin is not None:
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


def _run_model(
    run: RunStore,
    name: str,
    devices: Sequence[Device],
    lock: RunLock,
    progress: Progress,
    stop: _Stop,
) -> int:
    """One model in a process of its own, or one for each device; 0 where all of it is done."""
    (run.model_folder(name) / "failure.json").unlink(missing_ok=True)
    told = _Told(name, max(1, len(devices)), progress)
    children: list[subprocess.Popen[str]] = []
    try:
        # Lines this short are written whole, so that all processes may share one pipe.
        reader, writer = os.pipe()
        with os.fdopen(reader, encoding="utf-8") as events:
            try:
                _start(run, name, devices, lock, writer, children)
            finally:
                os.close(writer)
            stop.children = children
            if stop.requested:
                # The signal came between two models.
                for child in children:
                    child.kill()
            _forward(events, told)
        statuses = [child.wait() for child in children]
    finally:
        stop.children = ()
        for child in children:
            _end(child)
    for number, status in enumerate(statuses):
        if status not in {0, STOPPED, FAILED, UNFINISHED} and not stop.requested:
            _record_death(run, name, status, progress, devices[number].name if devices else "")
    run.merge_shards(name)
    return next((status for status in statuses if status != 0), 0)


def _start(
    run: RunStore,
    name: str,
    devices: Sequence[Device],
    lock: RunLock,
    events: int,
    children: list[subprocess.Popen[str]],
) -> None:
    """Append the model's processes to ``children``; the first learns from a pipe when the others are gone."""
    session = utc_now()
    keep = [events] if lock.descriptor is None else [events, lock.descriptor]
    wait, alive = os.pipe()
    try:
        for number, device in enumerate(devices or (Device("", {}),)):
            others = wait if number == 0 and len(devices) > 1 else None
            shard = Shard(number, max(1, len(devices)), device.name, session, others)
            own = wait if number == 0 else alive
            children.append(_worker(run, name, shard, device, events, [*keep, own]))
    finally:
        os.close(wait)
        os.close(alive)


def _worker(
    run: RunStore, name: str, shard: Shard, device: Device, events: int, keep: Sequence[int]
) -> subprocess.Popen[str]:
    with (run.path / "log.txt").open("a", encoding="utf-8") as log:
        where = f" on {device.name}" if device.name else ""
        log.write(f"--- {utc_now()} {name}{where}\n")
        log.flush()
        module = [sys.executable, "-m", "bench.runner.worker"]
        return subprocess.Popen(
            [*module, str(run.path), name, str(events), json.dumps(shard._asdict())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=keep,
            # Its own session: Ctrl-C reaches the parent alone, which lets the batch be finished.
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "TOKENIZERS_PARALLELISM": "false",
                **thread_environment({**os.environ, **device.environment}),
                **device.environment,
            },
        )


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.kill()
        child.wait()
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()


class _Told:
    """What the processes of a model say, as if one had said it."""

    def __init__(self, name: str, processes: int, progress: Progress) -> None:
        self._name, self._processes, self._progress = name, processes, progress
        self._loaded: dict[int, float] = {}
        """Shard → seconds."""
        self._tasks: dict[str, dict[int, Mapping[str, Any]]] = {}
        """Task → shard → what it said last."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        shard, kind = int(event["shard"]), event["event"]
        if kind == "loading" and shard > 0:
            return
        if kind == "loaded":
            self._loaded[shard] = event["seconds"]
            if len(self._loaded) < self._processes:
                return
            event = {**event, "seconds": max(self._loaded.values())}
        if kind == "task":
            said = self._tasks.setdefault(event["task"], {})
            said[shard] = event
            event = {**event, **{key: sum(e[key] for e in said.values()) for key in _COUNTS}}
        self._progress.event(self._name, event)


_COUNTS = ("done", "failed")
"""Of a ``task`` event: what a process says of its own questions."""


def _forward(events: IO[str], told: _Told) -> None:
    for line in events:
        # A process that is killed may leave half a line.
        with contextlib.suppress(ValueError):
            told(json.loads(line))


def _record_death(run: RunStore, name: str, status: int, progress: Progress, device: str) -> None:
    """The process ended without a word of its own: say what the system says."""
    process = f"the model's process on {device}" if device else "the model's process"
    if status < 0:
        cause = f"was ended by signal {-status} ({signal.Signals(-status).name})"
        likely = (
            "the system ran out of memory"
            if -status == signal.SIGKILL
            else "a crash in native code"
        )
        message, hint = f"{process} {cause}; likely {likely}", "try --batch-size 1"
    else:
        message, hint = (
            f"{process} ended with status {status}",
            f"see {run.path / 'log.txt'}",
        )
    record = {"error": "ProcessDied", "message": message, "hint": hint, "when": utc_now()}
    write_json(run.model_folder(name) / "failure.json", record)
    progress.event(name, {"event": "failed", "message": message, "hint": hint})

"""The processes of one model: started, listened to, and started again where a batch ended one.

A model has one process, or one for each of several devices (``bench.runner.shards``). Each has a pipe of its
own, on which it says what it is asking its model before it asks. So when a process dies without a word of
its own, the parent knows the batch in which it died. It starts the process again, which goes on from the run
directory with the same batch. Only a batch that ends the process twice is recorded as failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.formatting import plural
from bench.rundir.lock import RunLock
from bench.rundir.store import RunStore
from bench.runner.answering import sample_ids
from bench.runner.batches import page_groups
from bench.runner.devices import Device
from bench.runner.progress import ModelProgress, Progress
from bench.runner.shards import Shard
from bench.runner.statuses import FAILED, STOPPED, UNFINISHED
from bench.runner.threads import thread_environment
from bench.schema import Output
from bench.text import one_line, utc_now

LOST_IN_A_ROW = 3
"""After so many batches in a row that ended the process twice, the fault is the machine's and not theirs: the
model is given up, instead of being loaded twice for every batch that is left."""


class Stop:
    """Requests to stop: the first is passed on to the model's processes, the second ends them."""

    def __init__(self, progress: Progress) -> None:
        self.requested = False
        self.children: Sequence[subprocess.Popen[str]] = ()
        self._progress = progress

    def __call__(self, *_: object) -> None:
        """Take a request, as the handler of a signal."""
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
def stop_requests(progress: Progress) -> Iterator[Stop]:
    """Turn Ctrl-C and SIGTERM into requests while the block runs; only the main thread may do that."""
    stop = Stop(progress)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_model(
    run: RunStore,
    name: str,
    devices: Sequence[Device],
    lock: RunLock,
    progress: Progress,
    stop: Stop,
) -> int:
    """Run one model in a process of its own, or in one for each device; returns 0 if all of it is done."""
    (run.model_folder(name) / "failure.json").unlink(missing_ok=True)
    with _Processes(run, name, devices, lock, progress, stop) as processes:
        statuses = processes.wait()
    run.merge_shards(name)
    if run.is_model_done(name):
        # A process may have been given up after the last batch of its part.
        return 0
    return next((status for status in statuses if status != 0), 0)


class _Call(NamedTuple):
    """What a process asks its model: some questions that follow one another in the order of the work."""

    task: str
    first: int
    """The place of the first question among all questions of the task, from 0."""
    questions: int
    alone: bool
    """Whether this is the single-stream scenario."""

    def overlaps(self, other: _Call) -> bool:
        """Whether the two calls share a question. Memory may have made the second one smaller."""
        if (self.task, self.alone) != (other.task, other.alone):
            return False
        return (
            self.first < other.first + other.questions and other.first < self.first + self.questions
        )


@dataclass(slots=True)
class _Process:
    """One of the model's processes; ``child`` is another one after each start."""

    shard: Shard
    device: Device
    child: subprocess.Popen[str] | None = None
    events: int = -1
    """The descriptor from which its events are read."""
    unread: bytes = b""
    """The beginning of a line that is not complete."""
    call: _Call | None = None
    """What it is asking its model; None between two calls."""
    answered: bool = False
    """Whether it has answered a call since it was started."""
    warming: bool = False
    """Whether it is in its first call, whose answer is not kept."""
    said: str | None = None
    """Why it ended, in its own words."""
    died_in: _Call | None = None
    """The call that has ended it once."""
    lost: int = 0
    """Calls in a row that ended it twice."""
    status: int | None = None
    """Its exit status, once it has ended for good."""


class _Processes:
    """All processes of a model; none is left when the block ends."""

    def __init__(
        self,
        run: RunStore,
        name: str,
        devices: Sequence[Device],
        lock: RunLock,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self._run, self._name, self._lock, self._stop = run, name, lock, stop
        total = max(1, len(devices))
        self._progress, self._told = progress, ModelProgress(name, total, progress)
        # Nobody writes to this pipe. The first process reads its end when the last of the others is gone.
        self._others_end, self._others_alive = os.pipe()
        session = utc_now()
        self._processes = [
            _Process(
                Shard(
                    number,
                    total,
                    device.name,
                    session,
                    self._others_end if number == 0 and total > 1 else None,
                ),
                device,
            )
            for number, device in enumerate(devices or (Device("", {}),))
        ]
        self._waiting = selectors.DefaultSelector()

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.children = ()
        for process in self._processes:
            _end(process.child)
        for key in list(self._waiting.get_map().values()):
            os.close(key.fd)
        self._waiting.close()
        os.close(self._others_end)
        self._let_first_go_on()

    def wait(self) -> list[int]:
        """Start the processes and listen to them until the last has ended; returns their exit statuses."""
        for process in self._processes:
            self._start(process)
        while self._waiting.get_map():
            for key, _ in self._waiting.select():
                self._listen(key.data)
        return [process.status or 0 for process in self._processes]

    def _start(self, process: _Process) -> None:
        process.events, writer = os.pipe()
        self._waiting.register(process.events, selectors.EVENT_READ, process)
        process.unread, process.answered, process.warming = b"", False, False
        process.call = process.said = None
        try:
            process.child = self._spawn(process, writer)
        finally:
            os.close(writer)
        self._stop.children = [p.child for p in self._processes if p.child is not None]
        if self._stop.requested:
            # The signal came before this process could be told to stop.
            process.child.kill()

    def _spawn(self, process: _Process, writer: int) -> subprocess.Popen[str]:
        number = process.shard.number
        keep = [writer, self._others_end if number == 0 else self._others_alive]
        if self._lock.descriptor is not None:
            keep.append(self._lock.descriptor)
        with (self._run.path / "log.txt").open("a", encoding="utf-8") as log:
            where = f" on {process.device.name}" if process.device.name else ""
            log.write(f"--- {utc_now()} {self._name}{where}\n")
            log.flush()
            shard = json.dumps(process.shard._asdict())
            module = [sys.executable, "-m", "bench.runner.worker"]
            return subprocess.Popen(
                [*module, str(self._run.path), self._name, str(writer), shard],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=keep,
                # In a session of its own, Ctrl-C reaches only the parent, which lets the batch be finished.
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    "TOKENIZERS_PARALLELISM": "false",
                    **thread_environment({**os.environ, **process.device.environment}),
                    **process.device.environment,
                },
            )

    def _listen(self, process: _Process) -> None:
        """Read what a process has written; at the end of its pipe, decide how to go on."""
        piece = os.read(process.events, 65_536)
        if piece:
            *lines, process.unread = (process.unread + piece).split(b"\n")
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    # A process that is killed may leave half a line.
                    continue
                self._take(process, event)
            return
        self._waiting.unregister(process.events)
        os.close(process.events)
        assert process.child is not None
        status = process.child.wait()
        _end(process.child)
        self._run.check_there()
        if status != 0 and self._run.is_model_done(self._name):
            # The store decides: a process may die while it leaves, as drivers are unloaded then.
            self._tell(process, f"{self._cause(process, status)}, after all its work was done.")
            status = 0
        if self._is_to_be_restarted(process, status):
            self._start(process)
            return
        process.status = status
        if all(other.status is not None for other in self._processes[1:]):
            self._let_first_go_on()

    def _take(self, process: _Process, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "asking":
            process.call = _Call(event["task"], event["first"], event["questions"], event["alone"])
        elif kind == "lost":
            process.said = str(event["message"])
        elif kind == "warming":
            process.warming = True
        else:
            process.warming = False
            if kind in {"task", "latency"} and process.call is not None:
                process.call = process.died_in = None
                process.answered, process.lost = True, 0
            self._told(event)

    def _is_to_be_restarted(self, process: _Process, status: int) -> bool:
        """Whether a process that has ended goes on; a batch that ended it twice is recorded as failed."""
        if status in {0, STOPPED, FAILED, UNFINISHED} or self._stop.requested:
            return False
        message = self._cause(process, status)
        call = process.call
        if call is None:
            if process.answered:
                self._tell(process, f"{message}. It starts again.")
                return True
            if process.warming and process.shard.warm_up == 0:
                # Perhaps because of that document, whose batch is then the one that fails.
                process.shard = process.shard._replace(warm_up=1)
                self._tell(process, f"{message}. It starts again, with another document first.")
                return True
            # It would only die again.
            self._give_up(message, status)
            return False
        if process.died_in is None or not call.overlaps(process.died_in):
            process.died_in = call
            self._tell(process, f"{message}. It starts again and repeats the batch.")
            return True
        self._record_failure(process, call, process.said or f"ProcessDied: {message}")
        process.died_in = None
        process.lost += 1
        if process.lost >= LOST_IN_A_ROW:
            batches = plural(process.lost, "batch", "batches")
            self._give_up(f"{message}. {batches} in a row ended the process twice.", status)
            return False
        questions = plural(call.questions, "question")
        record = (
            f"the batch ended the process twice, so its {questions} of {call.task} count as failed"
        )
        self._tell(process, f"{message}. It starts again; {record}.")
        return True

    def _cause(self, process: _Process, status: int) -> str:
        """Why a process ended, in its own words or in those of the system."""
        name = "the model's process"
        if process.device.name:
            name += f" on {process.device.name}"
        if process.said is not None:
            return f"{name} ended: {process.said}"
        if status >= 0:
            return f"{name} ended with status {status}"
        out_of_memory = -status == signal.SIGKILL
        likely = "the system ran out of memory" if out_of_memory else "native code crashed"
        signal_name = signal.Signals(-status).name
        return f"{name} was ended by signal {-status} ({signal_name}), probably because {likely}"

    def _record_failure(self, process: _Process, call: _Call, error: str) -> None:
        """Record the questions of a call that have no answer as failed, in the files of the dead process."""
        store = RunStore.open(self._run.path, shard=process.shard.number)
        groups = page_groups(store.load_task(call.task))
        pages = {key: len(group.document.pages) for group in groups for key in sample_ids([group])}
        asked = sample_ids(groups)[call.first : call.first + call.questions]
        if call.alone:
            (sample_id,) = asked
            record: dict[str, Any] = {"sample_id": sample_id, "pages": pages[sample_id]}
            record |= dict.fromkeys(("seconds", "first_token_seconds", "generated_tokens"))
            store.append_latency(self._name, call.task, {**record, "stages": {}, "failed": True})
            return
        answered = store.answered(self._name, call.task)
        failures = [
            Output(sample_id, "", "error", error=one_line(error, 500))
            for sample_id in asked
            if sample_id not in answered
        ]
        store.append_outputs(self._name, call.task, failures)

    def _give_up(self, message: str, status: int) -> None:
        hint = "try --batch-size 1" if status < 0 else f"see {self._run.path / 'log.txt'}"
        record = {"error": "ProcessDied", "message": message, "hint": hint, "when": utc_now()}
        self._run.mark_failed(self._name, record)
        failed = {"event": "failed", "message": message, "hint": hint}
        self._progress.event(self._name, failed)

    def _tell(self, process: _Process, message: str) -> None:
        said = {"event": "process", "shard": process.shard.number, "message": message}
        self._progress.event(self._name, said)

    def _let_first_go_on(self) -> None:
        """Close this end of the pipe on which the first process waits for the others."""
        if self._others_alive >= 0:
            os.close(self._others_alive)
            self._others_alive = -1


def _end(child: subprocess.Popen[str] | None) -> None:
    """Kill a process that still runs, and close its standard input."""
    if child is None:
        return
    if child.poll() is None:
        child.kill()
        child.wait()
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()

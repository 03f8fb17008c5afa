"""The model's own process: load, warm up, answer everything that is not answered yet, measure.

Started as ``python -m bench.runner.worker RUN MODEL EVENTS SHARD``: a run directory, a model's name, the
number of a pipe's descriptor for progress events (one JSON object a line), and which part of the questions
is this process's (a ``Shard`` as JSON). Its standard input belongs to the parent: the line ``stop`` asks to
end after the batch in flight, and its end means that the parent is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from bench.asking.prompts import from_record
from bench.errors import BenchError, OutOfMemory
from bench.files import write_json
from bench.measure import EnergyMeter, MemoryMeter, Monitor, memory_now, release_memory, watch
from bench.models import make_model
from bench.models.model import Model
from bench.rundir.store import RunStore
from bench.runner.batches import batched, halves, page_groups, single_stream, singles
from bench.runner.ladder import Bounds, Ladder, marked
from bench.runner.shards import Shard, divide
from bench.runner.statuses import FAILED, STOPPED, UNFINISHED
from bench.runner.threads import thread_record
from bench.schema import Batch, ModelInfo, Output, PageGroup
from bench.text import one_line, utc_now

CPU_BATCH = 16
GPU_BATCH = 64
"""Questions per call: enough for all questions of most documents, which share the work on their pages."""


class Worker:
    """One model over all tasks of a run, or over one shard of their questions."""

    def __init__(self, run: RunStore, name: str, events: TextIO, shard: Shard) -> None:
        self.run, self.name, self.events, self.shard = run, name, events, shard
        self.settings: Mapping[str, Any] = run.record["spec"]["settings"]
        self.stop = threading.Event()
        self.model: Model = make_model(run.model_spec(name))
        self.batch_size = 1
        self.ladder = Ladder(self.batch_size)
        self.meter = MemoryMeter()
        self.monitor: Monitor
        self.energy: EnergyMeter

    def emit(self, event: str, **facts: Any) -> None:
        """Tell the parent; a parent that is gone is noticed elsewhere."""
        line = json.dumps({"event": event, "shard": self.shard.number, **facts}) + "\n"
        self.events.write(line)
        self.events.flush()

    def work(self) -> int:
        """Do everything; returns the exit status."""
        spec = self.run.model_spec(self.name)
        rules = from_record(self.settings.get("prompts", ()))
        tasks = {
            name: page_groups(self.run.load_task(name), spec, rules)
            for name in self.run.task_names()
        }
        with self.meter:
            self._load(tasks)
            with watch(self._note, alone=self.shard.total == 1) as self.monitor:
                self.energy = EnergyMeter(self.monitor.joules)
                status = self._scenarios(tasks)
        if status == 0 and self.shard.number == 0:
            self.run.mark_done(self.name)
        return status

    def _scenarios(self, tasks: Mapping[str, Sequence[PageGroup]]) -> int:
        """Offline, then single-stream; returns the exit status."""
        self.monitor.scenario = "offline"
        for name, batches in self._share(tasks).items():
            if not self._offline(name, batches):
                return STOPPED
        self.monitor.scenario = None
        if self.shard.number > 0:
            return 0
        if not self._others_done():
            return STOPPED if self.stop.is_set() else UNFINISHED
        self.monitor.scenario = "single-stream"
        return 0 if self._single_stream(tasks) else STOPPED

    def _note(self, samples: Sequence[Mapping[str, Any]]) -> None:
        self.run.append_monitor(self.name, samples)

    def _share(
        self, tasks: Mapping[str, Sequence[PageGroup]]
    ) -> dict[str, list[tuple[PageGroup, ...]]]:
        """The batches of every task that are this process's.

        Batches are always cut from all questions, answered or not: a resumed run forms the same batches as
        an unbroken one, and so gets the same answers even where arithmetic depends on the batch.
        """
        batches = {name: list(batched(groups, self.batch_size)) for name, groups in tasks.items()}
        bound = self.run.model_spec(self.name).max_pixels
        mine = divide(batches, self.shard.total, bound)[self.shard.number]
        return {name: [batches[name][i] for i in numbers] for name, numbers in mine.items()}

    def _others_done(self) -> bool:
        """Wait for the other shards; whether together all questions have an answer on record."""
        if self.shard.others is None:
            return True
        # Nobody writes: the pipe ends when the last of the others has left, however it left.
        with open(self.shard.others, "rb", closefd=True) as others:  # noqa: PTH123  a descriptor
            others.read()
        for task in self.run.task_names():
            outputs, total = self.run.outputs(self.name, task), self._total(task)
            if len(outputs) < total:
                return False
            failed = sum(output.stop_reason == "error" for output in outputs.values())
            if not self.run.is_done(self.name, task):
                self.run.mark_done(self.name, task, samples=total, failed=failed)
        return not self.stop.is_set()

    def _total(self, task: str) -> int:
        return int(self.run.task_record(task)["samples"])

    def _load(self, tasks: Mapping[str, Sequence[PageGroup]]) -> None:
        self.emit("loading")
        started = time.perf_counter()
        info = self.model.load()
        load_seconds = time.perf_counter() - started
        record: dict[str, Any] = {
            "name": self.name,
            **dataclasses.asdict(info),
            "load_seconds": load_seconds,
            "memory_after_load": memory_now(),
            "threads": thread_record(),
            "started": utc_now(),
        }
        self.batch_size = self.settings["batch_size"] or (
            CPU_BATCH if info.device == "cpu" else GPU_BATCH
        )
        record["batch_size"] = self.batch_size
        self.ladder = self._ladder(info)
        if self.settings["warmup"]:
            record["first_call_seconds"] = self._warm_up(
                [g for groups in tasks.values() for g in groups]
            )
        if self.shard.device.isdigit():
            # By its number on this machine; this process sees no other GPU and calls it the first.
            record["device"] = f"cuda:{self.shard.device}"
        if self.shard.total > 1:
            each = ("load_seconds", "first_call_seconds", "memory_after_load")
            part = {key: record[key] for key in each if key in record}
            record["devices"] = [{"device": self.shard.device, **part}]
        self.run.write_model(self.name, record)
        self.meter.restart()
        self.emit("loaded", seconds=load_seconds)

    def _ladder(self, info: ModelInfo) -> Ladder:
        """The rung to begin on: the top, or where this run's batches had come to."""
        known = (info.details.get(name) for name in Bounds._fields)
        bounds = Bounds(*(value if isinstance(value, int) else None for value in known))
        allow = bool(self.settings.get("allow_downscale"))
        ladder = Ladder(self.batch_size, allow_downscale=allow, bounds=bounds)
        rows = (row for task in self.run.task_names() for row in self.run.batches(self.name, task))
        ladder.resume((row["ladder"] for row in rows if "ladder" in row), self.model.economize)
        return ladder

    def _warm_up(self, groups: Sequence[PageGroup]) -> float | None:
        """Seconds of the first call, on the smallest document; its answer is thrown away."""
        if not groups:
            return None
        smallest = singles([groups[-1]])[0]
        started = time.perf_counter()
        # Where not even this fits, the first batch says so on the record.
        with contextlib.suppress(OutOfMemory):
            self._answer(smallest)
        seconds = time.perf_counter() - started
        self.model.reset()
        return seconds

    def _offline(self, task: str, batches: Sequence[Sequence[PageGroup]]) -> bool:
        """This process's batches of a task; False where it was asked to stop."""
        if self.run.is_done(self.name, task):
            return True
        mine = {sample_id for batch in batches for sample_id in _ids(batch)}
        answered = self.run.outputs(self.name, task)
        # Ids alone, here and below: the answers of a long run are on the disk and need not be in memory.
        done = mine & answered.keys()
        total = self._total(task)
        failed = sum(answered[sample_id].stop_reason == "error" for sample_id in done)
        del answered
        self.emit("task", task=task, done=len(done), total=total, failed=failed)
        self.energy.restart()
        unanswered = [batch for batch in batches if not done.issuperset(_ids(batch))]
        for batch, following in zip_longest(unanswered, unanswered[1:], fillvalue=()):
            if self.stop.is_set():
                return False
            outputs = self._measured(task, batch, following, skip=done)
            done.update(output.sample_id for output in outputs)
            failed += sum(output.stop_reason == "error" for output in outputs)
            self.emit("task", task=task, done=len(done), total=total, failed=failed)
        if self.shard.total == 1:
            self.run.mark_done(self.name, task, samples=total, failed=failed)
        return True

    def _measured(
        self,
        task: str,
        batch: Sequence[PageGroup],
        following: Sequence[PageGroup],
        skip: AbstractSet[str],
    ) -> list[Output]:
        """Answer a batch in as many calls as memory asks for, and store what came of it.

        ``following`` is what comes after it; the questions of ``skip`` are answered already.
        """
        stored: list[Output] = []
        pending = [tuple(batch)]
        while pending:
            groups = pending.pop(0)
            ids = _ids(groups)
            if skip >= set(ids):
                continue
            if len(ids) > self.ladder.batch_size:
                pending = halves(groups) + pending
                continue
            self.model.expect(self.ladder.bounded(pending[0] if pending else following))
            groups = self.ladder.bounded(groups)
            started = time.perf_counter()
            try:
                answered = self._answer(groups)
            except OutOfMemory as error:
                release_memory()
                step = self.ladder.down(groups, self.model.economize)
                if step is not None:
                    self.emit("smaller", action=step.action, message=one_line(str(error)))
                    pending = step.batches + pending
                    continue
                answered = _failures(groups, error)
            else:
                self.ladder.held(groups)
                answered = marked(groups, answered)
            seconds = time.perf_counter() - started
            fresh = [output for output in answered.outputs if output.sample_id not in skip]
            self.run.append_outputs(self.name, task, fresh)
            self.run.append_batch(self.name, task, self._facts(groups, answered, seconds))
            stored += fresh
        return stored

    def _answer(self, groups: Sequence[PageGroup]) -> Batch:
        """One call of the model; what fails in a batch is asked again alone, and then recorded."""
        try:
            return _complete(groups, self.model.generate(groups))
        except OutOfMemory:
            raise
        except Exception as error:
            if sum(len(group.requests) for group in groups) == 1:
                traceback.print_exc()
                return _failures(groups, error)
        parts = []
        for single in singles(groups):
            try:
                parts.append(self._answer(single))
            except OutOfMemory as error:
                release_memory()
                parts.append(_failures(single, error))
        stages: dict[str, float] = {}
        for part in parts:
            for stage, seconds in part.stages.items():
                stages[stage] = stages.get(stage, 0.0) + seconds
        return Batch(tuple(output for part in parts for output in part.outputs), stages)

    def _facts(self, groups: Sequence[PageGroup], batch: Batch, seconds: float) -> dict[str, Any]:
        window = self.energy.count(len(batch.outputs))
        return {
            "samples": [output.sample_id for output in batch.outputs],
            "documents": len(groups),
            "pages": sum(len(group.document.pages) for group in groups),
            "seconds": seconds,
            "stages": dict(batch.stages),
            "prompt_tokens": _sum(output.prompt_tokens for output in batch.outputs),
            "visual_tokens": _sum(output.visual_tokens for output in batch.outputs),
            "generated_tokens": _sum(output.generated_tokens for output in batch.outputs),
            "memory": self.meter.reading()._asdict(),
            "batch_size": len(batch.outputs),
            "ladder": self.ladder.record(),
            **({} if window is None else {"energy": window}),
            **({"notes": dict(batch.notes)} if batch.notes else {}),
            **self.shard.facts(),
        }

    def _single_stream(self, tasks: Mapping[str, Sequence[PageGroup]]) -> bool:
        """One question at a time, each page cold and then warm; False where asked to stop."""
        plan = single_stream(tasks, self.settings["latency_samples"])
        measured = {
            (task, record["sample_id"])
            for task in tasks
            for record in self.run.latencies(self.name, task)
        }
        for number, (task, group) in enumerate(plan, 1):
            sample_id = group.requests[0].sample_id
            if (task, sample_id) in measured:
                continue
            if self.stop.is_set():
                return False
            self.model.reset()
            record = {"sample_id": sample_id, "pages": len(group.document.pages)}
            record |= self._asked_alone(group)
            if not record["failed"]:
                # The same question again, without a reset: what the backend keeps of a page counts.
                record["warm"] = self._asked_alone(group)
            self.run.append_latency(self.name, task, record)
            self.emit("latency", done=number, total=len(plan))
        return True

    def _asked_alone(self, group: PageGroup) -> dict[str, Any]:
        """What one call with one question took."""
        started = time.perf_counter()
        try:
            batch = self._answer(self.ladder.bounded([group]))
        except OutOfMemory as error:
            release_memory()
            batch = _failures([group], error)
        return {
            "seconds": time.perf_counter() - started,
            "first_token_seconds": batch.first_token_seconds,
            "stages": dict(batch.stages),
            "generated_tokens": batch.outputs[0].generated_tokens,
            "failed": batch.outputs[0].stop_reason == "error",
        }


def _ids(groups: Sequence[PageGroup]) -> list[str]:
    """Of the questions."""
    return [request.sample_id for group in groups for request in group.requests]


def _complete(groups: Sequence[PageGroup], batch: Batch) -> Batch:
    """The batch with exactly one output a request, in order; what a backend forgot is a failure."""
    by_id = {output.sample_id: output for output in batch.outputs}
    outputs = tuple(
        by_id.get(request.sample_id)
        or Output(request.sample_id, "", "error", error="BackendError: no output came back")
        for group in groups
        for request in group.requests
    )
    return dataclasses.replace(batch, outputs=outputs)


def _failures(groups: Sequence[PageGroup], error: Exception) -> Batch:
    message = f"{type(error).__name__}: {one_line(str(error), 500)}"
    return Batch(
        tuple(
            Output(request.sample_id, "", "error", error=message)
            for group in groups
            for request in group.requests
        )
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    """Of the counts that are known; None where none is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _listen(worker: Worker) -> None:
    """Obey the parent; leave at once when it is gone, the run directory stays consistent."""
    for line in sys.stdin:
        if line.strip() == "stop":
            worker.stop.set()
    os._exit(1)


def main(arguments: Sequence[str]) -> int:
    """Run one model of a run; see the module's docstring."""
    path, name, descriptor, part = arguments
    shard = Shard(**json.loads(part))
    run = RunStore.open(Path(path), shard=shard.number)
    failure = run.model_folder(name) / "failure.json"
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as events:
        try:
            worker = Worker(run, name, events, shard)
            threading.Thread(target=_listen, args=(worker,), daemon=True).start()
            return worker.work()
        except Exception as error:
            traceback.print_exc()
            known = isinstance(error, BenchError)
            message = (
                str(error) if known else f"{type(error).__name__}: {one_line(str(error), 500)}"
            )
            hint = error.hint if isinstance(error, BenchError) else None
            record = {
                "error": type(error).__name__,
                "message": message,
                "hint": hint,
                "when": utc_now(),
            }
            said = {"event": "failed", "shard": shard.number, "message": message, "hint": hint}
            events.write(json.dumps(said) + "\n")
            # Last: a full disk, which may be what went wrong, refuses this file as well.
            write_json(failure, record)
            return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

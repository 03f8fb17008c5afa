"""The model's own process: load, warm up, answer every question that has no answer yet, and measure.

Started as ``python -m bench.runner.worker RUN MODEL EVENTS SHARD``: a run directory, a model's name, the
number of a pipe's descriptor for progress events (one JSON object a line), and the part of the questions
that this process answers (a ``Shard`` as JSON). Its standard input belongs to the parent: the line ``stop``
asks the process to end after the batch that it is answering, and the end of the input means that the parent
is gone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from bench.errors import BenchError, OutOfMemory
from bench.measure import is_device_lost, release_memory
from bench.models import with_traits
from bench.models.model import Model, ModelGone, closing
from bench.rundir.store import RunStore
from bench.runner.answering import DeviceLost, answer, answer_alone, failures, sample_ids
from bench.runner.batches import (
    batched,
    default_batch_size,
    halves,
    latency_questions,
    page_groups,
    singles,
)
from bench.runner.instruments import Instruments, measures_locally
from bench.runner.ladder import Ladder, PageBounds, marked
from bench.runner.on_ray import is_on_cluster, model_for_process
from bench.runner.shards import Part, Shard, share_of
from bench.runner.spec import RunSettings
from bench.runner.statuses import FAILED, LOST, STOPPED, UNFINISHED
from bench.schema import Batch, ModelInfo, ModelSpec, Output, PageGroup
from bench.text import error_line, one_line, utc_now


class Worker:
    """One model over all tasks of a run, or over one shard of their questions."""

    def __init__(self, run: RunStore, name: str, events: TextIO, shard: Shard) -> None:
        self.run, self.name, self.events, self.shard = run, name, events, shard
        self.spec = run.model_spec(name)
        self.settings = RunSettings.from_record(run.record["spec"]["settings"])
        self.stop = threading.Event()
        self.is_loading = True
        self.model: Model = model_for_process(self._placed())
        self.places: dict[str, dict[str, int]] = {}
        """Task → sample id → place among the task's questions, by which the parent is told what is asked."""
        self.part = Part.of(run.record)
        self.asked: dict[str, set[str]] = {}
        """Task → ids of its questions that this run asks: all, or those of a part."""
        self.batch_size = 1
        self.ladder = Ladder(self.batch_size)
        self.instruments = Instruments(
            partial(run.append_monitor, name),
            local=measures_locally(self.spec) and not is_on_cluster(),
            alone=shard.total == 1,
        )

    def _placed(self) -> ModelSpec:
        """The model, bound to a GPU where this process was given one or the run began on one.

        ``auto`` would answer on the CPU, and go on there in mid-run, where torch can no longer use the GPU.
        """
        earlier = str((self.run.model_record(self.name) or {}).get("device"))
        began_on_gpu = self.spec.device == "auto" and earlier.startswith("cuda")
        if began_on_gpu or self.shard.device.isdigit():
            return dataclasses.replace(self.spec, device="cuda")
        return self.spec

    def emit(self, event: str, **facts: Any) -> None:
        """Tell the parent; a parent that is gone is noticed elsewhere."""
        line = json.dumps({"event": event, "shard": self.shard.number, **facts}) + "\n"
        self.events.write(line)
        self.events.flush()

    def work(self) -> int:
        """Do everything that is left; returns the exit status."""
        tasks = {
            name: page_groups(self.run.load_task(name), self.spec, self.settings.prompts)
            for name in self.run.task_names()
        }
        for name, groups in tasks.items():
            self.places[name] = {key: place for place, key in enumerate(sample_ids(groups))}
        with closing(self.model), self.instruments:
            self._load(tasks)
            self.instruments.begin()
            status = self._scenarios(tasks)
        if status == 0 and self.shard.number == 0:
            self.run.mark_done(self.name)
        return status

    def _scenarios(self, tasks: Mapping[str, Sequence[PageGroup]]) -> int:
        """Offline, then single-stream; returns the exit status."""
        self.instruments.scenario("offline")
        for name, batches in self._share(tasks).items():
            if not self._offline(name, batches):
                return STOPPED
        self.instruments.scenario(None)
        if self.shard.number > 0:
            return 0
        if not self._others_done():
            return STOPPED if self.stop.is_set() else UNFINISHED
        self.instruments.scenario("single-stream")
        return 0 if self._single_stream(tasks) else STOPPED

    def _share(
        self, tasks: Mapping[str, Sequence[PageGroup]]
    ) -> dict[str, list[Sequence[PageGroup]]]:
        """The batches of every task that are this process's.

        Batches are always cut from all questions, answered or not: a resumed run forms the same batches as
        an unbroken one, and so gets the same answers even where arithmetic depends on the batch. A part of a
        run has some of them, whole.
        """
        batches = {name: list(batched(groups, self.batch_size)) for name, groups in tasks.items()}
        pixels = self.spec.max_pixels
        of_part = share_of(batches, self.part.number - 1, self.part.total, pixels)
        for name, own in of_part.items():
            self.asked[name] = {sample_id for batch in own for sample_id in sample_ids(batch)}
        return share_of(of_part, self.shard.number, self.shard.total, pixels)

    def _others_done(self) -> bool:
        """Wait for the other shards; returns whether all questions have an answer on record now."""
        if self.shard.others is None:
            return True
        # Nobody writes to this pipe. It ends when the last of the others has ended, for whatever reason.
        with open(self.shard.others, "rb", closefd=True) as others:  # noqa: PTH123  a descriptor
            others.read()
        for task in self.run.task_names():
            answered, total = self.run.answered(self.name, task), len(self.asked[task])
            if len(answered) < total:
                return False
            failed = sum(stop_reason == "error" for stop_reason in answered.values())
            if not self.run.is_done(self.name, task):
                self.run.mark_done(self.name, task, samples=total, failed=failed)
        return not self.stop.is_set()

    def _load(self, tasks: Mapping[str, Sequence[PageGroup]]) -> None:
        """Load the model, warm it up, and write ``model.json``."""
        self.emit("loading")
        started = time.perf_counter()
        info = with_traits(self.model.load(), self.spec)
        self.is_loading = False
        load_seconds = time.perf_counter() - started
        record: dict[str, Any] = {
            "name": self.name,
            **dataclasses.asdict(info),
            "load_seconds": load_seconds,
            **self.instruments.after_load(),
            "started": utc_now(),
        }
        everything = [group for groups in tasks.values() for group in groups]
        wanted = self.settings.batch_size
        self.batch_size = (
            wanted
            or self._earlier_batch_size()
            or _whole(info, "batch_size")
            or default_batch_size(
                info.device,
                everything,
                _whole(info, "weight_bytes"),
                _whole(info, "concurrency"),
            )
        )
        record["batch_size"] = self.batch_size
        if (warning := _unpadded(self.spec, info, wanted)) is not None:
            warnings = [*info.details.get("warnings", ()), warning]
            record["details"] = {**record["details"], "warnings": warnings}
        self.ladder = self._ladder(info)
        if self.settings.warmup:
            record["first_call_seconds"] = self._warm_up(everything)
        if self.shard.device.isdigit() and info.device.startswith("cuda"):
            # This process sees no other GPU and calls it the first; the record has its number on the machine.
            record["device"] = f"cuda:{self.shard.device}"
        if self.shard.total > 1:
            each = ("load_seconds", "first_call_seconds", "memory_after_load")
            own = {key: record[key] for key in each if key in record}
            record["devices"] = [{"device": self.shard.device, **own}]
        self.run.write_model(self.name, record)
        self.emit("loaded", seconds=load_seconds)

    def _earlier_batch_size(self) -> int | None:
        """Of a part that is continued, the batch size with which its questions were chosen."""
        record = self.run.model_record(self.name) or {}
        size = record.get("batch_size") if self.part.total > 1 else None
        return size if isinstance(size, int) and size > 0 else None

    def _ladder(self, info: ModelInfo) -> Ladder:
        """The rung to begin on: the highest, or the one that earlier batches of this run had reached."""
        known = (info.details.get(name) for name in PageBounds._fields)
        bounds = PageBounds(*(value if isinstance(value, int) else None for value in known))
        allow = self.settings.allow_downscale
        ladder = Ladder(self.batch_size, allow_downscale=allow, bounds=bounds)
        batches = (
            row for task in self.run.task_names() for row in self.run.batches(self.name, task)
        )
        rungs = (row["ladder"] for row in batches if "ladder" in row)
        ladder.resume(rungs, self.model.economize)
        return ladder

    def _warm_up(self, groups: Sequence[PageGroup]) -> float | None:
        """Seconds of the first call, which asks about a small document; its answer is not kept."""
        if not groups:
            return None
        chosen = groups[-1 - min(self.shard.warm_up, len(groups) - 1)]
        smallest = singles([chosen])[0]
        self.emit("warming")
        started = time.perf_counter()
        # Where not even this question fits, the first batch records it.
        answer_alone(self.model, smallest)
        seconds = time.perf_counter() - started
        self.model.reset()
        return seconds

    def _offline(self, task: str, batches: Sequence[Sequence[PageGroup]]) -> bool:
        """Answer this process's batches of a task; False if it was asked to stop."""
        if self.run.is_done(self.name, task):
            return True
        mine = {sample_id for batch in batches for sample_id in sample_ids(batch)}
        # The answers of a long run are on the disk and need no memory here.
        answered = self.run.answered(self.name, task)
        done = mine & answered.keys()
        total = len(self.asked[task])
        failed = sum(answered[sample_id] == "error" for sample_id in done)
        del answered
        self.emit("task", task=task, done=len(done), total=total, failed=failed)
        self.instruments.begin_task()
        unanswered = [batch for batch in batches if not done.issuperset(sample_ids(batch))]
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
        """Answer a batch in as many calls as memory asks for, and store the answers and what they took.

        ``following`` is the batch that comes next; the questions of ``skip`` have an answer already.
        """
        stored: list[Output] = []
        pending = [tuple(batch)]
        while pending:
            groups = pending.pop(0)
            ids = sample_ids(groups)
            if skip >= set(ids):
                continue
            if len(ids) > self.ladder.batch_size:
                pending = halves(groups) + pending
                continue
            self.model.expect(self.ladder.bounded(pending[0] if pending else following))
            groups = self.ladder.bounded(groups)
            self._say_what_is_asked(task, groups, alone=False)
            started = time.perf_counter()
            try:
                answered = answer(self.model, groups)
            except OutOfMemory as error:
                release_memory()
                step = self.ladder.down(groups, self.model.economize)
                if step is not None:
                    self.emit("smaller", action=step.action, message=one_line(str(error)))
                    pending = step.batches + pending
                    continue
                answered = failures(groups, error)
            except ModelGone as gone:
                # Answers may have cost money. Their time is not known: the call was not finished.
                self._keep(task, gone.answered, skip)
                raise
            else:
                self.ladder.held(groups)
                answered = marked(groups, answered)
            seconds = time.perf_counter() - started
            stored += self._keep(task, answered.outputs, skip)
            self.run.append_batch(self.name, task, self._facts(groups, answered, seconds))
            if answered.words:
                self.run.append_words(task, answered.words, self.name)
        return stored

    def _keep(
        self, task: str, outputs: Iterable[Output], skip: AbstractSet[str]
    ) -> Sequence[Output]:
        """Store the outputs of questions that had none; returns these outputs."""
        fresh = [output for output in outputs if output.sample_id not in skip]
        self.run.append_outputs(self.name, task, fresh)
        return fresh

    def _say_what_is_asked(self, task: str, groups: Sequence[PageGroup], *, alone: bool) -> None:
        """Tell the parent, so that it knows the questions in which this process died, if it dies."""
        ids = sample_ids(groups)
        first = self.places[task][ids[0]]
        self.emit("asking", task=task, first=first, questions=len(ids), alone=alone)

    def _facts(self, groups: Sequence[PageGroup], batch: Batch, seconds: float) -> dict[str, Any]:
        """The record of one call in ``batches.jsonl``."""
        return {
            "samples": [output.sample_id for output in batch.outputs],
            "documents": len(groups),
            "pages": sum(len(group.document.pages) for group in groups),
            "seconds": seconds,
            "stages": dict(batch.stages),
            "prompt_tokens": _sum(output.prompt_tokens for output in batch.outputs),
            "visual_tokens": _sum(output.visual_tokens for output in batch.outputs),
            "generated_tokens": _sum(output.generated_tokens for output in batch.outputs),
            "batch_size": len(batch.outputs),
            "ladder": self.ladder.record(),
            **self.instruments.batch(len(batch.outputs)),
            **({"memory": dict(batch.memory)} if batch.memory else {}),
            **({"notes": dict(batch.notes)} if batch.notes else {}),
            **self.shard.facts(),
        }

    def _single_stream(self, tasks: Mapping[str, Sequence[PageGroup]]) -> bool:
        """Ask one question at a time, each page cold and then warm; False if asked to stop."""
        # Of the questions that the whole run would ask, so that the parts ask as many together. To perturb a
        # page takes time that is not the model's.
        clean = {name: tasks[name] for name in self.run.clean_task_names()}
        questions = [
            question
            for question in latency_questions(clean, self.settings.latency_samples)
            if question.group.requests[0].sample_id in self.asked[question.task]
        ]
        measured = {
            (task, record["sample_id"])
            for task in tasks
            for record in self.run.latencies(self.name, task)
        }
        for number, (task, group) in enumerate(questions, 1):
            sample_id = group.requests[0].sample_id
            if (task, sample_id) in measured:
                continue
            if self.stop.is_set():
                return False
            self._say_what_is_asked(task, [group], alone=True)
            self.model.reset()
            record = {"sample_id": sample_id, "pages": len(group.document.pages)}
            record |= self._asked_alone(group)
            if not record["failed"]:
                # The same question without a reset shows what the backend gains from a page that it knows.
                record["warm"] = self._asked_alone(group)
            self.run.append_latency(self.name, task, record)
            self.emit("latency", done=number, total=len(questions))
        return True

    def _asked_alone(self, group: PageGroup) -> dict[str, Any]:
        """What one call with one question took."""
        started = time.perf_counter()
        batch = answer_alone(self.model, self.ladder.bounded([group]))
        return {
            "seconds": time.perf_counter() - started - batch.retry_seconds,
            "first_token_seconds": batch.first_token_seconds,
            "stages": dict(batch.stages),
            "generated_tokens": batch.outputs[0].generated_tokens,
            "failed": batch.outputs[0].stop_reason == "error",
        }


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum of the counts that are known; None if none is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _listen(worker: Worker) -> None:
    """Obey the parent. When it is gone, end at once: the run directory is consistent at any moment."""
    for line in sys.stdin:
        if line.strip() == "stop":
            worker.stop.set()
            if worker.is_loading:
                # Nothing is lost, and a server may need minutes until it is ready.
                os._exit(STOPPED)
    os._exit(1)


def main(arguments: Sequence[str]) -> int:
    """Run one model of a run; see the module's docstring."""
    path, name, descriptor, part = arguments
    shard = Shard(**json.loads(part))
    run = RunStore.open(Path(path), shard=shard.number)
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as events:
        try:
            worker = Worker(run, name, events, shard)
            threading.Thread(target=_listen, args=(worker,), daemon=True).start()
            return worker.work()
        except Exception as error:
            traceback.print_exc()
            restarts = isinstance(error, ModelGone) and error.restarts
            if restarts or isinstance(error, DeviceLost) or is_device_lost(error):
                hint = error.hint if isinstance(error, BenchError) else None
                said = one_line(f"{error}; {hint}" if hint else error, 500)
                lost = {"event": "lost", "shard": shard.number, "message": said}
                events.write(json.dumps(lost) + "\n")
                events.flush()
                # At once: what a dead GPU still holds cannot be freed, and trying may hang.
                os._exit(LOST)
            _report_failure(run, name, events, shard, error)
            return FAILED


def _whole(info: ModelInfo, name: str) -> int:
    """A number that the loaded model says of itself; 0 for a model that has none or does not say."""
    number = info.details.get(name)
    return number if isinstance(number, int) else 0


def _unpadded(spec: ModelSpec, info: ModelInfo, batch_size: int | None) -> str | None:
    """What to warn of where the model does not compute as many questions together as were asked for."""
    rows = info.details.get("padded_rows")
    if batch_size is None or not isinstance(rows, int) or batch_size <= rows:
        return None
    how = "one by one" if rows == 1 else f"at most {rows} at a time"
    check = ["bench", "check", spec.checkpoint or spec.name, "--against", "one-by-one"]
    check += ["--batch-size", str(batch_size)]
    # The check holds for a number format and a device.
    for flag, value in (("--dtype", spec.dtype), ("--device", spec.device)):
        check += [flag, value] if value != "auto" else []
    return (
        f"With --batch-size {batch_size}, it still answers its questions {how}: padded batches of its type "
        f"have passed no check of {batch_size} questions on this machine. The command {shlex.join(check)} "
        "--tasks slips makes one; any other task will do as well."
    )


def _report_failure(
    run: RunStore, name: str, events: TextIO, shard: Shard, error: Exception
) -> None:
    """Tell the parent why the model failed, and write it to ``failure.json``."""
    message, hint = error_line(error), None
    if isinstance(error, BenchError):
        message, hint = str(error), error.hint
    said = {"event": "failed", "shard": shard.number, "message": message, "hint": hint}
    events.write(json.dumps(said) + "\n")
    # Last, because a full disk, which may be what went wrong, refuses this file as well.
    record = {"error": type(error).__name__, "message": message, "hint": hint, "when": utc_now()}
    run.mark_failed(name, record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

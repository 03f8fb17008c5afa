"""What a person sees of a run or a training while it goes on: bars on a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Bar
from rich.text import Text

from bench import formatting
from bench.formatting import plural
from bench.rundir.store import RunStore
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.tuning.validation import Validated

PLAIN_SECONDS = 10
"""Seconds between two lines of text about the same task or training."""


QUIET_SECONDS = 2
"""Seconds that a piece of work may take before it says how far it is."""


class Rate(ProgressColumn):
    """Questions per second, over the last while."""

    def render(self, task: Bar) -> Text:
        """The rate, or nothing before there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.2f} q/s", style="dim")


class Bars:
    """Bars where standard error is a terminal, with lines of text above them; a context manager."""

    def __init__(self, *columns: ProgressColumn, quiet: bool = False) -> None:
        """``columns`` stand between the count of what is done and the note."""
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.progress: Progress | None = None
        if self.console.is_terminal and not quiet:
            self.progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                *columns,
                TextColumn("{task.fields[note]}"),
                console=self.console,
            )

    def __enter__(self) -> Self:
        if self.progress is not None:
            self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()

    def say(self, text: str) -> None:
        """One line above the bars."""
        self.console.print(printable(text), markup=False, soft_wrap=True)


class LateProgress(Bars):
    """Draws a piece of work that may be short: nothing in its first seconds, then a bar, or lines of text."""

    def __init__(self, what: str) -> None:
        super().__init__(TimeRemainingColumn(compact=True))
        self.what = what
        self.bar: TaskID | None = None
        self.began = self.shown = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def step(self, done: int, total: int) -> None:
        """Say how much is done."""
        now = time.monotonic()
        if now - self.began < QUIET_SECONDS:
            return
        if self.progress is not None:
            if self.bar is None:
                self.progress.start()
                self.bar = self.progress.add_task(self.what, total=total, note="")
            self.progress.update(self.bar, completed=done, total=total)
        elif done == total or now - self.shown >= PLAIN_SECONDS or self.shown == self.began:
            self.shown = now
            self.say(f"{self.what}: {done:,} of {total:,}")


def scoring_progress() -> LateProgress:
    """How far the scoring of a run is, to be used as a context."""
    return LateProgress("scored answers")


class RunProgress(Bars):
    """Draws a run."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(Rate(), TimeRemainingColumn(compact=True), quiet=quiet)
        self.totals: dict[tuple[str, str], int] = {}
        """Answers that a model will have of a task; of a part of a run, known when the task begins."""
        self.finished: dict[tuple[str, str], int] = {}
        self.shown: dict[tuple[str, str], float] = {}
        self.bars: dict[str, TaskID] = {}
        self.overall: TaskID | None = None

    def started(self, run: RunStore, *, resumed: bool) -> None:
        """Name the run directory, and say how much of a resumed run is already done."""
        self.totals = {
            (model, entry["name"]): int(entry["samples"])
            for model in run.model_names()
            for entry in run.record["tasks"]
        }
        if resumed:
            for model in run.model_names():
                for task in run.task_names():
                    if count := len(run.outputs(model, task)):
                        self.finished[model, task] = count
            self.say(self._resumed(run))
        else:
            self.say(f"The run is kept in {run.path}")
        if self.progress is not None:
            self.overall = self.progress.add_task(
                "all models",
                total=sum(self.totals.values()),
                completed=sum(self.finished.values()),
                note="",
            )

    def _resumed(self, run: RunStore) -> str:
        """What is already there of a run; how many answers a part will have is known to its workers only."""
        from bench.runner.shards import Part

        part = Part.of(run.record)
        done = sum(self.finished.values())
        if part.total == 1:
            answers = plural(sum(self.totals.values()), "answer")
            return f"Continuing the run {run.path}; it already has {done:,} of {answers}"
        if run.is_complete():
            return f"{run.path} has all answers of {part} ({done:,})"
        return f"Continuing {part}, {run.path}; it already has {plural(done, 'answer')}"

    def stopping(self) -> None:
        """Answer the first Ctrl-C."""
        self.say("A batch that has begun is finished first. Press Ctrl-C again to stop at once.")

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        """One event of a model's process."""
        kind = event.get("event")
        if kind == "task":
            self._task(model, event)
        elif kind == "loading":
            self.say(f"{model}: the model is being loaded")
        elif kind == "loaded":
            self.say(f"{model}: the model was loaded in {formatting.seconds(event['seconds'])}")
        elif kind == "retry":
            failed = plural(event["answers"], "failed question")
            self.say(f"{model}: {failed} will be asked again")
        elif kind == "smaller":
            self.say(f"{model}: the memory is full; the run continues with {event['action']}")
        elif kind == "process":
            self.say(f"{model}: {one_line(str(event.get('message')), 300)}")
        elif kind == "failed":
            self.say(f"{model}: the model failed: {one_line(str(event.get('message')), 300)}")
            if event.get("hint"):
                self.say(f"{' ' * len(model)}  try: {one_line(str(event['hint']), 300)}")
        elif kind == "latency" and event["done"] == event["total"]:
            questions = plural(event["total"], "question")
            self.say(f"{model}: the latency was measured on {questions}, asked one at a time")

    def _task(self, model: str, event: Mapping[str, Any]) -> None:
        key = (model, str(event["task"]))
        self.finished[key], self.totals[key] = event["done"], event["total"]
        note = f"{event['failed']:,} failed" if event["failed"] else ""
        if self.progress is not None and self.overall is not None:
            if model not in self.bars:
                self.bars[model] = self.progress.add_task(model, total=None, note=note)
            done = sum(count for (name, _), count in self.finished.items() if name == model)
            total = sum(count for (name, _), count in self.totals.items() if name == model)
            words = f"{event['task']} {note}"
            self.progress.update(self.bars[model], completed=done, total=total, note=words)
            self.progress.update(
                self.overall,
                completed=sum(self.finished.values()),
                total=sum(self.totals.values()),
            )
            return
        now = time.monotonic()
        last = event["done"] == event["total"]
        if last or now - self.shown.get(key, float("-inf")) >= PLAIN_SECONDS:
            self.shown[key] = now
            suffix = f", {note}" if note else ""
            counts = f"{event['done']:,} of {plural(event['total'], 'question')}"
            self.say(f"{model}: {event['task']}: {counts}{suffix}")


class TuneProgress(Bars):
    """Draws a training."""

    def __init__(self, out: Path) -> None:
        super().__init__(TimeRemainingColumn())
        self.out = out
        self.bar: TaskID | None = None
        self.shown = float("-inf")
        self.began: tuple[float, int] | None = None

    def step(self, done: int, total: int, loss: float | None) -> None:
        """Move the bar; elsewhere print a line now and then, with the time that is left."""
        note = "" if loss is None else f"loss {loss:.3f}"
        if self.progress is not None:
            if self.bar is None:
                self.bar = self.progress.add_task("steps", total=total, completed=done, note=note)
            self.progress.update(self.bar, completed=done, note=note)
            return
        now = time.monotonic()
        self.began = self.began or (now, done)
        if loss is None or (done < total and now - self.shown < PLAIN_SECONDS):
            return
        self.shown = now
        start, first = self.began
        left = (now - start) / max(1, done - first) * (total - done)
        self.say(f"step {done}/{total}, {note}, about {formatting.seconds(round(left))} left")

    def validated(self, step: int, scores: Validated, *, best: bool) -> None:
        """Print the scores of a validation, and draw the curves again."""
        from bench.tuning.curves import write_curves

        mark = ", the best so far" if best else ""
        self.say(f"step {step}: validation loss {scores.loss:.3f}, score {scores.score:.3f}{mark}")
        write_curves(self.out)

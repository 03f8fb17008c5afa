"""Carries a plan out: finds or makes the run directory, locks it, and runs one model after the other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from bench.errors import InvalidInput
from bench.formatting import plural
from bench.litter import remove_litter
from bench.rundir.listing import find_runs
from bench.rundir.lock import RunLock
from bench.rundir.store import RunStore
from bench.rundir.unborn import remove_unborn_runs
from bench.runner.devices import Device
from bench.runner.processes import run_model, stop_requests
from bench.runner.progress import Progress, Shielded, Silent
from bench.runner.run_record import known_texts, run_record, write_known_words
from bench.runner.shards import DIVISION, Part
from bench.runner.spec import RunPlan, differences
from bench.runner.statuses import UNFINISHED


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
    """Carry out ``plan`` under ``results``; the answers of an earlier, interrupted run of it are kept.

    Args:
        plan: what to do.
        results: the folder of run directories.
        resume: go on with this run directory and no other; its spec must be the plan's.
        fresh: begin a new run, even where one is unfinished or lacks its report.
        retry_failed: go on with the newest run of this plan, finished or not, and ask failed questions again.
        devices: a process for each of them shares every model's questions. Without any there is one process,
            whose device is the model's own setting. They are not part of a run's identity.
        progress: is told what happens. What it raises is logged and does not disturb the run.

    Raises:
        InvalidInput: ``resume`` has another spec, another process writes to the run directory, or there is no
            run whose failed questions could be asked again.
    """
    run = None if fresh else _existing(plan, results, resume, retry_failed)
    resumed = run is not None
    if run is None:
        run = _begin(plan, results)
    with RunLock(run.path) as lock, Shielded(progress or Silent(), run) as told:
        remove_litter(run.path)
        for spec in plan.models:
            run.merge_shards(spec.name)
            _reopen(run, spec.name, told)
            if retry_failed and (answers := run.set_failures_aside(spec.name)):
                told.event(spec.name, {"event": "retry", "answers": answers})
        told.started(run, resumed=resumed)
        failed: list[str] = []
        with stop_requests(told) as stop:
            for spec in plan.models:
                # Before hours of work: somebody may have removed or moved the run since the last model.
                RunStore.open(run.path)
                if run.is_model_done(spec.name):
                    continue
                status = run_model(run, spec.name, devices, lock, told, stop)
                if stop.requested:
                    return Outcome(run, True, tuple(failed))
                if status == 0 and _reopen(run, spec.name, told):
                    # Somebody removed answers while the model was at work; it is asked for them once more.
                    status = run_model(run, spec.name, devices, lock, told, stop)
                    if status == 0 and _reopen(run, spec.name, told):
                        status = UNFINISHED
                if status != 0:
                    failed.append(spec.name)
    return Outcome(run, False, tuple(failed))


def _begin(plan: RunPlan, results: Path) -> RunStore:
    """A new run directory with all that is known before any model is asked."""
    remove_unborn_runs(results)
    texts = known_texts(plan)
    with RunStore.making(results, _name(plan), run_record(plan), plan.tasks, texts) as run:
        write_known_words(run, plan)
    return run


def _name(plan: RunPlan) -> str:
    """What the folder of a new run is called: parts are told apart at sight."""
    if plan.part.total == 1:
        return plan.name
    return f"{plan.name}-{plan.part.number}of{plan.part.total}"


def _reopen(run: RunStore, model: str, progress: Progress) -> bool:
    """Whether answers of a model that was done were lost; it is then no longer marked as done."""
    lost = run.reopen(model)
    if lost:
        message = (
            f"{plural(lost, 'answer')} that had been stored are lost and will be asked for again"
        )
        progress.event(model, {"event": "process", "message": message})
    return lost > 0


def _existing(
    plan: RunPlan, results: Path, resume: Path | None, retry_failed: bool
) -> RunStore | None:
    """The run with which ``plan`` goes on; None if there is none."""
    if resume is not None:
        return _to_resume(plan, resume, retry_failed)
    for run in find_runs(results):
        part = Part.of(run.record)
        same = run.record.get("spec_id") == plan.spec_id() and part.is_same(plan.part)
        if same and (retry_failed or not run.is_concluded()):
            _check_division(run, part, retry_failed)
            return run
    if retry_failed:
        raise InvalidInput(
            f"--retry-failed: {results} contains no run of these models, tasks and options",
            hint="repeat the command of that run, or leave out --retry-failed to begin a new one",
        )
    return None


def _to_resume(plan: RunPlan, resume: Path, retry_failed: bool) -> RunStore:
    run = RunStore.open(resume)
    part = Part.of(run.record)
    if not part.is_same(plan.part):
        raise InvalidInput(
            f"{resume} is {_in_words(part)}, but the command asks for {_in_words(plan.part)}",
            hint="give --shard as that run was begun, or leave out --resume",
        )
    _check_division(run, part, retry_failed)
    # As JSON gives it back, so that a tuple does not differ from a list.
    identity = json.loads(json.dumps(plan.identity()))
    changed = differences(run.record.get("spec", {}), identity)
    if changed:
        shown = "; ".join(changed[:4]) + ("; …" if len(changed) > 4 else "")
        raise InvalidInput(
            f"{resume} was made with another specification: {shown}",
            hint="use the options with which it was made, or leave out --resume to begin a new run",
        )
    return run


def _check_division(run: RunStore, part: Part, retry_failed: bool) -> None:
    """Refuse to ask more of a part that has other questions than this version of the program gives it."""
    if part.division == DIVISION:
        return
    is_finished = run.is_complete() and not any(map(run.lost_answers, run.model_names()))
    if retry_failed or not is_finished:
        raise InvalidInput(
            f"another version of the program chose the questions of {part} in {run.path}",
            hint="finish all parts with that version, or begin all of them again with --fresh",
        )


def _in_words(part: Part) -> str:
    return "a whole run" if part.total == 1 else str(part)

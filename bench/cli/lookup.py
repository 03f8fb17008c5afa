"""Finding the runs and the models of runs that a person named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput, did_you_mean
from bench.storage import fetch_folder, is_address
from bench.text import one_line

if TYPE_CHECKING:
    from bench.scoring.comparison import Side

NEWEST = {"last", "latest"}
"""Words for the newest run, whether it has finished or not."""
FIRST_RUN = "bench run --models ocr --tasks all"
"""What to type if there is no run yet."""


def find_run(name: str, results: Path) -> Path:
    """The run directory for what a person typed: a path, a run's name, a part of it, ``last`` or an address.

    A run on object storage is copied to this machine first.

    Raises:
        InvalidInput: no run, or several, fit.
        EnvironmentProblem: the storage cannot be read.
    """
    from bench.rundir.listing import find_runs
    from bench.rundir.record import RUN_FILE

    if is_address(name):
        from bench.cli.progress import LateProgress

        with LateProgress("copying, by bytes") as progress:
            return fetch_folder(name, progress=progress.step)
    # A whole name before a part of one: two runs of one second are called X and X-2.
    folder = _run_folder(name, results)
    if folder is not None:
        return folder
    runs = find_runs(results)
    if name in NEWEST and runs:
        return runs[0].path
    fitting = [run.path for run in runs if name in run.id]
    if len(fitting) == 1:
        return fitting[0]
    if Path(name).is_dir():
        raise InvalidInput(
            f"{one_line(name)} is not a run directory: it has no {RUN_FILE}", hint="bench list runs"
        )
    if fitting:
        raise InvalidInput(
            f"{len(fitting)} runs in {results} have {one_line(name, 60)!r} in their names",
            hint="name one of them: " + ", ".join(path.name for path in fitting[:3]),
        )
    raise InvalidInput(
        f"no run is called {one_line(name, 80)!r} in {results}",
        hint=did_you_mean(name, [run.id for run in runs]) if runs else FIRST_RUN,
    )


def _run_folder(name: str, results: Path) -> Path | None:
    """The run directory that ``name`` is the path or the whole name of."""
    from bench.rundir.record import RUN_FILE

    folders = (Path(name), results / name)
    return next((folder for folder in folders if (folder / RUN_FILE).is_file()), None)


def find_sides(
    name: str,
    inside: str | None,
    results: Path,
    metrics: tuple[str, ...] | None = None,
    *,
    mistakes: bool = False,
) -> list[Side]:
    """Every model that ``name`` can mean: all models of a run, or one model of a run.

    Args:
        name: a run, RUN:MODEL, or a model of the run ``inside``.
        inside: the run to look for models in; None for the newest one.
        results: the folder of the runs.
        metrics: score with these instead of the tasks' own metrics.
        mistakes: whether the kind of each mistake is found, which takes longer than the scores.

    Raises:
        InvalidInput: no run and no model fits ``name``.
    """
    from bench.cli.progress import scoring_progress
    from bench.rundir.store import RunStore
    from bench.scoring.comparison import Side
    from bench.scoring.evaluation import evaluate

    run_name, model = _run_and_model(name, inside, results)
    run = RunStore.open(find_run(run_name, results))
    models = run.model_names()
    if model and model not in models:
        raise InvalidInput(
            f"run {run.id} has no model {one_line(model, 60)!r}",
            hint=did_you_mean(model, models),
        )
    # A comparison is of scores alone: the other models are left out.
    chosen = [model] if model else models
    with scoring_progress() as progress:
        evaluation = evaluate(
            run,
            metrics,
            only=chosen,
            mistakes=mistakes,
            in_processes=True,
            progress=progress.step,
        )
    return [Side(evaluation, each) for each in chosen]


def _run_and_model(name: str, inside: str | None, results: Path) -> tuple[str, str]:
    """The names of the run and of the model in it; the latter is empty for a whole run."""
    from bench.rundir.listing import find_runs
    from bench.rundir.store import RunStore

    if name in NEWEST or _run_folder(name, results) is not None:
        return name, ""
    if is_address(name):
        # The first colon is the address's own.
        scheme, _, rest = name.partition(":")
        run_path, _, model = rest.partition(":")
        return f"{scheme}:{run_path}", model
    run_name, separator, model = name.rpartition(":")
    if separator:
        return run_name, model
    ids = [run.id for run in find_runs(results)]
    if inside is None and not ids:
        raise InvalidInput(
            f"{one_line(name, 60)!r} is neither a run nor a model: {results} contains no run yet",
            hint=FIRST_RUN,
        )
    # A model before a part of a run's name: runs are often named after their models.
    run = RunStore.open(find_run(inside or "last", results))
    if name in run.model_names():
        return str(run.path), name
    if not any(name in run_id for run_id in ids):
        looked_in = f"the newest run, {run.id}," if inside is None else run.id
        raise InvalidInput(
            f"{one_line(name, 60)!r} is neither a model of {looked_in} nor a run in {results} "
            "(RUN:MODEL names a model of another run)",
            hint=did_you_mean(name, [*run.model_names(), *ids]),
        )
    return name, ""


def matched_sides(first: Sequence[Side], second: Sequence[Side]) -> list[tuple[Side, Side]]:
    """Pairs of sides: the only ones, or those of one model's name.

    Raises:
        InvalidInput: no model is on both sides.
    """
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    by_name = {side.model: side for side in second}
    pairs = [(side, by_name[side.model]) for side in first if side.model in by_name]
    if not pairs:
        raise InvalidInput(
            "the two runs have no model of the same name",
            hint=f"name one model of each: {first[0].label} {second[0].label}",
        )
    return pairs

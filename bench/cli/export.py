"""``bench export``: the results of a run in the forms that other places take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from bench.cli.commands import VerbGroup, argument, choice, takes
from bench.cli.complaints import print_list
from bench.cli.lookup import find_run
from bench.cli.option_types import FOLDER, NameList
from bench.cli.options import models_choice, only_results_choice, tasks_choice
from bench.errors import (
    EnvironmentProblem,
    InvalidInput,
    ManyProblems,
    did_you_mean,
    require_package,
)
from bench.text import one_line, printable, shell_word

if TYPE_CHECKING:
    from bench.publishing.every_eval_ever import EvaluationRecord
    from bench.publishing.hub_results import BenchmarkTask, HubResult, ResultSource
    from bench.scoring.evaluation import Evaluation

out_choice = partial(choice, "-o", also=("--output",), type=FOLDER, required=True, metavar="DIR")
references_choice = partial(
    choice,
    help="Write the references even if the licence of the task is not known to allow it. With this option "
    "you state that you may pass them on.",
)
overwrite_choice = partial(choice, help="Replace files that exist.")
Made = TypeVar("Made")

ELSEWHERE = "bench export predictions and bench export eee take every run"
"""What to do with a score that may not stand on the Hub."""


@click.group("export", cls=VerbGroup)
def export_command() -> None:
    """Write the results of a run as files that others can use.

    No result is sent anywhere. Of a model, only the settings that decide an answer are written: no addresses,
    no keys, and no paths of this machine.

    \b
    bench export hf last --model qwen2-vl-2b --out ../qwen2-vl-2b       results beside a model on the Hub
    bench export eee last --out ../EEE_datastore                        a record for Every Eval Ever
    bench export predictions last --out release/                       answers, prompts and versions
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped


@dataclass(frozen=True, kw_only=True)
class HubOptions:
    """What a person chose for ``bench export hf``."""

    run: str = argument()
    models: tuple[str, ...] = models_choice(
        required=True, help="Export the scores of these models, separated by commas."
    )
    tasks: tuple[str, ...] | None = tasks_choice(
        help="Export only the scores on these tasks, separated by commas. Without the option, every task "
        "that can be exported is."
    )
    out: Path = out_choice(
        help="Write the files into the folder .eval_results of this folder: a copy of the model's repository."
    )
    eval_yaml: Path | None = choice(
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Read the benchmark's tasks from this copy of its eval.yaml. Without the option, the Hub is "
        "asked for the file.",
    )
    task_id: str | None = choice(
        metavar="ID",
        help="Export the score as this task, if several tasks of the benchmark have the same questions.",
    )
    metric: str | None = choice(
        metavar="NAME", help="Export this metric.  [default: the headline of the task]"
    )
    percent: bool = choice(help="Write scores from 0 to 100 instead of from 0 to 1.")
    source_url: str | None = choice(
        metavar="URL", help="Name this address as the source, such as the published answers."
    )
    source_name: str | None = choice(metavar="TEXT", help="Show the source under this name.")
    source_user: str | None = choice(
        metavar="NAME", help="Name this user or organization of the Hub as the source."
    )
    overwrite: bool = overwrite_choice()
    results: Path = only_results_choice()


@export_command.command("hf")
@takes(HubOptions)
def hub_command(options: HubOptions) -> None:
    """Write scores as files that the Hub shows beside a model.

    There is a file .eval_results/TASK-MODEL.yaml for each model and task. The task must be a benchmark of
    the Hub, and the run must have asked all of its questions; a score that measured something else is
    refused. The notes in the file name the interval, the number of questions, prompts, protocol and settings.
    The command needs the extra publish.
    """
    require_package("bench export hf", "yaml", "publish")
    from bench.files import write_atomically
    from bench.publishing.described import check_new
    from bench.publishing.hub_results import FOLDER as RESULTS_FOLDER

    source = _source(options)
    evaluation = _evaluation(options.run, options.results, options.models)
    _check_names("task", options.tasks or (), list(evaluation.tasks))
    tasks = options.tasks or tuple(evaluation.tasks)
    if options.eval_yaml is not None:
        _check_one_data_set(evaluation, tasks)
    # The Hub is asked once for each data set.
    benchmark = cache(partial(_benchmark, options.eval_yaml))
    make = partial(_hub_result, options, evaluation, benchmark, source)
    results, refused = _of_each(evaluation, options.tasks, make)
    written = {options.out / RESULTS_FOLDER / result.name: result.content for result in results}
    check_new(written, overwrite=options.overwrite)
    for path, content in written.items():
        write_atomically(path, content)
    _print_written(list(written))
    print_list(refused, "scores", evaluation.run.id, err=True)


def _source(options: HubOptions) -> ResultSource | None:
    from bench.publishing.hub_results import ResultSource, check_source

    if options.source_url is None:
        if options.source_name is not None or options.source_user is not None:
            raise InvalidInput(
                "a source without an address cannot be shown", hint="--source-url https://…"
            )
        return None
    source = ResultSource(options.source_url, options.source_name, options.source_user)
    check_source(source)
    return source


def _check_one_data_set(evaluation: Evaluation, tasks: Sequence[str]) -> None:
    """Refuse an ``eval.yaml``, which does not say of what data set it is, for several of them."""
    from bench.tasks.cache import hub_origin

    origins = [hub_origin(evaluation.tasks[task].source) for task in tasks]
    data_sets = {origin.hub_id for origin in origins if origin is not None}
    if len(data_sets) > 1:
        raise InvalidInput(
            f"--eval-yaml describes one data set, but the tasks are of {len(data_sets)}",
            hint="name the tasks of the one: --task NAME",
        )


def _benchmark(path: Path | None, hub_id: str) -> tuple[BenchmarkTask, ...]:
    """The tasks of a benchmark of the Hub, from a copy of its ``eval.yaml`` or from the Hub."""
    from bench.publishing.hub_results import BENCHMARK_FILE, read_benchmark

    path = path or _from_hub(hub_id)
    if path is None:
        raise InvalidInput(
            f"{hub_id} is not registered as a benchmark of the Hub: it has no {BENCHMARK_FILE}",
            hint=ELSEWHERE,
        )
    return read_benchmark(path)


def _from_hub(hub_id: str) -> Path | None:
    """The ``eval.yaml`` of a data set; None if it has none."""
    from bench.publishing.hub_results import BENCHMARK_FILE
    from bench.tasks.hub import download_file

    try:
        return download_file(hub_id, BENCHMARK_FILE)
    except EnvironmentProblem as error:
        address = f"https://huggingface.co/datasets/{hub_id}/raw/main/{BENCHMARK_FILE}"
        raise EnvironmentProblem(
            error.message, hint=f"--eval-yaml FILE, a copy of {address}"
        ) from None


def _hub_result(
    options: HubOptions,
    evaluation: Evaluation,
    benchmark: Callable[[str], tuple[BenchmarkTask, ...]],
    source: ResultSource | None,
    model: str,
    task: str,
) -> HubResult:
    from bench.publishing.hub_results import entry_task, hub_result, obstacles
    from bench.tasks.cache import hub_origin

    reasons = obstacles(evaluation, model, task)
    if reasons:
        raise InvalidInput(
            f"the score of {one_line(model, 60)} on {one_line(task, 60)} is not exported: "
            + "; ".join(reasons),
            hint=ELSEWHERE,
        )
    origin = hub_origin(evaluation.tasks[task].source)
    assert origin is not None, "without one there is an obstacle"
    chosen = entry_task(origin, benchmark(origin.hub_id), options.task_id)
    return hub_result(
        evaluation,
        model,
        task,
        chosen,
        metric=options.metric,
        percent=options.percent,
        source=source,
    )


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """What a person chose for ``bench export eee``."""

    run: str = argument()
    out: Path = out_choice(
        help="Write the files below the folder data of this folder: a copy of the data store, for example."
    )
    models: tuple[str, ...] | None = models_choice(
        help="Export only these models, separated by commas."
    )
    tasks: tuple[str, ...] | None = tasks_choice(
        help="Export only these tasks, separated by commas."
    )
    model_id: str | None = choice(
        metavar="OWNER/NAME",
        help="Give the model this id. Without the option, its id is that of its checkpoint on the Hub, or "
        "unknown/NAME.",
    )
    organization: str | None = choice(metavar="TEXT", help="Name the organization that measured.")
    relationship: str = choice(
        type=click.Choice(["first_party", "third_party", "collaborative", "other"]),
        default="other",
        help="Say what the organization is to the model's developer.",
    )
    references: bool = references_choice()
    overwrite: bool = overwrite_choice()
    results: Path = only_results_choice()


@export_command.command("eee")
@takes(RecordOptions)
def record_command(options: RecordOptions) -> None:
    """Write a record in the form of Every Eval Ever, version 0.3.

    There are two files for each model and task: one with scores, intervals, settings and versions, and one
    with every answer. A run gives the same file names each time.
    """
    from bench.files import write_atomically, write_json
    from bench.publishing.described import check_new, hub_id, published_id
    from bench.publishing.every_eval_ever import UNKNOWN, Evaluator, evaluation_record
    from bench.publishing.licences import may_be_shared

    if options.model_id is not None and hub_id(options.model_id) is None:
        raise InvalidInput(
            f"--model-id {one_line(options.model_id, 80)!r} is not of the form OWNER/NAME"
        )
    evaluation = _evaluation(options.run, options.results, options.models)
    if options.model_id is not None and len(evaluation.models) > 1:
        raise InvalidInput(
            f"--model-id names one model, but the export is of {len(evaluation.models)}",
            hint=f"--model {shell_word(evaluation.models[0])}",
        )
    _check_names("task", options.tasks or (), list(evaluation.tasks))
    evaluator = Evaluator(options.organization or UNKNOWN, options.relationship)
    now = time.time()

    def make(model: str, task: str) -> EvaluationRecord:
        return evaluation_record(
            evaluation,
            model,
            task,
            references=options.references or may_be_shared(evaluation.tasks[task].license),
            evaluator=evaluator,
            model_id=options.model_id,
            now=now,
        )

    records, refused = _of_each(evaluation, options.tasks, make)
    paths = [options.out / path for each in records for path in (each.path, each.samples_path)]
    check_new(paths, overwrite=options.overwrite)
    for each in records:
        write_atomically(options.out / each.samples_path, each.samples)
        write_json(options.out / each.path, each.aggregate)
    _print_written(paths)
    for model in evaluation.models:
        if options.model_id is None and published_id(evaluation.run, model) is None:
            said = (
                f"note: {printable(model)} has no id on the Hub: name it with --model-id OWNER/NAME"
            )
            click.echo(said, err=True)
    print_list(refused, "records", evaluation.run.id, err=True)


@dataclass(frozen=True, kw_only=True)
class PredictionsOptions:
    """What a person chose for ``bench export predictions``."""

    run: str = argument()
    out: Path = out_choice(help="Write the files into this folder.")
    models: tuple[str, ...] | None = models_choice(
        help="Export only the answers of these models, separated by commas."
    )
    formats: tuple[str, ...] = choice(
        "--format",
        type=NameList(),
        default="jsonl",
        help="Write these formats, separated by commas: jsonl, csv.",
    )
    references: bool = references_choice()
    pages: bool = choice(help="Also copy the pages of the tasks whose licence allows it.")
    overwrite: bool = overwrite_choice()
    results: Path = only_results_choice()


@export_command.command("predictions")
@takes(PredictionsOptions)
def predictions_command(options: PredictionsOptions) -> None:
    """Write the answers of a run with prompts, versions and digests.

    There is a file TASK/MODEL.jsonl for each model and task, and a manifest.json. bench score FILE --task
    TASK gives the same scores again.
    """
    from bench.publishing.predictions import FORMATS, export_predictions

    _check_names("format", options.formats, FORMATS)
    evaluation = _evaluation(options.run, options.results, options.models)
    exported = export_predictions(
        evaluation,
        options.out,
        formats=options.formats,
        references=options.references,
        pages=options.pages,
        overwrite=options.overwrite,
    )
    _print_written(exported.files)
    left_out = [f"left out: {what}" for what in exported.left_out]
    print_list(left_out, "entries", evaluation.run.id, err=True)


def _evaluation(name: str, results: Path, models: Sequence[str] | None) -> Evaluation:
    """The scored run that ``name`` means, with these models of it."""
    from bench.cli.progress import scoring_progress
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate

    run = RunStore.open(find_run(name, results))
    _check_names("model", models or (), run.model_names())
    with scoring_progress() as progress:
        # Computed anew: somebody else's run may hold scores that were never computed.
        return evaluate(run, only=models, mistakes=False, reuse=False, progress=progress.step)


def _of_each(
    evaluation: Evaluation, tasks: Sequence[str] | None, make: Callable[[str, str], Made]
) -> tuple[list[Made], list[str]]:
    """What ``make`` makes of each model and task, and why there is nothing of the others.

    Raises:
        InvalidInput: there is nothing at all, or nothing of a task that a person has named.
    """
    made: list[Made] = []
    refused: list[InvalidInput] = []
    for model in evaluation.models:
        for task in tasks or evaluation.tasks:
            try:
                made.append(make(model, task))
            except InvalidInput as error:
                refused.append(error)
    reasons = [error.message for error in refused]
    if refused and (tasks or not made):
        if len(refused) == 1:
            raise refused[0]
        raise ManyProblems(reasons, subject="the export", hint=refused[0].hint)
    return made, reasons


def _check_names(noun: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InvalidInput(
                f"there is no {noun} {one_line(name, 60)!r} in it", hint=did_you_mean(name, known)
            )


def _print_written(paths: Sequence[Path]) -> None:
    for path in paths[:20]:
        click.echo(f"Wrote {printable(str(path))}")
    if len(paths) > 20:
        click.echo(f"… and {len(paths) - 20:,} more files")

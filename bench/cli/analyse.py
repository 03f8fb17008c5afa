"""``bench score``, ``report`` and ``show``: what can be made of a run without its models."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import NameList, find_run, json_option, results_option
from bench.errors import EnvironmentProblem, InvalidInput
from bench.text import printable

if TYPE_CHECKING:
    from bench.report import ReportOptions
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import Evaluation

PREVIEW_LIMIT = 2_000
"""Pages whose previews are made for a report; more would take minutes and not fit in a page."""


@click.command("score")
@click.argument("source", metavar="RUN|PREDICTIONS.jsonl")
@click.option("--metrics", type=NameList(), help="Replace the tasks' own; the first leads.")
@click.option("--task", help="The task that PREDICTIONS.jsonl answers; they become a run.")
@click.option("--model", help="Name to report PREDICTIONS.jsonl under.  [default: the file's name]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals.")
@results_option
@json_option
def score_command(
    source: str,
    metrics: tuple[str, ...] | None,
    task: str | None,
    model: str | None,
    seed: int,
    results: Path,
    as_json: bool,
) -> None:
    """Score stored outputs again; no model is needed.

    SOURCE is a run, or a file of answers that were made elsewhere: JSON Lines with sample_id and text.
    """
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate, write_scores

    if Path(source).is_file():
        run = _imported(Path(source), task, model, results, metrics)
    elif Path(source).suffix == ".jsonl":
        raise InvalidInput(f"{source} does not exist", hint="name a file of answers, or a run")
    else:
        run = RunStore.open(find_run(source, results))
    evaluation = evaluate(run, metrics, seed=seed)
    write_scores(evaluation)
    print_summary([evaluation], [run.path / "scores"], as_json=as_json)


def _imported(
    path: Path, task: str | None, model: str | None, results: Path, metrics: tuple[str, ...] | None
) -> RunStore:
    from bench.runner.imported import import_predictions
    from bench.scoring.evaluation import check_metrics
    from bench.tasks import find_task, load_task

    if task is None:
        raise InvalidInput(f"{path} holds answers, but to which task?", hint="add --task NAME")
    loaded = load_task(find_task(task))
    # Before anything is written: a wrong metric must not leave a run behind.
    check_metrics(loaded, metrics)
    return import_predictions(path, loaded, results, model=model)


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder, or one file whose suffix tells the format.  [default: the run directory]",
)
@click.option(
    "--format",
    "formats",
    type=NameList(),
    default="html,md",
    show_default=True,
    help="Any of html, md, csv, json, vlmhyperbench.",
)
@click.option(
    "--images",
    default="all",
    show_default=True,
    help="Page images in the HTML: none, failures, all, or how many.",
)
@click.option(
    "--max-mb", type=float, default=25.0, show_default=True, help="Largest HTML file, in MB."
)
@click.option("--title", help="Heading of the report.")
@click.option("--open", "open_it", is_flag=True, help="Open the HTML in a browser.")
@results_option
@json_option
def report_command(
    runs: tuple[str, ...],
    output: Path | None,
    formats: tuple[str, ...],
    images: str,
    max_mb: float,
    title: str | None,
    open_it: bool,
    results: Path,
    as_json: bool,
) -> None:
    """Write the report of one or more runs: RUN is a path, a run's name, a part of it, or "last"."""
    from bench.report import ReportOptions
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate

    choice = int(images) if images.isdigit() else images
    options = ReportOptions(images=choice, max_mb=max_mb, title=title)
    evaluations = [evaluate(RunStore.open(find_run(run, results))) for run in runs]
    written = reported(evaluations, output, formats, options)
    print_summary(evaluations, written, as_json=as_json)
    if open_it and (page := next((path for path in written if path.suffix == ".html"), None)):
        webbrowser.open(page.resolve().as_uri())


def reported(
    evaluations: Sequence[Evaluation],
    output: Path | None,
    formats: Sequence[str],
    options: ReportOptions | None = None,
) -> list[Path]:
    """Make the pages' previews, then write the report; the files written."""
    from bench.report import ReportOptions, build, write_view
    from bench.report.write import check_options
    from bench.tasks.previews import write_previews

    options = options or ReportOptions()
    check_options(options)
    for evaluation in evaluations:
        try:
            write_previews(evaluation.run.path, evaluation.tasks.values(), limit=PREVIEW_LIMIT)
        except EnvironmentProblem as error:
            # Somebody else's run is often read-only; its report can be written elsewhere.
            click.echo(f"warning: pages have no pictures: {printable(error.message)}", err=True)
    return write_view(build(evaluations, options), output, formats, options)


def print_summary(
    evaluations: Sequence[Evaluation], written: Sequence[Path], *, as_json: bool
) -> None:
    """The leaderboard on standard output, and where the files are."""
    from bench.report import ReportOptions, build, terminal_summary
    from bench.report.tables import report_json

    view = build(evaluations, ReportOptions())
    if as_json:
        click.echo(report_json(view).rstrip())
        return
    terminal = sys.stdout.isatty()
    click.echo(terminal_summary(view, color=terminal).rstrip())
    for path in written:
        if path.suffix in {".html", ""}:
            click.echo(f"{'Report' if path.suffix else 'Scores'}   {path}")
    for path in written:
        if path.suffix == ".csv" and path.parent.name != "tables":
            click.echo(f"Table    {path}")


@click.command("show")
@click.argument("run")
@click.argument("sample", required=False)
@results_option
def show_command(run: str, sample: str | None, results: Path) -> None:
    """Show one sample of a run with every model's answer; without SAMPLE, list the samples."""
    from bench.report import show_sample
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate
    from bench.text import one_line

    store = RunStore.open(find_run(run, results))
    if sample is None:
        for name in store.task_names():
            for entry in store.load_task(name).samples:
                click.echo(f"{one_line(entry.id, 60)}  {one_line(entry.question, 80)}")
        return
    click.echo(show_sample(evaluate(store), sample).rstrip())

"""``bench score``, ``report`` and ``show``: what can be made of a run without its models."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import formatting
from bench.cli.commands import argument, choice, takes
from bench.cli.config_file import known_prices
from bench.cli.lookup import find_run
from bench.cli.option_types import NameList
from bench.cli.options import (
    json_choice,
    log_choice,
    model_choice,
    only_results_choice,
    results_choice,
    task_choice,
)
from bench.cli.reporting import (
    are_large,
    check_destination,
    gpu_fits,
    log_results,
    print_summary,
    report_large,
    scored,
    sections_to_print,
    write_reports,
)
from bench.cli.tables import line_width, table, wrapped
from bench.errors import ENVIRONMENT, EnvironmentProblem, InvalidInput, did_you_mean
from bench.parsing import whole_number
from bench.text import one_line, printable, shell_word

if TYPE_CHECKING:
    from bench.report import ReportView
    from bench.rundir.store import RunStore

DEFAULT_IMAGES = "all"
"""Pages whose images are put into the HTML."""
DEFAULT_MB = 25.0
"""Size in megabytes that the HTML file keeps below."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What a person chose for ``bench score``."""

    source: str = argument(metavar="SOURCE")
    metrics: tuple[str, ...] | None = choice(
        type=NameList(),
        help="Score with these metrics instead of the tasks' own. The first one decides the ranking.",
    )
    task: str | None = task_choice(
        help="Name the task that a file of answers belongs to. The answers become a run."
    )
    model: str | None = model_choice(
        help="Report a file of answers under this model name.  [default: the file's name]"
    )
    log_to: str | None = log_choice()
    results: Path = results_choice()
    as_json: bool = json_choice()


@click.command("score")
@takes(ScoreOptions)
def score_command(options: ScoreOptions) -> None:
    """Score stored answers, without a model.

    SOURCE is a run (a path, a name, a part of a name, or "last", which is the newest run, finished or not),
    or a file of answers that another program made: JSON Lines with sample_id and text.
    """
    from bench.cli.progress import scoring_progress
    from bench.litter import remove_litter
    from bench.report import build
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate, write_scores

    source = Path(options.source)
    if source.is_file():
        run = _imported(source, options)
    elif source.suffix == ".jsonl":
        raise InvalidInput(
            f"the file {source} does not exist", hint="name a file of answers, or a run"
        )
    else:
        run = RunStore.open(find_run(options.source, options.results))
        _refuse_import_options(options)
    remove_litter(run.path)
    with scoring_progress() as progress:
        evaluation = evaluate(
            run, options.metrics, reuse=False, in_processes=True, progress=progress.step
        )
    if are_large([run]):
        write_scores(evaluation)
        report_large([run], write=False, as_json=options.as_json, log_to=options.log_to)
        return
    view = build([evaluation])
    sections = sections_to_print(view, as_json=options.as_json)
    try:
        write_scores(evaluation)
    except EnvironmentProblem:
        if not options.as_json:
            # The scores are known, even where they cannot be kept.
            print_summary(view, sections, [], as_json=False)
        raise
    print_summary(view, sections, [run.path / "scores"], as_json=options.as_json)
    if options.log_to is not None and not log_results(options.log_to, [evaluation], view):
        raise click.exceptions.Exit(ENVIRONMENT)


def _refuse_import_options(options: ScoreOptions) -> None:
    """Refuse what only a file of answers needs: a run knows its tasks and models itself."""
    for flag, value in (("--task", options.task), ("--model", options.model)):
        if value is not None:
            raise InvalidInput(
                f"{flag} describes a file of answers, but {one_line(options.source, 80)} is a run, "
                "of which all tasks and models are scored",
                hint=f"leave out {flag}",
            )


def _imported(path: Path, options: ScoreOptions) -> RunStore:
    """A run made of the answers in ``path``."""
    from bench.runner.imported import import_predictions
    from bench.scoring.evaluation import check_metrics
    from bench.tasks import find_task, load_task

    if options.task is None:
        raise InvalidInput(
            f"{path} is a file of answers, and the command does not say which task they answer",
            hint=f"bench score {shell_word(path)} --task NAME",
        )
    task = load_task(find_task(options.task))
    # Before anything is written: a wrong metric must not leave a run behind.
    check_metrics(task, options.metrics)
    return import_predictions(path, task, options.results, model=options.model)


@dataclass(frozen=True, kw_only=True)
class ReportChoices:
    """What a person chose for ``bench report``."""

    runs: tuple[str, ...] = argument(nargs=-1, required=True, metavar="RUN...")
    out: Path | None = choice(
        "-o",
        also=("--output",),
        type=click.Path(path_type=Path),
        help="Write the report into this folder, or into one file whose suffix (.html, .md, .csv, .json) "
        "names the format.  [default: the run directory]",
    )
    formats: tuple[str, ...] = choice(
        "--format",
        type=NameList(),
        default="html,md",
        help="Write these formats, separated by commas: html, md, csv, json, vlmhyperbench.",
    )
    images: str = choice(
        default=DEFAULT_IMAGES,
        metavar="WHICH",
        help="Put page images into the HTML: none, failures (pages of wrong answers), all, or a number of "
        "pages.",
    )
    max_mb: float = choice(
        type=click.FloatRange(0),
        default=DEFAULT_MB,
        metavar="MB",
        help="Keep the HTML file below this size by leaving page images out.",
    )
    title: str | None = choice(metavar="TEXT", help="Give the report this heading.")
    price: tuple[str, ...] = choice(
        multiple=True,
        metavar="[NAME=]PRICE",
        help="Compute costs from this price: 1.20/h for an hour of the machine, 0.002/page, or 0.15/0.60 for "
        "a million tokens read and written; 1.20EUR/h is in euros. NAME= gives the price of one model. The "
        "option may be given several times. Prices may also stand in the table [prices] of bench.toml.",
    )
    full: bool = choice(
        help="Make the full report of more than a million answers, too. It holds all of them in memory; "
        "without this option, the report of so many has only the tables of scores and measurements.",
    )
    open_it: bool = choice("--open", help="Open the HTML file in a browser.")
    results: Path = only_results_choice()
    as_json: bool = json_choice()


@click.command("report")
@takes(ReportChoices)
def report_command(choices: ReportChoices) -> None:
    """Write the report of one run, or of several runs together.

    RUN is the path of a run, its name, a part of its name, or "last", which is the newest run, finished or
    not.
    """
    from bench.litter import remove_litter
    from bench.report import ReportOptions, build, make_sections
    from bench.rundir.store import RunStore

    check_destination(choices.out)
    number = whole_number(choices.images)
    images = choices.images if number is None else number
    prices = known_prices(choices.price)
    options = ReportOptions(
        images=images,
        max_mb=choices.max_mb,
        title=choices.title,
        prices=prices,
        repeated=_repeated(choices),
    )
    paths = [find_run(name, choices.results) for name in choices.runs]
    places = [path.resolve() for path in paths]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise InvalidInput(f"the run {place.name} is named twice", hint="name every run once")
    runs = [RunStore.open(path) for path in paths]
    for run in runs:
        remove_litter(run.path)
    if are_large(runs) and not choices.full:
        _refuse_what_only_the_full_report_has(choices)
        report_large(runs, choices.out, title=choices.title, as_json=choices.as_json)
        return
    evaluations = scored(runs)
    options = replace(options, gpu_fits=gpu_fits(evaluations))
    view = build(evaluations, options)
    sections = make_sections(view)
    _check_priced(choices.price, view)
    written = write_reports(evaluations, view, choices.out, choices.formats, options, sections)
    print_summary(view, sections, written, as_json=choices.as_json)
    page = next((path for path in written if path.suffix == ".html"), None)
    if choices.open_it and page is not None:
        webbrowser.open(page.resolve().as_uri())


def _refuse_what_only_the_full_report_has(choices: ReportChoices) -> None:
    """Refuse options that the report of a large run does not follow, rather than pass them over."""
    asked = {
        "--format": "md" not in choices.formats or not {"html", "md"}.issuperset(choices.formats),
        "--images": choices.images != DEFAULT_IMAGES,
        "--max-mb": choices.max_mb != DEFAULT_MB,
        "--price": bool(choices.price),
        "--open": choices.open_it,
    }
    flags = [flag for flag, is_asked in asked.items() if is_asked]
    if flags:
        raise InvalidInput(
            "the report of so many answers is one Markdown file without costs and page images; "
            f"it cannot follow {formatting.listed(flags)}",
            hint=f"leave out {formatting.listed(flags)}, or make the full report with --full",
        )


def _repeated(choices: ReportChoices) -> tuple[str, ...]:
    """The options with which ``bench report --open`` shows the same page, which is an HTML file."""
    options: list[str] = []
    if choices.out is not None and choices.out.suffix.lower() not in (".md", ".csv", ".json"):
        options += ["--out", str(choices.out)]
    if choices.title is not None:
        options += ["--title", choices.title]
    if choices.images != DEFAULT_IMAGES:
        options += ["--images", choices.images]
    for price in choices.price:
        options += ["--price", price]
    return tuple(options)


def _check_priced(given: Sequence[str], view: ReportView) -> None:
    """Refuse a price of a model that the report does not have: a misspelt name would be passed over."""
    from bench.scoring.prices import EVERY_MODEL, parse_prices

    names = [name for row in view.rows for name in (row.key, row.name)]
    for name in parse_prices(given, "--price"):
        if name not in (EVERY_MODEL, *names):
            raise InvalidInput(
                f"--price names the model {one_line(name, 60)!r}, which the report does not have",
                hint=did_you_mean(name, names),
            )


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """What a person chose for ``bench show``."""

    run: str = argument()
    sample: str | None = argument(required=False)
    wrong: bool = choice(help="List only the questions that a model did not answer right.")
    model: str | None = model_choice(help="Look at the answers of this model alone.")
    results: Path = results_choice()


@click.command("show")
@takes(ShowOptions)
def show_command(options: ShowOptions) -> None:
    """Show one question of a run with every model's answer.

    RUN is the path of a run, its name, a part of its name, or "last", which is the newest run, finished or
    not. Without SAMPLE, the questions of the run are listed with their ids, and with a mark for each model's
    answer.
    """
    from bench.cli.progress import scoring_progress
    from bench.report import show_sample
    from bench.report.show import MARKS, marked_questions
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate, evaluate_sample

    store = RunStore.open(find_run(options.run, options.results))
    models = store.model_names()
    if options.model is not None and options.model not in models:
        raise InvalidInput(
            f"run {store.id} has no model {one_line(options.model, 60)!r}",
            hint=did_you_mean(options.model, models),
        )
    if options.sample is not None:
        if options.wrong:
            raise InvalidInput(
                "--wrong lists questions, but the command names one",
                hint="leave out one of the two",
            )
        evaluation = evaluate_sample(store, options.sample)
        if not evaluation.tasks:
            # Whoever mistyped an id is told the ones that there are, which takes all of the run.
            evaluation = evaluate(store)
        click.echo(show_sample(evaluation, options.sample, options.model).rstrip())
        return

    chosen = [options.model] if options.model else None
    with scoring_progress() as progress:
        evaluation = evaluate(store, only=chosen, in_processes=True, progress=progress.step)
    rows = marked_questions(evaluation, only_wrong=options.wrong)
    if not rows:
        click.echo("Every answer is right." if options.wrong else "The run has no questions.")
        return
    click.echo(table(rows))
    order = ", ".join(printable(name) for name in evaluation.models)
    click.echo(wrapped(f"Marks, in this order: {order}. {MARKS}", line_width()), err=True)

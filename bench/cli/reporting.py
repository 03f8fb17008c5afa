"""What several verbs do with scored runs: write their report, and print its summary."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.errors import EnvironmentProblem, InvalidInput
from bench.text import one_line, printable, shell_word

if TYPE_CHECKING:
    from bench.report import ReportOptions, ReportView, Section
    from bench.report.findings import GpuFit
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import Evaluation

MANY_ANSWERS = 40_000
"""Answers above which drawing the report takes more than two seconds."""

PREVIEW_LIMIT = 2_000
"""Pages whose previews are made for a report; more would take minutes and not fit in a page."""


def write_reports(
    evaluations: Sequence[Evaluation],
    view: ReportView,
    destination: Path | None,
    formats: Sequence[str],
    options: ReportOptions | None = None,
    sections: Sequence[Section] | None = None,
) -> list[Path]:
    """Make the pages' previews, then write one report.

    Args:
        evaluations: the scored runs.
        view: what ``build`` made of them.
        destination: a folder or one file; None for the run directory.
        formats: names of the formats, such as ``html``.
        options: page images and size.
        sections: what ``make_sections`` made of the view; None makes them here.

    Returns:
        The files written.
    """
    from bench.report import ReportOptions, write_view

    options = options or ReportOptions()
    answers = len(view.all_samples) * len(view.rows)
    if answers > MANY_ANSWERS:
        click.echo(f"The report of {answers:,} answers is being drawn.", err=True)
    is_page = (
        "html" in formats if destination is None else destination.suffix in ("", ".html", ".htm")
    )
    if is_page:
        _write_previews(evaluations, view, options)
    return write_view(view, destination, formats, options, sections)


def scored(runs: Sequence[RunStore]) -> list[Evaluation]:
    """Score ``runs``, and keep the scores of complete ones so that the next report has them at once."""
    from bench.cli.progress import scoring_progress
    from bench.scoring.evaluation import evaluate, write_scores

    evaluations = []
    with scoring_progress() as progress:
        for run in runs:
            evaluation = evaluate(run, in_processes=True, progress=progress.step)
            # A run without scores is one that its command goes on with, so an unfinished one gets none here.
            if run.state() == "complete" and not evaluation.was_stored:
                with suppress(EnvironmentProblem):
                    # Somebody else's run is often read-only; it is then scored again each time.
                    write_scores(evaluation)
            evaluations.append(evaluation)
    return evaluations


def are_large(runs: Sequence[RunStore]) -> bool:
    """Whether the runs have more answers together than a full report can hold."""
    from bench.report.large import MOST_ANSWERS
    from bench.scoring.stored import answers_in

    return answers_in(runs) > MOST_ANSWERS


def report_large(
    runs: Sequence[RunStore],
    destination: Path | None = None,
    *,
    title: str | None = None,
    write: bool = True,
    as_json: bool = False,
    log_to: str | None = None,
) -> None:
    """Print what is known of large runs without reading their answers, and write it as Markdown.

    No tracker can log them; if ``log_to`` names one, a warning says so.

    Raises:
        InvalidInput: the scores of a run are not on the disk, or ``destination`` is of another kind.
    """
    from bench.cli import echo_json
    from bench.cli.tables import has_color, line_width
    from bench.files import write_atomically
    from bench.report.large import large_sections
    from bench.report.markdown import markdown
    from bench.report.terminal import terminal_summary
    from bench.scoring.stored import stored_scores

    path = runs[0].path if destination is None else destination
    if path.suffix.lower() in {".html", ".htm", ".csv", ".json"} and not path.is_dir():
        raise InvalidInput(
            f"the report of so large a run is written as Markdown (--out {printable(str(path))})",
            hint="end the name in .md, or name a folder",
        )
    if path.suffix.lower() != ".md" or path.is_dir():
        path /= "report.md"
    kept = []
    for run in runs:
        scores = stored_scores(run)
        if scores is None:
            raise InvalidInput(
                f"a report of so many answers needs their scores, which {run.path} does not have",
                hint=f"bench score {shell_word(run.path)}",
            )
        kept.append(scores)
    if log_to is not None:
        click.echo(f"warning: so large a run is not logged to {log_to}", err=True)
    sections = large_sections(kept, title)
    if write:
        write_atomically(path, markdown(sections))
    if as_json:
        echo_json([{"run": str(scores.run.path), **scores.summary} for scores in kept])
        return
    click.echo(terminal_summary(sections, line_width(), color=has_color()).rstrip())
    if write:
        click.echo(f"Report   {printable(str(path))}")


def gpu_fits(evaluations: Sequence[Evaluation]) -> dict[tuple[str, str], tuple[GpuFit, ...]]:
    """(Id of the run, model) → which GPUs it is predicted to fit into. A report imports no model itself."""
    from bench.report.findings import GpuFit
    from bench.runner.gpu_fits import gpu_forecasts

    fits = {}
    for evaluation in evaluations:
        run = evaluation.run
        for model, by_gpu in gpu_forecasts(run, list(evaluation.tasks.values())).items():
            fits[run.id, model] = tuple(
                GpuFit(name, each.memory_bytes, each.peak_bytes, each.batch_size, each.fits)
                for name, each in by_gpu.items()
            )
    return fits


def _write_previews(
    evaluations: Sequence[Evaluation], view: ReportView, options: ReportOptions
) -> None:
    """Make the previews that have room in the report, in the run that has the page."""
    from bench.cli.progress import LateProgress
    from bench.report.embed import pages_by_interest
    from bench.tasks.previews import write_previews

    wanted = pages_by_interest(view, options)[:PREVIEW_LIMIT]
    # In the page, four characters stand for three bytes.
    room = options.max_mb * 1e6 * 3 / 4
    for evaluation in evaluations:
        tasks = evaluation.tasks.values()
        documents = [document for task in tasks for document in task.documents.values()]
        keys = {page.key for document in documents for page in document.pages}
        own = [page for page in wanted if page.key in keys]
        try:
            with LateProgress("page images") as progress:
                size = write_previews(
                    evaluation.run.path, own, most_bytes=room, progress=progress.step
                )
        except EnvironmentProblem as error:
            # Somebody else's run is often read-only; its report can be written elsewhere.
            message = printable(error.message)
            click.echo(f"warning: the report has no page images: {message}", err=True)
            continue
        room -= size


def check_destination(path: Path | None) -> None:
    """Refuse a file of a kind that no report has, and one that is there already and is no report.

    Raises:
        InvalidInput: ``path`` ends in a suffix such as ``.pdf``, and is not a folder that exists; or the
            report would replace another file.
    """
    from bench.files import check_replaceable
    from bench.report import FORMATS
    from bench.report.write import MARKS, SUFFIXES, named_files

    # ".1" of "reports/2026.1" is part of a folder's name, ".pdf" is a kind of file.
    if path is None or path.is_dir() or not re.fullmatch(r"\.[A-Za-z]\w{1,4}", path.suffix):
        return
    known = [f".{name}" for name in FORMATS]
    if path.suffix.lower() not in {*known, ".htm"}:
        raise InvalidInput(
            f"a report cannot be written as {path.suffix} (--out {printable(str(path))})",
            hint=f"end the name in {', '.join(known)}, or name a folder that exists",
        )
    for file in named_files(path):
        check_replaceable(file, "a report of this format", MARKS[SUFFIXES[path.suffix.lower()]])


def sections_to_print(view: ReportView, *, as_json: bool) -> tuple[Section, ...]:
    """What ``print_summary`` needs where no report is written."""
    from bench.report import SECTIONS, TERMINAL_SECTIONS, make_sections

    return make_sections(view, SECTIONS if as_json else TERMINAL_SECTIONS)


def print_summary(
    view: ReportView, sections: Sequence[Section], written: Sequence[Path], *, as_json: bool
) -> None:
    """Print the leaderboard on standard output, and where the files are."""
    from bench.cli.tables import has_color, line_width, wrapped
    from bench.report import report_json, terminal_summary

    if as_json:
        click.echo(report_json(view, sections).rstrip())
        return
    if not any(row.asked for row in view.rows):
        click.echo("\n".join(wrapped(line, line_width()) for line in _nothing_measured(view)))
        return
    click.echo(terminal_summary(sections, line_width(), color=has_color()).rstrip())
    for path in _documents(written):
        click.echo(f"{'Report' if path.suffix else 'Scores'}   {path}")
    tables = [path for path in written if path.suffix == ".csv" and path.parent.name != "tables"]
    # A folder of VLMHyperBench's files holds hundreds of them.
    for place in dict.fromkeys(
        path.parent if path.parent.name == "vlmhyperbench" else path for path in tables
    ):
        click.echo(f"Table    {place}")


def _documents(written: Sequence[Path]) -> list[Path]:
    """What to open: the page, or the Markdown where there is no page; and JSON, or a folder of scores."""
    own = [path for path in written if path.parent.name not in ("tables", "vlmhyperbench")]
    suffixes = {path.suffix.lower() for path in own}
    shown = {"", ".html", ".htm", ".json"}
    if suffixes.isdisjoint({".html", ".htm"}):
        shown.add(".md")
    return [path for path in own if path.suffix.lower() in shown]


def log_results(
    tracker: str,
    evaluations: Sequence[Evaluation],
    view: ReportView,
) -> bool:
    """Log a report's results to an experiment tracker; a tracker that does not take them gives a warning.

    Returns:
        Whether it took them.
    """
    from bench.publishing.trackers import entries, send
    from bench.report import ReportOptions, make_sections, write_view

    # Pages of documents are not sent: a tracker may be on somebody else's machine.
    options = ReportOptions(images="none")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        report = Path(folder) / "report.html"
        write_view(view, report, (), options, make_sections(view))
        try:
            place = send(tracker, entries(evaluations, view), report)
        except EnvironmentProblem as error:
            click.echo(f"warning: {printable(error.message)}", err=True)
            click.echo("The run is complete. To log it later, type:", err=True)
            for evaluation in evaluations:
                path = shell_word(evaluation.run.path)
                click.echo(f"  bench score {path} --log-to {shell_word(tracker)}", err=True)
            return False
    click.echo(f"Logged to {tracker}: {printable(place)}", err=True)
    return True


def _nothing_measured(view: ReportView) -> list[str]:
    """What is left to say where no question was answered: why, and what to do next."""
    lines = [view.verdict.headline]
    for row in view.rows:
        if row.failure is not None:
            why = row.failure.message or row.failure.error or "no reason was recorded"
            lines.append(f"{printable(row.key)}: {one_line(why, 300)}")
            if row.failure.hint:
                lines.append(f"  try: {one_line(row.failure.hint, 300)}")
    lines.append("Afterwards the same bench run asks what is missing; the models' logs are in")
    lines += [f"  {printable(run.path)}" for run in view.runs]
    return lines

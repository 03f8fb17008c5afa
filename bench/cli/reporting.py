"""What several verbs do with a scored run: write its report, print its summary, judge its failures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.errors import EnvironmentProblem, InvalidInput
from bench.text import printable

if TYPE_CHECKING:
    from bench.report import ReportOptions
    from bench.scoring.evaluation import Evaluation

PREVIEW_LIMIT = 2_000
"""Pages whose previews are made for a report; more would take minutes and not fit in a page."""


def write_reports(
    evaluations: Sequence[Evaluation],
    destination: Path | None,
    formats: Sequence[str],
    options: ReportOptions | None = None,
) -> list[Path]:
    """Make the pages' previews, then write one report of all ``evaluations``.

    Args:
        evaluations: the scored runs.
        destination: a folder or one file; None for the run directory.
        formats: names of the formats, such as ``html``.
        options: title, page images and size.

    Returns:
        The files written.
    """
    from bench.report import ReportOptions, build, write_view
    from bench.report.write import check_options

    options = options or ReportOptions()
    check_options(options)
    for evaluation in evaluations:
        _write_previews(evaluation)
    return write_view(build(evaluations, options), destination, formats, options)


def _write_previews(evaluation: Evaluation) -> None:
    from bench.tasks.previews import write_previews

    try:
        write_previews(evaluation.run.path, evaluation.tasks.values(), limit=PREVIEW_LIMIT)
    except EnvironmentProblem as error:
        # Somebody else's run is often read-only; its report can be written elsewhere.
        message = printable(error.message)
        click.echo(f"warning: the report has no page images: {message}", err=True)


def check_destination(path: Path | None) -> None:
    """Refuse a file of a kind that no report has.

    Raises:
        InvalidInput: ``path`` ends in a suffix such as ``.pdf``, and is not a folder that exists.
    """
    from bench.report.write import FORMATS

    # ".1" of "reports/2026.1" is part of a folder's name, ".pdf" is a kind of file.
    if path is None or path.is_dir() or not re.fullmatch(r"\.[A-Za-z]\w{1,4}", path.suffix):
        return
    known = [f".{name}" for name in FORMATS if name not in {"vlmhyperbench"}]
    if path.suffix.lower() not in {*known, ".htm"}:
        raise InvalidInput(
            f"a report cannot be written as {path.suffix} (--out {printable(str(path))})",
            hint=f"end the name in {', '.join(known)}, or name a folder that exists",
        )


def print_summary(
    evaluations: Sequence[Evaluation], written: Sequence[Path], *, as_json: bool
) -> None:
    """Print the leaderboard on standard output, and where the files are."""
    from bench.cli.tables import has_color, line_width
    from bench.report import ReportOptions, build, terminal_summary
    from bench.report.tables import report_json

    view = build(evaluations, ReportOptions())
    if as_json:
        click.echo(report_json(view).rstrip())
        return
    click.echo(terminal_summary(view, line_width(), color=has_color()).rstrip())
    for path in written:
        if path.suffix in {".html", ""}:
            click.echo(f"{'Report' if path.suffix else 'Scores'}   {path}")
    for path in written:
        if path.suffix == ".csv" and path.parent.name != "tables":
            click.echo(f"Table    {path}")


def failed_share(evaluations: Sequence[Evaluation]) -> float:
    """The share of all answers that failed, from 0 to 1."""
    cells = [cell for evaluation in evaluations for cell in evaluation.cells.values()]
    failures = [answer.failed for cell in cells for answer in cell.answers]
    return sum(failures) / max(1, len(failures))

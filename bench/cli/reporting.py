"""What several verbs do with scored runs: write their report, and print its summary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.errors import EnvironmentProblem, InvalidInput
from bench.text import printable

if TYPE_CHECKING:
    from bench.report import ReportOptions, ReportView, Section
    from bench.scoring.evaluation import Evaluation

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
    from bench.report import write_view
    from bench.tasks.previews import write_previews

    for evaluation in evaluations:
        try:
            write_previews(evaluation.run.path, evaluation.tasks.values(), limit=PREVIEW_LIMIT)
        except EnvironmentProblem as error:
            # Somebody else's run is often read-only; its report can be written elsewhere.
            message = printable(error.message)
            click.echo(f"warning: the report has no page images: {message}", err=True)
    return write_view(view, destination, formats, options, sections)


def check_destination(path: Path | None) -> None:
    """Refuse a file of a kind that no report has.

    Raises:
        InvalidInput: ``path`` ends in a suffix such as ``.pdf``, and is not a folder that exists.
    """
    from bench.report import FORMATS

    # ".1" of "reports/2026.1" is part of a folder's name, ".pdf" is a kind of file.
    if path is None or path.is_dir() or not re.fullmatch(r"\.[A-Za-z]\w{1,4}", path.suffix):
        return
    known = [f".{name}" for name in FORMATS]
    if path.suffix.lower() not in {*known, ".htm"}:
        raise InvalidInput(
            f"a report cannot be written as {path.suffix} (--out {printable(str(path))})",
            hint=f"end the name in {', '.join(known)}, or name a folder that exists",
        )


def print_summary(
    view: ReportView, sections: Sequence[Section], written: Sequence[Path], *, as_json: bool
) -> None:
    """Print the leaderboard on standard output, and where the files are."""
    from bench.cli.tables import has_color, line_width
    from bench.report import report_json, terminal_summary

    if as_json:
        click.echo(report_json(view, sections).rstrip())
        return
    click.echo(terminal_summary(sections, line_width(), color=has_color()).rstrip())
    for path in written:
        if path.suffix in {".html", ""}:
            click.echo(f"{'Report' if path.suffix else 'Scores'}   {path}")
    tables = [path for path in written if path.suffix == ".csv" and path.parent.name != "tables"]
    # A folder of VLMHyperBench's files holds hundreds of them.
    for place in dict.fromkeys(
        path.parent if path.parent.name == "vlmhyperbench" else path for path in tables
    ):
        click.echo(f"Table    {place}")

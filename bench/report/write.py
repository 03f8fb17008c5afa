"""Which files a report is, where they go, and writing them: each complete or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InvalidInput, did_you_mean
from bench.files import write_atomically
from bench.report import tables
from bench.report.assemble import build
from bench.report.markdown import markdown
from bench.report.section import Section
from bench.report.sections import SECTIONS, SectionMaker, make_sections
from bench.report.views import ReportOptions, ReportView
from bench.rundir.store import RunStore
from bench.scoring.evaluation import evaluate
from bench.text import file_name


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that a renderer is given."""

    view: ReportView
    sections: tuple[Section, ...]
    options: ReportOptions
    path: Path
    """Where the file will lie."""


Renderer = Callable[[Drawing], str]


def _html(drawing: Drawing) -> str:
    # Jinja2 is imported only where HTML is asked for.
    from bench.report.html import html

    return html(drawing.view, drawing.options, drawing.path, drawing.sections)


def _hyperbench(view: ReportView, sections: Sequence[Section]) -> dict[str, str]:
    from bench.report.hyperbench_files import hyperbench_files

    return hyperbench_files(view)


FORMATS: dict[str, dict[str, Renderer]] = {
    "html": {"report.html": _html},
    "md": {"report.md": lambda drawing: markdown(drawing.view, drawing.sections)},
    "csv": {
        "leaderboard.csv": lambda drawing: tables.leaderboard_csv(drawing.view),
        "samples.csv": lambda drawing: tables.samples_csv(drawing.view),
    },
    "json": {"report.json": lambda drawing: tables.report_json(drawing.view, drawing.sections)},
}
"""Format → file name → what draws it."""

FOLDERS: dict[str, tuple[str, Callable[[ReportView, Sequence[Section]], dict[str, str]]]] = {
    "csv": ("tables", lambda view, sections: tables.section_tables(sections)),
    "vlmhyperbench": ("vlmhyperbench", _hyperbench),
}
"""Format → name of a folder, and what makes its files: name → content."""

_SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".csv": "csv", ".json": "json"}


def write_report(
    runs: Sequence[RunStore],
    out: Path | None = None,
    formats: Sequence[str] = ("html", "md"),
    options: ReportOptions | None = None,
    sections: Mapping[str, str | SectionMaker] = SECTIONS,
) -> list[Path]:
    """Score ``runs``, join them into one report, and write it in ``formats``.

    Args:
        runs: one or several; a run that is still going is reported as it stands.
        out: a folder; or a file (``x.html``), which then is the only format. None: the run directory,
            or a folder beside the first of several runs.
        formats: keys of ``FORMATS`` and ``FOLDERS``.
        options: title, page images, size.
        sections: what the report holds, in this order; ``{**SECTIONS, "mine": my_function}`` adds one.

    Returns:
        The files written, the HTML first.

    Raises:
        InvalidInput: no run, an unknown format, or a damaged run.
        EnvironmentProblem: the disk is full or the folder cannot be written.
    """
    if not runs:
        raise InvalidInput("a report needs at least one run", hint="bench list runs")
    options = options or ReportOptions()
    check_options(options)
    view = build([evaluate(run) for run in runs], options)
    return write_view(view, out, list(dict.fromkeys(formats)), options, sections)


def write_view(
    view: ReportView,
    out: Path | None,
    formats: Sequence[str],
    options: ReportOptions,
    sections: Mapping[str, str | SectionMaker] = SECTIONS,
) -> list[Path]:
    """Write a view that was already built, as ``write_report`` does."""
    known = list(dict.fromkeys([*FORMATS, *FOLDERS]))
    for name in formats:
        if name not in known:
            raise InvalidInput(f"unknown report format {name!r}", hint=did_you_mean(name, known))
    folder, single = _destination(view, out)
    if single is not None:
        formats = [_SUFFIXES[single.suffix.lower()]]
    made = make_sections(view, sections)
    paths: list[Path] = []
    for name in sorted(formats, key=known.index):
        for number, (file, render) in enumerate(FORMATS.get(name, {}).items()):
            path = folder / file
            if single is not None:
                path = single if number == 0 else single.with_name(f"{single.stem}-{file}")
            write_atomically(path, render(Drawing(view, made, options, path)))
            paths.append(path)
        # One file was asked for: no folder stands beside it.
        if name in FOLDERS and single is None:
            inside, make_files = FOLDERS[name]
            for file, text in make_files(view, made).items():
                write_atomically(folder / inside / file, text)
                paths.append(folder / inside / file)
    return paths


def check_options(options: ReportOptions) -> None:
    """Refuse what cannot be drawn.

    Raises:
        InvalidInput: an unknown choice of images, or no room for a page at all.
    """
    if isinstance(options.images, str) and options.images not in {"none", "failures", "all"}:
        raise InvalidInput(
            f"--images takes none, failures, all or a number, not {options.images[:40]!r}",
            hint="--images failures",
        )
    if isinstance(options.images, int) and options.images < 0:
        raise InvalidInput(f"--images takes a number from 0 on, not {options.images}")
    if not options.max_mb >= 1:
        raise InvalidInput(f"--max-mb must be at least 1, not {options.max_mb}", hint="--max-mb 25")


def _destination(view: ReportView, out: Path | None) -> tuple[Path, Path | None]:
    """The folder, and the one file where a file was asked for."""
    if out is None:
        first = Path(view.runs[0].path)
        if len(view.runs) == 1:
            return first, None
        name = "report-" + "-".join(run.id.rsplit("-", 1)[-1] for run in view.runs[:4])
        return first.parent / file_name(name), None
    if out.suffix.lower() in _SUFFIXES and not out.is_dir():
        return out.parent, out
    return out, None

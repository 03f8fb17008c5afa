"""Which files a report is, where they go, and writing them: each complete or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import InvalidInput, did_you_mean
from bench.files import write_atomically
from bench.litter import remove_litter_beside
from bench.report import tables
from bench.report.assemble import build
from bench.report.hyperbench_files import hyperbench_files
from bench.report.markdown import markdown
from bench.report.options import ReportOptions
from bench.report.section import Section
from bench.report.sections import SECTIONS, SectionMaker, make_sections
from bench.report.views import ReportView
from bench.rundir.store import RunStore
from bench.scoring.evaluation import evaluate
from bench.text import file_name


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that a file of the report is drawn from."""

    view: ReportView
    sections: Sequence[Section]
    options: ReportOptions
    path: Path
    """Where the file will lie."""


def _html(drawing: Drawing) -> str:
    # Jinja2 is imported only where HTML is asked for.
    from bench.report.html import html

    return html(drawing.view, drawing.sections, drawing.options, drawing.path)


FORMATS: Mapping[str, Mapping[str, Callable[[Drawing], str]]] = {
    "html": {"report.html": _html},
    "md": {"report.md": lambda drawing: markdown(drawing.sections)},
    "csv": {
        "leaderboard.csv": lambda drawing: tables.leaderboard_csv(drawing.view),
        "samples.csv": lambda drawing: tables.samples_csv(drawing.view),
    },
    "json": {"report.json": lambda drawing: tables.report_json(drawing.view, drawing.sections)},
}
"""Format → file name → what draws it."""

FOLDERS: Mapping[str, tuple[str, Callable[[Drawing], dict[str, str]]]] = {
    "csv": ("tables", lambda drawing: tables.section_tables(drawing.sections)),
    "vlmhyperbench": ("vlmhyperbench", lambda drawing: hyperbench_files(drawing.view)),
}
"""Format → name of a folder, and what makes its files: name → content."""

MARKS: Mapping[str, str] = {
    "html": '<meta name="generator" content="docvlm-bench',
    # A report that is too long ends with the second sentence.
    "md": r"^docvlm-bench \S+, \d{4}-\d\d-\d\d|^_The rest did not fit here",
    "csv": r"^(\xef\xbb\xbf)?(rank,model,run|task,sample_id),",
    "json": r'^"bench_version": ',
}
"""Format → a regular expression that is found near the beginning or the end of each of its files."""

_UTF8_MARK = "\ufeff"
"""Without it, Excel reads a CSV in the encoding of its country: Cyrillic and Chinese become nonsense."""

SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".csv": "csv", ".json": "json"}
"""Suffix of a file that a person named → the format that it gets."""


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
    view = build([evaluate(run) for run in runs], options)
    return write_view(view, out, formats, options, make_sections(view, sections))


def write_view(
    view: ReportView,
    out: Path | None,
    formats: Sequence[str],
    options: ReportOptions | None = None,
    sections: Sequence[Section] | None = None,
) -> list[Path]:
    """Write a view that was already built, as ``write_report`` does. No format writes nothing.

    ``sections`` are what ``make_sections`` made of the view; None makes them here.
    """
    known = list(dict.fromkeys([*FORMATS, *FOLDERS]))
    for name in formats:
        if name not in known:
            raise InvalidInput(f"unknown report format {name!r}", hint=did_you_mean(name, known))
    folder, single = _destination(view, out)
    if single is not None:
        formats = [SUFFIXES[single.suffix.lower()]]
    drawn = make_sections(view) if sections is None else sections
    drawing = Drawing(view, drawn, options or ReportOptions(), folder)
    remove_litter_beside([folder / "report.html"])
    written: list[Path] = []
    for name in sorted(set(formats), key=known.index):
        for number, (file, draw) in enumerate(FORMATS.get(name, {}).items()):
            path = folder / file
            if single is not None:
                path = named_files(single)[number]
            _write(path, draw(replace(drawing, path=path)))
            written.append(path)
        # One file was asked for: no folder stands beside it.
        if name in FOLDERS and single is None:
            inside, make_files = FOLDERS[name]
            for file, text in make_files(drawing).items():
                path = folder / inside / file
                _write(path, text)
                written.append(path)
    return written


def named_files(single: Path) -> list[Path]:
    """What is written where a person named one file: that, and what its format has besides."""
    _, *others = FORMATS[SUFFIXES[single.suffix.lower()]]
    return [single, *(single.with_name(f"{single.stem}-{other}") for other in others)]


def _write(path: Path, text: str) -> None:
    """Write a file of the report; a table says that it is UTF-8."""
    if path.suffix.lower() == ".csv" and not text.startswith(_UTF8_MARK):
        text = _UTF8_MARK + text
    write_atomically(path, text)


def _destination(view: ReportView, out: Path | None) -> tuple[Path, Path | None]:
    """The folder, and the one file where a file was asked for."""
    if out is None:
        first = Path(view.runs[0].path)
        if len(view.runs) == 1:
            return first, None
        name = "report-" + "-".join(run.id.rsplit("-", 1)[-1] for run in view.runs[:4])
        return first.parent / file_name(name), None
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        return out.parent, out
    return out, None

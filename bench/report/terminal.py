"""The block that ends a run in the terminal, and one sample in the terminal (``bench show``).

Plain text unless ``color`` is asked for; the caller decides that (a terminal, no ``NO_COLOR``).
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import formatting
from bench.report.speed import offline_words, page_reuse
from bench.report.views import ModelRow, ReportView
from bench.text import clip, one_line

PLAIN_WIDTH = 100
"""Columns where there is no terminal to ask."""


def terminal_summary(view: ReportView, width: int | None = None, *, color: bool = False) -> str:
    """The leaderboard, the verdict and what to type next, at most ``width`` columns wide."""
    width = max(40, width or PLAIN_WIDTH)
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(_leaderboard(view, width))
    if len(view.tasks) > 1:
        console.print()
        console.print(_by_task(view, width))
    if any(offline_words(row) for row in view.rows):
        console.print()
        console.print(_time(view, width))
    console.print()
    closing = Table.grid(padding=(0, 2, 0, 0))
    for label, text, style in _closing(view):
        closing.add_row(Text(label, style=style), Text(text))
    console.print(closing)
    for i, command in enumerate(_next(view)):
        # Never wrapped: a command that is broken over two lines cannot be copied.
        console.print(Text(f"{'Next' if i == 0 else '':<9}{command}"), soft_wrap=True)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def _table(*columns: tuple[str, bool]) -> Table:
    """A table without lines: they say nothing in a terminal and break in a log."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, is_text in columns:
        # A model's name may be a path: folded, it stays whole.
        table.add_column(
            name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold"
        )
    return table


def _leaderboard(view: ReportView, width: int) -> Table:
    arrow = "↑" if view.higher_is_better else "↓"
    columns: list[tuple[str, bool, int]] = [
        # name, is text, width below which the column is dropped
        ("#", False, 0),
        ("model", True, 0),
        ("n", False, 76),
        (f"score{arrow}", False, 0),
        ("95% CI", True, 64),
        ("p50 s", False, 56),
        ("p95 s", False, 84),
        ("q/s", False, 72),
        ("peak GiB", False, 80),
        ("failed", False, 0),
    ]
    kept = [i for i, (_, _, minimum) in enumerate(columns) if width >= minimum]
    table = _table(*((columns[i][0], columns[i][1]) for i in kept))
    for row in view.rows:
        cells = _cells(row, view)
        style = "bold green" if row.key == view.verdict.best else "dim" if not row.ranked else ""
        table.add_row(*(Text(cells[i], style=style) for i in kept))
    return table


def _cells(row: ModelRow, view: ReportView) -> list[str]:
    latency, rate, memory = row.facts.latency, row.facts.throughput, row.facts.memory
    name = one_line(row.key, 60)
    if row.state != "complete":
        name += f" ({row.state}, {row.asked:,}/{row.samples:,})"
    rank = formatting.DASH if row.rank is None else f"{row.rank}{'=' if row.tied else ''}"
    mark = "*" if memory is not None and memory.kind == "peak_rss" and _mixes_memory(view) else ""
    return [
        rank,
        name,
        formatting.count(row.score.n if row.score is not None else None),
        formatting.score(row.score.value if row.score is not None else None),
        formatting.interval(row.score),
        formatting.significant(latency.p50 if latency is not None else None),
        formatting.significant(latency.p95 if latency is not None else None),
        formatting.significant(rate.questions_per_second if rate is not None else None),
        formatting.gib(memory.bytes if memory is not None else None) + mark,
        formatting.count(row.failed),
    ]


def _mixes_memory(view: ReportView) -> bool:
    kinds = {row.facts.memory.kind for row in view.rows if row.facts.memory is not None}
    return len(kinds) > 1


def _by_task(view: ReportView, width: int) -> Table:
    """Scores by task; tasks as rows, because there are more of them than of models."""
    rows = [row for row in view.rows if row.asked > 0]
    task_width = min(28, max(len(task.key) for task in view.tasks))
    metric_width = max(len(task.headline) for task in view.tasks) + 1
    left = width - task_width - metric_width - 4
    shown: list[ModelRow] = []
    for row in rows:
        left -= min(14, max(5, len(row.key))) + 2
        if left < 0 and shown:
            break
        shown.append(row)
    table = _table(
        ("task", True), ("metric", True), *((clip(one_line(r.key), 14), False) for r in shown)
    )
    for task in view.tasks:
        arrow = "↑" if task.higher_is_better else "↓"
        scores = [row.tasks.get(task.key) for row in shown]
        table.add_row(
            Text(clip(one_line(task.key), 28)),
            Text(f"{task.headline}{arrow}"),
            *(
                Text(formatting.score(s.estimate.value if s is not None and s.asked else None))
                for s in scores
            ),
        )
    if len(shown) < len(rows):
        table.caption = f"{formatting.plural(len(rows) - len(shown), 'more model')} in the report"
        table.caption_justify = "left"
    return table


def _time(view: ReportView, width: int) -> Table:
    """Latency to the first token where there is one, and where the time goes."""
    tokens = [row for row in view.rows if _first_token(row)[0] is not None]
    wide = bool(tokens) and width >= 72
    numeric = (("first token s", False), ("warm s", False), ("then tok/s", False)) if wide else ()
    table = _table(("model", True), *numeric, ("offline time", True))
    for row in view.rows:
        if words := offline_words(row):
            values = _first_token(row) if wide else ()
            numbers = [Text(formatting.significant(value)) for value in values]
            table.add_row(Text(one_line(row.key, 60)), *numbers, Text(words.replace(" %", "%")))
    return table


def _first_token(row: ModelRow) -> tuple[float | None, float | None, float | None]:
    """Median seconds to the first token, cold and warm, and tokens a second after it."""
    alone = row.facts.single_stream
    if alone is None or alone.first_token is None:
        return None, None, None
    warm = alone.warm_first_token
    return alone.first_token.p50, None if warm is None else warm.p50, alone.tokens_per_second


def _closing(view: ReportView) -> Sequence[tuple[str, str, str]]:
    """Summary, warnings, and what the memory column is the peak of."""
    summary = " ".join(filter(None, [view.verdict.headline, view.verdict.detail]))
    lines = [("Summary", one_line(summary, 600), "bold")]
    points = "; ".join(
        f"{p.label.lower()}: {one_line(p.model, 60)}, {p.text}" for p in view.verdict.points
    )
    if points and len(view.ranked) > 1:
        lines.append(("", f"{points[0].upper()}{points[1:]}.", ""))
    lines += [
        ("Warning" if i == 0 else "", one_line(caveat.text, 400), "yellow")
        for i, caveat in enumerate(view.caveats)
    ]
    if view.load.questions_per_page is not None and any(r.facts.throughput for r in view.rows):
        ratio = formatting.significant(view.load.questions_per_page)
        lines.append(("q/s", f"offline, in batches; {ratio} questions a page", ""))
        lines += [
            (
                "",
                f"{formatting.listed(one_line(key, 60) for key in keys)}: {one_line(said, 200)}",
                "",
            )
            for said, keys in page_reuse(view.rows).items()
        ]
    kinds = {r.facts.memory.label for r in view.rows if r.facts.memory is not None}
    if kinds:
        star = ", * = peak RSS (CPU)" if _mixes_memory(view) else ""
        kinds_named = next(iter(sorted(kinds - {"peak RSS (CPU)"})), "peak RSS (CPU)")
        lines.append(("Memory", f"{kinds_named}{star}", ""))
    return lines


def _next(view: ReportView) -> list[str]:
    paths = [_short_path(run.path) for run in view.runs]
    found = [f"bench report {' '.join(paths)} --open"]
    wrong = next(
        (s for s in view.samples if any(level in ("wrong", "failed") for level in s.levels)), None
    )
    if wrong is not None and len(paths) == 1:
        task = view.tasks[wrong.task].name
        sample = f"{task}/{wrong.sample.id}"
        if sample.isprintable():
            found.append(f"bench show {paths[0]} {shlex.quote(sample)}")
    return found


def _short_path(path: str) -> str:
    """Relative to the working folder where that is shorter, quoted for a shell."""
    full = Path(path).resolve()
    here = Path.cwd()
    return shlex.quote(str(full.relative_to(here) if full.is_relative_to(here) else full))

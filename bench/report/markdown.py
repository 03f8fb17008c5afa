"""``report.md``: the report as Markdown that fits a pull-request comment (under 65,536 characters)."""

from __future__ import annotations

from collections.abc import Sequence

from bench import formatting
from bench.report.hyperbench_files import page_classes_markdown
from bench.report.markup import escape, table
from bench.report.mistakes import EQUIVALENT, extraction_line, judged, label, not_right
from bench.report.published import published_markdown
from bench.report.samples import extracted_text, never_right, raw_text, worst
from bench.report.speed_tables import speed_markdown
from bench.report.sweep import sweeps_markdown
from bench.report.verdict import Caveat
from bench.report.views import ModelRow, ReportView, SampleView, TaskView
from bench.scoring.levels import LEVELS
from bench.text import clip, one_line

MAX_CHARACTERS = 65_000
"""A GitHub comment holds 65,536 characters."""


def markdown(view: ReportView) -> str:
    """The whole report; sections at the end are left out, and named, if it would not fit."""
    # These draw with this module's tables.

    sections = [
        _head(view),
        _leaderboard(view),
        _by_task(view),
        sweeps_markdown(view.sweeps),
        speed_markdown(view),
        published_markdown(view.published),
        _slices(view),
        page_classes_markdown(view),
        _mistakes(view),
        _pairs(view),
        _errors(view),
        _method(view),
    ]
    kept: list[str] = []
    size = 0
    for section in filter(None, sections):
        if size + len(section) + 200 > MAX_CHARACTERS:
            kept.append("_The rest did not fit here; it is in the HTML report._\n")
            break
        kept.append(section)
        size += len(section) + 1
    return "\n".join(kept)


def _head(view: ReportView) -> str:
    verdict = view.verdict
    lines = [
        f"# {escape(view.title)}",
        "",
        f"**{escape(verdict.headline, 600)}** {escape(verdict.detail, 600)}",
    ]
    lines += [""] + [
        f"- {p.label}: **{escape(p.model)}**, {escape(p.text)}" for p in verdict.points
    ]
    lines += ["", *(_caveat(c) for c in view.caveats)]
    return "\n".join(lines).rstrip() + "\n"


def _caveat(caveat: Caveat) -> str:
    return f"> **Note:** {escape(caveat.text, 500)}\n"


def _leaderboard(view: ReportView) -> str:
    arrow = "↑" if view.higher_is_better else "↓"
    header = [
        "#",
        "Model",
        f"Score {arrow}",
        "95 % interval",
        "n",
        "p50 s",
        "p95 s",
        "q/s",
        "Peak GiB",
        "Failed",
    ]
    numeric = [True, False, True, False, True, True, True, True, True, True]
    rows = [_row(row) for row in view.rows]
    note = (
        f"Score: {escape(view.score_name)}. Equal ranks: no difference beyond the noise "
        "(paired, clustered by document, Holm-adjusted).\n"
    )
    return f"## Leaderboard\n\n{table(header, rows, numeric)}\n{note}"


def _row(row: ModelRow) -> list[str]:
    facts = row.facts
    name = f"**{escape(row.key)}**"
    if row.state != "complete":
        reason = f": {escape(row.failure.message)}" if row.failure is not None else ""
        name += f" _{row.state}, {row.asked}/{row.samples}{reason}_"
    memory = formatting.DASH
    if facts.memory is not None:
        suffix = " (RSS)" if facts.memory.kind == "peak_rss" else ""
        memory = formatting.gib(facts.memory.bytes) + suffix
    rate = facts.throughput.questions_per_second if facts.throughput is not None else None
    return [
        formatting.DASH if row.rank is None else f"{row.rank}{'=' if row.tied else ''}",
        name,
        formatting.score(row.score.value if row.score is not None else None),
        formatting.interval(row.score),
        formatting.count(row.score.n if row.score is not None else None),
        formatting.significant(facts.latency.p50 if facts.latency is not None else None),
        formatting.significant(facts.latency.p95 if facts.latency is not None else None),
        formatting.significant(rate),
        memory,
        formatting.count(row.failed),
    ]


def _by_task(view: ReportView) -> str:
    rows = [row for row in view.rows if row.asked > 0]
    if not rows or not view.tasks:
        return ""
    lines = []
    for task in view.tasks:
        cells = []
        for row in rows:
            score = row.tasks.get(task.key)
            if score is None or score.asked == 0:
                cells.append(formatting.DASH)
            else:
                cells.append(
                    f"{formatting.score(score.estimate.value)} {formatting.interval(score.estimate)}"
                )
        name = f"{task.headline} {'↑' if task.higher_is_better else '↓'}"
        lines.append([escape(task.key), escape(name), str(task.samples), *cells])
        equivalent = _equivalent(task, rows)
        if set(equivalent) != {formatting.DASH}:
            lines.append(["", "equivalent ↑", "", *equivalent])
    header = ["Task", "Metric", "n", *(escape(row.key) for row in rows)]
    body = table(header, lines, [False, False, True] + [True] * len(rows))
    return f"## Tasks\n\n{body}\n{EQUIVALENT}\n"


def _equivalent(task: TaskView, rows: Sequence[ModelRow]) -> list[str]:
    estimates = [
        score.equivalent if (score := row.tasks.get(task.key)) is not None and score.asked else None
        for row in rows
    ]
    return [
        formatting.DASH if e is None else f"{formatting.score(e.value)} {formatting.interval(e)}"
        for e in estimates
    ]


def _mistakes(view: ReportView) -> str:
    rows = [row for row in view.rows if row.asked > 0]
    if not view.mistakes or not rows:
        return ""
    lines = [
        [
            escape(kind.label),
            *(
                f"{kind.counts[row.key]:,} ({formatting.percent(kind.shares[row.key])})"
                if kind.counts[row.key]
                else "0"
                for row in rows
            ),
            escape(kind.rule),
        ]
        for kind in view.mistakes
    ]
    total = [f"{not_right(row):,} of {judged(row):,}" for row in rows]
    lines.insert(0, ["**not right**", *total, ""])
    header = ["Kind", *(escape(row.key) for row in rows), "Rule"]
    body = table(header, lines, [False] + [True] * len(rows) + [False])
    note = "Shares are of the answers that are not right; each has one kind, by the first rule that applies."
    unread = [task.key for task in view.tasks if not task.texts_known]
    if unread:
        note += (
            f" What is written on the documents of {escape(formatting.listed(unread))} is not known: there, "
            "no answer can be told to be not on the page."
        )
    return f"## What kind of wrong\n\n{body}\n{note}\n"


def _slices(view: ReportView, limit: int = 60) -> str:
    rows = [row for row in view.rows if any(row.key in s.estimates for s in view.slices)]
    if not rows:
        return ""
    lines = []
    for item in view.slices[:limit]:
        scores = [item.estimates.get(row.key) for row in rows]
        cells = [formatting.score(e.value if e is not None else None) for e in scores]
        lines.append([escape(item.key), escape(item.value), str(item.n), *cells])
    more = len(view.slices) - limit
    note = f"\n_{more} more slices are in the HTML report._\n" if more > 0 else ""
    header = ["By", "Value", "n", *(escape(row.key) for row in rows)]
    body = table(header, lines, [False, False, True] + [True] * len(rows))
    return f"## Slices\n\n{body}{note}"


def _pairs(view: ReportView, limit: int = 40) -> str:
    if not view.pairs:
        return ""
    lines = [
        [
            escape(pair.first),
            escape(pair.second),
            formatting.signed(pair.difference.difference),
            f"[{formatting.signed(pair.difference.low)}, {formatting.signed(pair.difference.high)}]",
            formatting.p_value(pair.p_holm),
            str(pair.wins),
            str(pair.losses),
            "yes" if pair.separated else "no",
        ]
        for pair in view.pairs[:limit]
    ]
    header = [
        "A",
        "B",
        "A − B",
        "95 % interval",
        "p (Holm)",
        "A better",
        "B better",
        "Beyond the noise",
    ]
    body = table(header, lines, [False, False, True, False, True, True, True, False])
    return (
        f"## Paired comparison\n\nOn the samples both were asked, clustered by document.\n\n{body}"
    )


def _errors(view: ReportView) -> str:
    parts = []
    lines = [
        [escape(row.key), escape(name), str(count)]
        for row in view.rows
        for name, count in row.facts.errors.items()
    ]
    lines += [
        [escape(row.key), "cut at the token limit", str(row.facts.stop_reasons["length"])]
        for row in view.rows
        if row.facts.stop_reasons.get("length", 0) > 0
    ]
    if lines:
        parts.append(table(["Model", "What happened", "Questions"], lines, [False, False, True]))
    suspects = never_right(view)
    if suspects:
        parts.append(
            f"No model is right on {formatting.plural(len(suspects), 'question')}; the reference may be wrong:\n"  # noqa: E501
        )
        parts += [_sample(view, sample) for sample in suspects[:8]]
    else:
        parts += [_sample(view, sample) for sample in worst(view)[:8]]
    return "## Errors\n\n" + "\n".join(parts) if parts else ""


def _sample(view: ReportView, sample: SampleView) -> str:
    task = view.tasks[sample.task]
    references = " · ".join(escape(raw_text(r), 80) for r in sample.sample.references[:3])
    lines = [
        f"- {escape(task.key)}/{escape(sample.sample.id, 80)}: {escape(sample.sample.question, 160)}",
        f"  - expected: {references or formatting.DASH}",
    ]
    for row, answer, level in zip(view.rows, sample.answers, sample.levels, strict=True):
        if answer is not None and answer.output is not None:
            said = answer.output.error if answer.failed else extracted_text(answer)
            kind = f" ({label(answer.mistake)})" if answer.mistake not in {None, level} else ""
            lines.append(
                f"  - {LEVELS[level][0]} {escape(row.key)}{kind}: {escape(clip(said or '', 400), 120)}"
            )
    return "\n".join(lines) + "\n"


def _method(view: ReportView) -> str:
    lines = ["## How it was measured", ""]
    for run in view.runs:
        commit = (
            f", commit {run.commit[:10]}{' with changes' if run.dirty else ''}"
            if run.commit
            else ""
        )
        started = escape(run.started or formatting.DASH)
        lines += [
            f"- Run `{_code(run.id)}` ({escape(run.state)}), started {started}{commit}",
            f"  - hardware: {escape(run.hardware)}",
            f"  - software: {escape(run.software or formatting.DASH, 800)}",
            f"  - command: `{_code(run.command) or formatting.DASH}`",
        ]
        if run.protocol:
            title = f" ({escape(run.protocol_title)})" if run.protocol_title else ""
            lines.append(f"  - protocol: {escape(run.protocol)}{title}")
            notes = (*run.deviations, *run.differences)
            lines += [f"    - {escape(sentence, 400)}" for sentence in notes[:12]]
    lines += [
        "- Throughput and memory: offline scenario (batched). Latency: single-stream scenario "
        "(one question at a time); the two are never mixed.",
        "- Intervals: 95 %, clustered by document. Failures count as the worst score.",
        *_extraction(view),
        "",
    ]
    header = ["Task", "Version", "Digest", "Questions", "Documents", "Pages", "Licence"]
    rows = [
        [
            escape(task.key),
            escape(task.version),
            f"`{_code(task.digest[:12])}`",
            str(task.samples),
            str(task.documents),
            str(task.pages),
            escape(task.license or formatting.DASH),
        ]
        for task in view.tasks
    ]
    lines.append(table(header, rows, [False, False, False, True, True, True, False]))
    lines.append(f"_docvlm-bench {escape(view.bench_version)}, {view.generated}_\n")
    return "\n".join(lines)


def _extraction(view: ReportView, limit: int = 20) -> list[str]:
    """One line where scoring raw texts would have given another headline."""
    if not view.extraction:
        return ["- Extracting the answers from the raw texts changed no headline score."]
    more = len(view.extraction) - limit
    return [
        "- Extracting the answers from the raw texts changed these headline scores:",
        *(f"  - {escape(extraction_line(line), 400)}" for line in view.extraction[:limit]),
        *([f"  - and {more} more in the HTML report"] if more > 0 else []),
    ]


def _code(text: str) -> str:
    return one_line(text, 600).replace("`", "'").replace("|", "¦")

"""``report.html``: one file that opens from ``file://`` with no network, now and in ten years.

Jinja2 escapes everything; the style sheet and the script are inlined and allowed by their hashes alone, so
that nothing in a model's answer can run, load or send anything. Tables and charts need no JavaScript.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from bench import formatting
from bench.drawing import svg
from bench.metrics import METRICS
from bench.metrics.ordering import MISSING, class_scores
from bench.report import plots, sweep
from bench.report.conditions import described
from bench.report.embed import MAX_TEXT, Embedded, embed, json_text
from bench.report.facts import MEMORY_KINDS
from bench.report.heat import SMALL_N, attr_json, slices
from bench.report.hyperbench_files import page_classes
from bench.report.mistakes import EQUIVALENT, extraction_line, judged, label, not_right
from bench.report.published import NOTE, VERDICTS
from bench.report.samples import extracted_text, never_right, raw_text, worst
from bench.report.speed import (
    OTHER,
    energy,
    first_token_words,
    offline_shares,
    page_reuse,
    questions_per_page,
)
from bench.report.views import ModelRow, ReportOptions, ReportView, SampleView
from bench.scoring.levels import LEVELS
from bench.text import clip

TEMPLATES = Path(__file__).parent / "templates"

STAGE_COLOURS = {
    **{"preprocess": 0, "transfer": 1, "vision": 2, "prefix": 3, "suffix": 4, "decode": 5},
    **{"prefill": 3, "read": 6, "match": 7},
}
"""Stages of the backends that there are; no backend tells both a prefix and a prefill."""

MAX_TASK_COLUMNS = 12
"""Tasks with a column of their own in the leaderboard; all are in the slices."""


def html(view: ReportView, options: ReportOptions, path: Path) -> str:
    """The whole page.

    Args:
        view: the report.
        options: which page images, and the size limit.
        path: where the page will lie; beside the run's files it can link to them.
    """
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    context = _context(view, path) | {"style": Markup(style), "script": Markup(script)}
    context["csp"] = _policy(style, script)
    template = _environment().get_template("report.html.j2")
    bare = template.render(context | {"embedded": Embedded((), (), 0, 0, 0, 0, 0)})
    embedded = embed(view, options, len(bare.encode("utf-8", "replace")))
    return template.render(context | {"embedded": embedded})


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Untrusted text becomes visible where it would steer: every value passes here.
        finalize=_finalize,
    )
    for name in (
        *("score", "interval", "signed", "p_value", "significant", "seconds", "gib", "count"),
        *("parameters", "megabytes", "percent", "plural", "listed", "language_tag"),
    ):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["extraction_line"] = extraction_line
    environment.filters["attr_json"] = attr_json
    environment.filters["names"] = _names
    return environment


def _names(text: str, keys: Sequence[str]) -> Markup:
    """A sentence with the models' names set apart; short ones are not broken over two lines."""
    if not keys:
        return Markup.escape(formatting.safe(text))
    pattern = "|".join(re.escape(key) for key in sorted(keys, key=len, reverse=True))
    parts = re.split(f"({pattern})", text)
    return Markup("").join(
        Markup('<b class="{}">{}</b>').format(
            "name" if len(part) <= 26 else "", formatting.safe(part)
        )
        if i % 2
        else Markup.escape(formatting.safe(part))
        for i, part in enumerate(parts)
    )


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return "" if value is None else value
    return formatting.safe(value, newlines=True)


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy: this script, this style, images from data; nothing else at all."""

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    return (
        f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _context(view: ReportView, path: Path) -> dict[str, Any]:
    beside = len(view.runs) == 1 and path.parent.resolve() == Path(view.runs[0].path).resolve()
    rows = view.rows
    return {
        "view": view,
        "rows": rows,
        "dash": formatting.DASH,
        "index": {row.key: i for i, row in enumerate(rows)},
        "svg": svg,
        "levels": LEVELS,
        "memory_kinds": MEMORY_KINDS,
        "metrics": METRICS,
        "task_columns": view.tasks if 1 < len(view.tasks) <= MAX_TASK_COLUMNS else (),
        "scale": _scale(rows),
        "plots": _plots(view),
        "sweep_plots": _sweep_plots(view),
        "sweep_note": sweep.NOTE,
        "slices": slices(view),
        "strips": {width: _strips(view, width) for width in (760, 380)},
        "stages": _stages(rows),
        "latencies": _latencies(rows),
        "energy": {row.key: energy(row) for row in rows},
        "questions_a_page": {row.key: questions_per_page(row) for row in rows},
        "machine": {
            row.key: described(row.facts.conditions)
            for row in rows
            if row.facts.conditions is not None
        },
        "reach": _reach(view),
        "mixed_memory": len({r.facts.memory.kind for r in rows if r.facts.memory is not None}) > 1,
        "suspects": [_excerpt(view, sample) for sample in never_right(view)[:20]],
        "suspect_count": len(never_right(view)),
        "failures": [_excerpt(view, sample) for sample in worst(view)[:12]],
        "failure_count": len(worst(view)),
        "pages_beside": json_text(beside),
        "small_n": SMALL_N,
        "max_text": MAX_TEXT,
        "mishaps": _mishaps(rows),
        "records": [
            json.dumps(run.record, ensure_ascii=False, indent=2, default=str) for run in view.runs
        ],
        "not_right": {row.key: not_right(row) for row in rows},
        "judged": {row.key: judged(row) for row in rows},
        "unread": [task.key for task in view.tasks if not task.texts_known],
        "equivalent": EQUIVALENT,
        "reuse": page_reuse(rows),
        "published_note": NOTE,
        "published_words": VERDICTS,
        "page_classes": _page_classes(view),
        "by_task": _by_task(view),
        "languages": sorted({lang for task in view.tasks for lang in task.languages}),
        "failed": sum(row.failed for row in rows),
    }


def _by_task(view: ReportView) -> list[dict[str, Any]]:
    """Every task that was begun, with each row's score on it, or None."""
    found = []
    for task in view.tasks:
        scores = [row.tasks.get(task.key) for row in view.rows]
        begun = [score if score is not None and score.asked > 0 else None for score in scores]
        if any(begun):
            equivalent = any(score is not None and score.equivalent is not None for score in begun)
            found.append({"task": task, "scores": begun, "has_equivalent": equivalent})
    return found


def _page_classes(view: ReportView) -> list[dict[str, Any]]:
    """A confusion matrix for every model and every task about the classes of pages."""
    found = []
    for (model, task), counts in page_classes(view).items():
        scores = class_scores(counts)
        said = [score.label for score in scores]
        if any(answered == MISSING for _, answered in counts):
            said.append(MISSING)
        lines = [
            {"score": score, "counts": [counts.get((score.label, name), 0) for name in said]}
            for score in scores
        ]
        found.append({"model": model, "task": task, "said": said, "lines": lines})
    return found


def _scale(rows: Sequence[ModelRow]) -> tuple[float, float]:
    """The common scale of the in-cell whiskers: round numbers around all intervals."""
    scores = [row.score for row in rows if row.score is not None]
    ends = [e for s in scores for e in (s.low, s.value, s.high) if e is not None]
    if not ends:
        return 0.0, 1.0
    low, high = math.floor(min(ends) * 10) / 10, math.ceil(max(ends) * 10 - 1e-9) / 10
    return low, max(high, low + 0.1)


def _plots(view: ReportView) -> list[dict[str, Any]]:
    """The scatters: accuracy against latency, and against memory."""
    found = []
    for cost, title, unit in (
        ("latency", "Latency, p50 seconds a question (single stream)", " s"),
        ("memory", "Peak memory, GiB", " GiB"),
    ):
        points = _points(view, cost)
        if not points:
            continue
        drawn = {
            width: plots.scatter(
                points,
                width=width,
                x_title=title if width > 500 else title.split(" (")[0],
                x_text=lambda value, unit=unit: f"{value:g}{unit}",  # type: ignore[misc]
                y_title=view.score_name,
                higher=view.higher_is_better,
            )
            for width in (760, 380)
        }
        found.append(
            {
                "cost": cost,
                "name": "Latency" if cost == "latency" else "Memory",
                "wide": drawn[760],
                "narrow": drawn[380],
                "front": view.fronts[cost].keys,
                "cost_title": "p50 s" if cost == "latency" else "GiB",
                "lines": [
                    {
                        "index": p.index,
                        "key": view.rows[p.index].key,
                        "score": p.estimate.value,
                        "cost": formatting.significant(p.x),
                        "on_front": p.on_front,
                    }
                    for p in sorted(points, key=lambda p: p.x)
                ],
                "hollow": [p.label for p in points if p.hollow],
            }
        )
    return found


def _sweep_plots(view: ReportView) -> dict[str, Markup]:
    """The curves over resolution, for wide and for narrow screens."""
    index = {row.key: i for i, row in enumerate(view.rows)}
    found = sweep.cost(view.sweeps)
    title, costs = found if found is not None else ("", {})
    curves = [
        plots.Curve(
            formatting.safe(one.name),
            tuple(
                plots.Point(index[p.row], formatting.safe(p.row), p.max_pixels, p.score, False)
                for p in one.points
            ),
            tuple(costs[p.row] for p in one.points if p.row in costs),
        )
        for one in view.sweeps
    ]
    return {
        name: plots.curves(curves, width=width, y_title=view.score_name, cost_title=title)
        for name, width in (("wide", 760), ("narrow", 380))
    }


def _points(view: ReportView, cost: str) -> list[plots.Point]:
    kinds = [row.facts.memory.kind for row in view.ranked if row.facts.memory is not None]
    usual = max(kinds, key=kinds.count) if kinds else ""
    if "peak_process" in kinds:
        usual = "peak_process"
    points = []
    for i, row in enumerate(view.rows):
        if not row.ranked or row.score is None or row.score.value is None:
            continue
        latency, memory = row.facts.latency, row.facts.memory
        if cost == "latency" and latency is not None:
            x, hollow = latency.p50, False
        elif cost == "memory" and memory is not None:
            x, hollow = memory.bytes / 2**30, memory.kind != usual
        else:
            continue
        if x > 0:
            on_front = row.key in view.fronts[cost].keys
            points.append(plots.Point(i, formatting.safe(row.key), x, row.score, on_front, hollow))
    return points


def _strips(view: ReportView, width: int) -> Markup:
    return plots.strips(
        {
            i: (
                formatting.safe(clip(row.key, 26 if width < 500 else 40)),
                latency.seconds,
                {"p50": latency.p50, "p90": latency.p90, "p95": latency.p95, "p99": latency.p99},
            )
            for i, row in enumerate(view.rows)
            if (latency := row.facts.latency) is not None
        },
        width=width,
    )


def _stages(rows: Sequence[ModelRow]) -> list[dict[str, Any]]:
    """Where the offline time went, as shares; a stage has one colour whoever's it is."""
    colours = dict(STAGE_COLOURS)
    found = []
    for i, row in enumerate(rows):
        shares = []
        for name, value in offline_shares(row):
            colour = svg.OTHER_STAGE
            if name != OTHER:
                colour = colours.setdefault(name, len(colours) % svg.OTHER_STAGE)
            shares.append(svg.Share(formatting.safe(name), value, colour))
        if shares:
            first = formatting.safe(first_token_words(row))
            found.append({"index": i, "row": row, "shares": shares, "first_token": first})
    return found


def _latencies(rows: Sequence[ModelRow]) -> list[dict[str, Any]]:
    """A line each for the answer and its first token, cold and warm, of every model that was timed."""
    found = []
    for i, row in enumerate(rows):
        alone, cold = row.facts.single_stream, row.facts.latency
        if cold is None:
            continue
        lines = [("answer, cold", cold)]
        if alone is not None:
            lines += [
                (name, timed)
                for name, timed in (
                    ("answer, warm", alone.warm),
                    ("first token, cold", alone.first_token),
                    ("first token, warm", alone.warm_first_token),
                )
                if timed is not None
            ]
        rate = None if alone is None else alone.tokens_per_second
        found.append({"index": i, "row": row, "lines": lines, "rate": rate})
    return found


def _mishaps(rows: Sequence[ModelRow]) -> list[dict[str, Any]]:
    """What went wrong, by class, with how often it happened to every model."""
    classes = dict.fromkeys(name for row in rows for name in row.facts.errors)
    found = [
        {"name": name, "show": "failed", "counts": [row.facts.errors.get(name, 0) for row in rows]}
        for name in classes
    ]
    cut = [row.facts.stop_reasons.get("length", 0) for row in rows]
    if any(cut):
        found.append({"name": "cut at the limit of new tokens", "show": "", "counts": cut})
    return found


def _reach(view: ReportView) -> float:
    ends = [
        abs(end)
        for pair in view.pairs
        for end in (pair.difference.low, pair.difference.high, pair.difference.difference)
        if end is not None
    ]
    return max(ends, default=0.0) * 1.05


def _quoted(text: str) -> str:
    """A part of a deep link, as the script's ``encodeURIComponent`` writes it."""
    return quote(formatting.safe(text), safe="")


def _excerpt(view: ReportView, sample: SampleView) -> dict[str, Any]:
    """A sample as it stands in a list that needs no JavaScript."""
    task = view.tasks[sample.task]
    answers = []
    for i, (answer, level) in enumerate(zip(sample.answers, sample.levels, strict=True)):
        if answer is None or answer.output is None:
            continue
        said = (answer.output.error or "") if answer.failed else extracted_text(answer)
        kind = "" if answer.mistake in {None, level} else f": {label(answer.mistake or '')}"
        answers.append(
            {
                "index": i,
                "level": level,
                "glyph": LEVELS[level][0],
                "title": LEVELS[level][1] + kind,
                "text": clip(said, 160),
            }
        )
    return {
        "task": task.key,
        "id": formatting.safe(sample.sample.id),
        "href": f"#s={_quoted(task.key)}/{_quoted(sample.sample.id)}",
        "question": clip(sample.sample.question, 240),
        "references": [clip(raw_text(r), 160) for r in sample.sample.references[:3]],
        "language": formatting.language_tag(sample.sample.metadata.get("language")),
        "answers": answers,
    }

"""Speed and memory as Markdown: throughput, latency, where the time goes, what the machine was like."""

from __future__ import annotations

from bench import formatting
from bench.report.conditions import described
from bench.report.facts import MEMORY_KINDS
from bench.report.markup import escape, table
from bench.report.single_stream import Latency
from bench.report.speed import (
    energy,
    first_token_words,
    measured,
    offline_words,
    page_reuse,
    questions_per_page,
)
from bench.report.views import ModelRow, ReportView


def speed_markdown(view: ReportView) -> str:
    """The section; empty where nothing was measured."""
    rows = measured(view)
    if not rows:
        return ""
    parts = [
        _throughput(rows),
        "\n".join(_page_load(view)),
        _latency(rows),
        "\n".join(_time(rows)),
        "\n".join(_conditions(rows)),
    ]
    sections = [part.rstrip("\n") for part in parts if part]
    return "\n\n".join(["## Speed and memory", *sections]) + "\n"


def _throughput(rows: list[ModelRow]) -> str:
    kinds = [kind for kind in MEMORY_KINDS if any(_peak(row, kind) for row in rows)]
    header = ["Model", "q/s", "Questions a page", "Pages/s", "Tokens/s", "Energy a question"]
    header += ["Load", "First call", *(f"{kind.replace('peak_', '')} GiB" for kind in kinds)]
    lines = []
    for row in rows:
        facts, rate = row.facts, row.facts.throughput
        lines.append(
            [
                escape(row.key),
                formatting.significant(rate.questions_per_second if rate else None),
                questions_per_page(row),
                formatting.significant(rate.pages_per_second if rate else None),
                formatting.significant(rate.tokens_per_second if rate else None),
                energy(row),
                formatting.seconds(facts.load_seconds),
                formatting.seconds(facts.first_call_seconds),
                *(formatting.gib(_peak(row, kind)) for kind in kinds),
            ]
        )
    note = (
        "Offline scenario (batched). Load and first call (the warm-up) are in no other figure. "
        f"Peak memory: {formatting.listed(MEMORY_KINDS[kind] for kind in kinds)}.\n"
    )
    return f"{table(header, lines, [False] + [True] * (len(header) - 1))}\n{note if kinds else ''}"


def _peak(row: ModelRow, kind: str) -> int | None:
    return row.facts.memory.peaks.get(kind) if row.facts.memory is not None else None


def _page_load(view: ReportView) -> list[str]:
    load = view.load
    if load.questions_per_page is None:
        return []
    reuse = page_reuse(view.rows).items()
    return [
        f"- Questions a page: {formatting.significant(load.questions_per_page)} "
        f"({formatting.plural(load.questions, 'question')} about {formatting.plural(load.pages, 'page')}); "
        "the more there are, the more a model gains in questions/s that encodes a page once for all of them.",
        *(f"  - {escape(formatting.listed(keys, 6))}: {escape(said, 300)}" for said, keys in reuse),
    ]


def _latency(rows: list[ModelRow]) -> str:
    lines = []
    for row in rows:
        facts, alone = row.facts, row.facts.single_stream
        if facts.latency is None:
            continue
        lines.append([escape(row.key), "answer, cold", *_percentiles(facts.latency), ""])
        if alone is None:
            continue
        rate = formatting.significant(alone.tokens_per_second)
        lines += [
            ["", name, *_percentiles(found), rate if name == "first token, cold" else ""]
            for name, found in (
                ("answer, warm", alone.warm),
                ("first token, cold", alone.first_token),
                ("first token, warm", alone.warm_first_token),
            )
            if found is not None
        ]
    if not lines:
        return ""
    header = ["Model", "Seconds to", "p50", "p90", "p95", "p99", "n", "Then tokens/s"]
    note = (
        "Single-stream scenario (one question at a time). Cold: a page met for the first time; warm: the "
        "same question again at once.\n"
    )
    return f"{table(header, lines, [False, False] + [True] * 6)}\n{note}"


def _percentiles(found: Latency) -> list[str]:
    values = (found.p50, found.p90, found.p95, found.p99)
    return [*(formatting.significant(value) for value in values), str(found.n)]


def _time(rows: list[ModelRow]) -> list[str]:
    lines = []
    for row in rows:
        if offline := offline_words(row):
            lines.append(f"- {escape(row.key)}, offline time: {escape(offline, 400)}")
        if first := first_token_words(row):
            lines.append(f"  - to the first token, mean, cold: {escape(first, 400)}")
    return lines


def _conditions(rows: list[ModelRow]) -> list[str]:
    lines = []
    for row in rows:
        found = row.facts.conditions
        if found is not None and (said := described(found)):
            words = "; ".join(f"{what} {how_much}" for what, how_much in said)
            lines.append(
                f"- {escape(row.key)}, sampled for {found.seconds} s: {escape(words, 600)}"
            )
    return lines

"""Speed in words and shares, for every renderer: where the time goes, energy, what a page is used for."""

from __future__ import annotations

from collections.abc import Sequence

from bench import formatting
from bench.measure.energy import WINDOW_SECONDS
from bench.report.views import ModelRow, ReportView

OTHER = "other"
"""The time that no stage claims, or that a backend itself calls the rest."""


def offline_shares(row: ModelRow) -> list[tuple[str, float]]:
    """Stage → share of the offline scenario's time, in the stages' order, the rest last; 0 to 1."""
    rate = row.facts.throughput
    if rate is None or not rate.stages:
        return []
    shares = [
        (name, min(1.0, seconds / rate.device_seconds))
        for name, seconds in rate.stages.items()
        if name != OTHER
    ]
    rest = 1 - sum(share for _, share in shares)
    return [*shares, (OTHER, rest)] if rest > 0.005 else shares


def offline_words(row: ModelRow) -> str:
    """``vision 45 %, prefix 20 %``; empty where no stages were recorded."""
    return ", ".join(f"{name} {formatting.percent(share)}" for name, share in offline_shares(row))


def first_token_words(row: ModelRow) -> str:
    """``vision 0.20 s, prefix 0.10 s``: on the way to the first token, means; empty where unknown."""
    alone = row.facts.single_stream
    if alone is None:
        return ""
    return ", ".join(
        f"{name} {formatting.seconds(seconds)}" for name, seconds in alone.first_token_parts.items()
    )


def energy(row: ModelRow) -> str:
    """Joules a question, or why there is no number."""
    found, rate = row.facts.energy, row.facts.throughput
    if found is not None:
        return f"{formatting.significant(found.joules_per_question)} J"
    if rate is not None and row.device.startswith("cuda") and rate.seconds < WINDOW_SECONDS:
        return f"not given: under {WINDOW_SECONDS:.0f} s"
    return formatting.DASH


def questions_per_page(row: ModelRow) -> str:
    """Of the calls behind the throughput."""
    rate = row.facts.throughput
    return formatting.significant(rate.questions_per_page if rate is not None else None)


def page_reuse(rows: Sequence[ModelRow]) -> dict[str, list[str]]:
    """What models say that they do once a page → keys of the rows that say it."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.page_reuse:
            said.setdefault(row.page_reuse, []).append(row.key)
    return said


def measured(view: ReportView) -> list[ModelRow]:
    """Rows of which there is anything to say about speed or memory."""
    return [
        row
        for row in view.rows
        if row.facts.throughput is not None
        or row.facts.latency is not None
        or row.facts.memory is not None
    ]

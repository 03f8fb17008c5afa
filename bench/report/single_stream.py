"""The single-stream scenario: one question at a time, each of another document, cold and then warm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.report.records import nested, number
from bench.report.views import Latency, SingleStream

_AFTER_FIRST_TOKEN = ("decode", "other")
"""Stages of a call that are not on the way to its first token."""


def latency(values: Iterable[Any]) -> Latency | None:
    """The percentiles of what is a number among ``values``."""
    seconds = sorted(known for value in values if (known := number(value)) is not None)
    if not seconds:
        return None
    p50, p90, p95, p99 = (float(q) for q in np.percentile(seconds, [50, 90, 95, 99]))
    return Latency(len(seconds), p50, p90, p95, p99, tuple(seconds))


def single_stream(records: Sequence[Mapping[str, Any]]) -> SingleStream | None:
    """The scenario's parts; None if it was not measured."""
    if not records:
        return None
    return SingleStream(
        warm=latency(nested(r, "warm", "seconds") for r in records),
        first_token=latency(r.get("first_token_seconds") for r in records),
        warm_first_token=latency(nested(r, "warm", "first_token_seconds") for r in records),
        first_token_parts=_parts(records),
        tokens_per_second=_rate(records),
    )


def _parts(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    timed = [r["stages"] for r in records if _has_first_token(r)]
    stages = dict.fromkeys(name for seconds in timed for name in seconds)
    return {
        stage: sum(number(seconds.get(stage)) or 0.0 for seconds in timed) / len(timed)
        for stage in stages
        if stage not in _AFTER_FIRST_TOKEN
    }


def _rate(records: Sequence[Mapping[str, Any]]) -> float | None:
    tokens = seconds = 0.0
    for record in records:
        generated = number(record.get("generated_tokens"))
        if not _has_first_token(record) or generated is None or generated < 2:
            # An answer of one token has no token after the first, so it says nothing about the rate.
            continue
        tokens += generated - 1
        seconds += number(record["stages"].get("decode")) or 0.0
    return tokens / seconds if seconds > 0 else None


def _has_first_token(record: Mapping[str, Any]) -> bool:
    known = number(record.get("first_token_seconds")) is not None
    return known and isinstance(record.get("stages"), Mapping)

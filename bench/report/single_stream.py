"""The single-stream scenario: one question at a time, each of another document, cold and then warm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.report.records import nested, number

_AFTER_FIRST_TOKEN = ("decode", "other")
"""Stages of a call that are not on the way to its first token."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of single questions, as percentiles."""

    n: int
    """Questions measured."""
    p50: float
    """Seconds."""
    p90: float
    """Seconds."""
    p95: float
    """Seconds."""
    p99: float
    """Seconds."""
    seconds: tuple[float, ...]
    """Every measurement, ascending."""


@dataclass(frozen=True, slots=True)
class SingleStream:
    """What latency is made of. Its cold whole is ``Facts.latency``."""

    warm: Latency | None
    """The same questions asked again at once."""
    first_token: Latency | None
    """Cold; None where the backend has no tokens."""
    warm_first_token: Latency | None
    first_token_parts: Mapping[str, float]
    """Mean seconds of each stage on the way to the first token, cold; empty without ``first_token``."""
    tokens_per_second: float | None
    """Cold: all tokens after the first of all answers, over the seconds that they took together."""


def latency(values: Iterable[Any]) -> Latency | None:
    """The percentiles of what is a number among ``values``."""
    found = sorted(v for value in values if (v := number(value)) is not None)
    if not found:
        return None
    p50, p90, p95, p99 = (float(q) for q in np.percentile(found, [50, 90, 95, 99]))
    return Latency(len(found), p50, p90, p95, p99, tuple(found))


def single_stream(records: Sequence[Mapping[str, Any]]) -> SingleStream | None:
    """The scenario's parts; None where it was not measured."""
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
    stages = dict.fromkeys(name for found in timed for name in found)
    return {
        stage: sum(number(found.get(stage)) or 0.0 for found in timed) / len(timed)
        for stage in stages
        if stage not in _AFTER_FIRST_TOKEN
    }


def _rate(records: Sequence[Mapping[str, Any]]) -> float | None:
    tokens = seconds = 0.0
    for record in records:
        generated = number(record.get("generated_tokens"))
        if not _has_first_token(record) or generated is None or generated < 2:
            # An answer of one token is decoded in no time that would say anything.
            continue
        tokens += generated - 1
        seconds += number(record["stages"].get("decode")) or 0.0
    return tokens / seconds if seconds > 0 else None


def _has_first_token(record: Mapping[str, Any]) -> bool:
    known = number(record.get("first_token_seconds")) is not None
    return known and isinstance(record.get("stages"), Mapping)

"""What was measured, from the run directory's records to numbers: speed, latency, memory, failures.

Throughput comes from the offline scenario (batches), latency from the single-stream scenario (one question
at a time); the two are never mixed. Records are read leniently: what an older run did not write is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.metrics.extract import without_thoughts
from bench.report.conditions import conditions
from bench.report.measurements import (
    MEMORY_KINDS,
    Energy,
    Facts,
    Latency,
    PeakMemory,
    SingleStream,
    Throughput,
)
from bench.report.records import nested, number, text
from bench.scoring.answers import Answer

GIB = 2.0**30
MOST_PAGES = 100_000
"""Pages of a batch that are believed; a damaged record may name any number."""


def measure(
    model_record: Mapping[str, Any] | None,
    batches: Sequence[Mapping[str, Any]],
    latencies: Sequence[Mapping[str, Any]],
    answers: Iterable[Answer],
    samples: Sequence[Mapping[str, Any]] = (),
    distinct_pages: int | None = None,
) -> Facts:
    """The facts of one model from its records in one run, all tasks together.

    Args:
        model_record: what ``model.json`` holds.
        batches: of the offline scenario.
        latencies: of the single-stream scenario.
        answers: the model's.
        samples: the monitor's.
        distinct_pages: that the questions of the measured batches are about.
    """
    after = nested(model_record, "memory_after_load")
    outputs = [answer.output for answer in answers if answer.output is not None]
    errors = Counter(error_class(o.error) for o in outputs if o.stop_reason == "error")
    # How soon a question fails is no latency: there is no answer.
    alone = [record for record in latencies if record.get("failed") is not True]
    return Facts(
        throughput=_throughput(batches, distinct_pages),
        latency=_latency(record.get("seconds") for record in alone),
        single_stream=_single_stream(alone) if latencies else None,
        memory=_memory(batches),
        energy=_energy(batches),
        conditions=conditions(samples),
        load_seconds=number(nested(model_record, "load_seconds")),
        first_call_seconds=number(nested(model_record, "first_call_seconds")),
        memory_after_load=_bytes(after),
        errors=dict(errors.most_common()),
        thoughts=dict(Counter(step for o in outputs for step in without_thoughts(o.text).steps)),
        stop_reasons=dict(Counter(o.stop_reason for o in outputs).most_common()),
    )


def error_class(error: str | None) -> str:
    """``OutOfMemory`` of ``OutOfMemory: the device …``."""
    name = (error or "").split(":", 1)[0].strip()
    return name if name and len(name) <= 60 and " " not in name else "Error"


def _throughput(
    batches: Sequence[Mapping[str, Any]], distinct_pages: int | None
) -> Throughput | None:
    timed = [b for b in batches if number(b.get("seconds")) is not None]
    total = wall_seconds(timed)
    if not timed or total <= 0:
        return None
    questions = sum(len(b["samples"]) for b in timed if isinstance(b.get("samples"), list))
    pages = _sum(b.get("pages") for b in timed)
    tokens = _sum(b.get("generated_tokens") for b in timed)
    stages: dict[str, float] = {}
    for batch in timed:
        measured = batch.get("stages")
        if isinstance(measured, Mapping):
            for stage, value in measured.items():
                stages[stage] = stages.get(stage, 0.0) + (number(value) or 0.0)
    in_flight = [n for b in timed if (n := number(nested(b, "notes", "in_flight"))) is not None]
    sizes = [size for b in timed if (size := number(b.get("batch_size"))) is not None]
    return Throughput(
        questions=questions,
        pages=pages,
        distinct_pages=distinct_pages,
        questions_per_page=questions / distinct_pages if distinct_pages else None,
        device_seconds=sum(float(b["seconds"]) for b in timed),
        generated_tokens=tokens,
        seconds=total,
        questions_per_second=questions / total if questions > 0 else None,
        pages_per_second=None if pages is None else pages / total,
        tokens_per_second=None if tokens is None else tokens / total,
        stages=stages,
        largest_batch=int(max(sizes)) if sizes else None,
        in_flight=int(max(in_flight)) if in_flight else None,
    )


def wall_seconds(batches: Iterable[Mapping[str, Any]]) -> float:
    """How long the batches took: on one device their sum, on several the slowest one's.

    A run may have gone on later with another number of devices; such sessions follow one another, so
    their times add up.
    """
    sessions: dict[str, dict[str, float]] = {}
    for batch in batches:
        processes = sessions.setdefault(text(batch.get("session")), {})
        shard = text(batch.get("shard"))
        processes[shard] = processes.get(shard, 0.0) + float(batch["seconds"])
    return sum(max(processes.values()) for processes in sessions.values())


def _energy(batches: Sequence[Mapping[str, Any]]) -> Energy | None:
    joules = seconds = questions = 0.0
    for batch in batches:
        window = [number(nested(batch, "energy", k)) for k in ("joules", "seconds", "questions")]
        if None not in window:
            joules, seconds, questions = (
                total + (part or 0.0)
                for total, part in zip((joules, seconds, questions), window, strict=True)
            )
    return Energy(joules, seconds, int(questions)) if questions > 0 else None


def _sum(values: Iterable[Any]) -> int | None:
    """The sum, or None if any part is unknown: a partial sum would be a wrong rate."""
    numbers = [number(value) for value in values]
    if not numbers or any(value is None for value in numbers):
        return None
    return int(sum(value for value in numbers if value is not None))


def _memory(batches: Sequence[Mapping[str, Any]]) -> PeakMemory | None:
    peaks: dict[str, int] = {}
    for batch in batches:
        for kind, value in _bytes(batch.get("memory")).items():
            if kind in MEMORY_KINDS:
                peaks[kind] = max(value, peaks.get(kind, 0))
    for kind in MEMORY_KINDS:
        if kind in peaks:
            return PeakMemory(kind, peaks[kind], peaks, _by_page(batches, kind))
    return None


def usual_memory(models: Iterable[Facts]) -> str:
    """The kind of memory that most models have, or that of GPUs where it is known; empty if none is known."""
    kinds = [facts.memory.kind for facts in models if facts.memory is not None]
    if "peak_process" in kinds:
        return "peak_process"
    return max(kinds, key=kinds.count) if kinds else ""


def _by_page(batches: Sequence[Mapping[str, Any]], kind: str) -> tuple[int, ...]:
    """The peak of its batch for every page; a batch that does not say how many pages it has counts as one."""
    peaks: list[int] = []
    for batch in batches:
        if (peak := _bytes(batch.get("memory")).get(kind)) is not None:
            pages = number(batch.get("pages")) or 1
            peaks += [peak] * min(MOST_PAGES, max(1, int(pages)))
    return tuple(sorted(peaks))


def _bytes(record: Any) -> dict[str, int]:
    if not isinstance(record, Mapping):
        return {}
    return {
        str(k): int(v) for k, value in record.items() if (v := number(value)) is not None and v > 0
    }


# The single-stream scenario: one question at a time, each of another document, cold and then warm

_AFTER_FIRST_TOKEN = ("decode", "other")
"""Stages of a call that are not on the way to its first token."""

_FASTEST_TOKENS = 10_000
"""Tokens a second of one answer, above which they came in one piece: something on the way held the stream
back, so that neither the time of the first token nor the rate of the others is known."""


def _latency(values: Iterable[Any]) -> Latency | None:
    """The percentiles of what is a number among ``values``."""
    seconds = sorted(known for value in values if (known := number(value)) is not None)
    if not seconds:
        return None
    p50, p90, p95, p99 = (float(q) for q in np.percentile(seconds, [50, 90, 95, 99]))
    return Latency(len(seconds), p50, p90, p95, p99, tuple(seconds))


def _single_stream(records: Sequence[Mapping[str, Any]]) -> SingleStream:
    """The scenario's parts, of questions that were answered."""
    warm = [r for r in records if nested(r, "warm", "failed") is not True]
    return SingleStream(
        warm=_latency(nested(r, "warm", "seconds") for r in warm),
        first_token=_latency(
            r.get("first_token_seconds") for r in records if not _came_in_one_piece(r)
        ),
        warm_first_token=_latency(nested(r, "warm", "first_token_seconds") for r in warm),
        first_token_parts=_first_token_parts(records),
        tokens_per_second=_token_rate(records),
    )


def _first_token_parts(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    timed = [r["stages"] for r in records if _has_first_token(r)]
    stages = dict.fromkeys(name for seconds in timed for name in seconds)
    return {
        stage: sum(number(seconds.get(stage)) or 0.0 for seconds in timed) / len(timed)
        for stage in stages
        if stage not in _AFTER_FIRST_TOKEN
    }


def _token_rate(records: Sequence[Mapping[str, Any]]) -> float | None:
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
    staged = isinstance(record.get("stages"), Mapping)
    return known and staged and not _came_in_one_piece(record)


def _came_in_one_piece(record: Mapping[str, Any]) -> bool:
    generated = number(record.get("generated_tokens"))
    decoding = number(nested(record, "stages", "decode"))
    if generated is None or decoding is None:
        return False
    return decoding * _FASTEST_TOKENS < generated - 1

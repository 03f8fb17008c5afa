"""The state of the machine during the measurement, from the monitor's samples a second apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench import formatting
from bench.report.measurements import Conditions, Range
from bench.report.records import nested, number

GPU_FIELDS: Mapping[str, tuple[str, str]] = {
    "sm_mhz": ("SM clock", "MHz"),
    "memory_mhz": ("memory clock", "MHz"),
    "celsius": ("temperature", "°C"),
    "watts": ("power", "W"),
    "utilization": ("busy", "%"),
}
"""Name in the records → name and unit on the page."""


def conditions(samples: Sequence[Mapping[str, Any]]) -> Conditions | None:
    """The samples together; None if there are none."""
    if not samples:
        return None
    by_second = [_gpus(sample) for sample in samples]
    gpus = [gpu for second in by_second for gpu in second]
    throttles = [{reason for gpu in second for reason in _reasons(gpu)} for second in by_second]
    counts = Counter(reason for reasons in throttles for reason in reasons)
    cores = _numbers(nested(sample, "cpu", "cores") for sample in samples)
    others = _numbers(gpu.get("others") for gpu in gpus)
    held = _numbers(gpu.get("other_bytes") for gpu in gpus)
    ranges = {field: _range(gpu.get(field) for gpu in gpus) for field in GPU_FIELDS}
    return Conditions(
        seconds=len(samples),
        gpu={field: span for field, span in ranges.items() if span is not None},
        throttled_seconds=sum(bool(reasons) for reasons in throttles),
        throttles=dict(counts.most_common()),
        others=int(max(others)) if others else None,
        other_bytes=int(max(held)) if held else None,
        cpu_mhz=_range(nested(sample, "cpu", "mhz") for sample in samples),
        cores=int(max(cores)) if cores else None,
        other_cores=_range(nested(sample, "cpu", "other_cores") for sample in samples),
    )


def doubts(state: Conditions) -> list[str]:
    """Why the device may be faster than what was measured, as parts of a sentence."""
    said = []
    if state.throttled_seconds > 0:
        why = formatting.listed(f"{reason} {n} s" for reason, n in state.throttles.items())
        said.append(
            f"its GPU was throttled for {state.throttled_seconds} of {state.seconds} s ({why})"
        )
    if state.others:
        held = f" ({formatting.gib(state.other_bytes)} GiB)" if state.other_bytes else ""
        count = formatting.plural(state.others, "other process", "other processes")
        said.append(f"{count}{held} computed on its GPU")
    if state.busy and state.other_cores is not None:
        said.append(
            f"other processes kept {formatting.significant(state.other_cores.median, 2)} of the machine's "
            f"{formatting.plural(state.cores or 0, 'core')} busy (median)"
        )
    return said


def described(state: Conditions) -> list[tuple[str, str]]:
    """Every reading as (what, how much) for a page."""
    lines = []
    for field, span in state.gpu.items():
        name, unit = GPU_FIELDS[field]
        scale = 100 if unit == "%" else 1
        lines.append((f"GPU {name}", _span(span, unit, scale)))
    if state.gpu:
        reasons = formatting.listed((f"{r} {n} s" for r, n in state.throttles.items()), 5)
        slow = f"{state.throttled_seconds} of {state.seconds} s"
        lines.append(("GPU throttled", f"{slow} ({reasons})" if state.throttles else slow))
        if state.others is not None:
            held = "" if not state.other_bytes else f", {formatting.gib(state.other_bytes)} GiB"
            lines.append(("other processes on the GPU", f"{state.others}{held}"))
    if state.cpu_mhz is not None:
        lines.append(("CPU clock", _span(state.cpu_mhz, "MHz")))
    if state.other_cores is not None:
        cores = "" if state.cores is None else f" of {state.cores}"
        lines.append((f"cores{cores} kept busy by other processes", _span(state.other_cores, "")))
    return lines


def _span(span: Range, unit: str, scale: float = 1.0) -> str:
    low, middle, high = (
        formatting.significant(value * scale) for value in (span.low, span.median, span.high)
    )
    text = middle if low == high else f"{middle} ({low} to {high})"
    return f"{text} {unit}".strip()


def _gpus(sample: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    gpus = sample.get("gpus")
    return [gpu for gpu in gpus if isinstance(gpu, Mapping)] if isinstance(gpus, list) else []


def _reasons(gpu: Mapping[str, Any]) -> list[str]:
    reasons = gpu.get("throttled")
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else []


def _numbers(values: Iterable[Any]) -> list[float]:
    return [known for value in values if (known := number(value)) is not None]


def _range(values: Iterable[Any]) -> Range | None:
    readings = _numbers(values)
    return Range(min(readings), median(readings), max(readings)) if readings else None

"""What the machine was like while a model was measured, from the monitor's samples a second apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench import formatting
from bench.report.records import nested, number

GPU_FIELDS: Mapping[str, tuple[str, str]] = {
    "sm_mhz": ("SM clock", "MHz"),
    "memory_mhz": ("memory clock", "MHz"),
    "celsius": ("temperature", "°C"),
    "watts": ("power", "W"),
    "utilization": ("busy", "%"),
}
"""Name in the records → name and unit on the page."""

BUSY_SHARE = 0.1
"""Of the machine's cores: foreign load from which on a report warns."""
FEW_SAMPLES = 3
"""Seconds below which the load of a processor says nothing."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where a reading lay."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """Everything that was sampled beside one model; of several GPUs, all of them together."""

    seconds: int
    """Samples, a second apart."""
    gpu: Mapping[str, Range]
    """Key of ``GPU_FIELDS`` → what was read."""
    throttled_seconds: int
    """During which a GPU was slower than it could be."""
    throttles: Mapping[str, int]
    """Reason → seconds, the most frequent first; reasons may coincide."""
    others: int | None
    """Most other processes that computed on one of the GPUs at a time; None where the driver does not say."""
    other_bytes: int | None
    """The most that they held."""
    cpu_mhz: Range | None
    cores: int | None
    other_cores: Range | None
    """Cores busy with other processes; None where it is not known."""

    @property
    def busy(self) -> bool:
        """Whether other processes took a good part of the processor."""
        if self.other_cores is None or self.cores is None or self.seconds < FEW_SAMPLES:
            return False
        return self.other_cores.median >= BUSY_SHARE * self.cores


def conditions(samples: Sequence[Mapping[str, Any]]) -> Conditions | None:
    """The samples together; None where there are none."""
    if not samples:
        return None
    by_sample = [_gpus(sample) for sample in samples]
    gpus = [gpu for found in by_sample for gpu in found]
    throttles = [{r for gpu in found for r in _reasons(gpu)} for found in by_sample]
    counts = Counter(reason for reasons in throttles for reason in reasons)
    cores = _numbers(nested(sample, "cpu", "cores") for sample in samples)
    others = _numbers(gpu.get("others") for gpu in gpus)
    held = _numbers(gpu.get("other_bytes") for gpu in gpus)
    ranges = {field: _range(gpu.get(field) for gpu in gpus) for field in GPU_FIELDS}
    return Conditions(
        seconds=len(samples),
        gpu={field: found for field, found in ranges.items() if found is not None},
        throttled_seconds=sum(bool(reasons) for reasons in throttles),
        throttles=dict(counts.most_common()),
        others=int(max(others)) if others else None,
        other_bytes=int(max(held)) if held else None,
        cpu_mhz=_range(nested(sample, "cpu", "mhz") for sample in samples),
        cores=int(max(cores)) if cores else None,
        other_cores=_range(nested(sample, "cpu", "other_cores") for sample in samples),
    )


def doubts(found: Conditions) -> list[str]:
    """Why the speed may not be what the device can do, as parts of a sentence."""
    said = []
    if found.throttled_seconds > 0:
        why = formatting.listed(f"{reason} {n} s" for reason, n in found.throttles.items())
        said.append(
            f"its GPU was held below its clocks for {found.throttled_seconds} of {found.seconds} s ({why})"
        )
    if found.others:
        held = f" ({formatting.gib(found.other_bytes)} GiB)" if found.other_bytes else ""
        count = formatting.plural(found.others, "other process", "other processes")
        said.append(f"{count}{held} computed on its GPU")
    if found.busy and found.other_cores is not None:
        said.append(
            f"other processes kept {formatting.significant(found.other_cores.median, 2)} of the machine's "
            f"{formatting.plural(found.cores or 0, 'core')} busy (median)"
        )
    return said


def described(found: Conditions) -> list[tuple[str, str]]:
    """Every reading as (what, how much) for a page."""
    lines = []
    for field, span in found.gpu.items():
        name, unit = GPU_FIELDS[field]
        scale = 100 if unit == "%" else 1
        lines.append((f"GPU {name}", _span(span, unit, scale)))
    if found.gpu:
        reasons = formatting.listed((f"{r} {n} s" for r, n in found.throttles.items()), 5)
        slow = f"{found.throttled_seconds} of {found.seconds} s"
        lines.append(("GPU throttled", f"{slow} ({reasons})" if found.throttles else slow))
        if found.others is not None:
            held = "" if not found.other_bytes else f", {formatting.gib(found.other_bytes)} GiB"
            lines.append(("other processes on the GPU", f"{found.others}{held}"))
    if found.cpu_mhz is not None:
        lines.append(("CPU clock", _span(found.cpu_mhz, "MHz")))
    if found.other_cores is not None:
        cores = "" if found.cores is None else f" of {found.cores}"
        lines.append((f"cores{cores} busy with others", _span(found.other_cores, "")))
    return lines


def _span(span: Range, unit: str, scale: float = 1.0) -> str:
    low, middle, high = (
        formatting.significant(value * scale) for value in (span.low, span.median, span.high)
    )
    text = middle if low == high else f"{middle} ({low} to {high})"
    return f"{text} {unit}".strip()


def _gpus(sample: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = sample.get("gpus")
    return [gpu for gpu in found if isinstance(gpu, Mapping)] if isinstance(found, list) else []


def _reasons(gpu: Mapping[str, Any]) -> list[str]:
    found = gpu.get("throttled")
    return [str(reason) for reason in found] if isinstance(found, list) else []


def _numbers(values: Iterable[Any]) -> list[float]:
    return [found for value in values if (found := number(value)) is not None]


def _range(values: Iterable[Any]) -> Range | None:
    found = _numbers(values)
    return Range(min(found), median(found), max(found)) if found else None

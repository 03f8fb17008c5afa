"""Round numbers for the axes of drawings."""

from __future__ import annotations

import math


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers (1, 2, 5 times powers of ten) between ``low`` and ``high``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [
        digit * 10.0**power
        for power in range(first, last + 1)
        for digit in (1, 2, 5)
        if low <= digit * 10.0**power <= high * 1.0001
    ]
    return ticks if len(ticks) <= 8 else [t for t in ticks if f"{t:e}"[0] == "1"]


def linear_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``count`` of them."""
    span = max(high - low, 1e-9)
    step = 10.0 ** math.floor(math.log10(span / count))
    for factor in (1, 2, 5, 10):
        if span / (step * factor) <= count:
            step *= factor
            break
    start = math.ceil(low / step - 1e-9)
    return [i * step for i in range(start, math.floor(high / step + 1e-9) + 1)]

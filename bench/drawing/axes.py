"""Axes: from values to pixels, with round ticks and lines across the drawing."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup

from bench.drawing import svg

TOP = 28
"""Pixel at which a drawing's inner rectangle begins: below the title of the upright axis and its number."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The values from ``low`` to ``high`` on the pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The pixel of ``value``."""
        if self.logarithmic:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers along the axis, about ``count`` of them on a linear one."""
        if self.logarithmic:
            return log_ticks(self.low, self.high)
        return linear_ticks(self.low, self.high, count)


@dataclass(frozen=True, slots=True)
class Frame:
    """The inner rectangle of a drawing: an axis from left to right, and one from the bottom up."""

    x: Axis
    y: Axis

    def levels(self, ticks: Iterable[float], text: Callable[[float], str]) -> list[Markup]:
        """A line from left to right at every tick of ``y``, with its number on the left."""
        parts = []
        for tick in ticks:
            y = self.y.at(tick)
            parts.append(svg.line("grid", self.x.start, y, self.x.end, y))
            parts.append(svg.label("tick-text", self.x.start - 8, y + 4, text(tick), "end"))
        return parts

    def uprights(self, ticks: Iterable[float]) -> list[Markup]:
        """A line from the bottom to the top at every tick of ``x``."""
        return [
            svg.line("grid", self.x.at(tick), self.y.end, self.x.at(tick), self.y.start)
            for tick in ticks
        ]

    def numbers(
        self, ticks: Iterable[float], text: Callable[[float], str], apart: float = 0
    ) -> list[Markup]:
        """The numbers under ``x``; one that is less than ``apart`` pixels from the last is left out."""
        parts: list[Markup] = []
        free = -math.inf
        for tick in ticks:
            x = self.x.at(tick)
            if x >= free:
                parts.append(svg.label("tick-text", x, self.y.start + 18, text(tick), "middle"))
                free = x + apart
        return parts


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers (1, 2, 5 times powers of ten, or closer ones) between ``low`` and ``high``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    # The power above the largest float is none.
    last = min(last, sys.float_info.max_10_exp)
    ticks = [
        digit * 10.0**power
        for power in range(first, last + 1)
        for digit in (1, 2, 5)
        if low <= digit * 10.0**power <= high * 1.0001
    ]
    if len(ticks) > 8:
        return [tick for tick in ticks if f"{tick:e}"[0] == "1"]
    return ticks if len(ticks) > 2 else linear_ticks(low, high)


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

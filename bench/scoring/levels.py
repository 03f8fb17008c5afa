"""How right an answer is, in six words that a filter can use."""

from __future__ import annotations

from typing import Literal

from bench.metrics import METRICS
from bench.scoring.evaluation import Answer

Level = Literal["right", "partly", "wrong", "failed", "unscored", "open"]
"""``failed``: an error instead of an answer. ``unscored``: the metric does not apply. ``open``: not asked."""

LEVELS: dict[Level, tuple[str, str, str]] = {
    "right": ("✓", "right", "the headline score is perfect"),
    "partly": ("◐", "partly right", "the headline score is at least 0.5, but not perfect"),
    "wrong": ("✗", "wrong", "the headline score is below 0.5"),
    "failed": ("!", "failed", "the model gave an error instead of an answer"),
    "unscored": ("∅", "not scored", "the metric does not apply (no reference)"),
    "open": ("…", "not asked", "the run has not reached this question"),
}
"""Level → glyph, word, definition."""


def higher_is_better(metric: str) -> bool:
    """Direction of ``metric``; a metric that this version does not know counts as an accuracy."""
    return metric not in METRICS or METRICS[metric].direction == "higher"


def goodness(value: float, metric: str) -> float:
    """``value`` turned so that higher is better."""
    return value if higher_is_better(metric) else -value


def level(answer: Answer | None, metric: str) -> Level:
    """How right ``answer`` is by its task's headline ``metric``."""
    if answer is None or answer.output is None:
        return "open"
    if answer.output.stop_reason == "error":
        return "failed"
    value = answer.scores[metric].value
    if value is None:
        return "unscored"
    accuracy = value if higher_is_better(metric) else 1.0 - value
    if accuracy >= 1.0 - 1e-9:
        return "right"
    return "partly" if accuracy >= 0.5 else "wrong"

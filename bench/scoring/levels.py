"""Says how right an answer is, in one of seven words that a filter can use."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Literal

from bench.metrics import METRICS
from bench.metrics.fields import is_typed
from bench.scoring.answers import Answer

Level = Literal["right", "equivalent", "partly", "wrong", "failed", "unscored", "open"]
"""``failed``: the model gave an error instead of an answer. ``unscored``: the metric does not apply.
``open``: the run has not asked the question yet."""

LEVELS: dict[Level, tuple[str, str, str]] = {
    "right": ("✓", "right", "the headline score is perfect"),
    "equivalent": ("≈", "right, other format", "the typed value is the reference's (field_match)"),
    "partly": (
        "◐",
        "partly right",
        "the headline score is at least 0.5; never a date, an amount or a number, which is right or wrong",
    ),
    "wrong": ("✗", "wrong", "the headline score is below 0.5"),
    "failed": ("!", "failed", "the model gave an error instead of an answer"),
    "unscored": (
        "∅",
        "not scored",
        "the metric does not apply (no reference), or the answer is too large for it",
    ),
    "open": ("…", "not asked", "the run has not reached this question"),
}
"""Level → its glyph, its word, its definition."""

ACCEPTED = 0.5
"""An answer is accepted (right or partly right) from this headline score on. It is the threshold of ANLS: an
answer of which less than half is the reference's is another text."""

PERFECT = 1.0 - 1e-9
"""An answer is right from this score on, which leaves room for rounding in a mean of several parts."""


def higher_is_better(metric: str) -> bool:
    """Whether a higher value of ``metric`` is better; a metric unknown to this version is an accuracy."""
    return metric not in METRICS or METRICS[metric].direction == "higher"


def is_accuracy(metric: str) -> bool:
    """Whether ``metric`` is a share of something right, so that its mean with others means something."""
    return higher_is_better(metric) and (
        metric not in METRICS or METRICS[metric].range == (0.0, 1.0)
    )


def common_direction(metrics: Iterable[str]) -> Literal["higher", "lower"] | None:
    """What is better in the mean of scores by ``metrics``; None where such a mean says nothing.

    Shares of something right have a common mean, and so have error rates of one kind. An error rate and an
    accuracy have none.
    """
    kinds = set(metrics)
    if all(is_accuracy(metric) for metric in kinds):
        return "higher"
    if len(kinds) > 1:
        return None
    return "higher" if higher_is_better(kinds.pop()) else "lower"


def goodness(value: float, metric: str) -> float:
    """``value`` with its sign turned where lower is better, so that a higher goodness is always better."""
    return value if higher_is_better(metric) else -value


def level(answer: Answer | None, metric: str) -> Level:
    """How right ``answer`` is by its task's headline ``metric``; None stands for a question not asked."""
    if answer is None or answer.output is None:
        return "open"
    if answer.failed:
        return "failed"
    value = answer.scores[metric].value
    if value is None:
        return "unscored"
    accuracy = value if higher_is_better(metric) else 1.0 - value
    if accuracy >= PERFECT:
        return "right"
    if answer.mistake == "format_only":
        return "equivalent"
    return "partly" if accuracy >= ACCEPTED and not _is_typed(answer) else "wrong"


def _is_typed(answer: Answer) -> bool:
    """Whether no part of the value is right: half of an account number is another number."""
    sample = answer.sample
    if sample.answer_type != "text":
        return False
    field, language = sample.metadata.get("field"), sample.metadata.get("language")
    return any(
        _is_typed_text(text, field, language) for text in sample.references if isinstance(text, str)
    )


@functools.lru_cache(maxsize=100_000)
def _is_typed_text(text: str, field: str | None, language: str | None) -> bool:
    # Every model's answer to a question is compared with the same references.
    return is_typed(text, field=field, language=language)

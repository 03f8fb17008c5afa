"""Whether speed, memory or failures got worse by more than a ratio.

Latency, throughput and memory come from repeated runs: the ratio of their geometric means has an interval
from Welch's t test of the logarithms. One run of each side says nothing about how much a figure varies.
Failures are counted by document and compared by the exact conditional test of two rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from bench.formatting import listed, plural
from bench.gate.baseline import COSTS, BaselineModel, BaselineQuestion, Figures
from bench.gate.rules import FAILURES
from bench.stats.distributions import beta_cdf, student_t_quantile, student_t_tail
from bench.stats.noninferiority import LEVEL
from bench.text import one_line

MEASURED_IN = {
    "latency": "in which single questions were measured: bench run --latency-samples 20",
    "throughput": "in which bench run asked the model; a file of answers has no times",
    "memory": "in which the model was in the memory of the machine, and not on a server",
}
"""Name of a cost → the run that has a figure of it."""


@dataclass(frozen=True, slots=True)
class CostChange:
    """How a cost changed."""

    before: float | None
    """Geometric mean of the baseline's figures; for failures the number of documents with one."""
    after: float | None
    ratio: float | None
    """``after`` over ``before``; None where one of them is not known or 0."""
    low: float | None
    """The ratio is above this with 95 % confidence; None if it cannot be said."""
    high: float | None
    """The ratio is below this with 95 % confidence; None if it cannot be said."""
    p_worse: float | None
    """One-sided p-value of "it is not worse"; None if no test can be made."""
    is_worse_than_accepted: bool
    """Whether the ratio itself exceeds the one that is accepted."""
    is_accepted: bool
    """Whether it is certain that the ratio is at most the one that is accepted."""
    needed: str
    """What would be needed to tell, in words; empty if nothing is known."""


def cost_obstacles(name: str, before: BaselineModel, after: BaselineModel) -> list[str]:
    """Why a figure of two models cannot be compared: it was measured elsewhere, or of something else."""
    figures = [each for each in (*before.figures, *after.figures) if name in each.costs]
    reasons = []
    devices = dict.fromkeys(each.hardware or "a server" for each in figures)
    if len(devices) > 1:
        shown = listed(one_line(device, 60) for device in devices)
        reasons.append(f"{COSTS[name]} was measured on different devices: {shown}")
    conditions = dict.fromkeys(each.conditions.get(name, "") for each in figures)
    if len(conditions) > 1:
        shown = listed(one_line(condition, 60) for condition in conditions)
        reasons.append(f"{COSTS[name]} was measured in different ways: {shown}")
    return reasons


def cost_change(
    name: str, before: BaselineModel, after: BaselineModel, accepted: float
) -> CostChange:
    """How the cost ``name`` changed, in the repetitions of both sides."""
    first, second = _figures(name, before.figures), _figures(name, after.figures)
    if not first or not second:
        side = "baseline" if not first else "run"
        needed = f"a {side} {MEASURED_IN[name]}"
        return CostChange(None, None, None, None, None, None, False, False, needed)
    logs = [[math.log(value) for value in values] for values in (first, second)]
    means = [fmean(values) for values in logs]
    change = means[1] - means[0]
    figures = {
        "before": math.exp(means[0]),
        "after": math.exp(means[1]),
        "ratio": math.exp(change),
    }
    is_worse = change > math.log(accepted)
    if min(map(len, logs)) < 2:
        needed = "at least 2 runs of each side"
        return CostChange(**figures, low=None, high=None, p_worse=None,
                          is_worse_than_accepted=is_worse, is_accepted=False, needed=needed)  # fmt: skip
    error, degrees = _welch(logs[0], logs[1])
    half = student_t_quantile(1 - LEVEL, degrees) * error
    return CostChange(
        **figures,
        low=math.exp(change - half),
        high=math.exp(change + half),
        p_worse=_p_above(change, error, degrees),
        is_worse_than_accepted=is_worse,
        is_accepted=change + half <= math.log(accepted),
        needed=_runs_needed(abs(change - math.log(accepted)), logs),
    )


def _figures(name: str, figures: Sequence[Figures]) -> list[float]:
    return [each.costs[name] for each in figures if name in each.costs]


def _welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch–Satterthwaite)."""
    parts = [variance(values) / len(values) for values in (first, second)]
    squares = [
        part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)
    ]
    total = sum(parts)
    return math.sqrt(total), (total**2 / sum(squares) if sum(squares) > 0 else 1.0)


def _p_above(change: float, error: float, degrees: float) -> float:
    if error == 0:
        # A figure that never varies, such as the memory of a model that is always loaded alike.
        return 0.0 if change > 0 else 1.0
    return student_t_tail(change / error, degrees)


def _runs_needed(distance: float, logs: Sequence[Sequence[float]]) -> str:
    """Runs of each side that would probably decide, if figures go on to vary as they do."""
    spread = fmean([variance(values) for values in logs])
    for runs in range(2, 1000):
        degrees = 2.0 * (runs - 1)
        reach = student_t_quantile(1 - LEVEL, degrees) + student_t_quantile(0.8, degrees)
        if reach * math.sqrt(2 * spread / runs) <= distance:
            return f"about {plural(runs, 'run')} of each side"
    return "more runs of each side than can be made"


# Failures


def failure_change(
    before: Mapping[str, BaselineQuestion],
    after: Mapping[str, BaselineQuestion],
    accepted: float,
) -> CostChange:
    """How the number of documents with a failed answer changed; both sides were asked the same."""
    first, second = _failed_documents(before), _failed_documents(after)
    b, c = len(first), len(second)
    new = {key for key, question in after.items() if question.failed} - {
        key for key, question in before.items() if question.failed
    }
    share = accepted / (1 + accepted)
    # Of b + c documents with a failure, so many are the run's if its rate is `accepted` times the baseline's.
    is_below = b + c > 0 and _binomial_cdf(c, b + c, share) < LEVEL
    return CostChange(
        before=b,
        after=c,
        ratio=c / b if b else None,
        low=None,
        high=None,
        p_worse=1.0 if c == 0 else 1 - _binomial_cdf(c - 1, b + c, 0.5),
        is_worse_than_accepted=c > accepted * b,
        is_accepted=not new or is_below,
        needed="more documents",
    )


def _failed_documents(questions: Mapping[str, BaselineQuestion]) -> set[str]:
    return {question.document for question in questions.values() if question.failed}


def _binomial_cdf(k: int, n: int, share: float) -> float:
    """P(X ≤ k) for X binomial of n trials with probability ``share``."""
    return 1.0 if k >= n else beta_cdf(1 - share, n - k, k + 1)


COST_WORDS = {**COSTS, FAILURES: "documents with a failed answer"}
"""What is gated by a ratio, in words."""

"""Intervals for a share of independent successes.

For scores that several questions of one document produced, use ``cluster_mean`` instead: these
intervals take every trial for independent. Formulas as in Brown, Cai and DasGupta (2001),
"Interval Estimation for a Binomial Proportion".
"""

from __future__ import annotations

import math
from typing import NamedTuple

from bench.errors import InvalidInput
from bench.stats.distributions import NORMAL, beta_quantile

CONFIDENCE = 0.95
"""Of every interval that the harness prints."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def wilson(successes: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval for ``successes`` out of ``n`` independent trials.

    Raises:
        InvalidInput: ``n`` is not above 0, or ``successes`` is not between 0 and ``n``.
    """
    _check(successes, n)
    share = successes / n
    shrink = NORMAL.inv_cdf(0.5 + confidence / 2) ** 2 / n
    centre = (share + shrink / 2) / (1 + shrink)
    half = math.sqrt(shrink * (share * (1 - share) + shrink / 4)) / (1 + shrink)
    # At the ends the formula is exact only on paper.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return Interval(low, 1.0 if successes == n else min(1.0, centre + half))


def clopper_pearson(successes: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """The exact ("beta") interval, which covers at least ``confidence`` and so is wide.

    Raises:
        InvalidInput: ``n`` is not above 0, or ``successes`` is not between 0 and ``n``.
    """
    _check(successes, n)
    tail = (1 - confidence) / 2
    failures = n - successes
    low = 0.0 if successes == 0 else beta_quantile(tail, successes, failures + 1)
    high = 1.0 if failures == 0 else beta_quantile(1 - tail, successes + 1, failures)
    return Interval(low, high)


def wald(successes: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """The textbook interval: too narrow near 0 and 1, kept to compare with and never printed.

    Raises:
        InvalidInput: ``n`` is not above 0, or ``successes`` is not between 0 and ``n``.
    """
    _check(successes, n)
    share = successes / n
    half = NORMAL.inv_cdf(0.5 + confidence / 2) * math.sqrt(share * (1 - share) / n)
    return Interval(max(0.0, share - half), min(1.0, share + half))


def _check(successes: float, n: float) -> None:
    if not (n > 0 and 0 <= successes <= n):
        raise InvalidInput(f"expected 0 to n successes of n > 0 trials, got {successes} of {n}")

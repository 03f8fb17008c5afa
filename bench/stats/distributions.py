"""Student's t, the beta and the binomial distribution, in plain Python.

All three are forms of the regularised incomplete beta function I_x(a, b), so that function is computed
once, by its continued fraction (DLMF 8.17.22, evaluated by the modified Lentz method). The import of
scipy would take longer than all statistics of a report; the tests compare these functions with scipy's.
"""

from __future__ import annotations

import math
from statistics import NormalDist

NORMAL = NormalDist()
"""The standard normal distribution."""

_EPSILON = 1e-16
"""The continued fraction ends when a step changes it by less than a double can hold."""

_TINY = 1e-300
"""Replaces a zero denominator in Lentz's method."""


def _continued_fraction(a: float, b: float, x: float) -> float:
    # The letters are those of the source: c and d are Lentz's ratios, m counts pairs of terms.
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > _TINY else _TINY)
    value = d
    # The number of steps grows with the square root of the larger parameter (a million: 3,000).
    for m in range(1, 100_000):
        even_term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd_term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even_term, odd_term):
            d = 1 + step * d
            d = 1 / (d if abs(d) > _TINY else _TINY)
            c = 1 + step / c
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return value


def beta_cdf(x: float, a: float, b: float) -> float:
    """I_x(a, b), the share of the beta(a, b) distribution below ``x``; ``a``, ``b`` above 0."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x))
    # The fraction converges fast only on its own side of the mean; the other side is the mirror.
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(a, b, x) / a
    return 1 - front * _continued_fraction(b, a, 1 - x) / b


def student_t_tail(t: float, degrees: float) -> float:
    """P(T > t) for Student's t with ``degrees`` of freedom (above 0, need not be whole)."""
    if math.isnan(t):
        return math.nan
    square = t * t
    if square < degrees:
        # Near the middle the other form would be the small rest of a subtraction from 1.
        tail = (1 - beta_cdf(square / (degrees + square), 0.5, degrees / 2)) / 2
    else:
        tail = beta_cdf(degrees / (degrees + square), degrees / 2, 0.5) / 2
    return tail if t >= 0 else 1 - tail


def student_t_quantile(probability: float, degrees: float) -> float:
    """The ``t`` with P(T ≤ t) = ``probability``, which is above a half and below 1."""
    log_front = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    front = math.exp(log_front) / math.sqrt(degrees * math.pi)
    # The distribution function is concave above 0 and the normal quantile lies below the answer,
    # so Newton's steps climb to it and cannot overshoot.
    t = NORMAL.inv_cdf(probability)
    for _ in range(100):
        density = front * math.exp(-(degrees + 1) / 2 * math.log1p(t * t / degrees))
        step = (student_t_tail(t, degrees) - (1 - probability)) / density
        t += step
        if abs(step) < 1e-13 * t:
            break
    return t


def half_binomial_cdf(k: int, n: int) -> float:
    """P(X ≤ k) for X the number of heads in ``n`` throws of a fair coin."""
    if k >= n:
        return 1.0
    return beta_cdf(0.5, n - k, k + 1)

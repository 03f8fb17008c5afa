"""Computes what the case files of statistics expect, one function for each file.

A case is a dict as it stands in the file, with ``prediction``, ``references`` and sometimes ``clusters``. The
computed values have the shape of the case's ``expected``. NaN is None, because JSON has no NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bench.stats import mcnemar_exact
from bench.stats.clusters import numbers
from workshop.conformance.reference_statistics import (
    clopper_pearson,
    cluster_bootstrap_interval,
    cluster_robust_se,
    clustered_se_miller,
    mcnemar_chi_square,
    naive_se,
    paired_ttest,
    wald,
    wilson,
)

Case = Mapping[str, Any]

_REPLICATES = 100_000
"""The reference values of the bootstrap were made with as many resamples."""


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _mean(values: list[float]) -> float | None:
    return float(numbers(values, "prediction").mean()) if values else None


def clustered_se(case: Case) -> dict[str, float | None]:
    """Standard errors of one mean by four definitions."""
    values, clusters = case["prediction"], case["clusters"]
    robust = _finite(cluster_robust_se(values, clusters))
    miller = clustered_se_miller(values, clusters) if len(values) > 1 else math.nan
    return {
        "mean": _mean(values),
        "se_clt": _finite(naive_se(values)),
        "se_clustered_miller_eq4": _finite(miller),
        "se_clustered_inspect_ai": robust,
        "se_clustered_statsmodels_default": robust,
    }


def cluster_bootstrap(case: Case) -> dict[str, Any]:
    """Bootstrap by documents, and by rows, which ignores them."""
    values, clusters = case["prediction"], case["clusters"]
    by_document = cluster_bootstrap_interval(values, clusters, seed=0, replicates=_REPLICATES)
    by_row = cluster_bootstrap_interval(values, range(len(values)), seed=0, replicates=_REPLICATES)
    return {
        "mean": _mean(values),
        "cluster_percentile_ci95": [by_document.low, by_document.high],
        "cluster_se": by_document.standard_error,
        "naive_percentile_ci95": [by_row.low, by_row.high],
        "naive_se": by_row.standard_error,
    }


def mcnemar(case: Case) -> dict[str, float | None]:
    """McNemar's tests as statsmodels computes them."""
    b, c = case["prediction"]["model_a_only"], case["prediction"]["model_b_only"]
    plain, corrected = mcnemar_chi_square(b, c, corrected=False), mcnemar_chi_square(b, c)
    values: dict[str, float | None] = {
        "p_exact": mcnemar_exact(b, c),
        "chi2_corrected": corrected.statistic,
        "p_chi2_corrected": corrected.p,
        "chi2": plain.statistic,
        "p_chi2": plain.p,
    }
    if b + c == 0:
        # statsmodels divides by zero there, where ``mcnemar_chi_square`` answers "no evidence".
        values |= {"chi2_corrected": math.inf, "p_chi2_corrected": 0.0}
        values |= {"chi2": None, "p_chi2": None}
    return values


def paired_difference(case: Case) -> dict[str, float | None]:
    """lmms-eval's paired t-test: prediction is the first model, references the second."""
    test = paired_ttest(case["prediction"], case["references"])
    names = ("mean_diff", "se_diff", "ci_lower", "ci_upper", "t_stat", "p_value", "n")
    return {name: _finite(value) for name, value in zip(names, test, strict=True)}


def proportion_ci(case: Case) -> dict[str, list[float | None]]:
    """Intervals of a proportion by three methods; without trials there is none."""
    successes, n = case["prediction"]["successes"], case["prediction"]["n"]
    methods = {"wilson": wilson, "beta": clopper_pearson, "normal": wald}
    if n == 0:
        return {name: [None, None] for name in methods}
    return {name: list(method(successes, n)) for name, method in methods.items()}


CONFORMANCE: dict[str, Callable[[Case], object]] = {
    "clustered_se": clustered_se,
    "cluster_bootstrap": cluster_bootstrap,
    "mcnemar": mcnemar,
    "paired_difference": paired_difference,
    "proportion_ci": proportion_ci,
}
"""Case file's name → what computes a case of it."""

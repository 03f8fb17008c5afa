"""Means with clustered intervals, the bootstrap and proportions, held to statsmodels and scipy."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from bench.errors import InvalidInput
from bench.stats import cluster_mean
from bench.stats.distributions import (
    beta_cdf,
    half_binomial_cdf,
    student_t_quantile,
    student_t_tail,
)
from bench.stats.means import FEW_CLUSTERS
from workshop.conformance.reference_statistics import (
    beta_quantile,
    chi_square_tail,
    clopper_pearson,
    cluster_bootstrap_interval,
    cluster_robust_se,
    clustered_se_miller,
    naive_se,
    wald,
    wilson,
)
from workshop.conformance.statistics import CONFORMANCE

CASES = Path(__file__).parent / "conformance"

SCORES = st.sampled_from([0.0, 0.0, 0.5, 0.62, 0.9, 1.0, 1.0, 1.0])
ROWS = st.lists(st.tuples(SCORES, st.integers(0, 8), st.integers(1, 20)), min_size=2, max_size=60)
"""Value, document and weight of each sample."""


def columns(rows: list[tuple[float, int, int]]) -> tuple[list[float], list[float], list[str]]:
    return [v for v, _, _ in rows], [float(w) for _, _, w in rows], [f"d{c}" for _, c, _ in rows]


def agrees(expected: Any, value: Any, tolerance: float) -> bool:
    if isinstance(expected, dict):
        return expected.keys() == value.keys() and all(
            agrees(expected[key], value[key], tolerance) for key in expected
        )
    if isinstance(expected, list):
        return all(agrees(e, v, tolerance) for e, v in zip(expected, value, strict=True))
    if expected is None or value is None:
        return expected is value
    return bool(abs(expected - value) <= tolerance)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=case["id"])
        for name in CONFORMANCE
        for case in json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    ],
)
def test_reference_implementations_are_met_case_by_case(name: str, case: dict[str, Any]) -> None:
    assert agrees(case["expected"], CONFORMANCE[name](case), case["tolerance"])


# cluster_mean


def test_the_mean_of_a_rate_is_the_rate_over_all_documents() -> None:
    estimate = cluster_mean([0.5, 0.0], [2, 8], ["a", "b"])
    assert estimate.value == 0.1


def test_unscored_samples_are_dropped_and_counted() -> None:
    estimate = cluster_mean([1, None, math.nan, 0], None, list("abcd"), failed=1, unscored=2)
    assert (estimate.value, estimate.n, estimate.clusters) == (0.5, 2, 2)
    assert (estimate.failed, estimate.unscored) == (1, 4)


def test_samples_of_weight_0_are_unscored() -> None:
    estimate = cluster_mean([1, 0, 0.5], [1, 1, 0], list("abc"))
    assert (estimate.value, estimate.n, estimate.clusters, estimate.unscored) == (0.5, 2, 2, 1)


def test_without_samples_there_is_no_value_and_a_reason() -> None:
    estimate = cluster_mean([], None, [])
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None, None, None, 0)
    assert estimate.warning == "nothing could be scored"


def test_one_document_has_a_mean_but_no_interval() -> None:
    estimate = cluster_mean([1, 0, 1], None, ["x"] * 3)
    assert estimate.value == pytest.approx(2 / 3)
    assert (estimate.low, estimate.high) == (None, None)
    assert estimate.warning is not None and "one document" in estimate.warning


def test_fewer_than_20_documents_are_warned_about() -> None:
    values = [1, 0, 1, 1] * 5
    few, enough = range(FEW_CLUSTERS - 1), range(FEW_CLUSTERS)
    assert "only 19 documents" in str(cluster_mean(values[:19], None, few).warning)
    assert cluster_mean(values, None, enough).warning is None


def test_many_documents_that_weigh_like_few_are_warned_about() -> None:
    weights = [1000.0] * 5 + [1.0] * 95
    estimate = cluster_mean([1, 0, 1, 1] * 25, weights, range(100))
    assert estimate.warning == "documents of unequal weight count as 5.2: the interval is rough"


def test_a_high_mean_on_fewer_than_100_documents_is_warned_about() -> None:
    values = [1.0] * 90 + [0.0] * 9
    assert "99 documents may lack" in str(cluster_mean(values, None, range(99)).warning)
    assert cluster_mean([*values, 1.0], None, range(100)).warning is None


@pytest.mark.parametrize("documents", [2, 30, 1000])
@pytest.mark.parametrize("score", [0.0, 1.0])
def test_equal_scores_are_no_certainty(documents: int, score: float) -> None:
    estimate = cluster_mean([score] * documents, None, range(documents))
    rule_of_three = 1 - 0.05 ** (1 / documents)
    assert estimate.low is not None and estimate.high is not None
    assert estimate.high - estimate.low == pytest.approx(rule_of_three)
    assert estimate.low <= score <= estimate.high
    assert "all documents score the same" in str(estimate.warning)


def test_one_slip_in_a_hundred_is_hardly_more_certain_than_none() -> None:
    clean = cluster_mean([1.0] * 30, None, range(30))
    slip = cluster_mean([1.0] * 29 + [0.99], None, range(30))
    assert slip.low is not None and clean.low is not None
    assert slip.low == pytest.approx(clean.low, abs=0.001)


def test_questions_of_equal_documents_count_as_one_document_each() -> None:
    once = cluster_mean([1, 0, 1, 1, 0.5] * 6, None, range(30))
    fourfold = cluster_mean([1, 0, 1, 1, 0.5] * 24, None, list(range(30)) * 4)
    assert (fourfold.low, fourfold.high) == pytest.approx((once.low, once.high))


def test_the_interval_is_the_t_interval_of_the_log_odds_for_equal_documents() -> None:
    values, clusters = [1, 0, 1, 0.5, 1, 0, 1, 1, 0.75, 0.5], list("aabbccddee")
    estimate = cluster_mean(values, None, clusters)
    mean, error = np.mean(values), cluster_robust_se(values, clusters)
    reach = scipy.stats.t.ppf(0.975, 4) * error / (mean * (1 - mean))
    centre = np.log(mean / (1 - mean))
    expected = scipy.special.expit([centre - reach, centre + reach])
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected))


def test_error_rates_above_1_get_an_interval_above_0() -> None:
    estimate = cluster_mean([0.1, 0.0, 2.5, 0.2, 0.1] * 5, None, range(25))
    assert estimate.value == pytest.approx(0.58)
    assert estimate.low is not None and estimate.high is not None
    assert 0 < estimate.low < 0.58 < estimate.high


def test_negative_scores_get_the_plain_t_interval() -> None:
    values = [-1.0, 0.5, 2.0, 0.25]
    estimate = cluster_mean(values, None, range(4))
    expected = scipy.stats.t.interval(0.95, 3, np.mean(values), naive_se(values))
    assert (estimate.low, estimate.high) == pytest.approx(expected)


@given(ROWS)
def test_the_interval_contains_the_mean_and_stays_within_the_scale(
    rows: list[tuple[float, int, int]],
) -> None:
    values, weights, clusters = columns(rows)
    estimate = cluster_mean(values, weights, clusters)
    if estimate.low is None or estimate.high is None or estimate.value is None:
        assert estimate.clusters == 1
    else:
        assert 0 <= estimate.low <= estimate.value + 1e-12
        assert estimate.value - 1e-12 <= estimate.high <= 1
        assert estimate.low < estimate.high


@given(ROWS, st.randoms())
def test_the_order_of_rows_is_irrelevant(rows: list[tuple[float, int, int]], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = (cluster_mean(*columns(order)) for order in (rows, shuffled))
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


@given(ROWS, st.sampled_from([0.001, 0.5, 7.0, 1e6]))
def test_the_unit_of_weights_is_irrelevant(rows: list[tuple[float, int, int]], unit: float) -> None:
    values, weights, clusters = columns(rows)
    one = cluster_mean(values, weights, clusters)
    other = cluster_mean(values, [unit * w for w in weights], clusters)
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


@given(ROWS)
def test_right_and_wrong_are_mirror_images(rows: list[tuple[float, int, int]]) -> None:
    values, weights, clusters = columns(rows)
    right = cluster_mean(values, weights, clusters)
    wrong = cluster_mean([1 - v for v in values], weights, clusters)
    if right.low is not None and right.high is not None:
        assert (wrong.low, wrong.high) == pytest.approx((1 - right.high, 1 - right.low), abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 0], None, ["a"]), "expected columns of one length, got 2 values, 1 clusters"),
        (([1], [1, 2], ["a"]), "got 1 values, 2 weights, 1 clusters"),
        (([math.inf], None, ["a"]), "values: expected a finite number, got inf in row 0"),
        ((["x"], None, ["a"]), "values: expected one number or None in each row"),
        (([[1, 2]], None, ["a"]), "values: expected one number in each row, got shape (1, 2)"),
        (([1, 1], [1, -1], ["a", "b"]), "weights: expected 0 or more, got -1.0 in row 1"),
        (([1], [None], ["a"]), "weights: expected 0 or more, got nan in row 0"),
    ],
)
def test_columns_that_do_not_fit_are_refused_in_one_line(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        cluster_mean(*arguments)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


# Standard errors


@given(ROWS)
@settings(deadline=None)
def test_the_robust_standard_error_is_that_of_statsmodels(
    rows: list[tuple[float, int, int]],
) -> None:
    values, weights, clusters = columns(rows)
    codes = np.unique(clusters, return_inverse=True)[1]
    ours = cluster_robust_se(values, clusters, weights)
    if codes.max() == 0:
        assert math.isnan(ours)
    else:
        model = sm.WLS(np.array(values), np.ones(len(values)), weights=np.array(weights))
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": codes})
        assert ours == pytest.approx(float(fit.bse[0]), abs=1e-9)


def test_millers_equation_is_the_naive_error_where_rows_are_independent() -> None:
    values = [1, 0, 0.5, 1, 1]
    assert clustered_se_miller(values, range(5)) == pytest.approx(naive_se(values))


def test_a_single_row_has_no_standard_error() -> None:
    assert math.isnan(naive_se([1.0]))
    assert math.isnan(cluster_robust_se([1.0], ["a"]))
    assert math.isnan(clustered_se_miller([1.0], ["a"]))


# The bootstrap


def test_the_bootstrap_is_a_function_of_its_seed() -> None:
    values, clusters = np.linspace(0, 1, 300), np.arange(300) // 5
    one = cluster_bootstrap_interval(values, clusters, seed=1, replicates=2000)
    assert one == cluster_bootstrap_interval(values, clusters, seed=1, replicates=2000)
    assert one != cluster_bootstrap_interval(values, clusters, seed=2, replicates=2000)


def test_the_bootstrap_does_not_depend_on_the_order_of_rows() -> None:
    values, clusters = np.linspace(0, 1, 300) ** 2, np.arange(300) // 5
    order = np.random.default_rng(0).permutation(300)
    one = cluster_bootstrap_interval(values, clusters, seed=1, replicates=2000)
    other = cluster_bootstrap_interval(values[order], clusters[order], seed=1, replicates=2000)
    assert tuple(one) == pytest.approx(tuple(other))


def test_the_bootstrap_agrees_with_scipys_on_documents() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 8, 60)
    clusters = np.repeat(np.arange(60), sizes)
    values = np.clip(rng.normal(0.7, 0.3, clusters.size) + rng.normal(0, 0.2, 60)[clusters], 0, 1)
    sums = np.bincount(clusters, weights=values)
    reference = scipy.stats.bootstrap(
        (sums, sizes.astype(float)),
        lambda s, w, axis: s.sum(axis) / w.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=50_000,
        rng=1,
    )
    ours = cluster_bootstrap_interval(values, clusters, seed=2, replicates=50_000)
    ends = (*reference.confidence_interval, reference.standard_error)
    assert tuple(ours) == pytest.approx(ends, abs=0.001)


@pytest.mark.parametrize(
    ("values", "replicates", "seed"), [([], 100, 0), ([1, 0], 1, 0), ([1, 0], 100, -1)]
)
def test_a_bootstrap_of_nothing_is_refused(values: list[float], replicates: int, seed: int) -> None:
    with pytest.raises(InvalidInput, match="the bootstrap needs"):
        cluster_bootstrap_interval(values, range(len(values)), seed=seed, replicates=replicates)


# Proportions and distributions


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_intervals_of_proportions_are_those_of_statsmodels(counts: tuple[int, int]) -> None:
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "beta"), (wald, "normal")):
        assert tuple(ours(*counts)) == pytest.approx(
            proportion_confint(*counts, method=method), abs=1e-9
        )


@pytest.mark.parametrize("method", [wilson, clopper_pearson, wald])
@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(method: Any, successes: int, n: int) -> None:
    with pytest.raises(InvalidInput, match=f"got {successes} of {n}"):
        method(successes, n)


@given(st.floats(0, 1), st.floats(0.3, 3000), st.floats(0.3, 3000))
@settings(deadline=None)
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(float(scipy.stats.beta.cdf(x, a, b)), abs=1e-10)


@given(st.floats(-30, 30), st.floats(1, 1e5))
@settings(deadline=None)
def test_students_t_is_scipys(t: float, degrees: float) -> None:
    expected = float(scipy.stats.t.sf(t, degrees))
    assert student_t_tail(t, degrees) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@given(st.floats(0.55, 0.999), st.floats(1, 1e5))
@settings(deadline=None)
def test_students_quantiles_are_scipys(probability: float, degrees: float) -> None:
    expected = float(scipy.stats.t.ppf(probability, degrees))
    assert student_t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-8)


@given(st.floats(0.001, 0.999), st.integers(1, 500), st.integers(1, 500))
@settings(deadline=None)
def test_beta_quantiles_are_scipys(probability: float, a: int, b: int) -> None:
    expected = float(scipy.stats.beta.ppf(probability, a, b))
    assert beta_quantile(probability, a, b) == pytest.approx(expected, abs=1e-11)


@given(st.integers(0, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_throws_of_a_coin_are_scipys(counts: tuple[int, int]) -> None:
    expected = float(scipy.stats.binom.cdf(*counts, 0.5))
    assert half_binomial_cdf(*counts) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(st.floats(0, 200))
def test_the_tail_of_chi_square_is_scipys(x: float) -> None:
    assert chi_square_tail(x) == pytest.approx(float(scipy.stats.chi2.sf(x, 1)), rel=1e-9)


def test_importing_the_statistics_imports_numpy_alone() -> None:
    code = "import sys, bench.stats; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert loaded.isdisjoint({"scipy", "pandas", "torch", "statsmodels", "pydantic", "jinja2"})

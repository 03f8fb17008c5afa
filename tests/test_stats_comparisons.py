"""Comparing two models, many comparisons, planning and bounds, held to statsmodels and scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from bench.errors import InvalidInput
from bench.stats import (
    Design,
    discordant_variance,
    documents_needed,
    holm,
    mcnemar_exact,
    minimum_detectable_difference,
    paired_difference,
    pilot_design,
    score_bounds,
    sign_flip_test,
)
from workshop.conformance.reference_statistics import (
    cluster_robust_se,
    mcnemar_chi_square,
    paired_ttest,
)

SCORES = st.sampled_from([0.0, 0.0, 0.5, 0.75, 1.0, 1.0])
PAIRS = st.lists(st.tuples(SCORES, SCORES, st.integers(0, 9)), min_size=2, max_size=50)
"""Scores of two models and the document, for each sample."""


def columns(pairs: list[tuple[float, float, int]]) -> tuple[list[float], list[float], list[int]]:
    return [a for a, _, _ in pairs], [b for _, b, _ in pairs], [c for _, _, c in pairs]


# paired_difference


def test_equal_documents_of_one_question_give_the_textbook_t_test() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(40), rng.random(40)
    result, reference = paired_difference(a, b, range(40)), scipy.stats.ttest_rel(a, b)
    exact = scipy.stats.permutation_test(
        (a - b,), np.sum, permutation_type="samples", n_resamples=20_000, rng=1
    )
    assert result.p == pytest.approx(float(reference.pvalue))
    assert sign_flip_test(a - b) == pytest.approx(float(exact.pvalue), abs=0.01)
    interval = reference.confidence_interval()
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


def test_questions_asked_four_times_are_no_more_evidence() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(30), rng.random(30)
    once = paired_difference(a, b, range(30))
    fourfold = paired_difference(np.tile(a, 4), np.tile(b, 4), list(range(30)) * 4)
    assert (fourfold.low, fourfold.high, fourfold.p) == pytest.approx((once.low, once.high, once.p))


def test_the_standard_error_is_that_of_the_differences() -> None:
    a, b, clusters = [1, 1, 0, 1, 0.5, 0], [0, 1, 0.5, 1, 0, 0], list("aabbcc")
    result = paired_difference(a, b, clusters)
    difference = [x - y for x, y in zip(a, b, strict=True)]
    assert result.standard_error == pytest.approx(cluster_robust_se(difference, clusters))


def test_samples_that_one_model_lacks_are_left_out_and_counted() -> None:
    result = paired_difference([1, None, 0, 1], [0, 1, math.nan, 1], list("abcd"))
    assert (result.difference, result.n, result.clusters, result.unscored) == (0.5, 2, 2, 2)


def test_identical_models_differ_by_0_give_or_take_what_was_not_seen() -> None:
    result = paired_difference([1, 0, 0.5] * 10, [1, 0, 0.5] * 10, range(30))
    unseen = 1 - 0.05 ** (1 / 30)
    assert (result.difference, result.p, result.differing) == (0, 1, 0)
    assert (result.low, result.high) == pytest.approx((-unseen, unseen))
    assert result.warning == "the models differ on 0 of 30 documents"


def test_the_same_difference_everywhere_is_judged_by_the_sign_test() -> None:
    result = paired_difference([1.0] * 10, [0.0] * 10, range(10))
    assert result.p == pytest.approx(2 * 0.5**10)
    assert result.low is not None and 0 < result.low < 1
    assert result.high == 1


def test_one_document_allows_no_comparison() -> None:
    result = paired_difference([1, 1, 0], [0, 1, 0], ["x"] * 3)
    assert result.difference == pytest.approx(1 / 3)
    assert (result.low, result.high, result.p, result.standard_error) == (None, None, None, None)
    assert "one document" in str(result.warning)


def test_models_without_a_common_sample_have_no_difference() -> None:
    result = paired_difference([1, None], [None, 0], list("ab"))
    assert (result.difference, result.p, result.n, result.unscored) == (None, None, 0, 2)
    assert result.warning == "no sample was scored for both models"


def test_few_documents_are_warned_about() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(20), rng.random(20)
    assert paired_difference(a, b, range(20)).warning is None
    assert "only 19 documents" in str(paired_difference(a[:19], b[:19], range(19)).warning)


def test_few_differing_documents_are_warned_about() -> None:
    a, b = [1.0] * 100, [0.0] * 9 + [1.0] * 91
    warning = paired_difference(a, b, range(100)).warning
    assert warning == "the models differ on 9 of 100 documents"


@given(PAIRS)
def test_swapping_the_models_turns_the_sign(pairs: list[tuple[float, float, int]]) -> None:
    a, b, clusters = columns(pairs)
    forth, back = paired_difference(a, b, clusters), paired_difference(b, a, clusters)
    assert forth.difference is not None and back.difference is not None
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.p == pytest.approx(back.p)
    if forth.low is not None and back.high is not None:
        assert forth.low == pytest.approx(-back.high)


@given(PAIRS)
def test_the_interval_contains_the_difference_and_p_is_a_probability(
    pairs: list[tuple[float, float, int]],
) -> None:
    result = paired_difference(*columns(pairs))
    if result.clusters == 1:
        assert result.low is None
    else:
        assert result.low is not None and result.high is not None
        assert result.difference is not None and result.p is not None
        assert result.low <= result.difference <= result.high
        assert result.low < result.high
        assert 0 <= result.p <= 1


@given(PAIRS, st.randoms())
def test_the_order_of_samples_is_irrelevant(
    pairs: list[tuple[float, float, int]], random: Any
) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    one, other = (paired_difference(*columns(order)) for order in (pairs, shuffled))
    assert (one.difference, one.p) == pytest.approx((other.difference, other.p), abs=1e-9)


def test_models_of_unlike_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match="got 2 a, 1 b, 2 clusters"):
        paired_difference([1, 0], [1], ["x", "y"])


# The randomisation test, and what the interval owes it


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # Of 16 assignments of signs, the sum is 4 or −4 in two: all plus, and all minus.
        ([1, 1, 1, 1], 2 / 16),
        # |sum| = 4 of 1, 2, 3, 4 needs negative parts that add up to 3 or less, or 7 or more: ∅, 1, 2, 3,
        # 1+2, and the same for plus.
        ([1, -3, 2, 4], 10 / 16),
        # Sums of ±2 ±3 ±0.5: only +++ and −−− reach 5.5.
        ([2, 3, 0.5, 0], 2 / 8),
        ([0, 0], 1),
        ([], 1),
    ],
)
def test_signs_are_flipped_in_all_ways(differences: list[float], p: float) -> None:
    assert sign_flip_test(differences) == pytest.approx(p)


@pytest.mark.parametrize(("gained", "lost"), [(4, 0), (9, 2), (0, 3), (60, 40), (2_500, 2_400)])
def test_one_question_a_document_makes_it_mcnemars_exact_test(gained: int, lost: int) -> None:
    differences = [1.0] * gained + [-1.0] * lost + [0.0] * 5
    assert sign_flip_test(differences) == pytest.approx(mcnemar_exact(gained, lost))


def test_few_differing_documents_are_tested_exactly_as_well() -> None:
    def p_of(gained: int, documents: int) -> float:
        scores = [1.0] * gained + [0.0] * (documents - gained)
        return paired_difference(scores, [0.0] * documents, range(documents)).p or 0.0

    # Five of 30: Student's t says 0.023, and of 2⁵ assignments of signs two are as extreme.
    assert p_of(5, 30) == pytest.approx(2 / 32)
    # From 25 differing documents on, t is trusted alone.
    scores = [1.0] * 17 + [-1.0] * 8 + [0.0] * 75
    t = scipy.stats.ttest_1samp(scores, 0).pvalue
    assert paired_difference(scores, [0.0] * 100, range(100)).p == pytest.approx(float(t))


def test_a_missing_difference_is_refused() -> None:
    with pytest.raises(InvalidInput, match="without a value"):
        sign_flip_test([1.0, None])


@given(PAIRS)
def test_no_interval_leaves_what_is_possible_or_contradicts_p(
    pairs: list[tuple[float, float, int]],
) -> None:
    result = paired_difference(*columns(pairs))
    if result.low is None or result.high is None:
        return
    assert -1 <= result.low <= result.high <= 1
    assert result.p is not None
    assert (result.p < 0.05) == (result.low > 0 or result.high < 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_right_and_wrong_answers_of_separate_documents_get_mcnemars_p_or_a_larger_one(
    answers: list[tuple[bool, bool]],
) -> None:
    a, b = ([float(answer[side]) for answer in answers] for side in (0, 1))
    gained, lost = sum(x > y for x, y in zip(a, b, strict=True)), sum(map(float.__lt__, a, b))
    p = paired_difference(a, b, range(len(a))).p
    assert p is not None
    if gained + lost < 25:
        assert p >= mcnemar_exact(gained, lost) - 1e-12


# Tests for separate documents


def test_the_unclustered_t_test_is_scipys() -> None:
    a, b = [1, 0.5, 0, 1, 0.7], [0.9, 0, 0, 1, 0.2]
    ours, reference = paired_ttest(a, b), scipy.stats.ttest_rel(a, b)
    assert (ours.t, ours.p) == pytest.approx((float(reference.statistic), float(reference.pvalue)))


def test_the_t_test_of_one_sample_is_undefined() -> None:
    result = paired_ttest([1], [0])
    assert result.n == 1
    assert all(math.isnan(value) for value in result[:-1])


def test_the_t_test_of_a_missing_score_is_undefined() -> None:
    result = paired_ttest([1, math.nan, 0], [0, 1, 0])
    assert result.n == 3
    assert all(math.isnan(value) for value in result[:-1])


@pytest.mark.parametrize(("shift", "t"), [(0.5, math.inf), (-0.5, -math.inf)])
def test_the_t_test_of_equal_differences_is_infinite(shift: float, t: float) -> None:
    result = paired_ttest([0.5 + shift, 0.25 + shift], [0.5, 0.25])
    assert (result.t, result.p, result.low, result.high) == (t, 0.0, shift, shift)


@given(st.integers(0, 300), st.integers(0, 300))
@settings(deadline=None)
def test_mcnemars_tests_are_those_of_statsmodels(b: int, c: int) -> None:
    table = [[5, b], [c, 7]]
    assert mcnemar_exact(b, c) == pytest.approx(float(mcnemar(table, exact=True).pvalue))
    if b + c > 0:
        for corrected in (True, False):
            reference = mcnemar(table, exact=False, correction=corrected)
            assert tuple(mcnemar_chi_square(b, c, corrected=corrected)) == pytest.approx(
                (float(reference.statistic), float(reference.pvalue))
            )


def test_without_discordant_samples_there_is_no_evidence() -> None:
    assert mcnemar_exact(0, 0) == 1
    assert mcnemar_chi_square(0, 0) == (0, 1)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(InvalidInput, match="got -1 and 3"):
        mcnemar_exact(-1, 3)


@pytest.mark.parametrize(
    "p_values",
    [[0.04], [0.01, 0.04, 0.03, 0.5], [0.2, 0.2, 0.001, 0.2], [1.0, 0.0, 0.6, 0.0249, 0.025]],
)
def test_holms_adjustment_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_no_comparisons_need_no_adjustment() -> None:
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_raises_p_values_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(InvalidInput, match="expected p-values from 0 to 1"):
        holm([0.5, p])


# Planning


@pytest.mark.parametrize(
    ("difference", "discordance", "questions"),
    [(0.0073, 0.02, 2900), (0.0073, 0.04, 5900), (0.03, 0.06, 520), (0.05, 0.08, 245)],
)
def test_sample_sizes_are_those_of_the_textbook(
    difference: float, discordance: float, questions: int
) -> None:
    design = Design(discordant_variance(discordance, difference))
    assert documents_needed(difference, design) == pytest.approx(questions, rel=0.02)


@given(st.floats(0.005, 0.5), st.floats(0.01, 1), st.integers(1, 10), st.floats(0, 1))
@settings(deadline=None)
def test_the_planned_documents_are_just_enough(
    difference: float, variance: float, questions: int, correlation: float
) -> None:
    design = Design(variance, questions, correlation)
    documents = documents_needed(difference, design)
    assert minimum_detectable_difference(documents, design) <= difference
    assert documents == 2 or minimum_detectable_difference(documents - 1, design) > difference


def test_questions_that_repeat_each_other_save_no_documents() -> None:
    alone, repeated = Design(0.05), Design(0.05, questions_per_document=4, correlation=1)
    assert documents_needed(0.03, repeated) == documents_needed(0.03, alone)


def test_independent_questions_save_documents_in_proportion() -> None:
    alone, together = Design(0.05), Design(0.05, questions_per_document=4)
    assert documents_needed(0.01, together) == pytest.approx(
        documents_needed(0.01, alone) / 4, rel=0.01
    )


def test_a_pilot_of_the_planned_size_has_the_planned_standard_error() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(50), rng.integers(1, 10, 50))
    a, b = rng.random(clusters.size), rng.random(clusters.size)
    design, result = pilot_design(a, b, clusters), paired_difference(a, b, clusters)
    assert math.sqrt(design.document_variance / 50) == pytest.approx(result.standard_error)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Design(0), "a variance above 0, got 0"),
        (lambda: Design(1, 0.5), "1 or more questions per document, got 0.5"),
        (lambda: Design(1, 2, 1.5), "a correlation from 0 to 1, got 1.5"),
        (lambda: documents_needed(0, Design(1)), "a difference other than 0"),
        (lambda: documents_needed(0.1, Design(1), power=1), "a power between 0.5 and 1, got 1"),
        (lambda: minimum_detectable_difference(1, Design(1)), "2 or more documents, got 1"),
        (lambda: discordant_variance(0.01, 0.02), "got 0.01 for a difference of 0.02"),
        (lambda: pilot_design([1, 1], [0, 0], [1, 2]), "on which the difference varies"),
        (lambda: pilot_design([1, 0], [0, 0], [1, 1]), "a pilot needs two or more documents"),
    ],
)
def test_impossible_plans_are_refused(call: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert message in caught.value.message


# Bounds


def test_failures_count_as_worst_or_are_left_out() -> None:
    bounds = score_bounds([1.0, 0.5, None], failed=1, unscored=1)
    assert bounds.failed_as_worst == 0.5
    assert bounds.left_out == 0.75
    assert bounds.lowest == pytest.approx(1.5 / 5)
    assert bounds.highest == pytest.approx(4.5 / 5)


def test_bounds_of_an_error_rate_are_the_right_way_round() -> None:
    bounds = score_bounds([0.1, 0.3], failed=2, worst=1.0, best=0.0)
    assert bounds.failed_as_worst == pytest.approx(0.6)
    assert (bounds.lowest, bounds.highest) == pytest.approx((0.1, 0.6))


def test_bounds_of_nothing_are_unknown() -> None:
    assert score_bounds([], failed=0) == (None, None, None, None)


def test_negative_failures_are_refused() -> None:
    with pytest.raises(InvalidInput, match="got -1 failed, 0 unscored"):
        score_bounds([1.0], failed=-1)


@pytest.mark.parametrize("documents", [3, 6, 20, 29, 30, 60])
@pytest.mark.parametrize("difference", [0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("departing", [0, 1])
def test_interval_and_p_never_contradict_each_other_where_documents_hardly_vary(
    documents: int, difference: float, departing: int
) -> None:
    first = [difference] * (documents - departing) + [0.0] * departing
    found = paired_difference(first, [0.0] * documents, list(range(documents)))
    assert found.low is not None
    assert found.high is not None
    assert found.p is not None
    if found.low <= 0 <= found.high:
        assert found.p >= 0.05

"""The figures that help to choose: what needs no review, cascades, costs, and the halves that judge them."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import InvalidInput
from bench.scoring.cascade import CascadeModel, Questions, advise
from bench.scoring.held_out import halves
from bench.scoring.prices import Tariff, parse_prices, parse_rate, price_table, rate_of
from bench.scoring.review import Sureness, choose_threshold, reliability, risk_coverage, unreviewed


def sure(confidence: list[float], right: list[int], documents: list[str] | None = None) -> Sureness:
    names = documents or [f"d{number:03}" for number in range(len(right))]
    return Sureness(np.array(confidence, dtype=float), np.array(right, dtype=bool), names)


def test_halves_are_every_second_document_whatever_the_order_of_the_rows() -> None:
    documents = ["b", "a", "c", "a", "d", "b"]
    assert halves(documents).tolist() == [False, True, True, True, False, False]


# What needs no review


@pytest.mark.parametrize(
    ("confidence", "right", "target", "threshold"),
    [
        # In falling confidence: 1/1, 2/2, 2/3, 3/4 are right.
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 1.0, 0.8),
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.75, 0.6),
        ([0.9, 0.8, 0.7, 0.6], [0, 1, 1, 1], 0.99, None),
        # Answers of one confidence pass together: the wrong one comes with the right one.
        ([0.9, 0.9, 0.5], [1, 0, 0], 0.99, None),
        ([0.9, 0.9, 0.5], [1, 1, 0], 0.99, 0.9),
        # An answer without a confidence never passes.
        ([-1, -1], [1, 1], 0.5, None),
        ([], [], 0.5, None),
    ],
)
def test_a_threshold_is_the_lowest_that_reaches_the_target(
    confidence: list[float], right: list[int], target: float, threshold: float | None
) -> None:
    assert choose_threshold(sure(confidence, right), target) == threshold


def test_each_half_is_judged_by_the_threshold_of_the_other() -> None:
    # Documents 0, 2, … choose 0.8, and 1, 3, … choose 0.4: so 0.6 passes in the first half alone, where it
    # is wrong.
    confidence = [0.8, 0.4, 0.6, 0.4, 0.8, 0.4] * 4
    right = [1, 1, 0, 1, 1, 1] * 4
    result = unreviewed(sure(confidence, right), 1.0)
    assert result is not None
    assert result.thresholds == (0.8, 0.4)
    assert result.threshold == 0.8
    assert result.coverage.value == pytest.approx(0.5)
    assert result.right.value == pytest.approx(8 / 12)


def test_few_documents_judge_nothing() -> None:
    assert unreviewed(sure([0.9] * 9, [1] * 9), 0.9) is None
    assert unreviewed(sure([0.9] * 30, [1] * 30, ["one"] * 30), 0.9) is None


def test_a_confidence_that_says_nothing_keeps_no_promise() -> None:
    """Answers right by chance: what passes is no better than all of them, and the judged share says so."""
    rng = np.random.default_rng(3)
    confidence, right = rng.random(400), rng.random(400) < 0.9
    result = unreviewed(sure(confidence.tolist(), right.tolist()), 0.99)
    assert result is not None
    held = result.right.value
    assert held is None or held < 0.99


def test_the_curve_ends_with_all_answers_that_have_a_confidence() -> None:
    points = risk_coverage(sure([0.9, 0.9, 0.5, -1], [1, 0, 1, 1]))
    assert [(point.coverage, point.right.value) for point in points] == [
        (0.5, 0.5),
        (0.75, pytest.approx(2 / 3)),
    ]


def test_calibration_counts_tenths_and_the_last_one_holds_certainty() -> None:
    bins = reliability(sure([0.05, 0.95, 1.0, -1], [0, 1, 0, 1]))
    assert [(each.confidence, each.right.value, each.right.n) for each in bins] == [
        (0.05, 0, 1),
        (pytest.approx(0.975), 0.5, 2),
    ]


# Cascades


def questions(count: int) -> Questions:
    return Questions([f"d{number:03}" for number in range(count)], np.ones(count))


def test_a_cascade_passes_on_what_the_fast_model_is_unsure_of() -> None:
    # The fast model is right where it is sure, and the slow one is always right.
    scores = np.array([1.0, 1, 0, 0] * 10)
    fast = CascadeModel("fast", scores, np.where(scores > 0, 0.9, 0.3), 1.0)
    slow = CascadeModel("slow", np.ones(40), None, 10.0)
    advice = advise([slow, fast], questions(40))
    assert advice is not None
    (found,) = advice.cascades
    assert advice.chosen == found
    assert (found.first, found.second, found.best) == ("fast", "slow", "slow")
    assert (found.thresholds, found.passed_on) == ((0.9, 0.9), 0.5)
    assert found.score.value == 1
    # One second for every question, and ten more for every second one.
    assert (found.seconds, found.best_seconds) == (6, 10)
    assert found.gap.difference == 0


def test_a_fast_model_whose_confidence_says_nothing_makes_no_cascade() -> None:
    fast = CascadeModel("fast", np.array([1.0, 1, 0, 0] * 10), np.full(40, 0.9), 1.0)
    slow = CascadeModel("slow", np.ones(40), None, 10.0)
    advice = advise([fast, slow], questions(40))
    assert advice is not None
    assert advice == ((), None)


def test_answers_without_a_confidence_are_always_passed_on() -> None:
    fast = CascadeModel("fast", np.array([1.0, 0.0] * 20), np.array([0.9, -1.0] * 20), 1.0)
    slow = CascadeModel("slow", np.ones(40), None, 10.0)
    advice = advise([fast, slow], Questions([f"d{n // 2:03}" for n in range(40)], np.ones(40)))
    assert advice is not None
    assert advice.chosen is not None
    assert advice.chosen.passed_on == 0.5


@pytest.mark.parametrize("count", [1, 9])
def test_nothing_is_advised_without_a_choice_or_documents(count: int) -> None:
    alone = CascadeModel("alone", np.ones(count), np.ones(count), 1.0)
    assert advise([alone], questions(count)) is None
    assert advise([alone, alone._replace(name="other", seconds=2.0)], questions(count)) is None


# Prices


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1.20/h", Tariff(hour=1.2)),
        ("2EUR/hour", Tariff(hour=2, currency="EUR")),
        ("0.002/page", Tariff(page=0.002)),
        ("0.15/0.60", Tariff(tokens=(0.15, 0.6))),
        ("0/1 CNY", Tariff(tokens=(0, 1), currency="CNY")),
    ],
)
def test_prices_as_people_write_them(text: str, rate: Tariff) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "1.20", "-1/h", "1e3/h", "nan/h", "1.2/day", "1/2/3", "٣/h"])
def test_what_is_no_price_is_told_how_one_looks(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a price") as error:
        parse_rate(text)
    assert "1.20/h" in str(error.value.hint)


def test_prices_have_names_or_hold_for_every_model() -> None:
    prices = parse_prices(["1.20/h", "gpt=0.15/0.60", "a=b=2/page"], "--price")
    assert prices == {
        "all": Tariff(hour=1.2),
        "gpt": Tariff(tokens=(0.15, 0.6)),
        "a=b": Tariff(page=2),
    }
    with pytest.raises(InvalidInput, match="two prices for 'all'"):
        parse_prices(["1/h", "2/h"], "--price")
    with pytest.raises(InvalidInput, match="no model before"):
        parse_prices(["=1/h"], "--price")


def test_recorded_prices_are_read_leniently_and_the_configuration_strictly() -> None:
    assert rate_of({"input": 0.15, "output": 0.6, "currency": "USD"}) == Tariff(tokens=(0.15, 0.6))
    for record in (None, {}, {"hour": "1"}, {"hour": float("nan")}, {"input": 1}, {"hour": True}):
        assert rate_of(record) is None
    table = {"ocr": "1/h", "gpt": {"page": 0.1, "currency": "EUR"}}
    assert price_table(table, "x") == {
        "ocr": Tariff(hour=1),
        "gpt": Tariff(page=0.1, currency="EUR"),
    }
    for wrong in ({"ocr": 3}, {"ocr": {"hours": 1}}, "1/h"):
        with pytest.raises(InvalidInput):
            price_table(wrong, "bench.toml")

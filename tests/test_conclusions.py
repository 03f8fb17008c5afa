"""What a comparison says first, and which questions a limit leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.runner.spec import RunSettings, plan_run
from bench.schema import ModelSpec
from bench.scoring.comparison import Side, as_json, compare
from bench.scoring.conclusions import conclusion
from bench.scoring.evaluation import evaluate
from bench.stats import paired_difference
from tests.run_fixture import FixtureModel, make_run, make_tasks


def said(second: list[float], first: list[float], **more: object) -> str:
    gap = paired_difference(second, first, range(len(first)))
    return conclusion(gap, "A", "B", **more)  # type: ignore[arg-type]


def test_a_difference_beyond_the_noise_names_who_is_better_and_by_how_much() -> None:
    ahead, behind = [1.0] * 12 + [0.0] * 8, [0.0] * 20
    # 12 of 20: d = 0.6, sd = √(12·8/(20·19)), t₀.₉₇₅ with 19 degrees 2.093; p = 2·2⁻¹² < 0.001.
    words = "better by 0.600 [0.365, 0.835] over 20 documents (p < 0.001)."
    assert said(ahead, behind) == f"B is {words}"
    assert said(behind, ahead) == f"A is {words}"
    assert said(ahead, behind, higher_is_better=False) == f"A is {words}"


def test_a_difference_within_the_noise_is_bounded() -> None:
    words = said([1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], scope="of 2 tasks")
    assert words.startswith("No difference can be told: it is at most ±1.000 over 4 documents of")
    assert said([1.0] * 6 + [0.0] * 24, [0.0] * 30).startswith("B is better by 0.200")
    # Five gained and none lost: Student's t says 0.023, McNemar's exact test 0.063.
    assert "(95 % confidence, p = 0.063)" in said([1.0] * 5 + [0.0] * 25, [0.0] * 30)


def test_an_adjusted_p_decides_where_there_is_one() -> None:
    assert said([1.0] * 12 + [0.0] * 8, [0.0] * 20, p=0.2).startswith("No difference can be told")


@pytest.mark.parametrize(
    ("second", "first", "words"),
    [
        ([1.0, 0.0], [1.0, 0.0], "A and B score the same on all 2 documents."),
        ([1.0], [0.0], "No difference can be told from one document: B − A is +1.000 there."),
        ([], [], "Nothing can be said: no question was scored for both A and B."),
    ],
)
def test_what_cannot_be_tested_is_said(second: list[float], first: list[float], words: str) -> None:
    assert said(second, first) == words


def test_a_limit_spreads_over_documents_and_kinds_of_questions() -> None:
    """Of 4 documents with 3 questions each: the first, the third, the second, the fourth."""
    tasks = make_tasks(documents=4, questions=3, languages=("ru",))
    ids = [sample.id for sample in tasks[0].samples]

    def asked(limit: int) -> list[int]:
        plan = plan_run([ModelSpec("fake", "fake")], tasks, RunSettings(limit=limit))
        return [ids.index(sample.id) for sample in plan.tasks[0].samples]

    assert asked(2) == [0, 7]
    assert asked(4) == [0, 5, 7, 9]
    assert set(asked(4)) < set(asked(5)) < set(asked(12)) == set(asked(99)) == set(range(12))


def test_tasks_without_a_common_score_are_concluded_one_by_one(tmp_path: Path) -> None:
    tasks = make_tasks(documents=14, questions=2, languages=("ru", "en", "zh"))
    rates = [replace(task, metrics=("cer",)) for task in tasks[1:]]
    models = (FixtureModel("good", skill=1.0), FixtureModel("bad", skill=0.3))
    run = make_run(tmp_path, models, [tasks[0], *rates], previews=False)
    evaluation = evaluate(run)
    found = compare(Side(evaluation, "good"), Side(evaluation, "bad"))
    assert found.overall is None
    names = "invoices-ru, invoices-en and invoices-zh"
    assert found.conclusion() == f"The tasks have no common score. A is better on {names}."
    alone = compare(Side(evaluation, "good"), Side(evaluation, "good"))
    assert alone.conclusion().endswith(f"No difference can be told on {names}.")
    assert as_json(found)["overall"] is None

"""The numbers that a person reads: each against a value that was computed here, from the answers alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from bench.cli.plan import _Assumption, _shown
from bench.formatting import difference_interval, p_value, percent, seconds, share, significant
from bench.gate.baseline import baseline_of
from bench.gate.outputs import headline
from bench.gate.rules import Rules
from bench.gate.verdict import judge
from bench.report import ReportOptions, build, make_sections
from bench.report.answered import answered
from bench.report.comparing import comparison_table, legend
from bench.report.cost import currency_of, why_no_cost
from bench.report.facts import measure
from bench.report.findings import SweepPoint
from bench.report.markdown import markdown
from bench.report.ranking import Scored, compare_all, more_documents
from bench.report.reasons import reason
from bench.report.section import tables
from bench.report.sweep import _against
from bench.report.views import Pair
from bench.rundir.store import RunStore
from bench.schema import Document, Estimate, Output, Page, Sample, Task
from bench.scoring.comparison import Side, as_json, compare
from bench.scoring.evaluation import Evaluation, evaluate
from bench.scoring.prices import parse_prices, parse_rate
from bench.stats import Design
from bench.tasks.loading import task_digest
from tests.run_fixture import FixtureModel, make_run, make_tasks

FIELDS = [f"f{number}" for number in range(10)]
SCHEMA = {"type": "object", "properties": {field: {"type": "string"} for field in FIELDS}}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def task_of(name: str, samples: Sequence[Sample], metrics: tuple[str, ...]) -> Task:
    """A task about one page a document."""
    (like,) = make_tasks(1, 1, ["en"])
    documents = {
        id_: Document(id_, (Page(Path(id_), 0, 9, 9, hashlib.sha256(id_.encode()).hexdigest()),))
        for id_ in (sample.document_id for sample in samples)
    }
    task = replace(
        like, name=name, title=name, documents=documents, samples=tuple(samples), metrics=metrics
    )
    return replace(task, digest=task_digest(task))


def run_of(
    folder: Path, tasks: Sequence[Task], answers: Mapping[str, Mapping[str, str | None]]
) -> RunStore:
    """A run in which each model gave these answers to these samples; None stands for a failure."""
    models = [FixtureModel(name) for name in answers]
    run = make_run(folder, models, tasks, previews=False)
    for model, given in answers.items():
        for task in tasks:
            outputs = [
                Output(sample.id, "", "error", error="OutOfMemory: too large")
                if (text := given[sample.id]) is None
                else Output(sample.id, text, "stop")
                for sample in task.samples
            ]
            run.append_outputs(model, task.name, outputs)
    return run


def rates(name: str, *references: str) -> Task:
    samples = [
        Sample(f"{name}-{number}", f"{name}/{number}", "?", (reference,), "text", {})
        for number, reference in enumerate(references)
    ]
    return task_of(name, samples, ("cer",))


# A micro F1, in which an answer decides how much it counts


class Counts:
    """Right, given and expected values of each document, and what follows from them."""

    def __init__(self, right: Sequence[int], given: Sequence[int]) -> None:
        self.right, self.given = np.array(right), np.array(given)
        self.values = self.given + len(FIELDS)

    @property
    def f1(self) -> float:
        """Twice the right values, over the given and the expected ones."""
        return float(2 * self.right.sum() / self.values.sum())

    @property
    def residuals(self) -> np.ndarray:
        return 2 * self.right - self.f1 * self.values

    def answers(self) -> dict[str, str]:
        texts = {}
        for document, (right, given) in enumerate(zip(self.right, self.given, strict=True)):
            values = dict.fromkeys(FIELDS[:right], "right words")
            values |= dict.fromkeys(FIELDS[right:given], "nonsense")
            texts[f"s{document}"] = json.dumps(values)
        return texts


DOCUMENTS = 24
CHANCE = np.random.default_rng(5)
THOROUGH = Counts(CHANCE.integers(3, 9, DOCUMENTS), [10] * DOCUMENTS)
SPARING = Counts(few := CHANCE.integers(1, 8, DOCUMENTS), few)
"""It gives few values, all of them right: each of its answers counts less."""


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    reference = dict.fromkeys(FIELDS, "right words")
    samples = [
        Sample(f"s{n}", f"d{n}", "?", (reference,), "json", {"language": "en"}, SCHEMA)
        for n in range(DOCUMENTS)
    ]
    task = task_of("objects", samples, ("value_f1",))
    answers = {"thorough": THOROUGH.answers(), "sparing": SPARING.answers()}
    return evaluate(run_of(tmp_path_factory.mktemp("objects"), [task], answers))


def test_a_difference_of_micro_f1_is_that_of_the_two_scores(objects: Evaluation) -> None:
    view = build([objects])
    scores = {row.key: row.score.value for row in view.rows if row.score is not None}
    assert scores == pytest.approx({"thorough": THOROUGH.f1, "sparing": SPARING.f1})
    first, second = (Side(objects, name) for name in ("thorough", "sparing"))
    for one, other, expected in (
        (first, second, SPARING.f1 - THOROUGH.f1),
        (second, first, THOROUGH.f1 - SPARING.f1),
    ):
        (row,) = compare(one, other).rows
        assert (row.first, row.second) == pytest.approx((scores[one.model], scores[other.model]))
        assert row.difference.difference == pytest.approx(expected)
    # The linearised standard error of a difference of two ratios, by hand.
    residuals = SPARING.residuals - THOROUGH.residuals
    values = (SPARING.values.sum() + THOROUGH.values.sum()) / 2
    variance = DOCUMENTS / (DOCUMENTS - 1) * (residuals @ residuals)
    assert row.difference.standard_error == pytest.approx(np.sqrt(variance) / values)
    (pair,) = view.pairs
    assert pair.difference.difference == pytest.approx(scores[pair.first] - scores[pair.second])


def test_the_legend_counts_the_rows_that_stand_in_the_table(objects: Evaluation) -> None:
    found = compare(*(Side(objects, name) for name in ("thorough", "sparing")), by=["language"])
    assert len(comparison_table(found).rows) == 2
    assert "p after correction for the 2 rows. " in legend(found)


def test_a_slice_with_every_question_of_the_task_has_its_score(objects: Evaluation) -> None:
    by_model = objects.slices["language"]["en"]
    assert by_model["thorough"].value == pytest.approx(THOROUGH.f1)
    assert by_model["sparing"].value == pytest.approx(SPARING.f1)


def test_a_gate_shows_the_scores_that_the_two_runs_have(objects: Evaluation) -> None:
    before, after = (baseline_of([Side(objects, name)]) for name in ("thorough", "sparing"))
    (row,) = judge(before, after, [("thorough", "sparing")], Rules()).scores
    assert (row.before, row.after) == pytest.approx((THOROUGH.f1, SPARING.f1))
    assert row.loss.value == pytest.approx(THOROUGH.f1 - SPARING.f1)


# Questions without a score


def test_a_task_with_questions_without_a_score_counts_as_much_as_another(tmp_path: Path) -> None:
    tasks = [rates("half", *["yes"] * 5, *[""] * 5), rates("whole", *["yes"] * 10)]
    ids = [sample.id for task in tasks for sample in task.samples]
    run = run_of(
        tmp_path, tasks, {"model": {id_: "yes" if "half" in id_ else "no!" for id_ in ids}}
    )
    (row,) = build([evaluate(run)]).rows
    assert [score.estimate.value for score in row.tasks.values()] == [0.0, 1.0]
    assert row.score is not None
    assert row.score.value == pytest.approx(0.5)


def test_documents_needed_stand_beside_those_of_the_same_row(tmp_path: Path) -> None:
    tasks = [rates("few", *["yes"] * 8), rates("many", *["yes"] * 30)]
    ids = [sample.id for task in tasks for sample in task.samples]
    wrong = {"few-0", *(f"many-{number}" for number in range(4))}
    answers = {
        "before": dict.fromkeys(ids, "yes"),
        "after": {id_: "no!" if id_ in wrong else "yes" for id_ in ids},
    }
    evaluation = evaluate(run_of(tmp_path, tasks, answers))
    before, after = (baseline_of([Side(evaluation, name)]) for name in answers)
    result = judge(before, after, [("before", "after")], Rules())
    neediest = max(result.scores, key=lambda row: row.loss.needed or 0)
    assert neediest.task == "few"
    assert f"needed for after · few, and there are {neediest.loss.clusters}." in headline(result)


def test_bounds_hold_the_score_of_long_references_too(tmp_path: Path) -> None:
    task = rates("t", "four", "eightful", "")
    run = run_of(tmp_path, [task], {"a": {"t-0": "foul", "t-1": None, "t-2": "?"}})
    cell = evaluate(run).cells["a", "t"]
    # One letter of 4 is wrong, 8 are missing, and a question without a reference could be anything.
    assert cell.estimates["cer"].value == pytest.approx((1 + 8) / 12)
    assert cell.bounds.failed_as_worst == pytest.approx((1 + 8) / 12)
    assert cell.bounds.left_out == pytest.approx(1 / 4)
    assert (cell.bounds.lowest, cell.bounds.highest) == pytest.approx((1 / 13, 10 / 13))


# How many more documents would show a lead


def documents_by_search(pair: Pair, level: float) -> int:
    """The fewest documents on which a t test at ``level`` shows the difference with a power of 80 %."""
    gap = pair.difference
    spread = gap.standard_error * np.sqrt(gap.clusters)
    for documents in range(2, 100_000):
        reach = scipy.stats.t.ppf([1 - level / 2, 0.8], documents - 1).sum()
        if reach * spread / np.sqrt(documents) <= gap.difference:
            return documents
    raise AssertionError("no number of documents is enough")


def scored(*models: np.ndarray) -> Scored:
    values = np.array(models)
    size = values.shape[1]
    tasks, clusters = np.zeros(size, dtype=np.intp), [str(number) for number in range(size)]
    return Scored(values, np.ones_like(values), tasks, clusters, np.ones_like(values, dtype=bool))


def test_more_documents_are_for_the_test_that_decides_the_rank() -> None:
    chance = np.random.default_rng(6)
    best = chance.random(40)
    others = [best - 0.06 + 0.16 * chance.standard_normal(40) for _ in range(4)]
    pairs = compare_all(list("abcde"), scored(best, *others))
    tied = [pair for pair in pairs if pair.first == "a" and not pair.separated]
    assert any(pair.difference.p < 0.05 <= pair.p_holm for pair in tied)
    for pair in tied:
        level = 0.05 * pair.difference.p / pair.p_holm
        more = documents_by_search(pair, level) - 40
        assert more_documents(pair) == (more if more > 0 else None)


def test_so_few_documents_that_no_p_is_small_need_more_of_them_at_least() -> None:
    steady = 0.5 + 0.01 * np.arange(4)
    (pair,) = compare_all(["a", "b"], scored(steady, np.zeros(4)))
    assert pair.p_holm == pytest.approx(2 * 0.5**4)
    # With 5 documents, p is 2/32; with 6, it is 2/64.
    assert more_documents(pair) == 2


# What a task can show


@pytest.mark.parametrize(("documents", "share"), [(12, 0.2), (60, 0.05), (6, 1.0), (12, 0.02)])
def test_a_task_shows_the_difference_whose_own_variance_it_is_shown_with(
    documents: int, share: float
) -> None:
    spread = scipy.stats.t.ppf([0.975, 0.8], documents - 1).sum()
    design = Design(share, questions_per_document=5, correlation=0.1)

    def excess(difference: float) -> float:
        variance = (share - difference**2) * (1 + 4 * 0.1) / 5
        return float(spread * np.sqrt(variance / documents) - difference)

    expected = scipy.optimize.brentq(excess, 0, np.sqrt(share))
    assumption = _Assumption("", design, share)
    shown = _shown(documents, assumption, 0.8)
    assert shown == (round(expected, 4) if expected <= share else None)


# How numbers are written


def test_a_rounded_number_says_nothing_that_the_number_does_not() -> None:
    assert [percent(1 / 200), percent(199 / 200)] == ["< 1 %", "> 99 %"]
    assert [share(1 / 2000), share(1 / 2001), share(1999 / 2000)] == [
        "0.1 %",
        "< 0.1 %",
        "> 99.9 %",
    ]
    assert difference_interval(0.0003, 0.06) == "[> 0, +0.060]"
    assert difference_interval(-0.06, -0.0003) == "[−0.060, < 0]"
    assert difference_interval(-0.0003, 0.06) == "[0.000, +0.060]"
    assert [p_value(0.04951), p_value(0.05), p_value(0.0494)] == ["< 0.050", "0.050", "0.049"]
    assert [significant(value) for value in (9.996, 99.96, 0.09996)] == ["10.0", "100", "0.100"]
    assert [seconds(value) for value in (119.7, 999.6, 3599.8, 7199.0)] == [
        *("2 min 00 s", "16 min 40 s", "1 h 00 min", "2 h 00 min")
    ]


# Where there is no number


def test_by_an_error_rate_no_answer_is_gained_or_lost(tmp_path: Path) -> None:
    answers = {"a": {"t-0": "yes", "t-1": "yes"}, "b": {"t-0": "no!", "t-1": "yes"}}
    evaluation = evaluate(run_of(tmp_path, [rates("t", "yes", "yes")], answers))
    found = compare(Side(evaluation, "a"), Side(evaluation, "b"))
    (row,) = comparison_table(found).rows
    assert [row.cells[key].value for key in ("gained", "lost")] == [None, None]
    assert "gained" not in legend(found)


def test_without_a_common_score_there_is_no_mean(tmp_path: Path) -> None:
    answers = {name: {"t-0": "", "t-1": ""} for name in "ab"}
    evaluation = evaluate(run_of(tmp_path, [rates("t", "", "")], answers))
    found = compare(Side(evaluation, "a"), Side(evaluation, "b"))
    (row,) = comparison_table(found).rows
    assert {row.cells[key].reason for key in ("first", "second", "difference", "p", "p_holm")} == {
        "No question was scored for both."
    }
    assert "NaN" not in json.dumps(as_json(found), default=str)


def test_a_run_whose_questions_have_no_score_is_no_run_of_many_tasks(tmp_path: Path) -> None:
    view = build([evaluate(run_of(tmp_path, [rates("t", "", "")], {"a": {"t-0": "", "t-1": ""}}))])
    assert view.verdict.headline.startswith("No answer could be scored")
    assert reason(view.rows[0], "score") == "The metric does not apply to any of these questions."


def test_one_document_has_no_interval_that_could_be_wide(tmp_path: Path) -> None:
    view = build([evaluate(run_of(tmp_path, [rates("t", "yes")], {"a": {"t-0": "yes"}}))])
    (caveat,) = [caveat.text for caveat in view.caveats if caveat.kind == "statistics"]
    assert (
        caveat
        == "The scores rest on only 1 document, so they have no interval and cannot be tested."
    )


def test_a_cost_in_another_currency_is_not_said_to_be_unknown(tmp_path: Path) -> None:
    run = make_run(tmp_path, [FixtureModel("a"), FixtureModel("b")], previews=False)
    prices = parse_prices(["a=1/h", "b=1EUR/h"], "--price")
    view = build([evaluate(run)], ReportOptions(prices=prices))
    (without,) = [row for row in view.rows if row.cost_per_1000_pages is None]
    said = why_no_cost(without, currency_of(view.rows))
    assert said == "The price is in another currency, so the costs cannot be compared."


def test_how_soon_a_question_fails_is_no_latency() -> None:
    answered_alone = [{"seconds": 4.0 + n, "failed": False} for n in range(5)]
    refused = {"seconds": 0.001, "failed": True}
    warm = {"seconds": 9.0, "failed": False, "warm": {"seconds": 0.001, "failed": True}}
    facts = measure(None, [], [*answered_alone, refused, warm], ())
    assert facts.latency is not None and facts.single_stream is not None
    assert (facts.latency.n, facts.latency.p50, facts.single_stream.warm) == (6, 6.5, None)


def test_a_price_is_written_as_it_was_given() -> None:
    prices = ("0.00001/page", "1234567.5/h", "0.15/0.6")
    assert [parse_rate(price).words for price in prices] == [
        "0.00001 USD a page",
        "1234567.5 USD an hour",
        "0.15 and 0.6 USD for a million tokens read and written",
    ]


def test_a_question_without_a_score_costs_as_much_as_another(tmp_path: Path) -> None:
    task = rates("t", "yes", "yes", "", "")
    # Two questions about each of two documents, of which one has no reference.
    samples = [replace(each, document_id=f"d{n % 2}") for n, each in enumerate(task.samples)]
    task = task_of("t", samples, ("cer",))
    answers = {"a": dict.fromkeys((sample.id for sample in samples), "yes")}
    assert answered(build([evaluate(run_of(tmp_path, [task], answers))]), 0).questions_per_page == 2


# What sentences say of numbers


def test_a_larger_bound_that_is_faster_does_not_take_as_long() -> None:
    def point(rate: float) -> SweepPoint:
        score = Estimate(0.5, None, None, 1, 1, 0)
        return SweepPoint("row", 1, None, score, None, rate, None)

    said = [_against(None, point(1.0), point(rate), {"row": 256}) for rate in (2.0, 1.01, 0.5)]
    ends = ("takes 0.50 times as long.", "takes as long.", "takes 2.0 times as long.")
    assert [one.endswith(end) for one, end in zip(said, ends, strict=True)] == [True] * 3


def test_as_many_questions_are_shown_as_the_sentence_says(tmp_path: Path) -> None:
    task = rates("t", *["yes"] * 20)
    answers = {"a": {sample.id: "no!" for sample in task.samples}}
    text = markdown(make_sections(build([evaluate(run_of(tmp_path, [task], answers))])))
    assert "20 questions have a wrong answer from at least one model; here are 12." in text
    assert text.count("\n- t/t-") == 12
    assert "reference. It gives no partial credit" in text


def test_a_task_of_another_run_will_never_be_asked(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / name, [rates(name, "yes")], {name: {f"{name}-0": "yes"}}) for name in "ab"
    ]
    view = build([evaluate(run) for run in runs])
    (tasks,) = (section for section in make_sections(view) if section.id == "tasks")
    cells = tables(tasks, "json")[0].rows[0].cells
    assert cells["model:b"].reason == "The run of this model does not have this task."

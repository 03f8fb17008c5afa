"""``bench gate``: verdicts, exit codes, what cannot be compared, the baseline's file, and what is written."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.errors import InvalidInput
from bench.gate.baseline import (
    Baseline,
    baseline_of,
    content_digest,
    digest,
    read_baseline,
    write_baseline,
)
from bench.gate.outputs import MARKER, as_json, gate_markdown, junit
from bench.gate.rules import Rules, merged, read_rules
from bench.gate.verdict import GateResult, judge
from bench.parsing import read_json
from bench.rundir.store import RunStore
from bench.schema import Output, PromptTemplate, Task
from bench.scoring.comparison import Side
from bench.scoring.evaluation import evaluate
from tests.run_fixture import HOSTILE, FixtureModel, make_run, make_tasks

PERFECT = FixtureModel("perfect", skill=1.0)
TASKS = make_tasks(documents=200, questions=2, languages=("en",))
IDS = [sample.id for sample in TASKS[0].samples]
TASK = TASKS[0].name


def run_of(
    results: Path,
    wrong: Sequence[str] = (),
    *,
    failed: Sequence[str] = (),
    tasks: Sequence[Task] = TASKS,
    name: str = "demo",
    model: FixtureModel = PERFECT,
    **changes: Any,
) -> RunStore:
    """A run of a perfect model, but for the questions ``wrong`` and ``failed``."""
    run = make_run(results, [model], tasks, name=name, previews=False, **changes)
    outputs = [Output(id_, "nonsense", "stop") for id_ in wrong]
    outputs += [Output(id_, "", "error", error="OutOfMemory: x") for id_ in failed]
    run.append_outputs(model.name, tasks[0].name, outputs)
    return run


def kept(run: RunStore, repeats: Sequence[RunStore] = ()) -> Baseline:
    sides = [
        [Side(evaluate(each), name) for name in each.model_names()] for each in (run, *repeats)
    ]
    return baseline_of(sides[0], [side for group in sides[1:] for side in group])


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    return kept(run_of(tmp_path_factory.mktemp("before")))


def judged(before: Baseline, after: Baseline, rules: Rules) -> GateResult:
    return judge(before, after, [(before.models[0].name, after.models[0].name)], rules)


def with_wrong(before: Baseline, wrong: Sequence[str]) -> Baseline:
    """``before`` with answers that are wrong."""
    questions = [
        each.model_copy(update={"score": 0.0, "answer": digest("nonsense"), "right": False})
        if each.id in wrong
        else each
        for each in before.questions
    ]
    return before.model_copy(update={"questions": tuple(questions)})


# The verdict


def test_the_same_answers_pass_however_few_they_are(before: Baseline) -> None:
    few = before.model_copy(update={"questions": before.questions[:4]})
    result = judged(few, few, Rules(margin=0.0))
    assert (result.outcome, result.exit_code) == ("passed", 0)
    assert "too few to show" in result.notes[0]


@pytest.mark.parametrize(
    ("wrong", "margin", "outcome", "code"),
    [
        (IDS[::10], 0.01, "regressed", 5),
        (IDS[::10], 0.2, "passed", 0),
        (IDS[::100], 0.01, "undecided", 6),
        # Worse beyond the noise, but by less than what is accepted.
        (IDS[::10], 0.11, "undecided", 6),
        (IDS[:1], 0.05, "passed", 0),
    ],
)
def test_a_loss_is_judged_by_noise_and_margin(
    before: Baseline, wrong: list[str], margin: float, outcome: str, code: int
) -> None:
    result = judged(before, with_wrong(before, wrong), Rules(margin=margin))
    assert (result.outcome, result.exit_code) == (outcome, code)


def test_a_gain_passes_without_any_margin(before: Baseline) -> None:
    result = judged(with_wrong(before, IDS[::10]), before, Rules(margin=0.0))
    assert result.outcome == "passed"


def test_what_cannot_be_told_says_how_many_documents_would_tell(before: Baseline) -> None:
    after = with_wrong(before, IDS[::100])
    result = judged(before, after, Rules(margin=0.01))
    assert result.needed is not None and result.needed > 200
    assert f"About {result.needed:,} documents would be needed" in gate_markdown(result)
    assert judged(before, after, Rules(margin=0.01, undecided="pass")).exit_code == 0
    assert judged(before, after, Rules(margin=0.01, undecided="fail")).exit_code == 5


def test_a_task_and_a_field_have_margins_of_their_own(before: Baseline) -> None:
    fields = {question.field for question in before.questions}
    assert fields == {"total", "number"}
    totals = [each.id for each in before.questions if each.field == "total"]
    after = with_wrong(before, totals[::10])
    assert judged(before, after, Rules(margin=0.1)).outcome == "passed"
    assert judged(before, after, Rules(margin=0.0, tasks={TASK: 0.1})).outcome == "passed"
    result = judged(before, after, Rules(margin=0.1, fields={"total": 0.02}))
    assert [(row.field, row.outcome) for row in result.scores] == [
        (None, "passed"),
        ("total", "regressed"),
    ]


def test_many_rows_are_adjusted_by_holm(before: Baseline) -> None:
    after = with_wrong(before, IDS[::60])
    alone = judged(before, after, Rules(margin=0.01))
    assert alone.outcome == "regressed"
    more = Rules(margin=0.01, ratios={"failures": 1.0}, fields={"total": 1.0, "number": 1.0})
    rows = judged(before, after, more).scores
    assert rows[0].p_holm is not None and alone.scores[0].p_holm is not None
    assert rows[0].p_holm > alone.scores[0].p_holm


def test_an_error_rate_is_worse_where_it_is_higher(before: Baseline) -> None:
    as_errors = {
        "tasks": tuple(task.model_copy(update={"metric": "cer"}) for task in before.tasks),
        "questions": tuple(
            each.model_copy(update={"score": 1.0 - (each.score or 0.0)})
            for each in before.questions
        ),
    }
    good, bad = before, with_wrong(before, IDS[::5])
    good = good.model_copy(update=as_errors)
    questions = [
        each.model_copy(update={"score": 1.0 - (each.score or 0.0)}) for each in bad.questions
    ]
    bad = bad.model_copy(update={"tasks": as_errors["tasks"], "questions": tuple(questions)})
    assert judged(good, bad, Rules()).outcome == "regressed"
    assert judged(bad, good, Rules()).outcome == "passed"


def test_a_question_that_must_pass_fails_the_whole(before: Baseline) -> None:
    rules = Rules(margin=1.0, must_pass=(IDS[0], f"{TASK}/{IDS[1]}"))
    assert judged(before, with_wrong(before, IDS[2:3]), rules).outcome == "passed"
    result = judged(before, with_wrong(before, IDS[1:2]), rules)
    assert (result.outcome, result.exit_code) == ("regressed", 5)
    assert [row.passed for row in result.must_pass] == [True, False]
    # A text that is right by half may have a score that is not perfect.
    half = [
        each.model_copy(update={"score": 0.5}) if each.id == IDS[0] else each
        for each in before.questions
    ]
    lower = before.model_copy(update={"questions": tuple(half)})
    assert judged(before, lower, rules).outcome == "passed"


# Costs


def with_costs(before: Baseline, *values: float, name: str = "latency") -> Baseline:
    (model,) = before.models
    first = model.figures[0]
    figures = tuple(first.model_copy(update={"costs": {name: value}}) for value in values)
    models = (model.model_copy(update={"figures": figures}),)
    return before.model_copy(update={"models": models})


@pytest.mark.parametrize(
    ("after", "ratio", "outcome"),
    [
        ((1.00, 1.01, 1.02), 1.1, "passed"),
        ((1.50, 1.52, 1.51), 1.2, "regressed"),
        ((1.50, 1.52, 1.51), 1.6, "passed"),
        ((0.9, 1.6, 1.3), 1.2, "undecided"),
        # One measurement cannot be told from noise.
        ((1.50,), 1.2, "undecided"),
        ((), 1.2, "undecided"),
        # A figure that never varies.
        ((2.0, 2.0), 1.2, "regressed"),
    ],
)
def test_a_cost_is_judged_by_repeated_measurements(
    before: Baseline, after: tuple[float, ...], ratio: float, outcome: str
) -> None:
    first = with_costs(before, *((1.0, 1.0) if after == (2.0, 2.0) else (1.0, 1.02, 0.99)))
    result = judged(first, with_costs(before, *after), Rules(ratios={"latency": ratio}))
    assert result.costs[0].outcome == outcome
    assert result.outcome == outcome


def test_a_cost_that_was_not_measured_names_the_option_that_measures_it(before: Baseline) -> None:
    without = with_costs(before, 1.0, name="memory")
    result = judged(without, with_costs(before, 1.0), Rules(ratios={"latency": 1.2}))
    said = as_json(result)["sentence"]
    assert "The p95 latency would need a baseline in which single questions were measured" in said
    assert "bench run --latency-samples 20" in said


def test_costs_of_other_machines_are_not_compared(before: Baseline) -> None:
    (model,) = before.models
    elsewhere = tuple(each.model_copy(update={"hardware": "a toaster"}) for each in model.figures)
    models = (model.model_copy(update={"figures": elsewhere}),)
    after = before.model_copy(update={"models": models})
    result = judged(before, after, Rules(ratios={"memory": 1.1}))
    assert (result.outcome, result.exit_code) == ("not comparable", 7)
    assert "a toaster" in result.obstacles[0]
    assert judged(before, after, Rules()).outcome == "passed"


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ((), (), "passed"),
        (IDS[:4], IDS[:3], "passed"),
        ((), IDS[:2], "undecided"),
        ((), IDS[:40], "regressed"),
    ],
)
def test_failures_are_counted_by_document(
    before: Baseline, first: list[str], second: list[str], outcome: str
) -> None:
    def failing(ids: Sequence[str]) -> Baseline:
        questions = [
            each.model_copy(update={"failed": True}) if each.id in ids else each
            for each in before.questions
        ]
        return before.model_copy(update={"questions": tuple(questions)})

    rules = Rules(margin=1.0, ratios={"failures": 1.5})
    assert judged(failing(first), failing(second), rules).costs[0].outcome == outcome


# What cannot be compared

Change = Callable[[Task], Task]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda task: dataclasses.replace(task, version="2"), "version of the task (1 → 2)"),
        (lambda task: dataclasses.replace(task, metrics=("exact_match",)), "another metric"),
        (
            lambda task: dataclasses.replace(
                task, prompt=dataclasses.replace(task.prompt, system="x")
            ),
            "another system message",
        ),
        (
            lambda task: dataclasses.replace(
                task, generation=dataclasses.replace(task.generation, max_new_tokens=9)
            ),
            "another limit of new tokens (64 → 9)",
        ),
        (lambda task: dataclasses.replace(task, samples=task.samples[:-1]), "lacks 1 question"),
        (
            lambda task: dataclasses.replace(
                task,
                samples=(
                    dataclasses.replace(task.samples[0], references=("x",)),
                    *task.samples[1:],
                ),
            ),
            "1 question (such as 'en-00/q0') changed",
        ),
        (lambda task: dataclasses.replace(task, name="other"), "task invoices-en is missing"),
    ],
)
def test_what_was_asked_otherwise_is_named(tmp_path: Path, change: Change, says: str) -> None:
    tasks = make_tasks(documents=3, questions=2, languages=("en",))
    runs = [run_of(tmp_path, tasks=each) for each in (tasks, [change(tasks[0])])]
    result = judged(kept(runs[0]), kept(runs[1]), Rules(margin=1.0))
    assert (result.outcome, result.exit_code) == ("not comparable", 7)
    assert says in "\n".join(result.obstacles)
    assert says.split(" (")[0] in gate_markdown(result).replace("\\", "")


def test_another_prompt_is_compared_on_request(tmp_path: Path) -> None:
    (task,) = make_tasks(documents=3, questions=2, languages=("en",))
    asked_otherwise = dataclasses.replace(task, prompt=PromptTemplate("Please: {question}"))
    first, second = (kept(run_of(tmp_path, tasks=[each])) for each in (task, asked_otherwise))
    assert judged(first, second, Rules()).obstacles == ("task invoices-en: another prompt",)
    assert judged(first, second, Rules(other_prompts=True)).outcome == "passed"


def test_an_answer_that_has_no_score_any_more_is_a_loss(before: Baseline) -> None:
    questions = [
        each.model_copy(update={"score": None, "answer": "x"}) if each.id in IDS[::10] else each
        for each in before.questions
    ]
    after = before.model_copy(update={"questions": tuple(questions)})
    assert judged(before, after, Rules()).outcome == "regressed"


def test_another_protocol_and_an_incomplete_run_are_named(tmp_path: Path) -> None:
    tasks = make_tasks(documents=3, questions=2, languages=("en",))
    first = run_of(tmp_path, tasks=tasks)
    other = run_of(tmp_path, tasks=tasks, record={"protocol": {"name": "lmms-eval"}})
    broken_off = dataclasses.replace(PERFECT, asked=0.5)
    partial = run_of(tmp_path, tasks=tasks, model=broken_off)
    (said,) = judged(kept(first), kept(other), Rules()).obstacles
    assert said == "task invoices-en: another protocol (native → lmms-eval)"
    (said,) = judged(kept(first), kept(partial), Rules()).obstacles
    assert "3 questions (such as" in said and "the run is incomplete" in said


# The file


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    tasks = make_tasks(documents=3, questions=2, languages=("en",))
    return kept(run_of(tmp_path_factory.mktemp("small"), tasks=tasks))


def test_a_baseline_survives_its_file_and_holds_no_text(small: Baseline, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(path, small)
    assert read_baseline(path) == small
    text = path.read_text(encoding="utf-8")
    assert "Northwind" not in text and "invoice number" not in text
    assert sum(line.startswith('{"model"') for line in text.splitlines()) == 6


def test_a_baseline_that_was_changed_is_refused(
    small: Baseline, tmp_path: Path, bench: Any
) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(path, small)
    run = run_of(tmp_path / "results", tasks=make_tasks(3, 2, ("en",)))
    original = path.read_text(encoding="utf-8")
    content = read_json(path)
    again = {**content, "questions": [*content["questions"], content["questions"][0]]}
    for text, says in (
        (original.replace('"score": 1.0', '"score": 0.9', 1), "was changed after it was written"),
        (original.replace('"version": 2,\n', '"version": 3,\n'), "has version 3 of the format"),
        (original.replace("docvlm-bench baseline", "x"), "is not a baseline"),
        (resealed({**content, "bench": 3}), "is damaged: bench"),
        (resealed({**content, "extra": 3}), "is damaged: extra"),
        (resealed(again), "do not fit together"),
        (original.replace('"score": 1.0', '"score": NaN', 1), "baseline.json"),
        (original[:-9], "is not JSON"),
        ("[]", "should hold a JSON object"),
    ):
        path.write_text(text, encoding="utf-8")
        result = bench("gate", path, run.path)
        assert (result.status, says in result.err) == (2, True), (says, result.err)
        assert "Traceback" not in result.err


def test_a_baseline_of_the_first_version_is_read(small: Baseline, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(path, small)
    content = read_json(path)
    for question in content["questions"]:
        del question["right"]
    path.write_text(resealed({**content, "version": 1}), encoding="utf-8")
    old = read_baseline(path)
    result = judged(old, with_wrong(small, IDS[:1]), Rules(must_pass=(IDS[0],)))
    assert result.must_pass[0].passed_before is None
    assert "in the baseline" not in as_json(result)["sentence"]


def resealed(content: dict[str, Any]) -> str:
    """``content`` with a digest that fits it."""

    rest = {k: v for k, v in content.items() if k not in ("format", "version", "sha256")}
    return json.dumps({**content, "sha256": content_digest(rest)})


# Rules


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("margin = -0.1", "should be a number from 0 to 1"),
        ("margin = nan", "should be a number from 0 to 1"),
        ("margin = true", "should be a number from 0 to 1, not true"),
        ("margins = 1", "did you mean margin"),
        ("tasks = 3", "should be a table"),
        ("[tasks]\ninvoices-en = 'x'", "[tasks] invoices-en should be"),
        ("[fields]\ntotl = 0.1", "did you mean total"),
        ("[tasks]\ninvoice-en = 0.1", "did you mean invoices-en"),
        ("[ratios]\nlatency = 0.5", "should be a number from 1"),
        ("[ratios]\nlatency = inf", "should be a number from 1"),
        ("[ratios]\nlatncy = 2", "did you mean latency"),
        ("must_pass = 'x'", "should be a list of question ids"),
        ("must_pass = ['nobody']", "the baseline has no question 'nobody'"),
        ("margin = ", "is not valid TOML"),
    ],
)
def test_rules_that_are_not_valid_are_refused(
    small: Baseline, tmp_path: Path, bench: Any, toml: str, says: str
) -> None:
    write_baseline(tmp_path / "baseline.json", small)
    (tmp_path / "gate.toml").write_text(toml)
    run = run_of(tmp_path / "results", tasks=make_tasks(3, 2, ("en",)))
    result = bench("gate", "baseline.json", run.path, "--rules", "gate.toml")
    assert result.status == 2
    assert says in result.err
    assert len(result.err.strip().splitlines()) <= 2


def test_the_command_line_beats_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text("margin = 0.1\nmust_pass = ['a']\n[ratios]\nlatency = 2\nmemory = 3")
    rules = merged(read_rules(path), ("b", "a"), margin=None, ratios={"latency": 1.5})
    assert (rules.margin, rules.must_pass) == (0.1, ("a", "b"))
    assert rules.ratios == {"latency": 1.5, "memory": 3.0}
    assert merged(read_rules(path), (), margin=0.0).margin == 0.0


# The command


def test_the_first_run_makes_a_baseline_and_the_next_is_gated(tmp_path: Path, bench: Any) -> None:
    tasks = make_tasks(3, 2, ("en",))
    results = tmp_path / "results"
    first = run_of(results, tasks=tasks, name="first")
    # Half of a number is another number, whatever a metric of texts says.
    worse = run_of(results, tasks=tasks, name="worse")
    worse.append_outputs("perfect", TASK, [Output("en-00/q0", "$1,284.51", "stop")])
    assert bench("gate", "first", "--write-baseline", "b.json").status == 0
    assert bench("gate", "first").status == 2
    assert bench("gate", "b.json", "first", "worse").status == 2
    # The run directory is not needed any more.
    shutil_free = first.path.rename(tmp_path / "gone")
    passing = run_of(results, tasks=tasks, name="again")
    files = ("--markdown", "g.md", "--junit", "g.xml")
    result = bench("gate", "b.json", passing.id, "--write-baseline", "next.json", *files)
    assert (result.status, shutil_free.is_dir()) == (0, True)
    assert "stays within what is accepted" in result.out
    assert (tmp_path / "g.md").read_text(encoding="utf-8").startswith(MARKER)
    assert read_baseline(tmp_path / "next.json").run == passing.id

    result = bench("gate", "b.json", "worse", "--must-pass", "en-00/q0", "--json",
                   "--write-baseline", "not.json", "--margin", "1", *files)  # fmt: skip
    data = json.loads(result.out)
    assert (result.status, data["outcome"]) == (5, "regressed")
    assert data["must_pass"][0]["passed"] is False
    assert not (tmp_path / "not.json").exists()
    suite = ElementTree.parse(tmp_path / "g.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


def test_a_run_that_is_compared_with_itself_is_noted(tmp_path: Path, bench: Any) -> None:
    results, tasks = tmp_path / "results", make_tasks(2, 1, ("en",))
    run_of(results, tasks=tasks, name="first")
    bench("gate", "first", "--write-baseline", "b.json")
    run_of(results, tasks=tasks, name="second")
    for baseline in ("first", "b.json"):
        itself = json.loads(bench("gate", baseline, "first", "--json").out)
        assert any("compared with itself" in note for note in itself["notes"])
        other = json.loads(bench("gate", baseline, "second", "--json").out)
        assert not any("compared with itself" in note for note in other["notes"])


@pytest.mark.parametrize("sides", [["last", "old.json"], ["old.json"]])
def test_a_baseline_in_the_place_of_the_run_is_named(
    tmp_path: Path, bench: Any, sides: list[str]
) -> None:
    (tmp_path / "old.json").write_text("{}")
    result = bench("gate", *sides)
    assert result.status == 2
    assert "the last name is the run, but old.json is a file" in result.err
    assert "bench gate old.json last" in result.err


def test_a_gate_replaces_only_what_a_gate_has_written(tmp_path: Path, bench: Any) -> None:
    run = run_of(tmp_path / "results", tasks=make_tasks(2, 1, ("en",)))
    record = run.path / "run.json"
    result = bench("gate", record, "last")
    assert (result.status, f"--write-baseline {record}" in result.err) == (2, False)
    precious = tmp_path / "precious.txt"
    precious.write_text("years of work", encoding="utf-8")
    for option in ("--write-baseline", "--markdown", "--junit"):
        for path in (precious, record):
            before = path.read_bytes()
            result = bench("gate", "last", "last", option, path)
            assert (result.status, "is not replaced" in result.err) == (2, True)
            assert path.read_bytes() == before
    os.mkfifo(tmp_path / "pipe")
    result = bench("gate", "last", "last", "--markdown", "pipe")
    assert (result.status, "a pipe or a device" in result.err) == (2, True)
    assert (tmp_path / "pipe").is_fifo()
    files = ("--write-baseline", "b.json", "--markdown", "g.md", "--junit", "g.xml")
    for name in files[1::2]:
        # What mktemp makes is empty.
        (tmp_path / name).touch()
    assert bench("gate", "last", "last", *files).status == 0
    (tmp_path / "b.json").write_text('{"format": "docvlm-bench baseline",\n<<<<<<< HEAD')
    assert bench("gate", "last", "last", *files).status == 0
    assert read_baseline(tmp_path / "b.json").run == run.id


def test_a_model_of_the_baseline_that_the_run_lacks_is_an_obstacle(
    tmp_path: Path, bench: Any
) -> None:
    tasks = make_tasks(3, 2, ("en",))
    models = [FixtureModel("one", skill=2.0), FixtureModel("two", skill=2.0)]
    results = tmp_path / "results"
    make_run(results, models, tasks, name="both", previews=False)
    make_run(results, models[:1], tasks, name="half", previews=False)
    result = bench("gate", "both", "half", "--margin", "0.1")
    assert result.status == 7
    assert "model two is missing in the run" in result.out
    # A model that is named is the only one that is meant.
    assert bench("gate", "both", "half:one", "--margin", "0.1").status in {0, 6}


def test_repetitions_are_checked(tmp_path: Path, bench: Any) -> None:
    tasks = make_tasks(3, 2, ("en",))
    results = tmp_path / "results"
    run_of(results, tasks=tasks, name="first")
    second = run_of(results, tasks=tasks, name="second", seed=8)
    other = run_of(results, tasks=[dataclasses.replace(tasks[0], digest="x")], name="other")
    arguments = ("gate", "first", "--write-baseline", "b.json", "--repeat")
    assert bench(*arguments, second.path).status == 0
    figures = read_baseline(tmp_path / "b.json").models[0].figures
    assert [len(figures), len({each.costs["latency"] for each in figures})] == [2, 2]
    assert "asked other tasks" in bench(*arguments, other.path).err
    assert "names a run twice" in bench(*arguments, "first").err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--margin", "nan"), "expected a number from 0 to 1"),
        (("--margin", "-0.1"), "expected a number from 0 to 1"),
        (("--ratio", "latency"), "expected key=value"),
        (("--ratio", "latency=nan"), "should be a number from 1"),
        (("--ratio", "latency=fast"), "should be a number from 1"),
        (("--ratio", "speed=2"), "cannot be gated"),
        (("--must-pass", "gone"), "no question 'gone'"),
        (("--undecided", "maybe"), "expected tell, pass or fail"),
        (("--rules", "none.toml"), "none.toml"),
    ],
)
def test_what_is_typed_wrongly_exits_2(
    tmp_path: Path, bench: Any, arguments: tuple[str, ...], says: str
) -> None:
    run = run_of(tmp_path / "results", tasks=make_tasks(2, 1, ("en",)))
    result = bench("gate", run.path, run.path, *arguments)
    assert (result.status, says in result.err) == (2, True), result.err


# Untrusted names


def test_hostile_names_are_text_in_every_output(small: Baseline) -> None:
    for number, text in enumerate(HOSTILE):
        name = f"{text} {number}\x00]]>"
        hostile = Baseline.model_validate(
            {
                **small.model_dump(),
                "run": name,
                "models": tuple(m.model_copy(update={"name": name}) for m in small.models),
                "tasks": tuple(
                    t.model_copy(update={"model": name, "name": name}) for t in small.tasks
                ),
                "questions": tuple(
                    q.model_copy(update={"model": name, "task": name, "field": name})
                    for q in small.questions
                ),
            }
        )
        after = with_wrong(hostile, [q.id for q in hostile.questions])
        after = after.model_copy(update={"bench": name})
        for other in (after, after.model_copy(update={"questions": hostile.questions[:3]})):
            result = judged(hostile, other, Rules(must_pass=("en-00/q0",), fields={name: 0.1}))
            shown = gate_markdown(result)
            assert "<script" not in shown and "<img" not in shown and "\x1b" not in shown
            assert shown.count("<!--") == 1
            assert "@someone" not in shown and "http://example" not in shown
            widths = {line.count(" | ") for line in shown.splitlines() if line.startswith("| ")}
            assert len(widths) <= 2
            suite = ElementTree.fromstring(junit(result).encode("utf-8"))[0]
            assert len(suite) == int(suite.get("tests", "0")) > 0
            assert json.loads(json.dumps(as_json(result)))


# What the sentences claim


def test_a_row_that_is_worse_within_its_margin_passes_and_is_said_to_be_worse(
    before: Baseline,
) -> None:
    result = judged(before, with_wrong(before, IDS[::20]), Rules(margin=0.2))
    said = as_json(result)["sentence"]
    assert result.outcome == "passed" and result.scores[0].is_worse
    assert "within what is accepted" in said and "is worse than the baseline, but by less" in said


def test_a_question_that_was_always_wrong_makes_nothing_worse(before: Baseline) -> None:
    wrong = with_wrong(before, IDS[:1])
    result = judged(wrong, wrong, Rules(must_pass=(IDS[0],)))
    said = as_json(result)["sentence"]
    assert result.outcome == "regressed"
    assert "worse" not in said and f"{TASK}/{IDS[0]}" in said
    assert said.endswith("It was wrong in the baseline, too.")
    assert "wrong (as in the baseline)" in gate_markdown(result)
    assert "where it was wrong, too" in junit(result)
    both = judged(wrong, with_wrong(wrong, IDS[1:2]), Rules(must_pass=(IDS[0], IDS[1]), margin=1.0))
    assert as_json(both)["sentence"].endswith(f"{TASK}/{IDS[0]} was wrong in the baseline, too.")


def test_one_document_is_told_from_too_few(before: Baseline) -> None:
    one = before.model_copy(update={"questions": before.questions[:2]})
    said = as_json(judged(one, with_wrong(one, IDS[:1]), Rules()))["sentence"]
    assert "two documents or more" in said and "No number" not in said


def test_a_baseline_that_has_nothing_to_lose_is_noted(before: Baseline) -> None:
    nothing = with_wrong(before, IDS)
    assert any("no loss can show" in note for note in judged(nothing, nothing, Rules()).notes)
    assert not any("no loss can show" in note for note in judged(before, before, Rules()).notes)


def test_no_bound_leaves_what_is_possible(before: Baseline) -> None:
    loss = judged(before, with_wrong(before, IDS), Rules()).scores[0].loss
    assert loss.high == loss.value == 1.0


def test_an_id_of_another_type_is_named(tmp_path: Path) -> None:
    rules = tmp_path / "gate.toml"
    rules.write_text("must_pass = [1]\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="an id in must_pass should be a text, not the number 1"):
        read_rules(rules)


def test_a_name_that_no_file_can_have_is_a_mistake_of_one_short_line(bench: Any) -> None:
    result = bench("gate", "last", "a" * 5000)
    assert result.status == 2
    assert "File name too long" in result.err and len(result.err) < 400

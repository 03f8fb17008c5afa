"""``bench check``: which answers differ between two ways of asking, and what follows from them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli.check import _recorded_padding
from bench.cli.check_options import CheckOptions
from bench.cli.ways import two_ways
from bench.files import append_lines
from bench.models.catalog import resolve
from bench.models.transformers.checks import Circumstances, checked_rows
from bench.report import build, make_sections
from bench.report.markdown import markdown
from bench.rundir.store import RunStore
from bench.runner import RunSettings, plan_run
from bench.runner.run_record import run_record
from bench.schema import Output, TokenChoice
from bench.scoring.agreement import (
    Divergence,
    EngineCheck,
    as_json,
    check_agreement,
    divergence_of,
)
from bench.scoring.comparison import Side
from bench.scoring.evaluation import evaluate
from bench.tasks import load_task
from tests.conftest import MakeTask
from tests.run_fixture import FixtureModel, make_run, make_tasks

# Where two answers part


def output(text: str, *tokens: TokenChoice, failed: bool = False) -> Output:
    reason: Any = "error" if failed else "stop"
    return Output("q", text, reason, error="X: y" if failed else None, tokens=tokens or None)


def test_equal_answers_do_not_part_and_two_failures_are_no_difference() -> None:
    assert divergence_of(output("a"), output("a")) is None
    assert divergence_of(output("", failed=True), output("", failed=True)) is None
    assert divergence_of(None, output("a")) is None


def test_answers_without_tokens_part_at_a_character() -> None:
    assert divergence_of(output("12 March"), output("12 May")) == Divergence(5, False, "rch", "y")
    assert divergence_of(output("12"), output("12 May")) == Divergence(2, False, "", " May")


def test_a_failure_on_one_side_alone_is_a_difference() -> None:
    assert divergence_of(output("", failed=True), output("12")) is not None


def test_answers_with_tokens_part_at_a_token_and_say_how_near_the_choice_was() -> None:
    first = output("12", TokenChoice("1", -0.1), TokenChoice("2", -0.7))
    second = output("13", TokenChoice("1", -0.1, "7", -3), TokenChoice("3", -0.6, "2", -0.75))
    found = divergence_of(first, second)
    assert found is not None
    assert (found.place, found.are_tokens, found.first, found.second) == (1, True, "2", "3")
    assert found.gap == pytest.approx(0.15)
    assert "token 2: '2' and '3'" in found.sentence()
    assert "0.150" in found.sentence()


def test_a_runner_up_that_is_another_token_tells_no_gap() -> None:
    first = output("2", TokenChoice("2", -0.7, "9", -0.8))
    found = divergence_of(first, output("3", TokenChoice("3", -0.6)))
    assert found is not None
    assert found.gap is None


def test_equal_tokens_that_make_different_texts_part_at_a_character() -> None:
    tokens = (TokenChoice("a ", -0.1),)
    found = divergence_of(output("a ", *tokens), output("a", *tokens))
    assert found == Divergence(1, False, " ", "")


# The verdict


def sides(tmp_path: Path, changed: int, total: int = 400, seed: int = 7) -> tuple[Side, Side]:
    """Two runs of a perfect model on ``total`` documents; the first has ``changed`` wrong answers."""
    tasks = make_tasks(documents=total, questions=1, languages=("en",))
    model = FixtureModel("perfect", skill=1.0)
    found = []
    for name in ("checked", "against"):
        run = make_run(tmp_path, [model], tasks, name=name, seed=seed, previews=False)
        if name == "checked":
            wrong = [Output(s.id, "wrong", "stop") for s in tasks[0].samples[:changed]]
            run.append_outputs("perfect", tasks[0].name, wrong)
        found.append(Side(evaluate(run), "perfect"))
    return found[0], found[1]


@pytest.fixture(scope="module")
def eight_wrong(tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """Two ways of asking 400 questions, the first of which gets eight wrong."""
    return sides(tmp_path_factory.mktemp("eight"), 8)


def check_of(tmp_path: Path, changed: int, margin: float, total: int = 400) -> EngineCheck:
    return check_agreement(*sides(tmp_path, changed, total), margin)


@pytest.mark.parametrize(
    ("total", "says"), [(1, "the only answer is the same"), (3, "all 3 answers are the same")]
)
def test_equal_answers_pass_however_few_they_are(tmp_path: Path, total: int, says: str) -> None:
    check = check_of(tmp_path, 0, 0.0, total)
    assert check.verdict == "passed"
    assert check.sentence() == says


def test_the_verdict_is_that_of_the_interval_and_the_margin(
    eight_wrong: tuple[Side, Side],
) -> None:
    first, second = eight_wrong
    assert check_agreement(first, second, 0.05).verdict == "passed"
    assert check_agreement(first, second, 0.03).verdict == "undecided"
    check = check_agreement(first, second, 0.01)
    assert check.verdict == "differs"
    assert check.sentence().startswith(
        "8 of 400 answers differ, 8 of them in score: −2.0 points [−3.4, −0.6]"
    )
    # A better score is no sign of trust either.
    assert check_agreement(second, first, 0.01).verdict == "differs"


def test_a_check_that_failed_is_a_caveat_until_a_newer_one_passes(
    eight_wrong: tuple[Side, Side],
) -> None:
    first, second = eight_wrong
    run = first.evaluation.run
    run.append_check("perfect", as_json(check_agreement(first, second, 0.01)))
    (said,) = [c.text for c in build([first.evaluation]).caveats if "does not agree" in c.text]
    assert said.startswith("perfect does not agree with perfect: 8 of 400 answers differ")
    run.append_check("perfect", as_json(check_agreement(first, second, 0.5)))
    view = build([first.evaluation])
    assert not [c for c in view.caveats if "does not agree" in c.text]
    assert [check.verdict for check in view.checks] == ["passed", "differs"]


def test_failures_are_counted_and_a_check_of_failures_alone_tells_nothing(tmp_path: Path) -> None:
    first, second = sides(tmp_path, 0, total=3)
    for side in (first, second):
        run, task = side.evaluation.run, side.evaluation.run.task_names()[0]
        failures = [Output(id_, "", "error", error="X: y") for id_ in run.outputs("perfect", task)]
        run.append_outputs("perfect", task, failures)
    again = [Side(evaluate(side.evaluation.run), side.model) for side in (first, second)]
    check = check_agreement(again[0], again[1])
    assert (check.verdict, check.failed) == ("undecided", (3, 3))


# The command

TOML = """
[models.one]
model = "fake"
options = { answers = { "What is field 0?" = "value 0", "What is field 1?" = "value 1" } }
[models.two]
model = "fake"
options = { answers = { "What is field 0?" = "value 0", "What is field 1?" = "<b>|\\u001b[31m" } }
[models.plain]
model = "qwen2-vl-nano"
backend = "transformers"
"""


def check_options(model: str, against: str) -> CheckOptions:
    unsaid: dict[str, Any] = dict.fromkeys(field.name for field in fields(CheckOptions))
    return CheckOptions(**{**unsaid, "model": model, "against": against})


@pytest.mark.parametrize("against", ["one-by-one", "reference"])
def test_plain_generate_is_asked_in_padded_batches_and_alone(
    against: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text(TOML)
    options = check_options("plain", against)
    padded, alone = two_ways(options)
    assert (padded.batch_size, padded.spec.options) == (8, {"unchecked_rows": 8})
    assert (alone.batch_size, alone.spec.options) == (1, {})


def test_the_reference_of_a_served_model_sees_the_same_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text(
        '[models.small]\nmodel = "qwen2-vl-nano"\nengine = "vllm"\nmax_pixels = 50176\n'
    )
    options = check_options("small", "reference")
    served, plain = two_ways(options)
    assert (served.spec.backend, served.how) == ("vllm", "many requests at a time")
    assert (plain.spec.name, plain.spec.max_pixels) == ("qwen2-vl-nano-reference", 50176)


@pytest.mark.parametrize(("changed", "rows"), [(0, 3), (8, 1)])
def test_a_check_of_padded_batches_lets_later_runs_pad(
    changed: int, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    where = Circumstances("llava", "cpu", "float32", "sdpa", "2", "5")
    first, second = sides(tmp_path, changed, total=20)
    run = first.evaluation.run
    details = {"padding_circumstances": where._asdict()}
    run.write_model("perfect", {**(run.model_record("perfect") or {}), "details": details})
    # Memory was short: only three questions came together.
    batch = {"samples": [], "ladder": {"batch_size": 3, "chunks": 0, "ceiling": None}}
    run.append_batch("perfect", run.task_names()[0], batch)
    spec = replace(run.model_spec("perfect"), options={"unchecked_rows": 8})
    said = _recorded_padding(spec, first, check_agreement(first, second))
    assert checked_rows(where) == rows
    assert ("up to 3 now pad" in (said or "")) == (rows > 1)


def test_a_check_asks_both_ways_and_stands_in_reports(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "bench.toml").write_text(TOML)
    task = make_task(documents=3, questions=2)
    # A run of the same model that has just begun.
    plan = plan_run(
        [resolve("one", bench_toml=tmp_path / "bench.toml")], [load_task(task)], RunSettings()
    )
    path = RunStore.create(tmp_path / "results", "mine", run_record(plan), plan.tasks).path
    arguments = ("one", "--against", "two", "--tasks", task, "--limit", 4, "--attach", path)
    result = bench("check", *arguments)
    assert result.status == 6
    assert "2 of 4 answers differ, 2 of them in score: +50.0 points" in result.out
    assert "first difference at character 1: 'value 1' and '<b>|\\\\x1b[31m'" in result.out
    assert f"page {task}/p0.png" in result.out

    attached = RunStore.open(path)
    (record,) = attached.checks("one")
    assert (record["verdict"], record["against"]) == ("undecided", "two")
    (own,) = RunStore.open(path.parent / record["runs"][0]).checks("one")
    assert own == record
    shown = markdown(make_sections(build([evaluate(attached)])))
    assert "Do other ways of asking give the same answers?" in shown
    assert "<b>" not in shown
    # A record that somebody damaged costs no report.
    append_lines(attached.model_folder("one") / "checks.jsonl", [{"rows": 3, "differing": [7]}])
    assert build([evaluate(attached)]).checks[0].answers == 0
    refused = bench("check", *arguments, "--max-pixels", 99999)
    assert (refused.status, "has no upper bound" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["one", "--against", "one"], "are the same"),
        (["one", "--against", "reference"], "has no plain generate"),
        (["plain", "--against", "one-by-one", "--batch-size", "1"], "has nothing to be checked"),
        (["one", "--against", "two", "--engine", "vllm"], "vllm cannot serve"),
        (["one", "--against", "nobody"], "there is no model 'nobody'"),
        (["one", "--against", "two", "--concurrency", "2"], "--batch-size"),
        (["one", "--against", "two", "--margin", "nan"], "expected a number from 0 to 1"),
        (["one", "--against", "two", "--margin", "-1"], "expected a number from 0 to 1"),
        (["one", "--against", "two", "--attach", "nowhere"], "no run is called"),
        (["x@http://localhost:1/v1", "--against", "reference"], "--against reference:NAME"),
        (["one"], "Missing option '--against'"),
    ],
)
def test_what_cannot_be_checked_is_refused_before_anything_is_asked(
    bench: Any, make_task: MakeTask, tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "bench.toml").write_text(TOML)
    result = bench("check", *arguments, "--tasks", make_task())
    assert result.status == 2
    assert says in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "results").exists()

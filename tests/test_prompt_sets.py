"""Several sets of prompts as rows of one report, and the prompts that models' authors document."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.asking.prompt_sets import PromptSet, compared, documented_prompts, read_prompt_set
from bench.asking.prompts import Chooser, PromptRule, check_used, tuning_warnings
from bench.cli import main
from bench.errors import InvalidInput
from bench.models.catalog import resolve
from bench.report import build, make_sections
from bench.report.html import html
from bench.report.options import ReportOptions
from bench.runner import RunSettings, execute, plan_run
from bench.schema import ModelSpec
from bench.scoring.evaluation import evaluate
from bench.tasks import load_task
from tests.conftest import MakeTask

SPEC = ModelSpec("mine", "fake", options={"default": "x"})


@pytest.fixture
def folder(make_task: MakeTask) -> Path:
    rows = [
        {"id": str(i), "images": [f"p{i}.png"], "question": "Total?", "answers": ["x"]}
        for i in range(4)
    ]
    return make_task(rows, documents=4)


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def asked(spec: ModelSpec, rules: tuple[PromptRule, ...], folder: Path) -> str:
    task = load_task(folder)
    return Chooser(rules, spec, task).prompt(task.samples[0])


def test_every_set_of_prompts_makes_a_variant_of_every_model(folder: Path, tmp_path: Path) -> None:
    short = write(tmp_path / "short.txt", "Answer {question} in one word.")
    table = "prompt;doc_class_question_type;model\nAs JSON: {question};;mine\nOther;;other\n"
    sources = [short, write(tmp_path / "512.csv", table), "task"]
    other = ModelSpec("other", "fake")
    sets = [read_prompt_set(source, [SPEC, other]) for source in sources]
    models, rules = compared([SPEC, other], sets)
    names = [f"{m}@{v}" for m in ("mine", "other") for v in ("short", "prompt-512", "task")]
    assert [spec.name for spec in models] == names
    assert [asked(spec, rules, folder) for spec in models] == [
        "Answer Total? in one word.",
        "As JSON: Total?",
        load_task(folder).prompt.render("Total?"),
        "Answer Total? in one word.",
        "Other",
        load_task(folder).prompt.render("Total?"),
    ]
    # The tasks' own prompts lack nothing.
    assert check_used(rules, models, [load_task(folder)]) == []


def test_sets_that_the_report_could_not_tell_apart_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    sources = [write(tmp_path / name / "same.txt", "{question}") for name in ("a", "b")]
    with pytest.raises(InvalidInput, match="'same'"):
        compared([SPEC], [read_prompt_set(source, [SPEC]) for source in sources])


def test_a_set_that_fits_no_question_is_refused_beside_one_that_does(folder: Path) -> None:
    fits = PromptRule("{question}", "0" * 64, "a/fits.csv")
    foreign = PromptRule("{question}", "0" * 64, "a/foreign.csv", key="passport")
    sets = [PromptSet("fits", (fits,)), PromptSet("foreign", (foreign,))]
    models, rules = compared([SPEC], sets)
    with pytest.raises(InvalidInput, match="'passport'"):
        check_used(rules, models, [load_task(folder)])


def test_the_warning_of_chosen_prompts_reaches_every_variant(folder: Path) -> None:
    chosen = PromptRule("{question}", "0" * 64, "a/chosen.csv", tuned="anls=0.9")
    models, rules = compared([SPEC], [PromptSet("chosen", (chosen,)), PromptSet("task", ())])
    (warning,) = tuning_warnings(rules, models, [load_task(folder)])
    assert "4 questions are asked" in warning


def test_documented_prompts_belong_to_the_models_that_have_them(folder: Path) -> None:
    models = [resolve("glm-ocr"), SPEC]
    own = read_prompt_set("own:json", models)
    assert asked(models[0], own.rules, folder) == "请按下列JSON格式输出图中信息:\nTotal?"
    assert asked(SPEC, own.rules, folder) == load_task(folder).prompt.render("Total?")
    fine_tuned = ModelSpec("tuned", "fake", "/weights/GLM-OCR-invoices")
    assert asked(fine_tuned, own.rules, folder).startswith("请按下列")
    with pytest.raises(InvalidInput, match="none of the models"):
        read_prompt_set("own:json", [SPEC])
    with pytest.raises(InvalidInput, match="no model of the catalog"):
        read_prompt_set("own:poem", models)


def test_every_documented_prompt_has_a_source_and_can_be_sent() -> None:
    for entry in documented_prompts():
        assert entry.prompts_source
        for text in entry.prompts.values():
            assert text.strip() and text.count("{") == text.count("{question}")


def test_a_run_that_began_before_there_were_variants_goes_on(folder: Path) -> None:
    rule = PromptRule("{question}", "0" * 64, "a/b.txt")
    record = RunSettings(prompts=(rule,)).record()
    assert "variant" not in record["prompts"][0]
    assert RunSettings.from_record(record).prompts == (rule,)


def test_the_report_shows_which_models_were_asked_with_which_prompt(
    folder: Path, tmp_path: Path
) -> None:
    rule = PromptRule("In one word: {question}", "0" * 64, "a/short.txt")
    models, rules = compared([SPEC], [PromptSet("short", (rule,)), PromptSet("task", ())])
    plan = plan_run(models, [load_task(folder)], RunSettings(prompts=rules, latency_samples=0))
    run = execute(plan, tmp_path / "results").run
    view = build([evaluate(run)])
    (prompt,) = view.tasks[0].prompts
    assert (prompt.models, prompt.questions) == (("mine@short",), 4)
    assert prompt.text == "In one word: {question}"
    page = html(view, make_sections(view), ReportOptions(), tmp_path / "report.html")
    assert "In one word: {question}" in page
    assert "mine@short: 4 questions, from a/short.txt" in page


def test_prompts_are_compared_from_the_command_line(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def bench(*arguments: object) -> str:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        assert not end.value.code
        return capfd.readouterr().out

    one, two = (
        write(tmp_path / f"{name}.txt", f"{name}: {{question}}") for name in ("one", "two, too")
    )
    run = ("run", "-m", "fake", "-t", folder, "--dry-run", "--prompts")
    compared = bench(*run, f"{one},task")
    assert "fake@one" in compared and "fake@task" in compared
    assert "fake@" not in bench(*run, two)
    assert "own:json" in bench("list", "prompts")

"""Prompts by task, model, document type and field: which one is used, what is recorded, what is warned of."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.asking.prompts import (
    Chooser,
    PromptRule,
    check_used,
    from_record,
    prompts_record,
    read_prompts,
    tuning_warnings,
)
from bench.errors import InvalidInput
from bench.runner import RunSettings, execute, plan_run
from bench.runner.batches import page_groups
from bench.schema import Document, ModelSpec, Page, PromptTemplate, Sample, Task
from bench.tasks import load_task
from tests.hyperbench_fixture import COLLECTION, make_bundles, make_vqa, write_lines

SPEC = ModelSpec("qwen2-vl-2b-int4", "fake", "Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int4")


def rule(text: str, **columns: str) -> PromptRule:
    return PromptRule(text, "0" * 64, "folder/file.csv", **columns)


def task(**metadata: str) -> Task:
    page = Page(Path("p.png"), 0, 10, 10, "0" * 64)
    sample = Sample("1", "d", "Q?", ("a",), "text", metadata)
    return Task(
        "demo", "1", "", {"d": Document("d", (page, page))}, (sample,), ("anls",),
        PromptTemplate("{question} Short."),
    )  # fmt: skip


def prompt(rules: list[PromptRule], spec: ModelSpec = SPEC, **metadata: str) -> str:
    asked = task(**metadata)
    return Chooser(rules, spec, asked).prompt(asked.samples[0])


PASSPORT = {"doc_type": "passport", "field": "Серия и номер"}


def test_without_a_fitting_row_the_tasks_own_prompt_is_used() -> None:
    assert prompt([rule("other", key="invoice Дата")], **PASSPORT) == "Q? Short."


def test_a_prompt_is_sent_as_it_stands_and_placeholders_are_filled() -> None:
    assert prompt([rule("Напиши {x}.")]) == "Напиши {x}."
    assert prompt([rule("{pages} pages. {question}")]) == "2 pages. Q?"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"key": "passport Серия и номер"}, {"key": "passport", "model": "qwen2-vl-2b-int4"}),
        ({"key": "passport"}, {"model": "qwen2-vl-2b-int4", "task": "demo"}),
        ({"model": "qwen2-vl-2b-int4"}, {"model": "qwen2-vl-2b"}),
        ({"model": "Qwen2-VL-2B"}, {"model": "qwen2-vl"}),
        ({"model": "qwen2-vl"}, {"task": "demo"}),
        ({"task": "demo"}, {}),
    ],
)
def test_the_more_specific_row_wins_in_either_order(
    first: dict[str, str], second: dict[str, str]
) -> None:
    rules = [rule("first", **first), rule("second", **second)]
    assert prompt(rules, **PASSPORT) == "first"
    assert prompt(rules[::-1], **PASSPORT) == "first"


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("Qwen2-VL-2B-Instruct-GPTQ-Int4", True),
        ("Qwen2-VL", True),
        ("qwen2", True),
        ("qwen2_vl-2b", False),
        ("qwen2.5-vl", False),
        ("Qwen2-VL-7B", False),
        ("vl-2b", False),
    ],
)
def test_a_family_is_the_beginning_of_a_models_name(name: str, fits: bool) -> None:
    assert (prompt([rule("hers", model=name)]) == "hers") is fits


def test_an_underscore_in_a_family_stands_for_a_point() -> None:
    spec = ModelSpec("mine", "fake", "Qwen/Qwen2.5-VL-3B-Instruct")
    assert prompt([rule("hers", model="Qwen2_5-VL-3B")], spec) == "hers"


def test_a_collection_of_vlmhyperbench_is_read_with_hashes_and_scores(tmp_path: Path) -> None:
    rules = read_prompts(write_lines(tmp_path / "demo_mini" / "c.csv", COLLECTION))
    assert rules[0].key == "passport Фамилия"
    assert rules[0].sha256 == hashlib.sha256(rules[0].text.encode()).hexdigest()
    assert rules[0].source == "demo_mini/c.csv"
    assert rules[0].tuned == "cer=0.0"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("prompt;key", "a;b"), "no column 'doc_class_question_type'"),
        (("prompt;doc_class_question_type", ";x"), "c.csv:2: the prompt is empty"),
        (("prompt;doc_class_question_type", "a;x", "b;x"), "'x' already has a prompt in line 2"),
        (("prompt;doc_class_question_type",), "contains no prompts"),
    ],
)
def test_a_collection_that_cannot_be_used_is_refused(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message.replace(".", r"\.")):
        read_prompts(write_lines(tmp_path / "c.csv", lines))


def test_a_text_file_is_one_prompt_for_everything(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.txt", ("Опиши документ.", "Кратко."))
    assert prompt(list(read_prompts(path)), **PASSPORT) == "Опиши документ.\nКратко."


def test_a_prompt_about_a_bundle_says_how_many_pages_there_are(tmp_path: Path) -> None:
    bundles = load_task(make_bundles(tmp_path / "rpo"))
    rules = read_prompts(write_lines(tmp_path / "p.txt", ("Определи классы.",)))
    text = Chooser(rules, SPEC, bundles).prompt(bundles.samples[0])
    assert text == "Количество поданных страниц документов - 4.\nОпредели классы."


def test_a_collection_that_fits_no_question_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no row of the prompt collection fits any question"):
        check_used([rule("a", key="x y")], [SPEC], [task(**PASSPORT)])


def test_questions_without_a_prompt_are_counted() -> None:
    other = replace(task(), samples=(*task().samples, *task(**PASSPORT).samples))
    found = check_used([rule("a", key="passport")], [SPEC], [other])
    assert found[0].startswith("the prompt collection has no prompt for 1 of 2 questions")


# Tuned on what is scored


def test_a_prompt_chosen_on_the_scored_split_is_warned_of() -> None:
    rules = [rule("a", split="test", tuned="cer=0.0")]
    assert (
        "The same split is scored here" in tuning_warnings(rules, [SPEC], [task(split="test")])[0]
    )


def test_a_prompt_chosen_on_another_split_is_not_warned_of() -> None:
    rules = [rule("a", split="train", tuned="cer=0.0")]
    assert tuning_warnings(rules, [SPEC], [task(split="test")]) == []


def test_a_score_without_a_split_is_warned_of_and_more_so_under_the_tasks_name() -> None:
    rules = [rule("a", tuned="cer=0.0")]
    assert "does not say on which documents" in tuning_warnings(rules, [SPEC], [task()])[0]
    named = [replace(rules[0], source="demo/best_cer0.csv")]
    assert "the same documents" in tuning_warnings(named, [SPEC], [task()])[0]


def test_a_prompt_without_a_score_is_not_warned_of() -> None:
    assert tuning_warnings([rule("a")], [SPEC], [task(split="test")]) == []


# In a run


def test_every_model_gets_its_own_prompt_and_the_order_stays_the_same(tmp_path: Path) -> None:
    demo = load_task(make_vqa(tmp_path / "demo"))
    rules = [rule("only for b", key="passport Фамилия", model="b")]
    first = page_groups(demo, ModelSpec("a", "fake"), rules)
    second = page_groups(demo, ModelSpec("b", "fake"), rules)
    prompts = {r.sample_id: r.prompt for group in second for r in group.requests}
    assert prompts["1"] == "only for b"
    assert prompts["3"] == "Напиши Продавец"
    assert [g.document.id for g in first] == [g.document.id for g in second]
    assert "only for b" not in {r.prompt for group in first for r in group.requests}


def test_a_run_records_every_prompt_with_its_hash_and_warnings(tmp_path: Path) -> None:
    demo = load_task(make_vqa(tmp_path / "demo_mini"))
    rules = read_prompts(write_lines(tmp_path / "demo_mini" / "best.csv", COLLECTION))
    models = [ModelSpec("a", "fake", options={"default": "x"})]
    plan = plan_run(models, [demo], RunSettings(prompts=rules))
    run = execute(plan, tmp_path / "results").run
    entries = {e["sha256"]: e for e in run.record["prompts"]}
    assert entries[rules[0].sha256]["text"] == rules[0].text
    assert entries[rules[0].sha256]["questions"] == 2
    assert sum(e["questions"] for e in run.record["prompts"]) == 5
    assert "chosen on the same documents" in run.record["warnings"][0]
    assert from_record(run.record["spec"]["settings"]["prompts"]) == rules


def test_other_prompts_are_another_specification(tmp_path: Path) -> None:
    demo = load_task(make_vqa(tmp_path / "demo"))
    models = [ModelSpec("a", "fake")]
    plain = plan_run(models, [demo], RunSettings())
    other = plan_run(models, [demo], RunSettings(prompts=(rule("x"),)))
    assert plain.spec_id() != other.spec_id()
    assert "prompts" not in plain.identity()["settings"]


def test_the_record_of_a_run_without_a_collection_holds_the_tasks_prompts() -> None:
    record = prompts_record((), [SPEC], [task()])
    assert record[0]["text"] == "{question} Short."
    assert record[0]["source"] == "task"

"""Answer extraction: what is taken away, what is kept, and that every step is recorded."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.extract import extract
from bench.metrics.metric import MAX_CHARACTERS

any_text = st.text(st.characters(exclude_categories=[]), max_size=60)


@pytest.mark.parametrize(
    "raw",
    [
        "Answer: 42",
        "answer : 42",
        "ANSWER:42",
        "Final answer: 42",
        "The answer is: 42",
        "The answer is 42",
        "**Answer:** 42",
        "**Answer**: 42",
        "**Answer: 42**",
        "A: 42",
        "Ответ: 42",
        "ответ : 42",
        "Правильный ответ: 42",
        "Ответ — 42",
        "**Ответ:** 42",
        "答案：42",
        "答案:42",
        "答案是：42",
        "答案是42",
        "最终答案：42",
        "回答：42",
        "答：42",
    ],
)
def test_a_prefix_in_three_languages_is_taken_away(raw):
    assert extract(raw) == ("42", ("prefix",))


@pytest.mark.parametrize(
    "raw", ["42", "Answers: 3 of 4", "Ответственный: Иванов", "答案", "Answer:", "A", "resultat: x"]
)
def test_what_is_no_prefix_stays(raw):
    assert extract(raw) == (raw, ())


def test_blanks_are_stripped():
    assert extract(" \n42\t") == ("42", ("strip",))


def test_steps_are_recorded_in_their_order():
    assert extract(" Answer: **42**<|im_end|>\n") == (
        "42",
        ("strip", "special_tokens", "prefix", "emphasis"),
    )


@pytest.mark.parametrize(
    "raw", ["```\n42\n```", "```text\n42\n```", "```\n42", "``` json \r\n42\r\n```"]
)
def test_a_code_fence_around_the_answer_is_taken_away(raw):
    assert extract(raw) == ("42", ("code_fence",))


def test_a_fence_inside_a_text_stays():
    raw = "see ```\n42\n``` there"
    assert extract(raw) == (raw, ())


@pytest.mark.parametrize(
    "raw",
    [
        '{"a": 1}',
        'Here it is: {"a": 1}. Anything else?',
        '```json\n{"a": 1}\n```',
        'I see {braces} and {"a": 1} and {"b": 2}',
        'Source [1] says {"a": 1}',
        'Ответ: {"a": 1}',
    ],
)
def test_the_first_json_object_is_the_answer_of_a_structured_task(raw):
    assert json.loads(extract(raw, "json").answer) == {"a": 1}


def test_a_list_of_objects_is_an_answer():
    assert extract('The items: [{"a": 1}, {"a": 2}]', "json").answer == '[{"a": 1}, {"a": 2}]'


def test_json_keeps_the_models_own_spelling():
    assert extract('x {"a":1.50}', "json") == ('{"a":1.50}', ("first_json",))


def test_text_without_json_stays():
    assert extract("no object here", "json") == ("no object here", ())


def test_a_description_is_only_stripped():
    assert extract(" Answer: a page with **bold** text ", "description") == (
        "Answer: a page with **bold** text",
        ("strip",),
    )


def test_a_text_beyond_the_cap_is_cut():
    assert extract("a" * (MAX_CHARACTERS + 5)) == ("a" * MAX_CHARACTERS, ("cut",))


@pytest.mark.parametrize(
    "raw", ["[" * 100_000, "{" * 100_000, '{"a":' * 20_000, "Answer:" * 10_000]
)
@pytest.mark.parametrize("answer_type", ["text", "json", "description"])
def test_a_hostile_text_is_no_exception(raw, answer_type):
    assert len(extract(raw, answer_type).answer) <= MAX_CHARACTERS


@settings(deadline=None, max_examples=300)
@given(raw=any_text, answer_type=st.sampled_from(["text", "json", "description"]))
def test_an_answer_is_a_part_of_the_raw_text(raw, answer_type):
    found = extract(raw, answer_type)
    assert found.answer in raw or "special_tokens" in found.steps


@settings(deadline=None, max_examples=300)
@given(raw=any_text, answer_type=st.sampled_from(["text", "json", "description"]))
def test_no_step_is_recorded_for_an_unchanged_text(raw, answer_type):
    found = extract(raw, answer_type)
    assert (found.answer == raw) == (found.steps == ())


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=8)), max_size=4)
)
def test_an_object_survives_being_wrapped(value):
    raw = f"Sure! Here:\n```json\n{json.dumps(value, ensure_ascii=False)}\n```\nAnything else?"
    assert json.loads(extract(raw, "json").answer) == value

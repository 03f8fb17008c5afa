"""Answer extraction: what is taken away, what is kept, and that every step is recorded."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import METRICS
from bench.metrics.extract import extract
from bench.metrics.metric import MAX_CHARACTERS
from bench.report.facts import measure
from bench.schema import Document, Output, Sample, Task
from bench.scoring.answers import score_models

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


REFERENCES_THAT_LOOK_WRAPPED = [
    "Output: 12V", "Result: Negative", "A: Smith", "结果：阴性", "Результат: 5", "Answer: see page 2",
    "4711 ", " 4711", "Total \n", "__init__", "**4711**", "The answer is no", "Ответ — 42", "答：是",
    "```\n42\n```", "</s>", "<think>", "a</think>b", "<answer>x</answer>", "none", "the", "[1]", "{}", "",
]  # fmt: skip


def answered(text, reference, metrics, *, answer_type="text", stop_reason="stop"):
    sample = Sample("s", "d", "?", (reference,), answer_type)
    task = Task("t", "1", "t", {"d": Document("d", ())}, (sample,), metrics)
    ((answer,),) = score_models(task, [{"s": Output("s", text, stop_reason)}], {})
    return answer


TEXT_METRICS = sorted(name for name, metric in METRICS.items() if "text" in metric.answer_types)


@pytest.mark.parametrize("name", TEXT_METRICS)
@pytest.mark.parametrize("reference", REFERENCES_THAT_LOOK_WRAPPED)
def test_an_answer_equal_to_its_reference_is_never_unwrapped(name, reference):
    answer = answered(reference, reference, (name,))
    best = 1.0 if METRICS[name].direction == "higher" else 0.0
    assert answer.scores[name].value in {best, None}
    assert answer.mistake is None


@settings(deadline=None, max_examples=200)
@given(reference=any_text, name=st.sampled_from(TEXT_METRICS))
def test_any_reference_answered_by_itself_is_right_under_every_metric(reference, name):
    best = 1.0 if METRICS[name].direction == "higher" else 0.0
    assert answered(reference, reference, (name,)).scores[name].value in {best, None}


@settings(deadline=None, max_examples=300)
@given(
    reference=st.one_of(any_text, st.sampled_from(REFERENCES_THAT_LOOK_WRAPPED)),
    before=st.sampled_from(["", " ", "\n"]),
    behind=st.sampled_from(["", " ", "\n"]),
)
def test_any_reference_answered_by_itself_is_right(reference, before, behind):
    assert answered(reference, reference, ("exact_match",)).scores["exact_match"].value == 1.0
    padded = answered(before + reference + behind, reference, ("anls_normalized",))
    assert padded.scores["anls_normalized"].value == 1.0


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.text(max_size=9),
        st.one_of(st.none(), any_text, st.lists(st.one_of(st.integers(), any_text), max_size=3)),
        max_size=4,
    )
)
def test_any_json_answered_by_itself_is_right(value):
    for name in ("anls_star", "kie_f1", "ted_accuracy", "field_match", "kie_f1_ocrbench_v2"):
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
            score = answered(text, value, (name,), answer_type="json").scores[name].value
            assert score is None or score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("raw", "references", "answer"),
    [
        ("Answer: Output: 12V", ["Output: 12V"], "Output: 12V"),
        ("Output: 12 V", ["Output: 12V"], "Output: 12 V"),
        ("output: 12v", ["Output: 12V"], "output: 12v"),
        ("Output: 12V", ["12V"], "12V"),
        ("**Answer:** 42", ["Output: 12V"], "42"),
        ("Answer: 4711", ["4711 "], "4711"),
        ("__main__", ["__init__"], "__main__"),
        ("<answer>42</answer>", ["42"], "42"),
        ("<|begin_of_box|>42<|end_of_box|>", ["42"], "42"),
    ],
)
def test_what_a_reference_has_is_no_wrapping(raw, references, answer):
    assert extract(raw, "text", references).answer == answer


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("<think>It reads 4712.</think>\n\n4711", "4711"),
        ("It reads 4712.\n</think>\n\n4711", "4711"),
        ("<think>a</think>1<think>b</think>4711", "4711"),
        ("<think></think>4711", "4711"),
        ("<THINK>a</THINK>Answer: **4711**", "4711"),
        ("<thinking>a</thinking>4711", "4711"),
        ("◁think▷a◁/think▷4711", "4711"),
        ("[THINK]a[/THINK]4711", "4711"),
        ("<think>a</think><answer>4711</answer>", "4711"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>4711", "4711"),
        ("<think>" + "a" * MAX_CHARACTERS + "</think>4711", "4711"),
    ],
)  # fmt: skip
def test_what_stands_behind_the_last_thought_is_the_answer(raw, answer):
    found = extract(raw)
    assert found.answer == answer
    assert found.steps[0] == "thought"
    assert found.thought
    assert not found.unanswered
    assert extract(raw, "description").answer.endswith(("4711", "4711**", "4711</answer>"))


@pytest.mark.parametrize("answer_type", ["text", "json", "description"])
@pytest.mark.parametrize(
    "raw",
    [
        '<think>Draft: {"total": "9"}',
        " <think>4711",
        "<think>a</think>\n<think>4711",
        "<|im_start|><think>4711",
    ],
)
def test_a_thought_that_never_ends_holds_no_answer(raw, answer_type):
    found = extract(raw, answer_type)
    assert (found.answer, found.steps) == ("", ("open_thought",))
    assert found.unanswered
    if answer_type != "description":
        reference = {"total": "9"} if answer_type == "json" else "4711"
        wrong = answered(raw, reference, ("anls_star",), answer_type=answer_type)
        assert wrong.scores["anls_star"].value == 0.0
        assert wrong.mistake == "truncated"


def test_json_is_never_taken_from_a_draft():
    raw = '<think>Draft: {"total": "9"} no.</think>The answer: {"total":"4711"}'
    assert extract(raw, "json").answer == '{"total":"4711"}'
    assert extract('<think>Draft: {"total": "9"}</think>no JSON', "json").answer == "no JSON"


@pytest.mark.parametrize(
    "raw", ["The tag <think> opens a block", '{"a": "</think>"}', "think", "</thin>"]
)
def test_what_is_no_thought_stays(raw):
    assert extract(raw).answer == raw


def test_thoughts_are_counted():
    texts = ["<think>a</think>1", "<think>a", "1"]
    answers = [answered(text, "1", ("anls",)) for text in texts]
    facts = measure(None, [], [], answers)
    assert facts.thoughts == {"thought": 1, "open_thought": 1}


@pytest.mark.parametrize("mode", ["strip", "raw"])
def test_a_protocol_scores_no_thought(mode):
    sample = Sample("s", "d", "?", ("4711",))
    task = Task("t", "1", "t", {"d": Document("d", ())}, (sample,), ("exact_match",))
    output = Output("s", "<think>4</think>\n\n4711", "stop")
    ((answer,),) = score_models(task, [{"s": output}], {}, mode)
    assert answer.scores["exact_match"].value == 1.0

"""What kind of wrong: each rule, and which comes first."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.metrics import lookup
from bench.metrics.fields import field_equivalent
from bench.metrics.folding import plain
from bench.metrics.lookup import FieldIndex
from bench.metrics.mistakes import MISTAKES, RULES, Answered, classify

figures = st.text("0123456789 .,-/:%₽$年月日xБA", max_size=12)
any_text = st.text(st.characters(exclude_categories=[]), max_size=40)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (Answered("", ["x"], stop_reason="error"), "failed"),
        (Answered(" \u200b\n", ["x"]), "empty"),
        (Answered("", [{"a": "b"}], answer_type="json"), "empty"),
        (Answered("{a", [{"a": "b"}], answer_type="json"), "unparseable"),
        (Answered("42", [{"a": "b"}], answer_type="json"), "unparseable"),
        (Answered("12 марта 2024 г.", ["12.03.2024"]), "format_only"),
        (Answered('{"d": "2024-03-12"}', [{"d": "12.03.2024"}], answer_type="json"), "format_only"),
        (Answered("20", ["20%"], field="Ставка"), "format_only"),
        (Answered("The invoice num", ["7"], stop_reason="length"), "truncated"),
        (Answered("I'm sorry, I cannot read this.", ["x"]), "refusal"),
        (Answered("The date is not visible in the image.", ["x"]), "refusal"),
        (Answered("Извините, я не вижу даты", ["x"]), "refusal"),
        (Answered("Не могу определить сумму", ["x"]), "refusal"),
        (Answered("К сожалению, не видно", ["x"]), "refusal"),
        (Answered("抱歉，我无法回答", ["x"]), "refusal"),
        (Answered("图中没有相关信息", ["x"]), "refusal"),
        (
            Answered(
                "12.03.2024", ["1 234,50"], other_fields=FieldIndex({"date": ["12 марта 2024"]})
            ),
            "other_field",
        ),
        (Answered("Moscow", ["Moscow, Russia"]), "partial"),
        (Answered("12 March", ["12 March 2024"]), "partial"),
        (Answered("Ivanof", ["Ivanov"]), "partial"),
        (Answered("北京市", ["北京市朝阳区"]), "partial"),
        (Answered('{"a": "x", "b": "y"}', [{"a": "x", "b": "z"}], answer_type="json"), "partial"),
        (Answered("17", ["25"], document_text="Total: 25"), "not_on_page"),
        (Answered("17", ["25"], document_text="Room 17, total 25"), "other_line"),
        (Answered("17", ["25"]), "other_value"),
        (Answered('{"a": "y"}', [{"a": "x"}], answer_type="json"), "wrong"),
        (
            Answered("a white page", ["a table"], answer_type="description", document_text="x"),
            "wrong",
        ),
    ],
)
def test_a_wrong_answer_has_the_class_of_its_first_rule(wrong, expected):
    assert classify(wrong) == expected


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (Answered("12.03.2024", ["13.03.2024"]), "misread"),
        (Answered("12", ["12.03.2024"]), "other_value"),
        (Answered("1 234", ["1 234,50"], field="total"), "misread"),
        (Answered("40702 810", ["40702810900000000001"], field="account"), "other_value"),
        (Answered("+7 846 540-18-55", ["+7 (846) 540-18-54"], field="phone"), "misread"),
        (Answered("540-18-54", ["+7 (846) 540-18-54"], field="phone"), "misread"),
        (Answered("1 234,50 руб.", ["1 234,50"], field="total"), "format_only"),
        (Answered("3 April 2024", ["03/04/2024"], field="date", language="en"), "ambiguous"),
        (Answered("1,234", ["1234"], field="width"), "ambiguous"),
        (Answered("4711", [""]), "invented"),
        (Answered('{"a": "x", "b": "y"}', [{"a": "x"}], answer_type="json"), "invented"),
        (Answered("88888888888", ["25"]), "repetition"),
        (Answered("Total Total Total Total Total", ["Ромашка"]), "repetition"),
        (Answered("88888888", ["88888887"]), "misread"),
        (Answered("Город", ["Pioneer"], language="en"), "other_language"),
        (Answered("Peter", ["Benjamin"], language="en"), "wrong"),
        (Answered("Meridian", ["699.06"], field="total", language="en"), "other_type"),
        (Answered("27.57", ["Meridian"], field="shop", language="en"), "other_type"),
        (Answered("27.57", ["699.06"], field="total"), "other_value"),
        (Answered("Peter", ["Benjamin"], document_text="Peter, Benjamin"), "other_line"),
        (Answered("Benjamln Key", ["Benjamin Bey"]), "partial"),
        (Answered("12 Main St", ["13 Main St"]), "misread"),
    ],
)
def test_a_value_is_right_or_wrong_and_a_kind_says_how(wrong, expected):
    assert classify(wrong) == expected


def test_an_answer_is_found_on_the_page_in_another_spelling():
    wrong = Answered("Счет №17", ["x"], document_text="… СЧЁТ\n№ 17 …".replace("Ё", "Е"))
    assert classify(wrong) == "other_line"


def test_an_empty_reference_of_another_field_matches_nothing():
    assert classify(Answered("17", ["25"], other_fields=FieldIndex({"a": [""]}))) == "other_value"


def test_every_class_has_a_rule_with_words():
    assert len(MISTAKES) == len(set(MISTAKES)) == len(RULES)
    assert all(words for _, _, words in RULES)
    assert MISTAKES[-1] == "wrong"


@settings(deadline=None, max_examples=200)
@given(
    answer=any_text,
    reference=any_text,
    answer_type=st.sampled_from(["text", "json", "description"]),
    page=st.none() | any_text,
)
def test_any_answer_has_a_class(answer, reference, answer_type, page):
    wrong = Answered(
        answer,
        [reference],
        answer_type=answer_type,
        other_fields=FieldIndex({"f": [page or ""]}),
        document_text=page,
    )
    assert classify(wrong) in MISTAKES


def test_the_guide_names_every_rule(pytestconfig):
    guide = (pytestconfig.rootpath / "docs" / "metrics.md").read_text(encoding="utf-8")
    for name, _, words in RULES:
        assert f"`{name}`" in guide
        assert words in guide


@settings(deadline=None, max_examples=200)
@given(answer=any_text | figures, reference=any_text | figures)
@example(answer="540-18-54 тел", reference="тел. 540-18-54")
@example(answer="АВ 123456", reference="ab123456")
@example(answer="+7 (495) 123-45-67", reference="8 495 1234567")
@example(answer="1 234,56 ₽", reference="1234.56")
@example(answer="Acme Ltd", reference="ACME Limited")
def test_the_index_finds_whatever_is_equivalent(answer, reference):
    expected = field_equivalent(answer, [reference]).equivalent
    if not reference.strip():
        return
    assert (FieldIndex({"f": [reference]}).owner(answer) == "f") == (
        expected and bool(plain(reference))
    )


def test_the_own_question_is_no_other_one():
    index = FieldIndex({"a": ["17"], "b": ["17", "25"]})
    assert (index.owner("17"), index.owner("17", "a"), index.owner("25", "b")) == ("a", "b", None)


def test_an_answer_is_compared_with_few_references_of_a_large_document(monkeypatch):
    compared = []
    real = lookup.field_equivalent
    monkeypatch.setattr(
        lookup, "field_equivalent", lambda *a, **k: compared.append(a) or real(*a, **k)
    )
    index = FieldIndex({str(i): [f"{i}.50 EUR"] for i in range(3_000)})
    assert index.owner("2999,50 €") == "2999"
    assert len(compared) <= lookup.MAX_CANDIDATES

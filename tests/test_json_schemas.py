"""JSON Schemas of answers: what is accepted and asked, what conforms, and what is refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InvalidInput
from bench.json_schemas.patterns import MAX_TEXT, why_unsafe
from bench.json_schemas.questions import question_from
from bench.json_schemas.reading import MAX_LEVELS, read_schema, read_schema_file
from bench.json_schemas.validity import first_violation


def form(**fields: object) -> dict[str, object]:
    return {"type": "object", "properties": fields}


def deep(levels: int) -> dict[str, object]:
    schema = form(a={"type": "string"})
    for _ in range(levels):
        schema = form(a=schema)
    return schema


PYDANTIC = {
    "$defs": {"Line": form(name={"title": "Name", "type": "string"})},
    "title": "Invoice",
    "type": "object",
    "properties": {
        "total": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "first": {
            "anyOf": [{"$ref": "#/$defs/Line"}, {"type": "null"}],
            "description": "the first",
        },
        "kind": {"anyOf": [{"const": "a"}, {"enum": ["b", "c"]}]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "uniqueItems": True},
    },
    "required": ["total"],
}


def test_what_pydantic_writes_is_read_and_written_out_without_references() -> None:
    schema = read_schema(PYDANTIC, "f.json")
    text = json.dumps(schema)
    assert "$ref" not in text
    assert "anyOf" not in text
    assert schema["properties"]["first"]["description"] == "the first"
    assert schema["properties"]["kind"]["enum"] == ["a", "b", "c", None]
    assert schema["properties"]["lines"]["items"]["properties"].keys() == {"name"}
    assert read_schema(schema, "f.json") == schema


def test_every_field_may_be_null_but_no_item_of_a_list() -> None:
    schema = read_schema(
        form(a={"type": "string"}, l={"type": "array", "items": {"type": "string"}}), "f"
    )
    assert first_violation(schema, {"a": None, "l": None}) is None
    assert first_violation(schema, {"l": [None]}) == "$.l[0]: None is not of type 'string'"


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ([], "f.json should hold a JSON Schema, which is an object, not a list"),
        ({"type": "string"}, 'f.json at #: expected "type": "object", or a list of objects'),
        (form(a={"$ref": "https://example.org/x.json"}), "#/properties/a: $ref leads outside"),
        (form(a={"$ref": "other.json#/$defs/a"}), "#/properties/a: $ref leads outside"),
        (form(a={"$ref": "file:///etc/passwd"}), "#/properties/a: $ref leads outside"),
        (form(a={"$ref": "#"}), "#/properties/a: $ref goes round in a circle"),
        (form(a={"$ref": "#/properties/a"}), "#/properties/a: $ref goes round in a circle"),
        (
            {**form(a={"$ref": "#/$defs/a"}), "$defs": {"a": form(b={"$ref": "#/$defs/a"})}},
            "#/$defs/a/properties/b: $ref goes round in a circle",
        ),
        (form(a={"$ref": "#/$defs/none"}), "$ref names what is not there"),
        (form(a={"$ref": 5}), "$ref leads outside the schema: 5"),
        (form(a={"$ref": "#/$defs/x", "minLength": 1}), "$ref names what is not there"),
        (
            {"$ref": "#/$defs/0", "$defs": {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(900)}},
            "$ref leads through more than 32 others",
        ),
        (deep(MAX_LEVELS + 1), f"objects and lists stand more than {MAX_LEVELS} deep"),
        (form(**{str(n): {} for n in range(1001)}), "more than 1,000 fields and lists"),
        (form(a={"type": "strng"}), 'there is no type "strng"'),
        (form(a={"type": ["object", "string"]}), "type should name one object, one list, or kinds"),
        (form(a={"anyOf": [form(), {"type": "array"}]}), "anyOf may offer null"),
        (form(a={"allOf": [form(), form()]}), "allOf of several schemas is not supported"),
        (form(a={"anyOf": 5}), "anyOf should be a list of schemas"),
        (form(a=5), "#/properties/a: expected a schema, which is an object, not the number 5"),
        (form(a={"not": {}}), "the keyword not is not supported"),
        ({**form(), "propertes": {}}, "there is no keyword 'propertes'"),
        ({"type": "object", "properties": []}, "properties should be an object, not a list"),
        (form(a={"enum": [{}]}), "enum should be a list of texts and numbers"),
        ({**form(), "required": "a"}, "'a' is not of type 'array'"),
        (form(a={"type": "string", "minLength": "x"}), "'x' is not of type 'integer'"),
        (form(a={"description": 5}), "description should be a text"),
        (form(a={"pattern": "(a+)+$"}), "could be matched in more ways than can be tried"),
        (form(a={"pattern": "("}), "'(' is not a 'regex'"),
        (form(a={"description": "x" * 300_000}), "longer than 256 KiB"),
    ],
)  # fmt: skip
def test_what_is_not_accepted_is_refused_with_its_place(schema: object, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_schema(schema, "f.json")
    assert reason in refused.value.message
    assert "\n" not in refused.value.message


def test_references_that_double_at_each_step_end_early() -> None:
    steps = {
        f"d{n}": form(a={"$ref": f"#/$defs/d{n + 1}"}, b={"$ref": f"#/$defs/d{n + 1}"})
        for n in range(15)
    }
    with pytest.raises(InvalidInput, match="more than 1,000 fields and lists"):
        read_schema({**form(x={"$ref": "#/$defs/d0"}), "$defs": {**steps, "d15": {}}}, "f.json")


def test_a_file_of_ten_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_text('{"type": "object", "description": "' + "x" * 10**7 + '"}')
    with pytest.raises(InvalidInput, match=r"large.json has 9\.5 MiB; at most 256\.0 KiB are read"):
        read_schema_file(path)


@pytest.mark.parametrize(
    "pattern", [r"^\d{3}-\d+$", r"^[A-Z]{2}\d+(\.\d+)?$", r"^(\d{3}-)+\d$", "[[a]"]
)
def test_patterns_of_forms_are_accepted(pattern: str) -> None:
    assert why_unsafe(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(a|a)*b",
        "(.*a){20}",
        "a?" * 40,
        ".*.*.*.*",
        r"(x)\1",
        "(?=a)b",
        "a" * 2000,
        "(a?){50}",
    ],
)
def test_patterns_that_could_take_for_ever_are_not(pattern: str) -> None:
    assert why_unsafe(pattern) is not None


@settings(deadline=None, max_examples=60)
@given(st.text("ab?*+|(){}2,.^$", max_size=12), st.text("ab", max_size=20))
def test_a_pattern_that_is_accepted_ends(pattern: str, text: str) -> None:
    if why_unsafe(pattern) is None:
        re.search(pattern, text * (MAX_TEXT // 20))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**300, 1e308])
def test_no_number_breaks_the_check(number: float) -> None:
    schema = read_schema(form(a={"type": "number", "multipleOf": 0.01, "minimum": 0}), "f")
    first_violation(schema, {"a": number})
    assert first_violation(schema, {"a": "x"}) is not None


def test_a_longer_text_conforms_to_no_pattern() -> None:
    schema = read_schema(form(a={"type": "string", "pattern": "a"}), "f")
    assert first_violation(schema, {"a": "a" * MAX_TEXT}) is None
    assert "does not match" in str(first_violation(schema, {"a": "a" * (MAX_TEXT + 1)}))


ASKED = read_schema(
    form(
        number={"type": "string", "description": "invoice\n  number"},
        date={"type": "string", "format": "date"},
        paid={"type": "boolean"},
        currency={"enum": ["GBP", "USD"]},
        either={"type": ["number", "string"]},
        other={"type": "object", "additionalProperties": {"type": "integer"}},
        lines={"type": "array", "items": form(name={"type": "string"}), "title": "rows"},
        tags={"type": "array", "items": {"type": "string"}},
        any={},
    ),
    "f",
)


def test_the_question_shows_the_form_with_its_meanings() -> None:
    assert (
        question_from(ASKED, "en-GB").partition("\n")[2]
        == """{
  "number": text (invoice number),
  "date": date as YYYY-MM-DD,
  "paid": true or false,
  "currency": one of "GBP", "USD",
  "either": number / text,
  "other": {<any other key>: whole number},
  "lines": [{"name": text}] (rows),
  "tags": [text],
  "any": value
}"""
    )


@pytest.mark.parametrize(("language", "word"), [("ru", "текст"), ("zh-CN", "文字"), ("de", "text")])
def test_the_question_is_in_the_language_of_the_document(language: str, word: str) -> None:
    question = question_from(ASKED, language)
    assert f'"number": {word}' in question
    assert "null" in question.partition("\n")[0]

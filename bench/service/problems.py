"""What is wrong with a value that a client or an operator gave, in plain words and without the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.text import one_line

_MESSAGES = {
    "missing": "the field is missing",
    "json_invalid": "the body is not valid JSON",
    "too_short": "at least {min_length} must be given",
    "too_long": "at most {max_length} may be given",
    "string_too_short": "the text must not be empty",
    "string_too_long": "the text may have at most {max_length} characters",
    "string_pattern_mismatch": "the text must not be blank",
    "greater_than": "the number must be greater than {gt}",
    "greater_than_equal": "the number must be at least {ge}",
    "less_than_equal": "the number may be at most {le}",
    "finite_number": "the number must be finite",
    "literal_error": "it must be {expected}",
    "union_tag_invalid": "its type must be one of {expected_tags}",
    "union_tag_not_found": "its type is missing",
    "bool": "it must be true or false",
    "dict": "it must be an object",
    "float": "it must be a number",
    "int": "it must be a whole number",
    "list": "it must be a list",
    "model": "it must be an object",
    "string": "it must be a text",
}
"""What is told of a problem that pydantic calls by this name, or by a name that begins so."""


def problem_message(problem: Mapping[str, Any]) -> str:
    """What is wrong with a value, without the value: pydantic's own words are for programmers."""
    name, facts = problem["type"], problem.get("ctx", {})
    if name == "value_error":
        return one_line(facts["error"], 200)
    message = _MESSAGES.get(name) or _MESSAGES.get(name.partition("_")[0], "it is not valid")
    return message.format(**facts)

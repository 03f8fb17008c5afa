"""Says whether an answer conforms to the schema that it was asked for."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

from bench.json_schemas.nodes import Node
from bench.json_schemas.patterns import MAX_TEXT
from bench.text import one_line


def first_violation(schema: Node, value: Any, *, may_lack: bool = False) -> str | None:
    """Where ``value`` does not conform to ``schema``, and why; None if it does.

    A text of more than ``patterns.MAX_TEXT`` characters conforms to no pattern. Formats are not checked.

    Args:
        schema: as ``reading.read_schema`` returns it.
        value: a JSON value.
        may_lack: whether required fields may be left out.
    """
    try:
        for error in _validator(json.dumps(schema)).iter_errors(value):
            if not may_lack or error.validator != "required":
                return f"{one_line(error.json_path, 80)}: {one_line(error.message, 120)}"
    except (ArithmeticError, ValueError):
        return "a number is too large, or none at all"
    return None


@functools.lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    # Imported when first needed: it takes longer to load than `bench --help` may take.
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend
    from referencing import Registry

    def pattern(
        _validator: Any, expected: str, text: Any, _schema: Any
    ) -> Iterator[ValidationError]:
        if not isinstance(text, str):
            return
        if len(text) > MAX_TEXT or re.search(expected, text) is None:
            yield ValidationError(
                f"{one_line(text, 40)!r} does not match {one_line(expected, 40)!r}"
            )

    bounded = extend(Draft202012Validator, {"pattern": pattern})
    # The schema has no references; an empty registry makes sure that nothing is ever fetched.
    return bounded(json.loads(schema), registry=Registry())

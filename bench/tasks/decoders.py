"""Decodes cells of data sets that hold more than plain text. No decoder runs what it reads.

``python-literal`` is ``ast.literal_eval``, bounded in length and depth: some data sets store lists as
``str(list)``, with quotes that JSON does not know.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from bench.errors import InvalidInput
from bench.parsing import Unreadable, parse_json
from bench.text import one_line

DecoderName = Literal["string", "list", "json", "python-literal", "literal-or-string"]

MAX_CHARACTERS = 4 * 2**20
"""Longer literals are refused: parsing takes many times their size in memory."""
MAX_DEPTH = 100
"""Brackets inside brackets: what is nested deeper is no data."""


def _string(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _Unexpected("a string", value)
    return str(value)


def _list(value: Any) -> Any:
    if not isinstance(value, list):
        raise _Unexpected("a list", value)
    return value


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        raise _Unexpected("a string that holds JSON", value)
    _check_bounds(value)
    try:
        return parse_json(value, "the cell")
    except Unreadable as error:
        raise _Unexpected(f"JSON ({one_line(error.reason, 80)})", value) from None


def _python_literal(value: Any) -> Any:
    if not isinstance(value, str):
        raise _Unexpected("a string that holds a Python literal", value)
    _check_bounds(value)
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _Unexpected("a Python literal", value) from None


def _literal_or_string(value: Any) -> Any:
    """Read a list from its ``str()``, and anything else as it stands: so VLMEvalKit writes answers."""
    if isinstance(value, str) and value.strip().startswith("["):
        return _python_literal(value)
    return _string(value)


DECODERS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "string": _string,
        "list": _list,
        "json": _json,
        "python-literal": _python_literal,
        "literal-or-string": _literal_or_string,
    }
)
"""Every decoder by name; a null cell never reaches one."""


def decode(name: DecoderName, value: Any) -> Any:
    """Return ``value`` as the decoder reads it; None stays None.

    Raises:
        InvalidInput: the value is not what the decoder expects.
    """
    return None if value is None else DECODERS[name](value)


def type_and_value(value: Any) -> str:
    """Return the type and the beginning of ``value``, as an error shows what came."""
    return f"{type(value).__name__} {one_line(repr(value)[:400], 60)}"


def _check_bounds(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(f"expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    depth = deepest = 0
    # Brackets inside strings are counted, too: the bound is generous, and one pass is cheap.
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    if deepest > MAX_DEPTH:
        raise InvalidInput(f"expected brackets at most {MAX_DEPTH} deep, got {deepest}")


class _Unexpected(InvalidInput):
    def __init__(self, expected: str, value: Any) -> None:
        super().__init__(f"expected {expected}, got {type_and_value(value)}")

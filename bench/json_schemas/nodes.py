"""What a part of a checked schema says of the values under it.

A checked schema (``reading.read_schema``) has no references and no alternatives of different shapes. So each
part of it is an object with fields, a list of items, or a single value. None stands for a part that the
schema does not describe.
"""

from __future__ import annotations

from typing import Any, Literal

Kind = Literal["object", "list", "number", "integer", "boolean", "text", "any"]
"""``any``: a value of whatever type, or one that may have several."""

Node = dict[str, Any]

_KINDS: dict[str, Kind] = {
    "object": "object",
    "array": "list",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "string": "text",
}


def types_of(node: Node | None) -> tuple[str, ...]:
    """The types of a part without ``null``; empty if it names none."""
    types = (node or {}).get("type", [])
    listed = [types] if isinstance(types, str) else types
    return tuple(name for name in listed if name != "null")


def kind_of_node(node: Node | None) -> Kind:
    """The kind of value that a part describes."""
    types = types_of(node)
    if set(types) == {"integer", "number"}:
        return "number"
    return _KINDS.get(types[0], "any") if len(types) == 1 else "any"


def fields_of(node: Node | None) -> dict[str, Node]:
    """The named fields of an object, in order."""
    fields: dict[str, Node] = (node or {}).get("properties", {})
    return fields


def field_of(node: Node | None, key: str) -> Node | None:
    """The part that describes the field ``key`` of an object."""
    other = (node or {}).get("additionalProperties")
    return fields_of(node).get(key, other if isinstance(other, dict) else None)


def item_of(node: Node | None) -> Node | None:
    """The part that describes the items of a list."""
    return (node or {}).get("items")


def choices_of(node: Node | None) -> tuple[Any, ...]:
    """The values that are allowed, without null; empty if any is."""
    return tuple(value for value in (node or {}).get("enum", ()) if value is not None)


def meaning_of(node: Node | None) -> str:
    """What the author of the schema says about a part; empty if nothing."""
    node = node or {}
    return str(node.get("description") or node.get("title") or "")

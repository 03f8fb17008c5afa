"""Reads the JSON Schema of a task's answers, checks it, and writes it out without references.

The accepted part of draft 2020-12 is what a form needs: types, fields, lists, choices, bounds, and ``$ref``
to places inside the same schema. What is read comes from strangers. A reference to another file or to the
network is refused, and so are references that go round in a circle, nesting and size without measure, and
patterns that would take for ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from bench.errors import InvalidInput, did_you_mean
from bench.json_schemas.nodes import Node, kind_of_node, types_of
from bench.json_schemas.patterns import why_unsafe
from bench.parsing import kind_of, read_json
from bench.text import one_line

MAX_BYTES: Final = 256 * 2**10
"""Largest schema file: the form of a tax return has about 50 KiB."""
MAX_NODES: Final = 1_000
"""Fields, lists and items of a schema, after its references are written out."""
MAX_LEVELS: Final = 16
"""Objects and lists inside each other."""
MAX_REFERENCES: Final = 32
"""References that lead to a part, one through the other."""

_BOUNDS: Final = (
    *("required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems"),
)
"""Keywords that an answer is checked by, beside its types."""
_SHAPE: Final = (
    *("type", "properties", "additionalProperties", "items", "enum", "const"),
    *("anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions"),
)
_NOTES: Final = ("title", "description", "format")
"""Keywords that are asked with and not checked."""
_PASSED_OVER: Final = frozenset({
    "$schema", "$id", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly",
    "uniqueItems", "minProperties", "maxProperties", "contentEncoding", "contentMediaType",
})  # fmt: skip
_NOT_SUPPORTED: Final = frozenset({
    "if", "then", "else", "not", "patternProperties", "propertyNames", "prefixItems", "additionalItems",
    "contains", "minContains", "maxContains", "dependencies", "dependentRequired", "dependentSchemas",
    "unevaluatedItems", "unevaluatedProperties", "$anchor", "$dynamicRef", "$dynamicAnchor",
    "$recursiveRef", "$recursiveAnchor", "contentSchema",
})  # fmt: skip
_ACCEPTED: Final = frozenset({*_BOUNDS, *_SHAPE, *_NOTES})
_SCALARS: Final = frozenset({"string", "number", "integer", "boolean"})
_TYPES: Final = frozenset({*_SCALARS, "object", "array", "null"})


def read_schema_file(path: Path) -> Node:
    """Read, check and write out the schema in ``path``.

    Raises:
        InvalidInput: the file cannot be read, or the schema is not accepted.
    """
    return read_schema(read_json(path, MAX_BYTES), path.name)


def read_schema(schema: Any, where: str) -> Node:
    """Check ``schema`` and return it without references; ``where`` names its place in messages.

    Every field may be null in what is returned, whatever ``schema`` says: a document may lack any of them,
    and a model must be able to say so. A schema that was returned once is returned as it is.

    Raises:
        InvalidInput: the schema is not accepted. The message names the place inside it.
    """
    if not isinstance(schema, dict):
        raise InvalidInput(
            f"{where} should hold a JSON Schema, which is an object, not {kind_of(schema)}"
        )
    if len(json.dumps(schema, ensure_ascii=False)) > MAX_BYTES:
        raise InvalidInput(
            f"{where} is longer than {MAX_BYTES // 1024} KiB, so it is no schema of a form"
        )
    node = _Reader(schema, where).root()
    _check_keywords(node, where)
    return node


class _Place(NamedTuple):
    """Where a part of the schema stands."""

    pointer: str
    """A JSON pointer."""
    opened: tuple[str, ...] = ()
    """The references that lead here, which must not be followed again."""
    level: int = 0
    """How many objects and lists are around it."""

    def inside(self, path: str) -> _Place:
        """The place of a field or an item of the object or list that stands here."""
        return self._replace(pointer=f"{self.pointer}/{path}", level=self.level + 1)


_ROOT = _Place("#")


class _Reader:
    """Writes one schema out."""

    def __init__(self, schema: dict[str, Any], where: str) -> None:
        self.schema, self.where = schema, where
        self.nodes = 0

    def root(self) -> Node:
        node = self._node(self.schema, _ROOT)
        item = node.get("items") if kind_of_node(node) == "list" else node
        if kind_of_node(item) != "object":
            raise self._wrong(_ROOT, 'expected "type": "object", or a list of objects')
        return node

    def _wrong(self, place: _Place, reason: str, hint: str | None = None) -> InvalidInput:
        pointer = one_line(place.pointer, 120)
        return InvalidInput(f"{self.where} at {pointer}: {reason}", hint=hint)

    def _node(self, value: Any, place: _Place) -> Node:
        """The part ``value``, which stands at ``place``, written out."""
        if value is True:
            value = {}
        if not isinstance(value, dict):
            raise self._wrong(place, f"expected a schema, which is an object, not {kind_of(value)}")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self._wrong(place, f"the schema has more than {MAX_NODES:,} fields and lists")
        if place.level > MAX_LEVELS:
            raise self._wrong(place, f"objects and lists stand more than {MAX_LEVELS} deep")
        self._check_names(value, place)
        for key in ("$ref", "allOf", "anyOf", "oneOf"):
            if key in value:
                return self._merged(value, key, place)
        return self._plain(value, place)

    def _check_names(self, value: Mapping[str, Any], place: _Place) -> None:
        for key in value:
            if key in _NOT_SUPPORTED:
                accepted = ", ".join([*_SHAPE, *_BOUNDS, *_NOTES])
                raise self._wrong(
                    place, f"the keyword {key} is not supported", hint=f"supported are {accepted}"
                )
            if key not in _ACCEPTED and key not in _PASSED_OVER:
                meant = did_you_mean(key, _ACCEPTED)
                # An unknown keyword is a note of another program, unless it is a slip of the pen.
                if meant.startswith("did"):
                    raise self._wrong(
                        place, f"there is no keyword {one_line(key, 40)!r}", hint=meant
                    )

    def _merged(self, value: Node, key: str, place: _Place) -> Node:
        """Return a part that names its shape through another one: what stands beside that is kept."""
        inner = (
            self._referred(value[key], place)
            if key == "$ref"
            else self._chosen(value[key], key, place)
        )
        beside = {name: item for name, item in value.items() if name != key}
        if set(beside) <= {*_NOTES, *_PASSED_OVER, "$defs", "definitions"}:
            return {**inner, **{name: beside[name] for name in _NOTES if name in beside}}
        raise self._wrong(
            place, f"what stands beside {key} must be a title, a description or a format"
        )

    def _referred(self, target: Any, place: _Place) -> Node:
        if not isinstance(target, str) or not (target == "#" or target.startswith("#/")):
            raise self._wrong(
                place,
                f"$ref leads outside the schema: {one_line(target, 80)}",
                hint='copy what it means into "$defs" and write "$ref": "#/$defs/NAME"',
            )
        if target in place.opened or target == "#":
            raise self._wrong(
                place,
                f"$ref goes round in a circle: {one_line(target, 80)}",
                hint="write out as many levels as the documents have",
            )
        if len(place.opened) >= MAX_REFERENCES:
            raise self._wrong(place, f"$ref leads through more than {MAX_REFERENCES} others")
        named: Any = self.schema
        for part in target.split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if not isinstance(named, dict) or name not in named:
                raise self._wrong(place, f"$ref names what is not there: {one_line(target, 80)}")
            named = named[name]
        there = place._replace(pointer=target, opened=(*place.opened, target))
        return self._node(named, there)

    def _chosen(self, options: Any, key: str, place: _Place) -> Node:
        """Return what several alternatives have in common: one shape and null, or single values."""
        if not isinstance(options, list) or not options:
            raise self._wrong(place, f"{key} should be a list of schemas")
        if key == "allOf" and len(options) > 1:
            raise self._wrong(place, "allOf of several schemas is not supported; write them as one")
        nodes = [
            self._node(option, place._replace(pointer=f"{place.pointer}/{key}/{number}"))
            for number, option in enumerate(options)
            if option != {"type": "null"}
        ]
        if len(nodes) == 1:
            return _nullable(nodes[0]) if len(options) > 1 else nodes[0]
        types = {name for node in nodes for name in types_of(node)}
        if not nodes or not types <= _SCALARS or not all("type" in n or "enum" in n for n in nodes):
            raise self._wrong(
                place,
                f"{key} may offer null, or several kinds of single values, but not several objects or lists",
            )
        if all("enum" in node for node in nodes):
            return {"enum": [choice for node in nodes for choice in node["enum"]]}
        return {"type": sorted(types | {"null"})}

    def _plain(self, value: Node, place: _Place) -> Node:
        node: Node = {}
        types = self._types(value, place)
        if types:
            node["type"] = types[0] if len(types) == 1 else types
        for key in _NOTES:
            if key in value:
                if not isinstance(value[key], str):
                    raise self._wrong(place, f"{key} should be a text, not {kind_of(value[key])}")
                node[key] = value[key]
        if "const" in value or "enum" in value:
            choices = [value["const"]] if "const" in value else value["enum"]
            if not isinstance(choices, list) or any(isinstance(c, dict | list) for c in choices):
                raise self._wrong(place, "enum should be a list of texts and numbers")
            node["enum"] = choices
        if "object" in types:
            node |= self._object(value, place)
        if "array" in types and "items" in value:
            node["items"] = self._node(value["items"], place.inside("items"))
        node |= {key: value[key] for key in _BOUNDS if key in value}
        return node

    def _types(self, value: Node, place: _Place) -> list[str]:
        given = value.get("type")
        if given is None:
            return ["object"] if "properties" in value else ["array"] if "items" in value else []
        types = [given] if isinstance(given, str) else given
        unknown = not isinstance(types, list) or any(
            not isinstance(name, str) or name not in _TYPES for name in types
        )
        if unknown:
            shown = one_line(json.dumps(given, ensure_ascii=False), 60)
            raise self._wrong(
                place, f"there is no type {shown}; the types are {', '.join(sorted(_TYPES))}"
            )
        named = set(types) - {"null"}
        if not named or (len(named) > 1 and not named <= _SCALARS):
            raise self._wrong(
                place, "type should name one object, one list, or kinds of single values"
            )
        return list(dict.fromkeys(types))

    def _object(self, value: Node, place: _Place) -> Node:
        fields = value.get("properties", {})
        if not isinstance(fields, dict):
            raise self._wrong(place, f"properties should be an object, not {kind_of(fields)}")
        node: Node = {
            "properties": {
                key: _nullable(self._node(field, place.inside(f"properties/{key}")))
                for key, field in fields.items()
            }
        }
        others = value.get("additionalProperties")
        if isinstance(others, dict) and others:
            inner = self._node(others, place.inside("additionalProperties"))
            node["additionalProperties"] = _nullable(inner)
        elif isinstance(others, bool):
            node["additionalProperties"] = others
        return node


def _nullable(node: Node) -> Node:
    """The same part, which null fits too."""
    types = node.get("type")
    if types is not None:
        listed = [types] if isinstance(types, str) else types
        node = {**node, "type": listed if "null" in listed else [*listed, "null"]}
    if "enum" in node and None not in node["enum"]:
        node = {**node, "enum": [*node["enum"], None]}
    return node


def _check_keywords(node: Node, where: str) -> None:
    """Refuse bounds that are none, and patterns that could take for ever.

    Raises:
        InvalidInput: the first of them.
    """
    # Imported when first needed: it takes longer to load than `bench --help` may take.
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(node)
    except SchemaError as error:
        place = "/".join(["#", *map(str, error.absolute_path)])
        raise InvalidInput(
            f"{where} at {one_line(place, 120)}: {one_line(error.message, 120)}"
        ) from None
    for pattern in _patterns(node):
        reason = why_unsafe(pattern)
        if reason is not None:
            raise InvalidInput(
                f"{where}: the pattern {one_line(pattern, 60)!r} {one_line(reason, 160)}"
            )


def _patterns(node: Node) -> list[str]:
    inner: Sequence[Any] = [
        *node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")
    ]  # fmt: skip
    patterns = [node["pattern"]] if "pattern" in node else []
    for each in inner:
        patterns += _patterns(each) if isinstance(each, dict) else []
    return patterns

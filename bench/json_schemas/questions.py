"""Asks for the object that a schema describes: the question of a task that has a schema and none itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from bench.json_schemas.nodes import (
    Node,
    choices_of,
    field_of,
    fields_of,
    item_of,
    kind_of_node,
    meaning_of,
    types_of,
)


class _Words(NamedTuple):
    """The question in one language."""

    ask: str
    date: str
    one_of: str
    comma: str
    brackets: str
    """What stands around the meaning of a field."""
    kinds: Mapping[str, str]
    any_key: str


_WORDS: Mapping[str, _Words] = {
    "en": _Words(
        "Return the data of this document as one JSON object of the form below, and nothing else. Copy texts "
        "as they are printed. Write null where the document does not say.",
        "date as YYYY-MM-DD",
        "one of",
        ", ",
        " ({})",
        {"text": "text", "number": "number", "integer": "whole number", "boolean": "true or false",
         "any": "value", "object": "object", "list": "list"},
        "any other key",
    ),
    "ru": _Words(
        "Верните данные документа одним JSON-объектом, как показано ниже, и ничего больше. Тексты перепишите "
        "так, как они напечатаны. Если чего-то в документе нет, напишите null.",
        "дата в виде ГГГГ-ММ-ДД",
        "одно из",
        ", ",
        " ({})",
        {"text": "текст", "number": "число", "integer": "целое число", "boolean": "true или false",
         "any": "значение", "object": "объект", "list": "список"},
        "любой другой ключ",
    ),
    "zh": _Words(
        "请只返回一个如下形式的 JSON 对象，给出此文档中的数据，不要写其他内容。"
        "文字请照原样抄写。文档中没有的内容请写 null。",
        "日期，格式为 YYYY-MM-DD",
        "下列之一",
        "、",
        "（{}）",
        {"text": "文字", "number": "数字", "integer": "整数", "boolean": "true 或 false",
         "any": "值", "object": "对象", "list": "列表"},
        "其他任意键",
    ),
}  # fmt: skip
"""Language → the words of the question; documents in another language are asked in English."""


def question_from(schema: Node, language: str | None = None) -> str:
    """The question that asks for what ``schema`` describes; equal schemas give equal questions.

    Args:
        schema: as ``reading.read_schema`` returns it.
        language: of the document, ``ru`` or ``pt-BR``.
    """
    words = _WORDS.get((language or "").partition("-")[0].lower(), _WORDS["en"])
    return f"{words.ask}\n{_form(schema, words, indent='')}"


def _form(node: Node, words: _Words, *, indent: str | None) -> str:
    """The form of a value. The fields of the outermost object stand on lines of their own."""
    kind = kind_of_node(node)
    if kind == "list":
        return f"[{_form(item_of(node) or {}, words, indent=indent)}]"
    if kind == "object":
        return _object(node, words, indent)
    return _value(node, kind, words)


def _object(node: Node, words: _Words, indent: str | None) -> str:
    lines = [
        f"{json.dumps(key, ensure_ascii=False)}: {_described(field, words)}"
        for key, field in fields_of(node).items()
    ]
    # A key that no field can have: the empty object describes what is under every other key.
    other = field_of(node, "") if "" not in fields_of(node) else None
    if other is not None:
        lines.append(f"<{words.any_key}>: {_described(other, words)}")
    if not lines:
        return words.kinds["object"]
    if indent is None:
        return f"{{{', '.join(lines)}}}"
    inner = ",\n".join(f"{indent}  {line}" for line in lines)
    return f"{{\n{inner}\n{indent}}}"


def _described(node: Node, words: _Words) -> str:
    form = _form(node, words, indent=None)
    meaning = " ".join(meaning_of(node).split())
    return form + (words.brackets.format(meaning) if meaning else "")


def _value(node: Node, kind: str, words: _Words) -> str:
    choices = choices_of(node)
    if choices:
        listed = words.comma.join(json.dumps(choice, ensure_ascii=False) for choice in choices)
        return f"{words.one_of} {listed}"
    if kind == "text" and node.get("format") == "date":
        return words.date
    if kind == "any" and types_of(node):
        return " / ".join(words.kinds[kind_of_node({"type": name})] for name in types_of(node))
    return words.kinds[kind]

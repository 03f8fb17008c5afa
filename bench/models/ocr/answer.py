"""From a question to an answer: a value, an object with keys, or a description of the document."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from bench.json_schemas.nodes import Node, fields_of, item_of, kind_of_node, meaning_of
from bench.models.ocr import table
from bench.models.ocr.characters import count_chinese, count_letters
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.fields import field_named, normalise
from bench.models.ocr.finding import at_labels, best_of, find
from bench.models.ocr.questions import OcrQuestion
from bench.models.ocr.words import description_parts, words_pattern

_MARKDOWN = re.compile(r"(?<![a-z])markdown(?![a-z])")
_JSON = re.compile(r"(?<![a-z])json(?![a-z])")


_TABLE_CELLS = 3
"""Cells from which a line may be a row of a table; a label and its value are two."""


class OcrAnswer(NamedTuple):
    """What is answered, and how sure."""

    text: str
    confidence: float | None
    """OCR confidence times the match's score, 0 to 1; None for an empty answer."""


def answer(document: OcrDocument, question: str, schema: Node | None = None) -> OcrAnswer:
    """The answer to ``question``, empty if the document shows none; with a schema, the object of it."""
    if schema is not None:
        return _fill(document, schema)
    plain = normalise(question)
    if _JSON.search(plain) or re.search(r'\{[^{}]*"[^{}]*\}', plain, re.DOTALL):
        return _answer_json(document, question)
    if _MARKDOWN.search(plain):
        return _transcribe(document)
    if words_pattern("asks_description").search(plain):
        return _describe(document, plain)
    best = find(document, question)
    if best is None:
        return OcrAnswer("", None)
    confidence = max(0.0, min(1.0, best.confidence))
    return OcrAnswer(_chosen(_without_blanks(best.text)), round(confidence, 4))


def _transcribe(document: OcrDocument) -> OcrAnswer:
    """Everything that was read, line by line; lines of three cells or more are rows of a table."""
    paragraphs: list[str] = []
    table_rows: list[str] = []
    for row in (row for layout in document.layouts for row in layout.rows):
        texts = [cell.text.replace("|", "\\|") for cell in row]
        if len(texts) >= _TABLE_CELLS:
            table_rows.append(f"| {' | '.join(texts)} |")
            continue
        paragraphs += ["\n".join(table_rows), *texts]
        table_rows = []
    paragraphs.append("\n".join(table_rows))
    confidences = [cell.confidence for cell in document.cells]
    confidence = sum(confidences) / len(confidences) if confidences else None
    return OcrAnswer("\n\n".join(filter(None, paragraphs)), confidence)


def _chosen(text: str) -> str:
    """The options with a tick before them, where ``text`` has boxes to tick: "[ ] single [x] married"."""
    options = re.findall(r"\[x\]\s*([^\[\]]+)", text)
    return ", ".join(option.strip() for option in options) or text


def _without_blanks(text: str) -> str:
    """A date without the quotation marks in which a Russian form leaves the day blank: « 28 » сентября."""
    return re.sub(r"^[«\"“„]\s*(\d{1,2})\s*[»\"”“]\s*", r"\1 ", text)


_KEY = re.compile(r"[\"“]?\b([A-Za-z_][A-Za-z0-9_]*)\b[\"”]?\s*[(（:：]\s*([^()（）{}]{2,80})[)）]")
_NAMED_KEYS = re.compile(
    r"(?:\bkeys|\bfields|ключами|полями)\s+(?!and\b|of\b)((?:\w+(?: \w+)?, ?)+\w+(?: and | и )?\w*)",
    re.IGNORECASE,
)
"""A list of keys in running text: "with the keys company, date, address and total"."""
_LIST_KEYS = {"name": "name", "description": "name", "quantity": "quantity", "qty": "quantity"}
_LIST_KEYS |= {"price": "price", "unit_price": "price", "total": "total", "amount": "total"}


def _answer_json(document: OcrDocument, question: str) -> OcrAnswer:
    """An object with every key that the question names; what is not found is left out."""
    values: dict[str, object] = {}
    confidences = []
    for key, meaning in _wanted_keys(question).items():
        columns = [word for word in re.findall(r"[a-z_]+", meaning) if word in _LIST_KEYS]
        if len(columns) >= 2:
            items = table.items(document)
            values[key] = [_item_object(item, columns) for item in items]
            continue
        # The meaning in the question's language says more than the key.
        best = find(document, meaning)
        if best is None and meaning != key:
            best = find(document, key.replace("_", " "))
        values[key] = "" if best is None else best.text
        if best is not None:
            confidences.append(best.confidence)
    return OcrAnswer(json.dumps(values, ensure_ascii=False), _mean(confidences))


def _mean(confidences: Sequence[float]) -> float | None:
    return sum(confidences) / len(confidences) if confidences else None


def _fill(document: OcrDocument, schema: Node) -> OcrAnswer:
    """The object, or the list of objects, that a schema describes."""
    if kind_of_node(schema) == "list":
        return OcrAnswer(json.dumps(_rows_of(document, schema), ensure_ascii=False), None)
    values, confidences = _object_of(document, schema)
    return OcrAnswer(json.dumps(values, ensure_ascii=False), _mean(confidences))


def _object_of(document: OcrDocument, schema: Node) -> tuple[dict[str, object], list[float]]:
    """Every field of an object, null for what is not found; and the confidence of each value."""
    values: dict[str, object] = {}
    confidences: list[float] = []
    for key, node in fields_of(schema).items():
        kind = kind_of_node(node)
        if kind == "object":
            values[key], inner = _object_of(document, node)
            confidences += inner
        elif kind == "list":
            values[key] = _rows_of(document, node)
        else:
            best = find(document, meaning_of(node) or key.replace("_", " "))
            values[key] = None if best is None else best.text
            if best is not None:
                confidences.append(best.confidence)
    return values, confidences


def _rows_of(document: OcrDocument, node: Node) -> list[dict[str, str]]:
    """The items of a list: the only one that is read is the table of goods."""
    columns = [column for column in fields_of(item_of(node)) if column in _LIST_KEYS]
    rows = table.items(document) if len(columns) >= 2 else []
    return [_item_object(row, columns) for row in rows]


def _item_object(item: table.Item, columns: Sequence[str]) -> dict[str, str]:
    """The columns of an item that hold something, by the names that the question gives them."""
    texts = {column: table.value(item, _LIST_KEYS[column]) for column in columns}
    return {column: text for column, text in texts.items() if text}


def _wanted_keys(question: str) -> dict[str, str]:
    """Key → its meaning: "key (meaning)", else quoted keys, snake_case ones, or those of a list."""
    explained = {match.group(1): match.group(2) for match in _KEY.finditer(question)}
    # A single match may be any word with a remark in brackets.
    if len(explained) >= 2:
        return explained
    quoted = re.findall(r'["«“`]([\w .-]{2,40})["»”`]', question)
    keys = quoted or re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", question) or _listed_keys(question)
    return {key: key.replace("_", " ") for key in keys if key and key.lower() != "json"}


def _listed_keys(question: str) -> list[str]:
    """The keys that a question lists in running text, or behind its last colon."""
    named = _NAMED_KEYS.search(question)
    if named is not None:
        parts = re.split(r"[,，、;]|\b(?:and|и)\b", named.group(1))
    else:
        after_colon = re.search(r"[:：]\s*([^:：]+)$", question)
        parts = [] if after_colon is None else re.split(r"[,，、;]", after_colon.group(1))
    return [part.strip(" .。") for part in parts]


def _describe(document: OcrDocument, plain: str) -> OcrAnswer:
    """Title, number, date, parties, items and sums in a sentence or three, as far as they were read."""
    language = _language(plain)
    title, text = _title(document), ""
    names = [table.value(item, "name") for item in table.items(document)]
    for name, wording in description_parts(language):
        if name == "items":
            separator = "、" if language == "zh" else "; "
            value = separator.join(names) if len(names) > 1 else ""
        else:
            field = field_named(name)
            best = best_of(at_labels(document, OcrQuestion("", "", field, field.party)))
            value = "" if best is None else best.text
        if value and value not in title:
            sentence = wording.format(value, title=title, count=len(names))
            # Nothing before it: the full stop would end an empty sentence.
            text += sentence if text else sentence.removeprefix(". ")
        elif name == "number":
            text = title
    text = text.strip(" .,，。")
    return OcrAnswer(f"{text}." if text else "", None)


def _language(plain: str) -> str:
    """The language of a question, by its letters."""
    if re.search("[а-я]", plain):
        return "ru"
    return "zh" if count_chinese(plain) else "en"


def _title(document: OcrDocument) -> str:
    """The largest text of the first page's upper half."""
    if not document.layouts or not document.layouts[0].rows:
        return ""
    rows = document.layouts[0].rows
    upper_half = rows[: max(4, len(rows) // 2)]
    cells = [cell for row in upper_half for cell in row]
    worded = [cell for cell in cells if count_letters(cell.text) > 2]
    return max(worded, key=lambda cell: cell.height).text if worded else ""

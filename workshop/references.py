"""References that only the bundled tasks need: key facts as an object, and descriptions of a document.

Both say what was drawn, not what was meant to be. ``references.toml`` holds the keys and the templates.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.json_schemas.nodes import Node, fields_of, item_of, kind_of_node
from bench.schema import Json
from bench.synth.generated import GeneratedDocument, printed_fields
from bench.synth.questions import printed_day


@lru_cache(maxsize=1)
def read_references() -> dict[str, Any]:
    """Return kind → language → ``keys``, ``full`` and ``short``."""
    path = Path(__file__).with_name("references.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def key_facts(document: GeneratedDocument) -> dict[str, Json]:
    """Return the key facts as they are printed, for structured extraction."""
    fields = printed_fields(document.sheets)
    keys = read_references()[document.kind][document.language]["keys"]
    facts: dict[str, Json] = {key: fields[key] for key in keys if key in fields}
    goods = _goods(fields)
    if goods and document.kind != "contract":
        facts["items"] = goods
    return facts


def typed_facts(document: GeneratedDocument, schema: Node) -> dict[str, Json]:
    """Return what ``schema`` asks for, typed as it says; null where the document does not show a field."""
    fields = printed_fields(document.sheets)
    facts: dict[str, Json] = {}
    for key, node in fields_of(schema).items():
        if kind_of_node(node) == "list":
            columns = fields_of(item_of(node))
            rows = len(_goods(fields))
            facts[key] = [
                {
                    column: _typed(fields.get(f"item_{row}_{column}"), part)
                    for column, part in columns.items()
                }
                for row in range(1, rows + 1)
            ]
        else:
            facts[key] = _typed(fields.get(key), node)
    return facts


def _typed(printed: str | None, node: Node) -> Json:
    """A printed value as a number or a date, where it is one."""
    if printed is None:
        return None
    if kind_of_node(node) == "number":
        digits = re.sub(r"[^\d.,]", "", printed)
        is_russian = re.search(r",\d{1,3}$", digits) is not None and "." not in digits
        number = Decimal(digits.replace(",", ".") if is_russian else digits.replace(",", ""))
        return int(number) if number == number.to_integral_value() else float(number)
    if node.get("format") == "date":
        day = printed_day(printed)
        return None if day is None else day.isoformat()
    return printed


def describe(document: GeneratedDocument) -> tuple[str, str]:
    """Return two descriptions of the document, a full one and a short one."""
    fields = printed_fields(document.sheets)
    names = [row["name"] for row in _goods(fields)]
    separator = {"zh": "、", "ru": "; ", "en": ", "}[document.language]
    values = _BlankWhereNotDrawn(fields, items=separator.join(names), n=str(len(names)))
    templates = read_references()[document.kind][document.language]
    full, short = (templates[length].format_map(values) for length in ("full", "short"))
    # The dot of an abbreviation («г.», "Inc.") also ends the sentence.
    return full.replace("..", "."), short.replace("..", ".")


class _BlankWhereNotDrawn(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def _goods(fields: Mapping[str, str]) -> list[Json]:
    """Return the rows of the goods table as objects, as far as they were drawn."""
    rows: list[Json] = []
    while f"item_{len(rows) + 1}_name" in fields:
        stem = f"item_{len(rows) + 1}_"
        keys = ("name", "quantity", "price", "total")
        rows.append({key: fields[stem + key] for key in keys if stem + key in fields})
    return rows

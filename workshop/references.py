"""References that only the bundled tasks need: key facts as an object, and descriptions of a document.

Both say what was drawn, not what was meant to be. ``references.toml`` holds the keys and the templates.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.schema import Json
from bench.synth.generated import GeneratedDocument, printed_fields


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

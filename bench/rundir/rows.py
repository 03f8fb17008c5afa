"""Reads lines of a run directory as the nouns of the schema, and refuses what is of another type."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from typing import Any

from bench.paths import from_portable
from bench.schema import Document, Output, Page, Sample

_OUTPUT_FIELDS = frozenset(field.name for field in dataclasses.fields(Output))
_COUNTS = ("prompt_tokens", "visual_tokens", "generated_tokens", "degraded")
_PROBABILITIES = ("confidence", "min_confidence")
_DIGEST = re.compile(r"[\w-]*")
"""A digest names the file of a preview, so nothing in it may lead to another folder."""


def output_of(row: Mapping[str, Any]) -> Output:
    """Return the answer in a line of ``outputs.jsonl``.

    Raises:
        ValueError: something is missing or of another type.
    """
    if not (isinstance(row.get("sample_id"), str) and isinstance(row.get("text"), str)):
        raise ValueError("it has no sample_id or no text")
    values = {key: value for key, value in row.items() if key in _OUTPUT_FIELDS}
    # Every model's answers repeat the ids of the questions: one text in memory serves all.
    values["sample_id"] = sys.intern(values["sample_id"])
    if values.setdefault("stop_reason", "stop") not in ("stop", "length", "error"):
        raise ValueError("its stop_reason is unknown")
    for key in _COUNTS:
        if not isinstance(values.get(key), int | None):
            raise ValueError(f"its {key} is not a number")
    for key in _PROBABILITIES:
        if not isinstance(values.get(key), float | int | None):
            raise ValueError(f"its {key} is not a number")
    if not isinstance(values.get("error"), str | None):
        raise ValueError("its error is not a text")
    if not isinstance(values.get("served"), dict | None):
        raise ValueError("its served is not an object")
    values["stop_reason"] = sys.intern(values["stop_reason"])
    return Output(**values)


def sample_of(row: Mapping[str, Any]) -> Sample:
    """Return the question in a line of ``samples.jsonl``.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of another type.
    """
    for key in ("id", "document_id", "question"):
        if not isinstance(row[key], str):
            raise TypeError(f"{key} is not a text")
    if not isinstance(row["references"], list):
        raise TypeError("references is not a list")
    metadata = row["metadata"]
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise TypeError("metadata is not an object of texts")
    if row["answer_type"] not in ("text", "json", "description"):
        raise ValueError("answer_type is unknown")
    if row["answer_type"] != "json" and not all(isinstance(r, str) for r in row["references"]):
        raise TypeError("a reference is not a text")
    return Sample(
        id=sys.intern(row["id"]),
        document_id=sys.intern(row["document_id"]),
        question=sys.intern(row["question"]),
        references=tuple(row["references"]),
        answer_type=row["answer_type"],
        metadata={sys.intern(key): sys.intern(value) for key, value in metadata.items()},
    )


def document_of(row: Mapping[str, Any]) -> Document:
    """Return the document of a line of ``samples.jsonl``.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of another type.
    """
    pages = []
    for listed in row["pages"]:
        if not isinstance(listed["path"], str):
            raise TypeError("a page's path is not a text")
        page = Page(**{**listed, "path": from_portable(listed["path"])})
        sizes = (page.index, page.width, page.height)
        if not all(isinstance(size, int) for size in sizes):
            raise TypeError("a page's index, width or height is not a number")
        if page.turn not in (0, 90, 180, 270):
            raise ValueError("a page's turn is none of 0, 90, 180 and 270")
        if not isinstance(page.dpi, int | float | None):
            raise TypeError("a page's dpi is not a number")
        if not (isinstance(page.sha256, str) and _DIGEST.fullmatch(page.sha256)):
            raise ValueError("a page's sha256 is not a digest")
        pages.append(page)
    return Document(row["document_id"], tuple(pages))

"""A generated document with the questions about it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.synth.sheet import Sheet


@dataclass(frozen=True, slots=True)
class DocumentQuestion:
    """A question with the answers that a fair reader accepts; the first is what is printed."""

    field: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GeneratedDocument:
    """One generated document: its pages before rendering, and the questions about them."""

    kind: str
    language: str
    layout: str
    """Name of the layout, so that a training set can be balanced by it or hold it out."""
    sheets: tuple[Sheet, ...]
    questions: tuple[DocumentQuestion, ...]
    dpi: int
    """Resolution that suits the layout."""


def printed_fields(sheets: tuple[Sheet, ...]) -> dict[str, str]:
    """Return field → value as drawn, over all pages; the first page wins."""
    fields: dict[str, str] = {}
    for sheet in reversed(sheets):
        fields.update(sheet.fields)
    return fields

"""A generated document with everything that is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.schema import Json
from bench.synth.sheet import Sheet


@dataclass(frozen=True, slots=True)
class DocumentQuestion:
    """A question with the answers that a fair reader accepts; the first is what is printed."""

    field: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GeneratedDocument:
    """One generated document: its pages before rendering, and the truth about them."""

    kind: str
    language: str
    layout: str
    """Name of the layout, so that a training set can be balanced by it or hold it out."""
    sheets: tuple[Sheet, ...]
    questions: tuple[DocumentQuestion, ...]
    structured: Mapping[str, Json]
    """Key facts as they are printed, for structured extraction."""
    descriptions: tuple[str, ...]
    """Reference answers to "describe the document"."""
    dpi: int
    """Resolution that suits the layout."""

    def text(self) -> str:
        """Return every text drawn, in drawing order, one line each; pages follow one another."""
        return "\n".join(text.text for sheet in self.sheets for text in sheet.texts())


def printed_fields(sheets: tuple[Sheet, ...]) -> dict[str, str]:
    """Return field → value as drawn, over all pages; the first page wins."""
    fields: dict[str, str] = {}
    for sheet in reversed(sheets):
        fields.update(sheet.fields)
    return fields

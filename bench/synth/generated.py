"""A generated document with everything that is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.schema import Json
from bench.synth.sheet import Sheet


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the answers that a fair reader accepts; the first is what is printed."""

    field: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One generated document: its pages before rendering, and the truth about them."""

    kind: str
    language: str
    layout: str
    """Layout family, so that a training set can be balanced or held out by it."""
    sheets: tuple[Sheet, ...]
    questions: tuple[Question, ...]
    structured: Mapping[str, Json] = field(default_factory=dict)
    """Key facts as they are printed, for structured extraction."""
    descriptions: tuple[str, ...] = ()
    """Reference answers to "describe the document"."""
    dpi: int = 150
    """Resolution that suits the layout."""

    def text(self) -> str:
        """Every text drawn, in drawing order, one line each; pages follow one another."""
        return "\n".join(text.text for sheet in self.sheets for text in sheet.texts())


def printed(sheets: tuple[Sheet, ...]) -> dict[str, str]:
    """Field → value as drawn, over all pages; the first page wins."""
    found: dict[str, str] = {}
    for sheet in reversed(sheets):
        found.update(sheet.fields)
    return found

"""Pages for tests of the OCR backend, laid out by hand: no OCR engine is involved."""

from __future__ import annotations

from bench.models.ocr.answer import answer
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.layout import lay_out
from bench.models.ocr.reading import Fragment, Reading

Row = tuple[float, float, str]


def sheet(*rows: Row, slope: float = 0.0) -> OcrDocument:
    """A page of cells at (left, top), 20 pixels high, letters 10 and Chinese characters 20 wide."""
    fragments = []
    for left, top, text in rows:
        width = sum(20.0 if "\u3400" <= c <= "\u9fff" else 10.0 for c in text)
        fall = slope * (left + width / 2)
        fragments.append(Fragment(text, left, top + fall, left + width, top + fall + 20))
    return OcrDocument([lay_out(Reading(tuple(fragments), slope, words=False))])


def ask(page: OcrDocument, question: str) -> str:
    return answer(page, question).text

"""Letterheads: a sender at the head of a page, and an addressee above a postcode, both without a label."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rapidfuzz import fuzz

from bench.models.ocr.characters import count_digits, count_letters
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.fields import normalise
from bench.models.ocr.layout import TableCell
from bench.models.ocr.matching import Candidate
from bench.models.ocr.words import words_pattern

_SENDER = 0.36
"""Score of a name at the head of a page that nothing else speaks for."""
_ADDRESSEE = 0.45
_ADDRESS_LINES = 6
_FOOT_ROWS = 4
_LONGEST_NAME = 60
"""Letters: what is longer is a sentence."""
_POSTCODE = re.compile(
    r"\b(?:[A-Z]{1,2}-)?\d{4,5}\b|\b\d{2}-\d{3}\b|\b[A-Z]{1,2}\d[\dA-Z]? \d[A-Z]{2}\b"
)


def sender(document: OcrDocument, buyer: str) -> Candidate | None:
    """Who sends an invoice: a name at its head or foot that no label gives to anybody else."""
    best: Candidate | None = None
    for cell, text in _head_and_foot(document):
        plain = normalise(text)
        if not _is_name(document, cell, text) or fuzz.ratio(plain, normalise(buyer)) > 90:
            continue
        named = sum(plain in other for other in document.plain.values())
        score = _SENDER
        score += 0.04 if words_pattern("company").search(plain) else 0.0
        # A sender is named twice: at the head, and in the foot or above the recipient.
        score += 0.05 if named > 1 else 0.0
        score += 0.02 if cell.row == 0 else 0.0
        score += 0.03 if cell.height > 1.25 * document.layouts[0].line_height else 0.0
        if best is None or score > best.score:
            best = Candidate(text, score, cell)
    return best


def addressee(document: OcrDocument, seller: str) -> Candidate | None:
    """Whom a letter is for: the first line of the block of lines that has a postcode."""
    rows = document.layouts[0].rows if document.layouts else ()
    for row in rows[: 2 * len(rows) // 3]:
        for cell in row:
            is_sender = bool(seller) and normalise(seller) in normalise(cell.text)
            is_line = _POSTCODE.search(cell.text) is not None
            if is_sender or is_line or not _is_name(document, cell, cell.text):
                continue
            above = document.layouts[0].above(cell)
            is_first = above is None or above.height <= 0.8 * cell.height
            if is_first and _heads_address(document, cell):
                return Candidate(cell.text, _ADDRESSEE, cell)
    return None


def _head_and_foot(document: OcrDocument) -> Iterable[tuple[TableCell, str]]:
    """Cells of the first page's upper third and of its last rows, each up to its first comma or dash."""
    rows = document.layouts[0].rows if document.layouts else ()
    for row in rows:
        third = rows[0][0].top + (rows[-1][-1].bottom - rows[0][0].top) / 3
        if row[0].top < third or row[0].row >= len(rows) - _FOOT_ROWS:
            for cell in row:
                yield cell, re.split(r" [-–|•·] |, (?=\D*\d)", cell.text)[0].strip(" ,")


def _is_name(document: OcrDocument, cell: TableCell, text: str) -> bool:
    if words_pattern("no_name").match(normalise(text)) or len(text) > _LONGEST_NAME:
        return False
    is_labelled = any(mark.start <= 2 for mark in document.marks_of[cell])
    mostly_letters = count_letters(text) >= 3 and count_digits(text) <= 0.2 * len(text)
    return mostly_letters and not is_labelled and not re.search("[:@]", text)


def _heads_address(document: OcrDocument, cell: TableCell) -> bool:
    """Whether lines beneath ``cell``, aligned with it, hold a postcode."""
    line: TableCell | None = cell
    for _ in range(_ADDRESS_LINES):
        line = None if line is None else document.layouts[0].beneath(line, gap=1.5)
        if line is not None and _POSTCODE.search(line.text):
            return True
    return False

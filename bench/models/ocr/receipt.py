"""Receipts: they begin with the company and its address, and their sums bear out the total."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from bench.models.ocr.characters import count_digits, count_letters
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.fields import Field, normalise
from bench.models.ocr.layout import TableCell
from bench.models.ocr.matching import Candidate
from bench.models.ocr.values import ValueKind, cut
from bench.models.ocr.words import words_pattern

_COMPANY = 0.85
_ADDRESS = 0.8
"""Scores of what only its place tells: less than what a form fixes, more than a doubtful label."""
_HEAD_ROWS = 7
"""The name of the company stands in one of so many rows."""
_ADDRESS_ROWS = 5
_ROUNDING = 5
"""Cents by which a till may round."""
_CENTS = re.compile(r"\d[.,]\s?\d\d(?!\d)")
_REGISTRATION = re.compile(r"\s*\(?\b\d{4,}\s?-?\s?[A-Z]\)?\s*$")
"""The number of a Malaysian company behind its name: "(771204-K)"."""


class _Line(NamedTuple):
    """A row of a receipt that ends in an amount."""

    label: str
    cents: int
    text: str
    cell: TableCell


def is_receipt(document: OcrDocument, plain: str) -> bool:
    """Whether the page speaks as tills do, in English, and names no party as invoices do.

    One word of a till is enough where the normalised question ``plain`` calls the page a receipt.
    """
    if len(document.layouts) != 1:
        return False
    text = " \n ".join(document.plain.values())
    if words_pattern("parties").search(text) or re.search("[а-я]{3}", text):
        return False
    words = set(words_pattern("till").findall(text))
    is_called_one = words_pattern("shop").search(plain) is not None
    has_total = words_pattern("total").search(text) is not None
    return len(words) >= (1 if is_called_one else 2) and has_total


def receipt_answer(document: OcrDocument, field: Field) -> Candidate | None:
    """What a receipt says without a label: company, address and total."""
    if field.name == "total":
        return _total(document)
    number = _company_row(document)
    if number is None:
        return None
    if field.name in {"merchant", "seller", "company", "name"}:
        row = document.layouts[0].rows[number]
        return Candidate(_REGISTRATION.sub("", _text(row)), _COMPANY, row[0])
    return _address(document, number + 1) if field.name == "address" else None


def _text(row: Sequence[TableCell]) -> str:
    return " ".join(cell.text for cell in row)


def _company_row(document: OcrDocument) -> int | None:
    """The row of the company's name."""
    scores: dict[int, float] = {}
    for number, row in enumerate(document.layouts[0].rows[:_HEAD_ROWS]):
        text = _text(row)
        plain = normalise(text).lstrip(" *-(")
        if count_letters(text) < 3 or words_pattern("no_name").match(plain):
            continue
        # The first line is the name, unless a later one says so by its legal form. Handwriting above the
        # print is read in small letters; figures begin the address.
        score = -0.2 * number
        score += 0.5 if words_pattern("company").search(plain) else 0.0
        score -= 0.5 if text.islower() else 0.0
        score -= 1.5 * count_digits(text) / len(text)
        scores[number] = score
    return max(scores, key=lambda number: scores[number], default=None)


def _address(document: OcrDocument, first: int) -> Candidate | None:
    """The lines beneath the name, up to the first one that is of another kind."""
    lines: list[str] = []
    rows = document.layouts[0].rows[first : first + _ADDRESS_ROWS + 3]
    for row in rows:
        text = _text(row)
        plain = normalise(text).lstrip(" *-")
        is_registration = count_letters(text) <= 2 < count_digits(text) or plain.startswith("(")
        is_more_of_name = words_pattern("registration").match(plain) is not None
        if not lines and (is_registration or is_more_of_name):
            continue
        is_other = words_pattern("no_address").match(plain) or _CENTS.search(row[-1].text)
        if is_other or is_registration or cut(row[0].text, ValueKind.DATE):
            break
        lines.append(text)
    lines = lines[:_ADDRESS_ROWS]
    # An address has a number; a slogan beneath the name has none.
    if not any(count_digits(line) for line in lines):
        return None
    return Candidate(" ".join(lines), _ADDRESS, rows[0][0])


def _total(document: OcrDocument) -> Candidate | None:
    """The amount on which the label and the other amounts agree, the last one where several do."""
    lines = _amount_lines(document)
    best: Candidate | None = None
    for line in lines:
        is_total = words_pattern("total").search(line.label) is not None
        is_of_part = words_pattern("part").search(line.label) is not None
        is_inclusive = words_pattern("inclusive").search(line.label) is not None
        if not is_total or (is_of_part and not is_inclusive):
            continue
        score = 0.5 + 0.3 * _agreement(line, lines)
        if best is None or score >= best.score:
            best = Candidate(line.text, score, line.cell)
    return best


def _amount_lines(document: OcrDocument) -> list[_Line]:
    lines: list[_Line] = []
    waiting = ""
    for row in document.layouts[0].rows:
        words = normalise(_text(row))
        value = cut(row[-1].text, ValueKind.AMOUNT)
        if value is None or not _CENTS.search(value.text):
            waiting = words
            continue
        label = re.sub(r"[^a-z/ ]", " ", words).strip()
        # A label may stand on the line above its amount.
        label = label if count_letters(label) >= 2 else waiting
        cents = int(re.sub(r"\D", "", value.text))
        lines.append(_Line(label, cents, value.text, row[-1]))
        waiting = ""
    return lines


def _agreement(line: _Line, lines: Sequence[_Line]) -> float:
    """How well the other amounts bear out a total, 0 to 1: paid less change, or net and tax."""

    def cents(words: str) -> list[int]:
        return [other.cents for other in lines if words_pattern(words).search(other.label)]

    paid = [given - back for given in cents("paid") for back in [*cents("change"), 0]]
    if line.cents in paid:
        return 1.0
    gross = [net + tax for net in cents("net") for tax in cents("tax")]
    return 0.7 if any(abs(line.cents - one) <= _ROUNDING for one in gross) else 0.0

"""The goods table of an invoice, and the lines of a receipt, which has none but looks like one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rapidfuzz import fuzz

from bench.models.ocr.characters import count_digits, count_letters
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.fields import Field, normalise
from bench.models.ocr.labels import Mark
from bench.models.ocr.layout import TableCell
from bench.models.ocr.matching import Candidate
from bench.models.ocr.values import ValueKind, cut
from bench.models.ocr.words import alternatives, word_list

Item = dict[str, TableCell]
"""``name``, ``quantity``, ``price``, ``total`` → the cell where it stands."""

_COLUMNS = {"item": "name", "quantity": "quantity", "unit_price": "price", "line_amount": "total"}
_ASKED = {**_COLUMNS, "total": "total"}
"""Field that a question names → the column that it wants of one item."""
_KINDS = {"quantity": ValueKind.QUANTITY, "price": ValueKind.AMOUNT, "total": ValueKind.AMOUNT}
_SCORE = 0.8
"""Score of a value of an item that a question counts off or names."""
_SUMS = frozenset({"total", "subtotal", "vat", "discount", "cash", "change", "service_charge"})
_MONEY = re.compile(r"(?<![\d.])\d[\d ]*[.,]\s?\d\d(?![\d.])")
_HEADER_SCORE = 0.55
"""Least score of a label that heads a column or names a sum; a word inside a cell scores less."""


def asked_value(document: OcrDocument, plain: str, field: Field | None) -> Candidate | None:
    """What a normalised question wants of the item that it counts off ("the second item") or names."""
    rows = items(document)
    counted = [
        row for row, words in enumerate(word_list("ordinals")) if alternatives(words).search(plain)
    ]
    named = [row for row, item in enumerate(rows) if _is_named(document, item, plain)]
    column = "name" if field is None else _ASKED.get(field.name, "name")
    for row in (counted or named)[:1]:
        text = value(rows[row], column) if row < len(rows) else ""
        if text:
            return Candidate(text, _SCORE, rows[row][column])
    return None


def _is_named(document: OcrDocument, item: Item, question: str) -> bool:
    """Whether a question says the name of an item, give or take a misread letter."""
    name = normalise(value(item, "name"))
    if "name" not in item or document.is_label(item["name"]):
        return False
    # A shorter name is in many questions by chance; 88 per cent of eight letters is one letter misread.
    return count_letters(name) >= 5 and fuzz.partial_ratio(name, question, score_cutoff=88) > 0


def value(item: Item, column: str) -> str:
    """What stands in a column of an item, cut to its kind; empty if nothing does."""
    cell = item.get(column)
    if cell is None:
        return ""
    if column == "name":
        return re.sub(r"^\d{1,3}[.)]?\s+(?=\D)", "", cell.text).strip(" .·—-")
    printed = cut(cell.text, _KINDS[column])
    return "" if printed is None else printed.text


def items(document: OcrDocument) -> list[Item]:
    """The rows of the goods table, or the lines before the sum where there is no table."""
    headers = _headers(document)
    return _table_items(document, headers) if len(headers) >= 2 else _receipt_items(document)


def _headers(document: OcrDocument) -> dict[str, Mark]:
    """Column name → its header, from the band of the page that has most of them."""
    marks = [
        mark
        for mark in document.marks
        if mark.field.name in _COLUMNS and mark.score > _HEADER_SCORE
    ]
    best: dict[str, Mark] = {}
    for anchor in marks:
        band: dict[str, Mark] = {}
        for mark in sorted(marks, key=lambda mark: (-mark.score, mark.cell.left)):
            near = abs(mark.cell.middle - anchor.cell.middle) < 2.5 * anchor.cell.height
            if near and mark.cell.page == anchor.cell.page:
                band.setdefault(_COLUMNS[mark.field.name], mark)
        if len(band) > len(best):
            best = band
    return best


def _table_items(document: OcrDocument, headers: dict[str, Mark]) -> list[Item]:
    page = next(iter(headers.values())).cell.page
    start = max(mark.cell.row for mark in headers.values()) + 1
    extents = {column: (mark.cell.left, mark.cell.right) for column, mark in headers.items()}
    items: list[Item] = []
    for row in document.layouts[page].rows[start:]:
        if items and _is_sum(document, row):
            break
        item = _row_item(row, extents)
        has_numbers = any(column in item for column in _KINDS)
        if has_numbers and "name" in item:
            items.append(item)
        elif not has_numbers and items and set(item) == {"name"} and len(row) == 1:
            # A line with a name alone goes on with the name above it.
            first, second = items[-1]["name"], item["name"]
            items[-1]["name"] = replace(first, text=f"{first.text} {second.text}")
    return items


def _row_item(row: Sequence[TableCell], extents: dict[str, tuple[float, float]]) -> Item:
    item: Item = {}
    for column, (left, right) in extents.items():
        centre = (left + right) / 2
        near = [
            cell
            for cell in row
            if cell.left < right + cell.height / 2 and cell.right > left - cell.height / 2
        ]
        if column != "name":
            near = [cell for cell in near if _holds(cell, _KINDS[column])]
        else:
            # Names stand at the left of their column, which the header may only be centred on.
            near = [cell for cell in (near or row[:2]) if count_letters(cell.text) >= 2]
        if near:
            item[column] = min(near, key=lambda cell: abs((cell.left + cell.right) / 2 - centre))
    return item


def _holds(cell: TableCell, kind: ValueKind) -> bool:
    """Whether the cell is a value of ``kind`` and not a text with a number in it."""
    is_number = count_digits(cell.text) >= count_letters(cell.text)
    return is_number and cut(cell.text, kind) is not None


def _is_sum(document: OcrDocument, row: Sequence[TableCell]) -> bool:
    """Whether a row begins with the label of a sum."""
    for cell in row[:2]:
        for mark in document.marks_of.get(cell, ()):
            if mark.field.name in _SUMS and mark.start <= 2 and mark.score > _HEADER_SCORE:
                return True
    return False


def _receipt_items(document: OcrDocument) -> list[Item]:
    """Lines with a name at the left and an amount at the right, or the amount on the line beneath."""
    items: list[Item] = []
    if not document.layouts:
        return items
    pending: TableCell | None = None
    for row in document.layouts[0].rows:
        if _is_sum(document, row):
            if items:
                break
            continue
        money = [cell for cell in row if _MONEY.search(cell.text)]
        named = [cell for cell in row if count_letters(_MONEY.sub("", cell.text)) >= 2]
        if not money:
            pending = named[0] if named else None
            continue
        name = named[0] if named and named[0] is not money[-1] else pending
        if name is not None:
            items.append({"name": name, "total": money[-1]})
        pending = None
    return items

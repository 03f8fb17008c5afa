"""The goods table of an invoice, and the lines of a receipt, which has none but looks like one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.models.ocr.characters import count_digits, count_letters
from bench.models.ocr.fields import normalise
from bench.models.ocr.layout import TableCell
from bench.models.ocr.matching import Mark, OcrDocument
from bench.models.ocr.values import ValueKind, cut

Item = dict[str, TableCell]
"""``name``, ``quantity``, ``price``, ``total`` → the cell where it stands."""

_COLUMNS = {"item": "name", "quantity": "quantity", "unit_price": "price", "line_amount": "total"}
_KINDS = {"quantity": ValueKind.QUANTITY, "price": ValueKind.AMOUNT, "total": ValueKind.AMOUNT}
_SUMS = frozenset({"total", "subtotal", "vat", "discount", "cash", "change", "service_charge"})
_MONEY = re.compile(r"(?<![\d.])\d[\d ]*[.,]\s?\d\d(?![\d.])")
_ORDINALS = (
    r"first|\b1st\b|перв|第一|第1",
    r"second|\b2nd\b|втор|第二|第2",
    r"third|\b3rd\b|трет|第三|第3",
    r"fourth|\b4th\b|четверт|第四|第4",
    r"fifth|\b5th\b|пят(?:ый|ая|ое|ой|ого)|第五|第5",
)


def ordinal(question: str) -> int | None:
    """Which row ``question`` speaks of, from 0; None where it names none."""
    plain = normalise(question)
    return next((n for n, words in enumerate(_ORDINALS) if re.search(words, plain)), None)


def value(item: Item, column: str) -> str:
    """What stands in a column of an item, cut to its kind; empty where nothing does."""
    cell = item.get(column)
    if cell is None:
        return ""
    if column == "name":
        return re.sub(r"^\d{1,3}[.)]?\s+(?=\D)", "", cell.text).strip(" .·—-")
    found = cut(cell.text, _KINDS[column])
    return "" if found is None else found.text


def items(document: OcrDocument) -> list[Item]:
    """The rows of the goods table, or the lines before the sum where there is no table."""
    headers = _headers(document)
    return _table_items(document, headers) if len(headers) >= 2 else _receipt_items(document)


def _headers(document: OcrDocument) -> dict[str, Mark]:
    """Column name → its header, from the band of the page that has most of them."""
    marks = [m for m in document.marks if m.field.name in _COLUMNS and m.score > 0.55]
    best: dict[str, Mark] = {}
    for anchor in marks:
        band: dict[str, Mark] = {}
        for mark in sorted(marks, key=lambda m: (-m.score, m.cell.left)):
            near = abs(mark.cell.middle - anchor.cell.middle) < 2.5 * anchor.cell.height
            if near and mark.cell.page == anchor.cell.page:
                band.setdefault(_COLUMNS[mark.field.name], mark)
        if len(band) > len(best):
            best = band
    return best


def _table_items(document: OcrDocument, headers: dict[str, Mark]) -> list[Item]:
    page = next(iter(headers.values())).cell.page
    start = max(mark.cell.row for mark in headers.values()) + 1
    extents = {column: document.extent(mark) for column, mark in headers.items()}
    out: list[Item] = []
    for row in document.layouts[page].rows[start:]:
        if out and _is_sum(document, row):
            break
        item = _row_item(row, extents)
        if not any(column in item for column in _KINDS):
            if out and set(item) == {"name"} and len(row) == 1:
                out[-1] = {**out[-1], "name": _joined(out[-1].get("name"), item["name"])}
            continue
        if "name" in item:
            out.append(item)
    return out


def _row_item(row: Sequence[TableCell], extents: dict[str, tuple[float, float]]) -> Item:
    item: Item = {}
    for column, (left, right) in extents.items():
        centre = (left + right) / 2
        near = [c for c in row if c.left < right + c.height / 2 and c.right > left - c.height / 2]
        if column != "name":
            near = [
                c for c in near if cut(c.text, _KINDS[column]) is not None and _is_number(c.text)
            ]
        else:
            # Names stand at the left of their column, which the header may only be centred on.
            near = [c for c in (near or row[:2]) if count_letters(c.text) >= 2]
        if near:
            item[column] = min(near, key=lambda c: abs((c.left + c.right) / 2 - centre))
    return item


def _is_number(text: str) -> bool:
    return count_digits(text) >= count_letters(text)


def _is_sum(document: OcrDocument, row: Sequence[TableCell]) -> bool:
    """Whether a row begins with the label of a sum."""
    marks = [m for cell in row[:2] for m in document.marks_of.get(id(cell), ())]
    return any(m.field.name in _SUMS and m.start <= 2 and m.score > 0.55 for m in marks)


def _receipt_items(document: OcrDocument) -> list[Item]:
    """Lines with a name at the left and an amount at the right, or the amount on the line beneath."""
    out: list[Item] = []
    if not document.layouts:
        return out
    pending: TableCell | None = None
    for row in document.layouts[0].rows:
        if _is_sum(document, row):
            if out:
                break
            continue
        money = [c for c in row if _MONEY.search(c.text)]
        named = [c for c in row if count_letters(_MONEY.sub("", c.text)) >= 2]
        if not money:
            pending = named[0] if named else None
            continue
        name = named[0] if named and named[0] is not money[-1] else pending
        if name is not None:
            out.append({"name": name, "total": money[-1]})
        pending = None
    return out


def _joined(first: TableCell | None, second: TableCell) -> TableCell:
    if first is None:
        return second
    return TableCell(
        text=f"{first.text} {second.text}",
        left=min(first.left, second.left),
        top=first.top,
        right=max(first.right, second.right),
        bottom=second.bottom,
        confidence=min(first.confidence, second.confidence),
        page=first.page,
        row=first.row,
    )

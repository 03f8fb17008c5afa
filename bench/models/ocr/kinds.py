"""What is known of a kind of document before any label is read.

A Russian payment order (form 0401060) is a stack of blocks whose captions stand beneath them. A receipt
begins with the company and its address, and its total is the amount on which its label and its sums agree.
A letterhead names the sender, without a label. Each function gives a candidate, or None where the page is
of another kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rapidfuzz import fuzz, process

from bench.models.ocr.characters import count_digits, count_letters
from bench.models.ocr.fields import Field, Party, normalise
from bench.models.ocr.layout import PageLayout, TableCell
from bench.models.ocr.matching import Candidate, OcrDocument
from bench.models.ocr.values import ValueKind, cut

_SURE = 0.9
"""Score of a value whose place the form itself fixes: above all that a label alone can give."""
_ALIKE = 78
"""Per cent that a printed caption must be like the form's: about one letter in five may be misread."""

_CAPTIONS = (
    "плательщик",
    "банк плательщика",
    "банк получателя",
    "получатель",
    "назначение платежа",
)
_PAYER, _PAYER_BANK, _PAYEE_BANK, _PAYEE, _PURPOSE = _CAPTIONS
_BLOCKS: dict[Party, tuple[str, str]] = {
    "buyer": (_PAYER, _PAYER_BANK),
    "seller": (_PAYEE, _PAYEE_BANK),
}
_NAMES = frozenset({"name", "item", "company", "full_name"})
"""Fields that "наименование" and its like may be taken for."""
_SIDE_LABEL = re.compile(r"(?:бик|сч\W|сумма\b|вид оп|наз\W|код\b|срок|очер|рез)")
_ORDER_SUM = re.compile(r"\d[\d ]*(?:[-=.,]\s?\d\d(?!\d)|=)|\d{2,}")
_INN = re.compile(r"(?<!\d)(?:\d{12}|\d{10})(?!\d)")
_KPP = re.compile(r"(?<!\d)\d{9}(?!\d)")
_BIC = re.compile(r"(?<!\d)0\d{8}(?!\d)")
_ACCOUNT = re.compile(r"(?<!\d)\d{20}(?!\d)")


class PaymentOrder:
    """The blocks of a Russian payment order."""

    def __init__(self, layout: PageLayout) -> None:
        """Find the captions in ``layout``; without the two banks' it is no payment order."""
        self.layout = layout
        self.captions: dict[str, TableCell] = {}
        likeness: dict[str, float] = {}
        for cell in layout.cells:
            text = normalise(cell.text).strip(" .:|_")
            nearest = process.extractOne(text, _CAPTIONS, scorer=fuzz.ratio, score_cutoff=_ALIKE)
            if nearest is not None and nearest[1] > likeness.get(nearest[0], 0.0):
                caption, likeness[caption], _ = nearest
                self.captions[caption] = cell
        self.is_one = {_PAYER_BANK, _PAYEE_BANK} <= self.captions.keys()
        side = [cell.left for cell in layout.cells if self._is_side_label(cell)]
        self.split = min(side, default=max((cell.right for cell in layout.cells), default=0.0))

    def _is_side_label(self, cell: TableCell) -> bool:
        """Whether ``cell`` is a label in the column at the right of the blocks."""
        banks = [
            self.captions[name] for name in (_PAYER_BANK, _PAYEE_BANK) if name in self.captions
        ]
        right_of_banks = all(cell.left > bank.right for bank in banks)
        return right_of_banks and _SIDE_LABEL.match(normalise(cell.text)) is not None

    def answer(self, field: Field, party: Party | None) -> Candidate | None:
        """The value of ``field``, whose owner is ``party``."""
        owner, bank = _BLOCKS[field.party or party or "seller"]
        if field.name in {"number", "date"}:
            return self._heading(field)
        if field.name in {"total", "line_amount"}:
            return self._sum()
        if field.name == "purpose":
            return self._purpose()
        if field.name == "inn":
            return self._shaped(owner, _INN, left=True)
        if field.name == "kpp":
            return self._shaped(owner, _KPP, left=True)
        if field.name == "bik":
            return self._shaped(bank, _BIC, left=False)
        if field.name == "corr_account":
            return self._shaped(bank, _ACCOUNT, left=False)
        if field.name == "account":
            return self._shaped(owner, _ACCOUNT, left=False)
        if field.name == "bank":
            return self._name(bank)
        return self._name(owner) if field.party is not None or field.name in _NAMES else None

    def _block(self, caption: str) -> list[TableCell]:
        """The cells between a caption and the one above it."""
        if caption not in self.captions:
            return []
        bottom = self.captions[caption].middle
        number = _CAPTIONS.index(caption)
        above = [self.captions[name].middle for name in _CAPTIONS[:number] if name in self.captions]
        top = max((middle for middle in above if middle < bottom), default=self._top())
        return [
            cell for cell in self.layout.cells if top < cell.middle < bottom - 0.5 * cell.height
        ]

    def _top(self) -> float:
        """Where the payer's block begins: beneath the sum in words."""
        words = [cell for cell in self.layout.cells if "прописью" in normalise(cell.text)]
        return max((cell.middle + 0.3 * cell.height for cell in words), default=0.0)

    def _shaped(self, caption: str, shape: re.Pattern[str], *, left: bool) -> Candidate | None:
        for cell in self._block(caption):
            if (cell.left < self.split) != left and shape is not _KPP:
                continue
            # OCR may put a blank between two digits of one number.
            joined = re.sub(r"(?<=\d) (?=\d)", "", cell.text)
            match = shape.search(joined)
            if match is not None:
                return Candidate(match.group(), _SURE, cell)
        return None

    def _name(self, caption: str) -> Candidate | None:
        lines = []
        for cell in self._block(caption):
            plain = normalise(cell.text)
            is_tax_number = re.match(r"(?:инн|кпп)\b", plain) or re.fullmatch(r"[\W\d]+", plain)
            if cell.left < self.split - cell.height and not is_tax_number and len(cell.text) > 1:
                lines.append(cell)
        return _joined(lines)

    def _purpose(self) -> Candidate | None:
        if _PURPOSE not in self.captions:
            return None
        block = self._block(_PURPOSE)
        last = max((cell.middle for cell in block if self._is_side_label(cell)), default=0.0)
        return _joined([cell for cell in block if cell.middle > last + 0.5 * cell.height])

    def _sum(self) -> Candidate | None:
        for row in self.layout.rows:
            for number, label in enumerate(row):
                # At the left of the form, the same word begins "сумма прописью".
                if (
                    not normalise(label.text).startswith("сумма")
                    or label.left < self.split - label.height
                ):
                    continue
                for cell in row[number:]:
                    match = _ORDER_SUM.search(cell.text)
                    if match is not None:
                        return Candidate(match.group().strip(), _SURE, cell)
        return None

    def _heading(self, field: Field) -> Candidate | None:
        for row in self.layout.rows:
            title = next((c for c in row if "поручени" in normalise(c.text)), None)
            if title is None:
                continue
            for cell in row[row.index(title) :]:
                text = cell.text
                if field.name == "number":
                    match = re.search(
                        r"поручени\w*\W*(?:N[oо°]?|№|Ne)?\W*(\d[\w/-]*)", text, re.IGNORECASE
                    )
                    match = match or (
                        re.search(r"^\W*(\d[\w/-]*)\W*$", text) if cell is not title else None
                    )
                    if match is not None:
                        return Candidate(match.group(1), _SURE, cell)
                else:
                    value = cut(text, ValueKind.DATE)
                    if value is not None:
                        return Candidate(value.text, _SURE, cell)
        return None


def _joined(lines: Sequence[TableCell], score: float = _SURE) -> Candidate | None:
    """The lines of a block as one value."""
    text = " ".join(line.text.strip() for line in lines).strip(" |_")
    return Candidate(text, score, lines[0]) if text else None


# --- receipts ---

_TILL_WORDS = re.compile(
    r"\b(?:receipt|cash|change|cashier|tender(?:ed)?|round(?:ing|ed)|gst summary|cash bill|sdn|total sales"
    r"|thank you|visa|till|eftpos|card)\b"
)
_CALLED_RECEIPT = re.compile(r"\b(?:receipt|store|shop|restaurant|cafe|till)\b")
_PARTY_HEADING = re.compile(r"\b(?:bill(?:ed)? to|invoice to|buyer|seller|due date)\b")
_HEAD_NOISE = re.compile(
    r"\W*(?:(?:tax |simplified |official |cash |sales )?(?:invoice|receipt|bill|copy)\b|welcome|duplicate"
    r"|original|(?:delivery note|order|quotation|quote|statement|act|certificate)\b"
    r"|\**\s*copy|thank|table|date|time|(?:co|company|business|gst|roc|reg|vat|tax|tel|telephone"
    r"|phone|fax|h/?p|hp|mobile|email|e-mail|website|www)\b)"
)
_REGISTRATION = re.compile(
    r"\W*(?:(?:co|company|reg|roc|gst|brn)\b[\w. ]*[:.]?\s*)?[\w-]*\d{4,}[\w-]*\W*"
)
_COMPANY_FORM = re.compile(
    r"(?i)\b(?:sdn\.?\s*bhd|s/b|bhd|ltd|limited|inc|llc|corp|plc|co\.|gmbh|ag|kg|ug|e\.?k|b\.?v|n\.?v"
    r"|s\.?a\.?r\.?l|s\.?a\.?s|s\.?a|s\.?p\.?a|s\.?r\.?l|s\.?n\.?c|s\.?l(?:\.?u)?|sp\.? ?z ?o\.? ?o"
    r"|ohg|gbr|eurl"
    r"|enterprise|trading|restaurant|restoran|store|market|mart|bakery|cafe|hardware|pharmacy|industries"
    r"|group|and sons|& sons|& co)(?![\w])\.?"
)
_FORM_ALONE = re.compile(
    r"(?i)\W*(?:\(\w+\)\s*)?(?:sdn\.?\s*bhd\.?|ltd\.?|s/b|enterprise|trading|inc\.?)\W*"
)
_ADDRESS_END = re.compile(
    r"\W*(?:tel\b|telephone|phone|fax|h/?p\b|mobile|e-?mail|www|website|gst\b|vat\b|tax\b|invoice|receipt|date|time"
    r"|bill\b|cash|table|cashier|doc\b|order|item|qty|description|reg\b|thank|welcome|no\W*:)"
)
_TOTAL = re.compile(r"\b(?:total|amount due|amt due|net amt|to pay|payable|balance due|nett?)\b")
_NOT_TOTAL = re.compile(
    r"\b(?:sub|excl\w*|exclud\w*|before|cash|change|rounding|round off|disc\w*|saving\w*|items?|qty|quantity"
    r"|tender\w*|point\w*|deposit|tax|gst|vat|service)\b"
)
_INCLUSIVE = re.compile(r"incl|with (?:gst|tax)|after")
_TELLING = re.compile(r"\b(?:rounded|grand|payable|due|incl\w*|nett?|after)\b")
_SUMMARY = re.compile(r"summary|tax code|analysis|breakdown")
_CENTS = re.compile(r"\d[.,]\s?\d\d(?!\d)")


class _Line(NamedTuple):
    """A row of a receipt that ends in an amount."""

    label: str
    amount: float
    text: str
    cell: TableCell


def is_receipt(document: OcrDocument, plain: str) -> bool:
    """Whether the page speaks as tills do, in English, and names no party as invoices do.

    One word of a till is enough where the question calls the page a receipt.
    """
    if len(document.layouts) != 1:
        return False
    text = normalise(" \n ".join(cell.text for cell in document.cells))
    if _PARTY_HEADING.search(text) or re.search("[а-я]{3}", text):
        return False
    words = set(_TILL_WORDS.findall(text))
    is_called_one = _CALLED_RECEIPT.search(plain) is not None
    return len(words) >= (1 if is_called_one else 2) and _TOTAL.search(text) is not None


def receipt_answer(document: OcrDocument, field: Field) -> Candidate | None:
    """What a receipt says without a label: company, address, date and total."""
    if field.name in {"merchant", "seller", "company", "name"}:
        head = _company_rows(document)
        return None if head is None else _joined([_whole(row) for row in head[1]], 0.85)
    if field.name == "address":
        return _receipt_address(document)
    if field.name == "total":
        return _receipt_total(document)
    return None


def _whole(row: Sequence[TableCell]) -> TableCell:
    """A row as one cell."""
    text = " ".join(cell.text for cell in row)
    return TableCell(
        re.sub(r"\s*\(?\b\d{4,}\s?-?\s?[A-Z]\)?\s*$", "", text),
        row[0].left,
        min(cell.top for cell in row),
        row[-1].right,
        max(cell.bottom for cell in row),
        min(cell.confidence for cell in row),
        row[0].page,
        row[0].row,
    )


def _company_rows(document: OcrDocument) -> tuple[int, list[tuple[TableCell, ...]]] | None:
    """The row after the company's name, and the rows that hold it."""
    rows = document.layouts[0].rows
    best: tuple[float, int] | None = None
    for number, row in enumerate(rows[:7]):
        text = _whole(row).text
        plain = normalise(text)
        letters = count_letters(text)
        if letters < 3 or _HEAD_NOISE.match(plain) or _REGISTRATION.fullmatch(plain):
            continue
        # The first line is the name, unless a later one says so by its legal form. Handwriting above the
        # print is read in small letters; figures begin the address.
        score = -0.2 * number
        score += 0.5 if _COMPANY_FORM.search(text) else 0.0
        score -= 0.5 if text.islower() else 0.0
        score -= 1.5 * count_digits(text) / len(text)
        if best is None or score > best[0]:
            best = (score, number)
    if best is None:
        return None
    first = best[1]
    last = first + 1
    if last < len(rows) and _FORM_ALONE.fullmatch(_whole(rows[last]).text):
        last += 1
    return last, list(rows[first:last])


def _receipt_address(document: OcrDocument) -> Candidate | None:
    head = _company_rows(document)
    if head is None:
        return None
    lines: list[TableCell] = []
    for row in document.layouts[0].rows[head[0] : head[0] + 8]:
        line = _whole(row)
        plain = normalise(row[0].text)
        if (
            _REGISTRATION.fullmatch(normalise(" ".join(cell.text for cell in row)))
            and "," not in plain
        ):
            continue
        if not lines and re.match(r"\W*(?:co\b|company|gst|reg|roc|formerly|\()", plain):
            continue
        if (
            _ADDRESS_END.match(plain)
            or cut(row[0].text, ValueKind.DATE)
            or _CENTS.search(row[-1].text)
        ):
            break
        lines.append(line)
    lines = lines[:5]
    # An address has a number; a slogan beneath the name has none.
    if not any(count_digits(line.text) for line in lines):
        return None
    return _joined(lines, 0.8)


def _amount_lines(document: OcrDocument) -> tuple[list[_Line], int]:
    """The rows that end in an amount, and how many of them stand before the tax summary."""
    lines: list[_Line] = []
    before_summary: int | None = None
    waiting = ""
    for row in document.layouts[0].rows:
        words = normalise(" ".join(cell.text for cell in row))
        if _SUMMARY.search(words) and lines and before_summary is None:
            before_summary = len(lines)
        value = cut(row[-1].text, ValueKind.AMOUNT)
        if value is None or not _CENTS.search(value.text):
            waiting = words
            continue
        label = re.sub(r"[^a-z/ ]", " ", words).strip()
        label = label if count_letters(label) >= 2 else waiting
        figures = re.sub(r"[^\d.,-]", "", value.text).strip(".,")
        whole, cents = re.sub(r"[.,-]", "", figures[:-3]), figures[-2:]
        amount = int(whole or 0) + int(cents) / 100
        lines.append(_Line(label, amount, value.text, row[-1]))
        waiting = ""
    return lines, len(lines) if before_summary is None else before_summary


def _receipt_total(document: OcrDocument) -> Candidate | None:
    lines, before_summary = _amount_lines(document)
    best: Candidate | None = None
    for number, line in enumerate(lines):
        is_total = _TOTAL.search(line.label) is not None
        excluded = _NOT_TOTAL.search(line.label)
        inclusive = _INCLUSIVE.search(line.label) is not None
        if not is_total or (
            excluded and not (inclusive and excluded.group() in {"gst", "tax", "vat"})
        ):
            continue
        score = 0.5 + (0.1 if _TELLING.search(line.label) else 0.0)
        score += 0.3 * _agreement(line, lines)
        # The table of taxes repeats the word "total" for the tax and the net sum.
        score -= 0.3 if number >= before_summary else 0.0
        if best is None or score >= best.score:
            best = Candidate(line.text, min(1.0, score), line.cell)
    return best


def _agreement(line: _Line, lines: Sequence[_Line]) -> float:
    """How well the other amounts bear out a total, 0 to 1: paid less change, net and tax, repetition."""

    def amounts(words: str) -> list[float]:
        return [other.amount for other in lines if re.search(words, other.label)]

    paid = amounts(r"\b(?:cash|tender\w*|paid|payment|card|visa|master)\b")
    change = [*amounts(r"\bchange\b"), 0.0]
    if any(_equal(given - back, line.amount) for given in paid for back in change):
        return 1.0
    net = amounts(r"sub|excl|before|net")
    tax = amounts(r"gst|tax|vat|service")
    if any(_equal(base + more, line.amount, 0.05) for base in net for more in tax):
        return 0.7
    goods: list[float] = []
    for other in lines:
        if _TOTAL.search(other.label) or _NOT_TOTAL.search(other.label):
            break
        goods.append(other.amount)
    return 0.5 if goods and _equal(sum(goods), line.amount, 0.05) else 0.0


def _equal(first: float, second: float, tolerance: float = 0.005) -> bool:
    return abs(first - second) <= tolerance + 1e-6


# --- letterheads ---

_POSTCODE = re.compile(
    r"\b(?:[A-Z]{1,2}-)?\d{4,5}\b|\b\d{2}-\d{3}\b|\b[A-Z]{1,2}\d[\dA-Z]? \d[A-Z]{2}\b"
)


def letterhead(document: OcrDocument, buyer: str) -> Candidate | None:
    """Who sends an invoice: a name at its head or foot that no label gives to anybody else."""
    best: Candidate | None = None
    texts = [normalise(cell.text) for cell in document.cells]
    for cell, text in _head_and_foot(document):
        plain = normalise(text)
        if not _is_name(document, cell, text) or fuzz.ratio(plain, normalise(buyer)) > 90:
            continue
        named = sum(plain in other for other in texts)
        score = 0.36
        score += 0.04 if _COMPANY_FORM.search(text) else 0.0
        # A sender is named twice: at the head, and in the foot or above the recipient.
        score += 0.05 if named > 1 else 0.0
        score += 0.02 if cell.row == 0 else 0.0
        score += 0.03 if cell.height > 1.25 * document.layouts[cell.page].line_height else 0.0
        if best is None or score > best.score:
            best = Candidate(text, score, cell)
    return best


def _head_and_foot(document: OcrDocument) -> Iterable[tuple[TableCell, str]]:
    """Cells of the first page's upper third and of its last rows, each up to its first comma or dash."""
    if not document.layouts or not document.layouts[0].rows:
        return
    rows = document.layouts[0].rows
    third = rows[0][0].top + (rows[-1][-1].bottom - rows[0][0].top) / 3
    for row in rows:
        if row[0].top < third or row[0].row >= len(rows) - 4:
            for cell in row:
                yield cell, re.split(r" [-–|•·] |, (?=\D*\d)", cell.text)[0].strip(" ,")


def _is_name(document: OcrDocument, cell: TableCell, text: str) -> bool:
    if _HEAD_NOISE.match(normalise(text)):
        return False
    letters = count_letters(text)
    is_labelled = any(mark.start <= 2 for mark in document.marks_of.get(cell, ()))
    mostly_letters = letters >= 3 and count_digits(text) <= 0.2 * len(text)
    return (
        mostly_letters
        and not is_labelled
        and ":" not in text
        and len(text) <= 60
        and "@" not in text
    )


def addressee(document: OcrDocument, seller: str) -> Candidate | None:
    """Whom a letter is for: the first line of the block of lines that ends in a postcode."""
    if not document.layouts:
        return None
    rows = document.layouts[0].rows
    for row in rows[: 2 * len(rows) // 3]:
        for cell in row:
            is_sender = bool(seller) and normalise(seller) in normalise(cell.text)
            is_line = _POSTCODE.search(cell.text) is not None
            if is_sender or is_line or not _is_name(document, cell, cell.text):
                continue
            if _heads_address(rows, cell) and not _follows(rows, cell):
                return Candidate(cell.text, 0.45, cell)
    return None


def _heads_address(rows: Sequence[Sequence[TableCell]], cell: TableCell) -> bool:
    """Whether lines beneath ``cell``, aligned with it, hold a postcode."""
    bottom = cell.bottom
    for row in rows[cell.row + 1 :][:6]:
        for line in row:
            if abs(line.left - cell.left) < cell.height and line.top - bottom < 1.5 * cell.height:
                if _POSTCODE.search(line.text):
                    return True
                bottom = line.bottom
    return False


def _follows(rows: Sequence[Sequence[TableCell]], cell: TableCell) -> bool:
    """Whether a line of the same block stands right above ``cell``."""
    for row in rows[max(0, cell.row - 2) : cell.row]:
        for line in row:
            gap = cell.top - line.bottom
            near = -0.3 * cell.height <= gap < 1.2 * cell.height
            if near and abs(line.left - cell.left) < 3 and line.height > 0.8 * cell.height:
                return True
    return False

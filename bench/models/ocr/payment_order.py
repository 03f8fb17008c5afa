"""Russian payment orders (form 0401060): a stack of blocks whose captions stand beneath them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz import fuzz, process

from bench.models.ocr.fields import Field, Party, normalise
from bench.models.ocr.layout import PageLayout, TableCell
from bench.models.ocr.matching import Candidate
from bench.models.ocr.values import cut

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
"""Party → the captions of its own block and of its bank's."""
_NAMES = frozenset({"name", "item", "company", "full_name"})
"""Fields that "наименование" and its like may be taken for."""
_SIDE_LABEL = re.compile(r"(?:бик|сч\W|сумма\b|вид оп|наз\W|код\b|срок|очер|рез)")
_SUM = re.compile(r"\d[\d ]*(?:[-=.,]\s?\d\d(?!\d)|=)|\d{2,}")


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
        """Where the column of labels at the right of the blocks begins."""

    def answer(self, field: Field, party: Party | None) -> Candidate | None:
        """The value of ``field``, whose owner is ``party``; None where its label says it better."""
        owner, bank = _BLOCKS[field.party or party or "seller"]
        if field.name in {"total", "line_amount"}:
            return self._sum()
        if field.name == "purpose":
            return self._purpose()
        if field.name == "bank":
            return self._name(bank)
        if field.name in {"inn", "kpp", "account"}:
            return self._number(owner, field)
        if field.name in {"bik", "corr_account"}:
            return self._number(bank, field)
        return self._name(owner) if field.party is not None or field.name in _NAMES else None

    def _is_side_label(self, cell: TableCell) -> bool:
        """Whether ``cell`` is a label in the column at the right of the blocks."""
        banks = [caption for name, caption in self.captions.items() if name.startswith("банк")]
        right_of_banks = all(cell.left > bank.right for bank in banks)
        return right_of_banks and _SIDE_LABEL.match(normalise(cell.text)) is not None

    def _block(self, caption: str) -> list[TableCell]:
        """The cells between a caption and the one above it."""
        if caption not in self.captions:
            return []
        end = self.captions[caption]
        # The payer's block begins beneath the sum in words.
        words = [cell for cell in self.layout.cells if "прописью" in normalise(cell.text)]
        tops = [cell.middle + 0.3 * cell.height for cell in words]
        tops += [cell.middle for cell in self.captions.values() if cell.middle < end.middle]
        top, bottom = max(tops, default=0.0), end.middle - 0.5 * end.height
        return [cell for cell in self.layout.cells if top < cell.middle < bottom]

    def _number(self, caption: str, field: Field) -> Candidate | None:
        """The number of a block that has the field's shape."""
        for cell in self._block(caption):
            # OCR may put a blank between two digits of one number.
            joined = re.sub(r"(?<=\d) (?=\d)", "", cell.text)
            value = cut(joined, field.kind, field.pattern, field.check)
            if value is not None:
                return Candidate(value.text, _SURE, cell)
        return None

    def _name(self, caption: str) -> Candidate | None:
        lines = []
        for cell in self._block(caption):
            plain = normalise(cell.text)
            is_number = re.match(r"(?:инн|кпп)\b", plain) or re.fullmatch(r"[\W\d]+", plain)
            if cell.left < self.split - cell.height and not is_number and len(cell.text) > 1:
                lines.append(cell)
        return _joined(lines)

    def _purpose(self) -> Candidate | None:
        block = self._block(_PURPOSE)
        last = max((cell.middle for cell in block if self._is_side_label(cell)), default=0.0)
        return _joined([cell for cell in block if cell.middle > last + 0.5 * cell.height])

    def _sum(self) -> Candidate | None:
        for row in self.layout.rows:
            for number, label in enumerate(row):
                # At the left of the form, the same word begins "сумма прописью".
                is_right = label.left >= self.split - label.height
                if not is_right or not normalise(label.text).startswith("сумма"):
                    continue
                for cell in row[number:]:
                    match = _SUM.search(cell.text)
                    if match is not None:
                        return Candidate(match.group().strip(), _SURE, cell)
        return None


def _joined(lines: Sequence[TableCell]) -> Candidate | None:
    """The lines of a block as one value."""
    text = " ".join(line.text.strip() for line in lines).strip(" |_")
    return Candidate(text, _SURE, lines[0]) if text else None

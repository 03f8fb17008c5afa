"""From a question to the candidate that answers it.

Each source yields candidates, and the best score wins. The sources are asked one after the other, the surest
first, until a candidate leaves no doubt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from bench.models.ocr import letterhead, prose, receipt, table
from bench.models.ocr.characters import count_letters
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.fields import Field, Party, field_named
from bench.models.ocr.labels import Mark
from bench.models.ocr.layout import TableCell
from bench.models.ocr.matching import Candidate, continued, value_in, values_at_label
from bench.models.ocr.payment_order import PaymentOrder
from bench.models.ocr.questions import OcrQuestion, said, understand
from bench.models.ocr.repeated import repeated_label, similar_labels
from bench.models.ocr.values import ValueKind, cut

_MINIMUM = 0.35
"""Candidates that score less are not answered: an empty answer is more honest than a guess."""
_DOUBTFUL = 0.5
"""Below this score a label that no table knows, or a sentence, may answer better."""
_DOUBTFUL_PARTY = 0.8
"""The same for a party's name. Beside a label it leaves no doubt; in a sentence, the word "seller" is
often no label."""
_DOUBTFUL_ADDRESS = 0.6
"""Below this, an address without a label beneath the party's name may be the better one."""
_REPEATED = 0.9
"""Score of a label that the question repeats word for word."""
_SIMILAR = 0.6
"""Score of a label that the question nearly repeats: it answers only where a known label leaves doubt."""
_SHAPE_ALONE = 0.6
"""Score of a value without a label that is known by its shape."""
_CLAUSE = 0.7
"""Score of a name in a clause that says which party it is."""
_HEAD = 0.4
"""Score of the first words of a page as its sender's name."""


def find(document: OcrDocument, question: str) -> Candidate | None:
    """The best candidate for ``question``, or None if none is good enough."""
    asked = understand(question)
    best: Candidate | None = None
    for source in _SOURCES:
        candidates = list(source(document, asked))
        # The best so far comes first: on an equal score the surer source wins.
        best = best_of(candidates if best is None else [best, *candidates])
        if best is not None and best.score >= _enough(asked):
            return best
    return best


def best_of(candidates: Iterable[Candidate]) -> Candidate | None:
    """The candidate with the highest score, the first in reading order where scores are equal."""
    best = max(candidates, key=lambda candidate: candidate.score, default=None)
    return best if best is not None and best.score >= _MINIMUM else None


def _enough(asked: OcrQuestion) -> float:
    """The score from which on no further source is asked."""
    if asked.field is not None and asked.field.party is not None:
        return _DOUBTFUL_PARTY
    is_address = asked.field is not None and asked.field.kind is ValueKind.ADDRESS
    return _DOUBTFUL_ADDRESS if is_address else _DOUBTFUL


def _of_kind(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """What the kind of the document says about where the value stands."""
    if asked.field is None or not document.layouts:
        return
    order = PaymentOrder(document.layouts[0])
    known = None
    if order.is_one:
        known = order.answer(asked.field, asked.party)
    elif asked.party != "buyer" and receipt.is_receipt(document, asked.plain):
        known = receipt.receipt_answer(document, asked.field)
    if known is not None:
        yield known


def _at_repeated_label(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """Values at a label that the question repeats, if that says more than the field's own phrases."""
    label = repeated_label(document, asked.text)
    if label is None or (asked.party is not None and not label.is_whole):
        return
    field = asked.field
    phrases = () if field is None else field.labels + field.asked
    phrase = max(phrases, key=lambda phrase: said(phrase, asked.plain), default=None)
    kind = ValueKind.TEXT
    if field is not None and phrase is not None and said(phrase, asked.plain) > 0.0:
        # "Date received" says more than "date"; "receipt" in "the date on the receipt" says something else.
        named = phrase.pattern.search(label.phrase)
        if named is None or len(named.group()) > 0.9 * len(label.phrase):
            return
        # "Date received" is a date, "total number of pages" no total. Forms write the unit of a quantity.
        is_kind = phrase in field.labels and len(named.group()) > 0.3 * len(label.phrase)
        if is_kind and field.kind is not ValueKind.QUANTITY:
            kind = field.kind
    yield from _at(document, label.cell, label.end, kind, _REPEATED)


def _at(
    document: OcrDocument, cell: TableCell, end: int, kind: ValueKind, score: float
) -> Iterable[Candidate]:
    """Values of ``kind`` at the label that ends at ``end`` of ``cell``, or any text where there are none."""
    for tried in (kind, ValueKind.TEXT):
        candidates = list(
            values_at_label(document, Mark(Field("asked", tried), cell, 0, end, score))
        )
        if best_of(candidates) is not None:
            yield from candidates
            return


def _of_item(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """A column of the item that the question counts off or names."""
    known = table.asked_value(document, asked.plain, asked.field)
    if known is not None:
        yield known


def at_labels(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """Values at the labels of the field that is asked for, those of the wrong party scored down."""
    field = asked.field
    if field is not None and field.name == "line_amount":
        # The question says "the amount" and names no item, so it means the document's.
        field = field_named("total")
    if field is None:
        return
    for mark in document.marks:
        same = mark.field.name == field.name
        # "Seller … Name: X": the name field in a party's block is the party's name.
        named = field.party is not None and mark.field.name == "name"
        if not same and not named:
            continue
        factor = 1.0
        if named or field.party is None:
            factor = _party_factor(field.party or asked.party, document.owner(mark))
        for candidate in values_at_label(document, mark):
            yield candidate._replace(score=candidate.score * factor)


def _party_factor(wanted: Party | None, owner: Party) -> float:
    """How much a value counts that belongs to ``owner``, where ``wanted`` is asked for."""
    if wanted is None:
        # Who asks for "the tax number" means the seller's, who wrote the document, more often.
        return {"seller": 0.97, "buyer": 0.9}[owner]
    return 1.0 if owner == wanted else 0.1


def _beneath_name(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """Addresses without a label: after the party's name, or on the lines beneath it."""
    if asked.field is None or asked.field.kind is not ValueKind.ADDRESS:
        return
    name = find(document, asked.party or "seller")
    if name is None:
        return
    same_line = re.search(r"(?<!\d)\d{6}(?!\d)\s*,.*", name.cell.text)
    first = document.layouts[name.cell.page].beneath(name.cell)
    if same_line is not None:
        text = continued(document, name.cell, same_line.group(), ValueKind.ADDRESS)
        yield Candidate(text, _DOUBTFUL_ADDRESS, name.cell)
    elif first is not None and not document.marks_of[first]:
        text = continued(document, first, first.text, ValueKind.ADDRESS)
        yield Candidate(text, _DOUBTFUL_ADDRESS, first)


def _by_shape(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """Values that need no label to be known: an e-mail address, an IBAN, an account number."""
    field = asked.field
    if field is None or not field.anywhere:
        return
    for cell in document.cells:
        value = cut(cell.text, field.kind, field.pattern, field.check)
        if value is None:
            continue
        owner = document.owner(Mark(field, cell, value.start, value.start, _SHAPE_ALONE))
        factor = 0.6 if asked.party not in {None, owner} else 1.0
        # The longer of two values says more: "GBP" more than "£".
        length_bonus = 0.002 * min(10, len(value.text))
        yield Candidate(value.text, _SHAPE_ALONE * factor + length_bonus, cell)


def _at_similar_label(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """Values at labels that no table knows and that the question nearly repeats."""
    kind = ValueKind.TEXT if asked.field is None else asked.field.kind
    for cell, end in similar_labels(document, asked.plain):
        is_of_another_field = any(mark.score > 0.8 for mark in document.marks_of[cell])
        if asked.field is None or not is_of_another_field:
            yield from _at(document, cell, end, kind, _SIMILAR)


def _in_sentences(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """What a sentence of the document says, where no label does."""
    if asked.field is not None and asked.field.party is not None:
        named = prose.party_name(document.sentences, asked.field.party)
        if named is not None:
            yield Candidate(named[0], _CLAUSE, named[1])
        return
    wanted = prose.asked_kind(asked.plain, None if asked.field is None else asked.field.kind)
    if wanted is not None:
        told = prose.from_sentences(document.sentences, asked.plain, wanted)
        if told is not None:
            yield Candidate(*told)


def _unlabelled(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """What stands on a document without a label: its date, and the names at its head."""
    field = asked.field
    if field is None:
        return
    if field.name == "date":
        for cell in document.cells:
            yield from value_in(document, Mark(field, cell, 0, 0, 0.5), cell, cell.text, 1.0)
    if field.name in {"merchant", "seller"}:
        buyer = best_of(at_labels(document, understand("buyer")))
        sender = letterhead.sender(document, "" if buyer is None else buyer.text)
        if sender is not None:
            yield sender
            return
        for cell in document.cells[:4]:
            if count_letters(cell.text) >= 3 and not document.marks_of[cell]:
                yield Candidate(cell.text, _HEAD, cell)
    if field.name == "buyer":
        sender = find(document, "seller")
        to = letterhead.addressee(document, "" if sender is None else sender.text)
        if to is not None:
            yield to


_SOURCES: tuple[Callable[[OcrDocument, OcrQuestion], Iterable[Candidate]], ...] = (
    _of_kind,
    _at_repeated_label,
    _of_item,
    at_labels,
    _beneath_name,
    _by_shape,
    _at_similar_label,
    _in_sentences,
    _unlabelled,
)

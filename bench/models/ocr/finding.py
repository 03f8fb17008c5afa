"""From a question to the candidate that answers it: which field is asked for, whose, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from rapidfuzz import fuzz

from bench.models.ocr import forms, kinds, prose, table
from bench.models.ocr.characters import count_chinese, count_letters
from bench.models.ocr.fields import (
    Field,
    Party,
    Phrase,
    field_named,
    fields,
    normalise,
    party_words,
)
from bench.models.ocr.labels import Mark
from bench.models.ocr.matching import Candidate, OcrDocument
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
_ASKING_WEIGHT = 0.3
"""How much a word that only questions use counts, beside a label that documents print."""


class OcrQuestion(NamedTuple):
    """What a question is about."""

    field: Field | None
    party: Party | None


def find(document: OcrDocument, question: str) -> Candidate | None:
    """The best candidate for ``question``, or None if none is good enough."""
    asked = understand(question)
    known = _by_kind(document, asked, question) or _repeated(document, asked, question)
    if known is not None:
        return known
    in_row = table.asked_value(document, question, asked.field)
    if in_row is not None:
        return in_row
    if asked.field is not None and asked.field.name == "line_amount":
        # The question says "the amount" and names no item, so it means the document's.
        asked = asked._replace(field=field_named("total"))
    field = asked.field
    candidates = list(field_candidates(document, asked))
    best = best_of(candidates)
    if field is not None and field.kind is ValueKind.ADDRESS and _is_below(best, _DOUBTFUL_ADDRESS):
        candidates.extend(_address_candidates(document, asked.party))
        best = best_of(candidates)
    if best is None:
        best = best_of(_anywhere(document, asked))
    if _is_below(best, _DOUBTFUL):
        candidates.extend(_generic_candidates(document, question, asked))
        # The best so far comes last: on an equal score the one with a label wins.
        candidates.extend([best] if best is not None else [])
        best = best_of(candidates)
    doubtful = _DOUBTFUL if field is None or field.party is None else _DOUBTFUL_PARTY
    if _is_below(best, doubtful):
        best = _from_prose(document, question, asked) or best
    if best is None and field is not None:
        best = _fallback(document, field)
    return best


def _repeated(document: OcrDocument, asked: OcrQuestion, question: str) -> Candidate | None:
    """The value at a label that the question repeats, if that says more than the field's own phrases."""
    label = forms.repeated_label(document, question)
    if label is None or (asked.party is not None and not label.is_whole):
        return None
    plain = normalise(question)
    phrases = () if asked.field is None else asked.field.labels + asked.field.asked
    said = max(phrases, key=lambda phrase: _said(phrase, plain), default=None)
    kind = ValueKind.TEXT
    if asked.field is not None and said is not None and _said(said, plain) > 0.0:
        # "Date received" says more than "date"; "receipt" in "the date on the receipt" says something else.
        named = said.pattern.search(label.phrase)
        if named is None or len(named.group()) > 0.9 * len(label.phrase):
            return None
        # "Date received" is a date, "total number of pages" no total. Forms write the unit of a quantity.
        is_kind = said in asked.field.labels and len(named.group()) > 0.3 * len(label.phrase)
        if is_kind and asked.field.kind is not ValueKind.QUANTITY:
            kind = asked.field.kind
    for tried in (kind, ValueKind.TEXT):
        mark = Mark(Field("asked", tried), label.cell, 0, label.end, _REPEATED)
        best = best_of(document.candidates(mark))
        if best is not None:
            return best
    return None


def _by_kind(document: OcrDocument, asked: OcrQuestion, question: str) -> Candidate | None:
    """What the kind of the document says about where the value stands."""
    if asked.field is None:
        return None
    for layout in document.layouts[:1]:
        order = kinds.PaymentOrder(layout)
        if order.is_one:
            return order.answer(asked.field, asked.party)
    if asked.party != "buyer" and kinds.is_receipt(document, question):
        return kinds.receipt_answer(document, asked.field)
    return None


def _is_below(best: Candidate | None, score: float) -> bool:
    return best is None or best.score < score


def understand(question: str) -> OcrQuestion:
    """The field that ``question`` names by its longest phrase, and the party."""
    plain = normalise(question)
    best: tuple[float, Field] | None = None
    for field in fields():
        rank = _rank(field, plain)
        if rank != 0.0 and (best is None or rank > best[0]):
            best = (rank, field)
    field_asked = None if best is None else best[1]
    party = _party(plain, field_asked)
    if field_asked is not None and field_asked.name == "name" and party is not None:
        field_asked = field_named(party)
    return OcrQuestion(field_asked, party)


def _rank(field: Field, plain: str) -> float:
    """How much a question speaks of ``field``, 0 if it does not."""
    named = max(_said(phrase, plain) for phrase in field.labels)
    asked = max((_said(phrase, plain) for phrase in field.asked), default=0.0)
    is_name = field.party is not None or field.name == "name"
    if is_name and asked > 8:
        return asked  # "Which company issued the invoice?" asks for nothing else
    # "How much is the tax?": the words that only ask weigh little beside those that name.
    rank = field.weight * max(named, _ASKING_WEIGHT * asked)
    # "What is the seller's tax number?" asks for the number: a party is meant only where nothing else is
    # named. No phrase is as long as this.
    return rank - 100 if is_name and rank else rank


def _party(plain: str, field: Field | None) -> Party | None:
    """The party that a question names, apart from the field's own name ("customer number")."""
    for phrase in field.labels if field is not None and field.party is None else ():
        plain = phrase.pattern.sub(" ", plain)
    parties = [party for party, words in party_words().items() if re.search(words, plain)]
    return parties[0] if parties else None


def _said(phrase: Phrase, question: str) -> float:
    """Length of ``phrase`` as the question says it, 0 if it does not."""
    match = phrase.pattern.search(question) if phrase.stem in question else None
    if match is None:
        return 0.0
    # A Chinese character says as much as three letters.
    return len(match.group()) + 2.0 * count_chinese(match.group())


def best_of(candidates: Iterable[Candidate]) -> Candidate | None:
    """The candidate with the highest score, the first in reading order where scores are equal."""
    best = max(candidates, key=lambda candidate: candidate.score, default=None)
    return best if best is not None and best.score >= _MINIMUM else None


def field_candidates(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """Values at the labels of the field that is asked for, those of the wrong party scored down."""
    field = asked.field
    if field is None:
        return
    for mark in document.marks:
        same = mark.field.name == field.name
        # "Seller … Name: X": the name field in a party's block is the party's name.
        named = field.party is not None and mark.field.name == "name"
        if not same and not named:
            continue
        owner = None if same and field.party is not None else document.owner(mark)
        wanted = field.party or asked.party
        factor = (
            _party_factor(wanted, owner)
            if owner is not None or field.party is None or named
            else 1.0
        )
        for candidate in document.candidates(mark):
            yield candidate._replace(score=candidate.score * factor)


def _party_factor(wanted: Party | None, owner: Party | None) -> float:
    """How much a value counts that belongs to ``owner``, where ``wanted`` is asked for."""
    if wanted is None:
        # Who asks for "the tax number" means the seller's, who wrote the document, more often.
        return {None: 1.0, "seller": 0.97, "buyer": 0.9}[owner]
    if owner is None:
        return 0.6
    return 1.0 if owner == wanted else 0.1


def _address_candidates(document: OcrDocument, party: Party | None) -> Iterable[Candidate]:
    """Addresses without a label: after the party's name, or on the lines beneath it."""
    name = best_of(field_candidates(document, OcrQuestion(field_named(party or "seller"), party)))
    if name is None:
        return
    same_line = re.search(r"(?<!\d)\d{6}(?!\d)\s*,.*", name.cell.text)
    first = document.layouts[name.cell.page].beneath(name.cell)
    if same_line is not None:
        text = document.continued(name.cell, same_line.group(), ValueKind.ADDRESS)
        yield Candidate(text, 0.6, name.cell)
    elif first is not None and not document.marks_of[first]:
        yield Candidate(document.continued(first, first.text, ValueKind.ADDRESS), 0.6, first)


def _generic_candidates(
    document: OcrDocument, question: str, asked: OcrQuestion
) -> Iterable[Candidate]:
    """Candidates for labels that no table knows, by the words they share with the question."""
    plain = normalise(question)
    kind = asked.field.kind if asked.field is not None else ValueKind.TEXT
    if kind in {ValueKind.NAME, ValueKind.PERSON} and not any(
        m.field is asked.field for m in document.marks
    ):
        kind = ValueKind.TEXT  # "What is the applicant's favourite colour?" asks for no name
    shape = prose.asked_kind(question, None)
    field = Field("asked", shape if isinstance(shape, ValueKind) else kind)
    if isinstance(shape, re.Pattern):
        field = Field("asked", ValueKind.TEXT, pattern=shape)
    words = re.findall(r"[a-zа-я]{3,}", plain)
    for cell in document.cells:
        text = document.plain[cell]
        colon = text.find(":")
        end = colon if colon > 0 else len(text)
        head = text[:end]
        coverage = _coverage(head, words, plain)
        # What is longer than 60 characters is a sentence, not a label.
        if coverage < 0.7 or end > 60:
            continue
        known = document.marks_of.get(cell, ())
        is_of_another_field = any(mark.score > 0.8 for mark in known)
        if asked.field is not None and is_of_another_field:
            continue
        yield from document.candidates(Mark(field, cell, 0, end, 0.85 * coverage))


def _coverage(head: str, words: list[str], question: str) -> float:
    """Share of a label's letters that the question repeats."""
    label_words = re.findall(r"[a-zа-я]{3,}", head)
    chinese_runs = re.findall(r"[\u3400-\u9fff]+", head)
    total = sum(map(len, label_words)) + sum(map(len, chinese_runs))
    # Two Chinese characters make a word, which takes four letters in the other languages.
    if total < 2 or (not chinese_runs and total < 4):
        return 0.0
    repeated = 0
    for label_word in label_words:
        if any(_akin(label_word, word) for word in words):
            repeated += len(label_word)
    repeated += sum(len(run) for run in chinese_runs if run in question)
    return repeated / total


def _akin(first: str, second: str) -> bool:
    """Whether two words are forms of one word, or one of them is a misread letter away from the other."""
    stem = max(3, min(len(first), len(second)) - 2)
    same_stem = first[:stem] == second[:stem] and abs(len(first) - len(second)) <= 3
    return same_stem or fuzz.ratio(first, second) >= 85


def _anywhere(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """Values that need no label to be known: an e-mail address, an IBAN, an account number."""
    field = asked.field
    if field is None or not field.anywhere:
        return
    for cell in document.cells:
        value = cut(cell.text, field.kind, field.pattern, field.check)
        if value is None:
            continue
        factor = 1.0
        if asked.party is not None:
            mark = Mark(field, cell, value.start, value.start, 0.6)
            factor = _party_factor(asked.party, document.owner(mark))
        # The longer of two values says more: "GBP" more than "£".
        length_bonus = 0.002 * min(10, len(value.text))
        yield Candidate(value.text, 0.6 * max(factor, 0.6) + length_bonus, cell)


def _from_prose(document: OcrDocument, question: str, asked: OcrQuestion) -> Candidate | None:
    """What a sentence of the document says, where no label does."""
    if asked.field is not None and asked.field.party is not None:
        named = prose.party_name(document.sentences, asked.field.party)
        return None if named is None else Candidate(named[0], 0.7, named[1])
    wanted = prose.asked_kind(question, None if asked.field is None else asked.field.kind)
    if wanted is None:
        return None
    said = prose.from_sentences(document.sentences, question, wanted)
    return None if said is None else Candidate(*said)


def _fallback(document: OcrDocument, field: Field) -> Candidate | None:
    """What stands on a document without a label: its date, and the names at its head."""
    if field.name == "date":
        for cell in document.cells:
            for candidate in document.value_in(Mark(field, cell, 0, 0, 0.5), cell, cell.text, 1.0):
                return candidate
    if field.name in {"merchant", "seller"}:
        buyer = best_of(field_candidates(document, OcrQuestion(field_named("buyer"), "buyer")))
        sender = kinds.letterhead(document, "" if buyer is None else buyer.text)
        if sender is not None:
            return sender
        for cell in document.cells[:4]:
            if count_letters(cell.text) >= 3 and not document.marks_of.get(cell):
                return Candidate(cell.text, 0.4, cell)
    if field.name == "buyer":
        sender = find(document, "seller")
        return kinds.addressee(document, "" if sender is None else sender.text)
    return None

"""What a question asks for: the field of ``fields.toml`` that it names, and the party whose it is."""

from __future__ import annotations

import re
from typing import NamedTuple

from bench.models.ocr.characters import count_chinese
from bench.models.ocr.fields import (
    Field,
    Party,
    Phrase,
    field_named,
    fields,
    normalise,
    party_words,
)

_ASKING_WEIGHT = 0.3
"""How much a word that only questions use counts, beside a label that documents print."""
_PARTY_ASKED = 8
"""Letters of a phrase ("which company issued") from which on a question asks for a party and nothing else."""


class OcrQuestion(NamedTuple):
    """What a question is about."""

    text: str
    plain: str
    """``text`` as ``normalise`` gives it."""
    field: Field | None
    party: Party | None


def understand(question: str) -> OcrQuestion:
    """The field that ``question`` names by its longest phrase, and the party."""
    plain = normalise(question)
    ranks = [(rank, field) for field in fields() if (rank := _rank(field, plain))]
    field = max(ranks, key=lambda ranked: ranked[0])[1] if ranks else None
    party = _party(plain, field)
    if field is not None and field.name == "name" and party is not None:
        field = field_named(party)
    return OcrQuestion(question, plain, field, party)


def _rank(field: Field, plain: str) -> float:
    """How much a question speaks of ``field``, 0 if it does not."""
    named = max(said(phrase, plain) for phrase in field.labels)
    asked = max((said(phrase, plain) for phrase in field.asked), default=0.0)
    is_name = field.party is not None or field.name == "name"
    if is_name and asked > _PARTY_ASKED:
        return asked
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


def said(phrase: Phrase, plain: str) -> float:
    """Length of ``phrase`` as a normalised question says it, 0 if it does not."""
    match = phrase.pattern.search(plain) if phrase.stem in plain else None
    if match is None:
        return 0.0
    # A Chinese character says as much as three letters.
    return len(match.group()) + 2.0 * count_chinese(match.group())

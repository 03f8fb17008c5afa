"""SQuAD exact match and F1, and an F1 over characters for writing without blanks.

SQuAD follows version 1.1 (Rajpurkar et al., 2016) as in Hugging Face evaluate, ``metrics/squad``. Its
words end at blanks, so a Chinese sentence is one word and its F1 equals exact match. ``char_f1`` is for
such languages.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence

from bench.metrics.folding import normalized
from bench.metrics.metric import MAX_CHARACTERS

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def squad_normalize(text: str) -> str:
    """SQuAD's normal form: lower case, no ASCII punctuation, no English articles, single blanks.

    Punctuation is deleted and leaves no blank, so that 1.5 becomes 15.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def squad_em(prediction: str, references: Sequence[str]) -> float:
    """1 if a reference has the same SQuAD normal form."""
    answer = squad_normalize(prediction)
    return float(any(answer == squad_normalize(reference) for reference in references))


def squad_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of words as multisets, the best reference's; two texts without words give 0 (version 1.1)."""
    words = squad_normalize(prediction).split()
    return max(_overlap(words, squad_normalize(reference).split()) for reference in references)


def squad_f1_score(prediction: str, references: Sequence[str]) -> float:
    """The table's SQuAD F1: 1 for two texts that are equal without having words ("the", "?!")."""
    return max(squad_f1(prediction, references), squad_em(prediction, references))


def char_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of characters as multisets after NFKC and lower-casing, the best reference's.

    Blanks and punctuation of any script are left out. Two texts that are left empty are equal and give 1.
    """
    characters = _characters(prediction)
    values = []
    for reference in references:
        expected = _characters(reference)
        both_empty = not characters and not expected
        values.append(1.0 if both_empty else _overlap(characters, expected))
    return max(values)


def _characters(text: str) -> list[str]:
    # A single character may stand for eighteen.
    plain = normalized("NFKC", text)[:MAX_CHARACTERS].lower()
    return [
        character
        for character in plain
        if not character.isspace() and not unicodedata.category(character).startswith("P")
    ]


def _overlap(predicted: Sequence[Hashable], expected: Sequence[Hashable]) -> float:
    """F1 of two multisets; 0 if they share nothing."""
    common = (Counter(predicted) & Counter(expected)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(predicted), common / len(expected)
    return 2 * precision * recall / (precision + recall)

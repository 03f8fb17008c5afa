"""SQuAD exact match and F1, and an F1 over characters for writing without blanks.

SQuAD follows version 1.1 (Rajpurkar et al., 2016) as in Hugging Face evaluate, ``metrics/squad``. Its words
end at blanks, so a Chinese sentence is one word and F1 equals exact match; ``char_f1`` is for those.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def squad_normalize(text: str) -> str:
    """Lower-cased, ASCII punctuation deleted (digits join), articles blanked, white space collapsed."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def squad_em(prediction: str, references: Sequence[str]) -> float:
    """1 if a reference has the same SQuAD normal form."""
    answer = squad_normalize(prediction)
    return float(any(answer == squad_normalize(r) for r in references))


def squad_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of words as multisets, the best reference's; two texts without words give 0 (version 1.1)."""
    words = squad_normalize(prediction).split()
    return max(_overlap(words, squad_normalize(r).split()) for r in references)


def char_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of characters as multisets after NFKC and lower-casing, the best reference's.

    Blanks and punctuation of any script are left out. Two texts that are left empty are equal and give 1.
    """
    characters = _characters(prediction)
    values = []
    for reference in references:
        expected = _characters(reference)
        empty = not characters and not expected
        values.append(1.0 if empty else _overlap(characters, expected))
    return max(values)


def _characters(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).lower()
    return [c for c in plain if not c.isspace() and not unicodedata.category(c).startswith("P")]


def _overlap(found: Sequence[Hashable], expected: Sequence[Hashable]) -> float:
    common = (Counter(found) & Counter(expected)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(found), common / len(expected)
    return 2 * precision * recall / (precision + recall)

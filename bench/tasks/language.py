"""Guesses the language of a text by its letters, with the frequencies that recognise encodings."""

from __future__ import annotations

import re
from collections import Counter

from bench.tasks.encodings import language_likelihoods

_WORD = re.compile(r"[^\W\d_]{2,}")
_MIN_LETTERS = 24
"""Fewer letters, without repetitions, may be in any language that shares them with others."""
_MIN_SIGNS = 6
"""The same for signs that are neither Latin nor Cyrillic: each of them tells more."""
_MAX_WORDS = 400
_MARGIN = 3.0
"""Natural logarithm of how much likelier the best language must be than the next one."""
_SCRIPTS = {"zh_Hant": "zh"}
_NEAR = ({"da", "nb"}, {"hr", "sr"}, {"es", "ca"})
"""Languages that short texts do not tell apart; the first that fits better is named nevertheless."""


def guess_language(text: str) -> str | None:
    """Return the code of the language of ``text`` (``de``, ``uk`` …), or None if it cannot be told."""
    counts = Counter(word.lower() for word in _WORD.findall(text))
    words = [word for word, _ in counts.most_common(_MAX_WORDS)]
    letters = "".join(words)
    if any("\u3041" <= letter <= "\u30fa" for letter in letters):
        # Japanese alone has kana between its Chinese signs.
        return "ja"
    signs = sum(letter > "\u052f" or "\u0370" <= letter < "\u0400" for letter in letters)
    if len(letters) < _MIN_LETTERS and signs < _MIN_SIGNS:
        return None
    likelihoods = language_likelihoods(words)
    best, second = sorted(likelihoods, key=lambda language: -likelihoods[language])[:2]
    is_sure = likelihoods[best] - likelihoods[second] >= _MARGIN
    if not is_sure and {best, second} not in _NEAR:
        return None
    return _SCRIPTS.get(best, best)

"""Exact match and containment: whether an answer is a reference, or contains one.

``exact_match`` follows ``exact_match`` of Hugging Face evaluate (as ported to lm-eval and lmms-eval).
Without an option, every character counts, blanks included.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from bench.metrics.metric import collapsed

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DIGITS = str.maketrans("", "", string.digits)


def exact_match(
    prediction: str,
    references: Sequence[str],
    *,
    regexes_to_ignore: Sequence[str] = (),
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore_numbers: bool = False,
) -> float:
    """1 if the prediction equals a reference, after removing what the options name from both.

    Args:
        prediction: The answer.
        references: Accepted answers.
        regexes_to_ignore: Patterns removed first, before case is folded.
        ignore_case: Compare in lower case.
        ignore_punctuation: Remove ASCII punctuation.
        ignore_numbers: Remove the digits 0 to 9.
    """
    answer, *accepted = [
        _cleaned(text, regexes_to_ignore, ignore_case, ignore_punctuation, ignore_numbers)
        for text in (prediction, *references)
    ]
    return float(answer in accepted)


def _cleaned(
    text: str,
    regexes_to_ignore: Sequence[str],
    ignore_case: bool,
    ignore_punctuation: bool,
    ignore_numbers: bool,
) -> str:
    # The order is the reference implementation's.
    for pattern in regexes_to_ignore:
        text = re.sub(pattern, "", text)
    if ignore_case:
        text = text.lower()
    if ignore_punctuation:
        text = text.translate(_PUNCTUATION)
    return text.translate(_DIGITS) if ignore_numbers else text


def contains(prediction: str, references: Sequence[str]) -> float:
    """1 if a reference occurs in the prediction, both lower-cased with collapsed white space.

    An empty reference occurs in an empty prediction only: otherwise any answer would hold it.
    """
    answer = collapsed(prediction)
    for reference in map(collapsed, references):
        is_contained = reference in answer if reference else not answer
        if is_contained:
            return 1.0
    return 0.0

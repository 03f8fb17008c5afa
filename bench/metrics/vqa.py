"""Open-ended visual question answering: VQA accuracy with its normaliser, ChartQA's relaxed accuracy.

VQA accuracy follows the EvalAI/TextVQA evaluator (mmf ``TextVQAAccuracyEvaluator``, the same in lmms-eval);
relaxed accuracy follows google-research/pix2struct ``relaxed_correctness`` (Masry et al., ChartQA, 2022).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_NUMBER_WORDS: Final = "zero one two three four five six seven eight nine ten"
_NUMBERS: Final = {word: str(value) for value, word in enumerate(_NUMBER_WORDS.split())} | {
    "none": "0"
}
_ARTICLES: Final = frozenset({"a", "an", "the"})
_PUNCTUATION: Final = tuple(';/[]"{}()=+\\_-><@`,?!')
_PERIOD: Final = re.compile(r"\.(?!\d)")

MAX_PERIODS = 32
"""Periods that the normaliser removes. The evaluator passes ``re.UNICODE``, which is 32, where the count
belongs."""

_CONTRACTIONS: Final = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've
needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've
somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've
weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've
why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're
you've
"""


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i, letter in enumerate(word) if letter == "'"]


# The evaluator knows each contraction by its spellings that lack one apostrophe, and has one slip.
_SPELLINGS: Final = {
    spelling: word for word in _CONTRACTIONS.split() for spelling in _without_one_apostrophe(word)
} | {"somebody'd": "somebodyd"}


def vqa_normalize(text: str) -> str:
    """The EvalAI normal form: punctuation, articles and number words, contractions.

    Commas and question marks are removed first. Every other mark is then deleted if it touches a blank
    anywhere, and replaced by a blank if it does not. Periods are removed unless a digit follows.
    """
    words = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    words = words.replace("\n", " ").replace("\t", " ").strip()
    plain = words
    for mark in _PUNCTUATION:
        if mark in words:
            free = f"{mark} " in words or f" {mark}" in words
            plain = plain.replace(mark, "" if free else " ")
    plain = _PERIOD.sub("", plain, count=MAX_PERIODS)
    kept = (_NUMBERS.get(word, word) for word in plain.split())
    return " ".join(_SPELLINGS.get(word, word) for word in kept if word not in _ARTICLES)


def vqa_accuracy(prediction: str, references: Sequence[str]) -> float:
    """Agreement with the annotators: the mean of min(1, matches among the others / 3) over all annotators.

    The metric is made for ten annotators, of whom four agree at least. With fewer references than that, an
    answer that agrees with all of them would lack agreement; ``vqa_score`` gives it 1.
    """
    answer = vqa_normalize(prediction)
    matches = [answer == vqa_normalize(reference) for reference in references]
    total = sum(matches)
    return sum(min(1.0, (total - own) / 3) for own in matches) / len(matches)


def vqa_score(prediction: str, references: Sequence[str]) -> float:
    """The table's VQA accuracy: 1 for an answer that agrees with every annotator, however few they are."""
    answer = vqa_normalize(prediction)
    if all(answer == vqa_normalize(reference) for reference in references):
        return 1.0
    return vqa_accuracy(prediction, references)


def relaxed_accuracy(
    prediction: str, references: Sequence[str], *, tolerance: float = 0.05
) -> float:
    """1 if a number is within ``tolerance`` of the reference, or the lower-cased texts are equal.

    A number is what ``float`` reads; a trailing % divides it by 100. A reference of zero must be written in
    the same way, and nan and inf never match.
    """
    number = _number(prediction)
    for reference in references:
        target = _number(reference)
        if number is not None and target is not None and target != 0:
            if abs(number - target) / abs(target) <= tolerance:
                return 1.0
        elif prediction.lower() == reference.lower():
            return 1.0
    return 0.0


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None

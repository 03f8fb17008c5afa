"""ANLS, average normalised Levenshtein similarity, in the variants that peers use.

For a question it is s = max over references of 1 − distance/length, and s below 0.5 counts as 0. It was
introduced for ST-VQA (Biten et al., ICCV 2019). The variants differ in how they normalise text, in the length
that they divide by, and in what an empty answer or the answer "none" is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.edit import edit_ratio, levenshtein
from bench.metrics.metric import (
    MetricValue,
    as_json,
    as_text,
    as_texts,
    bounded_texts,
    check_pairs,
    check_texts,
    collapsed,
)
from bench.schema import Json

THRESHOLD = 0.5
"""Similarity below this counts as 0, because such an answer is another text; exactly this much is kept."""

MAX_LIST = 200
"""DUDE: items of a list answer beyond this many are surplus and match nothing."""


def anls(prediction: str, references: Sequence[str], *, threshold: float = THRESHOLD) -> float:
    """ANLS as the official RRC script computes it (DocVQA, InfographicsVQA).

    The distance is taken between lower-cased texts with collapsed white space, but divided by the longer
    length of the upper-cased *raw* strings: extra blanks and letters such as ß enlarge the denominator.
    """
    answer = collapsed(prediction)
    raw = len(prediction.upper())
    nearest = 1.0
    for reference in references:
        length = max(len(reference.upper()), raw)
        if length == 0:
            return 1.0
        # A distance beyond the nearest so far, or beyond the threshold, changes nothing. With this limit
        # rapidfuzz gives up early on long texts.
        limit = int(min(nearest, 1 - threshold) * length) + 1
        nearest = min(nearest, levenshtein(collapsed(reference), answer, limit) / length)
    similarity = 1 - nearest
    return similarity if similarity >= threshold else 0.0


def anls_normalized(
    prediction: str, references: Sequence[str], *, threshold: float = THRESHOLD
) -> float:
    """ANLS with the length of the normalised strings (VLMEvalKit, anls_star on options)."""
    answer = collapsed(prediction)
    similarity = 1 - min(edit_ratio(answer, collapsed(reference)) for reference in references)
    return similarity if similarity >= threshold else 0.0


def anls_mp_docvqa(
    prediction: str, references: Sequence[str], *, answer_type: str = "string"
) -> float:
    """ANLS of the MP-DocVQA framework: lower-cased and stripped only; "" and "none" are worth 0.

    Args:
        prediction: The answer.
        references: Accepted answers.
        answer_type: ``not-answerable`` makes any answer wrong (an empty one already is).
    """
    answer = prediction.lower().strip()
    if not answer or answer == "none" or answer_type == "not-answerable":
        return 0.0
    similarity = 1 - min(edit_ratio(answer, reference.lower().strip()) for reference in references)
    return similarity if similarity >= THRESHOLD else 0.0


def anls_dude(
    predictions: Sequence[str], references: Sequence[str], *, answer_type: str = "extractive"
) -> float:
    """ANLS of DUDE: RRC rules on the first answer, or a matching of lists where the type says "list".

    Args:
        predictions: The answers given; a scalar question takes the first, none is the empty answer.
        references: Accepted answers, or the items of a list answer.
        answer_type: DUDE's type of the question.
    """
    if "list" in answer_type:
        return _list_similarity(predictions, references)
    accepted = references if references else [""]
    return anls(predictions[0] if predictions else "", accepted)


def _list_similarity(predictions: Sequence[str], references: Sequence[str]) -> float:
    size = max(len(set(references)), len(predictions))
    if size == 0:
        return 1.0
    answers = predictions[:MAX_LIST]
    accepted = references[:MAX_LIST]
    gains = [[anls(answer, [reference]) for answer in answers] for reference in accepted]
    return _best_assignment(gains) / size


def _best_assignment(gains: list[list[float]]) -> float:
    """Largest sum of one entry a row and column."""
    if not gains or not gains[0]:
        return 0.0
    if len(gains) == 1 or len(gains[0]) == 1:
        return max(max(row) for row in gains)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gains, maximize=True)
    pairs = zip(rows, columns, strict=True)
    return float(sum(gains[row][column] for row, column in pairs))


def dude_score(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """The table's DUDE: references that are lists make it a list question, answered by a JSON list."""
    lists = [reference for reference in references if isinstance(reference, list)]
    if not lists:
        texts, answer = bounded_texts(references), as_text(prediction)
        check_texts(answer, texts)
        return MetricValue(anls_dude([answer], texts) if texts else None)
    items = _items(prediction)
    accepted = [text for reference in lists for text in as_texts(reference)]
    check_pairs(sum(map(len, items)), sum(map(len, accepted)))
    check_pairs(min(len(items), MAX_LIST), len(accepted), MAX_LIST**2)
    return MetricValue(
        max(anls_dude(items, as_texts(reference), answer_type="list") for reference in lists)
    )


def _items(prediction: Json) -> list[str]:
    try:
        value = as_json(prediction)
    except ValueError:
        value = prediction
    return [as_text(v) for v in value] if isinstance(value, list) else [as_text(prediction)]

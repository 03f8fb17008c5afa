"""Metrics for the pages of a bundle: of which class each page is, and in which order the pages belong.

An answer is a sequence of numbers: «2,2,5,5,3», as in VLMHyperBench's RPOClassification and RPOSorting,
or ``[2, 2, 5, 5, 3]``, or ``22553``. Rank correlations: Kendall, "A New Measure of Rank Correlation",
1938; Spearman, 1904. An answer that is no order of the pages scores 0, as if it had nothing to do with
the right one (VLMHyperBench, ``check_page_sorting.py`` of model_qwen2.5_vl_lora @037cb97).
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from bench.metrics.metric import MetricValue, as_text, best, bounded_texts, check_texts
from bench.schema import Json

MAX_PAGES = 1000
"""Numbers beyond this many are ignored: no bundle has so many pages."""

_Measure = Callable[[Sequence[int]], float]
"""From the right place of every page, in the answered order, to a correlation."""

_NUMBER = re.compile(r"[0-9]{1,9}")


def sequence(text: str, length: int | None = None) -> tuple[int, ...]:
    """The numbers in ``text``, in order.

    Args:
        text: an answer or a reference.
        length: how many are expected; a single run of as many digits is then read digit by digit.
    """
    bare = text.strip()
    if (
        length is not None
        and length > 1
        and re.fullmatch(rf"[0-9]{{{min(length, MAX_PAGES)}}}", bare)
    ):
        return tuple(int(digit) for digit in bare)
    numbers = islice(_NUMBER.finditer(text), MAX_PAGES)
    return tuple(int(number[0]) for number in numbers)


def page_accuracy(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Share of positions whose numbers agree; positions that are missing or too many are wrong.

    The weight is the number of pages, so that the corpus value is the accuracy over all pages.
    """
    values = []
    for expected, answered in _pairs(prediction, references):
        agreeing = sum(page == other for page, other in zip(expected, answered, strict=False))
        positions = max(len(expected), len(answered))
        values.append(MetricValue(agreeing / positions, float(len(expected))))
    return best(values, higher=True)


def sequence_match(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """1 if the whole sequence is right, however it is written, else 0."""
    pairs = _pairs(prediction, references)
    values = [float(expected == answered) for expected, answered in pairs]
    return MetricValue(max(values) if values else None)


def kendall_tau(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Kendall's tau of the answered order and the right one, −1 to 1."""
    return _correlated(prediction, references, _kendall)


def spearman_rho(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Spearman's rho of the pages' places in the answered order and in the right one, −1 to 1."""
    return _correlated(prediction, references, _spearman)


def _pairs(
    prediction: Json, references: Sequence[Json]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The expected and the answered numbers, for every reference that holds some."""
    text, texts = as_text(prediction), bounded_texts(references)
    check_texts(text, texts)
    all_expected = [sequence(reference) for reference in texts]
    return [(expected, sequence(text, len(expected))) for expected in all_expected if expected]


def _correlated(prediction: Json, references: Sequence[Json], measure: _Measure) -> MetricValue:
    values = []
    for expected, answered in _pairs(prediction, references):
        # A reference of one page has no order, and one that names a page twice is no order.
        if len(expected) < 2 or len(set(expected)) < len(expected):
            continue
        if sorted(expected) != sorted(answered):
            values.append(0.0)
            continue
        place = {page: i for i, page in enumerate(expected)}
        values.append(measure([place[page] for page in answered]))
    return MetricValue(max(values) if values else None)


def _kendall(places: Sequence[int]) -> float:
    pairs = len(places) * (len(places) - 1) / 2
    inversions, before = 0, list[int]()
    for place in places:
        inversions += len(before) - bisect_right(before, place)
        insort(before, place)
    return 1 - 2 * inversions / pairs


def _spearman(places: Sequence[int]) -> float:
    n = len(places)
    return 1 - 6 * sum((place - i) ** 2 for i, place in enumerate(places)) / (n * (n * n - 1))


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well the pages of one class are recognised."""

    label: str
    pages: int
    """Pages that are of this class."""
    precision: float | None
    """None if no page was answered to be of this class."""
    recall: float | None
    """None if no page is of this class."""
    f1: float


MISSING = "–"
"""Column of the confusion matrix for pages about which an answer says nothing."""


def confusion(pairs: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Counts of (right class, answered class) over pages, from (reference, answer) of each bundle."""
    counts: Counter[tuple[str, str]] = Counter()
    for reference, answer in pairs:
        right = sequence(reference)
        said = sequence(answer, len(right))
        for i, number in enumerate(right):
            counts[str(number), str(said[i]) if i < len(said) else MISSING] += 1
    return counts


def class_scores(counts: Mapping[tuple[str, str], int]) -> list[ClassScore]:
    """Precision, recall and F1 of every class that occurs on either side, in order."""
    labels = {label for pair in counts for label in pair} - {MISSING}
    scores = []
    for label in sorted(labels, key=lambda text: (len(text), text)):
        hits = counts.get((label, label), 0)
        pages = sum(count for (right, _), count in counts.items() if right == label)
        answered = sum(count for (_, said), count in counts.items() if said == label)
        f1 = 2 * hits / (pages + answered) if pages + answered else 0.0
        scores.append(
            ClassScore(
                label,
                pages,
                hits / answered if answered else None,
                hits / pages if pages else None,
                f1,
            )
        )
    return scores

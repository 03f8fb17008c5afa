"""ANLS*: ANLS over JSON values (Peer et al., arXiv 2402.03848), with the values of anls_star 1.0.1.

The package compares every pair of list elements several times in pure Python, which takes seconds for
eighty line items. Here the same recursion compares each pair once, with an edit distance in C. Where a
tie between two matchings of a list could change the value, the package's own solver (Munkres) matches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.metrics.edit import edit_ratio
from bench.metrics.metric import (
    MAX_CHARACTER_PAIRS,
    MetricValue,
    TooLarge,
    as_json,
    as_text,
    check_pairs,
    collapsed,
)
from bench.schema import Json

THRESHOLD = 0.5
"""Similarity of two leaves below this counts as 0, as in ANLS."""

MAX_LEAF_PAIRS = 200_000
"""Pairs of leaves that are compared in the lists of one document: 447 leaves against 447."""

MAX_COMPARISONS = 300_000
"""Pairs of values that are compared in one document, leaves, lists and objects alike: empty lists have no
leaves, and sixty objects inside each other have one."""

_LEAF_TYPES = frozenset({str, int, float, bool})

_INNER_LIST = 20
"""A list inside a list costs as much as so many pairs: it is matched by itself."""

MAX_LEAVES = 20_000
"""Leaves of an answer, and of a reference."""

MAX_EXACT_TIES = 120
"""Longer lists are matched by scipy, because the time of Munkres grows with the cube of the length. The
matching is as good, but ties may fall otherwise."""

MIN_FAST = 8
"""Lists up to this long are matched by the package's solver, which is fast enough and spares scipy's
import."""

_Pairs = list[tuple[int, int]]


class _Match(NamedTuple):
    """How well a prediction matches a reference."""

    similarities: list[float]
    """Of the leaves that were compared, in order: the last bit of their sum depends on it, and ties on
    that bit."""
    length: int
    """Leaves that the mean is taken over, those without a counterpart included."""
    closest: Json
    """What the reference would have to be: options chosen, lists in the prediction's order."""

    @property
    def mean(self) -> float:
        return sum(self.similarities) / self.length if self.length > 0 else 1.0


def anls_star(prediction: Json, reference: Json) -> float:
    """ANLS* of parsed values, 0 to 1.

    Args:
        prediction: A JSON value.
        reference: A JSON value; a tuple stands for alternatives, and so does a list of strings where the
            prediction is a string.
    """
    is_options = isinstance(reference, list) and all(isinstance(r, str) for r in reference)
    if is_options and isinstance(prediction, str) and reference:
        reference = tuple(reference)
    return _Comparison().match(reference, prediction).mean


def anls_star_score(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """The table's ANLS*, the best of several references.

    A predicted string is parsed as JSON, unless all references are scalars.
    """
    if not references:
        return MetricValue(None)
    are_scalars = all(isinstance(reference, str | int | float | None) for reference in references)
    try:
        options = tuple(
            reference if isinstance(reference, str) else as_json(reference)
            for reference in references
        )
        if are_scalars and isinstance(prediction, str):
            answer: Json = as_text(prediction)
        else:
            answer = as_json(prediction)
    except ValueError:
        return MetricValue(0.0)
    _check_size(answer, options)
    return MetricValue(anls_star(answer, options))


def _size(value: Json) -> int:
    """Leaves of ``value``; of alternatives, those of the largest."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list):
        return sum(map(_size, value))
    if isinstance(value, tuple):
        return max(map(_size, value), default=0)
    return 1


def _check_size(prediction: Json, options: tuple[Json, ...]) -> None:
    """Refuse documents of too many leaves, and leaves of too many characters.

    Raises:
        TooLarge: they have more.
    """
    leaves, characters = _leaves_and_characters(prediction)
    expected = [_leaves_and_characters(option) for option in options]
    if max(leaves, sum(count for count, _ in expected)) > MAX_LEAVES:
        raise TooLarge
    # Many short texts take twice as long as two long ones of as many characters.
    limit = MAX_CHARACTER_PAIRS if leaves == 1 else MAX_CHARACTER_PAIRS // 2
    check_pairs(characters, sum(length for _, length in expected), limit)


def _leaves_and_characters(value: Json) -> tuple[int, int]:
    """How many leaves and empty containers ``value`` has, and how long its leaves are together, as texts."""
    leaves = characters = 0
    left = [value]
    while left:
        item = left.pop()
        children = list(item.values()) if isinstance(item, dict) else item
        if isinstance(children, list | tuple) and children:
            left.extend(children)
            continue
        leaves += 1
        characters += len(item) if isinstance(item, str) else len(str(item))
    return leaves, characters


def _is_none_like(value: Json) -> bool:
    return value is None or value in ({}, [], "")


class _Comparison:
    """One comparison of two values, which remembers normalised leaves and their similarities."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        # Numbers by their identity: equal ones may print differently (0.0 and -0.0).
        self._numbers: dict[int, str] = {}
        self._similarities: dict[tuple[str, str], float] = {}
        self._budget = MAX_LEAF_PAIRS
        self._comparisons = MAX_COMPARISONS
        self._inside_list = False

    def match(self, reference: Json, prediction: Json) -> _Match:
        self._spend(1)
        # Most pairs are of leaves, of which lists have up to 200,000.
        if type(reference) in _LEAF_TYPES and type(prediction) in _LEAF_TYPES:
            return _Match([self._leaf(reference, prediction)], 1, reference)
        if isinstance(reference, tuple):
            return self._options(reference, prediction)
        if isinstance(reference, list):
            return self._lists(reference, prediction)
        if isinstance(reference, dict):
            return self._dicts(reference, prediction)
        length = max(1, _size(prediction))
        if reference is None:
            none_like = _is_none_like(prediction)
            return _Match([float(none_like)], length, prediction if none_like else None)
        if prediction is None or isinstance(prediction, dict | list):
            return _Match([0.0], length, reference)
        return _Match([self._leaf(reference, prediction)], length, reference)

    def _spend(self, comparisons: int) -> None:
        self._comparisons -= comparisons
        if self._comparisons < 0:
            raise TooLarge

    def _leaf(self, reference: Json, prediction: Json) -> float:
        pair = (self._text(reference), self._text(prediction))
        known = self._similarities.get(pair)
        if known is None:
            known = 1 - edit_ratio(*pair)
            known = known if known >= THRESHOLD else 0.0
            self._similarities[pair] = known
        return known

    def _text(self, value: Json) -> str:
        if not isinstance(value, str):
            text = self._numbers.get(id(value))
            if text is None:
                text = str(value).lower()
                self._numbers[id(value)] = text
            return text
        text = self._texts.get(value)
        if text is None:
            text = collapsed(value)
            self._texts[value] = text
        return text

    def _options(self, options: tuple[Json, ...], prediction: Json) -> _Match:
        candidates = [self.match(option, prediction) for option in options]
        return max(candidates, key=lambda match: (match.mean, match.closest == prediction))

    def _dicts(self, reference: dict[str, Json], prediction: Json) -> _Match:
        if not isinstance(prediction, dict):
            return _Match([0.0], max(_size(reference), _size(prediction)), reference)
        similarities: list[float] = []
        length, closest = 0, {}
        surplus_keys = [key for key in prediction if key not in reference]
        for key in [*reference, *surplus_keys]:
            match = self.match(reference.get(key), prediction.get(key))
            length += match.length
            if key not in reference and _is_none_like(prediction[key]):
                continue
            similarities.extend(match.similarities)
            if key in prediction or not _is_none_like(match.closest):
                closest[key] = match.closest
        return _Match(similarities, length, closest)

    def _lists(self, reference: list[Json], prediction: Json) -> _Match:
        if not isinstance(prediction, list):
            return _Match([0.0], max(_size(reference), _size(prediction)), reference)
        reference_sizes = [_size(element) for element in reference]
        prediction_sizes = [_size(element) for element in prediction]
        # Lists inside lists are paid for by the outermost: their pairs of leaves are among its pairs.
        is_outermost = not self._inside_list
        if is_outermost:
            self._budget -= max(1, sum(reference_sizes)) * max(1, sum(prediction_sizes))
            if self._budget < 0:
                raise TooLarge
        else:
            self._spend(_INNER_LIST)
        # Before any of them: what cannot be paid for must not be begun.
        if len(reference) * len(prediction) > self._comparisons:
            raise TooLarge
        self._inside_list = True
        table = [[self.match(wanted, given) for given in prediction] for wanted in reference]
        self._inside_list = not is_outermost
        pairs: _Pairs = []
        if reference and prediction:
            gains = [_gains(row, prediction) for row in table]
            pairs = _solver(table, reference_sizes, prediction_sizes)(gains)
        matched_rows, matched_columns = {row for row, _ in pairs}, {column for _, column in pairs}
        length = sum(table[row][column].length for row, column in pairs)
        length += sum(size for i, size in enumerate(reference_sizes) if i not in matched_rows)
        length += sum(size for i, size in enumerate(prediction_sizes) if i not in matched_columns)
        similarities: list[float] = []
        for row, column in pairs:
            similarities.extend(table[row][column].similarities)
        in_the_predictions_order = sorted(pairs, key=lambda pair: pair[1])
        closest = [table[row][column].closest for row, column in in_the_predictions_order]
        closest += [element for i, element in enumerate(reference) if i not in matched_rows]
        return _Match(similarities, length, closest)


def _gains(row: list[_Match], prediction: list[Json]) -> list[float]:
    """How much each match of one reference element with the predicted elements is worth."""
    gains = []
    for match, element in zip(row, prediction, strict=True):
        # The package's tie rule: an exact match is better by the smallest possible amount.
        is_exact = match.closest == element
        gains.append(math.nextafter(match.mean, math.inf) if is_exact else match.mean)
    return gains


def _solver(
    table: list[list[_Match]], reference_sizes: list[int], prediction_sizes: list[int]
) -> Callable[[list[list[float]]], _Pairs]:
    """The fast assignment where any best matching gives the same value, else the package's."""
    lengths = {match.length for row in table for match in row}
    is_uniform = len(lengths) == len(set(reference_sizes)) == len(set(prediction_sizes)) == 1
    longest = max(len(table), len(table[0]))
    if longest > MIN_FAST and (is_uniform or longest > MAX_EXACT_TIES):
        return _assign_fast
    return _assign_like_the_package


def _assign_fast(gains: list[list[float]]) -> _Pairs:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gains, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def _assign_like_the_package(gains: list[list[float]]) -> _Pairs:
    from munkres import Munkres, make_cost_matrix

    pairs = Munkres().compute(make_cost_matrix(gains))
    return [(int(row), int(column)) for row, column in pairs]

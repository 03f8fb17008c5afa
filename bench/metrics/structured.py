"""ANLS*: ANLS over JSON values (Peer et al., arXiv 2402.03848), with the values of anls_star 1.0.1.

The package compares every pair of list elements several times over in pure Python, which takes seconds
for eighty line items. The same recursion is done here once per pair, with a C edit distance; lists are
matched by the package's own solver wherever a tie between matchings could change the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.metrics.edit import levenshtein
from bench.metrics.metric import MetricValue, as_json, as_text
from bench.schema import Json

THRESHOLD = 0.5

MAX_LEAF_PAIRS = 4_000_000
"""Pairs of leaves compared in the lists of one document; predicted elements beyond are surplus, unmatched."""

MAX_EXACT_TIES = 120
"""Lists longer than this are matched by scipy: as good a matching, but ties may fall differently."""

MIN_FAST = 8
"""Lists up to this long are matched by the package's solver: it is fast enough and spares an import."""

_Pairs = list[tuple[int, int]]


class _Match(NamedTuple):
    similarities: list[float]
    """Of the leaves that were compared, in order: sums depend on it in the last bit, and ties on those."""
    length: int
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
    """The table's ANLS*: the best of several references; a string is parsed if the reference is no scalar."""
    if not references:
        return MetricValue(None)
    scalar = all(isinstance(r, str | int | float | None) for r in references)
    try:
        options = tuple(r if isinstance(r, str) else as_json(r) for r in references)
        answer = (
            as_text(prediction) if scalar and isinstance(prediction, str) else as_json(prediction)
        )
    except ValueError:
        return MetricValue(0.0)
    return MetricValue(anls_star(answer, options))


def _size(value: Json) -> int:
    if isinstance(value, dict):
        return sum(_size(v) for v in value.values())
    if isinstance(value, list):
        return sum(_size(v) for v in value)
    if isinstance(value, tuple):
        return max((_size(v) for v in value), default=0)
    return 1


def _is_none_like(value: Json) -> bool:
    return value is None or value in ({}, [], "")


class _Comparison:
    """One comparison of two values; remembers normalised leaves and their similarities."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._similarities: dict[tuple[str, str], float] = {}
        self._budget = MAX_LEAF_PAIRS
        self._inside_list = False

    def match(self, reference: Json, prediction: Json) -> _Match:
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

    def _leaf(self, reference: Json, prediction: Json) -> float:
        pair = (self._text(reference), self._text(prediction))
        known = self._similarities.get(pair)
        if known is None:
            longer = max(len(pair[0]), len(pair[1]))
            known = 1 - (levenshtein(*pair) / longer if longer > 0 else 0.0)
            known = known if known >= THRESHOLD else 0.0
            self._similarities[pair] = known
        return known

    def _text(self, value: Json) -> str:
        if not isinstance(value, str):
            # Equal numbers may print differently (0.0 and -0.0), so they are not remembered.
            return str(value).lower()
        text = self._texts.get(value)
        if text is None:
            text = " ".join(value.strip().lower().split())
            self._texts[value] = text
        return text

    def _options(self, options: tuple[Json, ...], prediction: Json) -> _Match:
        candidates = [self.match(option, prediction) for option in options]
        return max(candidates, key=lambda m: (m.mean, m.closest == prediction))

    def _dicts(self, reference: dict[str, Json], prediction: Json) -> _Match:
        if not isinstance(prediction, dict):
            return _Match([0.0], max(_size(reference), _size(prediction)), reference)
        similarities: list[float] = []
        length, closest = 0, {}
        for key in [*reference, *(k for k in prediction if k not in reference)]:
            found = self.match(reference.get(key), prediction.get(key))
            length += found.length
            if key not in reference and _is_none_like(prediction[key]):
                continue
            similarities.extend(found.similarities)
            if key in prediction or not _is_none_like(found.closest):
                closest[key] = found.closest
        return _Match(similarities, length, closest)

    def _pairs(
        self, reference: list[Json], prediction: list[Json], sizes: tuple[list[int], list[int]]
    ) -> tuple[list[Json], list[list[_Match]]]:
        """The predicted elements that can be afforded, and every match of a reference with one."""
        outermost = not self._inside_list
        if outermost:
            leaves, count = max(1, sum(sizes[0])), 0
            while count < len(prediction) and self._budget >= 0:
                self._budget -= leaves * max(1, sizes[1][count])
                count += 1
            prediction = prediction[:count]
        self._inside_list = True
        table = [[self.match(r, p) for p in prediction] for r in reference]
        # Lists inside lists are paid for by the outermost: their pairs of leaves are among its pairs.
        self._inside_list = not outermost
        return prediction, table

    def _lists(self, reference: list[Json], prediction: Json) -> _Match:
        if not isinstance(prediction, list):
            return _Match([0.0], max(_size(reference), _size(prediction)), reference)
        sizes = [_size(r) for r in reference], [_size(p) for p in prediction]
        found, table = self._pairs(reference, prediction, sizes)
        gains = [
            [
                # The package's tie rule: an exact match is better by the smallest possible amount.
                math.nextafter(cell.mean, math.inf) if cell.closest == p else cell.mean
                for cell, p in zip(row, found, strict=True)
            ]
            for row in table
        ]
        pairs = _solver(table, sizes)(gains) if reference and found else []
        rows, columns = {r for r, _ in pairs}, {c for _, c in pairs}
        length = sum(table[r][c].length for r, c in pairs)
        length += sum(size for r, size in enumerate(sizes[0]) if r not in rows)
        length += sum(size for c, size in enumerate(sizes[1]) if c not in columns)
        closest = [table[r][c].closest for r, c in sorted(pairs, key=lambda pair: pair[1])]
        closest += [r for index, r in enumerate(reference) if index not in rows]
        return _Match([s for r, c in pairs for s in table[r][c].similarities], length, closest)


def _solver(
    table: list[list[_Match]], sizes: tuple[list[int], list[int]]
) -> Callable[[list[list[float]]], _Pairs]:
    """The fast assignment where any best matching gives the same value, else the package's."""
    lengths = {cell.length for row in table for cell in row}
    uniform = len(lengths) == 1 and len(set(sizes[0])) == 1 and len(set(sizes[1])) == 1
    longest = max(len(table), len(table[0]))
    if longest > MIN_FAST and (uniform or longest > MAX_EXACT_TIES):
        return _assign_fast
    return _assign_like_the_package


def _assign_fast(gains: list[list[float]]) -> _Pairs:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gains, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True)]


def _assign_like_the_package(gains: list[list[float]]) -> _Pairs:
    from munkres import Munkres, make_cost_matrix

    return [(int(r), int(c)) for r, c in Munkres().compute(make_cost_matrix(gains))]

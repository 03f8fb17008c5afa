"""How right each field of an object is, by the metric that scores the whole object."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Sequence

from bench.metrics import METRICS
from bench.metrics.leaves import leaves
from bench.metrics.metric import TooLarge, as_json
from bench.schema import Json
from bench.scoring.levels import ACCEPTED, PERFECT

MAX_PAIRS = 100
"""Pairs of unequal values that are judged for one answer: lists of ten items."""

MAX_PAIRS_OF_A_REPORT = 30_000
"""Pairs that are judged for one report; the slowest metric takes half a minute for them."""

VALUE_F1 = "value_f1"

FieldMark = tuple[str, str, str]
"""Expected text, given text, and ``r`` for right or ``p`` for partly right."""


class FieldJudge:
    """Judges the fields of all answers of one report, up to a number of pairs."""

    def __init__(self, pairs: int = MAX_PAIRS_OF_A_REPORT) -> None:
        self._left = pairs

    def marks(
        self,
        metric: str,
        answer: str,
        references: Sequence[Json],
        language: str | None,
        schema: Json = None,
    ) -> list[FieldMark] | None:
        """The unequal values under one key that ``metric`` accepts, in full or in part.

        Items of lists are compared with all others, because the page lays the most alike side by side.

        Args:
            metric: name of the headline metric.
            answer: what was compared.
            references: the right answers; texts among them are left out.
            language: of the document, for metrics that read values.
            schema: JSON Schema of the answer, for metrics that follow it.

        Returns:
            None if the metric cannot judge a field alone, the answer is no object, or there are too many
            pairs.
        """
        objects = [reference for reference in references if isinstance(reference, dict | list)]
        if not objects or metric not in METRICS or METRICS[metric].direction != "higher":
            return None
        if metric == VALUE_F1:
            return _marks_of_leaves(answer, objects[0], language, schema)
        pairs = _unequal(answer, objects)
        if pairs is None or len(pairs) > self._left:
            return None
        self._left -= len(pairs)
        marks = {
            (_shown(wanted), _shown(own), code)
            for key, wanted, own in pairs
            if (code := _code(metric, key, wanted, own, language))
        }
        return sorted(marks)


def _marks_of_leaves(
    answer: str, reference: Json, language: str | None, schema: Json
) -> list[FieldMark] | None:
    """The marks of a metric that pairs the values itself: what is right although it is written otherwise."""
    try:
        compared = leaves(answer, reference, schema=schema, language=language)
    except TooLarge:
        return None
    marks = {
        (_shown(json.dumps(leaf.expected)), _shown(json.dumps(leaf.given)), "r")
        for leaf in compared or ()
        if leaf.outcome == "right" and leaf.expected != leaf.given
    }
    return None if compared is None else sorted(marks)


def _unequal(answer: str, objects: Sequence[Json]) -> set[tuple[str, str, str]] | None:
    """(Key, expected, given) of unequal values; None if the answer is no JSON, or there are too many."""
    try:
        parsed = as_json(answer)
    except ValueError:
        return None
    given: dict[str, list[str]] = {}
    for key, own in _leaves(parsed, ""):
        given.setdefault(key, []).append(own)
    pairs: set[tuple[str, str, str]] = set()
    for key, wanted in itertools.chain.from_iterable(_leaves(each, "") for each in objects):
        pairs.update((key, wanted, own) for own in given.get(key, ()) if own != wanted)
        if len(pairs) > MAX_PAIRS:
            return None
    return pairs


def _leaves(value: Json, key: str) -> Iterator[tuple[str, str]]:
    """(Dotted key without places in lists, value as JSON) of every value."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaves(child, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, key)
    else:
        yield key, json.dumps(value, ensure_ascii=False)


@functools.lru_cache(maxsize=100_000)
def _code(metric: str, key: str, wanted: str, own: str, language: str | None) -> str:
    name = key or "value"
    try:
        score = METRICS[metric].score_of(
            {name: json.loads(own)}, [{name: json.loads(wanted)}], language=language
        )
    except TooLarge:
        return ""
    value = score.value or 0.0
    if value >= PERFECT:
        return "r"
    return "p" if value >= ACCEPTED else ""


def _shown(text: str) -> str:
    """A value as the page writes it: texts without quotes, whole numbers without a point."""
    value = json.loads(text)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return text

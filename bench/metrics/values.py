"""Scores of structured answers, value by value: see ``bench.metrics.leaves`` for what a value is.

Of all documents together, ``value_f1`` is the micro F1: its weight is the number of values that the answer
gives and the reference has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from bench.json_schemas.validity import first_violation
from bench.metrics.leaves import MAX_LEAVES, Leaf, Outcome, count_leaves, leaves
from bench.metrics.metric import (
    FieldScoreFunction,
    MetricValue,
    QuestionFacts,
    TooLarge,
    as_json,
    best,
)
from bench.schema import Json


def outcomes(compared: Iterable[Leaf]) -> Counter[Outcome]:
    """How many leaves have each outcome."""
    return Counter(leaf.outcome for leaf in compared)


def given_and_expected(counts: Counter[Outcome]) -> tuple[int, int]:
    """How many values the answer gives, and how many the reference has."""
    both = counts["right"] + counts["wrong"]
    return both + counts["invented"], both + counts["missing"]


def value_f1_of(compared: Sequence[Leaf]) -> MetricValue:
    """F1 of leaves, weighted by the number of values given and expected."""
    counts = outcomes(compared)
    total = sum(given_and_expected(counts))
    return MetricValue(2 * counts["right"] / total, float(total)) if total else MetricValue(None)


def _precision(compared: Sequence[Leaf]) -> MetricValue:
    counts = outcomes(compared)
    given, expected = given_and_expected(counts)
    if not given:
        # Nothing was given, so nothing is wrong; it adds nothing to the share of all documents either.
        return MetricValue(0.0, 0.0) if expected else MetricValue(None)
    return MetricValue(counts["right"] / given, float(given))


def _recall(compared: Sequence[Leaf]) -> MetricValue:
    counts = outcomes(compared)
    _, expected = given_and_expected(counts)
    return (
        MetricValue(counts["right"] / expected, float(expected)) if expected else MetricValue(None)
    )


def _empty(compared: Sequence[Leaf]) -> MetricValue:
    lacking = [leaf for leaf in compared if leaf.paired and leaf.expected is None]
    kept = sum(leaf.outcome == "empty" for leaf in lacking)
    return MetricValue(kept / len(lacking), float(len(lacking))) if lacking else MetricValue(None)


def _whole(compared: Sequence[Leaf]) -> MetricValue:
    return MetricValue(float(all(leaf.outcome in {"right", "empty"} for leaf in compared)))


def _over_leaves(score: Callable[[Sequence[Leaf]], MetricValue]) -> FieldScoreFunction:
    """Make a function of leaves the score of a metric; of several references the best one counts."""

    def over_leaves(
        prediction: Json, references: Sequence[Json], facts: QuestionFacts
    ) -> MetricValue:
        values = []
        for reference in references:
            compared = leaves(prediction, reference, schema=facts.schema, language=facts.language)
            if compared is None:
                nothing = leaves("{}", reference, schema=facts.schema, language=facts.language)
                value = score(nothing or ())
                # An answer that cannot be read is wrong, and as heavy as one that gives nothing.
                values.append(value if value.value is None else value._replace(value=0.0))
            else:
                values.append(score(compared))
        return best(values, higher=True)

    return over_leaves


value_f1 = _over_leaves(value_f1_of)
"""F1 of the values: twice the right ones over all that are given and all that are expected."""

value_precision = _over_leaves(_precision)
"""The share of right values among those that the answer gives."""

value_recall = _over_leaves(_recall)
"""The share of right values among those that the reference has."""

null_accuracy = _over_leaves(_empty)
"""The share of the fields that the document lacks for which the answer gives nothing."""

object_match = _over_leaves(_whole)
"""1 if every value is right and none is invented."""


def schema_valid(prediction: Json, references: Sequence[Json], facts: QuestionFacts) -> MetricValue:
    """1 if the answer is a JSON object or list that conforms to the schema, where there is one."""
    if not references:
        return MetricValue(None)
    try:
        value = as_json(prediction)
    except ValueError:
        return MetricValue(0.0)
    if not isinstance(value, dict | list):
        return MetricValue(0.0)
    if facts.schema is None:
        return MetricValue(1.0)
    if count_leaves(value) > MAX_LEAVES:
        raise TooLarge
    return MetricValue(float(first_violation(facts.schema, value) is None))

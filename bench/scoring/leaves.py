"""The values of structured answers, one by one: what the score of an object is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bench.metrics.leaves import Leaf, is_unknown, leaves
from bench.metrics.metric import MetricValue, TooLarge
from bench.metrics.values import given_and_expected, outcomes, value_f1_of
from bench.scoring.answers import Answer


def is_structured(answer: Answer) -> bool:
    """Whether the question has a JSON Schema, so that its answer is looked at value by value."""
    return answer.sample.json_schema is not None


def answer_leaves(answer: Answer) -> tuple[Leaf, ...]:
    """The leaves of a structured answer against the reference that it is nearest to.

    An answer that cannot be read gives no value. There are no leaves if the question was not asked, has no
    schema, or if the answer is too large to be compared.
    """
    sample = answer.sample
    if not is_structured(answer) or answer.output is None:
        return ()
    compared = []
    for reference in sample.references:
        known = {"schema": sample.json_schema, "language": sample.metadata.get("language")}
        try:
            own = leaves(answer.extracted, reference, **known)
            compared.append(leaves("{}", reference, **known) if own is None else own)
        except TooLarge:
            return ()
    return max(
        (each or () for each in compared),
        key=lambda each: value_f1_of(each).value or 0.0,
        default=(),
    )


def scores_by_path(answer: Answer) -> dict[str, MetricValue]:
    """Path → F1 of the values under it in one answer, weighted so that one right value weighs 1.

    What stands under unknown keys has no path of its own and is left out.
    """
    by_path: dict[str, list[Leaf]] = defaultdict(list)
    for leaf in answer_leaves(answer):
        by_path[leaf.path].append(leaf)
    scores = {}
    for path, members in by_path.items():
        f1 = value_f1_of(members)
        if not is_unknown(path) and f1.value is not None:
            scores[path] = MetricValue(f1.value, f1.weight / 2)
    return scores


class LeafCounts:
    """How many values of some answers are right, wrong, missing and invented."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        """Count over ``answers``; those without a schema count nothing."""
        compared = [leaf for answer in answers for leaf in answer_leaves(answer)]
        counts = outcomes(compared)
        self.right, self.wrong = counts["right"], counts["wrong"]
        self.missing, self.invented = counts["missing"], counts["invented"]
        self.given, self.expected = given_and_expected(counts)

"""Key information extraction: F1 over fields.

``kie_f1`` is Donut's micro F1 (Kim et al., ECCV 2022; clovaai/donut, ``JSONParseEvaluator.cal_f1``);
``kie_f1_ocrbench_v2`` the mean over keys of OCRBench v2 (``compute_f1_score``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bench.metrics.metric import MetricValue, TooLarge, as_json, as_text, best
from bench.schema import Json


class FieldAgreement(NamedTuple):
    """Counts that add up over samples; their sums give the micro F1 of a corpus."""

    hits: int
    predicted: int
    expected: int

    @property
    def f1(self) -> float | None:
        """2·hits over everything predicted and expected; None if there is nothing of either."""
        total = self.predicted + self.expected
        return 2 * self.hits / total if total > 0 else None


def normalize_fields(value: Json) -> Json:
    """Donut's normal form: keys sorted by length, leaves as lists of stripped strings, nothing empty."""
    if not value:
        return {}
    if isinstance(value, dict):
        cleaned = {
            key: normalize_fields(value[key])
            for key in sorted(value, key=lambda name: (len(name), name))
        }
        return {
            key: field if isinstance(field, list) else [field]
            for key, field in cleaned.items()
            if field
        }
    if not isinstance(value, list):
        return [str(value).strip()]
    if all(isinstance(item, dict) for item in value):
        return [item for item in map(normalize_fields, value) if item]
    # bool is left out on purpose: the reference keeps exactly these three types.
    texts = (str(item).strip() for item in value if type(item) in {str, int, float})
    return [text for text in texts if text]


MAX_FIELDS = 50_000
"""Fields of one document; no page has so many."""

MAX_KEY_TEXT = 5_000_000
"""Characters of the dotted keys of one document, which repeat their first parts."""


def flatten_fields(value: Json) -> list[tuple[str, str]]:
    """(dotted key, value) pairs of a normal form, in order.

    Raises:
        TooLarge: there are more than ``MAX_FIELDS``, or their keys are longer than ``MAX_KEY_TEXT`` together.
    """
    pairs: list[tuple[str, str]] = []
    written = 0
    for key, leaf in _leaves(value, ""):
        written += len(key)
        if len(pairs) >= MAX_FIELDS or written > MAX_KEY_TEXT:
            raise TooLarge
        pairs.append((key, leaf))
    return pairs


def _leaves(value: Json, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        children: Iterable[tuple[str, Json]] = (
            (f"{key}.{name}" if key else name, child) for name, child in value.items()
        )
    elif isinstance(value, list):
        children = ((key, item) for item in value)
    else:
        yield key, value
        return
    for child_key, child in children:
        yield from _leaves(child, child_key)


def field_agreement(prediction: Json, reference: Json) -> FieldAgreement:
    """Fields with equal dotted key and equal value, as multisets: order never counts, case does."""
    predicted, expected = field_counts(prediction), field_counts(reference)
    return FieldAgreement((predicted & expected).total(), predicted.total(), expected.total())


def field_counts(value: Json) -> Counter[tuple[str, str]]:
    """How often each (dotted key, value) pair occurs in ``value``."""
    return Counter(flatten_fields(normalize_fields(value)))


def kie_f1(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Donut's field F1 of one document, weighted so that the weighted mean is the corpus's micro F1.

    The weight is the number of predicted plus expected fields. An unparseable answer finds no field.
    """
    parsed = parsed_fields(prediction)
    agreements = [field_agreement(parsed, parsed_fields(reference)) for reference in references]
    return best(map(weighted_f1, agreements), higher=True)


def weighted_f1(agreement: FieldAgreement) -> MetricValue:
    """An F1 with the weight that makes the weighted mean of samples the micro F1 of the corpus."""
    f1 = agreement.f1
    if f1 is None:
        return MetricValue(None)
    return MetricValue(f1, float(agreement.predicted + agreement.expected))


def kie_f1_ocrbench_v2(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Mean over the union of keys of equality, lower-cased and without blanks; the best reference's."""
    parsed = parsed_fields(prediction)
    shares = [key_equality(parsed, parsed_fields(reference)) for reference in references]
    return best(map(MetricValue, shares), higher=True)


def key_equality(prediction: Json, reference: Json) -> float:
    """OCRBench v2's F1 of two flat objects: 0 if no key is left to compare."""
    predicted, expected = _squeezed(prediction), _squeezed(reference)
    compared = equal = 0
    for key in predicted.keys() | expected.keys():
        values = predicted.get(key), expected.get(key)
        # A key that is null on one side and absent from the other is no field.
        if values != (None, None):
            compared += 1
            equal += values[0] == values[1]
    return equal / compared if compared else 0.0


def _squeezed(value: Json) -> dict[str, str | None]:
    if not isinstance(value, dict):
        return {}
    return {
        key: None if field is None else _squeeze(as_text(field)) for key, field in value.items()
    }


def _squeeze(text: str) -> str:
    return text.lower().strip().replace("\n", " ").replace(" ", "")


def parsed_fields(value: Json) -> Json:
    """``value`` parsed, an empty object if it cannot be: an unreadable answer finds no field."""
    try:
        return as_json(value)
    except ValueError:
        return {}

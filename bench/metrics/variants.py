"""Chooses the variant of a metric that a benchmark's own evaluator applies to a question.

A few benchmarks score some of their questions by another rule than the rest. Which questions these are stands
in their metadata.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from bench.metrics.kie import parsed_fields
from bench.metrics.metric import TOO_LARGE, MetricValue, TooLarge, as_text, text_metric
from bench.metrics.ocrbench import ocrbench, ocrbench_of, ocrbench_v2_of, ocrbench_v2_vqa
from bench.metrics.table import METRICS
from bench.metrics.widths import half_width
from bench.schema import Json

EVALUATOR: Final = "evaluator"
"""Metadata that names the evaluator of a benchmark."""
CC_OCR: Final = "cc-ocr"

_NO_ANSWER = frozenset({"", "none"})
"""How MP-DocVQA writes that a question has no answer."""

_HAN = "\u4e00-\u9fff"
_BLANKS_BESIDE_HAN = re.compile(
    rf"(?<=[{_HAN}])\s+(?=[{_HAN}a-zA-Z0-9])|(?<=[a-zA-Z0-9])\s+(?=[{_HAN}])"
)
_MARK = re.compile(r"(?<![0-9])\s*([,.!?:;])\s*")
_DIGIT_BESIDE_LETTER = re.compile(r"(?<=[0-9])(?=[a-zA-Z])|(?<=[a-zA-Z])(?=[0-9])")
_BLANKS = re.compile(r"\s+")


def score_question(
    name: str,
    prediction: Json,
    references: Sequence[Json],
    metadata: Mapping[str, str],
    schema: Json = None,
) -> MetricValue:
    """The value of the metric ``name`` for an answer; ``metadata`` and ``schema`` are the question's.

    Equal values are equal to the last bit: both numbers are floats, and none is a negative zero.
    """
    value, weight = _by_variant(name, prediction, references, metadata) or METRICS[name].score_of(
        prediction,
        references,
        field=metadata.get("field"),
        language=metadata.get("language"),
        schema=schema,
    )
    return MetricValue(None if value is None else float(value) + 0.0, float(weight))


def _by_variant(
    name: str, prediction: Json, references: Sequence[Json], metadata: Mapping[str, str]
) -> MetricValue | None:
    """The value by the rule of the question's own benchmark; None if it has no rule of its own."""
    variant = _VARIANTS.get(name)
    if variant is None:
        return None
    try:
        return variant(prediction, references, metadata)
    except TooLarge:
        return TOO_LARGE


def cc_ocr_text(text: str) -> str:
    """``text`` as CC-OCR's evaluator compares it: half-width, and blanks only where they part words.

    Source: AlibabaResearch/AdvancedLiterateMachinery, ``Benchmarks/CC-OCR/evaluation/evaluator``,
    ``KieEvaluator.normalize_func`` @0ec8b38.
    """
    narrow = half_width(text).replace("、", ",")
    joined = _BLANKS_BESIDE_HAN.sub("", _BLANKS.sub(" ", narrow))
    spaced = _DIGIT_BESIDE_LETTER.sub(" ", _MARK.sub(r"\1 ", joined))
    return _BLANKS.sub(" ", spaced)


def _cc_ocr_fields(value: Json) -> Json:
    """Normalise the texts of fields; texts in a list stay as they are, as in the evaluator."""
    if isinstance(value, dict):
        return {key: _cc_ocr_fields(field) for key, field in value.items()}
    if isinstance(value, list):
        return [_cc_ocr_fields(item) if isinstance(item, dict) else item for item in value]
    return cc_ocr_text(value) if isinstance(value, str) else value


def _cc_ocr(
    name: str, prediction: Json, references: Sequence[Json], metadata: Mapping[str, str]
) -> MetricValue | None:
    if metadata.get(EVALUATOR) != CC_OCR:
        return None
    answer = _cc_ocr_fields(parsed_fields(prediction))
    accepted = [_cc_ocr_fields(parsed_fields(reference)) for reference in references]
    return METRICS[name].score(answer, accepted)


def _ocrbench(
    prediction: Json, references: Sequence[Json], metadata: Mapping[str, str]
) -> MetricValue | None:
    options = ocrbench_of(metadata)
    if not options:
        return None
    return text_metric(partial(ocrbench, **options))(prediction, references)


def _ocrbench_v2(
    prediction: Json, references: Sequence[Json], metadata: Mapping[str, str]
) -> MetricValue | None:
    options = ocrbench_v2_of(metadata)
    if not options:
        return None
    return text_metric(partial(ocrbench_v2_vqa, **options))(prediction, references)


def _mp_docvqa(
    prediction: Json, references: Sequence[Json], metadata: Mapping[str, str]
) -> MetricValue | None:
    """The answer ``none`` is right about a question that the document does not answer."""
    accepted = {as_text(reference).lower().strip() for reference in references}
    if not accepted or accepted - _NO_ANSWER:
        return None
    return MetricValue(float(as_text(prediction).lower().strip() in _NO_ANSWER))


_Variant = Callable[[Json, Sequence[Json], Mapping[str, str]], MetricValue | None]

_VARIANTS: Final[Mapping[str, _Variant]] = MappingProxyType(
    {
        "ocrbench": _ocrbench,
        "ocrbench_v2_vqa": _ocrbench_v2,
        "anls_mp_docvqa": _mp_docvqa,
        "kie_f1": partial(_cc_ocr, "kie_f1"),
        "ted_accuracy": partial(_cc_ocr, "ted_accuracy"),
    }
)
"""Metric → what scores the questions that have a rule of their own; None for all other questions."""

"""Type-aware field scoring tells whether an answer is wrong, or only written in another way.

It stands beside the strict metrics and never replaces them. A field is *equivalent* if its typed value is the
reference's: the same date in another spelling, the same amount with another separator, the same number in
other groups. If a spelling leaves two meanings open, it is equivalent to neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from bench.metrics import amounts, dates, identifiers
from bench.metrics.folding import has_special_digits, plain, same_text
from bench.metrics.kie import (
    FieldAgreement,
    field_counts,
    parsed_fields,
    weighted_f1,
)
from bench.metrics.metric import MetricValue, as_text, best
from bench.schema import Json

MAX_TYPED: Final = 200
"""Longer texts are compared as text only: no date, amount or number is so long."""

MAX_COMPARISONS: Final = 20_000
"""JSON: pairs of values that are compared by type in one document; values beyond count as not equivalent."""


class FieldMatch(NamedTuple):
    """Whether an answer holds the reference's value, and as what it was compared."""

    equivalent: bool
    kind: str
    """``text`` or the name of a row of ``TYPES``."""


class Context(NamedTuple):
    """What is known of a field beside its text."""

    language: str | None = None
    """ISO 639-1."""
    expected: frozenset[str] = frozenset()
    """Types that the field's name, or a mark in either text, names."""


class ValueType(NamedTuple):
    """A type of value: how a text is read as one, and when two are the same."""

    kind: str
    read: Callable[[str, Context], Any]
    """The value of a plain text, None if it is not of this type."""
    same: Callable[[Any, Any, Context], bool]


_HINTS: Final = {
    "date": r"date|дата|дат[еуы]\b|日期|时间|年月日|birth|рожден|expir|issued|deadline",
    "amount": r"total|amount|sum\b|price|cost|\btax|balance|fee\b|paid|cash|change|итог|сумм|цен[аы]"
    r"|стоимост|всего|оплат|ндс|金额|合计|总计|总额|单价|价|税额|费",
    "percentage": r"percent|\brate|процент|ставк|税率|比例|百分",
    "phone": r"phone|\btel|fax|mobile|телефон|факс|\bтел|电话|手机|传真",
    "kpp": r"кпп|kpp",
}
_HINT_PATTERNS: Final = {kind: re.compile(pattern) for kind, pattern in _HINTS.items()}
_CYRILLIC: Final = re.compile(r"[А-Яа-яЁё]")
_NUMBER: Final = re.compile(r"[\d〇一二三四五六七八九十零壹贰叁肆伍陆柒捌玖拾]")
"""Every type but text holds a numeral."""
_HAN: Final = re.compile(r"[\u4e00-\u9fff]")


def _date(text: str, context: Context) -> dates.DateReading | None:
    return dates.read_date(text, language=context.language, compact="date" in context.expected)


def _percentage(text: str, context: Context) -> amounts.Amount | None:
    percentage = amounts.read_percentage(text, language=context.language)
    if percentage is None and "percentage" in context.expected:
        return amounts.read_amount(text, language=context.language)
    return percentage


def _amount(text: str, context: Context) -> amounts.Amount | None:
    return amounts.read_amount(text, language=context.language)


def _phone(text: str, context: Context) -> str | None:
    return identifiers.read_phone(text) if "phone" in context.expected else None


def _registered(kind: str) -> Callable[[str, Context], str | None]:
    def read(text: str, context: Context) -> str | None:
        # A KPP has no checksum, so nine digits are one only where the field or a label says so.
        if kind == "kpp" and kind not in context.expected:
            return None
        return identifiers.read_registered(text, kind)

    return read


def _equal(a: Any, b: Any, _context: Context) -> bool:
    return bool(a == b)


TYPES: Final = (
    *(ValueType(kind, _registered(kind), _equal) for kind in identifiers.REGISTERED),
    ValueType("date", _date, lambda a, b, _: dates.same_date(a, b)),
    ValueType("time", lambda text, _: dates.read_time(text), _equal),
    ValueType("percentage", _percentage, lambda a, b, _: amounts.same_amount(a, b, money=True)),
    ValueType("phone", _phone, lambda a, b, _: identifiers.same_phone(a, b)),
    ValueType(
        "amount",
        _amount,
        lambda a, b, context: amounts.same_amount(a, b, money="amount" in context.expected),
    ),
    ValueType("identifier", lambda text, _: identifiers.read_identifier(text), _equal),
)
"""From the most specific type to the loosest; the first type that both texts have decides."""


def field_equivalent(
    prediction: str,
    references: Sequence[str],
    *,
    field: str | None = None,
    language: str | None = None,
) -> FieldMatch:
    """Compare an answer with its references by typed value.

    Args:
        prediction: The answer.
        references: Accepted answers.
        field: Name of the field; words such as "date" or "сумма" allow readings that would be too bold
            without them.
        language: ISO 639-1 code of the document; it decides the order of dates and the decimal separator.

    Returns:
        The first match; without one, no match with the kind of the first reference.
    """
    name = (field or "").lower().replace("_", " ")
    expected = frozenset(kind for kind, pattern in _HINT_PATTERNS.items() if pattern.search(name))
    context = Context(language.lower()[:2] if language else None, expected)
    answer = plain(as_text(prediction))
    matches = [_compare(answer, plain(as_text(reference)), context) for reference in references]
    nothing = FieldMatch(False, matches[0].kind if matches else "text")
    return next((match for match in matches if match.equivalent), nothing)


def _compare(answer: str, reference: str, context: Context) -> FieldMatch:
    if same_text(answer, reference):
        return FieldMatch(True, "text")
    if max(len(answer), len(reference)) > MAX_TYPED or not _NUMBER.search(reference):
        return FieldMatch(False, "text")
    if has_special_digits(answer + reference):
        return FieldMatch(False, "text")
    context = _informed(context, answer, reference)
    first_kind = None
    for row in TYPES:
        expected = row.read(reference, context)
        if expected is None:
            continue
        first_kind = first_kind or row.kind
        value = row.read(answer, context)
        if value is not None:
            # Two values of one type that differ decide: a looser type must not make them equal.
            return FieldMatch(row.same(value, expected, context), row.kind)
    return FieldMatch(False, first_kind or "text")


def _informed(context: Context, answer: str, reference: str) -> Context:
    """``context`` with what the two texts themselves say about type and language."""
    expected = set(context.expected)
    for text in (answer, reference):
        if identifiers.looks_like_phone(text):
            expected.add("phone")
        if identifiers.has_label(text, "kpp"):
            expected.add("kpp")
    language = context.language
    if language is None and _CYRILLIC.search(answer + reference):
        language = "ru"
    elif language is None and _HAN.search(answer + reference):
        language = "zh"
    return Context(language, frozenset(expected))


def field_match(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """The table's type-aware score.

    Text: 1 if the answer is equivalent to a reference. JSON: F1 over fields as ``kie_f1``, weighted the
    same way, where a field is found if a value under the same key is equivalent.
    """
    if not references:
        return MetricValue(None)
    structured = [reference for reference in references if isinstance(reference, dict | list)]
    if not structured:
        texts = [as_text(reference) for reference in references]
        return MetricValue(float(field_equivalent(as_text(prediction), texts).equivalent))
    parsed = parsed_fields(prediction)
    agreements = [typed_agreement(parsed, parsed_fields(reference)) for reference in structured]
    return best(map(weighted_f1, agreements), higher=True)


def typed_agreement(prediction: Json, reference: Json) -> FieldAgreement:
    """Fields whose values are equivalent under an equal key; equal values are taken first."""
    predicted, expected = field_counts(prediction), field_counts(reference)
    hits = (predicted & expected).total()
    unmatched: dict[str, list[str]] = {}
    for key, value in (expected - predicted).elements():
        unmatched.setdefault(key, []).append(value)
    budget = MAX_COMPARISONS
    for key, value in (predicted - expected).elements():
        candidates = unmatched.get(key, [])
        for index, candidate in enumerate(candidates[:budget]):
            budget -= 1
            if field_equivalent(value, [candidate], field=key).equivalent:
                hits += 1
                del candidates[index]
                break
    return FieldAgreement(hits, predicted.total(), expected.total())

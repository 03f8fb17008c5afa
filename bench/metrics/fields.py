"""Type-aware field scoring tells whether an answer is wrong, or only written in another way.

It stands beside the strict metrics and never replaces them. A field is *equivalent* if its typed value is the
reference's: the same date in another spelling, the same amount with another separator, the same number in
other groups. If a spelling leaves two meanings open, it is equivalent to neither.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bench.metrics import amounts, currencies, dates, identifiers, names
from bench.metrics.folding import (
    has_special_digits,
    plain,
    same_text,
    spelling_of_names,
    western_digits,
)
from bench.metrics.kie import (
    FieldAgreement,
    field_counts,
    parsed_fields,
    weighted_f1,
)
from bench.metrics.metric import (
    MetricValue,
    QuestionFacts,
    TooLarge,
    as_text,
    best,
    bounded_texts,
    check_texts,
)
from bench.schema import Json

MAX_TYPED: Final = 200
"""Longer texts are compared as text only: no date, amount or number is so long."""

MAX_COMPARISONS: Final = 3_000
"""Pairs of values that are compared by type for one answer; a score that takes more is too large."""

MAX_COMPARED_TEXT: Final = 2_000_000
"""Characters of these pairs."""


class FieldMatch(NamedTuple):
    """Whether an answer holds the reference's value, and as what it was compared."""

    equivalent: bool
    kind: str
    """``text`` or the name of a row of ``TYPES``."""


class Context(NamedTuple):
    """What is known of a field beside its text."""

    language: str | None = None
    """ISO 639-1, perhaps with a region: en, en-GB."""
    expected: frozenset[str] = frozenset()
    """Types that the field's name, or a mark in either text, names."""


class ValueType(NamedTuple):
    """A type of value: how a text is read as one, and when two are the same."""

    kind: str
    read: Callable[[str, Context], Any]
    """The value of a plain text, None if it is not of this type."""
    same: Callable[[Any, Any, Context], bool]
    may_be: Callable[[Any, Any], bool] = lambda _a, _b: False
    """Whether one of the things that either can mean is the same: 03/04/2024 may be 3 April."""


_HINTS: Final = {
    "date": r"date|дата|дат[еуы]\b|日期|时间|年月日|birth|рожден|expir|issued|deadline"
    r"|datum\b|fecha|\bdata\b|tarih",
    "amount": r"total|amount|sum\b|price|cost|\btax|balance|fee\b|paid|cash|change|итог|сумм|цен[аы]"
    r"|стоимост|всего|оплат|ндс|金额|合计|总计|总额|单价|价|税额|费|betrag|summe|preis|montant|prix|importe|precio"
    r"|importo|prezzo|kwota|bedrag|valor",
    "percentage": r"percent|\brate|процент|ставк|税率|比例|百分",
    "phone": r"phone|\btel|fax|mobile|телефон|факс|\bтел|电话|手机|传真",
    "kpp": r"кпп|kpp",
    "bik": r"бик\b|\bbik\b",
    "currency": r"currency|валют|währung|devise|moneda|valuta|waluta|币种|货币",
    "quantity": r"qty|quantity|\bcount|кол-?во|количеств|menge|anzahl|quantité|cantidad|quantità|ilość|数量",
    "company": r"company|seller|buyer|vendor|supplier|customer|merchant|\bshop|\bstore|\bbank|client|payee"
    r"|payer|issuer|organi[sz]ation|\bname|продав|покупат|поставщ|организац|компани|плательщ|получат|фирм|банк"
    r"|исполнит|заказч|наименован|firma|unternehmen|empresa|azienda|bedrijf|société|fournisseur",
    "address": r"addr|адрес|street|anschrift|dirección|indirizzo|地址|住所|\bcity\b|\btown\b|город|населенн"
    r"|\bмісто\b|\bort\b|\bville\b|ciudad|città|miasto",
}
_HINT_PATTERNS: Final = {kind: re.compile(pattern) for kind, pattern in _HINTS.items()}
_CYRILLIC: Final = re.compile(r"[А-Яа-яЁё]")
_NUMBER: Final = re.compile(r"[\d〇一二三四五六七八九十零壹贰叁肆伍陆柒捌玖拾]")
"""Every type but text holds a numeral."""
_HAN: Final = re.compile(r"[\u4e00-\u9fff]")


def _date(text: str, context: Context) -> dates.DateReading | None:
    return dates.read_date(text, language=context.language, compact="date" in context.expected)


def _same_date(answer: dates.DateReading, reference: dates.DateReading, context: Context) -> bool:
    if "date" in context.expected and not dates.has_time(reference):
        # The field asks for a day: a time beside it says more, and nothing else.
        answer, reference = dates.without_time(answer), dates.without_time(reference)
    return dates.same_date(answer, reference)


def _percentage(text: str, context: Context) -> amounts.Amount | None:
    percentage = amounts.read_percentage(text, language=_bare(context))
    if percentage is None and "percentage" in context.expected:
        number = amounts.read_amount(text, language=_bare(context))
        return None if number is None or number.currencies else number
    return percentage


def _amount(text: str, context: Context) -> amounts.Amount | None:
    return amounts.read_amount(text, language=_bare(context), money="amount" in context.expected)


def _bare(context: Context) -> str | None:
    """The language without its region."""
    return context.language.partition("-")[0] if context.language else None


def _currency(text: str, context: Context) -> frozenset[str] | None:
    if "currency" not in context.expected:
        return None
    return currencies.read_currency(text, language=_bare(context))


class Quantity(NamedTuple):
    """A number of things, perhaps with its unit."""

    number: amounts.Amount
    unit: str
    """Empty if none is written."""


_UNIT_WORDS: Final = """
шт штук штука штуки pcs pc piece pieces ea each ед stk stück st szt pz ks 个 件
кг kg
г g
л l
м m
т t
уп упак pack
ч час h hour hours std
комп компл set
"""
_UNITS: Final = {
    word: line.split()[0] for line in _UNIT_WORDS.strip().splitlines() for word in line.split()
}
_WITH_UNIT: Final = re.compile(r"(\d[\d.,' ]*?)\s*([^\W\d_]{1,8})\.?")


def _quantity(text: str, context: Context) -> Quantity | None:
    if "quantity" not in context.expected:
        return None
    measured = _WITH_UNIT.fullmatch(text)
    unit = _UNITS.get(measured[2].lower()) if measured is not None else ""
    if unit is None:
        return None
    number = amounts.read_amount(measured[1] if measured else text, language=_bare(context))
    return None if number is None or number.currencies else Quantity(number, unit)


def _same_quantity(a: Quantity, b: Quantity, _context: Context) -> bool:
    if a.unit and b.unit and a.unit != b.unit:
        return False
    return amounts.same_amount(a.number, b.number, money=True)


def _phone(text: str, context: Context) -> str | None:
    return identifiers.read_phone(text) if "phone" in context.expected else None


def _registered(kind: str) -> Callable[[str, Context], str | None]:
    def read(text: str, context: Context) -> str | None:
        if kind in identifiers.UNCHECKED and kind not in context.expected:
            return None
        return identifiers.read_registered(text).get(kind)

    return read


def _equal(a: Any, b: Any, _context: Context) -> bool:
    return bool(a == b)


TYPES: Final = (
    *(ValueType(kind, _registered(kind), _equal) for kind in identifiers.REGISTERED),
    ValueType("currency", _currency, lambda a, b, _: bool(a & b)),
    ValueType("date", _date, _same_date, lambda a, b: bool(a.moments & b.moments)),
    ValueType("time", lambda text, _: dates.read_time(text), _equal),
    ValueType("percentage", _percentage, lambda a, b, _: amounts.same_amount(a, b, money=True)),
    ValueType("quantity", _quantity, _same_quantity),
    ValueType("phone", _phone, lambda a, b, context: identifiers.same_phone(a, b, _bare(context))),
    ValueType(
        "amount",
        _amount,
        lambda a, b, context: amounts.same_amount(a, b, money="amount" in context.expected),
        lambda a, b: bool(a.values & b.values) and amounts.same_currency(a, b),
    ),
    ValueType("identifier", lambda text, _: identifiers.read_identifier(text), _equal),
)
"""From the most specific type to the loosest; the first type that both texts have decides."""

_UNREGISTERED_TYPES: Final = tuple(row for row in TYPES if row.kind not in identifiers.REGISTERED)

_TYPE_OF: Final = {row.kind: row for row in TYPES}


@functools.lru_cache(maxsize=2048)
def readings(text: str, context: Context) -> Mapping[str, Any]:
    """What a plain ``text`` can mean: kind → the value, from the most specific type to the loosest.

    An answer is compared, classified and looked for among the other values of its document, one after the
    other; so the last texts are remembered. Texts longer than ``MAX_TYPED`` should not be asked for.
    """
    # Most texts are no registered number at all.
    types = TYPES if identifiers.read_registered(text) else _UNREGISTERED_TYPES
    values = {}
    for row in types:
        value = row.read(text, context)
        if value is not None:
            values[row.kind] = value
    return values


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
    context = context_of(field, language)
    answer = western_digits(plain(as_text(prediction)))
    matches = [
        _compare(answer, western_digits(plain(as_text(reference))), context)
        for reference in references
    ]
    nothing = FieldMatch(False, matches[0].kind if matches else "text")
    return next((match for match in matches if match.equivalent), nothing)


_LANGUAGE_TAG: Final = re.compile(
    r"([a-z]{2,3})(?:[-_](?:[a-z]{4}[-_])?([a-z]{2}))?(?![a-z])", re.IGNORECASE
)


@functools.lru_cache(maxsize=1024)
def context_of(field: str | None, language: str | None) -> Context:
    """What the name of a field and the language of its document say about the field's value."""
    name = (field or "").lower().replace("_", " ")
    expected = frozenset(kind for kind, pattern in _HINT_PATTERNS.items() if pattern.search(name))
    tag = _LANGUAGE_TAG.match(language or "")
    if tag is None:
        return Context(None, expected)
    region = f"-{tag[2].upper()}" if tag[2] else ""
    return Context(tag[1].lower() + region, expected)


def is_ambiguous(
    prediction: str,
    references: Sequence[str],
    *,
    field: str | None = None,
    language: str | None = None,
) -> bool:
    """Whether the answer can mean a reference's value and another one, so that it is neither right nor wrong.

    03/04/2024 for 3 April 2024 is such an answer while the document's language does not say what comes first.
    """
    context = context_of(field, language)
    answer = western_digits(plain(as_text(prediction)))
    for text in references:
        reference = western_digits(plain(as_text(text)))
        if max(len(answer), len(reference)) > MAX_TYPED:
            continue
        known = informed(context, answer, reference)
        given = readings(answer, known)
        for kind, expected in readings(reference, known).items():
            if kind in given:
                row, value = _TYPE_OF[kind], given[kind]
                if row.may_be(value, expected) and not row.same(value, expected, known):
                    return True
                break
    return False


def is_typed(text: str, *, field: str | None = None, language: str | None = None) -> bool:
    """Whether ``text`` is a date, an amount or the like, which is right as a whole or not at all."""
    return value_kind(text, field=field, language=language) is not None


def value_kind(text: str, *, field: str | None = None, language: str | None = None) -> str | None:
    """The name of the first type of ``TYPES`` that ``text`` has; None for words."""
    # A longer text may be short once its invisible characters are taken out, but hardly ever is.
    kind = _remembered_kind if len(text) <= MAX_TYPED else _kind
    return kind(text, field, language)


@functools.lru_cache(maxsize=8192)
def _remembered_kind(text: str, field: str | None, language: str | None) -> str | None:
    return _kind(text, field, language)


def _kind(text: str, field: str | None, language: str | None) -> str | None:
    bare = western_digits(plain(text))
    if len(bare) > MAX_TYPED or not _NUMBER.search(bare) or has_special_digits(bare):
        return None
    context = informed(context_of(field, language), bare, bare)
    return next(iter(readings(bare, context)), None)


def _same_name(answer: str, reference: str, context: Context) -> bool:
    """Whether two texts differ in stops, blanks and abbreviations only, as names and addresses may."""
    words, expected = (names.name_words(spelling_of_names(text)) for text in (answer, reference))
    if words is None or expected is None:
        return False
    if words == expected:
        return True
    if "address" in context.expected:
        return names.address_words(words) == names.address_words(expected)
    if "company" in context.expected:
        return names.company_words(words) == names.company_words(expected)
    return False


def _compare(answer: str, reference: str, context: Context) -> FieldMatch:
    if same_text(answer, reference):
        return FieldMatch(True, "text")
    if max(len(answer), len(reference)) > MAX_TYPED:
        return FieldMatch(False, "text")
    if has_special_digits(answer + reference):
        return FieldMatch(False, "text")
    if _same_name(answer, reference, context):
        return FieldMatch(True, "text")
    if "currency" not in context.expected and not _NUMBER.search(reference + answer):
        return FieldMatch(False, "text")
    context = informed(context, answer, reference)
    given, expected = readings(answer, context), readings(reference, context)
    for kind, value in expected.items():
        if kind in given:
            # Two values of one type that differ decide: a looser type must not make them equal.
            return FieldMatch(_TYPE_OF[kind].same(given[kind], value, context), kind)
    return FieldMatch(False, next(iter(expected), "text"))


def informed(context: Context, answer: str, reference: str) -> Context:
    """``context`` with what the two texts themselves say about type and language."""
    expected = context.expected | _marked_types(answer) | _marked_types(reference)
    language = context.language
    if language is None and _CYRILLIC.search(answer + reference):
        language = "ru"
    elif language is None and _HAN.search(answer + reference):
        language = "zh"
    return Context(language, expected)


@functools.lru_cache(maxsize=2048)
def _marked_types(text: str) -> frozenset[str]:
    """Types that a mark in a plain ``text`` names: a + before a telephone number, or БИК."""
    marked = {kind for kind in identifiers.UNCHECKED if identifiers.has_label(text, kind)}
    if identifiers.looks_like_phone(text):
        marked.add("phone")
    return frozenset(marked)


def field_match(
    prediction: Json,
    references: Sequence[Json],
    *,
    field: str | None = None,
    language: str | None = None,
) -> MetricValue:
    """The table's type-aware score; ``field`` and ``language`` as in ``field_equivalent``.

    Text: 1 if the answer is equivalent to a reference. JSON: F1 over fields as ``kie_f1``, weighted the
    same way, where a field is found if a value under the same key is equivalent.
    """
    if not references:
        return MetricValue(None)
    structured = [reference for reference in references if isinstance(reference, dict | list)]
    if not structured:
        texts = bounded_texts(references)
        check_texts(as_text(prediction), texts)
        if len(texts) > MAX_COMPARISONS:
            raise TooLarge
        match = field_equivalent(as_text(prediction), texts, field=field, language=language)
        return MetricValue(float(match.equivalent))
    parsed = parsed_fields(prediction)
    agreements = [
        typed_agreement(parsed, parsed_fields(reference), language=language)
        for reference in structured
    ]
    return best(map(weighted_f1, agreements), higher=True)


def field_score(prediction: Json, references: Sequence[Json], facts: QuestionFacts) -> MetricValue:
    """``field_match`` for the table of metrics."""
    return field_match(prediction, references, field=facts.field, language=facts.language)


def parsed_agreement(
    answer: str, reference: Json, *, language: str | None = None
) -> FieldAgreement:
    """``typed_agreement`` of an answer's text, which finds nothing if it is no JSON."""
    return typed_agreement(parsed_fields(answer), parsed_fields(reference), language=language)


def typed_agreement(
    prediction: Json, reference: Json, *, language: str | None = None
) -> FieldAgreement:
    """Fields whose values are equivalent under an equal key; equal values are taken first."""
    predicted, expected = field_counts(prediction), field_counts(reference)
    hits = (predicted & expected).total()
    unmatched: dict[str, list[str]] = {}
    for key, value in (expected - predicted).elements():
        unmatched.setdefault(key, []).append(value)
    comparisons = characters = 0
    for key, value in (predicted - expected).elements():
        candidates = unmatched.get(key, [])
        for index, candidate in enumerate(candidates):
            comparisons += 1
            characters += len(value) + len(candidate)
            if comparisons > MAX_COMPARISONS or characters > MAX_COMPARED_TEXT:
                raise TooLarge
            if field_equivalent(value, [candidate], field=key, language=language).equivalent:
                hits += 1
                del candidates[index]
                break
    return FieldAgreement(hits, predicted.total(), expected.total())

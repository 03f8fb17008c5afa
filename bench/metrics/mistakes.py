"""Sorts wrong answers: each gets one class, by the first rule that applies.

The rules stand in one table, in order. ``docs/metrics.md`` repeats them for the reader of a report.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from bench.metrics.edit import levenshtein
from bench.metrics.fields import (
    field_equivalent,
    field_match,
    is_ambiguous,
    is_typed,
    parsed_agreement,
    value_kind,
)
from bench.metrics.folding import plain
from bench.metrics.lookup import FieldIndex
from bench.metrics.metric import as_json, as_text
from bench.schema import AnswerType, Json, StopReason

PARTIAL_SIMILARITY: Final = 0.5
"""From this similarity on (1 − distance / longer length) an answer is partly right: the threshold of ANLS."""

MAX_DOCUMENT: Final = 1_000_000
"""Characters of a document's text that are searched: about five hundred pages."""

MAX_COMPARED: Final = 10_000
"""Characters of an answer and of a reference that are compared to name a mistake."""

MAX_REFUSAL: Final = 2_000
"""Characters of an answer in which a refusal is looked for: a refusal comes first."""

MIN_LOOP: Final = 6
"""Characters that repeat themselves before they are a loop: 88888 may be a number."""

_WRITTEN: Final = frozenset({"text", "markdown"})
"""Types of answers that are read from the page letter by letter."""

_LOOP: Final = re.compile(r"(.{1,20}?)\1{3,}")
_CYRILLIC_LANGUAGES: Final = "ru uk be bg sr kk ky mk"
_LATIN_LANGUAGES: Final = "en de fr es it pt nl pl cs sv da nb fi ro hu tr vi id"
_WRITING_OF: Final = {
    **dict.fromkeys(_CYRILLIC_LANGUAGES.split(), frozenset({"CYRILLIC"})),
    **dict.fromkeys(_LATIN_LANGUAGES.split(), frozenset({"LATIN"})),
    "zh": frozenset({"CJK"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
    "ko": frozenset({"HANGUL"}),
    "ar": frozenset({"ARABIC"}),
    "he": frozenset({"HEBREW"}),
    "el": frozenset({"GREEK"}),
}

_REFUSALS: Final = (
    # English
    r"\bI(?:'m| am) (?:sorry|unable|not able)\b",
    r"\bI (?:can(?:no|')t|could not|couldn't|do not|don't) (?:see|read|find|determine|answer|provide)",
    r"\bI (?:can(?:no|')t|do not|don't) (?:help|assist|view|access|have access|have (?:the )?ability)",
    r"\b(?:cannot|can't|could not|can not) be (?:determined|read|answered|found|seen)\b",
    r"\bnot (?:visible|mentioned|specified|provided|given|stated|shown|available|legible)\b",
    r"\bunanswerable\b|\bno (?:such )?(?:information|answer)\b|\bas an ai\b",
    # Russian
    r"(?:не могу|невозможно|не удалось|не уда[её]тся) (?:\w+ )?(?:ответить|определить|прочитать|найти)",
    r"(?:не могу|невозможно|не удалось|не уда[её]тся) (?:\w+ )?(?:прочесть|увидеть|помочь|распознать)",
    r"(?:извините|простите|к сожалению)\b",
    r"не (?:указан[оаы]?|упоминается|упомянут[оаы]?|видно)\b|нет данных",
    r"(?:нет (?:такой )?информации|информация отсутствует)",
    # Chinese
    r"(?:抱歉|对不起|對不起)",
    r"(?:无法|不能|無法)(?:回答|确定|確定|识别|看到|读取|提供|判断|辨认)",
    r"(?:未提及|未提供|没有(?:提到|提供|相关|找到)|沒有提到|不清楚|图中没有)",
)
_DIGIT: Final = re.compile(r"\d")
_MARKS: Final = re.compile(r"[\W_]+")
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""In Chinese and Japanese every character counts as a word, because no blanks end words there."""
_REFUSAL: Final = re.compile("|".join(_REFUSALS), re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Answered:
    """A wrong answer with everything that is known about it."""

    answer: str
    """What was extracted and compared."""
    references: Sequence[Json]
    answer_type: AnswerType = "text"
    stop_reason: StopReason = "stop"
    field: str | None = None
    """Name of the field that was asked for."""
    language: str | None = None
    """ISO 639-1 code of the document."""
    other_fields: FieldIndex | None = None
    """References of all questions about the same document, by sample id or field."""
    own: str | None = None
    """Which of them is this one's."""
    document_text: str | None = None
    """Everything written on the document; None if it is not known."""


def _failed(wrong: Answered) -> bool:
    return wrong.stop_reason == "error"


def _empty(wrong: Answered) -> bool:
    # An answer that was cut before it began is cut, whatever it consists of.
    return not _truncated(wrong) and not plain(wrong.answer)


def _truncated(wrong: Answered) -> bool:
    return wrong.stop_reason == "length"


def _unparseable(wrong: Answered) -> bool:
    if wrong.answer_type != "json" or (_truncated(wrong) and not plain(wrong.answer)):
        return False
    try:
        value = as_json(wrong.answer)
    except ValueError:
        return True
    return not isinstance(value, dict | list)


def _format_only(wrong: Answered) -> bool:
    if wrong.answer_type == "json":
        return field_match(wrong.answer, wrong.references, language=wrong.language).value == 1.0
    texts = [as_text(reference) for reference in wrong.references]
    match = field_equivalent(wrong.answer, texts, field=wrong.field, language=wrong.language)
    return match.equivalent


def _ambiguous(wrong: Answered) -> bool:
    return wrong.answer_type == "text" and is_ambiguous(
        wrong.answer, _texts(wrong), field=wrong.field, language=wrong.language
    )


def _texts(wrong: Answered) -> list[str]:
    return [as_text(reference) for reference in wrong.references]


def _refusal(wrong: Answered) -> bool:
    beginning = wrong.answer[:MAX_REFUSAL]
    return wrong.answer_type != "json" and _REFUSAL.search(plain(beginning)) is not None


def _invented(wrong: Answered) -> bool:
    """Whether a value stands where the document has none."""
    if wrong.answer_type == "text":
        return bool(wrong.references) and not any(plain(text) for text in _texts(wrong))
    if wrong.answer_type != "json":
        return False
    agreements = [
        parsed_agreement(wrong.answer, reference, language=wrong.language)
        for reference in wrong.references
    ]
    return any(each.hits == each.expected < each.predicted for each in agreements)


def _other_field(wrong: Answered) -> bool:
    if wrong.answer_type == "json":
        return False
    if wrong.other_fields is None:
        return False
    return wrong.other_fields.owner(wrong.answer, besides=wrong.own) is not None


def _partial(wrong: Answered) -> bool:
    if wrong.answer_type == "json":
        value = field_match(wrong.answer, wrong.references, language=wrong.language).value
        return value is not None and value > 0
    answer = plain(wrong.answer[:MAX_COMPARED]).casefold()
    return any(_is_part(wrong, answer, text[:MAX_COMPARED]) for text in _texts(wrong))


def _is_part(wrong: Answered, answer: str, text: str) -> bool:
    reference = plain(text).casefold()
    if not answer or not reference:
        return False
    said, wanted = f" {' '.join(_words(answer))} ", f" {' '.join(_words(reference))} "
    if said.isspace() or wanted.isspace():
        return False
    if wanted in said:
        return True
    if is_typed(text, field=wrong.field, language=wrong.language):
        # Half of an account number is another number; a date without its year is a part of one.
        is_date = value_kind(text, field=wrong.field, language=wrong.language) == "date"
        is_dated = value_kind(wrong.answer, field=wrong.field, language=wrong.language) == "date"
        return is_date and is_dated and said in wanted
    # Another digit is another number, however many letters agree.
    has_equal_digits = _DIGIT.findall(answer) == _DIGIT.findall(reference)
    return said in wanted or (has_equal_digits and _is_near(answer, reference))


def _is_near(answer: str, reference: str) -> bool:
    length = max(len(answer), len(reference))
    limit = int(length * (1 - PARTIAL_SIMILARITY))
    return levenshtein(answer, reference, limit) <= limit


def _misread(wrong: Answered) -> bool:
    if wrong.answer_type not in _WRITTEN:
        return False
    answer = plain(wrong.answer[:MAX_COMPARED]).casefold()
    references = [plain(text[:MAX_COMPARED]).casefold() for text in _texts(wrong)]
    # One letter or digit is never more than half of another one.
    return len(answer) > 1 and any(text and _is_near(answer, text) for text in references)


def _repetition(wrong: Answered) -> bool:
    """Whether most of the answer is one short piece again and again, or a handful of letters."""
    if wrong.answer_type not in _WRITTEN:
        return False
    squeezed = _squeezed(wrong.answer[:MAX_COMPARED]) or re.sub(
        r"\s+", "", wrong.answer[:MAX_COMPARED]
    )
    if any(squeezed == _squeezed(text[:MAX_COMPARED]) for text in _texts(wrong)):
        return False
    if len(squeezed) >= MIN_LOOP and len(set(squeezed)) <= len(squeezed) // 4:
        return True
    loops = sum(len(loop[0]) for loop in _LOOP.finditer(squeezed))
    return loops * 2 >= len(squeezed) and loops >= MIN_LOOP


def _other_language(wrong: Answered) -> bool:
    """Whether the answer's letters are of a writing that neither the references nor the language have."""
    if wrong.answer_type not in _WRITTEN:
        return False
    said = _writings(wrong.answer[:MAX_COMPARED])
    expected = frozenset[str]().union(*(_writings(text[:MAX_COMPARED]) for text in _texts(wrong)))
    expected |= _WRITING_OF.get((wrong.language or "").partition("-")[0].lower(), frozenset())
    return bool(said) and bool(expected) and not said & expected


def _writings(text: str) -> frozenset[str]:
    """Writings of the letters of ``text``, as Unicode names them: LATIN, CYRILLIC, CJK."""
    names = (unicodedata.name(letter, "") for letter in set(text) if letter.isalpha())
    return frozenset(name.partition(" ")[0] for name in names if name)


def _other_type(wrong: Answered) -> bool:
    if wrong.answer_type != "text":
        return False
    return all(
        is_typed(text, field=wrong.field, language=wrong.language)
        != is_typed(wrong.answer, field=wrong.field, language=wrong.language)
        for text in _texts(wrong)
    )


def _other_value(wrong: Answered) -> bool:
    if wrong.answer_type != "text":
        return False
    return is_typed(wrong.answer, field=wrong.field, language=wrong.language)


def _other_line(wrong: Answered) -> bool:
    if wrong.document_text is None or wrong.answer_type != "text":
        return False
    answer = _squeezed(wrong.answer)
    return bool(answer) and answer in _squeezed_document(wrong.document_text[:MAX_DOCUMENT])


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _not_on_page(wrong: Answered) -> bool:
    if wrong.document_text is None or wrong.answer_type != "text":
        return False
    answer = _squeezed(wrong.answer)
    return bool(answer) and answer not in _squeezed_document(wrong.document_text[:MAX_DOCUMENT])


@functools.lru_cache(maxsize=4)
def _squeezed_document(text: str) -> str:
    return _squeezed(text)


def _squeezed(text: str) -> str:
    return _MARKS.sub("", plain(text).casefold())


def _any(_wrong: Answered) -> bool:
    return True


RULES: Final[tuple[tuple[str, Callable[[Answered], bool], str], ...]] = (
    ("failed", _failed, "the run recorded an error instead of an answer"),
    ("empty", _empty, "the answer is empty, or contains only blanks"),
    (
        "unparseable",
        _unparseable,
        "the task asks for JSON, and the answer is not a JSON object or list",
    ),
    ("format_only", _format_only, "the typed value equals a reference's (field_match)"),
    (
        "ambiguous",
        _ambiguous,
        "the answer can mean the reference's value and another one, and nothing decides",
    ),
    ("truncated", _truncated, "the answer ended at the token limit"),
    (
        "refusal",
        _refusal,
        "the model says that it cannot answer (phrases in English, Russian, Chinese)",
    ),
    ("invented", _invented, "the reference says that there is no value, and the answer gives one"),
    (
        "other_field",
        _other_field,
        "the typed value is the reference of another question on this document",
    ),
    (
        "partial",
        _partial,
        "one text contains the other, or digits are equal and similarity is at least 0.5, but never half "
        "of a date, an amount or a number; JSON: a field is right",
    ),
    (
        "misread",
        _misread,
        "letters or digits differ, and similarity is at least 0.5",
    ),
    (
        "repetition",
        _repetition,
        "most of the answer is one short piece again and again",
    ),
    (
        "not_on_page",
        _not_on_page,
        "the document's text is known, and the answer does not occur in it",
    ),
    (
        "other_line",
        _other_line,
        "the document's text is known, and the answer occurs in it",
    ),
    (
        "other_language",
        _other_language,
        "the letters are of a writing that neither the references nor the document's language have",
    ),
    (
        "other_type",
        _other_type,
        "words for a date, an amount or a number, or such a value for words",
    ),
    (
        "other_value",
        _other_value,
        "a date, an amount or a number, but another one",
    ),
    ("wrong", _any, "none of the above"),
)
"""(class, rule, what the rule says), in the order they are tried; the last one always applies."""

MISTAKES: Final = tuple(name for name, _, _ in RULES)
"""The classes, in the order of their rules."""


def classify(wrong: Answered) -> str:
    """The class of a wrong answer: the name of the first rule of ``RULES`` that applies.

    Whether an answer is wrong is for the caller to say; a right one would come out as ``format_only``.
    """
    return next(name for name, rule, _ in RULES if rule(wrong))

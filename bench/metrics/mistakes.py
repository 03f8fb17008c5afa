"""Sorts wrong answers: each gets one class, by the first rule that applies.

The rules stand in one table, in order. ``docs/metrics.md`` repeats them for the reader of a report.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bench.metrics.edit import levenshtein
from bench.metrics.fields import field_equivalent, field_match
from bench.metrics.folding import plain
from bench.metrics.metric import as_json, as_text
from bench.schema import AnswerType, Json, StopReason

PARTIAL_SIMILARITY: Final = 0.5
"""From this similarity on (1 − distance / longer length) an answer is partly right: the threshold of ANLS."""

MAX_DOCUMENT: Final = 2_000_000
"""Characters of a document's text that are searched: about a thousand pages."""

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
    other_fields: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """References of the other questions about the same document, by sample id or field."""
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
        return field_match(wrong.answer, wrong.references).value == 1.0
    texts = [as_text(reference) for reference in wrong.references]
    match = field_equivalent(wrong.answer, texts, field=wrong.field, language=wrong.language)
    return match.equivalent


def _refusal(wrong: Answered) -> bool:
    return wrong.answer_type != "json" and _REFUSAL.search(plain(wrong.answer)) is not None


def _other_field(wrong: Answered) -> bool:
    if wrong.answer_type == "json":
        return False
    others: list[str] = []
    for texts in wrong.other_fields.values():
        others += [text for text in texts if plain(text)]
    if not others:
        return False
    return field_equivalent(wrong.answer, others, language=wrong.language).equivalent


def _partial(wrong: Answered) -> bool:
    if wrong.answer_type == "json":
        value = field_match(wrong.answer, wrong.references).value
        return value is not None and value > 0
    answer = plain(wrong.answer).casefold()
    return any(
        _is_near(answer, plain(as_text(reference)).casefold()) for reference in wrong.references
    )


def _is_near(answer: str, reference: str) -> bool:
    if not answer or not reference:
        return False
    shorter, longer = sorted((_words(answer), _words(reference)), key=len)
    if shorter and f" {' '.join(shorter)} " in f" {' '.join(longer)} ":
        return True
    # Another digit is another number, however many letters agree.
    if re.findall(r"\d", answer) != re.findall(r"\d", reference):
        return False
    length = max(len(answer), len(reference))
    limit = int(length * (1 - PARTIAL_SIMILARITY))
    return levenshtein(answer, reference, limit) <= limit


def _words(text: str) -> list[str]:
    # In Chinese and Japanese every character counts as a word, because no blanks end words there.
    return re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+", text)


def _not_on_page(wrong: Answered) -> bool:
    if wrong.document_text is None or wrong.answer_type != "text":
        return False
    answer = _squeezed(wrong.answer)
    return bool(answer) and answer not in _squeezed(wrong.document_text[:MAX_DOCUMENT])


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", plain(text).casefold())


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
    ("truncated", _truncated, "the answer ended at the token limit"),
    (
        "refusal",
        _refusal,
        "the model says that it cannot answer (phrases in English, Russian, Chinese)",
    ),
    (
        "other_field",
        _other_field,
        "the typed value is the reference of another question on this document",
    ),
    (
        "partial",
        _partial,
        "one text contains the other, or digits are equal and similarity is at least 0.5; "
        "JSON: a field is right",
    ),
    (
        "not_on_page",
        _not_on_page,
        "the document's text is known, and the answer does not occur in it",
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

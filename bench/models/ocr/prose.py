"""Answers from running text: contracts say in sentences what forms say with labels.

Lines are joined into sentences; the one that shares the rarest words with the question is searched for a
value of the kind that the question asks for. Parties are found by the clause that names them ("…,
hereinafter the Seller").
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.models.ocr.characters import CHINESE
from bench.models.ocr.fields import Party, normalise, party_words
from bench.models.ocr.layout import PageLayout, TableCell
from bench.models.ocr.values import ValueKind, cut
from bench.models.ocr.words import word_list, words_pattern

_LONG_LINE = 0.7
"""Share of the text's width that a line must reach for the next one to go on with its sentence."""
_LONGEST_SENTENCE = 600
"""Letters: what is longer is a table whose rows reach from margin to margin."""
_MINIMUM_OVERLAP = 0.45
"""Share of a question's words, the rare ones counting more, that a sentence must have to answer it."""

DURATION = re.compile(
    r"\d+\s*(?:\([^)]{2,40}\)\s*)?"
    r"(?:(?:business|working|calendar|banking|рабоч\w+|календарн\w+|банковск\w+)\s+)?"
    r"(?:days?|weeks?|months?|years?|дн(?:ей|я|и)|день|недел[ьия]\w*|месяц\w*|год(?:а|ов)?|лет)(?!\w)"
    r"|\d+\s*(?:个工作日|个自然日|个月|工作日|日|天|年|周)(?!\s*\d)",
    re.IGNORECASE,
)
COMPANY = re.compile(
    r"(?:ООО|ОАО|ЗАО|ПАО|АО|ИП"
    r"|Общество с ограниченной ответственностью|[А-ЯЁ][а-яё]+(?:\s[а-яё]+)?\sобщество)"
    r"\s*[«\"“][^»\"”]{2,60}[»\"”]"
    r"|[A-Z][\w&.'’-]*(?:\s(?:[A-Z&][\w&.'’-]*|and|of))*\s(?:Ltd|Limited|LLP|LLC|Inc|plc|PLC|Corp|GmbH)\b\.?"
    r"|[\u4e00-\u9fff（）()]{3,30}(?:公司|集团|厂)"
)
_WORDS = re.compile(rf"[a-zа-я]{{3,}}|{CHINESE}")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and the cell that it begins in."""

    text: str
    cell: TableCell


def sentences(layouts: Sequence[PageLayout]) -> list[Sentence]:
    """The document's sentences, in reading order."""
    return [
        Sentence(part, first)
        for layout in layouts
        for text, first in _paragraphs(layout)
        for part in _split(text)
    ]


def _paragraphs(layout: PageLayout) -> Iterator[tuple[str, TableCell]]:
    """Lines that go on in the next one, joined, and the cell that the first begins with.

    A line that does not reach the margin ends a paragraph.
    """
    # Rows of a table have more cells.
    cells = [row[0] for row in layout.rows if len(row) <= 2]
    if not cells:
        return
    left = min(cell.left for cell in cells)
    width = max(cell.right for cell in cells) - left
    text, first = "", cells[0]
    for row in layout.rows:
        line = " ".join(cell.text for cell in row)
        if not text:
            first = row[0]
        is_hyphenated = text.endswith("-") and line[:1].islower()
        text = text[:-1] + line if is_hyphenated else f"{text} {line}".strip()
        if row[-1].right - left <= _LONG_LINE * width:
            yield text, first
            text = ""
    yield text, first


def _split(text: str) -> list[str]:
    parts = re.split(r"(?<=[.;!?])\s+(?=[A-ZА-ЯЁ«\"(\d])|(?<=[。；])", text)
    return [part.strip() for part in parts if len(part.strip()) > 2]


def asked_kind(plain: str, kind: ValueKind | None) -> ValueKind | re.Pattern[str] | None:
    """What shape of value a normalised question wants from a sentence; None if a sentence cannot tell."""
    if words_pattern("asks_percent").search(plain):
        return ValueKind.PERCENT
    if words_pattern("asks_duration").search(plain):
        return DURATION
    shaped = {ValueKind.DATE, ValueKind.AMOUNT, ValueKind.PERCENT, ValueKind.PHONE, ValueKind.EMAIL}
    return kind if kind in shaped else None


def from_sentences(
    sentences: Sequence[Sentence], question: str, wanted: ValueKind | re.Pattern[str]
) -> tuple[str, float, TableCell] | None:
    """The value in the sentence that is most about ``question``, its score, and where it stands."""
    stems_of = [_stems(sentence.text) for sentence in sentences]
    frequency = Counter(stem for stems in stems_of for stem in stems)
    asked = {stem for stem in _stems(question) if stem in frequency}
    unknown = len(_stems(question)) - len(asked)
    # A word that few sentences use tells more which of them is meant.
    weight = {stem: math.log(1 + len(sentences) / frequency[stem]) for stem in asked}
    # Words that the document never uses count against every sentence, though less than those it does.
    total = sum(weight.values()) + 0.7 * unknown
    best: tuple[float, str, TableCell] | None = None
    for sentence, stems in zip(sentences, stems_of, strict=True):
        if len(sentence.text) > _LONGEST_SENTENCE:
            continue
        overlap = sum(weight[stem] for stem in asked & stems) / total if total else 0.0
        if overlap < _MINIMUM_OVERLAP or (best is not None and overlap <= best[0]):
            continue
        if isinstance(wanted, ValueKind):
            value = cut(sentence.text, wanted)
            text = None if value is None else value.text
        else:
            match = wanted.search(sentence.text)
            text = None if match is None else match.group()
        if text is not None:
            best = (overlap, text, sentence.cell)
    return None if best is None else (best[1], 0.4 + 0.4 * best[0], best[2])


def _stems(text: str) -> frozenset[str]:
    words = _WORDS.findall(normalise(text))
    return frozenset(_stem(word) for word in words if word not in word_list("asking"))


def _stem(word: str) -> str:
    """The beginning of ``word`` that its inflected forms share, by and large: three to six letters."""
    return word[: max(3, min(6, len(word) - 2))] if len(word) > 3 else word


def party_name(sentences: Sequence[Sentence], party: Party) -> tuple[str, TableCell] | None:
    """The company that a clause calls ``party``: "…, hereinafter the Seller", «именуемое … „Поставщик“»."""
    role = re.compile(rf"[«\"“”‘'(（]\s*(?:the\s+)?[\"“«]?(?:{party_words()[party]})")
    for number, sentence in enumerate(sentences):
        # With the next one: "Ltd." may have ended a sentence too early.
        text = " ".join(following.text for following in sentences[number : number + 2])
        match = role.search(normalise(text))
        if match is None:
            continue
        names = [name for name in COMPANY.finditer(text) if name.end() <= match.start() + 1]
        # Between the name and the role stand the company's address and who acts for it.
        if names and match.start() - names[-1].end() < 400:
            return names[-1].group(), sentence.cell
    return None

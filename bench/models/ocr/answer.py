"""From a question to an answer: which field is asked for, whose, and which candidate answers it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from rapidfuzz import fuzz

from bench.models.ocr import prose, table
from bench.models.ocr.characters import count_chinese, count_letters
from bench.models.ocr.fields import (
    PARTY_WORDS,
    Field,
    Party,
    Phrase,
    field_named,
    fields,
    normalise,
)
from bench.models.ocr.matching import Candidate, Mark, OcrDocument
from bench.models.ocr.values import ValueKind, cut

_MINIMUM = 0.35
"""Candidates that score less are not answered: an empty answer is more honest than a guess."""

_DESCRIBE = re.compile(
    r"опиши|описание документа|describe|description of (?:the|this)|描述|概述|介绍一下"
)
_JSON = re.compile(r"(?<![a-z])json(?![a-z])")


class OcrAnswer(NamedTuple):
    """What is answered, and how sure."""

    text: str
    confidence: float | None
    """OCR confidence times the match's score, 0 to 1; None for an empty answer."""


class OcrQuestion(NamedTuple):
    """What a question is about."""

    field: Field | None
    party: Party | None


def answer(document: OcrDocument, question: str) -> OcrAnswer:
    """The answer to ``question``, empty where the document shows none."""
    plain = normalise(question)
    if _JSON.search(plain) or re.search(r'\{[^{}]*"[^{}]*\}', plain, re.DOTALL):
        return _answer_json(document, question)
    if _DESCRIBE.search(plain):
        return _describe(document, plain)
    found = find(document, question)
    if found is None:
        return OcrAnswer("", None)
    return OcrAnswer(found.text, round(max(0.0, min(1.0, found.score * found.cell.confidence)), 4))


def find(document: OcrDocument, question: str) -> Candidate | None:
    """The best candidate for ``question``, or None where none is good enough."""
    asked = understand(question)
    row = table.ordinal(question)
    if row is not None and (cell := _row_candidate(document, question, row)) is not None:
        return cell
    of_item = list(_item_candidates(document, question, asked))
    if asked.field is not None and asked.field.name == "line_amount" and not of_item:
        asked = asked._replace(
            field=field_named("total")
        )  # "the amount", and of no item in particular
    candidates = [*_field_candidates(document, asked), *of_item]
    best = _best(candidates)
    if (
        asked.field is not None
        and asked.field.kind is ValueKind.ADDRESS
        and (best is None or best.score < 0.6)
    ):
        candidates.extend(_address_candidates(document, asked.party))
        best = _best(candidates)
    if best is None:
        best = _best(_anywhere(document, asked))
    if best is None or best.score < 0.5:
        generic = _generic_candidates(document, question, asked)
        best = _best([*candidates, *generic, *([best] if best is not None else [])])
    # A party's name beside a label leaves no doubt; in a sentence, the word "seller" is often no label.
    doubtful = 0.8 if asked.field is not None and asked.field.party is not None else 0.5
    if best is None or best.score < doubtful:
        best = _from_prose(document, question, asked) or best
    if best is None and asked.field is not None:
        best = _fallback(document, asked.field)
    return best


def understand(question: str) -> OcrQuestion:
    """The field that ``question`` names by its longest phrase, and the party."""
    plain = normalise(question)
    party: Party | None = next(
        (p for p, words in PARTY_WORDS.items() if re.search(words, plain)), None
    )
    best: tuple[float, Field] | None = None
    for field in fields():
        rank = max(_said(p, plain) for p in field.labels)
        # "How much is the tax?": the words that only ask weigh little beside those that name.
        rank = field.weight * max(rank, *(0.3 * _said(p, plain) for p in field.asked), 0.0)
        if rank == 0.0:
            continue
        if field.party is not None or field.name == "name":
            rank -= 100
        if best is None or rank > best[0]:
            best = (rank, field)
    field_asked = None if best is None else best[1]
    if field_asked is not None and field_asked.name == "name" and party is not None:
        field_asked = field_named(party)
    return OcrQuestion(field_asked, party)


def _said(phrase: Phrase, question: str) -> float:
    """Length of ``phrase`` as the question says it, 0 where it does not."""
    match = phrase.pattern.search(question)
    if match is None:
        return 0.0
    # A Chinese character says as much as three letters.
    return len(match.group()) + 2.0 * count_chinese(match.group())


def _best(candidates: Iterable[Candidate]) -> Candidate | None:
    # On equal scores the later one wins for nothing but order: max() keeps the first, in reading order.
    best = max(candidates, key=lambda c: c.score, default=None)
    return best if best is not None and best.score >= _MINIMUM else None


def _field_candidates(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    field = asked.field
    if field is None:
        return
    for mark in document.marks:
        same = mark.field.name == field.name
        # "Seller … Name: X": the name field in a party's block is the party's name.
        named = field.party is not None and mark.field.name == "name"
        if not same and not named:
            continue
        owner = None if same and field.party is not None else document.owner(mark)
        wanted = field.party or asked.party
        factor = (
            _party_factor(wanted, owner)
            if owner is not None or field.party is None or named
            else 1.0
        )
        for candidate in document.candidates(mark):
            yield candidate._replace(score=candidate.score * factor)


def _party_factor(wanted: Party | None, owner: Party | None) -> float:
    if wanted is None:
        return {None: 1.0, "seller": 0.97, "buyer": 0.9}[owner]
    if owner is None:
        return 0.6
    return 1.0 if owner == wanted else 0.1


_ROW_COLUMNS = (
    ("quantity", r"quantit|how many|количеств|сколько штук|кол-во|数量"),
    ("price", r"unit price|price of|цен[аыу]|单价"),
    ("total", r"amount|total|cost|paid|how much|сумм|стоимост|заплат|金额|总价|多少钱"),
    (
        "name",
        r"item|product|goods|service|description|товар|услуг|наименован|позици|名称|商品|货物|服务|项目|品名",
    ),
)


def _row_candidate(document: OcrDocument, question: str, row: int) -> Candidate | None:
    """What the question wants of the row that it counts off: its name, quantity, price or total."""
    plain = normalise(question)
    column = next((name for name, words in _ROW_COLUMNS if re.search(words, plain)), None)
    found = table.items(document)
    if column is None or row >= len(found) or column not in found[row]:
        return None
    text = table.value(found[row], column)
    return Candidate(text, 0.8, found[row][column]) if text else None


def _item_candidates(
    document: OcrDocument, question: str, asked: OcrQuestion
) -> Iterable[Candidate]:
    """What stands in a column of the goods table, in the row of the item that the question names."""
    if asked.field is None or asked.field.kind not in {
        ValueKind.AMOUNT,
        ValueKind.QUANTITY,
        ValueKind.PERCENT,
        ValueKind.TEXT,
    }:
        return
    plain = normalise(question)
    headers = [m for m in document.marks if m.field.name == asked.field.name and m.score > 0.6]
    for item in document.cells:
        text = document.plain[id(item)]
        if len(text) < 4 or document.is_label(item) or not _names(plain, text):
            continue
        for header in headers:
            if header.cell.page == item.page and header.cell.row < item.row:
                yield from document.crossing(header, item)


def _names(question: str, text: str) -> bool:
    """Whether a question says the text of a cell, give or take a misread letter."""
    letters = count_letters(text)
    chinese = count_chinese(text)
    if letters < 5 and chinese < 2:
        return False
    return text in question or (
        len(text) >= 8 and fuzz.partial_ratio(text, question, score_cutoff=88) > 0
    )


def _address_candidates(document: OcrDocument, party: Party | None) -> Iterable[Candidate]:
    """Addresses without a label: after the party's name, or on the lines beneath it."""
    name = _best(_field_candidates(document, OcrQuestion(field_named(party or "seller"), party)))
    if name is not None:
        yield from document.address_after(name)


def _generic_candidates(
    document: OcrDocument, question: str, asked: OcrQuestion
) -> Iterable[Candidate]:
    """Candidates for labels that no table knows, by the words they share with the question."""
    plain = normalise(question)
    kind = asked.field.kind if asked.field is not None else ValueKind.TEXT
    if kind in {ValueKind.NAME, ValueKind.PERSON} and not any(
        m.field is asked.field for m in document.marks
    ):
        kind = ValueKind.TEXT  # "What is the applicant's favourite colour?" asks for no name
    shape = prose.asked_kind(question, None)
    field = Field("asked", shape if isinstance(shape, ValueKind) else kind)
    if isinstance(shape, re.Pattern):
        field = Field("asked", ValueKind.TEXT, pattern=shape)
    words = re.findall(r"[a-zа-я]{3,}", plain)
    for cell in document.cells:
        text = document.plain[id(cell)]
        colon = text.find(":")
        end = colon if colon > 0 else len(text)
        head = text[:end]
        coverage = _coverage(head, words, plain)
        if coverage < 0.7 or end > 60:
            continue
        if asked.field is not None and any(
            m.score > 0.8 for m in document.marks_of.get(id(cell), ())
        ):
            continue  # the label of another field
        document.marks_of.setdefault(id(cell), [])
        yield from document.candidates(Mark(field, cell, 0, end, 0.85 * coverage))


def _coverage(head: str, words: list[str], question: str) -> float:
    """Share of a label's letters that the question repeats."""
    tokens = re.findall(r"[a-zа-я]{3,}", head)
    chinese = re.findall(r"[\u3400-\u9fff]+", head)
    total = sum(map(len, tokens)) + sum(map(len, chinese))
    if total < 2 or (not chinese and total < 4):
        return 0.0
    hit = sum(len(t) for t in tokens if any(_akin(t, w) for w in words))
    hit += sum(len(run) for run in chinese if run in question)
    return hit / total


def _akin(a: str, b: str) -> bool:
    stem = max(3, min(len(a), len(b)) - 2)
    return (a[:stem] == b[:stem] and abs(len(a) - len(b)) <= 3) or fuzz.ratio(a, b) >= 85


def _anywhere(document: OcrDocument, asked: OcrQuestion) -> Iterable[Candidate]:
    """Values that need no label to be known: an e-mail address, an IBAN, an account number."""
    field = asked.field
    if field is None or not field.anywhere:
        return
    for cell in document.cells:
        value = cut(cell.text, field.kind, field.pattern)
        if value is not None:
            mark = Mark(field, cell, value.start, value.start, 0.6)
            factor = (
                _party_factor(asked.party, document.owner(mark)) if asked.party is not None else 1.0
            )
            # "GBP" says more than "£".
            yield Candidate(
                value.text, 0.6 * max(factor, 0.6) + 0.002 * min(10, len(value.text)), cell
            )


def _from_prose(document: OcrDocument, question: str, asked: OcrQuestion) -> Candidate | None:
    """What a sentence of the document says, where no label does."""
    if asked.field is not None and asked.field.party is not None:
        named = prose.party_name(document.sentences, asked.field.party)
        return None if named is None else Candidate(named[0], 0.7, named[1])
    wanted = prose.asked_kind(question, None if asked.field is None else asked.field.kind)
    if wanted is None:
        return None
    found = prose.from_sentences(document.sentences, question, wanted)
    return None if found is None else Candidate(*found)


def _fallback(document: OcrDocument, field: Field) -> Candidate | None:
    """What stands on a document without a label: its date, and the name at its head."""
    if field.name == "date":
        for cell in document.cells[: max(12, len(document.cells) // 3)]:
            mark = Mark(field, cell, 0, 0, 0.5)
            candidate = document._make(mark, cell, cell.text, 1.0)
            if candidate is not None:
                return candidate
    if field.name in {"merchant", "seller"}:
        for cell in document.cells[:4]:
            if count_letters(cell.text) >= 3 and not document.marks_of.get(id(cell)):
                return Candidate(cell.text, 0.4, cell)
    return None


_KEY = re.compile(r"[\"“]?\b([A-Za-z_][A-Za-z0-9_]*)\b[\"”]?\s*[(（:：]\s*([^()（）{}]{2,80})[)）]")
_LIST_KEYS = {"name": "name", "description": "name", "quantity": "quantity", "qty": "quantity"}
_LIST_KEYS |= {"price": "price", "unit_price": "price", "total": "total", "amount": "total"}


def _answer_json(document: OcrDocument, question: str) -> OcrAnswer:
    """An object with every key that the question names; what is not found is left out."""
    out: dict[str, object] = {}
    confidences = []
    for key, meaning in _wanted_keys(question).items():
        columns = [k for k in re.findall(r"[a-z_]+", meaning) if k in _LIST_KEYS]
        if len(columns) >= 2:
            rows = [
                {k: table.value(item, _LIST_KEYS[k]) for k in columns}
                for item in table.items(document)
            ]
            out[key] = [{k: text for k, text in row.items() if text} for row in rows]
            continue
        # The meaning in the question's language says more than the key.
        found = find(document, meaning)
        if found is None and meaning != key:
            found = find(document, key.replace("_", " "))
        out[key] = "" if found is None else found.text
        if found is not None:
            confidences.append(found.score * found.cell.confidence)
    confidence = sum(confidences) / len(confidences) if confidences else None
    return OcrAnswer(json.dumps(out, ensure_ascii=False), confidence)


def _wanted_keys(question: str) -> dict[str, str]:
    """Key → its meaning: "key (meaning)", else quoted keys, snake_case ones, a list after a colon."""
    explained = {m.group(1): m.group(2) for m in _KEY.finditer(question)}
    if len(explained) >= 2:
        return explained
    keys = re.findall(r'["«“`]([\w .-]{2,40})["»”`]', question)
    if not keys:
        keys = re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", question)
    if not keys and (listed := re.search(r"[:：]\s*([^:：]+)$", question)) is not None:
        keys = [part.strip(" .。") for part in re.split(r"[,，、;]", listed.group(1))]
    return {key: key.replace("_", " ") for key in keys if key and key.lower() != "json"}


_DESCRIPTIONS = {
    "ru": (
        ("number", "{title} № {}"),
        ("date", " от {}"),
        ("seller", ". Продавец — {}"),
        ("buyer", ", покупатель — {}"),
        ("items", ". Позиций: {count} ({})"),
        ("vat", ". НДС — {}"),
        ("total", ", всего к оплате {}"),
    ),
    "en": (
        ("number", "{title}, number {}"),
        ("date", ", dated {}"),
        ("seller", ", issued by {}"),
        ("buyer", " to {}"),
        ("items", ". It lists {count} items: {}"),
        ("vat", ". The tax is {}"),
        ("total", ", the total is {}"),
    ),
    "zh": (
        ("number", "{title}，号码为{}"),
        ("date", "，日期为{}"),
        ("buyer", "。购买方是{}"),
        ("seller", "，销售方是{}"),
        ("items", "。共{count}项：{}"),
        ("vat", "。税额{}"),
        ("total", "，合计{}"),
    ),
}


def _describe(document: OcrDocument, plain: str) -> OcrAnswer:
    """Title, number, date, parties, items and sums in a sentence or three, as far as they were read."""
    language = (
        "ru" if re.search("[а-я]", plain) else "zh" if re.search("[\u3400-\u9fff]", plain) else "en"
    )
    title, text = _title(document), ""
    names = [table.value(item, "name") for item in table.items(document)]
    for name, wording in _DESCRIPTIONS[language]:
        if name == "items":
            value = ("、" if language == "zh" else "; ").join(names) if len(names) > 1 else ""
        else:
            field = field_named(name)
            best = _best(_field_candidates(document, OcrQuestion(field, field.party)))
            value = "" if best is None else best.text
        if value and value not in title:
            text += wording.format(value, title=title, count=len(names)).removeprefix(
                "" if text else ". "
            )
        elif name == "number":
            text = title
    text = text.strip(" .,，。")
    return OcrAnswer(f"{text}." if text else "", None)


def _title(document: OcrDocument) -> str:
    """The largest text of the first page's upper half."""
    if not document.layouts or not document.layouts[0].rows:
        return ""
    rows = document.layouts[0].rows
    upper = [c for row in rows[: max(4, len(rows) // 2)] for c in row if count_letters(c.text) > 2]
    return max(upper, key=lambda c: c.height).text if upper else ""

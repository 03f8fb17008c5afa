"""Questions over what a document shows, in its language, with the answers a fair reader accepts.

The first answer is what is printed. The others are the same value written otherwise: an amount without
its thousands separators or its currency, a date in another notation, quotation marks of another kind.
Another value, a rounded amount or a translated name are not accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from bench.synth.data import read_table
from bench.synth.generated import DocumentQuestion
from bench.synth.values import dates
from bench.synth.values.amounts import grouped


def question_texts(kind: str, language: str) -> dict[str, str]:
    """Return field → question; a question is asked where the layout draws its field."""
    texts: dict[str, str] = read_table("questions")[kind][language]
    return texts


_MONEY = re.compile(
    r"total(_net|_tax)?|item_\d+_(price|total)|cash|change|tax|subtotal|service|salary"
)
_DATES = frozenset({"date", "due_date", "until", "birth_date", "available_from"})
_NAMES = frozenset({"seller_name", "buyer_name", "employer", "shop"})


def ask(kind: str, language: str, fields: Mapping[str, str]) -> tuple[DocumentQuestion, ...]:
    """Ask about every field that was drawn and that has a question."""
    questions = []
    for field, text in question_texts(kind, language).items():
        value = fields.get(field)
        if value:
            tax_id = "VAT registration number" if value.startswith("GB") else "EIN"
            answers = accepted_answers(field, value, language, fields)
            questions.append(DocumentQuestion(field, text.format(tax_id=tax_id), answers))
    return tuple(questions)


def accepted_answers(
    field: str, value: str, language: str, fields: Mapping[str, str]
) -> tuple[str, ...]:
    """Return ``value`` as printed, then the other ways to write the same."""
    others: list[str] = []
    if _MONEY.fullmatch(field):
        others = _amounts(value, language, fields.get("currency", ""))
    elif field in _DATES:
        others = _dates(value, language)
    elif field in _NAMES and "«" in value:
        others = _company_names(value)
    elif value.endswith("%"):
        others = [value.replace(" ", "") if " " in value else value[:-1] + " %"]
    elif field == "currency":
        others = value.split(", ")[:1]
    elif field == "city" and language == "ru":
        others = [f"г. {value}"]
    elif field == "warranty":
        others = [re.sub(r" \(.*?\)", "", value)]
    elif field == "pay_days" and language == "en":  # asked as "within how many days"
        others = [value.split()[0]]
    elif field.endswith("_name") and value.startswith("*"):
        others = [value.rpartition("*")[2]]
    elif field == "time" and value.count(":") == 2:
        others = [value.rpartition(":")[0]]
    return tuple(dict.fromkeys((value, *others)))


def _amounts(value: str, language: str, currency: str) -> list[str]:
    digits = re.sub(r"[^\d.,]", "", value)
    if language == "ru":
        number = Decimal(digits.replace(",", "."))
        places = 2 if "," in digits or "." in digits else 0
        point = "," if "," in digits or "." not in digits else "."
        bare = grouped(number, group="", point=point, places=places)
        spaced = grouped(number, group=" ", point=point, places=places)
        return [bare, bare.replace(",", "."), f"{value} руб.", f"{value} рублей", spaced,
                f"{bare} руб."]  # fmt: skip
    number = Decimal(digits.replace(",", ""))
    places = 2 if "." in digits else 0
    bare = grouped(number, group="", point=".", places=places)
    comma = grouped(number, group=",", point=".", places=places)
    if language == "zh":
        return [bare, comma, f"¥{bare}", f"{bare}元", f"¥{comma}"]
    sign = "$" if currency == "USD" or value.startswith("$") else "£"
    code = "USD" if sign == "$" else "GBP"
    return [comma, bare, f"{sign}{comma}", f"{sign}{bare}", f"{comma} {code}", f"{code} {comma}"]


def _dates(value: str, language: str) -> list[str]:
    day = printed_day(value)
    if day is None:
        return []
    if language == "ru":
        long = dates.russian_date(day, year_word="")
        return [long, f"{long} г.", f"{long} года", dates.dotted_date(day)]
    if language == "zh":
        return [dates.chinese_date(day), dates.handwritten_chinese_date(day), day.isoformat()]
    return [dates.english_date(day), dates.american_date(day), day.isoformat()]


def printed_day(value: str) -> date | None:
    """Return the date that a printed ``value`` means; day before month, as the generator prints."""
    numbers = [int(number) for number in re.findall(r"\d+", value)]
    for language in ("ru", "en"):
        for number, name in enumerate(dates.months(language), start=1):
            if name in value and len(numbers) == 2:
                return date(numbers[1], number, numbers[0])
    if len(numbers) != 3:
        return None
    if numbers[0] > 31:  # the year comes first
        return date(*numbers)
    return date(numbers[2], numbers[1], numbers[0])


def _company_names(value: str) -> list[str]:
    plain_quotes = str.maketrans("«»", '""')
    names = [value.translate(plain_quotes)]
    for long, short in (
        ("Общество с ограниченной ответственностью", "ООО"),
        ("Акционерное общество", "АО"),
    ):
        if value.startswith(long):
            shorter = value.replace(long, short)
            names += [shorter, shorter.translate(plain_quotes)]
    return names

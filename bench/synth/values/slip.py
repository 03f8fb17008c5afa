"""The values of a slip: a small page of an invoice, a till receipt or a form, as labelled lines."""

# ruff: noqa: E501  (tables read better in long lines)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random
from typing import NamedTuple

from bench.synth.values import parties, trade
from bench.synth.values.amounts import cents, grouped


class Entry(NamedTuple):
    """One labelled value."""

    field: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Slip:
    """What a slip says."""

    doc_type: str
    """``invoice``, ``receipt`` or ``form``."""
    title: str
    company: str
    """Who issued it; heads the page."""
    entries: tuple[Entry, ...]
    goods: tuple[tuple[str, str], ...] = ()
    """Name and amount of what was bought; only a receipt has them."""


DOC_TYPES = ("invoice", "receipt", "form")

_TITLES = {
    ("invoice", "en"): ("INVOICE", "Invoice", "TAX INVOICE", "BILL", "Delivery note"),
    ("receipt", "en"): ("RECEIPT", "Receipt", "SALES RECEIPT", "CASH RECEIPT"),
    ("form", "en"): ("REGISTRATION", "Membership card", "VISITOR CARD", "Application", "PATIENT CARD"),
    ("invoice", "ru"): ("СЧЁТ", "Счёт", "СЧЁТ НА ОПЛАТУ", "НАКЛАДНАЯ", "Квитанция"),
    ("receipt", "ru"): ("ЧЕК", "Кассовый чек", "ТОВАРНЫЙ ЧЕК", "КВИТАНЦИЯ"),
    ("form", "ru"): ("АНКЕТА", "Карточка клиента", "ПРОПУСК", "Заявление", "РЕГИСТРАЦИЯ"),
}  # fmt: skip

LABELS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "number": ("No", "Number", "No.", "Document no", "Ref", "Reference"),
        "date": ("Date", "Issued", "Date of issue"),
        "due_date": ("Due date", "Due", "Pay by"),
        "customer": ("Customer", "Bill to", "Client", "Sold to"),
        "account": ("Account", "Account no", "Acct"),
        "subtotal": ("Subtotal", "Net", "Net amount"),
        "tax": ("VAT", "Tax", "VAT 20%", "Sales tax"),
        "total": ("Total", "TOTAL", "Total due", "Amount due", "To pay"),
        "time": ("Time",),
        "cash": ("Cash", "Paid cash", "CASH"),
        "change": ("Change", "CHANGE"),
        "card": ("Card", "Card no", "Visa"),
        "surname": ("Surname", "Last name", "Family name"),
        "given_name": ("First name", "Given name", "Name"),
        "birth_date": ("Date of birth", "Born", "Birth date"),
        "phone": ("Phone", "Tel", "Telephone", "Mobile"),
        "id_number": ("ID number", "ID no", "Passport no", "ID"),
        "city": ("City", "Town", "Place"),
    },
    "ru": {
        "number": ("Номер", "№", "Документ №", "Номер документа"),
        "date": ("Дата", "Выдан", "Дата выдачи", "От"),
        "due_date": ("Оплатить до", "Срок оплаты", "Срок"),
        "customer": ("Покупатель", "Клиент", "Заказчик", "Кому"),
        "account": ("Счёт №", "Р/с", "Лицевой счёт"),
        "subtotal": ("Без НДС", "Сумма", "Стоимость"),
        "tax": ("НДС", "НДС 20%", "Налог"),
        "total": ("Итого", "ИТОГО", "Всего", "К оплате", "ИТОГ"),
        "time": ("Время",),
        "cash": ("Наличными", "НАЛИЧНЫЕ", "Получено"),
        "change": ("Сдача", "СДАЧА"),
        "card": ("Карта", "Карта №", "Мир"),
        "surname": ("Фамилия",),
        "given_name": ("Имя",),
        "birth_date": ("Дата рождения", "Родился", "Рождение"),
        "phone": ("Телефон", "Тел.", "Моб."),
        "id_number": ("Паспорт", "Номер паспорта", "Документ"),
        "city": ("Город", "Место"),
    },
}
"""Language → field → what may stand before its value."""

_FIELDS = {
    "invoice": ("number", "date", "due_date", "customer", "account", "subtotal", "tax", "total"),
    "receipt": ("number", "date", "time", "total", "cash", "change", "card"),
    "form": ("number", "surname", "given_name", "birth_date", "phone", "id_number", "city", "date"),
}

_GOODS = {
    "en": ("Coffee", "Tea", "Milk", "Bread", "Butter", "Cheese", "Eggs", "Rice", "Pasta", "Juice", "Apples", "Sugar",
           "Soup", "Cake", "Water", "Salad", "Paper", "Stapler", "Cable", "Lamp", "Mouse", "Chair", "Soap", "Honey"),
    "ru": ("Кофе", "Чай", "Молоко", "Хлеб", "Масло", "Сыр", "Яйца", "Рис", "Сахар", "Сок", "Яблоки", "Вода", "Суп",
           "Торт", "Бумага", "Кабель", "Лампа", "Мышь", "Стул", "Мыло", "Мёд", "Соль", "Гречка", "Печенье"),
}  # fmt: skip
_CITIES = {
    "en": ("Leeds", "Bristol", "London", "Boston", "Denver", "Austin", "Madison", "Oxford", "York", "Dover", "Salem",
           "Dallas", "Miami", "Perth", "Sydney", "Dublin", "Cardiff", "Bath", "Derby", "Luton"),
    "ru": ("Москва", "Казань", "Самара", "Пермь", "Тюмень", "Тула", "Уфа", "Омск", "Томск", "Псков", "Тверь", "Орёл",
           "Рязань", "Курск", "Калуга", "Сочи", "Чита", "Брянск", "Иваново", "Вологда"),
}  # fmt: skip
_STEMS = {
    "en": ("Northgate", "Harbour", "Oakley", "Summit", "Riverside", "Atlas", "Pioneer", "Meridian", "Foxton",
           "Willow", "Granite", "Beacon", "Orchard", "Falcon", "Crescent", "Juniper", "Copper", "Sterling"),
    "ru": ("Вектор", "Горизонт", "Меридиан", "Альянс", "Рассвет", "Импульс", "Лидер", "Родник", "Маяк", "Спутник",
           "Берег", "Кристалл", "Орион", "Факел", "Исток", "Полюс", "Янтарь", "Гранит"),
}  # fmt: skip
_FORMS = {"en": ("Ltd", "LLC", "Inc", "& Co", "Group"), "ru": ("ООО", "АО", "ИП", "ТД", "ПК")}


def slip(
    rng: Random, language: str, doc_type: str | None = None, entries: int | None = None
) -> Slip:
    """Values of a slip in ``language`` (``en`` or ``ru``).

    Args:
        rng: decides everything.
        language: of labels and values.
        doc_type: of ``DOC_TYPES``; drawn where None.
        entries: how many labelled values, at most as many as the type has; drawn where None.
    """
    doc_type = doc_type or rng.choice(DOC_TYPES)
    fields = _FIELDS[doc_type]
    count = min(len(fields), entries or rng.randint(4, len(fields)))
    chosen = sorted(rng.sample(range(len(fields)), count))
    prices = [
        Decimal(rng.randrange(50, 10 ** rng.randint(3, 6))) / 100 for _ in range(rng.randint(1, 3))
    ]
    net = sum(prices, Decimal(0))
    tax = cents(net * Decimal("0.2"))
    # The prices of a receipt contain the tax; an invoice adds it.
    total = net if doc_type == "receipt" else net + tax
    note = Decimal(50 if total < 1000 else 1000)
    cash = (total // note + 1) * note
    sign, group, point = _notation(rng, language)

    def money(value: Decimal) -> str:
        return sign + grouped(value, group=group, point=point)

    day, later = sorted(parties.day(rng) for _ in range(2))
    dated = rng.choice(_DATES[language])
    person = parties.person(rng, language)
    values = {
        "number": _number(rng),
        "date": dated(day),
        "due_date": dated(later),
        "customer": rng.choice((person.short, company(rng, language))),
        "account": str(rng.randrange(10**7, 10**10)),
        "subtotal": money(net),
        "tax": money(tax),
        "total": money(total),
        "time": f"{rng.randrange(24):02d}:{rng.randrange(60):02d}",
        "cash": money(cash),
        "change": money(cash - total),
        "card": f"**** {rng.randrange(10000):04d}",
        "surname": person.surname,
        "given_name": person.given,
        "birth_date": dated(later.replace(year=later.year - rng.randrange(18, 80), day=rng.randint(1, 28))),
        "phone": _phone(rng, language),
        "id_number": f"{rng.randrange(10, 99)} {rng.randrange(10**5, 10**6)}",
        "city": rng.choice(_CITIES[language]),
    }  # fmt: skip
    labels = LABELS[language]
    return Slip(
        doc_type=doc_type,
        title=rng.choice(_TITLES[doc_type, language]),
        company=company(rng, language),
        entries=tuple(
            Entry(name, rng.choice(labels[name]), values[name])
            for name in (fields[index] for index in chosen)
        ),
        goods=tuple(
            (name, money(price))
            for name, price in zip(rng.sample(_GOODS[language], len(prices)), prices, strict=True)
        )
        if doc_type == "receipt"
        else (),
    )


def company(rng: Random, language: str) -> str:
    """A short company name."""
    stem, form = rng.choice(_STEMS[language]), rng.choice(_FORMS[language])
    return f"{form} {stem}" if language == "ru" else f"{stem} {form}"


_DATES: dict[str, tuple[Callable[[date], str], ...]] = {
    "en": (
        lambda day: f"{day:%d/%m/%Y}",
        trade.english_date,
        lambda day: day.isoformat(),
    ),
    "ru": (
        lambda day: f"{day:%d.%m.%Y}",
        lambda day: f"{day:%d.%m.%Y}",
        lambda day: trade.russian_date(day, year_word=""),
    ),
}


def _notation(rng: Random, language: str) -> tuple[str, str, str]:
    """Sign, thousands separator and decimal point."""
    if language == "ru":
        return "", rng.choice(("", " ")), rng.choice((",", "."))
    return rng.choice(("", "$", "£")), rng.choice(("", ",")), "."


def _number(rng: Random) -> str:
    digits = str(rng.randrange(100, 10 ** rng.randint(4, 7)))
    style = rng.randrange(4)
    if style == 0:
        return rng.choice("ABCDEFGHKLMNPRSTUVXYZ") + "-" + digits
    if style == 1:
        return f"{digits}/{rng.randrange(10, 100)}"
    return digits


def _phone(rng: Random, language: str) -> str:
    tail = f"{rng.randrange(100, 1000)}-{rng.randrange(10, 100)}-{rng.randrange(10, 100)}"
    code = rng.randrange(201, 999)
    return f"+7 {code} {tail}" if language == "ru" else f"{code} {tail.replace('-', ' ', 1)}"

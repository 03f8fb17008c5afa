"""The kinds of documents: for each, how its values are drawn, laid out and described."""

# ruff: noqa: E501  (prose and tables read better in long lines)
from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from bench.errors import InvalidInput, did_you_mean
from bench.schema import Json
from bench.synth.generated import Record, printed
from bench.synth.layouts import (
    contract_en,
    contract_ru,
    fapiao,
    form,
    invoice_en,
    receipt,
    schet,
    schet_faktura,
)
from bench.synth.layouts import slip as slips
from bench.synth.questions import QUESTIONS, ask
from bench.synth.sheet import Sheet
from bench.synth.values import agreement, applicant, till, trade
from bench.synth.values import slip as slip_values

_HEADER = ("number", "date", "seller_name", "buyer_name", "total_net", "total_tax", "total")
_KEYS: dict[tuple[str, str], tuple[str, ...]] = {
    ("schet-faktura", "ru"): ("number", "date", "seller_name", "seller_inn", "buyer_name", "buyer_inn", "total_net",
                              "total_tax", "total"),
    ("invoice", "ru"): ("number", "date", "seller_name", "seller_inn", "buyer_name", "buyer_inn", "total_tax", "total"),
    ("invoice", "en"): (*_HEADER, "due_date"),
    ("invoice", "zh"): (*_HEADER[:2], "seller_name", "seller_tax_id", "buyer_name", "buyer_tax_id", *_HEADER[4:]),
    ("receipt", "ru"): ("shop", "date", "total"),
    ("receipt", "en"): ("shop", "date", "total"),
    ("receipt", "zh"): ("shop", "date", "total"),
    ("form", "ru"): ("surname", "given_name", "patronymic", "birth_date", "phone", "position"),
    ("form", "en"): ("surname", "given_name", "birth_date", "phone", "email", "position"),
    ("form", "zh"): ("name", "sex", "birth_date", "id_number", "phone", "position"),
    ("contract", "ru"): ("number", "date", "seller_name", "buyer_name", "total"),
    ("contract", "en"): ("number", "date", "seller_name", "buyer_name", "total"),
    ("slip", "ru"): tuple(QUESTIONS["slip", "ru"]),
    ("slip", "en"): tuple(QUESTIONS["slip", "en"]),
}  # fmt: skip


def _items(fields: Mapping[str, str]) -> list[Json]:
    """The rows of the goods table as objects, as far as they were drawn."""
    rows: list[Json] = []
    while f"item_{len(rows) + 1}_name" in fields:
        stem = f"item_{len(rows) + 1}_"
        rows.append(
            {
                key: fields[stem + key]
                for key in ("name", "quantity", "price", "total")
                if stem + key in fields
            }
        )
    return rows


def _record(kind: str, language: str, layout: str, sheets: tuple[Sheet, ...], dpi: int) -> Record:
    fields = printed(sheets)
    structured: dict[str, Json] = {
        key: fields[key] for key in _KEYS[kind, language] if key in fields
    }
    items = _items(fields)
    if items and kind != "contract":
        structured["items"] = items
    return Record(
        kind, language, layout, sheets, ask(kind, language, fields), structured,
        describe(kind, language, fields, items), dpi,
    )  # fmt: skip


def describe(
    kind: str, language: str, fields: Mapping[str, str], items: list[Json]
) -> tuple[str, ...]:
    """Two reference descriptions, a full and a short one."""
    names = [item["name"] for item in items]
    join = "、" if language == "zh" else "; " if language == "ru" else ", "
    values = (
        dict.fromkeys(_DESCRIPTION_FIELDS, "")
        | dict(fields)
        | {"items": join.join(names), "n": str(len(names))}
    )
    # The dot of an abbreviation («г.», "Inc.") also ends the sentence.
    return tuple(
        template.format(**values).replace("..", ".") for template in _DESCRIPTIONS[kind, language]
    )


_DESCRIPTION_FIELDS = ("number", "date", "seller_name", "buyer_name", "total", "total_tax", "shop", "surname",
                       "given_name", "patronymic", "position", "employer", "name", "city", "until", "phone",
                       "birth_date", "company")  # fmt: skip
_DESCRIPTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("schet-faktura", "ru"): (
        "Это счёт-фактура № {number} от {date}. Продавец — {seller_name}, покупатель — {buyer_name}. Позиций в "
        "таблице: {n} ({items}). Сумма НДС — {total_tax} руб., всего к оплате {total} руб. Документ подписан руководителем "
        "и главным бухгалтером, стоит печать.",
        "Счёт-фактура № {number} от {date}: {seller_name} продаёт товары {buyer_name} на сумму {total} руб.",
    ),
    ("invoice", "ru"): (
        "Это счёт на оплату № {number} от {date}. Поставщик — {seller_name}, покупатель — {buyer_name}. Позиций в "
        "счёте: {n} ({items}). НДС — {total_tax} руб., всего к оплате {total} руб. Вверху указаны банковские реквизиты "
        "получателя, внизу — подписи и печать.",
        "Счёт на оплату № {number} от {date} от {seller_name} для {buyer_name} на сумму {total} руб.",
    ),
    ("invoice", "en"): (
        "This is an invoice, number {number}, dated {date}, issued by {seller_name} to {buyer_name}. It lists {n} "
        "items: {items}. The tax is {total_tax} and the total due is {total}. The due date is {due_date}.",
        "An invoice from {seller_name} to {buyer_name} dated {date} for {total}.",
    ),
    ("invoice", "zh"): (
        "这是一张增值税发票，发票号码为{number}，开票日期为{date}。购买方是{buyer_name}，销售方是{seller_name}。"
        "发票共{n}项：{items}。合计税额{total_tax}，价税合计{total}。",
        "{seller_name}于{date}开给{buyer_name}的增值税发票，价税合计{total}。",
    ),
    ("receipt", "ru"): (
        "Это кассовый чек магазина {shop} от {date}. Товаров в чеке: {n} ({items}). Итоговая сумма — {total} руб.",
        "Кассовый чек от {date} на сумму {total} руб.",
    ),
    ("receipt", "en"): (
        "This is a receipt from {shop} dated {date}. It lists {n} items: {items}. The total is {total}.",
        "A receipt from {shop} for {total}.",
    ),
    ("receipt", "zh"): (
        "这是{shop}的一张小票，日期为{date}，共{n}项：{items}，总金额{total}。",
        "{shop}的小票，总金额{total}。",
    ),
    ("form", "ru"): (
        "Это анкета соискателя, заполненная от руки: {surname} {given_name} {patronymic}, дата рождения {birth_date}. "
        "Желаемая должность — {position}. Последнее место работы — {employer}.",
        "Заполненная анкета соискателя ({surname} {given_name} {patronymic}).",
    ),
    ("form", "en"): (
        "This is an application for employment filled in by hand by {given_name} {surname}, born on {birth_date}, for "
        "the position of {position}. The current or last employer is {employer}.",
        "A handwritten job application of {given_name} {surname}.",
    ),
    ("form", "zh"): (
        "这是一份手写的员工入职登记表，姓名{name}，出生日期{birth_date}，应聘职位为{position}，原工作单位是{employer}。",
        "{name}填写的员工入职登记表。",
    ),
    ("contract", "ru"): (
        "Это договор поставки № {number}, заключённый в городе {city} {date}. Поставщик — {seller_name}, покупатель — "
        "{buyer_name}. Общая стоимость товара — {total} руб. Договор действует до {until}. К договору приложена "
        "спецификация.",
        "Договор поставки № {number} от {date} между {seller_name} и {buyer_name} на сумму {total} руб.",
    ),
    ("contract", "en"): (
        "This is a supply agreement, number {number}, dated {date}, between {seller_name} as supplier and {buyer_name} "
        "as customer. The total price of the goods is {total}. It remains in force until {until} and has a schedule "
        "of goods.",
        "A supply agreement between {seller_name} and {buyer_name} for {total}.",
    ),
    ("slip", "ru"): ("Это небольшой документ, который выдала организация {company}.", "Документ организации {company}."),
    ("slip", "en"): ("This is a small business document issued by {company}.", "A slip from {company}."),
}  # fmt: skip
"""(kind, language) → templates over the drawn fields."""


def _schet_faktura(rng: Random, language: str, layout: str | None) -> Record:
    face = layout or rng.choice(("sans", "serif", "sans"))
    sheets = schet_faktura.draw(trade.russian_invoice(rng), rng, face=face)
    return _record("schet-faktura", language, face, sheets, 150)


def _invoice(rng: Random, language: str, layout: str | None) -> Record:
    if language == "ru":
        family = layout or rng.choice(("classic", "qr", "plain"))
        face = rng.choice(("sans", "sans", "office", "serif"))
        values = trade.russian_invoice(rng)
        sheets = schet.draw(values, rng, face=face, qr=family == "qr", notice=family != "plain")
        return _record("invoice", language, family, sheets, 150)
    if language == "en":
        family = layout or rng.choice(
            ("classic", "modern", "ledger", "classic", "modern", "ledger", "long")
        )
        draw, faces = invoice_en.FAMILIES[family]
        values = trade.english_invoice(rng, (24, 31) if family == "long" else (3, 7))
        return _record(
            "invoice", language, family, draw(values, rng, invoice_en.style(rng, faces)), 150
        )
    family = layout or rng.choice(sorted(fapiao.FAMILIES))
    sheets = fapiao.FAMILIES[family](
        trade.chinese_invoice(rng), rng, value_face=rng.choice(("zh-song", "zh-song", "zh-sans"))
    )
    return _record("invoice", language, family, sheets, 170)


def _receipt(rng: Random, language: str, layout: str | None) -> Record:
    style = receipt.style(rng, language)
    sheets = receipt.FAMILIES[language](till.receipt(rng, language), rng, style)
    return _record("receipt", language, layout or f"{style.face}-{style.width:.0f}", sheets, 180)


def _form(rng: Random, language: str, layout: str | None) -> Record:
    sheets = form.FAMILIES[language](applicant.applicant(rng, language), rng)
    return _record("form", language, layout or "standard", sheets, 150)


def _contract(rng: Random, language: str, layout: str | None) -> Record:
    face = layout or rng.choice(("serif", "serif", "office"))
    draw = {"ru": contract_ru.russian, "en": contract_en.english}[language]
    sheets = draw(agreement.agreement(rng, language), rng, face=face)
    return _record("contract", language, face, sheets, 150)


def _slip(rng: Random, language: str, layout: str | None) -> Record:
    family = layout or rng.choice(sorted(slips.FAMILIES))
    sheet = slips.FAMILIES[family](slip_values.slip(rng, language), rng, slips.style(rng))
    return _record("slip", language, family, (sheet,), slips.DPI)


class Kind:
    """A kind of document: its languages and how to make one."""

    def __init__(
        self, languages: tuple[str, ...], make: Callable[[Random, str, str | None], Record]
    ) -> None:
        self.languages = languages
        self.make = make


KINDS = {
    "schet-faktura": Kind(("ru",), _schet_faktura),
    "invoice": Kind(("ru", "en", "zh"), _invoice),
    "receipt": Kind(("ru", "en", "zh"), _receipt),
    "form": Kind(("ru", "en", "zh"), _form),
    "contract": Kind(("ru", "en"), _contract),
    "slip": Kind(("ru", "en"), _slip),
}
"""Kind → languages and maker."""

LAYOUTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("schet-faktura", "ru"): ("sans", "serif"),
    ("invoice", "ru"): ("classic", "qr", "plain"),
    ("invoice", "en"): tuple(invoice_en.FAMILIES),
    ("invoice", "zh"): tuple(fapiao.FAMILIES),
    ("contract", "ru"): ("serif", "office"),
    ("contract", "en"): ("serif", "office"),
    ("slip", "ru"): tuple(slips.FAMILIES),
    ("slip", "en"): tuple(slips.FAMILIES),
}
"""(kind, language) → layouts that can be asked for; the others have one."""

LANGUAGES = ("ru", "en", "zh")


def make(kind: str, language: str, rng: Random, *, layout: str | None = None) -> Record:
    """One document drawn at random; ``layout`` fixes the layout family.

    Raises:
        InvalidInput: the kind is unknown, or does not exist in the language.
    """
    if kind not in KINDS:
        raise InvalidInput(f"no kind of document is named {kind!r}", hint=did_you_mean(kind, KINDS))
    if language not in KINDS[kind].languages:
        known = ", ".join(KINDS[kind].languages)
        raise InvalidInput(
            f"{kind} is not made in {language!r}", hint=f"languages of {kind}: {known}"
        )
    return KINDS[kind].make(rng, language, layout)

"""Счёт на оплату as Russian accounting programs print it: bank details on top, goods, sum in words."""

from __future__ import annotations

from random import Random

from bench.synth.layouts.codes import qr_block
from bench.synth.layouts.stamps import russian_stamp, signature
from bench.synth.layouts.tables import TableStyle, draw_rows, draw_sums
from bench.synth.sheet import Box, Font, Sheet
from bench.synth.values.amounts import percent, quantity, roubles_in_words, russian_money
from bench.synth.values.dates import dotted_date, russian_date
from bench.synth.values.invoice import Invoice

_WIDTH, _HEIGHT = 595.2, 841.92
_LEFT = 40.0
_INNER = _WIDTH - 2 * _LEFT
_RIGHT = _LEFT + _INNER

_WARNING = (
    "Внимание! Оплата данного счёта означает согласие с условиями поставки товара. Уведомление "
    "об оплате обязательно, в противном случае не гарантируется наличие товара на складе. Товар "
    "отпускается по факту прихода денег на р/с Поставщика, самовывозом, при наличии доверенности и "
    "паспорта."
)


def draw(invoice: Invoice, rng: Random, *, face: str, qr: bool, notice: bool) -> tuple[Sheet, ...]:
    """Draw one A4 page; ``qr`` adds a payment code, ``notice`` the usual warning on top."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    text, strong = Font(face, 9), Font(f"{face}-bold", 9.5)
    y = 36.0
    if notice:
        box = Box(_LEFT + 40, y, _INNER - 80, 40)
        y += sheet.paragraph(box, _WARNING, text.at(7.5), align="center") + 8
    y = _bank(sheet, invoice, y, face) + 30
    title = strong.at(14)
    number, day = (invoice.number, title, "number"), (russian_date(invoice.day), title, "date")
    sheet.flow(_LEFT, y, (("Счёт на оплату № ", title, None), number, (" от ", title, None), day))
    sheet.line(_LEFT, y + 9, _RIGHT, y + 9, 1.4)
    y = _parties(sheet, invoice, y + 20, face) + 4
    y = _table(sheet, invoice, y, face) + 15
    lines = invoice.lines
    sums = (
        ("Итого:", russian_money(lines.net), "total_net"),
        (f"НДС {percent(invoice.tax_rate)}:", russian_money(lines.tax), "total_tax"),
        ("Всего к оплате:", russian_money(lines.gross), "total"),
    )
    y = draw_sums(sheet, _RIGHT - 3, y, sums, strong, gap=82, step=13.5) + 4
    count = str(len(lines.rows))
    total = russian_money(lines.gross)
    sheet.text(_LEFT, y, f"Всего наименований {count}, на сумму {total} руб.", text)
    words = roubles_in_words(lines.gross)
    y += 4 + sheet.paragraph(Box(_LEFT, y + 3, _INNER, 20), words, strong, field="total_words")
    y += 12
    due = dotted_date(invoice.due)
    sheet.text(_LEFT, y, f"Оплатить не позднее {due}", text)
    sheet.fields |= {"item_count": count, "due_date": due}
    sheet.line(_LEFT, y + 8, _RIGHT, y + 8, 1.4)
    _signatures(sheet, invoice, rng, y + 34, face)
    if qr:
        qr_block(rng, sheet, _RIGHT - 82, _HEIGHT - 150, 82, 33)
        sheet.text(_RIGHT - 41, _HEIGHT - 56, "Оплата по QR-коду", text.at(7.5), align="center")
    return (sheet,)


def _bank(sheet: Sheet, invoice: Invoice, y: float, face: str) -> float:
    """Draw the block that a payment order is filled in from."""
    seller, text, note = invoice.seller, Font(face, 9.5), Font(face, 7.5)
    middle, label = _LEFT + 290, 40.0
    sheet.rectangle(Box(_LEFT, y, _INNER, 92))
    sheet.line(middle, y, middle, y + 92)
    sheet.line(middle + label, y, middle + label, y + 92)
    sheet.line(middle, y + 16, _RIGHT, y + 16)
    sheet.line(_LEFT, y + 40, _RIGHT, y + 40)
    sheet.line(_LEFT, y + 55, middle, y + 55)
    sheet.line(_LEFT + 145, y + 40, _LEFT + 145, y + 55)
    sheet.text(_LEFT + 4, y + 12, seller.bank.name, text, field="bank_name")
    sheet.text(_LEFT + 4, y + 37, "Банк получателя", note)
    left, value = middle + 4, middle + label + 4
    sheet.text(left, y + 12, "БИК", text)
    sheet.text(value, y + 12, seller.bank.bic, text, field="bic")
    sheet.text(left, y + 28, "Сч. №", text)
    sheet.text(value, y + 28, seller.bank.correspondent, text, field="correspondent_account")
    sheet.flow(_LEFT + 4, y + 51, (("ИНН  ", text, None), (seller.tax_id, text, "seller_inn")))
    sheet.flow(_LEFT + 149, y + 51, (("КПП  ", text, None), (seller.kpp, text, "seller_kpp")))
    sheet.text(_LEFT + 4, y + 67, seller.name, text, field="seller_name")
    sheet.text(_LEFT + 4, y + 89, "Получатель", note)
    sheet.text(left, y + 52, "Сч. №", text)
    sheet.text(value, y + 52, seller.bank.account, text, field="account")
    return y + 92


def _parties(sheet: Sheet, invoice: Invoice, y: float, face: str) -> float:
    text, strong = Font(face, 9), Font(f"{face}-bold", 9)
    seller, buyer = invoice.seller, invoice.buyer
    basis = f"Договор № {invoice.reference} от {russian_date(invoice.reference_day)}"
    described = [
        f"{company.name}, ИНН {company.tax_id}, КПП {company.kpp}, {company.address}"
        for company in (seller, buyer)
    ]
    rows = (
        ("Поставщик\n(Исполнитель):", f"{described[0]}, тел.: {seller.phone}"),
        ("Покупатель\n(Заказчик):", described[1]),
        ("Основание:", basis),
    )
    for role, line in rows:
        role_height = sheet.paragraph(Box(_LEFT, y, 80, 30), role, text)
        box = Box(_LEFT + 84, y, _INNER - 84, 40)
        y += max(role_height, sheet.paragraph(box, line, strong, leading=1.25)) + 6
    sheet.fields |= {
        "seller_phone": seller.phone,
        "seller_address": seller.address,
        "buyer_name": buyer.name,
        "buyer_inn": buyer.tax_id,
        "buyer_kpp": buyer.kpp,
        "buyer_address": buyer.address,
        "basis": basis,
    }
    return y


def _table(sheet: Sheet, invoice: Invoice, y: float, face: str) -> float:
    widths = (24, 238, 44, 38, 80, 91.2)
    head = TableStyle(widths, "cccccc", Font(f"{face}-bold", 9), line=0.8, row_height=18)
    heads = ("№", "Товары (работы, услуги)", "Кол-во", "Ед.", "Цена", "Сумма")
    top = draw_rows(sheet, _LEFT, y, head, [heads])
    body = TableStyle(widths, "clrlrr", Font(face, 8.5), row_height=15)
    rows = [
        (str(number), row.good.name, quantity(row.quantity, ","), row.good.unit,
         russian_money(row.price), russian_money(row.net))
        for number, row in enumerate(invoice.lines.rows, start=1)
    ]  # fmt: skip
    fields = {1: "name", 2: "quantity", 4: "price", 5: "total"}
    bottom = draw_rows(sheet, _LEFT, top, body, rows, fields)
    sheet.rectangle(Box(_LEFT, top, sum(widths), bottom - top), width=0.9)
    return bottom


def _signatures(sheet: Sheet, invoice: Invoice, rng: Random, y: float, face: str) -> None:
    seller, font = invoice.seller, Font(face, 9)
    for x, role, person, field in (
        (_LEFT, "Руководитель", seller.director, "director"),
        (_LEFT + 265, "Бухгалтер", seller.accountant, "accountant"),
    ):
        start = x + sheet.text(x, y, role, Font(f"{face}-bold", 9))
        sheet.line(start + 6, y + 2, x + 155, y + 2)
        sheet.text(x + 158, y, person.short, font, field=field)
        sheet.stamp(signature(rng, start + 14, y, 56, 15))
    sheet.text(_LEFT + 40, y + 46, "М.П.", font.at(8))
    sheet.stamp(russian_stamp(rng, _LEFT + 112, y + 40 + rng.uniform(-4, 8), seller, 52))

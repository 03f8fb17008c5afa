"""Счёт на оплату as Russian accounting programs print it: bank details on top, goods, sum in words."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from bench.synth.layouts.parts import Table, draw_rows, qr_block, russian_stamp, signature
from bench.synth.sheet import Box, Font, Sheet
from bench.synth.values.amounts import grouped, plain, roubles_in_words
from bench.synth.values.trade import Invoice, russian_date

_WIDTH, _HEIGHT = 595.2, 841.92
_MARGIN = 40.0
_INNER = _WIDTH - 2 * _MARGIN


def _money(value: Decimal) -> str:
    return grouped(value, group=" ", point=",")


def _bank(sheet: Sheet, invoice: Invoice, y: float, face: str) -> float:
    """The block that a payment order is filled in from."""
    seller, text, note = invoice.seller, Font(face, 9.5), Font(face, 7.5)
    left, middle, label = _MARGIN, _MARGIN + 290, 40.0
    right = _MARGIN + _INNER
    sheet.rectangle(Box(left, y, _INNER, 92))
    sheet.line(middle, y, middle, y + 92)
    sheet.line(middle + label, y, middle + label, y + 92)
    sheet.line(middle, y + 16, right, y + 16)
    sheet.line(left, y + 40, right, y + 40)
    sheet.line(left, y + 55, middle, y + 55)
    sheet.line(left + 145, y + 40, left + 145, y + 55)
    sheet.text(left + 4, y + 12, seller.bank.name, text, field="bank_name")
    sheet.text(left + 4, y + 37, "Банк получателя", note)
    for n, (name, value, field) in enumerate(
        (
            ("БИК", seller.bank.bic, "bic"),
            ("Сч. №", seller.bank.correspondent, "correspondent_account"),
        )
    ):
        sheet.text(middle + 4, y + 12 + n * 16, name, text)
        sheet.text(middle + label + 4, y + 12 + n * 16, value, text, field=field)
    sheet.flow(left + 4, y + 51, (("ИНН  ", text, None), (seller.tax_id, text, "seller_inn")))
    sheet.flow(left + 149, y + 51, (("КПП  ", text, None), (seller.kpp, text, "seller_kpp")))
    sheet.text(left + 4, y + 67, seller.name, text, field="seller_name")
    sheet.text(left + 4, y + 89, "Получатель", note)
    sheet.text(middle + 4, y + 52, "Сч. №", text)
    sheet.text(middle + label + 4, y + 52, seller.bank.account, text, field="account")
    return y + 92


def _parties(sheet: Sheet, invoice: Invoice, y: float, face: str) -> float:
    text, bold = Font(face, 9), Font(f"{face}-bold", 9)
    rows = []
    for role, company, name in (
        ("Поставщик\n(Исполнитель):", invoice.seller, "seller"),
        ("Покупатель\n(Заказчик):", invoice.buyer, "buyer"),
    ):
        line = f"{company.name}, ИНН {company.tax_id}, КПП {company.kpp}, {company.address}"
        if name == "seller":
            line += f", тел.: {company.phone}"
            sheet.fields["seller_phone"] = company.phone
            sheet.fields["seller_address"] = company.address
        else:
            sheet.fields |= {
                "buyer_name": company.name,
                "buyer_inn": company.tax_id,
                "buyer_kpp": company.kpp,
                "buyer_address": company.address,
            }
        rows.append((role, line))
    contract = f"Договор № {invoice.reference} от {russian_date(invoice.reference_day)}"
    rows.append(("Основание:", contract))
    sheet.fields["basis"] = contract
    for role, line in rows:
        used = sheet.paragraph(Box(_MARGIN, y, 80, 30), role, text)
        used = max(
            used, sheet.paragraph(Box(_MARGIN + 84, y, _INNER - 84, 40), line, bold, leading=1.25)
        )
        y += used + 6
    return y


def _table(sheet: Sheet, invoice: Invoice, y: float, face: str) -> float:
    widths = (24, 238, 44, 38, 80, 91.2)
    head = Table(widths, "cccccc", Font(f"{face}-bold", 9), line=0.8, row_height=18)
    y = draw_rows(
        sheet,
        _MARGIN,
        y,
        head,
        [("№", "Товары (работы, услуги)", "Кол-во", "Ед.", "Цена", "Сумма")],
    )
    fields: dict[tuple[int, int], str] = {}
    for n in range(len(invoice.lines.rows)):
        fields |= {
            (n, 1): f"item_{n + 1}_name",
            (n, 2): f"item_{n + 1}_quantity",
            (n, 4): f"item_{n + 1}_price",
            (n, 5): f"item_{n + 1}_total",
        }
    body = Table(widths, "clrlrr", Font(face, 8.5), line=0.5, row_height=15, fields=fields)
    rows = [
        (
            str(n),
            row.good.name,
            plain(row.quantity, ","),
            row.good.unit,
            _money(row.price),
            _money(row.net),
        )
        for n, row in enumerate(invoice.lines.rows, start=1)
    ]
    start = y
    y = draw_rows(sheet, _MARGIN, y, body, rows)
    sheet.rectangle(Box(_MARGIN, start, sum(widths), y - start), width=0.9)
    return y


def draw(
    invoice: Invoice, rng: Random, *, face: str = "sans", qr: bool = False, notice: bool = True
) -> tuple[Sheet, ...]:
    """One A4 page; ``qr`` adds a payment code, ``notice`` the usual warning on top."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    text, bold = Font(face, 9), Font(f"{face}-bold", 9.5)
    y = 36.0
    if notice:
        warning = (
            "Внимание! Оплата данного счёта означает согласие с условиями поставки товара. Уведомление "
            "об оплате обязательно, в противном случае не гарантируется наличие товара на складе. Товар "
            "отпускается по факту прихода денег на р/с Поставщика, "
            "самовывозом, при наличии доверенности и паспорта."
        )
        y += (
            sheet.paragraph(
                Box(_MARGIN + 40, y, _INNER - 80, 40), warning, Font(face, 7.5), align="center"
            )
            + 8
        )
    y = _bank(sheet, invoice, y, face) + 30
    title = Font(f"{face}-bold", 14)
    sheet.flow(
        _MARGIN,
        y,
        (
            ("Счёт на оплату № ", title, None),
            (invoice.number, title, "number"),
            (" от ", title, None),
            (russian_date(invoice.day), title, "date"),
        ),
    )
    sheet.line(_MARGIN, y + 9, _MARGIN + _INNER, y + 9, 1.4)
    y = _parties(sheet, invoice, y + 20, face) + 4
    y = _table(sheet, invoice, y, face) + 15
    lines, right = invoice.lines, _MARGIN + _INNER - 3
    for label, value, name in (
        ("Итого:", lines.net, "total_net"),
        (f"НДС {int(invoice.tax_rate * 100)}%:", lines.tax, "total_tax"),
        ("Всего к оплате:", lines.gross, "total"),
    ):
        sheet.text(right - 82, y, label, bold, align="right")
        sheet.text(right, y, _money(value), bold, align="right", field=name)
        y += 13.5
    y += 4
    count = len(lines.rows)
    sheet.text(_MARGIN, y, f"Всего наименований {count}, на сумму {_money(lines.gross)} руб.", text)
    sheet.fields["item_count"] = str(count)
    words = roubles_in_words(lines.gross)
    y += 4 + sheet.paragraph(Box(_MARGIN, y + 3, _INNER, 20), words, bold, field="total_words")
    y += 12
    pay = f"Оплатить не позднее {invoice.due:%d.%m.%Y}"
    sheet.text(_MARGIN, y, pay, text)
    sheet.fields["due_date"] = f"{invoice.due:%d.%m.%Y}"
    sheet.line(_MARGIN, y + 8, _MARGIN + _INNER, y + 8, 1.4)
    _sign(sheet, invoice, rng, y + 34, face)
    if qr:
        qr_block(rng, sheet, _MARGIN + _INNER - 82, _HEIGHT - 150, 82, 33)
        sheet.text(
            _MARGIN + _INNER - 41,
            _HEIGHT - 56,
            "Оплата по QR-коду",
            Font(face, 7.5),
            align="center",
        )
    return (sheet,)


def _sign(sheet: Sheet, invoice: Invoice, rng: Random, y: float, face: str) -> None:
    seller = invoice.seller
    for n, (role, name, field) in enumerate(
        (
            ("Руководитель", seller.director.short, "director"),
            ("Бухгалтер", seller.accountant.short, "accountant"),
        )
    ):
        x = _MARGIN + n * 265
        role_width = sheet.text(x, y, role, Font(f"{face}-bold", 9))
        sheet.line(x + role_width + 6, y + 2, x + 155, y + 2)
        sheet.text(x + 158, y, name, Font(face, 9), field=field)
        sheet.operations.append(signature(rng, x + role_width + 14, y, 56, 15))
    sheet.text(_MARGIN + 40, y + 46, "М.П.", Font(face, 8))
    sheet.operations.append(
        russian_stamp(
            rng,
            _MARGIN + 112,
            y + 40 + rng.uniform(-4, 8),
            seller.name,
            seller.city,
            seller.ogrn,
            52,
        )
    )

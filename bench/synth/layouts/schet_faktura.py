"""Счёт-фактура: the form of Government decree 1137, annex 1, as of decree 534 of 2 April 2021."""

from __future__ import annotations

from random import Random
from typing import Any

from bench.synth.data import read_table
from bench.synth.layouts.stamps import russian_stamp, signature
from bench.synth.layouts.tables import TableStyle, draw_rows, row_height
from bench.synth.sheet import Box, Font, Sheet
from bench.synth.values.amounts import percent, quantity, russian_money
from bench.synth.values.dates import russian_date
from bench.synth.values.invoice import Invoice

_WIDTH, _HEIGHT = 841.92, 595.2
_LEFT = 26.0
_RIGHT = _WIDTH - _LEFT


def draw(invoice: Invoice, rng: Random, *, face: str = "sans") -> tuple[Sheet, ...]:
    """Draw the form on one A4 page, landscape."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    decree = (
        "Приложение № 1 к постановлению Правительства Российской Федерации от 26 декабря 2011 г. № 1137",
        "(в ред. постановления Правительства Российской Федерации от 2 апреля 2021 г. № 534)",
    )
    for number, line in enumerate(decree):
        sheet.text(_RIGHT, 22 + number * 7.5, line, Font(face, 6), align="right")
    y = _requisites(sheet, invoice, face)
    y = _goods(sheet, invoice, y + 8, face)
    _signatures(sheet, invoice, rng, y + 14, face)
    return (sheet,)


def _requisites(sheet: Sheet, invoice: Invoice, face: str) -> float:
    """Draw the lines (1) to (8); return the y below them."""
    text, title = Font(face, 8.5), Font(f"{face}-bold", 12)
    seller, buyer, day = invoice.seller, invoice.buyer, russian_date(invoice.day)
    number, dated = (invoice.number, title, "number"), (day, title, "date")
    heading = (("СЧЕТ-ФАКТУРА № ", title, None), number, (" от ", title, None), dated)
    x = sheet.flow(_LEFT, 42, heading)
    sheet.text(x + 10, 42, "(1)", text)
    sheet.text(_LEFT, 55, "ИСПРАВЛЕНИЕ № — от —", text)
    sheet.text(x + 10, 55, "(1а)", text)
    shipped = f"1–{len(invoice.lines.rows)} № {invoice.number} от {day}"
    seller_codes = ((seller.tax_id, "seller_inn"), ("/", None), (seller.kpp, "seller_kpp"))
    buyer_codes = ((buyer.tax_id, "buyer_inn"), ("/", None), (buyer.kpp, "buyer_kpp"))
    state_contract = (
        "Идентификатор государственного контракта, договора (соглашения) (при наличии):"
    )
    rows: tuple[tuple[str, tuple[tuple[str, str | None], ...], str], ...] = (
        ("Продавец:", ((seller.name, "seller_name"),), "2"),
        ("Адрес:", ((seller.address, "seller_address"),), "2а"),
        ("ИНН/КПП продавца:", seller_codes, "2б"),
        ("Грузоотправитель и его адрес:", (("он же", None),), "3"),
        ("Грузополучатель и его адрес:", ((f"{buyer.name}, {buyer.address}", "consignee"),), "4"),
        ("К платежно-расчетному документу:", (("№ — от —", None),), "5"),
        ("Документ об отгрузке № п/п:", ((shipped, None),), "5а"),
        ("Покупатель:", ((buyer.name, "buyer_name"),), "6"),
        ("Адрес:", ((buyer.address, "buyer_address"),), "6а"),
        ("ИНН/КПП покупателя:", buyer_codes, "6б"),
        ("Валюта: наименование, код", (("Российский рубль, 643", "currency"),), "7"),
        (state_contract, (("—", None),), "8"),
    )
    y, end = 69.0, _RIGHT - 26
    for label, values, line in rows:
        start = _LEFT + sheet.text(_LEFT, y, label, text) + 6
        sheet.flow(start, y, tuple((value, text, field) for value, field in values))
        sheet.line(start - 2, y + 2, end, y + 2, 0.4)
        sheet.text(end + 6, y, f"({line})", text)
        y += 12.6
    return y - 6


def _columns() -> list[dict[str, Any]]:
    columns = [dict(column) for column in read_table("schet-faktura")["columns"]]
    columns[-1]["width"] = _RIGHT - _LEFT - sum(column["width"] for column in columns)
    return columns


def _head(sheet: Sheet, y: float, face: str) -> float:
    """Draw the two-level head and the row of column numbers; return the y below."""
    font, upper, lower = Font(face, 6), 25.0, 33.0
    columns = _columns()

    def cell(box: Box, text: str, padding: float = 1) -> None:
        sheet.rectangle(box)
        sheet.cell(box, text, font, align="center", padding=padding)

    lefts, x = [], _LEFT
    for column in columns:
        lefts.append(x)
        x += column["width"]
    placed = list(zip(lefts, columns, strict=True))
    alone = [(x, column) for x, column in placed if "group" not in column]
    for x, column in alone[:-1]:
        cell(Box(x, y, column["width"], upper + lower), column["head"], padding=1.5)
    grouped = [(x, column) for x, column in placed if "group" in column]
    for (x, first), (second_x, second) in zip(grouped[::2], grouped[1::2], strict=True):
        cell(Box(x, y, first["width"] + second["width"], upper), first["group"])
        cell(Box(x, y + upper, first["width"], lower), first["head"])
        cell(Box(second_x, y + upper, second["width"], lower), second["head"])
    # The last column is narrow: its head needs every point.
    x, last = alone[-1]
    cell(Box(x, y, last["width"], upper + lower), last["head"])
    widths = [column["width"] for column in columns]
    numbers = [column["number"] for column in columns]
    style = TableStyle(widths, "c" * len(widths), Font(face, 6.5), padding=1, row_height=10)
    return draw_rows(sheet, _LEFT, y + upper + lower, style, [numbers])


def _goods(sheet: Sheet, invoice: Invoice, y: float, face: str) -> float:
    """Draw the table of goods with its totals; return the y below."""
    y = _head(sheet, y, face)
    rate, money = percent(invoice.tax_rate), russian_money
    rows = [
        (str(number), row.good.name, "—", row.good.code, row.good.unit, quantity(row.quantity, ","),
         money(row.price), money(row.net), "без акциза", rate, money(row.tax), money(row.gross),
         *("—",) * 6)
        for number, row in enumerate(invoice.lines.rows, start=1)
    ]  # fmt: skip
    columns = _columns()
    widths = [column["width"] for column in columns]
    aligns = "".join(column["align"] for column in columns)
    body = TableStyle(widths, aligns, Font(face, 7.2), padding=2, row_height=14)
    y = draw_rows(sheet, _LEFT, y, body, rows, {1: "name", 11: "total"})
    first = invoice.lines.rows[0]
    sheet.fields |= {
        "item_1_quantity": quantity(first.quantity, ","),
        "item_1_price": money(first.price),
        "tax_rate": rate,
    }
    totals = (
        ("Всего к оплате (9)", sum(widths[:7]), "left", None),
        (money(invoice.lines.net), widths[7], "right", "total_net"),
        ("X", widths[8] + widths[9], "center", None),
        (money(invoice.lines.tax), widths[10], "right", "total_tax"),
        (money(invoice.lines.gross), widths[11], "right", "total"),
    )
    x, height, strong = _LEFT, row_height(body, ("",) * len(widths)) + 1, Font(f"{face}-bold", 7.2)
    for text, width, align, field in totals:
        box = Box(x, y, width, height)
        sheet.rectangle(box)
        sheet.cell(box, text, strong, align=align, padding=2, field=field)
        x += width
    return y + height


def _signatures(sheet: Sheet, invoice: Invoice, rng: Random, y: float, face: str) -> None:
    """Draw who signs, with pen and seal."""
    text, note = Font(face, 7.5), Font(face, 5.5)
    seller, half = invoice.seller, _WIDTH / 2 + 4

    def role(x: float, y: float, name: str) -> None:
        sheet.text(x, y, name, text)
        sheet.text(x, y + 9, "или иное уполномоченное лицо", text)
        ruled(x + 122, y + 9, 88, "(подпись)")
        ruled(x + 222, y + 9, 140, "(ф.и.о.)")

    def ruled(x: float, y: float, width: float, below: str) -> None:
        sheet.line(x, y + 1.5, x + width, y + 1.5, 0.4)
        sheet.text(x + width / 2, y + 8, below, note, align="center")

    for x, name, person, field in (
        (_LEFT, "Руководитель организации", seller.director, "director"),
        (half, "Главный бухгалтер", seller.accountant, "accountant"),
    ):
        role(x, y, name)
        sheet.text(x + 292, y + 7, person.short, text, align="center", field=field)
        sheet.stamp(signature(rng, x + 132, y + 7, 62, 15))
    y += 34
    role(_LEFT, y, "Индивидуальный предприниматель")
    registration = (
        "(реквизиты свидетельства о государственной регистрации индивидуального предпринимателя)"
    )
    ruled(half, y + 9, _RIGHT - half, registration)
    stamp_x, stamp_y = _LEFT + 300 + rng.uniform(0, 60), min(y + 30, _HEIGHT - 60)
    sheet.stamp(russian_stamp(rng, stamp_x, stamp_y, seller, 50))

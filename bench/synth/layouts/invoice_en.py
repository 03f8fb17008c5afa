"""Commercial invoices in English, in four families: classic, modern, ledger, long (two pages)."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import NamedTuple

from bench.synth.fonts import bold
from bench.synth.layouts.parts import Table, box_stamp, draw_rows, signature
from bench.synth.sheet import GREY, Box, Color, Font, Sheet
from bench.synth.values.amounts import grouped, plain
from bench.synth.values.trade import Invoice, american_date, english_date

_WHITE: Color = (255, 255, 255)
_ACCENTS: tuple[Color, ...] = (
    (28, 74, 120),
    (20, 102, 92),
    (120, 40, 60),
    (66, 62, 130),
    (40, 40, 44),
    (178, 84, 20),
)


class Style(NamedTuple):
    """What varies inside a family."""

    face: str
    accent: Color
    symbol: bool
    """Currency sign before amounts, rather than a code in the heads."""


def style(rng: Random, faces: tuple[str, ...]) -> Style:
    """A style drawn at random."""
    return Style(rng.choice(faces), rng.choice(_ACCENTS), rng.random() < 0.6)


class _Setting(NamedTuple):
    american: bool
    width: float
    height: float
    sign: str

    def money(self, value: Decimal) -> str:
        return self.sign + grouped(value, group=",", point=".")

    def date(self, day: object) -> str:
        return american_date(day) if self.american else english_date(day)  # type: ignore[arg-type]

    @property
    def tax(self) -> str:
        return "Sales tax" if self.american else "VAT"


def _setting(invoice: Invoice, symbol: bool) -> _Setting:
    american = invoice.currency == "USD"
    sign = ("$" if american else "£") if symbol else ""
    return _Setting(american, 612.0 if american else 595.2, 792.0 if american else 841.92, sign)


def _percent(rate: Decimal) -> str:
    return plain((rate * 100).normalize()) + "%"


def _rows(
    invoice: Invoice, setting: _Setting
) -> tuple[list[tuple[str, ...]], dict[tuple[int, int], str]]:
    rows: list[tuple[str, ...]] = []
    fields: dict[tuple[int, int], str] = {}
    for n, row in enumerate(invoice.lines.rows):
        rows.append(
            (
                row.good.code,
                row.good.name,
                plain(row.quantity),
                row.good.unit,
                setting.money(row.price),
                setting.money(row.net),
            )
        )
        for column, name in ((1, "name"), (2, "quantity"), (4, "price"), (5, "total")):
            fields[n, column] = f"item_{n + 1}_{name}"
    return rows, fields


def _address(sheet: Sheet, x: float, y: float, lines: tuple[str, ...], font: Font) -> float:
    for line in lines:
        sheet.text(x, y, line, font)
        y += font.size * 1.35
    return y


def _totals(
    sheet: Sheet, invoice: Invoice, setting: _Setting, y: float, right: float, st: Style
) -> float:
    text, strong = Font(st.face, 9.5), Font(bold(st.face), 11)
    lines = invoice.lines
    for label, value, name in (
        ("Subtotal", lines.net, "total_net"),
        (f"{setting.tax} {_percent(invoice.tax_rate)}", lines.tax, "total_tax"),
    ):
        sheet.text(right - 96, y, label, text, align="right")
        sheet.text(right - 6, y, setting.money(value), text, align="right", field=name)
        y += 16
    sheet.line(right - 190, y - 8, right, y - 8, 0.8)
    sheet.text(right - 96, y + 6, f"Total due ({invoice.currency})", strong, align="right")
    sheet.text(right - 6, y + 6, setting.money(lines.gross), strong, align="right", field="total")
    sheet.fields["currency"] = invoice.currency
    return y + 24


def _payment(
    sheet: Sheet, invoice: Invoice, setting: _Setting, x: float, y: float, st: Style
) -> float:
    text, strong = Font(st.face, 8.5), Font(bold(st.face), 9)
    seller = invoice.seller
    sheet.text(x, y, "Payment details", strong)
    rows: list[tuple[str, str, str | None]] = [("Account name", seller.name, None)]
    if setting.american:
        rows += [
            ("Bank", seller.bank.name, "bank_name"),
            ("Routing number", seller.bank.bic, "routing_number"),
            ("Account number", seller.bank.account, "account"),
        ]
    else:
        rows += [("IBAN", seller.bank.account, "iban"), ("BIC", seller.bank.bic, "bic")]
    for label, value, name in rows:
        y += 13
        sheet.text(x, y, label, text._replace(color=GREY))
        sheet.text(x + 76, y, value, text, field=name)
    return y + 16


def _facts(invoice: Invoice, setting: _Setting) -> tuple[tuple[str, str, str], ...]:
    days = (invoice.due - invoice.day).days
    return (
        ("Invoice no.", invoice.number, "number"),
        ("Invoice date", setting.date(invoice.day), "date"),
        ("Due date", setting.date(invoice.due), "due_date"),
        ("PO number", invoice.reference, "po_number"),
        ("Terms", f"Net {days} days", "terms"),
    )


def _tax_label(setting: _Setting) -> str:
    return "EIN" if setting.american else "VAT reg. no."


def classic(invoice: Invoice, rng: Random, st: Style) -> tuple[Sheet, ...]:
    """A ruled table, the seller on the left, the facts in a box on the right."""
    setting = _setting(invoice, st.symbol)
    sheet = Sheet(setting.width, setting.height)
    left, right = 48.0, setting.width - 48
    text, head = Font(st.face, 9.5), Font(bold(st.face), 10)
    seller, buyer = invoice.seller, invoice.buyer
    sheet.text(left, 66, seller.name, Font(bold(st.face), 16), field="seller_name")
    y = _address(sheet, left, 84, seller.lines, text)
    y = _address(sheet, left, y, (f"Tel. {seller.phone}", seller.email), text)
    sheet.flow(
        left, y, ((f"{_tax_label(setting)} ", text, None), (seller.tax_id, text, "seller_tax_id"))
    )
    sheet.fields["seller_email"] = seller.email
    sheet.text(right, 70, "INVOICE", Font(bold(st.face), 24), align="right")
    fy = 90.0
    for label, value, name in _facts(invoice, setting):
        box = Box(right - 200, fy, 200, 18)
        sheet.rectangle(box, width=0.6)
        sheet.line(box.x + 84, fy, box.x + 84, fy + 18, 0.6)
        sheet.text(box.x + 5, fy + 12.5, label, head.at(9))
        sheet.text(box.x + 90, fy + 12.5, value, text.at(9), field=name)
        fy += 18
    y = max(y, fy) + 24
    sheet.text(left, y, "Bill to:", head)
    sheet.text(left, y + 15, buyer.name, head, field="buyer_name")
    y = _address(sheet, left, y + 29, buyer.lines, text) + 12
    rows, fields = _rows(invoice, setting)
    inner = right - left
    widths = (58.0, inner - 58 - 40 - 42 - 76 - 84, 40.0, 42.0, 76.0, 84.0)
    suffix = "" if st.symbol else f", {invoice.currency}"
    table = Table(widths, "cccccc", Font(bold(st.face), 9), line=0.7, row_height=20, padding=4)
    y = draw_rows(
        sheet,
        left,
        y,
        table,
        [("Item", "Description", "Qty", "Unit", f"Unit price{suffix}", f"Amount{suffix}")],
    )
    table = Table(
        widths, "llrcrr", Font(st.face, 9), line=0.5, row_height=19, padding=4, fields=fields
    )
    y = draw_rows(sheet, left, y, table, rows) + 20
    end = _totals(sheet, invoice, setting, y, right, st)
    _payment(sheet, invoice, setting, left, y, st)
    _foot(sheet, invoice, rng, end + 50, left, st)
    if rng.random() < 0.5:
        sheet.operations.append(
            box_stamp(
                rng, right - 120, end + 60, ("RECEIVED", setting.date(invoice.day)), (30, 60, 150)
            )
        )
    return (sheet,)


def _foot(sheet: Sheet, invoice: Invoice, rng: Random, y: float, left: float, st: Style) -> None:
    text = Font(st.face, 8.5)
    sheet.operations.append(signature(rng, left + 10, y + 22, 80, 20))
    sheet.line(left, y + 28, left + 170, y + 28, 0.5)
    sheet.text(left, y + 40, f"Authorised signature: {invoice.seller.director.full}", text)
    sheet.fields["signatory"] = invoice.seller.director.full
    sheet.text(
        sheet.width / 2,
        sheet.height - 40,
        "Thank you for your business. Please quote the invoice number with your payment.",
        text._replace(color=GREY),
        align="center",
    )


def modern(invoice: Invoice, rng: Random, st: Style) -> tuple[Sheet, ...]:
    """A colour band across the top, light rules, facts in a row."""
    setting = _setting(invoice, st.symbol)
    sheet = Sheet(setting.width, setting.height)
    left, right = 44.0, setting.width - 44
    text, head = Font(st.face, 9.5), Font(bold(st.face), 9.5, st.accent)
    seller, buyer = invoice.seller, invoice.buyer
    sheet.rectangle(Box(0, 0, sheet.width, 88), color=None, fill=st.accent)
    sheet.text(left, 54, seller.name, Font(bold(st.face), 20, _WHITE), field="seller_name")
    sheet.text(right, 56, "Invoice", Font(st.face, 28, _WHITE), align="right")
    x, step = left, (right - left) / 4
    for label, value, name in _facts(invoice, setting)[:4]:
        sheet.text(x, 116, label, Font(st.face, 8, GREY))
        sheet.text(x, 130, value, Font(bold(st.face), 10), field=name)
        x += step
    sheet.line(left, 142, right, 142, 0.6, (200, 200, 205))
    middle = left + (right - left) / 2 + 10
    sheet.text(left, 166, "From", head)
    sheet.text(left, 181, seller.name, text)
    y1 = _address(sheet, left, 195, (*seller.lines, seller.phone, seller.email), text)
    sheet.flow(
        left, y1, ((f"{_tax_label(setting)} ", text, None), (seller.tax_id, text, "seller_tax_id"))
    )
    sheet.fields["seller_email"] = seller.email
    sheet.text(middle, 166, "Billed to", head)
    sheet.text(middle, 181, buyer.name, text, field="buyer_name")
    y2 = _address(sheet, middle, 195, buyer.lines, text)
    if not setting.american:
        sheet.flow(
            middle,
            y2,
            ((f"{_tax_label(setting)} ", text, None), (buyer.tax_id, text, "buyer_tax_id")),
        )
    y = max(y1, y2) + 22
    rows, fields = _rows(invoice, setting)
    rows = [row[1:] for row in rows]
    fields = {(n, column - 1): name for (n, column), name in fields.items()}
    inner = right - left
    widths = (inner - 50 - 50 - 84 - 92, 50.0, 50.0, 84.0, 92.0)
    red, green, blue = (235 + channel // 16 for channel in st.accent)
    sheet.rectangle(Box(left, y, inner, 22), color=None, fill=(red, green, blue))
    suffix = "" if st.symbol else f" ({invoice.currency})"
    table = Table(
        widths, "lrcrr", Font(bold(st.face), 8.5, st.accent), line=0, row_height=22, padding=6
    )
    y = draw_rows(
        sheet, left, y, table, [("Description", "Qty", "Unit", f"Price{suffix}", f"Amount{suffix}")]
    )
    table = Table(widths, "lrcrr", Font(st.face, 9.5), line=0.4, row_height=24, padding=6, fields=fields,
                  color=(205, 205, 210), horizontal_only=True)  # fmt: skip
    y = draw_rows(sheet, left, y, table, rows) + 22
    end = _totals(sheet, invoice, setting, y, right, st)
    y = _payment(sheet, invoice, setting, left, max(end, y + 40) + 10, st)
    note = f"Terms: net {(invoice.due - invoice.day).days} days. Interest may be charged on late payments."
    sheet.text(left, y + 6, note, Font(st.face, 8.5, GREY))
    sheet.rectangle(Box(0, sheet.height - 26, sheet.width, 26), color=None, fill=st.accent)
    sheet.text(
        sheet.width / 2,
        sheet.height - 10,
        f"{seller.email}   |   {seller.phone}",
        Font(st.face, 8.5, _WHITE),
        align="center",
    )
    return (sheet,)


def ledger(invoice: Invoice, rng: Random, st: Style) -> tuple[Sheet, ...]:
    """Centred letterhead in a serif face, striped rows, the total in a box."""
    setting = _setting(invoice, st.symbol)
    sheet = Sheet(setting.width, setting.height)
    left, right, middle = 54.0, setting.width - 54, setting.width / 2
    text, head = Font(st.face, 10), Font(bold(st.face), 10)
    seller, buyer = invoice.seller, invoice.buyer
    sheet.text(
        middle,
        62,
        seller.name,
        Font(bold(st.face), 20, st.accent),
        align="center",
        field="seller_name",
    )
    sheet.text(middle, 78, " · ".join(seller.lines), text.at(9), align="center")
    contact = f"{seller.phone} · {seller.email} · {_tax_label(setting)} {seller.tax_id}"
    sheet.text(middle, 91, contact, text.at(9), align="center")
    sheet.fields |= {"seller_tax_id": seller.tax_id, "seller_email": seller.email}
    sheet.line(left, 102, right, 102, 1.2, st.accent)
    sheet.line(left, 104.5, right, 104.5, 0.4, st.accent)
    sheet.text(
        left,
        136,
        "TAX INVOICE" if not setting.american else "SALES INVOICE",
        Font(bold(st.face), 15),
    )
    y = 158.0
    sheet.text(left, y, "Sold to", head)
    end = _address(sheet, left, y + 28, buyer.lines, text)
    sheet.text(left, y + 14, buyer.name, text, field="buyer_name")
    for label, value, name in _facts(invoice, setting):
        sheet.text(right - 108, y, f"{label}:", head, align="right")
        sheet.text(right - 100, y, value, text, field=name)
        y += 14.5
    y = max(end, y) + 14
    rows, fields = _rows(invoice, setting)
    inner = right - left
    widths = (60.0, inner - 60 - 40 - 44 - 74 - 82, 40.0, 44.0, 74.0, 82.0)
    suffix = "" if st.symbol else f" {invoice.currency}"
    table = Table(
        widths,
        "llrcrr",
        Font(bold(st.face), 9.5),
        line=0.9,
        row_height=21,
        padding=4,
        horizontal_only=True,
    )
    sheet.line(left, y, right, y, 0.9)
    y = draw_rows(
        sheet,
        left,
        y,
        table,
        [("Code", "Goods / services", "Qty", "Unit", f"Price{suffix}", f"Amount{suffix}")],
    )
    table = Table(
        widths,
        "llrcrr",
        Font(st.face, 9.5),
        line=0,
        row_height=20,
        padding=4,
        fields=fields,
        stripe=(243, 243, 240),
    )
    y = draw_rows(sheet, left, y, table, rows)
    sheet.line(left, y, right, y, 0.9)
    end = _totals(sheet, invoice, setting, y + 20, right, st)
    y = _payment(sheet, invoice, setting, left, y + 20, st)
    _foot(sheet, invoice, rng, max(end, y) + 40, left, st)
    if rng.random() < 0.6:
        sheet.operations.append(
            box_stamp(
                rng,
                right - 110,
                max(end, y) + 40,
                ("PAID", setting.date(invoice.due)),
                (190, 30, 45),
                20,
            )
        )
    return (sheet,)


_FIRST_PAGE_ROWS = 20


def long(invoice: Invoice, rng: Random, st: Style) -> tuple[Sheet, ...]:
    """Two pages: the rows run over, with the sum carried forward and brought forward."""
    setting = _setting(invoice, st.symbol)
    left, right = 48.0, setting.width - 48
    first, second = Sheet(setting.width, setting.height), Sheet(setting.width, setting.height)
    text, head = Font(st.face, 9.5), Font(bold(st.face), 10)
    y = _long_head(first, invoice, setting, st)
    rows, fields = _rows(invoice, setting)
    inner = right - left
    widths = (58.0, inner - 58 - 40 - 42 - 76 - 84, 40.0, 42.0, 76.0, 84.0)
    suffix = "" if st.symbol else f", {invoice.currency}"
    heads = [("Item", "Description", "Qty", "Unit", f"Unit price{suffix}", f"Amount{suffix}")]
    top = Table(widths, "llrcrr", Font(bold(st.face), 9), line=0.7, row_height=20, padding=4)
    body = Table(
        widths, "llrcrr", Font(st.face, 9), line=0.5, row_height=21, padding=4, fields=fields
    )
    y = draw_rows(first, left, y, top, heads)
    y = draw_rows(first, left, y, body, rows[:_FIRST_PAGE_ROWS])
    carried = setting.money(
        sum((row.net for row in invoice.lines.rows[:_FIRST_PAGE_ROWS]), Decimal(0))
    )
    first.text(right - 96, y + 18, "Carried forward", head, align="right")
    first.text(right - 6, y + 18, carried, head, align="right", field="carried_forward")
    second.text(left, 60, invoice.seller.name, head)
    second.text(right, 60, f"Invoice {invoice.number}", text, align="right")
    second.line(left, 68, right, 68, 0.7)
    second.text(right - 96, 90, "Brought forward", head, align="right")
    second.text(right - 6, 90, carried, head, align="right")
    rest = {
        (n - _FIRST_PAGE_ROWS, c): name for (n, c), name in fields.items() if n >= _FIRST_PAGE_ROWS
    }
    body = Table(
        widths, "llrcrr", Font(st.face, 9), line=0.5, row_height=21, padding=4, fields=rest
    )
    y = draw_rows(second, left, 102, top, heads)
    y = draw_rows(second, left, y, body, rows[_FIRST_PAGE_ROWS:]) + 24
    end = _totals(second, invoice, setting, y, right, st)
    _payment(second, invoice, setting, left, y, st)
    _foot(second, invoice, rng, end + 60, left, st)
    for number, sheet in enumerate((first, second), start=1):
        sheet.text(right, sheet.height - 26, f"Page {number} of 2", text.at(8.5), align="right")
    return first, second


def _long_head(sheet: Sheet, invoice: Invoice, setting: _Setting, st: Style) -> float:
    left, right = 48.0, setting.width - 48
    text, head = Font(st.face, 9.5), Font(bold(st.face), 10)
    seller, buyer = invoice.seller, invoice.buyer
    sheet.text(left, 60, "INVOICE", Font(bold(st.face), 20))
    sheet.text(left, 84, seller.name, head.at(12), field="seller_name")
    y = _address(sheet, left, 98, (*seller.lines, seller.phone, seller.email), text)
    sheet.flow(
        left, y, ((f"{_tax_label(setting)} ", text, None), (seller.tax_id, text, "seller_tax_id"))
    )
    sheet.fields["seller_email"] = seller.email
    fy = 60.0
    for label, value, name in _facts(invoice, setting):
        sheet.text(right - 120, fy, label, text, align="right")
        sheet.text(right - 110, fy, value, head, field=name)
        fy += 15
    y += 26
    sheet.text(left, y, "Invoice to", head)
    sheet.text(left, y + 14, buyer.name, text, field="buyer_name")
    return _address(sheet, left, y + 28, buyer.lines, text) + 10


FAMILIES = {
    "classic": (classic, ("sans", "humanist", "grotesque", "office")),
    "modern": (modern, ("grotesque", "humanist", "office", "sans")),
    "ledger": (ledger, ("serif", "serif", "office")),
    "long": (long, ("sans", "office", "grotesque")),
}
"""Family → drawing function and the faces that suit it; ``long`` wants more than twenty rows."""

"""Commercial invoices in English, in four layouts: classic, modern, ledger, long (two pages)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from random import Random
from typing import NamedTuple

from bench.synth.fonts import bold
from bench.synth.layouts.stamps import box_stamp, signature
from bench.synth.layouts.tables import TableStyle, draw_rows, draw_sums
from bench.synth.sheet import GREY, Box, Color, Font, Sheet
from bench.synth.values.amounts import english_money, percent, quantity
from bench.synth.values.dates import american_date, english_date
from bench.synth.values.invoice import Invoice

_WHITE: Color = (255, 255, 255)
_ACCENTS: tuple[Color, ...] = (
    (28, 74, 120),
    (20, 102, 92),
    (120, 40, 60),
    (66, 62, 130),
    (40, 40, 44),
    (178, 84, 20),
)
_GOODS_FIELDS = {1: "name", 2: "quantity", 4: "price", 5: "total"}


class InvoiceStyle(NamedTuple):
    """What varies inside a layout."""

    face: str
    accent: Color
    symbol: bool
    """Currency sign before amounts, rather than a code in the heads."""


def draw_style(rng: Random, faces: tuple[str, ...]) -> InvoiceStyle:
    """Draw a style at random."""
    return InvoiceStyle(rng.choice(faces), rng.choice(_ACCENTS), rng.random() < 0.6)


class _Writer:
    """Writes the blocks that all layouts share, British or American."""

    def __init__(self, invoice: Invoice, style: InvoiceStyle) -> None:
        self.invoice = invoice
        self.style = style
        self.american = invoice.currency == "USD"
        self.text = Font(style.face, 9.5)
        self.strong = Font(bold(style.face), 10)

    def sheet(self) -> Sheet:
        """Return an empty page, Letter or A4."""
        return Sheet(612.0, 792.0) if self.american else Sheet(595.2, 841.92)

    def money(self, value: Decimal) -> str:
        sign = "$" if self.american else "£"
        return (sign if self.style.symbol else "") + english_money(value)

    def date(self, day: date) -> str:
        return american_date(day) if self.american else english_date(day)

    def heads(self, names: Iterable[str], currency: str) -> list[tuple[str, ...]]:
        """Return the head row; ``currency`` follows the heads of amounts where they have no sign."""
        suffix = "" if self.style.symbol else currency.format(self.invoice.currency)
        *others, price, amount = names
        return [(*others, price + suffix, amount + suffix)]

    def rows(self) -> list[tuple[str, ...]]:
        """Return code, name, quantity, unit, price and amount of the goods."""
        return [
            (row.good.code, row.good.name, quantity(row.quantity), row.good.unit,
             self.money(row.price), self.money(row.net))
            for row in self.invoice.lines.rows
        ]  # fmt: skip

    def facts(self) -> tuple[tuple[str, str, str], ...]:
        """Return label, value and field of what identifies the invoice."""
        invoice = self.invoice
        return (
            ("Invoice no.", invoice.number, "number"),
            ("Invoice date", self.date(invoice.day), "date"),
            ("Due date", self.date(invoice.due), "due_date"),
            ("PO number", invoice.reference, "po_number"),
            ("Terms", f"Net {self.days} days", "terms"),
        )

    @property
    def days(self) -> int:
        return (self.invoice.due - self.invoice.day).days

    @property
    def tax_label(self) -> str:
        return "EIN" if self.american else "VAT reg. no."

    def tax_id(self, sheet: Sheet, x: float, y: float, tax_id: str, field: str) -> None:
        label = f"{self.tax_label} "
        sheet.flow(x, y, ((label, self.text, None), (tax_id, self.text, field)))

    def lines(self, sheet: Sheet, x: float, y: float, lines: Iterable[str], font: Font) -> float:
        """Set an address or other short lines; return the y below."""
        for line in lines:
            sheet.text(x, y, line, font)
            y += font.size * 1.35
        return y

    def totals(self, sheet: Sheet, y: float, right: float) -> float:
        """Set the sums; return the y below."""
        invoice, total = self.invoice, self.strong.at(11)
        tax_name = "Sales tax" if self.american else "VAT"
        rate = percent(invoice.tax_rate)
        sums = (
            ("Subtotal", self.money(invoice.lines.net), "total_net"),
            (f"{tax_name} {rate}", self.money(invoice.lines.tax), "total_tax"),
        )
        y = draw_sums(sheet, right - 6, y, sums, self.text, gap=90, step=16)
        sheet.line(right - 190, y - 8, right, y - 8, 0.8)
        due = (f"Total due ({invoice.currency})", self.money(invoice.lines.gross), "total")
        draw_sums(sheet, right - 6, y + 6, [due], total, gap=90, step=0)
        sheet.fields["currency"] = invoice.currency
        return y + 24

    def payment(self, sheet: Sheet, x: float, y: float) -> float:
        """Set the seller's account; return the y below."""
        seller, text = self.invoice.seller, self.text.at(8.5)
        sheet.text(x, y, "Payment details", self.strong.at(9))
        rows: list[tuple[str, str, str | None]] = [("Account name", seller.name, None)]
        if self.american:
            rows += [
                ("Bank", seller.bank.name, "bank_name"),
                ("Routing number", seller.bank.bic, "routing_number"),
                ("Account number", seller.bank.account, "account"),
            ]
        else:
            rows += [("IBAN", seller.bank.account, "iban"), ("BIC", seller.bank.bic, "bic")]
        for label, value, field in rows:
            y += 13
            sheet.text(x, y, label, text._replace(color=GREY))
            sheet.text(x + 76, y, value, text, field=field)
        return y + 16

    def foot(self, sheet: Sheet, rng: Random, y: float, left: float) -> None:
        """Set the signature, and thanks at the foot of the page."""
        text, signatory = self.text.at(8.5), self.invoice.seller.director.full
        sheet.stamp(signature(rng, left + 10, y + 22, 80, 20))
        sheet.line(left, y + 28, left + 170, y + 28)
        sheet.text(left, y + 40, f"Authorised signature: {signatory}", text)
        sheet.fields["signatory"] = signatory
        thanks = "Thank you for your business. Please quote the invoice number with your payment."
        grey = text._replace(color=GREY)
        sheet.text(sheet.width / 2, sheet.height - 40, thanks, grey, align="center")


def classic(invoice: Invoice, rng: Random, style: InvoiceStyle) -> tuple[Sheet, ...]:
    """Draw a ruled table, the seller on the left, the facts in a box on the right."""
    writer = _Writer(invoice, style)
    sheet, text, strong = writer.sheet(), writer.text, writer.strong
    left, right = 48.0, sheet.width - 48
    seller, buyer = invoice.seller, invoice.buyer
    sheet.text(left, 66, seller.name, strong.at(16), field="seller_name")
    y = writer.lines(sheet, left, 84, (*seller.lines, f"Tel. {seller.phone}", seller.email), text)
    writer.tax_id(sheet, left, y, seller.tax_id, "seller_tax_id")
    sheet.fields["seller_email"] = seller.email
    sheet.text(right, 70, "INVOICE", strong.at(24), align="right")
    box = Box(right - 200, 90, 200, 18)
    for label, value, field in writer.facts():
        sheet.rectangle(box, width=0.6)
        sheet.line(box.x + 84, box.y, box.x + 84, box.y + 18, 0.6)
        sheet.text(box.x + 5, box.y + 12.5, label, strong.at(9))
        sheet.text(box.x + 90, box.y + 12.5, value, text.at(9), field=field)
        box = box._replace(y=box.y + 18)
    y = max(y, box.y) + 24
    sheet.text(left, y, "Bill to:", strong)
    sheet.text(left, y + 15, buyer.name, strong, field="buyer_name")
    y = writer.lines(sheet, left, y + 29, buyer.lines, text) + 12
    head = _ruled_table(writer, right - left)
    y = draw_rows(sheet, left, y, head._replace(aligns="cccccc"), _ruled_heads(writer))
    body = head._replace(font=text.at(9), line=0.5, row_height=19)
    y = draw_rows(sheet, left, y, body, writer.rows(), _GOODS_FIELDS) + 20
    end = writer.totals(sheet, y, right)
    writer.payment(sheet, left, y)
    writer.foot(sheet, rng, end + 50, left)
    if rng.random() < 0.5:
        received = ("RECEIVED", writer.date(invoice.day))
        sheet.stamp(box_stamp(rng, right - 120, end + 60, received, (30, 60, 150)))
    return (sheet,)


def _ruled_table(writer: _Writer, width: float) -> TableStyle:
    """Return the style of the heads in ``classic`` and ``long``."""
    widths = (58.0, width - 58 - 40 - 42 - 76 - 84, 40.0, 42.0, 76.0, 84.0)
    font = writer.strong.at(9)
    return TableStyle(widths, "llrcrr", font, line=0.7, row_height=20, padding=4)


def _ruled_heads(writer: _Writer) -> list[tuple[str, ...]]:
    return writer.heads(("Item", "Description", "Qty", "Unit", "Unit price", "Amount"), ", {}")


def modern(invoice: Invoice, rng: Random, style: InvoiceStyle) -> tuple[Sheet, ...]:
    """Draw a colour band across the top, light rules, the facts in a row."""
    writer = _Writer(invoice, style)
    sheet, text, strong = writer.sheet(), writer.text, writer.strong
    left, right = 44.0, sheet.width - 44
    width = right - left
    seller, buyer = invoice.seller, invoice.buyer
    heading, small = Font(strong.face, 9.5, style.accent), Font(style.face, 8.5, GREY)
    sheet.rectangle(Box(0, 0, sheet.width, 88), color=None, fill=style.accent)
    sheet.text(left, 54, seller.name, Font(strong.face, 20, _WHITE), field="seller_name")
    sheet.text(right, 56, "Invoice", Font(style.face, 28, _WHITE), align="right")
    for column, (label, value, field) in enumerate(writer.facts()[:4]):
        x = left + column * width / 4
        sheet.text(x, 116, label, small.at(8))
        sheet.text(x, 130, value, strong, field=field)
    sheet.line(left, 142, right, 142, 0.6, (200, 200, 205))
    middle = left + width / 2 + 10
    sheet.text(left, 166, "From", heading)
    sheet.text(left, 181, seller.name, text)
    contact = (*seller.lines, seller.phone, seller.email)
    seller_end = writer.lines(sheet, left, 195, contact, text)
    writer.tax_id(sheet, left, seller_end, seller.tax_id, "seller_tax_id")
    sheet.fields["seller_email"] = seller.email
    sheet.text(middle, 166, "Billed to", heading)
    sheet.text(middle, 181, buyer.name, text, field="buyer_name")
    buyer_end = writer.lines(sheet, middle, 195, buyer.lines, text)
    if not writer.american:
        writer.tax_id(sheet, middle, buyer_end, buyer.tax_id, "buyer_tax_id")
    y = max(seller_end, buyer_end) + 22
    red, green, blue = (235 + channel // 16 for channel in style.accent)
    sheet.rectangle(Box(left, y, width, 22), color=None, fill=(red, green, blue))
    widths = (width - 50 - 50 - 84 - 92, 50.0, 50.0, 84.0, 92.0)
    head = TableStyle(widths, "lrcrr", heading.at(8.5), line=0, row_height=22, padding=6)
    heads = writer.heads(("Description", "Qty", "Unit", "Price", "Amount"), " ({})")
    y = draw_rows(sheet, left, y, head, heads)
    body = head._replace(font=text, line=0.4, row_height=24, color=(205, 205, 210),
                         horizontal_only=True)  # fmt: skip
    rows = [row[1:] for row in writer.rows()]  # without codes
    fields = {column - 1: field for column, field in _GOODS_FIELDS.items()}
    y = draw_rows(sheet, left, y, body, rows, fields) + 22
    end = writer.totals(sheet, y, right)
    y = writer.payment(sheet, left, max(end, y + 40) + 10)
    terms = f"Terms: net {writer.days} days. Interest may be charged on late payments."
    sheet.text(left, y + 6, terms, small)
    sheet.rectangle(Box(0, sheet.height - 26, sheet.width, 26), color=None, fill=style.accent)
    contact_line = f"{seller.email}   |   {seller.phone}"
    white = small._replace(color=_WHITE)
    sheet.text(sheet.width / 2, sheet.height - 10, contact_line, white, align="center")
    return (sheet,)


def ledger(invoice: Invoice, rng: Random, style: InvoiceStyle) -> tuple[Sheet, ...]:
    """Draw a centred letterhead in a serif face, striped rows, the total in a box."""
    writer = _Writer(invoice, style)
    sheet, text, strong = writer.sheet(), writer.text.at(10), writer.strong
    left, right, middle = 54.0, sheet.width - 54, sheet.width / 2
    seller, buyer = invoice.seller, invoice.buyer
    letterhead = Font(strong.face, 20, style.accent)
    sheet.text(middle, 62, seller.name, letterhead, align="center", field="seller_name")
    sheet.text(middle, 78, " · ".join(seller.lines), text.at(9), align="center")
    contact = f"{seller.phone} · {seller.email} · {writer.tax_label} {seller.tax_id}"
    sheet.text(middle, 91, contact, text.at(9), align="center")
    sheet.fields |= {"seller_tax_id": seller.tax_id, "seller_email": seller.email}
    sheet.line(left, 102, right, 102, 1.2, style.accent)
    sheet.line(left, 104.5, right, 104.5, 0.4, style.accent)
    title = "SALES INVOICE" if writer.american else "TAX INVOICE"
    sheet.text(left, 136, title, strong.at(15))
    y = 158.0
    sheet.text(left, y, "Sold to", strong)
    buyer_end = writer.lines(sheet, left, y + 28, buyer.lines, text)
    sheet.text(left, y + 14, buyer.name, text, field="buyer_name")
    for label, value, field in writer.facts():
        sheet.text(right - 108, y, f"{label}:", strong, align="right")
        sheet.text(right - 100, y, value, text, field=field)
        y += 14.5
    y = max(buyer_end, y) + 14
    widths = (60.0, right - left - 60 - 40 - 44 - 74 - 82, 40.0, 44.0, 74.0, 82.0)
    head = TableStyle(widths, "llrcrr", strong.at(9.5), line=0.9, row_height=21, padding=4,
                      horizontal_only=True)  # fmt: skip
    sheet.line(left, y, right, y, 0.9)
    names = ("Code", "Goods / services", "Qty", "Unit", "Price", "Amount")
    y = draw_rows(sheet, left, y, head, writer.heads(names, " {}"))
    body = TableStyle(widths, "llrcrr", text.at(9.5), line=0, row_height=20, padding=4,
                      stripe=(243, 243, 240))  # fmt: skip
    y = draw_rows(sheet, left, y, body, writer.rows(), _GOODS_FIELDS)
    sheet.line(left, y, right, y, 0.9)
    totals_end = writer.totals(sheet, y + 20, right)
    end = max(totals_end, writer.payment(sheet, left, y + 20)) + 40
    writer.foot(sheet, rng, end, left)
    if rng.random() < 0.6:
        paid = ("PAID", writer.date(invoice.due))
        sheet.stamp(box_stamp(rng, right - 110, end, paid, (190, 30, 45), 20))
    return (sheet,)


_FIRST_PAGE_ROWS = 20


def long(invoice: Invoice, rng: Random, style: InvoiceStyle) -> tuple[Sheet, ...]:
    """Draw two pages: the rows run over, with the sum carried forward and brought forward."""
    writer = _Writer(invoice, style)
    first, second = writer.sheet(), writer.sheet()
    text, strong = writer.text, writer.strong
    left, right = 48.0, first.width - 48
    y = _long_head(first, writer, left, right)
    head = _ruled_table(writer, right - left)
    body = head._replace(font=text.at(9), line=0.5, row_height=21)
    rows = writer.rows()
    y = draw_rows(first, left, y, head, _ruled_heads(writer))
    y = draw_rows(first, left, y, body, rows[:_FIRST_PAGE_ROWS], _GOODS_FIELDS)
    carried = sum((row.net for row in invoice.lines.rows[:_FIRST_PAGE_ROWS]), Decimal(0))
    forward = ("Carried forward", writer.money(carried), "carried_forward")
    draw_sums(first, right - 6, y + 18, [forward], strong, gap=90, step=0)
    second.text(left, 60, invoice.seller.name, strong)
    second.text(right, 60, f"Invoice {invoice.number}", text, align="right")
    second.line(left, 68, right, 68, 0.7)
    brought = ("Brought forward", writer.money(carried), None)
    draw_sums(second, right - 6, 90, [brought], strong, gap=90, step=0)
    y = draw_rows(second, left, 102, head, _ruled_heads(writer))
    rest = rows[_FIRST_PAGE_ROWS:]
    y = draw_rows(second, left, y, body, rest, _GOODS_FIELDS, _FIRST_PAGE_ROWS + 1) + 24
    end = writer.totals(second, y, right)
    writer.payment(second, left, y)
    writer.foot(second, rng, end + 60, left)
    for number, sheet in enumerate((first, second), start=1):
        sheet.text(right, sheet.height - 26, f"Page {number} of 2", text.at(8.5), align="right")
    return first, second


def _long_head(sheet: Sheet, writer: _Writer, left: float, right: float) -> float:
    """Set the letterhead, the facts and the buyer; return the y below."""
    text, strong = writer.text, writer.strong
    seller, buyer = writer.invoice.seller, writer.invoice.buyer
    sheet.text(left, 60, "INVOICE", strong.at(20))
    sheet.text(left, 84, seller.name, strong.at(12), field="seller_name")
    y = writer.lines(sheet, left, 98, (*seller.lines, seller.phone, seller.email), text)
    writer.tax_id(sheet, left, y, seller.tax_id, "seller_tax_id")
    sheet.fields["seller_email"] = seller.email
    for row, (label, value, field) in enumerate(writer.facts()):
        sheet.text(right - 120, 60 + row * 15, label, text, align="right")
        sheet.text(right - 110, 60 + row * 15, value, strong, field=field)
    y += 26
    sheet.text(left, y, "Invoice to", strong)
    sheet.text(left, y + 14, buyer.name, text, field="buyer_name")
    return writer.lines(sheet, left, y + 28, buyer.lines, text) + 10


LAYOUTS = {
    "classic": (classic, ("sans", "humanist", "grotesque", "office")),
    "modern": (modern, ("grotesque", "humanist", "office", "sans")),
    "ledger": (ledger, ("serif", "serif", "office")),
    "long": (long, ("sans", "office", "grotesque")),
}
"""Layout → drawing function and the faces that suit it; ``long`` wants more than twenty rows."""

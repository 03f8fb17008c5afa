"""A supply agreement: clauses, signatures, a schedule of goods."""

from __future__ import annotations

from random import Random

from bench.synth.data import read_table
from bench.synth.layouts.running_text import LEFT, RIGHT, WIDTH, Pages
from bench.synth.layouts.stamps import signature
from bench.synth.layouts.tables import TableStyle, draw_rows, draw_sums
from bench.synth.sheet import Sheet
from bench.synth.values.amounts import english_money, quantity
from bench.synth.values.contract import SupplyContract
from bench.synth.values.dates import english_date


def draw(deal: SupplyContract, rng: Random, *, face: str = "serif") -> tuple[Sheet, ...]:
    """Draw a supply agreement with its schedule of goods."""
    pages = Pages(face, 11)
    sheet, font = pages.sheet, pages.font
    pages.y += 20
    middle = sheet.width / 2
    sheet.text(middle + 8, pages.y, "SUPPLY AGREEMENT", pages.strong.at(17), align="center")
    pages.y += 20
    number, day = (deal.number, font, "number"), (english_date(deal.day), font, "date")
    subtitle = (("Agreement No. ", font, None), number, (" dated ", font, None), day)
    sheet.flow(middle - 88, pages.y, subtitle)
    pages.y += 14
    pages.sections(read_table("contract-en")["sections"], _values(deal))
    pages.room(160)
    _signatures(pages, deal, rng)
    pages.new_page()
    _schedule(pages, deal)
    return pages.finish(f"Supply Agreement No. {deal.number}", "Page {number} of {count}")


def _values(deal: SupplyContract) -> dict[str, str]:
    seller, buyer = deal.seller, deal.buyer
    return {
        "seller_name": seller.name,
        "seller_address": seller.address,
        "buyer_name": buyer.name,
        "buyer_address": buyer.address,
        "total": f"£{english_money(deal.lines.gross)}",
        "prepayment": f"{deal.prepayment}%",
        "pay_days": f"{deal.pay_days} days",
        "iban": seller.bank.account,
        "delivery_days": f"{deal.delivery_days} working days",
        "penalty": f"{deal.penalty.replace(',', '.')}%",
        "claim_days": f"{deal.claim_days} days",
        "warranty": f"{deal.warranty_months} months",
        "until": english_date(deal.until),
    }


def _signatures(pages: Pages, deal: SupplyContract, rng: Random) -> None:
    pages.heading("Signed for and on behalf of the parties")
    sheet, y = pages.sheet, pages.y + 46
    for x, company in ((LEFT, deal.seller), (LEFT + WIDTH / 2, deal.buyer)):
        sheet.text(x, y - 38, company.name, pages.strong)
        sheet.line(x, y + 4, x + 170, y + 4)
        sheet.stamp(signature(rng, x + 14, y, 92, 24))
        sheet.text(x, y + 17, f"{company.director.full}, Director", pages.font.at(10))


def _schedule(pages: Pages, deal: SupplyContract) -> None:
    sheet, y = pages.sheet, pages.y
    title = pages.strong.at(13)
    sheet.text((LEFT + RIGHT) / 2, y + 10, "SCHEDULE 1: GOODS", title, align="center")
    widths = (62.0, 205.0, 40.0, 40.0, 62.0, 72.0)
    head = TableStyle(widths, "lllrrr", pages.strong.at(9.5), row_height=20)
    heads = ("Code", "Description", "Unit", "Qty", "Price, £", "Amount, £")
    y = draw_rows(sheet, LEFT, y + 24, head, [heads])
    rows = [
        (row.good.code, row.good.name, row.good.unit, quantity(row.quantity),
         english_money(row.price), english_money(row.net))
        for row in deal.lines.rows
    ]  # fmt: skip
    body = head._replace(font=pages.font.at(9.5), row_height=18)
    y = draw_rows(sheet, LEFT, y, body, rows, {1: "name", 3: "quantity", 5: "total"})
    sums = (
        ("Net", english_money(deal.lines.net), None),
        ("VAT 20%", english_money(deal.lines.tax), None),
        ("Total", english_money(deal.lines.gross), None),
    )
    draw_sums(sheet, RIGHT - 3, y + 16, sums, pages.strong.at(10), gap=87, step=16)

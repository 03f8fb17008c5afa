"""A supply agreement: clauses, signatures, a schedule of goods."""

# ruff: noqa: E501  (prose and tables read better in long lines)
from __future__ import annotations

from random import Random

from bench.synth.layouts.parts import Table, draw_rows, signature
from bench.synth.layouts.running_text import LEFT, RIGHT, Clauses, Pages
from bench.synth.sheet import Font, Sheet
from bench.synth.values.agreement import Agreement
from bench.synth.values.amounts import grouped, plain
from bench.synth.values.trade import english_date


def english(deal: Agreement, rng: Random, *, face: str = "serif") -> tuple[Sheet, ...]:
    """A supply agreement with its schedule of goods."""
    pages = Pages(face, 11)
    sheet, seller, buyer = pages.sheet, deal.seller, deal.buyer
    pages.y += 20
    sheet.text(
        sheet.width / 2 + 8, pages.y, "SUPPLY AGREEMENT", Font(f"{face}-bold", 17), align="center"
    )
    pages.y += 20
    x = sheet.flow(
        sheet.width / 2 - 88,
        pages.y,
        (("Agreement No. ", pages.font, None), (deal.number, pages.font, "number")),
    )
    sheet.flow(
        x, pages.y, ((" dated ", pages.font, None), (english_date(deal.day), pages.font, "date"))
    )
    pages.y += 14
    total = f"£{grouped(deal.lines.gross, group=',', point='.')}"
    for heading, clauses in _english_clauses(deal, total):
        if heading:
            pages.heading(heading)
        for text, fields in clauses:
            pages.clause(text, fields)
    pages.room(160)
    pages.heading("Signed for and on behalf of the parties")
    half = (RIGHT - LEFT) / 2
    for n, company in enumerate((seller, buyer)):
        x, y = LEFT + n * half, pages.y + 46
        pages.sheet.text(x, y - 38, company.name, pages.strong)
        pages.sheet.line(x, y + 4, x + 170, y + 4)
        pages.sheet.operations.append(signature(rng, x + 14, y, 92, 24))
        pages.sheet.text(x, y + 17, f"{company.director.full}, Director", pages.font.at(10))
    pages.new_page()
    _schedule_en(pages, deal)
    return pages.finish(f"Supply Agreement No. {deal.number}", "Page {number} of {count}")


def _english_clauses(deal: Agreement, total: str) -> Clauses:
    seller, buyer = deal.seller, deal.buyer
    penalty = deal.penalty.replace(",", ".")
    return (
        ("", (
            (f"This Agreement is made between {seller.name}, whose registered office is at {seller.address} (the "
             f"“Supplier”), and {buyer.name}, whose registered office is at {buyer.address} (the “Customer”).",
             {"seller_name": seller.name, "buyer_name": buyer.name, "seller_address": seller.address,
              "buyer_address": buyer.address}),)),
        ("1. Supply of goods", (
            ("1.1 The Supplier shall supply, and the Customer shall accept and pay for, the goods listed in Schedule 1 "
             "(the “Goods”) on the terms of this Agreement.", {}),
            ("1.2 The Goods shall conform to their description, be of satisfactory quality and be free from defects in "
             "design, material and workmanship.", {}),
            (f"1.3 Delivery shall be made to the Customer's registered office within {deal.delivery_days} working days "
             "of receipt of the advance payment.", {"delivery_days": f"{deal.delivery_days} working days"}),
            ("1.4 Risk in the Goods passes to the Customer on delivery. Title passes on payment in full.", {}),
        )),
        ("2. Price and payment", (
            (f"2.1 The total price of the Goods is {total} including VAT at 20%.", {"total": total}),
            (f"2.2 The Customer shall pay {deal.prepayment}% of the total price in advance, within 5 working days of the "
             "date of this Agreement.", {"prepayment": f"{deal.prepayment}%"}),
            (f"2.3 The balance is payable within {deal.pay_days} days of delivery, by bank transfer to IBAN "
             f"{seller.bank.account}.", {"pay_days": f"{deal.pay_days} days", "iban": seller.bank.account}),
            (f"2.4 Late payments bear interest at {penalty}% of the outstanding amount for each day of delay.",
             {"penalty": f"{penalty}%"}),
        )),
        ("3. Acceptance and warranty", (
            (f"3.1 The Customer shall inspect the Goods on delivery and notify the Supplier of any shortage or visible "
             f"defect within {deal.claim_days} days.", {"claim_days": f"{deal.claim_days} days"}),
            (f"3.2 The Supplier warrants the Goods for {deal.warranty_months} months from delivery and shall repair or "
             "replace defective Goods at its own expense.", {"warranty": f"{deal.warranty_months} months"}),
            ("3.3 The warranty does not cover wear and tear, misuse, or alterations made without the Supplier's consent.",
             {}),
        )),
        ("4. Liability", (
            ("4.1 Nothing in this Agreement limits liability for death or personal injury caused by negligence, or for "
             "fraud.", {}),
            ("4.2 Subject to clause 4.1, each party's total liability shall not exceed the total price of the Goods.", {}),
            ("4.3 Neither party is liable for a failure to perform caused by events beyond its reasonable control, "
             "provided that it notifies the other party without delay.", {}),
        )),
        ("5. Confidentiality", (
            ("5.1 Each party shall keep confidential all information of a confidential nature received from the other "
             "and shall use it only for the purposes of this Agreement.", {}),
            ("5.2 This obligation continues for three years after the end of this Agreement.", {}),
        )),
        ("6. Term and general", (
            (f"6.1 This Agreement takes effect on the date of signature and remains in force until "
             f"{english_date(deal.until)}.", {"until": english_date(deal.until)}),
            ("6.2 Either party may terminate this Agreement on 30 days' written notice if the other commits a material "
             "breach and fails to remedy it.", {}),
            ("6.3 No variation of this Agreement is effective unless it is in writing and signed by both parties.", {}),
            ("6.4 This Agreement is governed by the law of England and Wales, whose courts have exclusive jurisdiction.",
             {}),
        )),
    )  # fmt: skip


def _schedule_en(pages: Pages, deal: Agreement) -> None:
    sheet = pages.sheet
    sheet.text(
        (LEFT + RIGHT) / 2,
        pages.y + 10,
        "SCHEDULE 1: GOODS",
        Font(pages.strong.face, 13),
        align="center",
    )
    widths = (62.0, 205.0, 40.0, 40.0, 62.0, 72.0)
    head = Table(widths, "lllrrr", pages.strong.at(9.5), row_height=20)
    heads = ("Code", "Description", "Unit", "Qty", "Price, £", "Amount, £")
    y = draw_rows(sheet, LEFT, pages.y + 24, head, [heads])
    rows: list[tuple[str, ...]] = []
    fields: dict[tuple[int, int], str] = {}
    for n, row in enumerate(deal.lines.rows):
        rows.append(
            (
                row.good.code,
                row.good.name,
                row.good.unit,
                plain(row.quantity),
                grouped(row.price, group=",", point="."),
                grouped(row.net, group=",", point="."),
            )
        )
        fields |= {
            (n, 1): f"item_{n + 1}_name",
            (n, 3): f"item_{n + 1}_quantity",
            (n, 5): f"item_{n + 1}_total",
        }
    table = Table(widths, "lllrrr", pages.font.at(9.5), row_height=18, fields=fields)
    y = draw_rows(sheet, LEFT, y, table, rows)
    for label, value in (
        ("Net", deal.lines.net),
        ("VAT 20%", deal.lines.tax),
        ("Total", deal.lines.gross),
    ):
        y += 16
        sheet.text(RIGHT - 90, y, label, pages.strong.at(10), align="right")
        sheet.text(
            RIGHT - 3, y, grouped(value, group=",", point="."), pages.strong.at(10), align="right"
        )
    pages.y = y

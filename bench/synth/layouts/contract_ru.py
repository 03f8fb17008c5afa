"""Договор поставки: clauses, the parties' details with seals, a specification of the goods."""

from __future__ import annotations

from random import Random

from bench.synth.data import read_table
from bench.synth.layouts.running_text import LEFT, RIGHT, WIDTH, Pages
from bench.synth.layouts.stamps import russian_stamp, signature
from bench.synth.layouts.tables import TableStyle, draw_rows, draw_sums
from bench.synth.sheet import Box, Font, Sheet
from bench.synth.values.amounts import quantity, roubles_in_words, russian_money, russian_words
from bench.synth.values.contract import SupplyContract
from bench.synth.values.dates import dotted_date, russian_date
from bench.synth.values.parties import Company


def draw(deal: SupplyContract, rng: Random, *, face: str = "serif") -> tuple[Sheet, ...]:
    """Draw a договор поставки with its specification."""
    pages = Pages(face, 11.5)
    sheet = pages.sheet
    pages.y += 14
    title = f"ДОГОВОР ПОСТАВКИ № {deal.number}"
    sheet.text(sheet.width / 2 + 10, pages.y, title, pages.strong.at(14), align="center")
    pages.y += 30
    sheet.text(LEFT, pages.y, f"г. {deal.city}", pages.font)
    sheet.text(RIGHT, pages.y, russian_date(deal.day), pages.font, align="right", field="date")
    sheet.fields |= {"number": deal.number, "city": deal.city}
    pages.y += 16
    pages.sections(read_table("contract-ru")["sections"], _values(deal))
    _details(pages, deal, rng)
    pages.new_page()
    _specification(pages, deal, rng)
    header = f"Договор поставки № {deal.number} от {dotted_date(deal.day)}"
    return pages.finish(header, "Страница {number} из {count}")


def _values(deal: SupplyContract) -> dict[str, str]:
    seller, buyer, months = deal.seller, deal.buyer, deal.warranty_months
    return {
        "seller_name": seller.full_name,
        "seller_director": seller.director.genitive,
        "buyer_name": buyer.full_name,
        "buyer_director": buyer.director.genitive,
        "total": russian_money(deal.lines.gross),
        "total_words": roubles_in_words(deal.lines.gross),
        "total_tax": russian_money(deal.lines.tax),
        "prepayment": f"{deal.prepayment} %",
        "pay_days": f"{deal.pay_days} календарных дней",
        "delivery_days": f"{deal.delivery_days} рабочих дней",
        "delivery_address": buyer.address,
        "claim_days": f"{deal.claim_days} календарных дней",
        "warranty": f"{months} ({russian_words(months)}) {'месяца' if months == 24 else 'месяцев'}",
        "penalty": f"{deal.penalty} %",
        "until": russian_date(deal.until),
    }


def _details(pages: Pages, deal: SupplyContract, rng: Random) -> None:
    """Set the parties' addresses and accounts side by side, with signatures and seals below."""
    pages.room(250)
    pages.heading("8. АДРЕСА И РЕКВИЗИТЫ СТОРОН")
    sheet, top = pages.sheet, pages.y + 4
    for x, role, company, name in (
        (LEFT, "Поставщик", deal.seller, "seller"),
        (LEFT + WIDTH / 2, "Покупатель", deal.buyer, "buyer"),
    ):
        y = top
        sheet.text(x, y + 8, role, pages.strong)
        y += 16
        for label, value, field in _detail_lines(company):
            box = Box(x, y, WIDTH / 2 - 14, 0)
            y += sheet.paragraph(box, label + value, pages.font.at(10), leading=1.25)
            if field:
                sheet.fields[f"{name}_{field}"] = value
        pages.y = max(pages.y, y)
    _signatures(sheet, deal, rng, pages.y + 26, pages.font.at(10))


def _detail_lines(company: Company) -> tuple[tuple[str, str, str], ...]:
    """Label, value, field."""
    bank = company.bank
    return (
        ("", company.name, ""),
        ("", company.address, ""),
        ("ИНН ", company.tax_id, "inn"),
        ("КПП ", company.kpp, "kpp"),
        ("ОГРН ", company.ogrn, "ogrn"),
        ("Р/с ", bank.account, "account"),
        ("", bank.name, "bank"),
        ("К/с ", bank.correspondent, ""),
        ("БИК ", bank.bic, "bic"),
        ("Тел. ", company.phone, "phone"),
    )


def _signatures(sheet: Sheet, deal: SupplyContract, rng: Random, y: float, font: Font) -> None:
    for x, company in ((LEFT, deal.seller), (LEFT + WIDTH / 2, deal.buyer)):
        sheet.text(x, y - 6, "Генеральный директор", font)
        sheet.line(x, y + 18, x + 100, y + 18)
        sheet.text(x + 104, y + 16, f"/ {company.director.short} /", font)
        sheet.text(x, y + 34, "М.П.", font)
        sheet.stamp(signature(rng, x + 14, y + 16, 70, 20))
        sheet.stamp(russian_stamp(rng, x + 66, y + 32 + rng.uniform(0, 10), company, 46))


def _specification(pages: Pages, deal: SupplyContract, rng: Random) -> None:
    sheet, small, strong = pages.sheet, pages.font.at(10), pages.strong.at(10)
    order = f"к договору поставки № {deal.number}"
    for line in ("Приложение № 1", order, f"от {russian_date(deal.day)}"):
        sheet.text(RIGHT, pages.y, line, small, align="right")
        pages.y += 13.5
    pages.y += 20
    sheet.text((LEFT + RIGHT) / 2, pages.y, "СПЕЦИФИКАЦИЯ", pages.strong.at(13), align="center")
    pages.y += 14
    widths = (26.0, 207.0, 42.0, 52.0, 72.0, 82.0)
    head = TableStyle(widths, "cccccc", pages.strong.at(9.5), row_height=22)
    heads = ("№", "Наименование товара", "Ед. изм.", "Кол-во", "Цена без НДС, руб.",
             "Сумма без НДС, руб.")  # fmt: skip
    y = draw_rows(sheet, LEFT, pages.y, head, [heads])
    rows = [
        (str(number), row.good.name, row.good.unit, quantity(row.quantity, ","),
         russian_money(row.price), russian_money(row.net))
        for number, row in enumerate(deal.lines.rows, start=1)
    ]  # fmt: skip
    body = head._replace(aligns="clcrrr", font=pages.font.at(9.5), row_height=18)
    fields = {1: "name", 3: "quantity", 4: "price", 5: "total"}
    y = draw_rows(sheet, LEFT, y, body, rows, fields)
    sums = (
        ("Итого без НДС:", russian_money(deal.lines.net), "total_net"),
        ("НДС 20 %:", russian_money(deal.lines.tax), None),
        ("Всего с НДС:", russian_money(deal.lines.gross), None),
    )
    y = draw_sums(sheet, RIGHT - 3, y + 16, sums, strong, gap=85, step=16)
    pages.y = y + 10
    pages.clause(
        "Упаковка и тара входят в стоимость товара и возврату не подлежат. Спецификация является "
        "неотъемлемой частью Договора."
    )
    _signatures(sheet, deal, rng, pages.y + 46, small)
    sheet.text(LEFT, pages.y + 22, "Поставщик", strong)
    sheet.text(LEFT + WIDTH / 2, pages.y + 22, "Покупатель", strong)

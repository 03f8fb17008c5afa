"""Договор поставки: clauses, the parties' details with seals, a specification."""

# ruff: noqa: E501  (prose and tables read better in long lines)
from __future__ import annotations

from random import Random

from bench.synth.layouts.parts import Table, draw_rows, russian_stamp, signature
from bench.synth.layouts.running_text import LEFT, RIGHT, Clauses, Pages
from bench.synth.sheet import Box, Font, Sheet
from bench.synth.values.agreement import Agreement
from bench.synth.values.amounts import grouped, plain, roubles_in_words, russian_words
from bench.synth.values.trade import russian_date


def russian(deal: Agreement, rng: Random, *, face: str = "serif") -> tuple[Sheet, ...]:
    """Договор поставки with its specification."""
    pages = Pages(face, 11.5)
    sheet = pages.sheet
    title = Font(f"{face}-bold", 14)
    pages.y += 14
    half = sheet.width / 2 + 10
    sheet.text(half, pages.y, f"ДОГОВОР ПОСТАВКИ № {deal.number}", title, align="center")
    pages.y += 30
    sheet.text(LEFT, pages.y, f"г. {deal.city}", pages.font)
    sheet.text(RIGHT, pages.y, russian_date(deal.day), pages.font, align="right", field="date")
    sheet.fields |= {"number": deal.number, "city": deal.city}
    pages.y += 16
    for heading, clauses in _russian_clauses(deal):
        if heading:
            pages.heading(heading)
        for text, fields in clauses:
            pages.clause(text, fields)
    _russian_details(pages, deal, rng)
    pages.new_page()
    _specification_ru(pages, deal, rng)
    return pages.finish(
        f"Договор поставки № {deal.number} от {deal.day:%d.%m.%Y}", "Страница {number} из {count}"
    )


def _numbered(number: int, words: str) -> str:
    return f"{number} ({words})"


def _russian_clauses(deal: Agreement) -> Clauses:
    seller, buyer = deal.seller, deal.buyer
    gross = grouped(deal.lines.gross, group=" ", point=",")
    tax = grouped(deal.lines.tax, group=" ", point=",")
    words = roubles_in_words(deal.lines.gross)
    return (
        ("", ((
            f"{seller.full_name}, именуемое в дальнейшем «Поставщик», в лице генерального директора "
            f"{seller.director.genitive}, действующего на основании Устава, с одной стороны, и {buyer.full_name}, "
            f"именуемое в дальнейшем «Покупатель», в лице генерального директора {buyer.director.genitive}, действующего "
            "на основании Устава, с другой стороны, совместно именуемые «Стороны», заключили настоящий договор "
            "(далее — Договор) о нижеследующем.",
            {"seller_name": seller.full_name, "buyer_name": buyer.full_name, "seller_director": seller.director.genitive,
             "buyer_director": buyer.director.genitive}),)),
        ("1. ПРЕДМЕТ ДОГОВОРА", (
            ("1.1. Поставщик обязуется передать в собственность Покупателя товар, наименование, количество и цена "
             "которого указаны в Спецификации (Приложение № 1), а Покупатель обязуется принять и оплатить товар на "
             "условиях Договора.", {}),
            ("1.2. Качество товара должно соответствовать требованиям государственных стандартов и технических "
             "условий, действующих на территории Российской Федерации, и подтверждаться сертификатами изготовителя.",
             {}),
        )),
        ("2. ЦЕНА ДОГОВОРА И ПОРЯДОК РАСЧЁТОВ", (
            (f"2.1. Общая стоимость товара по Договору составляет {gross} руб. ({words}), в том числе НДС "
             f"{int(deal.lines.rows[0].rate * 100)} % — {tax} руб.",
             {"total": gross, "total_tax": tax, "total_words": words}),
            (f"2.2. Покупатель перечисляет предварительную оплату в размере {deal.prepayment} % от общей стоимости "
             "товара в течение 3 (трёх) банковских дней с даты подписания Договора.",
             {"prepayment": f"{deal.prepayment} %"}),
            (f"2.3. Окончательный расчёт производится в течение {deal.pay_days} календарных дней с даты подписания "
             "товарной накладной.", {"pay_days": f"{deal.pay_days} календарных дней"}),
            ("2.4. Расчёты осуществляются в безналичной форме платёжными поручениями. Обязательство по оплате "
             "считается исполненным с момента зачисления денежных средств на расчётный счёт Поставщика.", {}),
        )),
        ("3. СРОКИ И УСЛОВИЯ ПОСТАВКИ", (
            (f"3.1. Поставка товара осуществляется в течение {deal.delivery_days} рабочих дней с даты поступления "
             "предварительной оплаты.", {"delivery_days": f"{deal.delivery_days} рабочих дней"}),
            (f"3.2. Товар доставляется силами и за счёт Поставщика по адресу: {buyer.address}.",
             {"delivery_address": buyer.address}),
            ("3.3. Датой поставки считается дата подписания Сторонами товарной накладной по форме ТОРГ-12. Право "
             "собственности и риск случайной гибели товара переходят к Покупателю в момент передачи товара.", {}),
            ("3.4. Одновременно с товаром Поставщик передаёт Покупателю счёт-фактуру, товарную накладную, "
             "сертификаты соответствия и инструкции по эксплуатации на русском языке.", {}),
        )),
        ("4. ПРИЁМКА И ГАРАНТИЯ", (
            ("4.1. Приёмка товара по количеству и ассортименту производится в день доставки уполномоченным "
             "представителем Покупателя на основании доверенности.", {}),
            (f"4.2. Претензии по качеству могут быть предъявлены в течение {deal.claim_days} календарных дней с даты "
             "приёмки. Поставщик обязан рассмотреть претензию в течение 10 (десяти) дней с даты её получения.",
             {"claim_days": f"{deal.claim_days} календарных дней"}),
            (f"4.3. Гарантийный срок на товар составляет {_numbered(deal.warranty_months, russian_words(deal.warranty_months))} "
             f"месяц{'а' if deal.warranty_months == 24 else 'ев'} с даты поставки.",
             {"warranty": f"{_numbered(deal.warranty_months, russian_words(deal.warranty_months))} "
                          f"месяц{'а' if deal.warranty_months == 24 else 'ев'}"}),
        )),
        ("5. ОТВЕТСТВЕННОСТЬ СТОРОН", (
            (f"5.1. За нарушение срока поставки Поставщик уплачивает Покупателю неустойку в размере {deal.penalty} % "
             "от стоимости непоставленного товара за каждый день просрочки, но не более 10 % от этой стоимости.",
             {"penalty": f"{deal.penalty} %"}),
            ("5.2. За нарушение срока оплаты Покупатель уплачивает Поставщику неустойку в том же размере от суммы "
             "задолженности за каждый день просрочки.", {}),
            ("5.3. Стороны освобождаются от ответственности за неисполнение обязательств, если оно явилось следствием "
             "обстоятельств непреодолимой силы, возникших после заключения Договора. Сторона, для которой создалась "
             "невозможность исполнения обязательств, извещает об этом другую Сторону в течение 5 (пяти) дней.", {}),
        )),
        ("6. ПОРЯДОК РАЗРЕШЕНИЯ СПОРОВ", (
            ("6.1. Споры, не урегулированные путём переговоров, передаются на рассмотрение арбитражного суда по месту "
             "нахождения истца. Срок ответа на претензию — 30 календарных дней.", {}),
        )),
        ("7. СРОК ДЕЙСТВИЯ И ПРОЧИЕ УСЛОВИЯ", (
            (f"7.1. Договор вступает в силу с даты его подписания и действует до {russian_date(deal.until)}, а в части "
             "расчётов — до полного исполнения Сторонами своих обязательств.", {"until": russian_date(deal.until)}),
            ("7.2. Изменения и дополнения к Договору действительны, если они совершены в письменной форме и подписаны "
             "уполномоченными представителями обеих Сторон.", {}),
            ("7.3. Договор составлен в двух экземплярах, имеющих равную юридическую силу, по одному для каждой из "
             "Сторон. Приложение № 1 является неотъемлемой частью Договора.", {}),
        )),
    )  # fmt: skip


def _russian_details(pages: Pages, deal: Agreement, rng: Random) -> None:
    pages.room(250)
    pages.heading("8. АДРЕСА И РЕКВИЗИТЫ СТОРОН")
    sheet, top = pages.sheet, pages.y + 4
    small, half = pages.font.at(10), (RIGHT - LEFT) / 2
    for n, (role, company, name) in enumerate(
        (("Поставщик", deal.seller, "seller"), ("Покупатель", deal.buyer, "buyer"))
    ):
        x, y = LEFT + n * half, top
        sheet.text(x, y + 8, role, pages.strong)
        y += 16
        for text, field, value in (
            (company.name, None, ""),
            (company.address, None, ""),
            (f"ИНН {company.tax_id}", f"{name}_inn", company.tax_id),
            (f"КПП {company.kpp}", f"{name}_kpp", company.kpp),
            (f"ОГРН {company.ogrn}", f"{name}_ogrn", company.ogrn),
            (f"Р/с {company.bank.account}", f"{name}_account", company.bank.account),
            (company.bank.name, f"{name}_bank", company.bank.name),
            (f"К/с {company.bank.correspondent}", None, ""),
            (f"БИК {company.bank.bic}", f"{name}_bic", company.bank.bic),
            (f"Тел. {company.phone}", f"{name}_phone", company.phone),
        ):
            y += sheet.paragraph(Box(x, y, half - 14, 0), text, small, leading=1.25)
            if field is not None:
                sheet.fields[field] = value
        pages.y = max(pages.y, y)
    _signatures_ru(sheet, deal, rng, pages.y + 26, pages.font.at(10))


def _signatures_ru(sheet: Sheet, deal: Agreement, rng: Random, y: float, font: Font) -> None:
    half = (RIGHT - LEFT) / 2
    for n, company in enumerate((deal.seller, deal.buyer)):
        x = LEFT + n * half
        sheet.text(x, y - 6, "Генеральный директор", font)
        sheet.line(x, y + 18, x + 100, y + 18)
        sheet.text(x + 104, y + 16, f"/ {company.director.short} /", font)
        sheet.text(x, y + 34, "М.П.", font)
        sheet.operations.append(signature(rng, x + 14, y + 16, 70, 20))
        sheet.operations.append(
            russian_stamp(
                rng,
                x + 66,
                y + 32 + rng.uniform(0, 10),
                company.name,
                company.city,
                company.ogrn,
                46,
            )
        )


def _specification_ru(pages: Pages, deal: Agreement, rng: Random) -> None:
    sheet, font = pages.sheet, pages.font.at(10)
    for line in (
        "Приложение № 1",
        f"к договору поставки № {deal.number}",
        f"от {russian_date(deal.day)}",
    ):
        sheet.text(RIGHT, pages.y, line, font, align="right")
        pages.y += 13.5
    pages.y += 20
    sheet.text(
        (LEFT + RIGHT) / 2, pages.y, "СПЕЦИФИКАЦИЯ", Font(pages.strong.face, 13), align="center"
    )
    pages.y += 14
    widths = (26.0, 207.0, 42.0, 52.0, 72.0, 82.0)
    head = Table(widths, "cccccc", pages.strong.at(9.5), row_height=22)
    y = draw_rows(
        sheet,
        LEFT,
        pages.y,
        head,
        [
            (
                "№",
                "Наименование товара",
                "Ед. изм.",
                "Кол-во",
                "Цена без НДС, руб.",
                "Сумма без НДС, руб.",
            )
        ],
    )
    rows: list[tuple[str, ...]] = []
    fields: dict[tuple[int, int], str] = {}
    for n, row in enumerate(deal.lines.rows):
        rows.append(
            (
                str(n + 1),
                row.good.name,
                row.good.unit,
                plain(row.quantity, ","),
                grouped(row.price, group=" ", point=","),
                grouped(row.net, group=" ", point=","),
            )
        )
        fields |= {
            (n, 1): f"item_{n + 1}_name",
            (n, 3): f"item_{n + 1}_quantity",
            (n, 4): f"item_{n + 1}_price",
            (n, 5): f"item_{n + 1}_total",
        }
    table = Table(widths, "clcrrr", pages.font.at(9.5), row_height=18, fields=fields)
    y = draw_rows(sheet, LEFT, y, table, rows)
    for label, value, name in (
        ("Итого без НДС:", deal.lines.net, "total_net"),
        ("НДС 20 %:", deal.lines.tax, None),
        ("Всего с НДС:", deal.lines.gross, None),
    ):
        y += 16
        sheet.text(RIGHT - 88, y, label, pages.strong.at(10), align="right")
        sheet.text(
            RIGHT - 3,
            y,
            grouped(value, group=" ", point=","),
            pages.strong.at(10),
            align="right",
            field=name,
        )
    pages.y = y + 26
    note = "Упаковка и тара входят в стоимость товара и возврату не подлежат. Спецификация является неотъемлемой частью Договора."
    pages.clause(note)
    _signatures_ru(sheet, deal, rng, pages.y + 46, font)
    sheet.text(LEFT, pages.y + 22, "Поставщик", pages.strong.at(10))
    sheet.text(LEFT + (RIGHT - LEFT) / 2, pages.y + 22, "Покупатель", pages.strong.at(10))

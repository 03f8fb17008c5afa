"""A contract of several pages: running text, a specification, the parties' details with seals."""

# ruff: noqa: E501  (prose and tables read better in long lines)
from __future__ import annotations

from collections.abc import Callable
from random import Random

from bench.synth.layouts.parts import Table, draw_rows, russian_stamp, signature
from bench.synth.sheet import Box, Font, Sheet, wrap
from bench.synth.values.agreement import Agreement
from bench.synth.values.amounts import grouped, plain, roubles_in_words, russian_words
from bench.synth.values.trade import english_date, russian_date

_WIDTH, _HEIGHT = 595.2, 841.92
_LEFT, _RIGHT, _TOP, _BOTTOM = 72.0, 553.0, 62.0, 778.0


class _Pages:
    """Fills pages from the top; a clause never breaks over two pages."""

    def __init__(self, face: str, size: float) -> None:
        self.font = Font(face, size)
        self.strong = Font(f"{face}-bold", size)
        self.sheets = [Sheet(_WIDTH, _HEIGHT)]
        self.y = _TOP

    @property
    def sheet(self) -> Sheet:
        return self.sheets[-1]

    def room(self, height: float) -> None:
        """Start a page unless ``height`` points are left on this one."""
        if self.y + height > _BOTTOM:
            self.new_page()

    def new_page(self) -> None:
        self.sheets.append(Sheet(_WIDTH, _HEIGHT))
        self.y = _TOP

    def heading(self, text: str) -> None:
        self.room(70)
        self.y += 10
        self.sheet.paragraph(
            Box(_LEFT, self.y, _RIGHT - _LEFT, 20), text, self.strong, align="center"
        )
        self.y += self.font.size * 1.3 + 5

    def clause(self, text: str, fields: dict[str, str] | None = None) -> None:
        lines = wrap(text, self.font, _RIGHT - _LEFT)
        self.room(len(lines) * self.font.size * 1.32)
        self.y += self.sheet.paragraph(
            Box(_LEFT, self.y, _RIGHT - _LEFT, 0), text, self.font, align="justify", leading=1.32
        )
        self.y += 3.5
        for name, value in (fields or {}).items():
            self.sheet.fields.setdefault(name, value)

    def finish(self, header: str, page: str) -> tuple[Sheet, ...]:
        small = Font(self.font.face, 8.5, (90, 90, 95))
        for number, sheet in enumerate(self.sheets, start=1):
            sheet.text(_LEFT, 40, header, small)
            sheet.text(
                _RIGHT,
                812,
                page.format(number=number, count=len(self.sheets)),
                small,
                align="right",
            )
        return tuple(self.sheets)


def russian(deal: Agreement, rng: Random, *, face: str = "serif") -> tuple[Sheet, ...]:
    """Договор поставки with its specification."""
    pages = _Pages(face, 11.5)
    sheet = pages.sheet
    title = Font(f"{face}-bold", 14)
    pages.y += 14
    half = sheet.width / 2 + 10
    sheet.text(half, pages.y, f"ДОГОВОР ПОСТАВКИ № {deal.number}", title, align="center")
    pages.y += 30
    sheet.text(_LEFT, pages.y, f"г. {deal.city}", pages.font)
    sheet.text(_RIGHT, pages.y, russian_date(deal.day), pages.font, align="right", field="date")
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


_Clauses = tuple[tuple[str, tuple[tuple[str, dict[str, str]], ...]], ...]


def _numbered(number: int, words: str) -> str:
    return f"{number} ({words})"


def _russian_clauses(deal: Agreement) -> _Clauses:
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


def _russian_details(pages: _Pages, deal: Agreement, rng: Random) -> None:
    pages.room(250)
    pages.heading("8. АДРЕСА И РЕКВИЗИТЫ СТОРОН")
    sheet, top = pages.sheet, pages.y + 4
    small, half = pages.font.at(10), (_RIGHT - _LEFT) / 2
    for n, (role, company, name) in enumerate(
        (("Поставщик", deal.seller, "seller"), ("Покупатель", deal.buyer, "buyer"))
    ):
        x, y = _LEFT + n * half, top
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
    half = (_RIGHT - _LEFT) / 2
    for n, company in enumerate((deal.seller, deal.buyer)):
        x = _LEFT + n * half
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


def _specification_ru(pages: _Pages, deal: Agreement, rng: Random) -> None:
    sheet, font = pages.sheet, pages.font.at(10)
    for line in (
        "Приложение № 1",
        f"к договору поставки № {deal.number}",
        f"от {russian_date(deal.day)}",
    ):
        sheet.text(_RIGHT, pages.y, line, font, align="right")
        pages.y += 13.5
    pages.y += 20
    sheet.text(
        (_LEFT + _RIGHT) / 2, pages.y, "СПЕЦИФИКАЦИЯ", Font(pages.strong.face, 13), align="center"
    )
    pages.y += 14
    widths = (26.0, 207.0, 42.0, 52.0, 72.0, 82.0)
    head = Table(widths, "cccccc", pages.strong.at(9.5), row_height=22)
    y = draw_rows(
        sheet,
        _LEFT,
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
    y = draw_rows(sheet, _LEFT, y, table, rows)
    for label, value, name in (
        ("Итого без НДС:", deal.lines.net, "total_net"),
        ("НДС 20 %:", deal.lines.tax, None),
        ("Всего с НДС:", deal.lines.gross, None),
    ):
        y += 16
        sheet.text(_RIGHT - 88, y, label, pages.strong.at(10), align="right")
        sheet.text(
            _RIGHT - 3,
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
    sheet.text(_LEFT, pages.y + 22, "Поставщик", pages.strong.at(10))
    sheet.text(_LEFT + (_RIGHT - _LEFT) / 2, pages.y + 22, "Покупатель", pages.strong.at(10))


def english(deal: Agreement, rng: Random, *, face: str = "serif") -> tuple[Sheet, ...]:
    """A supply agreement with its schedule of goods."""
    pages = _Pages(face, 11)
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
    half = (_RIGHT - _LEFT) / 2
    for n, company in enumerate((seller, buyer)):
        x, y = _LEFT + n * half, pages.y + 46
        pages.sheet.text(x, y - 38, company.name, pages.strong)
        pages.sheet.line(x, y + 4, x + 170, y + 4)
        pages.sheet.operations.append(signature(rng, x + 14, y, 92, 24))
        pages.sheet.text(x, y + 17, f"{company.director.full}, Director", pages.font.at(10))
    pages.new_page()
    _schedule_en(pages, deal)
    return pages.finish(f"Supply Agreement No. {deal.number}", "Page {number} of {count}")


def _english_clauses(deal: Agreement, total: str) -> _Clauses:
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


def _schedule_en(pages: _Pages, deal: Agreement) -> None:
    sheet = pages.sheet
    sheet.text(
        (_LEFT + _RIGHT) / 2,
        pages.y + 10,
        "SCHEDULE 1: GOODS",
        Font(pages.strong.face, 13),
        align="center",
    )
    widths = (62.0, 205.0, 40.0, 40.0, 62.0, 72.0)
    head = Table(widths, "lllrrr", pages.strong.at(9.5), row_height=20)
    heads = ("Code", "Description", "Unit", "Qty", "Price, £", "Amount, £")
    y = draw_rows(sheet, _LEFT, pages.y + 24, head, [heads])
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
    y = draw_rows(sheet, _LEFT, y, table, rows)
    for label, value in (
        ("Net", deal.lines.net),
        ("VAT 20%", deal.lines.tax),
        ("Total", deal.lines.gross),
    ):
        y += 16
        sheet.text(_RIGHT - 90, y, label, pages.strong.at(10), align="right")
        sheet.text(
            _RIGHT - 3, y, grouped(value, group=",", point="."), pages.strong.at(10), align="right"
        )
    pages.y = y


FAMILIES: dict[str, Callable[..., tuple[Sheet, ...]]] = {"ru": russian, "en": english}

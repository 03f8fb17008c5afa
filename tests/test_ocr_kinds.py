"""What the OCR baseline knows of kinds of documents: payment orders, receipts, letterheads, forms."""

from __future__ import annotations

import json

import pytest

from bench.models.ocr.document import OcrDocument
from bench.models.ocr.repeated import repeated_label
from tests.ocr_pages import ask, sheet

ORDER = sheet(
    (50, 50, "ПЛАТЕЖНОЕ ПОРУЧЕНИЕ № 318"),
    (620, 50, "14.02.2023"),
    (660, 85, "Дата"),
    (50, 140, "Сумма"),
    (200, 140, "Двенадцать тысяч четыреста рублей 50 копеек"),
    (50, 168, "прописью"),
    (50, 230, "ИНН 7727563778"),
    (400, 230, "КПП 772701001"),
    (700, 230, "Сумма"),
    (830, 230, "12400-50"),
    (50, 270, 'ООО "Северный ветер"'),
    (700, 310, "Сч. №"),
    (830, 310, "40702810200000004417"),
    (50, 360, "Плательщик"),
    (50, 400, 'АО "ВЫМЫСЕЛБАНК" Г. МОСКВА'),
    (700, 400, "БИК"),
    (830, 400, "044525991"),
    (700, 430, "Сч. №"),
    (830, 430, "30101810100000000991"),
    (50, 460, "Банк плательщика"),
    (50, 500, 'ПАО "ПРИМЕРБАНК" Г. КАЗАНЬ'),
    (700, 500, "БИК"),
    (830, 500, "049205772"),
    (700, 530, "Сч. №"),
    (830, 530, "30101810400000000772"),
    (50, 560, "Банк получателя"),
    (50, 600, "ИНН 1655000009"),
    (400, 600, "КПП 165501001"),
    (700, 600, "Сч. №"),
    (830, 600, "40702810700000001188"),
    (50, 640, 'ООО "Лесной двор"'),
    (700, 680, "Вид оп."),
    (830, 680, "01"),
    (50, 740, "Получатель"),
    (50, 790, "Оплата по счету № 71 от 10.02.2023. Без НДС."),
    (50, 880, "Назначение платежа"),
)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Какой номер платёжного поручения?", "318"),
        ("Какая дата платёжного поручения?", "14.02.2023"),
        ("Какая сумма платежа?", "12400-50"),
        ("Кто плательщик?", 'ООО "Северный ветер"'),
        ("Кто получатель?", 'ООО "Лесной двор"'),
        ("Какой ИНН плательщика?", "7727563778"),
        ("Какой ИНН получателя?", "1655000009"),
        ("Какой КПП плательщика?", "772701001"),
        ("Какой БИК банка получателя?", "049205772"),
        ("Какой БИК банка плательщика?", "044525991"),
        ("Какой счёт получателя?", "40702810700000001188"),
        ("Какой банк получателя?", 'ПАО "ПРИМЕРБАНК" Г. КАЗАНЬ'),
        ("Каково назначение платежа?", "Оплата по счету № 71 от 10.02.2023. Без НДС."),
    ],
)
def test_captions_of_a_payment_order_stand_beneath_their_blocks(
    question: str, expected: str
) -> None:
    assert ask(ORDER, question) == expected


RECEIPT = sheet(
    (150, 30, "tan woon yann"),
    (150, 70, "SELAYANG BOOKS SDN BHD"),
    (200, 110, "(771204-K)"),
    (150, 150, "LOT 9, JALAN PERMAI 3,"),
    (150, 190, "TAMAN HARMONI, 43000 KAJANG"),
    (150, 230, "TEL: 03-8733 1120"),
    (200, 270, "TAX INVOICE"),
    (30, 310, "Receipt No: 50231"),
    (30, 350, "EXERCISE BOOK A4 x 3"),
    (520, 350, "13.50"),
    (30, 390, "GLUE STICK"),
    (520, 390, "2.40"),
    (30, 430, "Total (Excl. GST)"),
    (520, 430, "15.00"),
    (30, 470, "Total GST"),
    (520, 470, "0.90"),
    (30, 510, "TOTAL"),
    (520, 510, "15.90"),
    (30, 550, "CASH"),
    (520, 550, "20.00"),
    (30, 590, "CHANGE"),
    (520, 590, "4.10"),
    (200, 630, "GST SUMMARY"),
    (30, 670, "Total"),
    (150, 670, "15.00"),
    (520, 670, "0.90"),
    (200, 710, "28 MAR 18 19:42"),
)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the name of the company that issued this receipt?", "SELAYANG BOOKS SDN BHD"),
        (
            "What is the address of the company?",
            "LOT 9, JALAN PERMAI 3, TAMAN HARMONI, 43000 KAJANG",
        ),
        ("What is the date of this receipt?", "28 MAR 18"),
        ("What is the total amount?", "15.90"),
    ],
)
def test_receipt_is_read_by_the_order_of_its_parts_and_by_its_sums(
    question: str, expected: str
) -> None:
    assert ask(RECEIPT, question) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Wie lautet die Rechnungsnummer?", "RE-2018-77"),
        ("What is the invoice number?", "RE-2018-77"),
        ("What is the invoice date?", "5. März 2018"),
        ("What is the customer number?", "4711"),
        ("What is the net amount?", "100,00 €"),
        ("What is the total amount due?", "119,00 €"),
        ("Which company issued this invoice?", "Müller Werkzeug GmbH"),
        ("What is the VAT ID of the seller?", "DE136695976"),
        ("What is the IBAN?", "DE89 3704 0044 0532 0130 00"),
    ],
)
def test_german_invoice_with_a_letterhead_answers_in_both_languages(
    question: str, expected: str
) -> None:
    page = sheet(
        (50, 40, "Müller Werkzeug GmbH"),
        (50, 160, "Müller Werkzeug GmbH - Hauptstr. 4 - 50667 Köln"),
        (50, 190, "Anna Schmidt"),
        (50, 215, "Europa-Allee 22"),
        (50, 240, "60327 Frankfurt"),
        (600, 190, "Rechnungsnummer: RE-2018-77"),
        (600, 220, "Rechnungsdatum: 5. März 2018"),
        (600, 250, "Kundennummer: 4711"),
        (500, 600, "Nettobetrag"),
        (900, 600, "100,00 €"),
        (500, 630, "MwSt. 19%"),
        (900, 630, "19,00 €"),
        (500, 660, "Gesamtbetrag"),
        (900, 660, "119,00 €"),
        (50, 1100, "IBAN: DE89 3704 0044 0532 0130 00 BIC: COBADEFFXXX"),
        (50, 1130, "USt-IdNr.: DE136695976"),
    )
    assert ask(page, question) == expected


def _form(*, beneath: bool) -> OcrDocument:
    rows = []
    pairs = (("Date Received", "3/12/1987"), ("Brand code", "L8557-12"), ("Phone", "910-555-0142"))
    for number, (label, value) in enumerate(pairs):
        left = 50 + 350 * number
        rows += [(left, 100.0, label), (left, 130.0, value)]
    if not beneath:
        rows = []
        for number, (label, value) in enumerate(pairs):
            rows += [(50, 100.0 + 60 * number, label), (260, 100.0 + 60 * number, value)]
    return sheet(*rows)


@pytest.mark.parametrize("beneath", [True, False])
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ('What is the "Date Received"?', "3/12/1987"),
        ("What is written in the field Brand code?", "L8557-12"),
        ("Phone?", "910-555-0142"),
    ],
)
def test_form_shows_by_its_dates_where_its_answers_stand(
    question: str, expected: str, beneath: bool
) -> None:
    assert ask(_form(beneath=beneath), question) == expected


def test_last_line_of_a_paragraph_is_no_label() -> None:
    page = sheet((50, 50, "Everything else is due after"), (50, 80, "delivery costs."))
    assert repeated_label(page, "What are the delivery costs in euros?") is None


def test_keys_may_be_listed_in_running_text() -> None:
    keys = "company, date, address and total"
    question = f"Read this receipt and return one JSON object with the keys {keys}, nothing else."
    assert json.loads(ask(RECEIPT, question)) == {
        "company": "SELAYANG BOOKS SDN BHD",
        "date": "28 MAR 18",
        "address": "LOT 9, JALAN PERMAI 3, TAMAN HARMONI, 43000 KAJANG",
        "total": "15.90",
    }


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Напиши наименование получателя", 'ООО "Лесной двор"'),
        ("Who is the payer?", 'ООО "Северный ветер"'),
        ("What is the payee's INN?", "1655000009"),
    ],
)
def test_payment_order_is_asked_in_other_words(question: str, expected: str) -> None:
    assert ask(ORDER, question) == expected


def test_value_of_several_lines_is_answered_whole() -> None:
    page = sheet(
        (50, 50, "REPORT"),
        (50, 120, "Purpose of Study"),
        (50, 145, "To compare the ignition behaviour of the"),
        (50, 168, "two papers at reduced draw pressure."),
        (50, 240, "Form 118"),
    )
    expected = "To compare the ignition behaviour of the two papers at reduced draw pressure."
    assert ask(page, "What is the purpose of study?") == expected


def test_captions_may_stand_beneath_the_values() -> None:
    page = sheet(
        (50, 100, "D. Whitfield"),
        (600, 100, "Soft pack"),
        (50, 125, "Project Leader"),
        (600, 125, "Type of Packaging"),
        (50, 200, "5106-B"),
        (600, 200, "Northern Lights"),
        (50, 225, "Sample No."),
        (600, 225, "BRAND"),
    )
    assert ask(page, "What is the project leader?") == "D. Whitfield"
    assert ask(page, "What is the brand?") == "Northern Lights"
    assert ask(page, "What is the type of packaging?") == "Soft pack"


@pytest.mark.parametrize("question", ["When is the invoice due?", "What is the due date?"])
def test_due_date_is_not_the_date_of_the_invoice(question: str) -> None:
    page = sheet((50, 50, "Invoice date: 05/02/2024"), (50, 80, "Due by: 06/03/2024"))
    assert ask(page, question) == "06/03/2024"

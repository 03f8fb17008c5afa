"""Label matching on page layouts made by hand: no OCR engine is involved."""

from __future__ import annotations

import json

import pytest

from bench.models.ocr.answer import answer
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.finding import find
from bench.models.ocr.layout import lay_out
from bench.models.ocr.questions import understand
from bench.models.ocr.reading import Fragment, Reading
from tests.ocr_pages import ask, sheet

ENGLISH = sheet(
    (50, 50, "INVOICE"),
    (600, 50, "Invoice No: INV-2024-17"),
    (600, 80, "Invoice Date: 14 March 2024"),
    (600, 110, "Due Date: 13 April 2024"),
    (50, 150, "From"),
    (50, 180, "Miller and Sons Ltd."),
    (50, 210, "Tax ID: 48-1234567"),
    (600, 150, "Bill To"),
    (600, 180, "Harbor Foods Inc."),
    (600, 210, "Tax ID: 51-7654321"),
    (50, 300, "Description"),
    (400, 300, "Qty"),
    (600, 300, "Unit Price"),
    (800, 300, "Amount"),
    (50, 330, "Steel bolts M8"),
    (400, 330, "120"),
    (600, 330, "$1.20"),
    (800, 330, "$144.00"),
    (50, 360, "Hydraulic pump"),
    (400, 360, "2"),
    (600, 360, "$845.00"),
    (800, 360, "$1,690.00"),
    (600, 420, "Subtotal"),
    (800, 420, "$1,834.00"),
    (600, 450, "Tax (8%)"),
    (800, 450, "$146.72"),
    (600, 480, "Total Due"),
    (800, 480, "$1,980.72"),
)

RUSSIAN = sheet(
    (50, 50, "Счёт-фактура № 1045 от 14 марта 2024 г."),
    (50, 100, "Продавец: ООО «Северный ветер»"),
    (50, 130, "Адрес: 101000, г. Москва, ул. Мясницкая, д. 12"),
    (50, 160, "ИНН/КПП продавца: 7701234567/770101001"),
    (50, 190, "Покупатель: АО «Альфа Трейд»"),
    (50, 220, "Адрес: 190000, г. Санкт-Петербург, Невский пр., д. 5"),
    (50, 250, "ИНН/КПП покупателя: 7812345678/781201001"),
    (50, 400, "Всего к оплате"),
    (600, 400, "100 000,00"),
    (800, 400, "20 000,00"),
    (1000, 400, "120 000,00"),
)

CHINESE = sheet(
    (800, 50, "发票号码：24312000000123456789"),
    (800, 80, "开票日期：2024年03月14日"),
    (50, 150, "购买方"),
    (150, 150, "名称：上海华信贸易有限公司"),
    (150, 180, "纳税人识别号：91310000MA1FL0AB3X"),
    (800, 150, "销售方"),
    (900, 150, "名称：北京蓝天科技有限公司"),
    (900, 180, "纳税人识别号：91110108MA01C2D34E"),
    (50, 400, "合计"),
    (600, 400, "¥850.00"),
    (900, 400, "¥110.50"),
    (50, 430, "价税合计（大写）"),
    (300, 430, "玖佰陆拾圆伍角整"),
    (600, 430, "（小写）¥960.50"),
)


@pytest.mark.parametrize(
    ("page", "question", "expected"),
    [
        (ENGLISH, "What is the invoice number?", "INV-2024-17"),
        (ENGLISH, "What is the date of the invoice?", "14 March 2024"),
        (ENGLISH, "When is the due date?", "13 April 2024"),
        (ENGLISH, "What is the total amount due?", "$1,980.72"),
        (RUSSIAN, "Какой номер счёта-фактуры?", "1045"),
        (RUSSIAN, "Какова дата документа?", "14 марта 2024 г."),
        (CHINESE, "发票号码是多少？", "24312000000123456789"),
        (CHINESE, "开票日期是哪一天？", "2024年03月14日"),
        (CHINESE, "价税合计是多少？", "¥960.50"),
    ],
)
def test_value_stands_after_its_label(page: OcrDocument, question: str, expected: str) -> None:
    assert ask(page, question) == expected


@pytest.mark.parametrize(
    ("page", "question", "expected"),
    [
        (ENGLISH, "Who is the seller?", "Miller and Sons Ltd."),
        (ENGLISH, "Who is the buyer?", "Harbor Foods Inc."),
        (ENGLISH, "What is the seller's tax ID?", "48-1234567"),
        (ENGLISH, "What is the customer's tax ID?", "51-7654321"),
        (RUSSIAN, "Кто покупатель?", "АО «Альфа Трейд»"),
        (RUSSIAN, "Укажите адрес продавца.", "101000, г. Москва, ул. Мясницкая, д. 12"),
        (
            RUSSIAN,
            "Укажите адрес покупателя.",
            "190000, г. Санкт-Петербург, Невский пр., д. 5",
        ),
        (CHINESE, "销售方名称是什么？", "北京蓝天科技有限公司"),
        (CHINESE, "购买方的纳税人识别号是多少？", "91310000MA1FL0AB3X"),
    ],
)
def test_party_in_the_question_chooses_whose_value_it_is(
    page: OcrDocument, question: str, expected: str
) -> None:
    assert ask(page, question) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Какой ИНН продавца?", "7701234567"),
        ("Какой КПП продавца?", "770101001"),
        ("Какой ИНН покупателя?", "7812345678"),
    ],
)
def test_double_label_gives_each_field_its_part(question: str, expected: str) -> None:
    assert ask(RUSSIAN, question) == expected


def test_last_amount_of_a_total_row_is_the_total() -> None:
    assert ask(RUSSIAN, "Сколько всего к оплате?") == "120 000,00"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the unit price of Hydraulic pump?", "$845.00"),
        ("What is the quantity of Steel bolts M8?", "120"),
    ],
)
def test_named_item_chooses_the_row_of_the_goods_table(question: str, expected: str) -> None:
    assert ask(ENGLISH, question) == expected


def test_label_inside_a_longer_label_is_no_label() -> None:
    page = sheet(
        (50, 50, "Due Date: 13 April 2024"), (50, 80, "Subtotal: $5.00"), (50, 110, "Total: $6.00")
    )
    assert ask(page, "What is the total?") == "$6.00"
    assert ask(page, "What is the subtotal?") == "$5.00"


def test_column_header_of_several_lines_is_one_label() -> None:
    page = sheet(
        (500, 50, "Сумма налога,"),
        (500, 75, "предъявляемая"),
        (500, 100, "покупателю"),
        (700, 50, "Стоимость"),
        (700, 75, "без налога"),
        (50, 150, "Болты"),
        (500, 150, "20,00"),
        (700, 150, "100,00"),
        (50, 180, "Гайки"),
        (500, 180, "40,00"),
        (700, 180, "200,00"),
        (50, 210, "Всего"),
        (500, 210, "60,00"),
        (700, 210, "300,00"),
    )
    assert ask(page, "Какова сумма налога?") == "60,00"
    assert ask(page, "Какова стоимость без налога?") == "300,00"


def test_misread_letter_in_a_label_is_forgiven() -> None:
    page = sheet((50, 50, "Invcice Numbcr: A-77"), (50, 80, "Acount number: 12345678"))
    assert ask(page, "What is the invoice number?") == "A-77"


def test_latin_lookalikes_in_a_russian_label_are_forgiven() -> None:
    assert ask(sheet((50, 50, "ИHH: 7701234567")), "Какой ИНН?") == "7701234567"


def test_skewed_page_is_straightened_before_rows_are_made() -> None:
    page = sheet(
        (50, 300, "Subtotal"),
        (1500, 300, "$5.00"),
        (50, 330, "Total"),
        (1500, 330, "$6.00"),
        slope=0.02,
    )
    assert ask(page, "What is the total?") == "$6.00"


def test_label_that_no_table_knows_is_found_by_the_words_of_the_question() -> None:
    page = sheet((50, 50, "Favourite colour: dark green"), (50, 80, "Shoe size: 43"))
    assert ask(page, "What is the applicant's favourite colour?") == "dark green"


@pytest.mark.parametrize(
    "question", ["What is the IBAN?", "Какой БИК банка?", "开户银行是哪家？", ""]
)
def test_nothing_found_is_an_empty_answer_without_confidence(question: str) -> None:
    page = sheet((50, 50, "Lorem ipsum"), (50, 80, "dolor sit amet"))
    assert answer(page, question) == ("", None)


def test_empty_page_answers_nothing() -> None:
    assert ask(OcrDocument([lay_out(Reading(()))]), "What is the total?") == ""


def test_structured_question_gets_every_key_it_names() -> None:
    text = ask(ENGLISH, 'Extract the fields "invoice_number", "seller", "iban" as JSON.')
    assert json.loads(text) == {
        "invoice_number": "INV-2024-17",
        "seller": "Miller and Sons Ltd.",
        "iban": "",
    }


@pytest.mark.parametrize(
    ("page", "question", "parts"),
    [
        (ENGLISH, "Describe the document.", ("INVOICE", "INV-2024-17", "Harbor Foods Inc.")),
        (RUSSIAN, "Опиши документ.", ("Счёт-фактура", "АО «Альфа Трейд»", "120 000,00")),
        (CHINESE, "请描述这份文件。", ("24312000000123456789", "北京蓝天科技有限公司", "960.50")),
    ],
)
def test_description_names_what_was_read(
    page: OcrDocument, question: str, parts: tuple[str, ...]
) -> None:
    text = ask(page, question)
    assert [part for part in parts if part not in text] == []


def test_confidence_is_the_reading_times_the_match() -> None:
    fragments = (Fragment("Total: $6.00", 50, 50, 200, 70, 0.5),)
    page = OcrDocument([lay_out(Reading(fragments, words=False))])
    found = find(page, "What is the total?")
    confidence = answer(page, "What is the total?").confidence
    assert found is not None
    assert confidence == pytest.approx(0.5 * found.score)


@pytest.mark.parametrize(
    ("question", "field", "party"),
    [
        ("What is the vendor's phone number?", "phone", "seller"),
        ("Какова сумма НДС?", "vat", None),
        ("Какова сумма без НДС?", "subtotal", None),
        ("How much is the tax?", "vat", None),
        ("购买方的地址是什么？", "address", "buyer"),
        ("Назовите расчётный счёт поставщика.", "account", "seller"),
        ("What colour is the sky?", None, None),
    ],
)
def test_question_is_understood_by_its_longest_phrase(
    question: str, field: str | None, party: str | None
) -> None:
    asked = understand(question)
    assert (asked.field.name if asked.field else None, asked.party) == (field, party)

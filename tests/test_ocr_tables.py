"""Rows of goods tables, structured answers and running text, on layouts made by hand."""

from __future__ import annotations

import json

import pytest

from bench.models.ocr.prose import DURATION, Sentence, from_sentences
from bench.models.ocr.table import items, value
from tests.ocr_pages import ask, sheet

INVOICE = sheet(
    (50, 50, "INVOICE"),
    (600, 50, "Invoice No: A-17"),
    (50, 300, "Description"),
    (400, 300, "Qty"),
    (600, 300, "Unit Price"),
    (800, 300, "Amount"),
    (50, 330, "Steel bolts M8"),
    (400, 330, "120"),
    (600, 330, "$1.20"),
    (800, 330, "$144.00"),
    (50, 360, "Hydraulic pump"),
    (50, 385, "with filter"),
    (400, 360, "2"),
    (600, 360, "$845.00"),
    (800, 360, "$1,690.00"),
    (600, 450, "Total Due"),
    (800, 450, "$1,834.00"),
)

RECEIPT = sheet(
    (50, 50, "CORNER & CO."),
    (50, 80, "Receipt 2326"),
    (50, 110, "Orange juice 1L"),
    (500, 110, "7.11"),
    (50, 140, "Kitchen roll"),
    (500, 140, "2.08"),
    (50, 170, "TOTAL"),
    (500, 170, "£9.19"),
    (50, 200, "Card payment"),
    (500, 200, "£9.19"),
    (50, 230, "VAT 20% included"),
    (500, 230, "£1.53"),
)

CONTRACT = sheet(
    (50, 50, "SUPPLY AGREEMENT No. 53-S/2024"),
    (50, 110, 'Timberline Living LLP, whose office is at 89 Mill Lane, hereinafter the "Seller",'),
    (50, 140, 'and Whitmore Architects Ltd, hereinafter the "Buyer", agree as follows.'),
    (
        50,
        200,
        "2.1. The Seller delivers the goods within 35 working days of the order being placed.",
    ),
    (
        50,
        230,
        "2.2. The warranty period of the goods is 12 months from the day of delivery itself.",
    ),
    (50, 260, "2.3. For late payment the Buyer pays a penalty of 0.05% of the sum for each day."),
    (50, 290, "2.4. This agreement remains in force until 31 December 2024, unless it is renewed."),
)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the first item on the invoice?", "Steel bolts M8"),
        ("What is the second product?", "Hydraulic pump with filter"),
        ("What quantity of the first item was ordered?", "120"),
        ("What is the unit price of the second item?", "$845.00"),
        ("What is the amount for the second item?", "$1,690.00"),
    ],
)
def test_row_of_the_table_is_counted_off(question: str, expected: str) -> None:
    assert ask(INVOICE, question) == expected


def test_sum_is_no_item() -> None:
    assert [value(item, "name") for item in items(INVOICE)] == [
        "Steel bolts M8",
        "Hydraulic pump with filter",
    ]


def test_lines_of_a_receipt_are_items_without_a_header() -> None:
    rows = [(value(item, "name"), value(item, "total")) for item in items(RECEIPT)]
    assert rows == [("Orange juice 1L", "7.11"), ("Kitchen roll", "2.08")]


def test_receipt_s_total_is_beside_its_label_though_labels_pile_up() -> None:
    assert ask(RECEIPT, "What is the total amount?") == "£9.19"
    assert ask(RECEIPT, "How much VAT is included?") == "£1.53"


def test_key_with_a_meaning_is_answered_by_its_meaning_and_a_list_by_the_table() -> None:
    question = (
        "Return only a JSON object with the keys: number (invoice number), sum (total due), "
        "items (list of objects with the keys name, quantity, total)."
    )
    assert json.loads(ask(INVOICE, question)) == {
        "number": "A-17",
        "sum": "$1,834.00",
        "items": [
            {"name": "Steel bolts M8", "quantity": "120", "total": "$144.00"},
            {"name": "Hydraulic pump with filter", "quantity": "2", "total": "$1,690.00"},
        ],
    }


def test_json_between_chinese_characters_asks_for_json() -> None:
    text = ask(
        sheet((50, 50, "发票号码：24312000")),
        "只返回一个JSON对象，键为：number (发票号码)、date (日期)。",
    )
    assert json.loads(text) == {"number": "24312000", "date": ""}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How long is the warranty period?", "12 months"),
        ("Within how many working days are the goods delivered?", "35 working days"),
        ("What is the penalty for late payment?", "0.05%"),
        ("Until when does the agreement remain in force?", "31 December 2024"),
        ("Who is the seller?", "Timberline Living LLP"),
        ("Who is the buyer?", "Whitmore Architects Ltd"),
    ],
)
def test_sentence_about_the_question_gives_the_value(question: str, expected: str) -> None:
    assert ask(CONTRACT, question) == expected


def test_question_that_no_sentence_is_about_has_no_answer() -> None:
    assert ask(CONTRACT, "How long is the parental leave?") == ""


def test_date_on_a_receipt_is_no_item() -> None:
    page = sheet(
        (50, 50, "Дата"),
        (500, 50, "11.04.2025"),
        (50, 80, "Сок яблочный 1л"),
        (500, 80, "116.50"),
        (50, 110, "ИТОГ"),
        (500, 110, "=116.50"),
    )
    assert ask(page, "Какой товар указан в чеке первым?") == "Сок яблочный 1л"


def test_amount_of_no_item_in_particular_is_the_total() -> None:
    assert ask(RECEIPT, "Какая итоговая сумма чека?") == "£9.19"


def test_a_page_is_transcribed_line_by_line_with_its_tables():
    page = sheet(
        (50, 50, "Invoice 7"),
        (50, 100, "Total"),
        (400, 100, "12.50"),
        (50, 150, "No"),
        (200, 150, "Goods | kind"),
        (600, 150, "Sum"),
        (50, 200, "1"),
        (200, 200, "Pens"),
        (600, 200, "12.50"),
        (50, 250, "Thank you"),
    )
    table = "| No | Goods \\| kind | Sum |\n| 1 | Pens | 12.50 |"
    expected = "\n\n".join(["Invoice 7", "Total", "12.50", table, "Thank you"])
    for question in ("Transcribe the page as Markdown.", "Перепишите страницу в формате Markdown."):
        assert ask(page, question) == expected


@pytest.mark.parametrize(("rows", "answers"), [(1, ["7 days"]), (12, [])])
def test_a_table_from_margin_to_margin_is_no_sentence(rows: int, answers: list[str]) -> None:
    text = " ".join(["The warranty of the pump with all parts and labour is 7 days"] * rows)
    cell = sheet((50, 50, "Warranty")).cells[0]
    told = from_sentences([Sentence(text, cell)], "How long is the warranty of the pump?", DURATION)
    assert ([] if told is None else [told[0]]) == answers

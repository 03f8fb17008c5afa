"""Small papers as pictures and PDFs, read and answered from beginning to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.models.ocr import Ocr
from bench.models.ocr.answer import answer
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.layout import lay_out
from bench.models.ocr.reading import Fragment, Reading
from bench.schema import Document, ModelSpec, PageGroup, Request
from bench.tasks.pages import read_pages

PAPERS = Path(__file__).with_name("ocr_papers")


@pytest.fixture(scope="module")
def model() -> Ocr:
    loaded = Ocr(ModelSpec("ocr", "ocr"))
    loaded.load()
    return loaded


def _answers(model: Ocr, name: str, questions: list[str]) -> list[str]:
    requests = tuple(Request(str(number), text, text) for number, text in enumerate(questions))
    group = PageGroup(Document(name, read_pages(PAPERS / name)), requests)
    return [output.text for output in model.generate([group]).outputs]


@pytest.mark.parametrize(
    ("name", "right"),
    [
        (
            "receipt-2.png",
            {
                "What is the store name?": "Norhaven Cafe & Bakery",
                "What is the address of the store?": "17 North Quay, Leith EH6 7AA",
                "What is the date of this receipt?": "November 3, 2024",
                "What is the total amount?": "9.50",
            },
        ),
        ("upright.pdf", {"Who is the seller?": "Northgate Tools Ltd."}),
        (
            "november.pdf",
            {
                "What is the invoice date?": "November 14, 2024",
                "Who is the seller?": "Northgate Tools Ltd.",
            },
        ),
    ],
)
def test_paper_in_latin_script(model: Ocr, name: str, right: dict[str, str]) -> None:
    assert _answers(model, name, list(right)) == list(right.values())


def _read_before(name: str) -> OcrDocument:
    """A paper by the reading that is kept beside its picture: recognising a full page takes seconds."""
    fragments = json.loads((PAPERS / f"{name}.json").read_text(encoding="utf-8"))
    reading = Reading(tuple(Fragment(*fragment) for fragment in fragments), words=False)
    return OcrDocument([lay_out(reading)])


def test_receipt_of_a_full_page() -> None:
    right = {
        "What is the name of the company that issued this receipt?": "SELAYANG BOOKS SDN BHD",
        "What is the address of the company?": "LOT 9, JALAN PERMAI 3, TAMAN HARMONI, 43000 KAJANG",
        "What is the date of this receipt?": "28 MAR 18",
        "What is the total amount?": "15.90",
    }
    receipt = _read_before("receipt-1")
    assert {question: answer(receipt, question).text for question in right} == right


def test_payment_order() -> None:
    right = {
        "Какой номер платёжного поручения?": "318",
        "Какая сумма платежа?": "12400-50",
        "Кто плательщик?": 'ООО "Северный ветер"',
        "Кто получатель?": 'ООО "Лесной двор"',
        "Какой ИНН плательщика?": "7727563778",
        "Какой ИНН получателя?": "1655000009",
        "Какой БИК банка получателя?": "049205772",
        "Каково назначение платежа?": "Оплата по счету № 71 от 10.02.2023 за пиломатериалы. Без НДС.",
    }
    order = _read_before("payment-order-1")
    assert {question: answer(order, question).text for question in right} == right


def test_date_with_blanks_in_quotation_marks(model: Ocr) -> None:
    answers = _answers(model, "schet-faktura-date.png", ["Напиши Дату счет-фактуры"])
    assert answers == ["28 сентября 2022 г."]

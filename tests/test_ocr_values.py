"""What is cut out of a text as a value of a kind."""

from __future__ import annotations

import pytest

from bench.models.ocr.fields import field_named
from bench.models.ocr.values import ValueKind, cut


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("date", "November 14, 2024", "November 14, 2024"),
        ("date", ": Nov 3, 2024", "Nov 3, 2024"),
        ("date", "28 MAR 18", "28 MAR 18"),
        ("date", "02 0ct 2018", "02 Oct 2018"),
        ("date", "11-N0v-2019", "11-Nov-2019"),
        ("name", "Stephen J. Orr", "Stephen J. Orr"),
        ("name", "Иванов И.И.", "Иванов И.И."),
        ("date", "02/JAN/2017", "02/JAN/2017"),
        ("date", "August 3 , 2014", "August 3 , 2014"),
        ("date", "03-7-15", "03-7-15"),
        ("date", "43-45-47", None),
        ("date", "08.30 - 12.00 Uhr", None),
        ("date", 'от " 28 " сентября 2010', '" 28 " сентября 2010'),
        ("date", "5. März 2018", "5. März 2018"),
        ("date", "le 3 février 2021", "3 février 2021"),
        ("date", "12 de octubre de 2020", "12 de octubre de 2020"),
        ("date", "15 września 2019 r.", "15 września 2019"),
        ("date", "Tel. 03-8733 1120", None),
        ("date", "version 10.2.1.15", None),
        ("name", "Northgate Tools Ltd.", "Northgate Tools Ltd."),
        ("text", "Not determined.", "Not determined."),
        ("address", "No 53, Jalan Besar", "No 53, Jalan Besar"),
        ("identifier", "NORTH-7712", "NORTH-7712"),
        ("identifier", "No. 7712", "7712"),
        ("identifier", "Nr 7712", "7712"),
        ("amount", "-8,79", "-8,79"),
        ("amount", "Пять тысяч рублей 90 копеек", None),
        ("amount", "5250-90", "5250-90"),
        ("amount", "5000=00", "5000=00"),
        ("amount", "5250 руб. 90 коп.", "5250 руб. 90 коп."),
        ("amount", "CHF 1'234.50", "CHF 1'234.50"),
        ("amount", "1,23,456.00", "1,23,456.00"),
        ("amount", "RM15.90", "RM15.90"),
        ("amount", "1.234,50 €", "1.234,50 €"),
        ("currency", "Europa-Allee 22", None),
        ("currency", "Krone Street", None),
        ("currency", "12.00 EUR", "EUR"),
        ("currency", "12.00EUR", "EUR"),
    ],
)
def test_value_is_cut_as_a_person_reads_it(kind: str, text: str, expected: str | None) -> None:
    value = cut(text, ValueKind(kind))
    assert (None if value is None else value.text) == expected


def test_a_number_that_keeps_its_checksum_wins() -> None:
    inn = field_named("inn")
    both = cut("7727563779 7727563778", inn.kind, inn.pattern, inn.check)
    broken = cut("7727563779", inn.kind, inn.pattern, inn.check)
    assert both is not None and (both.text, both.fit) == ("7727563778", 1.0)
    assert broken is not None and (broken.text, broken.fit) == ("7727563779", 0.9)

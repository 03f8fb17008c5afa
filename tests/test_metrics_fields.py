"""Type-aware field scoring: equal values are found in any spelling, different ones never."""

import json
from datetime import date
from pathlib import Path

import pytest
from babel.dates import format_date
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bench.metrics import METRICS
from bench.metrics.calendars import COMMON
from bench.metrics.fields import (
    FieldMatch,
    field_equivalent,
    field_match,
    is_ambiguous,
    typed_agreement,
)
from bench.metrics.identifiers import is_iban, is_inn, is_kpp, is_snils, is_vat
from bench.metrics.metric import TooLarge

MONTHS_RU = [
    *("января", "февраля", "марта", "апреля", "мая", "июня"),
    *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
]
MONTHS_EN = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
DATE_SPELLINGS = (
    lambda d: f"{d.day:02}.{d.month:02}.{d.year}",
    lambda d: d.isoformat(),
    lambda d: f"{d.year}/{d.month:02}/{d.day:02}",
    lambda d: f"{d.day} {MONTHS_RU[d.month - 1]} {d.year} г.",
    lambda d: f"«{d.day:02}» {MONTHS_RU[d.month - 1]} {d.year} года",
    lambda d: f"{MONTHS_EN[d.month - 1]} {d.day}, {d.year}",
    lambda d: f"{d.day} {MONTHS_EN[d.month - 1][:3]} {d.year}",
    lambda d: f"{d.year}年{d.month}月{d.day}日",
    lambda d: f"{d.year} 年 {d.month:02} 月 {d.day:02} 日",
)
AMOUNT_SPELLINGS = (
    lambda whole, cents: f"{whole:,}.{cents:02} USD",
    lambda whole, cents: f"${whole:,}.{cents:02}",
    lambda whole, cents: f"{whole:,}".replace(",", "\u00a0") + f",{cents:02} $",
    lambda whole, cents: f"{whole:,}".replace(",", " ") + f".{cents:02}",
    lambda whole, cents: f"{whole:,}".replace(",", ".") + f",{cents:02} долларов",
    lambda whole, cents: f"{whole}.{cents:02}",
    lambda whole, cents: f"{whole},{cents:02}",
)
dates = st.dates(date(1970, 1, 1), date(2069, 12, 31))
any_text = st.text(st.characters(exclude_categories=[]), max_size=40)
figures = st.text("0123456789 .,-/:%₽$年月日xБA", max_size=12)
numeric_text = st.text("0123456789 .,-/()+№%₽$年月日xБA", max_size=25)

EQUAL = [
    # dates
    ("12 марта 2024 г.", "12.03.2024", "date"),
    ("2024年3月12日", "2024-03-12", "date"),
    ("二〇二四年三月十二日", "12.03.2024", "date"),
    ("民國113年3月12日", "2024-03-12", "date"),
    ("12th of March 2024", "Tuesday, March 12, 2024", "date"),
    ("13/03/2024", "March 13, 2024", "date"),
    ("03/04/2024", "3/4/24", "date"),
    ("12.03.24", "12.03.2024", "date"),
    ("март 2024", "March 2024", "date"),
    ("12.03.2024 14:05", "March 12, 2024 2:05 PM", "date"),
    ("2:05 PM", "14:05", "time"),
    # amounts
    ("1 234,56 ₽", "1234.56", "amount"),
    ("1 234,56 руб.", "1\u202f234,56 RUB", "amount"),
    ("1 234 руб. 56 коп.", "1 234,56 ₽", "amount"),
    ("￥1,234.56", "1,234.56元", "amount"),
    ("人民币壹仟贰佰叁拾肆元伍角陆分", "¥1,234.56", "amount"),
    ("1.000.000,50 €", "1000000.5", "amount"),
    ("$1,234", "1234", "amount"),
    ("100.00", "100", "amount"),
    ("(5.00)", "-5.00", "amount"),
    # percentages
    ("12,5 %", "12.5%", "percentage"),
    ("百分之12.5", "12,5 процента", "percentage"),
    # telephones
    ("+7 (495) 123-45-67", "8 495 1234567", "phone"),
    ("тел.: 8 (495) 123-45-67", "+74951234567", "phone"),
    ("(555) 123-4567", "+1 555 123 4567", "phone"),
    # registered numbers
    ("ИНН 7707083893", "7707 083 893", "inn"),
    ("КПП: 770701001", "770701001", "kpp"),
    ("112-233-445 95", "11223344595", "snils"),
    ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "iban"),
    ("VAT DE136695976", "DE 136 695 976", "vat"),
    # identifiers
    ("4 505 679 944", "4505 679944", "identifier"),
    ("40702.810.9.00000000001", "40702810900000000001", "identifier"),
    ("АВ 123456", "ab123456", "identifier"),
    ("№ 17/2", "17/2", "identifier"),
    # text
    ("ООО «Ромашка»", 'ООО "Ромашка"', "text"),
    ("ООО Ромашка", "ООО «Ромашка»", "text"),
    ("Счёт", "счет", "text"),
    ("Москва – Пермь", "Москва-Пермь", "text"),
    ("ТМК", "TMК", "text"),
    ("北京 市", "北京市", "text"),
    ("ＡＢＣ", "abc", "text"),
    ("Yes.", "yes", "text"),
    ("cafe\u0301", "caf\u00e9", "text"),
    ("co\u00adop\u200b", "coop", "text"),
]

DIFFERENT = [
    ("12.03.2024", "13.03.2024"),
    ("12.03.2024", "12.03.1924"),
    ("12.03.2024", "12.03.2024 14:05"),
    ("03/04/2024", "04/03/2024"),
    ("03/04/2024", "April 3, 2024"),
    ("1 12 2024", "11 2 2024"),
    ("14:05", "2:05"),
    ("1,234", "1234"),
    ("1.234", "1234"),
    ("$5", "€5"),
    ("5", "-5"),
    ("1.10", "1.1"),
    ("007", "7"),
    ("20%", "20"),
    ("20%", "0.2"),
    ("+7 495 123-45-67", "+7 495 123-45-68"),
    ("+7 495 123-45-67 доб. 5", "+7 495 123-45-67"),
    ("+7 495 123-45-67", "+1 495 123-45-67"),
    ("7707083893", "7707083894"),
    ("2024-001", "2024001"),
    ("12-3", "1-23"),
    ("12 34", "1 234"),
    ("10²", "102"),
    ("½", "12"),
    ("①", "1"),
    ('5"', "5"),
    ("нет", "het"),
    ("вас", "bac"),
    ("O", "0"),
]


@pytest.mark.parametrize(("answer", "reference", "kind"), EQUAL)
def test_one_value_in_two_spellings_is_equivalent(answer, reference, kind):
    assert field_equivalent(answer, [reference]) == FieldMatch(True, kind)
    assert field_equivalent(reference, [answer]).equivalent


@pytest.mark.parametrize(("answer", "reference"), DIFFERENT)
def test_two_values_or_an_open_question_are_not_equivalent(answer, reference):
    assert not field_equivalent(answer, [reference]).equivalent
    assert not field_equivalent(reference, [answer]).equivalent


@pytest.mark.parametrize(
    ("answer", "reference", "known"),
    [
        ("03/04/2024", "3 April 2024", {"language": "ru"}),
        ("1,234", "1234", {"language": "en"}),
        ("20240312", "12.03.2024", {"field": "issue_date"}),
        ("5.5", "5.50", {"field": "Итого"}),
        ("20", "20%", {"field": "tax_rate"}),
        ("123-45-67", "1234567", {"field": "Телефон"}),
    ],
)
def test_what_is_known_of_the_field_settles_an_open_question(answer, reference, known):
    assert field_equivalent(answer, [reference], **known).equivalent
    assert not field_equivalent(answer, [reference]).equivalent


def test_any_reference_may_match():
    assert field_equivalent("12.03.2024", ["никогда", "2024-03-12"]) == FieldMatch(True, "date")


def test_no_match_has_the_kind_of_the_first_reference():
    assert field_equivalent("nothing", ["12.03.2024", "x"]) == FieldMatch(False, "date")


def test_without_references_nothing_matches():
    assert field_equivalent("x", []) == FieldMatch(False, "text")


@settings(deadline=None, max_examples=300)
@given(
    a=dates, b=dates, first=st.sampled_from(DATE_SPELLINGS), second=st.sampled_from(DATE_SPELLINGS)
)
def test_dates_are_equivalent_exactly_if_they_are_equal(a, b, first, second):
    assert field_equivalent(first(a), [second(a)]).equivalent
    assert field_equivalent(first(a), [second(b)]).equivalent == (a == b)


@settings(deadline=None, max_examples=300)
@given(
    whole=st.integers(0, 9_999_999),
    cents=st.integers(0, 99),
    other=st.integers(0, 9_999_999),
    first=st.sampled_from(AMOUNT_SPELLINGS),
    second=st.sampled_from(AMOUNT_SPELLINGS),
)
def test_amounts_are_equivalent_exactly_if_they_are_equal(whole, cents, other, first, second):
    assert field_equivalent(first(whole, cents), [second(whole, cents)]).equivalent
    assume(other != whole)
    assert not field_equivalent(first(whole, cents), [second(other, cents)]).equivalent


@settings(deadline=None, max_examples=200)
@given(digits=st.text("0123456789", min_size=7, max_size=20), at=st.sets(st.integers(1, 19)))
def test_blanks_never_change_a_number(digits, at):
    spaced = "".join(f" {c}" if i in at else c for i, c in enumerate(digits))
    assert field_equivalent(spaced, [digits]).equivalent
    changed = digits[:-1] + str((int(digits[-1]) + 1) % 10)
    assert not field_equivalent(spaced, [changed]).equivalent


@settings(deadline=None, max_examples=300)
@given(answer=st.one_of(any_text, numeric_text), reference=st.one_of(any_text, numeric_text))
@example(answer="١٢/٠٣/٢٠٢٤", reference="12/03/2024")
@example(answer="²²²年²月²日", reference="2024年3月12日")
@example(answer="0年0月0日", reference="0.0.0")
def test_equivalence_is_symmetric_and_never_an_exception(answer, reference):
    there = field_equivalent(answer, [reference]).equivalent
    assert there == field_equivalent(reference, [answer]).equivalent


@settings(deadline=None, max_examples=500)
@given(
    before=figures,
    digits=st.tuples(st.sampled_from("0123456789"), st.sampled_from("0123456789")),
    behind=figures,
)
def test_another_digit_is_always_another_value(before, digits, behind):
    assume(digits[0] != digits[1])
    first, second = (f"{before}{digit}{behind}" for digit in digits)
    assert not field_equivalent(first, [second]).equivalent


@settings(deadline=None, max_examples=200)
@given(text=any_text)
def test_a_text_is_equivalent_to_itself(text):
    assert field_equivalent(text, [text]).equivalent


def test_a_long_text_is_compared_as_text_only():
    assert field_equivalent("1 " * 200, ["1" * 200]) == FieldMatch(False, "text")


def test_fields_of_an_object_are_matched_by_type_under_their_key():
    answer = {"date": "12 марта 2024", "total": 5.5, "items": [{"price": "1,50"}, {"price": "2"}]}
    reference = {
        "date": "12.03.2024",
        "total": "5.50",
        "items": [{"price": "2"}, {"price": "1.50"}],
    }
    assert METRICS["field_match"].score(answer, [reference]) == (1.0, 8.0)
    assert METRICS["kie_f1"].score(answer, [reference]).value == pytest.approx(2 / 8)


def test_a_value_matches_one_reference_only():
    assert typed_agreement({"a": ["1.0 ₽", "1 ₽"]}, {"a": ["1,00 ₽"]}) == (1, 2, 1)


def test_many_values_under_one_key_are_bounded():
    answer = {"a": [f"x{i}" for i in range(3_000)]}
    reference = {"a": [f"y{i}" for i in range(3_000)]}
    with pytest.raises(TooLarge):
        typed_agreement(answer, reference)


@pytest.mark.parametrize("number", ["7707083893", "500100732259", "7736050003"])
def test_taxpayer_numbers_have_control_digits(number):
    assert is_inn(number)
    assert not is_inn(number[:-1] + str((int(number[-1]) + 1) % 10))
    assert not is_inn(number[:-1])


def test_registration_reason_codes_have_a_form():
    assert is_kpp("770701001")
    assert is_kpp("7707AB001")
    assert not is_kpp("77070100")


def test_insurance_accounts_have_a_control_number():
    assert is_snils("11223344595")
    assert not is_snils("11223344596")
    assert is_snils("00100199800")


def test_bank_accounts_leave_one_by_97():
    assert is_iban("GB82WEST12345698765432")
    assert not is_iban("GB82WEST12345698765433")


def test_vat_numbers_have_a_form_and_some_a_checksum():
    assert is_vat("DE136695976")
    assert not is_vat("DE136695977")
    assert is_vat("IT00743110157")
    assert not is_vat("IT00743110158")
    assert is_vat("NL123456789B01")
    assert not is_vat("XX123456789")


# What a person calls the same: field, language, answer, reference

SAME_TO_A_PERSON = [
    ("date", "uk", "3 березня 2021 р.", "2021-03-03"),
    ("date", "cs", "12. března 2024", "12.3.2024"),
    ("date", "fi", "12. maaliskuuta 2024", "2024-03-12"),
    ("date", "hu", "2024. március 12.", "2024-03-12"),
    ("date", "el", "12 Μαρτίου 2024", "2024-03-12"),
    ("date", "he", "12 במרץ 2024", "2024-03-12"),
    ("date", "ar", "١٢ مارس ٢٠٢٤", "2024-03-12"),
    ("date", "th", "12 มีนาคม 2567", "2024-03-12"),
    ("date", "ja", "令和6年3月12日", "2024-03-12"),
    ("date", "vi", "ngày 12 tháng 3 năm 2024", "12/03/2024"),
    ("date", "ko", "2024년 3월 12일", "2024-03-12"),
    ("date", "lt", "2024 m. kovo 12 d.", "2024-03-12"),
    ("date", "lv", "2024. gada 12. marts", "2024-03-12"),
    ("date", "hi", "12 मार्च 2024", "2024-03-12"),
    ("date", "de", "Dienstag, 12. März 2024", "12.03.2024"),
    ("date", "de", "den 12. Okt. 2024", "12.10.2024"),
    ("date", "de", "03/04/2024", "3. April 2024"),
    ("date", "en-US", "03/04/2024", "4 March 2024"),
    ("date", "en-GB", "03/04/2024", "3 April 2024"),
    ("date", "fr", "le 1er août 2020", "01/08/2020"),
    ("date", "it", "1º marzo 2021", "01/03/2021"),
    ("date", "sv", "den 3 mars 2021", "2021-03-03"),
    ("date", "da", "3. maj 2021", "03.05.2021"),
    ("date", "ro", "3 martie 2021", "03.03.2021"),
    ("date", "id", "3 Maret 2021", "2021-03-03"),
    ("date", "en", "Invoice date: 12 March 2024", "2024-03-12"),
    ("date", "kk", "2024 ж. 12 наурыз", "2024-03-12"),
    ("date", "bg", "12 март 2024 г.", "12.03.2024"),
    ("date", "nb", "12. mars 2024", "12.03.2024"),
    ("date", "pl", "dnia 3 maja 2021 roku", "2021-05-03"),
    ("date", "ca", "3 de març de 2021", "2021-03-03"),
    ("date", "ca", "3 de març del 2021", "2021-03-03"),
    ("amount", "de", "1.234,50 €", "1234.5"),
    ("amount", "de", "47,-- €", "47,00"),
    ("amount", "ru", "5250 р. 90 к.", "5250.90"),
    ("amount", "en", "Five thousand two hundred fifty dollars and 90 cents", "5250.90"),
    ("amount", "en", "Total 12.50", "12.50"),
    ("amount", "en", "₹1,23,456", "123456"),
    ("amount", "hi", "१,२३,४५६.७८", "123456.78"),
    ("sum", "ru", "1 234=50", "1234,50"),
    ("sum", "ru", "ИТОГО: 1 234,50 руб.", "1234.50"),
    ("amount", "cs", "1 234,50 Kč", "1234.50 CZK"),
    ("currency", "de", "US-Dollar", "USD"),
    ("currency", "en", "Euro", "EUR"),
    ("currency", "en", "British Pounds", "GBP"),
    ("currency", "pl", "złoty polski", "PLN"),
    ("currency", "en", "€", "EUR"),
    ("currency", "ru", "руб.", "RUB"),
    ("currency", "ru", "руб. (643)", "RUB"),
    ("company", "en", "Acme Limited", "ACME LTD."),
    ("company", "de", "Muster Gesellschaft mit beschränkter Haftung", "Muster GmbH"),
    ("company", "ru", "ПАО Сбербанк", "Публичное акционерное общество «Сбербанк»"),
    ("company", "ru", "Иванов И. И.", "Иванов И.И."),
    ("company", "pl", "Kowal Sp. z o.o.", "KOWAL SP. Z O. O."),
    ("company", "fr", "Dupont S.A.R.L.", "Dupont SARL"),
    ("company", "en", "Smith and Sons Inc.", "Smith & Sons, Inc"),
    ("address", "ru", "г. Москва, улица Ленина, дом 5", "г.Москва, ул.Ленина, д.5"),
    ("address", "ru", "пр-т Мира, 5", "проспект Мира, 5"),
    ("address", "en", "NO.53 JALAN BESAR", "No. 53, Jln Besar"),
    ("address", "en", "5 Main Street", "5 Main St."),
    ("address", "de", "Hauptstr. 5, 10115 Berlin", "Hauptstraße 5 10115 Berlin"),
    ("inn", "ru", "ИНН: 7707083893", "7707083893"),
    ("vat", "it", "P.IVA IT00743110157", "IT00743110157"),
    ("number", "ru", "№ 71", "71"),
    ("number", "ru", "Счет № 71", "71"),
    ("number", "en", "Invoice #20417001", "20417001"),
    ("number", "de", "Rechnungsnr. 2041", "2041"),
    ("phone", "fr", "+33 1 23 45 67 89", "01 23 45 67 89"),
    ("phone", "en", "Tel: 870-931-0505", "(870) 931 0505"),
    ("qty", "en", "3 pcs", "3"),
    ("qty", "de", "2 Stk.", "2 Stück"),
    ("qty", "ru", "1,000 шт", "1"),
    ("tax rate", "ru", "НДС 20%", "20%"),
    ("number", "en", "Receipt No. 55", "55"),
]

# Near misses, which must differ in both directions

NEAR_MISSES = [
    ("date", "de", "5. Mai 2018", "2018-03-05"),
    ("date", "de", "5. März 2018", "2018-03-06"),
    ("date", "fr", "2 juin 2015", "2015-07-02"),
    ("date", "hr", "1. listopada 2020", "2020-11-01"),
    ("date", "pl", "1 listopada 2020", "2020-10-01"),
    ("date", "en", "02/FEB/2017", "02/01/2017"),
    ("date", "en", "03/04/2024", "3 April 2024"),
    ("date", "en", "03/04/2024", "March 4, 2024"),
    ("date", "en", "until 12 March 2024", "12 March 2024"),
    ("date", "ru", "до 12 февраля 2025", "12 февраля 2025"),
    ("date", "ru", "по 12.02.2025", "12.02.2025"),
    ("date", "en", "12 March", "12 March 2024"),
    ("date", "en", "25/12/2018", "25/12/2018 8:13 PM"),
    ("date", "en", "25/12/2018 8:13 AM", "25/12/2018 8:13 PM"),
    ("date", "en-US", "03/04/2024", "3 April 2024"),
    ("date", "en-GB", "03/04/2024", "4 March 2024"),
    ("date", "de", "03/04/2024", "4. März 2024"),
    ("date", "es", "3 de mayo de 2021", "2021-03-03"),
    ("date", "tr", "3 Mayıs 2021", "2021-03-03"),
    ("date", "th", "3 มีนาคม 2567", "2023-03-03"),
    ("date", "pl", "01-02-2021 r.", "2021-01-02"),
    ("date", "en", "not 12 March 2024", "12 March 2024"),
    ("date", "en", "12-14 March 2024", "12 March 2024"),
    ("date", "en", "25032018", "25/03/2019"),
    ("date", "en", "2 March 2024", "2 March 1924"),
    ("amount", "en", "1,23,456.78", "12,34,567.8"),
    ("amount", "en", "1,23,456", "1,234.56"),
    ("amount", "de", "47,9", "47,09"),
    ("amount", "ch", "1’234.56 CHF", "1234.56 EUR"),
    ("amount", "se", "1 234,50 kr", "1234.50 EUR"),
    ("amount", "br", "R$ 1.234,56", "US$ 1,234.56"),
    ("amount", "ar", "١٬٢٣٤٫٥٦", "1234.65"),
    ("amount", "en", "TOTAL: 12.50", "-12.50"),
    ("amount", "en", "9.00 SR", "9.00 USD"),
    ("amount", "en", "$ 9 .00", "900"),
    ("amount", "en", "9.00", "0.90"),
    ("sum", "ru", "5250-90", "5250,09"),
    ("sum", "ru", "5250-90", "525090"),
    ("sum", "ru", "5250-90", "-5250,90"),
    ("amount", "en", "10-20", "10.20"),
    ("sum", "ru", "5000=00", "500000"),
    ("sum", "ru", "5250 руб. 9 коп.", "5250,90"),
    ("sum", "ru", "5250 руб. 90 коп.", "5250,90 USD"),
    ("sum", "ru", "Пять тысяч двести пятьдесят рублей 90 копеек", "5250,09"),
    ("sum", "ru", "Пять тысяч двести рублей 90 копеек", "5250,90"),
    ("sum", "ru", "Двести пять рублей", "250"),
    ("amount", "en", "five hundred dollars", "5000"),
    ("amount", "en", "1.234", "1234"),
    ("amount", "en", "12.50 12.50", "12.50"),
    ("amount", "en", "12.50+2", "14.50"),
    ("amount", "en", "~12.50", "12.50"),
    ("amount", "en", ">12.50", "12.50"),
    ("amount", "en", "less 12.50", "12.50"),
    ("amount", "en", "1'234\"", "1234"),
    ("amount", "en", "12.5.0", "12.50"),
    ("amount", "en", "12,50,00", "125000"),
    ("currency", "en", "$", "CAD"),
    ("currency", "en", "Dollars, 978", "USD"),
    ("currency", "en", "kr", "EUR"),
    ("currency", "ru", "Российский рубль, 840", "RUB"),
    ("currency", "en", "RM", "RMB"),
    ("currency", "en", "R", "RUB"),
    ("company", "en", "SELAYANG BOOKS", "SELAYANG BOOKS SDN BHD"),
    ("company", "en", "Northgate Tools Ltd", "Northgate Tools Pvt Ltd"),
    ("company", "ru", "ООО «Ромашка»", "ЗАО «Ромашка»"),
    ("company", "ru", "АО «Ромашка»", "ПАО «Ромашка»"),
    ("company", "ru", "Общество с ограниченной ответственностью «Ромашка»", "ООО «Ромашка-2»"),
    ("company", "ru", "Иванов И. И.", "Иванов И. П."),
    ("company", "en", "A B Tools", "AB Tools"),
    ("company", "en", "Blue Sky Ltd", "BlueSky Ltd"),
    ("company", "de", "GmbH & Co. KG", "GmbH KG"),
    ("company", "en", "Smith & Sons", "Smith Sons"),
    ("company", "en", "NORHAVEN BAKERIES (KL) SDN BHD", "NORHAVEN BAKERIES (JB) SDN BHD"),
    ("company", "nl", "Blauwtje BV", "Blauwtje NV"),
    ("address", "en", "12, JALAN MAJU 7/4", "1 2, JALAN MAJU 7/4"),
    ("address", "en", "12, JALAN MAJU 7/4", "12, JALAN MAJU 74"),
    ("address", "en", "NO. 53", "NO. 35"),
    ("address", "en", "12.5 Main St", "12 5 Main St"),
    ("address", "ru", "ул. Ленина, д. 5, кв. 1", "ул. Ленина, д. 5, корп. 1"),
    ("address", "ru", "пр. Ленина, д. 5", "ул. Ленина, д. 5"),
    ("address", "ru", "г. Москва, ул. Ленина, 15", "г. Москва, ул. Ленина, 1 5"),
    ("address", "ru", "пер. Ленина", "пл. Ленина"),
    ("address", "en", "5 Main Street", "5 Main Road"),
    ("address", "de", "Hauptstr. 5", "Hauptplatz 5"),
    ("address", "ru", "ул. Ленина 5, 7", "ул. Ленина 5,7"),
    ("vat", "de", "USt-ID DE136695976", "DE136695977"),
    ("vat", "nl", "NL 0000.99.998.B.57", "NL000099998B75"),
    ("vat", "de", "DE136695976", "136695976"),
    ("passport", "ru", "45 05 № 679944", "45 05 679945"),
    ("bik", "ru", "БИК 044525000", "044525001"),
    ("number", "ru", "N 71", "17"),
    ("number", "ru", "N71", "71"),
    ("number", "en", "A 71", "71"),
    ("number", "en", "Invoice No: 20417001", "2041700l"),
    ("number", "en", "2024-001", "2024001"),
    ("number", "en", "007", "7"),
    ("number", "en", "INV-5", "5"),
    ("number", "en", "No 5/2", "52"),
    ("number", "en", "5 6", "56"),
    ("phone", "en", "(870)-931-0505", "870-931-0506"),
    ("phone", "de", "+49 40 123456", "040 123457"),
    ("phone", "de", "+7 40 123456", "040 123456"),
    ("phone", "en", "+49 40 123456", "040 123456"),
    ("phone", "de", "+49 40 123456", "0040 123456"),
    ("tax rate", "de", "19,00", "1,9 %"),
    ("tax rate", "ru", "18%", "0.18"),
    ("tax rate", "ru", "18%", "18 ₽"),
    ("qty", "ru", "1 шт.", "1 кг"),
    ("qty", "en", "1 pcs", "10 pcs"),
    ("qty", "en", "1 x", "11"),
    ("qty", "en", "2 kg", "2 g"),
    ("qty", "ru", "1 шт.", "1.5"),
    ("total", "en", "12.50%", "12.50"),
    ("date", "ru", "12.02.2025 г.", "12.02.2024 г."),
    ("iban", "de", "DE89370400440532013000", "DE89370400440532013001"),
    ("name", "en", "John A. Smith", "John B. Smith"),
    ("name", "ru", "Иванов И.И.", "Иванов ИП"),
    ("date", "en", "Mon 12/03/2024", "Mon 12/04/2024"),
]


PLACES_AND_SCALES = [
    ("city", "ru", "г. Москва", "Москва"),
    ("Город", "ru", "город Тверь", "Тверь"),
    ("city", "uk", "м. Київ", "Київ"),
    ("address", "ru", "394024, г. Воронеж, ул. Ленина, 49", "394024, Воронеж, ул. Ленина, д. 49"),
    ("address", "ru", "Москва, пр-т Мира, д. 10, кв. 4", "г. Москва, проспект Мира, 10, кв. 4"),
    ("address", "ru", "ул. Ленина, 5 корп. 2", "ул. Ленина, д. 5, корпус 2"),
    ("address", "es", "C/ Mayor 3, 28013 Madrid", "Calle Mayor, 3, 28013 Madrid"),
    ("address", "it", "V. Roma 12, 20121 Milano", "Via Roma 12, 20121 Milano"),
    ("total", "en", "Rs. 1,23,456/-", "INR 123456.00"),
    ("total", "en", "USD 1.2k", "USD 1,200"),
    ("total", "ru", "12 тыс. руб.", "12 000 руб."),
    ("total", "en", "$3.5 million", "$3,500,000"),
    ("invoice_number", "en", "No. INV-0042", "INV-0042"),
]
OTHER_PLACES_AND_SCALES = [
    ("city", "ru", "г. Москва", "г. Можайск"),
    ("city", "ru", "пос. Московский", "г. Московский"),
    ("city", "ru", "Москва, Зеленоград", "Москва"),
    ("address", "ru", "г. Москва, ул. Ленина, д. 5", "ул. Ленина, д. 5"),
    ("address", "ru", "ул. Ленина, д. 5, кв. 2", "ул. Ленина, д. 5, корп. 2"),
    ("address", "ru", "ул. Ленина, д. 5", "ул. Ленина, кв. 5"),
    ("address", "ru", "ул. Ленина, д. 5", "ул. Ленина"),
    ("address", "ru", "д. Ленина, 5", "ул. Ленина, 5"),
    ("address", "ru", "пр. Ленина, 5", "пер. Ленина, 5"),
    ("total", "en", "USD 1.2k", "USD 1.2"),
    ("total", "ru", "12 тыс. руб.", "12 млн руб."),
    ("total", "ru", "12 тыс. 500 руб.", "12 000 руб."),
    ("invoice_number", "en", "North 42", "rth 42"),
]


@pytest.mark.parametrize(("field", "language", "answer", "reference"), PLACES_AND_SCALES)
def test_places_and_scaled_amounts_are_the_same(field, language, answer, reference):
    for one, other in ((answer, reference), (reference, answer)):
        assert field_equivalent(one, [other], field=field, language=language).equivalent


@pytest.mark.parametrize(("field", "language", "answer", "reference"), OTHER_PLACES_AND_SCALES)
def test_other_places_and_scales_are_different(field, language, answer, reference):
    for one, other in ((answer, reference), (reference, answer)):
        assert not field_equivalent(one, [other], field=field, language=language).equivalent


CASES = Path(__file__).parent / "cases" / "metric_pairs.json"


@pytest.mark.parametrize("pair", json.loads(CASES.read_text(encoding="utf-8")), ids=str)
def test_pairs_of_real_documents_are_judged_as_a_person_does(pair):
    known = {"field": pair["field"], "language": pair["language"]}
    match = field_equivalent(pair["prediction"], [pair["reference"]], **known)
    assert match.equivalent == (pair["human"] == "same")
    assert field_match(pair["prediction"], [pair["reference"]], **known).value == 1.0


@pytest.mark.parametrize(("field", "language", "answer", "reference"), SAME_TO_A_PERSON)
def test_a_value_is_the_same_in_the_writing_of_its_country(field, language, answer, reference):
    assert field_equivalent(answer, [reference], field=field, language=language).equivalent
    assert field_equivalent(reference, [answer], field=field, language=language).equivalent


@pytest.mark.parametrize(("field", "language", "answer", "reference"), NEAR_MISSES)
def test_near_misses_are_different_values(field, language, answer, reference):
    assert not field_equivalent(answer, [reference], field=field, language=language).equivalent
    if "PM" not in reference or "AM" in answer:
        assert not field_equivalent(reference, [answer], field=field, language=language).equivalent


@pytest.mark.parametrize("name", ["date", "Дата", "datum"])
def test_a_day_is_asked_for_and_a_time_says_more(name):
    assert field_equivalent("25/12/2018 8:13 PM", ["25/12/2018"], field=name).equivalent
    assert not field_equivalent("25/12/2018", ["25/12/2018 8:13 PM"], field=name).equivalent


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("03/04/2024", "3 April 2024", True),
        ("03/04/2024", "4 March 2024", True),
        ("03/04/2024", "5 May 2024", False),
        ("03/04/2024", "03/04/2024", False),
        ("1,234", "1234", True),
        ("1,234", "1.234", True),
        ("1,234", "1235", False),
        ("yes", "no", False),
    ],
)
def test_what_can_mean_two_values_is_ambiguous(answer, reference, expected):
    assert is_ambiguous(answer, [reference]) == expected


@pytest.mark.parametrize("language", ["de", "ru", "fr", "uk"])
def test_the_language_settles_what_is_ambiguous(language):
    assert not is_ambiguous("03/04/2024", ["3.04.2024"], language=language)


MONTHS_CLDR = [language for language in COMMON if language not in {"zh", "ja", "ko", "vi"}]


@pytest.mark.parametrize("language", MONTHS_CLDR)
def test_every_month_of_every_language_is_its_own(language):
    days = [date(2021, month, 13) for month in range(1, 13)]
    for day in days:
        spelled = format_date(day, "d MMMM y", locale=language)
        matching = [
            other
            for other in days
            if field_equivalent(
                spelled, [other.isoformat()], field="date", language=language
            ).equivalent
        ]
        assert matching == [day], spelled


@pytest.mark.parametrize(
    ("answer", "reference", "field", "language", "same"),
    [
        (".5", "0.5", "quantity", "en", True),
        ("$.50", "$0.50", "total", "en", True),
        (".5", "5", "answer", "en", False),
        ("Rs.500", "500", "total", "en", True),
        ("5'", '5"', "answer", "en", False),
        ("5′", "5'", "answer", "en", True),
        ("5'", "5", "answer", "en", False),
        ("No. '5'", 'No. "5"', "answer", "en", True),
        ("‘12.03.2024’", "12.03.2024", "date", "en", True),
        ("1985’s", "1985's", "answer", "en", True),
        ("1'234.50", "1234.50", "total", "de", True),
        ("12 Main St", "1 2 Main St", "address", "en", False),
        ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "iban", "de", True),
        ("Berlin, den 12.03.2024", "12.03.2024", "date", "de", True),
        ("Paris, le 12 mars 2024", "12.03.2024", "date", "fr", True),
        ("Berlin, den 12.03.2024", "13.03.2024", "date", "de", False),
    ],
)
def test_marks_that_change_a_value_and_marks_that_do_not(answer, reference, field, language, same):
    for pair in ((answer, reference), (reference, answer)):
        match = field_equivalent(pair[0], [pair[1]], field=field, language=language)
        assert match.equivalent is same, pair

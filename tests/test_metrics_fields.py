"""Type-aware field scoring: equal values are found in any spelling, different ones never."""

from datetime import date

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bench.metrics import METRICS
from bench.metrics.fields import FieldMatch, field_equivalent, typed_agreement
from bench.metrics.identifiers import is_iban, is_inn, is_kpp, is_snils, is_vat

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
    assert typed_agreement(answer, reference) == (0, 3_000, 3_000)


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

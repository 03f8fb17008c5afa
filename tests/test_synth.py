"""The generator: checksums, sums, words, determinism, and pages on which nothing overlaps."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("faker")
pytest.importorskip("reportlab")

from bench.errors import InvalidInput
from bench.metrics.identifiers import is_iban, is_inn
from bench.synth import KINDS, make, synthesise
from bench.synth.fonts import FACES
from bench.synth.generated import GeneratedDocument
from bench.synth.kinds import LAYOUTS
from bench.synth.layouts.tables import TableStyle, draw_rows
from bench.synth.raster import rasterise
from bench.synth.scanning import draw_scan_settings, scan_page
from bench.synth.sheet import SOFT_HYPHEN, Box, Font, Sheet, TextRun, wrap
from bench.synth.values import identifiers, invoice, parties
from bench.synth.values.amounts import chinese_capitals, roubles_in_words, russian_words
from bench.synth.values.applicant import applicant
from bench.synth.values.receipt import receipt
from tests.check_digits import is_account, is_chinese_identity, is_ogrn, is_uk_vat, is_uscc
from workshop.references import describe, key_facts

PAIRS = [(kind, language) for kind, row in KINDS.items() for language in row.languages]
SEEDS = range(6)


def documents(kind: str, language: str) -> list[GeneratedDocument]:
    return [make(kind, language, Random(f"{kind}/{seed}")) for seed in SEEDS]


def drawn_text(document: GeneratedDocument) -> str:
    return "\n".join(text.text for sheet in document.sheets for text in sheet.texts())


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (is_inn, "7707083893", "7707083894"),
        (is_inn, "500100732259", "500100732258"),
        (is_ogrn, "1027700132195", "1027700132196"),
        (is_iban, "GB82WEST12345698765432", "GB82WEST12345698765433"),
        (is_uscc, "91350100M000100Y43", "91350100M000100Y44"),
    ],
)
def test_check_digits_agree_with_published_numbers(check, right, wrong):
    assert check(right)
    assert not check(wrong)


def test_every_russian_company_has_valid_numbers():
    for seed in range(40):
        company = parties.russian_company(Random(seed))
        assert is_inn(company.tax_id)
        assert is_ogrn(company.ogrn)
        assert company.kpp.startswith(company.tax_id[:4])
        assert is_account(company.bank.account, company.bank.bic)
        assert is_account(company.bank.correspondent, company.bank.bic, correspondent=True)


def test_a_known_correspondent_account_has_a_right_key():
    assert identifiers.correspondent_account("044525225") == "30101810400000000225"


def test_inn_of_a_person_has_twelve_valid_digits():
    numbers = [identifiers.inn_person(Random(seed), "7725") for seed in range(40)]
    assert all(len(number) == 12 and is_inn(number) for number in numbers)


def test_english_companies_have_valid_iban_and_vat_numbers():
    for seed in range(40):
        company = parties.english_company(Random(seed))
        assert is_iban(company.bank.account.replace(" ", ""))
        assert is_uk_vat(company.tax_id)


def test_chinese_companies_have_valid_credit_codes():
    assert all(is_uscc(parties.chinese_company(Random(seed)).tax_id) for seed in range(40))


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("1.00", "Один рубль 00 копеек"),
        ("2152.41", "Две тысячи сто пятьдесят два рубля 41 копейка"),
        ("1000000.02", "Один миллион рублей 02 копейки"),
        ("21011.11", "Двадцать одна тысяча одиннадцать рублей 11 копеек"),
    ],
)
def test_roubles_are_written_in_words(amount, words):
    assert roubles_in_words(Decimal(amount)) == words


def test_russian_words_follow_the_gender_of_what_is_counted():
    assert russian_words(22) == "двадцать два"
    assert russian_words(22_000) == "двадцать две тысячи"
    assert russian_words(0) == "ноль"


def test_a_chinese_identity_number_has_a_right_check_character():
    assert is_chinese_identity("11010519491231002X")
    assert not is_chinese_identity("110105194912310021")
    assert all(is_chinese_identity(applicant(Random(seed), "zh").tax_id) for seed in range(40))


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("237.30", "贰佰叁拾柒圆叁角整"),
        ("10005.06", "壹万零伍圆零陆分"),
        ("21352.48", "贰万壹仟叁佰伍拾贰圆肆角捌分"),
        ("100000.00", "壹拾万圆整"),
        ("1002003.40", "壹佰万贰仟零叁圆肆角整"),
        ("0.50", "零圆伍角整"),
    ],
)
def test_chinese_amounts_are_written_in_capitals(amount, words):
    assert chinese_capitals(Decimal(amount)) == words


@pytest.mark.parametrize(
    "draw", [invoice.russian_invoice, invoice.english_invoice, invoice.chinese_invoice]
)
def test_invoice_totals_are_the_sums_of_their_rows(draw):
    for seed in range(30):
        lines = draw(Random(seed)).lines
        assert lines.net == sum(row.net for row in lines.rows)
        assert lines.gross == lines.net + lines.tax
        for row in lines.rows:
            assert row.net == (row.quantity * row.price).quantize(Decimal("0.01"), "ROUND_HALF_UP")
            assert row.gross == row.net + row.tax


@pytest.mark.parametrize("language", ["ru", "en", "zh"])
def test_receipt_totals_are_the_sums_of_their_lines(language):
    for seed in range(30):
        values = receipt(Random(seed), language)
        assert values.total == sum(item.total for item in values.items) + values.service
        assert values.cash >= values.total


@pytest.mark.parametrize(("kind", "language"), PAIRS)
def test_printed_totals_add_up(kind, language):
    def number(text: str) -> Decimal:
        digits = "".join(c for c in text if c.isdigit() or c in ".,")
        return Decimal(digits.replace(",", "." if language == "ru" else ""))

    for document in documents(kind, language):
        facts = key_facts(document)
        if {"total_net", "total_tax", "total"} <= set(facts):
            net, tax, total = (number(facts[key]) for key in ("total_net", "total_tax", "total"))
            assert net + tax == total


@pytest.mark.parametrize(("kind", "language"), PAIRS)
def test_every_reference_stands_on_its_document(kind, language):
    for document in documents(kind, language):
        text = squeezed(drawn_text(document))
        assert document.questions
        for question in document.questions:
            assert squeezed(question.answers[0]) in text, question


@pytest.mark.parametrize(("kind", "language"), PAIRS)
def test_every_structured_value_stands_on_its_document(kind, language):
    for document in documents(kind, language):
        text = squeezed(drawn_text(document))
        facts = key_facts(document)
        values = [value for item in facts.pop("items", []) for value in item.values()]
        for value in (*values, *facts.values()):
            assert squeezed(value) in text, value


@pytest.mark.parametrize(("kind", "language"), PAIRS)
def test_descriptions_are_whole_sentences(kind, language):
    for document in documents(kind, language):
        for description in describe(document):
            assert "{" not in description
            assert ".." not in description
            assert description.endswith(("。", "."))


def boxes(sheet: Sheet) -> list[tuple[float, float, float, float, str]]:
    """Where the letters of each text lie: left, top, right, bottom."""
    texts = [
        t for t in sheet.operations if isinstance(t, TextRun) and not t.angle and t.text.strip()
    ]
    return [
        (t.x, t.y - 0.72 * t.font.size, t.x + t.width, t.y + 0.02 * t.font.size, t.text)
        for t in texts
    ]


def overlaps(sheet: Sheet) -> list[tuple[str, str]]:
    texts = boxes(sheet)
    return [
        (a[4], b[4])
        for n, a in enumerate(texts)
        for b in texts[n + 1 :]
        if min(a[2], b[2]) - max(a[0], b[0]) > 0.8 and min(a[3], b[3]) - max(a[1], b[1]) > 0.8
    ]


@pytest.mark.parametrize(("kind", "language"), PAIRS)
def test_no_text_overlaps_another_or_leaves_the_page(kind, language):
    for document in documents(kind, language):
        for sheet in document.sheets:
            assert overlaps(sheet) == []
            for left, top, right, bottom, text in boxes(sheet):
                assert left > 4, text
                assert right < sheet.width - 4, text
                assert top > 2, text
                assert bottom < sheet.height - 4, text


def test_the_overlap_check_sees_an_overlap():
    sheet = Sheet(200, 100)
    sheet.text(10, 50, "one text", Font("sans", 10))
    sheet.text(30, 53, "another", Font("sans", 10))
    assert overlaps(sheet) == [("one text", "another")]


@pytest.mark.parametrize(("kind", "language"), PAIRS)
def test_every_character_has_a_glyph(kind, language):
    tt_lib = pytest.importorskip("fontTools.ttLib")
    known = {name: set(tt_lib.TTFont(path).getBestCmap()) for name, path in FACES.items()}
    for document in documents(kind, language):
        for sheet in document.sheets:
            for text in sheet.texts():
                missing = [c for c in text.text if ord(c) not in known[text.font.face]]
                assert missing == [], text


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    kinds, languages = ("receipt", "contract", "invoice"), ("ru", "zh")
    for name in ("a", "b"):
        synthesise(kinds, languages, 6, 7, tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "a").iterdir() if p.name != "task.toml")
    assert len(files) >= 7
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_another_seed_gives_other_documents(tmp_path):
    for seed in (1, 2):
        synthesise(("receipt",), ("en",), 1, seed, tmp_path / str(seed), scan="clean")
    first, second = ((tmp_path / s / "samples.jsonl").read_bytes() for s in "12")
    assert first != second


def test_a_larger_count_begins_with_the_same_documents(tmp_path):
    for count in (1, 2):
        synthesise(("receipt",), ("en", "zh"), count, 3, tmp_path / str(count), scan="clean")
    name = "receipt-en-0001.png"
    assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_the_written_folder_is_a_valid_task(tmp_path):
    from bench.tasks import load_task

    out = synthesise(("receipt", "form"), ("en",), 2, 5, tmp_path / "set", scan="light")
    task = load_task(out)
    assert len(task.documents) == 2
    assert all(set(s.metadata) >= {"doc_type", "field", "language"} for s in task.samples)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((("invoise",), ("en",), 1, 1), "invoice"),
        ((("invoice",), ("fr",), 1, 1), "known"),
        ((("schet-faktura",), ("en",), 1, 1), "ru"),
        ((("invoice",), ("en",), 0, 1), None),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, hint):
    with pytest.raises(InvalidInput) as caught:
        synthesise(*arguments, tmp_path / "set")
    assert hint is None or hint in str(caught.value.hint)
    assert not (tmp_path / "set").exists()


def test_a_folder_that_holds_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(InvalidInput):
        synthesise(("receipt",), ("en",), 1, 1, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("strength", ["light", "heavy", "photo"])
def test_a_scan_depends_on_its_seed_alone(strength):
    page = rasterise(make("receipt", "en", Random(1)).sheets[0], 72)
    settings = draw_scan_settings(Random(2), strength)
    assert scan_page(page, settings, 3, 72) == scan_page(page, settings, 3, 72)
    assert scan_page(page, settings, 3, 72) != scan_page(page, settings, 4, 72)


def test_a_page_is_drawn_at_the_size_asked_for():
    sheet = Sheet(72, 144)
    assert rasterise(sheet, 300).size == (300, 600)
    assert rasterise(sheet, 75).size == (75, 150)


def test_text_is_drawn_where_the_sheet_says():
    sheet = Sheet(100, 50)
    width = sheet.text(20, 30, "HHHH", Font("sans", 12))
    ink = rasterise(sheet, 288).convert("L").point(lambda value: 255 if value < 128 else 0)
    left, top, right, bottom = ink.getbbox()
    assert 20 * 4 <= left < 24 * 4
    assert (20 + width - 4) * 4 < right <= (20 + width) * 4
    assert bottom == pytest.approx(30 * 4, abs=2)
    assert top == pytest.approx((30 - 12 * 0.72) * 4, abs=5)


@pytest.mark.parametrize("width", [20, 45, 90, 200])
def test_no_line_is_wider_than_asked_for(width):
    font = Font("zh-sans", 9)
    lines = wrap(
        "Delivery to the warehouse of 深圳启航建材贸易有限公司，合计金额 12345.67", font, width
    )
    assert all(TextRun(0, 0, line, font).width <= width for line in lines)


def test_a_soft_hyphen_shows_only_where_a_word_is_divided():
    font = Font("sans", 10)
    word = f"Налого{SOFT_HYPHEN}вая"
    assert wrap(word, font, 200) == ["Налоговая"]
    assert wrap(word, font, 45) == ["Налого-", "вая"]


def test_a_cell_that_is_too_narrow_gets_smaller_letters():
    sheet = Sheet(200, 100)
    sheet.cell(Box(0, 0, 40, 12), "1 234 567,00", Font("sans", 12))
    (drawn,) = sheet.texts()
    assert drawn.font.size < 12
    assert drawn.width <= 36.01


def test_a_field_in_a_table_is_remembered_as_drawn():
    sheet = Sheet(200, 100)
    style = TableStyle((50.0, 50.0), "lr", Font("sans", 8))
    draw_rows(sheet, 0, 0, style, [("Tea", "12.50"), ("Rice", "3.00")], {1: "total"}, first=4)
    assert sheet.fields == {"item_4_total": "12.50", "item_5_total": "3.00"}


def test_directors_are_named_in_the_genitive():
    def genitive(surname: str, given: str, patronymic: str, *, male: bool) -> str:
        return parties.Person("", "", surname, given, patronymic, male).genitive

    assert genitive("Петров", "Андрей", "Ильич", male=True) == "Петрова Андрея Ильича"
    assert genitive("Лыткина", "Ольга", "Львовна", male=False) == "Лыткиной Ольги Львовны"
    assert genitive("Вишневский", "Павел", "Юрьевич", male=True) == "Вишневского Павла Юрьевича"


def test_the_samples_of_a_generated_set_are_readable_json(tmp_path: Path):
    out = synthesise(("invoice",), ("zh",), 1, 9, tmp_path / "set", scan="clean")
    lines = [json.loads(line) for line in (out / "samples.jsonl").read_text("utf-8").splitlines()]
    assert len({line["id"] for line in lines}) == len(lines)
    assert all((out / name).is_file() for line in lines for name in line["images"])


def test_a_layout_can_be_asked_for_and_an_unknown_one_is_refused(tmp_path: Path):
    home = synthesise(["slip"], ["en"], 4, 1, tmp_path / "cards", scan="clean", layouts=["card"])
    lines = (home / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["metadata"]["layout"] for line in lines} == {"card"}
    assert "--layout card" in (home / "task.toml").read_text(encoding="utf-8")
    with pytest.raises(InvalidInput, match="no layout 'cart'") as caught:
        synthesise(["slip"], ["en"], 4, 1, tmp_path / "none", layouts=["cart"])
    assert "card" in (caught.value.hint or "")
    for kind, language in LAYOUTS:
        for layout in LAYOUTS[kind, language]:
            assert make(kind, language, Random(1), layout=layout).layout == layout

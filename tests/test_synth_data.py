"""The data files of the generator: they are whole, they are read once, and nothing in them is left over."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from random import Random
from string import Formatter

import pytest

pytest.importorskip("faker")

import bench.synth.data
from bench.synth import KINDS, make
from bench.synth.data import read_rows, read_table
from bench.synth.kinds import LAYOUTS
from bench.synth.questions import question_texts
from bench.synth.values.goods import goods, till_goods
from bench.synth.values.slip import slip_words
from workshop.references import read_references

FOLDER = Path(bench.synth.data.__file__).parent
PAIRS = [(kind, language) for kind, row in KINDS.items() for language in row.languages]


def drawn_fields(kind: str, language: str) -> set[str]:
    """Every field that any layout of a kind draws."""
    return {
        field
        for layout in LAYOUTS.get((kind, language), (None,))
        for seed in range(25)
        for sheet in make(kind, language, Random(seed), layout=layout).sheets
        for field in sheet.fields
    }


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.*ml")), ids=lambda path: path.name)
def test_a_table_is_read_once(path):
    assert read_table(path.stem)
    assert read_table(path.stem) is read_table(path.stem)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.name)
def test_the_rows_of_a_list_are_whole_and_read_once(path):
    rows = read_rows(path.stem)
    assert rows
    assert rows is read_rows(path.stem)
    for row in rows:
        assert None not in row, "more cells than columns"
        assert None not in row.values(), "fewer cells than columns"
        assert 0 < float(row["low"]) <= float(row["high"])
        assert row["name"]


def test_nothing_is_read_before_it_is_needed():
    script = (
        "from bench.synth import synthesise; from bench.synth.data import read_rows, read_table\n"
        "print(read_table.cache_info().currsize + read_rows.cache_info().currsize)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0"


@pytest.mark.parametrize("language", ["ru", "en", "zh"])
def test_every_line_of_business_has_goods_and_sellers(language):
    trades = goods(language)
    assert set(trades) == set(read_table("parties")[language]["sellers"])
    for rows in trades.values():
        assert len(rows) >= 7
        assert len({row.name for row in rows}) == len(rows)
        assert all(Decimal(quantity) > 0 for row in rows for quantity in row.quantities)
    for place in read_table("parties")["shops"][language]:
        # A receipt lists up to eight different goods.
        assert len(till_goods(language, place)) >= 8


@pytest.mark.parametrize(("kind", "language"), PAIRS)
def test_every_question_is_asked_of_some_document(kind, language):
    assert set(question_texts(kind, language)) <= drawn_fields(kind, language)


@pytest.mark.parametrize(("kind", "language"), PAIRS)
def test_references_name_fields_that_are_drawn(kind, language):
    references = read_references()[kind][language]
    fields = drawn_fields(kind, language)
    assert set(references["keys"]) <= fields
    for length in ("full", "short"):
        assert placeholders(references[length]) <= fields | {"n", "items"}


@pytest.mark.parametrize("language", ["en", "ru"])
def test_slips_have_words_for_every_field_and_type(language):
    fields = read_table("slips")["fields"]
    words = slip_words(language)
    assert set(words["titles"]) == set(fields)
    assert set(words["labels"]) == {name for names in fields.values() for name in names}
    assert set(question_texts("slip", language)) == set(words["labels"]) | {"company"}


def test_every_file_is_read_by_some_document():
    read_table.cache_clear()
    read_rows.cache_clear()
    for cached in (goods, till_goods):
        cached.cache_clear()
    for kind, language in PAIRS:
        for layout in LAYOUTS.get((kind, language), (None,)):
            make(kind, language, Random(1), layout=layout)
    tables = [path for path in FOLDER.iterdir() if path.suffix == ".toml"]
    lists = [path for path in FOLDER.iterdir() if path.suffix == ".csv"]
    assert read_table.cache_info().currsize == len(tables)
    assert read_rows.cache_info().currsize == len(lists)

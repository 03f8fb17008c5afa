"""Tests of pages as in olmOCR-bench, by cases that were worked out by hand."""

import random

import pytest
from rapidfuzz.distance import Levenshtein

from bench.metrics import METRICS
from bench.metrics.page_references import page_problem, page_text
from bench.metrics.page_test_rules import _starts_with_edits, run_tests

PIPES = "| Year | 2022 | 2023 |\n|---|---|---|\n| Cost | 2.4% | 4.5% |\n| Gain | 1.0% | 7.1% |"
HTML = """<table><thead><tr><th rowspan="2">Name</th><th colspan="2">Total cost</th></tr>
<tr><th>Net</th><th>Gross</th></tr></thead><tbody><tr><td>Pens</td><td>10</td><td>12</td></tr></tbody></table>"""


def passes(answer, **test):
    assert page_problem({"tests": [test]}) is None
    (result,) = run_tests(answer, [test])
    return result.passed


@pytest.mark.parametrize(
    ("answer", "test", "passed"),
    [
        ("A **very** good\nday", {"text": "very good day"}, True),
        ("a very good day", {"text": "Very good"}, False),
        ("a very good day", {"text": "Very good", "case_sensitive": False}, True),
        ("“Smart” — quotes’", {"text": '"Smart" - quotes\''}, True),
        ("e\u0301tat", {"text": "état"}, True),
        # One letter of ten is another one: 9/10 are equal, and 1 − 1/10 are asked for.
        ("xxabcdeXghijxx", {"text": "abcdefghij"}, False),
        ("xxabcdeXghijxx", {"text": "abcdefghij", "max_diffs": 1}, True),
        ("xxabcdXXghijxx", {"text": "abcdefghij", "max_diffs": 1}, False),
        ("page 3" + "x" * 100, {"text": "page 3", "first_n": 6}, True),
        ("page 3" + "x" * 100, {"text": "page 3", "last_n": 20}, False),
        ("head" + "x" * 100 + "foot", {"text": "foot", "first_n": 4, "last_n": 4}, True),
        # An answer that is shorter than the text cannot have it.
        (" ", {"text": "a b c d"}, False),
        ("", {"text": "a"}, False),
    ],
)
def test_a_text_is_there_or_not(answer, test, passed):
    assert passes(answer, type="present", **test) is passed
    assert passes(answer, type="absent", **test) is not passed


@pytest.mark.parametrize(
    ("answer", "before", "after", "max_diffs", "passed"),
    [
        ("one two three", "one", "three", 0, True),
        ("one two three", "three", "one", 0, False),
        ("one two one", "two", "one", 0, True),
        ("one two", "one", "four", 0, False),
        ("the frist line, the last line", "first line", "last line", 2, True),
        ("the frist line, the last line", "first line", "last line", 0, False),
        ("the end of it, the frist line", "first line", "the end", 2, False),
        ("same", "same", "same", 0, False),
    ],
)
def test_one_text_begins_before_another(answer, before, after, max_diffs, passed):
    assert passes(answer, type="order", before=before, after=after, max_diffs=max_diffs) is passed


@pytest.mark.parametrize(
    ("answer", "test", "passed"),
    [
        (PIPES, {"cell": "4.5%", "left": "2.4%", "up": "2023", "down": "7.1%"}, True),
        (PIPES, {"cell": "4.5%", "right": "2.4%"}, False),
        (PIPES, {"cell": "7.1%", "top_heading": "2023", "left_heading": "Gain"}, True),
        (PIPES, {"cell": "7.1%", "top_heading": "2022"}, False),
        (PIPES, {"cell": "9.9%"}, False),
        # A cell may differ by half at most, however many edits are allowed.
        (PIPES, {"cell": "Most", "max_diffs": 1}, True),
        (PIPES, {"cell": "Losses", "max_diffs": 9}, False),
        (HTML, {"cell": "12", "top_heading": "Total cost", "left": "10"}, True),
        (HTML, {"cell": "12", "top_heading": "Gross", "left_heading": "Pens"}, True),
        (HTML, {"cell": "12", "top_heading": "Net"}, False),
        ("no table", {"cell": "12"}, False),
        (f"{PIPES}\n\n{HTML}", {"cell": "Pens", "up": "Name"}, True),
        (f"{PIPES}\n\n{HTML}", {"cell": "Cost", "ignore_markdown_tables": True}, False),
    ],
)
def test_a_cell_has_its_neighbours(answer, test, passed):
    assert passes(answer, type="table", **test) is passed


@pytest.mark.parametrize(
    ("answer", "test", "passed"),
    [
        ("Some text.", {}, True),
        ("---", {}, False),
        ("a" + "bc" * 31, {}, False),
        ("a" + "bc" * 30, {}, True),
        ("good 中", {}, False),
        ("good 中", {"check_disallowed_characters": False}, True),
        ("", {"max_length": 0}, True),
        ("x", {"max_length": 0}, False),
        ("![a logo](x.png)", {"max_length": 0, "max_length_skips_image_alt_tags": True}, True),
    ],
)
def test_the_output_is_sound(answer, test, passed):
    assert passes(answer, type="baseline", **test) is passed


def test_formulas_and_unknown_types_are_not_computed():
    reference = {"tests": [{"type": "math", "math": "x"}, {"type": "footnote", "marker": "1"}]}
    assert [result.passed for result in run_tests("$x$", reference["tests"])] == [None, None]
    assert METRICS["olmocr_bench"].score("$x$", [reference]).value is None


def test_a_page_weighs_what_its_tests_count():
    reference = {
        "tests": [
            {"type": "present", "text": "a", "share": 0.5},
            {"type": "present", "text": "b", "share": 0.25},
            {"type": "math", "math": "x", "share": 1},
            {"type": "baseline"},
        ]
    }
    assert METRICS["olmocr_bench"].score("a", [reference]) == pytest.approx((2 / 3, 0.75))
    assert METRICS["olmocr_present"].score("a", [reference]) == (0.5, 2.0)
    assert METRICS["olmocr_baseline"].score("a", [reference]) == (1.0, 1.0)
    assert METRICS["olmocr_order"].score("a", [reference]).value is None


def test_tests_are_told_in_words():
    tests = [
        {"type": "absent", "text": "Page 3", "last_n": 20, "max_diffs": 1},
        {"type": "table", "cell": "12", "top_heading": "Net"},
        {"type": "order", "before": "a", "after": "b"},
        {"type": "math", "math": "x^2"},
    ]
    assert page_text({"tests": tests}).split("\n") == [
        "absent: “Page 3”, in the last 20 characters (up to 1 edit)",
        "table: a cell “12”, top heading “Net”",
        "order: “a” before “b”",
        "math (not computed here): x^2",
    ]


def test_a_text_with_edits_begins_where_trying_every_part_says():
    generator = random.Random(3)

    def letters(most):
        return "".join(generator.choices("abc", k=generator.randint(2, most)))

    def edits_from(pattern, text, start):
        return min(
            Levenshtein.distance(pattern, text[start:end]) for end in range(start, len(text) + 1)
        )

    for _ in range(60):
        pattern, text = letters(6), letters(24)
        most = generator.randint(1, len(pattern) // 2)
        fewest = {start: edits_from(pattern, text, start) for start in range(len(text))}
        starts = _starts_with_edits(pattern, text, most)
        # A place counts if none next to it, of those with few enough edits, has fewer.
        allowed = {start for start, edits in fewest.items() if edits <= most}
        assert set(starts) <= allowed
        assert all(fewest[s] <= fewest[n] for s in starts for n in {s - 1, s + 1} & allowed)
        assert bool(starts) == bool(allowed)

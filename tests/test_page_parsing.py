"""Whole pages as Markdown: blocks, their matching, tables, formulas and order, by values computed by hand."""

import pytest

from bench.metrics import METRICS
from bench.metrics.markup_tables import cell_grid, html_rows, html_table_spans, pipe_rows
from bench.metrics.page_blocks import blocks_of, markdown_of, plain_formula, plain_words
from bench.metrics.page_parsing import compare_pages
from bench.metrics.page_references import page_problem

TABLE = "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>"


def value(part, answer, reference):
    score = METRICS[f"parsing_{part}"].score(answer, [reference])
    return None if score.value is None else pytest.approx(score.value)


def page(*blocks):
    keys = {"table": "html", "equation_isolated": "latex"}
    return {"blocks": [{"category": c, keys.get(c, "text"): content} for c, content in blocks]}


# Blocks


def test_markdown_falls_into_tables_formulas_and_paragraphs():
    text = f"# Head\nOne **bold** line\n\n![x](y.png)\n\n{TABLE}\n\n$$E = mc^2$$\n\n|a|\n|---|\n|1|\n\nEnd"
    kinds = [(block.kind, block.text) for block in blocks_of(text)]
    assert kinds == [
        ("text", "Head"),
        ("text", "Oneboldline"),
        ("table", "a\nb\n1\n2"),
        ("formula", "e=mc^2"),
        ("table", "a\n1"),
        ("text", "End"),
    ]


def test_lines_are_blocks_where_no_blank_line_ends_a_paragraph():
    assert [block.text for block in blocks_of("one\ntwo")] == ["one", "two"]
    assert [block.text for block in blocks_of("one\ntwo\n\nthree")] == ["onetwo", "three"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("**№ 12_a**", "12a"),
        ("H<sub>2</sub>O", "H2O"),
        (r"$\alpha_{1}$ and \(\Omega\)", "α1andΩ"),
        (r"$\frac{a}{b} \cdot \sin x$", "absinx"),
        ("ё-中。文", "ё中文"),
        ("\\alpha", "alpha"),
    ],
)
def test_what_counts_of_a_text(text, words):
    assert plain_words(text) == words


@pytest.mark.parametrize(
    ("latex", "plain"),
    [
        (r"$$ \mathbf{x} + \left( y \right) \tag{3} $$", "{x}+(y)"),
        (r"\[ a_1 \quad = b. \]", "a_1=b"),
        (r"\begin{array}{l} X \end{array}", "{l}x"),
        (r"\leftarrow \textit{a}", r"\leftarrow\textit{a}"),
    ],
)
def test_what_counts_of_a_formula(latex, plain):
    assert plain_formula(latex) == plain


def test_marks_that_are_never_closed_take_nothing_away():
    assert [block.kind for block in blocks_of(r"a \[ b $$ c")] == ["text"]
    assert [block.kind for block in blocks_of(r"$$ a \[ b \]")] == ["text", "formula"]
    (table,) = blocks_of("<table><tr><td>a<td>b")
    assert [cell.text for cell in table.rows[0]] == ["a", "b"]


# Tables


def test_spans_and_headings_of_html_are_read():
    rows = html_rows(
        "<table><tr><th colspan=2>A<br>B</th></tr><tr><td rowspan='x'>1</td><td><i>2</i></table>"
    )
    assert [[tuple(cell) for cell in row] for row in rows] == [
        [("A B", 2, 1, True)],
        [("1", 1, 1, False), ("2", 1, 1, False)],
    ]


def test_a_table_inside_a_cell_is_its_text():
    text = f"x<table><tr><td>in {TABLE}</td></tr></table>y"
    assert html_table_spans(text) == [(1, len(text) - 1)]
    assert [[cell.text for cell in row] for row in html_rows(text)] == [["in ab12"]]


def test_pipes_make_rows_and_a_backslash_keeps_one():
    rows = pipe_rows(["| a \\| b | c |", "|---|:-:|", "1 | 2"])
    assert [[cell.text for cell in row] for row in rows] == [["a | b", "c"], ["1", "2"]]
    assert [cell.is_heading for row in rows for cell in row] == [True, True, True, False]


def test_cells_lie_beside_those_that_span():
    rows = html_rows(
        "<table><tr><th rowspan=2></th><th colspan=2>AB</th></tr><tr><th>A</th><th>B</th></tr>"
        "<tr><td>x</td><td>1</td><td>2</td></tr></table>"
    )
    grid = cell_grid(rows)
    assert grid.up[2, 2] == {(1, 2)}
    assert grid.left[1, 1] == {(0, 0)}
    assert grid.right[0, 0] == {(0, 1), (1, 1)}
    assert grid.walk((2, 2), grid.up).headings(grid) == {(1, 2), (0, 1)}
    # No heading to the left: the cell at the end of the row stands for it.
    assert grid.walk((2, 2), grid.left).headings(grid) == {(2, 0)}


# Parts


def test_the_text_edit_of_a_page_is_the_edits_over_the_longer_lengths():
    reference = page(("title", "Invoice"), ("text_block", "abcdefghij"))
    # "Invoce" lacks one of 7 letters; "abcdeXghij" has one of 10 wrong: 2 / 17, and (1/7 + 1/10) / 2.
    answer = "# Invoce\n\nabcdeXghij"
    assert value("text", answer, reference) == 2 / 17
    assert value("blocks", answer, reference) == (1 / 7 + 1 / 10) / 2
    assert METRICS["parsing_blocks"].score(answer, [reference]).weight == 2


def test_a_missing_text_counts_in_full_and_a_surplus_one_does_not():
    reference = page(("text_block", "abcdefghij"), ("text_block", "0123456789"))
    assert value("text", "abcdefghij", reference) == 1 / 2
    assert value("text", "abcdefghij\n\n0123456789\n\nsomething else", reference) == 0


def test_headers_may_be_there_or_not():
    reference = page(
        ("header", "Annual report"), ("text_block", "abcdefghij"), ("page_number", "12")
    )
    assert value("text", "abcdefghij", reference) == 0
    assert value("text", "Annual report\n\nabcdefghij\n\n12", reference) == 0
    assert value("order", "12\n\nAnnual report\n\nabcdefghij", reference) == 0


def test_a_paragraph_may_be_split_or_joined_with_others():
    one, two = (
        "The quick brown fox jumps over the lazy dog",
        "Pack my box with five dozen liquor jugs",
    )
    reference = page(("text_block", one), ("text_block", two))
    assert value("text", f"{one} {two}", reference) == 0
    assert (
        value("text", f"The quick brown\n\nfox jumps over\n\nthe lazy dog\n\n{two}", reference) == 0
    )
    assert value("order", f"{one} {two}", reference) == 0


def test_the_order_is_the_edits_between_two_orders():
    texts = ["alpha alpha", "bravo bravo", "charlie cha", "delta delta"]
    reference = page(*(("text_block", text) for text in texts))
    assert value("order", "\n\n".join(texts), reference) == 0
    # One text at another place is a deletion and an insertion, of four.
    assert value("order", "\n\n".join([*texts[1:], texts[0]]), reference) == 2 / 4
    assert value("order", "\n\n".join(texts[:3]), reference) == 1 / 4


def test_tables_are_matched_in_any_order_and_markup():
    other = "<table><tr><td>x</td></tr></table>"
    reference = page(("table", TABLE), ("table", other))
    pipes = "| x |\n|---|\n\nText\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    assert value("tables", pipes, reference) == 1
    assert value("tables", TABLE, reference) == 1 / 2
    # Nine elements below the table, of which one cell differs: 1 − 1/6 of six elements.
    wrong = TABLE.replace("<td>2</td>", "<td>3</td>")
    assert value("tables", wrong, page(("table", TABLE))) == 1 - 1 / 6
    assert value("tables_structure", wrong, page(("table", TABLE))) == 1


def test_a_table_without_a_match_is_text():
    reference = page(("text_block", "Name Ann"), ("text_block", "Age 30"))
    assert (
        value(
            "text",
            "<table><tr><td>Name</td><td>Ann</td></tr><tr><td>Age</td><td>30</td></tr></table>",
            reference,
        )
        == 0
    )


def test_formulas_are_compared_as_latex():
    reference = page(("equation_isolated", "$$E = mc^2$$"))
    assert value("formulas", r"\[ E = m c^2 \]", reference) == 0
    # e=mc^{2} has two characters more than e=mc^2, and eight in all.
    assert value("formulas", "$$E=mc^{2}$$", reference) == 2 / 8
    assert value("formulas", "no formula", page(("text_block", "no formula"))) is None


def test_the_score_is_the_mean_of_what_the_page_has():
    everything = page(("text_block", "abcdefghij"), ("table", TABLE), ("equation_isolated", "x=1"))
    answer = f"abcdefghij\n\n{TABLE}"
    assert value("score", answer, everything) == 2 / 3
    assert value("score", answer, page(("text_block", "abcdefghij"))) == 1
    assert value("score", answer, page(("header", "abc"))) is None


def test_the_best_of_several_references_counts():
    score = METRICS["parsing_text"].score("abcd", ["abXd", "abcd"])
    assert score.value == 0


def test_a_page_equals_itself():
    text = f"# Über\n\nПервый абзац.\n\n{TABLE}\n\n$$x^2$$\n\n- one\n- two\n\n正文"
    for name in ("score", "tables", "tables_structure"):
        assert value(name, text, text) == 1
    for name in ("text", "blocks", "formulas", "order"):
        assert value(name, text, text) == 0


def test_every_text_of_the_reference_is_in_one_match():
    reference = "\n\n".join(f"text {n} and more" for n in range(9))
    pairs = compare_pages("text 3 and more\n\nno\n\ntext 5 and some", reference)
    numbers = [number for match in pairs.texts for number in match.expected]
    assert sorted(numbers) == list(range(9))


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        {},
        {"blocks": "x"},
        {"blocks": [3]},
        {"blocks": [{"category": ["x"], "text": "a"}]},
        {"blocks": [{"category": "figure", "text": "a"}]},
        {"blocks": [{"category": "table", "text": "a"}]},
        {"tests": [{"type": "present"}]},
        {"tests": [{"type": "order", "before": "ab", "after": "cd", "max_diffs": 2}]},
        {"tests": [{"type": "present", "text": "a", "max_diffs": -1}]},
        {"tests": [{"type": "present", "text": "a", "max_diffs": True}]},
        {"tests": [{"type": "present", "text": "a", "share": float("nan")}]},
    ],
)
def test_what_is_no_page_is_told_and_not_scored(wrong):
    assert page_problem(wrong)
    for name, metric in METRICS.items():
        if "markdown" in metric.answer_types:
            assert metric.score("a", [wrong]).value is None, name


def test_a_structured_page_is_shown_as_markdown():
    shown = markdown_of(page(("title", "T"), ("equation_isolated", "x"), ("table", TABLE)))
    assert shown == f"# T\n\n$$x$$\n\n{TABLE}"

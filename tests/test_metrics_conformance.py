"""The conformance runner, and every case of the project through it."""

import json
import random
import re
from pathlib import Path

import pytest
from anls_star import anls_score
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InvalidInput
from bench.metrics import METRICS
from bench.metrics.anls import anls_normalized
from bench.metrics.calibration import CORPUS_METRICS
from bench.metrics.metric import TOO_LARGE, TooLarge
from bench.metrics.structured import anls_star
from bench.metrics.tables import teds
from bench.metrics.trees import Costs, Node, tree_distance
from workshop.conformance import metrics as conformance

FOLDER = Path(__file__).parent / "conformance"
CASES = [
    pytest.param(path.stem, case, id=str(case["id"]))
    for path in sorted(FOLDER.glob("*.json"))
    for case in conformance.read_cases(path)
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_case_gives_what_the_reference_implementation_gives(name, case):
    check = conformance.find_check(name)
    assert check is not None
    assert conformance.check_case(name, case, check) is None


def write(folder, name, value):
    (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")


def test_the_last_line_counts_what_passed(tmp_path, capsys):
    write(tmp_path, "anls", [{"id": "a", "prediction": "x", "references": ["x"], "expected": 1}])
    assert conformance.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed"


def test_a_failure_is_one_line_with_file_case_and_both_values(tmp_path, capsys):
    write(
        tmp_path,
        "anls",
        [
            {"id": "wrong", "prediction": "x\n\x1b[31m", "references": ["y"], "expected": 1},
            {"id": "right", "prediction": "x", "references": ["x"], "expected": 1},
        ],
    )
    assert conformance.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "anls.json wrong: expected 1, got 0.0",
        "1 passed, 1 failed",
    ]


def test_a_file_that_nothing_checks_fails_all_its_cases(tmp_path, capsys):
    write(tmp_path, "bleu", [{"prediction": "x", "expected": 1}] * 3)
    assert conformance.main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "bleu.json" in out
    assert out.splitlines()[-1] == "0 passed, 3 failed"


def test_a_case_that_raises_is_a_failure(tmp_path, capsys):
    write(tmp_path, "vqa_normalize", [{"id": "odd", "prediction": 5, "expected": "5"}])
    assert conformance.main([str(tmp_path)]) == 1
    assert "vqa_normalize.json odd: raised AttributeError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("{}", "expected a list"),
        ('[{"prediction": 1}]', "case 1 lacks expected"),
        ("[1]", "case 1 lacks expected and prediction"),
        ("[" * 100_000, "not a JSON file"),
    ],
)
def test_a_malformed_file_is_one_line_and_exit_code_2(tmp_path, capsys, content, message):
    (tmp_path / "anls.json").write_text(content, encoding="utf-8")
    assert conformance.main([str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert message in errors[0]


def test_a_missing_or_empty_directory_is_exit_code_2(tmp_path, capsys):
    assert conformance.main([str(tmp_path / "nowhere")]) == 2
    assert conformance.main([str(tmp_path)]) == 2
    assert "no case files" in capsys.readouterr().err


def test_a_directory_is_checked_without_printing(tmp_path):
    write(tmp_path, "squad_em", [{"prediction": "The cat", "references": ["cat"], "expected": 1.0}])
    assert conformance.check_directory(tmp_path) == (1, 0, ())
    with pytest.raises(InvalidInput):
        conformance.check_directory(tmp_path / "squad_em.json")


@pytest.mark.parametrize(
    ("expected", "got", "agree"),
    [
        (1, 1.0, True),
        (0.5, 0.5 + 1e-7, False),
        (None, float("nan"), True),
        (None, 0.0, False),
        (0.0, None, False),
        ({"a": 1, "b": None}, {"a": 1.0, "b": None, "c": 3}, True),
        ({"a": 1}, {}, False),
        ([1, 2], (1.0, 2.0), True),
        ([1, 2], [1.0], False),
        ("x", "x", True),
        ("1", 1.0, False),
        (True, 1.0, True),
    ],
)
def test_values_agree_up_to_the_tolerance(expected, got, agree):
    assert conformance.agrees(expected, got, 1e-9) is agree


leaves = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.text("ab c", max_size=5))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=15,
)


@settings(deadline=None, max_examples=400)
@given(reference=values, prediction=values)
def test_anls_star_is_the_packages(reference, prediction):
    assert anls_star(prediction, (reference,)) == pytest.approx(
        anls_score((reference,), prediction)
    )


BLANKS_AND_LETTERS = st.text("abA ß\n\u00a0", max_size=8)


@settings(deadline=None)
@given(BLANKS_AND_LETTERS, st.lists(BLANKS_AND_LETTERS, min_size=1, max_size=3))
def test_anls_with_normalised_length_is_anls_star_on_alternatives(prediction, references):
    ours = anls_normalized(prediction, references)
    assert ours == pytest.approx(anls_score(tuple(references), prediction))


def test_the_guide_says_of_every_metric_what_it_was_compared_with(pytestconfig):
    guide = (pytestconfig.rootpath / "docs" / "metrics.md").read_text(encoding="utf-8")
    said = guide.split("## How it is checked")[1].split("`make conformance`")[0]
    names = re.findall(r"`(\w+)`", said)
    assert sorted(names) == sorted([*METRICS, *CORPUS_METRICS])
    assert "28 of the 39" in said
    by_cases = re.findall(r"`(\w+)`", said.split("- 23 are")[1].split("- 3 are")[0])
    own = re.findall(r"`(\w+)`", said.split("The other 11")[1])
    assert (len(names), len(by_cases), len(own)) == (39, 23, 11)


def test_the_fast_matching_of_long_lists_is_the_packages():
    generator = random.Random(5)

    def row():
        return {key: "".join(generator.choices("ab1", k=4)) for key in ("name", "price")}

    for _ in range(5):
        reference, prediction = [row() for _ in range(14)], [row() for _ in range(12)]
        assert anls_star(prediction, reference) == pytest.approx(anls_score(reference, prediction))


def test_ties_between_ragged_items_fall_as_in_the_package():
    generator = random.Random(6)

    def row():
        keys = generator.sample(("name", "price", "unit"), k=generator.randint(1, 3))
        return {key: generator.choice(("ab", "cd")) for key in keys}

    for _ in range(10):
        reference, prediction = [row() for _ in range(12)], [row() for _ in range(12)]
        assert anls_star(prediction, reference) == pytest.approx(anls_score(reference, prediction))


def test_lists_beyond_the_cap_are_too_large_to_score(monkeypatch):
    items = [str(i) for i in range(20)]
    fields = {"a": items, "b": [*items, "x"]}
    other = {"a": items, "b": items}
    assert METRICS["anls_star"].score(other, [fields]).value == pytest.approx(40 / 41)
    monkeypatch.setattr("bench.metrics.structured.MAX_LEAF_PAIRS", 500)
    assert METRICS["anls_star"].score(other, [fields]) == TOO_LARGE


trees = st.recursive(
    st.builds(Node, st.sampled_from("abc")),
    lambda inner: st.builds(Node, st.sampled_from("abc"), st.lists(inner, max_size=4).map(tuple)),
    max_leaves=14,
)


def unit_costs(first, second):
    import numpy as np

    rename = np.array([[float(a != b) for b in second] for a in first])
    return Costs(np.ones(len(first)), np.ones(len(second)), rename)


@settings(deadline=None, max_examples=300)
@given(first=trees, second=trees)
def test_the_tree_distance_is_apteds(first, second):
    from apted import APTED, Config
    from apted.helpers import Tree

    class Unit(Config):
        def rename(self, node1, node2):
            return int(node1.name != node2.name)

    def convert(node):
        return Tree(node.label, *map(convert, node.children))

    expected = APTED(convert(first), convert(second), Unit()).compute_edit_distance()
    assert tree_distance(first, second, unit_costs) == expected


@settings(deadline=None, max_examples=100)
@given(first=trees, second=trees)
def test_the_tree_distance_is_symmetric_for_symmetric_costs(first, second):
    assert tree_distance(first, second, unit_costs) == tree_distance(second, first, unit_costs)


def test_trees_beyond_the_cap_are_too_large(monkeypatch):
    monkeypatch.setattr("bench.metrics.trees.MAX_NODE_PAIRS", 100)
    long = Node("r", tuple(Node("x") for _ in range(50)))
    assert tree_distance(long, Node("r"), unit_costs) == 50
    with pytest.raises(TooLarge):
        tree_distance(long, long, unit_costs)


def test_trees_that_need_too_many_operations_are_too_large(monkeypatch):
    monkeypatch.setattr("bench.metrics.trees.MAX_ROWS", 10)
    comb = Node("r")
    for _ in range(200):
        comb = Node("r", (Node("x"), comb))
    with pytest.raises(TooLarge):
        tree_distance(comb, comb, unit_costs)


def table(*rows):
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<html><body><table>{body}</table></body></html>"


def test_a_span_that_is_no_number_counts_as_one():
    odd = "<html><body><table><tr><td colspan='2px'>a</td></tr></table></body></html>"
    assert teds(odd, table(["a"])) == 1.0


def test_a_tag_inside_a_cell_is_one_token():
    assert teds(table(["<b>a</b>"]), table(["a"])) == pytest.approx(1 - (2 / 3) / 3)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\x00", "<!-- -->", "\ud800", "<html>", "<?xml version='1.0' encoding='x'?><a/>"],
)
def test_what_is_no_table_scores_nothing(text):
    assert teds(text, table(["a"])) == 0.0


def test_tables_of_very_different_shape_are_not_below_zero():
    chain = "<html><body><table>" + "<div>" * 20 + "</table></body></html>"
    flat = "<html><body><table>" + "<p></p>" * 20 + "</table></body></html>"
    assert teds(chain, flat) == 0.0

"""The metric table: what every row promises, for any text and any JSON value."""

import itertools
import math
import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.errors import InvalidInput
from bench.metrics import METRICS, get_metric, score_failed
from bench.metrics import anls as anls_module
from bench.metrics.calibration import CORPUS_METRICS, brier, ece, reliability_bins
from bench.metrics.edit import (
    EditCounts,
    character_edits,
    edit_counts,
    levenshtein,
    sum_edits,
    word_edits,
)
from bench.metrics.exact import exact_match
from bench.metrics.metric import MAX_CHARACTERS, MetricValue, as_json, as_text
from bench.metrics.ocrbench import ocrbench, ocrbench_v2_vqa
from bench.metrics.vqa import vqa_accuracy, vqa_normalize
from bench.parsing import MAX_VALUE_DEPTH
from workshop.conformance.metrics import check_directory, omnidocbench_averages

any_character = st.characters(exclude_categories=[])
any_text = st.text(any_character, max_size=40)
words = st.text("abcXYZ жЁШ12.,%'\n\t 中文", max_size=30)
texts = st.one_of(any_text, words)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), any_text),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(any_text, inner, max_size=4)
    ),
    max_leaves=12,
)

TEXT = sorted(name for name, m in METRICS.items() if "text" in m.answer_types)
JSON = sorted(name for name, m in METRICS.items() if "json" in m.answer_types)

# Where an answer equal to its only reference is not always the best: an edge that the source has too.
CASE_BLIND = {
    "anls",
    "anls_dude",
    "anls_mp_docvqa",
    "anls_normalized",
    "anls_star",
    "char_f1",
    "contains",
    "field_match",
    "fuzzy_ratio",
    "mtvqa",
    "ocrbench",
    "ocrbench_v2_vqa",
    "relaxed_accuracy",
    "squad_em",
    "squad_f1",
    "vqa_accuracy",
}
BLANK_BLIND = {
    "anls_normalized",
    "anls_star",
    "char_f1",
    "contains",
    "field_match",
    "fuzzy_ratio",
    "squad_em",
    "squad_f1",
    "vqa_accuracy",
}


def is_best(name: str, value: float) -> bool:
    return value == pytest.approx(1.0 if METRICS[name].direction == "higher" else 0.0)


def check_bounds(name: str, found: MetricValue) -> None:
    low, high = METRICS[name].range
    assert found.weight >= 0
    assert found.value is None or low <= found.value <= high


@pytest.mark.parametrize("name", METRICS)
def test_a_row_is_named_by_its_key_and_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.title
    assert metric.source
    assert metric.variant
    assert metric.answer_types
    assert "\n" not in metric.definition


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=40)
@given(prediction=texts, references=st.lists(texts, min_size=1, max_size=3))
def test_any_text_gives_a_value_in_range(name, prediction, references):
    check_bounds(name, METRICS[name].score(prediction, references))


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=40)
@given(prediction=json_values, references=st.lists(json_values, min_size=1, max_size=2))
def test_any_json_gives_a_value_in_range(name, prediction, references):
    check_bounds(name, METRICS[name].score(prediction, references))


@pytest.mark.parametrize("name", TEXT)
@settings(deadline=None, max_examples=60)
@given(text=texts)
@example(text="")
@example(text="Итого: 1 234,56 ₽")
@example(text="none")
@example(text="inf")
@example(text="the")
@example(text="<b>no table</b>")
def test_an_answer_equal_to_its_reference_is_best(name, text):
    value = METRICS[name].score(text, [text]).value
    assert value is None or is_best(name, value)


@pytest.mark.parametrize(
    "name",
    [
        "anls_star",
        "kie_f1",
        "ted_accuracy",
        "field_match",
        "value_f1",
        "object_match",
        "extractbench_f1",
    ],
)
@settings(deadline=None, max_examples=60)
@given(fields=st.dictionaries(words, st.one_of(words, st.lists(words, max_size=3)), max_size=4))
def test_json_equal_to_its_reference_is_best(name, fields):
    value = METRICS[name].score(fields, [fields]).value
    assert value is None or is_best(name, value)


def test_equal_annotators_are_matched_fully():
    assert vqa_accuracy("Nokia", ["nokia"] * 10) == 1.0


def test_an_html_table_equals_itself():
    html = "<html><body><table><tr><td>a</td></tr></table></body></html>"
    assert METRICS["teds"].score(html, [html]).value == 1.0


def test_tags_equal_to_themselves_are_best():
    assert METRICS["entity_f1"].score(["B-A", "I-A", "O"], [["B-A", "I-A", "O"]]).value == 1.0


@pytest.mark.parametrize("name", TEXT)
@settings(deadline=None, max_examples=40)
@given(prediction=words, references=st.lists(words, min_size=2, max_size=4))
def test_the_order_of_references_is_irrelevant(name, prediction, references):
    score = METRICS[name].score
    assert score(prediction, references) == pytest.approx(
        score(prediction, references[::-1]), nan_ok=True
    )


@pytest.mark.parametrize("name", JSON)
@settings(deadline=None, max_examples=40)
@given(prediction=json_values, references=st.lists(json_values, min_size=2, max_size=3))
def test_the_order_of_json_references_is_irrelevant(name, prediction, references):
    score = METRICS[name].score
    assert score(prediction, references) == pytest.approx(score(prediction, references[::-1]))


@pytest.mark.parametrize("name", sorted(CASE_BLIND))
@settings(deadline=None, max_examples=60)
@given(text=st.text("abc жёя 12", max_size=20), reference=st.text("abc жёя 12", max_size=20))
def test_case_is_irrelevant_where_claimed(name, text, reference):
    score = METRICS[name].score
    assert score(text.upper(), [reference]) == score(text, [reference])


@pytest.mark.parametrize("name", sorted(set(TEXT) - CASE_BLIND - {"teds", "teds_structure"}))
def test_case_counts_where_nothing_else_is_claimed(name):
    assert not is_best(name, METRICS[name].score("Abc", ["abc"]).value)


@pytest.mark.parametrize("name", sorted(BLANK_BLIND))
@settings(deadline=None, max_examples=60)
@given(
    tokens=st.lists(st.text("abжё12", min_size=1, max_size=5), max_size=4),
    blank=st.sampled_from(["  ", "\t", "\n", "\u00a0", " \n "]),
    reference=st.text("abжё 12", max_size=15),
)
def test_white_space_is_irrelevant_where_claimed(name, tokens, blank, reference):
    score = METRICS[name].score
    spaced = f" {blank.join(tokens)}\n"
    assert score(spaced, [reference]) == score(" ".join(tokens), [reference])


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("anls", "a by"),
        ("cer", "a bx"),
        ("exact_match", "a bx"),
        ("normalized_edit_distance", "a bx"),
    ],
)
def test_inner_blanks_count_where_nothing_else_is_claimed(name, reference):
    score = METRICS[name].score
    assert score("a  bx", [reference]) != score("a bx", [reference])


def test_an_unknown_metric_is_refused_with_the_nearest_names():
    with pytest.raises(InvalidInput, match="there is no metric 'anls_nomralized'") as raised:
        get_metric("anls_nomralized")
    assert "anls_normalized" in str(raised.value.hint)


def test_a_known_metric_is_found():
    assert get_metric("anls") is METRICS["anls"]


def test_a_metric_without_references_scores_nothing():
    assert {m.score("x", []).value for m in METRICS.values()} == {None}


@pytest.mark.parametrize("name", METRICS)
def test_a_failed_output_counts_as_the_worst_value(name):
    reference = {"a": "b"} if "text" not in METRICS[name].answer_types else "two words"
    if name == "entity_f1":
        reference = ["B-A", "O"]
    if name in {"page_accuracy", "sequence_match", "kendall_tau", "spearman_rho"}:
        reference = "2,1,3"
    if name == "null_accuracy":
        reference = {"a": None}
    if name.startswith("parsing_"):
        reference = "Two words\n\n| a | b |\n|---|---|\n\n$$x = 1$$"
    if name.startswith("olmocr_"):
        kind = name.removeprefix("olmocr_").replace("bench", "present")
        reference = {
            "tests": [{"type": kind, **dict.fromkeys(("text", "before", "after", "cell"), "a")}]
        }
    found = score_failed(METRICS[name], [reference])
    assert found.value == (0.0 if METRICS[name].direction == "higher" else 1.0)


def test_a_failed_output_is_wrong_even_where_nothing_is_the_answer():
    assert METRICS["anls"].score("", [""]).value == 1.0
    assert score_failed(METRICS["anls"], [""]).value == 0.0


def test_a_failed_output_misses_every_character_of_the_reference():
    assert score_failed(METRICS["cer"], ["abcd"]) == (1.0, 4.0)


def test_an_empty_reference_leaves_error_rates_unscored():
    assert METRICS["cer"].score("abc", [""]).value is None
    assert METRICS["wer"].score("abc", ["  "]).value is None
    assert score_failed(METRICS["cer"], [""]).value is None


def test_weighted_error_rates_add_up_to_the_corpus_rate():
    pairs = [("abcx", "abcd"), ("zz", "abcdefgh")]
    found = [METRICS["cer"].score(p, [r]) for p, r in pairs]
    total = sum(v.value * v.weight for v in found) / sum(v.weight for v in found)
    assert total == pytest.approx((1 + 8) / (4 + 8))


def test_weighted_field_f1_adds_up_to_the_micro_f1():
    pairs = [({"a": "1"}, {"a": "1", "b": "2"}), ({"a": "x", "c": "y"}, {"a": "1"})]
    found = [METRICS["kie_f1"].score(p, [r]) for p, r in pairs]
    total = sum(v.value * v.weight for v in found) / sum(v.weight for v in found)
    assert total == pytest.approx(2 * 1 / (1 + 2 + 2 + 1))


@pytest.mark.parametrize("name", sorted({"kie_f1", "ted_accuracy", "kie_f1_ocrbench_v2"}))
def test_unparseable_json_is_the_worst_answer(name):
    assert METRICS[name].score("{no json", [{"a": "b"}]).value == 0.0


def test_json_text_is_parsed():
    assert METRICS["anls_star"].score('{"a": "b"}', [{"a": "b"}]).value == 1.0


def test_a_json_looking_text_stays_text_where_the_reference_is_text():
    assert METRICS["anls_star"].score("007", ["007"]).value == 1.0


# HTML has a cap of its own.
@pytest.mark.parametrize("name", [name for name in METRICS if "teds" not in name])
def test_text_beyond_the_cap_is_not_looked_at(name):
    reference = "ab" * (MAX_CHARACTERS // 2)
    score = METRICS[name].score
    assert score(reference + "zzz", [reference]) == score(reference, [reference])


def test_text_of_another_json_type_is_its_json():
    assert as_text({"a": [1, True, None]}) == '{"a": [1, true, null]}'
    assert as_text(None) == ""


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 5_000 + "1" + "}" * 5_000, "9" * 5_000, "{"]
)
def test_json_that_cannot_be_read_is_a_value_error(text):
    with pytest.raises(ValueError, match=r".+"):
        as_json(text)


def test_json_up_to_the_depth_cap_is_read():
    value = 1
    for _ in range(MAX_VALUE_DEPTH):
        value = [value]
    assert as_json(value) == value
    with pytest.raises(ValueError, match="deeper"):
        as_json([value])


@pytest.mark.parametrize("name", JSON)
def test_deeply_nested_values_are_no_exception(name):
    value = {}
    for _ in range(3_000):
        value = {"a": value}
    check_bounds(name, METRICS[name].score(value, [{"a": "b"}]))
    check_bounds(name, METRICS[name].score({"a": "b"}, [value]))


def test_exact_half_similarity_is_kept():
    assert anls_module.anls("ab", ["ac"]) == 0.5


def test_the_official_length_counts_outer_blanks():
    assert anls_module.anls("  hello wrld  ", ["hello world"]) == pytest.approx(1 - 1 / 14)


@pytest.mark.parametrize("answer", ["", "none", "None "])
def test_mp_docvqa_gives_nothing_for_no_answer(answer):
    assert anls_module.anls_mp_docvqa(answer, [answer]) == 0.0


def test_dude_matches_a_list_answer_in_any_order():
    assert METRICS["anls_dude"].score('["b1", "a1"]', [["a1", "b1"]]).value == 1.0


def test_dude_counts_surplus_items():
    assert anls_module.anls_dude(["Apple", "Apple"], ["Apple"], answer_type="list/x") == 0.5


def test_exact_match_can_ignore_what_its_options_name():
    options = {"ignore_case": True, "ignore_punctuation": True, "ignore_numbers": True}
    assert exact_match("Agent!", ["agent007"]) == 0.0
    assert exact_match("Agent!", ["agent007"], **options) == 1.0
    assert exact_match("the cat", ["cat"], regexes_to_ignore=["the "]) == 1.0


def test_three_of_ten_annotators_are_worth_nine_tenths():
    assert vqa_accuracy("a b", ["a b"] * 3 + ["c"] * 7) == pytest.approx(0.9)


@settings(deadline=None, max_examples=200)
@given(text=any_text)
def test_the_vqa_normal_form_has_no_outer_blank(text):
    found = vqa_normalize(text)
    assert found == found.strip()


def test_ocrbench_formulas_keep_case_and_drop_blanks():
    assert ocrbench("x = 1", ["x=1"], dataset="HME100k") == 1.0
    assert ocrbench("X = 1", ["x=1"], dataset="HME100k") == 0.0


def test_chinese_rule_of_ocrbench_v2_counts_commas():
    assert ocrbench_v2_vqa("共计 北京 市", ["北京市"], language="cn") == 1.0
    assert ocrbench_v2_vqa("甲,乙,丙,戊", ["甲,乙,丙,丁"], language="cn") == pytest.approx(6 / 7)


def test_the_three_averages_of_omnidocbench_are_three_numbers():
    averages = omnidocbench_averages([["ab", "x"], ["a"], [""]], [["ab", "yyyy"], ["b"], [""]])
    assert averages["ALL_page_avg"] == pytest.approx(((4 / 6) + 1) / 2)
    assert averages["edit_whole"] == pytest.approx(5 / 7)
    assert averages["edit_sample_avg"] == pytest.approx(2 / 3)
    assert set(omnidocbench_averages([], []).values()) == {None}


def words_of(text):
    return [word for word in re.sub(r"\s\s+", " ", text).strip().split(" ") if word]


@settings(deadline=None, max_examples=300)
@given(texts, texts)
def test_the_edits_that_jiwer_counts_are_the_distance_of_rapidfuzz(prediction, reference):
    characters, words = character_edits(prediction, reference), word_edits(prediction, reference)
    assert characters.edits == levenshtein(reference.strip(), prediction.strip())
    assert characters.length == len(reference.strip())
    assert words.edits == levenshtein(words_of(reference), words_of(prediction))
    assert words.length == len(words_of(reference))


@settings(deadline=None, max_examples=100)
@given(texts, st.lists(texts, max_size=4), st.sampled_from(["cer", "wer"]))
def test_the_counts_of_an_answer_are_those_of_its_rate(prediction, references, metric):
    counts = edit_counts(metric, prediction, references)
    value, weight = METRICS[metric].score(prediction, references)
    if counts is None:
        assert value is None
    else:
        assert (value, weight) == (counts.rate, counts.length)


def test_every_kind_of_edit_is_counted():
    assert character_edits("abXde!", "abcdef") == EditCounts(4, 2, 0, 0)
    assert character_edits("abc", "abcd") == EditCounts(3, 0, 1, 0)
    assert word_edits("to be or not", "be or not") == EditCounts(3, 0, 0, 1)
    assert edit_counts("wer", "one two", ["", "one two three", "one two"]) == EditCounts(2, 0, 0, 0)
    assert edit_counts("cer", "x", [""]) is None


def test_the_counts_of_a_corpus_add_up():
    total = sum_edits([EditCounts(1, 2, 3, 4), EditCounts(10, 20, 30, 40)])
    assert total == EditCounts(11, 22, 33, 44)
    assert total.rate == 99 / 66
    assert sum_edits([]).rate == 0


def test_a_perfectly_calibrated_model_has_no_calibration_error():
    assert ece([0.5] * 10, [1, 0] * 5) == 0.0
    assert brier([1.0, 0.0], [1, 0]) == 0.0


def test_calibration_without_samples_is_none():
    assert {m.compute([], []) for m in CORPUS_METRICS.values()} == {None}


def test_certainty_falls_into_a_bin_of_its_own():
    found = reliability_bins([1.0, 0.95], [1, 0], bins=10)
    assert [(b.samples, b.accuracy) for b in found] == [(1, 0.0), (1, 1.0)]


@pytest.mark.parametrize(
    ("confidences", "correct", "message"),
    [
        ([0.5], [1, 0], "one verdict for each confidence"),
        ([1.5], [1], "between 0 and 1"),
        ([math.nan], [1], "0"),
    ],
)
def test_impossible_confidences_are_refused(confidences, correct, message):
    for metric in CORPUS_METRICS.values():
        with pytest.raises(InvalidInput, match=message):
            metric.compute(confidences, correct)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_calibration_errors_stay_in_range(pairs):
    confidences, correct = [p for p, _ in pairs], [float(y) for _, y in pairs]
    assert 0 <= ece(confidences, correct) <= 1
    assert 0 <= brier(confidences, correct) <= 1


def test_importing_the_metrics_loads_no_library():
    code = (
        "import sys, bench.metrics; heavy = {'numpy', 'scipy', 'lxml', 'rapidfuzz', 'jiwer', 'anls_star'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_family_of_definitions_has_cases(pytestconfig):
    folder = pytestconfig.rootpath / "tests" / "conformance"
    assert check_directory(folder).failed == 0


@pytest.mark.parametrize(
    "row", [*METRICS.values(), *CORPUS_METRICS.values()], ids=lambda row: row.name
)
def test_the_guide_repeats_the_table(row, pytestconfig):
    guide = (pytestconfig.rootpath / "docs" / "metrics.md").read_text(encoding="utf-8")
    line = next(line for line in guide.splitlines() if line.startswith(f"| `{row.name}` |"))
    told = line.replace("\\|", "|").replace("&lt;", "<")
    assert all(words in told for words in (row.direction, row.definition, row.variant, row.source))


def test_names_are_unique_over_both_tables():
    names = [*METRICS, *CORPUS_METRICS]
    assert len(names) == len(set(names))
    assert all(a != b for a, b in itertools.pairwise(sorted(names)))

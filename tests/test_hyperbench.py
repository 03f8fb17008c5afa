"""VLMHyperBench data sets, bundles of pages and exports, untouched, from the documented formats."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest
from click.testing import CliRunner
from scipy.stats import kendalltau, spearmanr

from bench.cli import cli
from bench.errors import InvalidInput
from bench.metrics import METRICS
from bench.metrics.ordering import MISSING, class_scores, confusion, sequence
from bench.store import find_runs
from bench.tasks import check_task, find_task, load_task
from bench.tasks.hyperbench import read_answers
from tests.hyperbench_fixture import HEADER, ROWS, make_bundles, make_vqa, write_lines


def bench(*arguments: str) -> str:
    result = CliRunner().invoke(cli, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


# annotation.csv


def test_a_row_of_annotation_csv_is_a_sample_named_by_its_number(tmp_path: Path) -> None:
    task = load_task(find_task(str(make_vqa(tmp_path / "demo_mini"))))
    assert [sample.id for sample in task.samples] == ["0", "1", "2", "3", "4"]
    first = task.samples[0]
    assert first.question == "Напиши Серия и номер паспорта"
    assert first.references == ("4 505 679 944",)
    assert task.name == "demo_mini"


def test_the_image_is_the_document_and_classes_become_metadata(tmp_path: Path) -> None:
    task = load_task(make_vqa(tmp_path / "demo_mini"))
    assert len(task.documents) == 3
    assert task.samples[0].document_id == task.samples[1].document_id
    assert task.samples[1].metadata == {
        "data_index": "1",
        "split": "test_clean",
        "doc_type": "passport",
        "field": "Фамилия",
        "bbox": "[780, 110, 1060, 170]",
    }


def test_questions_are_asked_as_they_stand(tmp_path: Path) -> None:
    task = load_task(make_vqa(tmp_path / "demo_mini"))
    assert task.prompt.render(task.samples[1].question) == "Напиши Фамилия"


def test_a_row_without_an_answer_expects_an_empty_one_and_is_told(tmp_path: Path) -> None:
    notes: list = []
    task, _ = check_task(make_vqa(tmp_path / "demo_mini"), notes=notes)
    assert task is not None
    assert task.samples[4].references == ("",)
    assert "1 row has no answer" in str(notes[0])


def test_a_list_of_answers_is_several_references_and_other_brackets_are_text(
    tmp_path: Path,
) -> None:
    rows = (
        "1;test;images/1.jpg;Q;['а', 'б'];passport;Фамилия;",
        "1;test;images/1.jpg;Q;[не список;passport;Имя;",
    )
    task = load_task(make_vqa(tmp_path / "d", rows))
    assert [sample.references for sample in task.samples] == [("а", "б"), ("[не список",)]


def test_windows_paths_and_bare_names_are_found_under_images(tmp_path: Path) -> None:
    rows = (
        "1;test;images\\1.jpg;Q;a;passport;Имя;",
        "2;test;2.jpg;Q;a;passport;Имя;",
    )
    task = load_task(make_vqa(tmp_path / "d", rows))
    assert sorted(task.documents) == ["images/1.jpg", "images/2.jpg"]


def test_every_problem_of_an_annotation_is_named_in_one_pass(tmp_path: Path) -> None:
    rows = (
        "1;test;images/nowhere.jpg;Q;a;passport;Имя;",
        "1;test;images/1.jpg;;a;passport;Имя;",
        "1;test;;Q;a;passport;Имя;",
        "1;test;../../etc/passwd;Q;a;passport;Имя;",
        "1;test;images/1.jpg;Q",
    )
    task, problems = check_task(make_vqa(tmp_path / "d", rows))
    assert task is None
    assert [problem.line for problem in problems] == [2, 3, 4, 5, 6]
    assert "leaves the folder" in problems[3].message


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = make_vqa(tmp_path / "d")
    write_lines(folder / "annotation.csv", (HEADER.replace("image_path", "image_pth"), *ROWS))
    _, problems = check_task(folder)
    assert "no column 'image_path'; did you mean image_pth?" in problems[0].message


def test_an_untouched_data_set_runs(tmp_path: Path) -> None:
    folder = make_vqa(tmp_path / "demo_mini")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    Path("bench.toml").write_text('[models.m]\nmodel = "fake"\n', encoding="utf-8")
    bench("run", "-t", str(folder), "-m", "ocr", "--latency-samples", "0", "--no-warmup")
    run = find_runs(Path("results"))[0]
    assert len(run.outputs("ocr", "demo_mini")) == 5
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


# Bundles


def test_a_bundle_asks_for_the_class_of_every_page(tmp_path: Path) -> None:
    task = load_task(find_task(str(make_bundles(tmp_path / "rpo"))))
    assert [sample.references for sample in task.samples] == [("4,5,6,5",), ("3,3,3",)]
    assert task.samples[0].question.startswith("Количество поданных страниц документов - 4.\n")
    assert "5 - invoice" in task.samples[0].question
    assert task.metrics[0] == "page_accuracy"


def test_sorting_shows_the_pages_of_one_class_and_expects_their_order(tmp_path: Path) -> None:
    make_bundles(tmp_path / "rpo")
    task = load_task(find_task(str(tmp_path / "rpo" / "RPOSorting")))
    assert {sample.id: sample.references[0] for sample in task.samples} == {
        "0/invoice": "2,1",
        "1/agreement": "3,1,2",
    }
    pages = task.documents[task.samples[0].document_id].pages
    assert [page.path.name for page in pages] == ["1.jpg", "3.jpg"]


def test_pages_are_ordered_by_number_not_by_letters(tmp_path: Path) -> None:
    folder = make_bundles(tmp_path / "rpo")
    fields = {"agreement": list(range(11))}
    (folder / "jsons" / "1.json").write_text(json.dumps({"fields": fields}), encoding="utf-8")
    from tests.hyperbench_fixture import write_page

    for page in range(11):
        write_page(folder / "images" / "1" / f"{page}.jpg", page)
    task = load_task(folder)
    names = [page.path.name for page in task.documents[task.samples[1].document_id].pages]
    assert names[-2:] == ["9.jpg", "10.jpg"]


@pytest.mark.parametrize(
    "classes",
    [
        ["agreement", "snils", "invoice", "passport"],
        {"1": "agreement", "2": "snils", "3": "invoice", "4": "passport"},
        {"agreement": 1, "snils": 2, "invoice": 3, "passport": 4},
    ],
)
def test_classes_json_may_be_a_list_or_either_mapping(tmp_path: Path, classes: object) -> None:
    folder = make_bundles(tmp_path / "rpo")
    (folder / "classes.json").write_text(json.dumps(classes), encoding="utf-8")
    assert load_task(folder).samples[0].references == ("2,3,4,3",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ('{"fields": {"agreement": [0, 1, 3]}}', "page 3 of 3: pages are counted from 0"),
        ('{"fields": {"agreement": [0, 1, 1]}}', "page 1 stands twice"),
        ('{"fields": {"agreement": [0, 1]}}', "page 2 (images/1/2.jpg) has no class"),
        ('{"fields": {"unknown": [0, 1, 2]}}', "class 'unknown' is not in classes.json"),
        ('{"fields": {"agreement": "012"}}', "expected a list of page numbers"),
        ("[1, 2]", 'expected {"fields"'),
        ("{", "not JSON"),
    ],
)
def test_what_is_wrong_in_a_bundle_is_told_with_its_file(
    tmp_path: Path, fields: str, message: str
) -> None:
    folder = make_bundles(tmp_path / "rpo")
    (folder / "jsons" / "1.json").write_text(fields, encoding="utf-8")
    _, problems = check_task(folder)
    assert len(problems) == 1
    assert problems[0].file.endswith("jsons/1.json")
    assert message in problems[0].message


def test_a_bundle_without_json_is_left_out_and_told(tmp_path: Path) -> None:
    folder = make_bundles(tmp_path / "rpo")
    (folder / "jsons" / "1.json").unlink()
    notes: list = []
    task, _ = check_task(folder, notes=notes)
    assert task is not None
    assert len(task.samples) == 1
    assert "1 bundle has no file in jsons" in str(notes[0])


# Metrics of sequences


@pytest.mark.parametrize(
    "text", ["2,2,5", "[2, 2, 5]", "225", "2 2 5", '{"ordered_pages": [2,2,5]}']
)
def test_a_sequence_is_read_however_it_is_written(text: str) -> None:
    assert sequence(text, 3) == (2, 2, 5)


def test_correlations_of_all_orders_of_four_pages_are_scipys() -> None:
    right = [3, 1, 4, 2]
    for said in permutations(right):
        answer, reference = ",".join(map(str, said)), ",".join(map(str, right))
        places = [right.index(page) for page in said]
        tau = METRICS["kendall_tau"].score(answer, [reference]).value
        rho = METRICS["spearman_rho"].score(answer, [reference]).value
        assert tau == pytest.approx(kendalltau(range(4), places).statistic)
        assert rho == pytest.approx(spearmanr(range(4), places).statistic)


@pytest.mark.parametrize("answer", ["", "1,2", "1,1,2", "1,2,3,4", "нет"])
def test_an_answer_that_is_no_order_of_the_pages_is_worth_nothing(answer: str) -> None:
    assert METRICS["kendall_tau"].score(answer, ["3,1,2"]).value == 0.0


def test_page_accuracy_weighs_bundles_by_their_pages() -> None:
    score = METRICS["page_accuracy"].score
    assert score("2,2,5,5", ["2,2,5,3"]) == (0.75, 4.0)
    assert score("2,2", ["2,2,5,3"]) == (0.5, 4.0)
    assert score("2,2,5,3,1,1,1,1", ["2,2,5,3"]) == (0.5, 4.0)


def test_an_order_of_one_page_is_not_scored() -> None:
    assert METRICS["kendall_tau"].score("1", ["1"]).value is None


def test_the_confusion_matrix_counts_pages_and_keeps_the_missing_ones() -> None:
    counts = confusion([("2,2,5", "2,5,5"), ("5,3", "5")])
    assert counts == {("2", "2"): 1, ("2", "5"): 1, ("5", "5"): 2, ("3", MISSING): 1}
    by_label = {score.label: score for score in class_scores(counts)}
    assert by_label["5"].precision == pytest.approx(2 / 3)
    assert by_label["5"].recall == 1.0
    assert by_label["3"].precision is None


# Answers files


def test_answers_are_read_by_id(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", ("id;model_answer", "0;Иванов", "1;", "2;'=1+1"))
    assert read_answers(path) == {"0": "Иванов", "1": "", "2": "=1+1"}


def test_an_answer_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", ("id;model_answer", "0;a", "0;b"))
    with pytest.raises(InvalidInput, match=r"a\.csv:3: id '0' stands twice"):
        read_answers(path)

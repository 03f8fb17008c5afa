"""VLMHyperBench data sets, bundles of pages and exports, untouched, from the documented formats."""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import pytest
from click.testing import CliRunner
from scipy.stats import kendalltau, spearmanr

from bench.cli import cli
from bench.errors import EnvironmentProblem, InvalidInput
from bench.metrics import METRICS
from bench.metrics.ordering import MISSING, class_scores, confusion, sequence
from bench.rundir.listing import find_runs
from bench.scoring.evaluation import evaluate
from bench.tasks import check_task, find_task, load_task
from bench.tasks.hyperbench.annotation import read_answers
from bench.tasks.hyperbench.config import read_user_config
from bench.tasks.hyperbench.layout import find_layout
from tests.hyperbench_fixture import (
    COLLECTION,
    HEADER,
    ROWS,
    make_bundles,
    make_vqa,
    write_lines,
    write_page,
)


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
    checked = check_task(make_vqa(tmp_path / "demo_mini"))
    assert checked.task is not None
    assert checked.task.samples[4].references == ("",)
    assert "1 row has no answer" in str(checked.notes[0])


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
    checked = check_task(make_vqa(tmp_path / "d", rows))
    assert checked.task is None
    assert [problem.line for problem in checked.problems] == [2, 3, 4, 5, 6]
    assert "leaves the folder" in checked.problems[3].message


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = make_vqa(tmp_path / "d")
    write_lines(folder / "annotation.csv", (HEADER.replace("image_path", "image_pth"), *ROWS))
    problems = check_task(folder).problems
    assert "no column 'image_path'; did you mean image_pth?" in problems[0].message


def test_an_untouched_data_set_runs(tmp_path: Path) -> None:
    folder = make_vqa(tmp_path / "demo_mini")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
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
        (
            '{"fields": {"agreement": [0, 1, 3]}}',
            "there is no page 3 among 3 pages: pages are counted from 0",
        ),
        ('{"fields": {"agreement": [0, 1, 1]}}', "page 1 is listed twice"),
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
    problems = check_task(folder).problems
    assert len(problems) == 1
    assert problems[0].file.endswith("jsons/1.json")
    assert message in problems[0].message


def test_a_bundle_without_json_is_left_out_and_told(tmp_path: Path) -> None:
    folder = make_bundles(tmp_path / "rpo")
    (folder / "jsons" / "1.json").unlink()
    checked = check_task(folder)
    assert checked.task is not None
    assert len(checked.task.samples) == 1
    assert "1 bundle has no file in jsons and is left out" in str(checked.notes[0])


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
    with pytest.raises(
        InvalidInput, match=r"a\.csv:3: the id '0' appears here for the second time"
    ):
        read_answers(path)


# user_config.csv

CONFIG = (
    "dataset;task;framework;model_name;system_prompt;prompt_collection;metrics;"
    "only_evaluate_metrics;metrics_aggregators;filter_doc_class;filter_question_type"
)
ALL = "['by_id', 'by_doc_question', 'by_doc_type', 'general']"
FAKES = """
[models.Qwen2-VL-2B-Instruct]
model = "fake"
options = { default = "Иванов" }

[models.Qwen2-VL-7B-Instruct]
model = "fake"
options = { default = "=1+1" }
"""


def make_installation(root: Path, *rows: str) -> Path:
    """A VLMHyperBench folder with two data sets, a prompt collection and models that are fakes."""
    data = root / "vlmhyperbench" / "data_dirs"
    make_vqa(data / "Datasets" / "VQA" / "demo_mini")
    make_vqa(data / "Datasets" / "VQA" / "other")
    make_bundles(data / "Datasets" / "rpo" / "small")
    write_lines(data / "PromptCollections" / "VQA" / "demo_mini" / "best.csv", COLLECTION)
    (root / "bench.toml").write_text(FAKES, encoding="utf-8")
    return write_lines(root / "user_config.csv", (CONFIG, *rows))


def run_config(config: Path, *more: str) -> list:
    bench("run", "--config", str(config), "--latency-samples", "0", "--no-warmup", *more)
    return find_runs(Path("results"))


def test_rows_of_models_and_data_sets_become_one_run(tmp_path: Path) -> None:
    rows = [
        f"{d};VQA;Hugging Face;Qwen2-VL-{m}-Instruct;;;['CER'];False;{ALL};;"
        for d in ("demo_mini", "other")
        for m in ("2B", "7B")
    ]
    runs = run_config(make_installation(tmp_path, *rows))
    assert len(runs) == 1
    assert runs[0].model_names() == ["Qwen2-VL-2B-Instruct", "Qwen2-VL-7B-Instruct"]
    assert runs[0].task_names() == ["demo_mini", "other"]
    assert runs[0].load_task("other").metrics[0] == "cer"


def test_a_filter_holds_alone_and_makes_a_run_of_its_own(tmp_path: Path) -> None:
    rows = (
        f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;['CER'];False;{ALL};passport;",
        f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;['CER'];False;{ALL};;Фамилия",
        f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;['CER'];False;{ALL};;",
    )
    runs = run_config(make_installation(tmp_path, *rows))
    sizes = sorted(len(run.load_task("demo_mini").samples) for run in runs)
    assert sizes == [2, 3, 5]


def test_a_config_that_was_broken_off_keeps_the_runs_that_are_complete(tmp_path: Path) -> None:
    row = f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;['CER'];False;{ALL};{{}};"
    config = make_installation(tmp_path, row.format("passport"))
    (first,) = run_config(config)
    write_lines(config, (CONFIG, row.format("passport"), row.format("invoice")))
    runs = run_config(config)
    assert len(runs) == 2
    assert first.id in {run.id for run in runs}
    assert len(run_config(config)) == 4


def test_each_row_brings_its_own_prompts(tmp_path: Path) -> None:
    rows = (
        f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;demo_mini/best.csv;['CER'];False;{ALL};;",
        f"demo_mini;VQA;;Qwen2-VL-7B-Instruct;;;['CER'];False;{ALL};;",
    )
    (run,) = run_config(make_installation(tmp_path, *rows))
    texts = {(e["model"], e["text"]) for e in run.record["prompts"]}
    assert ("Qwen2-VL-2B-Instruct", "Напиши Фамилия. Пример: Куликов.") in texts
    assert {text for model, text in texts if "7B" in model} == {"{question}"}
    assert "chosen on the same documents" in run.record["warnings"][0]


def test_the_same_model_with_two_collections_is_two_runs(tmp_path: Path) -> None:
    row = f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;{{}};['CER'];False;{ALL};;"
    rows = (row.format("demo_mini/best.csv"), row.format(""))
    assert len(run_config(make_installation(tmp_path, *rows))) == 2


def test_a_row_that_only_evaluates_reads_the_newest_answers_and_asks_no_model(
    tmp_path: Path,
) -> None:
    row = f"demo_mini;VQA;;Nobody-1B;;;['CER'];True;{ALL};;"
    config = make_installation(tmp_path, row)
    answers = tmp_path / "vlmhyperbench" / "data_dirs" / "ModelsAnswers"
    name = "demo_mini_MODELFRAMEWORK_Nobody-1B_VQA_answers_2025{}_120000.csv"
    lines = ("id;model_answer", *(f"{i};старый" for i in range(5)))
    write_lines(answers / name.format("0101"), lines)
    write_lines(answers / name.format("0202"), tuple(x.replace("старый", "новый") for x in lines))
    (run,) = run_config(config)
    assert {o.text for o in run.outputs("Nobody-1B", "demo_mini").values()} == {"новый"}
    assert run.is_complete()


def test_runs_of_a_config_that_could_not_be_pushed_are_pushed_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setattr(type(memory), "store", {})
    config = make_installation(tmp_path, f"demo_mini;VQA;;Nobody-1B;;;['CER'];True;{ALL};;")
    answers = tmp_path / "vlmhyperbench" / "data_dirs" / "ModelsAnswers"
    name = "demo_mini_MODELFRAMEWORK_Nobody-1B_VQA_answers_20250101_120000.csv"
    write_lines(answers / name, ("id;model_answer", *(f"{i};ответ" for i in range(5))))

    def breaks(*_: object, **__: object) -> None:
        raise ConnectionError("the line is cut")

    with monkeypatch.context() as broken:
        broken.setattr(type(memory), "put_file", breaks)
        with pytest.raises(EnvironmentProblem, match="is finished, but it was not pushed"):
            run_config(config, "--out", "memory://runs")
    (run,) = run_config(config, "--out", "memory://runs")
    assert f"/runs/{run.path.name}/scores/summary.json" in memory.store


def test_a_row_that_only_evaluates_finds_the_answers_of_an_earlier_run(tmp_path: Path) -> None:
    row = f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;['CER'];{{}};{ALL};;"
    config = make_installation(tmp_path, row.format("False"))
    run_config(config)
    write_lines(config, (CONFIG, row.format("True").replace("CER", "WER")))
    (tmp_path / "bench.toml").unlink()
    newest = max(run_config(config), key=lambda run: run.load_task("demo_mini").metrics[0] == "wer")
    outputs = newest.outputs("Qwen2-VL-2B-Instruct", "demo_mini").values()
    assert {output.text for output in outputs} == {"Иванов"}
    assert newest.model_spec("Qwen2-VL-2B-Instruct").backend == "imported"


def test_a_row_without_answers_to_evaluate_is_refused_with_its_line(tmp_path: Path) -> None:
    config = make_installation(tmp_path, f"demo_mini;VQA;;Nobody-1B;;;['CER'];True;{ALL};;")
    result = CliRunner().invoke(cli, ["run", "--config", str(config)])
    assert isinstance(result.exception, InvalidInput)
    assert "line 2 has only_evaluate_metrics, but neither the folder" in str(result.exception)


@pytest.mark.parametrize("option", ["--models", "--tasks", "--prompts"])
def test_an_option_that_the_rows_decide_is_refused(tmp_path: Path, option: str) -> None:
    config = make_installation(tmp_path, f"demo_mini;VQA;;ocr;;;['CER'];False;{ALL};;")
    result = CliRunner().invoke(cli, ["run", "--config", str(config), option, "ocr"])
    assert isinstance(result.exception, InvalidInput)
    assert f"{option} and a user_config.csv exclude each other" in str(result.exception)


def test_a_dry_run_of_a_config_writes_nothing(tmp_path: Path) -> None:
    config = make_installation(
        tmp_path, f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;['CER'];False;{ALL};;"
    )
    assert "Run 1 of 1" in bench("run", "--config", str(config), "--dry-run")
    assert not Path("results").exists()


def test_bundles_are_found_under_rpo_and_asked_as_the_task_says(tmp_path: Path) -> None:
    rows = (
        f"small;RPOClassification;;Qwen2-VL-2B-Instruct;;;;False;{ALL};;",
        f"small;RPOSorting;;Qwen2-VL-2B-Instruct;;;;False;{ALL};;",
    )
    (run,) = run_config(make_installation(tmp_path, *rows))
    assert run.task_names() == ["small", "small-RPOSorting"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("d;VQE;;m;;;['CER'];False;;;", "there is no task 'VQE'; did you mean VQA?"),
        ("d;VQA;;m;;;['CEER'];False;;;", "there is no metric 'ceer'; did you mean cer"),
        ("d;VQA;;m;;;['CER'];perhaps;;;", "expected True or False, got 'perhaps'"),
        ("d;VQA;;m;;;['CER'];False;['by_idd'];;", "there is no aggregator 'by_idd'"),
        ("d;VQA;;m;;;[__import__('os')];False;;;", "expected a Python literal"),
        ("d;VQA;;;;;['CER'];False;;;", "the cell of model_name is empty"),
    ],
)
def test_what_is_wrong_in_a_config_is_told_with_its_line(
    tmp_path: Path, row: str, message: str
) -> None:
    path = write_lines(tmp_path / "c.csv", (CONFIG, row))
    with pytest.raises(InvalidInput) as caught:
        read_user_config(path)
    assert "c.csv:2: " in str(caught.value)
    assert message in str(caught.value)


def test_a_data_set_that_is_nowhere_is_named_with_its_line(tmp_path: Path) -> None:
    rows = read_user_config(make_installation(tmp_path, "nowhere;VQA;;ocr;;;;False;;;"))
    with pytest.raises(InvalidInput, match="line 2: the data set 'nowhere' is not in"):
        find_layout(tmp_path / "user_config.csv").dataset(rows[0])


def test_folders_come_from_the_installations_own_config(tmp_path: Path) -> None:
    config = make_installation(tmp_path, "mine;VQA;;ocr;;;;False;;;")
    make_vqa(tmp_path / "elsewhere" / "VQA" / "mine")
    folder = tmp_path / "vlmhyperbench" / "cfg"
    folder.mkdir(parents=True)
    content = {"data_dirs": {"datasets": "elsewhere"}}
    (folder / "VLMHyperBench_config.json").write_text(json.dumps(content), encoding="utf-8")
    found = find_layout(config).dataset(read_user_config(config)[0])
    assert found == tmp_path / "elsewhere" / "VQA" / "mine"


# Export


def exported(tmp_path: Path, *rows: str) -> dict[str, str]:
    (run,) = run_config(make_installation(tmp_path, *rows))
    folder = run.path / "vlmhyperbench"
    return {
        p.name: p.read_bytes().decode("utf-8-sig") for p in folder.iterdir() if p.suffix == ".csv"
    }


def test_answers_and_metrics_are_written_in_the_layout_of_vlmhyperbench(tmp_path: Path) -> None:
    files = exported(
        tmp_path, f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;['CER'];False;{ALL};passport;"
    )
    answers = next(name for name in files if name.count("_answers_") and name[-5].isdigit())
    assert re.fullmatch(
        r"demo_mini_fake_Qwen2-VL-2B-Instruct_VQA_answers_\d{8}_\d{6}\.csv", answers
    )
    assert files[answers] == "id;model_answer\n0;Иванов\n1;Иванов\n2;Иванов\n"
    stem = answers.removesuffix(".csv")
    assert sorted(files) == sorted(
        [
            answers,
            *(f"{stem}_{a}.csv" for a in ("by_id", "by_doc_question", "by_doc_type", "general")),
        ]
    )
    by_question = files[f"{stem}_by_doc_question.csv"].splitlines()
    assert by_question[0].startswith("doc_class;question_type;cer_error;")
    # Иванов against Иванов and Петрова: 5 edits of 13 characters, of the whole corpus.
    surname = next(line for line in by_question if ";Фамилия;" in line).split(";")
    assert float(surname[2]) == pytest.approx(5 / 13)


def test_only_the_aggregators_that_were_asked_for_are_written(tmp_path: Path) -> None:
    files = exported(tmp_path, "demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;['CER'];False;['general'];;")
    assert len(files) == 2


def test_an_exported_answer_is_no_formula_and_is_read_back_as_it_was(tmp_path: Path) -> None:
    files = exported(tmp_path, f"demo_mini;VQA;;Qwen2-VL-7B-Instruct;;;['CER'];False;{ALL};;")
    name = next(n for n in files if n[-5].isdigit())
    assert "0;'=1+1\n" in files[name]
    path = write_lines(tmp_path / "again.csv", tuple(files[name].splitlines()))
    assert set(read_answers(path).values()) == {"=1+1"}


def test_a_report_in_an_unknown_format_is_refused_with_the_nearest(tmp_path: Path) -> None:
    run_config(make_installation(tmp_path, f"demo_mini;VQA;;Qwen2-VL-2B-Instruct;;;;False;{ALL};;"))
    result = CliRunner().invoke(cli, ["report", "last", "--format", "vlmhyperbnch"])
    assert isinstance(result.exception, InvalidInput)
    assert "vlmhyperbench" in (result.exception.hint or "")


def test_a_report_shows_which_page_classes_are_taken_for_which(tmp_path: Path) -> None:
    config = make_installation(
        tmp_path, f"small;RPOClassification;;Qwen2-VL-2B-Instruct;;;;False;{ALL};;"
    )
    toml = '[models.Qwen2-VL-2B-Instruct]\nmodel = "fake"\n'
    toml += 'options = { answers = { 0 = "4,5,6,6", 1 = "3,3" } }\n'
    (tmp_path / "bench.toml").write_text(toml, encoding="utf-8")
    (run,) = run_config(config)
    text = (run.path / "report.md").read_text(encoding="utf-8")
    assert "## Page classes" in text
    # Five pages of seven are right; one of class 5 is taken for 6, one of class 3 is not told.
    assert "| 5 | 0 | 0 | 1 | 1 | 0 | 1.000 | 0.500 | 0.667 |" in text
    assert "| 3 | 2 | 0 | 0 | 0 | 1 | 1.000 | 0.667 | 0.800 |" in text
    folder = run.path / "vlmhyperbench"
    answers = next(p for p in folder.iterdir() if p.stem[-1].isdigit())
    assert "_RPOClassification_answers_" in answers.name
    assert answers.read_text(encoding="utf-8-sig") == "sample_id;model_answer\n0;4566\n1;33\n"


def test_an_order_worse_than_chance_is_scored_and_reported(tmp_path: Path) -> None:
    make_bundles(tmp_path / "rpo")
    toml = '[models.m]\nmodel = "fake"\noptions = { default = "2,1,3" }\n'
    Path("bench.toml").write_text(toml, encoding="utf-8")
    tasks = str(tmp_path / "rpo" / "RPOSorting")
    bench("run", "-t", tasks, "-m", "m", "--latency-samples", "0", "--no-warmup")
    bench("score", "last", "--metrics", "kendall_tau,spearman_rho")
    cell = evaluate(find_runs(Path("results"))[0], ["kendall_tau"]).cells["m", "rpo-RPOSorting"]
    # 2,1,3 is the right order 3,1,2 backwards, and no order of two pages.
    assert [answer.scores["kendall_tau"].value for answer in cell.answers] == [0.0, -1.0]
    assert cell.estimates["kendall_tau"].value == -0.5

"""Files of public benchmarks as they are published, and the rules of the benchmarks' own evaluators."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from bench.errors import InvalidInput
from bench.metrics.table import METRICS
from bench.metrics.variants import cc_ocr_text, score_question
from bench.schema import Task
from bench.tasks import dataset_spec, find_task, load_task, public_tasks
from bench.tasks.taskfile import check_task_file


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def image(shade: int) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (60, 40), (shade, 20, 30)).save(stream, "JPEG")
    return base64.b64encode(stream.getvalue()).decode()


def tsv(path: Path, columns: list[str], *rows: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t").writerows([columns, *rows])
    return path


def task_of(name: str, path: Path) -> Task:
    return load_task(find_task(f"{name}={path}"))


def test_vlmevalkits_chartqa_shares_images_and_names_its_halves(tmp_path: Path) -> None:
    path = tsv(
        tmp_path / "ChartQA_TEST.tsv",
        ["index", "image", "question", "answer", "split"],
        ["0", image(1), "How many?", "14", "test_human"],
        ["1", "0", "First word?", "Total", "test_human"],
        ["2", image(2), "Which year?", "['2019']", "test_augmented"],
        ["3", "1", "Last word?", "[12, 'twelve']", "test_augmented"],
    )
    task = task_of("chartqa", path)
    assert len(task.documents) == 2
    assert [sample.references for sample in task.samples] == [
        ("14",),
        ("Total",),
        ("2019",),
        ("12", "twelve"),
    ]
    assert [sample.metadata["field"] for sample in task.samples] == [
        "test_human",
        "test_human",
        "test_augmented",
        "test_augmented",
    ]


def test_vlmevalkits_ocrbench_has_lists_of_answers_and_formulas(tmp_path: Path) -> None:
    formulas = "Handwritten Mathematical Expression Recognition"
    path = tsv(
        tmp_path / "OCRBench.tsv",
        ["index", "image", "question", "answer", "category"],
        ["0", image(1), "What is written?", "['CENTRE']", "Regular Text Recognition"],
        ["1", image(2), "Write the formula.", "['x ^ { 2 } + Y']", formulas],
    )
    task = task_of("ocrbench", path)
    word, formula = task.samples
    assert word.references == ("CENTRE",)
    assert formula.metadata["field"] == formulas
    value = score_question("ocrbench", "x^{2}+Y", formula.references, formula.metadata)
    assert value.value == 1.0
    # In formulas a capital is another letter.
    value = score_question("ocrbench", "x^{2}+y", formula.references, formula.metadata)
    assert value.value == 0.0


def test_vlmevalkits_lists_of_pages_and_their_references(tmp_path: Path) -> None:
    path = tsv(
        tmp_path / "t.tsv",
        ["index", "image", "question", "answers", "category"],
        ["7", f"['{image(1)}', '{image(2)}']", "Who?", '["A", "B"]', "AR"],
        ["8", "['7']", "When?", "1999", "AR"],
    )
    task = task_of("mtvqa", path)
    assert [len(document.pages) for document in task.documents.values()] == [2]
    assert [sample.references for sample in task.samples] == [("A", "B"), ("1999",)]
    assert {sample.metadata["language"] for sample in task.samples} == {"AR"}


FORMULA = {"doc_type": "HME100k"}


@pytest.mark.parametrize(
    ("answer", "reference", "metadata", "value"),
    [
        ("x^{2}+y", "x ^ { 2 } + y", FORMULA, 1.0),
        ("x^{2}+y", "x ^ { 2 } + Y", FORMULA, 0.0),
        ("x^{2}+y", "x ^ { 2 } + y", {}, 0.0),
        ("ＨＥＬＬＯ　ｗｏｒｌｄ", "hello world", {}, 1.0),
        ("ｘ＋１", "x + 1", FORMULA, 1.0),
        ("HELL", "HELLO", {}, 0.0),
    ],
)
def test_ocrbench_has_a_rule_for_formulas_and_folds_wide_letters(
    answer: str, reference: str, metadata: dict[str, str], value: float
) -> None:
    assert score_question("ocrbench", answer, [reference], metadata).value == value


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [("None", "none", 1.0), ("none", "", 1.0), ("12", "none", 0.0), ("none", "12", 0.0)],
)
def test_none_is_right_where_mp_docvqa_has_no_answer(
    answer: str, reference: str, value: float
) -> None:
    assert score_question("anls_mp_docvqa", answer, [reference], {}).value == value


def test_the_chinese_kinds_of_ocrbench_v2_have_the_chinese_rule() -> None:
    answer, references = "北 京 市", ["北京市"]
    english = {"field": "text recognition en"}
    chinese = {"field": "cognition VQA cn"}
    assert score_question("ocrbench_v2_vqa", answer, references, english).value == 0.0
    assert score_question("ocrbench_v2_vqa", answer, references, chinese).value == 1.0


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ＡＢＣ１２：", "ABC 12:"),
        ("北京 市", "北京市"),
        ("总 12 元", "总12元"),
        ("a、b", "a, b"),
        ("12kg", "12 kg"),
        ("1,5", "1,5"),
        ("a ,  b", "a, b"),
    ],
)
def test_values_of_cc_ocr_are_compared_as_its_evaluator_does(text: str, normal: str) -> None:
    assert cc_ocr_text(text) == normal


def test_cc_ocr_scores_wide_letters_as_plain_ones() -> None:
    answer, references = json.dumps({"total": "１２ 元"}), [{"total": "12元"}]
    for metric in ("kie_f1", "ted_accuracy"):
        assert score_question(metric, answer, references, {"evaluator": "cc-ocr"}).value == 1.0
        assert METRICS[metric].score(answer, references).value != 1.0


def test_the_published_files_are_known_by_their_digests() -> None:
    known = {name: dataset_spec(name) for name in public_tasks()}
    digests = {
        name: spec[1].dataset.tsv_md5
        for name, spec in known.items()
        if spec is not None and spec[1].dataset is not None and spec[1].dataset.tsv_md5
    }
    assert digests["chartqa"] == "c902e0aa9be5582a7aad6dcf52734b42"
    assert digests["ocrbench"] == "e953d98a987cc6e26ef717b61260b778"
    assert set(digests) == {
        *("docvqa", "infographicvqa", "chartqa", "textvqa", "mtvqa", "ocrbench", "ocrbench-v2"),
    }


def test_every_public_task_file_is_valid() -> None:
    for folder in public_tasks().values():
        assert check_task_file(folder / "task.toml").problems == []


def test_a_column_twice_or_another_encoding_is_one_line(tmp_path: Path) -> None:
    columns = ["index", "image", "question", "answer"]
    path = tsv(tmp_path / "twice.tsv", [*columns, "answer"], ["0", image(1), "Q", "1", "2"])
    with pytest.raises(InvalidInput, match="names column 'answer' twice"):
        task_of("chartqa", path)
    path = tsv(tmp_path / "old.tsv", columns, ["0", image(1), "Qué?", "1"])
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    with pytest.raises(InvalidInput, match="is not UTF-8: byte 0xe9"):
        task_of("chartqa", path)

"""OmniDocBench and olmOCR-bench, read from copies that are made after their documented schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.errors import EnvironmentProblem, InvalidInput
from bench.schema import Task
from bench.tasks import check_task, expand_tasks, find_task, load_task, local_benchmarks
from bench.tasks.taskfile import TASK_FILE, check_task_file

POLYGON = [0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0]


def block(category: str, order: int | None, **content: Any) -> dict[str, Any]:
    return {
        "category_type": category,
        "poly": POLYGON,
        "ignore": False,
        "order": order,
        "anno_id": content.pop("anno_id", order),
        "attribute": {},
        "line_with_spans": [],
        **content,
    }


def omni_page(name: str, blocks: list[dict[str, Any]], *relations: Any, **attributes: str) -> Any:
    return {
        "layout_dets": blocks,
        "page_info": {
            "page_no": 0,
            "height": 16,
            "width": 24,
            "image_path": name,
            "page_attribute": {"watermark": False, **attributes},
        },
        "extra": {"relation": list(relations)},
    }


PAGES = [
    omni_page(
        "one.png",
        [
            block("text_block", 4, text="one column."),
            block("text_block", 2, text="A paragraph that ends in "),
            block("title", 1, text="Head"),
            block("table", 3, html="<table><tr><td>1</td></tr></table>", latex="x"),
            block("equation_isolated", 5, latex="$$x=1$$"),
            block("header", None, anno_id=9, text="Journal"),
            block("text_mask", None, anno_id=10),
            block("figure", None, anno_id=11),
            block("text_block", 6, text="Not read", ignore=True),
        ],
        {"source_anno_id": 2, "target_anno_id": 4, "relation_type": "truncated"},
        {"source_anno_id": 3, "target_anno_id": 9, "relation": "parent_son"},
        language="english",
        data_source="book",
        layout="double_column",
        subset="table_hard",
    ),
    omni_page("two.jpg", [block("text_block", 1, text="正文")], language="simplified_chinese"),
]


@pytest.fixture
def omnidocbench(tmp_path: Path) -> Path:
    folder = tmp_path / "OmniDocBench"
    (folder / "images").mkdir(parents=True)
    for name in ("one.png", "two.jpg"):
        Image.new("RGB", (24, 16), "white").save(folder / "images" / name)
    (folder / "OmniDocBench.json").write_text(json.dumps(PAGES), encoding="utf-8")
    return folder


TESTS = {
    "table_tests": [
        {"pdf": "tables/a_pg1.pdf", "page": 1, "id": "t1", "type": "table", "max_diffs": 0,
         "cell": "4.5%", "up": "2.4%", "checked": "verified", "url": "https://example.org"},
        {"pdf": "tables/a_pg1.pdf", "page": 1, "id": "t2", "type": "table", "cell": "Cost", "up": ""},
    ],
    "old_scans": [
        {"pdf": "old/b.pdf", "page": 1, "id": "o1", "type": "present", "text": "Dear Sir", "first_n": None},
        {"pdf": "old/b.pdf", "page": 1, "id": "o2", "type": "absent", "text": "Page 3", "max_diffs": 1},
        {"pdf": "old/c.pdf", "page": 1, "id": "o3", "type": "order", "before": "Dear", "after": "Yours"},
    ],
    "arxiv_math": [{"pdf": "math/d.pdf", "page": 1, "id": "m1", "type": "math", "math": "x^2"}],
}  # fmt: skip


@pytest.fixture
def olmocr(tmp_path: Path) -> Path:
    folder = tmp_path / "olmOCR-bench"
    for name, tests in TESTS.items():
        for test in tests:
            page = folder / "bench_data" / "pdfs" / test["pdf"]
            page.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 16), "white").save(page, "PDF")
        lines = "".join(json.dumps(test) + "\n" for test in tests)
        (folder / "bench_data" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def problems_of(folder: Path) -> list[str]:
    return [str(problem) for problem in check_task(folder).problems]


def task_at(name: str, folder: Path) -> Task:
    return load_task(find_task(f"{name}={folder}"))


def test_the_catalog_names_both_with_licence_and_source() -> None:
    assert list(local_benchmarks()) == ["olmocr-bench", "omnidocbench"]
    for folder in local_benchmarks().values():
        spec, problems = check_task_file(folder / TASK_FILE)
        assert not problems
        assert spec.license
        assert spec.citation
        assert spec.local is not None
    assert not {folder.name for folder in expand_tasks(["all"])} & set(local_benchmarks())


def test_without_a_copy_the_command_that_makes_one_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="from a copy on this machine") as raised:
        find_task("omnidocbench")
    assert "hf download opendatalab/OmniDocBench --repo-type dataset" in str(raised.value.hint)


def test_a_folder_that_is_no_copy_is_refused(omnidocbench: Path, olmocr: Path) -> None:
    for name, folder in (("olmocr-bench", omnidocbench), ("omnidocbench", olmocr)):
        with pytest.raises(InvalidInput, match=f"is no copy of {name}"):
            find_task(f"{name}={folder}")


# OmniDocBench


def test_the_blocks_of_a_page_stand_in_reading_order(omnidocbench: Path) -> None:
    task = task_at("omnidocbench", omnidocbench)
    first, second = task.samples
    assert (first.id, first.answer_type) == ("one", "markdown")
    assert first.references[0]["blocks"] == [
        {"category": "header", "text": "Journal"},
        {"category": "title", "text": "Head"},
        {"category": "text_block", "text": "A paragraph that ends in one column."},
        {"category": "table", "html": "<table><tr><td>1</td></tr></table>"},
        {"category": "equation_isolated", "latex": "$$x=1$$"},
    ]
    assert first.metadata == {
        "language": "en",
        "doc_type": "book",
        "field": "double_column",
        "split": "table_hard",
    }
    assert second.metadata == {"language": "zh"}
    assert second.question.startswith("请")
    assert task.source.endswith("version 1.6, 1 block in masked regions left out")
    assert task.generation.max_new_tokens == 4096


def test_the_annotation_file_or_its_folder_may_be_named(omnidocbench: Path) -> None:
    tasks = [
        load_task(find_task(str(path)))
        for path in (omnidocbench, omnidocbench / "OmniDocBench.json")
    ]
    assert tasks[0].digest == tasks[1].digest == task_at("omnidocbench", omnidocbench).digest


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"layout_dets": []}, "page 1: expected page_info with an image_path"),
        (omni_page("one.png", "x"), "page 1: expected layout_dets, a list of blocks"),  # type: ignore[arg-type]
        (omni_page("../../secret.png", []), "leaves the folder"),
        (omni_page("n" * 300 + ".png", []), "does not exist"),
        (omni_page("\0.png", []), "is no path of a file"),
        ("page", "page 1: expected page_info"),
    ],
)
def test_a_page_that_is_wrong_is_named(omnidocbench: Path, page: Any, message: str) -> None:
    (omnidocbench / "OmniDocBench.json").write_text(json.dumps([page]), encoding="utf-8")
    assert message in "\n".join(problems_of(omnidocbench))


@pytest.mark.parametrize(
    ("text", "message"),
    [("[", "is not JSON"), ("{}", "expected a list of pages"), ("[" * 300 + "]" * 300, "nest")],
)
def test_a_file_that_is_no_annotation_is_named(omnidocbench: Path, text: str, message: str) -> None:
    (omnidocbench / "OmniDocBench.json").write_text(text, encoding="utf-8")
    assert message in "\n".join(problems_of(omnidocbench))


def test_odd_blocks_and_relations_do_no_harm(omnidocbench: Path) -> None:
    odd = omni_page(
        "one.png",
        [
            block("text_block", True, text="first"),  # type: ignore[arg-type]
            block("text_block", "7", text=5),  # type: ignore[arg-type]
            block("table", 2, latex="x"),
            {"category_type": ["title"]},
            {},
            {"category_type": "title", "text": "one", "order": 10**300},
            {"category_type": "title", "text": "two", "order": 10**300},
        ],
        {"relation_type": "truncated"},
        {"source_anno_id": [1], "relation_type": "truncated"},
        "no relation",
        layout=5,  # type: ignore[arg-type]
    )
    (omnidocbench / "OmniDocBench.json").write_text(json.dumps([odd]), encoding="utf-8")
    task = load_task(omnidocbench)
    assert task.samples[0].references[0]["blocks"] == [
        {"category": "text_block", "text": "first"},
        {"category": "title", "text": "one"},
        {"category": "title", "text": "two"},
    ]
    assert "1 block of the category table without html left out" in task.source


# olmOCR-bench


def test_a_page_has_all_tests_about_it(olmocr: Path) -> None:
    task = task_at("olmocr-bench", olmocr)
    tests = {sample.id: sample.references[0]["tests"] for sample in task.samples}
    assert list(tests) == ["math/d", "old/b", "old/c", "tables/a_pg1"]
    assert tests["tables/a_pg1"] == [
        {"type": "table", "cell": "4.5%", "max_diffs": 0, "up": "2.4%", "share": 1 / 2},
        {"type": "table", "cell": "Cost", "up": "", "share": 1 / 2},
        {"type": "baseline"},
    ]
    assert [test["share"] for test in tests["old/b"][:2]] == [1 / 3, 1 / 3]
    assert tests["math/d"] == [{"type": "math", "math": "x^2"}, {"type": "baseline"}]
    assert {sample.metadata["doc_type"] for sample in task.samples} == set(TESTS)
    assert task.source.endswith("1 test of type math not computed")
    assert task_at("olmocr-bench", olmocr / "bench_data").digest == task.digest


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"pdf": "old/b.pdf", "id": "o9", "type": "present"}, "needs a text under the key 'text'"),
        (
            {"pdf": "old/b.pdf", "id": "o1", "type": "math"},
            "the id 'o1' appears for the second time",
        ),
        (
            {"pdf": "old/b.pdf", "id": "o9", "type": "math", "page": 2},
            "only PDFs of one page are read",
        ),
        ({"pdf": "", "id": "o9", "type": "math"}, "pdf must be a text"),
        ({"pdf": "../../../x.pdf", "id": "o9", "type": "math"}, "leaves the folder"),
        ([1], "expected a JSON object"),
    ],
)
def test_a_line_that_is_wrong_is_named(olmocr: Path, line: Any, message: str) -> None:
    path = olmocr / "bench_data" / "old_scans.jsonl"
    path.write_text(path.read_text("utf-8") + json.dumps(line) + "\n", encoding="utf-8")
    problems = "\n".join(problems_of(olmocr))
    assert message in problems
    if "leaves" not in message:
        assert "old_scans.jsonl:4" in problems


def test_other_jsonl_beside_pdfs_is_no_benchmark(tmp_path: Path) -> None:
    (tmp_path / "pdfs").mkdir()
    (tmp_path / "findings.jsonl").write_text('{"finding": "copy"}\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"has no samples\.jsonl"):
        find_task(str(tmp_path))


def test_stored_answers_are_scored_and_averaged_file_by_file(
    olmocr: Path, tmp_path: Path, bench: Any
) -> None:
    pipes = "| Gain | 2.4% |\n|---|---|\n| Cost | 4.5% |"
    texts = {
        "tables/a_pg1": pipes,
        "old/b": "Dear Sir,\n\nPage 3",
        "old/c": "Yours, Dear",
        "math/d": "---",
    }
    answers = tmp_path / "model.jsonl"
    lines = [json.dumps({"sample_id": key, "text": text}) + "\n" for key, text in texts.items()]
    answers.write_text("".join(lines), encoding="utf-8")
    copy, results = f"olmocr-bench={olmocr}", tmp_path / "runs"
    run = bench("score", answers, "--task", copy, "--results", results, "--json")
    assert run.status == 0, run.err
    (summary,) = (tmp_path / "runs").glob("*/scores/summary.json")
    (cell,) = json.loads(summary.read_text(encoding="utf-8"))["cells"]
    scores = {name: estimate["value"] for name, estimate in cell["estimates"].items()}
    # Both table tests are passed; of old_scans, the first of three. The file of formulas is left out.
    assert scores["olmocr_bench"] == pytest.approx((2 / 2 + 1 / 3) / 2)
    assert scores["olmocr_table"] == 1
    assert scores["olmocr_present"] == 1
    assert scores["olmocr_absent"] == 0
    assert scores["olmocr_order"] == 0
    assert scores["olmocr_baseline"] == 3 / 4

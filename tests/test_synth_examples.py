"""The bundled documents and tasks: they parse, agree with the generator, and answer from the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.metrics import METRICS
from bench.tasks import bundled_tasks, load_task

ROOT = Path(__file__).parent.parent
DOCUMENTS = ROOT / "example_docs"
TASKS = sorted(bundled_tasks())
MIB = 2**20


def lines(task: str) -> list[dict]:
    text = (ROOT / "tasks" / task / "samples.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_the_tasks_ask_more_than_a_hundred_questions():
    assert sum(len(lines(task)) for task in TASKS) >= 100


@pytest.mark.parametrize("task", TASKS)
def test_a_bundled_task_loads(task):
    loaded = load_task(ROOT / "tasks" / task)
    assert loaded.name == task
    assert set(loaded.metrics) <= set(METRICS)


@pytest.mark.parametrize("task", TASKS)
def test_every_sample_says_its_type_field_and_language(task):
    for line in lines(task):
        assert set(line["metadata"]) >= {"doc_type", "field", "language"}
        assert all(line["metadata"].values())


@pytest.mark.parametrize("task", TASKS)
def test_the_tasks_are_what_the_generator_writes(task):
    pytest.importorskip("faker")
    from workshop import example_docs as examples

    drawn = examples.documents()
    home = ROOT / "tasks" / task
    assert examples.task_lines(task, drawn) == lines(task)
    assert examples.task_file(task) == (home / "task.toml").read_text(encoding="utf-8")


def test_the_committed_pages_are_what_the_generator_draws(tmp_path):
    pytest.importorskip("faker")
    from PIL import Image, ImageChops

    from workshop import example_docs as examples

    for name in ("receipt-zh-1", "invoice-en-1"):
        row = next(row for row in examples.EXAMPLES if row.stem == name)
        examples.write_example(row, examples.draw_example(row), tmp_path)
        made = Image.open(tmp_path / f"{name}.png").convert("L")
        kept = Image.open(DOCUMENTS / f"{name}.png").convert("L")
        assert made.size == kept.size
        # Another build of the font rasteriser may shade an edge otherwise; the page is the same.
        difference = ImageChops.difference(made, kept).histogram()
        assert sum(difference[64:]) < made.width * made.height / 500


def test_every_printed_answer_of_the_contract_is_in_its_text_layer():
    pypdfium2 = pytest.importorskip("pypdfium2")
    pdf = pypdfium2.PdfDocument(DOCUMENTS / "contract-ru.pdf")
    pages = [squeezed(page.get_textpage().get_text_bounded()) for page in pdf]
    pdf.close()
    assert len(pages) == 3
    asked = [squeezed(line["answers"][0]) for line in lines("contract-ru")]
    assert all(any(answer in page for page in pages) for answer in asked)
    assert all(any(answer in page for answer in asked) for page in pages)


def test_the_contract_asks_for_something_that_only_each_page_shows():
    pypdfium2 = pytest.importorskip("pypdfium2")
    pdf = pypdfium2.PdfDocument(DOCUMENTS / "contract-ru.pdf")
    pages = [squeezed(page.get_textpage().get_text_bounded()) for page in pdf]
    pdf.close()
    asked = [squeezed(line["answers"][0]) for line in lines("contract-ru")]
    only = {
        number
        for number, page in enumerate(pages)
        for answer in asked
        if answer in page and sum(answer in other for other in pages) == 1
    }
    assert only == {0, 1, 2}


def test_the_first_example_is_a4_landscape_at_300_dpi():
    from PIL import Image

    with Image.open(DOCUMENTS / "1.png") as image:
        assert image.size == (3508, 2480)


def test_the_examples_hold_a_two_frame_tiff_and_at_least_twelve_pages():
    from bench.tasks.pages import PAGE_SUFFIXES, read_pages

    files = [p for p in DOCUMENTS.iterdir() if p.suffix in PAGE_SUFFIXES]
    pages = {p.name: len(read_pages(p)) for p in files}
    assert sum(pages.values()) >= 12
    assert pages["invoice-en-4.tiff"] == 2


def test_every_example_is_asked_about_and_listed():
    named = {
        name
        for task in TASKS
        for line in lines(task)
        for name in line.get("images", [line.get("document")])
    }
    files = {p.name for p in DOCUMENTS.iterdir()} - {"README.md"}
    assert named == files
    readme = (DOCUMENTS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in files)


def test_documents_and_fonts_stay_small():
    def size(folder: Path) -> int:
        return sum(p.stat().st_size for p in folder.rglob("*") if p.suffix != ".pyc")

    assert size(DOCUMENTS) < 6 * MIB
    assert size(ROOT / "bench" / "synth" / "fonts") < 6.2 * MIB


@pytest.mark.parametrize("task", TASKS)
def test_the_prompt_holds_the_question_once(task):
    assert load_task(ROOT / "tasks" / task).prompt.template.count("{question}") == 1


def test_the_reference_of_a_page_says_all_that_is_asked_about_it():
    pytest.importorskip("faker")
    from bench.metrics.page_blocks import plain_words
    from bench.metrics.page_references import page_text
    from workshop import example_docs as examples

    pages = {line["id"]: page_text(line["answers"][0]) for line in lines("pages-markdown")}
    drawn = {f"{doc.row.stem}/page": doc.drawn for doc in examples.documents()}
    for sample, text in pages.items():
        said = plain_words(text)
        for question in drawn[sample].questions:
            assert plain_words(question.answers[0]) in said, (sample, question.field)


def test_the_goods_of_an_invoice_are_one_table():
    blocks = {line["id"]: line["answers"][0]["blocks"] for line in lines("pages-markdown")}
    tables = [block["html"] for block in blocks["schet-1/page"] if block["category"] == "table"]
    assert len(tables) == 1
    assert tables[0].startswith("<table><tr><td>№</td><td>Товары (работы, услуги)</td>")
    assert tables[0].count("<tr>") == 5

"""Where a page says what is expected."""

import dataclasses
import json
from pathlib import Path

import pytest

from bench.models.ocr import Ocr
from bench.models.ocr.reading import Fragment, Reading
from bench.report import build, write_report
from bench.report.places import places
from bench.rundir.rows import placed_texts, rounded
from bench.schema import ModelSpec, Page, PlacedText, Sample
from bench.scoring.evaluation import evaluate
from tests.run_fixture import FixtureModel, make_run, make_tasks

PAGE = Page(Path("/a.png"), 0, 100, 100, "ab" * 32)


def found(reference, *words, references=()):
    reading = [PlacedText(*word) for word in words]
    sample = Sample("s", "d", "?", (reference, *references))
    return [
        tuple(round(edge, 3) for edge in place[1:])
        for place in places(sample, [PAGE], {PAGE.key: [reading]})
    ]


def test_part_of_a_line_is_found_by_its_letters():
    line = ("Total: 1 250,00", 0.0, 0.1, 0.75, 0.2)
    assert found("1\u00a0250,00", line) == [(0.35, 0.1, 0.75, 0.2)]
    assert found("TOTAL", line) == [(0.0, 0.1, 0.25, 0.2)]


def test_words_of_one_line_share_a_box_and_those_of_two_lines_do_not():
    words = [("ООО", 0.7, 0.1, 0.8, 0.2), ("«Ромашка»", 0.81, 0.1, 1.0, 0.2)]
    assert found("ООО «Ромашка»", *words) == [(0.7, 0.1, 1.0, 0.2)]
    broken = [("г. Тверь,", 0.5, 0.1, 0.9, 0.2), ("ул. Новая", 0.1, 0.3, 0.5, 0.4)]
    assert len(found("г. Тверь, ул. Новая", *broken)) == 2


@pytest.mark.parametrize(
    ("reference", "text"),
    [("12", "2012"), ("art", "party"), ("5", "15"), ("7", "Room 7"), ("", "x"), (" ", "x")],
)
def test_part_of_a_longer_word_or_number_is_no_place(reference, text):
    assert found(reference, (text, 0.0, 0.0, 1.0, 0.1)) == []


def test_chinese_needs_no_blank_around_a_value():
    assert found("南京", ("名称南京有限公司", 0.0, 0.0, 0.8, 0.1)) == [(0.2, 0.0, 0.4, 0.1)]


def test_what_stands_everywhere_is_not_pointed_at():
    words = [("10", 0.1 * n, 0.0, 0.1 * n + 0.05, 0.1) for n in range(5)]
    assert len(found("10", *words[:3])) == 3
    assert found("10", *words) == []


def test_any_reference_that_is_found_will_do():
    assert found("absent", ("18 months", 0.0, 0.0, 0.9, 0.1), references=("18 months",))


def test_of_an_object_every_value_has_its_place_in_the_spelling_of_the_page():
    words = [("Total 1 250,50", 0.0, 0.1, 0.7, 0.2), ("5 апреля 2024", 0.0, 0.3, 0.5, 0.4)]
    reference = {"total": 1250.5, "paid": True, "lines": [{"day": "2024-04-05"}, {"day": None}]}
    assert len(found(reference, *words)) == 1
    sample = Sample("s", "d", "?", (reference,), "json", {"language": "ru"})
    reading = [PlacedText(*word) for word in words]
    assert len(places(sample, [PAGE], {PAGE.key: [reading]})) == 2


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_turned_page_is_turned_back(turn):
    word = PlacedText("x", 0.1, 0.2, 0.4, 0.3)
    turned = {
        0: word,
        90: (0.7, 0.1, 0.8, 0.4),
        180: (0.6, 0.7, 0.9, 0.8),
        270: (0.2, 0.6, 0.3, 0.9),
    }
    seen = turned[turn] if turn == 0 else PlacedText("x", *turned[turn])
    assert seen.turned_back(turn)[1:] == pytest.approx(word[1:])


def test_places_are_stored_and_read_back_and_damage_is_passed_over():
    word = PlacedText("ИНН", 0.12345, 0.2, 0.3, 0.4)
    assert placed_texts(json.loads(json.dumps(rounded([word])))) == [
        PlacedText("ИНН", 0.1235, 0.2, 0.3, 0.4)
    ]
    for damaged in (None, 3, [["x"]], [["x", 0, 0, 1, 2]], [[1, 0, 0, 1, 1]], [["x", 1, 0, 0, 1]]):
        assert placed_texts(damaged) == []


def test_a_report_has_the_places_of_what_a_model_read(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    run = make_run(tmp_path, [FixtureModel("ocr", skill=2.0, gpu=False)], make_tasks(2, 2, ["en"]))
    (task,) = run.task_names()
    sample = run.load_task(task).samples[0]
    page = run.load_task(task).documents[sample.document_id].pages[0]
    run.append_words(
        task, {page.key: [PlacedText(sample.references[0], 0.1, 0.2, 0.3, 0.4)]}, "ocr"
    )
    view = build([evaluate(run)])
    assert view.samples[0].places == ((0, 0.1, 0.2, 0.3, 0.4),)
    (path,) = write_report([run], None, ("html",))
    assert "[0,0.1,0.2,0.3,0.4]" in path.read_text(encoding="utf-8")


def test_the_ocr_model_says_where_it_read(monkeypatch):
    from PIL import Image

    model = Ocr(ModelSpec("ocr", "ocr", options={"reader": "rapidocr"}))
    reading = Reading((Fragment("Total", 10, 20, 60, 40),), words=False)
    monkeypatch.setattr(model, "_upright", lambda page, image: image)
    monkeypatch.setattr(model, "_read_image", lambda image, is_cyrillic: reading)
    monkeypatch.setattr("bench.tasks.pages.open_page", lambda *_: Image.new("RGB", (100, 200)))
    model._read(dataclasses.replace(PAGE), False)
    assert model.words[PAGE.key] == [PlacedText("Total", 0.1, 0.1, 0.6, 0.2)]

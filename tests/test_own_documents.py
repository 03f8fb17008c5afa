"""One's own documents: tables as people save them, drafts, splits, and a folder that is all wrong."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont

from bench.authoring.annotate import annotate
from bench.authoring.drafts import accept_drafts, read_records
from bench.authoring.splitting import split_task
from bench.authoring.starter import start_task
from bench.cli import cli
from bench.errors import InvalidInput
from bench.schema import ModelSpec, Page
from bench.synth.fonts import font_path
from bench.tasks import check_task, find_task, load_task
from bench.tasks.pages import open_page, read_pages
from bench.tasks.taskfile import check_task_file
from tests.conftest import MakeTask

ROW = {"id": "a", "images": ["p0.png"], "question": "How much?", "answers": ["12"]}
RUSSIAN = [
    "id;image;question;answer;field",
    "1;p0.png;Какой номер документа?;АБ-17;number",
    "2;p0.png;Кто поставщик по договору?;ООО «Ромашка»;seller",
]


def with_csv(make_task: MakeTask, content: bytes) -> Path:
    folder = make_task([ROW])
    (folder / "samples.jsonl").unlink()
    (folder / "samples.csv").write_bytes(content)
    return folder


def problems_of(folder: Path) -> list[str]:
    return [str(problem) for problem in check_task(folder).problems]


# Tables


def test_a_windows_1251_table_is_read_and_said(make_task: MakeTask) -> None:
    folder = with_csv(make_task, "\r\n".join(RUSSIAN).encode("cp1251"))
    checked = check_task(folder)
    assert checked.problems == []
    assert checked.task is not None
    assert checked.task.samples[1].references == ("ООО «Ромашка»",)
    (note,) = checked.notes
    assert str(note).startswith(f"{folder / 'samples.csv'}: the file is in Windows-1251 (cp1251)")


def test_loading_says_what_validating_says(
    make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    load_task(with_csv(make_task, "\n".join(RUSSIAN).encode("cp1251")))
    (record,) = caplog.records
    assert "Windows-1251" in record.getMessage()


@pytest.mark.parametrize("encoding", ["koi8-r", "cp866", "mac-cyrillic"])
def test_other_old_encodings_are_read_as_what_they_are(make_task: MakeTask, encoding: str) -> None:
    lines = "\n".join(RUSSIAN).replace("«", "").replace("»", "")
    checked = check_task(with_csv(make_task, lines.encode(encoding)))
    assert checked.problems == []
    assert checked.task is not None
    assert checked.task.samples[1].question == "Кто поставщик по договору?"
    assert checked.task.samples[1].references == ("ООО Ромашка",)


def test_a_file_in_two_encodings_names_a_line_of_each(make_task: MakeTask) -> None:
    raw = b"\n".join([RUSSIAN[0].encode(), RUSSIAN[1].encode(), RUSSIAN[2].encode("cp1251")])
    (problem,) = problems_of(with_csv(make_task, raw))
    assert (
        "samples.csv:3: the line is not UTF-8, but line 2 is; the file mixes encodings" in problem
    )


def test_utf_16_is_read(make_task: MakeTask) -> None:
    checked = check_task(with_csv(make_task, "\n".join(RUSSIAN).encode("utf-16")))
    assert checked.task is not None
    assert checked.task.samples[1].references == ("ООО «Ромашка»",)


def test_a_header_without_a_known_delimiter_is_shown(make_task: MakeTask) -> None:
    (problem,) = problems_of(with_csv(make_task, b"id|image|question|answer\n1|p0.png|Q?|A\n"))
    assert "samples.csv:1: the header has only one column, 'id|image|question|answer'" in problem
    assert "separate columns with a comma, a semicolon or a tab" in problem


def test_a_line_with_another_delimiter_is_named(make_task: MakeTask) -> None:
    raw = b"id;image;question;answer\n1;p0.png;Q?;A\n2,p0.png,Q?,A\n"
    (problem,) = problems_of(with_csv(make_task, raw))
    assert "samples.csv:3: the row has 1 cell, but the header has 4 columns" in problem
    assert "it seems to separate them with a comma" in problem


def test_a_cell_that_holds_the_delimiter_is_explained(make_task: MakeTask) -> None:
    raw = b"id,image,question,answer\n1,p0.png,Q?,1,250.00\n"
    (problem,) = problems_of(with_csv(make_task, raw))
    assert '5 cells, but the header has 4 columns; put cells that contain a comma in "' in problem


def test_missing_columns_offer_the_nearest(make_task: MakeTask) -> None:
    raw = b"id;imag;qestion;answer\n1;p0.png;Q?;A\n"
    found = problems_of(with_csv(make_task, raw))
    assert len(found) == 2
    assert "there is no column 'question'; did you mean qestion?" in found[0]
    assert "there is no column 'image' (or images, document); did you mean imag?" in found[1]


def test_a_column_that_stands_twice_is_refused(make_task: MakeTask) -> None:
    raw = b"id;image;question;answer;answer\n1;p0.png;Q?;A;B\n"
    assert "the header names column 'answer' twice" in problems_of(with_csv(make_task, raw))[0]


def test_a_cell_with_a_python_list_is_refused(make_task: MakeTask) -> None:
    raw = b"id;image;question;answers\n1;p0.png;Q?;['a', 'b']\n"
    (problem,) = problems_of(with_csv(make_task, raw))
    assert 'expected answers as a JSON list (["' in problem


def test_a_cell_with_a_json_list_is_several_answers(make_task: MakeTask) -> None:
    raw = b'id;image;question;answers\n1;p0.png;Q?;"[""a"", ""b""]"\n'
    (sample,) = load_task(with_csv(make_task, raw)).samples
    assert sample.references == ("a", "b")


def test_an_answer_in_brackets_is_an_answer(make_task: MakeTask) -> None:
    (sample,) = load_task(with_csv(make_task, b"image;question;answer\np0.png;Q?;[sic]\n")).samples
    assert sample.references == ("[sic]",)


# Drafts


def test_a_draft_is_not_scored_and_the_loader_says_how_many(
    make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [ROW, {**ROW, "id": "b", "draft": True}, {**ROW, "id": "c", "draft": True}]
    task = load_task(make_task(rows))
    assert [sample.id for sample in task.samples] == ["a"]
    assert "2 drafts are left out until they are accepted: bench data accept /" in caplog.text


def test_a_draft_may_lack_question_and_answers(make_task: MakeTask) -> None:
    rows = [ROW, {"id": "b", "images": ["p0.png"], "draft": True}]
    assert problems_of(make_task(rows)) == []


def test_a_task_of_drafts_only_cannot_be_run(make_task: MakeTask) -> None:
    folder = make_task([{**ROW, "draft": True}])
    says = rf"contains only drafts \(1\); to accept them: bench data accept {folder}"
    with pytest.raises(InvalidInput, match=says):
        load_task(folder)


def test_a_second_file_of_samples_is_not_left_out_in_silence(
    make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_task([ROW])
    (folder / "samples.csv").write_text("id,image,question,answer\n1,p0.png,Q?,A\n")
    assert [sample.id for sample in load_task(folder).samples] == ["a"]
    assert "samples.jsonl: samples.csv lies beside it and is not read" in caplog.text


def test_an_address_is_no_page_file(make_task: MakeTask) -> None:
    (problem,) = problems_of(make_task([{**ROW, "images": ["https://example.org/a.png"]}]))
    assert "page https://example.org/a.png is an address; download it" in problem


def test_lines_in_another_encoding_are_told_what_to_save(make_task: MakeTask) -> None:
    folder = make_task([ROW])
    (folder / "samples.jsonl").write_bytes('{"id": "счёт"}'.encode("cp1251"))
    assert "the line is not UTF-8 at byte 8; save it as UTF-8" in problems_of(folder)[0]


def test_a_draft_column_of_a_table_marks_drafts(make_task: MakeTask) -> None:
    raw = b"id,image,question,answer,draft\n1,p0.png,Q?,A,\n2,p0.png,Q?,A,true\n"
    assert [s.id for s in load_task(with_csv(make_task, raw)).samples] == ["1"]


def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "receipts").mkdir(parents=True)
    for name, shade in (("a.png", 10), ("b.jpg", 60), ("receipts/c.tiff", 120)):
        Image.new("L", (40, 60), shade).save(folder / name)
    (folder / "notes.txt").write_text("no document")
    return folder


def test_pages_count_from_the_folder_that_the_task_file_names(tmp_path: Path) -> None:
    scans(tmp_path).rename(tmp_path / "pages")
    (tmp_path / "task.toml").write_text('documents = "pages"\n')
    assert start_task(tmp_path, language="de").new_documents == 3
    files = {record["images"][0] for record in read_records(tmp_path)}
    assert files == {"a.png", "b.jpg", "receipts/c.tiff"}
    assert start_task(tmp_path, language="de").new_documents == 0
    assert annotate(tmp_path, FAKE) == (3, 9, (), 0)


def test_init_asks_about_every_document_and_writes_a_task_file(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    assert start_task(folder, language="ru") == (3, 3, 9, ("notes.txt",), {"ru": 3}, 0)
    records = read_records(folder)
    assert {record["images"][0] for record in records} == {"a.png", "b.jpg", "receipts/c.tiff"}
    assert records[0]["question"] == "Какой номер у документа?"
    assert records[-1]["metadata"]["doc_type"] == "receipts"
    assert all(record["draft"] for record in records)
    assert "Ответьте" in (folder / "task.toml").read_text()


def test_init_again_adds_only_new_documents_and_their_folders_questions(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"inn": "Какой ИНН?"})
    before = (folder / "samples.jsonl").read_text()
    Image.new("L", (40, 60), 200).save(folder / "d.png")
    assert start_task(folder)[:3] == (4, 1, 1)
    after = (folder / "samples.jsonl").read_text()
    assert after.startswith(before)
    assert read_records(folder)[-1]["question"] == "Какой ИНН?"


def test_init_passes_over_hidden_files_and_links_that_leave(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    Image.new("L", (4, 4)).save(folder / ".hidden.png")
    assert start_task(folder).documents == 3


def test_init_of_a_folder_without_documents_says_which_types_are_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no page images or PDFs") as caught:
        start_task(tmp_path)
    assert ".pdf" in (caught.value.hint or "")


def test_two_files_that_differ_in_their_suffix_get_two_ids(tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    for suffix in ("png", "jpg"):
        Image.new("L", (4, 4)).save(folder / f"a.{suffix}")
    start_task(folder, questions={"x": "X?"})
    assert len({record["id"] for record in read_records(folder)}) == 2


FAKE = ModelSpec("fake", backend="fake", options={"default": "answer to {question}"})


def test_annotate_says_that_there_is_nothing_to_draft(make_task: MakeTask, bench: Any) -> None:
    result = bench("data", "annotate", make_task([ROW], documents=1), "--model", "ocr")
    assert result.out == "No question lacks an answer or a draft, so the model was not asked.\n"


def test_annotate_answers_only_what_has_no_answer(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"total": "Total?"})
    records = read_records(folder)
    records[0]["answers"] = ["mine"]
    del records[1]["draft"]
    records[1]["answers"] = ["accepted"]
    (folder / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert annotate(folder, FAKE).drafted == 1
    first, second, third = read_records(folder)
    assert first == records[0]
    assert second == records[1]
    assert third["answers"] == ["answer to Total?"]
    assert third["draft"] is True
    assert third["metadata"]["drafted_by"] == "fake"


def test_annotate_asks_about_documents_that_came_later(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    annotate(folder, FAKE)
    Image.new("L", (40, 60), 200).save(folder / "d.png")
    assert annotate(folder, FAKE) == (1, 3, (), 0)
    assert annotate(folder, FAKE) == (0, 0, (), 0)


def test_a_document_that_cannot_be_answered_stays_without_an_answer(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"total": "Total?"})
    (folder / "a.png").write_bytes(b"broken")
    result = annotate(folder, FAKE)
    assert result.drafted == 2
    assert "a.png" in result.failed[0]
    assert read_records(folder)[0]["answers"] == []


def test_an_interruption_keeps_the_documents_before_it(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"total": "Total?"})

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate(folder, FAKE, stop)
    assert [bool(r["answers"]) for r in read_records(folder)] == [True, True, False]


def test_an_answer_of_a_json_task_is_an_object(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    (folder / "task.toml").write_text('answer_type = "json"\n')
    spec = ModelSpec("fake", backend="fake", options={"default": '```json\n{"total": "5"}\n```'})
    annotate(folder, spec)
    assert read_records(folder)[0]["answers"] == [{"total": "5"}]


def test_accepted_drafts_are_references(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"total": "Total?"})
    annotate(folder, FAKE)
    records = read_records(folder)
    records[2]["answers"] = []
    (folder / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert accept_drafts(folder)[:3] == (2, 1, 0)
    assert len(load_task(folder).samples) == 2


EMPTY = ModelSpec("mute", backend="fake", options={"default": " \n"})


def test_an_empty_output_is_no_draft_and_another_model_fills_it(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"total": "Total?"})
    assert annotate(folder, EMPTY) == (3, 0, (), 3)
    assert [record["answers"] for record in read_records(folder)] == [[], [], []]
    assert annotate(folder, FAKE).drafted == 3
    assert annotate(folder, EMPTY).documents == 0


def test_an_empty_draft_of_an_earlier_version_is_asked_again_and_a_persons_is_not(
    tmp_path: Path,
) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"total": "Total?"})
    records = read_records(folder)
    records[0]["answers"] = [""]
    records[0]["metadata"]["drafted_by"] = "old"
    records[1]["answers"] = [""]
    (folder / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    annotate(folder, FAKE)
    first, second, _ = read_records(folder)
    assert (first["answers"], first["metadata"]["drafted_by"]) == (["answer to Total?"], "fake")
    assert second["answers"] == [""]


def test_empty_answers_are_counted_and_accepted_only_when_confirmed(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"total": "Total?"})
    records = read_records(folder)
    for record, answers in zip(records, (["12"], [""], [" "]), strict=True):
        record["answers"] = answers
    (folder / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    output = call("data", "accept", str(folder))[1]
    assert "Accepted 1 draft." in output
    assert "2 drafts have an empty answer and could not be accepted" in output
    assert [record.get("draft") for record in read_records(folder)] == [None, True, True]
    output = call("data", "accept", str(folder), "--absent")[1]
    assert "Accepted 2 drafts." in output
    assert "2 drafts say that there is no answer" in output


# Long lists of problems


def test_a_long_list_of_problems_is_cut_counted_and_written(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_task([{**ROW, "id": f"a{number}", "colour": 1} for number in range(1000)])
    result = CliRunner().invoke(cli, ["data", "validate", str(folder)])
    lines = result.output.splitlines()
    assert str(result.exception).endswith("has 1,000 problems")
    assert len(lines) == 20 + 1
    place = tmp_path / "cache" / "docvlm-bench" / "problems" / "mine.txt"
    assert lines[20] == f"… and 980 more problems; all 1,000 are in {place}"
    assert len(place.read_text(encoding="utf-8").splitlines()) == 1000
    as_json = CliRunner().invoke(cli, ["data", "validate", str(folder), "--json"])
    assert (as_json.exit_code, len(json.loads(as_json.stdout))) == (2, 1000)


def test_a_long_list_is_cut_even_where_it_cannot_be_written(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = make_task([{**ROW, "id": f"a{number}", "colour": 1} for number in range(30)])
    output = CliRunner().invoke(cli, ["data", "validate", str(folder)]).output
    assert "… and 10 more problems; the list of all could not be written" in output


# Starting a task


def test_init_names_the_files_that_it_passes_over(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    for name in ("contract.docx", "old.docx", "list.xlsx"):
        (folder / name).write_bytes(b"PK")
    output = call("data", "init", str(folder))[1]
    assert "Passed over 4 files that no page can be read from" in output
    assert "2 .docx, 1 .xlsx and 1 .txt (contract.docx, …)" in output
    again = call("data", "init", str(folder))[1]
    assert "Passed over 4 files" in again


def test_init_and_accept_name_what_they_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = scans(tmp_path)
    for number in range(30):
        (folder / f"{number:02}.docx").write_bytes(b"PK")
    output = call("data", "init", str(folder), "--lang", "en")[1]
    assert "passed over: 00.docx\n" in output
    assert "… and 11 more files; all 31 are in " in output
    assert len((tmp_path / "cache/docvlm-bench/files/scans.txt").read_text().split("\n")) == 32
    output = call("data", "accept", str(folder))[1]
    assert output.count("(no answer yet)") == 9


def test_init_tells_the_language_of_a_scan_by_ocr(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    folder = tmp_path / "letters"
    folder.mkdir()
    page = Image.new("RGB", (900, 400), "white")
    lines = (
        "Просим оплатить счёт за поставку",
        "товара до конца текущего месяца,",
        "с уважением, бухгалтерия",
    )
    font = ImageFont.truetype(str(font_path("office")), 36)
    for number, line in enumerate(lines):
        ImageDraw.Draw(page).text((60, 60 + 90 * number), line, "black", font)
    page.save(folder / "a.png")
    output = call("data", "init", str(folder))[1]
    assert "Languages of the new documents: ru 1; 1 scan without a text layer" in output
    assert read_records(folder)[0]["question"] == "Какой номер у документа?"


def test_init_names_links_to_files_that_were_not_fetched(tmp_path: Path) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "page.png").symlink_to(".git/annex/objects/not-here.png")
    os.mkfifo(tmp_path / "pipe.png")
    started = start_task(tmp_path)
    assert (started.documents, started.passed_over) == (1, ("page.png", "pipe.png"))


def test_init_of_office_files_only_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.docx").write_bytes(b"PK")
    with pytest.raises(InvalidInput, match=r"no page images or PDFs, only 1 \.docx \(a\.docx\)"):
        start_task(tmp_path / "only")


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG", "jp2", "avif", "heic", "heif"])
def test_every_type_of_photograph_is_a_document(tmp_path: Path, suffix: str) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    kinds = {"jp2": "JPEG2000", "avif": "AVIF", "heic": "HEIF", "heif": "HEIF"}
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (64, 48), "white").save(folder / f"a.{suffix}", kinds.get(suffix, "JPEG"))
    assert start_task(folder).documents == 1
    (page,) = read_pages(folder / f"a.{suffix}")
    assert (page.width, page.height) == (64, 48)
    assert open_page(page).size == (64, 48)


def test_a_broken_heic_is_called_one(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    path = tmp_path / "e.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200)
    with pytest.raises(InvalidInput, match="is HEIC, but broken or truncated"):
        read_pages(path)


def test_heic_without_its_package_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.tasks import images

    monkeypatch.setattr(images, "_readable_formats", lambda: ("PNG", "JPEG"))
    path = tmp_path / "e.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200)
    with pytest.raises(InvalidInput, match=r"needs the package pillow-heif.*pip install.*heic"):
        images.frame_sizes(path)


@pytest.mark.parametrize(
    ("given", "code"), [("DE", "de"), ("pt_br", "pt-BR"), ("uk", "uk"), ("zh-Hant", "zh-Hant")]
)
def test_init_takes_the_code_of_any_language(tmp_path: Path, given: str, code: str) -> None:
    folder = scans(tmp_path)
    start_task(folder, language=given)
    assert {record["metadata"]["language"] for record in read_records(folder)} == {code}


def test_init_refuses_what_is_no_code_of_a_language(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'martian' is no code of a language"):
        start_task(scans(tmp_path), language="martian")


def letter(path: Path, lines: tuple[str, ...]) -> None:
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path))
    for number, line in enumerate(lines):
        canvas.drawString(72, 720 - 20 * number, line)
    canvas.save()


def test_init_guesses_the_language_of_every_document(tmp_path: Path) -> None:
    pytest.importorskip("reportlab")
    folder = tmp_path / "letters"
    folder.mkdir()
    german = ("Sehr geehrte Damen und Herren,", "wir liefern die Ware in den nächsten Tagen.")
    french = ("Veuillez trouver ci-joint notre facture", "pour les travaux de la société.")
    letter(folder / "a.pdf", (*german, "Mit freundlichen Grüßen"))
    letter(folder / "b.pdf", (*french, "à régler avant la fin de l'année"))
    letter(folder / "c.pdf", (*german, "Rechnungsbetrag und Zahlungsziel"))
    Image.new("L", (40, 60)).save(folder / "d.png")
    output = call("data", "init", str(folder))[1]
    assert "Languages of the new documents: de 2, fr 1, unknown 1 (--lang" in output
    languages = {r["images"][0]: r["metadata"].get("language") for r in read_records(folder)}
    assert languages == {"a.pdf": "de", "b.pdf": "fr", "c.pdf": "de", "d.png": None}
    assert read_records(folder)[0]["question"] == "Welche Nummer hat das Dokument?"


def test_accepting_a_draft_that_is_not_there_offers_the_nearest(tmp_path: Path) -> None:
    folder = scans(tmp_path)
    start_task(folder, questions={"total": "Total?"})
    with pytest.raises(InvalidInput) as caught:
        accept_drafts(folder, ["a/totl"])
    assert caught.value.hint == "did you mean a/total or b/total?"


# Splits


def splittable(make_task: MakeTask, documents: int = 10) -> Path:
    folder = make_task(
        documents=documents, toml='name = "mine"\nversion = "3"\n[prompt]\nsystem = "S"\n'
    )
    for number in range(documents):
        Image.new("L", (40 + number, 60), number).save(folder / f"p{number}.png")
    return folder


def test_a_split_puts_every_document_in_one_part(make_task: MakeTask) -> None:
    folder = splittable(make_task)
    parts = split_task(folder, 0.8, 7)
    train, test = load_task(parts.train), load_task(parts.test)
    assert (len(train.documents), len(test.documents)) == (8, 2)
    assert not set(train.documents) & set(test.documents)
    assert len(train.samples) + len(test.samples) == len(load_task(folder).samples)
    assert (train.name, test.name) == ("mine-train", "mine-test")
    assert train.prompt.system == "S"
    assert {s.metadata["split"] for s in train.samples} == {"train"}


def test_the_parts_of_a_task_of_the_package_lie_in_the_working_directory(
    tmp_path: Path, bench: Any
) -> None:
    result = bench("data", "split", "slips")
    assert result.out == "slips-train: 10 documents\nslips-test: 2 documents\n"
    assert load_task(tmp_path / "slips-test").name == "slips-test"


def test_a_split_keeps_the_comments_and_the_order_of_the_task_file(make_task: MakeTask) -> None:
    toml = "# Ours.\nversion = '3'\nname = 'мой'  # short\n[prompt]\nsystem = 'S'  # terse\n"
    parts = split_task(make_task(toml=toml), 0.5, 7)
    expected = toml.replace("'мой'", '"мой-test"')
    assert (parts.test / "task.toml").read_text(encoding="utf-8") == expected


def test_a_split_reads_every_page_file_once(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counting(path: Path, dpi: int) -> tuple[Page, ...]:
        read.append(path.name)
        return read_pages(path, dpi)

    monkeypatch.setattr("bench.tasks.loading.read_pages", counting)
    split_task(make_task(), 0.5, 7)
    assert sorted(read) == ["p0.png", "p1.png", "p2.png"]


def test_a_title_with_quotation_marks_is_valid_in_the_task_file(tmp_path: Path) -> None:
    folder = tmp_path / 'scans "new" \\ old'
    folder.mkdir()
    Image.new("L", (4, 4)).save(folder / "a.png")
    start_task(folder)
    task_file = check_task_file(folder / "task.toml")
    assert task_file.problems == []
    assert task_file.spec.title == folder.name
    assert "# The first metric is the headline." in (folder / "task.toml").read_text()


def test_a_split_depends_on_its_seed_alone(make_task: MakeTask, tmp_path: Path) -> None:
    folder = splittable(make_task)
    first = load_task(split_task(folder, 0.5, 7, tmp_path / "one").test)
    lines = (folder / "samples.jsonl").read_text().splitlines()
    (folder / "samples.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    second = load_task(split_task(folder, 0.5, 7, tmp_path / "two").test)
    other = load_task(split_task(folder, 0.5, 8, tmp_path / "three").test)
    assert set(first.documents) == set(second.documents)
    assert set(first.documents) != set(other.documents)


def test_copies_of_a_page_go_to_the_same_part(make_task: MakeTask) -> None:
    folder = splittable(make_task, documents=4)
    for number in (1, 2):
        (folder / f"p{number}.png").write_bytes((folder / "p0.png").read_bytes())
    parts = split_task(folder, 0.5, 0)
    assert (parts.train_documents, parts.test_documents) == (1, 1)


def test_a_split_does_not_overwrite(make_task: MakeTask) -> None:
    folder = splittable(make_task)
    split_task(folder, 0.8, 7)
    with pytest.raises(InvalidInput, match="exists already"):
        split_task(folder, 0.8, 7)


def test_one_document_cannot_be_split(make_task: MakeTask) -> None:
    with pytest.raises(InvalidInput, match="only 1 different document,"):
        split_task(make_task([ROW]), 0.8, 7)


# The command line


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_from_a_folder_of_scans_to_a_task_on_the_command_line(tmp_path: Path) -> None:
    folder = str(scans(tmp_path))
    clerk = '[models.clerk]\nmodel = "fake"\noptions = { default = "17" }\n'
    (tmp_path / "bench.toml").write_text(clerk)
    assert (
        "Found 3 documents (3 new), and added 3 questions"
        in call("data", "init", folder, "--ask", "a=A?")[1]
    )
    # The fake model has nothing to say, so another one is asked.
    output = call("data", "annotate", folder, "-m", "fake")[1]
    assert "The model drafted 0 answers on 3 documents." in output
    assert "It gave an empty answer to 3 questions, which stay open" in output
    assert "Accepted 0 drafts." in call("data", "accept", folder)[1]
    assert "The model drafted 3 answers" in call("data", "annotate", folder, "-m", "clerk")[1]
    assert "Accepted 3 drafts" in call("data", "accept", folder)[1]
    assert "No problem was found" in call("data", "validate", folder)[1]
    assert "scans-train: 2 documents" in call("data", "split", folder, "--train", "0.6")[1]


def test_synth_writes_a_task(tmp_path: Path) -> None:
    out = str(tmp_path / "made")
    status, output = call("data", "synth", out, "--kind", "receipt", "--lang", "ru", "-n", "2")
    assert status == 0
    assert "on 2 documents" in output


def test_an_archive_is_not_a_task(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "docs.zip", "w") as archive:
        archive.writestr("a.png", b"\0" * 10_000_000)
    with pytest.raises(InvalidInput, match=r"docs\.zip is a file; a task is a folder") as caught:
        find_task(str(tmp_path / "docs.zip"))
    assert "unpack" in (caught.value.hint or "")


def test_an_image_with_a_bomb_in_its_text_is_refused(make_task: MakeTask) -> None:
    from PIL.PngImagePlugin import PngInfo

    folder = make_task([ROW])
    info = PngInfo()
    info.add_text("Comment", "x" * 50_000_000, zip=True)
    Image.new("L", (4, 4)).save(folder / "p0.png", pnginfo=info)
    assert (folder / "p0.png").stat().st_size < 100_000
    with pytest.raises(InvalidInput, match=r"p0\.png is broken or truncated: .*too large"):
        load_task(folder)


# Everything wrong at once

PLANTED: list[tuple[dict[str, Any] | str | bytes, str]] = [
    ("{", "not JSON"),
    ("[1]", "expected a JSON object"),
    (b"\xff\xfe{}", "not UTF-8"),
    ({"question": None}, "question is missing"),
    ({"question": "  "}, "question must be a non-empty string"),
    ({"question": 7}, "question must be a non-empty string, but it is 7"),
    ({"answers": None}, "answers are missing"),
    ({"answers": []}, "answers must be a non-empty list"),
    ({"answers": ["12", None]}, "answers must not hold null"),
    ({"answers": [750]}, "answers must be strings"),
    ({"answers": "12"}, "answers must be a non-empty list"),
    ({"images": None}, "expected either images or document, got neither"),
    ({"document": "x.pdf"}, "got images and document"),
    ({"images": []}, "must name at least one file"),
    ({"images": ["../secret.png"]}, "leaves the folder"),
    ({"images": ["/etc/passwd"]}, "leaves the folder"),
    ({"images": ["nowhere.png"]}, "does not exist"),
    ({"images": ["link.png"]}, "leaves the folder"),
    ({"images": ["empty.png"]}, "is empty"),
    ({"images": ["text.png"]}, "is not an image"),
    ({"images": ["bomb.png"]}, "pixels"),
    ({"images": ["broken.pdf"]}, "broken or not a PDF"),
    ({"images": ["locked.pdf"]}, "password"),
    ({"images": ["cut.jpg"]}, "truncated"),
    ({"anwsers": ["1"]}, "there is no key 'anwsers'; did you mean answers"),
    ({"id": ""}, "id must be a non-empty string"),
    ({"id": "first"}, "line 1 already has the id 'first'"),
    ({"metadata": {"a": {}}}, "metadata.a must be a plain value"),
    ({"metadata": "ru"}, "metadata must be an object"),
    ({"answer_type": "number"}, "answer_type must be one of"),
    ({"draft": "yes"}, "draft must be true or false"),
]
"""A line's mistake, and what is said about it."""

TOML = """\
version = 2
metricz = ["anls"]
metrics = ["anl", "kie_f1"]
[prompt]
template = "no question"
[generation]
max_new_tokens = 0
"""


def plant(make_task: MakeTask, tmp_path: Path) -> Path:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen import canvas

    from tests.test_pages import png

    folder = make_task([{**ROW, "id": "first"}], toml=TOML)
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    (folder / "bomb.png").write_bytes(png(50_000, 50_000))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    Image.new("L", (4, 4)).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    locked = StandardEncryption("secret", canPrint=0)
    canvas.Canvas(str(folder / "locked.pdf"), encrypt=locked).save()
    Image.effect_noise((200, 200), 50).convert("RGB").save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:4000])
    with (folder / "samples.jsonl").open("ab") as stream:
        for number, (mistake, _) in enumerate(PLANTED):
            if isinstance(mistake, dict):
                line = json.dumps({**ROW, "id": f"row {number}", **mistake}).encode()
            else:
                line = mistake if isinstance(mistake, bytes) else mistake.encode()
            stream.write(line + b"\n")
    return folder


def test_one_pass_names_every_planted_defect_with_its_line(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = plant(make_task, tmp_path)
    problems = check_task(folder, deep=True).problems
    by_line = {problem.line: problem.message for problem in problems if "samples" in problem.file}
    assert len(PLANTED) >= 30
    for line, (_, says) in enumerate(PLANTED, 2):
        assert says in by_line.get(line, ""), f"line {line}: {by_line.get(line)}"
    assert set(by_line) == set(range(2, len(PLANTED) + 2))


def test_the_same_pass_names_every_mistake_of_the_task_file(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = plant(make_task, tmp_path)
    found = [str(p) for p in check_task(folder).problems if p.file.endswith("task.toml")]
    expected = {
        "task.toml:1: version: ",
        "task.toml:2: there is no key 'metricz'; did you mean metrics?",
        "task.toml:5: prompt.template: the template must contain {question} exactly once",
        "task.toml:7: generation.max_new_tokens: ",
        "task.toml: there is no metric 'anl'; did you mean anls",
        "task.toml: metric kie_f1 cannot score text answers",
    }
    for says in expected:
        assert any(says in problem for problem in found), says
    assert len(found) == len(expected)


def test_validate_prints_every_problem_and_exits_with_2(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = plant(make_task, tmp_path)
    with pytest.raises(InvalidInput, match=f"{len(PLANTED) + 6} problems"):
        call("data", "validate", "--deep", str(folder))

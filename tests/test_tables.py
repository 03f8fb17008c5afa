"""Tables as spreadsheets and other systems write them: encodings, habits, and names of page files."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.errors import InvalidInput
from bench.metrics import METRICS
from bench.schema import Task
from bench.tasks import check_task, pagefiles
from bench.tasks.csvfile import read_table
from bench.tasks.encodings import guess_encoding
from bench.tasks.pagefiles import page_path
from bench.tasks.problems import Problem
from bench.tasks.yesno import NO_WORDS, YES_WORDS
from tests.table_rows import ROWS

HEADER = "id;image;question;answer"


def png(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 30), 200).save(path, "PNG")
    return path


def folder_with(tmp_path: Path, raw: bytes, *pages: str, toml: str = "") -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "samples.csv").write_bytes(raw)
    for name in pages or ("p.png",):
        png(folder / name)
    if toml:
        (folder / "task.toml").write_text(toml, encoding="utf-8")
    return folder


def task_of(folder: Path) -> Task:
    checked = check_task(folder)
    assert checked.problems == []
    assert checked.task is not None
    return checked.task


def problem_of(folder: Path) -> str:
    (problem,) = check_task(folder).problems
    return problem.message


# Encodings


def table_text(rows: tuple[str, ...]) -> str:
    lines = [f"{number};p.png;{row}" for number, row in enumerate(rows, 1)]
    return "\r\n".join([HEADER, *lines, ""])


def encoded(language: str, text: str, encoding: str) -> bytes | None:
    # Vietnamese writes its marks apart in Windows-1258.
    text = unicodedata.normalize("NFD", text) if language == "vi" else text
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return None


ENCODED_TABLES = [
    pytest.param(language, encoding, id=f"{language}-{encoding}")
    for language, (encodings, rows) in ROWS.items()
    for encoding in encodings.split()
    if encoded(language, table_text(rows), encoding) is not None
]


@pytest.mark.parametrize(("language", "encoding"), ENCODED_TABLES)
def test_a_short_table_in_an_older_encoding_is_read(language: str, encoding: str) -> None:
    raw = encoded(language, table_text(ROWS[language][1]), encoding)
    assert raw is not None
    guess = guess_encoding(raw)
    assert guess.reading is not None
    assert guess.reading.text == raw.decode(encoding)


def test_a_table_of_several_languages_in_one_encoding_is_read() -> None:
    rows = (
        "Who?;Müller & Söhne GmbH",
        "Who?;Société Générale",
        "Who?;Núñez S.L.",
        "Who?;Åkerlunds",
    )
    guess = guess_encoding(table_text(rows).encode("cp1252"))
    assert guess.reading is None or guess.reading.text == table_text(rows)


@st.composite
def some_rows(draw: st.DrawFn) -> tuple[str, str, tuple[str, ...]]:
    language = draw(st.sampled_from(sorted(ROWS)))
    encodings, rows = ROWS[language]
    chosen = draw(st.lists(st.sampled_from(rows), min_size=1, max_size=5))
    return language, draw(st.sampled_from(encodings.split())), tuple(chosen)


@settings(max_examples=60)
@given(some_rows())
def test_any_table_in_any_legal_encoding_reads_back_or_is_refused(
    table: tuple[str, str, tuple[str, ...]],
) -> None:
    language, encoding, rows = table
    raw = encoded(language, table_text(rows), encoding)
    if raw is None or raw.isascii():
        return
    guess = guess_encoding(raw)
    if guess.reading is None:
        assert guess.candidates
    else:
        assert guess.reading.text == raw.decode(encoding)


LETTERS = st.sampled_from([*b"aeioucdlmnrst", *range(0x80, 0x100)])
WORDS = st.lists(LETTERS, min_size=1, max_size=8).map(bytes)


@settings(max_examples=60)
@given(st.lists(WORDS, min_size=1, max_size=6))
def test_no_reading_of_any_bytes_has_two_alphabets_in_a_word(words: list[bytes]) -> None:
    guess = guess_encoding(b"id;answer\n" + b"\n".join(b"1;" + word for word in words))
    readings = guess.candidates if guess.reading is None else (guess.reading,)
    for reading in readings:
        for word in re.findall(r"[^\W\d_]+", reading.text):
            scripts = {unicodedata.name(letter, "CJK").split()[0] for letter in word}
            assert len(scripts & {"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI"}) <= 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("language", ["fr", "ru", "zh", "ar"])
def test_every_form_of_unicode_is_read(tmp_path: Path, language: str, encoding: str) -> None:
    rows = ROWS[language][1]
    task = task_of(folder_with(tmp_path, table_text(rows).encode(encoding)))
    assert [f"{s.question};{s.references[0]}" for s in task.samples] == list(rows)


def test_a_refused_table_shows_what_it_may_be_and_can_name_its_encoding(tmp_path: Path) -> None:
    raw = table_text(("Quel lieu?;père",)).encode("cp1252").replace(b"Quel lieu?", b"Q?")
    folder = folder_with(tmp_path, raw)
    message = problem_of(folder)
    assert "its encoding cannot be told for certain" in message
    assert "père' in Windows-1252 (cp1252)" in message
    assert 'encoding = "' in message
    (folder / "task.toml").write_text('encoding = "cp1252"\n', encoding="utf-8")
    assert task_of(folder).samples[0].references == ("père",)


def test_an_encoding_that_does_not_fit_or_does_not_exist_is_one_line(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, table_text(("Q?;père",)).encode("cp1252"))
    (folder / "task.toml").write_text('encoding = "utf-8"\n', encoding="utf-8")
    assert "the line is not utf-8: byte 0xe8" in problem_of(folder)
    for wrong in ("base64", "martian"):
        (folder / "task.toml").write_text(f'encoding = "{wrong}"\n', encoding="utf-8")
        problems = check_task(folder).problems
        assert "expected the name of an encoding" in str(problems[0])


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
def test_right_answers_to_a_table_in_an_older_encoding_score_1(
    tmp_path: Path, encoding: str
) -> None:
    tables = {
        "de": ["Wie heißt die Firma?;Müller Straße", "Summe (für alle Größen)?;4711,00 €"],
        "fr": ["Nom de la société ?;Société générale", "Adresse ?;Hôtel Élysée à Besançon"],
    }
    for language, rows in tables.items():
        (tmp_path / language).mkdir()
        raw = table_text(tuple(rows)).encode(encoding)
        for sample, row in zip(
            task_of(folder_with(tmp_path / language, raw)).samples, rows, strict=True
        ):
            answer = row.partition(";")[2]
            for metric in ("anls", "exact_match", "contains", "cer", "field_match"):
                value = METRICS[metric].score(answer, sample.references).value
                assert value == (0 if metric == "cer" else 1)


def test_a_word_never_mixes_alphabets() -> None:
    raw = table_text(("Nom ?;Société générale",)).encode("cp1252")
    readings = guess_encoding(raw)
    for reading in (readings.reading, *readings.candidates):
        assert reading is not None
        assert "Sociйtй" not in reading.text


# Habits of spreadsheets

ONE = "1,p.png,What number?,4711"
HABITS = {
    "blank lines": f"id,image,question,answer\r\n\r\n{ONE}\r\n\r\n",
    "blank lines first": f"\r\n \r\nid,image,question,answer\r\n{ONE}\r\n",
    "emptied rows": f"id,image,question,answer\r\n{ONE}\r\n,,,\r\n , ,,\r\n,,,\r\n",
    "emptied columns": f"id,image,question,answer,,\r\n{ONE},,\r\n",
    "emptied columns without a header": f"id,image,question,answer\r\n{ONE},,,\r\n",
    "sep": f"sep=;\r\nid;image;question;answer\r\n{ONE.replace(',', ';')}\r\n",
    "SEP, quoted": f'"SEP=,"\nid,image,question,answer\n{ONE}\n',
    "sep with commas behind it": f"sep=,,,,\nid,image,question,answer\n{ONE}\n",
    "sep of a bar": f"sep=|\nid|image|question|answer\n{ONE.replace(',', '|')}\n",
    "sep of a tab, in words": "sep=\\t\n" + f"id,image,question,answer\n{ONE}\n".replace(",", "\t"),
    "sep after a blank line": f"\r\nsep = ;\r\nid;image;question;answer\r\n{ONE.replace(',', ';')}\r\n",
    "blanks before quotes": 'id, "image", "question", "answer"\n1, "p.png", "What number?", "4711"\n',
    "invisible characters in the header": f"\u200bid,image\u200e,\u00a0question,answer\n{ONE}\n",
    "the end mark of DOS": f"id,image,question,answer\r\n{ONE}\r\n\x1a",
    "last cells that Excel leaves out": f"id,image,question,answer,absent,draft\n{ONE}\n",
    "capitals": f"ID,Image,QUESTION,Answer\r\n{ONE}\r\n",
    "line ends of old Macintoshes": f"id,image,question,answer\r{ONE}\r",
    "no line end": f"id,image,question,answer\n{ONE}",
}


@pytest.mark.parametrize("text", HABITS.values(), ids=HABITS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_habit_of_spreadsheets_changes_nothing(tmp_path: Path, text: str, encoding: str) -> None:
    (sample,) = task_of(folder_with(tmp_path, text.encode(encoding))).samples
    assert (sample.id, sample.question, sample.references) == ("1", "What number?", ("4711",))
    assert sample.metadata == {}


def test_the_delimiter_is_the_one_that_separates_known_columns(tmp_path: Path) -> None:
    raw = b"id;image;question;answer;note (a, b, c, d, e, f)\n1;p.png;Q?;1,5;x\n"
    (sample,) = task_of(folder_with(tmp_path, raw)).samples
    assert (sample.references, dict(sample.metadata)) == (
        ("1,5",),
        {"note (a, b, c, d, e, f)": "x"},
    )


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        ('1,p.png,Q?,A\n2,p.png,Q?,"B\n3,p.png,Q?,C\n', 3, 'no " closes it'),
        ('1,p.png,Q?,A\n2,p.png,Q?,"12" pipe\n', 3, 'write every " twice'),
        ("1,p.png,Q?,A\n2,p.png,Q?\n", 3, "the row has 3 cells, but the header has 4 columns"),
    ],
)
def test_what_is_no_csv_is_said_with_the_line_where_it_begins(
    tmp_path: Path, rows: str, line: int, says: str
) -> None:
    raw = f"id,image,question,answer\n{rows}".encode()
    (problem,) = check_task(folder_with(tmp_path, raw)).problems
    assert problem.line == line
    assert says in problem.message


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"])
def test_a_workbook_is_no_csv(tmp_path: Path, start: bytes) -> None:
    raw = start + bytes(range(256))
    assert "is a workbook under the name of a CSV" in problem_of(folder_with(tmp_path, raw))


def test_two_columns_of_answers_may_not_differ(tmp_path: Path) -> None:
    header = "id,image,question,answer,answers\n"
    folder = folder_with(tmp_path, f"{header}1,p.png,Q?,A,B\n".encode())
    assert problem_of(folder) == "expected either answers or answer, got both"
    (folder / "samples.csv").write_text(f"{header}1,p.png,Q?,A,\n2,p.png,Q?,A,A\n")
    assert [sample.references for sample in task_of(folder).samples] == [("A",), ("A",)]


def test_lines_are_numbered_as_the_file_numbers_them(tmp_path: Path) -> None:
    raw = b"sep=;\nid;image;question;answer\n\n1;p.png;Q?;A\n2;p.png;;B\n"
    (problem,) = check_task(folder_with(tmp_path, raw)).problems
    assert problem.line == 5


def test_a_cell_in_a_column_without_a_name_is_named(tmp_path: Path) -> None:
    raw = b"id,image,,question,answer\n1,p.png,lost,Q?,A\n"
    assert "column 3 has a cell here, 'lost', and no name" in problem_of(folder_with(tmp_path, raw))


def test_a_table_of_blank_lines_is_empty(tmp_path: Path) -> None:
    problems = check_task(folder_with(tmp_path, b"\r\n\r\n,,\r\n")).problems
    assert "the file is empty" in str(problems[0])


def test_a_table_can_say_that_the_document_has_no_answer(tmp_path: Path) -> None:
    raw = (
        b'id,image,question,answer,absent\n1,p.png,Q?,,yes\n2,p.png,Q?,"[""""]",\n3,p.png,Q?,A,no\n'
    )
    samples = task_of(folder_with(tmp_path, raw)).samples
    assert [sample.references for sample in samples] == [("",), ("",), ("A",)]
    assert [dict(sample.metadata) for sample in samples] == [{}, {}, {}]


def test_yes_is_what_excel_saves_in_its_languages(tmp_path: Path) -> None:
    words = ["WAHR", "VRAI", "VERO", "PRAWDA", "ИСТИНА", "ІСТИНА", "DOĞRU", "ΑΛΗΘΕΣ", "x", "TRUE"]
    lines = [f"{number},p.png,Q?,,{word}" for number, word in enumerate(words)]
    refused = [f"n{number},p.png,Q?,A,{word}" for number, word in enumerate(["FALSCH", "нет", "0"])]
    text = "\n".join(["id,image,question,answer,absent", *lines, *refused])
    samples = task_of(folder_with(tmp_path, text.encode())).samples
    assert [sample.references for sample in samples] == [("",)] * len(words) + [("A",)] * 3


@pytest.mark.parametrize("column", ["draft", "absent"])
def test_a_word_that_is_neither_yes_nor_no_is_no_guess(tmp_path: Path, column: str) -> None:
    raw = f"id,image,question,answer,{column}\n1,p.png,Q?,A,perhaps\n".encode()
    message = problem_of(folder_with(tmp_path, raw))
    assert message == f'{column} must be yes, no or an empty cell, but it is "perhaps"'


def test_yes_and_no_share_no_word() -> None:
    assert not YES_WORDS & NO_WORDS


def test_an_empty_answer_says_how_to_write_an_absent_one(tmp_path: Path) -> None:
    raw = b"id,image,question,answer\n1,p.png,Q?,\n2,p.png,Q?,A\n"
    (problem,) = check_task(folder_with(tmp_path, raw)).problems
    assert problem.line == 2
    assert 'write yes into a column "absent", or [""] as the answer' in problem.message


def test_a_row_cannot_have_an_answer_that_is_absent(tmp_path: Path) -> None:
    raw = b"id,image,question,answer,absent\n1,p.png,Q?,12,yes\n"
    assert "the answer is absent, and gives one" in problem_of(folder_with(tmp_path, raw))


def test_blanks_at_the_ends_of_references_are_noted(tmp_path: Path) -> None:
    raw = "id,image,question,answer\n1,p.png,Q?,4711 \n2,p.png,Q?,A B\n3,p.png,Q?,\u00a0C\n"
    checked = check_task(folder_with(tmp_path, raw.encode()))
    assert checked.problems == []
    (note,) = checked.notes
    assert "2 lines have references with blanks at the ends: lines 2, 4" in note.message


# Names of page files

NAMES = {
    "NFC for a file in NFD": ("счёт-й.png", unicodedata.normalize("NFD", "счёт-й.png")),
    "NFD for a file in NFC": (unicodedata.normalize("NFD", "Übersicht é.png"), "Übersicht é.png"),
    "backslash": ("sub\\deep\\p.png", "sub/deep/p.png"),
    "capitals": ("p.PNG", "p.png"),
    "capitals of a folder": ("Scans/P.png", "scans/p.png"),
    "blanks": (" p.png ", "p.png"),
    "percent": ("my%20scan.png", "my scan.png"),
    "percent of Cyrillic": (quote("счёт.png"), "счёт.png"),
    "percent of a long name": (quote("счёт" * 20 + ".png"), "счёт" * 20 + ".png"),
    "all at once": (
        " Sub\\" + quote("Счёт.PNG"),
        "sub/" + unicodedata.normalize("NFD", "счёт.png"),
    ),
    "look: blanks": ("my\u00a0 scan.png", "my scan.png"),
    "look: marks of direction": ("\u200fחשבון.png\u200e", "חשבון.png"),
    "look: wide letters": ("ｐ１.png", "p1.png"),
    "look: variants of a sign": ("☎\ufe0f.png", "☎.png"),
    "look: blanks of the file": ("p.png", " p.png"),
    "look: percent of the file": ("my scan.png", "my%20scan.png"),
    "a percent sign that is meant": ("50%20.png", "50%20.png"),
}


@pytest.mark.parametrize(("written", "stored"), NAMES.values(), ids=NAMES)
def test_a_page_is_found_under_the_name_of_another_system(
    tmp_path: Path, written: str, stored: str
) -> None:
    raw = f"id,image,question,answer\n1,{written},Q?,A\n"
    task_of(folder_with(tmp_path, raw.encode(), stored))


def test_two_spellings_of_a_file_are_one_document(tmp_path: Path) -> None:
    raw = b"id,image,question,answer\n1,p.png,Q?,A\n2,P.PNG,Q?,A\n3, p.png ,Q?,A\n"
    task = task_of(folder_with(tmp_path, raw))
    assert [sample.document_id for sample in task.samples] == ["p.png"] * 3
    assert len(task.documents) == 1


def test_a_broken_page_may_be_kept_under_any_spelling(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path, b"id,image,question,answer\n1,P.PNG,Q?,A\n2,q.png,Q?,B\n", "q.png"
    )
    (folder / "p.png").write_bytes(b"not an image")
    assert len(check_task(folder).problems) == 1
    task = check_task(folder, allow_unreadable=True).require_task(folder)
    assert [sample.document_id for sample in task.samples] == ["p.png", "q.png"]


@pytest.mark.parametrize("name", ["C:\\Users\\me\\page.png", "\\\\server\\share\\page.png"])
def test_the_path_of_another_computer_offers_the_file(tmp_path: Path, name: str) -> None:
    raw = f"id,image,question,answer\n1,{name},Q?,A\n".encode()
    message = problem_of(folder_with(tmp_path, raw, "page.png"))
    assert message.endswith("does not exist; did you mean page.png?")


def test_of_two_files_that_may_be_meant_none_is_taken(tmp_path: Path) -> None:
    raw = b"id,image,question,answer\n1,Page.PNG,Q?,A\n"
    message = problem_of(folder_with(tmp_path, raw, "page.png", "PAGE.png"))
    assert "does not exist; did you mean" in message


def test_a_name_that_is_not_there_offers_the_nearest(tmp_path: Path) -> None:
    raw = b"id,image,question,answer\n1,scans/invoce-1.png,Q?,A\n"
    message = problem_of(folder_with(tmp_path, raw, "scans/invoice-1.png"))
    assert message.endswith("does not exist; did you mean invoice-1.png?")


def test_thousands_of_names_are_compared_with_a_folder_that_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[object] = []
    scandir = os.scandir

    def counted(folder: Path) -> object:
        listed.append(folder)
        return scandir(folder)

    monkeypatch.setattr(pagefiles.os, "scandir", counted)
    lines = [f"{number},nothing-{number}.png,Q?,A\n" for number in range(1000)]
    raw = "".join(["id,image,question,answer\n", *lines]).encode()
    problems = check_task(folder_with(tmp_path, raw)).problems
    assert len(problems) == 1000
    # Once to compare, and once for the nearest name of each of the first problems.
    assert len(listed) <= 21


@pytest.mark.parametrize("name", ["..%2Fout.png", "..\\out.png", " ../out.png", "/etc/hostname"])
def test_no_spelling_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    png(tmp_path / "out.png")
    raw = f"id,image,question,answer\n1,{name},Q?,A\n"
    assert "leaves the folder" in problem_of(folder_with(tmp_path, raw.encode()))


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000, "loop.png"])
def test_a_name_that_no_file_has_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(InvalidInput):
        page_path(tmp_path.resolve(), name)


def linked(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))


def test_links_of_a_hub_snapshot_belong_to_its_folder(tmp_path: Path) -> None:
    blob = png(tmp_path / "datasets--me--docs" / "blobs" / "11aa")
    pdf = tmp_path / "datasets--me--docs" / "blobs" / "22bb"
    Image.new("L", (40, 30)).save(pdf, "PDF")
    snapshot = tmp_path / "datasets--me--docs" / "snapshots" / "abc"
    linked(snapshot / "sub" / "p.png", blob)
    linked(snapshot / "d.pdf", pdf)
    (snapshot / "samples.csv").write_bytes(
        b"id,image,question,answer\n1,sub/p.png,Q?,A\n2,d.pdf,Q?,B\n"
    )
    assert len(task_of(snapshot).documents) == 2


@pytest.mark.parametrize("store", [".git/annex/objects/Xx/1z", ".dvc/cache/files/md5/ab"])
def test_links_into_the_store_of_the_repository_belong_to_the_folder(
    tmp_path: Path, store: str
) -> None:
    content = png(tmp_path / "repository" / store / "content.png")
    folder = tmp_path / "repository" / "docs"
    linked(folder / "p.png", content)
    (folder / "samples.csv").write_bytes(b"id,image,question,answer\n1,p.png,Q?,A\n")
    task_of(folder)


def test_a_link_to_a_file_that_was_not_fetched_says_so(tmp_path: Path) -> None:
    (tmp_path / ".git" / "annex" / "objects").mkdir(parents=True)
    folder = tmp_path / "docs"
    linked(folder / "p.png", tmp_path / ".git" / "annex" / "objects" / "gone")
    (folder / "samples.csv").write_bytes(b"id,image,question,answer\n1,p.png,Q?,A\n")
    assert "is a link to a file that is not there" in problem_of(folder)


def test_any_other_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, b"id,image,question,answer\n1,q.png,Q?,A\n")
    linked(folder / "q.png", png(tmp_path / "elsewhere" / "q.png"))
    assert "leaves the folder" in problem_of(folder)


def test_a_table_is_read_the_same_by_csv_module(tmp_path: Path) -> None:
    text = 'id,image,question,answer\n1,p.png,"a ""quoted"", one\nof two lines","x;y"\n'
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    problems: list[Problem] = []
    ((line, cells),) = read_table(path, problems, [])
    assert (line, cells["question"], cells["answer"]) == (3, 'a "quoted", one\nof two lines', "x;y")
    assert problems == []

"""``bench data audit``: what is probably wrong in a task, and what a person decided about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from bench.authoring.audit import Finding, audit
from bench.files import read_lines
from bench.report import build
from bench.schema import Output, Task
from bench.scoring.evaluation import evaluate
from bench.tasks import load_task
from tests.run_fixture import FixtureModel, make_run

Row = tuple[str, str, str, list[str]]
"""Id, page file, question and answers."""


def draw(path: Path, text: str, *, quality: int | None = None) -> None:
    """A page with ``text`` in large letters."""
    image = Image.new("L", (300, 200), 255)
    for number, line in enumerate(text.split("|")):
        ImageDraw.Draw(image).text((10 + 30 * number, 10 + 40 * number), line, fill=0, font_size=36)
    image.save(path, **({} if quality is None else {"quality": quality}))


def task_of(folder: Path, rows: Sequence[Row], fields: Sequence[str] = (), toml: str = "") -> Task:
    """A task with pages that show their own names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in {row[1] for row in rows}:
        if not (folder / name).exists():
            draw(folder / name, f"{name}|{name[::-1]}")
    lines = []
    for number, (id_, page, question, answers) in enumerate(rows):
        metadata = {"field": fields[number], "language": "en"} if fields else {}
        row = {"id": id_, "images": [page], "question": question, "answers": answers}
        lines.append(json.dumps({**row, "metadata": metadata}, ensure_ascii=False) + "\n")
    (folder / "samples.jsonl").write_text("".join(lines), encoding="utf-8")
    if toml:
        (folder / "task.toml").write_text(toml, encoding="utf-8")
    return load_task(folder)


def kinds(findings: Sequence[Finding]) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.kind, finding.ids) for finding in findings]


def test_a_question_with_two_answers_is_a_contradiction_and_one_asked_twice_is_not(
    tmp_path: Path,
) -> None:
    rows: list[Row] = [
        ("a", "1.png", "Total?", ["12.00"]),
        ("b", "1.png", "total ?", ["13.00"]),
        ("c", "1.png", "Date?", ["12 March 2024"]),
        ("d", "1.png", "Date?", ["2024-03-12"]),
        ("e", "2.png", "Total?", ["99"]),
    ]
    findings = audit(task_of(tmp_path / "t", rows))
    assert kinds(findings) == [("contradiction", ("a", "b")), ("twice", ("c", "d"))]
    assert findings[0].message == "'Total?' has the answers '12.00' and '13.00'"
    assert findings[0].pages == (str(tmp_path / "t" / "1.png"),)


def test_an_answer_that_is_not_on_the_page_is_named_where_the_text_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "1.png": "Rechnung Nr. 77\nDatum 12.03.2024\nSumme 1 284,50 €\nMeyer GmbH",
        "2.png": None,
    }
    monkeypatch.setattr(
        "bench.authoring.audit.document_text", lambda d: texts[d.pages[0].path.name]
    )
    rows: list[Row] = [
        ("number", "1.png", "Number?", ["77"]),
        ("date", "1.png", "Date?", ["12 March 2024"]),
        ("total", "1.png", "Total?", ["1284.50"]),
        ("seller", "1.png", "Seller?", ["Maier GmbH", "meyer-gmbh"]),
        ("buyer", "1.png", "Buyer?", ["Schulz AG"]),
        ("year", "1.png", "Paid on?", ["12.04.2025"]),
        ("paid", "1.png", "Is it paid?", ["yes"]),
        ("absent", "1.png", "Phone?", [""]),
        ("unknown", "2.png", "Buyer?", ["Schulz AG"]),
    ]
    findings = audit(task_of(tmp_path / "t", rows))
    assert kinds(findings) == [("not-on-page", ("buyer",)), ("not-on-page", ("year",))]


def test_an_answer_of_another_type_than_the_others_of_its_field_is_named(tmp_path: Path) -> None:
    rows: list[Row] = [(f"d{i}", f"{i}.png", "Date?", [f"{i + 1} May 2024"]) for i in range(7)]
    rows.append(("odd", "7.png", "Date?", ["Meyer GmbH"]))
    findings = audit(task_of(tmp_path / "t", rows, ["date"] * 8))
    assert ("odd-type", ("odd",)) in kinds(findings)
    assert "'Meyer GmbH' is a text, but 7 of 8 answers to 'date' are dates" in [
        finding.message for finding in findings
    ]
    few = [row for row in rows if row[0] in ("d0", "d1", "odd")]
    assert "odd-type" not in {
        kind for kind, _ in kinds(audit(task_of(tmp_path / "f", few, ["date"] * 3)))
    }


def test_copies_and_look_alikes_are_found_across_tasks(tmp_path: Path) -> None:
    train, test = tmp_path / "train", tmp_path / "test"
    for folder in (train, test):
        folder.mkdir()
    draw(train / "a.png", "one|two|three")
    Image.open(train / "a.png").save(test / "same.bmp")
    draw(train / "b.jpg", "red|green|blue", quality=95)
    draw(test / "again.jpg", "red|green|blue", quality=30)
    draw(test / "other.png", "quite|another|page")
    first = task_of(train, [("a", "a.png", "A?", ["1"]), ("b", "b.jpg", "B?", ["2"])])
    second = task_of(
        test,
        [
            ("s", "same.bmp", "A?", ["1"]),
            ("g", "again.jpg", "B?", ["2"]),
            ("o", "other.png", "C?", ["3"]),
        ],
    )
    findings = audit(second, [first])
    assert kinds(findings) == [("copy", ("s",)), ("look-alike", ("g",))]
    assert findings[0].message == "same.bmp is the same page as a.png of the task train"
    assert findings[1].pages == (str(test / "again.jpg"), str(train / "b.jpg"))
    assert audit(second) == []


def test_a_page_that_is_in_one_task_twice_is_found_but_for_blank_ones(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    draw(folder / "a.png", "one|two|three")
    Image.open(folder / "a.png").save(folder / "b.bmp")
    for name in ("blank1.png", "blank2.png"):
        Image.new("L", (300, 200), 255).save(folder / name)
    rows: list[Row] = [
        (name, name, f"{name}?", ["1"]) for name in ("a.png", "b.bmp", "blank1.png", "blank2.png")
    ]
    (finding,) = audit(task_of(folder, rows))
    assert (finding.kind, finding.ids) == ("copy", ("a.png", "b.bmp"))


def test_what_every_model_gets_wrong_is_named_with_what_they_agree_on(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("hard", "1.png", "Who?", ["Meyer"]),
        ("easy", "1.png", "Where?", ["Bonn"]),
    ]
    task = task_of(tmp_path / "t", rows)
    models = [FixtureModel(name, skill=1.0) for name in ("one", "two", "three")]
    run = make_run(tmp_path / "results", models, [task], previews=False)
    for model, text in zip(models, ("Schulz", "Schulz", "Kohl"), strict=True):
        run.append_outputs(model.name, task.name, [Output("hard", text, "stop")])
    evaluation = evaluate(run)
    (finding,) = audit(task, evaluations=[evaluation])
    assert (finding.kind, finding.ids, finding.suggestion) == ("all-wrong", ("hard",), ("Schulz",))
    assert "3 models are wrong; 2 say 'Schulz'" in finding.message
    # A run of other references says nothing about these, and one model alone proves nothing.
    mended = task_of(tmp_path / "t", [("hard", "1.png", "Who?", ["Schulz"]), rows[1]])
    assert audit(mended, evaluations=[evaluation]) == []
    assert audit(task, evaluations=[evaluate(run, only=["one"])]) == []


# Decisions

ROWS: list[Row] = [
    ("a", "1.png", "Total?", ["12.00"]),
    ("b", "1.png", "Total?", ["13.00"]),
    ("c", "1.png", "Date?", ["1 May"]),
    ("d", "1.png", "Date?", ["1 May"]),
]


def decide(path: Path, *decisions: tuple[str, dict[str, Any] | None]) -> None:
    rows = list(read_lines(path))
    for row, (decision, answers) in zip(rows, decisions, strict=True):
        row["decision"] = decision
        row["answers"] = row["answers"] if answers is None else answers
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_findings_are_accepted_or_mended_and_the_version_says_so(
    tmp_path: Path, bench: Any
) -> None:
    folder = tmp_path / "t"
    before = task_of(folder, ROWS, toml='title = "T"\n[prompt]\ntemplate = "{question}"\n')
    result = bench("data", "audit", folder, "--out", "f.jsonl")
    assert result.status == 0
    assert "contradiction: the same question" in result.out and "twice:" in result.out
    findings = tmp_path / "f.jsonl"
    # Nothing is decided yet.
    assert (
        "0 findings accepted, 0 questions mended"
        in bench("data", "audit", folder, "--apply", findings).out
    )
    assert load_task(folder).digest == before.digest

    decide(findings, ("mend", {"a": ["12.00", "12,00"], "b": None}), ("accept", None))
    result = bench("data", "audit", folder, "--apply", findings)
    assert "1 finding accepted, 1 question mended, 1 removed" in result.out
    after = load_task(folder)
    assert (after.version, after.title) == ("1+mended.1", "T")
    assert (after.samples[0].id, after.samples[0].references) == ("a", ("12.00", "12,00"))
    assert len(after.samples) == 3 and after.digest != before.digest
    run = make_run(tmp_path / "results", [FixtureModel("one")], [after], previews=False)
    caveats = [caveat.text for caveat in build([evaluate(run)]).caveats]
    assert any("References of t were mended (version 1+mended.1)" in text for text in caveats)
    result = bench("data", "audit", folder)
    assert "Nothing was found" in result.out and "1 finding accepted before" in result.out
    assert "twice" in bench("data", "audit", folder, "--all").out

    bench("data", "audit", folder, "--all", "--out", "f.jsonl")
    decide(findings, ("mend", {"d": None}))
    bench("data", "audit", folder, "--apply", findings)
    assert load_task(folder).version == "1+mended.2"


def test_decisions_in_the_file_of_findings_stay_until_they_are_carried_out(
    tmp_path: Path, bench: Any
) -> None:
    folder = tmp_path / "t"
    task_of(folder, ROWS)
    findings = tmp_path / "f.jsonl"
    bench("data", "audit", folder, "--out", findings)
    decide(findings, ("mend", {"a": ["12.00"], "b": None}), ("accept", None))
    # Some editors leave the last line without its end.
    findings.write_text(findings.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    decided = [json.loads(line) for line in findings.read_text(encoding="utf-8").splitlines()]
    result = bench("data", "audit", folder, "--out", findings)
    assert (result.status, "2 decisions in it stayed" in result.out) == (0, True)
    assert list(read_lines(findings)) == decided

    # A decision on something that this audit does not find, such as what runs get wrong, stays as well.
    other = {"key": "other", "decision": "accept", "ids": ["c"], "answers": {"c": ["1 May"]}}
    with findings.open("a", encoding="utf-8") as file:
        file.write(json.dumps(other) + "\n")
    bench("data", "audit", folder, "--out", findings)
    assert list(read_lines(findings)) == [*decided, other]
    assert "2 findings accepted" in bench("data", "audit", folder, "--apply", findings).out
    result = bench("data", "audit", folder, "--out", findings)
    assert "Findings " in result.out and list(read_lines(findings)) == []

    # What was carried out begins anew, and an answer that is corrected and not decided stays.
    bench("data", "audit", folder, "--all", "--out", findings)
    decide(findings, ("", {"c": ["2 May"]}))
    bench("data", "audit", folder, "--all", "--out", findings)
    assert [(row["decision"], row["answers"]) for row in read_lines(findings)] == [
        ("", {"c": ["2 May"]})
    ]


def test_findings_replace_no_other_file(tmp_path: Path, bench: Any) -> None:
    folder = tmp_path / "t"
    task_of(folder, ROWS)
    samples = folder / "samples.jsonl"
    before = samples.read_bytes()
    result = bench("data", "audit", folder, "--out", samples)
    assert (result.status, "is no finding" in result.err) == (2, True)
    assert samples.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"key": "k", "decision": "maybe"}', "f.jsonl:1: decision should be"),
        ('{"key": "k", "decision": "mend"}', "answers should be an object"),
        ('{"key": "k", "decision": "mend", "answers": {"a": "x"}}', "should be a list, or null"),
        ('{"key": "k", "decision": "mend", "answers": {"z": ["x"]}}', "has no question 'z'"),
        ('{"key": "k", "decision": "mend", "answers": {"a": [12]}}', "should be texts, not [12]"),
        (
            '{"key": "k", "decision": "mend", "answers": {"a":null,"b":null,"c":null,"d":null}}',
            "no question would be left",
        ),
        ('{"decision": "accept"}', "the key or the decision is missing"),
        ("[]", "expected a JSON object"),
        ("", "contains no finding"),
    ],
)
def test_decisions_that_are_not_valid_change_nothing(
    tmp_path: Path, bench: Any, line: str, says: str
) -> None:
    folder = tmp_path / "t"
    before = task_of(folder, ROWS)
    (tmp_path / "f.jsonl").write_text(f"{line}\n" if line else "")
    result = bench("data", "audit", folder, "--apply", "f.jsonl")
    assert (result.status, says in result.err) == (2, True), result.err
    assert load_task(folder).digest == before.digest
    assert not (folder / "audit.json").exists()


def test_a_file_of_findings_that_is_not_there_is_named(tmp_path: Path, bench: Any) -> None:
    task_of(tmp_path / "t", ROWS)
    result = bench("data", "audit", tmp_path / "t", "--apply", "gone.jsonl")
    assert (result.status, "gone.jsonl does not exist" in result.err) == (2, True), result.err


def test_a_task_of_the_package_is_not_changed(tmp_path: Path, bench: Any) -> None:
    (tmp_path / "f.jsonl").write_text('{"key": "k", "decision": "accept"}\n')
    result = bench("data", "audit", "slips", "--apply", "f.jsonl")
    assert (result.status, "cp -r" in result.err) == (2, True)


def test_hostile_text_is_harmless_in_the_list(tmp_path: Path, bench: Any) -> None:
    rows: list[Row] = [
        ("a\x1b[31m", "1.png", "Q\u202e?", ["x"]),
        ("b", "1.png", "Q\u202e?", ["y\x07"]),
    ]
    task_of(tmp_path / "t", rows)
    result = bench("data", "audit", tmp_path / "t")
    assert "contradiction" in result.out
    assert not {"\x1b", "\x07", "\u202e"} & set(result.out)


def test_a_run_that_can_show_nothing_is_named(bench: Any, tmp_path: Path) -> None:
    rows: list[Row] = [("a", "a.png", "Total?", ["1"]), ("b", "b.png", "Total?", ["2"])]
    task = task_of(tmp_path / "t", rows)
    other = task_of(tmp_path / "other", rows)
    results = tmp_path / "results"
    make_run(results, [FixtureModel("one")], [task], name="mine", previews=False)
    make_run(results, [FixtureModel("one")], [other], name="foreign", previews=False)
    wrong = bench("data", "audit", tmp_path / "t", "--run", "foreign", "--results", results)
    assert wrong.status == 2 and "did not ask the task t" in wrong.err
    alone = bench("data", "audit", tmp_path / "t", "--run", "mine", "--results", results)
    assert alone.status == 0 and "one model only" in alone.err

"""How whole pages are shown: references as Markdown, tests one by one, long texts folded and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.report import ReportOptions, build, write_report
from bench.report.embed import embed
from bench.report.show import MAX_LINES, show_sample
from bench.rundir.store import RunStore
from bench.scoring.evaluation import Evaluation, evaluate
from tests.browser import CHROMIUM, Browser

BLOCKS = [f"Paragraph {number} says something of its own." for number in range(120)]
TESTS = [
    {"type": "present", "text": "<b>Fruit</b> costs"},
    {"type": "absent", "text": "Page 3"},
    {"type": "math", "math": "x^2"},
]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """A long page with one wrong word and a missing line, and a page with tests."""
    from bench.cli import main

    folder = tmp_path_factory.mktemp("pages") / "task"
    folder.mkdir()
    Image.new("RGB", (60, 40), "white").save(folder / "p.png")
    (folder / "task.toml").write_text(
        'name = "whole-pages"\nanswer_type = "markdown"\nmetrics = ["parsing_score", "olmocr_present"]\n',
        encoding="utf-8",
    )
    references = {
        "long": {"blocks": [{"category": "text_block", "text": text} for text in BLOCKS]},
        "tests": {"tests": TESTS},
    }
    rows = [
        {"id": key, "images": ["p.png"], "question": f"Transcribe {key}.", "answers": [value]}
        for key, value in references.items()
    ]
    (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    wrong = [text.replace("119 says", "119 sags") for text in BLOCKS if " 60 " not in text]
    texts = {"long": "\n\n".join(wrong), "tests": "Fruit costs, Page 3"}
    answers = folder.parent / "model.jsonl"
    lines = [json.dumps({"sample_id": key, "text": text}) for key, text in texts.items()]
    answers.write_text("\n".join(lines), encoding="utf-8")
    results = folder.parent / "runs"
    with pytest.raises(SystemExit) as end:
        main(["score", str(answers), "--task", str(folder), "--results", str(results)])
    assert end.value.code in (0, None)
    (path,) = results.iterdir()
    return evaluate(RunStore.open(path))


def test_a_long_page_is_folded_in_the_terminal_and_told_by_its_differences(
    evaluation: Evaluation,
) -> None:
    shown = show_sample(evaluation, "long")
    assert "expected  Paragraph 0 says" in shown
    assert shown.count("more lines; the report shows all)") == 2
    assert len(shown.splitlines()) < 3 * MAX_LINES
    assert "diff      -Paragraph 60 says something of its own." in shown
    assert "+Paragraph 119 sags something of its own." in shown


def test_the_terminal_names_the_tests_that_fail(evaluation: Evaluation) -> None:
    shown = show_sample(evaluation, "tests")
    assert "expected  present: “<b>Fruit</b> costs”" in shown
    assert "failed    absent: “Page 3”" in shown
    assert shown.count("failed    ") == 1


def test_the_page_holds_every_test_with_what_became_of_it(evaluation: Evaluation) -> None:
    islands = embed(build([evaluation]), ReportOptions(), 0).islands
    (texts,) = (json.loads(island.text) for island in islands if island.id == "texts-0")
    long, tests = texts
    assert len(long) == 4
    assert long[1] == ["\n\n".join(BLOCKS)]
    assert tests[5] == [
        ["present: “<b>Fruit</b> costs”", [1]],
        ["absent: “Page 3”", [0]],
        ["math (not computed here): x^2", [None]],
    ]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_dialog_marks_what_differs_however_far_below(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    (path,) = write_report([evaluation.run], tmp_path, ("html",), ReportOptions())
    browser = Browser(tmp_path / "profile")
    try:
        browser.size(420, 800)
        browser.open(path, "#s=whole-pages/long")
        assert marks(browser, "mark.surplus") == ["g"]
        assert marks(browser, "mark.missed") == ["Paragraph 60 says something of its own.\n\n", "y"]
        assert browser.run("document.documentElement.scrollWidth") == 420
        browser.open(path, "#s=whole-pages/tests")
        rows = marks(browser, ".fields tbody tr")
        assert rows == [
            "present: “<b>Fruit</b> costs”✓",
            "absent: “Page 3”✗",
            "math (not computed here): x^2–",
        ]
        assert browser.complaints == []
    finally:
        browser.close()


def marks(browser: Browser, selector: str) -> Any:
    """The texts of the dialog's elements, once the dialog is drawn."""
    browser.wait('!!document.querySelector("#d-text .said")')
    return browser.run(
        f'Array.from(document.querySelectorAll("#d-text {selector}"), (one) => one.textContent)'
    )

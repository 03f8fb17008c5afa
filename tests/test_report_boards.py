"""Only models that answered the same questions are ranked together."""

import dataclasses

import numpy as np
import pytest

from bench.drawing.names import shortened
from bench.report import build, make_sections, terminal_summary
from bench.report.boards import groups
from bench.report.markdown import markdown
from bench.report.section import Section, Text
from bench.scoring.evaluation import evaluate
from tests.run_fixture import FixtureModel, make_run, make_tasks

RIGHT = FixtureModel("right", skill=2.0)
WRONG = FixtureModel("wrong", skill=-1.0)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def joint(tmp_path, first, second, models=(RIGHT, WRONG)):
    """The view of two runs, each of one model that was asked some tasks."""
    runs = [
        make_run(tmp_path / str(number), [model], tasks, name=f"run-{number}", previews=False)
        for number, (model, tasks) in enumerate(zip(models, (first, second), strict=True))
    ]
    return build([evaluate(run) for run in runs])


def test_models_are_compared_on_the_questions_that_all_of_them_answered(tmp_path):
    tasks = make_tasks(4, 2, ["ru", "en", "zh"])
    view = joint(tmp_path, tasks[:2], tasks[1:])
    (board,) = view.boards
    assert (board.questions, board.documents, board.tasks) == (8, 4, ("invoices-en",))
    assert board.is_part
    assert [row.score.n for row in view.rows] == [8, 8]
    assert view.score_name == "ANLS"
    assert view.pairs[0].difference.n == 8
    assert any("only the 8 questions of 4 documents" in caveat.text for caveat in view.caveats)


def test_a_score_on_common_questions_weighs_their_tasks_alike(tmp_path):
    ru, en, zh = make_tasks(4, 2, ["ru", "en", "zh"])
    few = dataclasses.replace(ru, samples=ru.samples[:2])
    half = dataclasses.replace(WRONG, name="half")
    view = joint(tmp_path, [few, en], [few, en, zh], (RIGHT, half))
    assert view.boards[0].tasks == ("invoices-ru", "invoices-en")
    scores = [
        [view.row("half").tasks[name].estimate.value for name in view.boards[0].tasks],
        view.row("half").score.value,
    ]
    assert scores[1] == pytest.approx(sum(scores[0]) / 2)


def test_models_that_share_no_question_stand_on_two_boards(tmp_path):
    tasks = make_tasks(4, 2, ["ru", "en"])
    view = joint(tmp_path, tasks[:1], tasks[1:])
    assert [board.keys for board in view.boards] == [("right",), ("wrong",)]
    assert [row.rank for row in view.rows] == [1, 1]
    assert not view.pairs
    assert view.verdict.leaders == ("right", "wrong")
    assert any("separate boards" in caveat.text for caveat in view.caveats)


def test_the_sentences_of_a_board_stand_together_and_name_its_leader(tmp_path):
    tasks = make_tasks(4, 2, ["ru", "en"])
    names = [
        FixtureModel(name, skill=skill)
        for name, skill in (("a", 2.0), ("b", -1.0), ("d", 2.0), ("e", -1.0))
    ]
    runs = [
        make_run(tmp_path / "ru", names[:2], tasks[:1], name="ru", previews=False),
        make_run(tmp_path / "en", names[2:], tasks[1:], name="en", previews=False),
    ]
    view = build([evaluate(run) for run in runs])
    first, second = view.verdict.boards
    assert [clauses[0].text for clauses in (first, second)] == [
        "Of a and b, take a.",
        "Of d and e, take d.",
    ]
    assert first[1].text.startswith("a scores ")
    assert second[1].text.startswith("d scores ")
    assert not any(clause.text.startswith("It ") for clause in (*first, *second))
    written = markdown(make_sections(view))
    assert (
        written.index("take a.")
        < written.index("a scores ")
        < written.index("take d.")
        < written.index("d scores ")
    )


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_a_terminal_shows_the_models_of_each_board(tmp_path, width):
    tasks = make_tasks(4, 2, ["ru", "en"])
    view = joint(tmp_path, tasks[:1], tasks[1:])
    table, *_ = terminal_summary(make_sections(view), width).split("\n\n")
    assert [name for name in ("right", "wrong") if name in table.split()] == ["right", "wrong"]
    words = " ".join(table.split())
    assert words.count("Ranked on 8 questions of invoices-") == 2
    assert all(len(line) <= width for line in table.splitlines())


def test_a_terminal_cuts_long_sentences_between_words():
    words = " ".join(f"word-{number}" for number in range(200))
    section = Section(
        "top", "T", (Text((words,), "headline"), Text((words,), "warning", "Warning"))
    )
    printed = terminal_summary([section], 5000)
    for line in printed.splitlines():
        *whole, last = line.split()[1:]
        assert last == "…"
        assert set(whole) < set(words.split())


def test_a_handful_of_common_questions_makes_no_board():
    asked = np.zeros((3, 100), dtype=bool)
    asked[0, :50], asked[1, 45:95], asked[2, :40] = True, True, True
    ((first, common), (second, _)) = groups(asked, [0, 1, 2])
    assert (first, second) == ([0, 2], [1])
    assert common.sum() == 40


def test_models_of_one_run_are_ranked_on_all_questions(tmp_path):
    run = make_run(tmp_path, [RIGHT, WRONG], previews=False)
    (board,) = build([evaluate(run)]).boards
    assert not board.is_part
    assert board.questions == 72


def test_names_that_differ_never_look_the_same():
    names = [f"qwen2-vl-7b-instruct-gptq-{bits}-group128-sym-true" for bits in ("int4", "int8")]
    short = shortened([*names, "ocr"], 20)
    assert len(set(short.values())) == 3
    assert short["ocr"] == "ocr"
    assert all(len(text) < len(name) for name, text in short.items() if name != "ocr")


def test_error_rates_of_one_kind_have_a_common_score_of_which_lower_is_better(tmp_path):
    tasks = [dataclasses.replace(task, metrics=("cer",)) for task in make_tasks(4, 2, ["ru", "en"])]
    models = [FixtureModel("good", skill=0.9), FixtureModel("bad", skill=0.2)]
    view = build([evaluate(make_run(tmp_path, models, tasks, previews=False))])
    good, bad = view.rows
    assert (good.key, view.higher_is_better) == ("good", False)
    assert view.score_name == "mean character error rate over 2 tasks"
    assert "; lower is better)" in view.verdict.detail
    # References are of different lengths: a task's rate, and so the lead, weighs them by their letters.
    assert view.pairs[0].difference.difference == pytest.approx(bad.score.value - good.score.value)

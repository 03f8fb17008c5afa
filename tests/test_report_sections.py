"""The one description of a report: what a section is, and that every renderer draws it."""

import ast
import csv
import dataclasses
import importlib
import importlib.machinery
import io
import json
import re
import types
from pathlib import Path

import pytest

import bench.report
from bench.errors import InvalidInput
from bench.report import (
    FORMATS,
    SECTIONS,
    TERMINAL_SECTIONS,
    ReportOptions,
    build,
    make_sections,
    terminal_summary,
    write_report,
)
from bench.report.html import html
from bench.report.markdown import markdown
from bench.report.section import (
    Column,
    DataCell,
    Group,
    Row,
    Section,
    Table,
    Text,
    model_cell,
    tables,
)
from bench.report.show import show_sample
from bench.report.tables import report_json, table_csv
from bench.scoring.evaluation import evaluate
from tests.run_fixture import MODELS, FixtureModel, make_run, make_tasks

RIGHT = FixtureModel("right", skill=2.0)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, previews=False)


def view_of(run):
    return build([evaluate(run)], ReportOptions())


def table_of(view, section, name):
    (found,) = (s for s in make_sections(view) if s.id == section)
    return next(table for table in tables(found, "csv") if table.id == name)


def test_a_terminal_shows_its_sections_and_no_others(run):
    view = view_of(run)
    shown = terminal_summary(make_sections(view))
    assert shown == terminal_summary(make_sections(view, TERMINAL_SECTIONS))
    assert all(model.name in shown for model in MODELS)


@pytest.mark.parametrize("name", sorted(SECTIONS.keys() - TERMINAL_SECTIONS.keys()))
def test_a_section_that_a_terminal_leaves_out_says_so(name):
    module, _, _ = SECTIONS[name].partition(":")
    source = Path(importlib.import_module(module).__file__).read_text(encoding="utf-8")
    (made,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Section"
    )
    names = {getattr(argument, "id", "") for argument in made.args}
    assert names & {"DOCUMENTS", "DATA", "PAGE"}


# A section of one's own: everything that adding one takes


def price(view):
    """What a thousand questions cost at 2.50 an hour; None where nothing was measured."""
    rows = []
    for row in view.rows:
        rate = row.facts.throughput
        value = rate and rate.questions_per_second and 2.5 / 3600 * 1000 / rate.questions_per_second
        cells = {
            "model": model_cell(row.key),
            "price": DataCell(value, reason="No rate was measured."),
        }
        rows.append(Row(cells, model=row.key))
    columns = (
        Column("model", "Model", header=True),
        Column("price", "Price of 1,000 questions", format="significant", better="lower"),
    )
    note = Text(("One GPU costs 2.50 an hour.",), "note")
    return Section("price", "What it costs", (note, Table("prices", columns, tuple(rows))))


def test_a_section_from_outside_is_seen_in_all_outputs(run, tmp_path):
    makers = {**SECTIONS, "price": price}
    files = {
        path.name: path.read_text(encoding="utf-8")
        for path in write_report([run], tmp_path / "out", FORMATS, sections=makers)
    }
    view = view_of(run)
    shown = terminal_summary(make_sections(view, makers))
    for text in (shown, files["report.md"], files["report.html"], files["report.json"]):
        assert "Price of 1,000 questions" in text
        assert "One GPU costs 2.50 an hour." in text
    rows = list(csv.DictReader(io.StringIO(files["price-prices.csv"].removeprefix("\ufeff"))))
    assert [row["model"] for row in rows] == [row.key for row in view.rows]
    rate = view.rows[0].facts.throughput.questions_per_second
    assert float(rows[0]["price"]) == pytest.approx(2.5 / 3.6 / rate)
    assert '<a href="#price">What it costs</a>' in files["report.html"]
    assert "## What it costs" in files["report.md"]
    (section,) = (s for s in json.loads(files["report.json"])["sections"] if s["id"] == "price")
    assert [block["block"] for block in section["blocks"]] == ["text", "table"]


def test_a_section_may_be_named_by_its_module(run):
    makers = {"price": "tests.test_report_sections:price"}
    assert [section.id for section in make_sections(view_of(run), makers)] == ["price"]


def test_two_sections_of_one_id_are_refused(run):
    with pytest.raises(InvalidInput, match="price"):
        make_sections(view_of(run), {"a": price, "b": price})


def test_a_report_may_be_of_other_sections_alone(run, tmp_path):
    (page,) = write_report([run], tmp_path / "out", ("html",), sections={"price": price})
    text = page.read_text(encoding="utf-8")
    assert "Price of 1,000 questions" in text
    assert 'id="texts-0"' not in text
    assert 'href="#samples"' not in text


def test_a_section_is_drawn_only_where_it_says(run):
    def elsewhere(view):
        return dataclasses.replace(price(view), outputs=frozenset(("json",)))

    view = view_of(run)
    sections = make_sections(view, {**SECTIONS, "price": elsewhere})
    drawn = (
        terminal_summary(sections),
        markdown(sections),
        html(view, sections, ReportOptions(), run.path / "x.html"),
    )
    assert not any("What it costs" in text for text in drawn)
    assert "What it costs" in report_json(view, sections)


def test_kinds_of_errors_add_up_to_the_error_rate(tmp_path):
    tasks = [dataclasses.replace(task, metrics=("anls", "cer", "wer")) for task in make_tasks()]
    evaluation = evaluate(make_run(tmp_path, tasks=tasks, previews=False))
    table = table_of(build([evaluation], ReportOptions()), "edit-errors", "kinds")
    assert len(table.rows) == len(MODELS) * len(tasks) * 2
    for row in table.rows:
        values = {key: cell.value for key, cell in row.cells.items()}
        kinds = values["substitutions"] + values["deletions"] + values["insertions"]
        assert kinds == pytest.approx(values["rate"])
        cell = evaluation.cells[values["model"], values["task"]]
        metric = {"Character error rate": "cer", "Word error rate": "wer"}[values["metric"]]
        assert values["rate"] == pytest.approx(cell.estimates[metric].value)


def test_a_report_without_error_rates_has_no_kinds_of_errors(run):
    evaluation = evaluate(run, ["anls"])
    sections = make_sections(build([evaluation], ReportOptions()))
    assert "edit-errors" not in {section.id for section in sections}


def test_renderers_know_no_section():
    """They import the nouns and the way they are written, and nothing of what a report is about."""
    room = Path(bench.report.__file__).parent
    allowed = {"cells", "embed", "markup", "options", "section", "sections", "views"}
    for name in ("terminal", "markdown", "html", "cells"):
        tree = ast.parse((room / f"{name}.py").read_text(encoding="utf-8"))
        imported = {
            node.module.split(".")[2]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("bench.report.")
        }
        assert imported <= allowed, name


# Tables


def test_hostile_text_of_a_section_is_text_everywhere(run):
    evil = "</script><b>x</b> | a `b` \x1b[31m \u202e"
    columns = (Column("a", evil, note=evil), Column("n", "n", format="count"))
    rows = (
        Row(
            {
                "a": DataCell(evil, note=evil, hover=evil, details=(evil,)),
                "n": DataCell(reason=evil),
            },
            evil,
        ),
    )
    block = Group((Table("t", columns, rows, evil), Text((evil,), "warning")), evil)
    view = view_of(run)
    sections = (Section("s", evil, (block,)),)
    page = html(view, sections, ReportOptions(), run.path / "x.html")
    assert "<b>x" not in page
    drawn = (page, markdown(sections), terminal_summary(sections))
    assert not any("\x1b" in text or "\u202e" in text for text in drawn)
    assert "<b>" not in markdown(sections)


def test_a_missing_value_is_a_dash_with_its_reason(run):
    columns = (Column("model", "Model", header=True), Column("n", "n", format="count"))
    rows = tuple(
        Row({"model": DataCell(str(i)), "n": DataCell(reason="Not counted.")}) for i in range(2)
    )
    view = view_of(run)
    sections = (Section("s", "S", (Table("t", columns, rows),)),)
    assert "| 0 | –¹ |" in markdown(sections)
    assert markdown(sections).count("¹ Not counted.") == 1
    assert terminal_summary(sections).count("Not counted.") == 1
    page = html(view, sections, ReportOptions(), run.path / "x.html")
    assert page.count('title="Not counted.">–<span class="sr"> Not counted.</span>') == 2
    assert table_csv(rows and sections[0].blocks[0]) == "model,n\n0,\n1,\n"


def test_every_dash_of_every_section_has_a_reason(tmp_path):
    broken = FixtureModel("broken", load_failure="no weights")
    half = FixtureModel("half", asked=0.5)
    view = view_of(make_run(tmp_path, [*MODELS, broken, half], previews=False))
    for section in make_sections(view):
        for table in tables(section, "html"):
            for row in table.rows:
                for column in table.columns:
                    cell = row.cells.get(column.key, DataCell(""))
                    assert cell.value is not None or cell.reason, (section.id, table.id, column.key)


def test_numbers_in_csv_are_raw(run):
    view = view_of(run)
    lines = list(csv.DictReader(io.StringIO(table_csv(table_of(view, "leaderboard", "models")))))
    for line, row in zip(lines, view.rows, strict=True):
        assert float(line["score"]) == row.score.value
        assert float(line["score low"]) == row.score.low
        assert int(line["memory"]) == row.facts.memory.bytes
        assert float(line["p95"]) == row.facts.latency.p95


def test_a_narrow_terminal_keeps_the_score_and_loses_columns_from_the_least_important_on(run):
    view = view_of(run)
    heads = [
        terminal_summary(make_sections(view), width).splitlines()[0] for width in (160, 72, 40)
    ]
    assert all("Model" in head and "Score" in head and "Failed" in head for head in heads)
    assert [("95% interval" in head, "p95" in head) for head in heads] == [
        (True, True),
        (True, False),
        (False, False),
    ]


def test_merged_cells_stay_within_what_they_belong_to(run):
    columns = (
        Column("task", "Task", header=True, merged=True),
        Column("n", "n", format="count", merged=True),
        Column("v", "v"),
    )
    rows = tuple(
        Row({"task": DataCell(task), "n": DataCell(4), "v": DataCell(value)})
        for task, value in (("a", "1"), ("a", "2"), ("b", "3"))
    )
    sections = (Section("s", "S", (Table("t", columns, rows),)),)
    text = markdown(sections)
    assert "| a | 4 | 1 |\n|  |  | 2 |\n| b | 4 | 3 |" in text


# One source for a figure


def test_questions_per_page_count_a_page_once_however_its_questions_are_batched(tmp_path):
    (task,) = make_tasks(2, 6, ["en"])
    view = view_of(make_run(tmp_path, [RIGHT], [task], previews=False))
    rate = view.rows[0].facts.throughput
    # Twelve questions about three pages, in two batches that both hold questions of the second document.
    assert (rate.questions, rate.distinct_pages, rate.questions_per_page) == (12, 3, 4)
    assert rate.questions / rate.distinct_pages == view.load.questions / view.load.pages
    cell = table_of(view, "speed", "throughput").rows[0].cells["questions_per_page"]
    assert cell.value == 4
    assert "4.00 questions per page (12 questions about 3 pages)" in markdown(make_sections(view))


def test_questions_per_page_are_those_that_were_measured(tmp_path):
    run = make_run(tmp_path, [RIGHT], make_tasks(4, 4, ["en"]), previews=False)
    path = run.cell_folder("right", "invoices-en") / "batches.jsonl"
    first, *_ = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(first, encoding="utf-8")
    rate = view_of(run).rows[0].facts.throughput
    # The first eight questions are about two documents, of one page and of two.
    assert (rate.questions, rate.distinct_pages) == (8, 3)


# What does not apply to a model


def test_a_model_on_a_server_is_not_shown_with_the_memory_of_this_machine(tmp_path):
    traits = {"runs_in": "server", "memory": None, "token_counts": False}
    remote = dataclasses.replace(MODELS[1], watched=True, details={"traits": traits})
    view = view_of(make_run(tmp_path, [remote, RIGHT], previews=False))
    row = view.row(remote.name)
    assert (row.facts.memory, row.facts.energy, row.facts.conditions) == (None, None, None)
    assert row.hardware == ""
    cells = {r.model: r.cells for r in table_of(view, "leaderboard", "models").rows}
    assert cells[remote.name]["memory"].value is None
    assert "runs on a server" in cells[remote.name]["memory"].reason
    assert cells["right"]["memory"].value > 0
    assert "runs on a server" in markdown(make_sections(view))


def test_a_backend_without_tokens_says_so(run):
    rows = {r.model: r.cells for r in table_of(view_of(run), "speed", "throughput").rows}
    assert rows["ocr"]["tokens_per_second"].reason == "The backend does not count tokens."
    assert rows["qwen2-vl-7b"]["tokens_per_second"].value > 0


@pytest.mark.parametrize("traits", [None, "x", {"memory": 3}, {"token_counts": "yes"}])
def test_traits_that_are_none_are_passed_over(tmp_path, traits):
    model = dataclasses.replace(RIGHT, details={"traits": traits})
    view = view_of(make_run(tmp_path, [model], previews=False))
    assert view.rows[0].facts.memory is not None


def test_a_task_may_have_the_name_of_a_column(tmp_path):
    (task,) = make_tasks(2, 2, ["en"])
    tasks = [dataclasses.replace(task, name=name) for name in ("memory", "score")]
    view = view_of(make_run(tmp_path, [RIGHT], tasks, previews=False))
    cells = table_of(view, "leaderboard", "models").rows[0].cells
    assert cells["memory"].value == view.rows[0].facts.memory.bytes
    assert cells["score"].value == 1


def test_a_model_may_have_the_name_of_a_column(tmp_path):
    models = [dataclasses.replace(RIGHT, name=name) for name in ("n", "task", "kind")]
    view = view_of(make_run(tmp_path, models, previews=False))
    cells = table_of(view, "tasks", "scores").rows[0].cells
    assert (cells["task"].value, cells["n"].value) == ("invoices-ru", 24)
    assert cells["model:n"].value == 1


def test_pages_that_a_server_shrank_are_warned_of(run):
    name, task = run.model_names()[0], run.task_names()[0]
    output = next(iter(run.outputs(name, task).values()))
    served = {"doubt": "the model saw 64 visual tokens where 144 were sent"}
    run.append_outputs(name, task, [dataclasses.replace(output, served=served)])
    view = view_of(run)
    asked = view.row(name).asked
    warning = next(caveat.text for caveat in view.caveats if "server" in caveat.text)
    assert warning.endswith(f"{name} (1 answer of {asked}).")
    shown = show_sample(evaluate(run), f"{task}/{output.sample_id}")
    assert "doubt     the model saw 64 visual tokens where 144 were sent" in shown


def test_the_section_in_the_documentation_is_drawn_by_every_renderer(run, tmp_path):
    page = (Path(bench.report.__file__).parents[2] / "docs" / "adding.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n# bench/report/sections/sizes.py\n(.*?)```", page, re.DOTALL)
    module = types.ModuleType("sizes")
    source = tmp_path / "sizes.py"
    source.write_text(code, encoding="utf-8")
    importlib.machinery.SourceFileLoader("sizes", str(source)).exec_module(module)
    sections = {**SECTIONS, "sizes": module.section}
    paths = write_report([run], tmp_path / "out", ("html", "md", "csv", "json"), sections=sections)
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    for name in ("report.html", "report.md", "report.json"):
        assert "How large the models are" in texts[name]
    assert "sizes-models.csv" in texts
    view = view_of(run)
    assert "Parameters" in terminal_summary(make_sections(view, sections))


def test_every_row_of_a_table_with_two_merged_headings_is_whole(run):
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("task", "Task", header=True, merged=True),
        Column("n", "n", format="count"),
    )
    values = [("a", "x", 1), ("a", "x", 2), ("a", "y", 3), ("b", "y", 4)]
    rows = tuple(
        Row({"model": DataCell(model), "task": DataCell(task), "n": DataCell(n)})
        for model, task, n in values
    )
    section = Section("mine", "Mine", (Table("t", columns, rows),))
    view = view_of(run)
    page = html(view, (section,), ReportOptions(), Path("report.html"))
    (table,) = re.findall(r'<table id="mine-t".*?</table>', page, re.DOTALL)
    for body in re.findall(r"<tbody>.*?</tbody>", table, re.DOTALL):
        # Cells that begin in a row, and those that reach into it from a row above.
        reaching: list[int] = []
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
            cells = re.findall(r"<t[hd][^>]*>", row)
            spans = [int(re.search(r'rowspan="(\d+)"', cell + ' rowspan="1"')[1]) for cell in cells]
            assert len(cells) + len(reaching) == len(columns)
            reaching = [left - 1 for left in reaching + spans if left > 1]
        assert not reaching

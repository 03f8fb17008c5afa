"""What a browser makes of the report, from a file, with no network. One Chromium serves all tests."""

import dataclasses
import importlib.resources
import json
import re
from urllib.parse import quote

import pytest

from bench.report import ReportOptions, build, write_report
from bench.runner.perturb import perturbed_task
from bench.schema import Perturbation
from bench.scoring.evaluation import evaluate
from tests.browser import CHROMIUM, Browser
from tests.run_fixture import MODELS, FixtureModel, make_run, make_tasks

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.timeout(300),
]

RIGHT = FixtureModel("right", skill=2.0)
WRONG = FixtureModel("wrong", skill=-1.0, error_rate=0.2)
MISFORMATTED = FixtureModel("misformatted", skill=2.0, misformat=1.0)
MEASURED = (dataclasses.replace(MODELS[0], memory=40 * 2**30), *MODELS[1:])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


class Page:
    """A report in a file, and its run."""

    def __init__(self, run, **options):
        self.run = run
        self.view = build([evaluate(run)])
        (self.path,) = write_report([run], None, ("html",), ReportOptions(**options))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Models of different cost; the best does not fit a usual GPU."""
    return Page(make_run(tmp_path_factory.mktemp("measured"), MEASURED))


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """Models whose answers are known: right, wrong or failed, and right in another format."""
    return Page(make_run(tmp_path_factory.mktemp("answered"), [RIGHT, WRONG, MISFORMATTED]))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose every text wants to be more than text, and one text of a megabyte."""
    return Page(make_run(tmp_path_factory.mktemp("hostile"), [RIGHT, WRONG], hostile=True))


@pytest.fixture
def page(browser):
    """Opens a report at 1440 × 900; afterwards there were no requests and no complaints."""

    def opened(report, fragment="", width=1440, height=900):
        browser.size(width, height)
        browser.open(report.path, fragment)
        return browser

    yield opened
    assert browser.complaints == []
    assert {url.split("#")[0].split("/")[-1] for url in browser.requests} <= {"report.html"}


def link_to(task, sample):
    return f"#s={quote(task, safe='')}/{quote(sample, safe='')}"


def click(browser, selector):
    browser.run(f"document.querySelector({json.dumps(selector)}).click()")


def fill(browser, name, value, event):
    browser.run(
        f"(() => {{ const field = document.getElementById({json.dumps(name)});"
        f"field.value = {json.dumps(value)};"
        f"field.dispatchEvent(new Event({json.dumps(event)}, {{bubbles: true}})); }})()"
    )


def text(browser, name):
    return browser.run(f"document.getElementById({json.dumps(name)}).textContent")


def wait_for(browser, name, wanted):
    browser.wait(
        f"document.getElementById({json.dumps(name)}).textContent === {json.dumps(wanted)}"
    )


OPEN = 'document.getElementById("detail").open'


# The first view


def test_first_view_holds_the_recommendation_the_board_and_the_plot(page, measured):
    browser = page(measured)
    bottoms = browser.run(
        '[".verdict", ".board tbody tr:last-child", ".first-view .plot"].map('
        "(s) => document.querySelector(s).getBoundingClientRect().bottom)"
    )
    assert max(bottoms) < 900
    assert browser.run("document.documentElement.scrollWidth") == 1440
    browser.size(420, 900)
    assert browser.run("document.documentElement.scrollWidth") == 420
    # Beside the plot, too, the board has the room that it needs.
    browser.size(1200, 900)
    wide = 'document.querySelector(".board-box").scrollWidth'
    assert browser.run(wide) == browser.run(wide.replace("scroll", "client"))


def test_paper_is_white_and_cuts_no_table(page, measured):
    browser = page(measured, width=720)
    paper = "getComputedStyle(document.documentElement).getPropertyValue('--m0')"
    light = browser.run(paper)
    browser.size(720, 900, dark=True)
    assert browser.run(paper) != light
    browser.run('document.documentElement.dataset.theme = "dark"')
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run(paper) == light
    wide = "Math.max(...[...document.querySelectorAll('table')].map((t) => t.getBoundingClientRect().right))"
    assert browser.run(wide) <= 720
    browser.call("Emulation.setEmulatedMedia", media="")


def test_every_clause_leads_to_its_evidence(page, measured):
    browser = page(measured)
    links = browser.run(
        '[...document.querySelectorAll("a.clause")].map((a) => a.getAttribute("href").slice(1))'
    )
    assert len(links) == len(measured.view.verdict.clauses)
    assert all(browser.run(f"!!document.getElementById({json.dumps(link)})") for link in links)


def test_budgets_rank_anew_and_come_back_from_the_address(page, measured):
    browser = page(measured)
    ranked = (
        '[...document.querySelectorAll(".board tr[data-name]")].map('
        '(r) => [r.dataset.name, r.cells[0].textContent, r.classList.contains("out")])'
    )
    names = [row.key for row in measured.view.rows]
    # My GPU has 24 GB until a person says otherwise.
    assert browser.run(ranked)[-1] == ["qwen2-vl-7b", "–", True]
    assert text(browser, "pick") == f"Within these budgets take {names[1]}; 1 model does not fit."
    fill(browser, "max-memory", "80", "input")
    assert [row[0] for row in browser.run(ranked)] == names
    fill(browser, "max-memory", "4", "input")
    fill(browser, "max-p95", "5", "input")
    chosen, address = browser.run(ranked), browser.run("location.hash")
    assert address == "#memory=4&p95=5"
    assert [name for name, _, out in chosen if not out] == ["qwen2-vl-2b-int4", "ocr"]
    assert chosen[0][1].startswith("1")
    assert browser.run('document.querySelectorAll(".plot .point.out").length') > 0
    browser.open(measured.path, address)
    assert browser.run(ranked) == chosen
    fill(browser, "max-score", "0.99", "input")
    assert text(browser, "pick") == "No model fits."
    browser.open(measured.path, "#memory=")
    assert text(browser, "pick") == ""


def test_headers_sort_and_say_so(page, measured):
    browser = page(measured, "#memory=")
    head = 'document.querySelector(".board [data-column=questions_per_second]")'
    values = (
        f'[...document.querySelectorAll(".board tr[data-name]")].map('
        f"(r) => Number(r.cells[{head}.cellIndex].dataset.v))"
    )
    for way, backwards in (("descending", True), ("ascending", False)):
        browser.run(f'{head}.querySelector("button").click()')
        assert browser.run(f'{head}.getAttribute("aria-sort")') == way
        rates = browser.run(values)
        assert rates == sorted(rates, reverse=backwards)


# The list and its filters


def test_list_is_filled(page, answered):
    browser = page(answered)
    assert text(browser, "status") == "72 questions"
    assert browser.run('document.querySelectorAll("#list a.id").length') == 72


def test_filters_narrow_the_list_and_come_back_from_the_address(page, answered):
    browser = page(answered)
    wrong = answered.view.row("wrong")
    bad = wrong.levels["failed"] + wrong.levels["wrong"]
    cases = {"failed": f"{wrong.failed} of 72", "wrong": f"{bad} of 72", "right": "72"}
    for show, count in cases.items():
        fill(browser, "f-show", show, "change")
        wait_for(browser, "status", f"{count} questions")
    fill(browser, "f-show", "failed", "change")
    fill(browser, "f-model", "right", "change")
    browser.wait('!!document.querySelector("#list .empty")')
    click(browser, "#f-clear")
    fill(browser, "f-task", "invoices-zh", "change")
    wait_for(browser, "status", "24 of 72 questions")
    fill(browser, "f-text", "销售方", "input")
    wait_for(browser, "status", "6 of 72 questions")
    address = browser.run("location.hash")
    browser.open(answered.path, address)
    assert text(browser, "status") == "6 of 72 questions"
    assert browser.run('document.getElementById("f-text").value') == "销售方"


def test_count_of_wins_leads_to_its_questions(page, answered):
    browser = page(answered)
    link = browser.run('document.querySelector("#compare a[data-filter]").dataset.filter')
    better, worse = json.loads(link)["better"]
    pair = next(p for p in answered.view.pairs if {p.first, p.second} == {better, worse})
    wins = pair.wins if pair.first == better else pair.losses
    click(browser, "#compare a[data-filter]")
    wait_for(browser, "status", f"{wins} of 72 questions" if wins < 72 else "72 questions")
    assert text(browser, "f-chips") == f"{better} better than {worse} ✕"
    browser.open(answered.path, browser.run("location.hash"))
    assert text(browser, "f-chips") == f"{better} better than {worse} ✕"


def test_answers_about_perturbed_pages_are_listed_where_their_task_is_chosen(page, tmp_path):
    clean = make_tasks(languages=("en",))[0]
    tasks = [clean, *(perturbed_task(clean, Perturbation("blur", n, 0)) for n in (1, 2))]
    browser = page(Page(make_run(tmp_path, [RIGHT, WRONG], tasks, previews=False)))
    assert text(browser, "status") == "24 questions"
    click(browser, '#robustness tr:last-child a[data-filter*="blur-2"]')
    browser.wait('document.getElementById("status").textContent.endsWith(" of 24 questions")')
    assert browser.run('document.getElementById("f-task").value') == f"{clean.name}@blur-2"
    click(browser, "#list a.id")
    browser.wait(OPEN)
    assert text(browser, "d-file").endswith("digitally perturbed: blur, severity 2")


def test_going_back_undoes_a_link_and_closes_a_question(page, answered):
    browser = page(answered)
    click(browser, '#mistakes-kinds a[data-filter*="format_only"]')
    browser.wait('document.getElementById("status").textContent.includes(" of ")')
    click(browser, "#list a.id")
    browser.wait(OPEN)
    browser.run("history.back()")
    browser.wait(f"!{OPEN}")
    assert " of 72" in text(browser, "status")
    browser.run("history.back()")
    wait_for(browser, "status", "72 questions")


def test_kind_of_wrong_filters_the_list_and_stands_in_the_question(page, answered):
    browser = page(answered)
    kinds = {kind.name: kind for kind in answered.view.mistakes}
    click(browser, '#mistakes-kinds a[data-filter*="format_only"]')
    count = kinds["format_only"].counts["misformatted"]
    wait_for(browser, "status", f"{count} of 72 questions")
    assert browser.run('document.getElementById("f-model").value') == "misformatted"
    click(browser, "#list a.id")
    browser.wait(OPEN)
    assert "only in format" in text(browser, "d-text")
    click(browser, "#d-close")
    fill(browser, "f-model", "right", "change")
    wait_for(browser, "status", "0 of 72 questions")
    # Nobody's answer is both empty and partly right, though another's on the same question may be.
    fill(browser, "f-model", "", "change")
    fill(browser, "f-kind", "empty", "change")
    fill(browser, "f-show", "partly", "change")
    wait_for(browser, "status", "0 of 72 questions")


def test_packed_data_is_inflated(page, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.report.embed.PLAIN_BYTES", 1000)
    monkeypatch.setattr("bench.report.embed.CHUNK", 150)
    tasks = make_tasks(100, 4, ["zh"])
    browser = page(Page(make_run(tmp_path, [RIGHT], tasks, previews=False)))
    assert text(browser, "status") == "400 questions"
    assert text(browser, "page-of") == "Page 1 of 4"
    fill(browser, "f-text", "zh-99/q3", "input")
    wait_for(browser, "status", "1 of 400 questions")


def test_run_in_which_nothing_was_asked_has_a_page(page, tmp_path):
    browser = page(Page(make_run(tmp_path, [dataclasses.replace(RIGHT, asked=0.0)])))
    assert browser.run("document.documentElement.dataset.ready") == "1"


# One question


def test_answers_are_verbatim_in_the_dialog(page, hostile):
    browser = page(hostile)
    stored = {
        (task, output.sample_id, model): output
        for model in hostile.run.model_names()
        for task in hostile.run.task_names()
        for output in hostile.run.outputs(model, task).values()
    }
    # A sample of each hostile text, and ordinary ones.
    for task, sample in sorted({key[:2] for key in stored})[:28]:
        browser.run(f"location.hash = {json.dumps(link_to(task, sample))}")
        shown = f'document.querySelector("#d-text .tags span")?.textContent.endsWith({json.dumps(sample)})'
        browser.wait(f"{OPEN} && {shown}")
        seen = browser.run(
            '[...document.querySelectorAll("#d-text .verbatim")].map('
            "(v) => [v.dataset.modelName, [...v.textContent].map((c) => c.codePointAt(0))])"
        )
        assert seen or all(stored[task, sample, m].error for m in ("right", "wrong"))
        for model, codes in seen:
            output = stored[task, sample, model]
            assert codes == [ord(c) for c in output.text][:20_000], (task, sample, model)
    assert "pwned" not in browser.run("document.documentElement.outerHTML.split('<body')[0]")


def test_wrong_letters_are_marked_and_missed_ones_stand_below(page, tmp_path):
    (task,) = make_tasks(2, 1, ["ru"])
    given = ("шт", "12345", "8 шт", "12345")
    samples = tuple(
        dataclasses.replace(
            task.samples[0], id=f"s{n}", references=references, metadata={}, answer_type="text"
        )
        for n, references in enumerate(
            (("8 шт",), ("12845", "999", "98765"), ("",), ("999", "12845"))
        )
    )
    run = make_run(tmp_path, [WRONG], [dataclasses.replace(task, samples=samples)])
    outputs = [
        dataclasses.replace(o, text=text_, stop_reason="stop", error=None)
        for o, text_ in zip(run.outputs("wrong", task.name).values(), given, strict=True)
    ]
    run.append_outputs("wrong", task.name, outputs)
    report = Page(run)
    seen = []
    for sample in samples:
        browser = page(report, link_to(task.name, sample.id))
        browser.wait(OPEN)
        seen.append(
            browser.run(
                """(() => {
                const one = (s) => document.querySelector(s)?.textContent ?? null;
                const each = (s) => [...document.querySelectorAll(s)].map((n) => n.textContent);
                return [one(".verbatim"), each(".verbatim mark"), one(".pair > .reference"),
                        each(".pair > .reference mark"), each(".pair details .reference"),
                        document.getElementById("d-legend").hidden, one(".references em"),
                        one(".references > .expected")];
                })()"""
            )
        )
    browser = page(report, link_to(task.name, "s0"))
    browser.wait(OPEN)
    # A person marks the answer and copies it: the gaps that put equal letters below each other are no text.
    browser.run("getSelection().selectAllChildren(document.querySelector('.verbatim'))")
    assert browser.run("getSelection().toString()") == "шт"
    assert seen[0] == ["шт", [], "8 шт", ["8 "], [], False, None, "8 шт"]
    assert seen[1] == ["12345", ["3"], "12845", ["8"], ["98765", "999"], False, None, "12845"]
    assert seen[2][0] == "8 шт"
    assert seen[2][6] == "not on the page"
    # The reference that is nearest to the answers stands first, whatever the order in the task.
    assert seen[3][7] == "12845"


def test_objects_are_compared_field_by_field(page, tmp_path):
    (task,) = make_tasks(1, 1, ["en"])
    reference = {"number": "584", "total": "1,250.00", "items": [{"name": "Pen"}, {"name": "Ink"}]}
    answer = {"number": "584", "total": "1,260.00", "items": [{"name": "Ink"}]}
    sample = dataclasses.replace(
        task.samples[0], references=(reference,), answer_type="json", metadata={}
    )
    task = dataclasses.replace(task, samples=(sample,), metrics=("anls_star",))
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, error_rate=1.0)], [task])
    (output,) = run.outputs("right", task.name).values()
    written = json.dumps(answer)
    run.append_outputs(
        "right",
        task.name,
        [dataclasses.replace(output, text=written, stop_reason="stop", error=None)],
    )
    browser = page(Page(run), link_to(task.name, sample.id))
    browser.wait(OPEN)
    rows = browser.run(
        '[...document.querySelectorAll(".fields tbody tr")].map('
        "(r) => [...r.cells].map((c) => c.textContent))"
    )
    assert sorted(rows) == [
        ["items[1].name", "Pen", "✗ left out"],
        ["items[2].name", "Ink", "✓ Ink"],
        ["number", "584", "✓ 584"],
        ["total", "1,250.00", "◐ 1,260.00"],
    ]
    assert browser.run('document.querySelector(".verbatim").textContent') == written


@pytest.mark.parametrize(
    ("metric", "marks"),
    [("field_match", ["✓ 2024-03-12", "✗ PEN"]), ("kie_f1", ["✗ 2024-03-12", "✗ PEN"])],
)
def test_fields_are_judged_by_the_metric_of_the_task(page, tmp_path, metric, marks):
    (task,) = make_tasks(1, 1, ["en"])
    reference = {"date": "March 12, 2024", "goods": "Pencil"}
    sample = dataclasses.replace(
        task.samples[0], references=(reference,), answer_type="json", metadata={}
    )
    task = dataclasses.replace(task, samples=(sample,), metrics=(metric,))
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, error_rate=1.0)], [task])
    (output,) = run.outputs("right", task.name).values()
    written = json.dumps({"date": "2024-03-12", "goods": "PEN"})
    answer = dataclasses.replace(output, text=written, stop_reason="stop", error=None)
    run.append_outputs("right", task.name, [answer])
    browser = page(Page(run), link_to(task.name, sample.id))
    browser.wait(OPEN)
    cells = (
        '[...document.querySelectorAll(".fields tbody tr td:last-child")].map((c) => c.textContent)'
    )
    assert browser.run(cells) == marks
    assert f"as {metric} judges" in browser.run(
        'document.querySelector(".fields caption").textContent'
    )


def test_deep_link_opens_a_question_with_its_pages(page, answered):
    browser = page(answered, "#s=invoices-zh/zh-01%2Fq2")
    browser.wait(OPEN)
    assert browser.run('document.getElementById("d-question").lang') == "zh"
    assert text(browser, "d-question") == "销售方名称？"
    # The second document has two pages: both are there, below one another, with thumbnails.
    assert browser.run('document.querySelectorAll("#d-view img").length') == 2
    assert browser.run('document.querySelectorAll("#d-thumbs img").length') == 2


def test_keys_alone_lead_from_the_list_to_a_question_and_back(page, answered):
    browser = page(answered, "#task=invoices-en")
    browser.press("j")
    browser.wait(OPEN)
    places = [text(browser, "d-place")]
    for key in ("j", "ArrowRight", "k"):
        browser.press(key)
        browser.run("new Promise((done) => setTimeout(done, 30))")
        places.append(text(browser, "d-place"))
    assert places == ["1 of 24", "2 of 24", "3 of 24", "2 of 24"]
    assert browser.run("location.hash") == "#task=invoices-en&s=invoices-en/en-00%2Fq1"
    browser.press("+")
    assert text(browser, "d-zoom") == "125 %"
    browser.press("0")
    assert text(browser, "d-zoom") == "100 %"
    browser.press("?")
    assert browser.run('document.getElementById("help").open')
    browser.press("Escape")
    browser.press("Escape")
    assert not browser.run(OPEN)
    browser.wait('location.hash === "#task=invoices-en"')
    browser.press("/")
    assert browser.run("document.activeElement.id") == "f-text"


def test_budgets_and_clauses_are_reached_by_the_tab_key(page, measured):
    browser = page(measured)
    reached = set()
    for _ in range(60):
        browser.press("Tab")
        reached.add(browser.run("document.activeElement.id || document.activeElement.className"))
    assert {"max-memory", "max-p95", "max-score", "clause", "theme"} <= reached


# For everyone


@pytest.fixture(scope="module")
def axe():
    package = importlib.resources.files(pytest.importorskip("axe_core_python").__name__)
    return (package / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fragment", "dark"), [("", False), ("", True), ("#s=invoices-zh/zh-01%2Fq2", True)]
)
def test_page_has_no_violation_that_axe_knows(page, answered, axe, fragment, dark):
    browser = page(answered, fragment)
    browser.size(1440, 900, dark=dark)
    browser.run("matchMedia('(prefers-color-scheme: dark)').matches")
    browser.run(f"{axe};0")
    found = browser.run(
        "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map("
        "(v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ')).slice(0, 3).join(', ')))"
    )
    assert found == []


def test_theme_button_turns_what_is_seen(page, answered):
    browser = page(answered)
    click(browser, "#theme")
    assert browser.run("document.documentElement.dataset.theme") == "dark"
    assert re.fullmatch(
        r"rgb\(18, 20, 23\)", browser.run("getComputedStyle(document.body).backgroundColor")
    )


def test_two_fingers_zoom_the_page(page, answered):
    browser = page(answered, "#s=invoices-zh/zh-01%2Fq2")
    browser.wait(OPEN)
    x, y = browser.run(
        '(() => { const box = document.getElementById("d-view").getBoundingClientRect();'
        " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )

    def touch(kind, *places):
        points = [{"x": x + place, "y": y, "id": number} for number, place in enumerate(places)]
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", -20, 20)
    touch("touchMove", -30, 30)
    touch("touchMove", -40, 40)
    touch("touchEnd")
    # The fingers are twice as far apart.
    browser.wait('document.getElementById("d-zoom").textContent === "200 %"')

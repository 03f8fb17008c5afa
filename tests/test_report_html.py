"""The HTML report: what the file holds, and what a browser makes of it with no network."""

import dataclasses
import gzip
import html as html_module
import json
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from bench.drawing.axes import linear_ticks, log_ticks
from bench.drawing.lines import Line, LinePoint, Lines
from bench.drawing.plots import draw
from bench.report import ReportOptions, build, write_report
from bench.report.field_marks import FieldJudge
from bench.report.html import unbroken
from bench.report.options import MAX_TEXT
from bench.scoring.evaluation import evaluate
from tests.run_fixture import FixtureModel, make_run, make_tasks

RIGHT = FixtureModel("right", skill=2.0)
WRONG = FixtureModel("wrong", skill=-1.0)
MISFORMATTED = FixtureModel("misformatted", skill=2.0, misformat=1.0)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The page of a run like any other."""
    return page_of(make_run(tmp_path_factory.mktemp("demo")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of a run whose every text wants to be more than text."""
    return page_of(make_run(tmp_path_factory.mktemp("hostile"), hostile=True))


def page_of(run, **options):
    (path,) = write_report([run], None, ("html",), ReportOptions(**options))
    return path.read_text(encoding="utf-8")


def island(page, name):
    kind, text = re.search(
        rf'<script type="([^"]+)" id="{name}">(.*?)</script>', page, re.DOTALL
    ).groups()
    return json.loads(text if kind == "application/json" else gzip.decompress(b64decode(text)))


class Outline(HTMLParser):
    """Tags with their attributes, in order."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


# The file


def test_page_loads_nothing_from_outside(hostile):
    for _, attributes in Outline(hostile).tags:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:", "pages/")), (name, value)
    assert "@import" not in hostile
    assert "url(" not in hostile


def test_policy_allows_this_script_and_this_style_by_hash_alone(tmp_path):
    page = page_of(make_run(tmp_path, [RIGHT]))
    (policy,) = (m["content"] for m in Outline(page).all("meta") if m.get("http-equiv") is not None)
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    for (text,) in (script, style):
        assert b64encode(sha256(text.encode()).digest()).decode() in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_page_has_no_inline_style_or_handler(hostile):
    for tag, attributes in Outline(hostile).tags:
        assert not [a for a in attributes if a.startswith("on") or a == "style"], (tag, attributes)


def test_hostile_text_opens_no_tag(hostile):
    outline = Outline(hostile)
    assert not outline.all("img")
    assert len(outline.all("style")) == 1
    assert len([s for s in outline.all("script") if "type" not in s]) == 1


def test_page_holds_no_control_or_bidirectional_characters(hostile):
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", hostile
    )


def test_page_has_one_heading_of_the_first_rank_and_no_rank_is_skipped(demo):
    outline = Outline(demo)
    ranks = [int(tag[1]) for tag, _ in outline.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert ranks.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(ranks))


def test_every_table_of_data_has_a_caption_and_scoped_headers(demo):
    tables = re.findall(r"<table(?! class=\"mini\").*?</table>", demo, re.DOTALL)
    assert len(tables) >= 9
    for table in tables:
        assert "<caption" in table
        assert "scope=" in table
        assert not re.search(r"<th(?![^>]*scope=)[ >]", table)


def test_ids_are_unique_and_references_to_them_exist(demo):
    outline = Outline(demo)
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in outline.tags:
        for name in ("aria-labelledby", "for"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
        href = attributes.get("href", "")
        assert not href.startswith("#") or href.startswith("#s=") or href[1:] in ids


def test_numbers_are_complete_without_javascript(tmp_path):
    run = make_run(tmp_path)
    text = html_module.unescape(re.sub(r"<script.*?</script>", "", page_of(run), flags=re.DOTALL))
    for row in build([evaluate(run)]).rows:
        assert row.key in text
        assert f"{row.score.value:.3f}" in text
        assert f"[{row.score.low:.3f}, {row.score.high:.3f}]" in text
    assert text.count("<svg") > 10


def test_same_run_gives_the_same_data(tmp_path):
    run = make_run(tmp_path)
    assert island(page_of(run), "texts-0") == island(page_of(run), "texts-0")


def test_index_and_texts_hold_every_sample(tmp_path):
    run = make_run(tmp_path, [RIGHT, WRONG])
    page = page_of(run)
    index, texts = island(page, "index"), island(page, "texts-0")
    assert len(index["ids"]) == len(texts) == 72
    assert index["models"] == ["right", "wrong"]
    assert index["levels"][0] == "r" * 72
    question, references, answers, places = texts[0]
    assert question == "Итого к оплате?"
    assert answers[0][0] == references[0] == "128 450,00"
    assert places == []


def test_large_data_is_packed_and_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.report.embed.PLAIN_BYTES", 1000)
    run = make_run(tmp_path, [RIGHT], make_tasks(600, 4, ["zh"]), previews=False)
    page = page_of(run)
    assert '<script type="text/plain" id="texts-0">' in page
    assert len(island(page, "texts-0")) == 2000
    assert len(island(page, "texts-1")) == 400


def test_megabyte_of_answer_is_cut_and_its_length_is_told(tmp_path):
    run = make_run(tmp_path, [WRONG], hostile=True, previews=False)
    page = page_of(run)
    answer = island(page, "texts-0")[5][2][0]
    assert len(answer[0]) == MAX_TEXT
    assert answer[7] == 1_000_000
    assert re.search(r"\d+ texts were cut at 20,000 characters", page)


def test_every_kind_of_wrong_stands_with_its_rule_and_leads_to_its_questions(tmp_path):
    run = make_run(tmp_path)
    page, view = page_of(run), build([evaluate(run)])
    (table,) = re.findall(r'<table id="mistakes-kinds".*?</table>', page, re.DOTALL)
    table = html_module.unescape(table)
    assert len(view.mistakes) > 3
    for kind in view.mistakes:
        assert re.search(
            rf'{re.escape(kind.label)}\s*<span class="sub">{re.escape(kind.rule)}</span>', table
        )
        for model, count in kind.counts.items():
            link = {"kind": kind.name, "model": model}
            assert not count or f'data-filter="{json.dumps(link)}" dir="auto">{count}</a>' in table


def test_index_names_the_kind_of_every_wrong_answer(tmp_path):
    run = make_run(tmp_path)
    index, view = island(page_of(run), "index"), build([evaluate(run)])
    for column, model in zip(index["kinds"], index["models"], strict=True):
        assert len(column) == 72
        for kind in view.mistakes:
            (code,) = (c for c, names in index["kind_names"].items() if names[0] == kind.name)
            assert column.count(code) == kind.counts[model]


def test_equivalent_share_stands_below_each_headline(tmp_path):
    page = page_of(make_run(tmp_path, [MISFORMATTED]))
    (table,) = re.findall(r'<table id="tasks-scores".*?</table>', page, re.DOTALL)
    share = r"<strong>1\.000</strong> <span class=\"interval\">\[0\.\d+, 1\.000\]"
    assert len(re.findall(share, table)) == 3
    assert "wrong only in format, because the typed value" in table
    assert re.search(r">\d+ only in format</a>", table)


def test_published_scores_stand_beside_ours_with_what_differs(tmp_path):
    (task,) = make_tasks(6, 2, ["en"])
    task = dataclasses.replace(task, name="docvqa", title="DocVQA, validation")
    model = dataclasses.replace(RIGHT, name="Qwen2-VL-2B-Instruct")
    run = make_run(tmp_path, [model], [task])
    lines = build([evaluate(run)]).published
    text = html_module.unescape(page_of(run))
    assert lines
    for line in lines:
        assert re.search(rf">\s*{line.published:.3f} <span", text)
        assert all(difference in text for difference in line.differences)
    assert '<a href="#published">' in text
    assert 'id="published"' not in page_of(make_run(tmp_path / "other", [RIGHT]))


def test_classes_of_pages_have_their_confusion_matrix(tmp_path):
    (task,) = make_tasks(3, 2, ["en"])
    samples = tuple(dataclasses.replace(s, references=("0,1,1",)) for s in task.samples)
    metrics = ("page_accuracy", "exact_match")
    task = dataclasses.replace(task, samples=samples, metrics=metrics)
    page = page_of(make_run(tmp_path, [RIGHT], [task]))
    (table,) = re.findall(r'<table id="page-classes-0".*?</table>', page, re.DOTALL)
    assert re.findall(r'<td class="num( diagonal)?">(\d+)</td>', table) == [
        *((" diagonal", "6"), ("", "0")),
        *(("", "0"), (" diagonal", "12")),
    ]


def test_run_without_a_wrong_answer_says_so(tmp_path):
    page = page_of(make_run(tmp_path, [RIGHT]))
    assert "No answer is wrong." in page
    assert 'id="f-kind"' not in page


def test_page_says_what_extraction_changed(demo, tmp_path):
    (table,) = re.findall(r'<table id="extraction-scores".*?</table>', demo, re.DOTALL)
    assert "qwen2-vl-2b-int4" in table
    assert "Raw texts" in table
    assert "It changed no headline score." in page_of(make_run(tmp_path, [RIGHT]))


def test_page_warns_of_what_a_model_cannot_do(demo):
    assert "<li>ocr: no reader for Cyrillic: Russian pages will be misread.</li>" in demo


def test_page_says_how_many_questions_a_page_has_and_who_reuses_it(demo):
    text = " ".join(html_module.unescape(demo).split())
    assert "3.43 questions per page (72 questions about 21 pages)" in text
    assert re.search(r"qwen2-vl-2b-int4: a page is encoded once for its questions\.", text)


def test_page_names_its_run_beside_its_title(tmp_path):
    page = page_of(make_run(tmp_path, [RIGHT], name="nightly"), title="For the board")
    head = page.split('id="leaderboard"')[0]
    assert '<h1 id="title">For the board</h1>' in head
    assert "<dd>nightly<br>" in head


# Page images


def images(page):
    return len(re.findall(r'id="image-\d+"', page))


@pytest.mark.parametrize(("choice", "number"), [("all", 21), ("none", 0), (4, 4), (0, 0)])
def test_images_are_as_many_as_asked_for(tmp_path, choice, number):
    page = page_of(make_run(tmp_path), images=choice)
    assert images(page) == number
    assert f"{number} of 21 page images" in page


def test_fields_of_objects_are_judged_up_to_a_number_of_pairs():
    expected = [{"total": 12.0, "items": [{"name": "Pencil"}, {"name": "Ink"}]}]
    answer = json.dumps({"total": "12", "items": [{"name": "pencil"}, {"name": "Stencil"}]})
    judge = FieldJudge(pairs=9)
    # The metric compares the texts 12.0 and 12, and the page would write both as 12.
    assert judge.marks("anls_star", answer, expected, None) == [
        ("12", "12", "p"),
        ("Pencil", "Stencil", "p"),
        ("Pencil", "pencil", "r"),
    ]
    # The first answer took five pairs of the nine.
    assert judge.marks("anls_star", answer, expected, None) is None
    assert judge.marks("anls_star", "no object", expected, None) is None
    many = {"items": [str(n) for n in range(11)]}
    assert FieldJudge().marks("anls_star", json.dumps(many), [{"items": ["x"] * 10}], None) == []
    assert (
        FieldJudge().marks("anls_star", json.dumps(many), [{"items": [*"abcdefghij"]}], None)
        is None
    )


def test_every_warning_stands_once_under_its_cause(tmp_path):
    record = {"limit": 4}
    broken = FixtureModel("broken", load_failure="CUDA out of memory")
    run = make_run(tmp_path, [RIGHT, broken], record=record, previews=False)
    caveats = [caveat.text for caveat in build([evaluate(run)]).caveats]
    assert len(caveats) > 1
    page = page_of(run)
    box = page[page.index('<details class="caveats"') :].split("</details>")[0]
    assert sorted(
        html_module.unescape(text) for text in re.findall(r"<li>(.*?)</li>", box)
    ) == sorted(caveats)


def test_failures_alone_bring_their_pages(tmp_path):
    tasks = make_tasks(4, 2, ["en"])
    assert images(page_of(make_run(tmp_path, [RIGHT], tasks), images="failures")) == 0
    failing = dataclasses.replace(RIGHT, error_rate=1.0)
    assert images(page_of(make_run(tmp_path, [failing], tasks), images="failures")) == 5


def test_file_stays_under_its_limit_and_says_what_was_left_out(tmp_path):
    run = make_run(tmp_path, [RIGHT])
    noise = bytes(range(256)) * 400
    for path in (run.path / "pages").iterdir():
        path.write_bytes(noise)
    page = page_of(run, max_mb=1)
    assert len(page.encode()) <= 1_000_000
    assert 0 < images(page) < 21
    assert "Page images that were left out are in the run directory" in page


def test_texts_of_right_answers_are_left_out_first(tmp_path):
    long = [
        dataclasses.replace(
            task,
            samples=tuple(
                # What gzip cannot shrink: every question has letters of its own.
                dataclasses.replace(
                    s,
                    question="".join(sha256(f"{s.id}{i}".encode()).hexdigest() for i in range(60)),
                )
                for s in task.samples
            ),
        )
        for task in make_tasks(300, 4, ["en"])
    ]
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, error_rate=0.02)], long, previews=False)
    page = page_of(run, max_mb=1)
    index, texts = island(page, "index"), island(page, "texts-0")
    left_out = [level for level, text in zip(index["levels"][0], texts, strict=True) if text == 0]
    assert len(page.encode()) <= 1_000_000
    assert set(left_out) == {"r"}
    assert "were left out to stay under the size limit" in page


def test_page_without_a_preview_is_counted(tmp_path):
    page = page_of(make_run(tmp_path, [RIGHT], previews=False))
    assert "21 pages have no preview" in page


# Charts


def test_ticks_are_round_numbers():
    assert linear_ticks(0.53, 0.91) == pytest.approx([0.6, 0.7, 0.8, 0.9])
    assert log_ticks(0.3, 4) == pytest.approx([0.5, 1, 2])
    # One or two numbers tell no scale.
    assert log_ticks(0.46, 0.9) == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])
    assert log_ticks(1.1, 4.9) == pytest.approx([2, 3, 4])
    assert log_ticks(1e300, 1e308)[-1] == pytest.approx(1e308)


def test_stage_has_one_colour_whoever_it_belongs_to(demo):
    colours = re.findall(r'<i class="dab (s\d)"></i>(\w+) \d+ %', demo)
    assert {name for _, name in colours} == {"preprocess", "prefill", "decode", "read", "match"}
    assert len(set(colours)) == 5


def test_a_single_plot_has_no_tabs(tmp_path):
    elsewhere = {"traits": {"runs_in": "server", "memory": None}}
    models = [dataclasses.replace(model, gpu=False, details=elsewhere) for model in (RIGHT, WRONG)]
    page = page_of(make_run(tmp_path / "two", models, previews=False))
    assert 'id="tradeoff"' in page
    assert 'name="leaderboard-tab"' not in page


def test_scatter_needs_two_finished_models_with_a_latency(tmp_path):
    page = page_of(make_run(tmp_path, [RIGHT, dataclasses.replace(WRONG, asked=0.5)]))
    assert 'id="tradeoff"' not in page


def test_number_stays_on_one_line_with_its_unit():
    words = "takes 1.5 s, needs 17.0 GiB, and 99 % [98.1 %, 100 %] of 3 samples are right"
    kept = "takes 1.5_s, needs 17.0_GiB, and 99_% [98.1_%, 100_%] of 3 samples are right"
    assert unbroken(words) == kept.replace("_", "\u00a0")


def test_head_says_the_name_of_a_run_once(tmp_path):
    run = make_run(tmp_path, [RIGHT], name="run", previews=False)
    assert "<dt>Run</dt><dd>2026-03-12" in page_of(run)
    assert "<dt>Run</dt><dd>run<br>" in page_of(run, title="Invoices in March")


def test_plot_begins_below_the_title_of_its_axis_and_cuts_long_names():
    name = "通义千问视觉语言模型" * 6
    line = Line(0, name, (LinePoint(0.5, 1.0, 0.0, 1.0), LinePoint(1.0, 1.0)))
    drawn = draw(Lines((line,), "answers that pass", "right among them"), 380)
    texts = re.findall(r' y="([\d.]+)"[^>]*>([^<]+)<', drawn)
    highest = min(float(y) for y, text in texts if text == "100 %")
    assert [highest - float(y) >= 16 for y, text in texts if text.startswith("↑")] == [True]
    (label,) = re.findall(r'class="label"[^>]*>([^<]*)<', drawn)
    assert len(label) < 24 and "…" in label

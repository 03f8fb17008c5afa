"""The figures that help to choose: what needs no review, cascades, costs, and the halves that judge them."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bench.cli import cli
from bench.cli.progress import LateProgress
from bench.errors import InvalidInput
from bench.formatting import plural
from bench.models.catalog import resolve
from bench.report import ReportOptions, build, make_sections, write_report
from bench.report.facts import measure
from bench.report.markdown import markdown
from bench.report.section import Section, Table, Text, tables
from bench.report.sections.memory import section as memory_section
from bench.report.variants import unpacked, variants
from bench.report.views import GpuFit
from bench.rundir.store import RunStore
from bench.runner.gpu_fits import gpu_forecasts
from bench.schema import Page
from bench.scoring.cascade import CascadeModel, Questions, advise
from bench.scoring.evaluation import evaluate
from bench.scoring.held_out import halves
from bench.scoring.prices import Tariff, parse_prices, parse_rate, price_table, rate_of
from bench.scoring.review import Sureness, choose_threshold, reliability, risk_coverage, unreviewed
from bench.tasks import previews
from tests.run_fixture import FixtureModel, make_run, make_tasks


def sure(confidence: list[float], right: list[int], documents: list[str] | None = None) -> Sureness:
    names = documents or [f"d{number:03}" for number in range(len(right))]
    return Sureness(np.array(confidence, dtype=float), np.array(right, dtype=bool), names)


def test_halves_are_every_second_document_whatever_the_order_of_the_rows() -> None:
    documents = ["b", "a", "c", "a", "d", "b"]
    assert halves(documents).tolist() == [False, True, True, True, False, False]


# What needs no review


@pytest.mark.parametrize(
    ("confidence", "right", "target", "threshold"),
    [
        # In falling confidence: 1/1, 2/2, 2/3, 3/4 are right.
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 1.0, 0.8),
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.75, 0.6),
        ([0.9, 0.8, 0.7, 0.6], [0, 1, 1, 1], 0.99, None),
        # Answers of one confidence pass together: the wrong one comes with the right one.
        ([0.9, 0.9, 0.5], [1, 0, 0], 0.99, None),
        ([0.9, 0.9, 0.5], [1, 1, 0], 0.99, 0.9),
        # An answer without a confidence never passes.
        ([-1, -1], [1, 1], 0.5, None),
        ([], [], 0.5, None),
    ],
)
def test_a_threshold_is_the_lowest_that_reaches_the_target(
    confidence: list[float], right: list[int], target: float, threshold: float | None
) -> None:
    assert choose_threshold(sure(confidence, right), target) == threshold


def test_each_half_is_judged_by_the_threshold_of_the_other() -> None:
    # Documents 0, 2, … choose 0.8, and 1, 3, … choose 0.4: so 0.6 passes in the first half alone, where it
    # is wrong.
    confidence = [0.8, 0.4, 0.6, 0.4, 0.8, 0.4] * 4
    right = [1, 1, 0, 1, 1, 1] * 4
    result = unreviewed(sure(confidence, right), 1.0)
    assert result is not None
    assert result.thresholds == (0.8, 0.4)
    assert result.threshold == 0.8
    assert result.coverage.value == pytest.approx(0.5)
    assert result.right.value == pytest.approx(8 / 12)


def test_few_documents_judge_nothing() -> None:
    assert unreviewed(sure([0.9] * 9, [1] * 9), 0.9) is None
    assert unreviewed(sure([0.9] * 30, [1] * 30, ["one"] * 30), 0.9) is None


def test_a_confidence_that_says_nothing_keeps_no_promise() -> None:
    """Answers right by chance: what passes is no better than all of them, and the judged share says so."""
    rng = np.random.default_rng(3)
    confidence, right = rng.random(400), rng.random(400) < 0.9
    result = unreviewed(sure(confidence.tolist(), right.tolist()), 0.99)
    assert result is not None
    held = result.right.value
    assert held is None or held < 0.99


def test_the_curve_ends_with_all_answers_that_have_a_confidence() -> None:
    points = risk_coverage(sure([0.9, 0.9, 0.5, -1], [1, 0, 1, 1]))
    assert [(point.coverage, point.right.value) for point in points] == [
        (0.5, 0.5),
        (0.75, pytest.approx(2 / 3)),
    ]


def test_calibration_counts_tenths_and_the_last_one_holds_certainty() -> None:
    bins = reliability(sure([0.05, 0.95, 1.0, -1], [0, 1, 0, 1]))
    assert [(each.confidence, each.right.value, each.right.n) for each in bins] == [
        (0.05, 0, 1),
        (pytest.approx(0.975), 0.5, 2),
    ]


# Cascades


def questions(count: int) -> Questions:
    return Questions([f"d{number:03}" for number in range(count)], np.ones(count))


def test_a_cascade_passes_on_what_the_fast_model_is_unsure_of() -> None:
    # The fast model is right where it is sure, and the slow one is always right.
    scores = np.array([1.0, 1, 0, 0] * 10)
    fast = CascadeModel("fast", scores, np.where(scores > 0, 0.9, 0.3), 1.0)
    slow = CascadeModel("slow", np.ones(40), None, 10.0)
    advice = advise([slow, fast], questions(40))
    assert advice is not None
    (found,) = advice.cascades
    assert advice.chosen == found
    assert (found.first, found.second, found.best) == ("fast", "slow", "slow")
    assert (found.thresholds, found.passed_on) == ((0.9, 0.9), 0.5)
    assert found.score.value == 1
    # One second for every question, and ten more for every second one.
    assert (found.seconds, found.best_seconds) == (6, 10)
    assert found.gap.difference == 0


def test_a_fast_model_whose_confidence_says_nothing_makes_no_cascade() -> None:
    fast = CascadeModel("fast", np.array([1.0, 1, 0, 0] * 10), np.full(40, 0.9), 1.0)
    slow = CascadeModel("slow", np.ones(40), None, 10.0)
    advice = advise([fast, slow], questions(40))
    assert advice is not None
    assert advice == ((), None)


def test_answers_without_a_confidence_are_always_passed_on() -> None:
    fast = CascadeModel("fast", np.array([1.0, 0.0] * 20), np.array([0.9, -1.0] * 20), 1.0)
    slow = CascadeModel("slow", np.ones(40), None, 10.0)
    advice = advise([fast, slow], Questions([f"d{n // 2:03}" for n in range(40)], np.ones(40)))
    assert advice is not None
    assert advice.chosen is not None
    assert advice.chosen.passed_on == 0.5


@pytest.mark.parametrize("count", [1, 9])
def test_nothing_is_advised_without_a_choice_or_documents(count: int) -> None:
    alone = CascadeModel("alone", np.ones(count), np.ones(count), 1.0)
    assert advise([alone], questions(count)) is None
    assert advise([alone, alone._replace(name="other", seconds=2.0)], questions(count)) is None


# Prices


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1.20/h", Tariff(hour=1.2)),
        ("2EUR/hour", Tariff(hour=2, currency="EUR")),
        ("0.002/page", Tariff(page=0.002)),
        ("0.15/0.60", Tariff(tokens=(0.15, 0.6))),
        ("0/1 CNY", Tariff(tokens=(0, 1), currency="CNY")),
    ],
)
def test_prices_as_people_write_them(text: str, rate: Tariff) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "1.20", "-1/h", "1e3/h", "nan/h", "1.2/day", "1/2/3", "٣/h"])
def test_what_is_no_price_is_told_how_one_looks(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a price") as error:
        parse_rate(text)
    assert "1.20/h" in str(error.value.hint)


def test_prices_have_names_or_hold_for_every_model() -> None:
    prices = parse_prices(["1.20/h", "gpt=0.15/0.60", "a=b=2/page"], "--price")
    assert prices == {
        "all": Tariff(hour=1.2),
        "gpt": Tariff(tokens=(0.15, 0.6)),
        "a=b": Tariff(page=2),
    }
    with pytest.raises(InvalidInput, match="two prices for every model"):
        parse_prices(["1/h", "2/h"], "--price")
    with pytest.raises(InvalidInput, match="no model before"):
        parse_prices(["=1/h"], "--price")


def test_recorded_prices_are_read_leniently_and_the_configuration_strictly() -> None:
    assert rate_of({"input": 0.15, "output": 0.6, "currency": "USD"}) == Tariff(tokens=(0.15, 0.6))
    for record in (None, {}, {"hour": "1"}, {"hour": float("nan")}, {"input": 1}, {"hour": True}):
        assert rate_of(record) is None
    table = {"ocr": "1/h", "gpt": {"page": 0.1, "currency": "EUR"}}
    assert price_table(table, "x") == {
        "ocr": Tariff(hour=1),
        "gpt": Tariff(page=0.1, currency="EUR"),
    }
    misspelled = {"ocr": {"hour": 1, "curency": "EUR"}}
    two_rates = {"ocr": {"hour": 1, "page": 2}}
    for wrong in ({"ocr": 3}, {"ocr": {"hours": 1}}, "1/h", misspelled, two_rates):
        with pytest.raises(InvalidInput):
            price_table(wrong, "bench.toml")


# What pages cost

FAST = FixtureModel("fast", skill=0.5, seconds=0.1)
SLOW = FixtureModel("slow", skill=0.9, seconds=1.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Two models on 40 documents, of which the slow one costs tokens."""
    folder = tmp_path_factory.mktemp("priced")
    made = make_run(folder, (FAST, SLOW), make_tasks(20, 4, ("ru", "en")), previews=False)
    record = json.loads((made.path / "run.json").read_text("utf-8"))
    record["models"][1]["price"] = {"input": 2.0, "output": 10.0, "currency": "USD"}
    (made.path / "run.json").write_text(json.dumps(record), "utf-8")
    return RunStore.open(made.path)


def table_of(run: RunStore, section_id: str, table: str, **options: object) -> dict[str, Any]:
    view = build([evaluate(run)], ReportOptions(**options))  # type: ignore[arg-type]
    (section,) = (each for each in make_sections(view) if each.id == section_id)
    (found,) = (each for each in tables(section, "json") if each.id == table)
    return {str(row.cells["model"].value): row.cells for row in found.rows}


def test_an_hour_and_tokens_become_the_cost_of_a_thousand_pages(run: RunStore) -> None:
    cells = table_of(run, "cost", "costs", prices={"all": Tariff(hour=3.6)})
    evaluation = evaluate(run)
    seconds = sum(b["seconds"] for t in evaluation.tasks for b in run.batches("fast", t))
    documents = [d for t in evaluation.tasks.values() for d in t.documents.values()]
    pages = len({page.key for document in documents for page in document.pages})
    assert cells["fast"]["pages"].value == pytest.approx(3.6 / 3600 * seconds / pages * 1000)
    outputs = [o for t in evaluation.tasks for o in run.outputs("slow", t).values()]
    total = sum(2 * (o.prompt_tokens or 0) + 10 * (o.generated_tokens or 0) for o in outputs) / 1e6
    assert cells["slow"]["pages"].value == pytest.approx(total / pages * 1000)
    right = cells["slow"]["right"].value
    per_right = cells["slow"]["right_answers"]
    assert per_right.value == pytest.approx(total / 160 / right * 1000)
    assert per_right.interval is not None
    assert per_right.interval[0] < per_right.value < per_right.interval[1]


def test_a_named_price_beats_the_recorded_one_and_currencies_are_not_mixed(run: RunStore) -> None:
    prices = {"all": Tariff(hour=1), "slow": Tariff(page=2, currency="EUR")}
    cells = table_of(run, "cost", "costs", prices=prices)
    assert cells["slow"]["price"].value == "2 EUR a page"
    shown = [cells[name]["pages"].value is not None for name in ("fast", "slow")]
    assert sorted(shown) == [False, True]


def test_without_a_price_there_is_no_section_but_for_the_recorded_one(run: RunStore) -> None:
    assert list(table_of(run, "cost", "costs")) == ["slow"]


def test_the_report_says_what_needs_no_review(run: RunStore) -> None:
    cells = table_of(run, "review", "targets")
    assert set(cells) == {"fast", "slow"}
    view = build([evaluate(run)])
    words = markdown([each for each in make_sections(view) if each.id == "review"])
    assert "of the answers need no review" in words or "every answer needs review" in words


def test_the_command_takes_prices_and_refuses_a_model_that_is_not_there(
    run: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text('[prices]\nfast = "7.2/h"\n', "utf-8")
    arguments = ["report", str(run.path), "-o", str(tmp_path / "r.json")]
    assert CliRunner().invoke(cli, [*arguments, "--price", "slow=1/h"]).exit_code == 0
    rows = json.loads((tmp_path / "r.json").read_text("utf-8"))["rows"]
    tariffs = {row["name"]: row["tariff"]["hour"] for row in rows}
    assert tariffs == {"fast": 7.2, "slow": 1.0}
    with pytest.raises(InvalidInput, match="'slwo', which the report does not have"):
        CliRunner().invoke(cli, [*arguments, "--price", "slwo=1/h"], catch_exceptions=False)


def test_answers_of_one_document_judge_no_promise(tmp_path: Path) -> None:
    """All of them are wrong, and no interval can be given: that is not within the noise of 99 %."""
    tasks = make_tasks(30, 1, ("ru",))
    made = make_run(tmp_path, [FixtureModel("other", skill=0.5)], tasks, previews=False)
    view = build([evaluate(made)])
    words = markdown([each for each in make_sections(view) if each.id == "review"])
    assert "too few documents to judge by" in words and "within the noise" not in words


# Previews: only those that travel, and no second scoring


def pages_of(folder: Path, count: int) -> list[Page]:
    pages = []
    for number in range(count):
        path = folder / f"{number}.png"
        noise = np.random.default_rng(number).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        pages.append(Page(path, 0, 60, 40, digest))
    return pages


def test_previews_are_made_in_order_until_the_report_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "usable_cores", lambda: 1)
    pages = pages_of(tmp_path, 9)
    # A page whose file was replaced since the run has no preview, and the others do not wait for it.
    pages[1].path.write_bytes(b"another file")
    steps: list[tuple[int, int]] = []
    written = previews.write_previews(
        tmp_path, pages, most_bytes=1, progress=lambda *step: steps.append(step)
    )
    files = {path.name for path in (tmp_path / "pages").iterdir()}
    assert files == {previews.preview_path(tmp_path, pages[number]).name for number in (0, 2, 3)}
    assert written == sum(path.stat().st_size for path in (tmp_path / "pages").iterdir())
    assert steps == [(4, 9)]
    previews.write_previews(tmp_path, pages, most_bytes=1e9)
    assert len(list((tmp_path / "pages").iterdir())) == 8


def test_a_second_report_scores_nothing_again(
    run: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["report", str(run.path), "-o", str(tmp_path / "r.md"), "--format", "md"]
    assert CliRunner().invoke(cli, arguments).exit_code == 0

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr("bench.scoring.evaluation.score_models", refuse)
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0


# Variants against their base


@pytest.mark.parametrize(
    ("checkpoint", "bare"),
    [
        ("Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int4", "qwen/qwen2-vl-2b-instruct"),
        ("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", "qwen/qwen2.5-vl-7b-instruct"),
        ("me/model_fp8", "me/model"),
        ("me/int4-lover", "me/int4-lover"),
    ],
)
def test_a_packed_checkpoint_is_known_by_the_name_of_its_base(checkpoint: str, bare: str) -> None:
    assert unpacked(checkpoint) == bare


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    models = (
        FixtureModel("qwen2-vl-2b", skill=0.9),
        FixtureModel("qwen2-vl-2b-int4", skill=0.6),
        FixtureModel("ocr", skill=0.4, gpu=False, parameters=None),
    )
    tasks = make_tasks(12, 4, ("ru", "en"))
    return make_run(tmp_path_factory.mktemp("packed"), models, tasks, previews=False)


def test_a_quantised_model_is_compared_with_its_base(packed: RunStore, tmp_path: Path) -> None:
    view = build([evaluate(packed)])
    (pair,) = variants(view)
    keys = [row.key for row in view.rows]
    assert (keys[pair.base], keys[pair.variant]) == ("qwen2-vl-2b", "qwen2-vl-2b-int4")
    assert pair.kind == "quantised"
    files = {p.name: p for p in write_report([packed], tmp_path, ("csv", "md"))}
    rows = list(csv.DictReader(files["flips-answers.csv"].read_text("utf-8-sig").splitlines()))
    lost = [row for row in rows if row["change"] == "lost"]
    assert len(lost) > len(rows) - len(lost) > 0
    assert all(float(row["before_score"]) >= 0.5 > float(row["after_score"]) for row in lost)
    fields = list(csv.DictReader(files["flips-fields-1.csv"].read_text("utf-8-sig").splitlines()))
    assert sum(int(row["lost"]) for row in fields) == len(lost)
    order = [(-int(row["gained"]) - int(row["lost"]), row["field"]) for row in fields]
    assert order == sorted(order) and len(order) > 1
    text = files["report.md"].read_text("utf-8")
    part = text.partition("## What a variant changes")[2].partition("\n## ")[0]
    assert "qwen2-vl-2b is better by" in part
    assert f"{plural(len(rows) - len(lost), 'answer')} gained and {len(lost)} lost" in part


def test_two_models_are_compared_task_by_task_in_their_report(
    run: RunStore, tmp_path: Path
) -> None:
    (path,) = write_report([run], tmp_path / "r.md")
    part = path.read_text("utf-8").partition("## Which differences are real")[2]
    first = part.strip().splitlines()[0]
    assert first.startswith("slow against fast: slow is better by 0.")
    assert "**all tasks**" in part.partition("slow (A) against fast (B)")[2]


def test_markdown_shows_the_result_and_folds_the_rest(run: RunStore, tmp_path: Path) -> None:
    (path,) = write_report([run], tmp_path / "r.md")
    text = path.read_text("utf-8")
    top, _, rest = text.partition("\n<details>\n<summary>Tasks, ")
    assert "## Leaderboard" in top
    assert len(top) < 3_000
    assert "## Scores by task" in rest
    assert text.count("<details>") == text.count("</details>") > 1
    assert text.rstrip().endswith("</details>")


def test_markdown_that_does_not_fit_still_closes_its_fold() -> None:
    sections = [
        Section("summary", "Run", (Text(("best",), "headline"),)),
        *(Section(f"s{n}", f"Part {n} <b>@x", (Text(("word " * 170,) * 20),)) for n in range(9)),
    ]
    text = markdown(sections)
    assert len(text) < 65_000
    assert "did not fit here" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert "<b>" not in text
    assert "@x" not in text


# Memory, page by page


def test_memory_counts_every_page_with_the_peak_of_its_batch() -> None:
    batches = [
        {"memory": {"peak_process": 30, "peak_rss": 1}, "pages": 2},
        {"memory": {"peak_process": 10}, "pages": 3},
        # A batch that does not say how many pages it has is one page; one without memory is none.
        {"memory": {"peak_process": 20}},
        {"memory": None, "pages": 9},
    ]
    memory = measure(None, batches, [], []).memory
    assert memory is not None
    assert (memory.kind, memory.bytes) == ("peak_process", 30)
    assert memory.by_page == (10, 10, 10, 20, 30, 30)


def test_a_report_says_which_gpus_are_safe(tmp_path: Path) -> None:
    names = ("qwen2-vl-7b", "ocr")
    models = [FixtureModel(name, gpu=name != "ocr") for name in names]
    record = {"models": [{"folder": n, "spec": asdict(resolve(n))} for n in names]}
    tasks = make_tasks(4, 2, ("en",))
    run = make_run(tmp_path / "runs", models, tasks, record=record, previews=False)
    (by_gpu,) = gpu_forecasts(run, tasks).values()
    assert [one.fits for one in by_gpu.values()] == sorted(one.fits for one in by_gpu.values())
    out = tmp_path / "r.md"
    arguments = ["report", str(run.path), "-o", str(out)]
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
    part = out.read_text("utf-8").partition("## Memory, page by page")[2].partition("\n## ")[0]
    assert "qwen2-vl-7b: L4 is the smallest safe GPU" in part
    (row,) = (line for line in part.splitlines() if "| no (" in line)
    assert row.count("safe (") == 5


def test_a_gpu_without_a_tenth_to_spare_is_tight_and_none_may_be_safe() -> None:
    fits = tuple(
        GpuFit(f"{size} GiB", size * 2**30, peak * 2**30, 64, peak <= size)
        for size, peak in ((8, 9), (10, 9.5))
    )
    view = SimpleNamespace(rows=[], gpu_fits={"m": fits})
    made = memory_section(view)  # type: ignore[arg-type]
    assert made is not None
    words, table = made.blocks
    assert isinstance(words, Text)
    assert words.sentences == ("m: none of these GPUs is safe.",)
    assert isinstance(table, Table)
    cells = table.rows[0].cells
    assert (cells["gpu:8 GiB"].value, cells["gpu:10 GiB"].value) == ("no (9.0)", "tight (9.5)")


def test_short_work_says_nothing_and_long_work_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("bench.cli.progress.time.monotonic", lambda: now[0])
    with LateProgress("page images") as progress:
        for seconds, done in ((1.0, 1), (2.5, 2), (4.0, 3), (13.0, 4), (14.0, 5)):
            now[0] = seconds
            progress.step(done, 5)
    # The first line after two seconds, then one every ten, and the last.
    assert capsys.readouterr().err.splitlines() == [
        "page images: 2 of 5",
        "page images: 4 of 5",
        "page images: 5 of 5",
    ]

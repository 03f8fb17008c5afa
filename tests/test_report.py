import csv
import dataclasses
import io
import json
import re

import pytest

from bench.errors import InvalidInput
from bench.formatting import gib, interval, percent, seconds, signed, significant
from bench.metrics.mistakes import MISTAKES, RULES
from bench.report import FORMATS, ReportOptions, build, show_sample, terminal_summary, write_report
from bench.report.embed import json_text
from bench.report.markdown import MAX_CHARACTERS, escape, markdown
from bench.report.mistakes import LABELS, judged, not_right
from bench.report.ranking import better_than, pareto
from bench.report.run_names import distinct_names
from bench.report.sections import make_sections
from bench.report.tables import LOOKS, leaderboard_csv, report_json, samples_csv, section_tables
from bench.report.views import Pair, RunView
from bench.rundir.checksums import CHECKSUM, with_checksum
from bench.rundir.lock import RunLock
from bench.rundir.store import RunStore
from bench.schema import Estimate
from bench.scoring.evaluation import evaluate
from bench.scoring.prices import parse_rate
from bench.stats import Design, PairedDifference, documents_needed
from tests.run_fixture import HOSTILE, MODELS, FixtureModel, make_run, make_tasks

RIGHT = FixtureModel("right", skill=2.0)
WRONG = FixtureModel("wrong", skill=-1.0)
MISFORMATTED = FixtureModel("misformatted", skill=2.0, misformat=1.0)
WRAPPED = FixtureModel("wrapped", skill=2.0, wrap="Answer: {}")
FILES = {"report.html", "report.md", "leaderboard.csv", "samples.csv", "report.json"}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def view_of(*runs, **options):
    return build([evaluate(run) for run in runs], ReportOptions(**options))


# Facts


def test_throughput_is_all_questions_over_the_wall_time_of_all_batches(tmp_path):
    run = make_run(tmp_path, [RIGHT], make_tasks(2, 2, ["en"]))
    (batch,) = run.batches("right", "invoices-en")
    rate = view_of(run).rows[0].facts.throughput
    assert rate.questions_per_second == pytest.approx(4 / batch["seconds"])
    assert rate.tokens_per_second == pytest.approx(batch["generated_tokens"] / batch["seconds"])


def test_latency_comes_from_the_single_stream_scenario_alone(tmp_path):
    run = make_run(tmp_path, [RIGHT], make_tasks(2, 2, ["en"]))
    values = sorted(record["seconds"] for record in run.latencies("right", "invoices-en"))
    latency = view_of(run).rows[0].facts.latency
    assert latency.seconds == tuple(values)
    assert values[0] <= latency.p50 <= latency.p90 <= latency.p95 <= latency.p99 <= values[-1]


def test_a_model_without_latency_records_has_no_latency(tmp_path):
    run = make_run(tmp_path, [RIGHT])
    for path in run.path.glob("*/*/latency.jsonl"):
        path.unlink()
    assert view_of(run).rows[0].facts.latency is None


def test_peak_memory_of_a_cpu_model_is_called_peak_rss(run):
    memory = view_of(run).row("ocr").facts.memory
    assert memory.kind == "peak_rss"
    assert memory.label == "peak RSS (CPU)"


def test_peak_memory_of_a_gpu_model_is_that_of_the_process(run):
    assert view_of(run).row("qwen2-vl-7b").facts.memory.kind == "peak_process"


def test_failures_are_counted_by_error_class(tmp_path):
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, error_rate=1.0)])
    row = view_of(run).rows[0]
    assert row.facts.errors == {"OutOfMemory": 72}
    assert row.failed == 72


def test_rates_are_unknown_where_a_batch_does_not_say(tmp_path):
    run = make_run(tmp_path, [RIGHT], make_tasks(1, 1, ["en"]))
    run.append_batch("right", "invoices-en", {"samples": ["x"], "seconds": 1.0})
    rate = view_of(run).rows[0].facts.throughput
    assert rate.pages_per_second is None
    assert rate.questions == 2


# Order, ranks, verdict


def test_rows_stand_in_the_order_of_their_scores(tmp_path):
    run = make_run(tmp_path, [WRONG, RIGHT])
    assert [row.key for row in view_of(run).rows] == ["right", "wrong"]


def test_models_that_cannot_be_told_apart_share_a_rank(tmp_path):
    run = make_run(tmp_path, [RIGHT, dataclasses.replace(RIGHT, name="equal"), WRONG])
    view = view_of(run)
    assert {row.key: (row.rank, row.tied) for row in view.rows} == {
        "right": (1, True),
        "equal": (1, True),
        "wrong": (3, False),
    }


def test_rank_is_one_more_than_the_number_of_better_models():
    def pair(first, second, p):
        return Pair(first, second, PairedDifference(0.1, 0.0, 0.2, p, 9, 9), p, 1, 0)

    pairs = [pair("a", "b", 0.5), pair("a", "c", 0.01), pair("b", "c", 0.4)]
    better = better_than(["a", "b", "c"], pairs)
    assert {key: 1 + len(models) for key, models in better.items()} == {"a": 1, "b": 1, "c": 2}


def test_pair_counts_wins_and_losses(tmp_path):
    (pair,) = view_of(make_run(tmp_path, [RIGHT, WRONG])).pairs
    assert (pair.first, pair.second) == ("right", "wrong")
    assert pair.wins == 72
    assert pair.losses == 0
    assert pair.separated


def test_pareto_front_holds_what_nothing_beats_on_both_counts():
    costs = {"cheap": 1.0, "dear": 3.0, "useless": 2.0, "twin": 3.0}
    scores = {"cheap": 0.5, "dear": 0.9, "useless": 0.4, "twin": 0.8}
    assert pareto(costs, scores) == ["cheap", "dear"]


def said(view):
    return [clause.text for clause in view.verdict.clauses]


def test_verdict_names_who_cannot_be_told_from_the_best(tmp_path):
    run = make_run(tmp_path, [RIGHT, dataclasses.replace(RIGHT, name="equal"), WRONG])
    verdict = said(view_of(run))
    assert verdict[0] == "Take right."
    assert verdict[1].startswith("It scores 1.000 [")
    assert "cannot be told from equal" in verdict[1]


def test_verdict_says_where_there_is_too_little_to_test(tmp_path):
    view = view_of(make_run(tmp_path, [RIGHT, WRONG], make_tasks(1, 4, ["en"])))
    assert "too few documents" in said(view)[1]
    caveats = [caveat.text for caveat in view.caveats]
    alone = "The scores rest on only 1 document, so they have no interval and cannot be tested."
    assert alone in caveats


def test_verdict_says_by_how_much_the_best_leads(tmp_path):
    view = view_of(make_run(tmp_path, [RIGHT, WRONG]))
    gap = view.pairs[0].difference
    lead = f"leads wrong, the next best, by {gap.difference:.3f} [{gap.low:.3f}, {gap.high:.3f}]."
    assert said(view)[1].endswith(lead)


def test_verdict_says_how_many_more_documents_would_tell_two_models_apart(tmp_path):
    nearly = FixtureModel("nearly", skill=0.75)
    view = view_of(make_run(tmp_path, [RIGHT, nearly], make_tasks(5, 4, ["en"])))
    gap = view.pairs[0].difference
    design = Design(variance=gap.clusters * gap.standard_error**2)
    more = documents_needed(gap.difference, design) - gap.clusters
    assert more > 0
    assert f"cannot be told from nearly: {more} more document" in said(view)[1]
    assert f"would show whether its lead of {gap.difference:.3f} is real." in said(view)[1]


def test_verdict_says_where_all_models_score_the_same(tmp_path):
    run = make_run(tmp_path, [RIGHT, dataclasses.replace(RIGHT, name="equal")])
    assert said(view_of(run))[1].endswith("exactly as equal.")


def test_verdict_recommends_no_model_that_answered_nothing(tmp_path):
    broken = [dataclasses.replace(model, error_rate=1.0) for model in (RIGHT, WRONG)]
    view = view_of(make_run(tmp_path / "broken", broken, previews=False))
    assert view.verdict.headline == (
        "No recommendation: every question to right and wrong ended in an error."
    )
    assert (view.verdict.best, view.verdict.leaders, view.verdict.points) == (None, (), ())
    fast = dataclasses.replace(broken[1], seconds=0.01)
    view = view_of(make_run(tmp_path / "one", [RIGHT, fast], previews=False))
    assert view.verdict.best == "right"
    assert "times faster" not in view.verdict.detail
    large = dataclasses.replace(RIGHT, memory=40 * 2**30)
    view = view_of(make_run(tmp_path / "large", [large, fast], previews=False))
    assert view.verdict.headline == "Take right."


@pytest.mark.parametrize("latencies", [(0.0008, 0.0002), (0.052, 0.01)])
def test_verdict_names_no_trade_whose_numbers_look_alike(tmp_path, latencies):
    models = [
        dataclasses.replace(model, seconds=second, memory=memory)
        for model, second, memory in zip((RIGHT, WRONG), latencies, (2**12, 2**11), strict=True)
    ]
    view = view_of(make_run(tmp_path, models))
    slow, fast = (seconds(row.facts.latency.p50) for row in view.rows)
    told = [sentence for sentence in said(view) if "times faster" in sentence]
    assert bool(told) == (slow != fast)
    assert not any("0.00 GiB" in sentence and "instead" in sentence for sentence in said(view))


def test_verdict_names_the_trade_of_a_faster_and_smaller_model(tmp_path):
    light = dataclasses.replace(WRONG, name="light", seconds=0.05, memory=2**30)
    trade = said(view_of(make_run(tmp_path, [RIGHT, light])))[2]
    assert re.match(r"light is [89]\.\d|light is 1\d times faster \(", trade)
    assert re.search(r"needs 1\.0 GiB instead of 6\.\d and is [01]\.\d{3} behind\.$", trade)


def test_costs_name_their_currency(tmp_path):
    cheap = FixtureModel("cheap", skill=0.3, seconds=0.1)
    run = make_run(tmp_path, [RIGHT, cheap], previews=False)
    view = view_of(run, prices={"all": parse_rate("1.20EUR/h")})
    assert re.search(r"costs [\d.]+ EUR per 1,000 pages instead of", view.verdict.detail)
    head = terminal_summary(make_sections(view)).splitlines()[0]
    assert "EUR/1k" in head
    assert "EUR / 1,000 pages" in markdown(make_sections(view))


def test_board_says_how_many_answers_count_in_no_mean(tmp_path):
    view = view_of(make_run(tmp_path, [RIGHT, WRONG], previews=False))
    assert "unscored" not in terminal_summary(make_sections(view))
    levels = {**view.rows[0].levels, "unscored": 3}
    rows = (dataclasses.replace(view.rows[0], levels=levels), *view.rows[1:])
    sections = make_sections(dataclasses.replace(view, rows=rows))
    for text in (terminal_summary(sections), markdown(sections)):
        assert "(3 unscored)" in text
        assert "Unscored answers count in no mean" in " ".join(text.split())


def test_verdict_names_what_fits_a_usual_gpu_if_the_best_does_not(tmp_path):
    large = dataclasses.replace(RIGHT, memory=40 * 2**30)
    verdict = view_of(make_run(tmp_path, [large, WRONG])).verdict
    lead = [clause.text for clause in verdict.clauses if clause.leads]
    assert lead == ["Take right.", "On a GPU of 24 GB take wrong."]


def test_verdict_names_the_task_on_which_another_model_is_better(tmp_path):
    tasks = make_tasks(12, 4, ["ru", "en", "zh"])
    run = make_run(tmp_path, [RIGHT, dataclasses.replace(RIGHT, name="other")], tasks)
    spoil(run, "right", "invoices-zh")
    for task in ("invoices-ru", "invoices-en"):
        spoil(run, "other", task)
    verdict = view_of(run).verdict
    (clause,) = (clause for clause in verdict.clauses if clause.text.startswith("On "))
    assert clause.text == "On invoices-zh (1.000 better) take other."
    assert clause.evidence == "tasks"


def spoil(run, model, task):
    """Make every answer of a model to a task wrong."""
    path = run.cell_folder(model, task) / "outputs.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line.pop(CHECKSUM, None)
        line.update(with_checksum(line | {"text": "~"}))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_every_clause_of_the_verdict_names_its_evidence(run):
    view = view_of(run)
    sections = {section.id for section in make_sections(view)}
    evidence = {clause.evidence for clause in view.verdict.clauses}
    assert evidence <= sections | {"tradeoff"}


def test_error_rate_ranks_the_lowest_first(tmp_path):
    tasks = [dataclasses.replace(task, metrics=("cer",)) for task in make_tasks(6, 4, ["en"])]
    view = view_of(make_run(tmp_path, [WRONG, RIGHT], tasks))
    assert [row.key for row in view.rows] == ["right", "wrong"]
    assert not view.higher_is_better
    assert view.pairs[0].difference.difference > 0


def test_headlines_that_cannot_be_averaged_give_no_overall_score(tmp_path):
    tasks = make_tasks(2, 2, ["en", "ru"])
    tasks[0] = dataclasses.replace(tasks[0], metrics=("cer",))
    view = view_of(make_run(tmp_path, [RIGHT], tasks))
    assert view.rows[0].score is None
    assert "no common score" in view.verdict.headline


# What a run may be like


def test_model_that_failed_to_load_is_a_row_with_its_reason(tmp_path):
    broken = FixtureModel("broken", load_failure="needs about 17.4 GiB, cuda:0 has 10.9 GiB free")
    view = view_of(make_run(tmp_path, [RIGHT, broken]))
    row = view.row("broken")
    assert (row.state, row.rank, row.score) == ("failed", None, None)
    assert "17.4 GiB" in terminal_summary(make_sections(view))
    assert "17.4 GiB" in markdown(make_sections(view))


def test_unfinished_model_has_a_score_so_far_and_no_rank(tmp_path):
    half = dataclasses.replace(RIGHT, name="half", asked=0.5)
    view = view_of(make_run(tmp_path, [WRONG, half]))
    row = view.row("half")
    assert (row.state, row.rank, row.so_far) == ("unfinished", None, True)
    assert row.score.value == pytest.approx(1.0)
    assert row.score.n == 36
    assert [r.key for r in view.rows] == ["wrong", "half"]
    assert any("unfinished" in caveat.text for caveat in view.caveats)


def test_run_without_its_last_latencies_says_so(tmp_path):
    run = make_run(tmp_path, [RIGHT])
    (run.path / "right" / "done.json").unlink()
    view = view_of(run)
    assert view.rows[0].rank == 1
    assert any("latency has not been measured" in caveat.text for caveat in view.caveats)


def test_model_that_failed_does_not_make_the_run_unfinished(tmp_path):
    view = view_of(make_run(tmp_path, [RIGHT, FixtureModel("broken", load_failure="no weights")]))
    assert not any(caveat.kind == "state" for caveat in view.caveats)


def test_run_that_another_process_holds_is_still_going(tmp_path):
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, asked=0.5)])
    with RunLock(run.path):
        view = view_of(run)
    assert view.rows[0].state == "running"
    assert any("has not finished" in caveat.text for caveat in view.caveats)


def test_run_in_which_nothing_was_asked_has_a_report(tmp_path):
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, asked=0.0)])
    view = view_of(run)
    assert view.verdict.best is None
    assert "Nothing has been measured yet" in terminal_summary(make_sections(view))
    assert {path.name for path in write_report([run], None, FORMATS)} >= FILES


def test_run_of_one_question_has_a_score_without_an_interval(tmp_path):
    run = make_run(tmp_path, [RIGHT, WRONG], make_tasks(1, 1, ["en"]))
    view = view_of(run)
    assert view.rows[0].score.value is not None
    assert view.rows[0].score.low is None
    assert view.rows[0].tied
    page, _ = write_report([run])
    first_view = page.read_text(encoding="utf-8").partition('<section id="tasks"')[0]
    assert "Models that cannot be told apart" in first_view
    assert not re.search("95.% interval|nearly the slowest|within the noise", first_view)


def test_old_run_without_measurements_has_a_report(tmp_path):
    run = make_run(tmp_path, [RIGHT])
    for path in [*run.path.glob("*/model.json"), *run.path.glob("*/*/batches.jsonl")]:
        path.unlink()
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    for key in ("environment", "labels", "command", "started", "name", "spec"):
        del record[key]
    (run.path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    view = view_of(RunStore.open(run.path))
    assert view.rows[0].facts.throughput is None
    assert write_report([RunStore.open(run.path)], None, FORMATS)


LIMITED = {"spec": {"settings": {"limit": 5}}}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"limit": 5}, "limited to 5 questions"),
        ({"sample_ids": ["a", "b"]}, "limited to 2 chosen questions"),
    ],
)
def test_limited_run_says_so(tmp_path, settings, said):
    run = make_run(tmp_path, [RIGHT], record={"spec": {"settings": settings}})
    assert said in markdown(make_sections(view_of(run)))


def test_uncommitted_changes_are_said(tmp_path, run):
    environment = {**run.record["environment"], "git": {"commit": "abc", "dirty": True}}
    other = make_run(tmp_path, [RIGHT], record={"environment": environment})
    assert any(caveat.kind == "code" for caveat in view_of(other).caveats)


def test_warnings_tell_runs_of_one_name_apart(tmp_path):
    runs = [make_run(tmp_path / n, [RIGHT], name="run", record=LIMITED) for n in ("a", "b")]
    other = make_run(tmp_path, [RIGHT], name="other", record=LIMITED)
    # Runs of one second have one id; these are of two.
    runs[1].record = {**runs[1].record, "id": "20260101T000000Z-run-abc"}
    said = [caveat.text for caveat in view_of(*runs, other).caveats if caveat.kind == "scope"]
    assert [text.split(" was")[0] for text in said] == [
        f"The run “{runs[0].id}”",
        "The run “20260101T000000Z-run-abc”",
        "The run “other”",
    ]


@pytest.mark.parametrize("warnings", [["cannot read Cyrillic"], "cannot read Cyrillic"])
def test_warning_of_a_model_is_a_caveat_everywhere(tmp_path, warnings):
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, details={"warnings": warnings})])
    view = view_of(run)
    assert "right: cannot read Cyrillic." in [c.text for c in view.caveats if c.kind == "model"]
    assert "right: cannot read Cyrillic." in terminal_summary(make_sections(view))
    assert "right: cannot read Cyrillic." in markdown(make_sections(view))


def test_pages_that_a_model_turned_itself_are_counted(tmp_path):
    run = make_run(tmp_path, [RIGHT])
    (task, *_) = run.task_names()
    for page in ("a", "a", "b"):
        run.append_batch("right", task, {"samples": [], "notes": {"turned_pages": {page: 180}}})
    said = [caveat.text for caveat in view_of(run).caveats if caveat.kind == "model"]
    assert said == [
        "right: 2 pages lay sideways or upside down, and it turned them before it read them."
    ]


def test_graphs_that_were_refused_in_mid_run_are_said(tmp_path):
    details = {"decoding_steps": "CUDA graphs, one a shape"}
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, details=details)])
    (task, *_) = run.task_names()
    before = len([row for name in run.task_names() for row in run.batches("right", name)])
    refused = "no CUDA graphs since then: CUDA error: operation not permitted"
    for _ in range(2):
        run.append_batch("right", task, {"samples": [], "notes": {"decoding_steps": refused}})
    (said,) = [caveat.text for caveat in view_of(run).caveats if caveat.kind == "model"]
    assert said == (
        f"right: 2 of {before + 2} calls decoded without CUDA graphs, which is slower: "
        "CUDA error: operation not permitted."
    )


def test_models_that_warn_of_the_same_share_a_line(tmp_path):
    models = [dataclasses.replace(m, details={"warnings": ["Slow!"]}) for m in (RIGHT, WRONG)]
    caveats = view_of(make_run(tmp_path, models)).caveats
    assert [c.text for c in caveats if c.kind == "model"] == ["right and wrong: Slow!"]


def test_warnings_that_are_no_texts_are_passed_over(tmp_path):
    details = {"warnings": [1, None, {"a": "b"}, ""]}
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, details=details)])
    assert not [c for c in view_of(run).caveats if c.kind == "model"]


def test_warning_of_the_run_is_a_caveat(tmp_path):
    run = make_run(tmp_path, [RIGHT], record={"warnings": ["Prompts were tuned on these pages"]})
    assert "Prompts were tuned on these pages." in [c.text for c in view_of(run).caveats]


def test_departure_from_a_protocol_is_said(tmp_path):
    protocol = {
        "name": "other-tool",
        "title": "The other tool",
        "deviations": ["--max-new-tokens 64 holds for every task."],
        "differences": ["Its judge is left out."],
    }
    view = view_of(make_run(tmp_path, [RIGHT], record={"protocol": protocol}))
    said = "The run departs from the protocol other-tool: --max-new-tokens 64 holds for every task."
    assert said in [c.text for c in view.caveats]
    assert "Protocol: other-tool (The other tool)" in markdown(make_sections(view))
    assert "Its judge is left out." in markdown(make_sections(view))


def test_own_way_of_asking_is_no_protocol(tmp_path):
    view = view_of(make_run(tmp_path, [RIGHT], record={"protocol": {"name": "native"}}))
    assert "Protocol:" not in markdown(make_sections(view))


# What kind of wrong, what of it is format, and what extraction changed


def test_every_answer_that_is_not_right_has_one_kind(run):
    view = view_of(run)
    for row in view.rows:
        short = sum(row.levels[level] for level in ("equivalent", "partly", "wrong", "failed"))
        assert sum(kind.counts[row.key] for kind in view.mistakes) == not_right(row) == short > 0
        assert sum(kind.shares[row.key] for kind in view.mistakes) == pytest.approx(1)


def test_kinds_stand_in_the_order_of_their_rules(run):
    names = [kind.name for kind in view_of(run).mistakes]
    assert names == [name for name in MISTAKES if name in names]
    assert {"empty", "format_only", "not_on_page", "wrong"} <= set(names)


def test_every_class_has_a_name_for_people():
    assert set(LABELS) == set(MISTAKES)


def test_model_that_is_always_right_has_no_kind_of_wrong(tmp_path):
    view = view_of(make_run(tmp_path, [RIGHT]))
    assert view.mistakes == ()
    assert "Kinds of mistakes" not in markdown(make_sections(view))


def test_question_not_yet_asked_is_no_kind_of_wrong(tmp_path):
    view = view_of(make_run(tmp_path, [dataclasses.replace(WRONG, asked=0.5)]))
    assert not_right(view.rows[0]) == view.rows[0].asked == 36


def test_markdown_has_every_kind_with_its_count_share_and_rule(run):
    view, text = view_of(run), markdown(make_sections(view_of(run)))
    rules = {name: rule for name, _, rule in RULES}
    for kind in view.mistakes:
        (line,) = re.findall(rf"^\| {kind.label} \|.*$", text, re.MULTILINE)
        assert escape(rules[kind.name]) in line
        count, share = kind.counts["ocr"], kind.shares["ocr"]
        assert (f"{count} ({percent(share)})" if count else " 0 ") in line
    assert "the texts of the documents of invoices-en and invoices-zh" in text


def test_json_has_the_kinds_of_wrong_and_the_equivalent_shares(run):
    record = json.loads(report_json(view_of(run), make_sections(view_of(run))))
    assert [kind["name"] for kind in record["mistakes"]] == [k.name for k in view_of(run).mistakes]
    assert record["mistakes"][0]["counts"]["ocr"] > 0
    assert record["rows"][0]["tasks"]["invoices-ru"]["equivalent"]["low"] > 0


def test_csv_names_the_kind_of_wrong(run):
    rows = list(csv.DictReader(io.StringIO(samples_csv(view_of(run)))))
    assert all((row["mistake"] == "") == (row["level"] == "right") for row in rows)
    assert {row["mistake"] for row in rows} - {""} <= set(MISTAKES)


def test_equivalent_counts_what_is_wrong_only_in_format(tmp_path):
    view = view_of(make_run(tmp_path, [MISFORMATTED]))
    for score in view.rows[0].tasks.values():
        assert score.estimate.value < 1
        assert score.equivalent.value == 1
    (kind,) = view.mistakes
    assert kind.label == "only in format"


def test_equivalent_stands_below_each_headline_in_markdown(tmp_path):
    text = markdown(make_sections(view_of(make_run(tmp_path, [MISFORMATTED]))))
    lines = re.findall(
        r"^\|  \|  \| equivalent ↑ \| 1\.000 \\\[.*\\\].* only in format\) \|$", text, re.MULTILINE
    )
    assert len(lines) == 3
    assert "wrong only in format, because the typed value" in text


def test_descriptions_have_no_equivalent(tmp_path):
    (task,) = make_tasks(3, 2, ["en"])
    samples = tuple(dataclasses.replace(s, answer_type="description") for s in task.samples)
    task = dataclasses.replace(task, samples=samples, metrics=("fuzzy_ratio",))
    view = view_of(make_run(tmp_path, [WRONG], [task]))
    assert view.rows[0].tasks["invoices-en"].equivalent is None
    assert judged(view.rows[0]) == 0
    assert "equivalent ↑" not in markdown(make_sections(view))
    paths = write_report([make_run(tmp_path, [WRONG], [task])], None, ("html", "csv"))
    assert {path.name for path in paths} >= {"report.html", "leaderboard.csv", "samples.csv"}


def test_headline_that_extraction_changed_is_one_line_a_task(tmp_path):
    view = view_of(make_run(tmp_path, [WRAPPED, RIGHT]))
    assert [(line.row, line.task) for line in view.extraction] == [
        ("wrapped", f"invoices-{language}") for language in ("ru", "en", "zh")
    ]
    assert all(line.raw.value < line.extracted.value == 1 for line in view.extraction)
    assert re.search(
        r"^\| wrapped \| invoices-ru \| ANLS \| 1\.000 .* \| 0\.\d{3} .* \|$",
        markdown(make_sections(view)),
        re.MULTILINE,
    )


def test_extraction_that_changed_nothing_is_said(tmp_path):
    view = view_of(make_run(tmp_path, [RIGHT]))
    assert view.extraction == ()
    assert "changed no headline score" in markdown(make_sections(view))
    assert "What extraction changed" not in markdown(make_sections(view))


# Questions a page


def test_questions_a_page_stand_beside_the_throughput(run):
    view = view_of(run)
    assert (view.load.questions, view.load.documents, view.load.pages) == (72, 18, 21)
    said = "3.43 questions per page (72 questions about 21 pages)"
    assert said in " ".join(terminal_summary(make_sections(view)).split())
    assert said in markdown(make_sections(view))


def test_samples_without_pages_have_no_questions_a_page(tmp_path):
    (task,) = make_tasks(2, 2, ["en"])
    documents = {k: dataclasses.replace(d, pages=()) for k, d in task.documents.items()}
    view = view_of(make_run(tmp_path, [RIGHT], [dataclasses.replace(task, documents=documents)]))
    assert view.rows[0].facts.throughput.questions_per_page is None
    assert "questions per page" not in terminal_summary(make_sections(view))


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"page_reuse": "once a batch"}, "right: once a batch"),
        ({"page_reuse": None, "reuse": True}, "right: a page is encoded once for its questions"),
        ({"page_reuse": None, "reuse": False}, "right: none"),
    ],
)
def test_model_that_reuses_pages_says_so(tmp_path, details, said):
    run = make_run(tmp_path, [dataclasses.replace(RIGHT, details=details)])
    assert f"{said}." in markdown(make_sections(view_of(run)))


# Several runs


def test_published_scores_are_named_by_their_rows(tmp_path):
    (task,) = make_tasks(3, 2, ["en"])
    task = dataclasses.replace(task, name="docvqa", title="DocVQA, validation")
    model = dataclasses.replace(RIGHT, name="Qwen2-VL-2B-Instruct")
    view = view_of(*(make_run(tmp_path, [model], [task], name=name) for name in ("one", "two")))
    assert {line.model for line in view.published} == {row.key for row in view.rows}
    assert {line.task for line in view.published} == {"docvqa"}


def test_model_of_two_runs_is_two_rows_named_by_their_runs(tmp_path):
    first = make_run(tmp_path, [RIGHT], name="first")
    second = make_run(tmp_path, [RIGHT, WRONG], name="second")
    assert {row.key for row in view_of(first, second).rows} == {
        "right @ first",
        "right @ second",
        "wrong",
    }


def test_runs_of_one_id_stay_apart(tmp_path):
    first = make_run(tmp_path / "a", [RIGHT], name="run", previews=False)
    broken = dataclasses.replace(RIGHT, asked=0.5)
    copied = {"id": first.id, "started": "2026-03-14T08:12:44Z"}
    second = make_run(tmp_path / "b", [broken], name="run", previews=False, record=copied)
    view = view_of(first, second)
    assert {row.key for row in view.rows} == {"right @ 2026-03-12", "right @ 2026-03-14"}
    assert [caveat.text for caveat in view.caveats if caveat.kind == "state"] == [
        "The run “2026-03-14” is unfinished: 36 of 72 questions have been asked."
    ]


def named(**changes: object) -> RunView:
    run = {
        "id": "20260102T030405Z-run-abc",
        "name": "run",
        "started": "2026-01-02T03:04:05Z",
        "record": {},
        **changes,
    }
    others = {field.name: "" for field in dataclasses.fields(RunView)}
    return RunView(**{**others, **run})


def settings(**values: object) -> dict[str, object]:
    return {"spec": {"settings": values, "models": [{"name": "a", "dtype": "fp32"}]}}


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        # What a person has called the run.
        ((named(), named(id="b", name="mine")), ("run", "mine")),
        # An option in which they differ.
        (
            (named(record=settings(limit=None)), named(id="b", record=settings(limit=20))),
            ("no limit", "limit 20"),
        ),
        (
            (named(record=settings(warmup=True)), named(id="b", record=settings(warmup=False))),
            ("warmup", "no warmup"),
        ),
        # When they began, to the precision that tells them apart.
        ((named(), named(id="b", started="2026-01-03T03:04:05Z")), ("2026-01-02", "2026-01-03")),
        (
            (named(), named(id="b", started="2026-01-02T03:09:05Z")),
            ("2026-01-02 03:04", "2026-01-02 03:09"),
        ),
        (
            (named(), named(id="b", started="2026-01-02T03:04:09Z")),
            ("2026-01-02 03:04:05", "2026-01-02 03:04:09"),
        ),
        ((named(), named(id="b")), ("20260102T030405Z-run-abc", "b")),
        # Beside a run of another name.
        (
            (named(), named(id="b", started="2026-01-03T03:04:05Z"), named(id="c", name="mine")),
            ("run, 2026-01-02", "run, 2026-01-03", "mine"),
        ),
        # A record of another program.
        ((named(record={"spec": 7}), named(id="b", started="")), ("20260102T030405Z-run-abc", "b")),
    ],
)
def test_runs_are_called_by_what_tells_them_apart(runs, names):
    assert tuple(distinct_names(runs).values()) == names


def test_the_next_command_writes_the_same_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "my runs", [RIGHT])
    options = ReportOptions(repeated=("--out", "a b"))
    printed = terminal_summary(make_sections(build([evaluate(run)], options)), None)
    assert f"bench report 'my runs/{run.path.name}' --out 'a b' --open" in printed


def test_tasks_of_one_name_and_two_contents_stay_apart(tmp_path):
    first = make_run(tmp_path, [RIGHT], make_tasks(2, 2, ["en"]), name="first")
    second = make_run(tmp_path, [WRONG], make_tasks(3, 2, ["en"]), name="second")
    view = view_of(first, second)
    assert len({task.key for task in view.tasks}) == 2
    assert len(view.boards) == 2
    assert any("separate boards" in caveat.text for caveat in view.caveats)


def test_rows_of_different_hardware_are_marked(tmp_path):
    first = make_run(tmp_path, [RIGHT], name="first")
    environment = {**first.record["environment"], "gpus": [{"name": "NVIDIA H100"}]}
    second = make_run(tmp_path, [WRONG], name="second", record={"environment": environment})
    view = view_of(first, second)
    assert view.mixed_hardware
    assert any(caveat.kind == "hardware" for caveat in view.caveats)


def test_report_of_two_runs_lies_beside_the_first(tmp_path):
    first = make_run(tmp_path, [RIGHT], name="first")
    second = make_run(tmp_path, [WRONG], name="second")
    (path,) = write_report([first, second], None, ("md",))
    assert path.parent.parent == first.path.parent
    assert path.parent not in (first.path, second.path)


# Renderers


def test_terminal_summary_is_plain_and_fits_its_width(run):
    for width in (40, 60, 80, 100, 160):
        text = terminal_summary(make_sections(view_of(run)), width)
        table = text.split("Next")[0]
        assert "\x1b" not in text
        assert max(len(line) for line in table.splitlines()) <= width


def test_terminal_summary_is_the_same_every_time(run):
    assert terminal_summary(make_sections(view_of(run)), 100) == terminal_summary(
        make_sections(view_of(run)), 100
    )


def test_terminal_summary_has_colour_only_on_demand(run):
    assert "\x1b[" in terminal_summary(make_sections(view_of(run)), 100, color=True)


def test_terminal_summary_says_what_to_type_next(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = terminal_summary(make_sections(view_of(run)), 100)
    assert re.search(r"Summary +Take qwen2-vl-7b", text)
    assert f"bench report {run.id} --open" in text
    assert f"bench show {run.id} invoices-" in text


def test_terminal_summary_breaks_no_command(tmp_path):
    run = make_run(tmp_path / ("long-" * 20), [RIGHT], previews=False)
    assert f"{run.id} --open\n" in terminal_summary(make_sections(view_of(run)), 60)


def test_markdown_fits_a_comment_with_many_models_and_long_answers(tmp_path):
    models = [dataclasses.replace(WRONG, name=f"model-{i:02}") for i in range(12)]
    run = make_run(tmp_path, models, hostile=True, previews=False)
    text = markdown(make_sections(view_of(run)))
    assert len(text) <= MAX_CHARACTERS
    assert text.startswith("# demo\n")


def test_markdown_lets_no_text_become_markup(tmp_path):
    run = make_run(tmp_path, [WRONG], hostile=True, previews=False)
    text = markdown(make_sections(view_of(run)))
    assert "<script" not in text
    assert "<img" not in text
    assert "http://" not in text
    assert "\x1b" not in text
    assert not re.search(r"^\| a \| b \|", text, re.MULTILINE)


def test_csv_holds_a_line_for_every_question_and_model(run):
    rows = list(csv.DictReader(io.StringIO(samples_csv(view_of(run)))))
    assert len(rows) == 72 * 4
    assert {row["model"] for row in rows} == {model.name for model in MODELS}
    sure = [row for row in rows if row["min_confidence"]]
    assert {row["model"] for row in sure} == {model.name for model in MODELS if model.gpu}
    assert all(float(row["min_confidence"]) <= float(row["confidence"]) for row in sure)


def test_csv_has_no_cell_that_a_spreadsheet_would_run(tmp_path):
    run = make_run(tmp_path, [WRONG], hostile=True, previews=False)
    view = view_of(run)
    tables = section_tables(make_sections(view))
    assert len(tables) > 8
    for table in (samples_csv(view), leaderboard_csv(view), *tables.values()):
        for row in csv.reader(io.StringIO(table)):
            for cell in row:
                assert not cell.startswith(("=", "@", "\t", "\r"))
                assert "\x1b" not in cell


def test_json_is_the_view_without_its_samples(run):
    record = json.loads(report_json(view_of(run), make_sections(view_of(run))))
    assert record["rows"][0]["key"] == "qwen2-vl-7b"
    assert record["rows"][0]["facts"]["latency"]["p50"] > 0
    assert "samples" not in record


def test_json_leaves_out_how_the_sections_look(run):
    view = view_of(run)
    sections = json.loads(report_json(view, make_sections(view)))["sections"]
    blocks = [block for section in sections for block in section["blocks"]]
    tables = [block for block in blocks if block["block"] == "table"]
    cells = [cell for table in tables for row in table["rows"] for cell in row["cells"].values()]
    assert all("value" in cell or "reason" in cell for cell in cells if cell)
    for part in (*blocks, *cells, *(column for table in tables for column in table["columns"])):
        assert not part.keys() & LOOKS
    assert not any(block["block"] == "plot" for block in blocks)


def test_json_says_nothing_of_where_the_run_lies(run, tmp_path):
    assert str(tmp_path) not in report_json(view_of(run), make_sections(view_of(run)))


def test_embedded_json_cannot_end_its_script():
    text = json_text(["</script>", "\u2028", "\u2029", "<!--", "&"])
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == ["</script>", "\u2028", "\u2029", "<!--", "&"]


# write_report


def test_report_goes_into_the_run_directory_by_default(run):
    paths = write_report([run])
    assert [path.name for path in paths] == ["report.html", "report.md"]
    assert all(path.parent == run.path for path in paths)


def test_out_with_a_known_suffix_is_the_one_file(run, tmp_path):
    assert write_report([run], tmp_path / "x.md") == [tmp_path / "x.md"]


def test_csv_file_brings_the_samples_along(run, tmp_path):
    paths = write_report([run], tmp_path / "x.csv", ("csv",))
    assert [path.name for path in paths] == ["x.csv", "x-samples.csv"]


def test_unknown_format_offers_the_nearest(run):
    with pytest.raises(InvalidInput, match="htlm") as error:
        write_report([run], None, ("htlm",))
    assert "html" in error.value.hint


@pytest.mark.parametrize(
    "options", [{"images": "some"}, {"images": -1}, {"max_mb": 0.1}, {"max_mb": float("nan")}]
)
def test_options_that_cannot_be_drawn_are_refused(run, options):
    with pytest.raises(InvalidInput):
        write_report([run], None, ("html",), ReportOptions(**options))


def test_no_run_is_refused():
    with pytest.raises(InvalidInput):
        write_report([])


# show


def test_show_marks_what_is_missing_and_what_is_surplus(tmp_path):
    run = make_run(tmp_path, [FixtureModel("ocr", skill=0.3)])
    evaluation = evaluate(run)
    answers = [a for cell in evaluation.cells.values() for a in cell.answers]
    spoilt = next(a for a in answers if 0 < a.scores["anls"].value < 1)
    text = show_sample(evaluation, spoilt.sample.id)
    assert re.search(r"\[-.+-\]|\{\+.+\+\}", text)
    assert "anls 0." in text


def test_show_names_the_kind_of_wrong_with_its_rule(tmp_path):
    evaluation = evaluate(make_run(tmp_path, [MISFORMATTED]))
    text = show_sample(evaluation, "invoices-ru/ru-00/q2")
    assert "kind      only in format (the typed value equals a reference's" in text
    assert "kind " not in show_sample(evaluation, "invoices-ru/ru-00/q1")


def test_show_says_how_sure_the_model_was(run):
    evaluation = evaluate(run)
    text = show_sample(evaluation, "invoices-ru/ru-00/q0")
    output = evaluation.run.outputs("qwen2-vl-7b", "invoices-ru")["ru-00/q0"]
    assert (
        f"confidence {output.confidence:.2f} (least sure token {output.min_confidence:.2f})" in text
    )
    assert text.count("confidence") == 3, "the OCR baseline gives none"


def test_show_takes_the_task_with_the_id(run):
    assert "invoices-ru/ru-00/q0" in show_sample(evaluate(run), "invoices-ru/ru-00/q0")


def test_show_offers_the_nearest_id(run):
    with pytest.raises(InvalidInput) as error:
        show_sample(evaluate(run), "ru-00/q00")
    assert "ru-00/q0" in error.value.hint


def test_show_asks_which_where_two_tasks_have_the_id(tmp_path):
    tasks = make_tasks(1, 1, ["en", "ru"])
    tasks = [
        dataclasses.replace(t, samples=(dataclasses.replace(t.samples[0], id="1"),)) for t in tasks
    ]
    evaluation = evaluate(make_run(tmp_path, [RIGHT], tasks))
    with pytest.raises(InvalidInput, match="2 tasks"):
        show_sample(evaluation, "1")
    assert show_sample(evaluation, "invoices-ru/1").startswith("invoices-ru/1\n")


def test_show_steers_no_terminal_and_cuts_a_megabyte(tmp_path):
    run = make_run(tmp_path, [WRONG], hostile=True, previews=False)
    evaluation = evaluate(run)
    for cell in evaluation.cells.values():
        for answer in cell.answers:
            text = show_sample(evaluation, f"{cell.task.name}/{answer.sample.id}")
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066\u2069\ud800]", text)
            assert len(text) < 30_000


# Formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2218, "0.222"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (0, "0"),
        (None, "–"),
        (0.00123, "0.00123"),
        (0.000126, "< 0.001"),
    ],
)
def test_significant_digits(value, text):
    assert significant(value) == text


def test_share_that_is_neither_nothing_nor_all_is_written_as_neither():
    shares = (0.0, 0.001, 0.123, 0.999, 1.0, None)
    assert [percent(v) for v in shares] == ["0 %", "< 1 %", "12 %", "> 99 %", "100 %", "–"]


def test_differences_have_a_sign_and_zero_has_none():
    assert [signed(v) for v in (0.0471, -0.2, 0.00001, None)] == ["+0.047", "−0.200", "0.000", "–"]


def test_long_times_are_minutes_and_hours():
    assert [seconds(v) for v in (0.5, 119, 125, 3725)] == [
        "0.500 s",
        "119 s",
        "2 min 05 s",
        "1 h 02 min",
    ]


def test_bytes_are_gib():
    assert [gib(v) for v in (17.2 * 2**30, 2**29, None)] == ["17.2", "0.50", "–"]


def test_no_interval_is_a_dash():
    assert interval(Estimate(0.5, None, None, 1, 1, 0)) == "–"


def test_every_hostile_text_survives_all_renderers(tmp_path):
    run = make_run(tmp_path, [RIGHT, WRONG], hostile=True)
    paths = write_report([run], tmp_path / "out", FORMATS)
    assert {path.name for path in paths} >= FILES
    assert HOSTILE[0] not in paths[0].read_text(encoding="utf-8")


def test_tables_in_files_open_in_excel_in_pandas_and_here(run, tmp_path):
    import pandas

    from bench.report.write import write_report
    from bench.tasks.csvfile import read_table

    paths = [
        path for path in write_report([run], tmp_path / "out", ["csv"]) if path.suffix == ".csv"
    ]
    assert {"leaderboard.csv", "samples.csv"} < {path.name for path in paths}
    for path in paths:
        raw = path.read_bytes()
        # Excel takes a table without this mark for the encoding of its country.
        assert raw.startswith(b"\xef\xbb\xbf")
        assert raw.count(b"\xef\xbb\xbf") == 1
    (samples,) = [path for path in paths if path.name == "samples.csv"]
    frame = pandas.read_csv(samples, keep_default_na=False)
    assert "task" in frame.columns
    questions = "".join(frame["question"])
    assert any("\u0400" <= letter <= "\u04ff" for letter in questions)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in questions)
    problems = []
    rows = list(read_table(samples, problems, [], [("task",), ("question",)]))
    assert (problems, len(rows)) == ([], len(frame))

"""What reports say of speed, memory, energy, and of the machine meanwhile."""

import csv
import dataclasses
import io

import pytest

from bench.files import read_lines, write_lines
from bench.report import ReportOptions, build, make_sections, terminal_summary
from bench.report.html import html
from bench.report.markdown import markdown
from bench.report.measurements import MEMORY_KINDS
from bench.report.section import tables
from bench.report.tables import leaderboard_csv
from bench.rundir.store import RunStore
from bench.scoring.evaluation import evaluate
from tests.run_fixture import MODELS, make_run, monitor_samples


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, previews=False)


def view_of(run):
    return build([evaluate(run)], ReportOptions())


WATCHED = dataclasses.replace(MODELS[1], watched=True)


def test_latency_is_taken_apart_where_the_run_says(tmp_path):
    row = view_of(make_run(tmp_path, [WATCHED], previews=False)).rows[0]
    alone, cold = row.facts.single_stream, row.facts.latency
    assert alone.first_token.p50 == pytest.approx(0.7 * cold.p50)
    assert alone.warm.p50 == pytest.approx(0.8 * cold.p50)
    assert alone.warm_first_token.p95 == pytest.approx(0.7 * 0.8 * cold.p95)
    assert list(alone.first_token_parts) == ["preprocess", "transfer", "vision", "prefix", "suffix"]
    # Eight tokens after the first of each answer, in 0.28 of its time; pooled, not a mean of rates.
    assert alone.tokens_per_second == pytest.approx(8 * cold.n / (0.28 * sum(cold.seconds)))


def test_a_stream_that_came_in_one_piece_tells_no_first_token(tmp_path):
    run = make_run(tmp_path, [WATCHED], previews=False)
    for path in run.path.glob("*/*/latency.jsonl"):
        rows = list(read_lines(path))
        for row in rows:
            row["stages"]["decode"] = (row["generated_tokens"] - 1) / 20_000
        write_lines(path, rows)
    alone = view_of(RunStore.open(run.path)).rows[0].facts.single_stream
    assert (alone.first_token, alone.tokens_per_second) == (None, None)
    assert alone.first_token_parts == {}
    assert alone.warm is not None


def test_a_run_of_before_has_its_latency_alone(run):
    alone = view_of(run).rows[0].facts.single_stream
    assert (alone.warm, alone.first_token, alone.tokens_per_second) == (None, None, None)
    assert alone.first_token_parts == {}


def test_every_report_says_where_the_time_goes_and_what_a_page_is_used_for(tmp_path):
    view = view_of(make_run(tmp_path, [WATCHED, MODELS[2], MODELS[3]], previews=False))
    shown = terminal_summary(make_sections(view), 120)
    text = markdown(make_sections(view))
    for stages in ("vision 35 %, prefix 15 %", "prefill 50 %", "read 90 %, match 10 %"):
        assert stages in text
        assert stages.replace(" %", "%") in shown
    for said in (shown, text):
        assert "a page is encoded once for its questions" in said
        assert "questions per page" in said.lower()
    (line, *_) = csv.DictReader(io.StringIO(leaderboard_csv(view)))
    assert line["page_reuse"] == "a page is encoded once for its questions"
    assert float(line["questions_per_page"]) == pytest.approx(72 / 21)


def test_the_page_has_first_tokens_and_the_machine_only_where_they_were_measured(tmp_path):
    watched = make_run(tmp_path / "new", [WATCHED], previews=False)
    older = make_run(tmp_path / "old", [MODELS[1]], previews=False)
    new, old = (
        html(view_of(run), make_sections(view_of(run)), ReportOptions(), run.path / "x.html")
        for run in (watched, older)
    )
    for said in ("first token, warm", "To the first token, one question at a time: preprocess"):
        assert said in new
        assert said not in old
    assert "<dt>GPU power</dt><dd>414 (400 to 429) W</dd>" in new
    assert "State of the machine" not in old
    assert "answer, cold" in old


def test_reports_hold_all_memory_numbers_and_the_warm_up(tmp_path):
    view = view_of(make_run(tmp_path, [WATCHED], previews=False))
    text = markdown(make_sections(view))
    assert "| Load | First call | process GiB | reserved GiB | allocated GiB | RSS GiB |" in text
    (line,) = csv.DictReader(io.StringIO(leaderboard_csv(view)))
    peaks = view.rows[0].facts.memory.peaks
    assert {k: int(line[f"memory_{k}_bytes"]) for k in MEMORY_KINDS} == peaks
    assert float(line["first_call_s"]) > 0


def energy(run):
    """The cell of the report's first model."""
    sections = {section.id: section for section in make_sections(view_of(run))}
    throughput = next(t for t in tables(sections["speed"], "html") if t.id == "throughput")
    return throughput.rows[0].cells["energy"]


def test_energy_is_given_for_windows_or_said_to_be_missing(tmp_path):
    watched = view_of(make_run(tmp_path / "a", [WATCHED], previews=False)).rows[0]
    assert watched.facts.energy.joules_per_question == 25
    assert energy(make_run(tmp_path / "d", [WATCHED])).value == 25
    short = energy(make_run(tmp_path / "b", [dataclasses.replace(MODELS[1], seconds=0.01)]))
    assert (short.value, "under 10 s" in short.reason) == (None, True)
    assert energy(make_run(tmp_path / "c", [MODELS[3]])).reason == "No GPU counted the energy."


@pytest.mark.parametrize(
    ("disturbance", "says"),
    [
        ({"throttled": 12}, "its GPU was throttled for 12 of 70 s (power cap 12 s)"),
        ({"others": 2}, "2 other processes (2.0 GiB) computed on its GPU"),
        ({"other_cores": 4.0}, "other processes kept 4.0 of the machine's 16 cores busy"),
    ],
)
def test_a_report_warns_where_a_machine_was_slowed_or_shared(tmp_path, disturbance, says):
    run = make_run(tmp_path, [WATCHED], previews=False)
    assert not any(caveat.kind == "speed" for caveat in view_of(run).caveats)
    run.append_monitor(WATCHED.name, monitor_samples(40, **disturbance))
    (caveat,) = (caveat for caveat in view_of(run).caveats if caveat.kind == "speed")
    assert says in caveat.text
    assert says.split("(")[0] in markdown(make_sections(view_of(run)))


def test_samples_of_all_processes_of_a_model_are_read(tmp_path):
    run = make_run(tmp_path, [WATCHED], previews=False)
    RunStore.open(run.path, shard=1).append_monitor(WATCHED.name, monitor_samples(5))
    assert view_of(run).rows[0].facts.conditions.seconds == 35


def test_answers_without_a_measurement_are_counted(tmp_path):
    run = make_run(tmp_path, [MODELS[1]], previews=False)
    path = run.cell_folder(MODELS[1].name, "invoices-ru") / "batches.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    view = view_of(run)
    assert view.rows[0].untimed == 8
    assert view.rows[0].facts.throughput.questions == 64
    assert any("8 answers of 72" in c.text for c in view.caveats)


def test_answers_made_elsewhere_lack_no_measurement(tmp_path):
    run = make_run(tmp_path, [MODELS[1]], previews=False)
    for path in run.model_folder(MODELS[1].name).glob("*/batches.jsonl"):
        path.unlink()
    view = view_of(run)
    assert view.rows[0].untimed == 0
    assert view.rows[0].facts.throughput is None

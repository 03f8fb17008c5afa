"""The runner with the fake model: every sample gets a record, whatever happens on the way."""

from __future__ import annotations

import io
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.asking.prompts import PromptRule
from bench.errors import InvalidInput
from bench.models.fake import Fake
from bench.rundir.store import RunStore
from bench.runner import RunPlan, RunSettings, execute, plan_run, worker
from bench.runner.answering import sample_ids
from bench.runner.batches import (
    batched,
    default_batch_size,
    latency_questions,
    page_groups,
)
from bench.runner.run_record import known_texts, run_record
from bench.runner.shards import Shard
from bench.runner.spec import ALWAYS_RECORDED
from bench.schema import Batch, ModelSpec, Output, PageGroup, Task
from bench.scoring.evaluation import evaluate, write_scores
from bench.tasks import load_task
from tests.conftest import MakeTask


def fake(name: str = "fake", **options: Any) -> ModelSpec:
    return ModelSpec(name, "fake", options={"default": "answer to {sample_id}", **options})


def plan(folder: Path, *models: ModelSpec, **settings: Any) -> RunPlan:
    return plan_run(models or (fake(),), [load_task(folder)], RunSettings(**settings))


class Recorder:
    """Keeps what the runner says."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.resumed = False

    def started(self, run: RunStore, *, resumed: bool) -> None:
        self.resumed = resumed

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        self.events.append({"model": model, **event})

    def stopping(self) -> None:
        self.events.append({"event": "stopping"})


def test_every_question_gets_one_output_and_every_batch_a_measurement(
    make_task: MakeTask, tmp_path: Path
) -> None:
    outcome = execute(plan(make_task(), batch_size=5), tmp_path / "results")
    outputs = outcome.run.outputs("fake", "mine")
    assert {o.text for o in outputs.values()} == {f"answer to {sample_id}" for sample_id in outputs}
    assert len(outputs) == 12
    batches = outcome.run.batches("fake", "mine")
    assert sum(len(batch["samples"]) for batch in batches) == 12
    assert all(batch["seconds"] > 0 and batch["memory"]["peak_rss"] > 0 for batch in batches)
    assert outcome.run.state() == "complete"


def test_latency_is_measured_one_question_at_a_time_on_different_documents(
    make_task: MakeTask, tmp_path: Path
) -> None:
    run = execute(plan(make_task(documents=5), latency_samples=3), tmp_path / "results").run
    records = run.latencies("fake", "mine")
    assert len({record["sample_id"].split("/")[0] for record in records}) == 3


def test_a_latency_question_is_asked_cold_and_then_warm_unless_it_fails(
    make_task: MakeTask, tmp_path: Path
) -> None:
    task = make_task(documents=2)
    run = execute(plan(task, fake(fail=["d0"]), latency_samples=2), tmp_path / "results").run
    answered, failed = sorted(run.latencies("fake", "mine"), key=lambda record: record["failed"])
    assert "warm" not in failed
    for asked in (answered, answered["warm"]):
        assert asked["seconds"] >= asked["stages"]["decode"]
        # The fake does not write token by token.
        assert asked["first_token_seconds"] is None


def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    make_task: MakeTask, tmp_path: Path
) -> None:
    recorder = Recorder()
    run = execute(
        plan(make_task(), fake(capacity=3), batch_size=12), tmp_path / "r", progress=recorder
    ).run
    assert not any(output.error for output in run.outputs("fake", "mine").values())
    assert max(batch["batch_size"] for batch in run.batches("fake", "mine")) <= 3
    # Half of 12 is 6; documents of 4 questions are not cut for it, and half of 4 is 2.
    assert [e["action"] for e in recorder.events if e["event"] == "smaller"] == [
        "batches of 6",
        "batches of 2",
    ]


def test_a_question_that_fits_in_no_batch_is_recorded_as_out_of_memory(
    make_task: MakeTask, tmp_path: Path
) -> None:
    run = execute(plan(make_task(), fake(capacity=0)), tmp_path / "r").run
    outputs = run.outputs("fake", "mine").values()
    assert len(outputs) == 12
    assert all(
        (o.error or "").startswith("OutOfMemory") and o.stop_reason == "error" for o in outputs
    )


@pytest.mark.parametrize("option", ["fail", "refuse"])
def test_a_failing_question_is_recorded_and_the_others_are_answered(
    make_task: MakeTask, tmp_path: Path, option: str
) -> None:
    script: dict[str, Any] = {option: ["d1/q2"]}
    run = execute(plan(make_task(), fake(**script)), tmp_path / "r").run
    failed = [o.sample_id for o in run.outputs("fake", "mine").values() if o.stop_reason == "error"]
    assert failed == ["d1/q2"]
    assert run.is_complete()


def test_a_model_that_does_not_load_leaves_the_others_running(
    make_task: MakeTask, tmp_path: Path
) -> None:
    models = (fake("broken", load_error="no weights here"), fake("fine"))
    outcome = execute(plan(make_task(), *models), tmp_path / "r")
    assert outcome.failed_models == ("broken",)
    failure = outcome.run.failure("broken")
    assert failure is not None
    assert failure["message"] == "no weights here"
    assert len(outcome.run.outputs("fine", "mine")) == 12


def test_the_same_plan_resumes_only_what_is_unfinished(make_task: MakeTask, tmp_path: Path) -> None:
    asked = plan(make_task(), fake("fine"), fake("flaky", load_error="later"))
    first = execute(asked, tmp_path / "r")
    before = (first.run.cell_folder("fine", "mine") / "outputs.jsonl").read_bytes()
    recorder = Recorder()
    again = execute(asked, tmp_path / "r", progress=recorder)
    assert recorder.resumed
    assert again.run.path == first.run.path
    assert (again.run.cell_folder("fine", "mine") / "outputs.jsonl").read_bytes() == before
    assert {event["model"] for event in recorder.events} == {"flaky"}


def test_resuming_a_finished_run_asks_for_answers_that_were_lost(
    make_task: MakeTask, tmp_path: Path
) -> None:
    asked = plan(make_task(), fake("fine"))
    run = execute(asked, tmp_path / "r").run
    before = run.outputs("fine", "mine")
    path = run.cell_folder("fine", "mine") / "outputs.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    assert len(run.outputs("fine", "mine")) < 12
    outcome = execute(asked, tmp_path / "r", resume=run.path)
    assert outcome.failed_models == ()
    assert outcome.run.outputs("fine", "mine") == before
    assert outcome.run.is_complete()


def test_a_finished_run_is_not_resumed_but_begun_anew(make_task: MakeTask, tmp_path: Path) -> None:
    asked = plan(make_task())
    run = execute(asked, tmp_path / "r").run
    write_scores(evaluate(run))
    assert execute(asked, tmp_path / "r").run.path != run.path


def test_a_run_that_was_broken_off_before_its_scores_is_not_asked_again(
    make_task: MakeTask, tmp_path: Path
) -> None:
    asked = plan(make_task())
    run = execute(asked, tmp_path / "r").run
    recorder = Recorder()
    assert execute(asked, tmp_path / "r", progress=recorder).run.path == run.path
    assert recorder.resumed
    assert recorder.events == []


def test_scores_of_an_unfinished_run_do_not_conclude_it(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = plan(make_task(), fake("fine"), fake("other"))
    with monkeypatch.context() as patch:
        # By sys.modules: the package's attribute of that name is the function.
        patch.setattr(sys.modules["bench.runner.execute"], "run_model", lambda *_: 1)
        run = execute(asked, tmp_path / "r").run
    write_scores(evaluate(run))
    execute(asked, tmp_path / "r")
    assert run.is_complete()
    assert not run.is_concluded()


def test_the_log_of_a_model_that_runs_well_holds_nothing_but_its_name(
    make_task: MakeTask, tmp_path: Path
) -> None:
    log = (execute(plan(make_task()), tmp_path / "r").run.path / "log.txt").read_text("utf-8")
    assert [line.split()[-1] for line in log.splitlines()] == ["fake"]


def test_resuming_with_another_specification_names_what_differs(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task()
    run = execute(plan(folder), tmp_path / "r").run
    with pytest.raises(InvalidInput, match=r"settings.limit: not set → 2"):
        execute(plan(folder, limit=2), tmp_path / "r", resume=run.path)


SPEC_IDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "13b0178af4e5d1b3562479e65ff5e29cae9e1bc67e7ce1ca13fb76164624049c"),
    (
        {"limit": 5, "batch_size": 8, "warmup": False, "latency_samples": 0},
        "4aee65c7a48bba717db56ce088dc315f9ad0e66650aa8325f2c7f66b52ff3fb5",
    ),
    (
        {"sample_ids": ("a", "b"), "max_new_tokens": 32},
        "a7310c316e909bf3a5e355c391696ab541c5f2a6f3c58f2b1ef1e76d6d9b1601",
    ),
    (
        {
            "prompts": (PromptRule("Read {question}", "ab", "f/p.csv", key="invoice"),),
            "allow_downscale": True,
            "only": {"lang": ("en", "ru")},
        },
        "0a042af7765519ff6ca8574779e34aeabbc2db6d4f0e0e3a4347df06e10fa8f7",
    ),
    (
        {"protocol": {"name": "vlmevalkit", "answer": "strip"}},
        "148bdaca14e3459be578b97e8a91dc8ae1e7f73168dcde2a9db525dd0e12b356",
    ),
)
"""Settings, and the identity that version 0.1.0 computed for a run with them."""


@pytest.mark.parametrize(("settings", "spec_id"), SPEC_IDS)
def test_a_run_that_an_earlier_version_began_still_has_its_identity(
    settings: dict[str, Any], spec_id: str
) -> None:
    task = Task("mine", "1", "Mine", {}, (), ("anls", "exact_match"), digest="d" * 64)
    asked = RunPlan("run", (fake("m", default="x"),), (task,), RunSettings(**settings))
    assert asked.spec_id() == spec_id


@pytest.mark.parametrize("settings", [settings for settings, _ in SPEC_IDS])
def test_settings_come_back_from_a_record(settings: dict[str, Any]) -> None:
    chosen = RunSettings(**settings)
    record = json.loads(json.dumps(chosen.record()))
    read = RunSettings.from_record({**record, "of_a_later_version": 1})
    assert json.loads(json.dumps(read.record())) == record
    assert read.prompts == chosen.prompts


def test_a_new_setting_is_left_out_of_the_identity_while_it_has_its_default() -> None:
    defaults = RunSettings()
    assert defaults.record() == dict(ALWAYS_RECORDED)
    for name, value in ALWAYS_RECORDED.items():
        # Whoever changes one of these defaults changes what the identity of older runs means.
        assert name == "seed" or getattr(defaults, name) == value


def test_an_unknown_sample_id_is_refused_before_anything_runs(make_task: MakeTask) -> None:
    with pytest.raises(InvalidInput, match="d9/q9"):
        plan(make_task(), sample_ids=("d9/q9",))


def test_a_model_and_a_task_of_one_name_are_refused(make_task: MakeTask) -> None:
    with pytest.raises(InvalidInput, match="folder name"):
        plan(make_task(), fake("mine"))


@pytest.mark.parametrize("capacity", [99, 2])
def test_a_model_is_told_what_comes_after_the_next_call(
    capacity: int, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ids(groups: Sequence[PageGroup]) -> list[str]:
        return [request.sample_id for group in groups for request in group.requests]

    expected: list[list[str]] = [[]]
    calls: list[tuple[list[str], list[str]]] = []

    class Told(Fake):
        def expect(self, groups: Sequence[PageGroup]) -> None:
            expected.append(ids(groups))

        def generate(self, groups: Sequence[PageGroup]) -> Batch:
            found = super().generate(groups)
            calls.append((ids(groups), expected[-1]))
            return found

    monkeypatch.setattr(worker, "model_for_process", Told)
    asked = plan(
        make_task(documents=4),
        fake(capacity=capacity),
        batch_size=4,
        latency_samples=0,
        warmup=False,
    )
    run = RunStore.create(tmp_path / "r", "run", run_record(asked), asked.tasks, known_texts(asked))
    assert worker.Worker(run, "fake", io.StringIO(), Shard()).work() == 0
    assert [len(call) for call, _ in calls] == ([4] * 4 if capacity == 99 else [2] * 8)
    for (_, told), (following, _) in pairwise(calls):
        # What does not fit comes in halves, the first of them first.
        assert told[: len(following)] == following
    assert calls[-1][1] == []


def test_of_a_model_on_another_machine_no_memory_energy_or_load_is_recorded(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "measures_locally", lambda spec: False)
    asked = plan(make_task(), latency_samples=2)
    record = run_record(asked)
    run = RunStore.create(tmp_path / "r", "run", record, asked.tasks, known_texts(asked))
    assert worker.Worker(run, "fake", io.StringIO(), Shard()).work() == 0
    loaded = run.model_record("fake")
    assert loaded is not None
    assert "memory_after_load" not in loaded
    for batch in run.batches("fake", "mine"):
        assert not {"memory", "energy"} & batch.keys()
    assert run.monitor("fake") == []
    assert run.is_complete()


def test_questions_of_a_document_stay_together_where_they_fit(make_task: MakeTask) -> None:
    groups = page_groups(load_task(make_task(documents=4, questions=3)))
    sizes = [[len(group.requests) for group in batch] for batch in batched(groups, 4)]
    assert sizes == [[3], [3], [3], [3]]
    cut = [[len(group.requests) for group in batch] for batch in batched(groups, 2)]
    assert cut == [[2], [1, 1], [2], [2], [1, 1], [2]]


@pytest.mark.parametrize(
    ("questions", "device", "weights", "size"),
    [
        (5, "cpu", 2**28, 80),
        (1, "cpu", 2**28, 16),
        (30, "cpu", 2**28, 128),
        # A large model takes minutes for a call, which a kill would lose.
        (5, "cpu", 2**31, 16),
        (5, "cuda:0", 2**28, 64),
    ],
)
def test_a_call_on_a_cpu_holds_documents_rather_than_questions(
    questions: int, device: str, weights: int, size: int, make_task: MakeTask
) -> None:
    groups = page_groups(load_task(make_task(documents=2, questions=questions)))
    assert default_batch_size(device, groups, weights) == size


def test_largest_documents_come_first(make_task: MakeTask) -> None:
    groups = page_groups(load_task(make_task(documents=3)))
    assert [group.document.id for group in groups] == ["p2.png", "p1.png", "p0.png"]


def test_the_latency_questions_spread_over_tasks_and_sizes(make_task: MakeTask) -> None:
    small = page_groups(load_task(make_task(name="small", documents=2)))
    # Pages of other sizes, since equal contents count as one document.
    large = page_groups(load_task(make_task(name="large", documents=9)))[:-2]
    chosen = latency_questions({"small": small, "large": large}, 5)
    assert [entry.task for entry in chosen].count("small") == 2
    large_chosen = [entry.group.document.id for entry in chosen if entry.task == "large"]
    assert large_chosen == ["p8.png", "p5.png", "p2.png"]


BENCH_TOML = """
[models.scripted]
model = "fake"
options = { default = "value {sample_id}", delay = 0.02, fail = ["d2/q1"] }
"""


def command(folder: Path, results: Path) -> list[str]:
    config = folder.parent / "bench.toml"
    config.write_text(BENCH_TOML)
    return [
        *[sys.executable, "-m", "bench", "run", "--config", str(config), "--models", "scripted"],
        *["--tasks", str(folder), "--out", str(results), "--batch-size", "3", "--no-report"],
        *["--latency-samples", "2"],
    ]


def scores(run: RunStore) -> bytes:
    write_scores(evaluate(run))
    # Digests are of files that also hold times.
    files = [f for f in sorted((run.path / "scores").rglob("*.json*")) if f.name != "digests.json"]
    return b"".join(file.read_bytes() for file in files)


def test_killed_at_ten_random_moments_and_resumed_gives_byte_equal_scores(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task(documents=8)
    subprocess.run(command(folder, tmp_path / "whole"), check=True, capture_output=True)
    (whole,) = (tmp_path / "whole").iterdir()
    random_moments = random.Random(7)
    kills = 0
    while kills < 10:
        process = subprocess.Popen(
            command(folder, tmp_path / "broken"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # Somewhere between the interpreter's start and a few batches further on.
        time.sleep(random_moments.uniform(0.3, 1.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    subprocess.run(command(folder, tmp_path / "broken"), check=True, capture_output=True)
    runs = [
        RunStore.open(path)
        for path in (tmp_path / "broken").iterdir()
        if (path / "run.json").is_file()
    ]
    finished = [run for run in runs if run.is_complete()]
    assert finished
    assert all(scores(run) == scores(RunStore.open(whole)) for run in finished)


def test_a_models_folder_that_is_deleted_in_mid_run_is_filled_again(
    make_task: MakeTask, tmp_path: Path
) -> None:
    arguments = command(make_task(documents=8), tmp_path / "r")
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        stored: list[Path] = []
        while not stored and process.poll() is None and time.monotonic() < deadline:
            stored = list((tmp_path / "r").glob("*/scripted/mine/outputs.jsonl"))
        assert stored
        # In one step: a folder that is emptied while the model writes into it may not get empty.
        stored[0].parent.parent.rename(tmp_path / "gone")
        _, said = process.communicate(timeout=60)
    (run,) = (RunStore.open(path) for path in (tmp_path / "r").iterdir())
    is_whole = len(run.outputs("scripted", "mine")) == 32
    assert is_whole == (process.returncode == 0), said
    if not is_whole:
        subprocess.run(arguments, check=True, capture_output=True)
    assert len(run.outputs("scripted", "mine")) == 32


def test_a_run_that_is_moved_away_is_not_begun_again_in_its_place(
    make_task: MakeTask, tmp_path: Path
) -> None:
    arguments = command(make_task(documents=8), tmp_path / "r")
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        stored: list[Path] = []
        while not stored and process.poll() is None and time.monotonic() < deadline:
            stored = list((tmp_path / "r").glob("*/scripted/mine/outputs.jsonl"))
        run = stored[0].parents[2]
        run.rename(tmp_path / "moved")
        _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the run was done before it was moved")
    assert process.returncode == 3
    assert f"{run} was removed or moved while the run was at work" in said
    assert not run.exists()
    (tmp_path / "moved").rename(run)
    subprocess.run(arguments, check=True, capture_output=True)
    assert len(RunStore.open(run).outputs("scripted", "mine")) == 32


def test_a_limit_on_the_size_of_files_is_one_line_and_the_run_goes_on_without_it(
    make_task: MakeTask, tmp_path: Path
) -> None:
    arguments = command(make_task(documents=2), tmp_path / "r")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_500, 2_500))

    ended = subprocess.run(arguments, capture_output=True, text=True, preexec_fn=limit)
    assert ended.returncode == 3
    assert ended.stderr.count("error:") == 1
    assert "cannot be written: File too large" in ended.stderr
    subprocess.run(arguments, check=True, capture_output=True)
    runs = [path.parent for path in (tmp_path / "r").glob("*/run.json")]
    assert all(RunStore.open(run).is_complete() for run in runs)
    assert not [path for path in (tmp_path / "r").rglob(".*") if path.is_file()]


def test_ctrl_c_finishes_the_batch_and_prints_the_command_that_resumes(
    make_task: MakeTask, tmp_path: Path
) -> None:
    arguments = command(make_task(documents=20), tmp_path / "r")
    with subprocess.Popen(
        [*arguments, "--fresh"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = ""
        while "mine: 0 of 80" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        while not list((tmp_path / "r").glob("*/scripted/mine/outputs.jsonl")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130
    assert "To continue it, type: bench run --config" in said
    assert "--fresh" not in said
    (path,) = (tmp_path / "r").iterdir()
    run = RunStore.open(path)
    done = run.outputs("scripted", "mine")
    assert 0 < len(done) < 80
    assert sum(len(batch["samples"]) for batch in run.batches("scripted", "mine")) == len(done)
    finished = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert f"Continuing the run {path}" in finished.stderr
    assert len(RunStore.open(path).outputs("scripted", "mine")) == 80


@pytest.mark.parametrize("error", [ValueError, KeyError])
def test_a_listener_that_raises_loses_no_answer_and_is_named_once(
    make_task: MakeTask, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    class Broken(Recorder):
        def event(self, model: str, event: Mapping[str, Any]) -> None:
            super().event(model, event)
            raise error("no child")

    recorder = Broken()
    run = execute(plan(make_task(), batch_size=4), tmp_path / "r", progress=recorder).run
    assert run.is_complete()
    assert not any(output.error for output in run.outputs("fake", "mine").values())
    (said,) = [record.getMessage() for record in caplog.records]
    others = len(recorder.events) - 1
    assert f"event() raised {error.__name__}: " in said
    assert f"(and {others} more exceptions). The run went on" in said
    log = (run.path / "log.txt").read_text(encoding="utf-8")
    assert log.count("Traceback") == 1
    assert 'raise error("no child")' in log


def test_a_listener_may_stop_the_run(make_task: MakeTask, tmp_path: Path) -> None:
    class Impatient(Recorder):
        def event(self, model: str, event: Mapping[str, Any]) -> None:
            if event["event"] == "task" and event["done"] > 0:
                sys.exit("enough")

    asked = plan(make_task(), batch_size=4)
    with pytest.raises(SystemExit):
        execute(asked, tmp_path / "r", progress=Impatient())
    (path,) = (tmp_path / "r").iterdir()
    assert RunStore.open(path).outputs("fake", "mine")
    assert execute(asked, tmp_path / "r").run.path == path


def test_a_process_that_dies_after_its_work_has_done_its_work(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder, recorder = make_task(), Recorder()
    outcome = execute(plan(folder, fake(exit=134)), tmp_path / "r", progress=recorder)
    assert outcome.failed_models == ()
    assert outcome.run.is_complete()
    assert outcome.run.failure("fake") is None
    (said,) = [event for event in recorder.events if event["event"] == "process"]
    assert "ended with status 134, after all its work was done" in said["message"]


def test_a_process_that_always_dies_is_recorded_as_dead(
    make_task: MakeTask, tmp_path: Path
) -> None:
    outcome = execute(plan(make_task(), fake(kill=[""])), tmp_path / "r")
    failure = outcome.run.failure("fake")
    assert failure is not None
    assert "SIGKILL" in failure["message"]


@pytest.mark.parametrize("way", ["kill", "lose"])
def test_a_batch_that_ends_the_process_once_is_asked_again(
    make_task: MakeTask, tmp_path: Path, way: str
) -> None:
    folder, recorder = make_task(), Recorder()
    script: dict[str, Any] = {way: ["d1/q2"], "once": str(tmp_path / "happened")}
    asked = plan(folder, fake(**script), batch_size=4, latency_samples=2)
    outcome = execute(asked, tmp_path / "r", progress=recorder)
    assert (tmp_path / "happened").exists()
    assert outcome.failed_models == ()
    assert outcome.run.is_complete()
    outputs = outcome.run.outputs("fake", "mine")
    assert {key: output.text for key, output in outputs.items()} == {
        f"d{document}/q{question}": f"answer to d{document}/q{question}"
        for document in range(3)
        for question in range(4)
    }
    (restarted,) = [event for event in recorder.events if event["event"] == "process"]
    assert "It starts again and repeats the batch." in restarted["message"]


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("kill", "ProcessDied: the model's process was ended by signal 9 (SIGKILL)"),
        ("lose", "RuntimeError: CUDA error: an illegal memory access was encountered"),
    ],
)
def test_only_the_batch_that_ends_the_process_twice_fails(
    make_task: MakeTask, tmp_path: Path, way: str, error: str
) -> None:
    script: dict[str, Any] = {way: ["d1/q2"]}
    asked = plan(make_task(), fake(**script), batch_size=4, latency_samples=0)
    outcome = execute(asked, tmp_path / "r")
    assert outcome.failed_models == ()
    assert outcome.run.is_complete()
    assert outcome.run.failure("fake") is None
    outputs = outcome.run.outputs("fake", "mine")
    assert len(outputs) == 12
    failed = {key: output.error for key, output in outputs.items() if output.error is not None}
    assert failed.keys() == {f"d1/q{question}" for question in range(4)}
    assert all(message.startswith(error) for message in failed.values())


def test_a_document_that_ends_the_process_in_its_first_call_fails_alone(
    make_task: MakeTask, tmp_path: Path
) -> None:
    """The smallest document, which the first call asks about, is one like all others."""
    folder, recorder = make_task(), Recorder()
    smallest = page_groups(load_task(folder))[-1]
    ids = sample_ids([smallest])
    asked = plan(folder, fake(kill=ids[:1]), batch_size=4, latency_samples=0)
    outcome = execute(asked, tmp_path / "r", progress=recorder)
    assert outcome.failed_models == ()
    outputs = outcome.run.outputs("fake", "mine")
    assert len(outputs) == 12
    failed = [key for key, output in outputs.items() if output.error is not None]
    assert failed == ids
    said = [event["message"] for event in recorder.events if event["event"] == "process"]
    assert "It starts again, with another document first." in said[0]


def test_a_model_whose_every_batch_ends_the_process_is_given_up(
    make_task: MakeTask, tmp_path: Path
) -> None:
    models = (fake("broken", kill=["/"]), fake("fine"))
    asked = plan(make_task(documents=6), *models, batch_size=4, latency_samples=0, warmup=False)
    outcome = execute(asked, tmp_path / "r")
    assert outcome.failed_models == ("broken",)
    failure = outcome.run.failure("broken")
    assert failure is not None
    assert "3 batches in a row ended the process twice" in failure["message"]
    assert len(outcome.run.outputs("broken", "mine")) == 12
    assert len(outcome.run.outputs("fine", "mine")) == 24


def test_a_latency_question_that_ends_the_process_twice_is_recorded_as_failed(
    make_task: MakeTask, tmp_path: Path
) -> None:
    script: dict[str, Any] = {"kill": ["d0/q0"]}
    asked = plan(make_task(), fake(**script), latency_samples=3, warmup=False)
    record = run_record(asked)
    run = RunStore.create(tmp_path / "r", "run", record, asked.tasks, known_texts(asked))
    answers = [Output(sample.id, "known", "stop") for sample in asked.tasks[0].samples]
    run.append_outputs("fake", "mine", answers)
    outcome = execute(asked, tmp_path / "r", resume=run.path)
    assert outcome.run.is_complete()
    latencies = {row["sample_id"]: row for row in run.latencies("fake", "mine")}
    assert {key: row["failed"] for key, row in latencies.items()} == {
        "d0/q0": True,
        "d1/q0": False,
        "d2/q0": False,
    }
    assert latencies["d0/q0"]["seconds"] is None
    assert all(output.text == "known" for output in run.outputs("fake", "mine").values())


def test_a_run_directory_holds_what_a_reviewer_asks_for(
    make_task: MakeTask, tmp_path: Path
) -> None:
    run = execute(plan(make_task()), tmp_path / "r").run
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    assert record["tasks"][0]["digest"] == load_task(tmp_path / "mine").digest
    assert record["tasks"][0]["prompt"]["template"].startswith("{question}")
    assert {"python", "cpu", "memory_bytes", "packages", "gpus"} <= record["environment"].keys()
    loaded = run.model_record("fake")
    assert loaded is not None
    assert loaded["load_seconds"] >= 0
    assert loaded["memory_after_load"]["rss"] > 0

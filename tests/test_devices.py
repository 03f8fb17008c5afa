"""One model on several devices: the work divided, answered by as many processes, and put together again."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.errors import EnvironmentProblem, InvalidInput
from bench.files import append_lines
from bench.measure import visible_gpus
from bench.models.fake import Fake
from bench.report.facts import wall_seconds
from bench.rundir.store import RunStore
from bench.runner import RunPlan, RunSettings, devices, execute, plan_run, worker
from bench.runner.answering import sample_ids
from bench.runner.batches import batched, page_groups
from bench.runner.devices import parse_devices
from bench.runner.execute import Outcome
from bench.runner.run_record import known_texts, run_record
from bench.runner.shards import Shard, divide, share_of
from bench.schema import Document, ModelInfo, ModelSpec, Output, Page, PageGroup, Request
from bench.scoring.evaluation import evaluate, write_scores
from bench.tasks import load_task
from tests.conftest import MakeTask


def plan(folder: Path, spec: ModelSpec | None = None, **settings: Any) -> RunPlan:
    spec = spec or ModelSpec("fake", "fake", options={"default": "answer to {sample_id}"})
    return plan_run([spec], [load_task(folder)], RunSettings(**{"batch_size": 3, **settings}))


def rows(run: RunStore, model: str = "fake") -> list[dict[str, Any]]:
    path = run.cell_folder(model, "mine") / "outputs.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def leftovers(run: RunStore) -> list[Path]:
    return list(run.path.rglob("*.shard-*"))


def group(name: str, side: int, questions: int) -> PageGroup:
    page = Page(Path(f"/{name}.png"), 0, side, side, name)
    requests = tuple(Request(f"{name}/{i}", "?", "?") for i in range(questions))
    return PageGroup(Document(name, (page,)), requests)


# Dividing


def test_every_batch_goes_to_one_shard_and_stays_in_order() -> None:
    groups = [group(f"d{i}", 1000 - 10 * i, 1 + i % 5) for i in range(40)]
    tasks = {"a": list(batched(groups[:25], 4)), "b": list(batched(groups[25:], 4))}
    shares = divide(tasks, 3)
    for task, batches in tasks.items():
        assert sorted(i for share in shares for i in share[task]) == list(range(len(batches)))
        assert all(share[task] == sorted(share[task]) for share in shares)


@pytest.mark.parametrize("shards", [2, 3, 8])
def test_shards_get_about_as_many_pixels_and_as_many_questions(shards: int) -> None:
    groups = [group(f"d{i}", 2000 - 15 * i, 4) for i in range(100)]
    batches = list(batched(groups, 4))
    shares = [[batches[i][0] for i in share["a"]] for share in divide({"a": batches}, shards)]
    pixels = [sum(group.document.pixels() for group in share) for share in shares]
    questions = [sum(len(group.requests) for group in share) for share in shares]
    assert max(pixels) - min(pixels) <= 2000**2
    assert max(questions) - min(questions) <= 4


def test_a_chain_of_documents_that_share_batches_is_divided() -> None:
    """Without a cut, every batch would hold on to the next one, and one shard would get them all."""
    batches = list(batched([group(f"d{i}", 500, 7) for i in range(40)], 4))
    counts = [
        sum(len(each.requests) for i in share["a"] for each in batches[i])
        for share in divide({"a": batches}, 4)
    ]
    assert max(counts) <= 1.1 * 280 / 4


def test_batches_that_share_a_document_go_to_the_same_shard() -> None:
    batches = list(
        batched([group("large", 900, 10), *(group(f"d{i}", 500, 1) for i in range(6))], 3)
    )
    holding = {i for i, batch in enumerate(batches) for g in batch if g.document.id == "large"}
    assert len(holding) == 4
    assert any(holding <= set(share["a"]) for share in divide({"a": batches}, 3))


def test_pages_weigh_no_more_than_what_they_are_shrunk_to() -> None:
    batches = list(
        batched([group("huge", 9000, 1), *(group(f"d{i}", 900, 1) for i in range(3))], 1)
    )
    assert divide({"a": batches}, 2)[0]["a"] == [0]
    assert len(divide({"a": batches}, 2, max_pixels=900**2)[0]["a"]) == 2


def test_more_devices_than_batches_leave_some_idle(make_task: MakeTask) -> None:
    batches = list(batched(page_groups(load_task(make_task())), 100))
    assert [len(share["a"]) for share in divide({"a": batches}, 3)] == [1, 0, 0]


# Naming devices


def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: [{"name": f"Card {n}"} for n in "ABC"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_each_process_sees_its_own_gpu_in_the_drivers_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    three_gpus(monkeypatch)
    found = parse_devices("2, cuda:0")
    assert [device.name for device in found] == ["2", "0"]
    assert [device.environment["CUDA_VISIBLE_DEVICES"] for device in found] == ["2", "0"]
    assert all(device.environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID" for device in found)


def test_a_gpu_is_named_by_its_unique_name_where_the_driver_gives_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = [{"name": "A", "uuid": "GPU-aa"}, {"name": "B"}, {"name": "C", "uuid": "GPU-cc"}]
    monkeypatch.setattr(devices, "gpus", lambda: seen)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    chosen = [device.environment["CUDA_VISIBLE_DEVICES"] for device in parse_devices("2,1,0")]
    assert chosen == ["GPU-cc", "1", "GPU-aa"]


def test_numbers_count_what_a_batch_system_left_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    three_gpus(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-77aa, 5")
    assert [d.environment for d in parse_devices("1,0")] == [
        {"CUDA_VISIBLE_DEVICES": "5"},
        {"CUDA_VISIBLE_DEVICES": "GPU-77aa"},
    ]
    with pytest.raises(EnvironmentProblem, match="GPU 2 does not exist"):
        parse_devices("2")


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (None, None),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        (" 1 ,0", ["1", "0"]),
        ("0,0", []),
        ("1,-1,0", ["1"]),
        ("GPU-aa,MIG-bb,MIG-GPU-cc/1/0", ["GPU-aa", "MIG-bb", "MIG-GPU-cc/1/0"]),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(
    chosen: str | None, left: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == left


def test_a_gpu_that_does_not_exist_is_answered_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    three_gpus(monkeypatch)
    with pytest.raises(EnvironmentProblem) as caught:
        parse_devices("0,7")
    assert caught.value.message == (
        "GPU 7 does not exist; these do: 0 (Card A), 1 (Card B), 2 (Card C)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0", "GPU 0 is named twice"),
        ("0,cpu", "cannot share"),
        ("cpu,0", "cannot share"),
        ("0,first", "'first' is no device"),
        ("", "'' is no device"),
        ("-1", "'-1' is no device"),
    ],
)
def test_what_is_no_list_of_devices_is_refused(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_gpus(monkeypatch)
    with pytest.raises(InvalidInput, match=message):
        parse_devices(text)


def test_processes_on_the_cpu_share_its_cores_and_see_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("bench.runner.devices.usable_cores", lambda: 8)
    for device in parse_devices("cpu,cpu,cpu"):
        assert device.environment == {"CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert "OMP_NUM_THREADS" not in parse_devices("cpu,cpu")[0].environment


# What a dry run says of them


def dry_run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["run", *map(str, arguments), "--dry-run"])
    out, err = capfd.readouterr()
    return int(end.value.code or 0), out, err


def test_a_dry_run_divides_the_questions_as_the_run_would(
    make_task: MakeTask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_task(documents=8)
    common = ("-m", "fake", "-t", folder, "--batch-size", 3, "--devices", "cpu,cpu")
    status, out, _ = dry_run(capfd, *common, "--json")
    assert status == 0
    found = json.loads(out)
    run = execute(plan(folder), tmp_path / "r", devices=parse_devices("cpu,cpu")).run
    asked = Counter[int]()
    for batch in run.batches("fake", "mine"):
        asked[batch["shard"]] += len(batch["samples"])
    assert found["devices"] == ["cpu", "cpu"]
    assert found["models"][0]["questions_by_device"] == [asked[0], asked[1]]
    _, out, _ = dry_run(capfd, *common)
    assert f"fake: the devices get {asked[0]} + {asked[1]} questions" in out
    _, out, _ = dry_run(capfd, *common[:-2], "--json")
    assert json.loads(out)["models"][0]["questions_by_device"] is None


def test_a_dry_run_looks_at_the_memory_of_the_gpus_that_would_be_used(
    make_task: MakeTask, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    three_gpus(monkeypatch)
    seen = [
        {
            "name": f"Card {n}",
            "uuid": f"GPU-{n}",
            "free_bytes": free * 2**30,
            "memory_bytes": free * 2**30,
        }
        for n, free in zip("ABC", (80, 8, 80), strict=True)
    ]
    monkeypatch.setattr("bench.cli.dry_run.gpus", lambda: seen)
    common = ("-m", "qwen2-vl-7b", "-t", make_task(), "--devices")
    assert "will probably not fit" in dry_run(capfd, *common, "0,1")[1]
    assert "will probably not fit" not in dry_run(capfd, *common, "0,2")[1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-A,GPU-C,GPU-B")
    assert "will probably not fit" not in dry_run(capfd, *common, "0,1")[1]
    assert "will probably not fit" in dry_run(capfd, *common, "2")[1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-B")
    assert "will probably not fit" in dry_run(capfd, *common[:-1])[1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-B,GPU-C")
    assert "will probably not fit" not in dry_run(capfd, *common[:-1])[1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "No GPU was found" in dry_run(capfd, *common[:-1])[1]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    Path("bench.toml").write_text(
        '[models.large]\nmodel = "qwen2-vl-72b"\noptions = { device_map = "auto" }\n'
        '[models.one]\nmodel = "qwen2-vl-72b"\n'
    )
    _, out, _ = dry_run(capfd, "-m", "large,one", *common[2:4])
    assert "large: its layers are spread over all GPUs" in out
    assert "large will probably not fit" not in out
    assert "one will probably not fit" in out


def test_a_dry_run_refuses_what_the_run_would(
    make_task: MakeTask, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("bench.toml").write_text(
        '[models.large]\nmodel = "qwen2-vl-72b"\noptions = { device_map = "auto" }\n'
        '[models.odd]\nmodel = "qwen2-vl-2b"\noptions = { reuse = "no" }\n'
    )
    folder = make_task()
    for arguments, message in (
        (("-m", "large", "-t", folder, "--devices", "cpu,cpu"), "spread over all GPUs"),
        (("-m", "fake", "-t", folder, "--devices", "0,0"), "named twice"),
        (("-m", "odd", "-t", folder), "option reuse should be true or false"),
    ):
        status, out, err = dry_run(capfd, *arguments)
        assert (status, out) == (2, "")
        assert message in err


# Running


def test_two_processes_give_the_answers_of_one_and_leave_one_file_of_each_kind(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task(documents=8)
    one = execute(plan(folder), tmp_path / "one").run
    two = execute(plan(folder), tmp_path / "two", devices=parse_devices("cpu,cpu")).run
    assert two.outputs("fake", "mine") == one.outputs("fake", "mine")
    assert len(rows(two)) == 32
    assert leftovers(two) == []
    assert two.is_complete()
    assert len(two.latencies("fake", "mine")) == len(one.latencies("fake", "mine"))
    batches = two.batches("fake", "mine")
    assert Counter(b["shard"] for b in batches).keys() == {0, 1}
    # The company in which a question is answered does not depend on the number of devices.
    assert sorted(b["samples"] for b in batches) == sorted(
        b["samples"] for b in one.batches("fake", "mine")
    )
    record = two.model_record("fake")
    assert record is not None
    assert [device["device"] for device in record["devices"]] == ["cpu", "cpu"]
    assert all(device["memory_after_load"]["rss"] > 0 for device in record["devices"])


def test_scores_do_not_depend_on_the_number_of_processes(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task(documents=5)
    found = set()
    for number in (1, 2, 3):
        run = execute(
            plan(folder, latency_samples=2),
            tmp_path / str(number),
            devices=parse_devices(",".join(["cpu"] * number)),
        ).run
        write_scores(evaluate(run))
        found.add((run.path / "scores" / "fake" / "mine.jsonl").read_bytes())
    assert len(found) == 1


class Recorder:
    """Keeps what is said of a run, and removes a file whenever a process is started again."""

    def __init__(self, removed: Path | None = None) -> None:
        self.removed = removed
        self.said: list[Mapping[str, Any]] = []

    def started(self, run: RunStore, *, resumed: bool) -> None:
        pass

    def stopping(self) -> None:
        pass

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        self.said.append(event)
        if event["event"] == "process" and self.removed is not None:
            self.removed.unlink(missing_ok=True)


def run_with_deadly_batches(
    folder: Path, results: Path, deadly: slice, *, again: bool
) -> tuple[RunPlan, Outcome, Recorder]:
    """A run on two devices. Some batches of the second process kill it: the first once, or ``again`` all."""
    batches = list(batched(page_groups(load_task(folder)), 3))
    own = share_of({"mine": batches}, 1, 2)["mine"]
    ids = [sample_id for batch in own[deadly] for sample_id in sample_ids(batch)]
    over = results.with_name("over")
    script = {"default": "to {sample_id}", "kill": ids, "once": str(over)}
    asked = plan(folder, ModelSpec("fake", "fake", options=script), latency_samples=2)
    recorder = Recorder(over if again else None)
    devices = parse_devices("cpu,cpu")
    return asked, execute(asked, results, devices=devices, progress=recorder), recorder


@pytest.mark.parametrize(
    ("loaded_on", "recorded"), [("cuda:0", "cuda:5"), ("cpu", "cpu")], ids=["GPU", "CPU"]
)
def test_a_process_asks_for_the_gpu_that_it_was_given_and_records_what_it_got(
    loaded_on: str,
    recorded: str,
    make_task: MakeTask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a GPU that torch can use, a model must not answer on the CPU as if it were the GPU."""
    asked_for: list[str] = []

    class OnDevice(Fake):
        def load(self) -> ModelInfo:
            asked_for.append(self.spec.device)
            return replace(super().load(), device=loaded_on)

    monkeypatch.setattr(worker, "model_for_process", OnDevice)
    asked = plan(make_task(documents=1), latency_samples=0, warmup=False)
    run = RunStore.create(tmp_path / "r", "run", run_record(asked), asked.tasks, known_texts(asked))
    assert worker.Worker(run, "fake", io.StringIO(), Shard(device="5")).work() == 0
    record = run.model_record("fake")
    assert record is not None
    assert (asked_for, record["device"]) == (["cuda"], recorded)


def test_a_run_that_began_on_a_gpu_does_not_go_on_on_the_cpu(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str] = []

    class Vanishes(Fake):
        def load(self) -> ModelInfo:
            asked_for.append(self.spec.device)
            return replace(super().load(), device="cuda:0")

    monkeypatch.setattr(worker, "model_for_process", Vanishes)
    asked = plan(make_task(documents=1), latency_samples=0, warmup=False)
    run = RunStore.create(tmp_path / "r", "run", run_record(asked), asked.tasks, known_texts(asked))
    for _ in range(2):
        worker.Worker(run, "fake", io.StringIO(), Shard()).work()
    assert asked_for == ["auto", "cuda"]


def test_a_process_that_is_killed_once_is_started_again_while_the_others_work(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task(documents=12)
    _, outcome, recorder = run_with_deadly_batches(folder, tmp_path / "r", slice(1, 4), again=False)
    (restarted,) = [event for event in recorder.said if event["event"] == "process"]
    assert "process on cpu was ended by signal 9 (SIGKILL)" in restarted["message"]
    assert outcome.failed_models == ()
    assert outcome.run.is_complete()
    assert {row["text"] for row in rows(outcome.run)} == {
        f"to d{document}/q{question}" for document in range(12) for question in range(4)
    }
    assert len(rows(outcome.run)) == 48
    assert leftovers(outcome.run) == []


def test_a_process_that_is_killed_is_recorded_and_its_part_resumed_on_any_number_of_devices(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task(documents=12)
    asked, broken, _ = run_with_deadly_batches(folder, tmp_path / "r", slice(1, 4), again=True)
    assert broken.failed_models == ("fake",)
    failure = broken.run.failure("fake")
    assert failure is not None
    assert "process on cpu was ended by signal 9 (SIGKILL)" in failure["message"]
    # All of the other process's part, the first batch of this one, and three batches that failed.
    assert len(rows(broken.run)) == 24 + 3 + 9
    for then in ("", "cpu,cpu", "cpu,cpu,cpu"):
        results = shutil.copytree(tmp_path / "r", tmp_path / f"on {then}")
        again = parse_devices(then) if then else ()
        resumed = execute(asked, results, devices=again, retry_failed=True)
        assert resumed.run.id == broken.run.id
        assert resumed.run.is_complete()
        assert resumed.run.failure("fake") is None
        found = rows(resumed.run)
        assert {row["sample_id"]: row["text"] for row in found} == {
            f"d{d}/q{q}": f"to d{d}/q{q}" for d in range(12) for q in range(4)
        }
        assert len(found) == 48
        assert leftovers(resumed.run) == []


def test_a_process_that_is_given_up_after_its_last_batch_leaves_nothing_undone(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task(documents=12)
    _, outcome, _ = run_with_deadly_batches(folder, tmp_path / "r", slice(-3, None), again=True)
    assert outcome.run.is_complete()
    assert outcome.failed_models == ()
    assert outcome.run.failure("fake") is None
    assert [row["stop_reason"] for row in rows(outcome.run)].count("error") == 9


def test_a_killed_runner_leaves_answers_of_all_processes_readable_and_is_resumed(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task(documents=16)
    (tmp_path / "bench.toml").write_text(
        '[models.slow]\nmodel = "fake"\noptions = { default = "{sample_id}", delay = 0.03 }\n'
    )
    command = [
        *[sys.executable, "-m", "bench", "run", "--models", "slow", "--tasks", str(folder)],
        *["--out", str(tmp_path / "r"), "--batch-size", "3", "--no-report"],
        *["--latency-samples", "0", "--devices"],
    ]
    with subprocess.Popen(
        [*command, "cpu,cpu"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        while not list((tmp_path / "r").rglob("outputs.shard-1.jsonl")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    (path,) = (tmp_path / "r").iterdir()
    run = RunStore.open(path)
    assert 0 < len(run.outputs("slow", "mine")) < 64
    assert leftovers(run)
    subprocess.run([*command, "cpu,cpu,cpu"], check=True, capture_output=True)
    assert list((tmp_path / "r").iterdir()) == [path]
    assert len(rows(run, "slow")) == 64
    assert leftovers(run) == []


def test_ctrl_c_reaches_every_process(make_task: MakeTask, tmp_path: Path) -> None:
    folder = make_task(documents=16)
    (tmp_path / "bench.toml").write_text(
        '[models.slow]\nmodel = "fake"\noptions = { default = "{sample_id}", delay = 0.05 }\n'
    )
    command = [
        *[sys.executable, "-m", "bench", "run", "--models", "slow", "--tasks", str(folder)],
        *["--out", str(tmp_path / "r"), "--batch-size", "3", "--devices", "cpu,cpu"],
    ]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while not list((tmp_path / "r").rglob("outputs.shard-1.jsonl")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130
    assert "To continue it, type: bench run" in said
    (path,) = (tmp_path / "r").iterdir()
    run = RunStore.open(path)
    assert 0 < len(rows(run, "slow")) < 64
    assert leftovers(run) == []
    assert not run.is_model_done("slow")


def test_one_process_that_cannot_load_fails_the_model_and_the_others_answers_stay(
    make_task: MakeTask, tmp_path: Path
) -> None:
    spec = ModelSpec("fake", "fake", options={"load_error": "this card is full"})
    outcome = execute(plan(make_task(), spec), tmp_path, devices=parse_devices("cpu,cpu"))
    assert outcome.failed_models == ("fake",)
    failure = outcome.run.failure("fake")
    assert failure is not None
    assert failure["message"] == "this card is full"


def test_progress_counts_all_processes_together(make_task: MakeTask, tmp_path: Path) -> None:
    recorder = Recorder()
    execute(
        plan(make_task(documents=8)),
        tmp_path / "r",
        devices=parse_devices("cpu,cpu"),
        progress=recorder,
    )
    counts = [e["done"] for e in recorder.said if e["event"] == "task"]
    assert counts == sorted(counts)
    assert counts[-1] == 32
    assert {e["total"] for e in recorder.said if e["event"] == "task"} == {32}
    assert [e["event"] for e in recorder.said].count("loaded") == 1


def test_a_merge_that_was_killed_between_its_steps_doubles_nothing(
    make_task: MakeTask, tmp_path: Path
) -> None:
    run = execute(plan(make_task()), tmp_path).run
    before = rows(run), run.batches("fake", "mine")
    for stem in ("outputs", "batches"):
        whole = run.cell_folder("fake", "mine") / f"{stem}.jsonl"
        lines = [json.loads(line) for line in whole.read_text(encoding="utf-8").splitlines()]
        append_lines(whole.with_name(f"{stem}.shard-1.jsonl"), lines[1:3])
    assert run.batches("fake", "mine") == before[1]
    run.merge_shards("fake")
    assert (rows(run), run.batches("fake", "mine")) == before


def test_several_devices_take_as_long_as_the_slowest_and_sessions_follow_one_another() -> None:
    def batch(
        seconds: float, session: str | None = None, shard: int | None = None
    ) -> dict[str, Any]:
        facts = {} if session is None else {"session": session, "shard": shard}
        return {"seconds": seconds, **facts}

    assert wall_seconds([batch(1), batch(2)]) == 3
    together = [batch(1, "a", 0), batch(2, "a", 1), batch(4, "a", 0)]
    assert wall_seconds(together) == 5
    assert wall_seconds([*together, batch(7, "b", 1), batch(10)]) == 22


def test_a_checkpoint_answers_the_same_on_two_devices_as_on_one(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from workshop.tiny_checkpoint import write_tiny_checkpoint

    # One thread in both: sums in another order may change a tie.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    spec = ModelSpec("tiny", "qwen_vl", str(checkpoint))
    asked = plan(make_task(documents=4), spec, latency_samples=0, max_new_tokens=8)
    one = execute(asked, tmp_path / "one").run
    two = execute(asked, tmp_path / "two", devices=parse_devices("cpu,cpu")).run
    answers = one.outputs("tiny", "mine")
    assert len(answers) == 16
    assert two.outputs("tiny", "mine") == answers
    assert {b["shard"] for b in two.batches("tiny", "mine")} == {0, 1}


# Asking again


def spoiled(make_task: MakeTask, tmp_path: Path) -> tuple[RunPlan, RunStore]:
    """A complete, scored run in which one answer failed for a reason that is gone."""
    asked = plan(make_task(), latency_samples=0)
    run = execute(asked, tmp_path / "r").run
    run.append_outputs("fake", "mine", [Output("d1/q2", "", "error", error="OSError: gone")])
    write_scores(evaluate(run))
    return asked, run


def test_failed_answers_are_asked_again_only_when_that_is_asked_for(
    make_task: MakeTask, tmp_path: Path
) -> None:
    asked, run = spoiled(make_task, tmp_path)
    assert run.is_concluded()
    again = execute(asked, tmp_path / "r", retry_failed=True)
    assert again.run.path == run.path
    found = run.outputs("fake", "mine")
    assert len(found) == len(rows(run)) == 12
    assert found["d1/q2"].text == "answer to d1/q2"
    assert not run.is_concluded()
    path = run.cell_folder("fake", "mine") / "failures.jsonl"
    (kept,) = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert (kept["sample_id"], kept["error"]) == ("d1/q2", "OSError: gone")
    assert kept["set_aside"].endswith("Z")


def test_asking_again_leaves_a_run_without_failures_as_it_is(
    make_task: MakeTask, tmp_path: Path
) -> None:
    asked = plan(make_task())
    run = execute(asked, tmp_path / "r").run
    before = rows(run)
    assert execute(asked, tmp_path / "r", retry_failed=True).run.path == run.path
    assert rows(run) == before
    assert run.is_complete()


def test_what_fails_again_is_on_record_both_times(make_task: MakeTask, tmp_path: Path) -> None:
    spec = ModelSpec("fake", "fake", options={"fail": ["d0/q1"]})
    asked = plan(make_task(), spec, latency_samples=0)
    execute(asked, tmp_path / "r")
    run = execute(asked, tmp_path / "r", retry_failed=True, devices=parse_devices("cpu,cpu")).run
    assert [row["sample_id"] for row in rows(run) if row["stop_reason"] == "error"] == ["d0/q1"]
    assert len(rows(run)) == 12
    assert run.is_complete()


def test_asking_again_without_a_run_is_refused(make_task: MakeTask, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="contains no run of these models"):
        execute(plan(make_task()), tmp_path / "r", retry_failed=True)

"""How many threads a model's process gets, and how they wait: what a person set stays."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure import cores as cores_module
from bench.measure.cores import cgroup_cores, usable_cores
from bench.models.fake import Fake
from bench.rundir.store import RunStore
from bench.runner import RunSettings, plan_run, threads, worker
from bench.runner.run_record import known_texts, run_record
from bench.runner.shards import Shard
from bench.runner.threads import set_threads, thread_environment, thread_record
from bench.schema import Batch, ModelSpec, PageGroup
from bench.tasks import load_task
from tests.conftest import MakeTask

Groups = Callable[..., tuple[Path, Path]]


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    """A function that writes control groups: the process's own, and the limits in their files."""

    def write(own: str, **limits: str) -> tuple[Path, Path]:
        (tmp_path / "own").write_text(own, encoding="utf-8")
        for name, text in limits.items():
            path = tmp_path / "fs" / name.replace("__", "/").replace("_max", ".max")
            path = path.with_name(path.name.replace("cpu_cfs", "cpu.cfs"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "fs", tmp_path / "own"

    return write


def test_the_limit_of_a_control_group_is_read(groups: Groups) -> None:
    assert cgroup_cores(*groups("0::/\n", cpu_max="150000 100000\n")) == 1.5


def test_no_limit_is_none(groups: Groups, tmp_path: Path) -> None:
    assert cgroup_cores(*groups("0::/\n", cpu_max="max 100000\n")) is None
    assert cgroup_cores(tmp_path / "nowhere", tmp_path / "nothing") is None
    (tmp_path / "own").write_bytes(b"0::/\xff\n")
    assert cgroup_cores(tmp_path / "fs", tmp_path / "own") is None


def test_the_least_limit_of_the_groups_above_counts(groups: Groups) -> None:
    limits = {
        "slice__cpu_max": "200000 100000",
        "slice__unit__cpu_max": "400000 100000",
        "slice__unit__inner__cpu_max": "max 100000",
    }
    assert cgroup_cores(*groups("0::/slice/unit/inner\n", **limits)) == 2


def test_the_first_version_of_control_groups_is_read_too(groups: Groups) -> None:
    limits = {"cpu__job__cpu_cfs_quota_us": "300000\n", "cpu__job__cpu_cfs_period_us": "100000\n"}
    own = "12:memory:/job\n4:cpu,cpuacct:/job\n"
    assert cgroup_cores(*groups(own, **limits)) == 3
    limits["cpu__job__cpu_cfs_quota_us"] = "-1\n"
    assert cgroup_cores(*groups(own, **limits)) is None


@pytest.mark.parametrize(
    ("allowed", "limit", "cores"),
    [(8, None, 8), (8, 2.0, 2), (8, 1.5, 1), (8, 0.25, 1), (2, 16.0, 2)],
)
def test_affinity_and_limit_both_count(
    allowed: int, limit: float | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    monkeypatch.setattr(cores_module, "cgroup_cores", lambda: limit)
    assert usable_cores() == cores


def test_what_a_person_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    assert thread_environment({}) == {"GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": "4"}
    assert thread_environment({"OMP_NUM_THREADS": "9"}) == {"GOMP_SPINCOUNT": "1000"}
    for name, value in (
        ("OMP_WAIT_POLICY", "active"),
        ("GOMP_SPINCOUNT", "5"),
        ("KMP_BLOCKTIME", "1"),
    ):
        assert thread_environment({name: value}) == {"OMP_NUM_THREADS": "4"}


def test_what_is_in_force_is_recorded() -> None:
    set_by_somebody = {
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    assert thread_record({**set_by_somebody, "HOME": "/"}) == set_by_somebody


def test_a_process_that_computes_itself_is_set_before_torch_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", *threads.WAITING):
        # Set and taken away again, so that the test leaves nothing behind.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "torch", object())  # type: ignore[arg-type]
    set_threads()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delitem(sys.modules, "torch")
    set_threads()
    assert thread_record() == {
        "OMP_NUM_THREADS": str(usable_cores()),
        "GOMP_SPINCOUNT": "1000",
    }


def test_the_record_of_a_run_has_what_is_in_force_and_what_a_backend_did_otherwise(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noting(Fake):
        def generate(self, groups: Sequence[PageGroup]) -> Batch:
            return replace(super().generate(groups), notes={"decoding_steps": "no CUDA graphs"})

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(worker, "model_for_process", Noting)
    asked = plan_run(
        [ModelSpec("fake", "fake", options={"default": "answer"})],
        [load_task(make_task(documents=2))],
        RunSettings(latency_samples=0, warmup=False),
    )
    run = RunStore.create(tmp_path / "r", "run", run_record(asked), asked.tasks, known_texts(asked))
    assert worker.Worker(run, "fake", io.StringIO(), Shard()).work() == 0
    record = run.model_record("fake")
    assert record is not None
    assert record["threads"]["OMP_NUM_THREADS"] == "3"
    batches = run.batches("fake", "mine")
    assert batches
    assert all(row["notes"] == {"decoding_steps": "no CUDA graphs"} for row in batches)

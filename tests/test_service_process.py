"""The service as a process: killed, stopped, without its model, and without its port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from bench.client import ServiceClient
from bench.schema import ModelInfo, ModelSpec, Page
from bench.service.jobs import JobStore, PageQuestion, new_job
from bench.service.model_process import ModelDied, ModelProcess
from tests.service_fixture import png

READER = (
    '[models.reader]\nmodel = "fake"\noptions = { default = "read: {question}", delay = 0.01 }\n'
)
JOBS = 50


class Started:
    """A running ``bench serve``."""

    def __init__(self, folder: Path) -> None:
        (folder / "bench.toml").write_text(READER, encoding="utf-8")
        command = [sys.executable, "-m", "bench", "serve", "-m", "reader", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--batch-size", "4"], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        self.port = 0

    def ready(self) -> None:
        self.port = self.said("listening")["port"]
        self.said("model_loaded")

    def said(self, event: str) -> dict[str, Any]:
        """The next line of the log that is about ``event``."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
        pytest.fail(f"the service ended without a line about {event}")

    def model(self) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        [model] = [child for child in children if "bench.service.worker" in child.cmdline()]
        return model

    def client(self) -> ServiceClient:
        return ServiceClient(f"http://127.0.0.1:{self.port}")


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Started]:
    it = Started(folder)
    try:
        it.ready()
        yield it
    finally:
        if it.process.poll() is None:
            it.process.kill()
        it.process.wait()
        assert it.process.stderr is not None
        it.process.stderr.close()


def test_no_job_is_lost_or_answered_twice_whoever_is_killed(tmp_path: Path) -> None:
    with started(tmp_path) as it, it.client() as client:
        model = it.model()
        ids = [client.submit([png()], "q0").id]
        assert client.state(ids[0], wait=10).has_ended
        model.suspend()
        ids += [client.submit([png(40 + n % 7)], f"q{n}").id for n in range(1, JOBS)]
        assert not any(client.state(job_id).has_ended for job_id in ids[1:])
        it.process.kill()
        it.process.wait()
        model.resume()
        # It notices that nobody asks it any more.
        model.wait(timeout=20)
    with started(tmp_path) as it, it.client() as client:
        os.kill(it.model().pid, signal.SIGKILL)
        it.said("model_died")
        it.said("model_loaded")
        states = [client.state(job_id, wait=10) for job_id in ids]
        assert [state.text for state in states] == [f"read: q{n}" for n in range(JOBS)]
        last = client.submit([png()], "last")
        it.process.send_signal(signal.SIGTERM)
        assert it.said("stopped")["waiting"] == 0
        assert it.process.wait(timeout=20) == 0
    store = JobStore(tmp_path / "service")
    job = store.find(last.id)
    assert job is not None
    assert job.output is not None
    assert job.output.text == "read: last"
    store.close()
    assert list((tmp_path / "service" / "pages").iterdir()) == []


def test_a_model_that_cannot_be_loaded_ends_the_command_with_one_line(
    tmp_path: Path, bench: Any
) -> None:
    toml = '[models.dead]\nmodel = "fake"\noptions = { load_error = "no weights here" }\n'
    (tmp_path / "bench.toml").write_text(toml, encoding="utf-8")
    result = bench("serve", "-m", "dead", "--port", "0")
    assert result.status == 3
    said = [line for line in result.err.splitlines() if not line.startswith("{")]
    assert said == ["error: no weights here"]


def test_a_call_that_never_ends_counts_as_a_death() -> None:
    spec = ModelSpec("slow", "fake", options={"delay": 30, "default": "late"})

    async def story() -> None:
        process = ModelProcess(spec, call_seconds=0.3)
        await process.start()
        page = Page(Path("page.png"), 0, 10, 10, "0" * 64)
        question = PageQuestion((page,), "?", 5)
        job = new_job(question, is_read_along=True)
        told: list[tuple[str, str]] = []
        with pytest.raises(ModelDied, match="no answer within"):
            await process.ask([job, new_job(question)], lambda *news: told.append(news))
        # Half of the answer was there.
        assert told == [(job.id, "la")]
        await process.start()
        await process.stop()

    asyncio.run(story())


def test_a_model_that_began_on_a_gpu_does_not_come_back_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_for: list[str] = []

    async def loaded(_: ModelProcess, spec: dict[str, Any]) -> dict[str, Any]:
        asked_for.append(spec["device"])
        info = asdict(ModelInfo("fake", {}, device="cuda:0"))
        return {"info": info, "seconds": 0.1, "batch_size": 8}

    monkeypatch.setattr(ModelProcess, "_exchange", loaded)

    async def story() -> None:
        process = ModelProcess(ModelSpec("fake", "fake"), call_seconds=1)
        for _ in range(2):
            await process.start()
            await process.stop()

    asyncio.run(story())
    assert asked_for == ["auto", "cuda"]


def test_a_port_in_use_is_one_line(tmp_path: Path, bench: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = bench("serve", "-m", "fake", "--port", port)
    assert result.status == 3
    assert result.err.splitlines()[0] == (
        f"error: another program listens on 127.0.0.1, port {port} already"
    )
    assert not (tmp_path / "service").exists()


def test_two_services_do_not_share_a_folder(
    tmp_path: Path, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.rundir import lock

    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0)
    (tmp_path / "service").mkdir()
    with lock.RunLock(tmp_path / "service"):
        result = bench("serve", "-m", "fake", "--port", "0")
    assert result.status == 2
    assert "another process is writing to service" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "needs a key"),
        (["--host", "no such host"], "needs a key"),
        (["--port", "70000"], "--port"),
        (["-m", "qwen2-vl-nan"], "did you mean"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(
    arguments: list[str], words: str, bench: Any
) -> None:
    model = [] if "-m" in arguments else ["-m", "fake"]
    result = bench("serve", *model, *arguments)
    assert result.status == 2
    assert words in result.err

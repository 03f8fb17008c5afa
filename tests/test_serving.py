"""Engines that are started as a server: their command lines, their life and death, and what is recorded."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from PIL import Image

from bench.cli import main
from bench.errors import EnvironmentProblem, InvalidInput
from bench.measure.doctor import examine
from bench.measure.engines import find_engine
from bench.models.catalog import resolve, resolve_all
from bench.models.footprint import expected_memory
from bench.models.model import ModelGone
from bench.models.serving import launch as launching
from bench.models.serving.counters import read_counters
from bench.models.serving.engines import server_flags
from bench.models.serving.server import ManagedServer
from bench.models.serving.settings import split_options
from bench.runner import RunSettings, execute, plan_run, worker
from bench.runner.statuses import STOPPED
from bench.schema import Document, Generation, ModelSpec, PageGroup, Request
from bench.tasks import load_task
from bench.tasks.pages import read_pages
from tests.conftest import MakeTask

ROOT = Path(__file__).resolve().parent.parent
FAKE = shlex.join([sys.executable, str(ROOT / "tests" / "fake_vllm.py"), "serve"])

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a server's processes are ended on Linux"
)


class Served:
    """A model behind the fake engine, and the processes of every server that was started for it."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.record = folder / "starts.jsonl"
        self.checkpoint = checkpoint

    def spec(self, **options: Any) -> ModelSpec:
        environment = {
            "PYTHONPATH": str(ROOT),
            "FAKE_VLLM_RECORD": str(self.record),
            **options.pop("environment", {}),
        }
        return ModelSpec(
            "tiny@vllm",
            "vllm",
            str(self.checkpoint),
            options={"command": FAKE, "environment": environment, **options},
        )

    def starts(self) -> list[dict[str, Any]]:
        if not self.record.is_file():
            return []
        return [json.loads(line) for line in self.record.read_text(encoding="utf-8").splitlines()]

    def running(self) -> list[int]:
        """Processes of its servers that are still there."""
        numbers = [number for start in self.starts() for number in start["processes"]]
        return [number for number in numbers if _is_running(number)]


def _is_running(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The shape is that of the bundled model, without its weights: the fake engine reads none."""
    model = Served(tmp_path, ROOT / "bench" / "models" / "bundled" / "qwen2-vl-nano")
    yield model
    for number in model.running():
        os.kill(number, signal.SIGKILL)


@pytest.fixture
def groups(tmp_path: Path) -> list[PageGroup]:
    path = tmp_path / "page.png"
    Image.new("RGB", (300, 200), "white").save(path)
    requests = tuple(Request(f"q{number}", "", f"question {number}") for number in range(6))
    return [PageGroup(Document("page", read_pages(path)), requests, Generation(32))]


def gone(served: Served, seconds: float = 10.0) -> bool:
    """Whether no process of a server is left before the time is up."""
    deadline = time.monotonic() + seconds
    while served.running():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# The command line


def flags_of(spec: ModelSpec, *, on_gpu: bool = True, **bounds: int) -> list[str]:
    settings, _ = split_options(spec)
    return server_flags(spec, settings, bounds, on_gpu=on_gpu, port=8123)


@pytest.mark.parametrize(
    ("visible", "device", "named", "flag"),
    [
        (None, "auto", None, "all"),
        (None, "cuda:1", "1", "device=1"),
        ("5,GPU-77", "cuda:1", "GPU-77", "device=GPU-77"),
        ("5", "cuda", "5", "device=5"),
        ("5,6", "auto", "5,6", '"device=5,6"'),
    ],
)
def test_a_server_gets_the_gpus_that_were_left_to_this_program(
    visible: str | None,
    device: str,
    named: str | None,
    flag: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(launching, "gpus", lambda: [{"name": "H100"}])
    monkeypatch.setattr(launching.shutil, "which", lambda name: name)
    spec = ModelSpec("m", "vllm", "org/m", device=device, options={"command": "vllm serve"})
    settings, _ = split_options(spec)
    started = launching.launch(spec, settings, {}, 8123)
    assert started.environment.get("CUDA_VISIBLE_DEVICES") == named
    in_image = launching.launch(
        spec, settings.model_copy(update={"command": None, "image": "i"}), {}, 8123
    )
    assert in_image.words[in_image.words.index("--gpus") + 1] == flag


def test_a_server_on_a_gpu_that_was_not_left_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "gpus", lambda: [{"name": "H100"}] * 8)
    spec = ModelSpec("m", "vllm", "org/m", device="cuda:1", options={"command": "vllm serve"})
    settings, _ = split_options(spec)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with pytest.raises(EnvironmentProblem, match="CUDA_VISIBLE_DEVICES leaves 1 GPU"):
        launching.launch(spec, settings, {}, 8123)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not launching.runs_on_gpu(replace(spec, device="auto"))


def test_vllm_is_told_everything_at_launch() -> None:
    options = {"context": 4096, "gpu_share": 0.8, "arguments": ["--enforce-eager"]}
    spec = ModelSpec("m", "vllm", "org/m", revision="abc", options=options)
    said = shlex.join(flags_of(spec, min_pixels=3136, max_pixels=200704))
    assert said.startswith("org/m --served-model-name m --host 127.0.0.1 --port 8123 ")
    for part in (
        "--dtype bfloat16",
        "--revision abc",
        "--max-model-len 4096",
        "--gpu-memory-utilization 0.8",
        """--mm-processor-kwargs '{"min_pixels": 3136, "max_pixels": 200704}'""",
        "--enable-prefix-caching",
        "--enable-prompt-tokens-details",
        "--logprobs-mode raw_logprobs",
        "--enforce-eager",
    ):
        assert part in said
    assert "trust" not in said


def test_sglang_is_told_the_same_in_its_own_words() -> None:
    spec = ModelSpec("m", "sglang", "org/m", dtype="fp16", options={"prefix_caching": False})
    said = shlex.join(flags_of(spec, max_pixels=200704))
    assert said.startswith("--model-path org/m --served-model-name m ")
    assert """--mm-process-config '{"image": {"max_pixels": 200704}}'""" in said
    assert "--dtype float16" in said
    assert "--disable-radix-cache" in said


@pytest.mark.parametrize(
    ("dtype", "quantization", "on_gpu", "expected"),
    [
        ("auto", None, True, "--dtype bfloat16"),
        ("auto", None, False, "--dtype float32"),
        ("auto", "gptq-int4", True, "--dtype auto"),
        ("auto", "nf4", True, "--dtype auto --quantization bitsandbytes"),
        ("fp32", "awq", True, "--dtype float32"),
    ],
)
def test_number_formats_mean_what_they_mean_for_other_models(
    dtype: str, quantization: str | None, on_gpu: bool, expected: str
) -> None:
    spec = ModelSpec("m", "vllm", "org/m", dtype=dtype, quantization=quantization)
    assert expected in shlex.join(flags_of(spec, on_gpu=on_gpu))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"python": "/p", "image": "i"}, "python and image both"),
        ({"command": "vllm 'serve"}, "cannot be split"),
        ({"command": " "}, "command is empty"),
        ({"arguments": ["--trust_remote_code"]}, "never run"),
        ({"arguments": ["--port=3"]}, "a free port is taken"),
        ({"arguments": [3]}, "arguments"),
        ({"environment": {"HF_TOKEN": "hf_secret"}}, "must not contain HF_TOKEN"),
        ({"gpu_share": 2}, "gpu_share"),
        ({"start_seconds": "long"}, "start_seconds"),
        ({"comand": "x"}, "comand"),
        ({"base_url": "http://h/v1"}, "base_url"),
    ],
)
def test_options_that_cannot_be_used_are_one_clear_line(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_options(ModelSpec("m", "vllm", "org/m", options=options))
    assert message in caught.value.message
    assert "hf_secret" not in caught.value.message
    assert "\n" not in caught.value.message


def test_what_the_endpoint_cannot_use_is_refused_before_the_server_starts(served: Served) -> None:
    with pytest.raises(InvalidInput, match="concurrency"):
        ManagedServer(served.spec(concurrency=0))


# Which models


def test_an_engine_serves_models_of_the_command_line_and_rows_of_bench_toml(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(
        '[engines.vllm]\npython = "/p"\ncontext = 2048\n'
        '[models.mine]\nmodel = "qwen2-vl-2b"\nengine = "vllm"\nmax_pixels = 200704\n'
        "options = { context = 4096 }\nprice = { hour = 1.2 }\n",
        encoding="utf-8",
    )
    (spec,) = resolve_all(["qwen2-vl-2b"], bench_toml=path, engine="vllm", dtype="bf16")
    assert (spec.name, spec.backend, spec.dtype) == ("qwen2-vl-2b@vllm", "vllm", "bf16")
    assert spec.checkpoint == resolve("qwen2-vl-2b").checkpoint
    assert spec.options == {"python": "/p", "context": 2048}
    row = resolve("mine", bench_toml=path)
    assert (row.name, row.backend, row.max_pixels) == ("mine", "vllm", 200704)
    assert row.options == {"python": "/p", "context": 4096}
    assert row.price == {"hour": 1.2, "currency": "USD"}
    # Its engine takes a share of the memory, whatever the model needs.
    assert (expected_memory(row), expected_memory(resolve("qwen2-vl-2b")) is None) == (None, False)


@pytest.mark.parametrize(
    ("name", "message"),
    [("ocr", "which has no checkpoint"), ("m@http://h/v1", "which is on a server already")],
)
def test_a_model_that_no_engine_can_serve_is_refused(name: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_all([name], engine="vllm")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[engines.vlm]\n", "no engine 'vlm'"),
        ("engines = 3\n", "should hold tables"),
        ("[engines]\nvllm = 3\n", "should hold tables"),
        ('[models.m]\nmodel = "qwen2-vl-2b"\nengine = "tgi"\n', "no engine 'tgi'"),
        (
            '[engines.vllm]\npyton = "/p"\n[models.m]\nmodel = "qwen2-vl-2b"\nengine = "vllm"\n',
            "pyton",
        ),
    ],
)
def test_a_mistake_in_a_table_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(text + '[models.x]\nmodel = "ocr"\n', encoding="utf-8")
    name = "m" if "[models.m]" in text else "qwen2-vl-2b"
    engine = None if name == "m" else "vllm"
    with pytest.raises(InvalidInput) as caught:
        resolve_all([name], bench_toml=path, engine=engine)
    assert message in caught.value.message


# What has the engine


def test_an_engine_is_looked_for_in_the_table_the_variable_and_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_VLLM_PYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine("vllm") is None
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    on_path, by_variable, by_table = find_engine("vllm"), None, None
    monkeypatch.setenv("BENCH_VLLM_PYTHON", "/a/python")
    by_variable = find_engine("vllm")
    by_table = find_engine("vllm", {"python": "/b/python"})
    found = [None if one is None else one.command[0] for one in (on_path, by_variable, by_table)]
    assert found == [str(program), "/a/python", "/b/python"]


def test_a_model_whose_engine_nobody_has_is_refused_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BENCH_VLLM_PYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem) as caught:
        ManagedServer(ModelSpec("m", "vllm", "org/m"))
    assert "no interpreter with vllm is known" in caught.value.message
    assert "pip install vllm" in (caught.value.hint or "")
    (check,) = (check for check in examine(tmp_path) if check.name == "vLLM")
    assert (check.state, "pip install vllm" in (check.cure or "")) == ("note", True)
    tables = {"vllm": {"python": sys.executable}}
    (check,) = (check for check in examine(tmp_path, tables) if check.name == "vLLM")
    assert (check.state, "does not have it" in check.found) == ("missing", True)


# A server's life


def test_a_server_is_started_asked_and_ended(served: Served, groups: list[PageGroup]) -> None:
    model = ManagedServer(served.spec(arguments=["--enforce-eager"]))
    try:
        info = model.load()
        batch = model.generate(groups)
        again = model.generate(groups)
        single = model.generate([replace(groups[0], requests=groups[0].requests[:1])])
    finally:
        model.close()
    assert [output.text for output in batch.outputs] == [f"QUESTION {n}" for n in range(6)]
    # The pages were sent in whole visual tokens of the model, and the server's counts agree.
    assert all("doubt" not in (output.served or {}) for output in batch.outputs)
    assert all(output.visual_tokens == 77 for output in batch.outputs)
    assert (info.backend, info.device) == ("vllm", "cpu")
    assert info.details["server_version"] == "0.32.0"
    assert "--enforce-eager" in info.details["server_command"]
    assert info.details["server_start_seconds"] > 0
    assert info.details["server_memory"]["peak_rss"] > 2**20
    assert batch.memory["peak_rss"] > 2**20
    assert again.notes["prefix_tokens"] == 600
    assert again.notes["prefix_tokens_cached"] == 360
    assert (single.notes, single.memory) == ({}, {})
    assert gone(served, 0.0)


def test_a_server_that_cannot_start_says_why_in_one_line(served: Served) -> None:
    model = ManagedServer(served.spec(context=1))
    with pytest.raises(EnvironmentProblem) as caught:
        model.load()
    model.close()
    message = caught.value.message
    assert "vllm ended with status 1 (ValueError: the context is too short" in message
    assert message.isprintable()


def test_a_command_that_does_not_exist_says_so(served: Served) -> None:
    model = ManagedServer(served.spec(command="/nowhere/vllm serve"))
    with pytest.raises(EnvironmentProblem, match="No such file"):
        model.load()
    model.close()


@pytest.mark.parametrize("place", [0, 1])
def test_a_server_that_dies_costs_no_question_and_leaves_nothing(
    served: Served, groups: list[PageGroup], place: int
) -> None:
    model = ManagedServer(served.spec())
    model.load()
    os.kill(served.starts()[0]["processes"][place], signal.SIGKILL)
    with pytest.raises(ModelGone) as caught:
        model.generate(groups)
    assert caught.value.restarts
    assert "vllm " in caught.value.message
    assert gone(served)
    model.close()


LOADER = """
import json, sys, time
from bench.models.serving.server import ManagedServer
from bench.schema import ModelSpec
model = ManagedServer(ModelSpec(**json.loads(sys.argv[1])))
model.load()
print(model._server._supervisor.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("killed", ["the model's process", "the supervisor"])
def test_a_kill_leaves_nothing_of_the_server(served: Served, killed: str) -> None:
    spec = served.spec()
    fields = {"name": spec.name, "backend": spec.backend, "checkpoint": spec.checkpoint}
    words = [sys.executable, "-c", LOADER, json.dumps({**fields, "options": dict(spec.options)})]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        supervisor = int(process.stdout.readline())
        assert len(served.running()) == 2
        os.kill(process.pid if killed == "the model's process" else supervisor, signal.SIGKILL)
        assert gone(served)
        process.kill()
    deadline = time.monotonic() + 10
    while _is_running(supervisor):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_goes_on_with_another_server_when_one_dies(
    served: Served, make_task: MakeTask, tmp_path: Path
) -> None:
    task = load_task(make_task(documents=5))
    plan = plan_run(
        [served.spec(concurrency=2)], [task], RunSettings(batch_size=6, latency_samples=1)
    )
    killer = threading.Thread(target=kill_first_server, args=(served, tmp_path / "r"))
    killer.start()
    outcome = execute(plan, tmp_path / "r")
    killer.join()
    assert outcome.failed_models == ()
    outputs = outcome.run.outputs("tiny@vllm", "mine")
    assert [output.stop_reason for output in outputs.values()] == ["stop"] * 20
    assert len(served.starts()) == 2
    assert gone(served, 0.0)
    record = outcome.run.model_record("tiny@vllm") or {}
    assert record["details"]["traits"]["runs_in"] == "own server"
    assert "server: the server is ready" in (outcome.run.path / "log.txt").read_text("utf-8")


def kill_first_server(served: Served, results: Path) -> None:
    """Kill the engine's second process as soon as a batch is stored."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # The files of a run alone: the folder in which it is begun is moved meanwhile.
        stored = [path for path in results.glob("*/*/*/outputs.jsonl") if path.stat().st_size > 0]
        if stored and served.starts():
            os.kill(served.starts()[0]["processes"][1], signal.SIGKILL)
            return
        time.sleep(0.002)


# What it counts


def test_counters_are_added_up_over_their_labels() -> None:
    text = (
        "# HELP a counts\n# TYPE a counter\n"
        'a{engine="0"} 3.0\na{engine="1",x="}"} 4e0\nab 9\na nan\nb 2 1700000000\nc one\n'
    )
    assert read_counters(text, ("a", "b", "c")) == {"a": 7.0, "b": 2.0}


@pytest.mark.parametrize(
    ("lines", "says", "hint"),
    [
        ('engine = "vllm"\nbackend = "transformers"', "engine and backend both", "leave out one"),
        ('engine = "vlm"', "[models.mine]: there is no engine 'vlm'", "did you mean vllm?"),
        ('backend = "vllm"', "[models.mine]: the backend vllm", 'engine = "vllm"'),
    ],
)
def test_a_table_that_names_what_runs_it_wrongly_is_refused(
    lines: str, says: str, hint: str, tmp_path: Path
) -> None:
    table = tmp_path / "bench.toml"
    table.write_text(f'[models.mine]\nmodel = "qwen2-vl-nano"\n{lines}\n')
    with pytest.raises(InvalidInput, match=re.escape(says)) as refused:
        resolve("mine", bench_toml=table)
    assert hint in (refused.value.hint or "")


def test_a_request_to_stop_ends_a_process_that_is_still_loading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    for is_loading in (True, False):
        monkeypatch.setattr(sys, "stdin", io.StringIO("stop\n"))
        process: Any = SimpleNamespace(stop=threading.Event(), is_loading=is_loading)
        worker._listen(process)
        assert process.stop.is_set()
    # At the end of the input a process ends in any case.
    assert statuses == [STOPPED, 1, 1]


def test_a_key_that_is_not_set_is_missed_before_any_model_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bench.toml").write_text(
        '[models.mine]\nbase_url = "http://localhost:1/v1"\ncheckpoint = "m"\n'
        'api_key_env = "NO_SUCH_KEY"\n'
    )
    with pytest.raises(SystemExit):
        main(["run", "--models", "ocr,mine", "--tasks", "slips"])
    assert "error: the environment variable NO_SUCH_KEY" in capfd.readouterr().err
    assert not Path("results").exists()

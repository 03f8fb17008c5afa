"""What failing servers and kills cost a run: nothing may be lost, doubled, or left running.

    python benchmarks/endpoint_faults.py faults              # 1,000 questions to a server that fails often
    python benchmarks/endpoint_faults.py kills --times 10    # kill -9 of each process at random moments

``faults``: of 1,000 questions, four in ten fail at first, in ten ways (``tests/openai_faults.py``), and
some are answered with a finish reason that ends no answer. ``kills``: a run is asked of a server of its own
process, and of one that the run starts (``tests/fake_vllm.py``). The parent, the model's process, the
server or its supervisor is killed at a random moment; a command that ended is repeated. Both print one JSON
object and exit with 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from bench.files import read_lines
from bench.rundir.store import RunStore
from tests.openai_faults import Faults
from tests.openai_server import running

ROOT = Path(__file__).resolve().parent.parent
KEY_VARIABLE = "ENDPOINT_FAULTS_KEY"
TIMEOUT = 2.0


def write_task(folder: Path, documents: int, questions: int) -> list[str]:
    """A task of tiny pages, and the ids of its questions."""
    folder.mkdir()
    rows = []
    for document in range(documents):
        page = f"{document}.png"
        Image.new("RGB", (56, 56), (document % 256, document // 256, 0)).save(folder / page)
        for number in range(questions):
            sample_id = f"{document}/{number}"
            question = f"question {sample_id}"
            answers = [question.upper()]
            rows.append(
                {"id": sample_id, "images": [page], "question": question, "answers": answers}
            )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "samples.jsonl").write_text(lines, encoding="utf-8")
    (folder / "task.toml").write_text('[prompt]\ntemplate = "{question}"\n', encoding="utf-8")
    return [str(row["id"]) for row in rows]


def command(folder: Path) -> list[str]:
    """``bench run`` of the model ``mine`` of the folder's ``bench.toml``."""
    words = [sys.executable, "-m", "bench", "run", "--config", str(folder / "bench.toml")]
    words += ["--models", "mine", "--tasks", str(folder / "task"), "--out", str(folder / "runs")]
    return [*words, "--no-report", "--latency-samples", "20", "--max-errors", "1"]


def answered_ids(run: RunStore) -> list[str]:
    """The ids of all lines of answers, doubled ones twice."""
    return [
        row["sample_id"] for row in read_lines(run.cell_folder("mine", "task") / "outputs.jsonl")
    ]


# Faults


def faults() -> tuple[dict[str, Any], bool]:
    """One run through a server that fails; what happened, and whether all is right."""
    key = f"sk-{secrets.token_hex(16)}"
    with tempfile.TemporaryDirectory() as temporary, running() as server:
        folder = Path(temporary)
        ids = write_task(folder / "task", 250, 4)
        wrong = frozenset(f"question {sample_id}" for sample_id in ids[::100])
        failing = server.reaction = Faults(
            0.4, stall=2 * TIMEOUT, retry_after=1, wrong=wrong, most=2
        )
        (folder / "bench.toml").write_text(
            f'[models.mine]\nbase_url = "{server.url}"\ncheckpoint = "reader"\n'
            f'api_key_env = "{KEY_VARIABLE}"\ntimeout = {TIMEOUT}\nprice = {{ input = 1, output = 2 }}\n',
            encoding="utf-8",
        )
        started = time.perf_counter()
        with (folder / "printed.txt").open("w", encoding="utf-8") as printed:
            environment = {**os.environ, KEY_VARIABLE: key}
            done = subprocess.run(
                command(folder), env=environment, stdout=printed, stderr=printed, check=False
            )
        seconds = time.perf_counter() - started
        (path,) = (folder / "runs").iterdir()
        run = RunStore.open(path)
        outputs = run.outputs("mine", "task")
        stored = Counter(answered_ids(run))
        latencies = [record["seconds"] for record in run.latencies("mine", "task")]
        retried = [o for o in outputs.values() if (o.served or {}).get("attempts", 1) > 1]
        with_key = [
            str(file.relative_to(folder))
            for file in folder.rglob("*")
            if file.is_file() and key.encode() in file.read_bytes()
        ]
        right = sum(output.text == f"QUESTION {name}" for name, output in outputs.items())
        failed = {name for name, output in outputs.items() if output.stop_reason == "error"}
    result = {
        "exit_status": done.returncode,
        "seconds": round(seconds, 1),
        "questions": len(ids),
        "lost": len(set(ids) - set(stored)),
        "doubled": sum(count - 1 for count in stored.values()),
        "right": right,
        "failed_for_their_finish_reason": len(failed),
        "answered_again_at_the_server": sum(count > 1 for count in failing.answered.values()),
        "requests": len(server.requests),
        "requests_with_the_key": sum(
            headers.get("authorization") == f"Bearer {key}" for headers in server.headers
        ),
        "faults": dict(failing.failed),
        "retried": len(retried),
        "slowest_attempt_that_succeeded": max((o.served or {})["seconds"] for o in retried),
        "single_stream_latencies": {"n": len(latencies), "slowest": max(latencies)},
        "files_with_the_key": with_key,
    }
    whole = (
        result["lost"] == result["doubled"] == 0
        and right == len(ids) - len(wrong)
        and failed == {name.removeprefix("question ") for name in wrong}
        and result["slowest_attempt_that_succeeded"] <= TIMEOUT
        and max(latencies) <= TIMEOUT
        and result["requests_with_the_key"] == result["requests"]
        and not with_key
    )
    return result, whole


# Kills


@contextmanager
def other_server(folder: Path) -> Iterator[str]:
    """The lines of a ``bench.toml`` for a server of its own process, which comes back when it is killed."""
    words = [
        sys.executable,
        str(ROOT / "benchmarks" / "endpoint_faults.py"),
        "serve",
        "--port",
        "0",
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    (folder / "server.pid").write_text(str(process.pid), encoding="utf-8")
    (folder / "server.port").write_text(port, encoding="utf-8")
    try:
        yield f'base_url = "http://127.0.0.1:{port}/v1"\ncheckpoint = "reader"\n'
    finally:
        process.kill()
        process.wait()
        with suppress(ProcessLookupError):
            os.kill(int((folder / "server.pid").read_text("utf-8")), signal.SIGKILL)


@contextmanager
def own_server(folder: Path) -> Iterator[str]:
    """The lines of a ``bench.toml`` for a server that the run starts."""
    fake = shlex.join([sys.executable, str(ROOT / "tests" / "fake_vllm.py"), "serve"])
    variables = {
        "PYTHONPATH": str(ROOT),
        "FAKE_VLLM_RECORD": str(folder / "starts.jsonl"),
        "FAKE_VLLM_SECONDS": "0.02",
    }
    shown = ", ".join(f"{name} = {json.dumps(value)}" for name, value in variables.items())
    yield (
        'model = "qwen2-vl-nano"\nengine = "vllm"\n'
        f"options = {{ command = {json.dumps(fake)}, environment = {{ {shown} }} }}\n"
    )


def serve(port: int) -> None:
    """Answer every question after 20 ms, until this process is killed."""

    def slowly(handler: Any, body: Any) -> bool:
        time.sleep(0.02)
        return False

    with running(port) as server:
        server.reaction = slowly
        print(server.server_address[1], flush=True)
        signal.pause()


def processes(folder: Path) -> dict[str, list[int]]:
    """The processes of the run and of its server, by what they are."""
    kinds: dict[str, list[int]] = {"parent": [], "worker": [], "supervisor": [], "server": []}
    starts = folder / "starts.jsonl"
    if starts.is_file():
        for line in starts.read_text("utf-8").splitlines():
            kinds["server"] += filter(_is_running, json.loads(line)["processes"])
    elif (pid := folder / "server.pid").is_file():
        kinds["server"] += filter(_is_running, [int(pid.read_text("utf-8"))])
    for process in psutil.process_iter(["cmdline", "ppid"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line and "bench.runner.worker" in line:
            kinds["worker"].append(process.pid)
            kinds["supervisor"] += _children(process, "serving.supervisor")
        elif str(folder) in line and "bench run" in line:
            kinds["parent"].append(process.pid)
    return kinds


def _children(process: psutil.Process, name: str) -> list[int]:
    with suppress(psutil.Error):
        return [child.pid for child in process.children() if name in " ".join(child.cmdline())]
    return []


def _is_running(number: int) -> bool:
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def kill_once(folder: Path, table: str, victim: str, moment: float) -> dict[str, Any]:
    """Run, kill ``victim`` after ``moment`` seconds, and go on until the run is complete."""
    ids = write_task(folder / "task", 30, 4)
    (folder / "bench.toml").write_text(f"[models.mine]\n{table}", encoding="utf-8")
    killed, commands = 0, 0
    while commands < 6:
        commands += 1
        process = subprocess.Popen(
            command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
        )
        if not killed:
            time.sleep(moment)
            while process.poll() is None and not killed:
                for number in processes(folder)[victim][:1]:
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                        killed += 1
                time.sleep(0.01)
            if victim == "server" and (folder / "server.port").is_file():
                _serve_again(folder)
        if process.wait() == 0:
            break
    deadline = time.monotonic() + 15
    while any(_left(folder).values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    (path,) = (folder / "runs").iterdir()
    stored = Counter(answered_ids(RunStore.open(path)))
    failed = sum(
        output.stop_reason == "error"
        for output in RunStore.open(path).outputs("mine", "task").values()
    )
    return {
        "killed": killed,
        "commands": commands,
        "lost": len(set(ids) - set(stored)),
        "doubled": sum(count - 1 for count in stored.values()),
        "failed": failed,
        "left_running": sum(map(len, _left(folder).values())),
    }


def _left(folder: Path) -> dict[str, list[int]]:
    kinds = processes(folder)
    if (folder / "server.port").is_file():
        # This server is not the run's.
        kinds["server"] = []
    return kinds


def _serve_again(folder: Path) -> None:
    time.sleep(0.5)
    port = (folder / "server.port").read_text("utf-8")
    words = [
        sys.executable,
        str(ROOT / "benchmarks" / "endpoint_faults.py"),
        "serve",
        "--port",
        port,
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    (folder / "server.pid").write_text(str(process.pid), encoding="utf-8")


def kills(times: int, seed: int) -> tuple[dict[str, Any], bool]:
    """Every kind of process, killed ``times`` times each; what happened, and whether all is right."""
    chance = random.Random(seed)
    result: dict[str, Any] = {"seed": seed}
    whole = True
    for place, open_server in (("other server", other_server), ("own server", own_server)):
        victims = ["parent", "worker", "server"]
        for victim in [*victims, "supervisor"] if place == "own server" else victims:
            totals: Counter[str] = Counter()
            for _ in range(times):
                with (
                    tempfile.TemporaryDirectory() as temporary,
                    open_server(Path(temporary)) as table,
                ):
                    totals.update(
                        kill_once(Path(temporary), table, victim, chance.uniform(0.2, 6.0))
                    )
            result[f"{victim}, {place}"] = dict(totals)
            print(f"{victim}, {place}: {dict(totals)}", file=sys.stderr, flush=True)
            wrong = [totals[name] for name in ("lost", "doubled", "failed", "left_running")]
            whole = whole and not any(wrong)
    return result, whole


def main(arguments: Sequence[str]) -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["faults", "kills", "serve"])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if chosen.action == "serve":
        serve(chosen.port)
    result, whole = faults() if chosen.action == "faults" else kills(chosen.times, chosen.seed)
    print(json.dumps(result, indent=2))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

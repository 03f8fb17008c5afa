"""What the service costs beside the engine, and what it survives.

    python benchmarks/service.py overhead                # the nano at 16 in flight, and called directly
    python benchmarks/service.py overhead --delay 0.05   # the same with a model that sleeps for each question
    python benchmarks/service.py overhead --model NAME   # the same with any other model
    python benchmarks/service.py crowd --seconds 60      # 1,000 clients at once, a model that sleeps
    python benchmarks/service.py kills --times 10        # kill -9 of the service with 50 accepted jobs
    python benchmarks/service.py fuzz                    # schemathesis from the service's own OpenAPI

Each prints one JSON object; ``crowd``, ``kills`` and ``fuzz`` exit with 1 if something is wrong.

``overhead`` takes turns between the two ways of asking: the engine is given the same questions in the same
order, as many in one call as the service has in flight. Wall time depends on what else the machine does, so
the processor's seconds stand beside it: those of the engine, of the service with everything that it started,
what of them the model's process did not take, and those of the clients, which share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import http.client
import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from PIL import Image

from bench.client import ServiceClient

ROOT = Path(__file__).resolve().parent.parent
SLEEPER = (
    '[models.sleeper]\nmodel = "fake"\noptions = {{ default = "read: {{question}}", delay = {} }}\n'
)


class Service:
    """A running ``bench serve``."""

    def __init__(self, folder: Path, model: str, *arguments: str) -> None:
        self.log = (folder / "log.jsonl").open("ab")
        command = [sys.executable, "-m", "bench", "serve", "-m", model, "--port", "0", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        start = self.log.tell()
        self.process = subprocess.Popen(command, cwd=folder, stderr=self.log, env=environment)
        self.port = self._said(folder / "log.jsonl", start, "listening")["port"]
        self._said(folder / "log.jsonl", start, "model_loaded")

    def _said(self, path: Path, start: int, event: str) -> dict[str, Any]:
        while self.process.poll() is None:
            lines = path.read_bytes()[start:].splitlines()
            for line in lines:
                with contextlib.suppress(ValueError):
                    told: dict[str, Any] = json.loads(line)
                    if told["event"] == event:
                        return told
            time.sleep(0.05)
        raise SystemExit(f"the service ended; see {path}")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def processor_seconds(self) -> float:
        """Of the service and of everything that it has started."""
        return _tree(psutil.Process(self.process.pid))

    def model_seconds(self) -> float:
        """Of the model's process, and of those that open pages for it."""
        return _tree(self.model())

    def model(self) -> psutil.Process:
        """The model's process."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if "bench.service.worker" in child.cmdline())

    def end(self) -> None:
        """Stop it in an orderly way."""
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()


@contextlib.contextmanager
def serving(folder: Path, model: str, *arguments: str) -> Iterator[Service]:
    """A service that is ended with the block, unless it was killed in it."""
    service = Service(folder, model, *arguments)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.end()


class Cost(NamedTuple):
    """What one pass over the questions took."""

    seconds: float
    processor: float
    service: float
    """Of ``processor``, what the model's process did not take."""
    clients: float
    latency: float
    """Median seconds of a question, from sending it; of the engine, of a call."""
    answers: tuple[str, ...]


def overhead(
    rounds: int, passes: int, in_flight: int, name: str, delay: float | None
) -> dict[str, Any]:
    """The same questions asked of a model and of the service, in turns; with ``delay`` the model sleeps."""
    from bench.models import make_model
    from bench.models.catalog import resolve
    from bench.runner.batches import page_groups, singles
    from bench.runner.threads import set_threads
    from bench.tasks import load_task

    # As in the process of a service or a run: torch reads it when it is imported.
    set_threads()
    groups = page_groups(load_task(ROOT / "tasks" / "slips"))
    questions = [
        (group.document.pages[0].path, r.prompt) for group in groups for r in group.requests
    ]
    bodies = [
        _run_body(path, prompt, groups[0].generation.max_new_tokens) for path, prompt in questions
    ]
    # In the order in which clients ask. A run would keep the questions of a document in one call.
    alone = [single for group in groups for (single,) in singles([group])] * passes
    batches = [alone[start : start + in_flight] for start in range(0, len(alone), in_flight)]
    name = name if delay is None else "sleeper"
    me = psutil.Process()

    def engine() -> Cost:
        began, used = time.perf_counter(), _with_openers(me)
        latencies, answers = [], []
        for batch in batches:
            start = time.perf_counter()
            answers += [output.text for output in model.generate(batch).outputs]
            latencies.append(time.perf_counter() - start)
        return Cost(
            time.perf_counter() - began,
            _with_openers(me) - used,
            0.0,
            0.0,
            statistics.median(latencies),
            tuple(answers[: len(questions)]),
        )

    with tempfile.TemporaryDirectory(prefix="serve-overhead-") as temporary:
        folder = Path(temporary)
        (folder / "bench.toml").write_text(SLEEPER.format(delay or 0.0), encoding="utf-8")
        model = make_model(resolve(name, bench_toml=folder / "bench.toml"))
        model.load()
        with serving(folder, name, "--batch-size", str(in_flight)) as service:

            def served() -> Cost:
                began, used, own = (
                    time.perf_counter(),
                    service.processor_seconds(),
                    time.process_time(),
                )
                used_by_model = service.model_seconds()
                replies = closed_loop(service.port, bodies * passes, in_flight)
                answers = tuple(reply["output"]["data"]["text"] for reply, _ in replies)
                processor = service.processor_seconds() - used
                return Cost(
                    time.perf_counter() - began,
                    processor,
                    processor - (service.model_seconds() - used_by_model),
                    time.process_time() - own,
                    statistics.median(seconds for _, seconds in replies),
                    answers[: len(questions)],
                )

            engine()
            served()
            pairs = [(engine(), served()) for _ in range(rounds)]
    total = len(questions) * passes
    direct, through = (list(costs) for costs in zip(*pairs, strict=True))
    return {
        "questions": total,
        "in_flight": in_flight,
        "equal_answers": all(d.answers == t.answers for d, t in pairs),
        "engine": _summary(direct, total),
        "service": _summary(through, total),
        "processor_overhead": _ratio(pairs, "processor"),
        "wall_overhead": _ratio(pairs, "seconds"),
    }


def _tree(process: psutil.Process) -> float:
    """Processor seconds of a process and of everything that it has started."""
    return _seconds([process, *process.children(recursive=True)])


def _with_openers(process: psutil.Process) -> float:
    """Processor seconds of a process and of those that open pages for it."""
    children = process.children()
    return _seconds([process, *(p for p in children if "bench.tasks.opener" in p.cmdline())])


def _seconds(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _ratio(pairs: Sequence[tuple[Cost, Cost]], field: str) -> float:
    return statistics.median(getattr(t, field) / getattr(d, field) - 1 for d, t in pairs)


def _summary(costs: Sequence[Cost], questions: int) -> dict[str, Any]:
    return {
        "questions_per_second": [round(questions / cost.seconds, 1) for cost in costs],
        "milliseconds_per_question": [round(1000 * cost.seconds / questions, 2) for cost in costs],
        "processor_milliseconds": [round(1000 * cost.processor / questions, 2) for cost in costs],
        "of_which_service": [round(1000 * cost.service / questions, 2) for cost in costs],
        "client_processor_milliseconds": [round(1000 * c.clients / questions, 2) for c in costs],
        "median_latency": [round(cost.latency, 4) for cost in costs],
    }


def _run_body(path: Path, prompt: str, tokens: int) -> bytes:
    image = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    return json.dumps({"image": image, "prompt": prompt, "max_new_tokens": tokens}).encode()


def closed_loop(
    port: int, bodies: Sequence[bytes], in_flight: int
) -> list[tuple[dict[str, Any], float]]:
    """Every body posted once by clients that each wait for their answer; replies in order, with seconds."""
    replies: dict[int, tuple[dict[str, Any], float]] = {}
    numbers = iter(range(len(bodies)))
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            start = time.perf_counter()
            connection.request(
                "POST", "/api/v1/run", bodies[number], {"content-type": "application/json"}
            )
            reply = json.loads(connection.getresponse().read())
            replies[number] = (reply, time.perf_counter() - start)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [replies[number] for number in range(len(bodies))]


def crowd(clients: int, seconds: float, delay: float) -> dict[str, Any]:
    """Many clients that ask again as soon as they are answered; no question may be lost."""
    with tempfile.TemporaryDirectory(prefix="serve-crowd-") as name:
        folder = Path(name)
        (folder / "bench.toml").write_text(SLEEPER.format(delay), encoding="utf-8")
        with serving(
            folder, "sleeper", "--batch-size", "64", "--queue", str(2 * clients)
        ) as service:
            used = service.processor_seconds()
            outcomes, latencies = asyncio.run(_crowd(service.port, clients, seconds))
            processor = service.processor_seconds() - used
            peak = psutil.Process(service.process.pid).memory_info().rss
    total = sum(outcomes.values())
    latencies.sort()
    return {
        "clients": clients,
        "seconds": seconds,
        "model_sleeps": delay,
        "requests": total,
        "outcomes": dict(outcomes),
        "wrong": total - outcomes["right"],
        "requests_per_second": round(total / seconds, 1),
        "processor_milliseconds": round(1000 * processor / max(1, total), 2),
        "latency_p50": round(latencies[len(latencies) // 2], 3),
        "latency_p99": round(latencies[len(latencies) * 99 // 100], 3),
        "service_rss_mib": round(peak / 2**20),
    }


async def _crowd(port: int, clients: int, seconds: float) -> tuple[Counter[str], list[float]]:
    outcomes: Counter[str] = Counter()
    latencies: list[float] = []
    until = time.monotonic() + seconds

    async def client(number: int) -> None:
        page = _page(number % 50)
        turn = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            turn += 1
            question = f"{number}.{turn}"
            start = time.perf_counter()
            body = json.dumps({"image": page, "prompt": question, "wait": 120}).encode()
            head = (
                f"POST /api/v1/run HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            try:
                writer.write(head.encode() + body)
                status, reply = await _read_reply(reader)
            except (OSError, asyncio.IncompleteReadError) as error:
                outcomes[type(error).__name__] += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            latencies.append(time.perf_counter() - start)
            is_right = status == 200 and reply["output"]["data"]["text"] == f"read: {question}"
            outcomes["right" if is_right else f"HTTP {status}"] += 1
        writer.close()

    await asyncio.gather(*map(client, range(clients)))
    return outcomes, latencies


async def _read_reply(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
    body = await reader.readexactly(int(length.partition(":")[2]))
    return int(head.split(" ", 2)[1]), json.loads(body)


def _page(number: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (60 + number, 60), "white").save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def kills(times: int, jobs: int) -> dict[str, Any]:
    """The service is killed while it answers; after the next start every job must have its answer, once."""
    lost = doubled = killed_models = 0
    chance = random.Random(17)
    with tempfile.TemporaryDirectory(prefix="serve-kills-") as name:
        folder = Path(name)
        (folder / "bench.toml").write_text(SLEEPER.format(0.02), encoding="utf-8")
        for _ in range(times):
            with serving(folder, "sleeper", "--batch-size", "4") as service:
                with ServiceClient(service.url) as client:
                    page = base64.b64decode(_page(chance.randrange(9)).partition(",")[2])
                    ids = [client.submit([page], f"q{n}").id for n in range(jobs)]
                time.sleep(chance.uniform(0, jobs * 0.02))
                service.process.kill()
                service.process.wait()
            answered = _ended(folder)
            with (
                serving(folder, "sleeper", "--batch-size", "4") as service,
                ServiceClient(service.url) as client,
            ):
                if chance.random() < 0.5:
                    service.model().kill()
                    killed_models += 1
                for number, job_id in enumerate(ids):
                    state = client.state(job_id, wait=10)
                    while not state.has_ended:
                        state = client.state(job_id, wait=10)
                    lost += state.text != f"read: q{number}"
            after = _ended(folder)
            doubled += sum(after[job_id] != moment for job_id, moment in answered.items())
    return {
        "kills": times,
        "jobs": jobs * times,
        "lost": lost,
        "answered_twice": doubled,
        "models_killed": killed_models,
    }


def _ended(folder: Path) -> dict[str, float]:
    """Id of each job that has ended → when."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(folder / "service" / "jobs.sqlite")) as connection:
        rows = connection.execute("SELECT id, finished FROM jobs WHERE finished IS NOT NULL")
        return dict(rows.fetchall())


CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
"""Not ``positive_data_acceptance``: a text that is no image is valid by its schema, and refused."""


def fuzz(examples: int, seed: int) -> int:
    """Requests that schemathesis makes of the service's own description; returns its exit status."""
    with tempfile.TemporaryDirectory(prefix="serve-fuzz-") as name:
        folder = Path(name)
        (folder / "bench.toml").write_text(SLEEPER.format(0), encoding="utf-8")
        with serving(folder, "sleeper") as service:
            command = [
                str(Path(sys.executable).parent / "schemathesis"),
                "run",
                f"{service.url}/openapi.json",
            ]
            command += [
                "--checks",
                ",".join(CHECKS),
                "--max-examples",
                str(examples),
                "--seed",
                str(seed),
            ]
            return subprocess.run(command, check=False, cwd=folder).returncode


def main() -> int:
    """Measure one thing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["overhead", "crowd", "kills", "fuzz"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--model", default="qwen2-vl-nano", help="of overhead: a name or a folder")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--delay", type=float, help="seconds a question, of a model that sleeps")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=17)
    chosen = parser.parse_args()
    if chosen.what == "fuzz":
        return fuzz(chosen.examples, chosen.seed)
    if chosen.what == "overhead":
        told = overhead(chosen.rounds, chosen.passes, chosen.in_flight, chosen.model, chosen.delay)
    elif chosen.what == "crowd":
        told = crowd(chosen.clients, chosen.seconds, chosen.delay or 0.001)
    else:
        told = kills(chosen.times, chosen.jobs)
    print(json.dumps(told, indent=2))
    return int(any(told.get(wrong, 0) for wrong in ("wrong", "lost", "answered_twice")))


if __name__ == "__main__":
    sys.exit(main())

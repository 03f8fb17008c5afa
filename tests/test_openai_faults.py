"""An endpoint that fails: what may pass is overcome and leaves no trace, and what does not ends the model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from bench.cli import cli
from bench.measure.cores import usable_cores
from bench.models.model import ModelGone
from bench.models.openai import Endpoint, messages
from bench.models.openai.concurrency import RateLimit
from bench.models.openai.streak import GIVE_UP_AFTER
from bench.rundir.store import RunStore
from bench.runner import RunSettings, execute, plan_run
from bench.schema import Document, Generation, ModelSpec, Page, PageGroup, Request
from bench.tasks import load_task
from bench.tasks.pages import read_pages
from tests.conftest import MakeTask
from tests.openai_faults import KINDS, Faults, question_of
from tests.openai_server import Handler, Server, running

KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts that a test can wait for."""
    monkeypatch.setattr("bench.models.openai.client.FIRST_PAUSE", 0.01)


def spec_of(server: Server, **options: Any) -> ModelSpec:
    return ModelSpec(
        "served", "openai", "reader", options={"base_url": server.url, "attempts": 4, **options}
    )


OPEN: list[Endpoint] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def loaded(server: Server, **options: Any) -> Endpoint:
    OPEN.append(Endpoint(spec_of(server, **options)))
    OPEN[-1].load()
    return OPEN[-1]


def groups_of(folder: Path, documents: int, questions: int) -> list[PageGroup]:
    groups = []
    for number in range(documents):
        path = folder / f"{number}.png"
        Image.new("RGB", (56, 56), (number, 0, 0)).save(path)
        requests = tuple(
            Request(f"d{number}/q{q}", "", f"question {number}-{q}") for q in range(questions)
        )
        groups.append(PageGroup(Document(path.name, read_pages(path)), requests, Generation(64)))
    return groups


def run_of(server: Server, task: Path, results: Path, **options: Any) -> RunStore:
    again = options.pop("again", False)
    settings = RunSettings(batch_size=12, latency_samples=2)
    plan = plan_run([spec_of(server, **options)], [load_task(task)], settings)
    return execute(plan, results, retry_failed=again).run


# What may pass


def test_every_fault_that_may_pass_is_overcome_and_nothing_is_lost_or_doubled(
    server: Server, tmp_path: Path, quick: None
) -> None:
    groups = groups_of(tmp_path, documents=15, questions=10)
    faults = server.reaction = Faults(0.5, wrong=frozenset({"question 3-3"}))
    timeout = 1.0
    outputs = loaded(server, timeout=timeout, concurrency=32).generate(groups).outputs
    assert set(faults.failed) == set(KINDS)
    requests = [request for group in groups for request in group.requests]
    assert [output.sample_id for output in outputs] == [request.sample_id for request in requests]
    for output, request in zip(outputs, requests, strict=True):
        if request.prompt == "question 3-3":
            assert (output.text, output.stop_reason) == ("", "error")
            assert "finish_reason 'content_filter'" in (output.error or "")
            continue
        assert output.text == request.prompt.upper()
        served = output.served or {}
        # An attempt that took longer was broken off: no time of a failed one is in here.
        assert served["seconds"] < timeout + 0.5
        assert (served["lost_seconds"] > 0) == (served["attempts"] > 1)
    assert set(faults.answered.values()) == {1}


def test_a_cold_question_that_is_asked_again_is_cold_again(
    server: Server, tmp_path: Path, quick: None
) -> None:
    failing = [True, False, True, False]

    def react(handler: Handler, body: dict[str, Any]) -> bool:
        fails = failing[len(server.requests) - 1]
        if fails:
            handler.send(500, {})
        return fails

    server.reaction = react
    model = loaded(server)
    (group,) = groups_of(tmp_path, 1, 1)
    model.reset()
    cold = model.generate([group])
    warm = model.generate([group])
    first, second, third, fourth = (body["cache_salt"] for body in server.requests)
    assert first != second == third == fourth
    assert cold.retry_seconds > 0
    assert warm.retry_seconds > 0


def test_what_the_server_says_of_its_own_time_is_kept(server: Server, tmp_path: Path) -> None:
    def react(handler: Handler, body: dict[str, Any]) -> bool:
        choice = {"message": {"content": "x"}, "finish_reason": "stop"}
        if question_of(body) == "question 0-0":
            handler.send(200, {"choices": [choice]}, {"openai-processing-ms": "1500"})
        else:
            timings = {"prompt_ms": 200, "predicted_ms": 50.0}
            handler.send(200, {"choices": [choice], "timings": timings})
        return True

    server.reaction = react
    outputs = loaded(server).generate(groups_of(tmp_path, 1, 2)).outputs
    told = [(output.served or {})["server_seconds"] for output in outputs]
    assert told == [1.5, 0.25]


def test_requests_begin_no_faster_than_was_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("bench.models.openai.concurrency.time.monotonic", lambda: 100.0)
    monkeypatch.setattr("bench.models.openai.concurrency.time.sleep", slept.append)
    limit = RateLimit(120)
    for _ in range(4):
        limit.wait()
    assert slept == [0.5, 1.0, 1.5]


# What does not pass


def dying(server: Server, after: int, status: int = 503) -> None:
    """Answer ``after`` requests, then refuse all that follow."""

    def react(handler: Handler, body: dict[str, Any]) -> bool:
        if len(server.requests) <= after:
            return False
        handler.send(status, {"error": {"message": "no engine"}})
        return True

    server.reaction = react


def test_an_endpoint_that_dies_ends_the_call_and_gives_back_what_was_answered(
    server: Server, tmp_path: Path, quick: None
) -> None:
    dying(server, after=10)
    with pytest.raises(ModelGone) as caught:
        loaded(server, concurrency=4).generate(groups_of(tmp_path, 10, 10))
    gone = caught.value
    assert f"{GIVE_UP_AFTER} requests in a row failed" in gone.message
    assert "HTTP 503: no engine" in gone.message
    assert "--retry-failed" in (gone.hint or "")
    assert len(gone.answered) == 10
    assert len(server.requests) < 10 + 4 * (GIVE_UP_AFTER + 4)


def test_a_key_that_is_refused_in_the_middle_ends_the_call(server: Server, tmp_path: Path) -> None:
    dying(server, after=3, status=401)
    with pytest.raises(ModelGone, match="needs a key"):
        loaded(server, concurrency=1).generate(groups_of(tmp_path, 5, 5))
    assert len(server.requests) == 3 + GIVE_UP_AFTER


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_endpoint_that_refuses_every_question_for_its_own_sake_is_not_gone(
    server: Server, tmp_path: Path, status: int
) -> None:
    dying(server, after=0, status=status)
    outputs = loaded(server).generate(groups_of(tmp_path, 4, 4)).outputs
    assert [output.stop_reason for output in outputs] == ["error"] * 16


def test_a_run_whose_endpoint_died_keeps_its_answers_and_goes_on_later(
    server: Server, make_task: MakeTask, tmp_path: Path
) -> None:
    task = make_task(documents=4)
    dying(server, after=1 + 5, status=404)
    run = run_of(server, task, tmp_path / "r", concurrency=2)
    failure = run.failure("served") or {}
    assert "requests in a row failed" in failure["message"]
    first = {
        key: output
        for key, output in run.outputs("served", "mine").items()
        if output.stop_reason == "stop"
    }
    assert len(first) >= 5
    server.reaction = None
    again = run_of(server, task, tmp_path / "r", concurrency=2, again=True)
    assert again.path == run.path
    assert again.state() == "complete"
    outputs = again.outputs("served", "mine")
    assert [output.stop_reason for output in outputs.values()] == ["stop"] * 16
    assert first.items() <= outputs.items()


# What is asked for only where somebody wants it


def test_structured_outputs_are_sent_only_on_request_and_are_on_record(
    server: Server, tmp_path: Path
) -> None:
    groups = groups_of(tmp_path, 1, 1)
    loaded(server).generate(groups)
    wanted = {"type": "json_object"}
    options = {"response_format": wanted, "token_limit": "max_completion_tokens"}
    model = Endpoint(spec_of(server, **options))
    OPEN.append(model)
    info = model.load()
    model.generate(groups)
    plain, guided = server.requests
    assert "response_format" not in plain
    assert guided["response_format"] == wanted
    assert (guided["max_completion_tokens"], guided.get("max_tokens")) == (64, None)
    assert info.details["response_format"] == wanted
    assert "changes answers" in info.details["warnings"][0]


def test_what_it_costs_stands_in_the_record_of_the_run(
    server: Server, make_task: MakeTask, tmp_path: Path
) -> None:
    task = load_task(make_task(documents=1))
    price = {"input": 0.15, "output": 0.6, "currency": "USD"}
    spec = replace(spec_of(server), price=price)
    run = execute(plan_run([spec], [task], RunSettings(latency_samples=0)), tmp_path / "r").run
    (entry,) = json.loads((run.path / "run.json").read_text(encoding="utf-8"))["models"]
    assert entry["price"] == price
    assert "price" not in entry["spec"]
    assert run.model_spec("served").price is None


def test_a_server_that_keeps_pages_is_not_called_cold(server: Server) -> None:
    server.version = None
    model = Endpoint(spec_of(server))
    OPEN.append(model)
    info = model.load()
    assert "may be those on pages that it knew" in info.details["warnings"][0]


def test_pages_are_opened_by_no_more_threads_than_there_are_cores(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = messages.open_page
    inside, most = [0], [0]
    lock = threading.Lock()

    def open_page(page: Page) -> Any:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.005)
        image = opened(page)
        with lock:
            inside[0] -= 1
        return image

    monkeypatch.setattr(messages, "open_page", open_page)
    loaded(server).generate(groups_of(tmp_path, 24, 1))
    assert most[0] <= usable_cores()


# Other verbs


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_predict_asks_an_endpoint(server: Server, tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    Image.new("RGB", (56, 56), "white").save(page)
    done = invoke("predict", str(page), "-q", "total?", "-m", f"reader@{server.url}")
    assert done.exit_code == 0
    assert done.stdout == "TOTAL?\n"
    assert "generated" in done.stderr
    assert "Memory" not in done.stderr


def test_annotate_asks_an_endpoint(
    server: Server, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text(
        f'[models.mine]\nbase_url = "{server.url}"\ncheckpoint = "reader"\napi_key_env = "MY_KEY"\n'
    )
    question = "What is the total?"
    row = {"id": "a", "images": ["p0.png"], "question": question, "draft": True}
    folder = make_task([row], name="drafts", documents=1)
    done = invoke("data", "annotate", str(folder), "--model", "mine")
    assert done.exit_code == 0, done.output
    (line,) = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["answers"][0].startswith(question.upper())
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert all(KEY not in path.read_text("latin-1") for path in folder.rglob("*") if path.is_file())

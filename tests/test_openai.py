"""A model behind an OpenAI-compatible endpoint: what is sent, what comes back, and hostile servers."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.errors import EnvironmentProblem, InvalidInput
from bench.files import read_lines
from bench.models import make_model
from bench.models.openai import Endpoint
from bench.models.openai.client import MAX_RESPONSE_BYTES, Reply
from bench.models.openai.completions import token_choices
from bench.models.openai.concurrency import AdaptiveLimit
from bench.models.openai.jobs import Job, JobQueue
from bench.rundir.store import RunStore
from bench.runner import RunSettings, execute, plan_run
from bench.schema import (
    Document,
    Generation,
    ModelSpec,
    Output,
    PageGroup,
    Request,
    TokenChoice,
)
from bench.tasks import load_task
from bench.tasks.pages import read_pages
from tests.conftest import MakeTask
from tests.openai_server import Handler, Server, running

KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.png"
    Image.new("RGB", (300, 200), "white").save(path)
    return path


OPEN: list[Endpoint] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def spec_of(server: Server, **options: Any) -> ModelSpec:
    fields = {name: options.pop(name) for name in ("min_pixels", "max_pixels") if name in options}
    return ModelSpec(
        "served",
        backend="openai",
        checkpoint="reader",
        options={"base_url": server.url, "attempts": 3, **options},
        **fields,
    )


def loaded(server: Server, **options: Any) -> Endpoint:
    model = opened(spec_of(server, **options))
    model.load()
    return model


def opened(spec: ModelSpec) -> Endpoint:
    model = Endpoint(spec)
    OPEN.append(model)
    return model


def group_of(page: Path, *questions: str, limit: int = 64) -> PageGroup:
    requests = tuple(Request(f"id-{question}", question, question) for question in questions)
    document = Document(page.name, read_pages(page))
    return PageGroup(document, requests, Generation(limit))


def ask(model: Endpoint, *groups: PageGroup) -> tuple[Output, ...]:
    return model.generate(groups).outputs


# What is sent


def test_pages_come_before_the_text_and_in_sizes_that_are_whole_visual_tokens(
    server: Server, page: Path
) -> None:
    ask(loaded(server, visual_token_side=28), group_of(page, "total?"))
    (body,) = server.requests
    image, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "total?"}
    kind, _, data = image["image_url"]["url"].partition("base64,")
    assert kind == "data:image/png;"
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert sent.size == (308, 196)
    assert body["temperature"] == 0
    assert body["max_tokens"] == 64
    assert body["logprobs"] is True


def test_pixel_bounds_are_kept_here_before_a_page_is_sent(server: Server, page: Path) -> None:
    model = loaded(server, visual_token_side=28, max_pixels=28 * 28 * 20)
    (output,) = ask(model, group_of(page, "total?"))
    assert output.visual_tokens is not None
    assert output.visual_tokens <= 20
    assert output.served is not None
    assert "doubt" not in output.served


def test_a_page_within_the_bounds_is_not_touched_where_the_side_of_a_token_is_unknown(
    server: Server, page: Path
) -> None:
    ask(loaded(server), group_of(page, "total?"))
    data = server.requests[0]["messages"][0]["content"][0]["image_url"]["url"].partition("base64,")[
        2
    ]
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert sent.size == (300, 200)


def test_the_questions_of_a_document_follow_its_first_one(server: Server, tmp_path: Path) -> None:
    groups = []
    for name in "abc":
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (56, 56), "white").save(path)
        groups.append(group_of(path, f"{name}1", f"{name}2", f"{name}3"))
    outputs = ask(loaded(server, concurrency=1), *groups)
    assert server.questions() == ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3"]
    assert [output.text for output in outputs] == [
        question.upper() for question in server.questions()
    ]


def test_many_questions_are_in_flight_and_none_is_lost_or_asked_twice(
    server: Server, tmp_path: Path
) -> None:
    def slowly(handler: Handler, body: dict[str, Any]) -> bool:
        time.sleep(0.02)
        return False

    server.reaction = slowly
    groups = []
    for number in range(40):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (56, 56), (number, 0, 0)).save(path)
        groups.append(group_of(path, *(f"q{number}-{i}" for i in range(4))))
    outputs = ask(loaded(server, concurrency=16), *groups)
    expected = [request.sample_id for group in groups for request in group.requests]
    assert [output.sample_id for output in outputs] == expected
    assert all(output.stop_reason == "stop" for output in outputs)
    assert sorted(server.questions()) == sorted(id_.removeprefix("id-") for id_ in expected)
    assert 4 < server.most_in_flight <= 16


# What comes of an answer


def test_an_answer_carries_counts_confidence_and_what_the_server_says(
    server: Server, page: Path
) -> None:
    model = loaded(server, visual_token_side=28)
    output, other = ask(model, group_of(page, "total?", "date?"))
    assert (output.text, output.stop_reason) == ("TOTAL?", "stop")
    assert (output.prompt_tokens, output.visual_tokens) == (20 + 77, 77)
    assert output.generated_tokens == len("TOTAL?") + 1
    assert output.confidence == pytest.approx(math.exp(-0.1))
    assert output.min_confidence == pytest.approx(math.exp(-0.1))
    assert output.served is not None
    assert output.served["system_fingerprint"] == "pretend-1"
    assert output.served["attempts"] == 1
    assert other.text == "DATE?"


def test_tokens_and_their_runners_up_are_kept_on_request(server: Server, page: Path) -> None:
    def with_runners_up(handler: Handler, body: dict[str, Any]) -> bool:
        assert body["top_logprobs"] == 2
        top = [{"token": "4", "logprob": -0.7}, {"token": "9", "logprob": -0.75}, {"token": 3}]
        content = [
            {"token": "4", "logprob": -0.7, "top_logprobs": top},
            {"token": "<end>", "logprob": 0.1, "top_logprobs": None},
        ]
        choice = {"message": {"content": "4"}, "finish_reason": "stop"}
        handler.send(200, {"choices": [choice | {"logprobs": {"content": content}}]})
        return True

    server.reaction = with_runners_up
    model = loaded(server, token_details=True)
    output, _ = ask(model, group_of(page, "total?", "date?"))
    assert output.tokens == (
        TokenChoice("4", -0.7, "9", -0.75),
        TokenChoice("<end>", 0.0),
    )


@pytest.mark.parametrize(
    "tokens", [None, "x", [], [{"token": 7, "logprob": -1}], [{"token": "a", "logprob": "b"}], [3]]
)
def test_tokens_that_a_server_does_not_tell_are_none(tokens: Any) -> None:
    body = {"choices": [{"logprobs": {"content": tokens}}]}
    assert token_choices(Reply(body, 1.0, None, 1, 0.0)) is None


def test_one_question_is_streamed_and_its_first_token_timed(server: Server, page: Path) -> None:
    model = loaded(server)
    batch = model.generate([group_of(page, "total?")])
    assert server.requests[0]["stream"] is True
    assert batch.outputs[0].text == "TOTAL?"
    assert batch.outputs[0].confidence == pytest.approx(math.exp(-0.1))
    assert batch.outputs[0].generated_tokens == len("TOTAL?") + 1
    assert batch.first_token_seconds is not None
    assert set(batch.stages) == {"first_token", "decode"}


def test_a_cold_page_gets_a_salt_of_its_own_and_a_warm_one_the_same(
    server: Server, page: Path
) -> None:
    model = loaded(server)
    ask(model, group_of(page, "a"))
    ask(model, group_of(page, "a"))
    model.reset()
    ask(model, group_of(page, "a"))
    first, second, third = (body["cache_salt"] for body in server.requests)
    assert first == second != third


def test_a_server_that_is_no_vllm_gets_no_field_that_it_may_not_know(
    server: Server, page: Path
) -> None:
    server.version = None
    ask(loaded(server, logprobs=False), group_of(page, "a", "b"))
    assert set(server.requests[0]) == {"model", "messages", "temperature", "max_tokens"}


@pytest.mark.parametrize("tells", [True, False])
def test_a_server_that_shrinks_pages_without_a_word_is_found_out(
    server: Server, page: Path, tells: bool
) -> None:
    server.max_pixels = 28 * 28 * 10
    server.tells_image_tokens = tells
    (output,) = ask(loaded(server, visual_token_side=28), group_of(page, "a"))
    assert output.served is not None
    assert "77" in output.served["doubt"]


def test_stop_strings_cut_the_answer(server: Server, page: Path) -> None:
    server.answers["q"] = "12.50\nand so on"
    group = group_of(page, "q")
    cut = PageGroup(group.document, group.requests, Generation(64, ("\n",)))
    assert ask(loaded(server), cut)[0].text == "12.50"


# Refusals and faults


def failing(times: int, status: int, headers: dict[str, str] | None = None) -> Any:
    """Refuse the first ``times`` requests."""
    left = [times]

    def react(handler: Handler, body: dict[str, Any]) -> bool:
        with handler.server.lock:
            left[0] -= 1
            refused = left[0] >= 0
        if refused:
            handler.send(status, {"error": {"message": "no"}}, headers)
        return refused

    return react


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts that a test can wait for."""
    monkeypatch.setattr("bench.models.openai.client.FIRST_PAUSE", 0.1)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
@pytest.mark.usefixtures("quick")
def test_what_may_pass_is_asked_again_and_kept_out_of_the_latency(
    server: Server, page: Path, status: int
) -> None:
    server.reaction = failing(1, status)
    model = loaded(server)
    started = time.perf_counter()
    batch = model.generate([group_of(page, "a")])
    wall = time.perf_counter() - started
    assert batch.outputs[0].text == "A"
    assert batch.outputs[0].served is not None
    assert batch.outputs[0].served["attempts"] == 2
    assert batch.retry_seconds > 0.04
    assert batch.outputs[0].served["seconds"] < wall - 0.04


def test_retry_after_is_obeyed_by_everybody(server: Server, page: Path) -> None:
    server.reaction = failing(1, 429, {"retry-after": "1"})
    started = time.perf_counter()
    outputs = ask(loaded(server), group_of(page, "a", "b", "c"))
    assert time.perf_counter() - started >= 1.0
    assert all(output.stop_reason == "stop" for output in outputs)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_is_not_repeated_and_says_what_the_server_said(
    server: Server, page: Path, status: int
) -> None:
    server.reaction = failing(9, status)
    (output,) = ask(loaded(server), group_of(page, "a"))
    assert output.stop_reason == "error"
    assert output.text == ""
    assert f"HTTP {status}: no" in (output.error or "")
    assert len(server.requests) == 1


def test_an_address_without_its_path_is_named(server: Server, page: Path) -> None:
    server.reaction = failing(9, 404)
    model = loaded(server, base_url=server.url.removesuffix("/v1"))
    (output,) = ask(model, group_of(page, "a"))
    assert "most addresses end in /v1, but http://127.0.0.1:" in (output.error or "")


def test_too_large_a_request_says_its_size_and_what_to_do(server: Server, page: Path) -> None:
    server.reaction = failing(9, 413)
    (output,) = ask(loaded(server), group_of(page, "a"))
    assert "the request has 2.0 KiB: lower" in (output.error or "")
    assert "--max-pixels" in (output.error or "")


@pytest.mark.usefixtures("quick")
def test_an_endpoint_that_never_recovers_is_a_failure_of_that_question_only(
    server: Server, page: Path
) -> None:
    def react(handler: Handler, body: dict[str, Any]) -> bool:
        if body["messages"][0]["content"][-1]["text"] != "b":
            return False
        handler.send(500, {"error": "boom"})
        return True

    server.reaction = react
    outputs = ask(loaded(server), group_of(page, "a", "b", "c"))
    assert [output.stop_reason for output in outputs] == ["stop", "error", "stop"]
    assert "3 attempts" in (outputs[1].error or "")


def breaking(handler: Handler) -> None:
    handler.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"choices"')
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.close()


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.end_headers()
    part = b" " * 2**20
    for _ in range(MAX_RESPONSE_BYTES // len(part) + 4):
        try:
            handler.wfile.write(part)
        except OSError:
            break
    handler.close_connection = True


def endless_stream(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.end_headers()
    event = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
    for _ in range(60):
        try:
            handler.wfile.write(event)
            handler.wfile.flush()
        except OSError:
            break
        time.sleep(0.05)
    handler.close_connection = True


def answering(content: str) -> Any:
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return lambda handler: handler.send(200, {"choices": [choice]})


def dripping(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.end_headers()
    for _ in range(40):
        try:
            handler.wfile.write(b" ")
            handler.wfile.flush()
        except OSError:
            break
        time.sleep(0.05)
    handler.close_connection = True


HOSTILE: dict[str, tuple[Any, str]] = {
    "HTML for JSON": (lambda h: h.raw(200, b"<html>hello</html>", "text/html"), "not valid JSON"),
    "a list": (lambda h: h.send(200, [1]), "not an object"),
    "no choices": (lambda h: h.send(200, {"choices": []}), "contains no choice"),
    "choices of another kind": (lambda h: h.send(200, {"choices": "x"}), "contains no choice"),
    "a finish that is no word": (
        lambda h: h.send(200, {"choices": [{"message": {"content": "x"}, "finish_reason": [1]}]}),
        "finish_reason '[1]'",
    ),
    "a wrong finish": (
        lambda h: h.send(
            200, {"choices": [{"message": {"content": "x"}, "finish_reason": "tool_calls"}]}
        ),
        "finish_reason 'tool_calls'",
    ),
    "content of another kind": (
        lambda h: h.send(200, {"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}),
        "contains no text",
    ),
    "latin-1": (lambda h: h.raw(200, b'{"choices": "\xe9"}', "application/json"), "not valid JSON"),
    "deep JSON": (lambda h: h.raw(200, b"[" * 100_000, "application/json"), "not valid JSON"),
    "nested JSON": (
        lambda h: h.raw(200, b'{"a":' * 200 + b"1" + b"}" * 200, "application/json"),
        "not valid JSON",
    ),
    "a long number": (
        lambda h: h.raw(200, b'{"usage": ' + b"9" * 5_000 + b"}", "application/json"),
        "not valid JSON",
    ),
    "a key twice": (
        lambda h: h.raw(200, b'{"choices": [], "choices": []}', "application/json"),
        "holds the key 'choices' twice",
    ),
    "half an answer": (breaking, "broke"),
    "an endless body": (endless, "larger than"),
    "a slow drip": (dripping, "within 1 s"),
    "an endless stream": (endless_stream, "within 1 s"),
    "an answer of 10 MB": (
        answering("x" * 10_000_000),
        "has 10,000,000 characters, too many for the",
    ),
    "a line that never ends": (
        lambda h: h.raw(200, b"data: " + b"x" * 2**21, "text/event-stream"),
        "not valid JSON",
    ),
    "a compressed answer": (
        lambda h: h.raw(
            200, gzip.compress(b"{}"), "application/json", {"content-encoding": "gzip"}
        ),
        "not valid JSON",
    ),
    "another choice than the first": (
        lambda h: h.send(
            200,
            {"choices": [{"index": 1, "message": {"content": "x"}, "finish_reason": "stop"}]},
        ),
        "contains no choice",
    ),
    "a length that is none": (
        lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}"),
        "broke",
    ),
    "no HTTP at all": (lambda h: h.wfile.write(b"hello\r\n\r\n"), "broke"),
    "a redirect": (
        lambda h: h.raw(302, b"", "text/plain", {"location": "http://127.0.0.1:1/"}),
        "redirects are not followed",
    ),
    "a stream that breaks off": (
        lambda h: h.raw(
            200, b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', "text/event-stream"
        ),
        "in the middle",
    ),
    "an error inside a stream": (
        lambda h: h.raw(200, b'data: {"error": {"message": "dead"}}\n\n', "text/event-stream"),
        "stopped with an error: dead",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_server_is_one_clear_failure(server: Server, page: Path, name: str) -> None:
    behave, expected = HOSTILE[name]

    def react(handler: Handler, body: dict[str, Any]) -> bool:
        behave(handler)
        return True

    server.reaction = react
    model = loaded(server, attempts=1, timeout=1.0)
    (output,) = ask(model, group_of(page, "a"))
    assert output.stop_reason == "error"
    assert expected in (output.error or "")
    assert "\n" not in (output.error or "")


def test_an_error_that_nobody_foresaw_costs_no_other_question_its_answer(
    server: Server, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(server)
    answered = model._ask.__globals__["output_of"]

    def output_of(reply: Any, group: Any, request: Request, *others: Any) -> Output:
        if request.question == "b":
            raise ZeroDivisionError("who thought of that")
        output: Output = answered(reply, group, request, *others)
        return output

    monkeypatch.setattr("bench.models.openai.output_of", output_of)
    outputs = ask(model, group_of(page, "a", "b", "c"))
    assert [output.stop_reason for output in outputs] == ["stop", "error", "stop"]
    assert outputs[1].error == "ZeroDivisionError: who thought of that"
    assert len(server.requests) == 3


def test_ctrl_c_waits_for_what_is_in_flight_and_asks_nothing_more(
    server: Server, page: Path
) -> None:
    def interrupting(handler: Handler, body: dict[str, Any]) -> bool:
        if len(server.requests) == 3:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.3)
        return False

    server.reaction = interrupting
    model = loaded(server, concurrency=1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            ask(model, group_of(page, *(f"q{number}" for number in range(50))))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(server.requests) <= 4


def test_huge_whole_numbers_for_probabilities_are_an_answer_all_the_same(
    server: Server, page: Path
) -> None:
    def react(handler: Handler, body: dict[str, Any]) -> bool:
        entries = [{"logprob": int("-1" + "0" * 400)}, {"logprob": int("1" + "0" * 400)}]
        choice = {"message": {"content": "x"}, "finish_reason": "stop"}
        handler.send(200, {"choices": [{**choice, "logprobs": {"content": entries}}]})
        return True

    server.reaction = react
    (output,) = ask(loaded(server), group_of(page, "a"))
    assert (output.text, output.min_confidence, output.confidence) == ("x", 0.0, 0.5)


def test_streamed_questions_share_one_connection(server: Server, page: Path) -> None:
    ports = set()

    def react(handler: Handler, body: dict[str, Any]) -> bool:
        ports.add(handler.client_address[1])
        # In pieces, as servers send it: the client must read to the end by itself.
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        choice = '{"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}'
        for piece in (f"data: {choice}\n\n", "data: [DONE]\n\n", ""):
            handler.wfile.write(f"{len(piece):x}\r\n{piece}\r\n".encode())
            handler.wfile.flush()
            time.sleep(0.02)
        return True

    server.reaction = react
    model = loaded(server)
    for question in "abc":
        (output,) = ask(model, group_of(page, question))
        assert output.text == "x"
    assert len(ports) == 1


def test_counts_that_are_no_counts_are_left_out(server: Server, page: Path) -> None:
    def react(handler: Handler, body: dict[str, Any]) -> bool:
        text = (
            '{"choices": [{"message": {"content": "x"}, "finish_reason": "stop",'
            ' "logprobs": {"content": [{"logprob": NaN}]}}],'
            ' "usage": {"prompt_tokens": NaN, "completion_tokens": -3, "prompt_tokens_details": 7}}'
        )
        handler.raw(200, text.encode(), "application/json")
        return True

    server.reaction = react
    (output,) = ask(loaded(server), group_of(page, "a"))
    assert (output.text, output.stop_reason) == ("x", "stop")
    assert (output.prompt_tokens, output.generated_tokens, output.confidence) == (None, None, None)


def test_a_second_answer_in_a_stream_is_not_mixed_with_the_first(
    server: Server, page: Path
) -> None:
    def react(handler: Handler, body: dict[str, Any]) -> bool:
        events = [
            {"choices": [{"index": 0, "delta": {"content": "first"}}]},
            {"choices": [{"index": 1, "delta": {"content": "second"}, "finish_reason": "stop"}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": "other"},
        ]
        data = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        handler.raw(200, data.encode() + b"data: [DONE]\n\n", "text/event-stream")
        return True

    server.reaction = react
    (output,) = ask(loaded(server), group_of(page, "a"))
    assert output.text == "first"
    # A proxy may have fallen back to another model.
    assert (output.served or {})["model"] == "other"


# The key


def test_the_key_travels_in_its_header_and_appears_in_no_message(
    server: Server, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)

    def react(handler: Handler, body: dict[str, Any]) -> bool:
        handler.send(400, {"error": {"message": f"bad key {handler.headers['authorization']}"}})
        return True

    server.reaction = react
    model = loaded(server, api_key_env="MY_KEY")
    (output,) = ask(model, group_of(page, "a"))
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in (output.error or "")
    assert "bad key Bearer ***" in (output.error or "")


def echoing_in_a_stream(handler: Handler, body: dict[str, Any]) -> bool:
    event = f'data: {{"error": {{"message": "bad key {KEY}"}}}}\n\n'
    handler.raw(200, event.encode(), "text/event-stream")
    return True


def test_a_key_that_comes_back_inside_a_stream_is_not_shown(
    server: Server, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.reaction = echoing_in_a_stream
    (output,) = ask(loaded(server, api_key_env="MY_KEY"), group_of(page, "a"))
    assert "stopped with an error: bad key ***" in (output.error or "")


def test_a_key_that_is_not_set_is_named_by_its_variable(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(EnvironmentProblem, match="MY_KEY"):
        loaded(server, api_key_env="MY_KEY")


# Settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "ftp://host/v1"}, "not an http or https address"),
        ({"base_url": "http://user:secret@host/v1"}, "must not hold a user name"),
        ({"base_url": "http://host/v1?key=1"}, "must end before"),
        ({"base_url": "http://[::1"}, "not a valid address"),
        ({}, "base_url"),
        ({"base_url": "http://host/v1", "concurency": 3}, "concurency"),
        ({"base_url": "http://host/v1", "concurrency": 0}, "concurrency"),
        ({"base_url": "http://host/v1", "timeout": "nan"}, "timeout"),
        (
            {"base_url": "http://host/v1", "api_key_env": "sk-123"},
            "name of an environment variable",
        ),
        (
            {"base_url": "http://host/v1", "api_key_env": "hf_aB1secret"},
            "name of an environment variable",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_one_clear_line(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_model(ModelSpec("served", backend="openai", checkpoint="reader", options=options))
    assert message in caught.value.message
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_model_that_is_not_served_there_gets_a_did_you_mean(server: Server) -> None:
    server.models = ["Reader-7B", "other"]
    spec = ModelSpec("served", "openai", "reader-7b", options={"base_url": server.url})
    with pytest.raises(InvalidInput) as caught:
        opened(spec).load()
    assert "did you mean Reader-7B" in (caught.value.hint or "")


def test_nothing_listens_there() -> None:
    spec = ModelSpec("served", "openai", "reader", options={"base_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        opened(spec).load()


# Concurrency


def test_more_are_asked_at_once_while_answers_stay_quick() -> None:
    limit = AdaptiveLimit(32)
    for _ in range(400):
        limit.succeeded(0.1)
    assert limit.limit > 20


def test_waiting_in_the_servers_queue_stops_the_rise() -> None:
    limit = AdaptiveLimit(32)
    for _ in range(20):
        limit.succeeded(0.1)
    before = limit.limit
    for _ in range(400):
        limit.succeeded(1.0)
    assert limit.limit <= before + 1


def test_refusals_of_the_same_moment_halve_the_number_once() -> None:
    limit = AdaptiveLimit(32)
    for _ in range(1000):
        limit.succeeded(0.1)
    full = limit.limit
    for _ in range(10):
        limit.refused(0.0)
    assert limit.limit == full // 2


def test_a_pause_that_ends_while_it_is_looked_at_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = AdaptiveLimit(4)
    limit.refused(10.0)
    # The pause has 5 s left at the first reading of the clock, and is over at the second.
    moments = iter([limit._resume_at - 5.0])
    monkeypatch.setattr(
        "bench.models.openai.concurrency.time.monotonic",
        lambda: next(moments, limit._resume_at + 1.0),
    )
    waits: list[float | None] = []
    monkeypatch.setattr(limit._changed, "wait", lambda timeout: waits.append(timeout))
    with limit.place():
        pass
    assert waits == [5.0]


def test_a_closed_queue_wakes_those_who_wait_and_hands_out_nothing_more(page: Path) -> None:
    group = group_of(page, "a", "b")
    first, second = (Job(0, group, request, None) for request in group.requests)  # type: ignore[arg-type]
    queue = JobQueue([first._replace(followers=(second,))])
    taken = queue.take()
    assert taken is not None
    waiting: list[Job | None] = []
    thread = threading.Thread(target=lambda: waiting.append(queue.take()))
    thread.start()
    queue.close()
    queue.done(taken)
    thread.join(timeout=5)
    assert waiting == [None]


# A whole run


def run_of(server: Server, task: Path, results: Path, **options: Any) -> RunStore:
    settings = RunSettings(batch_size=6, latency_samples=2)
    plan = plan_run([spec_of(server, **options)], [load_task(task)], settings)
    outcome = execute(plan, results)
    assert outcome.failed_models == ()
    return outcome.run


def test_a_run_records_nothing_of_this_machine_for_a_model_that_a_server_answers_for(
    server: Server, make_task: MakeTask, tmp_path: Path
) -> None:
    run = run_of(server, make_task(documents=5), tmp_path / "r")
    assert run.state() == "complete"
    outputs = run.outputs("served", "mine")
    assert len(outputs) == 20
    assert all(output.stop_reason == "stop" and output.served for output in outputs.values())
    model = run.model_record("served")
    assert model is not None
    assert model["device"] == "server"
    assert model["details"]["traits"]["memory"] is None
    assert {"memory_after_load", "threads"}.isdisjoint(model)
    batches = run.batches("served", "mine")
    assert batches
    assert all({"memory", "energy"}.isdisjoint(batch) for batch in batches)
    for latency in run.latencies("served", "mine"):
        assert latency["seconds"] >= latency["first_token_seconds"] > 0
        assert "memory" not in latency
    assert not list(run.path.rglob("monitor*.jsonl"))


def test_the_key_is_nowhere_in_the_run_directory_whatever_the_server_says(
    server: Server, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.models = ["reader", f"other-{KEY}"]
    server.version = f"1.0 {KEY}"
    # In turn, whatever the order in which the questions come: each document asks for one of them.
    choices = [
        {"message": {"content": f"yes {KEY}"}, "finish_reason": "stop"},
        {"message": {"content": [{"text": f"yes {KEY}"}]}, "finish_reason": "stop"},
        # A reason that is cut where it is shown.
        {"message": {"content": f"yes {KEY}"}, "finish_reason": "x" * 30 + KEY},
    ]

    def echoing(handler: Handler, body: dict[str, Any]) -> bool:
        question = body["messages"][-1]["content"][-1]["text"]
        if "field 0" in question:
            # So long that the key would be cut in two where an error is cut.
            handler.send(400, {"error": {"message": "x" * 290 + KEY}})
        elif "field 1" in question:
            handler.raw(200, KEY.encode(), "text/html", {"x-key": KEY})
        elif "field 2" in question:
            return echoing_in_a_stream(handler, body)
        else:
            choice = choices.pop()
            handler.send(200, {"system_fingerprint": KEY, "model": KEY, "choices": [choice]})
        return True

    server.reaction = echoing
    run = run_of(server, make_task(), tmp_path / "r", api_key_env="MY_KEY", attempts=1)
    outputs = run.outputs("served", "mine").values()
    assert not choices
    assert {output.stop_reason for output in outputs} == {"stop", "error"}
    for path in run.path.rglob("*"):
        if path.is_file():
            # Half of it is a secret as well.
            assert KEY[:8].encode() not in path.read_bytes(), path


def test_text_that_no_file_can_hold_is_stored_all_the_same(
    server: Server, make_task: MakeTask, tmp_path: Path
) -> None:
    server.reaction = lambda handler, body: bool(answering("a\ud800b\x00\x1b[31m")(handler)) or True
    run = run_of(server, make_task(documents=1), tmp_path / "r")
    outputs = run.outputs("served", "mine").values()
    assert all(output.stop_reason == "stop" and output.text.startswith("a") for output in outputs)
    assert len(outputs) == 4


def processes_of(results: Path) -> list[int]:
    """The models' processes of the runs in ``results``."""
    numbers = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"bench.runner.worker" in words and str(results).encode() in words:
            numbers.append(int(path.parent.name))
    return numbers


def check_whole(run: RunStore) -> None:
    """Every question has exactly one answer, and the last batch of each is on record."""
    lines = [
        row["sample_id"] for row in read_lines(run.model_folder("served") / "mine/outputs.jsonl")
    ]
    assert sorted(lines) == [f"d{d}/q{q}" for d in range(5) for q in range(4)]
    outputs = run.outputs("served", "mine").values()
    assert all(output.stop_reason == "stop" for output in outputs)
    assert run.state() == "complete"


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_worker_that_is_killed_between_answers_goes_on_and_doubles_nothing(
    server: Server, make_task: MakeTask, tmp_path: Path
) -> None:
    results = tmp_path / "r"
    killed: list[int] = []

    def killing(handler: Handler, body: dict[str, Any]) -> bool:
        # The warm-up and the first batch are answered; the second batch is half answered.
        if len(server.requests) == 9 and not killed:
            killed.extend(processes_of(results))
            for number in killed:
                os.kill(number, signal.SIGKILL)
        return False

    server.reaction = killing
    run = run_of(server, make_task(documents=5), results)
    assert len(killed) == 1
    check_whole(run)


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_run_that_is_killed_as_a_whole_is_resumed_and_doubles_nothing(
    server: Server, make_task: MakeTask, tmp_path: Path
) -> None:
    results, task = tmp_path / "r", make_task(documents=5)
    reached, go_on = threading.Event(), threading.Event()

    def holding(handler: Handler, body: dict[str, Any]) -> bool:
        if len(server.requests) >= 9 and not go_on.is_set():
            reached.set()
            go_on.wait(30)
        return False

    server.reaction = holding
    runner = (
        "import sys; from tests.test_openai import run_again; run_again(*map(str, sys.argv[1:]))"
    )
    command = [sys.executable, "-c", runner, server.url, str(task), str(results)]
    root = str(Path(__file__).resolve().parent.parent)
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root}) as process:
        assert reached.wait(60)
        for number in [process.pid, *processes_of(results)]:
            os.kill(number, signal.SIGKILL)
    go_on.set()
    run = run_of(server, task, results)
    assert len(list(results.iterdir())) == 1
    check_whole(run)


def run_again(url: str, task: str, results: str) -> None:
    """What the process that is killed does."""
    spec = ModelSpec("served", "openai", "reader", options={"base_url": url, "attempts": 3})
    settings = RunSettings(batch_size=6, latency_samples=2)
    execute(plan_run([spec], [load_task(Path(task))], settings), Path(results))

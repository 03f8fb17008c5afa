"""Who asks the service: clients of the OpenAI API, the harness itself, ``bench ask`` and ``bench.client``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

import httpx2

from bench.client import AsyncServiceClient, JobState, ServiceClient
from bench.errors import EnvironmentProblem, InvalidInput
from bench.models import reading_along
from bench.models.catalog import resolve
from bench.models.model import failed
from bench.models.openai import Endpoint
from bench.models.qwen_vl import QwenVL
from bench.models.reading_along import settled
from bench.schema import Generation, ModelSpec, Output, PageGroup, Request
from bench.service import entrance, serve
from bench.service.jobs import ServiceJob
from bench.tasks import load_task
from tests.service_fixture import (
    PAGE,
    PAGE_URL,
    Listening,
    Script,
    listening,
    pdf,
    png,
    shouted,
)

ROOT = Path(__file__).resolve().parent.parent


def answer(job: ServiceJob) -> Output:
    if "broken" in job.question.prompt:
        return failed(job.id, RuntimeError("CUDA error at /usr/lib/cuda.so"))
    if "long" in job.question.prompt:
        return failed(job.id, InvalidInput("the prompt is longer than the context"))
    return shouted(job)


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("service") / "s", Script(answer)) as it:
        yield it


def chat(*content: Any, **fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": list(content) or [image(), text("what?")]}
    return {"model": "fake", "messages": [message], **fields}


def image(url: str = PAGE_URL) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def complete(it: Listening, body: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(f"{it.url}/v1/chat/completions", json=body, timeout=20)


def test_a_chat_completion_has_the_shape_of_the_openai_api(it: Listening) -> None:
    reply = complete(it, chat(logprobs=True, top_logprobs=2, temperature=0.7, seed=1, user="u"))
    assert reply.status_code == 200
    told = reply.json()
    [choice] = told["choices"]
    assert told["object"] == "chat.completion"
    assert choice["message"] == {"role": "assistant", "content": "WHAT?"}
    assert choice["finish_reason"] == "stop"
    first = choice["logprobs"]["content"][0]
    assert (first["token"], first["logprob"], first["bytes"]) == ("W", -0.5, [87])
    assert [row["token"] for row in first["top_logprobs"]] == ["W", "~"]
    assert told["usage"]["total_tokens"] == 26
    assert told["usage"]["prompt_tokens_details"]["multimodal_tokens"] == {"image": 12}
    assert complete(it, chat()).json()["choices"][0]["logprobs"] is None


def test_a_stream_gives_the_same_answer(it: Listening) -> None:
    body = chat(stream=True, stream_options={"include_usage": True}, logprobs=True)
    reply = complete(it, body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "WHAT?"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 6


def streamed_while_held(it: Listening) -> list[dict[str, Any]]:
    """The chunks of an answer that the model goes on with when its beginning has arrived."""
    chunks: list[dict[str, Any]] = []
    it.hold()
    try:
        address = f"{it.url}/v1/chat/completions"
        with httpx2.stream("POST", address, json=chat(stream=True), timeout=20) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    chunks.append(json.loads(line.removeprefix("data: ")))
                if len(chunks) == 2:
                    it.go_on()
    finally:
        it.go_on()
    return chunks


def test_a_stream_gives_the_answer_while_it_is_written(it: Listening) -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed_while_held(it)]
    assert [delta.get("content", "") for delta in deltas] == ["", "WH", "AT?", ""]


def test_an_answer_that_changes_after_its_beginning_was_told_is_an_error(tmp_path: Path) -> None:
    answers = iter(["first try", "second"])
    script = Script(lambda job: replace(shouted(job), text=next(answers)))
    with listening(tmp_path / "s", script) as it:
        _, beginning, error = streamed_while_held(it)
    assert beginning["choices"][0]["delta"]["content"] == "fi"
    assert error["error"]["code"] == "answer_changed"


@pytest.mark.parametrize(
    ("text", "stops", "told"),
    [
        ("half a letter: \ufffd", (), "half a letter: "),
        ("a line\n", ("\n\n",), "a line"),
        ("a line\n\nmore", ("\n\n",), "a line"),
        ("<", ("<end>", "<"), ""),
        ("a <en", ("<end>", "n>"), "a "),
        ("whole", ("x",), "whole"),
    ],
)
def test_what_may_still_change_is_not_told(text: str, stops: tuple[str, ...], told: str) -> None:
    assert settled(text, stops) == told


def test_what_is_followed_reaches_the_model(it: Listening) -> None:
    parts = [text("first"), image(), text("second"), image()]
    body = chat(*parts, max_completion_tokens=9, stop=["\n", ""])
    body["messages"].insert(0, {"role": "system", "content": "be short"})
    assert complete(it, body).json()["choices"][0]["message"]["content"] == "FIRST\nSECOND"
    question = it.script.calls[-1][0].question
    assert (question.max_new_tokens, question.stop, question.system) == (9, ("\n",), "be short")
    assert len(question.pages) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (chat(image(), text("x"), n=2), "n"),
        (chat(image(), text("x"), frequency_penalty=0.5), "frequency_penalty"),
        (chat(image(), text("x"), tools=[{"type": "function"}]), "tools"),
        (chat(image(), text("x"), response_format={"type": "json_object"}), "response_format"),
        (chat(image(), text("x"), max_tokens=10**6), "max_tokens"),
        (chat(image(), text("x"), max_completion_tokens=10**6), "max_completion_tokens"),
        (chat({"type": "image_url", "image_url": "x"}), "messages.0.content.0.image_url"),
        (chat({"type": "image_url"}), "messages.0.content.0.image_url"),
        (chat({"type": "text", "text": 5}), "messages.0.content.0.text"),
    ],
)
def test_a_refusal_names_the_field_as_it_was_sent(
    it: Listening, body: dict[str, Any], field: str
) -> None:
    reply = complete(it, body)
    assert reply.status_code == 422
    assert reply.json()["error"]["param"] == field


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (chat(model="other"), 404),
        (chat(text("no image")), 400),
        (chat(image()), 400),
        (chat(n=2), 422),
        (chat(tools=[{"type": "function"}]), 422),
        (chat(response_format={"type": "json_object"}), 422),
        (chat(logit_bias={"1": 1}), 422),
        (chat(presence_penalty=1), 422),
        (chat(max_tokens=0), 422),
        (chat(max_tokens=10**6), 422),
        (chat(temperature=-1), 422),
        (chat({"type": "input_audio", "input_audio": {}}), 422),
        (chat(image("file:///etc/passwd"), text("x")), 403),
        ({"model": "fake", "messages": []}, 422),
        ({"messages": []}, 422),
        (chat(text("too long"), image()), 422),
        (chat(text("broken"), image()), 500),
    ],
)
def test_what_is_not_followed_is_refused(it: Listening, body: dict[str, Any], status: int) -> None:
    reply = complete(it, body)
    assert reply.status_code == status
    assert reply.json()["error"]["message"]
    assert "/usr" not in reply.text


def test_a_conversation_is_refused(it: Listening) -> None:
    body = chat()
    body["messages"] += [{"role": "assistant", "content": "a"}, *body["messages"]]
    assert complete(it, body).status_code == 400


def test_a_stream_tells_a_failure(it: Listening) -> None:
    reply = complete(it, chat(text("broken"), image(), stream=True))
    assert '"code": "no_answer"' in reply.text
    assert reply.text.endswith("data: [DONE]\n\n")


def test_a_chat_whose_client_leaves_is_not_asked(it: Listening) -> None:
    it.hold()
    try:
        for stream in (False, True):
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.post(
                    f"{it.url}/v1/chat/completions",
                    json=chat(text("gone"), image(), stream=stream),
                    timeout=0.3,
                ).raise_for_status()
        until = time.monotonic() + 10
        while it.service.dispatcher.waiting and time.monotonic() < until:
            time.sleep(0.02)
        assert it.service.dispatcher.waiting == 0
    finally:
        it.go_on()


def test_the_models_are_listed(it: Listening) -> None:
    [row] = httpx2.get(f"{it.url}/v1/models").json()["data"]
    assert (row["id"], row["max_model_len"]) == ("fake", 512)


def test_the_harness_asks_it_as_any_endpoint_with_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = QwenVL(replace(resolve("qwen2-vl-nano"), options={"token_details": True}))
    model.load()
    groups = _some_slips()
    direct = {output.sample_id: output for output in model.generate(groups).outputs}
    monkeypatch.setattr(reading_along, "PAUSE_SECONDS", 0.0)
    read = _read_along(model, groups)
    assert all(texts[-1] == direct[name].text for name, texts in read.items())
    assert max(map(len, read.values())) > 2

    def asked(job: ServiceJob) -> Output:
        question = job.question
        document = replace(groups[0].document, pages=question.pages)
        request = Request(job.id, question.prompt, question.prompt)
        generation = Generation(question.max_new_tokens, question.stop)
        [output] = model.generate([PageGroup(document, (request,), generation)]).outputs
        return output

    with listening(tmp_path / "s", Script(asked)) as it:
        options = {"base_url": f"{it.url}/v1"}
        spec = ModelSpec("served", "openai", "fake", options=options)
        endpoint = Endpoint(spec)
        info = endpoint.load()
        served = {output.sample_id: output for output in endpoint.generate(groups).outputs}
        assert all(
            direct[name].text in texts for name, texts in _read_along(endpoint, groups).items()
        )
        endpoint.close()
    assert info.details["served_models"] == ["fake"]
    assert served.keys() == direct.keys()
    for name, output in direct.items():
        assert served[name].text == output.text
        assert served[name].prompt_tokens == output.prompt_tokens
        assert served[name].visual_tokens == output.visual_tokens
        assert served[name].confidence == pytest.approx(output.confidence, abs=1e-5)


def _read_along(model: QwenVL | Endpoint, groups: list[PageGroup]) -> dict[str, list[str]]:
    """What readers are told of each answer; every text goes on where the one before ended."""
    told: dict[str, list[str]] = {r.sample_id: [""] for group in groups for r in group.requests}
    model.let_read_along({name: texts.append for name, texts in told.items()})
    answers = model.generate(groups).outputs
    model.let_read_along({})
    for answer in answers:
        texts = told[answer.sample_id]
        assert all(later.startswith(sooner) for sooner, later in pairwise([*texts, answer.text]))
    return told


def _some_slips() -> list[PageGroup]:
    """Two questions about each of two slips."""
    from bench.runner.batches import page_groups

    groups = page_groups(load_task(ROOT / "tasks" / "slips"))[:2]
    return [replace(group, requests=group.requests[:2]) for group in groups]


def test_a_python_client_asks_and_is_told_every_state(it: Listening, tmp_path: Path) -> None:
    scan = tmp_path / "scan.png"
    scan.write_bytes(PAGE)
    states: list[JobState] = []
    with ServiceClient(it.url) as client:
        state = client.ask([scan, pdf(2)], "total?", max_new_tokens=8, watch=states.append)
        assert (state.status, state.text, state.data["pages"]) == ("COMPLETED", "TOTAL?", 3)
        assert states[0].status == "IN_QUEUE"
        assert states[0].position == 1
        assert states[-1] == state
        submitted = client.submit([png()], "later")
        assert client.state(submitted.id, wait=5).text == "LATER"
        client.forget(submitted.id)
        with pytest.raises(InvalidInput, match="no such job"):
            client.state(submitted.id)
        readme = tmp_path / "README.md"
        readme.write_text("# no image", "utf-8")
        with pytest.raises(InvalidInput, match=r"/README\.md is not an image"):
            client.ask([scan, readme], "?")
        with pytest.raises(InvalidInput, match=r"https://pages\.example/y\.png: this service"):
            client.ask([scan, "https://pages.example/y.png"], "?")
        with pytest.raises(InvalidInput, match="image 2 is not an image"):
            client.ask([scan, b"no image"], "?")
        with pytest.raises(InvalidInput, match="fetches no pages"):
            client.ask(["https://pages.example/x.png", scan], "?")
        with pytest.raises(InvalidInput, match="there is no page"):
            client.ask([])
        with pytest.raises(InvalidInput, match="does not exist"):
            client.ask([tmp_path / "missing.png"])


def test_an_asynchronous_client_does_the_same(it: Listening) -> None:
    async def story() -> list[str]:
        async with AsyncServiceClient(it.url) as client:
            states = await asyncio.gather(*(client.ask([PAGE], f"q{n}") for n in range(20)))
            label = await client.classify([PAGE], ["what", "which"])
            submitted = await client.submit([PAGE])
            await client.forget(submitted.id)
        assert "label" not in label.data
        return [state.text for state in states]

    assert asyncio.run(story()) == [f"Q{n}" for n in range(20)]


def scripted(*replies: httpx2.Response | Exception) -> tuple[httpx2.MockTransport, list[str]]:
    left, methods = list(replies), []

    def handle(request: httpx2.Request) -> httpx2.Response:
        methods.append(request.method)
        reply = left.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    return httpx2.MockTransport(handle), methods


DONE = {"id": "1", "status": "COMPLETED", "output": {"message": "", "data": {"text": "yes"}}}


def test_a_client_comes_back_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    transport, methods = scripted(
        httpx2.Response(429, headers={"retry-after": "7"}),
        httpx2.Response(503, headers={"retry-after": "3"}),
        httpx2.ConnectError("refused"),
        httpx2.Response(202, json={"id": "1", "status": "IN_QUEUE", "position": 2}),
        httpx2.ReadError("broken"),
        httpx2.Response(200, json=DONE),
    )
    with ServiceClient("http://here", transport=transport) as client:
        assert client.ask([PAGE]).text == "yes"
    assert pauses == [7.0, 3.0, 2.0, 0.5]
    assert methods == ["POST"] * 4 + ["GET"] * 2


def test_a_question_that_may_have_arrived_is_sent_again_with_the_same_key(
    it: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    keys: list[str] = []

    class Losing(httpx2.HTTPTransport):
        """Loses the first reply."""

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            reply = super().handle_request(request)
            if request.method == "POST":
                keys.append(request.headers["idempotency-key"])
            if len(keys) == 1 and request.method == "POST":
                reply.close()
                raise httpx2.ReadError("broken")
            return reply

    before = sum(map(len, it.script.calls))
    with ServiceClient(it.url, transport=Losing()) as client:
        assert client.ask([PAGE], "once?").text == "ONCE?"
        assert client.ask([PAGE], "twice?").text == "TWICE?"
    assert sum(map(len, it.script.calls)) == before + 2
    assert keys[0] == keys[1] != keys[2]


def test_a_client_says_once_that_it_asks_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    busy = httpx2.Response(503, headers={"retry-after": "0"})
    transport, methods = scripted(busy, busy, httpx2.Response(422))
    with (
        ServiceClient("http://here", transport=transport) as client,
        pytest.raises(InvalidInput),
    ):
        client.ask([PAGE])
    assert methods == ["POST"] * 3
    said = "note: the service answered HTTP 503; it is asked again for up to 5 min 00 s"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_a_client_loses_patience() -> None:
    transport, methods = scripted(httpx2.Response(429, headers={"retry-after": "30"}))
    with (
        ServiceClient("http://here", transport=transport, patience=5) as client,
        pytest.raises(EnvironmentProblem, match="HTTP 429"),
    ):
        client.ask([PAGE])
    assert methods == ["POST"]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": 1}', b"[" * 100_000, b"\xff"])
def test_what_is_no_such_service_is_said_so(body: bytes) -> None:
    transport, _ = scripted(httpx2.Response(200, content=body))
    with (
        ServiceClient("http://here", transport=transport) as client,
        pytest.raises(EnvironmentProblem, match="not a service"),
    ):
        client.ask([PAGE])


@pytest.mark.parametrize(
    "url", ["here", "ftp://here", "http://u:p@here", "http://here:x", "http://[", ""]
)
def test_an_address_is_checked(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not the address"):
        ServiceClient(url)


def test_a_key_that_fits_into_no_header_is_refused() -> None:
    for key in ("ключ", "a\nb"):
        with pytest.raises(InvalidInput, match="the key contains"):
            ServiceClient("http://here", key=key)


def test_bench_ask_prints_the_answer(it: Listening, tmp_path: Path, bench: Any) -> None:
    (tmp_path / "scan.png").write_bytes(PAGE)
    assert bench("ask", it.url, "scan.png", "-q", "total?").out == "TOTAL?\n"
    told = json.loads(bench("ask", it.url, "scan.png", "-q", "total?", "--json").out)
    assert told["data"]["text"] == "TOTAL?"
    # An address with the path that clients of the OpenAI API are given is right, too.
    assert bench("ask", f"{it.url}/v1", "scan.png", "-q", "total?").out == "TOTAL?\n"
    result = bench("ask", it.url, "scan.png", "--labels", "invoice,letter")
    assert result.status == 4
    assert "none of the labels" in result.err
    result = bench("ask", it.url, "scan.png", "-q", "broken")
    assert (result.status, "/usr" in result.err) == (4, False)
    nobody = "http://127.0.0.1:9"
    result = bench("ask", nobody, "scan.png", "--patience", "0")
    assert result.status == 3
    assert "did not answer" in result.err


def test_a_refusal_arrives_although_the_body_was_not_read(it: Listening) -> None:
    port = int(it.url.rpartition(":")[2])
    head = b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 300000\r\n\r\n"
    for host, status in ((b"localhost", b" 404 "), (b"evil.example", b" 421 ")):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(head.replace(b"localhost", host) + b"x" * 300_000)
            reply = b""
            while piece := client.recv(5000):
                reply += piece
        assert status in reply
        assert reply.endswith(b"}}")


def test_a_client_that_says_nothing_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "LINGERING_SECONDS", 0.1)
    with listening(tmp_path / "s", header_seconds=0.3, upload_seconds=0.3) as it:
        port = int(it.url.rpartition(":")[2])
        for beginning in (b"", b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: "):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
                slow.sendall(beginning)
                assert slow.recv(1000) == b""
        head = b"POST /api/v1/run HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(head + b"content-length: 100\r\n\r\n{")
            assert b" 408 " in slow.recv(1000)
            while slow.recv(1000):
                pass
        with socket.create_connection(("127.0.0.1", port), timeout=10) as kept:
            kept.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            reply = b""
            while not reply.endswith(b'{"status":"ok"}'):
                reply += kept.recv(5000)
            kept.sendall(b"GET /livez HTTP/1.1\r\nx: ")
            assert kept.recv(1000) == b""


def test_headers_without_end_are_cut_off(it: Listening) -> None:
    port = int(it.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n")
        reply = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                client.sendall(b"x-more: " + b"x" * 10_000 + b"\r\n")
            client.sendall(b"\r\n")
            reply = client.recv(1000)
        assert reply == b""


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_does_not_read_its_reply_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(serve.BoundedConnection, "reply_seconds", 0.3)
    with listening(
        tmp_path / "s", Script(lambda job: replace(shouted(job), text="x" * 8_000_000))
    ) as it:
        port = int(it.url.rpartition(":")[2])
        body = json.dumps(chat(stream=stream)).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(head.encode() + body)
            assert client.recv(10).startswith(b"HTTP/1.1 2")
            until = time.monotonic() + 10
            while it.server.server_state.connections and time.monotonic() < until:
                time.sleep(0.05)
            assert not it.server.server_state.connections

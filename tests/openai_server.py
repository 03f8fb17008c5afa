"""A small OpenAI-compatible server for tests: it answers as vLLM 0.32 does, and misbehaves on request."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Reaction = Callable[["Handler", dict[str, Any]], bool]
"""Called with every request; True where it has answered (or broken) it itself."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        if self.path.endswith("/models"):
            self.send(
                200, {"data": [{"id": name, "max_model_len": 2048} for name in self.server.models]}
            )
        elif self.path == "/version" and self.server.version is not None:
            self.send(200, {"version": self.server.version})
        else:
            self.send(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.requests.append(body)
            self.server.headers.append(dict(self.headers))
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
        try:
            if self.server.reaction is None or not self.server.reaction(self, body):
                self.answer(body)
        finally:
            with self.server.lock:
                self.server.in_flight -= 1

    def answer(self, body: dict[str, Any]) -> None:
        """The regular answer: the question in capital letters."""
        content = body["messages"][-1]["content"]
        question = content[-1]["text"]
        text = self.server.answers.get(question, question.upper())
        tokens = image_tokens(body, self.server.max_pixels)
        usage = {
            "prompt_tokens": 20 + tokens,
            "completion_tokens": len(text) + 1,
            "prompt_tokens_details": {"cached_tokens": 0, "multimodal_tokens": {"image": tokens}},
        }
        if not self.server.tells_image_tokens:
            del usage["prompt_tokens_details"]
        logprobs = {"content": [{"token": t, "logprob": -0.1} for t in [*text, "<|im_end|>"]]}
        if body.get("stream"):
            self.stream(text, logprobs, usage)
            return
        choice = {
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
            "logprobs": logprobs if body.get("logprobs") else None,
        }
        self.send(
            200,
            {"id": "1", "system_fingerprint": "pretend-1", "choices": [choice], "usage": usage},
        )

    def stream(self, text: str, logprobs: dict[str, Any], usage: dict[str, Any]) -> None:
        events: list[Any] = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}]
        events += [
            {"choices": [{"delta": {"content": letter}, "logprobs": {"content": [entry]}}]}
            for letter, entry in zip(text, logprobs["content"], strict=False)
        ]
        last = {
            "delta": {},
            "finish_reason": "stop",
            "logprobs": {"content": logprobs["content"][-1:]},
        }
        events += [{"choices": [last]}, {"choices": [], "usage": usage}]
        data = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self.raw(200, data.encode(), "text/event-stream")

    def send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.raw(status, json.dumps(value).encode(), "application/json", headers)

    def raw(
        self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0, handler: type[Handler] = Handler) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.models = ["reader"]
        self.version: str | None = "0.32.0"
        self.answers: dict[str, str] = {}
        self.max_pixels: int | None = None
        """Pixels to which this server shrinks pages without a word."""
        self.tells_image_tokens = True
        self.reaction: Reaction | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def questions(self) -> list[str]:
        """In the order in which they arrived."""
        return [body["messages"][-1]["content"][-1]["text"] for body in self.requests]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no error here."""


def image_tokens(body: dict[str, Any], max_pixels: int | None) -> int:
    """28 x 28 pixels are one token."""
    total = 0
    for part in body["messages"][-1]["content"]:
        if part["type"] == "image_url":
            data = part["image_url"]["url"].partition("base64,")[2]
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                pixels = image.width * image.height
            total += (pixels if max_pixels is None else min(pixels, max_pixels)) // 784
    return total


@contextmanager
def running(port: int = 0) -> Iterator[Server]:
    """A server that answers until the block ends."""
    server = Server(port)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()

"""A server that fails in every way that may pass, on schedule: which attempt of which question fails how."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from typing import Any

from tests.openai_server import Handler


def question_of(body: dict[str, Any]) -> str:
    """The text of the question in a request."""
    return str(body["messages"][-1]["content"][-1]["text"])


class Faults:
    """A reaction of the server: some attempts fail, and the next one of the same question may succeed."""

    def __init__(
        self,
        share: float,
        *,
        seed: int = 0,
        most: int = 2,
        stall: float = 1.5,
        retry_after: int = 0,
        wrong: frozenset[str] = frozenset(),
    ) -> None:
        """Prepare.

        Args:
            share: of the questions that fail at first.
            seed: another one chooses other questions and faults.
            most: attempts of one question that fail, at most.
            stall: seconds of a stall or of a slow drip, longer than the client waits.
            retry_after: seconds that a refusal asks for, where it asks.
            wrong: questions that are answered with a finish reason that ends no answer.
        """
        self._share, self._seed, self._most = share, seed, most
        self._stall, self._retry_after, self._wrong = stall, retry_after, wrong
        self._lock = threading.Lock()
        self._left: dict[str, list[str]] = {}
        self.failed: Counter[str] = Counter()
        """Kind of fault → how often it happened."""
        self.answered: Counter[str] = Counter()
        """Question → how often it was answered."""

    def __call__(self, handler: Handler, body: dict[str, Any]) -> bool:
        """Fail as scheduled; False where the server may answer."""
        question = question_of(body)
        with self._lock:
            left = self._left.setdefault(question, self._schedule(question))
            kind = left.pop() if left else None
            if kind is None:
                self.answered[question] += 1
            else:
                self.failed[kind] += 1
        if kind is not None:
            getattr(self, f"_{kind}")(handler)
            return True
        if question in self._wrong:
            choice = {"message": {"content": "half"}, "finish_reason": "content_filter"}
            handler.send(200, {"choices": [choice]})
            return True
        return False

    def _schedule(self, question: str) -> list[str]:
        chance = random.Random(f"{self._seed} {question}")
        if chance.random() >= self._share:
            return []
        return [chance.choice(KINDS) for _ in range(chance.randint(1, self._most))]

    def _busy(self, handler: Handler) -> None:
        handler.send(429, {"error": {"message": "slow down"}})

    def _busy_until(self, handler: Handler) -> None:
        handler.send(429, {"error": "slow down"}, {"retry-after": str(self._retry_after)})

    def _broken(self, handler: Handler) -> None:
        # Says that it keeps the connection, and closes it.
        handler.send(500, {"error": {"message": "boom"}}, {"connection": "keep-alive"})
        handler.close_connection = True

    def _silent(self, handler: Handler) -> None:
        handler.close_connection = True

    def _stalled(self, handler: Handler) -> None:
        time.sleep(self._stall)
        handler.close_connection = True

    def _truncated(self, handler: Handler) -> None:
        half = b'{"choices": [{"message": {"content": "12'
        handler.raw(200, half, "application/json")

    def _half(self, handler: Handler) -> None:
        handler.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"choices"')
        handler.close_connection = True

    def _half_chunk(self, handler: Handler) -> None:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        handler.wfile.write(head + b'40\r\n{"choices"')
        handler.close_connection = True

    def _broken_stream(self, handler: Handler) -> None:
        event = {"choices": [{"delta": {"content": "12"}}]}
        handler.raw(200, f"data: {json.dumps(event)}\n\n".encode(), "text/event-stream")

    def _dripping(self, handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
        ends = time.monotonic() + self._stall
        while time.monotonic() < ends:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
        handler.close_connection = True


KINDS = (
    "busy",
    "busy_until",
    "broken",
    "silent",
    "stalled",
    "truncated",
    "half",
    "half_chunk",
    "broken_stream",
    "dripping",
)
"""Methods of ``Faults``, without the leading underscore."""

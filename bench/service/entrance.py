"""The first thing that a request meets: who may ask, by which name, how much at once, and how slowly.

It is the outermost layer of the application, so that it counts and logs every request, and answers those
that it refuses before their bodies are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.formatting import byte_size
from bench.parsing import whole_number
from bench.service.metrics import ServiceMetrics
from bench.service.records import log
from bench.service.refusals import Refusal
from bench.service.settings import ServiceSettings
from bench.text import stumbled

OPEN_PATHS = ("/", "/livez", "/ready", "/docs", "/docs-files", "/openapi.json")
"""What needs no key: the probes of whatever runs the service, and the description of the API."""
CLIENT_LEFT = 499
"""Status in the log where nobody is there any more to get one."""
LINGERING_SECONDS, LINGERING_BYTES = 2.0, 2**20
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_PAGE_HEADERS = (
    *_SAFE_HEADERS,
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
)
"""Headers of a page for a browser, which keep it from loading anything from elsewhere."""


class _Body:
    """The body of a request, read within bounds on its size and on the time that it takes."""

    def __init__(self, headers: Headers, receive: Receive, settings: ServiceSettings) -> None:
        length = headers.get("content-length", "")
        self.is_complete = "transfer-encoding" not in headers and length in {"", "0"}
        self.reserved = 0
        """Bytes that it may have: as many as it says, or as many as any may have."""
        if not self.is_complete:
            told = whole_number(length)
            self.reserved = settings.body_bytes if told is None else told
        self.on_complete: Callable[[_Body], None] | None = None
        self._receive, self._most, self._received = receive, settings.body_bytes, 0
        self._deadline = asyncio.get_running_loop().time() + settings.upload_seconds

    async def receive(self) -> Message:
        """The next message of the client.

        Raises:
            Refusal: the body is too large, or it comes too slowly.
        """
        if self.is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(408, "slow_upload", "the request came too slowly") from None
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            raise _too_large(self._most)
        if not message.get("more_body", False):
            self.is_complete = True
            if self.on_complete is not None:
                self.on_complete(self)
        return message

    async def discard(self) -> None:
        """Read what is left and keep none of it, for as long as a client needs to notice the reply."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGERING_SECONDS):
                discarded = 0
                while not self.is_complete and discarded < LINGERING_BYTES:
                    message = await self._receive()
                    discarded += len(message.get("body", b""))
                    self.is_complete = not message.get("more_body", False)


class Entrance:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings, metrics: ServiceMetrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._names: frozenset[str] | None = None
        """By which the service may be called; None if any name will do."""
        if settings.is_loopback:
            self._names = LOOPBACK_NAMES.union(settings.allowed_hosts)
        self._numbers = itertools.count(1)
        self._session = uuid.uuid4().hex[:12]
        self._receiving = 0
        """Bytes of the bodies that are being received."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = self._request_id(headers)
        body = _Body(headers, receive, self._settings)
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                is_page = any(value.startswith(b"text/html") for _, value in message["headers"])
                safe = _PAGE_HEADERS if is_page else _SAFE_HEADERS
                own = [(b"x-request-id", request_id.encode()), *safe]
                if not body.is_complete:
                    # The rest of the body would be read, however long it is, and however slowly it comes.
                    own.append((b"connection", b"close"))
                message = {**message, "headers": [*message["headers"], *own]}
            elif not (body.is_complete or message.get("more_body", False)):
                await send({**message, "more_body": True})
                # A connection that is closed with bytes unread may lose the reply on its way.
                await body.discard()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        error: Exception | None = None
        try:
            self._admit(scope, headers)
            self._reserve(body)
            await self._app(scope, body.receive, sending)
        except Refusal as refusal:
            if not status:
                await _reply(sending, refusal)
        except ClientDisconnect:
            status = status or CLIENT_LEFT
        except Exception as unforeseen:
            error = unforeseen
            if not status:
                await _reply(sending, Refusal(500, "internal_error", "the service made a mistake"))
        finally:
            self._free(body)
        self._record(scope, request_id, status, time.perf_counter() - started, error)

    def _request_id(self, headers: Headers) -> str:
        """What the client calls the request, or a number of this session."""
        given = headers.get("x-request-id", "")
        if _REQUEST_ID.fullmatch(given):
            return given
        return f"{self._session}-{next(self._numbers)}"

    def _admit(self, scope: Scope, headers: Headers) -> None:
        """Refuse whoever may not ask.

        Raises:
            Refusal: by its name, its origin or its key.
        """
        settings = self._settings
        own_name = headers.get("host", "")
        if self._names is not None and _host(own_name) not in self._names:
            # A page of a browser that has its own name point to this machine.
            raise Refusal(421, "unknown_host", "the service is not called by this name")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != own_name:
            raise Refusal(403, "foreign_origin", "pages of other origins may not ask this service")
        if settings.key is not None and not _is_open(scope["path"]):
            given = headers.get("x-api-key") or headers.get("authorization", "")
            given = given.removeprefix("Bearer ").strip()
            if not hmac.compare_digest(given.encode(), settings.key.encode()):
                raise Refusal(401, "invalid_api_key", "the request needs the key of this service")

    def _reserve(self, body: _Body) -> None:
        """Have room for ``body``, before a byte of it is read.

        Raises:
            Refusal: it is too large, or too much is being received at the same time.
        """
        if body.reserved > self._settings.body_bytes:
            raise _too_large(self._settings.body_bytes)
        if self._receiving + body.reserved > self._settings.receiving_bytes:
            raise Refusal(
                503, "too_many_uploads", "too much is being received at once", retry_after=2
            )
        self._receiving += body.reserved
        body.on_complete = self._free

    def _free(self, body: _Body) -> None:
        if body.on_complete is not None:
            self._receiving -= body.reserved
            body.on_complete = None

    def _record(
        self,
        scope: Scope,
        request_id: str,
        status: int,
        seconds: float,
        error: Exception | None,
    ) -> None:
        route = scope.get("route")
        # The path that was asked for may be anything, and may hold the id of a job.
        path = getattr(route, "path", "?")
        method = scope["method"] if scope["method"] in _METHODS else "?"
        self._metrics.request(method, path, status, seconds)
        facts: Mapping[str, str] = {}
        if error is not None:
            # The words of an error may repeat what was sent.
            facts = {"error": type(error).__name__, "where": stumbled(error)}
        log(
            "request",
            request_id=request_id,
            method=method,
            path=path,
            status=status,
            seconds=round(seconds, 4),
            **facts,
        )


_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"})


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/docs-files/")


def _host(header: str) -> str:
    """The name in a ``Host`` header, in lower case and without port and brackets."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _too_large(most: int) -> Refusal:
    return Refusal(413, "request_too_large", f"a request may have at most {byte_size(most)}")


async def _reply(send: Send, refusal: Refusal) -> None:
    body = json.dumps(refusal.body()).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    headers |= refusal.headers()
    start = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": start})
    await send({"type": "http.response.body", "body": body})

"""Asks a service that ``bench serve`` runs: ``ServiceClient``, and ``AsyncServiceClient`` for asyncio.

from bench.client import ServiceClient

with ServiceClient("http://localhost:8000") as client:
    reading = client.ask(["scan.png"], "What is the total?")
    print(reading.text)
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlsplit

from bench import formatting
from bench.errors import BenchError, EnvironmentProblem, InvalidInput, require_package
from bench.parsing import read_bytes
from bench.text import one_line

if TYPE_CHECKING:
    import httpx2

_LOG = logging.getLogger(__name__)

MAX_PAGE_BYTES = 2**30
"""Largest file that is sent."""
POLL_SECONDS = 10.0
"""How long one request waits for the end of a job."""
REPLY_SECONDS = 60.0
"""How long the service may take for a reply, beside that."""
LONGEST_PAUSE = 60.0
_IMAGE_NUMBER = re.compile(r"\bimage ([0-9]{1,4})\b")

Page = str | Path | bytes
"""A file, its content, or an ``https`` address that the service may fetch."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class JobState:
    """A job of the service."""

    id: str
    status: str
    """``IN_QUEUE``, ``IN_PROGRESS``, ``COMPLETED`` or ``FAILED``."""
    position: int | None = None
    """Place in the queue while it waits, from 1."""
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The answer with its counts and its confidence; empty while there is none."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.status in {"COMPLETED", "FAILED"}

    @property
    def text(self) -> str:
        """The answer, or the label that it names; empty if there is none."""
        return str(self.data.get("label") or self.data.get("text") or "")


class _Send(NamedTuple):
    """A request that is to be sent."""

    method: str
    path: str
    body: Mapping[str, Any]
    """Further arguments of ``httpx2.Client.request``."""


class _Pause(NamedTuple):
    """Seconds after which to go on."""

    seconds: float


class _Broken(NamedTuple):
    """What came in the place of a reply."""

    message: str


_Steps = Generator[_Send | _Pause, "httpx2.Response | _Broken | None", Result]
"""What is to be done, without saying how: the two clients differ only in how they send and wait."""
Watch = Callable[[JobState], None]


class _Client:
    """What both clients know."""

    def __init__(self, url: str, *, key: str | None, patience: float) -> None:
        require_package("asking a service", "httpx2", "endpoint")
        _check_address(url)
        self._patience = patience
        headers = {"user-agent": "docvlm-bench"}
        if key is not None:
            if not key.isascii() or not key.isprintable():
                raise InvalidInput("the key contains characters that no HTTP header may have")
            headers["authorization"] = f"Bearer {key}"
        self._options: dict[str, Any] = {
            # Clients of the OpenAI API are given the address with its path.
            "base_url": url.rstrip("/").removesuffix("/v1").removesuffix("/api"),
            "headers": headers,
            "timeout": POLL_SECONDS + REPLY_SECONDS,
            # A redirect would carry the pages, and the key, to an address that nobody named.
            "follow_redirects": False,
            "trust_env": False,
        }

    def _asking(
        self, path: str, pages: Sequence[Page], fields: Mapping[str, Any], watch: Watch | None
    ) -> _Steps[JobState]:
        state = yield from self._submitting(path, pages, fields)
        while True:
            if watch is not None:
                watch(state)
            if state.has_ended:
                return state
            state = yield from self._polling(state.id, POLL_SECONDS)

    def _submitting(
        self, path: str, pages: Sequence[Page], fields: Mapping[str, Any]
    ) -> _Steps[JobState]:
        body = _body(pages, {"wait": 0, **fields})
        # The service asks a question once, however often it comes with the same key.
        body["headers"] = {"idempotency-key": uuid.uuid4().hex}
        try:
            reply = yield from self._persisting(_Send("POST", path, body))
        except InvalidInput as error:
            raise InvalidInput(_naming(error.message, pages), hint=error.hint) from None
        return _state(reply)

    def _polling(self, job_id: str, seconds: float) -> _Steps[JobState]:
        path = f"/api/v1/status/{quote(job_id, safe='')}"
        wait = {"params": {"wait": seconds}}
        reply = yield from self._persisting(_Send("GET", path, wait))
        return _state(reply)

    def _forgetting(self, job_id: str) -> _Steps[None]:
        path = f"/api/v1/status/{quote(job_id, safe='')}"
        yield from self._persisting(_Send("DELETE", path, {}))

    def _persisting(self, send: _Send) -> _Steps[httpx2.Response]:
        """The reply to a request, which is sent again while the service is busy or cannot be reached."""
        until = time.monotonic() + self._patience
        pause = 0.5
        is_told = False
        while True:
            reply = yield send
            assert reply is not None
            if isinstance(reply, _Broken):
                problem: BenchError = EnvironmentProblem(
                    f"the service did not answer: {reply.message}", hint="is it running?"
                )
                may_pass = True
                asked_for = 0.0
            else:
                if reply.status_code < 300:
                    return reply
                problem = _problem(reply)
                may_pass = reply.status_code in {429, 502, 503, 504}
                asked_for = _retry_after(reply)
            seconds = max(pause, asked_for)
            if not may_pass or time.monotonic() + seconds > until:
                raise problem
            if not is_told:
                said = one_line(problem.message, 400)
                patience = formatting.seconds(self._patience)
                _LOG.warning("note: %s; it is asked again for up to %s", said, patience)
                is_told = True
            yield _Pause(seconds)
            pause = min(2 * pause, LONGEST_PAUSE)


class ServiceClient(_Client):
    """Asks a service; a context manager. Safe to use from many threads."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        patience: float = 300.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            url: address of the service, without a path.
            key: what the service asks for, if it asks for a key.
            patience: seconds for which a service that is busy, or that cannot be reached, is asked again.
            transport: stands in for the network in tests.

        Raises:
            InvalidInput: ``url`` is not an address, or ``key`` cannot be one.
            EnvironmentProblem: httpx2 is not installed.
        """
        super().__init__(url, key=key, patience=patience)
        import httpx2

        self._http = httpx2.Client(transport=transport, **self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(
        self,
        pages: Sequence[Page],
        question: str | None = None,
        *,
        max_new_tokens: int | None = None,
        visual_tokens: int | None = None,
        watch: Watch | None = None,
    ) -> JobState:
        """The answer to ``question`` about ``pages``; ``watch`` is told every state of the job.

        Raises:
            InvalidInput: the service refused the request, or a file cannot be read.
            EnvironmentProblem: the service cannot be reached, or it stayed busy.
        """
        fields = _question_fields(question, max_new_tokens, visual_tokens)
        return self._do(self._asking("/api/v1/run", pages, fields, watch))

    def classify(
        self,
        pages: Sequence[Page],
        labels: Sequence[str],
        question: str | None = None,
        *,
        visual_tokens: int | None = None,
        watch: Watch | None = None,
    ) -> JobState:
        """The one of ``labels`` that suits ``pages``; errors are those of ``ask``."""
        fields = _question_fields(question, None, visual_tokens) | {"labels": list(labels)}
        return self._do(self._asking("/api/v1/classify", pages, fields, watch))

    def submit(self, pages: Sequence[Page], question: str | None = None) -> JobState:
        """The job of a question that is not waited for; errors are those of ``ask``."""
        return self._do(self._submitting("/api/v1/run", pages, _question_fields(question)))

    def state(self, job_id: str, wait: float = 0.0) -> JobState:
        """The state of a job, after at most ``wait`` seconds; errors are those of ``ask``."""
        return self._do(self._polling(job_id, min(wait, POLL_SECONDS)))

    def forget(self, job_id: str) -> None:
        """Remove a job, its pages and its result; errors are those of ``ask``."""
        self._do(self._forgetting(job_id))

    def _do(self, steps: _Steps[Result]) -> Result:
        answer: httpx2.Response | _Broken | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                result: Result = end.value
                return result
            answer = None
            if isinstance(step, _Pause):
                time.sleep(step.seconds)
            else:
                answer = self._reply(step)

    def _reply(self, send: _Send) -> httpx2.Response | _Broken:
        import httpx2

        try:
            return self._http.request(send.method, send.path, **send.body)
        except httpx2.TransportError as error:
            return _broken(error)


class AsyncServiceClient(_Client):
    """The same for asyncio; an asynchronous context manager."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        patience: float = 300.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """See ``ServiceClient``."""
        super().__init__(url, key=key, patience=patience)
        import httpx2

        self._http = httpx2.AsyncClient(transport=transport, **self._options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(
        self,
        pages: Sequence[Page],
        question: str | None = None,
        *,
        max_new_tokens: int | None = None,
        visual_tokens: int | None = None,
        watch: Watch | None = None,
    ) -> JobState:
        """See ``ServiceClient.ask``."""
        fields = _question_fields(question, max_new_tokens, visual_tokens)
        return await self._do(self._asking("/api/v1/run", pages, fields, watch))

    async def classify(
        self,
        pages: Sequence[Page],
        labels: Sequence[str],
        question: str | None = None,
        *,
        visual_tokens: int | None = None,
        watch: Watch | None = None,
    ) -> JobState:
        """See ``ServiceClient.classify``."""
        fields = _question_fields(question, None, visual_tokens) | {"labels": list(labels)}
        return await self._do(self._asking("/api/v1/classify", pages, fields, watch))

    async def submit(self, pages: Sequence[Page], question: str | None = None) -> JobState:
        """See ``ServiceClient.submit``."""
        return await self._do(self._submitting("/api/v1/run", pages, _question_fields(question)))

    async def state(self, job_id: str, wait: float = 0.0) -> JobState:
        """See ``ServiceClient.state``."""
        return await self._do(self._polling(job_id, min(wait, POLL_SECONDS)))

    async def forget(self, job_id: str) -> None:
        """See ``ServiceClient.forget``."""
        await self._do(self._forgetting(job_id))

    async def _do(self, steps: _Steps[Result]) -> Result:
        answer: httpx2.Response | _Broken | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                result: Result = end.value
                return result
            answer = None
            if isinstance(step, _Pause):
                await asyncio.sleep(step.seconds)
            else:
                answer = await self._reply(step)

    async def _reply(self, send: _Send) -> httpx2.Response | _Broken:
        import httpx2

        try:
            return await self._http.request(send.method, send.path, **send.body)
        except httpx2.TransportError as error:
            return _broken(error)


def _check_address(url: str) -> None:
    example = "an address looks like http://localhost:8000"
    try:
        address = urlsplit(url)
        is_address = address.scheme in {"http", "https"} and bool(address.hostname)
        is_plain = not (address.username or address.query or address.fragment)
        address.port  # noqa: B018  it raises ValueError for a port that is none
    except ValueError:
        is_address = is_plain = False
    if not (is_address and is_plain):
        raise InvalidInput(f"{one_line(url, 80)!r} is not the address of a service", hint=example)


def _question_fields(
    question: str | None, max_new_tokens: int | None = None, visual_tokens: int | None = None
) -> dict[str, Any]:
    fields = {"prompt": question, "max_new_tokens": max_new_tokens, "visual_tokens": visual_tokens}
    return {name: value for name, value in fields.items() if value is not None}


def _body(pages: Sequence[Page], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The pages as files of a form; with addresses among them, all of them as JSON."""
    if not pages:
        raise InvalidInput("there is no page to ask about", hint="name a page image or a PDF")
    if any(map(_is_address, pages)):
        return {"json": {**fields, "images": list(map(_url, pages))}}
    return {
        "data": fields,
        "files": [("files", (f"page-{n}", _content(page))) for n, page in enumerate(pages, 1)],
    }


def _naming(message: str, pages: Sequence[Page]) -> str:
    """``message`` with the name of the file that the service calls ``image N``, because it knows no names."""
    match = _IMAGE_NUMBER.search(message)
    number = int(match[1]) if match else 0
    if not 0 < number <= len(pages) or isinstance(pages[number - 1], bytes):
        return message
    return _IMAGE_NUMBER.sub(lambda _: one_line(pages[number - 1], 100), message, count=1)


def _is_address(page: Page) -> bool:
    return isinstance(page, str) and page.startswith(("https://", "http://"))


def _content(page: Page) -> bytes:
    return page if isinstance(page, bytes) else read_bytes(Path(page), MAX_PAGE_BYTES)


def _url(page: Page) -> str:
    if isinstance(page, str) and _is_address(page):
        return page
    return (
        f"data:application/octet-stream;base64,{base64.b64encode(_content(page)).decode('ascii')}"
    )


def _broken(error: httpx2.TransportError) -> _Broken:
    return _Broken(one_line(str(error) or type(error).__name__))


def _state(reply: httpx2.Response) -> JobState:
    """The job in a reply.

    Raises:
        EnvironmentProblem: it holds none, so what answers there is no such service.
    """
    told = _json(reply)
    output = told.get("output")
    output = output if isinstance(output, dict) else {}
    job_id, status, data = told.get("id"), told.get("status"), output.get("data")
    position = told.get("position")
    if not isinstance(job_id, str) or not isinstance(status, str):
        raise EnvironmentProblem(
            "what answers there is not a service of bench serve", hint="check the address"
        )
    return JobState(
        job_id,
        status,
        position if isinstance(position, int) else None,
        one_line(output.get("message", ""), 300),
        data if isinstance(data, dict) else {},
    )


def _problem(reply: httpx2.Response) -> BenchError:
    error = _json(reply).get("error")
    said = error.get("message") if isinstance(error, dict) else None
    message = f"the service answered HTTP {reply.status_code}"
    if isinstance(said, str):
        message += f": {one_line(said, 300)}"
    if reply.status_code >= 500 or reply.status_code == 429:
        return EnvironmentProblem(message, hint="try again later")
    hint = "for bench ask: export BENCH_ASK_API_KEY=..." if reply.status_code == 401 else None
    return InvalidInput(message, hint=hint)


def _json(reply: httpx2.Response) -> dict[str, Any]:
    try:
        value = reply.json()
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _retry_after(reply: httpx2.Response) -> float:
    """Seconds that the service asks for; a date, which proxies write, counts as none."""
    value = reply.headers.get("retry-after", "")
    is_number = value.isascii() and value.isdigit()
    return min(float(value[:9]), LONGEST_PAUSE) if is_number else 0.0

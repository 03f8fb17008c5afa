"""One chat completion over HTTP: bounded in time, size and attempts; what fails is said in one line."""

from __future__ import annotations

import email.utils
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import BenchError, EnvironmentProblem, InvalidInput, did_you_mean, require_package
from bench.formatting import byte_size, plural
from bench.models.openai.concurrency import AdaptiveLimit, RateLimit
from bench.models.openai.settings import EndpointSettings, api_key
from bench.models.openai.streak import FailureStreak
from bench.models.reading_along import Reader
from bench.parsing import Unreadable, decoded, parse_json
from bench.text import one_line

if TYPE_CHECKING:
    import httpx2

MAX_RESPONSE_BYTES = 16 * 2**20
"""A longest answer of 32,768 tokens with the probabilities of all of them is a fifth of this."""

MAX_SERVER_DIGITS = 4_300

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses that may pass: time-outs, conflicts, too many requests, and faults of the server."""

BUSY = frozenset({429, 503})
"""Statuses by which a server says that it is asked too much at once."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds between attempts: doubled every time, between half and all of it by chance, so that requests
that were refused together do not come back together."""


ABOUT_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses by which a server that is well refuses one request: its pages are too many or too large, say."""

MOST_TIMEOUTS = 3
"""Attempts of one request that may run out of time. A server that hangs would else hold it for
``attempts`` times ``timeout``."""


class EndpointError(BenchError):
    """A request that the endpoint did not answer; the message is complete and holds no key."""

    about_the_request = False
    """Whether the endpoint is well, and refuses this request for its own sake."""


class RequestRefused(EndpointError):
    """The endpoint would answer other requests: this one has too many pages, say."""

    about_the_request = True


class Reply(NamedTuple):
    """An answer, and what it took."""

    body: dict[str, Any]
    """The chat completion; of a stream, put together again."""
    seconds: float
    """Of the attempt that succeeded."""
    first_token_seconds: float | None
    """From sending the request to the first token; None if the answer was not streamed."""
    attempts: int
    lost_seconds: float
    """Of failed attempts and of the pauses behind them."""
    waited_seconds: float = 0.0
    """Before the first attempt, for a place among the requests in flight."""
    server_seconds: float | None = None
    """What the endpoint says that it took itself; None if it does not say."""


@dataclass(frozen=True, slots=True)
class Server:
    """What an endpoint says about itself."""

    models: tuple[str, ...]
    context: int | None
    """Tokens of prompt and answer together (``max_model_len``); None if it is not told."""
    version: str | None
    """Of vLLM, SGLang and others that have ``/version``; None if it is not told."""


class Client:
    """Asks one endpoint. Safe to use from many threads."""

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        transport: httpx2.BaseTransport | None = None,
        ended: Callable[[], str | None] | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            settings: the address and the limits.
            transport: stands in for the network in tests.
            ended: says why the server has ended, where that is known, and None while it has not.

        Raises:
            EnvironmentProblem: httpx2 is not installed, or the key is missing.
        """
        require_package("asking an endpoint", "httpx2", "endpoint")
        import httpx2

        self._settings = settings
        self._key = api_key(settings)
        self.limit = AdaptiveLimit(settings.concurrency)
        self._rate = RateLimit(settings.requests_per_minute)
        self._streak = FailureStreak(ended)
        # Bodies come as they are, so that their size is bounded as they arrive.
        headers = {"user-agent": "docvlm-bench", "accept-encoding": "identity"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        self._http = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(settings.timeout, connect=min(30.0, settings.timeout)),
            limits=httpx2.Limits(max_connections=settings.concurrency + 2),
            # A redirect would carry the pages, and the key, to an address that nobody named.
            follow_redirects=False,
            # Proxies and .netrc of the environment are not for a key that was given for this endpoint.
            trust_env=False,
            transport=transport,
        )
        self._base = settings.base_url.rstrip("/")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def server(self, served: str) -> Server:
        """What the endpoint says about itself and about the model ``served``.

        Raises:
            EnvironmentProblem: nothing answers there, or the key is refused.
            InvalidInput: the endpoint lists its models, and ``served`` is not among them.
        """
        listing = self._get(f"{self._base}/models")
        rows = [row for row in _list(listing.get("data")) if isinstance(row, Mapping)]
        names = tuple(str(row["id"]) for row in rows if isinstance(row.get("id"), str))
        if names and served not in names:
            raise InvalidInput(
                f"the endpoint {self._base} serves no model {one_line(served, 80)!r}",
                hint=did_you_mean(served, [self._shown(name, 80) for name in names]),
            )
        own = next((row for row in rows if row.get("id") == served), {})
        context = own.get("max_model_len")
        address = f"{self._base.removesuffix('/v1')}/version"
        version = self._get(address, needed=False).get("version")
        return Server(
            models=tuple(self._shown(name, 120) for name in names),
            context=context if isinstance(context, int) and context > 0 else None,
            version=self._shown(version, 60) if isinstance(version, str) else None,
        )

    def complete(
        self,
        request: Mapping[str, Any],
        renew: Callable[[], Mapping[str, Any]] | None = None,
        reader: Reader | None = None,
    ) -> Reply:
        """The answer to one chat completion request.

        Args:
            request: the body.
            renew: gives the body of every further attempt; None sends the same again.
            reader: is told the text so far of an answer that comes as a stream.

        Raises:
            EndpointError: the endpoint refused it, or every attempt failed.
            ModelGone: several requests in a row failed, so the endpoint is not asked any more.
        """
        try:
            reply = self._persist(request, renew, reader)
        except EndpointError as error:
            if error.about_the_request:
                self._streak.broken()
            else:
                self._streak.failed(error.message)
            raise
        self._streak.broken()
        return reply

    def _persist(
        self,
        request: Mapping[str, Any],
        renew: Callable[[], Mapping[str, Any]] | None,
        reader: Reader | None,
    ) -> Reply:
        content = _content(request)
        began = time.perf_counter()
        first_sent: float | None = None
        attempt = timeouts = 0
        while True:
            self._streak.check()
            attempt += 1
            self._rate.wait()
            try:
                with self.limit.place():
                    sent = time.perf_counter()
                    first_sent = first_sent or sent
                    reply = self._attempt(content, reader)
                    seconds = time.perf_counter() - sent
            except _Passing as problem:
                pause = max(problem.retry_after, _pause(attempt))
                if problem.busy:
                    self.limit.refused(pause)
                timeouts += problem.slow
                if attempt == self._settings.attempts or timeouts == MOST_TIMEOUTS:
                    raise EndpointError(
                        f"{problem.message}; {plural(attempt, 'attempt')} were made"
                        if attempt > 1
                        else problem.message
                    ) from None
                if not problem.busy:
                    time.sleep(pause)
                if renew is not None:
                    content = _content(renew())
            else:
                self.limit.succeeded(seconds)
                return reply._replace(
                    seconds=seconds,
                    attempts=attempt,
                    lost_seconds=sent - first_sent,
                    waited_seconds=first_sent - began,
                )

    def _attempt(self, content: bytes, reader: Reader | None) -> Reply:
        import httpx2

        started = time.perf_counter()
        url = f"{self._base}/chat/completions"
        headers = {"content-type": "application/json"}
        try:
            with self._http.stream("POST", url, content=content, headers=headers) as response:
                chunks = self._bounded(response, started)
                if response.status_code != 200:
                    self._refuse(response, b"".join(chunks), len(content))
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    body, first_token = self._streamed(chunks, started, reader)
                else:
                    body, first_token = _parsed(b"".join(chunks)), None
        except httpx2.TimeoutException:
            raise _Passing(
                f"the endpoint did not answer within {self._settings.timeout:g} s", slow=True
            ) from None
        except httpx2.TransportError as error:
            raise _Passing(f"the connection to the endpoint broke: {self._said(error)}") from None
        self._clean(body)
        told = _server_seconds(response.headers.get("openai-processing-ms"), body)
        return Reply(body, 0.0, first_token, 1, 0.0, server_seconds=told)

    def _clean(self, body: dict[str, Any]) -> None:
        """Take the key out of everything that is kept of an answer: a server may repeat what it was sent."""
        for name in ("system_fingerprint", "model"):
            if isinstance(body.get(name), str):
                body[name] = self._shown(body[name], 200)
        for choice in _list(body.get("choices")):
            if not isinstance(choice, dict):
                continue
            if isinstance(choice.get("finish_reason"), str):
                choice["finish_reason"] = self._shown(choice["finish_reason"], 60)
            message = choice.get("message")
            if isinstance(message, dict):
                message["content"] = self._without_key(message.get("content"))

    def _without_key(self, content: Any) -> Any:
        if self._key is None:
            return content
        if isinstance(content, str):
            return content.replace(self._key, "***")
        if isinstance(content, list):
            return [self._without_key(part) for part in content]
        if isinstance(content, dict):
            return {name: self._without_key(part) for name, part in content.items()}
        return content

    def _bounded(self, response: httpx2.Response, started: float) -> Iterator[bytes]:
        """The body's parts; a body that never ends, in bytes or in time, is a failure."""
        size = 0
        for part in response.iter_raw():
            size += len(part)
            if size > MAX_RESPONSE_BYTES:
                raise EndpointError(
                    f"the endpoint's answer is larger than {byte_size(MAX_RESPONSE_BYTES)}"
                )
            if time.perf_counter() - started > self._settings.timeout:
                raise _Passing(
                    f"the endpoint's answer did not end within {self._settings.timeout:g} s",
                    slow=True,
                )
            yield part

    def _refuse(self, response: httpx2.Response, body: bytes, sent_bytes: int) -> None:
        status = response.status_code
        said = self._shown(_message(body))
        reason = f"the endpoint answered HTTP {status}" + (f": {said}" if said else "")
        if status in RETRIED:
            raise _Passing(
                reason,
                retry_after=_retry_after(response.headers.get("retry-after")),
                busy=status in BUSY,
            )
        if 300 <= status < 400:
            reason = (
                f"the endpoint redirects (HTTP {status}) and redirects are not followed; "
                "give the address that it redirects to"
            )
        if status in {401, 403}:
            variable = self._settings.api_key_env
            reason += (
                f"; the key in {variable} was refused"
                if variable is not None
                else "; it needs a key, and api_key_env names none"
            )
        if status == 404 and not self._base.endswith("/v1"):
            reason += f"; most addresses end in /v1, but {self._base} does not"
        if status == 413:
            reason += f"; the request has {byte_size(sent_bytes)}: lower --max-pixels, or use JPEG"
        raise RequestRefused(reason) if status in ABOUT_THE_REQUEST else EndpointError(reason)

    def _streamed(
        self, chunks: Iterator[bytes], started: float, reader: Reader | None
    ) -> tuple[dict[str, Any], float | None]:
        """A stream of server-sent events put together into one completion, and when its first token came."""
        text: list[str] = []
        logprobs: list[Any] = []
        whole: dict[str, Any] = {}
        finish: Any = None
        first_token: float | None = None
        ended = False
        for event in _events(chunks):
            if event == b"[DONE]":
                ended = True
            if ended:
                # Read to the end: otherwise the next request would need a new connection.
                continue
            part = _parsed(event)
            if "error" in part:
                raise EndpointError(
                    f"the endpoint stopped with an error: {self._shown(_message(event))}"
                )
            for key in ("system_fingerprint", "usage", "model"):
                if part.get(key) is not None:
                    whole[key] = part[key]
            for choice in _list(part.get("choices")):
                # Only one answer was asked for; a second one must not be mixed with it.
                if not isinstance(choice, Mapping) or choice.get("index", 0) != 0:
                    continue
                delta = choice.get("delta")
                said = delta.get("content") if isinstance(delta, Mapping) else None
                if isinstance(said, str) and said:
                    if first_token is None:
                        first_token = time.perf_counter() - started
                    text.append(said)
                    if reader is not None:
                        reader("".join(text))
                probabilities = choice.get("logprobs")
                if isinstance(probabilities, Mapping):
                    logprobs += _list(probabilities.get("content"))
                finish = choice.get("finish_reason") or finish
        if not ended and finish is None:
            raise _Passing("the endpoint's stream ended in the middle of an answer")
        message = {"role": "assistant", "content": "".join(text)}
        whole["choices"] = [
            {"message": message, "finish_reason": finish, "logprobs": {"content": logprobs}}
        ]
        return whole, first_token

    def _get(self, url: str, *, needed: bool = True) -> dict[str, Any]:
        """A small JSON object; empty if the endpoint has no such page."""
        import httpx2

        started = time.perf_counter()
        try:
            with self._http.stream("GET", url) as response:
                body = b"".join(self._bounded(response, started))
                status = response.status_code
        except (httpx2.TransportError, _Passing, EndpointError) as error:
            if not needed:
                return {}
            raise EnvironmentProblem(
                f"the endpoint {self._base} cannot be reached: {self._said(error)}",
                hint="is the server running, and does the address end in /v1?",
            ) from None
        if status in {401, 403} and needed:
            raise EnvironmentProblem(
                f"the endpoint {self._base} refused the key (HTTP {status})",
                hint="api_key_env names the environment variable that contains the key",
            )
        if status != 200:
            return {}
        try:
            value = _json(body)
        except Unreadable:
            return {}
        return value if isinstance(value, dict) else {}

    def _said(self, error: Exception) -> str:
        return self._shown(str(error) or type(error).__name__)

    def _shown(self, text: str, limit: int = 300) -> str:
        """``text`` from the server, safe to print and to store, and without the key."""
        # Before it is cut: half a key is still a secret.
        return one_line(str(self._without_key(text)), limit)


class _Passing(Exception):
    """A failure that may not happen again."""

    def __init__(
        self, message: str, *, retry_after: float = 0.0, busy: bool = False, slow: bool = False
    ) -> None:
        super().__init__(message)
        self.message, self.retry_after = message, retry_after
        self.busy, self.slow = busy, slow


def _content(request: Mapping[str, Any]) -> bytes:
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _server_seconds(header: str | None, body: Mapping[str, Any]) -> float | None:
    """What the server took by its own account: OpenAI in a header, llama.cpp in ``timings``."""
    timings = body.get("timings")
    told: list[Any] = [header]
    if isinstance(timings, Mapping):
        told = [timings.get("prompt_ms"), timings.get("predicted_ms")]
    try:
        milliseconds = sum(float(part) for part in told)
    except (TypeError, ValueError, OverflowError):
        return None
    return milliseconds / 1000 if 0 <= milliseconds < 1e9 else None


def _pause(attempt: int) -> float:
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1))
    # Not a secret: it only spreads requests out.
    return random.uniform(longest / 2, longest)


def _retry_after(value: str | None) -> float:
    """Seconds that a ``Retry-After`` header asks for: a number of them, or a date."""
    if value is None:
        return 0.0
    if value.strip().isascii() and value.strip().isdigit():
        return min(float(value[:9]), LONGEST_PAUSE)
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, moment - time.time()), LONGEST_PAUSE)


def _json(body: bytes) -> Any:
    """The JSON value in what a server sent, within the bounds of ``bench.parsing``."""
    # A server may count in huge numbers what nobody needs; an answer is not lost for it.
    return parse_json(decoded(body, "the answer"), "the answer", max_digits=MAX_SERVER_DIGITS)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = _json(body)
    except Unreadable as error:
        raise _Passing(f"the endpoint's answer is not valid JSON ({error.reason})") from None
    if not isinstance(value, dict):
        raise EndpointError("the endpoint's answer is JSON, but not an object")
    return value


def _message(body: bytes) -> str:
    """What an error body says, in the shapes that servers use."""
    text = body[:4000].decode("utf-8", "replace")
    try:
        value = _json(body)
    except Unreadable:
        return text
    for key in ("error", "message", "detail"):
        while isinstance(value, dict) and key in value:
            value = value[key]
    return value if isinstance(value, str) else text


def _events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The data of every server-sent event."""
    begun: list[bytes] = []
    """Pieces of a line whose end has not come yet; a line of many pieces is put together once."""
    for chunk in chunks:
        begun.append(chunk)
        if b"\n" in chunk:
            *lines, rest = b"".join(begun).split(b"\n")
            begun = [rest]
            yield from (line[5:].strip() for line in lines if line.startswith(b"data:"))
    last = b"".join(begun)
    if last.startswith(b"data:"):
        yield last[5:].strip()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

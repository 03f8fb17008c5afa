"""The chat completions of the OpenAI API, so that any client of that API can ask the model.

A request has one user message with images and text, and perhaps a system message. Decoding is greedy, which
every ``temperature`` allows. What would change an answer and cannot be followed is refused, never ignored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator

import bench
from bench.schema import Output, TokenChoice
from bench.service.accepting import Service
from bench.service.answers import failure_message
from bench.service.api import the_service
from bench.service.jobs import ServiceJob
from bench.service.refusals import Refusal
from bench.service.replies import ERRORS
from bench.service.requests import MAX_TEXT, Source, Url, read_json_body

chat = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])

BREATH_SECONDS = 10.0
"""While an answer is waited for, a comment is sent so often into its stream, so that nobody hangs up."""

_OPEN = ConfigDict(extra="ignore", frozen=True)
"""Clients send many fields that change no answer."""


class ImageAddress(BaseModel):
    """The image of a content part."""

    model_config = _OPEN

    url: Url


class ImagePart(BaseModel):
    """A page image or a PDF."""

    model_config = _OPEN

    type: Literal["image_url"]
    image_url: ImageAddress


class TextPart(BaseModel):
    """A piece of the question."""

    model_config = _OPEN

    type: Literal["text"]
    text: Annotated[str, Field(max_length=MAX_TEXT)]


Part = Annotated[ImagePart | TextPart, Field(discriminator="type")]


class ChatMessage(BaseModel):
    """One message of a conversation."""

    model_config = _OPEN

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, Field(max_length=MAX_TEXT)] | list[Part]

    def text(self) -> str:
        """The text of all parts, one a line."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    def images(self) -> list[Source]:
        """The images of all parts."""
        parts = () if isinstance(self.content, str) else self.content
        return [
            Source("messages", part.image_url.url) for part in parts if isinstance(part, ImagePart)
        ]


class StreamOptions(BaseModel):
    """What a stream holds beside the answer."""

    model_config = _OPEN

    include_usage: bool = False


class AnswerFormat(BaseModel):
    """What the answer must conform to."""

    model_config = _OPEN

    type: str


class ChatRequest(BaseModel):
    """A request for a chat completion."""

    model_config = _OPEN

    model: Annotated[str, Field(max_length=1000)]
    messages: list[ChatMessage] = Field(min_length=1, max_length=100)
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Annotated[str, Field(max_length=1000)] | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    n: int | None = 1
    presence_penalty: float | None = 0.0
    frequency_penalty: float | None = 0.0
    logit_bias: dict[str, float] | None = None
    response_format: AnswerFormat | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None

    @field_validator("n")
    @classmethod
    def _one_answer(cls, value: int | None) -> int | None:
        if value not in {None, 1}:
            raise ValueError("the number must be 1")
        return value

    @field_validator("presence_penalty", "frequency_penalty")
    @classmethod
    def _no_penalty(cls, value: float | None) -> float | None:
        if value:
            raise ValueError("the number must be 0")
        return value

    @field_validator("logit_bias", "tools", "functions")
    @classmethod
    def _nothing_that_is_not_followed(cls, value: Any) -> Any:
        if value:
            raise ValueError("this service cannot follow it")
        return value

    @field_validator("response_format")
    @classmethod
    def _plain_text(cls, value: AnswerFormat | None) -> AnswerFormat | None:
        if value is not None and value.type != "text":
            raise ValueError("its type must be text")
        return value

    @property
    def limit(self) -> int | None:
        """Most tokens of the answer."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings at which the answer is cut."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in given if stop)

    def question(self) -> tuple[str | None, ChatMessage]:
        """The system message and the one message of the user.

        Raises:
            Refusal: there are other messages.
        """
        system = [m.text() for m in self.messages if m.role in {"system", "developer"}]
        others = [m for m in self.messages if m.role not in {"system", "developer"}]
        if len(others) != 1 or others[0].role != "user":
            raise _refusal("send one user message; this service keeps no conversation")
        if not others[0].text().strip():
            raise _refusal("the user message holds no text")
        if not others[0].images():
            raise _refusal("the user message holds no image")
        return "\n".join(system) or None, others[0]


_SCHEMA = ChatRequest.model_json_schema(ref_template="#/components/schemas/{model}")
CHAT_SCHEMAS: dict[str, Any] = _SCHEMA.pop("$defs")
"""Schemas that the description of the API needs beside those that its routes name."""


@chat.get("/models", responses=ERRORS, summary="The model that answers")
async def models(request: Request) -> dict[str, Any]:
    """In the shape of the OpenAI API, with the length of the model's context as vLLM tells it."""
    service = the_service(request)
    loaded = service.dispatcher.loaded
    context = None if loaded is None else loaded.info.details.get("context_tokens")
    row = {
        "id": service.model_name,
        "object": "model",
        "created": int(service.started),
        "owned_by": "docvlm-bench",
        "max_model_len": context,
    }
    return {"object": "list", "data": [row]}


@chat.post(
    "/chat/completions",
    responses=ERRORS,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}
    },
    summary="Ask about page images as the OpenAI API does",
)
async def complete(request: Request) -> Response:
    """The images always come before the text in what the model reads, in whatever order they are sent."""
    service = the_service(request)
    service.check_room()
    if (
        request.headers.get("content-type", "").partition(";")[0].strip().lower()
        != "application/json"
    ):
        raise Refusal(415, "unsupported_media_type", "send application/json")
    body = await read_json_body(request, ChatRequest)
    if body.model != service.model_name:
        raise Refusal(404, "model_not_found", "the service has no such model", field="model")
    job = await _accepted(service, body)
    form = ReplyForm(
        head={
            "id": f"chatcmpl-{job.id}",
            "created": int(job.created),
            "model": service.model_name,
            "system_fingerprint": f"docvlm-bench-{bench.__version__}",
        },
        with_usage=body.stream_options is not None and body.stream_options.include_usage,
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
    )
    is_stream = bool(body.stream)
    # Its pages are on the disk now, and need no memory while the answer is waited for.
    del body
    if is_stream:
        return StreamingResponse(_events(service, job, form), media_type="text/event-stream")
    output = await _unless_left(service, job, request)
    return JSONResponse(form.completion(output))


async def _accepted(service: Service, body: ChatRequest) -> ServiceJob:
    system, message = body.question()
    try:
        return await service.accept(
            message.images(),
            message.text(),
            max_new_tokens=body.limit,
            stop=body.stops,
            system=system,
            # Probabilities are told for the whole answer, so its text comes as a whole, too.
            is_read_along=bool(body.stream) and not body.logprobs,
        )
    except Refusal as refusal:
        if refusal.field == "max_new_tokens":
            # The client knows the limit by another name.
            refusal.field = "max_completion_tokens" if body.max_completion_tokens else "max_tokens"
        raise


class ReplyForm(NamedTuple):
    """How an answer is to be told."""

    head: dict[str, Any]
    """What every object of the reply begins with."""
    with_usage: bool
    """Whether a stream tells the numbers of tokens."""
    logprobs: bool
    top_logprobs: int

    def completion(self, output: Output) -> dict[str, Any]:
        """The whole answer in one object."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": output.text},
            "logprobs": self._logprobs(output),
            "finish_reason": output.stop_reason,
        }
        return {
            **self.head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(output),
        }

    def beginning(self) -> dict[str, Any]:
        """The first chunk of a stream."""
        return self._chunk({"delta": {"role": "assistant", "content": ""}})

    def piece(self, text: str) -> dict[str, Any]:
        """A chunk with more of the answer."""
        return self._chunk({"delta": {"content": text}})

    def end(self, output: Output, told: str) -> list[dict[str, Any]]:
        """The last chunks, with what of the answer was not ``told``."""
        rest = output.text.removeprefix(told)
        chunks = [
            self._chunk({"delta": {"content": rest}, "logprobs": self._logprobs(output)}),
            self._chunk({"delta": {}, "finish_reason": output.stop_reason}),
        ]
        if self.with_usage:
            chunks.append({**self._chunk({}), "choices": [], "usage": _usage(output)})
        return chunks

    def _chunk(self, facts: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": 0, "logprobs": None, "finish_reason": None, **facts}
        return {**self.head, "object": "chat.completion.chunk", "choices": [choice]}

    def _logprobs(self, output: Output) -> dict[str, Any] | None:
        if not self.logprobs or output.tokens is None:
            return None
        return {"content": [_token(token, self.top_logprobs) for token in output.tokens]}


def _token(token: TokenChoice, top: int) -> dict[str, Any]:
    told = [(token.text, token.logprob)]
    if token.runner_up is not None and token.runner_up_logprob is not None:
        told.append((token.runner_up, token.runner_up_logprob))
    rows = [{"token": text, "logprob": logprob, "bytes": _bytes(text)} for text, logprob in told]
    return {**rows[0], "top_logprobs": rows[:top]}


def _bytes(text: str) -> list[int] | None:
    """The bytes of a token; None if they are only a part of a letter, which a text cannot hold."""
    return None if "\ufffd" in text else list(text.encode("utf-8", "replace"))


def _usage(output: Output) -> dict[str, Any]:
    prompt, written = output.prompt_tokens or 0, output.generated_tokens or 0
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
    }
    if output.visual_tokens is not None:
        usage["prompt_tokens_details"] = {
            "cached_tokens": 0,
            "multimodal_tokens": {"image": output.visual_tokens},
        }
    return usage


async def _unless_left(service: Service, job: ServiceJob, request: Request) -> Output:
    """The output of ``job``; if the client leaves first, the job is forgotten.

    Raises:
        Refusal: there is no answer.
    """
    answer = asyncio.ensure_future(service.dispatcher.result(job.id, None))
    leaving = asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise Refusal(499, "client_left", "the client has left")
        return _answer_of(answer.result())
    finally:
        leaving.cancel()
        if not answer.done():
            answer.cancel()
            service.forget_soon(job.id)


async def _leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer_of(job: ServiceJob | None) -> Output:
    """The output of a job that was waited for.

    Raises:
        Refusal: it failed, or the service stops before it was asked.
    """
    if job is None or job.output is None:
        raise Refusal(503, "stopping", "the service is about to stop", retry_after=10)
    output = job.output
    if output.stop_reason == "error":
        is_about_the_request = (output.error or "").startswith("InvalidInput")
        status, code = (422, "not_answerable") if is_about_the_request else (500, "no_answer")
        raise Refusal(status, code, failure_message(output))
    return output


async def _events(service: Service, job: ServiceJob, form: ReplyForm) -> AsyncIterator[str]:
    """The stream of an answer, as server-sent events."""
    answer = asyncio.ensure_future(service.dispatcher.result(job.id, None))
    told = ""
    try:
        yield _event(form.beginning())
        while not answer.done():
            text = await service.dispatcher.written(job.id, BREATH_SECONDS)
            if text is None:
                yield ": the answer is waited for\n\n"
            elif len(text) > len(told) and text.startswith(told):
                yield _event(form.piece(text.removeprefix(told)))
                told = text
        try:
            chunks = form.end(_continued(_answer_of(answer.result()), told), told)
        except Refusal as refusal:
            chunks = [refusal.body()]
        for chunk in chunks:
            yield _event(chunk)
        yield "data: [DONE]\n\n"
    finally:
        if not answer.done():
            answer.cancel()
            service.forget_soon(job.id)


def _continued(output: Output, told: str) -> Output:
    """``output``, which begins with what was ``told`` of it.

    Raises:
        Refusal: it does not, because the model was asked once more.
    """
    if not output.text.startswith(told):
        message = "the question was asked again, and the answer is not the one that had begun"
        raise Refusal(500, "answer_changed", message)
    return output


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _refusal(message: str) -> Refusal:
    return Refusal(400, "invalid_request", message, field="messages")

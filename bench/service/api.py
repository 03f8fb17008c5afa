"""The service's own API: questions about pages, their states, and what the service says of itself."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from bench.schema import DEFAULT_QUESTION
from bench.service.accepting import Service
from bench.service.answers import classification_prompt, job_reply
from bench.service.jobs import ServiceJob
from bench.service.metrics import CONTENT_TYPE
from bench.service.refusals import Refusal
from bench.service.replies import ERRORS, JobReply, VersionReply, request_body
from bench.service.requests import (
    ClassifyFields,
    ClassifyRequest,
    RunFields,
    RunRequest,
    idempotency_key,
    read_sent,
)

LABEL_TOKENS = 64
"""Tokens of an answer that is to be a label."""


def the_service(request: Request) -> Service:
    """The service that the application belongs to."""
    service: Service = request.app.state.service
    return service


Wait = Annotated[
    float,
    Query(
        ge=0,
        description="Seconds to wait for the end of the job. "
        "More than the service allows is shortened to that.",
    ),
]

documents = APIRouter(prefix="/api/v1", tags=["documents"])
about = APIRouter(tags=["about the service"])


@documents.post(
    "/run",
    response_model=JobReply,
    responses={202: {"model": JobReply, "description": "The job waits"}, **ERRORS},
    openapi_extra=request_body(RunRequest, RunFields),
    summary="Ask one question about the pages of a document",
)
async def run(request: Request) -> Response:
    """Answers when the answer is there, or with 202 and `IN_QUEUE` when `wait` seconds are over."""
    service = the_service(request)
    job, seconds = await _accepted_run(request, service)
    return await _reply(service, job, seconds)


@documents.post(
    "/classify",
    response_model=JobReply,
    responses={202: {"model": JobReply, "description": "The job waits"}, **ERRORS},
    openapi_extra=request_body(ClassifyRequest, ClassifyFields),
    summary="Find the label that suits a document",
)
async def classify(request: Request) -> Response:
    """The model is asked to answer with one of the labels.

    `probability` is the product of the probabilities of the tokens that it wrote. It is null if the backend
    does not tell them.
    """
    service = the_service(request)
    job, seconds = await _accepted_classification(request, service)
    return await _reply(service, job, seconds)


@documents.get(
    "/status/{job_id}",
    response_model=JobReply,
    responses=ERRORS,
    summary="The state of a job, and its result",
)
async def status(request: Request, job_id: str, wait: Wait = 0.0) -> Response:
    """With `wait`, the reply comes when the job has ended, or when the time is over."""
    service = the_service(request)
    job = await service.dispatcher.result(job_id, min(wait, service.settings.most_wait_seconds))
    if job is None:
        raise _unknown()
    return _job_response(service, job, 200)


@documents.delete(
    "/status/{job_id}",
    status_code=204,
    responses=ERRORS,
    summary="Forget a job, its pages and its result",
)
async def forget(request: Request, job_id: str) -> None:
    """A job that waits is not asked any more."""
    if not await the_service(request).dispatcher.forget(job_id):
        raise _unknown()


@about.get("/", include_in_schema=False)
async def index() -> Response:
    """Leads a browser to the description of the API, and says where it is to anybody else."""
    return PlainTextResponse("The API is described at /docs.\n", 307, {"location": "/docs"})


@about.get("/livez", summary="Whether the service runs")
async def livez() -> dict[str, str]:
    """Always says yes; a service that hangs says nothing."""
    return {"status": "ok"}


@about.get("/ready", responses=ERRORS, summary="Whether the model can be asked")
async def ready(request: Request) -> dict[str, str]:
    """503 until the model is loaded, while it is loaded again, and when the service is about to stop."""
    service = the_service(request)
    if service.is_draining:
        raise Refusal(503, "stopping", "the service is about to stop", retry_after=10)
    if not service.dispatcher.is_ready:
        raise Refusal(503, "loading", "the model is not loaded yet", retry_after=5)
    return {"status": "ok"}


@about.get("/version", response_model=VersionReply, responses=ERRORS, summary="What answers here")
async def version(request: Request) -> dict[str, Any]:
    """The program, the model, and the device that it computes on."""
    return the_service(request).version()


@about.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses=ERRORS,
    summary="Counters for Prometheus",
)
async def metrics(request: Request) -> Response:
    """Queue, latency, tokens, errors and memory."""
    return Response(the_service(request).metrics.page(), headers={"content-type": CONTENT_TYPE})


async def _accepted_run(request: Request, service: Service) -> tuple[ServiceJob, float]:
    """The job of a request, and how long to wait; its body is not kept while the answer is waited for."""
    key = idempotency_key(request)
    service.check_room(key)
    sent = await read_sent(request, RunFields, RunRequest)
    seconds = _seconds(service, sent.fields.wait)
    job = await service.accept(
        sent.pages,
        sent.fields.prompt or DEFAULT_QUESTION,
        max_new_tokens=sent.fields.max_new_tokens,
        visual_tokens=sent.fields.visual_tokens,
        is_awaited=seconds > 0,
        key=key,
    )
    return job, seconds


async def _accepted_classification(request: Request, service: Service) -> tuple[ServiceJob, float]:
    key = idempotency_key(request)
    service.check_room(key)
    sent = await read_sent(request, ClassifyFields, ClassifyRequest)
    seconds = _seconds(service, sent.fields.wait)
    labels = tuple(sent.fields.labels)
    job = await service.accept(
        sent.pages,
        classification_prompt(labels, sent.fields.prompt),
        max_new_tokens=LABEL_TOKENS,
        visual_tokens=sent.fields.visual_tokens,
        labels=labels,
        is_awaited=seconds > 0,
        key=key,
    )
    return job, seconds


def _seconds(service: Service, wait: float | None) -> float:
    """How long a request waits for its answer."""
    settings = service.settings
    return min(settings.wait_seconds if wait is None else wait, settings.most_wait_seconds)


async def _reply(service: Service, job: ServiceJob, seconds: float) -> Response:
    """The job when it has ended, or as it is when the time is over."""
    known = await service.dispatcher.result(job.id, seconds)
    if known is None:
        raise _unknown()
    return _job_response(service, known, 200 if known.output is not None else 202)


def _job_response(service: Service, job: ServiceJob, status: int) -> Response:
    waits = job.status == "IN_QUEUE"
    position = service.dispatcher.position(job.id) if waits else None
    return JSONResponse(job_reply(job, position), status)


def _unknown() -> Refusal:
    return Refusal(404, "unknown_job", "there is no such job, or its result has expired")

"""The shapes of the replies, for the description of the API; the replies themselves are made elsewhere."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.service.jobs import JobStatus
from bench.service.requests import KEY_HEADER


class ReadData(BaseModel):
    """An answer, and what it took."""

    text: str
    stop_reason: Literal["stop", "length"]
    pages: int
    prompt_tokens: int | None
    visual_tokens: int | None
    generated_tokens: int | None
    confidence: float | None
    """Mean probability of the answer's tokens."""
    min_confidence: float | None
    seconds: float | None
    """Of the call of the model, together with all other questions of that call."""
    label: str | None = None
    probability: float | None = None


class JobOutput(BaseModel):
    """What became of a job."""

    status: Literal["success", "error"]
    message: str
    data: ReadData | None


class JobReply(BaseModel):
    """A job and its state."""

    id: str
    status: JobStatus
    position: int | None = None
    """Place in the queue, from 1."""
    output: JobOutput | None = None


class ErrorFacts(BaseModel):
    """Why a request was refused."""

    message: str
    type: str
    code: str
    param: str | None


class ErrorReply(BaseModel):
    """The reply to a request that was refused."""

    error: ErrorFacts


class VersionReply(BaseModel):
    """What answers here; facts of the loaded model follow."""

    model_config = ConfigDict(extra="allow")

    version: str
    model: str
    backend: str
    device: str | None


_REASONS = {
    400: "The request is not well formed",
    401: "The key is missing or wrong",
    403: "The request is not allowed",
    404: "There is no such thing, or none any more",
    408: "The request came too slowly",
    413: "The request is too large",
    415: "The request is of another media type",
    421: "The service is not called by this name",
    422: "The request is not valid",
    429: "The queue is full; Retry-After says when to come back",
    503: "The service cannot take the request now; Retry-After says when to come back",
    507: "The request could not be stored",
}

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": reason} for status, reason in _REASONS.items()
}
"""Replies that every route may give."""


_KEY = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "A name of your own for this request, a UUID for instance. The same request with the same "
    "name is asked once, so you may send it again when you do not know whether it arrived.",
}


def request_body(json_body: type[BaseModel], form: type[BaseModel]) -> dict[str, Any]:
    """The description of a request that is JSON or a multipart form with files."""
    fields = form.model_json_schema()
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    files = {"type": "array", "items": file, "minItems": 1, "description": "Page images and PDFs."}
    fields["properties"] = {"files": files, **fields["properties"]}
    fields["required"] = ["files", *fields.get("required", ())]
    return {
        "parameters": [_KEY],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": json_body.model_json_schema()},
                "multipart/form-data": {"schema": fields},
            },
        },
    }

"""What clients may send to the service's own API, and what of it is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any, Generic, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bench.service.answers import plain
from bench.service.problems import problem_message
from bench.service.refusals import Refusal

KEY_HEADER = "Idempotency-Key"
"""The header of draft-ietf-httpapi-idempotency-key-header."""
MAX_TEXT = 100_000
"""Characters of a prompt."""
MAX_URL = 2**27
MAX_IMAGES = 5_000

Url = Annotated[str, Field(min_length=1, max_length=MAX_URL)]
Prompt = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
Label = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\w")]

VisualTokens = Annotated[
    int, Field(ge=4, le=16_384, description="Shrink each page to at most so many visual tokens.")
]
Wait = Annotated[
    float,
    Field(
        ge=0,
        description="Seconds to wait for the answer; after them the reply is 202. "
        "More than the service allows is shortened to that.",
    ),
]


class Source(NamedTuple):
    """Where a page is to be had."""

    field: str
    """The field of the request that says so."""
    url: str


class RunFields(BaseModel):
    """A question, and how it is to be answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Prompt | None = Field(None, description="The question.")
    max_new_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most tokens of the answer."
    )
    visual_tokens: VisualTokens | None = None
    wait: Wait | None = None


class ClassifyFields(BaseModel):
    """Labels of which one suits the pages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: list[Label] = Field(min_length=2, max_length=100)
    prompt: Prompt | None = Field(
        None, description="What the labels are about; by default the kind of the document."
    )
    visual_tokens: VisualTokens | None = None
    wait: Wait | None = None

    @field_validator("labels")
    @classmethod
    def _different(cls, labels: list[str]) -> list[str]:
        if len(set(map(plain, labels))) < 2:
            raise ValueError("there must be at least two different labels")
        return list(dict.fromkeys(labels))


class PageFields(BaseModel):
    """Where the pages are: exactly one of the fields is given."""

    image_url: Url | None = Field(
        None, description="An address, if the service may fetch from there; or a data URL."
    )
    image: Url | None = Field(None, description="A page image or a PDF as a data URL in base64.")
    images: list[Url] | None = Field(
        None, min_length=1, max_length=MAX_IMAGES, description="Several pages, in their order."
    )

    @model_validator(mode="after")
    def _one_kind_of_pages(self) -> Self:
        given = [self.image_url, self.image, self.images]
        if sum(pages is not None for pages in given) != 1:
            raise ValueError("give exactly one of image_url, image and images")
        return self

    def sources(self) -> list[Source]:
        """The data URLs and addresses in their order, each with the name of its field."""
        if self.image_url is not None:
            return [Source("image_url", self.image_url)]
        if self.image is not None:
            return [Source("image", self.image)]
        return [Source("images", url) for url in self.images or ()]


class RunRequest(PageFields, RunFields):
    """One question about some pages."""

    model_config = ConfigDict(strict=True)


class ClassifyRequest(PageFields, ClassifyFields):
    """Which of some labels suits the pages."""

    model_config = ConfigDict(strict=True)


Fields = TypeVar("Fields", bound=BaseModel)


class SentRequest(NamedTuple, Generic[Fields]):
    """What a client has sent."""

    fields: Fields
    pages: Sequence[Source | bytes]
    """Files, or where they are to be had."""


_KEY = re.compile(r"[ -~]{1,255}")


def idempotency_key(request: Request) -> str | None:
    """What the client calls ``request``, so that it may send it again; None if it has no name.

    Raises:
        Refusal: it is not valid.
    """
    key = request.headers.get(KEY_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        message = "an Idempotency-Key has 1 to 255 printable ASCII characters"
        raise Refusal(400, "invalid_idempotency_key", message, field=KEY_HEADER)
    return key


async def read_sent(
    request: Request, form: type[Fields], body: type[Fields]
) -> SentRequest[Fields]:
    """What ``request`` holds: a multipart form with the fields of ``form``, or JSON like ``body``.

    Raises:
        Refusal: it is neither, or not valid.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "multipart/form-data":
        return await _read_form(request, form)
    if media != "application/json":
        message = "send application/json or multipart/form-data"
        raise Refusal(415, "unsupported_media_type", message)
    fields = await read_json_body(request, body)
    assert isinstance(fields, PageFields)
    return SentRequest(fields, fields.sources())


async def read_json_body(request: Request, kind: type[Fields]) -> Fields:
    """The JSON body of ``request``.

    Raises:
        Refusal: it is not valid.
    """
    # Not request.body(), which would keep the pages in memory while the answer is waited for.
    body = bytearray()
    async for piece in request.stream():
        body += piece
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        raise invalid(error, kind) from None


def invalid(error: ValidationError, kind: type[BaseModel], others: Sequence[str] = ()) -> Refusal:
    """The reply to a body that is not valid; it names fields that exist and repeats nothing else.

    Args:
        error: what pydantic says.
        kind: what the body should be.
        others: fields that it may have beside those of ``kind``.
    """
    problems = error.errors(include_url=False, include_input=False)
    # Of a field that may be one of several things, the deepest problem is about the one that was meant.
    problem = max(problems, key=lambda problem: len(problem["loc"]))
    known = _field_names(kind.model_json_schema())
    # A field that may be one of several things is followed by the name of the one that was meant.
    parts = [part for part, _ in groupby(problem["loc"])]
    place = [str(part) for part in parts if isinstance(part, int) or part in known]
    message = problem_message(problem)
    if problem["type"] == "extra_forbidden":
        message = (
            f"there is no such field; the fields are {', '.join([*others, *kind.model_fields])}"
        )
    where = ".".join(place)
    return Refusal(
        422, "invalid_request", f"{where}: {message}" if where else message, field=where or None
    )


def _field_names(schema: Any) -> set[str]:
    """All names of fields in a JSON schema."""
    if isinstance(schema, list):
        return {name for part in schema for name in _field_names(part)}
    if not isinstance(schema, dict):
        return set()
    inner = {name for part in schema.values() for name in _field_names(part)}
    properties = schema.get("properties")
    return inner | set(properties) if isinstance(properties, dict) else inner


async def _read_form(request: Request, kind: type[Fields]) -> SentRequest[Fields]:
    values: dict[str, Any] = {}
    files: list[bytes] = []
    labels: list[str] = []
    try:
        async with request.form(max_files=MAX_IMAGES, max_fields=200) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if name != "files":
                        raise Refusal(
                            422,
                            "invalid_request",
                            "a file of the form should be called files",
                            field="files",
                        )
                    files.append(await value.read())
                elif name == "labels":
                    labels.append(value)
                elif name in values:
                    known = name if name in kind.model_fields else None
                    message = f"{known or 'a field of the form'} comes twice"
                    raise Refusal(422, "invalid_request", message, field=known)
                else:
                    values[name] = value
    except HTTPException:
        raise Refusal(400, "invalid_form", "the form is not valid multipart/form-data") from None
    if labels:
        values["labels"] = labels
    if not files:
        raise Refusal(422, "no_image", "the form holds no file", field="files")
    try:
        return SentRequest(kind.model_validate(values), files)
    except ValidationError as error:
        raise invalid(error, kind, ["files"]) from None

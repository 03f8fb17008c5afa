"""What is known about an endpoint before it is asked: its address, the served model, its limits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import EnvironmentProblem, InvalidInput, first_problem
from bench.models.backends import check_options
from bench.schema import Json, ModelSpec
from bench.text import one_line

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
"""Capital letters only: of the keys that a person may paste here by mistake, many are words like ``hf_aB1``,
and what stands here is written into the run directory."""


class EndpointSettings(BaseModel):
    """The options of a model behind an OpenAI-compatible endpoint, as ``bench.toml`` gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    """Address up to and including ``/v1``; requests go to ``BASE_URL/chat/completions``."""
    api_key_env: str | None = None
    """Name of the environment variable that contains the key. The key itself is never stored."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 32
    """Most requests in flight at once. The number rises to this while the server keeps up."""
    requests_per_minute: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Most requests that may begin in a minute, further attempts counted; None sets no such limit."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """Seconds that one attempt may take, from sending the request to the last byte of the answer."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 6
    """How often one request is sent before it counts as failed."""
    image_format: Literal["png", "jpeg"] = "png"
    """How pages travel. PNG loses nothing; JPEG is smaller."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 95
    visual_token_side: Annotated[int, Field(ge=1, le=256)] | None = None
    """Pixels along the side of one visual token (28 for Qwen2-VL, 32 for Qwen3-VL). Where it is known,
    pages are sent in sizes that the server need not change, and its token counts are checked."""
    logprobs: bool = True
    """Ask for token probabilities, which the confidence of an answer is made of."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The field that bounds the length of an answer. Some hosted models know only the newer one."""
    response_format: dict[str, Json] | None = None
    """What every answer has to conform to, as in ``{type = "json_object"}``; ``OWN_SCHEMA`` stands for the
    JSON Schema of each question that has one. Guided decoding changes answers, so it is used only where
    somebody asks for it."""
    token_details: bool = False
    """Keep every token of an answer with its probability and the runner-up, for ``bench check``."""
    extra_body: dict[str, Json] = Field(default_factory=dict)
    """Further fields of every request, for servers that know more than the standard ones."""


OWN_SCHEMA: Mapping[str, Json] = {"type": "json_schema"}
"""The ``response_format`` that stands for the schema of the question."""


def endpoint_settings(spec: ModelSpec) -> EndpointSettings:
    """The settings in ``spec.options``.

    Raises:
        InvalidInput: an option is unknown or has the wrong type, the address is no http(s) address or
            holds a password, or no served model is named.
    """
    check_options(spec)
    try:
        settings = EndpointSettings.model_validate(dict(spec.options))
    except ValidationError as error:
        place, problem = first_problem(error)
        raise InvalidInput(f"model {spec.name}: option {place}: {problem}") from None
    _check_address(spec.name, settings.base_url)
    _check_extra_body(spec.name, settings)
    if spec.checkpoint is None:
        raise InvalidInput(
            f"model {spec.name}: the endpoint serves several models, and none of them was named",
            hint='--models MODEL@http://host:port/v1, or checkpoint = "MODEL" in bench.toml',
        )
    if settings.api_key_env is not None and not _VARIABLE.fullmatch(settings.api_key_env):
        raise InvalidInput(
            f"model {spec.name}: api_key_env must be the name of an environment variable, in capital "
            "letters, not a key",
            hint='api_key_env = "MY_SERVER_KEY", then: export MY_SERVER_KEY=...',
        )
    return settings


def api_key(settings: EndpointSettings) -> str | None:
    """The key, read from the environment; None if the endpoint needs none.

    Raises:
        EnvironmentProblem: the variable is not set, or its value cannot stand in a header.
    """
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        raise EnvironmentProblem(
            f"the environment variable {settings.api_key_env} should hold the endpoint's key, and is not set",
            hint=f"export {settings.api_key_env}=...",
        )
    if not key.isascii() or not key.isprintable():
        raise EnvironmentProblem(
            f"the key in {settings.api_key_env} contains characters that are not allowed in an HTTP header"
        )
    return key


_OWN_FIELDS: Mapping[str, str] = {
    "messages": "the pages and the question go there",
    "model": "checkpoint names the served model",
    "n": "a question has one answer",
    "stream": "questions of the single-stream scenario are streamed, and no others",
    "stream_options": "questions of the single-stream scenario are streamed, and no others",
    "response_format": "it is an option of its own",
    "logprobs": "it is an option of its own",
    "max_tokens": "bench run --max-new-tokens says how long an answer may be",
    "max_completion_tokens": "token_limit chooses this field, and --max-new-tokens its value",
    "cache_salt": "it keeps cold questions cold",
}
"""Fields of a request that ``extra_body`` must not replace → why."""


def _check_extra_body(name: str, settings: EndpointSettings) -> None:
    for field in settings.extra_body:
        if field in _OWN_FIELDS:
            raise InvalidInput(
                f"model {name}: extra_body must not contain {field}: {_OWN_FIELDS[field]}"
            )
    form = settings.response_format
    if form is not None and not isinstance(form.get("type"), str):
        raise InvalidInput(
            f"model {name}: response_format needs a type",
            hint='response_format = {type = "json_object"}',
        )


def _check_address(name: str, base_url: str) -> None:
    example = "an address looks like http://localhost:8000/v1"
    try:
        address = urlsplit(base_url)
        host, _ = address.hostname, address.port
    except ValueError:
        raise InvalidInput(
            f"model {name}: {one_line(base_url, 80)!r} is not a valid address", hint=example
        ) from None
    if address.username or address.password:
        # The address is recorded in the run, and a password would be recorded with it.
        raise InvalidInput(
            f"model {name}: the address of the endpoint must not hold a user name or a password",
            hint='api_key_env = "MY_SERVER_KEY" names the environment variable that contains the key',
        )
    if address.scheme not in {"http", "https"} or not host:
        raise InvalidInput(
            f"model {name}: {one_line(base_url, 80)!r} is not an http or https address",
            hint=example,
        )
    if address.query or address.fragment:
        raise InvalidInput(
            f"model {name}: the address {one_line(base_url, 80)!r} must end before '?' and '#'",
            hint=example,
        )

"""What is known about a server before it is started: what starts it, and how it is asked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import InvalidInput, first_problem
from bench.models.backends import check_options
from bench.schema import Json, ModelSpec
from bench.text import one_line

_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW", re.IGNORECASE)
_OWN_FLAGS: Mapping[str, str] = {
    "--host": "the server listens on the loopback address",
    "--port": "a free port is taken",
    "--api-key": "it would stand in the run",
    "--trust-remote-code": "code of a checkpoint is never run",
    "--served-model-name": "it is the model's name",
    "--model": "checkpoint or model names it",
    "--model-path": "checkpoint or model names it",
}
"""Flags that ``arguments`` must not contain → why."""


class ServingSettings(BaseModel):
    """The options of a model behind a server that the harness starts.

    Further options are those of ``bench.models.openai.settings.EndpointSettings``, except ``base_url``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str | None = None
    """An interpreter that has the engine."""
    command: str | None = None
    """Words that start the engine in the place of an interpreter, split as by a shell; flags follow them."""
    image: str | None = None
    """A container image that has the engine as its entry point."""
    arguments: tuple[str, ...] = ()
    """Further flags of the engine."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the server."""
    start_seconds: Annotated[float, Field(gt=0, le=86_400)] = 1200.0
    """How long the server may take until it is ready; it loads and compiles meanwhile."""
    context: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of a prompt and its answer together; None leaves it to the checkpoint."""
    gpu_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory that the server takes; None leaves it to the engine."""
    prefix_caching: bool = True
    """Whether the server keeps what it computed of a page for the next question about it."""
    offline: bool = False
    """Never ask the hub."""


def split_options(spec: ModelSpec) -> tuple[ServingSettings, dict[str, Json]]:
    """The settings of the server in ``spec.options``, and the options of the endpoint that it becomes.

    Raises:
        InvalidInput: an option is unknown or has the wrong type, or more than one thing is to start it.
    """
    check_options(spec)
    own = {key: value for key, value in spec.options.items() if key in ServingSettings.model_fields}
    rest = {key: value for key, value in spec.options.items() if key not in own}
    try:
        settings = ServingSettings.model_validate(own)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise InvalidInput(f"model {spec.name}: option {place}: {problem}") from None
    _check(spec, settings)
    return settings, rest


def _check(spec: ModelSpec, settings: ServingSettings) -> None:
    named = [key for key in ("python", "command", "image") if getattr(settings, key) is not None]
    if len(named) > 1:
        raise InvalidInput(
            f"model {spec.name}: {' and '.join(named)} both say what starts the server",
            hint="leave all of them out but one",
        )
    if settings.command is not None:
        words(spec.name, settings.command)
    for variable in settings.environment:
        if _SECRET.search(variable):
            raise InvalidInput(
                f"model {spec.name}: environment must not contain {one_line(variable, 60)}, because it would "
                "stand in the run",
                hint=f"export {one_line(variable, 60)}; the server inherits it",
            )
    for argument in settings.arguments:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag in _OWN_FLAGS:
            raise InvalidInput(
                f"model {spec.name}: arguments must not contain {flag}: {_OWN_FLAGS[flag]}"
            )


def words(name: str, command: str) -> list[str]:
    """``command`` split as a shell would split it.

    Raises:
        InvalidInput: it is empty, or a quote is open.
    """
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"model {name}: command cannot be split: {error}") from None
    if not parts:
        raise InvalidInput(f"model {name}: command is empty", hint='command = "vllm serve"')
    return parts

"""What the service is told by options and by environment variables called ``BENCH_SERVE_…``."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bench.errors import InvalidInput
from bench.service.problems import problem_message
from bench.text import one_line

PREFIX = "BENCH_SERVE_"
LEAST_KEY = 16
"""Characters of the shortest key that is accepted."""

Names = Annotated[tuple[str, ...], NoDecode]
"""Names separated by commas."""
Bytes = Annotated[int, Field(ge=1024)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ServiceSettings(BaseSettings):
    """The settings of ``bench serve``. What a person gives as an option wins over the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    """Address to listen on. Any other than a loopback address needs a key."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """0 takes a free port."""
    data: Path = Path("service")
    """Folder of the accepted jobs, their pages and their results."""
    api_key: SecretStr | None = None
    """What a client must send. Never an option, because every process of the machine can read those."""
    allowed_hosts: Names = ()
    """Further names by which clients may call a service that listens on a loopback address."""

    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Most jobs that may wait. A further one is refused (429)."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Most questions of one call of the model; None chooses by the device."""
    call_seconds: Seconds = 1800.0
    """How long one call of the model may take, before its process is ended and started again."""
    wait_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """How long a request waits for its answer unless it says otherwise."""
    most_wait_seconds: Annotated[float, Field(ge=0, le=3600)] = 300.0
    keep_seconds: Seconds = 3600.0
    """How long a result can be fetched."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 25.0
    """After SIGTERM, how long accepted jobs are still answered. What is left then is answered after the next
    start."""

    max_new_tokens: Annotated[int, Field(ge=1, le=32_768)] = 256
    """Tokens of an answer unless a request says otherwise."""
    most_new_tokens: Annotated[int, Field(ge=1, le=32_768)] = 4096

    body_bytes: Bytes = 64 * 2**20
    """Largest request."""
    receiving_bytes: Bytes = 512 * 2**20
    """Bytes of all requests that are being received at the same time."""
    pages: Annotated[int, Field(ge=1, le=5000)] = 50
    """Most pages of one request."""
    connections: Annotated[int, Field(ge=1, le=100_000)] = 4096
    header_seconds: Seconds = 10.0
    """How long a client may take to send the headers of a request."""
    upload_seconds: Seconds = 120.0
    """How long a client may take to send the body of a request."""

    fetch_hosts: Names = ()
    """Hosts from which pages may be fetched, ``*.example.com`` for those below one; none switches it off."""
    fetch_http: bool = False
    """Whether pages may be fetched without encryption."""
    fetch_bytes: Bytes = 32 * 2**20
    fetch_seconds: Seconds = 15.0
    """How long fetching one file may take."""

    @field_validator("allowed_hosts", "fetch_hosts", mode="before")
    @classmethod
    def _at_commas(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(name.strip().lower() for name in value.split(",") if name.strip())

    @field_validator("batch_size", mode="before")
    @classmethod
    def _or_auto(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @property
    def key(self) -> str | None:
        """The key that clients must send; None if none is needed."""
        return None if self.api_key is None else self.api_key.get_secret_value()

    @property
    def is_loopback(self) -> bool:
        """Whether the service listens where only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def service_settings(**options: Any) -> ServiceSettings:
    """The settings that ``options`` and the environment give; an option that is None was not given.

    Raises:
        InvalidInput: a value is not valid, the key is too weak, or it is missing where one is needed.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = ServiceSettings(**given)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = str(problem["loc"][0])
        where = f"--{name.replace('_', '-')}" if name in given else PREFIX + name.upper()
        raise InvalidInput(f"{where}: {problem_message(problem)}") from None
    _check_key(settings)
    return settings


def _check_key(settings: ServiceSettings) -> None:
    key, variable = settings.key, PREFIX + "API_KEY"
    if key is not None and (len(key) < LEAST_KEY or not key.isascii() or not key.isprintable()):
        raise InvalidInput(
            f"the key in {variable} should have at least {LEAST_KEY} printable ASCII characters",
            hint=f"export {variable}=$(openssl rand -hex 32)",
        )
    if key is None and not settings.is_loopback:
        raise InvalidInput(
            f"other machines can reach the address {one_line(settings.host, 60)}, so the service needs a key",
            hint=f"export {variable}=$(openssl rand -hex 32), or --host 127.0.0.1",
        )

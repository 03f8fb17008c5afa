"""``bench serve``: a model behind HTTP, for documents that come one by one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from bench.cli.commands import GroupedCommand, choice, takes
from bench.cli.model_options import (
    ModelOptions,
    device_choice,
    dtype_choice,
    max_pixels_choice,
    offline_choice,
    resolve_model,
    visual_tokens_choice,
)
from bench.cli.option_types import FOLDER
from bench.cli.options import (
    MODEL_NAMES,
    batch_size_choice,
    model_choice,
    page_gib_choice,
    page_pixels_choice,
    page_seconds_choice,
)
from bench.errors import require_package

SERVE_PACKAGES = (
    "fastapi",
    "fastapi_offline",
    "httptools",
    "prometheus_client",
    "pydantic_settings",
    "uvloop",
)
"""Packages of the extra serve."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions(ModelOptions):
    """What a person chose for ``bench serve``."""

    model: str = model_choice(
        required=True,
        group="Service",
        help=f"Serve this model: {MODEL_NAMES}.",
    )
    host: str | None = choice(
        group="Service",
        metavar="ADDRESS",
        help="Listen on this address. An address that other machines can reach needs a key in the "
        "environment variable BENCH_SERVE_API_KEY.  [default: 127.0.0.1]",
    )
    port: int | None = choice(
        group="Service",
        type=click.IntRange(0, 65_535),
        help="Listen on this port; 0 takes a free one.  [default: 8000]",
    )
    data: Path | None = choice(
        group="Service",
        type=FOLDER,
        metavar="FOLDER",
        help="Keep accepted jobs and their results in this folder.  [default: service]",
    )
    queue: int | None = choice(
        group="Service",
        type=click.IntRange(1, 1_000_000),
        help="Let at most N jobs wait, and refuse further ones (429).  [default: 1,000]",
    )
    fetch_hosts: str | None = choice(
        group="Service",
        metavar="HOSTS",
        help="Fetch pages from these hosts, separated by commas; *.example.com allows those below "
        "example.com. Without the option, no address is fetched.",
    )
    dtype: str | None = dtype_choice()
    device: str | None = device_choice()
    batch_size: int | None = batch_size_choice(
        help="Answer at most N questions in one call of the model. auto chooses by the device."
    )
    offline: bool = offline_choice()
    max_pixels: int | None = max_pixels_choice()
    visual_tokens: int | None = visual_tokens_choice()
    page_seconds: float | None = page_seconds_choice()
    page_gib: float | None = page_gib_choice()
    page_pixels: int | None = page_pixels_choice()


@click.command("serve", cls=GroupedCommand)
@takes(ServeOptions)
def serve_command(options: ServeOptions) -> None:
    """Serve a model over HTTP: a queue that survives restarts, and the OpenAI API beside its own.

    docs/service.md describes the API, and the settings that only environment variables have.

    \b
    bench serve --model qwen2-vl-nano --port 8000
    bench ask http://localhost:8000 scan.png -q "What is the total?"
    BENCH_SERVE_API_KEY=... bench serve --model qwen2-vl-2b --host 0.0.0.0
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    for package in SERVE_PACKAGES:
        require_package("bench serve", package, "serve")
    from bench.service.serve import serve
    from bench.service.settings import service_settings
    from bench.tasks.limits import set_page_limits

    settings = service_settings(
        host=options.host,
        port=options.port,
        data=options.data,
        queue=options.queue,
        fetch_hosts=options.fetch_hosts,
        batch_size=options.batch_size or None,
    )
    set_page_limits(pages=settings.pages)
    serve(resolve_model(options.model, options, may_ask_hub=True), settings)

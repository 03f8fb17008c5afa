"""The options of ``bench check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from bench.cli.commands import argument
from bench.cli.model_options import (
    ModelOptions,
    device_choice,
    dtype_choice,
    engine_choice,
    max_pixels_choice,
    min_pixels_choice,
    offline_choice,
    server_choice,
    visual_tokens_choice,
)
from bench.cli.option_types import FOLDER, RESULTS, OneName
from bench.cli.options import (
    WHAT,
    batch_size_choice,
    directory_choice,
    json_choice,
    limit_choice,
    output_choice,
    tasks_choice,
    what_choice,
)


@dataclass(frozen=True, kw_only=True)
class CheckOptions(ModelOptions):
    """What a person chose for ``bench check``."""

    model: str = argument(type=OneName())
    against: str = what_choice(
        required=True,
        metavar="WAY",
        help="Compare the answers with those of another way of asking: reference (plain generate of "
        "transformers, one question at a time), reference:NAME (the same for the model NAME, if MODEL is "
        "behind a server), one-by-one (MODEL itself, one question at a time), or the name of another model.",
    )
    tasks: tuple[str, ...] = tasks_choice(
        required=True,
        group=WHAT,
        help="Ask the questions of these tasks, separated by commas.",
    )
    limit: int = limit_choice(group=WHAT, default=50)
    margin: float = what_choice(
        type=click.FloatRange(0, 1),
        default=0.01,
        metavar="SCORE",
        help="Accept a difference of mean scores up to this: 0.01 is one point of a hundred.",
    )
    min_pixels: int | None = min_pixels_choice()
    max_pixels: int | None = max_pixels_choice()
    visual_tokens: int | None = visual_tokens_choice()
    batch_size: int = batch_size_choice(
        default="auto", help="Ask MODEL this many questions in one call."
    )
    """Questions per call; 0 lets the program choose."""
    concurrency: int | None = engine_choice(
        type=click.IntRange(1, 1024),
        help="Let at most N requests be in flight to the server that runs MODEL.",
    )
    dtype: str | None = dtype_choice()
    device: str | None = device_choice()
    engine: str | None = server_choice(
        help="Start this engine as a server of this machine, and check MODEL as it answers there."
    )
    offline: bool = offline_choice()
    out: Path = directory_choice(
        "-o",
        also=("--results", "--runs"),
        type=FOLDER,
        default=RESULTS,
        help="Make the run directories in this folder.",
    )
    fresh: bool = directory_choice(
        help="Ask all questions again, even if an unfinished check could be continued."
    )
    attach: str | None = directory_choice(
        metavar="RUN", help="Show the result also in the report of this run of MODEL."
    )
    flips: int = output_choice(
        type=click.IntRange(0), default=10, help="Print at most N answers that differ."
    )
    as_json: bool = json_choice()

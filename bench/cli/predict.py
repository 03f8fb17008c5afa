"""``bench predict``: one question about some page images, to see a model at work."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.cli.commands import option, takes
from bench.cli.model_options import (
    ModelOptions,
    device_option,
    max_pixels_option,
    offline_option,
    resolve_model,
    visual_tokens_option,
)
from bench.cli.options import OneName, json_option
from bench.text import printable

DEFAULT_QUESTION = "Опиши документ."


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions(ModelOptions):
    """What a person chose for ``bench predict``."""

    images: tuple[Path, ...]
    question: str
    model: str | None
    max_new_tokens: int
    as_json: bool


@click.command("predict")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@option(
    "-q",
    "--question",
    default=DEFAULT_QUESTION,
    show_default=True,
    metavar="TEXT",
    help="Ask this question.",
)
@option(
    "-m",
    "--model",
    also=("--models",),
    type=OneName(),
    help="Ask this model: a name from bench list models, a hub id, or a folder with a checkpoint or an "
    "adapter.  [default: the largest Qwen2-VL that fits]",
)
@option(
    "--max-new-tokens",
    type=click.IntRange(1, 32_768),
    default=256,
    show_default=True,
    metavar="N",
    help="Let the answer have at most N tokens.",
)
@max_pixels_option
@visual_tokens_option
@device_option
@offline_option
@json_option
@takes(PredictOptions)
def predict_command(options: PredictOptions) -> None:
    """Ask a model one question about page images.

    IMAGES are pictures, TIFF files and PDF files; together, in the order given, they are one document.

    \b
    bench predict scan.png -q "What is the total?" -m qwen2-vl-2b
    bench predict contract.pdf -q "Кто арендатор?" -m ocr
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.cli import echo_json
    from bench.runner.predict import default_model, describe, example_page, predict

    spec = resolve_model(options.model or default_model(options.device or "auto"), options)
    answer = predict(
        options.images or [example_page()],
        options.question,
        spec,
        max_new_tokens=options.max_new_tokens,
    )
    if options.as_json:
        echo_json({**asdict(answer), "memory": answer.memory._asdict()})
        return
    click.echo(printable(answer.text, newlines=True))
    click.echo(describe(answer), err=True)

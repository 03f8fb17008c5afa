"""``bench predict``: one question about some page images, to see a model at work."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.cli import echo_json
from bench.cli.commands import argument, choice, takes
from bench.cli.model_options import (
    ModelOptions,
    device_choice,
    max_pixels_choice,
    offline_choice,
    resolve_model,
    visual_tokens_choice,
)
from bench.cli.options import (
    MODEL_NAMES,
    file_pages_choice,
    json_choice,
    max_new_tokens_choice,
    model_choice,
    page_gib_choice,
    page_pixels_choice,
    page_seconds_choice,
)
from bench.schema import DEFAULT_QUESTION
from bench.text import printable


@dataclass(frozen=True, kw_only=True)
class PredictOptions(ModelOptions):
    """What a person chose for ``bench predict``."""

    images: tuple[Path, ...] = argument(nargs=-1, type=click.Path(path_type=Path))
    question: str = choice(
        "-q", default=DEFAULT_QUESTION, metavar="TEXT", help="Ask this question."
    )
    model: str | None = model_choice(
        help=f"Ask this model: {MODEL_NAMES}.  [default: the largest Qwen2-VL that fits]"
    )
    max_new_tokens: int = max_new_tokens_choice(
        default=256, help="Let the answer have at most N tokens."
    )
    max_pixels: int | None = max_pixels_choice()
    visual_tokens: int | None = visual_tokens_choice()
    upright: bool = choice(
        help="Turn pages that lie sideways or upside down before the model sees them. The option needs the "
        "extra ocr."
    )
    device: str | None = device_choice()
    offline: bool = offline_choice()
    page_seconds: float | None = page_seconds_choice()
    page_gib: float | None = page_gib_choice()
    page_pixels: int | None = page_pixels_choice()
    file_pages: int | None = file_pages_choice()
    as_json: bool = json_choice()


@click.command("predict")
@takes(PredictOptions)
def predict_command(options: PredictOptions) -> None:
    """Ask a model one question about page images.

    IMAGES are pictures, TIFF files and PDF files; together, in the order given, they are one document.

    \b
    bench predict scan.png -q "What is the total?" -m qwen2-vl-2b
    bench predict contract.pdf -q "Кто арендатор?" -m ocr
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.runner.predict import default_model, describe, example_page, predict
    from bench.runner.threads import set_threads

    set_threads()
    name = options.model or default_model(options.device or "auto")
    spec = resolve_model(name, options, may_ask_hub=True)
    answer = predict(
        options.images or [example_page()],
        options.question,
        spec,
        max_new_tokens=options.max_new_tokens,
        upright=options.upright,
    )
    if options.as_json:
        memory = None if answer.memory is None else answer.memory._asdict()
        echo_json({**asdict(answer), "memory": memory})
        return
    click.echo(printable(answer.text, newlines=True))
    click.echo(describe(answer), err=True)

"""``bench predict``: one question about some page images, to see a model at work."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import json_option
from bench.text import printable

DEFAULT_QUESTION = "Опиши документ."


@click.command("predict")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option("-q", "--question", default=DEFAULT_QUESTION, show_default=True, help="What to ask.")
@click.option(
    "-m",
    "--model",
    help="Catalog name, hub id, checkpoint or adapter folder.  [default: the largest Qwen2-VL that fits]",
)
@click.option(
    "--max-new-tokens",
    type=click.IntRange(1, 32_768),
    default=256,
    show_default=True,
    help="Longest answer, in tokens.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@json_option
def predict_command(
    images: tuple[Path, ...],
    question: str,
    model: str | None,
    max_new_tokens: int,
    device: str | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Ask a model one question about page images (IMAGES: pictures, TIFFs, PDFs; in order).

    \b
    bench predict scan.png -q "What is the total?" -m qwen2-vl-2b
    bench predict contract.pdf -q "Кто арендатор?" -m ocr
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.models.catalog import resolve
    from bench.runner.predict import default_model, describe, example_page, predict
    from bench.runner.threads import set_threads

    set_threads()
    config = Path("bench.toml")
    spec = resolve(
        model or default_model(device or "auto"),
        bench_toml=config if config.is_file() else None,
        device=device,
        offline=offline or None,
    )
    answer = predict(images or [example_page()], question, spec, max_new_tokens=max_new_tokens)
    if as_json:
        from dataclasses import asdict

        from bench.cli import echo_json

        echo_json({**asdict(answer), "memory": answer.memory._asdict()})
        return
    click.echo(printable(answer.text, newlines=True))
    click.echo(describe(answer), err=True)

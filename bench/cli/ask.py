"""``bench ask``: one question to a service that runs somewhere."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from bench.cli import echo_json
from bench.cli.commands import argument, choice, takes
from bench.cli.option_types import NameList
from bench.cli.options import json_choice, max_new_tokens_choice
from bench.errors import INCOMPLETE, InvalidInput
from bench.schema import DEFAULT_QUESTION
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.client import JobState

KEY_VARIABLE = "BENCH_ASK_API_KEY"


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """What a person chose for ``bench ask``."""

    url: str = argument()
    images: tuple[str, ...] = argument(nargs=-1, required=True)
    question: str | None = choice(
        "-q",
        metavar="TEXT",
        help=f"Ask this question.  [default: {DEFAULT_QUESTION}]",
    )
    labels: tuple[str, ...] | None = choice(
        type=NameList(), help="Ask which of these labels suits the pages; separate them by commas."
    )
    max_new_tokens: int | None = max_new_tokens_choice(
        help="Let the answer have at most N tokens. Without the option, the service decides."
    )
    visual_tokens: int | None = choice(
        type=click.IntRange(4, 16_384), help="Shrink each page to at most N visual tokens."
    )
    patience: float = choice(
        type=click.FloatRange(0, 86_400),
        metavar="SECONDS",
        default=300.0,
        help="If the service is busy or cannot be reached, keep asking for this long.",
    )
    as_json: bool = json_choice()


@click.command("ask")
@takes(AskOptions)
def ask_command(options: AskOptions) -> None:
    """Ask a service one question about page images.

    URL is the address of a service that bench serve runs. IMAGES are pictures, TIFF files, PDF files, and
    addresses that the service may fetch; together, in the order given, they are one document. If the service
    asks for a key, put it into the environment variable BENCH_ASK_API_KEY.

    \b
    bench ask http://localhost:8000 scan.png -q "What is the total?"
    bench ask http://localhost:8000 letter.pdf --labels invoice,letter,contract
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.client import ServiceClient

    if options.labels and options.max_new_tokens is not None:
        raise InvalidInput("with --labels, the answer is a label, so --max-new-tokens has no place")
    if options.labels and len(options.labels) < 2:
        raise InvalidInput("--labels needs at least two different labels, separated by commas")
    key = os.environ.get(KEY_VARIABLE) or None
    watch = _Progress()
    with ServiceClient(options.url, key=key, patience=options.patience) as client:
        if options.labels:
            state = client.classify(
                options.images,
                options.labels,
                options.question,
                visual_tokens=options.visual_tokens,
                watch=watch,
            )
        else:
            state = client.ask(
                options.images,
                options.question,
                max_new_tokens=options.max_new_tokens,
                visual_tokens=options.visual_tokens,
                watch=watch,
            )
    if options.as_json:
        echo_json(asdict(state))
    is_answer = "label" in state.data if options.labels else bool(state.data)
    if not is_answer:
        answered = f" It is: {one_line(state.data['text'])}" if state.data.get("text") else ""
        click.echo(f"error: {printable(state.message)}{answered}", err=True)
        raise click.exceptions.Exit(INCOMPLETE)
    if not options.as_json:
        click.echo(printable(state.text, newlines=True))
    if not state.text.strip():
        click.echo("note: the answer is empty", err=True)


class _Progress:
    """Says on a terminal what the job waits for."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, state: JobState) -> None:
        saying = ""
        if state.status == "IN_QUEUE":
            saying = f"In the queue at place {state.position or '?'} …"
        elif state.status == "IN_PROGRESS":
            saying = "The model is answering …"
        if saying and saying != self._said and sys.stderr.isatty():
            click.echo(saying, err=True)
        self._said = saying

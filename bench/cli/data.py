"""``bench data``: making, drafting, checking and splitting document sets."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.commands import VerbGroup, option, takes
from bench.cli.model_options import ModelOptions, device_option, offline_option, resolve_model
from bench.cli.options import Label, NameList, OneName, json_option
from bench.errors import INCOMPLETE, InvalidInput
from bench.formatting import plural
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.schema import Task

_folder = click.argument("folder", type=click.Path(path_type=Path))


@click.group("data", cls=VerbGroup)
def data_command() -> None:
    """Make, check and split sets of documents.

    \b
    bench data init scans/ --lang ru                  ask questions about every document in a folder
    bench data annotate scans/ --model qwen2-vl-7b    let a model draft the answers
    bench data accept scans/                          accept the drafts after you have corrected them
    bench data validate scans/                        check the result
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped


@data_command.command("init")
@_folder
@option(
    "--lang",
    type=click.Choice(["en", "ru", "zh"]),
    default="en",
    show_default=True,
    help="Write the first questions and the prompt in the language of the documents.",
)
@option(
    "--ask",
    "questions",
    type=Label(),
    multiple=True,
    metavar="FIELD=QUESTION",
    help="Ask this question about every document. The option may be given several times. Without it, the "
    "questions are about the number, the date and the total.",
)
def init_command(folder: Path, lang: str, questions: tuple[tuple[str, str], ...]) -> None:
    """Make a task from a folder of page images and PDFs, or add its new documents to the task.

    Every line is a draft without an answer. Write the answers into samples.jsonl, or let a model draft them.
    The name of a subfolder becomes the type of its documents.

    \b
    bench data init scans/ --lang ru --ask "inn=Какой ИНН у продавца?" --ask "total=Сумма к оплате?"
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.authoring.starter import start_task

    started = start_task(folder, language=lang, questions=dict(questions) or None)
    samples = printable(str(folder / "samples.jsonl"))
    click.echo(
        f"Found {plural(started.documents, 'document')} ({started.new_documents:,} new), and added "
        f"{plural(started.questions, 'question')} to {samples}."
    )
    if started.questions:
        place = shlex.quote(str(folder))
        click.echo(
            'Now write the answers ("answers": ["…"], or [""] if the page has none), or let a model draft '
            f"them:\n  bench data annotate {place} --model MODEL\n"
            f"When the answers are right, accept them:\n  bench data accept {place}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotateOptions(ModelOptions):
    """What a person chose for ``bench data annotate``."""

    folder: Path
    model: str


@data_command.command("annotate")
@_folder
@option(
    "-m",
    "--model",
    also=("--models",),
    type=OneName(),
    required=True,
    help="Let this model draft the answers. Name it as in bench run.",
)
@device_option
@offline_option
@takes(AnnotateOptions)
def annotate_command(options: AnnotateOptions) -> None:
    """Let a model draft the answers that are missing.

    Answers that exist are not changed, and drafts are not scored. Correct them in samples.jsonl, then accept
    them. Do not judge a model by references that it drafted itself; metadata.drafted_by names the model.
    """
    from bench.authoring.annotate import annotate

    def say(done: int, total: int) -> None:
        click.echo(f"{done:,} of {plural(total, 'document')} done", err=True)

    result = annotate(options.folder, resolve_model(options.model, options), say)
    for failure in result.failed:
        click.echo(printable(f"failed: {failure}"), err=True)
    drafted, documents = plural(result.drafted, "answer"), plural(result.documents, "document")
    click.echo(f"The model drafted {drafted} on {documents}.")
    if result.drafted:
        place = shlex.quote(str(options.folder))
        click.echo(f"Correct the drafts, then accept them: bench data accept {place}")
    if result.failed:
        raise click.exceptions.Exit(INCOMPLETE)


@data_command.command("accept")
@_folder
@option(
    "--ids", type=NameList(), help="Accept only the drafts with these ids, separated by commas."
)
def accept_command(folder: Path, ids: tuple[str, ...] | None) -> None:
    """Turn drafts that have answers into references.

    Correct the drafts in samples.jsonl first. Afterwards models are scored against them.
    """
    from bench.authoring.drafts import accept_drafts

    accepted, unanswered = accept_drafts(folder, ids)
    click.echo(f"Accepted {plural(accepted, 'draft')}.")
    if unanswered:
        click.echo(
            f"Without an answer, and therefore still drafts: {plural(unanswered, 'question')}."
        )


@data_command.command("validate")
@click.argument("task")
@option("--deep", is_flag=True, help="Decode every page completely, not only its header.")
@json_option
def validate_command(task: str, deep: bool, as_json: bool) -> None:
    """Check a task and name every problem in it.

    TASK is a task's name, a task folder, or a folder of your own documents. The exit status is 0 if the task
    can be run, and 2 if it cannot.
    """
    from bench.cli import echo_json
    from bench.tasks import check_task, find_task
    from bench.tasks.problems import Problem

    notes: list[Problem] = []
    loaded, problems = check_task(find_task(task), deep=deep, notes=notes)
    if as_json:
        echo_json([problem._asdict() for problem in problems])
    else:
        lines = [*map(str, problems), *(f"note: {note}" for note in notes)]
        for line in lines:
            click.echo(printable(line))
    if problems:
        raise InvalidInput(f"{one_line(task, 80)} has {plural(len(problems), 'problem')}")
    if loaded is not None and not as_json:
        click.echo(f"{_described(loaded)}. No problem was found.")


def _described(task: Task) -> str:
    pages = sum(len(document.pages) for document in task.documents.values())
    return (
        f"{printable(task.name)} has {plural(len(task.samples), 'question')} on "
        f"{plural(len(task.documents), 'document')} ({plural(pages, 'page')}), "
        f"and {task.metrics[0]} decides its ranking"
    )


@data_command.command("split")
@_folder
@option(
    "--train",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    metavar="SHARE",
    help="Put this share of the documents into the training part.",
)
@option(
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Put this share of the documents into a part for the validation in bench tune. Without such a part, "
    "bench tune validates on some of the training documents.",
)
@option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Choose the documents with this seed. Another seed gives other parts.",
)
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the parts into this folder.  [default: the folder that holds the task]",
)
def split_command(
    folder: Path, train: float, validation: float, seed: int, out: Path | None
) -> None:
    """Split a task by document into NAME-train for tuning and NAME-test for measuring.

    No document is in two parts, even under two names. Every sample says in metadata.split which part it
    belongs to.
    """
    from bench.authoring.splitting import split_task
    from bench.tasks import find_task

    parts = split_task(find_task(str(folder)), train, seed, out, validation=validation)
    sizes = [(parts.train, parts.train_documents)]
    if parts.validation is not None:
        sizes.append((parts.validation, parts.validation_documents))
    sizes.append((parts.test, parts.test_documents))
    for part, documents in sizes:
        click.echo(f"{printable(str(part))}: {plural(documents, 'document')}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthOptions:
    """What a person chose for ``bench data synth``."""

    folder: Path | None
    out: Path | None
    kinds: tuple[str, ...]
    languages: tuple[str, ...]
    count: int
    seed: int
    scan: str
    layouts: tuple[str, ...] | None

    @property
    def destination(self) -> Path:
        """The folder that is named, or one called after what is drawn."""
        default = "-".join(["synth", *self.kinds, *self.languages, str(self.seed)])
        return self.folder or self.out or Path(default)


@data_command.command("synth")
@click.argument(
    "folder", metavar="[OUT]", type=click.Path(path_type=Path, file_okay=False), required=False
)
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the task into this folder, as OUT does.",
)
@option(
    "--kind",
    "kinds",
    also=("--kinds",),
    type=NameList(),
    required=True,
    help="Draw these kinds of documents, separated by commas: schet-faktura, invoice, receipt, form, "
    "contract, slip.",
)
@option(
    "--lang",
    "languages",
    type=NameList(),
    default="ru",
    show_default=True,
    help="Draw documents in these languages, separated by commas: ru, en, zh. Some kinds exist in some "
    "languages only.",
)
@option(
    "-n",
    "--count",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Draw N documents.",
)
@option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Draw with this seed. The same seed gives the same bytes, and another seed other documents.",
)
@option(
    "--scan",
    default="mixed",
    show_default=True,
    metavar="QUALITY",
    help="Make the pages look scanned: clean, light, heavy, photo, or mixed (clean, light and heavy).",
)
@option(
    "--layout",
    "layouts",
    also=("--layouts",),
    type=NameList(),
    help="Use only these layouts of the kind, separated by commas. Without the option, all are used.",
)
@takes(SynthOptions)
def synth_command(options: SynthOptions) -> None:
    """Draw documents whose answers are known exactly, as many as you like.

    The task is written into the folder OUT, or into a folder named after what is drawn. A larger count begins
    with the same documents as a smaller one.

    \b
    bench data synth invoices/ --kind invoice,schet-faktura --lang ru -n 200
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.synth import synthesise
    from bench.tasks import load_task

    written = synthesise(
        options.kinds,
        options.languages,
        options.count,
        options.seed,
        options.destination,
        scan=options.scan,
        layouts=options.layouts or (),
    )
    task = load_task(written)
    questions, documents = (
        plural(len(task.samples), "question"),
        plural(len(task.documents), "document"),
    )
    click.echo(f"{printable(str(options.destination))}: {questions} on {documents}")

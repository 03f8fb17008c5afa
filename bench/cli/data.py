"""``bench data``: making, drafting, checking and splitting document sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import echo_json
from bench.cli.audit import audit_command, described
from bench.cli.commands import VerbGroup, argument, choice, takes
from bench.cli.complaints import print_list
from bench.cli.model_options import ModelOptions, device_choice, offline_choice, resolve_model
from bench.cli.option_types import FOLDER, Label, NameList
from bench.cli.options import (
    file_pages_choice,
    json_choice,
    limit_choice,
    model_choice,
    page_gib_choice,
    page_pixels_choice,
    page_seconds_choice,
    perturb_seed_choice,
)
from bench.errors import INCOMPLETE, INVALID, InvalidInput
from bench.formatting import plural
from bench.text import one_line, printable, shell_word

if TYPE_CHECKING:
    from bench.authoring.starter import Started

_folder = partial(argument, type=click.Path(path_type=Path))


@click.group("data", cls=VerbGroup)
def data_command() -> None:
    """Make, check and split sets of documents.

    \b
    bench data init scans/ --lang ru                  ask questions about every document in a folder
    bench data annotate scans/ --model qwen2-vl-7b    let a model draft the answers
    bench data accept scans/                          accept the drafts after you have corrected them
    bench data validate scans/                        check the result
    bench data audit scans/ --run last                name what is probably wrong in it
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped


@dataclass(frozen=True, kw_only=True)
class InitOptions:
    """What a person chose for ``bench data init``."""

    folder: Path = _folder()
    lang: str | None = choice(
        metavar="CODE",
        help="Say that all documents are in this language: de, ru, pt-BR or any other code. Without the "
        "option, the language of each document is guessed from the text that its file carries, or from a "
        "few lines that OCR reads (with the extra ocr). The first "
        "questions are in that language if they are known in it, and otherwise in English.",
    )
    questions: tuple[tuple[str, str], ...] = choice(
        "--ask",
        type=Label(),
        multiple=True,
        metavar="FIELD=QUESTION",
        help="Ask this question about every document. The option may be given several times. Without it, the "
        "questions are about the number, the date and the total.",
    )
    schema: Path | None = choice(
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="Ask for everything that this JSON Schema describes, in one question about every document. The "
        "file is copied into the folder.",
    )


@data_command.command("init")
@takes(InitOptions)
def init_command(options: InitOptions) -> None:
    """Make a task from a folder of page images and PDFs, or add its new documents to the task.

    Every line is a draft without an answer. Write the answers into samples.jsonl, or let a model draft them.
    The name of a subfolder becomes the type of its documents.

    \b
    bench data init scans/ --lang ru --ask "inn=Какой ИНН у продавца?" --ask "total=Сумма к оплате?"
    bench data init scans/ --lang ru --schema invoice.schema.json
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.authoring.starter import described_files, start_task

    def say(name: str) -> None:
        click.echo(f"looking for the language of the scan {printable(name)}", err=True)

    if options.schema is not None and options.questions:
        raise InvalidInput("--ask and --schema exclude each other: the schema makes the question")
    started = start_task(
        options.folder,
        language=options.lang,
        questions=dict(options.questions) or None,
        schema=options.schema,
        say=say,
    )
    samples = printable(str(options.folder / "samples.jsonl"))
    click.echo(
        f"Found {plural(started.documents, 'document')} ({started.new_documents:,} new), and added "
        f"{plural(started.questions, 'question')} to {samples}."
    )
    if started.passed_over:
        click.echo(
            f"Passed over {plural(len(started.passed_over), 'file')} that no page can be read from: "
            f"{printable(described_files(started.passed_over))}."
        )
        lines = [f"passed over: {name}" for name in started.passed_over]
        print_list(lines, "files", options.folder.resolve().name)
    if options.lang is None and started.new_documents:
        click.echo(f"Languages of the new documents: {_languages(started)}.")
    if started.questions:
        place = shell_word(options.folder)
        form = (
            '"answers": [{…}], with null for what the page lacks'
            if options.schema is not None
            else '"answers": ["…"], or [""] if the page has none'
        )
        click.echo(
            f"Now write the answers ({form}), or let a model draft "
            f"them:\n  bench data annotate {place} --model MODEL\n"
            f"When the answers are right, accept them:\n  bench data accept {place}"
        )


def _languages(started: Started) -> str:
    known = [f"{code} {count:,}" for code, count in sorted(started.languages.items()) if code]
    if unknown := started.languages.get("", 0):
        known.append(f"unknown {unknown:,} (--lang CODE names it for all)")
    text = ", ".join(known)
    if started.glanced:
        text += (
            f"; {plural(started.glanced, 'scan')} without a text layer told by OCR of a few lines"
        )
    return text


@dataclass(frozen=True, kw_only=True)
class AnnotateOptions(ModelOptions):
    """What a person chose for ``bench data annotate``."""

    folder: Path = _folder()
    model: str = model_choice(
        required=True, help="Let this model draft the answers. Name it as in bench run."
    )
    device: str | None = device_choice()
    offline: bool = offline_choice()


@data_command.command("annotate")
@takes(AnnotateOptions)
def annotate_command(options: AnnotateOptions) -> None:
    """Let a model draft the answers that are missing.

    Answers that exist are not changed, and drafts are not scored. Correct them in samples.jsonl, then accept
    them. Do not judge a model by references that it drafted itself; metadata.drafted_by names the model.
    """
    from bench.authoring.annotate import annotate
    from bench.runner.threads import set_threads

    set_threads()

    def say(done: int, total: int) -> None:
        click.echo(f"{done:,} of {plural(total, 'document')} done", err=True)

    result = annotate(options.folder, resolve_model(options.model, options), say)
    failures = [f"failed: {failure}" for failure in result.failed]
    print_list(failures, "failures", options.folder.name, err=True)
    drafted, documents = plural(result.drafted, "answer"), plural(result.documents, "document")
    if result.documents:
        click.echo(f"The model drafted {drafted} on {documents}.")
    else:
        click.echo("No question lacks an answer or a draft, so the model was not asked.")
    if result.empty:
        click.echo(
            f"It gave an empty answer to {plural(result.empty, 'question')}, which "
            f"{'stays' if result.empty == 1 else 'stay'} open: ask another model, or write the answers."
        )
    if result.drafted:
        place = shell_word(options.folder)
        click.echo(f"Correct the drafts, then accept them: bench data accept {place}")
    if result.failed:
        raise click.exceptions.Exit(INCOMPLETE)


@dataclass(frozen=True, kw_only=True)
class AcceptOptions:
    """What a person chose for ``bench data accept``."""

    folder: Path = _folder()
    ids: tuple[str, ...] | None = choice(
        type=NameList(), help="Accept only the drafts with these ids, separated by commas."
    )
    absent: bool = choice(
        help="Also accept drafts with an empty answer. It means that the document does not have the answer."
    )


@data_command.command("accept")
@takes(AcceptOptions)
def accept_command(options: AcceptOptions) -> None:
    """Turn drafts that have answers into references.

    Correct the drafts in samples.jsonl first. Afterwards models are scored against them.
    """
    from bench.authoring.drafts import accept_drafts

    accepted, unanswered, absent, left = accept_drafts(
        options.folder, options.ids, absent=options.absent
    )
    click.echo(f"Accepted {plural(accepted, 'draft')}.")
    if absent and options.absent:
        click.echo(
            f"Of these, {plural(absent, 'draft says', 'drafts say')} that there is no answer."
        )
    elif absent:
        click.echo(
            f"{plural(absent, 'draft has', 'drafts have')} an empty answer and could not be accepted. If the "
            "documents do not have these answers, accept them with --absent."
        )
    if unanswered:
        click.echo(
            f"{plural(unanswered, 'draft has', 'drafts have')} no answer yet and could not be accepted."
        )
    print_list(
        [f"not accepted: {draft}" for draft in left], "drafts", options.folder.resolve().name
    )


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """What a person chose for ``bench data validate``."""

    task: str = argument()
    deep: bool = choice(help="Decode every page completely, not only its header.")
    page_seconds: float | None = page_seconds_choice()
    page_gib: float | None = page_gib_choice()
    page_pixels: int | None = page_pixels_choice()
    file_pages: int | None = file_pages_choice()
    as_json: bool = json_choice()


@data_command.command("validate")
@takes(ValidateOptions)
def validate_command(options: ValidateOptions) -> None:
    """Check a task and name every problem in it.

    TASK is a task's name, a task folder, or a folder of your own documents. The exit status is 0 if the task
    can be run, and 2 if it cannot.
    """
    from bench.tasks import check_task, find_task

    checked = check_task(find_task(options.task), deep=options.deep)
    if options.as_json:
        echo_json([problem._asdict() for problem in checked.problems])
        if checked.problems:
            raise click.exceptions.Exit(INVALID)
        return
    name = Path(options.task).resolve().name
    print_list([str(problem) for problem in checked.problems], "problems", name)
    print_list([f"note: {note}" for note in checked.notes], "notes", name)
    if checked.problems:
        count = plural(len(checked.problems), "problem")
        raise InvalidInput(f"{one_line(options.task, 80)} has {count}")
    if checked.task is not None:
        click.echo(f"{described(checked.task)}. No problem was found.")


data_command.add_command(audit_command)


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """What a person chose for ``bench data split``."""

    folder: Path = _folder()
    train: float = choice(
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.8,
        metavar="SHARE",
        help="Put this share of the documents into the training part.",
    )
    validation: float = choice(
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        metavar="SHARE",
        help="Put this share of the documents into a part for the validation in bench tune. Without such a "
        "part, bench tune validates on some of the training documents.",
    )
    seed: int = choice(
        type=int,
        default=0,
        help="Choose the documents with this seed. Another seed gives other parts.",
    )
    out: Path | None = choice(
        "-o",
        type=FOLDER,
        help="Write the parts into this folder. Without the option, they lie beside the task's folder, or in "
        "the working directory if the task is not a folder of yours.",
    )


@data_command.command("split")
@takes(SplitOptions)
def split_command(options: SplitOptions) -> None:
    """Split a task by document into NAME-train for tuning and NAME-test for measuring.

    No document is in two parts, even under two names. Every sample says in metadata.split which part it
    belongs to.
    """
    from bench.authoring.splitting import split_task
    from bench.tasks import find_task

    task = find_task(str(options.folder))
    out = options.out
    if out is None and task not in {options.folder, options.folder.parent}:
        # A task of the package, or a downloaded one: its own folder is no place for files of a person.
        out = Path()
    parts = split_task(task, options.train, options.seed, out, validation=options.validation)
    sizes = [(parts.train, parts.train_documents)]
    if parts.validation is not None:
        sizes.append((parts.validation, parts.validation_documents))
    sizes.append((parts.test, parts.test_documents))
    for part, documents in sizes:
        click.echo(f"{printable(str(part))}: {plural(documents, 'document')}")


@dataclass(frozen=True, kw_only=True)
class SynthOptions:
    """What a person chose for ``bench data synth``."""

    folder: Path | None = argument(
        metavar="[OUT]", type=click.Path(path_type=Path, file_okay=False), required=False
    )
    out: Path | None = choice(
        "-o", type=FOLDER, help="Write the task into this folder, as OUT does."
    )
    kinds: tuple[str, ...] = choice(
        "--kind",
        also=("--kinds",),
        type=NameList(),
        required=True,
        help="Draw these kinds of documents, separated by commas: schet-faktura, invoice, receipt, form, "
        "contract, slip.",
    )
    languages: tuple[str, ...] = choice(
        "--lang",
        type=NameList(),
        default="ru",
        help="Draw documents in these languages, separated by commas: ru, en, zh. Some kinds exist in some "
        "languages only.",
    )
    count: int = choice("-n", type=click.IntRange(1), default=20, help="Draw N documents.")
    seed: int = choice(
        type=int,
        default=0,
        help="Draw with this seed. The same seed gives the same bytes, and another seed other documents.",
    )
    scan: str = choice(
        default="mixed",
        metavar="QUALITY",
        help="Make the pages look scanned: clean, light, heavy, photo, or mixed (clean, light and heavy).",
    )
    layouts: tuple[str, ...] | None = choice(
        "--layout",
        also=("--layouts",),
        type=NameList(),
        help="Use only these layouts of the kind, separated by commas. Without the option, all are used.",
    )

    @property
    def destination(self) -> Path:
        """The folder that is named, or one called after what is drawn."""
        default = "-".join(["synth", *self.kinds, *self.languages, str(self.seed)])
        return self.folder or self.out or Path(default)


@data_command.command("synth")
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

    if options.folder is not None and options.out is not None:
        raise InvalidInput(
            f"the command names two folders for the task: {options.folder} and --out {options.out}",
            hint="leave out one of them",
        )
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


@dataclass(frozen=True, kw_only=True)
class PerturbOptions:
    """What a person chose for ``bench data perturb``."""

    task: str = argument()
    perturb: tuple[str, ...] = choice(
        type=NameList(),
        default="all,scan,photo,fax",
        metavar="KINDS",
        help="Apply these kinds and mixtures, as in bench run --perturb.",
    )
    perturb_seed: int = perturb_seed_choice()
    limit: int = limit_choice(default=1, help="Take the first N documents of the task.")
    out: Path = choice(
        "-o", type=FOLDER, default="perturbed", help="Write the pictures into this folder."
    )


@data_command.command("perturb")
@takes(PerturbOptions)
def perturb_command(options: PerturbOptions) -> None:
    """Write the pages of a task as bench run --perturb shows them to a model, to look at them.

    TASK is a task's name, a task folder, or one page file. Each picture is a PNG file, and a JPEG file for
    each page has them all on one sheet.

    \b
    bench data perturb slips --perturb scan,photo -n 3 -o looks/
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.authoring.contact_sheet import write_perturbed_pages
    from bench.runner.perturb import conditions
    from bench.schema import Document
    from bench.tasks import find_task, load_task
    from bench.tasks.pages import read_pages

    chosen = conditions(options.perturb, options.perturb_seed)
    path = Path(options.task)
    if path.is_file():
        documents = [Document(path.name, read_pages(path))]
    else:
        documents = list(load_task(find_task(options.task)).documents.values())[: options.limit]
    for sheet in write_perturbed_pages(documents, chosen, options.out):
        click.echo(printable(str(sheet)))

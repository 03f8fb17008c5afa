"""``bench data``: making, drafting, checking and splitting document sets."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bench.cli.options import Label, NameList, json_option
from bench.errors import INCOMPLETE, InvalidInput
from bench.text import one_line, printable

_folder = click.argument("folder", type=click.Path(path_type=Path))


@click.group("data")
def data_command() -> None:
    """Make and check document sets.

    \b
    bench data init scans/ --lang ru            ask about every document in a folder
    bench data annotate scans/ --model qwen2-vl-7b    draft the answers
    bench data accept scans/                    after looking through them
    bench data validate scans/
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped


@data_command.command("validate")
@click.argument("task")
@click.option("--deep", is_flag=True, help="Also decode every page, not only its header.")
@json_option
def validate_command(task: str, deep: bool, as_json: bool) -> None:
    """Check a task (a name, a task folder, or a folder of own documents); name every problem.

    Exit status 0 where it can be run, 2 where it cannot.
    """
    from bench.tasks import check_task, find_task

    checked = check_task(find_task(task), deep=deep)
    loaded, problems = checked.task, checked.problems
    if as_json:
        from bench.cli import echo_json

        echo_json([problem._asdict() for problem in problems])
    else:
        for problem in problems:
            click.echo(printable(str(problem)))
        for note in checked.notes:
            click.echo(printable(f"note: {note}"))
    if problems:
        raise InvalidInput(
            f"{one_line(task, 80)}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
        )
    if loaded is not None and not as_json:
        pages = sum(len(document.pages) for document in loaded.documents.values())
        click.echo(
            f"{loaded.name}: {len(loaded.samples)} questions on {len(loaded.documents)} documents "
            f"({pages} pages), headline {loaded.metrics[0]}; nothing is wrong"
        )


@data_command.command("init")
@_folder
@click.option(
    "--lang",
    type=click.Choice(["en", "ru", "zh"]),
    default="en",
    show_default=True,
    help="Language of the documents: of the starting questions and of the prompt.",
)
@click.option(
    "--ask",
    "questions",
    type=Label(),
    multiple=True,
    metavar="FIELD=QUESTION",
    help="Asked about every document; repeatable. Without it: number, date, total.",
)
def init_command(folder: Path, lang: str, questions: tuple[tuple[str, str], ...]) -> None:
    """Make a task of a folder of page images and PDFs; add lines for new documents to one.

    Every line is a draft without an answer: write the answers into samples.jsonl, or let a model draft
    them. A subfolder's name becomes the documents' type.

    \b
    bench data init scans/ --lang ru --ask "inn=Какой ИНН у продавца?" --ask "total=Сумма к оплате?"
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.authoring.starter import start_task

    started = start_task(folder, language=lang, questions=dict(questions) or None)
    click.echo(
        f"{started.documents} documents, {started.new_documents} of them new; "
        f"{started.questions} questions added to {printable(str(folder / 'samples.jsonl'))}"
    )
    if started.questions:
        place = shlex.quote(str(folder))
        click.echo(
            f'Write the answers ("answers": ["…"]; [""] where the page has none), or draft them:\n'
            f"  bench data annotate {place} --model MODEL\nThen: bench data accept {place}"
        )


@data_command.command("annotate")
@_folder
@click.option("-m", "--model", required=True, help="As in bench run: a name, a hub id or a folder.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
def annotate_command(folder: Path, model: str, device: str | None, offline: bool) -> None:
    """Let a model draft the answers that are missing; nothing that has an answer is touched.

    Drafts are not scored. Correct them in samples.jsonl, then accept them. Do not judge a model by
    references that it drafted itself: metadata.drafted_by says which did.
    """
    from bench.authoring.annotate import annotate
    from bench.models.catalog import resolve

    toml = Path("bench.toml") if Path("bench.toml").is_file() else None
    spec = resolve(model, bench_toml=toml, device=device, offline=offline or None)

    def say(done: int, total: int) -> None:
        click.echo(f"{done} of {total} documents", err=True)

    result = annotate(folder, spec, say)
    for failure in result.failed:
        click.echo(printable(f"failed: {failure}"), err=True)
    click.echo(f"{result.drafted} answers drafted on {result.documents} documents")
    if result.drafted:
        click.echo(f"Correct them, then: bench data accept {shlex.quote(str(folder))}")
    if result.failed:
        raise click.exceptions.Exit(INCOMPLETE)


@data_command.command("accept")
@_folder
@click.option("--ids", type=NameList(), help="Only these drafts, separated by commas.")
def accept_command(folder: Path, ids: tuple[str, ...] | None) -> None:
    """Turn drafts that have answers into references."""
    from bench.authoring.drafts import accept_drafts

    accepted, without = accept_drafts(folder, ids)
    click.echo(f"{accepted} drafts accepted")
    if without:
        click.echo(f"{without} stay drafts: they have no answers yet")


@data_command.command("split")
@_folder
@click.option(
    "--train",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    help="Share of the documents that go to the training part.",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of the documents for a part that bench tune validates with; without one it holds "
    "out some of the training part.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the parts; without it, beside the task.",
)
def split_command(
    folder: Path, train: float, validation: float, seed: int, out: Path | None
) -> None:
    """Cut a task by document: NAME-train for tuning, NAME-test for measuring.

    A document is never in two parts, under whatever name, and every sample says in metadata.split
    where it is.
    """
    from bench.authoring.splitting import split_task
    from bench.tasks import find_task

    parts = split_task(find_task(str(folder)), train, seed, out, validation=validation)
    click.echo(f"{printable(str(parts.train))}: {parts.train_documents} documents")
    if parts.validation is not None:
        click.echo(f"{printable(str(parts.validation))}: {parts.validation_documents} documents")
    click.echo(f"{printable(str(parts.test))}: {parts.test_documents} documents")


@data_command.command("synth")
@click.argument("out", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option(
    "--out", "named", type=click.Path(path_type=Path, file_okay=False), help="The same as OUT."
)
@click.option("--kind", "kinds", type=NameList(), required=True, help="Kinds, separated by commas.")
@click.option(
    "--lang", "languages", type=NameList(), default="ru", show_default=True, help="ru, en, zh."
)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="How many documents.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything drawn.")
@click.option(
    "--scan",
    default="mixed",
    show_default=True,
    help="clean, light, heavy, photo or mixed: how badly the pages are scanned.",
)
@click.option(
    "--layout",
    "layouts",
    type=NameList(),
    help="Only these layouts of the kind; without it all of them are drawn.",
)
def synth_command(
    out: Path | None,
    named: Path | None,
    kinds: tuple[str, ...],
    languages: tuple[str, ...],
    count: int,
    seed: int,
    scan: str,
    layouts: tuple[str, ...] | None,
) -> None:
    """Draw documents with exact references into OUT: a task of as many documents as you like.

    Without OUT the folder is named after what is drawn. The same seed gives the same bytes, and a
    larger count begins with the same documents.

    \b
    bench data synth invoices/ --kind invoice,schet-faktura --lang ru -n 200
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.synth import synthesise
    from bench.tasks import load_task

    folder = out or named or Path("-".join(["synth", *kinds, *languages, str(seed)]))
    task = load_task(
        synthesise(kinds, languages, count, seed, folder, scan=scan, layouts=layouts or ())
    )
    click.echo(
        f"{printable(str(folder))}: {len(task.samples)} questions on {len(task.documents)} documents"
    )

"""``bench data audit``: what is probably wrong in a task, and mending it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import echo_json
from bench.cli.commands import argument, choice, takes
from bench.cli.option_types import NameList
from bench.cli.options import json_choice, only_results_choice
from bench.errors import InvalidInput
from bench.formatting import plural
from bench.text import one_line, printable, shell_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.authoring.audit import Finding
    from bench.schema import Task
    from bench.scoring.evaluation import Evaluation


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """What a person chose for ``bench data audit``."""

    task: str = argument()
    runs: tuple[str, ...] = choice(
        "--run",
        multiple=True,
        metavar="RUN",
        help="Also name the questions that every model of these runs gets wrong. The option may be given "
        "several times.",
    )
    against: tuple[str, ...] = choice(
        type=NameList(),
        metavar="TASKS",
        default=(),
        help="Also name the pages that are in these tasks, such as the other part of a split.",
    )
    out: Path | None = choice(
        "-o",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write the findings into this JSON Lines file, to decide on them.",
    )
    apply: Path | None = choice(
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Carry out the decisions in this file.",
    )
    everything: bool = choice("--all", help="Also show the findings that were accepted before.")
    results: Path = only_results_choice()
    as_json: bool = json_choice()


@click.command("audit")
@takes(AuditOptions)
def audit_command(options: AuditOptions) -> None:
    """Name questions and references that are probably wrong, and mend them.

    To decide, write the findings with --out. Set "decision" of a line to "accept" if nothing is wrong, or to
    "mend" after you have corrected "answers" (null removes a question). Then carry it out with --apply. A
    mended task gets a new version.

    \b
    bench data audit scans/ --run last --out findings.jsonl
    bench data audit scans/ --apply findings.jsonl
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.authoring.audit import audit
    from bench.authoring.mending import accepted_keys, write_findings
    from bench.tasks import expand_tasks, find_task, load_task

    folder = find_task(options.task)
    if options.apply is not None:
        _check_own(options.task, folder)
        _apply(folder, options.apply)
        return
    task = load_task(folder)
    named = expand_tasks(options.against) if options.against else []
    others = [load_task(each) for each in named if each.resolve() != folder.resolve()]
    findings = audit(task, others, _evaluations(options.runs, options.results, task.name))
    accepted = accepted_keys(folder)
    hides = frozenset() if options.everything else accepted
    shown = [finding for finding in findings if finding.key not in hides]
    if options.out is not None:
        kept = write_findings(options.out, shown, task, accepted)
    if options.as_json:
        echo_json([{"key": finding.key, **asdict(finding)} for finding in shown])
    else:
        _print_findings(shown, task)
        if hidden := len(findings) - len(shown):
            click.echo(f"{plural(hidden, 'finding')} accepted before; --all shows all.")
    if options.out is not None:
        decisions = f"; {plural(kept, 'decision')} in it stayed" if kept else ""
        nothing = " (empty)" if not shown and not kept else ""
        place = printable(str(options.out))
        click.echo(f"Findings {place}{nothing}{decisions}", err=options.as_json)


def _evaluations(runs: Sequence[str], results: Path, task: str) -> list[Evaluation]:
    """The scores of runs that asked ``task``; what only one model gets wrong is no finding."""
    from bench.cli.lookup import find_run
    from bench.rundir.store import RunStore
    from bench.scoring.evaluation import evaluate

    evaluations = []
    models: set[str] = set()
    for name in runs:
        run = RunStore.open(find_run(name, results))
        if task not in run.task_names():
            raise InvalidInput(
                f"--run {one_line(name, 60)}: the run did not ask the task {one_line(task, 60)}",
                hint="bench list runs shows the tasks of each run",
            )
        evaluations.append(evaluate(run))
        models.update(run.model_names())
    if len(models) == 1:
        click.echo(
            "note: the runs have one model only, and what one model alone gets wrong is no finding",
            err=True,
        )
    return evaluations


def _print_findings(findings: Sequence[Finding], task: Task) -> None:
    from bench.authoring.audit import KINDS

    if not findings:
        click.echo(f"{described(task)}. Nothing was found that is probably wrong.")
        return
    for kind, meaning in KINDS.items():
        own = [finding for finding in findings if finding.kind == kind]
        if not own:
            continue
        click.echo(f"{kind}: {meaning} ({plural(len(own), 'finding')})")
        for finding in own:
            ids = ", ".join(printable(id_) for id_ in finding.ids[:4])
            click.echo(f"  {ids}: {printable(finding.message)}")
            click.echo(f"    {printable(', '.join(finding.pages[:4]))}")
        click.echo("")


def _check_own(name: str, folder: Path) -> None:
    """Refuse to change a task that the program brought along or downloaded."""
    if not Path(name).expanduser().is_dir():
        raise InvalidInput(
            f"{one_line(name, 60)} is no folder of yours, so it is not changed",
            hint=f"copy it first: cp -r {shell_word(folder)} {shell_word(f'my-{folder.name}')}",
        )


def _apply(folder: Path, path: Path) -> None:
    from bench.authoring.mending import apply_decisions

    applied = apply_decisions(folder, path)
    click.echo(
        f"{plural(applied.accepted, 'finding')} accepted, {plural(applied.mended, 'question')} mended, "
        f"{applied.removed:,} removed."
    )
    if applied.version is not None:
        click.echo(f"The task has the version {printable(applied.version)} now.")


def described(task: Task) -> str:
    """What a task asks about, in one sentence without its full stop."""
    pages = sum(len(document.pages) for document in task.documents.values())
    return (
        f"{printable(task.name)} has {plural(len(task.samples), 'question')} on "
        f"{plural(len(task.documents), 'document')} ({plural(pages, 'page')}), "
        f"and {task.metrics[0]} decides its ranking"
    )

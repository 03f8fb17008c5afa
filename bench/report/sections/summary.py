"""What a person remembers, what limits the numbers, and what to type next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import formatting
from bench.report.caveats import CAUSES
from bench.report.findings import Clause
from bench.report.samples import worst
from bench.report.section import EVERYWHERE, PAGE, TERMINAL, Block, Code, Section, Term, Terms, Text
from bench.report.views import ReportView, RunView
from bench.text import shell_word

MAX_RUNS = 3
"""Runs whose facts stand in the head of the page; all of them are under "How to get these numbers again"."""

GRAVE = ("state", "failures")
"""Kinds of caveats that stand out: what was asked for is not there. They come first."""


def section(view: ReportView) -> Section:
    """The head of the report."""
    figures = tuple(
        Term(highlight.label, highlight.text, model=highlight.model)
        for highlight in view.verdict.points
        if len(view.rows) > 1
    )
    grave = sum(caveat.kind in GRAVE for caveat in view.caveats)
    blocks: tuple[Block, ...] = (
        *map(_said, view.verdict.boards),
        *_next_on_the_page(view),
        Terms(figures, "figures", EVERYWHERE - PAGE),
        Text(
            tuple(caveat.text for caveat in view.caveats),
            "warning",
            "Warning",
            grave=grave,
            causes=tuple(CAUSES[caveat.kind] for caveat in view.caveats),
        ),
        Terms(_facts(view), "facts", frozenset(("html", "json"))),
        *(Code(command, "command", "Next", TERMINAL) for command in _next_commands(view)),
    )
    return Section("top", view.title, blocks, short="Summary")


def _said(clauses: Sequence[Clause]) -> Text:
    """What the verdict says of one board."""
    return Text(
        tuple(clause.text for clause in clauses),
        "headline",
        label="Summary",
        grave=sum(clause.leads for clause in clauses),
        evidence=tuple(clause.evidence for clause in clauses),
    )


def _next_on_the_page(view: ReportView) -> tuple[Text, ...]:
    """What a reader of the page does next: mend what stands in the way, or read what went wrong."""
    if view.verdict.next_step:
        return (Text((f"Next: {view.verdict.next_step}.",), "next", outputs=PAGE),)
    if not view.ranked:
        return ()
    best = view.ranked[0]
    wrong = best.levels.get("wrong", 0) + best.levels.get("failed", 0)
    if wrong == 0:
        words = "Next: add documents; these do not tell the best models apart."
        return (Text((words,), "next", outputs=PAGE),) if best.tied else ()
    what = formatting.plural(wrong, "question")
    link = f"read the {what} that {best.key} got wrong"
    filter = {"show": "wrong", "model": best.key}
    if best.failed == best.asked:
        link, filter["show"] = f"read the errors of {best.key}", "failed"
    return (Text(("Next:",), "next", link=link, filter=filter, outputs=PAGE),)


def _facts(view: ReportView) -> tuple[Term, ...]:
    numbers = {
        "Question": view.load.questions,
        "Document": view.load.documents,
        "Page": view.load.pages,
        "Task": len(view.tasks),
        "Model": len(view.rows),
        "Failed question": sum(row.failed for row in view.rows),
    }
    if len(view.runs) > MAX_RUNS:
        numbers["Run"] = len(view.runs)
    terms = []
    for noun, number in numbers.items():
        terms.append(Term(noun if number == 1 else f"{noun}s", formatting.count(number)))
    for number, run in enumerate(view.runs[:MAX_RUNS], start=1):
        noun = "Run" if len(view.runs) == 1 else f"Run {number}"
        parts = _origin(run)
        # A single run's name is the heading already.
        if run.name != view.title or not parts:
            parts = [run.name, *parts]
        terms.append(Term(noun, parts[0], " · ".join(parts[1:])))
    return tuple(terms)


def _origin(run: RunView) -> list[str]:
    """When, on what, and how a run was made."""
    parts = [formatting.moment(run.started), run.hardware]
    if run.protocol:
        parts.append(f"protocol {run.protocol}")
    if run.commit:
        parts.append(f"commit {run.commit[:8]}")
    return [part for part in parts if part]


def _next_commands(view: ReportView) -> list[str]:
    """What to type next: the report, and one question that a model got wrong."""
    paths = [_short_path(run.path) for run in view.runs]
    options = [shell_word(option) for option in view.repeated]
    commands = [" ".join(["bench report", *paths, *options, "--open"])] if paths else []
    wrong = set(map(id, worst(view)))
    first = next((sample for sample in view.samples if id(sample) in wrong), None)
    if first is not None and len(paths) == 1:
        name = f"{view.tasks[first.task].name}/{first.sample.id}"
        if name.isprintable():
            commands.append(f"bench show {paths[0]} {shell_word(name)}")
    return commands


def _short_path(path: str) -> str:
    """Relative to the working folder where that is shorter, quoted for a shell."""
    full = Path(path).resolve()
    here = Path.cwd()
    return shell_word(full.relative_to(here) if full.is_relative_to(here) else full)

"""``bench compare``: is the difference between two models real, and which answers make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import echo_json
from bench.cli.commands import argument, choice, takes
from bench.cli.lookup import find_sides, matched_sides
from bench.cli.option_types import NameList
from bench.cli.options import json_choice, results_choice
from bench.cli.tables import has_color, line_width, wrapped
from bench.formatting import plural, score
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.scoring.comparison import Comparison, Flip


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What a person chose for ``bench compare``."""

    first: str = argument(metavar="A")
    second: str = argument(metavar="B")
    inside: str | None = choice(
        "--run",
        metavar="RUN",
        help="Look for the models A and B in this run.  [default: the newest run]",
    )
    metrics: tuple[str, ...] | None = choice(
        type=NameList(),
        help="Score with these metrics instead of the tasks' own. The first one is compared.",
    )
    by: tuple[str, ...] | None = choice(
        type=NameList(),
        help="Also compare by these metadata keys, such as language, doc_type or field.  "
        "[default: field, if B comes from bench tune]",
    )
    flips: int = choice(
        type=click.IntRange(0),
        default=10,
        help="Print at most N answers that were gained, and at most N that were lost.",
    )
    results: Path = results_choice()
    as_json: bool = json_choice()


@click.command("compare")
@takes(CompareOptions)
def compare_command(options: CompareOptions) -> None:
    """Compare model B with model A, question by question.

    A and B are two runs, two models of one run, or RUN:MODEL each. Models are looked for in the newest run,
    unless --run names another. The command first says which of the two is better and by how much, or how
    large a difference can still be. Then it prints the paired differences of all tasks together and of each
    task, and the answers that only one of the two models got right. If bench tune made B, every task is
    marked: B was trained on it, it is the test part, or B was not trained on it.
    """
    from bench.scoring.comparison import as_json, compare, usual_keys

    first = find_sides(options.first, options.inside, options.results, options.metrics)
    second = find_sides(options.second, options.inside, options.results, options.metrics)
    pairs = matched_sides(first, second)
    if all(a.label == b.label for a, b in pairs):
        click.echo("note: A and B are the same model of the same run, so nothing differs", err=True)
    comparisons = [
        compare(a, b, by=usual_keys(a, b) if options.by is None else options.by) for a, b in pairs
    ]
    if options.as_json:
        echo_json([as_json(comparison) for comparison in comparisons])
        return
    click.echo("\n\n".join(_text(comparison, options.flips) for comparison in comparisons))


def _text(comparison: Comparison, flips: int) -> str:
    from bench.report.comparing import comparison_table, legend
    from bench.report.terminal import terminal_table

    width = line_width()
    folded = partial(wrapped, width=width)
    lines = [
        folded(comparison.conclusion()),
        f"A  {comparison.first.label}",
        f"B  {comparison.second.label}",
        "",
        terminal_table(comparison_table(comparison), width, color=has_color()),
    ]
    lines += map(folded, _training_marks(comparison))
    lines += ["", *map(folded, _doubts(comparison))]
    lines += [
        folded(
            f"note: {plural(count, 'question')} of {task} could not be paired, and "
            f"{'was' if count == 1 else 'were'} left out"
        )
        for task, count in comparison.unpaired.items()
    ]
    lines.append(folded(legend(comparison)))
    lines += _flipped(comparison, flips, folded)
    return "\n".join(lines)


def _doubts(comparison: Comparison) -> list[str]:
    """What each task's interval leaves open; of the parts of tasks, only how many leave something."""
    doubted = [row for row in comparison.rows if row.difference.warning]
    lines = [f"note: {row.name}: {row.difference.warning}" for row in doubted if not row.is_slice]
    if parts := [row for row in doubted if row.is_slice]:
        total = sum(row.is_slice for row in comparison.rows)
        lines.append(
            f"note: {len(parts)} of {plural(total, 'part')} of tasks have few documents, or few on which "
            "the models differ, so their intervals and p are rough"
        )
    return lines


_TRAINING_MARKS = {
    "train": "B was trained on some of its documents, so a gain here proves nothing",
    "validation": "B's checkpoint was chosen by its score here, so a gain flatters B",
    "test": "it is the test part of the training task, and B has not seen its documents",
    "none": "B was not trained on it, so a loss here means that B forgot something",
}


def _training_marks(comparison: Comparison) -> list[str]:
    """What B has to do with each task, where B was tuned."""
    by_task = {row.name: row.trained for row in comparison.rows if not row.is_slice}
    marks = [
        f"{printable(task)}: {_TRAINING_MARKS[trained]}"
        for task, trained in by_task.items()
        if trained
    ]
    return ["", *marks] if marks else []


def _flipped(comparison: Comparison, count: int, folded: Callable[[str], str]) -> list[str]:
    """The answers that only one side got right, the gained and the lost apart, ``count`` of each."""
    from bench.report.comparing import balance

    words = balance(comparison)
    lines = ["", folded(words)] if words else []
    gained = [flip for flip in comparison.flips if flip.gained]
    lost = [flip for flip in comparison.flips if not flip.gained]
    for word, group in (("gained", gained), ("lost", lost)):
        if not count or not group:
            continue
        lines += ["", f"{plural(len(group), 'answer')} {word}:"]
        lines += [line for flip in group[:count] for line in _flip(flip, word, folded)]
        if len(group) > count:
            lines.append(f"… and {len(group) - count} more; --flips {len(group)} shows all")
    return lines


def _flip(flip: Flip, word: str, folded: Callable[[str], str]) -> list[str]:
    reference = flip.sample.references[0] if flip.sample.references else ""
    where = f"{printable(flip.task)}/{printable(flip.sample.id)}"
    return [
        folded(f"{word:<6} {where}: {one_line(flip.sample.question, 70)}"),
        folded(
            f"       expected {one_line(str(reference), 60)!r}; "
            f"A {one_line(flip.first.extracted, 60)!r} ({score(flip.first_score)}); "
            f"B {one_line(flip.second.extracted, 60)!r} ({score(flip.second_score)})"
        ),
    ]

"""``bench compare``: is it a difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import NameList, find_run, json_option, results_option
from bench.errors import InvalidInput, did_you_mean
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.rundir.store import RunStore
    from bench.scoring.comparison import Comparison, ComparisonRow, Flip, Side


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--run", "inside", help="The run that A and B are models of.  [default: the last one]"
)
@click.option(
    "--metrics", type=NameList(), help="Instead of the tasks' own; the first is compared."
)
@click.option(
    "--by",
    type=NameList(),
    default=None,
    help="Break down by metadata: language, doc_type, field.  [default: field, where B is tuned]",
)
@click.option(
    "--flips",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="How many answers to print that were gained, and how many that were lost.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals.")
@results_option
@json_option
def compare_command(
    first: str,
    second: str,
    inside: str | None,
    metrics: tuple[str, ...] | None,
    by: tuple[str, ...] | None,
    flips: int,
    seed: int,
    results: Path,
    as_json: bool,
) -> None:
    """Compare B with A on the same questions: paired differences and the answers that flipped.

    A and B are two runs, or two models of one run, or RUN:MODEL each. Where B comes from bench tune,
    every task is marked: trained on, its test part, or not trained on (what was forgotten).
    """
    from bench.scoring.comparison import as_json as comparison_json
    from bench.scoring.comparison import compare, usual_keys

    sides = [sides_of(name, inside, results, metrics) for name in (first, second)]
    found = [
        compare(a, b, by=usual_keys(a, b) if by is None else by)
        for a, b in matched(sides[0], sides[1])
    ]
    if as_json:
        from bench.cli import echo_json

        echo_json([comparison_json(comparison) for comparison in found])
        return
    for number, comparison in enumerate(found):
        click.echo(("\n" if number else "") + _text(comparison, flips))


def sides_of(
    name: str, inside: str | None, results: Path, metrics: tuple[str, ...] | None
) -> list[Side]:
    """Every model that ``name`` can mean: all models of a run, or one model of a run."""
    from bench.rundir.store import RunStore, find_runs
    from bench.scoring.comparison import Side
    from bench.scoring.evaluation import evaluate

    run_name, separator, model = name.rpartition(":")
    if _is_run(name, results):
        run_name, model = name, ""
    elif not separator:
        if inside is None and not find_runs(results):
            raise InvalidInput(
                f"{one_line(name, 60)!r} is neither a run nor a model: {results} holds no run yet",
                hint="bench run --models ocr --tasks all",
            )
        # A model before a part of a run's name: runs are often named after their models.
        here = RunStore.open(find_run(inside or "last", results))
        if name in here.model_names():
            run_name, model = str(here.path), name
        else:
            run_name, model = _run_by_part(name, here, results), ""
    evaluation = evaluate(RunStore.open(find_run(run_name, results)), metrics)
    if not model:
        return [Side(evaluation, each) for each in evaluation.models]
    if model not in evaluation.models:
        raise InvalidInput(
            f"run {evaluation.run.id} has no model {one_line(model, 60)!r}",
            hint=did_you_mean(model, evaluation.models),
        )
    return [Side(evaluation, model)]


def _is_run(name: str, results: Path) -> bool:
    from bench.rundir.store import RUN_FILE

    folders = (Path(name), results / name)
    return name in {"last", "latest"} or any((path / RUN_FILE).is_file() for path in folders)


def _run_by_part(name: str, here: RunStore, results: Path) -> str:
    from bench.rundir.store import find_runs

    ids = [run.id for run in find_runs(results)]
    if not any(name in run_id for run_id in ids):
        raise InvalidInput(
            f"{one_line(name, 60)!r} is neither a model of {here.id} nor a run in {results}",
            hint=did_you_mean(name, [*here.model_names(), *ids]),
        )
    return str(find_run(name, results))


def matched(first: Sequence[Side], second: Sequence[Side]) -> list[tuple[Side, Side]]:
    """Pairs of sides: the only ones, or those of one model's name."""
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    by_name = {side.model: side for side in second}
    pairs = [(side, by_name[side.model]) for side in first if side.model in by_name]
    if not pairs:
        raise InvalidInput(
            "the two runs have no model of the same name",
            hint=f"name one of each: {first[0].label} {second[0].label}",
        )
    return pairs


def _text(comparison: Comparison, flips: int) -> str:
    from bench.cli.listing import table

    lines = [f"A  {comparison.first.label}", f"B  {comparison.second.label}", ""]
    lines.append(table([_cells(row) for row in comparison.rows]))
    lines += _trained(comparison)
    lines += ["", *_doubts(comparison)]
    lines += [
        f"note: {count} questions of {task} are not shared and were left out"
        for task, count in comparison.unpaired.items()
    ]
    lines.append(
        "B − A, paired by question, 95 % interval clustered by document; p adjusted by Holm. "
        "Gained and lost: answers whose score crosses 0.5; McNemar's exact test on them."
    )
    lines += _flipped(comparison.flips, flips)
    return "\n".join(lines)


def _doubts(comparison: Comparison) -> list[str]:
    """What each task's interval leaves open; of the parts of tasks, only how many leave something."""
    doubted = [row for row in comparison.rows if row.difference.warning]
    lines = [f"note: {row.name}: {row.difference.warning}" for row in doubted if not row.is_slice]
    if parts := [row for row in doubted if row.is_slice]:
        count = sum(row.is_slice for row in comparison.rows)
        lines.append(
            f"note: {len(parts)} of {count} parts of tasks rest on few documents, or on few where the models "
            "differ: their intervals and p are rough"
        )
    return lines


_TRAINED = {
    "train": "holds documents that B was trained on: a gain here proves nothing",
    "validation": "chose the checkpoint that B is: a gain here is flattering",
    "test": "test part of the task it was trained on, unseen in training",
    "none": "not trained on: a loss here is forgetting",
}


def _trained(comparison: Comparison) -> list[str]:
    """What B has to do with each task, where it was tuned."""
    by_task = {row.name: row.trained for row in comparison.rows if not row.is_slice}
    marks = [
        f"{printable(task)}: {_TRAINED[trained]}" for task, trained in by_task.items() if trained
    ]
    return ["", *marks] if marks else []


def _flipped(flips: Sequence[Flip], count: int) -> list[str]:
    """The answers that changed sides, the gained and the lost apart, ``count`` of each."""
    lines: list[str] = []
    for word, found in (
        ("gained", [flip for flip in flips if flip.second_score > flip.first_score]),
        ("lost", [flip for flip in flips if flip.second_score < flip.first_score]),
    ):
        if not count or not found:
            continue
        lines += ["", f"{len(found)} {'answer' if len(found) == 1 else 'answers'} {word}:"]
        lines += [_flip(flip) for flip in found[:count]]
        if len(found) > count:
            lines.append(f"… and {len(found) - count} more: --flips {len(found)}")
    return lines


def _cells(row: ComparisonRow) -> dict[str, str]:
    gap = row.difference
    interval = "-" if gap.low is None or gap.high is None else f"[{gap.low:+.3f}, {gap.high:+.3f}]"
    return {
        "task": row.name,
        "metric": row.metric,
        "n": str(gap.n),
        "docs": str(gap.clusters),
        "A": f"{row.first:.3f}",
        "B": f"{row.second:.3f}",
        "B-A": "-" if gap.difference is None else f"{gap.difference:+.3f}",
        "95% CI": interval,
        "p (Holm)": _p(row.p_holm),
        "gained": str(row.gained),
        "lost": str(row.lost),
        "McNemar p": _p(row.p_mcnemar),
    }


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _flip(flip: Flip) -> str:
    mark = "gained" if flip.second_score > flip.first_score else "lost  "
    reference = flip.sample.references[0] if flip.sample.references else ""
    return (
        f"{mark} {printable(flip.task)}/{printable(flip.sample.id)}: {one_line(flip.sample.question, 70)}\n"
        f"       expected {one_line(str(reference), 60)!r}; "
        f"A {one_line(flip.first.extracted, 60)!r} ({flip.first_score:.2f}); "
        f"B {one_line(flip.second.extracted, 60)!r} ({flip.second_score:.2f})"
    )

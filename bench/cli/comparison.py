"""``bench compare`` and ``bench plan``: is it a difference, and how many documents would show one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import NameList, find_run, json_option, results_option
from bench.errors import InvalidInput, did_you_mean
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.comparing import Comparison, Flip, Row, Side
    from bench.stats import Design
    from bench.store import RunStore


SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of discordant questions that a plan without a pilot is made for, the first four that can be."""


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
    "--by", type=NameList(), default=None, help="Break down by metadata: language, doc_type, field."
)
@click.option(
    "--flips",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="How many answers that changed sides to print.",
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

    A and B are two runs, or two models of one run, or RUN:MODEL each.
    """
    from bench.comparing import as_json as comparison_json
    from bench.comparing import compare

    sides = [_sides(name, inside, results, metrics) for name in (first, second)]
    found = [compare(a, b, by=by or (), seed=seed) for a, b in _matched(sides[0], sides[1])]
    if as_json:
        from bench.cli import echo_json

        echo_json([comparison_json(comparison) for comparison in found])
        return
    for number, comparison in enumerate(found):
        click.echo(("\n" if number else "") + _text(comparison, flips))


def _sides(
    name: str, inside: str | None, results: Path, metrics: tuple[str, ...] | None
) -> list[Side]:
    """Every model that ``name`` can mean: all models of a run, or one model of a run."""
    from bench.comparing import Side
    from bench.scoring import evaluate
    from bench.store import RunStore, find_runs

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
    from bench.store import RUN_FILE

    folders = (Path(name), results / name)
    return name in {"last", "latest"} or any((path / RUN_FILE).is_file() for path in folders)


def _run_by_part(name: str, here: RunStore, results: Path) -> str:
    from bench.store import find_runs

    ids = [run.id for run in find_runs(results)]
    if not any(name in run_id for run_id in ids):
        raise InvalidInput(
            f"{one_line(name, 60)!r} is neither a model of {here.id} nor a run in {results}",
            hint=did_you_mean(name, [*here.model_names(), *ids]),
        )
    return str(find_run(name, results))


def _matched(first: Sequence[Side], second: Sequence[Side]) -> list[tuple[Side, Side]]:
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
    warnings = {row.difference.warning for row in comparison.rows if row.difference.warning}
    lines += ["", *(f"note: {warning}" for warning in sorted(warnings))]
    lines += [
        f"note: {count} questions of {task} are not shared and were left out"
        for task, count in comparison.unpaired.items()
    ]
    lines.append(
        "B − A, paired by question, 95 % interval clustered by document; p adjusted by Holm. "
        "Gained and lost: answers whose score crosses 0.5; McNemar's exact test on them."
    )
    if flips and comparison.flips:
        lines += ["", f"{len(comparison.flips)} answers changed sides:"]
        lines += [_flip(flip) for flip in comparison.flips[:flips]]
        if len(comparison.flips) > flips:
            lines.append(
                f"… and {len(comparison.flips) - flips} more: --flips {len(comparison.flips)}"
            )
    return "\n".join(lines)


def _cells(row: Row) -> dict[str, str]:
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


@click.command("plan")
@click.option("--task", "-t", required=True, help="The task that would be run.")
@click.option(
    "--difference",
    type=click.FloatRange(0.0001, 1),
    default=0.01,
    show_default=True,
    help="The difference of two mean scores that should be shown.",
)
@click.option(
    "--power",
    type=click.FloatRange(0.51, 0.999),
    default=0.8,
    show_default=True,
    help="Probability of showing it where it exists.",
)
@click.option(
    "--pilot", nargs=2, metavar="A B", help="Two models that were run already; see bench compare."
)
@click.option(
    "--discordance",
    type=click.FloatRange(0.0001, 1),
    help="Without a pilot: share of questions that only one of two models gets right.",
)
@click.option(
    "--correlation",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Without a pilot: how alike the questions of one document are.",
)
@results_option
@json_option
def plan_command(
    task: str,
    difference: float,
    power: float,
    pilot: tuple[str, str] | None,
    discordance: float | None,
    correlation: float,
    results: Path,
    as_json: bool,
) -> None:
    """How many documents a comparison needs, and what a task as it is can show."""
    from bench.stats import documents_needed, minimum_detectable_difference
    from bench.tasks import find_task, load_task

    loaded = load_task(find_task(task))
    documents = len(loaded.documents)
    per_document = len(loaded.samples) / documents
    designs = _designs(
        loaded.name, pilot, discordance, correlation, per_document, difference, results
    )
    rows = []
    for name, design in designs:
        needed = documents_needed(difference, design, power=power)
        shown = (
            minimum_detectable_difference(documents, design, power=power) if documents > 1 else None
        )
        rows.append(
            {
                "assumption": name,
                "documents needed": needed,
                "questions needed": round(needed * per_document),
                "shown by this task": None if shown is None else round(shown, 4),
            }
        )
    if as_json:
        from bench.cli import echo_json

        echo_json(
            {"task": loaded.name, "documents": documents, "difference": difference, "rows": rows}
        )
        return
    from bench.cli.listing import table

    click.echo(
        f"{loaded.name}: {len(loaded.samples)} questions on {documents} documents.\n"
        f"To show a difference of {difference:g} between two models at 5 % with power {power:g}:\n"
    )
    click.echo(table(rows))
    if pilot is None and discordance is None:
        click.echo("\nNo pilot was given: run two models on some documents, then --pilot A B.")


def _designs(
    task: str,
    pilot: tuple[str, str] | None,
    discordance: float | None,
    correlation: float,
    per_document: float,
    difference: float,
    results: Path,
) -> list[tuple[str, Design]]:
    from bench.stats import Design, discordant_variance

    if pilot is not None:
        return [("pilot " + " / ".join(pilot), _pilot(task, pilot, results))]
    if discordance is not None:
        shares = [discordance]
    else:
        shares = [share for share in SHARES if share >= difference][:4]
    return [
        (
            f"{share:.0%} of questions discordant, correlation {correlation:g}",
            Design(discordant_variance(share, difference), max(1.0, per_document), correlation),
        )
        for share in shares
    ]


def _pilot(task: str, pilot: tuple[str, str], results: Path) -> Design:
    from bench.comparing import compare
    from bench.stats import pilot_design

    sides = [_sides(name, None, results, None) for name in pilot]
    ((first, second),) = _matched(sides[0], sides[1])[:1]
    found = compare(first, second)
    for pairing in found.pairings:
        if pairing.task == task:
            a, b = pairing.values(pairing.first), pairing.values(pairing.second)
            kept = [i for i, pair in enumerate(zip(a, b, strict=True)) if None not in pair]
            return pilot_design(
                [a[i] for i in kept], [b[i] for i in kept], [pairing.clusters[i] for i in kept]
            )
    raise InvalidInput(
        f"the pilot did not ask the questions of {task}", hint="name two models that did"
    )

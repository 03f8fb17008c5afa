"""``bench check``: do two ways of asking a model give the same answers?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

import bench
from bench import formatting
from bench.cli import echo_json
from bench.cli.check_options import CheckOptions
from bench.cli.commands import GroupedCommand, takes
from bench.cli.execution import carry_out, check_loadable
from bench.cli.lookup import find_run
from bench.cli.tables import table
from bench.cli.ways import Way, two_ways
from bench.errors import REGRESSED, UNDECIDED, EnvironmentProblem, InvalidInput
from bench.formatting import plural
from bench.text import one_line, printable, utc_now

if TYPE_CHECKING:
    from bench.rundir.store import RunStore
    from bench.runner import RunPlan
    from bench.schema import ModelSpec
    from bench.scoring.agreement import AgreementRow, DifferingAnswer, EngineCheck
    from bench.scoring.comparison import Side

NO_PART_OF_A_MODEL = frozenset(
    {"token_details", "concurrency", "reference", "reuse", "timeout", "unchecked_rows"}
)
"""Options of a model that say how it is asked, not what it is."""

EXIT_CODES = {"passed": 0, "differs": REGRESSED, "undecided": UNDECIDED}


@click.command("check", cls=GroupedCommand)
@takes(CheckOptions)
def check_command(options: CheckOptions) -> None:
    """Check whether two ways of asking a model give the same answers.

    MODEL is named as in bench run. It is asked in its usual way and in a way that is trusted, in two ordinary
    runs; the same command continues a check that was stopped. The exit status is 0 if no answer differs or
    the scores agree within the margin, 5 if the scores differ, and 6 if the questions are too few to tell.

    \b
    bench check qwen2-vl-2b --against reference --tasks slips
    bench check Qwen/Qwen2-VL-2B-Instruct@http://localhost:8000/v1 --against reference --tasks slips
    bench check qwen2-vl-2b-int4 --against qwen2-vl-2b --tasks invoices-en,slips --margin 0.02
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.rundir.store import RunStore
    from bench.scoring.agreement import check_agreement
    from bench.scoring.evaluation import write_scores

    checked, against = two_ways(options)
    attached = None
    if options.attach is not None:
        attached = RunStore.open(find_run(options.attach, options.out))
        _check_same_model(attached, checked.spec)
    plans = [_plan(way, options) for way in (checked, against)]
    if plans[0].spec_id() == plans[1].spec_id():
        raise InvalidInput(
            f"both ways of asking {one_line(checked.spec.name, 60)} are the same",
            hint="--against reference, --against one-by-one, or --against and the name of another model",
        )
    for plan in plans:
        check_loadable(plan)
    sides = [_answers(plan, options) for plan in plans]
    check = check_agreement(sides[0], sides[1], options.margin)
    # Last: the same command finishes a check that has no scores, instead of beginning another.
    for side in sides:
        write_scores(side.evaluation)
    padding = _recorded_padding(checked.spec, sides[0], check)
    record = _record(check, (checked, against), sides)
    sides[0].evaluation.run.append_check(checked.spec.name, record)
    if attached is not None:
        attached.append_check(checked.spec.name, record)
    if options.as_json:
        echo_json(record)
    else:
        click.echo(_text(check, (checked, against), options.flips))
        if padding is not None:
            click.echo(padding)
    raise click.exceptions.Exit(EXIT_CODES[check.verdict])


def _check_same_model(run: RunStore, spec: ModelSpec) -> None:
    """Refuse to attach a check to a run of another model, or of the same one loaded otherwise."""
    from bench.runner.spec import differences

    recorded, wanted = (
        {**asdict(each), "options": _lasting(each.options)}
        for each in (run.model_spec(spec.name), spec)
    )
    changed = differences(recorded, wanted)
    if changed:
        raise InvalidInput(
            f"the check would be of another model than the one in {run.id}: {'; '.join(changed[:3])}",
            hint="repeat the options of that run, or leave out --attach",
        )


def _lasting(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in NO_PART_OF_A_MODEL}


# Asking


def _plan(way: Way, options: CheckOptions) -> RunPlan:
    from bench.runner import RunSettings, plan_run
    from bench.tasks import expand_tasks, load_task

    tasks = [load_task(folder) for folder in expand_tasks(options.tasks)]
    settings = RunSettings(
        limit=options.limit, batch_size=way.batch_size, warmup=False, latency_samples=0
    )
    return plan_run([way.spec], tasks, settings, name="check")


def _answers(plan: RunPlan, options: CheckOptions) -> Side:
    """The scored answers of one way, asked for as ``bench run`` does."""
    from bench.scoring.comparison import Side
    from bench.scoring.evaluation import evaluate

    (spec,) = plan.models
    outcome = carry_out(plan, options.out, fresh=options.fresh)
    side = Side(evaluate(outcome.run), spec.name)
    if outcome.failed_models or side.has_no_answers:
        failure = outcome.run.failure(spec.name) or {}
        said = one_line(failure.get("message", "it was not asked"), 300)
        raise EnvironmentProblem(
            f"{one_line(spec.name, 60)} could not be asked: {said}",
            hint=str(failure["hint"]) if failure.get("hint") else None,
        )
    return side


def _recorded_padding(spec: ModelSpec, side: Side, check: EngineCheck) -> str | None:
    """Let later runs pad questions together, or not, if that is what was checked; says what they will do."""
    asked_for = spec.options.get("unchecked_rows")
    if not isinstance(asked_for, int):
        return None
    from bench.models.transformers.checks import Circumstances, record_check

    run = side.evaluation.run
    record = run.model_record(spec.name) or {}
    circumstances = Circumstances(**record["details"]["padding_circumstances"])
    batches = [batch for task in run.task_names() for batch in run.batches(spec.name, task)]
    # Where memory was short, fewer questions than were asked for came together.
    reached = [int(batch["ladder"]["batch_size"]) for batch in batches if "ladder" in batch]
    answers = sum(row.answers for row in check.rows)
    rows = min([asked_for, answers, *reached])
    passed = check.verdict == "passed" and rows > 1
    record_check(
        circumstances,
        rows=rows,
        questions=answers,
        differing=len(check.differing),
        passed=passed,
    )
    kind = f"{circumstances.model_type} models in {circumstances.dtype}"
    if passed:
        return (
            f"On this machine, runs with --batch-size up to {rows} now pad the questions to {kind}."
        )
    return f"On this machine, {kind} go on answering their questions one by one."


def _record(check: EngineCheck, ways: tuple[Way, Way], sides: Sequence[Side]) -> dict[str, Any]:
    """What a run keeps of the check."""
    from bench.scoring.agreement import as_json

    return {
        "when": utc_now(),
        "bench": bench.__version__,
        "runs": [side.evaluation.run.id for side in sides],
        "how": [way.how for way in ways],
        **as_json(check),
    }


# Printing


def _text(check: EngineCheck, ways: tuple[Way, Way], flips: int) -> str:
    first, second = (f"{printable(way.spec.name)}, {way.how}" for way in ways)
    lines = [f"checked  {first}", f"against  {second}", ""]
    lines += [table([_cells(row) for row in check.rows]), ""]
    lines += _differing(check.differing, flips)
    for name, count in zip((check.checked, check.against), check.failed, strict=True):
        if count:
            lines.append(f"note: {plural(count, 'answer')} of {printable(name)} failed")
    lines += [
        f"note: {printable(row.task)}: {row.difference.warning}"
        for row in check.rows
        if row.difference.warning
    ]
    points = f"{100 * check.margin:g}"
    margin = f"margin {points} {'point' if points == '1' else 'points'}"
    lines.append(f"{VERDICTS[check.verdict]}: {check.sentence()} ({margin}).")
    if check.verdict == "undecided":
        lines.append("To ask more questions, raise --limit or name more tasks.")
    return "\n".join(lines)


VERDICTS = {
    "passed": "The two ways agree",
    "differs": "The two ways do not agree",
    "undecided": "The questions are too few to tell",
}


def _cells(row: AgreementRow) -> dict[str, str]:
    gap = row.difference
    known = gap.low is not None and gap.high is not None
    interval = formatting.difference_interval(gap.low, gap.high, formatting.points)
    return {
        "task": row.task,
        "metric": row.metric,
        "answers": formatting.count(row.answers),
        "docs": formatting.count(gap.clusters),
        "differ": formatting.count(row.differing),
        "in score": formatting.count(row.differing_in_score),
        "points": formatting.points(gap.difference),
        "95% CI": interval if known else formatting.DASH,
    }


def _differing(answers: Sequence[DifferingAnswer], count: int) -> list[str]:
    lines: list[str] = []
    for answer in answers[:count]:
        lines += [
            f"{printable(answer.task)}/{printable(answer.sample_id)}: {one_line(answer.question, 70)}",
            f"  checked {_said(answer.first, answer.first_score)}",
            f"  against {_said(answer.second, answer.second_score)}",
            f"  {answer.divergence.sentence()}",
            f"  page {printable(', '.join(answer.pages[:3]))}",
        ]
    if len(answers) > count:
        lines.append(f"… and {len(answers) - count} more; --flips {len(answers)} shows all")
    return [*lines, ""] if lines else []


def _said(text: str, score: float | None) -> str:
    return f"{one_line(text, 80)!r} ({formatting.score(score)})"

"""``bench check``: do two ways of asking a model give the same answers?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import bench
from bench import formatting
from bench.cli import echo_json
from bench.cli.commands import GroupedCommand, argument, takes
from bench.cli.execution import carry_out, check_loadable
from bench.cli.lookup import find_run
from bench.cli.model_options import (
    ModelOptions,
    device_choice,
    dtype_choice,
    engine_choice,
    max_pixels_choice,
    min_pixels_choice,
    offline_choice,
    resolve_models,
    server_choice,
    visual_tokens_choice,
)
from bench.cli.option_types import FOLDER, RESULTS, OneName
from bench.cli.options import (
    batch_size_choice,
    json_choice,
    limit_choice,
    output_choice,
    tasks_choice,
)
from bench.cli.run_options import WHAT, directory_choice, what_choice
from bench.cli.tables import table
from bench.errors import REGRESSED, UNDECIDED, EnvironmentProblem, InvalidInput
from bench.formatting import plural
from bench.text import one_line, printable, utc_now

if TYPE_CHECKING:
    from bench.models.backends import BackendTraits
    from bench.rundir.store import RunStore
    from bench.runner import RunPlan
    from bench.schema import ModelSpec
    from bench.scoring.agreement import AgreementRow, DifferingAnswer, EngineCheck
    from bench.scoring.comparison import Side

REFERENCE = "reference"
"""Word for plain ``generate`` of transformers, one question at a time."""
ONE_BY_ONE = "one-by-one"
"""Word for the same model, asked one question at a time."""
NO_PART_OF_A_MODEL = frozenset(
    {"token_details", "concurrency", "reference", "reuse", "timeout", "unchecked_rows"}
)
"""Options of a model that say how it is asked, not what it is."""

PADDED_ROWS = 8
"""Questions that are padded together in a check of a plain ``generate``, where nobody names a number."""

EXIT_CODES = {"passed": 0, "differs": REGRESSED, "undecided": UNDECIDED}


@dataclass(frozen=True, kw_only=True)
class CheckOptions(ModelOptions):
    """What a person chose for ``bench check``."""

    model: str = argument(type=OneName())
    against: str = what_choice(
        required=True,
        metavar="WAY",
        help="Compare the answers with those of another way of asking: reference (plain generate of "
        "transformers, one question at a time), reference:NAME (the same for the model NAME, if MODEL is "
        "behind a server), one-by-one (MODEL itself, one question at a time), or the name of another model.",
    )
    tasks: tuple[str, ...] = tasks_choice(
        required=True,
        group=WHAT,
        help="Ask the questions of these tasks, separated by commas.",
    )
    limit: int = limit_choice(group=WHAT, default=50)
    margin: float = what_choice(
        type=click.FloatRange(0, 1),
        default=0.01,
        metavar="SCORE",
        help="Accept a difference of mean scores up to this: 0.01 is one point of a hundred.",
    )
    min_pixels: int | None = min_pixels_choice()
    max_pixels: int | None = max_pixels_choice()
    visual_tokens: int | None = visual_tokens_choice()
    batch_size: int = batch_size_choice(
        default="auto", help="Ask MODEL this many questions in one call."
    )
    """Questions per call; 0 lets the program choose."""
    concurrency: int | None = engine_choice(
        type=click.IntRange(1, 1024),
        help="Let at most N requests be in flight to the server that runs MODEL.",
    )
    dtype: str | None = dtype_choice()
    device: str | None = device_choice()
    engine: str | None = server_choice(
        help="Start this engine as a server of this machine, and check MODEL as it answers there."
    )
    offline: bool = offline_choice()
    out: Path = directory_choice(
        "-o",
        also=("--results", "--runs"),
        type=FOLDER,
        default=RESULTS,
        help="Make the run directories in this folder.",
    )
    fresh: bool = directory_choice(
        help="Ask all questions again, even if an unfinished check could be continued."
    )
    attach: str | None = directory_choice(
        metavar="RUN", help="Show the result also in the report of this run of MODEL."
    )
    flips: int = output_choice(
        type=click.IntRange(0), default=10, help="Print at most N answers that differ."
    )
    as_json: bool = json_choice()


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

    checked, against = _ways(options)
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


# Two ways


class Way(NamedTuple):
    """A model and how it is asked."""

    spec: ModelSpec
    batch_size: int | None
    how: str
    """In words."""


def _ways(options: CheckOptions) -> tuple[Way, Way]:
    """The way that is checked, and the one that it is compared with."""
    spec = _resolved(options.model, options, engine=options.engine)
    if options.concurrency is not None:
        if not _on_server(spec):
            raise InvalidInput(
                f"--concurrency is for a model that a server runs, and {one_line(spec.name, 60)} is none",
                hint="--batch-size N sets how many questions are asked at once",
            )
        spec = _with(spec, concurrency=options.concurrency)
    batch_size = options.batch_size or None
    if options.against in (REFERENCE, ONE_BY_ONE) and _traits(spec).plain_generate:
        return _padded_and_alone(spec, batch_size or PADDED_ROWS)
    checked = Way(spec, batch_size, _how(spec, batch_size))
    word, _, name = options.against.partition(":")
    if word == REFERENCE:
        name = name or _local_name(spec, options)
        return checked, _reference(name, spec, options)
    if options.against == ONE_BY_ONE:
        return checked, _one_by_one(spec)
    other = _resolved(OneName().convert(options.against, None, None), options)
    return checked, Way(other, batch_size, _how(other, batch_size))


def _how(spec: ModelSpec, batch_size: int | None) -> str:
    if _on_server(spec):
        concurrency = spec.options.get("concurrency")
        return (
            "many requests at a time" if concurrency is None else f"up to {concurrency} at a time"
        )
    return "in batches" if batch_size is None else f"in batches of {batch_size}"


def _padded_and_alone(spec: ModelSpec, rows: int) -> tuple[Way, Way]:
    """Plain ``generate`` with questions padded together, whether that was checked or not, and without."""
    if rows == 1:
        raise InvalidInput(
            "a batch of one question has nothing to be checked",
            hint="--batch-size N sets how many questions are padded together",
        )
    padded = _with(spec, unchecked_rows=rows)
    return Way(padded, rows, f"in padded batches of {rows}"), _one_by_one(spec)


def _one_by_one(spec: ModelSpec) -> Way:
    single = replace(spec, name=f"{spec.name}-{ONE_BY_ONE}")
    if _on_server(spec):
        return Way(_with(single, concurrency=1), None, "one request at a time")
    return Way(single, 1, "one question at a time")


def _reference(name: str, checked: ModelSpec, options: CheckOptions) -> Way:
    spec = _resolved(name, options)
    traits = _traits(spec)
    if "reference" not in traits.options and not traits.plain_generate:
        raise InvalidInput(
            f"{one_line(spec.name, 60)} is not answered by transformers, so it has no plain generate",
            hint=f"--against {ONE_BY_ONE}, or --against and the name of another model",
        )
    if not traits.plain_generate:
        spec = _with(spec, reference=True)
    plain = replace(
        spec,
        name=f"{spec.name}-{REFERENCE}",
        # Both ways see the same pages.
        min_pixels=checked.min_pixels or spec.min_pixels,
        max_pixels=checked.max_pixels or spec.max_pixels,
    )
    return Way(plain, 1, "plain generate of transformers, one question at a time")


def _local_name(spec: ModelSpec, options: CheckOptions) -> str:
    """The name under which this machine has the model: of a served model, that of its checkpoint."""
    if options.engine is not None or not _on_server(spec) or spec.checkpoint is None:
        return options.model
    from bench.models.catalog import entry_of

    entry = entry_of(spec.checkpoint, spec.quantization)
    return spec.checkpoint if entry is None else entry.name


def _resolved(name: str, options: CheckOptions, *, engine: str | None = None) -> ModelSpec:
    """The model that ``name`` means, behind a server of ``engine``, with the options that hold there."""
    try:
        (bare,) = resolve_models([name], ModelOptions(), served_by=engine)
        elsewhere = replace(options, dtype=None, device=None, offline=False)
        fitting = elsewhere if _traits(bare).runs_in == "server" else options
        (spec,) = resolve_models([name], fitting, served_by=engine)
    except InvalidInput as error:
        if name == options.model or options.against != REFERENCE:
            raise
        raise InvalidInput(
            f"the reference of {one_line(options.model, 80)} is not known on this machine: {error.message}",
            hint="--against reference:NAME, where NAME is the same model in bench list models, or a folder",
        ) from None
    return _with(spec, token_details=True) if "token_details" in _traits(spec).options else spec


def _with(spec: ModelSpec, **more: Any) -> ModelSpec:
    return replace(spec, options={**spec.options, **more})


def _traits(spec: ModelSpec) -> BackendTraits:
    from bench.models.backends import traits_of

    return traits_of(spec)


def _on_server(spec: ModelSpec) -> bool:
    return _traits(spec).runs_in != "process"


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
    margin = f"margin {100 * check.margin:g} points"
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
    interval = f"[{formatting.points(gap.low)}, {formatting.points(gap.high)}]"
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

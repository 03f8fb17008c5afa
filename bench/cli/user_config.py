"""``bench run --config user_config.csv``: the rows of a VLMHyperBench configuration as runs.

Rows that differ only in model and data set share a run; filters, system prompts, metrics and aggregators that
differ make runs of their own, and so does the same model on the same data set with another prompt collection.
All runs are reported together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from bench.errors import ENVIRONMENT, INCOMPLETE, InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from bench.asking.prompts import PromptRule
    from bench.rundir.store import RunStore
    from bench.runner import RunPlan
    from bench.schema import ModelSpec, Output, Task
    from bench.scoring.evaluation import Evaluation
    from bench.tasks.hyperbench.config import ConfigRow
    from bench.tasks.hyperbench.layout import ConfigLayout


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that make one run: every model of them is asked every task."""

    rows: tuple[ConfigRow, ...]

    @property
    def first(self) -> ConfigRow:
        """What all rows have in common stands in each of them."""
        return self.rows[0]


def run_config(options: dict[str, Any]) -> None:
    """Run every row of ``options["config"]``, then report all runs together."""
    from bench.cli.run import carried_out
    from bench.tasks.hyperbench.config import read_user_config
    from bench.tasks.hyperbench.layout import find_layout

    path = options["config"]
    _refuse_what_rows_say()
    rows = read_user_config(path)
    layout = find_layout(path)
    for row in rows:
        for name in row.skipped_metrics:
            click.echo(f"warning: line {row.line}: {name} is not computed here", err=True)
    batches = batched_rows(rows)
    plans = [_plan(batch, layout, options) for batch in batches]
    if options["dry_run"]:
        _dry_run(plans, options)
        return
    for option in ("resume", "retry_failed"):
        if options[option]:
            raise InvalidInput(
                f"--{option.replace('_', '-')} is for one run, a user_config.csv may be several",
                hint="run the command again: it resumes",
            )
    stores: list[RunStore] = []
    failed: list[str] = []
    done = {} if options["fresh"] else _done(plans, options["results"])
    for number, (batch, plan) in enumerate(zip(batches, plans, strict=True)):
        if number in done:
            stores.append(done[number])
            continue
        if batch.first.only_evaluate:
            stores.append(_answered(batch, plan, layout, options["results"]))
            continue
        outcome = carried_out(plan, options)
        stores.append(outcome.run)
        failed += outcome.failed_models
    _conclude(stores, batches, options, failed)


def _refuse_what_rows_say() -> None:
    """An option that the rows decide would be passed over in silence."""
    from click.core import ParameterSource

    context = click.get_current_context()
    if context.params["sweep"] is not None:
        raise InvalidInput(
            "--sweep and a user_config.csv exclude each other", hint="--models NAME --sweep …"
        )
    for name in ("models", "tasks", "prompts"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InvalidInput(
                f"--{name} and a user_config.csv exclude each other: its rows name them",
                hint=f"leave out --{name}, or --config",
            )


def _done(plans: Sequence[RunPlan], results: Path) -> dict[int, RunStore]:
    """Position of a plan → its complete run, where the configuration as a whole was broken off.

    Where every plan has a complete run there is nothing to go on with, and all are run anew.
    """
    from bench.rundir.store import find_runs

    complete = {run.record.get("spec_id"): run for run in find_runs(results) if run.is_complete()}
    ids = [plan.spec_id() for plan in plans]
    found = {i: complete[spec_id] for i, spec_id in enumerate(ids) if spec_id in complete}
    return found if len(found) < len(plans) else {}


def batched_rows(rows: Sequence[ConfigRow]) -> list[Batch]:
    """Rows by run, in the order of the file."""
    groups: dict[tuple[Any, ...], list[dict[tuple[str, str, str], ConfigRow]]] = {}
    for row in rows:
        key = (row.only, row.system_prompt, row.metrics, row.aggregators, row.only_evaluate)
        place = (row.dataset, row.task, row.model)
        rounds = groups.setdefault(key, [])
        # The same cell once more, with other prompts, is another run.
        free = next((cells for cells in rounds if place not in cells), None)
        if free is None:
            free = {}
            rounds.append(free)
        free[place] = row
    return [
        Batch(part)
        for rounds in groups.values()
        for cells in rounds
        for part in _rectangles(tuple(cells.values()))
    ]


def _rectangles(rows: tuple[ConfigRow, ...]) -> list[tuple[ConfigRow, ...]]:
    """Rows split so that in each part every model has every data set."""
    models: dict[tuple[str, str], list[ConfigRow]] = {}
    for row in rows:
        models.setdefault((row.dataset, row.task), []).append(row)
    parts: dict[frozenset[str], list[ConfigRow]] = {}
    for cells in models.values():
        parts.setdefault(frozenset(row.model for row in cells), []).extend(cells)
    return [tuple(part) for part in parts.values()]


def _plan(batch: Batch, layout: ConfigLayout, options: dict[str, Any]) -> RunPlan:
    from bench.cli.planning import planned, resolved
    from bench.tasks import load_task

    names = list(dict.fromkeys(row.model for row in batch.rows))
    specs = _imported_specs(names) if batch.first.only_evaluate else resolved(names, options)
    by_name = dict(zip(names, specs, strict=True))
    tasks: dict[tuple[str, str], Task] = {}
    rules: list[PromptRule] = []
    for row in batch.rows:
        place = (row.dataset, row.task)
        if place not in tasks:
            loaded = load_task(layout.dataset(row), allow_unreadable=options["allow_unreadable"])
            tasks[place] = _set_up(loaded, row, layout)
        rules += _rules(row, layout, by_name[row.model], tasks[place])
    labels = (
        ("metrics_aggregators", ",".join(batch.first.aggregators)),
        ("user_config", options["config"].name),
    )
    named = {
        **options,
        "name": options["config"].stem if options["name"] == "run" else options["name"],
        "labels": (*options["labels"], *labels),
    }
    return planned(specs, tuple(tasks.values()), tuple(rules), named, dict(batch.first.only))


def _imported_specs(names: Sequence[str]) -> tuple[ModelSpec, ...]:
    """Names alone: a model that is not asked need not be known here."""
    from bench.schema import ModelSpec
    from bench.text import file_name

    return tuple(ModelSpec(file_name(name), backend="imported") for name in names)


def _set_up(task: Task, row: ConfigRow, layout: ConfigLayout) -> Task:
    """The task with the row's metrics leading and its system prompt."""
    from bench.scoring.evaluation import check_metrics
    from bench.tasks.loading import task_digest

    check_metrics(task, row.metrics)
    system = layout.system(row)
    prompt = task.prompt if system is None else replace(task.prompt, system=system)
    metrics = tuple(dict.fromkeys((*row.metrics, *task.metrics)))
    changed = replace(task, prompt=prompt, metrics=metrics)
    return changed if system is None else replace(changed, digest=task_digest(changed))


def _rules(row: ConfigRow, layout: ConfigLayout, spec: ModelSpec, task: Task) -> list[PromptRule]:
    """The row's prompts, for its model and data set alone."""
    from bench.asking.prompts import read_prompts

    path = layout.prompts(row)
    if path is None:
        return []
    return [replace(rule, model=spec.name, task=task.name) for rule in read_prompts(path)]


def _answered(batch: Batch, plan: RunPlan, layout: ConfigLayout, results: Path) -> RunStore:
    """A run made of answers that are there, for rows that ask no model: a file, or an earlier run.

    Raises:
        InvalidInput: a row has no answers, or the file lacks a question.
    """
    from bench.rundir.store import RunStore
    from bench.runner.run_record import known_texts, run_record

    names = list(dict.fromkeys(row.model for row in batch.rows))
    places = list(dict.fromkeys((row.dataset, row.task) for row in batch.rows))
    outputs: dict[tuple[str, str], list[Output]] = {}
    for row in batch.rows:
        spec = plan.models[names.index(row.model)]
        task = plan.tasks[places.index((row.dataset, row.task))]
        path = layout.answers(row)
        found = _stored(row, task, results) if path is None else _from_file(path, task)
        if found is None:
            raise InvalidInput(
                f"line {row.line}: only_evaluate_metrics, but there are no answers of {row.model} to "
                f"{row.dataset} in {layout.folders['model_answers'][0]}, and no run in {results}",
                hint="set only_evaluate_metrics to False, or put the answers file there",
            )
        outputs[spec.name, task.name] = found
    run = RunStore.create(results, plan.name, run_record(plan), plan.tasks, known_texts(plan))
    for (model, name), made in outputs.items():
        run.append_outputs(model, name, made)
        run.mark_done(model, name, samples=len(made), failed=0)
    for spec in plan.models:
        run.mark_done(spec.name)
    return run


def _from_file(path: Path, task: Task) -> list[Output]:
    """The answers of an answers file to every question of ``task``."""
    from bench.schema import Output
    from bench.tasks.hyperbench.annotation import read_answers

    answers = read_answers(path)
    missing = next((s.id for s in task.samples if s.id not in answers), None)
    if missing is not None:
        raise InvalidInput(f"{path}: has no answer to question {missing!r} of {task.name}")
    return [Output(sample.id, answers[sample.id], "stop") for sample in task.samples]


def _stored(row: ConfigRow, task: Task, results: Path) -> list[Output] | None:
    """The newest run's answers of the row's model to the same questions; None where no run has them."""
    from bench.rundir.store import find_runs

    for run in find_runs(results):
        if task.name not in run.task_names():
            continue
        old = {sample.id: sample for sample in run.load_task(task.name).samples}
        same = all(
            s.id in old
            and old[s.id].question == s.question
            and old[s.id].references == s.references
            for s in task.samples
        )
        for model in run.model_names() if same else ():
            checkpoint = (run.model_spec(model).checkpoint or "").rpartition("/")[2]
            outputs = run.outputs(model, task.name)
            wanted = row.model.lower() in {model.lower(), checkpoint.lower()}
            if wanted and all(sample.id in outputs for sample in task.samples):
                return [outputs[sample.id] for sample in task.samples]
    return None


def _dry_run(plans: Sequence[RunPlan], options: Mapping[str, Any]) -> None:
    from bench.cli import echo_json
    from bench.cli.dry_run import describe, describe_json
    from bench.cli.run import devices_of

    devices = [devices_of(plan, options["devices"]) for plan in plans]
    if options["as_json"]:
        echo_json([describe_json(*one) for one in zip(plans, devices, strict=True)])
        return
    for number, one in enumerate(zip(plans, devices, strict=True), 1):
        click.echo(f"Run {number} of {len(plans)}\n{describe(*one)}\n")


def _conclude(
    stores: Sequence[RunStore],
    batches: Sequence[Batch],
    options: Mapping[str, Any],
    failed: Sequence[str],
) -> None:
    """Score and export every run, and report all of them together."""
    from bench.cli.analyse import print_summary, reported
    from bench.scoring.evaluation import evaluate, write_scores

    evaluations: list[Evaluation] = [evaluate(run) for run in stores]
    written: list[Path] = []
    if not options["no_report"]:
        for evaluation in evaluations:
            reported([evaluation], None, ("vlmhyperbench",))
        written = reported(evaluations, None, ("html", "md", "json"))
    # Last, as in ``bench run``: a run that has its scores is concluded, one without is reported again.
    for evaluation in evaluations:
        write_scores(evaluation)
    print_summary(evaluations, written, as_json=options["as_json"])
    answers = [a for e in evaluations for cell in e.cells.values() for a in cell.answers]
    asked = {row.model for batch in batches for row in batch.rows}
    if failed and len(set(failed)) >= len(asked):
        raise click.exceptions.Exit(ENVIRONMENT)
    if failed or sum(a.failed for a in answers) / max(1, len(answers)) > options["max_errors"]:
        raise click.exceptions.Exit(INCOMPLETE)

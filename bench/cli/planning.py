"""From the options of ``bench run`` to a plan: which models, which tasks, asked how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.errors import InvalidInput

if TYPE_CHECKING:
    from bench.asking.prompts import PromptRule
    from bench.runner import RunPlan
    from bench.schema import ModelSpec, Task


def make_plan(options: dict[str, Any]) -> RunPlan:
    """The plan that the options of ``bench run`` ask for.

    Raises:
        InvalidInput: they name what does not exist, or contradict each other.
    """
    from bench.asking.prompts import read_prompts
    from bench.runner.sweep import parse_sweep, swept
    from bench.tasks import expand_tasks, load_task

    models = resolved(options["models"], options)
    if options["sweep"] is not None:
        models = swept(models, parse_sweep(options["sweep"]))
    tasks = tuple(
        load_task(folder, allow_unreadable=options["allow_unreadable"])
        for folder in expand_tasks(options["tasks"])
    )
    path = options["prompts"]
    rules = read_prompts(path) if path is not None else ()
    return planned(models, tasks, rules, options)


def resolved(names: Sequence[str], options: dict[str, Any]) -> tuple[ModelSpec, ...]:
    """The models that ``names`` mean, with what the command line says about them."""
    from bench.models.catalog import resolve_all

    config = options["config"]
    if config is not None and config.suffix.lower() == ".csv":
        config = Path("bench.toml") if Path("bench.toml").is_file() else None
    engine: dict[str, Any] = {"reuse": False} if options["no_reuse"] else {}
    engine |= {"reference": True} if options["reference"] else {}
    return resolve_all(
        names,
        bench_toml=config,
        dtype=options["dtype"],
        attention=options["attention"],
        device=options["device"],
        min_pixels=options["min_pixels"],
        max_pixels=options["max_pixels"],
        offline=options["offline"] or None,
        options=engine,
    )


def planned(
    models: Sequence[ModelSpec],
    tasks: Sequence[Task],
    rules: tuple[PromptRule, ...],
    options: dict[str, Any],
    only: Mapping[str, tuple[str, ...]] | None = None,
) -> RunPlan:
    """The plan, by the protocol and the other options; what a person should know is said."""
    from bench.asking.prompts import check_used, tuning_warnings
    from bench.asking.protocols import apply
    from bench.runner import RunSettings, plan_run

    sources = dict.fromkeys(rule.source for rule in rules)
    models, tasks, protocol = apply(
        options["protocol"],
        models,
        tasks,
        max_new_tokens=options["max_new_tokens"],
        collection=", ".join(sources) or None,
    )
    settings = RunSettings(
        limit=options["limit"],
        sample_ids=_sample_ids(options["sample_ids"]),
        batch_size=options["batch_size"] or None,
        max_new_tokens=options["max_new_tokens"],
        warmup=not options["no_warmup"],
        latency_samples=options["latency_samples"],
        prompts=rules,
        protocol=protocol,
        only=only or {},
        allow_downscale=options["allow_downscale"],
    )
    plan = plan_run(models, tasks, settings, name=options["name"], labels=dict(options["labels"]))
    for warning in [
        *check_used(rules, plan.models, plan.tasks),
        *tuning_warnings(rules, plan.models, plan.tasks),
    ]:
        click.echo(f"warning: {warning}", err=True)
    return plan


def _sample_ids(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    path = Path(text)
    try:
        is_file = path.is_file()
    except OSError:
        # Many ids make a longer text than a file's name may be.
        is_file = False
    try:
        names = path.read_text(encoding="utf-8").splitlines() if is_file else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--sample-ids {text}: cannot be read: {error}") from None
    ids = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not ids:
        raise InvalidInput(
            f"--sample-ids {text}: holds no id", hint="one id a line, or ids with commas"
        )
    return ids

"""``bench run``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import (
    BatchSize,
    Label,
    NameList,
    config_defaults,
    json_option,
    results_option,
)
from bench.errors import ENVIRONMENT, INCOMPLETE, INTERRUPTED, InvalidInput
from bench.text import one_line

if TYPE_CHECKING:
    from bench.runner import RunPlan
    from bench.runner.devices import Device
    from bench.runner.execute import Outcome


@click.command("run")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    callback=config_defaults,
    help="TOML file whose [run] table gives defaults and [models.NAME] tables give models; "
    "or a user_config.csv of VLMHyperBench, whose rows are run.",
)
@click.option(
    "-m",
    "--models",
    type=NameList(),
    required=True,
    help="Catalog names, hub ids, checkpoint or adapter folders, separated by commas.",
)
@click.option(
    "-t",
    "--tasks",
    type=NameList(),
    default="all",
    show_default=True,
    help="Task names, task folders, folders of own documents, or all.",
)
@click.option(
    "-n", "--limit", type=click.IntRange(1), help="Questions per task, from the first on."
)
@click.option(
    "--sample-ids", help="Only these questions: ids separated by commas, or a file of them."
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    help="Prompt collection: CSV by document type and field (and model), or a .txt for everything.",
)
@click.option(
    "--protocol",
    default="native",
    show_default=True,
    help="Ask and score as another tool does: vlmevalkit, lmms-eval or vlmhyperbench.",
)
@click.option(
    "--batch-size",
    type=BatchSize(),
    default="auto",
    show_default=True,
    help="Questions per call; auto: 64 on a GPU, 16 on a CPU, smaller when memory is short.",
)
@click.option(
    "--max-new-tokens", type=click.IntRange(1, 32_768), help="Bound on the length of an answer."
)
@click.option(
    "--min-pixels", type=click.IntRange(1), help="Enlarge pages to at least this many pixels."
)
@click.option(
    "--max-pixels", type=click.IntRange(1), help="Shrink pages to at most this many pixels."
)
@click.option(
    "--sweep",
    metavar="max_pixels=N,N,…",
    help="Each model once for every bound on a page, N in visual tokens (28x28 pixels; Qwen3-VL 32x32): "
    "rows NAME@N, and a curve in the report.",
)
@click.option(
    "--dtype", type=click.Choice(["auto", "bf16", "fp16", "fp32"]), help="Precision of the weights."
)
@click.option(
    "--attention",
    type=click.Choice(["auto", "sdpa", "flash_attention_2", "eager"]),
    help="Attention kernel.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--devices",
    help="GPU numbers (0,1): a process for each shares every model's questions. "
    "cpu,cpu: two processes on the CPU.",
)
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option(
    "--latency-samples",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Questions asked one at a time to measure latency; 0 for none.",
)
@click.option(
    "--no-reuse",
    is_flag=True,
    help="Qwen-VL: encode a page anew for each question, to compare with tools that do.",
)
@click.option(
    "--reference",
    is_flag=True,
    help="Qwen-VL: plain transformers generate, one question at a time.",
)
@click.option("--no-warmup", is_flag=True, help="Do not ask one question before the clock runs.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@click.option(
    "--allow-unreadable",
    is_flag=True,
    help="Record questions on broken pages as failures instead of refusing the task.",
)
@click.option(
    "--allow-downscale",
    is_flag=True,
    help="Where memory does not hold one question, shrink its pages, and mark the answer.",
)
@click.option(
    "--max-errors",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of failed answers above which the exit status is 4.",
)
@results_option
@click.option("--name", default="run", show_default=True, help="Part of the run directory's name.")
@click.option("--label", "labels", type=Label(), multiple=True, help="Kept in the run; repeatable.")
@click.option(
    "--resume", type=click.Path(path_type=Path), help="Continue this run directory and no other."
)
@click.option("--fresh", is_flag=True, help="Begin anew even where an unfinished run could go on.")
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Ask again what failed in the newest run of this command, finished or not.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan, and stop.")
@click.option("--no-report", is_flag=True, help="Score, but write no report.")
@json_option
def run_command(**options: Any) -> None:
    """Run models over tasks, and report.

    The same command resumes a run that was stopped or killed.

    \b
    bench run --models ocr --tasks all
    bench run --models qwen2-vl-2b,adapters/mine --tasks my/documents --max-pixels 1003520
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    if options["config"] is not None and options["config"].suffix.lower() == ".csv":
        from bench.cli.user_config import run_config

        run_config(options)
        return
    from bench.cli.planning import make_plan

    plan = make_plan(options)
    if options["dry_run"]:
        _dry_run(plan, options)
        return
    outcome = carried_out(plan, options)
    failed_share = _conclude(outcome, options)
    if len(outcome.failed_models) == len(plan.models):
        raise click.exceptions.Exit(ENVIRONMENT)
    if outcome.failed_models or failed_share > options["max_errors"]:
        raise click.exceptions.Exit(INCOMPLETE)


def carried_out(plan: RunPlan, options: dict[str, Any]) -> Outcome:
    """Execute ``plan`` with its progress on standard error; a request to stop ends the program."""
    for other in ("resume", "retry_failed"):
        if options[other] and options["fresh"]:
            raise InvalidInput(
                f"--{other.replace('_', '-')} and --fresh exclude each other",
                hint="leave out one of them",
            )
    _check_loadable(plan)
    from bench.cli.progress import RunProgress
    from bench.runner import execute

    devices = devices_of(plan, options["devices"])
    with RunProgress() as progress:
        outcome = execute(
            plan,
            options["results"],
            resume=options["resume"],
            fresh=options["fresh"],
            retry_failed=options["retry_failed"],
            devices=devices,
            progress=progress,
        )
    if outcome.interrupted:
        click.echo(f"Stopped. Continue with: {shlex.join(['bench', *sys.argv[1:]])}", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    return outcome


def devices_of(plan: RunPlan, text: str | None) -> tuple[Device, ...]:
    """What ``--devices`` names, for the models of ``plan``; none where it is not given.

    Raises:
        InvalidInput: a model says itself where it runs, or ``text`` names no devices.
    """
    from bench.runner.devices import parse_devices

    if text is None:
        return ()
    for spec in plan.models:
        if spec.device != "auto":
            raise InvalidInput(
                f"model {spec.name!r} asks for the device {spec.device}, --devices for {one_line(text, 60)}",
                hint="leave out --devices, or the device (--device, or the model's row in bench.toml)",
            )
        if spec.options.get("device_map") is not None:
            raise InvalidInput(
                f"model {spec.name!r} is spread over all GPUs (device_map), --devices gives each a model",
                hint="leave out one of them",
            )
    return parse_devices(text)


def _check_loadable(plan: RunPlan) -> None:
    """Refuse at once what would only fail later, after other models have run for hours."""
    from bench.models import make_model

    for spec in plan.models:
        make_model(spec)


def _dry_run(plan: RunPlan, options: dict[str, Any]) -> None:
    from bench.cli import echo_json
    from bench.cli.dry_run import describe, describe_json

    _check_loadable(plan)
    devices = devices_of(plan, options["devices"])
    if options["as_json"]:
        echo_json(describe_json(plan, devices))
    else:
        click.echo(describe(plan, devices))


def _conclude(outcome: Outcome, options: dict[str, Any]) -> float:
    """Score, report, print; the share of answers that failed."""
    from bench.cli.analyse import print_summary, reported
    from bench.scoring.evaluation import evaluate, write_scores

    evaluation = evaluate(outcome.run)
    written = [] if options["no_report"] else reported([evaluation], None, ("html", "md", "json"))
    # Last: the same command finishes a run that has no scores, instead of beginning another.
    write_scores(evaluation)
    print_summary([evaluation], written, as_json=options["as_json"])
    answers = [answer for cell in evaluation.cells.values() for answer in cell.answers]
    return sum(answer.failed for answer in answers) / max(1, len(answers))

"""``bench tune``."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import NameList, json_option
from bench.errors import INTERRUPTED, InvalidInput
from bench.text import printable

if TYPE_CHECKING:
    from bench.schema import ModelSpec
    from bench.tuning.tune import Order, Tuned


@click.command("tune")
@click.option("-m", "--model", help="Base: a catalog name, hub id or checkpoint folder.")
@click.option(
    "-t",
    "--task",
    help="A task that bench data split has cut, or whose samples say metadata.split.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the adapter; with --merge, of the merged checkpoint.",
)
@click.option("--merge", help="Instead of training: put this adapter into its base's weights.")
@click.option(
    "--rank", type=click.IntRange(1, 1024), default=16, show_default=True, help="Of the adapter."
)
@click.option(
    "--alpha",
    type=click.IntRange(1),
    help="Scale of the update, over the rank.  [default: 2 x rank]",
)
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Of the adapter's inputs.",
)
@click.option(
    "--modules",
    type=NameList(),
    help="Only these layers: q_proj,v_proj.  [default: every linear layer]",
)
@click.option(
    "--vision", is_flag=True, help="Adapt the vision tower too, not only the language model."
)
@click.option("--merger", is_flag=True, help="Adapt the layers between the two too.")
@click.option(
    "--quantization",
    type=click.Choice(["nf4", "int8"]),
    help="Load the base in 4 or 8 bits (QLoRA).",
)
@click.option("--dtype", type=click.Choice(["auto", "bf16", "fp32"]), help="Precision of the base.")
@click.option("--device", help="auto, cpu or cuda.")
@click.option("--min-pixels", type=click.IntRange(1), help="As in bench run.")
@click.option("--max-pixels", type=click.IntRange(1), help="As in bench run.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=2e-4,
    show_default=True,
    help="At its highest.",
)
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "linear", "constant"]),
    default="cosine",
    show_default=True,
    help="Of the learning rate, after its rise.",
)
@click.option(
    "--warmup",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.03,
    show_default=True,
    help="Share of the steps over which it rises.",
)
@click.option(
    "--weight-decay", type=click.FloatRange(0), default=0.0, show_default=True, help="Of AdamW."
)
@click.option(
    "--epochs",
    type=click.FloatRange(0, min_open=True),
    default=3.0,
    show_default=True,
    help="Passes over the training part.",
)
@click.option("--max-steps", type=click.IntRange(1), help="Instead of --epochs.")
@click.option(
    "--batch-tokens",
    type=click.IntRange(64),
    default=4096,
    show_default=True,
    help="Tokens computed together: as many pages, questions and answers as fit.",
)
@click.option(
    "--accumulate",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Batches to a step of the optimizer.",
)
@click.option(
    "--gradient-checkpointing",
    is_flag=True,
    help="Compute activations twice instead of keeping them.",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of the training documents that validate, where the task has no validation part.",
)
@click.option(
    "--validate-every", type=click.IntRange(1), help="Steps.  [default: ten times in all]"
)
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Validations without a better one before it stops; 0: never.",
)
@click.option(
    "--keep-out",
    "tests",
    type=NameList(),
    default=(),
    help="Further tasks whose documents must not be trained on.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--resume", is_flag=True, help="Go on with what --out holds, and begin nothing new.")
@click.option("--fresh", is_flag=True, help="Begin anew, even over an adapter in --out.")
@click.option("--no-memory-check", is_flag=True, help="Begin even where memory seems too small.")
@json_option
def tune_command(**options: Any) -> None:
    """Train a LoRA adapter of a Qwen-VL on a task's training part.

    The same command goes on where it was stopped or killed. The adapter is a model: name its folder
    in bench run.

    \b
    bench data split my/task
    bench tune --model qwen2-vl-2b --task my/task --out adapters/my-task
    bench run --models qwen2-vl-2b,adapters/my-task --tasks my/task-test
    bench tune --merge adapters/my-task --out merged/my-task
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    # PEFT imports bitsandbytes, which warns of a kernel on the hub that it can do without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if options["merge"] is not None:
        _merge(options)
        return
    for name in ("model", "task"):
        if options[name] is None:
            raise InvalidInput(f"--{name} is missing", hint=f"bench tune --{name} … --out …")
    from bench.tuning import check_packages

    check_packages()
    order = _order(options)
    from bench.cli.progress import TuneProgress
    from bench.tuning.tune import tune

    with TuneProgress(order.out) as progress:
        tuned = tune(order, progress)
    if tuned.ended.interrupted:
        again = [argument for argument in sys.argv[1:] if argument != "--fresh"]
        click.echo(f"Stopped. Continue with: {shlex.join(['bench', *again])}", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    _conclude(tuned, order, options)


def _order(options: dict[str, Any]) -> Order:
    from bench.models.checkpoints import TUNING_FILE
    from bench.tuning.lora import Lora
    from bench.tuning.training import Schedule
    from bench.tuning.tune import Order

    out: Path = options["out"]
    if options["resume"] and options["fresh"]:
        raise InvalidInput("--resume and --fresh exclude each other", hint="leave out one of them")
    if options["resume"] and not (out / TUNING_FILE).is_file():
        raise InvalidInput(f"{out} holds no training to go on with", hint="leave out --resume")
    shape = options["schedule"]
    return Order(
        model=_resolved(options["model"], options),
        task=options["task"],
        out=out,
        lora=Lora(
            rank=options["rank"],
            alpha=options["alpha"] or 2 * options["rank"],
            dropout=options["dropout"],
            modules=options["modules"] or (),
            vision=options["vision"],
            merger=options["merger"],
        ),
        schedule=Schedule(
            learning_rate=options["learning_rate"],
            shape="constant_with_warmup" if shape == "constant" else shape,
            warmup=options["warmup"],
            weight_decay=options["weight_decay"],
            epochs=options["epochs"],
            max_steps=options["max_steps"],
            batch_tokens=options["batch_tokens"],
            accumulate=options["accumulate"],
            validate_every=options["validate_every"],
            patience=options["patience"],
            gradient_checkpointing=options["gradient_checkpointing"],
            seed=options["seed"],
        ),
        tests=tuple(options["tests"]),
        validation_share=options["validation"],
        check_memory=not options["no_memory_check"],
        fresh=options["fresh"],
    )


def _resolved(name: str, options: dict[str, Any]) -> ModelSpec:
    from bench.models.catalog import resolve

    config = Path("bench.toml")
    return resolve(
        name,
        bench_toml=config if config.is_file() else None,
        quantization=options["quantization"],
        dtype=options["dtype"],
        device=options["device"],
        min_pixels=options["min_pixels"],
        max_pixels=options["max_pixels"],
        offline=options["offline"] or None,
    )


def _merge(options: dict[str, Any]) -> None:
    from bench.tuning.merge import merge

    out = merge(_resolved(options["merge"], options), options["out"])
    if options["as_json"]:
        from bench.cli import echo_json

        echo_json({"merged": str(out)})
        return
    click.echo(f"{printable(str(out))} is a checkpoint: bench run --models {shlex.quote(str(out))}")


def _conclude(tuned: Tuned, order: Order, options: dict[str, Any]) -> None:
    from bench.tuning.adapter_folder import CURVES

    ended = tuned.ended
    scores = [entry for entry in ended.history if "eval_score" in entry]
    best = next((entry for entry in scores if entry["step"] == ended.best_step), None)
    if options["as_json"]:
        from bench.cli import echo_json

        echo_json(
            {
                "adapter": str(tuned.out),
                "steps": ended.steps,
                "stopped_early": ended.stopped_early,
                "metric": tuned.metric,
                "before": scores[0],
                "best": best,
            }
        )
        return
    early = f", stopped early at {ended.steps} of {ended.total}" if ended.stopped_early else ""
    out, base = shlex.quote(str(tuned.out)), shlex.quote(options["model"])
    picture = printable(str(tuned.out / CURVES))
    click.echo(f"{ended.steps} steps{early}; loss and score by step: {picture}")
    if best is None:
        click.echo("No validation was better than none: the adapter was not written.")
        return
    click.echo(
        f"Validation {tuned.metric}: {scores[0]['eval_score']:.3f} before, "
        f"{best['eval_score']:.3f} at step {best['step']}, which is kept"
    )
    if best["eval_merit"] <= scores[0]["eval_merit"]:
        click.echo("warning: the adapter is no better than the model without it", err=True)
    tests = shlex.quote(",".join(tuned.tests) or "TASK")
    click.echo(
        f"Now compare on documents that neither training nor validation saw:\n"
        f"  bench run --models {base},{out} --tasks {tests}\n"
        f"  bench compare {shlex.quote(order.model.name)} {shlex.quote(printable(tuned.out.name))}"
    )

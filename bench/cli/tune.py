"""``bench tune``: trains a LoRA adapter on a task, or merges one into its base model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import formatting
from bench.cli import command_to_continue, echo_json
from bench.cli.commands import GroupedCommand, choice, takes
from bench.cli.model_options import (
    ModelOptions,
    dtype_choice,
    engine_choice,
    max_pixels_choice,
    min_pixels_choice,
    offline_choice,
    resolve_model,
    visual_tokens_choice,
)
from bench.cli.option_types import FOLDER, NameList
from bench.cli.options import json_choice, model_choice, task_choice
from bench.errors import INTERRUPTED, InvalidInput
from bench.formatting import plural
from bench.text import printable, shell_word

if TYPE_CHECKING:
    from bench.tuning.lora import Lora
    from bench.tuning.training import Schedule
    from bench.tuning.tune import Order, Tuned

WHAT = "What to train"
what_choice = partial(choice, group=WHAT)
adapter_choice = partial(choice, group="Adapter")
training_choice = partial(choice, group="Training")
validation_choice = partial(choice, group="Validation")


@dataclass(frozen=True, kw_only=True)
class TuneOptions(ModelOptions):
    """What a person chose for ``bench tune``."""

    model: str | None = model_choice(
        group=WHAT,
        help="Train an adapter for this model: a catalog name, a hub id, or a checkpoint folder.",
    )
    task: str | None = task_choice(
        group=WHAT,
        help="Train on this task. bench data split must have cut it, or its samples must carry "
        "metadata.split.",
    )
    out: Path = what_choice(
        "-o",
        type=FOLDER,
        required=True,
        help="Write the adapter into this folder. With --merge, write the merged checkpoint into it.",
    )
    merge: str | None = what_choice(
        metavar="ADAPTER",
        help="Do not train. Instead add this adapter to the weights of its base model, and write the result.",
    )
    keep_out: tuple[str, ...] = what_choice(
        type=NameList(),
        default=(),
        help="Never train on documents of these tasks. Names are separated by commas.",
    )
    resume: bool = what_choice(help="Continue the training in --out, and begin no new one.")
    fresh: bool = what_choice(
        help="Begin a new training even if --out already contains an adapter."
    )
    rank: int = adapter_choice(
        type=click.IntRange(1, 1024), default=16, help="Give the adapter's matrices this rank."
    )
    alpha: int | None = adapter_choice(
        type=click.IntRange(1), help="Scale the adapter's update by N / rank.  [default: 2 x rank]"
    )
    dropout: float = adapter_choice(
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        metavar="P",
        help="Drop inputs of the adapter with this probability while training.",
    )
    modules: tuple[str, ...] | None = adapter_choice(
        type=NameList(),
        help="Adapt only these layers, such as q_proj,v_proj.  [default: every linear layer]",
    )
    vision: bool = adapter_choice(help="Adapt the vision tower as well as the language model.")
    merger: bool = adapter_choice(
        help="Also adapt the layers between the vision tower and the language model."
    )
    min_pixels: int | None = min_pixels_choice()
    max_pixels: int | None = max_pixels_choice()
    visual_tokens: int | None = visual_tokens_choice()
    quantization: str | None = engine_choice(
        type=click.Choice(["nf4", "int8"]),
        help="Load the base model in 4 bits (nf4) or 8 bits (int8), as QLoRA does.",
    )
    dtype: str | None = dtype_choice(
        type=click.Choice(["auto", "bf16", "fp32"]),
        help="Load the base model in this number format. Without the option, auto takes bf16 on a GPU that "
        "has it, and fp32 elsewhere.",
    )
    device: str | None = engine_choice(
        metavar="DEVICE",
        help="Train on this device: auto, cpu or cuda. Without the option, auto takes a GPU if there is one.",
    )
    offline: bool = offline_choice()
    no_memory_check: bool = engine_choice(help="Begin even if the memory seems too small.")
    learning_rate: float = training_choice(
        type=click.FloatRange(0, min_open=True),
        default=2e-4,
        metavar="RATE",
        help="Let the learning rate rise to this value.",
    )
    schedule: str = training_choice(
        type=click.Choice(["cosine", "linear", "constant"]),
        default="cosine",
        help="Change the learning rate in this way after the warm-up.",
    )
    warmup: float = training_choice(
        type=click.FloatRange(0, 1, max_open=True),
        default=0.03,
        metavar="SHARE",
        help="Let the learning rate rise from 0 during this share of the steps.",
    )
    weight_decay: float = training_choice(
        type=click.FloatRange(0),
        default=0.0,
        metavar="DECAY",
        help="Use this weight decay in AdamW.",
    )
    epochs: float = training_choice(
        type=click.FloatRange(0, min_open=True),
        default=3.0,
        metavar="N",
        help="Train on every example N times.",
    )
    max_steps: int | None = training_choice(
        type=click.IntRange(1), help="Stop after N steps of the optimizer, whatever --epochs says."
    )
    batch_tokens: int = training_choice(
        type=click.IntRange(64),
        default=4096,
        help="Compute at most N tokens together. A batch holds as many pages, questions and answers as fit.",
    )
    accumulate: int = training_choice(
        type=click.IntRange(1),
        default=1,
        help="Add up the gradients of N batches before each step of the optimizer.",
    )
    gradient_checkpointing: bool = training_choice(
        help="Save memory by computing activations twice instead of keeping them."
    )
    seed: int = training_choice(
        type=int,
        default=0,
        help="Draw with this seed the order of the examples, the validation documents, and the adapter's "
        "first weights.",
    )
    validation: float = validation_choice(
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.1,
        metavar="SHARE",
        help="Validate on this share of the training documents, if the task has no validation part.",
    )
    validate_every: int | None = validation_choice(
        type=click.IntRange(1),
        help="Validate after every N steps.  [default: ten times during the training]",
    )
    patience: int = validation_choice(
        type=click.IntRange(0),
        default=3,
        help="Stop after N validations in a row that are no better than the best one. 0 never stops early.",
    )
    as_json: bool = json_choice()

    def lora(self) -> Lora:
        """The adapter that is asked for."""
        from bench.tuning.lora import Lora

        return Lora(
            rank=self.rank,
            alpha=self.alpha or 2 * self.rank,
            dropout=self.dropout,
            modules=self.modules or (),
            vision=self.vision,
            merger=self.merger,
        )

    def training_schedule(self) -> Schedule:
        """The training that is asked for."""
        from bench.tuning.training import Schedule

        constant = self.schedule == "constant"
        return Schedule(
            learning_rate=self.learning_rate,
            shape="constant_with_warmup" if constant else self.schedule,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            epochs=self.epochs,
            max_steps=self.max_steps,
            batch_tokens=self.batch_tokens,
            accumulate=self.accumulate,
            validate_every=self.validate_every,
            patience=self.patience,
            gradient_checkpointing=self.gradient_checkpointing,
            seed=self.seed,
        )


@click.command("tune", cls=GroupedCommand)
@takes(TuneOptions)
def tune_command(options: TuneOptions) -> None:
    """Train a LoRA adapter for a Qwen-VL model on a task.

    The same command continues a training that was stopped or killed. The adapter is used like a model: name
    its folder in bench run.

    \b
    bench data split my/task
    bench tune --model qwen2-vl-2b --task my/task --out adapters/my-task
    bench run --models qwen2-vl-2b,adapters/my-task --tasks my/task-test
    bench tune --merge adapters/my-task --out merged/my-task
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.runner.threads import set_threads

    set_threads()
    # PEFT imports bitsandbytes, which warns of a kernel on the hub that it can do without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if options.merge is not None:
        _merge(options.merge, options)
        return
    from bench.tuning import check_packages

    model = _given(options.model, "--model")
    task = _given(options.task, "--task")
    check_packages()
    order = _order(model, task, options)
    tuned = _train(order)
    if not options.as_json:
        _print_result(tuned, order, model)
        return
    before, best = _validations(tuned)
    echo_json(
        {
            "adapter": str(tuned.out),
            "steps": tuned.ended.steps,
            "stopped_early": tuned.ended.stopped_early,
            "metric": tuned.metric,
            "before": before,
            "best": best,
        }
    )


def _given(value: str | None, name: str) -> str:
    if value is None:
        raise InvalidInput(f"the option {name} is missing", hint=f"bench tune {name} … --out …")
    return value


def _order(model: str, task: str, options: TuneOptions) -> Order:
    """Everything that the training needs to know."""
    from bench.models.checkpoints import TUNING_FILE
    from bench.tuning.tune import Order

    if options.resume and options.fresh:
        raise InvalidInput(
            "--resume continues a training, but --fresh begins a new one",
            hint="leave out one of them",
        )
    if options.resume and not (options.out / TUNING_FILE).is_file():
        raise InvalidInput(
            f"{options.out} contains no training to continue", hint="leave out --resume"
        )
    return Order(
        model=resolve_model(model, options),
        task=task,
        out=options.out,
        lora=options.lora(),
        schedule=options.training_schedule(),
        tests=options.keep_out,
        validation_share=options.validation,
        check_memory=not options.no_memory_check,
        fresh=options.fresh,
    )


def _train(order: Order) -> Tuned:
    """Train with progress on standard error; a request to stop ends the program."""
    from bench.cli.progress import TuneProgress
    from bench.tuning.tune import tune

    with TuneProgress(order.out) as progress:
        tuned = tune(order, progress)
    if tuned.ended.interrupted:
        click.echo(
            f"The training was stopped. To continue it, type: {command_to_continue()}", err=True
        )
        raise click.exceptions.Exit(INTERRUPTED)
    return tuned


def _merge(adapter: str, options: TuneOptions) -> None:
    from bench.tuning.merge import merge

    out = merge(resolve_model(adapter, options), options.out)
    if options.as_json:
        echo_json({"merged": str(out)})
        return
    command = f"bench run --models {shell_word(out)}"
    click.echo(f"{printable(str(out))} is now a checkpoint. To run it, type: {command}")


def _validations(tuned: Tuned) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The validation before the training, and the best one; None if none was better than none."""
    scores = [entry for entry in tuned.ended.history if "eval_score" in entry]
    best = next((entry for entry in scores if entry["step"] == tuned.ended.best_step), None)
    return scores[0], best


def _print_result(tuned: Tuned, order: Order, model: str) -> None:
    from bench.tuning.adapter_folder import CURVES

    ended = tuned.ended
    before, best = _validations(tuned)
    length = plural(ended.steps, "step")
    if ended.stopped_early:
        length = (
            f"{length} of {formatting.count(ended.total)}, because validation stopped improving"
        )
    picture = printable(str(tuned.out / CURVES))
    click.echo(f"The training took {length}. {picture} shows loss and score by step.")
    if best is None:
        click.echo("No validation gave a usable score, so no adapter was written.")
        return
    click.echo(
        f"The validation score ({tuned.metric}) was {formatting.score(before['eval_score'])} before the "
        f"training and {formatting.score(best['eval_score'])} at step {best['step']}, whose weights are kept."
    )
    if best["eval_merit"] <= before["eval_merit"]:
        click.echo("warning: the adapter is no better than the model without it", err=True)
    out, base = shell_word(tuned.out), shell_word(model)
    tests = shell_word(",".join(tuned.tests) or "TASK")
    click.echo(
        "Now compare the two on documents that neither training nor validation has seen:\n"
        f"  bench run --models {base},{out} --tasks {tests}\n"
        f"  bench compare {shell_word(order.model.name)} {shell_word(tuned.out.name)}"
    )

"""``bench plan``: will it fit, and how many documents would show a difference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bench.cli.options import BatchSize, NameList, json_option, results_option
from bench.errors import EnvironmentProblem, InvalidInput
from bench.text import one_line, printable

if TYPE_CHECKING:
    from bench.runner.forecast import Forecast
    from bench.schema import PageGroup, Task
    from bench.stats import Design

SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of discordant questions that a plan without a pilot is made for, the first four that can be."""
DIFFERENCE = 0.01
"""Of two mean scores, where none is named."""
_QUESTION = "x" * 64
"""Stands for a question where the questions are not on this machine."""
_MAX_SIDE = 100_000


class PageSize(click.ParamType[tuple[int, int]]):
    """``WIDTHxHEIGHT`` in pixels."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Width and height."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", str(value).strip().lower())
        sides = (int(found[1]), int(found[2])) if found is not None else (0, 0)
        if not 1 <= min(sides) <= max(sides) <= _MAX_SIDE:
            self.fail(f"expected pixels as 1700x2200, got {one_line(str(value), 40)!r}", param, ctx)
        return sides


@click.command("plan")
@click.option(
    "-t",
    "--tasks",
    "--task",
    "tasks",
    type=NameList(),
    required=True,
    help="Tasks that would be run, separated by commas.",
)
@click.option(
    "-m", "--models", type=NameList(), help="Models that would be run: will they fit into memory?"
)
@click.option(
    "--memory",
    type=click.FloatRange(0, 10_000, min_open=True),
    help="Memory of one GPU in GiB.  [default: the largest GPU's here]",
)
@click.option(
    "--page-size",
    type=PageSize(),
    help="Size of all pages, as 1700x2200; needed for data sets that are not on this machine.",
)
@click.option(
    "--batch-size",
    type=BatchSize(),
    default="auto",
    show_default=True,
    help="Questions per call, as in bench run; auto: 64.",
)
@click.option("--min-pixels", type=click.IntRange(1), help="As in bench run.")
@click.option("--max-pixels", type=click.IntRange(1), help="As in bench run.")
@click.option(
    "--dtype", type=click.Choice(["auto", "bf16", "fp16", "fp32"]), help="As in bench run."
)
@click.option(
    "--difference",
    type=click.FloatRange(0.0001, 1),
    help="The difference of two mean scores that should be shown: how many documents does it take?  "
    f"[default: {DIFFERENCE:g} where no --models are named]",
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
def plan_command(**options: Any) -> None:
    """Plan a run before it costs anything: does it fit, and can it show a difference?

    With --models: predicted GPU memory on these tasks, pages in flight, and the largest --max-pixels that
    fits. Needs neither a GPU nor weights. With --difference, or without --models: how many documents a
    comparison of two models needs, and what the tasks as they are can show. Both can be asked at once.

    \b
    bench plan --models qwen2-vl-2b,qwen2-vl-7b-int4 --tasks my/documents --memory 24
    bench plan --models qwen2-vl-7b --tasks docvqa --memory 24 --page-size 1700x2200
    bench plan --task my/documents --difference 0.02
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    compare = options["models"] is None or any(
        options[name] is not None for name in ("difference", "pilot", "discordance")
    )
    fits = _forecasts(options) if options["models"] is not None else []
    comparisons = _comparisons(options) if compare else []
    if options["as_json"]:
        from bench.cli import echo_json

        echo_json(
            {
                "fit": [one.record() for one in fits],
                "comparisons": [found.record() for found in comparisons],
            }
        )
        return
    parts = [_fit_text(fits, options)] if fits else []
    parts += [found.text() for found in comparisons]
    if comparisons and options["pilot"] is None and options["discordance"] is None:
        parts.append("No pilot was given: run two models on some documents, then --pilot A B.")
    click.echo("\n\n".join(parts))


# Does it fit?


def _forecasts(options: dict[str, Any]) -> list[Forecast]:
    from bench.models.catalog import resolve_all
    from bench.runner.batches import GPU_BATCH
    from bench.runner.forecast import forecast

    config = Path("bench.toml")
    specs = resolve_all(
        options["models"],
        bench_toml=config if config.is_file() else None,
        dtype=options["dtype"],
        min_pixels=options["min_pixels"],
        max_pixels=options["max_pixels"],
    )
    size = options["batch_size"] or GPU_BATCH
    memory = _memory(options["memory"])
    groups = [group for name in options["tasks"] for group in _groups(name, options, size)]
    return [forecast(spec, groups, memory=memory, batch_size=size) for spec in specs]


def _memory(gib: float | None) -> int:
    if gib is not None:
        return int(gib * 2**30)
    from bench.measure import gpus

    memories = [int(gpu["memory_bytes"]) for gpu in gpus() if "memory_bytes" in gpu]
    if not memories:
        raise InvalidInput("no GPU is seen here: for how much memory?", hint="--memory 24 (GiB)")
    return max(memories)


def _groups(name: str, options: dict[str, Any], batch_size: int) -> list[PageGroup]:
    """The documents of a task with their questions; stand-ins where they are not on this machine."""
    from bench.runner.batches import page_groups
    from bench.runner.forecast import resized, stand_in
    from bench.tasks import dataset_spec, expand_tasks, load_task

    size: tuple[int, int] | None = options["page_size"]
    try:
        folders = expand_tasks([name])
    except EnvironmentProblem as error:
        published = dataset_spec(name.partition("=")[0])
        if published is None:
            raise
        if size is None:
            raise InvalidInput(
                f"{error.message}, so the size of its pages is not known",
                hint=f"--page-size 1700x2200, or bench pull --tasks {one_line(name, 80)}",
            ) from None
        prompt = published[1].prompt_template().render(_QUESTION)
        return stand_in(name, *size, prompt, published[1].decoding(), batch_size)
    tasks = [load_task(folder, allow_unreadable=True) for folder in folders]
    if size is not None:
        tasks = [resized(task, *size) for task in tasks]
    return [group for task in tasks for group in page_groups(task)]


def _fit_text(fits: Sequence[Forecast], options: dict[str, Any]) -> str:
    from bench.cli.listing import table

    memory = fits[0].memory_bytes
    rows = [
        ("fits", ["yes" if one.fits else "no" for one in fits]),
        ("predicted peak, GiB", [_gib(one.peak_bytes) for one in fits]),
        ("  weights", [_gib(one.weight_bytes) for one in fits]),
        ("  CUDA context (assumed)", [_gib(one.context_bytes) for one in fits]),
        ("  features of the pages", [_gib(one.stages["features"]) for one in fits]),
        ("  either: vision tower", [_gib(one.stages["vision"]) for one in fits]),
        ("  or: keys and values", [_gib(one.stages["cache"]) for one in fits]),
        ("    and prefixes", [_gib(one.stages["prefix"]) for one in fits]),
        ("    or questions", [_gib(one.stages["questions"]) for one in fits]),
        ("    or logits", [_gib(one.stages["logits"]) for one in fits]),
        ("keys and values a token, bytes", [f"{one.column_bytes:,}" for one in fits]),
        ("questions a call", [f"{one.batch_size:,}" for one in fits]),
        ("documents in flight, fullest call", [f"{one.documents:,}" for one in fits]),
        ("pages in flight, fullest call", [f"{one.pages:,}" for one in fits]),
        ("largest page, visual tokens", [f"{one.largest_page_tokens:,}" for one in fits]),
        ("max_pixels", [f"{one.max_pixels:,}" for one in fits]),
        ("largest max_pixels that fits", [_pixels(one.largest_max_pixels) for one in fits]),
    ]
    names = [printable(one.model) for one in fits]
    lines = [{"": label, **dict(zip(names, values, strict=True))} for label, values in rows]
    tasks = printable(", ".join(options["tasks"]))
    text = f"Predicted for {tasks} in {_gib(memory)} GiB of GPU memory:\n\n{table(lines)}"
    return (
        text
        + "\n\nBy the formula in docs/performance.md, which was checked on a CPU, not on a GPU."
    )


def _pixels(count: int | None) -> str:
    return "none" if count is None else f"{count:,}"


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"


# Can it show a difference?


class _Comparison(NamedTuple):
    """What a task can show, and what it would take."""

    task: Task
    difference: float
    power: float
    rows: list[dict[str, Any]]

    def record(self) -> dict[str, Any]:
        return {
            "task": self.task.name,
            "documents": len(self.task.documents),
            "difference": self.difference,
            "rows": self.rows,
        }

    def text(self) -> str:
        from bench.cli.listing import table

        return (
            f"{self.task.name}: {len(self.task.samples)} questions on {len(self.task.documents)} "
            f"documents.\nTo show a difference of {self.difference:g} between two models at 5 % with "
            f"power {self.power:g}:\n\n{table(self.rows)}"
        )


def _comparisons(options: dict[str, Any]) -> list[_Comparison]:
    from bench.stats import documents_needed, minimum_detectable_difference
    from bench.tasks import expand_tasks, load_task

    difference, power = options["difference"] or DIFFERENCE, options["power"]
    found = []
    for folder in expand_tasks(options["tasks"]):
        task = load_task(folder)
        documents = len(task.documents)
        per_document = len(task.samples) / documents
        rows = []
        for name, design in _designs(task.name, options, per_document, difference):
            needed = documents_needed(difference, design, power=power)
            shown = (
                minimum_detectable_difference(documents, design, power=power)
                if documents > 1
                else None
            )
            rows.append(
                {
                    "assumption": name,
                    "documents needed": needed,
                    "questions needed": round(needed * per_document),
                    "shown by this task": None if shown is None else round(shown, 4),
                }
            )
        found.append(_Comparison(task, difference, power, rows))
    return found


def _designs(
    task: str, options: dict[str, Any], per_document: float, difference: float
) -> list[tuple[str, Design]]:
    from bench.stats import Design, discordant_variance

    pilot, correlation = options["pilot"], options["correlation"]
    if pilot is not None:
        return [("pilot " + " / ".join(pilot), _pilot(task, pilot, options["results"]))]
    if options["discordance"] is not None:
        shares = [options["discordance"]]
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
    from bench.cli.compare import matched, sides_of
    from bench.scoring.comparison import compare
    from bench.stats import pilot_design

    sides = [sides_of(name, None, results, None) for name in pilot]
    ((first, second),) = matched(sides[0], sides[1])[:1]
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

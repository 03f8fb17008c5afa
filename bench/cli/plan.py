"""``bench plan``: will it fit, and how many documents would show a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bench.cli import echo_json
from bench.cli.commands import GroupedCommand, choice, takes
from bench.cli.model_options import (
    ModelOptions,
    dtype_choice,
    max_pixels_choice,
    min_pixels_choice,
    resolve_models,
    visual_tokens_choice,
)
from bench.cli.option_types import PageSize
from bench.cli.options import (
    batch_size_choice,
    json_choice,
    models_choice,
    results_choice,
    tasks_choice,
)
from bench.cli.tables import table
from bench.errors import EnvironmentProblem, InvalidInput
from bench.formatting import byte_size, count, plural
from bench.text import printable, shell_word

if TYPE_CHECKING:
    from bench.runner.forecast import Forecast
    from bench.schema import PageGroup, Task
    from bench.stats import Design

SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of discordant questions to plan for without a pilot; the first four possible ones are shown."""
DIFFERENCE = 0.01
"""The difference between two mean scores to plan for, if the command names none."""
_QUESTION = "x" * 64
"""Used in place of a question if the questions are not on this machine."""

WHAT = "What to plan"
memory_choice = partial(choice, group="Memory")
comparison_choice = partial(choice, group="Comparison")


@dataclass(frozen=True, kw_only=True)
class PlanOptions(ModelOptions):
    """What a person chose for ``bench plan``."""

    tasks: tuple[str, ...] = tasks_choice(
        required=True, group=WHAT, help="Plan for these tasks, separated by commas."
    )
    models: tuple[str, ...] | None = models_choice(
        group=WHAT,
        help="Predict whether these models fit into memory. Names are separated by commas.",
    )
    memory: float | None = memory_choice(
        type=click.FloatRange(0, 10_000, min_open=True),
        metavar="GIB",
        help="Assume a GPU with this much memory, in GiB.  [default: the largest GPU of this machine]",
    )
    """GiB."""
    page_size: tuple[int, int] | None = memory_choice(
        type=PageSize(),
        help="Assume that all pages have this size in pixels, such as 1700x2200. The option is needed for "
        "data sets that are not on this machine.",
    )
    batch_size: int = batch_size_choice(
        group="Memory",
        default="auto",
        help="Assume this many questions in one call, as in bench run. auto means 64.",
    )
    """Questions per call; 0 lets the program choose."""
    min_pixels: int | None = min_pixels_choice()
    max_pixels: int | None = max_pixels_choice()
    visual_tokens: int | None = visual_tokens_choice()
    dtype: str | None = dtype_choice()
    difference: float | None = comparison_choice(
        type=click.FloatRange(0.0001, 1, max_open=True),
        metavar="D",
        help="Compute how many documents it takes to show this difference between two mean scores.  "
        f"[default: {DIFFERENCE:g} if no --models are named]",
    )
    power: float = comparison_choice(
        type=click.FloatRange(0.51, 0.999),
        default=0.8,
        metavar="P",
        help="Compute for this probability of showing a difference that exists.",
    )
    pilot: tuple[str, str] | None = comparison_choice(
        nargs=2,
        metavar="A B",
        help="Estimate the variance from two models that were already run. Name them as in bench compare.",
    )
    discordance: float | None = comparison_choice(
        type=click.FloatRange(0.0001, 1),
        metavar="SHARE",
        help="Without a pilot, assume that only one of the two models answers this share of the questions "
        "right.",
    )
    correlation: float = comparison_choice(
        type=click.FloatRange(0, 1),
        default=0.1,
        metavar="R",
        help="Without a pilot, assume this correlation between the questions of one document.",
    )
    results: Path = results_choice()
    as_json: bool = json_choice()

    @property
    def asks_for_comparison(self) -> bool:
        """Whether the person asks how many documents a comparison needs."""
        named = (self.difference, self.pilot, self.discordance)
        return self.models is None or any(value is not None for value in named)


@click.command("plan", cls=GroupedCommand)
@takes(PlanOptions)
def plan_command(options: PlanOptions) -> None:
    """Predict whether models fit into memory, and how many documents a comparison needs.

    With --models, the command predicts the GPU memory on these tasks, the pages in flight, and the largest
    bound on a page that fits. It needs neither a GPU nor weights. With --difference, or without --models, it
    computes how many documents a comparison of two models needs, and what the tasks can show as they are.
    Both can be asked at once.

    \b
    bench plan --models qwen2-vl-2b,qwen2-vl-7b-int4 --tasks my/documents --memory 24
    bench plan --models qwen2-vl-7b --tasks docvqa --memory 24 --page-size 1700x2200
    bench plan --tasks my/documents --difference 0.02
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    fits = _forecasts(options)
    comparisons = _comparisons(options) if options.asks_for_comparison else []
    if options.as_json:
        records = [comparison.record() for comparison in comparisons]
        echo_json({"fit": [fit.record() for fit in fits], "comparisons": records})
        return
    parts = [_fit_text(fits, options.tasks)] if fits else []
    parts += [comparison.text() for comparison in comparisons]
    if comparisons and options.pilot is None and options.discordance is None:
        parts.append(
            "These numbers rest on assumptions. For better ones, run two models on some of the documents and "
            "name them: --pilot A B"
        )
    click.echo("\n\n".join(parts))


# Does it fit?


class _Fit(NamedTuple):
    """A prediction for one model, with its bounds on a page in both units."""

    forecast: Forecast
    token_pixels: int
    """Pixels that one visual token covers."""

    @property
    def largest_visual_tokens(self) -> int | None:
        pixels = self.forecast.largest_max_pixels
        return None if pixels is None else pixels // self.token_pixels

    def record(self) -> dict[str, Any]:
        return {
            **self.forecast.record(),
            "max_visual_tokens": self.forecast.max_pixels // self.token_pixels,
            "largest_visual_tokens": self.largest_visual_tokens,
        }

    def rows(self) -> dict[str, str]:
        """What is shown of it, by the name of the line."""
        one = self.forecast
        stages = {stage: byte_size(size) for stage, size in one.stages.items()}
        pixels, tokens = one.largest_max_pixels, self.largest_visual_tokens
        return {
            "fits": "yes" if one.fits else "no",
            "predicted peak": byte_size(one.peak_bytes),
            "  weights": byte_size(one.weight_bytes),
            "  CUDA context (assumed)": byte_size(one.context_bytes),
            "  features of the pages": stages["features"],
            "  either: vision tower": stages["vision"],
            "  or: keys and values": stages["cache"],
            "    and prefixes": stages["prefix"],
            "    or questions": stages["questions"],
            "    or logits": stages["logits"],
            "keys and values of one token": byte_size(one.column_bytes),
            "questions in a call": count(one.batch_size),
            "most documents in memory together": count(one.documents),
            "most pages in memory together": count(one.pages),
            "largest page, visual tokens": count(one.largest_page_tokens),
            "bound on a page, pixels": count(one.max_pixels),
            "bound on a page, visual tokens": count(one.max_pixels // self.token_pixels),
            "largest --max-pixels that fits": "none" if pixels is None else count(pixels),
            "largest --visual-tokens that fits": "none" if tokens is None else count(tokens),
        }


def _forecasts(options: PlanOptions) -> list[_Fit]:
    from bench.runner.batches import GPU_BATCH
    from bench.runner.forecast import check_needs_memory, forecast
    from bench.runner.sweep import token_pixels

    if options.models is None:
        return []
    specs = resolve_models(options.models, options)
    for spec in specs:
        check_needs_memory(spec)
    size = options.batch_size or GPU_BATCH
    memory = _memory(options.memory)
    groups = [group for name in options.tasks for group in _groups(name, options.page_size, size)]
    forecasts = [forecast(spec, groups, memory=memory, batch_size=size) for spec in specs]
    return [_Fit(one, token_pixels(spec)) for one, spec in zip(forecasts, specs, strict=True)]


def _memory(gib: float | None) -> int:
    """Bytes of the GPU that is planned for."""
    if gib is not None:
        return int(gib * 2**30)
    from bench.measure import gpus

    memories = [int(gpu["memory_bytes"]) for gpu in gpus() if "memory_bytes" in gpu]
    if not memories:
        raise InvalidInput(
            "no GPU was found here, so the command must say how much memory to plan for",
            hint="--memory 24 (in GiB)",
        )
    return max(memories)


def _groups(name: str, size: tuple[int, int] | None, batch_size: int) -> list[PageGroup]:
    """The documents of a task with their questions; stand-ins where they are not on this machine."""
    from bench.runner.batches import page_groups
    from bench.runner.forecast import resized, stand_in
    from bench.tasks import dataset_spec, expand_tasks, load_task

    try:
        folders = expand_tasks([name])
    except EnvironmentProblem as error:
        published = dataset_spec(name.partition("=")[0])
        if published is None:
            raise
        if size is None:
            raise InvalidInput(
                f"{error.message}, so the size of its pages is not known",
                hint=f"--page-size 1700x2200, or bench pull --tasks {shell_word(name)}",
            ) from None
        prompt = published[1].prompt_template().render(_QUESTION)
        return stand_in(name, *size, prompt, published[1].decoding(), batch_size)
    tasks = [load_task(folder, allow_unreadable=True) for folder in folders]
    if size is not None:
        tasks = [resized(task, *size) for task in tasks]
    return [group for task in tasks for group in page_groups(task)]


def _fit_text(fits: Sequence[_Fit], tasks: Sequence[str]) -> str:
    by_model = {printable(fit.forecast.model): fit.rows() for fit in fits}
    lines = [
        {"": line, **{model: rows[line] for model, rows in by_model.items()}}
        for line in fits[0].rows()
    ]
    memory = byte_size(fits[0].forecast.memory_bytes)
    return (
        f"Prediction for {printable(', '.join(tasks))} in {memory} of GPU memory:\n\n{table(lines)}\n\n"
        "docs/performance.md explains the formula, which was checked on a CPU and not on a GPU."
    )


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
            "documents": _documents(self.task),
            "difference": self.difference,
            "rows": self.rows,
        }

    def text(self) -> str:
        questions = plural(len(self.task.samples), "question")
        documents = plural(_documents(self.task), "document")
        rows = [
            {**row, **{key: count(row[key]) for key in ("documents needed", "questions needed")}}
            for row in self.rows
        ]
        none = ""
        for row in rows:
            if row["shown by this task"] is None:
                row["shown by this task"] = "none"
                none = (
                    "\n\nnone: the task shows no difference that is possible under this assumption."
                )
        return (
            f"{printable(self.task.name)} has {questions} on {documents}.\n"
            f"To show a difference of {self.difference:g} between two models (5 % level, power "
            f"{self.power:g}):\n\n{table(rows)}{none}"
        )


def _comparisons(options: PlanOptions) -> list[_Comparison]:
    from bench.tasks import expand_tasks, load_task

    difference = options.difference or DIFFERENCE
    comparisons = []
    for folder in expand_tasks(options.tasks):
        task = load_task(folder)
        per_document = len(task.samples) / _documents(task)
        rows = [
            _needed(task, assumption, difference, options.power)
            for assumption in _assumptions(task.name, options, per_document, difference)
        ]
        comparisons.append(_Comparison(task, difference, options.power, rows))
    return comparisons


def _documents(task: Task) -> int:
    """Documents that a comparison counts: those with the same pages are one."""
    from bench.scoring.evaluation import document_key

    return len({document_key(task, sample.document_id) for sample in task.samples})


class _Assumption(NamedTuple):
    """What is assumed of the variance."""

    words: str
    design: Design
    discordance: float | None = None
    """Share of the questions that one model alone answers right: no difference can be larger."""


def _needed(task: Task, assumption: _Assumption, difference: float, power: float) -> dict[str, Any]:
    """One line of the table: what it takes under an assumption, and what the task shows as it is."""
    from bench.stats import documents_needed

    documents = _documents(task)
    needed = documents_needed(difference, assumption.design, power=power)
    return {
        "assumption": assumption.words,
        "documents needed": needed,
        "questions needed": round(needed * len(task.samples) / documents),
        "shown by this task": _shown(documents, assumption, power),
    }


def _shown(documents: int, assumption: _Assumption, power: float) -> float | None:
    """The smallest difference that the task shows; None if it would be larger than differences can be."""
    from bench.stats import minimum_detectable_difference

    if documents < 2:
        return None
    design, share = assumption.design, assumption.discordance
    if share is None:
        shown, largest = minimum_detectable_difference(documents, design, power=power), 1.0
    else:
        # The variance is ``share`` − difference², so the difference that is looked for lowers it.
        design = replace(design, variance=share)
        shown = minimum_detectable_difference(documents, design, power=power)
        shown, largest = shown / math.sqrt(1 + shown**2 / share), share
    return round(shown, 4) if shown <= largest else None


def _assumptions(
    task: str, options: PlanOptions, per_document: float, difference: float
) -> list[_Assumption]:
    """Each assumption about the variance, in words and as numbers."""
    from bench.stats import Design, discordant_variance

    if options.pilot is not None:
        design = _pilot(task, options.pilot, options.results)
        return [_Assumption("pilot " + " / ".join(options.pilot), design)]
    if options.discordance is not None:
        shares = [options.discordance]
    else:
        shares = [share for share in SHARES if share >= difference][:4]
    return [
        _Assumption(
            f"{100 * share:g} % of questions discordant, correlation {options.correlation:g}",
            Design(
                discordant_variance(share, difference), max(1.0, per_document), options.correlation
            ),
            share,
        )
        for share in shares
    ]


def _pilot(task: str, pilot: tuple[str, str], results: Path) -> Design:
    """The variance between two models that were already run on ``task``."""
    from bench.cli.lookup import find_sides, matched_sides
    from bench.scoring.comparison import compare
    from bench.stats import pilot_design

    first, second = (find_sides(name, None, results) for name in pilot)
    pair = matched_sides(first, second)[0]
    for pairing in compare(*pair).pairings:
        if pairing.task == task:
            a, b = pairing.values(pairing.second), pairing.values(pairing.first)
            return pilot_design(a, b, pairing.clusters, pairing.paired_weights())
    raise InvalidInput(
        f"the models of the pilot were not asked the questions of {task}",
        hint="name two models that were",
    )

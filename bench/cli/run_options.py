"""The options of ``bench run``: their help, and the typed record that they become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from bench.cli.commands import option
from bench.cli.model_options import (
    ENGINE,
    PAGES,
    ModelOptions,
    device_option,
    dtype_option,
    max_pixels_option,
    min_pixels_option,
    offline_option,
    visual_tokens_option,
)
from bench.cli.options import (
    OUTPUT,
    RESULTS,
    BatchSize,
    Label,
    NameList,
    config_defaults,
    json_option,
)

F = TypeVar("F", bound=Callable[..., Any])

WHAT = "What to run"
MEASURING = "Measuring"
DIRECTORY = "Run directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(ModelOptions):
    """What a person chose for ``bench run``, after flags, environment variables and ``bench.toml``."""

    config: Path | None
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    limit: int | None
    sample_ids: str | None
    prompts: Path | None
    protocol: str
    sweep: str | None
    max_new_tokens: int | None
    batch_size: int
    """Questions per call; 0 lets the program choose."""
    devices: str | None
    no_reuse: bool
    reference: bool
    allow_downscale: bool
    allow_unreadable: bool
    latency_samples: int
    no_warmup: bool
    max_errors: float
    out: Path
    name: str
    labels: tuple[tuple[str, str], ...]
    resume: Path | None
    fresh: bool
    retry_failed: bool
    dry_run: bool
    no_report: bool
    as_json: bool

    @property
    def has_csv(self) -> bool:
        """Whether ``--config`` names a table of runs, a ``user_config.csv`` of VLMHyperBench."""
        return self.config is not None and self.config.suffix.lower() == ".csv"

    @property
    def model_tables(self) -> Path | None:
        """The file whose ``[models.NAME]`` tables count; None for ``bench.toml``, where there is one."""
        return None if self.has_csv else self.config


_OPTIONS = (
    option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        callback=config_defaults,
        metavar="FILE",
        group=WHAT,
        help="Read defaults of these options from the table [run] of a TOML file, and models from its tables "
        "[models.NAME]. Without the option, bench.toml in the working directory is read. "
        "A user_config.csv of VLMHyperBench is run row by row.",
    ),
    option(
        "-m",
        "--models",
        also=("--model",),
        type=NameList(),
        required=True,
        group=WHAT,
        help="Run these models, separated by commas. A model is a name from bench list models, a hub id, "
        "or a folder with a checkpoint or an adapter.",
    ),
    option(
        "-t",
        "--tasks",
        also=("--task",),
        type=NameList(),
        default="all",
        show_default=True,
        group=WHAT,
        help="Run these tasks, separated by commas. A task is a name from bench list tasks, a task folder, "
        "or a folder of your own documents; all means every bundled task.",
    ),
    option(
        "-n",
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        group=WHAT,
        help="Ask only the first N questions of each task.",
    ),
    option(
        "--sample-ids",
        metavar="IDS",
        group=WHAT,
        help="Ask only these questions. IDS are ids separated by commas, or a file with one id a line.",
    ),
    option(
        "--prompts",
        type=click.Path(path_type=Path),
        metavar="FILE",
        group=WHAT,
        help="Ask with the prompts of this file: a CSV file with prompts by document type, field and model, "
        "or a .txt file with one prompt for everything.",
    ),
    option(
        "--protocol",
        default="native",
        show_default=True,
        metavar="NAME",
        group=WHAT,
        help="Ask and score as another tool does: vlmevalkit, lmms-eval or vlmhyperbench.",
    ),
    option(
        "--max-new-tokens",
        type=click.IntRange(1, 32_768),
        metavar="N",
        group=WHAT,
        help="Let an answer have at most N tokens. Without the option, each task's own limit holds.",
    ),
    min_pixels_option,
    max_pixels_option,
    visual_tokens_option,
    option(
        "--sweep",
        metavar="UNIT=N,N,…",
        group=PAGES,
        help="Run each model once for every bound on a page: visual_tokens=256,512 or "
        "max_pixels=200704,401408. The report has a row NAME@TOKENS for each, and a curve.",
    ),
    option(
        "--allow-downscale",
        is_flag=True,
        group=PAGES,
        help="Shrink the pages of a question that does not fit into memory, and mark its answer.",
    ),
    option(
        "--allow-unreadable",
        is_flag=True,
        group=PAGES,
        help="Count a question on an unreadable page as a failed answer, instead of refusing the task.",
    ),
    option(
        "--batch-size",
        type=BatchSize(),
        default="auto",
        show_default=True,
        group=ENGINE,
        help="Ask this many questions in one call. auto means 64 on a GPU and 16 on a CPU, and fewer when "
        "memory is short.",
    ),
    dtype_option,
    option(
        "--attention",
        type=click.Choice(["auto", "sdpa", "flash_attention_2", "eager"]),
        group=ENGINE,
        help="Compute attention with this kernel. Without the option, auto takes flash_attention_2 where it "
        "is installed, and sdpa elsewhere.",
    ),
    device_option,
    option(
        "--devices",
        metavar="LIST",
        group=ENGINE,
        help="Divide the questions of every model among several processes: one for each GPU (0,1), or "
        "several on the CPU (cpu,cpu).",
    ),
    option(
        "--no-reuse",
        is_flag=True,
        group=ENGINE,
        help="Encode a page again for each of its questions. This serves comparison with tools that do so; "
        "it applies to Qwen-VL models.",
    ),
    option(
        "--reference",
        is_flag=True,
        group=ENGINE,
        help="Generate with plain transformers, one question at a time. This checks the faster engine; "
        "it applies to Qwen-VL models.",
    ),
    offline_option,
    option(
        "--latency-samples",
        type=click.IntRange(0),
        default=20,
        show_default=True,
        metavar="N",
        group=MEASURING,
        help="Ask N questions one at a time to measure the latency. 0 measures none.",
    ),
    option(
        "--no-warmup",
        is_flag=True,
        group=MEASURING,
        help="Start the clock at once. Otherwise each model first answers one question that is not timed.",
    ),
    option(
        "--max-errors",
        type=click.FloatRange(0, 1),
        default=0.1,
        show_default=True,
        metavar="SHARE",
        group=MEASURING,
        help="Exit with status 4 if more than this share of the answers failed.",
    ),
    option(
        "-o",
        "--out",
        also=("--results", "--runs"),
        type=click.Path(path_type=Path, file_okay=False),
        default=RESULTS,
        show_default=True,
        group=DIRECTORY,
        help="Make the run directory in this folder.",
    ),
    option(
        "--name",
        default="run",
        show_default=True,
        metavar="NAME",
        group=DIRECTORY,
        help="Put this name into the name of the run directory, after the date.",
    ),
    option(
        "--label",
        "labels",
        type=Label(),
        multiple=True,
        group=DIRECTORY,
        help="Keep this note in run.json. The option may be given several times.",
    ),
    option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar="RUN",
        group=DIRECTORY,
        help="Continue the run in this directory. Without the option, the same command continues its newest "
        "unfinished run.",
    ),
    option(
        "--fresh",
        is_flag=True,
        group=DIRECTORY,
        help="Begin a new run even if an unfinished one could be continued.",
    ),
    option(
        "--retry-failed",
        is_flag=True,
        group=DIRECTORY,
        help="Ask the failed questions again in the newest run of this command, finished or not.",
    ),
    option(
        "--dry-run",
        is_flag=True,
        group=OUTPUT,
        help="Print what the run would do, then stop.",
    ),
    option(
        "--no-report",
        is_flag=True,
        group=OUTPUT,
        help="Compute the scores, but write no report.",
    ),
    json_option,
)


def run_options(function: F) -> F:
    """Decorator: give a command all options of ``bench run``, in the order of the help page."""
    for decorate in reversed(_OPTIONS):
        function = decorate(function)
    return function

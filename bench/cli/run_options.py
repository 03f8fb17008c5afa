"""The options of ``bench run``: their help, and the typed record that they become."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from bench.cli.commands import choice
from bench.cli.config_file import config_defaults
from bench.cli.model_options import (
    ModelOptions,
    device_choice,
    dtype_choice,
    engine_choice,
    max_pixels_choice,
    min_pixels_choice,
    offline_choice,
    pages_choice,
    server_choice,
    visual_tokens_choice,
)
from bench.cli.option_types import (
    RESULTS,
    FileList,
    FolderOrAddress,
    Label,
    NameList,
    PartOfRun,
    RunPlace,
)
from bench.cli.options import (
    MODEL_NAMES,
    WHAT,
    batch_size_choice,
    directory_choice,
    file_pages_choice,
    json_choice,
    limit_choice,
    log_choice,
    max_errors_choice,
    max_new_tokens_choice,
    models_choice,
    no_report_choice,
    output_choice,
    page_gib_choice,
    page_pixels_choice,
    page_seconds_choice,
    perturb_seed_choice,
    tasks_choice,
    what_choice,
)

measuring_choice = partial(choice, group="Measuring")


@dataclass(frozen=True, kw_only=True)
class RunOptions(ModelOptions):
    """What a person chose for ``bench run``, after flags, environment variables and ``bench.toml``."""

    config: Path | None = what_choice(
        type=click.Path(path_type=Path),
        is_eager=True,
        callback=config_defaults,
        metavar="FILE",
        help="Read defaults of these options from the table [run] of a TOML file, and models from its tables "
        "[models.NAME]. Without the option, bench.toml in the working directory is read. "
        "A user_config.csv of VLMHyperBench is run row by row.",
    )
    models: tuple[str, ...] = models_choice(
        required=True,
        group=WHAT,
        help=f"Run these models, separated by commas. A model is {MODEL_NAMES}.",
    )
    tasks: tuple[str, ...] = tasks_choice(
        default="all",
        group=WHAT,
        help="Run these tasks, separated by commas. A task is a name from bench list tasks, a task folder, "
        "or a folder of your own documents; all means every bundled task.",
    )
    limit: int | None = limit_choice(group=WHAT)
    sample_ids: str | None = what_choice(
        metavar="IDS",
        help="Ask only the questions with these ids, separated by commas. IDS may also be a file with one id "
        "a line.",
    )
    prompts: tuple[str, ...] | None = what_choice(
        type=FileList(),
        metavar="FILES",
        help="Ask with the prompts of this file: a CSV file with prompts by document type, field and model, "
        "or a .txt file with one prompt for everything. own:NAME means the prompt that a model's authors "
        "document (bench list prompts), and task the tasks' own. If you name several, separated by commas, "
        "every model is run once with each, and each is a row of the report.",
    )
    protocol: str = what_choice(
        default="native",
        metavar="NAME",
        help="Ask and score as another tool does: vlmevalkit, lmms-eval or vlmhyperbench. native asks as "
        "each task says.",
    )
    max_new_tokens: int | None = max_new_tokens_choice(
        group=WHAT,
        help="Let an answer have at most N tokens. Without the option, each task's own limit applies.",
    )
    min_pixels: int | None = min_pixels_choice()
    max_pixels: int | None = max_pixels_choice()
    visual_tokens: int | None = visual_tokens_choice()
    sweep: str | None = pages_choice(
        metavar="UNIT=N,N,…",
        help="Run each model once for every bound on a page: visual_tokens=256,512 or "
        "max_pixels=200704,401408. The report has a row NAME@TOKENS for each, and a curve.",
    )
    allow_downscale: bool = pages_choice(
        help="Shrink the pages of a question that does not fit into memory, and mark its answer."
    )
    upright: bool = pages_choice(
        help="Turn pages that lie sideways or upside down before a model sees them. The option needs the "
        "extra ocr."
    )
    perturb: tuple[str, ...] | None = pages_choice(
        type=NameList(),
        metavar="KINDS",
        help="Ask every question again about pages that are perturbed digitally, so that the report shows "
        "what each model loses. Name blur, rotate, jpeg, dpi, noise, contrast, shadow, crop (all means these "
        "eight), or the mixtures scan, photo, fax. Each is applied alone, at the severities 1, 2 and 3; "
        "blur:2 or blur:1-2 chooses among them.",
    )
    perturb_seed: int = perturb_seed_choice()
    allow_unreadable: bool = pages_choice(
        help="Count a question on an unreadable page as a failed answer, instead of refusing the task."
    )
    batch_size: int = batch_size_choice(
        default="auto",
        help="Ask this many questions in one call. auto means 64 on a GPU. On a CPU, auto means the "
        "questions of 16 documents for a small model, and 16 questions for a model whose weights exceed "
        "1 GiB. If memory is short, a call has fewer.",
    )
    """Questions per call; 0 lets the program choose."""
    dtype: str | None = dtype_choice()
    attention: str | None = engine_choice(
        type=click.Choice(["auto", "sdpa", "flash_attention_2", "eager"]),
        help="Compute attention with this kernel. Without the option, auto takes flash_attention_2 if it "
        "is installed, and sdpa elsewhere.",
    )
    device: str | None = device_choice()
    devices: str | None = engine_choice(
        metavar="LIST",
        help="Divide the questions of every model among several processes: one for each GPU (0,1), or "
        "several on the CPU (cpu,cpu).",
    )
    executor: str | None = engine_choice(
        metavar="ray[://ADDRESS]",
        help="Run the models on a Ray cluster: ray is the cluster of this machine, and ray://HOST:10001 is "
        "another one. The run directory stays on this machine.",
    )
    workers: int | None = engine_choice(
        type=click.IntRange(1, 10_000),
        metavar="N",
        help="With --executor, let N actors of the cluster share the questions of each model.  [default: one "
        "for each GPU, or for each node without GPUs]",
    )
    no_reuse: bool = engine_choice(
        help="Encode a page again for each of its questions. Use it to compare with tools that do so; "
        "it applies to Qwen-VL models."
    )
    reference: bool = engine_choice(
        help="Generate with plain transformers, one question at a time. Use it to check the faster engine; "
        "it applies to Qwen-VL models."
    )
    engine: str | None = server_choice(
        help="Start this engine as a server of this machine, and ask it for every model. The "
        "engine is installed in an environment of its own; bench doctor says whether it is known.",
    )
    offline: bool = offline_choice()
    page_seconds: float | None = page_seconds_choice()
    page_gib: float | None = page_gib_choice()
    page_pixels: int | None = page_pixels_choice()
    file_pages: int | None = file_pages_choice()
    latency_samples: int = measuring_choice(
        type=click.IntRange(0),
        default=20,
        help="Ask N questions one at a time to measure the latency. 0 measures none.",
    )
    no_warmup: bool = measuring_choice(
        help="Start the clock at once. Otherwise each model first answers one question that is not timed."
    )
    max_errors: float = max_errors_choice(group="Measuring")
    out: RunPlace = directory_choice(
        "-o",
        also=("--results", "--runs"),
        type=FolderOrAddress(),
        default=RESULTS,
        help="Make the run directory in this folder. With an address of object storage, such as "
        "s3://BUCKET/FOLDER, make it in results, and push the finished run to that address.",
    )
    name: str = directory_choice(
        default="run",
        metavar="NAME",
        help="Put this name into the name of the run directory, after the date.",
    )
    labels: tuple[tuple[str, str], ...] = directory_choice(
        "--label",
        type=Label(),
        multiple=True,
        help="Keep this note in run.json. The option may be given several times.",
    )
    resume: Path | None = directory_choice(
        type=click.Path(path_type=Path),
        metavar="RUN",
        help="Continue this run. Without the option, the same command continues its newest unfinished run.",
    )
    fresh: bool = directory_choice(
        help="Begin a new run even if an unfinished one could be continued."
    )
    retry_failed: bool = directory_choice(
        help="Ask the failed questions again in the newest run of this command, finished or not."
    )
    shard: tuple[int, int] | None = directory_choice(
        type=PartOfRun(),
        help="Run only part K of N, in a run directory of its own: on another machine, or at another time. "
        "bench merge joins the parts.",
    )
    dry_run: bool = output_choice(help="Print what the run would do, then stop.")
    no_report: bool = no_report_choice()
    log_to: str | None = log_choice()
    as_json: bool = json_choice()

    @property
    def has_csv(self) -> bool:
        """Whether ``--config`` names a table of runs, a ``user_config.csv`` of VLMHyperBench."""
        return self.config is not None and self.config.suffix.lower() == ".csv"

    @property
    def push_to(self) -> str | None:
        """The address on object storage that finished runs are pushed to; None for none."""
        return self.out.address

    @property
    def model_tables(self) -> Path | None:
        """The file whose ``[models.NAME]`` tables count; None for ``bench.toml``, where there is one."""
        return None if self.has_csv else self.config

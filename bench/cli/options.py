"""Options that several verbs share; a verb adds the help, and what is special to it.

``option_types`` turns their texts into values. ``model_options`` has the options that say how a model is
loaded, ``run_options`` all those of ``bench run``; ``config_file`` reads their defaults in ``bench.toml``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from bench.cli.commands import choice
from bench.cli.option_types import FOLDER, RESULTS, BatchSize, NameList, OneName
from bench.publishing import TRACKERS, check_tracker
from bench.tasks.limits import DEFAULTS, RANGES, set_page_limits

MODEL_NAMES = "a name from bench list models, a hub id, or a folder with a checkpoint or an adapter"
"""What a model can be called on the command line."""

WHAT = "What to run"
"""Title of the options that say which questions a run asks which models."""

what_choice = partial(choice, group=WHAT)
directory_choice = partial(choice, group="Run directory")
models_choice = partial(choice, "-m", also=("--model",), type=NameList())
model_choice = partial(choice, "-m", also=("--models",), type=OneName())
tasks_choice = partial(choice, "-t", also=("--task",), type=NameList())
task_choice = partial(choice, "-t", also=("--tasks",), type=OneName())
limit_choice = partial(
    choice,
    "-n",
    type=click.IntRange(1),
    help="Ask only N questions of each task, spread over its documents.",
)
max_new_tokens_choice = partial(choice, type=click.IntRange(1, 32_768))
batch_size_choice = partial(choice, group="Engine", type=BatchSize())
output_choice = partial(choice, group="Output")
json_choice = partial(
    output_choice, "--json", help="Print the result as one JSON document and nothing else."
)


def _checked_tracker(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Callback of ``--log-to``: what cannot be logged afterwards is said before anything is run."""
    if value is not None:
        check_tracker(value)
    return value


log_choice = partial(
    output_choice,
    "--log-to",
    type=click.Choice(list(TRACKERS)),
    callback=_checked_tracker,
    help="Log parameters, scores, costs and the report to this experiment tracker afterwards. Its own "
    "environment variables say where it is.",
)
results_choice = partial(
    choice,
    also=("--runs", "--out"),
    type=FOLDER,
    default=RESULTS,
    help="Look for runs in this folder.",
)
max_errors_choice = partial(
    choice,
    type=click.FloatRange(0, 1),
    default=0.1,
    metavar="SHARE",
    help="Exit with status 4 if more than this share of the answers failed.",
)
no_report_choice = partial(output_choice, help="Compute the scores, but write no report.")
only_results_choice = partial(results_choice, also=("--runs",))
"""For a verb with an ``--out`` of its own."""


def _page_limit(field: str, help_: str) -> Any:
    """The option of one limit of ``PageLimits``; it holds for the whole process and those that it starts."""

    def keep(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
        set_page_limits(**{field: value})
        return value

    default = getattr(DEFAULTS, field)
    low, high = RANGES[field]
    is_whole = isinstance(default, int)
    numbers = click.IntRange(int(low), int(high)) if is_whole else click.FloatRange(low, high)
    shown = f"{default:,}" if is_whole else f"{default:g}"
    return partial(
        choice,
        group="Pages",
        type=numbers,
        metavar="N",
        callback=keep,
        help=f"{help_}  [default: {shown}]",
    )


page_seconds_choice = _page_limit(
    "seconds", "Give up on a page that takes more than N seconds of processor time to open."
)
page_gib_choice = _page_limit(
    "gib", "Give up on a page that needs more than N GiB of memory to be opened."
)
page_pixels_choice = _page_limit("pixels", "Refuse a page that has more than N pixels.")
file_pages_choice = _page_limit("pages", "Refuse a file that has more than N pages.")
perturb_seed_choice = partial(
    choice,
    group="Pages",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    help="Draw with this seed what --perturb leaves to chance, such as the side of a shadow.",
)

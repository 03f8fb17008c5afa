"""The command line: parse, call one function, print.

Results go to standard output, everything else to standard error. Exit codes: 0 fine, 1 a bug, 2 something
typed or written wrongly, 3 the machine lacks something, 4 incomplete, 130 interrupted and resumable.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, NoReturn

import click

import bench
from bench.errors import BenchError, did_you_mean
from bench.text import printable

# Verb → (module, object, one line of help). Modules are imported when their verb is used, so that
# `bench --help` answers at once.
VERBS: dict[str, tuple[str, str]] = {
    "run": ("bench.cli.run", "Run models over tasks, and report."),
    "score": ("bench.cli.analyse", "Score stored outputs again; no model is needed."),
    "report": ("bench.cli.analyse", "Write the report of one or more runs."),
    "compare": ("bench.cli.compare", "Compare two models, or two runs, question by question."),
    "plan": (
        "bench.cli.plan",
        "Will it fit into memory, and how many documents does a comparison need?",
    ),
    "show": ("bench.cli.analyse", "Show one sample of a run with every model's answer."),
    "list": ("bench.cli.listing", "List models, tasks, metrics or runs."),
    "predict": ("bench.cli.predict", "Ask a model one question about page images."),
    "tune": ("bench.cli.tune", "Train a LoRA adapter of a Qwen-VL on a task."),
    "data": ("bench.cli.data", "Make and check document sets."),
    "pull": ("bench.cli.pull", "Download data sets and checkpoints for use without a network."),
    "doctor": ("bench.cli.doctor", "Check this machine; name the cure of what is missing."),
}

EPILOG = """\b
Examples:
  bench run --models ocr --tasks all
  bench run --models qwen2-vl-2b,qwen2-vl-2b-int4 --tasks invoices-ru,my/folder
  bench report results/RUN --open
"""


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order a person meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; None for an unknown one."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(
            importlib.import_module(VERBS[cmd_name][0]), f"{cmd_name}_command"
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's, with a did-you-mean."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"no verb is called {args[0]!r}; {did_you_mean(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Click's, where a reader of a pipe (head, less) that has had enough is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Here and not in main: click would make it an exit status of 1 before.
            _drop_output()
            raise click.exceptions.Exit(0) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs' one-line helps, without importing any of them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, help_) for verb, (_, help_) in VERBS.items()])


@click.group(
    cls=Verbs,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "BENCH"},
)
@click.version_option(bench.__version__, prog_name="docvlm-bench")
@click.pass_context
def cli(context: click.Context) -> None:
    """Which vision-language model reads your documents best on the GPU you have."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point of ``bench`` and ``python -m bench``."""
    try:
        status = cli.main(arguments, prog_name="bench", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        status = end.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context is not None else "bench --help"
        status = _complain(error.format_message(), hint, 2)
    except BenchError as error:
        status = _complain(error.message, error.hint, error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        status = _complain("interrupted", None, 130)
    except BrokenPipeError:
        _drop_output()
        status = 0
    except OSError as error:
        if error.filename is None:
            raise
        # Too long a name, a folder without permission: what the system says of a path is for people.
        status = _complain(f"{error.filename}: {error.strerror}", None, 3)
    sys.exit(status if isinstance(status, int) else 0)


def _drop_output() -> None:
    """Python must not complain of a broken pipe when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str, hint: str | None, status: int) -> int:
    if "--json" in sys.argv[1:]:
        click.echo(
            json.dumps({"error": message, "hint": hint, "exit_code": status}, ensure_ascii=False)
        )
    click.echo(f"{click.style('error:', fg='red', bold=True)} {printable(message)}", err=True)
    if hint and hint.startswith(("did you mean", "known:", "none")):
        click.echo(f"       {printable(hint)}", err=True)
    elif hint:
        click.echo(f"{click.style('try:', fg='cyan', bold=True)}   {printable(hint)}", err=True)
    return status


def echo_json(value: Any) -> None:
    """Print one JSON document, and nothing else, on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))

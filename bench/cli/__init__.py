"""Is the command line: each verb parses its options, calls one function and prints the result.

Results go to standard output, everything else to standard error. Exit codes: 0 means success, 1 a bug, 2
that the user typed or wrote something wrong, 3 that the machine lacks something, 4 that the work is
incomplete, 5 to 7 are the verdicts of ``gate`` and ``check``, and 130 means that the user stopped the command
and can continue it.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import shlex
import sys
from typing import Any, NoReturn

import click

import bench
from bench.cli.complaints import print_list
from bench.cli.streams import drop_output, json_is_ascii, prepare_streams
from bench.errors import ENVIRONMENT, INVALID, BenchError, ManyProblems, did_you_mean
from bench.text import one_line, printable

# Verb → (module, object, one line of help). Modules are imported when their verb is used, so that
# `bench --help` answers at once.
VERBS: dict[str, tuple[str, str]] = {
    "run": ("bench.cli.run", "Run models on tasks, and write a report."),
    "merge": ("bench.cli.merge", "Join the parts of a run that bench run --shard divided."),
    "score": ("bench.cli.analyse", "Score stored answers, without a model."),
    "report": ("bench.cli.analyse", "Write the report of one run, or of several runs together."),
    "compare": ("bench.cli.compare", "Compare two models, question by question."),
    "check": (
        "bench.cli.check",
        "Check whether two ways of asking a model give the same answers.",
    ),
    "gate": ("bench.cli.gate", "Decide whether a run is worse than a baseline."),
    "export": ("bench.cli.export", "Write the results of a run as files that others can use."),
    "plan": (
        "bench.cli.plan",
        "Predict whether models fit into memory, and how many documents a comparison needs.",
    ),
    "show": ("bench.cli.analyse", "Show one question of a run with every model's answer."),
    "list": (
        "bench.cli.listing",
        "List the models, tasks, metrics, prompts or runs that you can name.",
    ),
    "predict": ("bench.cli.predict", "Ask a model one question about page images."),
    "serve": ("bench.cli.serve", "Serve a model over HTTP."),
    "ask": ("bench.cli.ask", "Ask a service one question about page images."),
    "tune": ("bench.cli.tune", "Train a LoRA adapter for a Qwen-VL model on a task."),
    "data": ("bench.cli.data", "Make, check and split sets of documents."),
    "pull": (
        "bench.cli.pull",
        "Download data sets and checkpoints, so that a run needs no network.",
    ),
    "push": ("bench.cli.push", "Copy a finished run or an adapter to object storage."),
    "doctor": ("bench.cli.doctor", "Check this machine, and say how to install what is missing."),
}

_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a file system answers that can take no more."""

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
        """Do as click does, and suggest a verb for one that is misspelled."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], VERBS)
            raise click.UsageError(f"there is no verb {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Do as click does, but do not fail when the reader of a pipe (head, less) closes it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Here and not in main: before that, click would turn it into exit status 1.
            drop_output()
            raise click.exceptions.Exit(0) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs' one-line helps, without importing any of them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, help_) for verb, (_, help_) in VERBS.items()])


@click.group(
    cls=Verbs,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "BENCH",
        # Click's own limit of 80 leaves a help text half of a wide terminal.
        "max_content_width": 100,
    },
)
@click.version_option(bench.__version__, prog_name="docvlm-bench")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find out which vision-language model reads your documents best on the GPU you have."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point of ``bench`` and ``python -m bench``."""
    prepare_streams()
    try:
        status = cli.main(arguments, prog_name="bench", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        status = end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        # A group without a command, such as `bench data`: its help is what the user needs.
        click.echo(error.format_message())
        status = 0
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context is not None else "bench --help"
        status = _complain(error.format_message(), hint, 2)
    except BenchError as error:
        said = error.message
        if isinstance(error, ManyProblems):
            print_list(error.problems, "problems", error.subject, err=True)
            said = error.count
        status = _complain(error.message, error.hint, error.exit_code, said)
    except RuntimeError as error:
        from bench.measure import gpu_failure

        if (failure := gpu_failure(error)) is None:
            raise
        status = _complain(failure.message, failure.hint, failure.exit_code)
    except (KeyboardInterrupt, click.Abort):
        status = _complain("the program was interrupted", None, 130)
    except BrokenPipeError:
        drop_output()
        status = 0
    except OSError as error:
        if error.filename is None and error.errno not in _CANNOT_WRITE:
            raise
        if error.filename is None:
            drop_output()
            reason = f"the output could not be written: {error.strerror}"
            sys.exit(_complain(reason, "bench … > FILE on another disk", ENVIRONMENT))
        # Too long a name, a folder without permission: what the system says of a path is for people.
        is_typed = error.errno == errno.ENAMETOOLONG
        path = one_line(error.filename, 300)
        status = _complain(f"{path}: {error.strerror}", None, INVALID if is_typed else ENVIRONMENT)
    sys.exit(status if isinstance(status, int) else 0)


def _complain(message: str, hint: str | None, status: int, said: str | None = None) -> int:
    """Print an error, and return ``status``; people are told ``said`` where they have read the rest."""
    if "--json" in sys.argv[1:]:
        record = {"error": message, "hint": hint, "exit_code": status}
        click.echo(json.dumps(record, ensure_ascii=json_is_ascii()))
    click.echo(f"{_label('error:', 'red')} {printable(said or message)}", err=True)
    if hint and hint.startswith(("did you mean", "known:", "none")):
        click.echo(f"       {printable(hint)}", err=True)
    elif hint:
        click.echo(f"{_label('try:', 'cyan')}   {printable(hint)}", err=True)
    return status


def command_to_continue() -> str:
    """The command that a person typed, to be typed again: ``--fresh`` would begin the work anew."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--fresh"]
    return shlex.join(["bench", *arguments])


def _label(word: str, color: str) -> str:
    """A word in bold, and in colour unless the user has asked for none; click leaves both out of a pipe."""
    return click.style(word, fg=None if os.environ.get("NO_COLOR") else color, bold=True)


def echo_json(value: Any) -> None:
    """Print one JSON document, and nothing else, on standard output."""
    click.echo(json.dumps(value, ensure_ascii=json_is_ascii(), indent=2, default=str))

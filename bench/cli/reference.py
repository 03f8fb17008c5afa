"""``docs/cli.md``, written from the command line itself: ``python -m bench.cli.reference``."""

from __future__ import annotations

import sys

import click

from bench.cli import VERBS, cli

HEADER = """# Command line

`make docs` writes this page from the program itself, and a test fails if the two disagree.

Every option can also be set by an environment variable, `BENCH_<VERB>_<OPTION>`. For example,
`BENCH_RUN_VISUAL_TOKENS=1280` sets `bench run --visual-tokens`. The options of `bench run` can also be set in
the table `[run]` of a `bench.toml`. An option on the command line wins over a variable, and a variable wins
over the file.

Verbs that work on one model or task accept `--model` and `--task`, and verbs that work on several accept
`--models` and `--tasks`. Both spellings are accepted everywhere; the help shows one of them.

| Exit code | Meaning |
|---|---|
| 0 | The command did what it was asked to do. |
| 1 | The program has a bug. |
| 2 | Something was typed or written wrongly: an option, a file, a name. |
| 3 | The machine lacks something: weights, packages or memory. |
| 4 | The work is incomplete: a model failed, or more answers failed than `--max-errors` allows. |
| 5 | `bench gate`: the run is worse than the baseline. `bench check`: the two ways of asking differ. |
| 6 | `bench gate`, `bench check`: the documents or the repetitions are too few to tell. |
| 7 | `bench gate`: the run cannot be compared with the baseline. |
| 130 | You stopped the command. The same command continues the work. |
"""


def reference() -> str:
    """The whole page."""
    parts = [HEADER, _section("bench", cli)]
    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        parts.append(_section(f"bench {verb}", command))
        if isinstance(command, click.Group):
            parts += [
                _section(f"bench {verb} {name}", child) for name, child in command.commands.items()
            ]
    return "\n".join(parts)


def _section(name: str, command: click.Command) -> str:
    # A fixed width: the page must not depend on the terminal that it was written in.
    context = click.Context(command, info_name=name, terminal_width=100, **cli.context_settings)
    return f"## {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())

"""``docs/cli.md``, written from the command line itself: ``python -m bench.cli.reference``."""

from __future__ import annotations

import sys

import click

from bench.cli import VERBS, cli

HEADER = """# Command line

This page is written by `make docs` from the program itself; a test fails where the two disagree.

Exit codes: **0** fine · **1** a bug in the program · **2** something typed or written wrongly · **3** the
machine lacks something (weights, packages, memory) · **4** incomplete: a model failed, or more answers
than `--max-errors` did · **130** interrupted; the same command resumes.

Every option can be set by an environment variable, `BENCH_<VERB>_<OPTION>`, and those of `bench run` by
the `[run]` table of a `bench.toml`. A flag beats a variable beats the file.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEADER, _section("bench", cli)]
    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        if isinstance(command, click.Group):
            parts += [
                _section(f"bench {verb} {name}", child)
                for name, child in sorted(command.commands.items())
            ]
        elif command is not None:
            parts.append(_section(f"bench {verb}", command))
    return "\n".join(parts)


def _section(name: str, command: click.Command) -> str:
    # A fixed width: the page must not depend on the terminal that it was written in.
    context = click.Context(
        command, info_name=name, max_content_width=100, terminal_width=100, **cli.context_settings
    )
    return f"## {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())

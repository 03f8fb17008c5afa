"""Small additions to click: options in groups, hidden spellings, uncut help, and options as a dataclass."""

from __future__ import annotations

import copy
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Options = TypeVar("Options")

NAME_COLUMN = 30
"""Width that the names of options may take before their help moves to the next line."""


class Option(click.Option):
    """An option that belongs to a group of the help page and may have spellings that the page leaves out."""

    def __init__(
        self,
        declarations: Sequence[str] | None = None,
        *,
        group: str = "",
        also: Iterable[str] = (),
        **settings: Any,
    ) -> None:
        """Take ``also`` as further spellings, for example ``--task`` where the help shows ``--tasks``."""
        super().__init__([*(declarations or ()), *also], **settings)
        self.group = group
        self.also = frozenset(also)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Click's record without the hidden spellings."""
        return click.Option.get_help_record(self._shown(), ctx)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Click's hint without the hidden spellings."""
        return click.Option.get_error_hint(self._shown(), ctx)

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """The value of ``BENCH_<VERB>_<OPTION>``, where OPTION is any long spelling of the option."""
        spellings = [spelling[2:] for spelling in self.opts if spelling.startswith("--")]
        for spelling in [*spellings, str(self.name)]:
            variable = f"{ctx.auto_envvar_prefix}_{spelling}".upper().replace("-", "_")
            if value := os.environ.get(variable):
                return value
        return None

    def _shown(self) -> Option:
        shown = copy.copy(self)
        shown.opts = [spelling for spelling in self.opts if spelling not in self.also]
        return shown


def option(*declarations: str, **settings: Any) -> Callable[[F], F]:
    """``click.option`` that makes an ``Option``."""
    return click.option(*declarations, cls=Option, **settings)


class GroupedCommand(click.Command):
    """A command whose help shows the options under the titles of their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group as a section, in the order in which the groups first appear."""
        groups: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for parameter in self.get_params(ctx):
            # An option without a group, such as --help, stays with the one before it.
            title = getattr(parameter, "group", "") or title
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(title, []).append(record)
        names = [name for records in groups.values() for name, _ in records]
        width = min(NAME_COLUMN, max(map(len, names)))
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in records])


class VerbGroup(click.Group):
    """A group that lists its commands in the order of the source and shows the whole first sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which the commands were defined."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every command with the first paragraph of its help, which click would cut."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, first_paragraph(command)) for name, command in self.commands.items()]
            )


def first_paragraph(command: click.Command) -> str:
    """The first paragraph of a command's help, as one line."""
    paragraph = inspect.cleandoc(command.help or "").partition("\n\n")[0]
    return " ".join(paragraph.split())


def takes(options: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Decorator of a command's function: click's parameters arrive as one ``options`` dataclass."""

    def decorate(function: Callable[[Options], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def call(**parameters: Any) -> None:
            function(options(**parameters))

        return call

    return decorate

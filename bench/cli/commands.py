"""Small additions to click: options in groups, hidden spellings, uncut help, and options as a dataclass."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import Field, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from bench.storage import is_url
from bench.text import clip

if TYPE_CHECKING:
    from click.types import OptionHelpExtra

Options = TypeVar("Options")

PARAMETER = "parameter"
"""Key of a dataclass field's metadata under which its option or argument is described."""
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
        """Take ``also`` as further spellings, for example ``--task`` where the help shows ``--tasks``.

        A default is shown on the help page unless it is empty, and a number is called N there.
        """
        if isinstance(settings.get("type"), click.IntRange) or settings.get("type") is int:
            settings.setdefault("metavar", "N")
        default = settings.get("default")
        settings.setdefault("show_default", default is not None and default != ())
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
        variable = self._variable(ctx)
        return None if variable is None else os.environ[variable]

    def _variable(self, ctx: click.Context) -> str | None:
        """The environment variable that sets the option; None where none does."""
        if ctx.auto_envvar_prefix is None:
            return None
        spellings = [spelling[2:] for spelling in self.opts if spelling.startswith("--")]
        for spelling in [*spellings, str(self.name)]:
            variable = f"{ctx.auto_envvar_prefix}_{spelling}".upper().replace("-", "_")
            if os.environ.get(variable):
                return variable
        return None

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Click's conversion, whose errors say in words what is expected, and where the value stands."""
        try:
            if isinstance(self.type, click.Path) and is_url(str(value)):
                raise click.BadParameter(
                    f"expected a path on this machine, got {clip(repr(value), 80)}; "
                    "bench push copies runs and adapters to object storage"
                )
            converted = super().type_cast_value(ctx, value)
            # No range refuses nan, and a range without an upper bound lets inf through.
            if isinstance(converted, float) and not math.isfinite(converted):
                raise click.BadParameter(f"{value} is no finite number")
            return converted
        except click.BadParameter as error:
            expected = expectation(self.type)
            message = (
                f"expected {expected}, got {clip(repr(value), 80)}" if expected else error.message
            )
            raise click.BadParameter(message + self._where(ctx), ctx, self) from None

    def _where(self, ctx: click.Context) -> str:
        """Where a value stands that is not on the command line."""
        source = ctx.get_parameter_source(str(self.name))
        if source is ParameterSource.DEFAULT_MAP:
            return f" in [run] of {ctx.params.get('config') or 'bench.toml'}"
        if source is ParameterSource.ENVIRONMENT:
            return f" in the environment variable {self._variable(ctx)}"
        return ""

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """Click's notes behind the help, with the range of numbers in words."""
        extra = super().get_help_extra(ctx)
        if "range" in extra:
            extra["range"] = in_words(self.type)
        return extra

    def _shown(self) -> Option:
        shown = copy.copy(self)
        shown.opts = [spelling for spelling in self.opts if spelling not in self.also]
        return shown


def in_words(numbers: click.ParamType[Any]) -> str:
    """The range of an option that takes numbers, such as "from 0 to 1" or "above 0"."""
    assert isinstance(numbers, (click.IntRange, click.FloatRange))
    lower, upper = numbers.min, numbers.max
    if lower is None or upper is None:
        return f"above {lower}" if numbers.min_open else f"at least {lower}"
    if numbers.min_open and numbers.max_open:
        return f"between {lower} and {upper}"
    if numbers.min_open:
        return f"above {lower} and at most {upper}"
    return f"from {lower} to {'below ' if numbers.max_open else ''}{upper}"


def expectation(type_: click.ParamType[Any]) -> str:
    """What an option of this type takes; empty where the type's own message says it already."""
    if isinstance(type_, (click.IntRange, click.FloatRange)):
        number = "a whole number" if isinstance(type_, click.IntRange) else "a number"
        numbers = in_words(type_)
        return f"{number} {'of ' if numbers.startswith('at least') else ''}{numbers}"
    if isinstance(type_, click.types.BoolParamType):
        return "true or false"
    if isinstance(type_, click.types.IntParamType):
        return "a whole number"
    if isinstance(type_, click.types.FloatParamType):
        return "a number"
    if isinstance(type_, click.Choice):
        *others, last = map(str, type_.choices)
        return f"{', '.join(others)} or {last}"
    return ""


def choice(*declarations: str, **settings: Any) -> Any:
    """A field of an options dataclass that is an option on the command line.

    The option is called as the field: ``max_errors`` is ``--max-errors``. A field of type ``bool`` is a flag.

    Args:
        declarations: a short spelling such as ``-n``, or a long one that differs from the field's name.
        settings: what ``Option`` takes.
    """
    return field(metadata={PARAMETER: (Option, declarations, settings)})


def argument(**settings: Any) -> Any:
    """A field of an options dataclass that is an argument on the command line; the settings are click's."""
    return field(metadata={PARAMETER: (click.Argument, (), settings)})


def takes(options: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Decorator: give a command the parameters of ``options``, and its function one object of that class.

    The parameters are the fields that the class itself declares with ``choice`` and ``argument``, in their
    order. A field that it inherits keeps its default unless it is declared again.
    """

    def decorate(function: Callable[[Options], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def call(**parameters: Any) -> None:
            function(options(**parameters))

        declared = {each.name: each for each in fields(options)}  # type: ignore[arg-type]
        # The last decorator that is applied stands first on the help page.
        for name in reversed(options.__annotations__):
            _add_parameter(call, declared[name])
        return call

    return decorate


def _add_parameter(command: Callable[..., None], declared: Field[Any]) -> None:
    """Give ``command`` the option or argument that a field describes."""
    kind, declarations, settings = declared.metadata[PARAMETER]
    if kind is click.Argument:
        click.argument(declared.name, **settings)(command)
        return
    if not any(spelling.startswith("--") for spelling in declarations):
        declarations = (*declarations, "--" + declared.name.replace("_", "-"))
    if declared.type in ("bool", bool):
        settings = {"is_flag": True, **settings}
    click.option(*declarations, declared.name, cls=kind, **settings)(command)


class GroupedCommand(click.Command):
    """A command whose help shows the options under the titles of their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group as a section, in the order in which the groups first appear."""
        groups: dict[str, list[tuple[str, str]]] = {}
        title = ""
        for parameter in self.get_params(ctx):
            # An option without a group, such as --help, stays with the one before it.
            title = getattr(parameter, "group", "") or title
            record = parameter.get_help_record(ctx)
            # The usage line names the arguments; newer versions of click have a record of them as well.
            if record is not None and not isinstance(parameter, click.Argument):
                groups.setdefault(title, []).append(record)
        names = [name for records in groups.values() for name, _ in records]
        # On a narrow terminal the help keeps half of the line.
        width = min(NAME_COLUMN, formatter.width // 2, max(map(len, names)))
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(width), text) for name, text in records], col_max=width
                )


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

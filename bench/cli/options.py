"""Options and types that several verbs share, and the defaults that ``bench.toml`` gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.commands import choice
from bench.errors import InvalidInput, did_you_mean
from bench.parsing import read_text, read_toml, whole_number
from bench.publishing import TRACKERS, check_tracker
from bench.storage import is_address, is_url
from bench.tasks.limits import DEFAULTS, RANGES, set_page_limits
from bench.text import one_line

if TYPE_CHECKING:
    from bench.scoring.prices import Tariff

RESULTS = Path("results")
"""The folder of the runs unless the command line says otherwise."""

FOLDER = click.Path(path_type=Path, file_okay=False)
"""Type of an option that names a folder."""


MAX_PARTS = 10_000
"""Parts of a run on several machines."""


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a command makes its runs."""

    folder: Path = RESULTS
    address: str | None = None
    """Where on object storage the runs are pushed when they are finished; None for nowhere."""


class FolderOrAddress(click.ParamType[RunPlace]):
    """A folder of this machine, or an address of object storage."""

    name = "folder|address"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> RunPlace:
        """The place that ``value`` names: what is pushed to an address is made in ``results``."""
        if isinstance(value, RunPlace):
            return value
        text = str(value)
        if is_address(text):
            return RunPlace(address=text)
        if is_url(text):
            shown = one_line(text, 80)
            self.fail(
                f"expected a folder, or an address such as s3://BUCKET/FOLDER, got {shown!r}",
                param,
                ctx,
            )
        return RunPlace(FOLDER.convert(value, param, ctx))


class NameList(click.ParamType[tuple[str, ...]]):
    """Names separated by commas. There is no way to quote a comma, because no name has one."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names in order, each once."""
        if isinstance(value, (tuple, list)):
            return tuple(map(str, value))
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))
        if not names:
            self.fail("expected at least one name", param, ctx)
        return names


class FileList(NameList):
    """Files separated by commas; a file whose name has a comma can be named alone."""

    name = "files"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The files in order, each once."""
        try:
            is_one = isinstance(value, str) and Path(value).is_file()
        except OSError:
            # Many names make a longer text than a file's name may be.
            is_one = False
        return (value,) if is_one else super().convert(value, param, ctx)


class OneName(click.ParamType[str]):
    """One name, for a verb that works on one task or model."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name; a list of several is refused."""
        names = NameList().convert(value, param, ctx)
        if len(names) > 1:
            self.fail(f"expected one name, got {len(names)}: {', '.join(names)}", param, ctx)
        return names[0]


class BatchSize(click.ParamType[int]):
    """``auto``, or a positive number."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; 0 stands for ``auto``, since click takes None for a missing value."""
        text = str(value)
        if text == "auto":
            return 0
        number = whole_number(text)
        if number is None or not 1 <= number <= 4096:
            shown = one_line(text, 40)
            self.fail(f"expected auto or a number from 1 to 4096, got {shown!r}", param, ctx)
        return number


class PartOfRun(click.ParamType[tuple[int, int]]):
    """``K/N``, part K of N."""

    name = "K/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two numbers."""
        if isinstance(value, tuple):
            return value
        first, slash, second = str(value).partition("/")
        number, total = whole_number(first), whole_number(second)
        if not slash or number is None or total is None or not 1 <= number <= total <= MAX_PARTS:
            shown = one_line(value, 40)
            self.fail(
                f"expected K/N with K from 1 to N and N of at most {MAX_PARTS}, got {shown!r}",
                param,
                ctx,
            )
        return number, total


class Label(click.ParamType[tuple[str, str]]):
    """``key=value``."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The pair."""
        if isinstance(value, tuple):
            return (str(value[0]), str(value[1]))
        key, separator, content = str(value).partition("=")
        if not separator or not re.fullmatch(r"[\w.-]+", key):
            self.fail(f"expected key=value, got {value!r}", param, ctx)
        return key, content


def text_list(text: str, flag: str) -> tuple[str, ...]:
    """The ids of ``flag``, each once: one a line of the file that ``text`` names, or ``text`` at its commas.

    Raises:
        InvalidInput: there is none.
    """
    path = Path(text)
    try:
        is_file = path.is_file()
    except OSError:
        # Many ids make a longer text than a file's name may be.
        is_file = False
    names = read_text(path).splitlines() if is_file else text.split(",")
    ids = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not ids:
        raise InvalidInput(
            f"{flag} {text} contains no id",
            hint="write one id a line into the file, or ids separated by commas",
        )
    return ids


# Options of several verbs; a verb adds the help, and what is special to it.
models_choice = partial(choice, "-m", also=("--model",), type=NameList())
model_choice = partial(choice, "-m", also=("--models",), type=OneName())
tasks_choice = partial(choice, "-t", also=("--task",), type=NameList())
task_choice = partial(choice, "-t", also=("--tasks",), type=OneName())
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


def bench_toml() -> Path | None:
    """``bench.toml`` in the working directory, where there is one."""
    path = Path("bench.toml")
    return path if path.is_file() else None


TABLES = ("run", "models", "engines", "prices")
"""Tables that a ``bench.toml`` may have."""

REMOVED_KEYS = {"seed": "delete the line, because it changed nothing in a run"}
"""Keys that [run] had once, and what to do about them."""


def config_defaults(context: click.Context, _: click.Parameter, value: Path | None) -> Path | None:
    """Callback of ``--config``: the ``[run]`` table of a TOML file becomes the options' defaults.

    A flag beats an environment variable beats the file beats the built-in default. Without ``--config``
    a ``bench.toml`` in the working directory is used where there is one.

    Raises:
        InvalidInput: the file is missing or not TOML, has an unknown key, or a [run] that is no table.
    """
    path = value or bench_toml()
    if path is None:
        return None
    if path.suffix.lower() == ".csv":
        # A user_config.csv of VLMHyperBench names models and data sets in its rows.
        context.default_map = {**(context.default_map or {}), "models": path.name}
        return path
    table = _run_table(path)
    known = {
        spelling.lstrip("-").replace("-", "_"): parameter
        for parameter in context.command.params
        for spelling in parameter.opts
        if spelling.startswith("--") and parameter.name != "config"
    }
    defaults: dict[str, Any] = {}
    for key, setting in table.items():
        parameter = known.get(key.replace("-", "_"))
        if parameter is None:
            hint = REMOVED_KEYS.get(key) or did_you_mean(key, known)
            raise InvalidInput(f"{path}: [run] has no key {key!r}", hint=hint)
        is_flag = bool(getattr(parameter, "is_flag", False))
        # A date in TOML has no quotes, and no option takes one.
        is_plain = isinstance(setting, (bool, int, float, str, list))
        if not is_plain or is_flag != isinstance(setting, bool):
            expected = "true or false" if is_flag else "text, a number or a list"
            raise InvalidInput(
                f"{path}: [run] {key} should be {expected}, not {one_line(repr(setting), 60)}"
            )
        defaults[str(parameter.name)] = _as_option(setting, parameter)
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def _run_table(path: Path) -> Mapping[str, Any]:
    """The ``[run]`` table of a configuration file; empty if it has none."""
    content = read_toml(path)
    for table in content:
        if table not in TABLES:
            raise InvalidInput(
                f"{path} has an unknown table [{table}]",
                hint=did_you_mean(table, TABLES),
            )
    table = content.get("run", {})
    if not isinstance(table, dict):
        raise InvalidInput(
            f"{path}: run should be a table", hint="write [run], and its keys below it"
        )
    return table


def known_prices(given: Sequence[str]) -> dict[str, Tariff]:
    """Prices by model: of the table ``[prices]`` of ``bench.toml``, and before them those of ``--price``.

    Raises:
        InvalidInput: one is not a price.
    """
    from bench.scoring.prices import parse_prices, price_table

    path = bench_toml()
    stored = price_table(read_toml(path).get("prices", {}), str(path)) if path else {}
    return {**stored, **parse_prices(given, "--price")}


def _as_option(setting: Any, parameter: click.Parameter) -> Any:
    """A TOML value as click takes it for a default: lists for what takes several values."""
    if getattr(parameter, "multiple", False):
        return list(map(str, setting)) if isinstance(setting, list) else [str(setting)]
    if isinstance(setting, list):
        names = list(map(str, setting))
        return names if isinstance(parameter.type, NameList) else ",".join(names)
    # As text, a number meets the same checks as on the command line: click would cut 2.5 to 2.
    return setting if isinstance(setting, bool) else str(setting)

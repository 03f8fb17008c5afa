"""Options and types that several verbs share."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bench.errors import InvalidInput, did_you_mean
from bench.text import one_line

F = TypeVar("F", bound=Callable[..., Any])

RESULTS = Path("results")
"""Where runs are written unless ``--out`` says otherwise."""


class NameList(click.ParamType[tuple[str, ...]]):
    """Names separated by commas; a quoted comma is not needed, no name has one."""

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


class BatchSize(click.ParamType[int]):
    """``auto``, or a positive number."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; 0 stands for ``auto``, since click takes None for a missing value."""
        text = str(value)
        if text == "auto":
            return 0
        if not text.isdigit() or not 1 <= int(text) <= 4096:
            self.fail(f"expected auto or a number from 1 to 4096, got {text!r}", param, ctx)
        return int(text)


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


json_option: Callable[[F], F] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)
results_option: Callable[[F], F] = click.option(
    "--out",
    "results",
    type=click.Path(path_type=Path, file_okay=False),
    default=RESULTS,
    show_default=True,
    help="Folder that holds the run directories.",
)


def config_defaults(context: click.Context, _: click.Parameter, value: Path | None) -> Path | None:
    """Callback of ``--config``: the ``[run]`` table of a TOML file becomes the options' defaults.

    A flag beats an environment variable beats the file beats the built-in default. Without ``--config``
    a ``bench.toml`` in the working directory is used where there is one.

    Raises:
        InvalidInput: the file is missing or not TOML, has an unknown key, or a [run] that is no table.
    """
    path = value or Path("bench.toml")
    if value is None and not path.is_file():
        return None
    if path.suffix.lower() == ".csv":
        # A user_config.csv of VLMHyperBench: models and data sets stand in its rows.
        context.default_map = {**(context.default_map or {}), "models": path.name}
        return path
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InvalidInput(f"config file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read as TOML: {one_line(str(error))}") from None
    for table in content:
        if table not in {"run", "models"}:
            raise InvalidInput(
                f"{path}: unknown table [{table}]", hint=did_you_mean(table, ["run", "models"])
            )
    table = content.get("run", {})
    if not isinstance(table, dict):
        raise InvalidInput(f"{path}: run should be a table", hint="[run], and its keys below it")
    known = {
        option.lstrip("-").replace("-", "_"): parameter
        for parameter in context.command.params
        for option in parameter.opts
        if option.startswith("--") and parameter.name != "config"
    }
    defaults: dict[str, Any] = {}
    for key, setting in table.items():
        parameter = known.get(key.replace("-", "_"))
        if parameter is None:
            raise InvalidInput(f"{path}: [run] has no key {key!r}", hint=did_you_mean(key, known))
        defaults[str(parameter.name)] = _as_option(setting, parameter)
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def _as_option(setting: Any, parameter: click.Parameter) -> Any:
    """A TOML value as click takes it for a default: lists for what takes several values."""
    if getattr(parameter, "multiple", False):
        return setting if isinstance(setting, list) else [setting]
    if isinstance(setting, list) and not isinstance(parameter.type, NameList):
        return ",".join(map(str, setting))
    return setting


def find_run(name: str, results: Path) -> Path:
    """The run directory for what a person typed: a path, a run's name, a part of it, or ``last``.

    Raises:
        InvalidInput: no run, or several, fit.
    """
    from bench.rundir.store import RUN_FILE, find_runs

    path = Path(name)
    # A whole name before a part of one: two runs of one second are called X and X-2.
    for folder in (path, results / name):
        if (folder / RUN_FILE).is_file():
            return folder
    runs = find_runs(results)
    if name in {"last", "latest"} and runs:
        return runs[0].path
    fitting = [run.path for run in runs if name in run.id]
    if len(fitting) == 1:
        return fitting[0]
    if path.is_dir():
        raise InvalidInput(
            f"{one_line(name)} is no run directory (it has no {RUN_FILE})", hint="bench list runs"
        )
    if fitting:
        raise InvalidInput(
            f"{len(fitting)} runs in {results} have {one_line(name, 60)!r} in their name",
            hint="one of " + ", ".join(p.name for p in fitting[:3]),
        )
    raise InvalidInput(
        f"no run is called {one_line(name, 80)!r} in {results}",
        hint=did_you_mean(name, [run.id for run in runs])
        if runs
        else "bench run --models ocr --tasks all",
    )

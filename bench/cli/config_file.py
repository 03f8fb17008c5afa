"""``bench.toml``: the defaults that its table ``[run]`` gives to options, and its prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.option_types import NameList
from bench.errors import InvalidInput, did_you_mean
from bench.parsing import read_toml
from bench.text import one_line

if TYPE_CHECKING:
    from bench.scoring.prices import Tariff

TABLES = ("run", "models", "engines", "prices")
"""Tables that a ``bench.toml`` may have."""

REMOVED_KEYS = {"seed": "delete the line, because it changed nothing in a run"}
"""Keys that [run] had once, and what to do about them."""


def bench_toml() -> Path | None:
    """``bench.toml`` in the working directory, where there is one."""
    path = Path("bench.toml")
    return path if path.is_file() else None


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


def _as_option(setting: Any, parameter: click.Parameter) -> Any:
    """A TOML value as click takes it for a default: lists for what takes several values."""
    if getattr(parameter, "multiple", False):
        return list(map(str, setting)) if isinstance(setting, list) else [str(setting)]
    if isinstance(setting, list):
        names = list(map(str, setting))
        return names if isinstance(parameter.type, NameList) else ",".join(names)
    # As text, a number meets the same checks as on the command line: click would cut 2.5 to 2.
    return setting if isinstance(setting, bool) else str(setting)


def known_prices(given: Sequence[str]) -> dict[str, Tariff]:
    """Prices by model: of the table ``[prices]`` of ``bench.toml``, and before them those of ``--price``.

    Raises:
        InvalidInput: one is not a price.
    """
    from bench.scoring.prices import parse_prices, price_table

    path = bench_toml()
    stored = price_table(read_toml(path).get("prices", {}), str(path)) if path else {}
    return {**stored, **parse_prices(given, "--price")}

"""A model that is to run in a process of this machine becomes one that a server answers for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput, did_you_mean
from bench.models.backends import traits_of
from bench.models.serving.engines import ENGINES
from bench.parsing import read_toml
from bench.schema import ModelSpec
from bench.text import one_line, shell_word


def served_by(engine: str, spec: ModelSpec, bench_toml: Path | None) -> ModelSpec:
    """``spec`` behind a server of ``engine``, which the table ``[engines.NAME]`` describes.

    Raises:
        InvalidInput: there is no such engine, the model has no checkpoint, or the table is not valid.
    """
    if engine not in ENGINES:
        raise InvalidInput(
            f"there is no engine {one_line(engine, 40)!r}", hint=did_you_mean(engine, ENGINES)
        )
    traits = traits_of(spec)
    if spec.checkpoint is None or traits.runs_in != "process" or traits.memory != "gpu":
        reason = "is on a server already" if traits.runs_in != "process" else "has no checkpoint"
        raise InvalidInput(
            f"{engine} cannot serve the model {spec.name!r}, which {reason}",
            hint=f'run it separately, or write engine = "{engine}" into tables [models.NAME] of bench.toml',
        )
    if spec.adapter is not None:
        raise InvalidInput(
            f"{engine} cannot serve the adapter {spec.name!r}",
            hint=f"merge it first: bench tune --merge {shell_word(spec.adapter)} --out FOLDER",
        )
    options = {**engine_table(engine, bench_toml), **spec.options}
    return replace(spec, name=f"{spec.name}@{engine}", backend=engine, options=options)


def engine_table(engine: str, bench_toml: Path | None) -> Mapping[str, Any]:
    """The table ``[engines.NAME]`` of a ``bench.toml``: options of every model that the engine serves.

    Raises:
        InvalidInput: it is no table.
    """
    tables = read_toml(bench_toml).get("engines", {}) if bench_toml is not None else {}
    table = tables.get(engine, {}) if isinstance(tables, dict) else None
    if not isinstance(table, dict):
        raise InvalidInput(
            f"{bench_toml}: the key engines should hold tables, for example [engines.vllm]"
        )
    for name in tables:
        if name not in ENGINES:
            raise InvalidInput(
                f"{bench_toml}: there is no engine {one_line(name, 40)!r}",
                hint=did_you_mean(name, ENGINES),
            )
    return table

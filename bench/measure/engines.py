"""Where an engine is that cannot live in this environment: another interpreter, or a program on the path.

vLLM and this package each want a version of transformers that the other refuses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.text import one_line

_VERSION_SECONDS = 60
"""Starting an interpreter on a slow network disk takes seconds."""


class KnownEngine(NamedTuple):
    """An engine that is known."""

    command: tuple[str, ...]
    """The interpreter, or the engine's own program."""
    is_interpreter: bool
    where: str
    """What named it: a table of ``bench.toml``, a variable, or the path."""


def variable(package: str) -> str:
    """The environment variable that names the interpreter with ``package``."""
    return f"BENCH_{package.upper()}_PYTHON"


def find_engine(package: str, table: Mapping[str, Any] | None = None) -> KnownEngine | None:
    """The interpreter that ``table`` names, or the variable, or the engine's program on the path.

    Args:
        package: ``vllm`` or ``sglang``.
        table: ``[engines.PACKAGE]`` of a ``bench.toml``.
    """
    python = (table or {}).get("python")
    if isinstance(python, str) and python:
        return KnownEngine(
            (str(Path(python).expanduser()),), True, f"[engines.{package}] of bench.toml"
        )
    if named := os.environ.get(variable(package)):
        return KnownEngine((str(Path(named).expanduser()),), True, variable(package))
    if program := shutil.which(package):
        return KnownEngine((program,), False, "PATH")
    return None


def engine_version(package: str, known: KnownEngine) -> str:
    """The version of ``package`` there, by the metadata of its environment.

    Raises:
        LookupError: it is not there, or the interpreter does not run; the message says what it said.
    """
    python = Path(known.command[0])
    if not known.is_interpreter:
        # A program of an environment stands beside its interpreter.
        python = python.resolve().parent / "python"
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", ask],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LookupError(one_line(str(error), 200)) from None
    if done.returncode != 0:
        raise LookupError(one_line(done.stderr.strip().rpartition("\n")[2], 200))
    return one_line(done.stdout, 60)


def how_to_install(package: str) -> str:
    """What to type for an environment with ``package``, and where to name it."""
    folder = f"~/{package}-env"
    return (
        f"python3 -m venv {folder} && {folder}/bin/pip install {package}, then write python = "
        f'"{folder}/bin/python" below [engines.{package}] in bench.toml'
    )

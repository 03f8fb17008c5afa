"""Errors that a person is meant to read: one line that says what is wrong, one that says what to type next.

::

    BenchError                    exit code 1   (the base; never raised as such)
    ├── InvalidInput              2             usage, configuration, task or data is not valid
    └── EnvironmentProblem        3             no GPU, weights missing, an optional package is not installed
        └── OutOfMemory           3             the device's memory does not hold the batch
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable
from pathlib import Path

INVALID = 2
ENVIRONMENT = 3
INCOMPLETE = 4
"""Exit code where work ran, but too much of it failed for the scores to mean anything."""
INTERRUPTED = 130
"""Exit code where the user stopped the work; everything finished so far is on disk."""


class BenchError(Exception):
    """A failure whose message is complete: the command line prints it without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep ``message`` (what was expected, what came, where) and ``hint`` (what to type next)."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(BenchError):
    """Something that a person wrote (an option, a file, a name) cannot be used as it is."""

    exit_code = INVALID


class EnvironmentProblem(BenchError):
    """The machine lacks something: a device, memory, weights, or an optional package."""

    exit_code = ENVIRONMENT


class OutOfMemory(EnvironmentProblem):
    """The device's memory does not hold what was asked for; a smaller batch may fit."""


def missing_package(feature: str, package: str, extra: str) -> EnvironmentProblem:
    """The error for an optional package: names the feature and the command that installs it."""
    return EnvironmentProblem(
        f"{feature} needs the package {package}, which is not installed",
        hint=install_command(extra),
    )


def install_command(extra: str) -> str:
    """What to type for the packages of ``extra``: by the package's name, or from the checkout that runs."""
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / "pyproject.toml").is_file():
        return f"pip install {shlex.quote(f'docvlm-bench[{extra}]')}"
    folder = "." if checkout == Path.cwd() else str(checkout)
    return f"pip install -e {shlex.quote(f'{folder}[{extra}]')}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest of ``known`` names, or lists the first of them."""
    names = sorted(known)
    # Names are compared in lower case, because "Qwen2-VL-2B" for "qwen2-vl-2b" is the usual slip.
    lowered = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(lowered[c] for c in close) + "?"
    if not names:
        return "none are known"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"known: {shown}"

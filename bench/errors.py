"""Defines the errors that people read: one line says what is wrong, one line what to type next.

::

    BenchError                    exit code 1   (the base; never raised as such)
    ├── InvalidInput              2             a command, a configuration, a task or data are not valid
    │   └── ManyProblems          2             the same at several places, which are listed
    └── EnvironmentProblem        3             a device, weights or an optional package are missing
        └── OutOfMemory           3             the memory of the device is too small for the batch
"""

from __future__ import annotations

import difflib
import importlib.util
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.text import one_line, without_user_info

if TYPE_CHECKING:
    from pydantic import ValidationError

INVALID = 2
ENVIRONMENT = 3
INCOMPLETE = 4
"""Exit code of a run in which too many questions failed for the scores to mean anything."""
REGRESSED = 5
"""Exit code of a gate or a check that found a difference beyond the noise and beyond the margin."""
UNDECIDED = 6
"""Exit code of a gate or a check for which the documents are too few."""
NOT_COMPARABLE = 7
"""Exit code of a gate whose two sides were not asked the same."""
INTERRUPTED = 130
"""Exit code of a run that the user stopped; everything finished so far is on the disk."""


class BenchError(Exception):
    """An error whose message says everything: the command line prints it without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep ``message`` (what was expected, what came, where) and ``hint`` (what to type next)."""
        # The address of the hub or of a proxy comes from the environment, often with a password.
        self.message = without_user_info(message)
        self.hint = None if hint is None else without_user_info(hint)
        super().__init__(self.message)


class InvalidInput(BenchError):
    """Something that a person wrote (an option, a file, a name) is not valid."""

    exit_code = INVALID


class ManyProblems(InvalidInput):
    """Something that a person wrote is not valid at several places; the message names the first one."""

    def __init__(self, problems: Sequence[str], *, subject: str, hint: str | None = None) -> None:
        """Keep one line for each place, and ``subject``, the name of what has the problems."""
        more = len(problems) - 1
        noun = "problem" if more == 1 else "problems"
        super().__init__(f"{problems[0]} (and {more:,} more {noun})", hint=hint)
        self.problems = tuple(problems)
        self.subject = subject

    @property
    def count(self) -> str:
        """How many problems there are, for those who have been shown them."""
        return f"{one_line(self.subject, 80)} has {len(self.problems):,} problems"


class EnvironmentProblem(BenchError):
    """The machine lacks something: a device, memory, weights or an optional package."""

    exit_code = ENVIRONMENT


class OutOfMemory(EnvironmentProblem):
    """The memory of the device is too small for what was asked; a smaller batch may fit."""


def missing_package(feature: str, package: str, extra: str) -> EnvironmentProblem:
    """Return the error for an optional package; it names the feature and the command that installs it."""
    return EnvironmentProblem(
        f"{feature} needs the package {package}, which is not installed",
        hint=install_command(extra),
    )


def require_package(feature: str, package: str, extra: str) -> None:
    """Refuse to go on without ``package``, which is looked for and not imported.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    if not _is_installed(package):
        raise missing_package(feature, package, extra)


def _is_installed(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is not None:
        return spec is not None
    # A package without a file of its own, such as optimum, or just a folder of that name, such as the one
    # that wandb makes where it is used.
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def install_command(extra: str) -> str:
    """Return the command that installs the packages of ``extra``, from PyPI or into a checkout."""
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / "pyproject.toml").is_file():
        return f"pip install {shlex.quote(f'docvlm-bench[{extra}]')}"
    folder = "." if checkout == Path.cwd() else str(checkout)
    return f"pip install -e {shlex.quote(f'{folder}[{extra}]')}"


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return where a record first differs from its model (keys joined by dots), and what is wrong there."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return one_line(place, 80), one_line(problem["msg"], 200)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that offers the nearest of the ``known`` names, or lists the first of them."""
    names = sorted(set(known))
    words = name.split()
    if len(words) > 1 and all(word in names for word in words):
        return f"did you mean {','.join(words)}? Commas separate names."
    # Names are compared in lower case, because "Qwen2-VL-2B" for "qwen2-vl-2b" is the usual slip.
    by_lower_case = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(by_lower_case[match] for match in close) + "?"
    if not names:
        return "none are known"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"known: {shown}"

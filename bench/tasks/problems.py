"""Describes what is wrong in a file that a person wrote: where it is, and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.errors import InvalidInput, ManyProblems


class Problem(NamedTuple):
    """Something wrong in a person's file, or something that the person should know about it."""

    file: str
    line: int
    """From 1; 0 if no line can be named."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"

    def inside(self, folder: Path) -> Problem:
        """Return the same problem with the path of its file in ``folder``."""
        return self._replace(file=str(folder / self.file))

    @classmethod
    def of(cls, error: InvalidInput, file: str, line: int = 0) -> Problem:
        """Return ``error``, with its hint, as a problem of a line."""
        hint = f"; {error.hint}" if error.hint else ""
        return cls(file, line, f"{error.message}{hint}")


def error_of(problems: Sequence[Problem], subject: str, *, hint: str | None = None) -> InvalidInput:
    """Return ``problems``, of which there is at least one, as an error.

    ``subject``: the name of what has them.
    """
    if len(problems) == 1:
        return InvalidInput(str(problems[0]), hint=hint)
    return ManyProblems([str(problem) for problem in problems], subject=subject, hint=hint)

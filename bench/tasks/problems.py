"""Describes what is wrong in a file that a person wrote: where it is, and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.errors import InvalidInput
from bench.formatting import plural


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


def first_of(problems: Sequence[Problem]) -> str:
    """Return the first problem as text, and how many more there are."""
    more = len(problems) - 1
    return f"{problems[0]} (and {plural(more, 'more problem')})" if more else str(problems[0])

"""What is wrong in a file that a person wrote: the file, the line, and what."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """Something wrong, or worth saying, about a person's file: where it stands, and what."""

    file: str
    line: int
    """From 1; 0 where no line can be told."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"

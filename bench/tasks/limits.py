"""Bounds on what opening one page file may cost: time, memory, pixels and pages.

They are kept in the environment of the process, so that the processes of a run have the same ones.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

from bench.errors import InvalidInput
from bench.formatting import count, plural
from bench.text import one_line

MAX_SIDE = 250_000
"""Pixels of the longest side: an image needs memory for every line, however short the line is."""
MAX_FILE_BYTES = 2 * 2**30
"""Largest page file, checked before it is read."""


class PageLimits(NamedTuple):
    """What opening one page may cost."""

    seconds: float = 60.0
    gib: float = 2.0
    """Memory of the process that opens pages, in GiB."""
    pixels: int = 178_956_970
    """Pixels of one page: Pillow's own limit against decompression bombs."""
    pages: int = 5_000
    """Pages of one file."""

    @property
    def memory_bytes(self) -> int:
        """``gib`` in bytes."""
        return int(self.gib * 2**30)


DEFAULTS = PageLimits()

VARIABLES = {
    "seconds": "BENCH_PAGE_SECONDS",
    "gib": "BENCH_PAGE_GIB",
    "pixels": "BENCH_PAGE_PIXELS",
    "pages": "BENCH_FILE_PAGES",
}
"""Field of ``PageLimits`` → environment variable. The option is called as the variable, without BENCH."""

RANGES: dict[str, tuple[float, float]] = {
    "seconds": (0.1, 86_400),
    "gib": (0.1, 1_024),
    "pixels": (1, 4_000_000_000),
    "pages": (1, 1_000_000),
}
"""The values that a limit may have."""


def option(field: str) -> str:
    """Return how the limit ``field`` is spelled on the command line."""
    return "--" + VARIABLES[field].removeprefix("BENCH_").lower().replace("_", "-")


def page_limits() -> PageLimits:
    """Return the limits of this process.

    Raises:
        InvalidInput: an environment variable is not a number in its range.
    """
    numbers = {
        field: _number(field, os.environ[name])
        for field, name in VARIABLES.items()
        if os.environ.get(name)
    }
    return PageLimits(
        seconds=numbers.get("seconds", DEFAULTS.seconds),
        gib=numbers.get("gib", DEFAULTS.gib),
        pixels=int(numbers.get("pixels", DEFAULTS.pixels)),
        pages=int(numbers.get("pages", DEFAULTS.pages)),
    )


def set_page_limits(**limits: float | None) -> None:
    """Set limits for this process and for those that it starts; None leaves a limit as it is."""
    for field, value in limits.items():
        if value is not None:
            os.environ[VARIABLES[field]] = str(value)


def _number(field: str, text: str) -> float:
    low, high = RANGES[field]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise InvalidInput(
            f"the environment variable {VARIABLES[field]} should be a number from {low:g} to {high:g}, "
            f"not {one_line(text, 40)!r}"
        )
    return number


def check_page_count(path: Path, pages: int) -> None:
    """Refuse a file of more pages than the limit allows.

    Raises:
        InvalidInput: naming the option that raises the limit.
    """
    most = page_limits().pages
    if pages > most:
        raise InvalidInput(
            f"page file {one_line(path, 160)} has more than {plural(most, 'page')}",
            hint=f"split the file, or raise the limit: {option('pages')} N",
        )


def check_page_size(where: str, width: int, height: int) -> None:
    """Refuse a page of more pixels than the limit allows; ``where`` names the page.

    Raises:
        InvalidInput: naming the option that raises the limit.
    """
    most = page_limits().pixels
    if width * height > most:
        raise InvalidInput(
            f"{where} has {width}×{height} pixels; at most {count(most)} are accepted",
            hint="scale it down, because a page needs no more than about 300 dpi, or raise the limit: "
            f"{option('pixels')} N",
        )
    if max(width, height) > MAX_SIDE:
        raise InvalidInput(
            f"{where} has {width}×{height} pixels; a side may have at most {count(MAX_SIDE)}",
            hint="cut it into pages",
        )

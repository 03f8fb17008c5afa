"""Types of options: how the text behind a flag becomes names, a number, a pair or a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.errors import InvalidInput
from bench.parsing import read_text, whole_number
from bench.storage import is_address, is_url
from bench.text import one_line

RESULTS = Path("results")
"""The folder of the runs unless the command line says otherwise."""

FOLDER = click.Path(path_type=Path, file_okay=False)
"""Type of an option that names a folder."""

MAX_PARTS = 10_000
"""Parts of a run on several machines."""
MAX_SIDE = 100_000
"""Pixels of a page's side."""
FEWEST_PIXELS = 4 * 28 * 28
"""Four visual tokens of Qwen2-VL, its smallest page. A smaller bound was surely meant in tokens."""
FEWEST_TOKENS, MOST_TOKENS = 4, 16_384
"""The bounds of Qwen2-VL's own image processor."""


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a command makes its runs."""

    folder: Path = RESULTS
    address: str | None = None
    """Where on object storage the runs are pushed when they are finished; None for nowhere."""


class FolderOrAddress(click.ParamType[RunPlace]):
    """A folder of this machine, or an address of object storage."""

    name = "folder|address"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> RunPlace:
        """The place that ``value`` names: what is pushed to an address is made in ``results``."""
        if isinstance(value, RunPlace):
            return value
        text = str(value)
        if is_address(text):
            return RunPlace(address=text)
        if is_url(text):
            shown = one_line(text, 80)
            self.fail(
                f"expected a folder, or an address such as s3://BUCKET/FOLDER, got {shown!r}",
                param,
                ctx,
            )
        return RunPlace(FOLDER.convert(value, param, ctx))


class NameList(click.ParamType[tuple[str, ...]]):
    """Names separated by commas. There is no way to quote a comma, because no name has one."""

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


class FileList(NameList):
    """Files separated by commas; a file whose name has a comma can be named alone."""

    name = "files"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The files in order, each once."""
        is_one = isinstance(value, str) and _is_file(value)
        return (value,) if is_one else super().convert(value, param, ctx)


class OneName(click.ParamType[str]):
    """One name, for a verb that works on one task or model."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name; a list of several is refused."""
        names = NameList().convert(value, param, ctx)
        if len(names) > 1:
            self.fail(f"expected one name, got {len(names)}: {', '.join(names)}", param, ctx)
        return names[0]


class BatchSize(click.ParamType[int]):
    """``auto``, or a positive number."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; 0 stands for ``auto``, since click takes None for a missing value."""
        text = str(value)
        if text == "auto":
            return 0
        number = whole_number(text)
        if number is None or not 1 <= number <= 4096:
            shown = one_line(text, 40)
            self.fail(f"expected auto or a number from 1 to 4096, got {shown!r}", param, ctx)
        return number


class PartOfRun(click.ParamType[tuple[int, int]]):
    """``K/N``, part K of N."""

    name = "K/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two numbers."""
        if isinstance(value, tuple):
            return value
        first, slash, second = str(value).partition("/")
        number, total = whole_number(first), whole_number(second)
        if not slash or number is None or total is None or not 1 <= number <= total <= MAX_PARTS:
            shown = one_line(value, 40)
            self.fail(
                f"expected K/N with K from 1 to N and N of at most {MAX_PARTS}, got {shown!r}",
                param,
                ctx,
            )
        return number, total


class MaxPixels(click.ParamType[int]):
    """A bound on a page in pixels; a number that can only be meant in visual tokens is refused."""

    name = "pixels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of pixels."""
        text = str(value)
        number = whole_number(text)
        if number is None:
            self.fail(f"expected a number of pixels, got {one_line(text, 40)!r}", param, ctx)
        if number < FEWEST_PIXELS:
            message = (
                f"expected at least {FEWEST_PIXELS:,} pixels (4 visual tokens), got {number:,}"
            )
            if number >= FEWEST_TOKENS:
                message += f"; if you mean visual tokens, type --visual-tokens {number}"
            self.fail(message, param, ctx)
        return number


class PageSize(click.ParamType[tuple[int, int]]):
    """``WIDTHxHEIGHT`` in pixels."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Width and height."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", str(value).strip().lower())
        sides = (int(match[1]), int(match[2])) if match is not None else (0, 0)
        if not 1 <= min(sides) <= max(sides) <= MAX_SIDE:
            self.fail(f"expected pixels as 1700x2200, got {one_line(str(value), 40)!r}", param, ctx)
        return sides


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


def text_list(text: str, flag: str) -> tuple[str, ...]:
    """The ids of ``flag``, each once: one a line of the file that ``text`` names, or ``text`` at its commas.

    Raises:
        InvalidInput: there is none.
    """
    names = read_text(Path(text)).splitlines() if _is_file(text) else text.split(",")
    ids = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not ids:
        raise InvalidInput(
            f"{flag} {text} contains no id",
            hint="write one id a line into the file, or ids separated by commas",
        )
    return ids


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:
        # Many names make a longer text than a file's name may be.
        return False

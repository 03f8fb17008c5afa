"""Reads JSON, TOML and text that come from outside: bounded, checked, and with one line for what is wrong.

A file from a stranger may be a device that never ends, may nest its brackets a million times, or may hold
a number of a million digits. Every reader of this module opens regular files only, checks their size first,
and refuses what no honest file contains. ``Unreadable`` names the file and what was expected.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import stat
import tomllib
from collections import Counter
from io import BufferedReader
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.formatting import byte_size
from bench.text import one_line

MAX_JSON_BYTES = 64 * 2**20
"""Largest JSON file: the tokenizers of large vocabularies have about 35 MiB."""
MAX_CONFIG_BYTES = 8 * 2**20
"""Largest JSON file that configures something."""
MAX_LINE_BYTES = 16 * 2**20
"""Longest line of a JSON Lines file."""
MAX_TOML_BYTES = 2**20
"""Largest TOML file: people write them by hand."""
MAX_TABLE_BYTES = 2 * 2**30
"""Largest table or JSON Lines file that is read as a whole."""
MAX_TEXT_BYTES = 16 * 2**20
"""Largest file of plain text, for example a prompt or a list."""
MAX_NAME = 255
"""Characters of a file's name, which no file system lets be longer."""
MAX_DEPTH = 100
"""Lists and objects inside each other: what is nested deeper is no data."""
MAX_VALUE_DEPTH = 64
"""The same for one answer or reference: no document needs more, and a line that holds it stays readable."""
MAX_CONTAINERS = 4_000_000
"""Lists and objects in one file: an empty one takes thirty times its two bytes in memory."""
MAX_DIGITS = 300
"""Digits of a whole number: one that is longer fits into no float."""
MAX_KEY_PARTS = 32
"""Parts of a dotted key in TOML. tomllib needs time and memory for the square of their number."""

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order mark → encoding of the text that it begins, as editors on Windows save it."""

_LONG_NUMBER = re.compile(f"[0-9]{{{MAX_DIGITS + 1}}}")
_KEY_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
# A key stands at the beginning of a line, of a header or of an inline table, or behind a comma.
_LONG_KEY = re.compile(
    rf"(?:^|[\[{{,])[ \t]*+{_KEY_PART}(?:[ \t]*+\.[ \t]*+{_KEY_PART}){{{MAX_KEY_PARTS}}}",
    re.MULTILINE,
)


class Unreadable(InvalidInput):
    """A file cannot be read as what it should be; ``reason`` is the message without the file's name."""

    def __init__(self, where: object, reason: str, *, hint: str | None = None) -> None:
        """Keep ``reason``, which continues a sentence that begins with the file's name."""
        super().__init__(f"{one_line(where)} {reason}", hint=hint)
        self.reason = reason


class BeyondBound(Unreadable):
    """What is read is well formed, but nested too deep, or it holds a number that is too long."""


def open_regular(path: Path) -> BufferedReader:
    """Open ``path`` for reading if it is a regular file, after following links.

    Reading a pipe waits for ever, and reading a device never ends.

    Raises:
        Unreadable: the file is missing, may not be read, or is no regular file.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for somebody who writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        is_link = path.is_symlink()
        raise Unreadable(
            path, "is a link to a file that is not there" if is_link else "does not exist"
        ) from None
    except (OSError, ValueError) as error:
        # A ValueError is a name with a null byte in it.
        is_no_file = isinstance(error, OSError) and error.errno in {errno.ENXIO, errno.ENODEV}
        if is_no_file:
            raise _not_regular(path) from None
        reason = getattr(error, "strerror", None) or error
        raise Unreadable(path, f"cannot be read: {one_line(reason, 120)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return os.fdopen(descriptor, "rb")


def _not_regular(path: Path) -> Unreadable:
    return Unreadable(
        path,
        "is a folder, a pipe or a device, not a regular file",
        hint="name a regular file; write what a pipe gives into a file first",
    )


def read_bytes(path: Path, limit: int) -> bytes:
    """Read the regular file ``path`` of at most ``limit`` bytes.

    Raises:
        Unreadable: the file cannot be opened, is no regular file, or is larger.
    """
    with open_regular(path) as stream:
        length = os.fstat(stream.fileno()).st_size
        if length > limit:
            raise _too_large(path, length, limit)
        try:
            data = stream.read(limit + 1)
        except OSError as error:
            raise Unreadable(path, f"cannot be read: {one_line(error.strerror, 120)}") from None
    # Some files have no size before they are read, and a file may grow meanwhile.
    if len(data) > limit:
        raise _too_large(path, len(data), limit)
    return data


def _too_large(path: Path, length: int, limit: int) -> Unreadable:
    return Unreadable(path, f"has {byte_size(length)}; at most {byte_size(limit)} are read")


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Read the text in ``path``: UTF-8, or what its byte order mark says.

    Raises:
        Unreadable: as ``read_bytes``, or the text is in another encoding.
    """
    data = read_bytes(path, limit)
    encodings = (name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark))
    return decoded(data, path, next(encodings, "utf-8"))


def decoded(data: bytes, where: object, encoding: str = "utf-8-sig") -> str:
    """Decode ``data``, by default UTF-8 with or without a byte order mark; ``where`` names its place.

    Raises:
        Unreadable: it is in another encoding.
    """
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise Unreadable(
            where, f"is not {name} at byte {error.start}", hint="save it as UTF-8"
        ) from None


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> Any:
    """Read the JSON value in ``path``.

    Raises:
        Unreadable: as ``read_text``, or ``parse_json`` refuses the content.
    """
    return parse_json(read_text(path, limit), path)


def read_json_object(path: Path, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read the JSON object in ``path``.

    Raises:
        Unreadable: as ``read_json``, or the file holds another kind of value.
    """
    value = read_json(path, limit)
    if not isinstance(value, dict):
        raise Unreadable(path, f"should hold a JSON object, but it holds {kind_of(value)}")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """Read the TOML table in ``path``.

    Raises:
        Unreadable: as ``read_text``, or ``parse_toml`` refuses the content.
    """
    return parse_toml(read_text(path, MAX_TOML_BYTES), path)


def parse_json(text: str, where: object, *, max_digits: int = MAX_DIGITS) -> Any:
    """Return the JSON value in ``text``; ``where`` names its place in messages.

    Python itself refuses whole numbers of more than 4,300 digits.

    Raises:
        Unreadable: the text is not JSON, an object holds a key twice, or a bound of this module is passed.
    """
    # Counting is so cheap that the lines of a large run may all be checked.
    containers = text.count("[") + text.count("{")
    if containers > MAX_CONTAINERS:
        raise Unreadable(where, f"holds more than {MAX_CONTAINERS:,} lists and objects")
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep(where) from None
    except json.JSONDecodeError as error:
        # If the text is one line of a file, the caller knows its number.
        line = f"line {error.lineno}, " if "\n" in text.strip() else ""
        reason = f"is not JSON: {error.msg}: {line}column {error.colno}"
        raise Unreadable(where, one_line(reason, 140)) from None
    except ValueError as error:
        raise Unreadable(where, f"is not JSON: {one_line(error, 120)}") from None
    if containers > MAX_DEPTH or _LONG_NUMBER.search(text) is not None:
        _check_bounds(value, where, max_digits)
    return value


def parse_toml(text: str, where: object) -> dict[str, Any]:
    """Return the table that the TOML ``text`` describes; ``where`` names its place in messages.

    Raises:
        Unreadable: the text is not TOML, or a bound of this module is passed.
    """
    long_key = _LONG_KEY.search(text)
    if long_key is not None:
        line = text.count("\n", 0, long_key.start()) + 1
        raise Unreadable(
            where,
            f"has a key of more than {MAX_KEY_PARTS} parts "
            f"(at line {line}): {one_line(long_key[0], 40)}",
        )
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise _too_deep(where) from None
    # Besides its own error, tomllib lets the ValueError of a number of 5,000 digits through.
    except ValueError as error:
        raise Unreadable(where, f"is not valid TOML: {one_line(error, 120)}") from None
    _check_bounds(table, where)
    return table


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; a key that comes twice would silently hide a value."""
    table = dict(pairs)
    if len(table) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise ValueError(f"an object holds the key {one_line(twice, 60)!r} twice")
    return table


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _check_bounds(value: Any, where: object, max_digits: int = MAX_DIGITS) -> None:
    """Refuse what is nested too deep and numbers that are too long, level by level without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            elif isinstance(item, int) and item.bit_length() > max_digits * 3.33:
                raise BeyondBound(where, f"holds a number of more than {max_digits} digits")
        if not inner:
            return
        level = inner
    raise _too_deep(where)


def is_within_depth(value: Any, depth: int = MAX_VALUE_DEPTH) -> bool:
    """Whether lists and objects stand at most ``depth`` deep inside each other in ``value``."""
    level = [value]
    for _ in range(depth + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list | tuple):
                inner.extend(item)
        if not inner:
            return True
        level = inner
    return False


def _too_deep(where: object) -> BeyondBound:
    return BeyondBound(where, f"nests lists and objects more than {MAX_DEPTH} deep")


def whole_number(text: str) -> int | None:
    """Return the number that ASCII digits write, of at most 18 of them; None for any other text.

    ``str.isdigit`` alone is true for "²", which ``int`` refuses.
    """
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) is not None else None


def kind_of(value: Any) -> str:
    """Name the kind of a JSON or TOML value in words: ``a list``, ``the number 3``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {one_line(value, 30)}"
    if isinstance(value, str):
        return f"the text {one_line(value, 40)!r}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    # TOML has dates and times besides.
    return f"the {type(value).__name__} {one_line(value, 40)}"

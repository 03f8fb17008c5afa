"""Reads tables as people save them: any of ``,`` ``;`` tab, UTF-8 with or without BOM, or Windows-1251.

A file that cannot be read for certain is refused, and the error names the line that shows it. A table that
is read with the wrong delimiter or encoding would give questions that nobody asked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import did_you_mean
from bench.formatting import plural
from bench.parsing import MAX_TABLE_BYTES, read_bytes
from bench.tasks.problems import Problem
from bench.text import one_line

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
"""Delimiter → how it is called."""

SAMPLE_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("question",),
    ("answer", "answers"),
    ("image", "images", "document"),
)
"""Column names of a table of samples, which has one of each group."""

MAX_CELL_BYTES = 16 * 2**20

# From the commonest letter of Russian to the rarest. The old encodings put letters into each other's places
# and swap their case, so that the reading with the commoner letters, mostly small, is the right one.
_BY_FREQUENCY = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"
_WEIGHTS = {letter: len(_BY_FREQUENCY) - rank for rank, letter in enumerate(_BY_FREQUENCY)}
_SIGNS = frozenset("«»№–—“”„…°§·")
_OTHER_ENCODINGS = ("koi8_r", "cp866")


class TableText(NamedTuple):
    """The text of a decoded file, or the reason why it could not be decoded."""

    text: str
    problem: Problem | None = None
    note: Problem | None = None


def read_table(
    path: Path,
    problems: list[Problem],
    notes: list[Problem],
    needed: Sequence[tuple[str, ...]] = SAMPLE_COLUMNS,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and filled cells of every row.

    Args:
        path: the file.
        problems: what is wrong is added here.
        notes: what a person should know although nothing is wrong is added here.
        needed: groups of column names; the table must have a column of each group.
    """
    decoded = _decode(path)
    if decoded.note is not None:
        notes.append(decoded.note)
    if decoded.problem is not None:
        problems.append(decoded.problem)
        return
    header = decoded.text.partition("\n")[0]
    # The delimiter that the header uses most; quoting inside a header is rare enough.
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(io.StringIO(decoded.text, newline=""), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(MAX_CELL_BYTES)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        header_problems = _header_problems(path.name, header, columns, needed)
        problems += header_problems
        if header_problems:
            return
        for record in reader:
            if None in record or any(value is None for value in record.values()):
                message = _ragged_row(record, delimiter)
                problems.append(Problem(path.name, reader.line_num, message))
                continue
            yield reader.line_num, {k.strip(): v for k, v in record.items() if v != ""}
    except csv.Error as error:
        message = f"the file is not valid CSV: {one_line(error, 100)}"
        problems.append(Problem(path.name, reader.line_num, message))
    finally:
        csv.field_size_limit(limit)


def _header_problems(
    name: str, header: str, columns: list[str], needed: Sequence[tuple[str, ...]]
) -> list[Problem]:
    if len(columns) < 2:
        message = (
            f"the header has only one column, {one_line(header, 60)!r}; "
            "separate columns with a comma, a semicolon or a tab"
        )
        return [Problem(name, 1, message)]
    messages = [
        f"the header names column {one_line(column, 40)!r} twice"
        for column in dict.fromkeys(columns)
        if columns.count(column) > 1
    ]
    for group in needed:
        if not set(group) & set(columns):
            others = f" (or {', '.join(group[1:])})" if group[1:] else ""
            hint = did_you_mean(group[0], columns)
            messages.append(f"there is no column {group[0]!r}{others}; {hint}")
    return [Problem(name, 1, message) for message in messages]


def _ragged_row(record: dict[Any, Any], delimiter: str) -> str:
    """Describe a row with more or fewer cells than the header, and the likely reason."""
    columns = [key for key in record if key is not None]
    extra = record.get(None) or []
    filled = sum(isinstance(record[column], str) for column in columns)
    cells = filled + len(extra)
    message = f"the row has {plural(cells, 'cell')}, but the header has {len(columns)} columns"
    if extra:
        return f'{message}; put cells that contain {DELIMITERS[delimiter]} in "…"'
    first = next((str(value) for value in record.values() if isinstance(value, str)), "")
    other = next((mark for mark in DELIMITERS if mark != delimiter and mark in first), None)
    if cells == 1 and other is not None:
        return f"{message}; it seems to separate them with {DELIMITERS[other]}"
    return message


# Encodings


def _decode(path: Path) -> TableText:
    raw = read_bytes(path, MAX_TABLE_BYTES)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = "the file is in UTF-16; save it as CSV in UTF-8"
        return TableText("", Problem(path.name, 0, message))
    if b"\0" in raw:
        message = "the file contains zero bytes, so it is not a CSV text"
        return TableText("", Problem(path.name, 0, message))
    try:
        return TableText(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    utf8_line = _first_utf8_line(raw)
    if utf8_line is not None:
        message = (
            f"the line is not UTF-8, but line {utf8_line} is; "
            "the file mixes encodings: save all of it as UTF-8"
        )
        return TableText("", Problem(path.name, line, message))
    text = _as_windows_1251(raw)
    if text is None:
        message = "the line is neither UTF-8 nor Windows-1251; save the file as UTF-8"
        return TableText("", Problem(path.name, line, message))
    note = "the file is in Windows-1251 (cp1251) and was read as such; UTF-8 is safer"
    return TableText(text, note=Problem(path.name, 0, note))


def _first_utf8_line(raw: bytes) -> int | None:
    """Return the first line that is valid UTF-8 and not pure ASCII; None if there is none."""
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            continue
        return number
    return None


def _as_windows_1251(raw: bytes) -> str | None:
    """Decode ``raw`` as cp1251, if that gives Russian and the other old encodings do not."""
    try:
        text = raw.decode("cp1251")
    except UnicodeDecodeError:
        return None
    score = _russian_score(text)
    others = (_russian_score(raw.decode(encoding, "replace")) for encoding in _OTHER_ENCODINGS)
    return text if score > 0 and score >= max(others) else None


def _russian_score(text: str) -> float:
    """Say how much the signs beyond ASCII look like Russian; 0 where more than 3 % do not."""
    signs = [sign for sign in text if not sign.isascii()]
    letters = [sign for sign in signs if sign.lower() in _WEIGHTS]
    known_signs = len(letters) + sum(sign in _SIGNS for sign in signs)
    if not letters or known_signs < 0.97 * len(signs):
        return 0.0
    share_of_small = sum(letter.islower() for letter in letters) / len(letters)
    mean_weight = sum(_WEIGHTS[letter.lower()] for letter in letters) / len(letters)
    return (0.5 + share_of_small) * mean_weight

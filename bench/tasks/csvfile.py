"""``samples.csv`` as people save it: any of ``,`` ``;`` tab, UTF-8 with or without BOM, or Windows-1251.

What cannot be read for certain is refused with the line that shows it: a table read with the wrong
delimiter or encoding gives questions that nobody asked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import did_you_mean
from bench.tasks.problems import Problem
from bench.text import one_line

DELIMITERS = ",;\t"

SAMPLE_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("question",),
    ("answer", "answers"),
    ("image", "images", "document"),
)
"""Columns of which a table of samples has one each."""

# From the commonest letter of Russian to the rarest. The old encodings put letters into each other's places
# and swap their case, so that the reading with the commoner letters, mostly small, is the right one.
_BY_FREQUENCY = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"
_WEIGHTS = {letter: len(_BY_FREQUENCY) - rank for rank, letter in enumerate(_BY_FREQUENCY)}
_SIGNS = frozenset("«»№–—“”„…°§·")
_OTHER_ENCODINGS = ("koi8_r", "cp866")


class Text(NamedTuple):
    """A decoded file, or why it could not be decoded."""

    text: str
    problem: Problem | None = None
    note: Problem | None = None


def read_table(
    path: Path,
    problems: list[Problem],
    notes: list[Problem],
    needed: Sequence[tuple[str, ...]] = SAMPLE_COLUMNS,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and filled cells of every row; what is wrong or worth saying is added to the lists.

    Args:
        path: the file.
        problems: what is wrong is added here.
        notes: what is worth saying and not wrong is added here.
        needed: column names of which the table must have one each.
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
    limit = csv.field_size_limit(16 * 2**20)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        wrong = _header_problems(path.name, header, columns, needed)
        problems += wrong
        if wrong:
            return
        for record in reader:
            if None in record or any(value is None for value in record.values()):
                problems.append(_ragged(path.name, reader.line_num, record, delimiter))
                continue
            yield reader.line_num, {k.strip(): v for k, v in record.items() if v != ""}
    except csv.Error as error:
        problems.append(
            Problem(path.name, reader.line_num, f"not CSV: {one_line(str(error), 100)}")
        )
    finally:
        csv.field_size_limit(limit)


def _header_problems(
    name: str, header: str, columns: list[str], needed: Sequence[tuple[str, ...]]
) -> list[Problem]:
    if len(columns) < 2:
        message = (
            f"the header is one column, {one_line(header, 60)!r}; "
            "separate columns with a comma, a semicolon or a tab"
        )
        return [Problem(name, 1, message)]
    problems = [
        Problem(name, 1, f"column {one_line(column, 40)!r} stands twice in the header")
        for column in dict.fromkeys(columns)
        if columns.count(column) > 1
    ]
    for names in needed:
        if not set(names) & set(columns):
            guess = did_you_mean(names[0], columns)
            also = f" (or {', '.join(names[1:])})" if names[1:] else ""
            problems.append(Problem(name, 1, f"there is no column {names[0]!r}{also}; {guess}"))
    return problems


def _ragged(name: str, line: int, record: dict[Any, Any], delimiter: str) -> Problem:
    """A row with more or fewer cells than the header, and the likely reason."""
    columns = [key for key in record if key is not None]
    extra = record.get(None)
    cells = len(columns) + len(extra) if extra else sum(v is not None for v in record.values())
    message = f"{cells} cells where the header has {len(columns)} columns"
    first = next((str(v) for v in record.values() if isinstance(v, str)), "")
    other = next((d for d in DELIMITERS if d != delimiter and first.count(d)), None)
    if cells == 1 and other is not None:
        return Problem(name, line, f"{message}: this line seems to use {_spelled(other)}")
    if extra:
        return Problem(name, line, f'{message}: put cells that hold {_spelled(delimiter)} in "…"')
    return Problem(name, line, message)


def _spelled(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab"}[delimiter]


def _decode(path: Path) -> Text:
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Text("", Problem(path.name, 0, "is UTF-16; save it as CSV in UTF-8"))
    if b"\0" in raw:
        return Text("", Problem(path.name, 0, "holds zero bytes: this is no CSV text"))
    try:
        return Text(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    utf8_line = _first_utf8_line(raw)
    if utf8_line is not None:
        message = (
            f"not UTF-8, while line {utf8_line} is: the file mixes encodings; save it as UTF-8"
        )
        return Text("", Problem(path.name, line, message))
    if (text := _as_windows_1251(raw)) is not None:
        note = "is in Windows-1251 (cp1251), and was read so; UTF-8 is safer"
        return Text(text, note=Problem(path.name, 0, note))
    return Text(
        "", Problem(path.name, line, "not UTF-8, and no Windows-1251 text; save it as UTF-8")
    )


def _first_utf8_line(raw: bytes) -> int | None:
    """The first line that holds more than ASCII and is valid UTF-8; None where there is none."""
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
    """``raw`` read as cp1251, where that gives Russian and the other old encodings do not."""
    try:
        text = raw.decode("cp1251")
    except UnicodeDecodeError:
        return None
    score = _russian(text)
    others = (_russian(raw.decode(encoding, "replace")) for encoding in _OTHER_ENCODINGS)
    return text if score > 0 and score >= max(others) else None


def _russian(text: str) -> float:
    """How much the signs beyond ASCII look like Russian; 0 where more than 3 % do not."""
    signs = [c for c in text if not c.isascii()]
    letters = [c for c in signs if c.lower() in _WEIGHTS]
    if not letters or len(letters) + sum(c in _SIGNS for c in signs) < 0.97 * len(signs):
        return 0.0
    small = sum(c.islower() for c in letters) / len(letters)
    return (0.5 + small) * sum(_WEIGHTS[c.lower()] for c in letters) / len(letters)

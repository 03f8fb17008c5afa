"""Reads tables as people and spreadsheets save them: ``,`` ``;`` or tab, Unicode or an older encoding.

A file that cannot be read for certain is refused, and the error says between which readings it could not
decide. A table that is read with the wrong delimiter or encoding would give questions that nobody asked.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import did_you_mean
from bench.formatting import plural
from bench.parsing import MAX_TABLE_BYTES, read_bytes
from bench.tasks.encodings import DecodedText, Guess, guess_encoding
from bench.tasks.problems import Problem
from bench.text import one_line

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
"""Delimiter → how it is called."""

SAMPLE_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("question",),
    ("answer", "answers"),
    ("image", "images", "document"),
)
"""Column names of a table of samples, which has one of each group; the question comes first."""

MAX_CELL_BYTES = 16 * 2**20

_OTHER_COLUMNS = ("id", "answer_type", "absent", "draft", "doc_type", "field", "language")
"""Columns that a table may have; like the ones that it must have, they are known in capitals too."""

_UNICODE_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""First bytes of a file → its encoding. Those of UTF-16 also begin UTF-32, which therefore comes first."""
_WIDE_ENCODINGS = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_SEPARATOR_LINE = re.compile(
    r'\s*"?sep\s?= ?(?P<delimiter>\\t|[^\r\n"])"?[ ,;\t]*(\r\n|\n|\r|$)', re.IGNORECASE
)
"""The first line that tells Excel the delimiter."""
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of the files of Excel and LibreOffice, which are no text."""
_END_OF_FILE = "\x1a"
"""Ends the texts of some DOS programs."""


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
    *,
    encoding: str | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and filled cells of every row; rows without a filled cell are left out.

    Args:
        path: the file.
        problems: what is wrong is added here.
        notes: what a person should know although nothing is wrong is added here.
        needed: groups of column names; the table must have a column of each group.
        encoding: what the file is in, as Python names it; None to find out.
    """
    decoded = _decode(path, encoding)
    if decoded.note is not None:
        notes.append(decoded.note)
    if decoded.problem is not None:
        problems.append(decoded.problem)
        return
    text, delimiter, first_line = _without_separator_line(decoded.text, needed)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=True,
        # Some programs write a blank before each quoted cell. Other blanks belong to the cells.
        skipinitialspace=f'{delimiter} "' in _header(text),
    )
    limit = csv.field_size_limit(MAX_CELL_BYTES)
    columns: _Columns | None = None
    line = first_line
    try:
        for cells in reader:
            line = first_line + reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _Columns(cells, delimiter, needed)
                problems += [Problem(path.name, line, message) for message in columns.problems]
                if columns.problems:
                    return
                continue
            message = columns.problem_of(cells)
            if message is None:
                yield line, columns.record(cells)
            else:
                problems.append(Problem(path.name, line, message))
        if columns is None:
            problems.append(
                Problem(path.name, 0, "the file is empty; expected a line of column names")
            )
    except csv.Error as error:
        # The row begins behind the last one that was read; its quotation mark may swallow all other rows.
        place = line + 1 if reader.line_num > line - first_line else line
        problems.append(Problem(path.name, place, _invalid_csv(str(error))))
    finally:
        csv.field_size_limit(limit)


def _invalid_csv(reason: str) -> str:
    """Say what is wrong in words of the file rather than of Python's reader."""
    if "unexpected end of data" in reason:
        return 'a " opens a cell in this row, and no " closes it'
    if "field larger" in reason:
        return 'the row has a cell of more than 16 MiB; does a " open it that nothing closes?'
    if "expected after" in reason:
        return (
            'text follows the " that closes a cell in this row; inside of "…" write every " twice'
        )
    return f"the file is not valid CSV: {one_line(reason, 100)}"


def _without_separator_line(text: str, needed: Sequence[tuple[str, ...]]) -> tuple[str, str, int]:
    """Return the text of the table, its delimiter, and the number of lines before it."""
    text = text.removesuffix(_END_OF_FILE)
    match = _SEPARATOR_LINE.match(text)
    if match is not None:
        lines_before = len(match[0].splitlines())
        return text[match.end() :], match["delimiter"].replace("\\t", "\t"), lines_before
    header = _header(text)
    known = _known_names(needed)

    def fit(delimiter: str) -> tuple[int, int]:
        names = {_bare(cell.strip(' "')).lower() for cell in header.split(delimiter)}
        # The text of a long column name may have more commas than there are columns.
        return len(names & known), header.count(delimiter)

    return text, max(DELIMITERS, key=fit), 0


def _header(text: str) -> str:
    return next((line for line in io.StringIO(text) if line.strip()), "")


def _known_names(needed: Sequence[tuple[str, ...]]) -> set[str]:
    return {name for group in needed for name in group} | set(_OTHER_COLUMNS)


def _bare(name: str) -> str:
    """Return ``name`` without blanks and invisible characters, which programs leave around it."""
    visible = (letter for letter in name if unicodedata.category(letter) != "Cf")
    return "".join(visible).strip()


class _Columns:
    """The header of a table; ``problems`` says what is wrong with it."""

    def __init__(
        self, header: Sequence[str], delimiter: str, needed: Sequence[tuple[str, ...]]
    ) -> None:
        known = _known_names(needed)
        self.names = [_known_name(_bare(cell), known) for cell in header]
        self.required = {name for group in needed for name in group}
        # Spreadsheets save columns that were emptied, without a name and without cells.
        while self.names and not self.names[-1]:
            self.names.pop()
        self.delimiter = delimiter
        self.problems = self._problems(header, needed)

    def _problems(self, header: Sequence[str], needed: Sequence[tuple[str, ...]]) -> list[str]:
        if len(self.names) < 2:
            return [
                f"the header has only one column, {one_line(header[0], 60)!r}; "
                "separate columns with a comma, a semicolon or a tab"
            ]
        named = [name for name in self.names if name]
        messages = [
            f"the header names column {one_line(name, 40)!r} twice"
            for name in dict.fromkeys(named)
            if named.count(name) > 1
        ]
        for group in needed:
            if not set(group) & set(named):
                others = f" (or {', '.join(group[1:])})" if group[1:] else ""
                hint = did_you_mean(group[0], named)
                messages.append(f"there is no column {group[0]!r}{others}; {hint}")
        return messages

    def problem_of(self, cells: Sequence[str]) -> str | None:
        """Return what is wrong with the number of cells, and the likely reason; None if nothing is."""
        width = len(self.names)
        surplus = [cell for cell in cells[width:] if cell.strip()]
        # Excel leaves out the last cells of some rows if they are empty.
        is_cut = len(cells) == 1 or not self.required.isdisjoint(self.names[len(cells) :])
        if surplus or (len(cells) < width and is_cut):
            return self._ragged(cells, has_surplus=bool(surplus))
        for number, (name, cell) in enumerate(zip(self.names, cells, strict=False), 1):
            if not name and cell.strip():
                return f"column {number} has a cell here, {one_line(cell, 40)!r}, and no name in the header"
        return None

    def _ragged(self, cells: Sequence[str], *, has_surplus: bool) -> str:
        width = len(self.names)
        message = f"the row has {plural(len(cells), 'cell')}, but the header has {width} columns"
        if has_surplus:
            name = DELIMITERS.get(self.delimiter, repr(self.delimiter))
            return f'{message}; put cells that contain {name} in "…"'
        first = cells[0]
        other = next(
            (mark for mark in DELIMITERS if mark != self.delimiter and mark in first), None
        )
        if len(cells) == 1 and other is not None:
            return f"{message}; it seems to separate them with {DELIMITERS[other]}"
        return message

    def record(self, cells: Sequence[str]) -> dict[str, Any]:
        """Return the filled cells by column."""
        pairs = zip(self.names, cells, strict=False)
        return {name: cell for name, cell in pairs if name and cell.strip()}


def _known_name(name: str, known: set[str]) -> str:
    """Return ``name`` as it is known: ``Image`` and ``IMAGE`` are ``image``."""
    return name.lower() if name.lower() in known else name


# Encodings


def _decode(path: Path, encoding: str | None) -> TableText:
    raw = read_bytes(path, MAX_TABLE_BYTES)
    if raw.startswith(_WORKBOOKS):
        message = "the file is a workbook under the name of a CSV; save it as “CSV UTF-8”"
        return TableText("", Problem(path.name, 0, message))
    if encoding is not None:
        return _decode_as(path.name, raw, encoding)
    for mark, unicode_encoding in _UNICODE_MARKS:
        if raw.startswith(mark):
            return _decode_as(path.name, raw, unicode_encoding)
    if b"\0" in raw:
        text = _wide_text(raw)
        if text is not None:
            return TableText(text)
        message = "the file contains zero bytes, so it is not a CSV text"
        return TableText("", Problem(path.name, 0, message))
    try:
        return TableText(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    guess = guess_encoding(raw)
    utf8_line = _first_utf8_line(raw)
    # Two bytes of a Chinese or Japanese character may happen to be UTF-8.
    if utf8_line is not None and (guess.reading is None or not guess.reading.is_two_bytes):
        message = (
            f"the line is not UTF-8, but line {utf8_line} is; "
            "the file mixes encodings: save all of it as UTF-8"
        )
        return TableText("", Problem(path.name, line, message))
    if guess.reading is None:
        return TableText("", Problem(path.name, line, _undecided(guess)))
    encoding_name = guess.reading.encoding.name
    title = guess.reading.encoding.title.partition(",")[0]
    note = f"the file is in {title} ({encoding_name}) and was read as such; UTF-8 is safer"
    return TableText(guess.reading.text, note=Problem(path.name, 0, note))


def _decode_as(name: str, raw: bytes, encoding: str) -> TableText:
    try:
        return TableText(raw.decode(encoding).removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"the line is not {encoding}: byte 0x{raw[error.start]:02x} is no character of it"
        return TableText("", Problem(name, line, message))


def _wide_text(raw: bytes) -> str | None:
    """Return the text of UTF-16 or UTF-32 without a mark; None if the bytes are neither."""
    for encoding in _WIDE_ENCODINGS:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        # The header names columns in plain letters; read the wrong way round, these are others.
        if text[:2].isascii() and "\0" not in text:
            return text
    return None


def _undecided(guess: Guess) -> str:
    """Say which encodings fit, with the first place where they differ."""
    if not guess.candidates:
        return "the line is not UTF-8, nor in any other encoding that is known here; save the file as UTF-8"
    shown = _difference(guess.candidates)
    readings = "; ".join(
        f"{words!r} in {reading.encoding.title.partition(',')[0]} ({reading.encoding.name})"
        for reading, words in zip(guess.candidates, shown, strict=True)
    )
    return (
        f"the file is not UTF-8, and its encoding cannot be told for certain: this may be {readings}; "
        "save the file as UTF-8, or name the encoding of a samples.csv in task.toml: "
        f'encoding = "{guess.candidates[0].encoding.name}"'
    )


def _difference(readings: Sequence[DecodedText]) -> list[str]:
    """Return, for each reading, the line in which it first differs from the likeliest one."""
    lines = [reading.text.splitlines() for reading in readings]
    for versions in zip(*lines, strict=False):
        if len(set(versions)) > 1:
            return [one_line(_foreign_part(version), 30) for version in versions]
    return [one_line(_foreign_part(texts[0] if texts else ""), 30) for texts in lines]


def _foreign_part(line: str) -> str:
    """Return ``line`` from a few characters before its first character beyond ASCII on."""
    place = next((place for place, sign in enumerate(line) if not sign.isascii()), 0)
    return line[max(0, place - 10) :]


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

"""Turns a row of a data set into samples: looks up columns, decodes literals, keeps pages by content."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench.errors import InvalidInput, did_you_mean
from bench.schema import AnswerType
from bench.tasks.cells import Row
from bench.tasks.datasettable import ColumnsTable, DatasetTable
from bench.tasks.decoders import decode, type_and_value
from bench.text import one_line

KeepPage = Callable[[Any], str]
"""Stores an image cell and returns the page's file name."""

_VLMEVALKIT = {"index", "image", "question"}
_VLMEVALKIT_ANSWERS = ("answer", "answers")
_LONGEST_REFERENCE = 64
"""VLMEvalKit takes an image cell of at most this many characters for the index of another row."""
_QUOTED = re.compile(r"[\"']([^\"']+)[\"']")
"""Base64 contains no quotes, so a list of it needs no parser, however long it is."""


def vlmevalkit_table(table: DatasetTable, answer_type: AnswerType, row: Row) -> DatasetTable:
    """Return ``table`` with the columns of VLMEvalKit's TSV files, whatever the hub's copy calls them.

    ``row`` is the first row of the file, whose columns may also be some of the hub's.
    """
    answers = next(name for name in _VLMEVALKIT_ANSWERS if name in row)
    columns = ColumnsTable(id="index", question="question", answers=answers, images="image")
    decoder = "json" if answer_type == "json" else "literal-or-string"
    metadata = {name: column for name, column in table.metadata.items() if column in row}
    for name, column in table.tsv_metadata.items():
        metadata.setdefault(name, column)
    content = table.model_dump()
    content |= {
        "columns": columns,
        "decode": {answers: decoder},
        "metadata": metadata,
        "each": None,
        "question": None,
    }
    return DatasetTable.model_validate(content)


def is_vlmevalkit(row: Row) -> bool:
    """Say whether ``row`` has VLMEvalKit's columns."""
    return set(row) >= _VLMEVALKIT and any(name in row for name in _VLMEVALKIT_ANSWERS)


class Mapper:
    """Turns rows into lines of ``samples.jsonl``, and counts what it leaves out and why."""

    def __init__(
        self,
        table: DatasetTable,
        answer_type: AnswerType,
        keep_page: KeepPage,
        *,
        shares_images: bool = False,
    ) -> None:
        """``shares_images``: an image cell may name another row that holds the image, as in VLMEvalKit."""
        self.table, self.answer_type, self.keep_page = table, answer_type, keep_page
        self.left_out: Counter[str] = Counter()
        self.rows = 0
        self._ids: set[str] = set()
        self._images_by_row: dict[str, list[str]] | None = {} if shares_images else None

    def samples(self, row: Row) -> Iterator[dict[str, Any]]:
        """Yield the samples of one row: one, or as many as its list of questions holds.

        Raises:
            InvalidInput: a column is missing, or a cell is not what the table says. The error names the row.
        """
        number = self.rows
        self.rows += 1
        try:
            if number == 0:
                _check_columns(self.table, row)
            yield from self._samples(number, row)
        except InvalidInput as error:
            raise InvalidInput(f"row {number}: {error.message}", hint=error.hint) from None

    def _samples(self, number: int, row: Row) -> Iterator[dict[str, Any]]:
        # Later rows may name the image of this row, even if no question is asked about it.
        images = None if self._images_by_row is None else self._images(row)
        for sample_id, item in self._items(number, row):
            question = self._question(item)
            references = self._references(item)
            if question is None or references is None:
                self.left_out["without a question" if question is None else "without answers"] += 1
                continue
            if images is None:
                images = self._images(row)
            if not images:
                self.left_out["without an image"] += 1
                continue
            yield {
                "id": self._unique(sample_id),
                "images": images,
                "question": question,
                "answers": references,
                "metadata": {**self.table.labels, **self._metadata(item)},
            }

    def _items(self, number: int, row: Row) -> list[tuple[str, Row]]:
        """Return id and cells of each question of the row."""
        row_id = self._row_id(number, row)
        if self.table.each is None:
            return [(row_id, row)]
        listed = self._cell(row, self.table.each)
        if listed is None:
            self.left_out["without questions"] += 1
            return []
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise InvalidInput(f"column {self.table.each!r}: expected a list of objects")
        return [(f"{row_id}/{n}", {**row, **item}) for n, item in enumerate(listed)]

    def _row_id(self, number: int, row: Row) -> str:
        if self.table.columns.id is None:
            return str(number)
        value = self._cell(row, self.table.columns.id)
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise InvalidInput(
                f"column {self.table.columns.id!r}: expected an id, got {type_and_value(value)}"
            )
        return str(value)

    def _unique(self, sample_id: str) -> str:
        # Some data sets use an id twice. The order of rows is fixed, so a counter gives stable ids.
        unique, copy = sample_id, 1
        while unique in self._ids:
            copy += 1
            unique = f"{sample_id}#{copy}"
        self._ids.add(unique)
        return unique

    def _question(self, row: Row) -> str | None:
        if self.table.question is not None:
            return self.table.question
        value = self._cell(row, self.table.columns.question or "")
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if not isinstance(value, str):
            raise InvalidInput(f"question: expected a string, got {type_and_value(value)}")
        return value

    def _references(self, row: Row) -> list[Any] | None:
        value = self._cell(row, self.table.columns.answers)
        if value is None:
            return None
        if self.answer_type == "json":
            return [value]
        values = value if isinstance(value, list) else [value]
        texts = [_text(item) for item in values if item is not None]
        return texts or None

    def _images(self, row: Row) -> list[str]:
        if self._images_by_row is not None:
            return self._shared_images(row, self._images_by_row)
        files = []
        for column in self.table.columns.image_columns():
            value = row.get(column)
            cells = value if isinstance(value, list) else [value]
            files += [self.keep_page(cell) for cell in cells if cell is not None]
        return files

    def _shared_images(self, row: Row, known: dict[str, list[str]]) -> list[str]:
        """Return the images of a VLMEvalKit row: base64, a list of that, or the index of another row."""
        value = row.get("image")
        if not isinstance(value, str):
            return []
        listed = _QUOTED.findall(value) if value.startswith("[") else [value]
        files = [file for text in listed for file in self._shared_image(text, known)]
        known[str(row.get("index"))] = files
        return files

    def _shared_image(self, text: str, known: dict[str, list[str]]) -> list[str]:
        if len(text) > _LONGEST_REFERENCE:
            return [self.keep_page(text)]
        if text not in known:
            raise InvalidInput(f"image names row {one_line(text)!r}, which is no earlier row")
        return known[text]

    def _metadata(self, row: Row) -> dict[str, str]:
        metadata: dict[str, str] = {}
        for name, column in self.table.metadata.items():
            value = self._cell(row, column)
            if isinstance(value, list) and all(isinstance(item, (str, int)) for item in value):
                value = ", ".join(map(str, value))
            if value not in (None, ""):
                metadata[name] = value if isinstance(value, str) else json.dumps(value, default=str)
        return metadata

    def _cell(self, row: Row, name: str) -> Any:
        """Return a decoded column, or the key behind the dots where no column has the whole name."""
        column = _column_of(name, row)
        value = row.get(column)
        if column in self.table.decode:
            try:
                value = decode(self.table.decode[column], value)
            except InvalidInput as error:
                raise InvalidInput(f"column {column!r}: {error.message}") from None
        for key in filter(None, name[len(column) + 1 :].split(".")):
            if value is None:
                return None
            if not isinstance(value, Mapping):
                raise InvalidInput(f"column {column!r}: expected an object with {key!r}")
            value = value.get(key)
        return value


def _column_of(name: str, row: Row) -> str:
    """Return the column that ``name`` begins with: the whole name, or the part before the first dot."""
    return name if name in row else name.partition(".")[0]


def _named_columns(table: DatasetTable) -> list[str]:
    """Return the columns that must exist; with ``each``, question and answers are keys of its items."""
    columns = table.columns
    named = [columns.id, *columns.image_columns()[:1], table.each]
    if table.each is None:
        named += [columns.question, columns.answers]
    return [name for name in named if name is not None]


def _check_columns(table: DatasetTable, row: Row) -> None:
    for name in _named_columns(table):
        if _column_of(name, row) not in row:
            raise InvalidInput(f"the data set has no column {name!r}", hint=did_you_mean(name, row))


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InvalidInput(f"answers: expected strings, got {type_and_value(value)}")
    return str(value)

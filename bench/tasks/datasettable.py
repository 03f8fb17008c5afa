"""Describes a published data set in ``[dataset]`` of a task file: which of its columns mean what.

No data set has code of its own. The table names the columns, and the decoders of strings that hold JSON or
Python literals (``bench.tasks.decoders``).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bench.schema import AnswerType
from bench.tasks.decoders import DecoderName

LAYOUT = 1
"""Version of the cache: raised when the same data set is written to it differently."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAX_PAGES = 500


class ColumnsTable(BaseModel):
    """``[dataset.columns]``: a column's name, or ``column.key`` for a key inside a decoded column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str | None = None
    """Without one, rows are numbered from 0."""
    question: str | None = None
    """Without one, ``question`` of the data set is asked about every row."""
    answers: str
    images: str | list[str]
    """One column (an image or a list of images), several, or a pattern as ``image_{1..20}``."""

    def image_columns(self) -> tuple[str, ...]:
        """Return the columns of the pages, in order, with patterns written out."""
        names = [self.images] if isinstance(self.images, str) else self.images
        return tuple(column for name in names for column in _written_out(name))


def _written_out(name: str) -> list[str]:
    pattern = _RANGE.search(name)
    if pattern is None:
        return [name]
    first, last = int(pattern[1]), int(pattern[2])
    if not first <= last < first + _MAX_PAGES:
        raise ValueError(f"{name}: expected a rising range of at most {_MAX_PAGES} columns")
    before, after = name[: pattern.start()], name[pattern.end() :]
    return [f"{before}{number}{after}" for number in range(first, last + 1)]


class DatasetTable(BaseModel):
    """``[dataset]`` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    """Hub id, ``owner/name``."""
    former_ids: list[str] = []
    """Ids under which the same data lay before; tried where the hub does not know ``id``."""
    config: str | None = None
    split: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of the hub repository. Without one ``bench pull`` takes the newest and records it."""
    rows: Annotated[int, Field(gt=0)] | None = None
    """Rows that the split is documented to have; with another number the report says so."""
    tsv_md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """Of the VLMEvalKit file of the same data; with another file the report says so."""
    each: str | None = None
    """Column that holds a list of questions; the other columns may then name keys of its items."""
    question: str | None = None
    """Asked about every row of a data set that has no questions."""
    columns: ColumnsTable
    decode: dict[str, DecoderName] = {}
    """Column → decoder."""
    metadata: dict[str, str] = {}
    """Name of the sample's metadata → column."""
    tsv_metadata: dict[str, str] = {"split": "split", "field": "category"}
    """The same for VLMEvalKit's file, where it lacks the columns of ``metadata``."""
    labels: dict[str, str] = {}
    """Metadata that is the same for every sample."""

    @field_validator("columns")
    @classmethod
    def _pages_are_named(cls, columns: ColumnsTable) -> ColumnsTable:
        if not columns.image_columns():
            raise ValueError("images names no column")
        return columns

    @model_validator(mode="after")
    def _asks_something(self) -> DatasetTable:
        if (self.columns.question is None) == (self.question is None):
            raise ValueError("expected either columns.question or question")
        return self

    def digest(self, answer_type: AnswerType) -> str:
        """Return a hexadecimal digest; it is equal where rows become the same samples."""
        excluded = {"former_ids", "rows", "tsv_md5"}
        if "tsv_metadata" not in self.model_fields_set:
            # Copies that were made before the key existed stay valid.
            excluded.add("tsv_metadata")
        content: dict[str, Any] = self.model_dump(exclude=excluded)
        text = json.dumps([LAYOUT, answer_type, content], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

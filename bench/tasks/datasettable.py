"""``[dataset]`` of a task file: a published data set, and which of its columns mean what.

Nothing of a data set is interpreted by code of its own: columns are named, and strings that hold JSON or
Python literals are read by a decoder that is named as well (``bench.tasks.decoders``).
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
"""Raised when the same data set would be written to the cache differently."""

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
        """The columns of the pages, in order, patterns written out."""
        names = [self.images] if isinstance(self.images, str) else self.images
        return tuple(column for name in names for column in _written_out(name))


def _written_out(name: str) -> list[str]:
    found = _RANGE.search(name)
    if found is None:
        return [name]
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + _MAX_PAGES:
        raise ValueError(f"{name}: expected a rising range of at most {_MAX_PAGES} columns")
    return [f"{name[: found.start()]}{n}{name[found.end() :]}" for n in range(first, last + 1)]


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
    """Rows that the split is documented to have; another number is said, not refused."""
    tsv_md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """Of the VLMEvalKit file of the same data; another one is said, not refused."""
    each: str | None = None
    """Column that holds a list of questions; the other columns may then name keys of its items."""
    question: str | None = None
    """Asked about every row of a data set that has no questions."""
    columns: ColumnsTable
    decode: dict[str, DecoderName] = {}
    """Column → decoder."""
    metadata: dict[str, str] = {}
    """Name of the sample's metadata → column."""
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
        """Hexadecimal; equal where rows become the same samples."""
        content: dict[str, Any] = self.model_dump(exclude={"former_ids", "rows", "tsv_md5"})
        text = json.dumps([LAYOUT, answer_type, content], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

"""Reads lines of a run directory as the nouns of the schema, and refuses what is of another type."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from bench.errors import InvalidInput
from bench.files import read_lines, write_lines
from bench.json_schemas.reading import read_schema
from bench.parsing import read_json
from bench.paths import from_portable, portable
from bench.rundir.checksums import as_stored, is_intact, with_checksum
from bench.schema import (
    AnswerType,
    Document,
    Output,
    Page,
    Perturbation,
    PlacedText,
    Sample,
    Task,
    TokenChoice,
)

_OUTPUT_FIELDS = frozenset(field.name for field in dataclasses.fields(Output))
_PAGE_FIELDS = frozenset(field.name for field in dataclasses.fields(Page))
_COUNTS = ("prompt_tokens", "visual_tokens", "generated_tokens", "degraded")
_PROBABILITIES = ("confidence", "min_confidence")
MAX_LADDER = 10**15
"""Questions of a call, and pixels of a page, that a resumed run may begin with."""
MAX_HALVINGS = 64
"""How often the pieces of a call can have become smaller by half."""
_KIND = re.compile(r"[a-z]{1,40}")
_DIGEST = re.compile(r"[\w-]*")
"""A digest names the file of a preview, so nothing in it may lead to another folder."""


def output_of(row: Mapping[str, Any]) -> Output:
    """Return the answer in a line of ``outputs.jsonl``.

    Raises:
        ValueError: something is missing or of another type.
    """
    if not (isinstance(row.get("sample_id"), str) and isinstance(row.get("text"), str)):
        raise ValueError("it has no sample_id or no text")
    values = {key: value for key, value in row.items() if key in _OUTPUT_FIELDS}
    # Every model's answers repeat the ids of the questions: one text in memory serves all.
    values["sample_id"] = sys.intern(values["sample_id"])
    if values.setdefault("stop_reason", "stop") not in ("stop", "length", "error"):
        raise ValueError("its stop_reason is unknown")
    for key in _COUNTS:
        if not isinstance(values.get(key), int | None):
            raise ValueError(f"its {key} is not a number")
    for key in _PROBABILITIES:
        if not isinstance(values.get(key), float | int | None):
            raise ValueError(f"its {key} is not a number")
    if not isinstance(values.get("error"), str | None):
        raise ValueError("its error is not a text")
    if not isinstance(values.get("served"), dict | None):
        raise ValueError("its served is not an object")
    if values.get("tokens") is not None:
        values["tokens"] = tuple(map(_token_of, values["tokens"]))
    values["stop_reason"] = sys.intern(values["stop_reason"])
    return Output(**values)


def fields_of(noun: Output | Sample | Page) -> dict[str, Any]:
    """Return name → value of a noun's fields, as they are; ``dataclasses.asdict`` copies each value."""
    return {name: getattr(noun, name) for name in noun.__slots__}


def output_record(output: Output) -> dict[str, Any]:
    """Return a line of ``outputs.jsonl``; what only some answers have is left out of the others."""
    record = fields_of(output)
    for key in ("served", "tokens"):
        if record[key] is None:
            del record[key]
    return with_checksum(record)


def _token_of(row: Any) -> TokenChoice:
    """Return one token of an answer; the error of a wrong one is a TypeError or a ValueError."""
    if not isinstance(row, dict):
        raise TypeError("a token is not an object")
    token = TokenChoice(**row)
    are_texts = isinstance(token.text, str) and isinstance(token.runner_up, str | None)
    are_numbers = isinstance(token.logprob, float | int) and isinstance(
        token.runner_up_logprob, float | int | None
    )
    if not (are_texts and are_numbers):
        raise ValueError("a token has a text or a number of another type")
    return token


def sample_of(row: Mapping[str, Any]) -> Sample:
    """Return the question in a line of ``samples.jsonl``.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of another type.
    """
    for key in ("id", "document_id", "question"):
        if not isinstance(row[key], str):
            raise TypeError(f"{key} is not a text")
    if not isinstance(row["references"], list):
        raise TypeError("references is not a list")
    metadata = row["metadata"]
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise TypeError("metadata is not an object of texts")
    if row["answer_type"] not in get_args(AnswerType):
        raise ValueError("answer_type is unknown")
    # A page may also be an object, of blocks or of tests.
    allowed = str | dict if row["answer_type"] == "markdown" else str
    if row["answer_type"] != "json" and not all(isinstance(r, allowed) for r in row["references"]):
        raise TypeError("a reference is not a text")
    return Sample(
        id=sys.intern(row["id"]),
        document_id=sys.intern(row["document_id"]),
        question=sys.intern(row["question"]),
        references=tuple(row["references"]),
        answer_type=row["answer_type"],
        metadata=_shared_metadata(tuple(metadata.items())),
        json_schema=_schema_of(row.get("json_schema")),
    )


@functools.lru_cache(maxsize=4096)
def _shared_metadata(items: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """What many questions say of themselves: one object in memory serves all that say the same."""
    return {sys.intern(key): sys.intern(value) for key, value in items}


def _schema_of(stored: Any) -> Any:
    """Return a stored JSON Schema; many samples share one, which is checked and kept once."""
    return None if stored is None else _checked_schema(json.dumps(stored))


@functools.lru_cache(maxsize=256)
def _checked_schema(text: str) -> Any:
    try:
        return read_schema(json.loads(text), "its json_schema")
    except InvalidInput as error:
        raise ValueError(error.message) from None


def document_of(row: Mapping[str, Any]) -> Document:
    """Return the document of a line of ``samples.jsonl``.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of another type.
    """
    if not isinstance(row["pages"], list):
        raise TypeError("pages is not a list")
    pages = []
    for listed in row["pages"]:
        if not isinstance(listed, dict) or not _PAGE_FIELDS.issuperset(listed):
            raise TypeError("a page is not an object of the fields of a page")
        if not isinstance(listed["path"], str):
            raise TypeError("a page's path is not a text")
        sizes = (listed["index"], listed["width"], listed["height"])
        if not all(isinstance(size, int) for size in sizes):
            raise TypeError("a page's index, width or height is not a number")
        perturbation = perturbation_of(listed.get("perturbation"))
        known = {**listed, "path": from_portable(listed["path"]), "perturbation": perturbation}
        page = Page(**{"sha256": None, **known})
        if page.turn not in (0, 90, 180, 270):
            raise ValueError("a page's turn is none of 0, 90, 180 and 270")
        if not isinstance(page.dpi, int | float | None):
            raise TypeError("a page's dpi is not a number")
        if not (isinstance(page.sha256, str) and _DIGEST.fullmatch(page.sha256)):
            raise ValueError("a page's sha256 is not a digest")
        pages.append(page)
    return Document(row["document_id"], tuple(pages))


def _sample_records(task: Task) -> Iterator[dict[str, Any]]:
    """Return the lines of ``samples.jsonl``: every question with the pages of its document."""
    pages = {
        document.id: list(map(_page_record, document.pages)) for document in task.documents.values()
    }
    return (
        {**_sample_record(sample), "pages": pages[sample.document_id]} for sample in task.samples
    )


def _sample_record(sample: Sample) -> dict[str, Any]:
    """Return a question; what only some questions have is left out of the others."""
    record = fields_of(sample)
    if sample.json_schema is None:
        del record["json_schema"]
    return record


def _page_record(page: Page) -> dict[str, Any]:
    """Return a page; what only some pages have is left out of the others."""
    record = {**fields_of(page), "path": portable(page.path)}
    if page.perturbation is None:
        del record["perturbation"]
    else:
        record["perturbation"] = dataclasses.asdict(page.perturbation)
    return record


def perturbation_of(record: Any) -> Perturbation | None:
    """Return what was done to a page or to the pages of a task; None if it is as it is.

    Raises:
        ValueError: the record is something else.
    """
    if record is None:
        return None
    fields = {field.name for field in dataclasses.fields(Perturbation)}
    if not isinstance(record, dict) or record.keys() != fields:
        raise ValueError("a perturbation is not an object of kind, severity and seed")
    # The kind names files of previews and folders of tasks.
    if not (isinstance(record["kind"], str) and _KIND.fullmatch(record["kind"])):
        raise ValueError("the kind of a perturbation is not a name")
    if not (_is_whole(record["severity"], 1, 9) and _is_whole(record["seed"], 0, 2**64)):
        raise ValueError("the severity or the seed of a perturbation is not a number")
    return Perturbation(**record)


def check_batch(row: Mapping[str, Any]) -> None:
    """Refuse a line of ``batches.jsonl`` whose ladder a resumed run could not go on from.

    Raises:
        ValueError: the ladder is no object, or one of its numbers is none.
    """
    ladder = row.get("ladder")
    if ladder is None:
        return
    if not isinstance(ladder, dict):
        raise ValueError("its ladder is not an object")
    for key, low, high in (("batch_size", 1, MAX_LADDER), ("chunks", 0, MAX_HALVINGS)):
        if not _is_whole(ladder.get(key), low, high):
            raise ValueError(f"the {key} of its ladder is not a number from {low} to {high}")
    ceiling = ladder.get("ceiling")
    if ceiling is not None and not _is_whole(ceiling, 1, MAX_LADDER):
        raise ValueError(f"the ceiling of its ladder is not a number from 1 to {MAX_LADDER}")


def check_latency(row: Mapping[str, Any]) -> None:
    """Refuse a line of ``latency.jsonl`` that does not say which question it is about.

    Raises:
        ValueError: it has no sample_id.
    """
    if not isinstance(row.get("sample_id"), str):
        raise ValueError("it has no sample_id")


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def rounded(words: Sequence[PlacedText]) -> list[list[Any]]:
    """What stands where, as a line of ``words.jsonl`` holds it: a ten-thousandth of a page is no pixel."""
    return [[word.text, *(round(float(edge), 4) for edge in word[1:])] for word in words]


def placed_texts(stored: Any) -> list[PlacedText]:
    """Read ``rounded`` back. It only points at places, so what is of another shape is passed over."""
    words = []
    for entry in stored if isinstance(stored, list) else []:
        if isinstance(entry, list) and len(entry) == 5 and isinstance(entry[0], str):
            edges = [edge for edge in entry[1:] if isinstance(edge, int | float) and 0 <= edge <= 1]
            if len(edges) == 4 and edges[0] <= edges[2] and edges[1] <= edges[3]:
                words.append(PlacedText(entry[0], *map(float, edges)))
    return words


def rows_about(path: Path, sample_id: str) -> list[dict[str, Any]]:
    """Return the lines of ``samples.jsonl`` about the document of one sample; none if it is unknown."""
    candidates = read_lines(path, [as_stored(sample_id)])
    documents = {str(row.get("document_id")) for row in candidates if row.get("id") == sample_id}
    if not documents:
        return []
    rows = read_lines(path, [as_stored(document) for document in documents])
    return [row for row in rows if row.get("document_id") in documents]


def first_damage(cell: Path) -> str:
    """The file and line of the first damaged answer in ``cell``."""
    for path in sorted(cell.glob("outputs*.jsonl")):
        for number, row in enumerate(read_lines(path), 1):
            try:
                if not is_intact(row):
                    return f"{path}:{number}"
                output_of(row)
            except (TypeError, ValueError):
                return f"{path}:{number}"
    return str(cell)


def fingerprint(row: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal records."""
    return json.dumps(row, sort_keys=True)


def write_samples(path: Path, task: Task) -> None:
    """Write a task's samples with their pages, atomically."""
    write_lines(path, _sample_records(task))


def read_object(path: Path) -> dict[str, Any]:
    """Read a file of the run that holds one JSON object."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise damaged(path, "expected a JSON object")
    return value


def damaged(place: Path | str, what: str) -> InvalidInput:
    """The error for a file or a line that holds what no run has."""
    return InvalidInput(
        f"{place} is damaged: {what}", hint="copy the run directory again, all of it"
    )


def object_if_any(path: Path) -> dict[str, Any] | None:
    """Read a file of the run that holds one JSON object; None if there is no such file."""
    return read_object(path) if path.is_file() else None

"""``samples.jsonl`` and ``samples.csv``: one question a line, with its pages and accepted answers.

Reading collects every problem instead of stopping at the first, so that a person repairs a file in one
go. A JSONL line::

    {"id": "q1", "images": ["p1.png", "p2.png"], "question": "…", "answers": ["…"],
     "metadata": {"doc_type": "invoice", "field": "total", "language": "en"}}

with ``"document": "file.pdf"`` in place of ``images`` where one file holds all pages. In a CSV, columns
other than these are metadata; ``answers`` holds one answer, or a JSON list of them. A line with
``"draft": true`` is not asked and not scored: its answers are nobody's yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import did_you_mean
from bench.schema import AnswerType, Json
from bench.tasks.csvfile import read_table
from bench.tasks.problems import Problem
from bench.text import one_line

MAX_LINE_BYTES = 16 * 2**20
"""A longer line is refused: it is no question, and one of them must not take all memory."""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One line of a samples file, checked, its pages still names."""

    line: int
    id: str
    files: tuple[str, ...]
    """Page files as written, relative to the documents' folder."""
    question: str
    references: tuple[Json, ...]
    answer_type: AnswerType
    metadata: Mapping[str, str]


_KEYS = (
    "id",
    "images",
    "image",
    "document",
    "question",
    "answers",
    "answer",
    "answer_type",
    "metadata",
    "draft",
)
_ANSWER_TYPES = ("text", "json", "description")


class Rows(NamedTuple):
    """A samples file, read to its end."""

    rows: list[SampleRow]
    """Lines without a problem of their own."""
    problems: list[Problem]
    files: list[tuple[int, str]]
    """Every page file with the line that names it, of lines with problems and of drafts too."""
    notes: list[Problem]
    """What is worth saying and not wrong."""


def read_rows(path: Path, answer_type: AnswerType) -> Rows:
    """Every line of a samples file, and every problem in it; drafts are counted and passed over.

    ``answer_type`` holds for lines that name none.
    """
    read = Rows([], [], [], [])
    seen: dict[str, int] = {}
    drafts = 0
    is_csv = path.suffix.lower() == ".csv"
    records = (
        read_table(path, read.problems, read.notes)
        if is_csv
        else _json_records(path, read.problems)
    )
    for line, record in records:
        found = _Checked(path.name, line, record, from_csv=is_csv)
        row = found.draft(answer_type) if found.is_draft else found.row(answer_type)
        read.files.extend((line, name) for name in row.files)
        read.problems.extend(found.problems)
        if row.id in seen:
            message = f"id {one_line(row.id, 60)!r} already stands in line {seen[row.id]}"
            read.problems.append(Problem(path.name, line, message))
        elif row.id:
            seen[row.id] = line
        drafts += found.is_draft
        if not found.is_draft and not found.problems:
            read.rows.append(row)
    if drafts:
        left = f"{drafts} draft{'s are' if drafts > 1 else ' is'} left out until accepted"
        read.notes.append(Problem(path.name, 0, f"{left}; bench data accept"))
    if not read.rows and not read.problems:
        why = f"holds only drafts ({drafts})" if drafts else "holds no samples"
        read.problems.append(Problem(path.name, 0, why))
    return read


def _json_records(path: Path, problems: list[Problem]) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as stream:
        for number, raw in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
            if len(raw) > MAX_LINE_BYTES:
                problems.append(Problem(path.name, number, "line is longer than 16 MiB"))
                return
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                record = json.loads(text) if text else None
            except UnicodeDecodeError as error:
                problems.append(Problem(path.name, number, f"not UTF-8 at byte {error.start}"))
            except (ValueError, RecursionError) as error:
                problems.append(
                    Problem(path.name, number, f"not JSON: {one_line(str(error), 100)}")
                )
            else:
                if isinstance(record, dict):
                    yield number, record
                elif text:
                    problems.append(Problem(path.name, number, "expected a JSON object {…}"))


class _Checked:
    """One record being checked; ``problems`` says what is wrong with it."""

    def __init__(self, file: str, line: int, record: dict[str, Any], *, from_csv: bool) -> None:
        self.file, self.line, self.record, self.from_csv = file, line, record, from_csv
        self.problems: list[Problem] = []
        self.is_draft = self._is_draft()

    def _is_draft(self) -> bool:
        value = self.record.get("draft", False)
        if self.from_csv and isinstance(value, str):
            value = value.strip().lower() in {"true", "1", "yes", "да"}
        if not isinstance(value, bool):
            self._problem(f"draft must be true or false, got {_named(value)}")
        return value is True

    def row(self, default_type: AnswerType) -> SampleRow:
        """The row, with gaps where ``problems`` says so."""
        answer_type = self._answer_type(default_type)
        return SampleRow(
            line=self.line,
            id=self._id(),
            files=self._files(),
            question=self._text("question"),
            references=self._references(answer_type),
            answer_type=answer_type,
            metadata=self._metadata(),
        )

    def draft(self, default_type: AnswerType) -> SampleRow:
        """A row of which only the id and the pages must be right yet."""
        answer_type = self._answer_type(default_type)
        return SampleRow(
            self.line, self._id(), self._files(), "", (), answer_type, self._metadata()
        )

    def _answer_type(self, default_type: AnswerType) -> AnswerType:
        answer_type: AnswerType = self.record.get("answer_type", default_type)
        if answer_type in _ANSWER_TYPES:
            return answer_type
        self._problem(
            f"answer_type must be one of {', '.join(_ANSWER_TYPES)}, got {_named(answer_type)}"
        )
        return default_type

    def _problem(self, message: str) -> None:
        self.problems.append(Problem(self.file, self.line, message))

    def _id(self) -> str:
        value = self.record.get("id", f"line-{self.line}")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            self._problem("id must be a non-empty string")
            return ""
        return value

    def _text(self, key: str) -> str:
        value = self.record.get(key)
        if not isinstance(value, str) or not value.strip():
            came = (
                "is missing"
                if value is None
                else f"must be a non-empty string, got {_named(value)}"
            )
            self._problem(f"{key} {came}")
            return ""
        return value

    def _files(self) -> tuple[str, ...]:
        given = [key for key in ("images", "image", "document") if self.record.get(key) is not None]
        if len(given) != 1:
            came = " and ".join(given) if given else "neither"
            self._problem(f"expected either images or document, got {came}")
            return ()
        value = self.record[given[0]]
        if isinstance(value, str):
            parsed = _json_list(value)
            value = [value] if parsed is None else parsed
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(v, str) and v for v in value)
        ):
            self._problem(f"{given[0]} must name at least one file, got {_named(value)}")
            return ()
        return tuple(value)

    def _references(self, answer_type: AnswerType) -> tuple[Json, ...]:
        key = "answers" if "answers" in self.record else "answer"
        value = self.record.get(key)
        if self.from_csv and isinstance(value, str):
            parsed = _json_list(value)
            if parsed is None and value.lstrip().startswith(("['", '["')):
                self._problem(f'answers: no JSON list (["…", "…"]), got {one_line(value, 60)}')
                return ()
            value = [value] if parsed is None else parsed
        elif key == "answer" and not isinstance(value, list):
            value = None if value is None else [value]
        if not isinstance(value, list) or not value:
            came = (
                "are missing" if value is None else f"must be a non-empty list, got {_named(value)}"
            )
            self._problem(f"answers {came}")
            return ()
        if any(item is None for item in value):
            self._problem(
                "answers hold null; an answer that is not on the page is the empty string"
            )
            return ()
        if answer_type == "json":
            return tuple(self._json_reference(item) for item in value)
        bad = next((item for item in value if not isinstance(item, str)), None)
        if bad is not None:
            self._problem(f'answers must be strings ("{_named(bad)}" in quotes), got {_named(bad)}')
        return tuple(value)

    def _json_reference(self, item: Any) -> Json:
        if not isinstance(item, str):
            return item
        try:
            return json.loads(item)
        except (ValueError, RecursionError):
            # A plain string is a JSON value too once it is a reference.
            return item

    def _metadata(self) -> dict[str, str]:
        extra = {k: v for k, v in self.record.items() if k not in _KEYS}
        if self.from_csv:
            return {str(k): str(v) for k, v in extra.items()}
        for key in extra:
            self._problem(
                f"unknown key {one_line(str(key), 40)!r}; {did_you_mean(str(key), _KEYS)}"
            )
        value = self.record.get("metadata") or {}
        if not isinstance(value, dict):
            self._problem(f"metadata must be an object, got {_named(value)}")
            return {}
        bad = [k for k, v in value.items() if isinstance(v, (dict, list))]
        if bad:
            self._problem(f"metadata.{one_line(bad[0], 40)} must be a plain value")
        return {str(k): str(v) for k, v in value.items() if v is not None}


def _json_list(text: str) -> list[Any] | None:
    """A JSON list written in a cell; None where the text is anything else."""
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _named(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 60)

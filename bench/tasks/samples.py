"""Reads ``samples.jsonl`` and ``samples.csv``: one question a line, with its pages and accepted answers.

Reading collects every problem instead of stopping at the first one, so that a person repairs a file in one
go. A line of JSONL::

    {"id": "q1", "images": ["p1.png", "p2.png"], "question": "…", "answers": ["…"],
     "metadata": {"doc_type": "invoice", "field": "total", "language": "en"}}

``"document": "file.pdf"`` stands in place of ``images`` where one file holds all pages. ``"schema"`` is a
JSON Schema of the answer, or names the file of one; then the question may be left out. In a CSV, columns
other than these are metadata, and ``answers`` holds one answer or a JSON list of them; ``yes`` in a column
``absent`` says that the document does not have the answer. A line with
``"draft": true`` is neither asked nor scored, because no person has confirmed its answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args

from bench.errors import InvalidInput, did_you_mean
from bench.formatting import plural
from bench.json_schemas.questions import question_from
from bench.json_schemas.validity import first_violation
from bench.metrics.page_references import page_problem
from bench.parsing import (
    MAX_VALUE_DEPTH,
    BeyondBound,
    Unreadable,
    decoded,
    is_within_depth,
    open_regular,
    parse_json,
)
from bench.schema import AnswerType, Json
from bench.tasks.csvfile import SAMPLE_COLUMNS, read_table
from bench.tasks.problems import Problem
from bench.tasks.schemas import TaskSchemas
from bench.tasks.taskfile import TaskFile
from bench.tasks.yesno import yes_or_no
from bench.text import one_line, shell_word

MAX_LINE_BYTES = 16 * 2**20
"""A longer line is refused: it is no question, and one line must not take all memory."""

SAMPLES = "samples.jsonl"
SAMPLE_FILES = (SAMPLES, "samples.csv")
NO_SAMPLES = f"has no {' or '.join(SAMPLE_FILES)}"

_PAGE_KEYS = ("images", "image", "document")
_KEYS = (
    "id", *_PAGE_KEYS, "question", "answers", "answer", "answer_type", "schema", "metadata", "draft"
)  # fmt: skip
_ABSENT = "absent"
"""Column of a CSV that says that the document has no answer."""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One line of a samples file, checked; its pages are still names of files."""

    line: int
    id: str
    files: tuple[str, ...]
    """Page files as written, relative to the folder of the documents."""
    question: str
    references: tuple[Json, ...]
    answer_type: AnswerType
    metadata: Mapping[str, str]
    json_schema: Json = None
    """Of the answer; None if there is none."""


@dataclass(slots=True)
class SampleTable:
    """The samples of one file, read to its end, and everything that is wrong in it."""

    file: str
    """Name of the file that the problems are in, unless they name another one."""
    rows: list[SampleRow] = field(default_factory=list)
    """Lines without a problem of their own."""
    page_files: list[tuple[int, str]] = field(default_factory=list)
    """Every page file with the line that names it, also of drafts and of lines with problems."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    """What a person should know although nothing is wrong."""

    def add_problem(self, message: str, *, line: int = 0, file: str | None = None) -> None:
        """Note that something is wrong; line 0 stands for the whole file."""
        self.problems.append(Problem(file or self.file, line, message))

    def add_note(self, message: str) -> None:
        """Note something about the whole file that a person should know."""
        self.notes.append(Problem(self.file, 0, message))

    def add_row(self, row: SampleRow) -> None:
        """Add a sample and the files of its pages."""
        self.page_files.extend((row.line, name) for name in row.files)
        self.rows.append(row)


class TaskSource(NamedTuple):
    """What a folder says about a task before any page of it is opened."""

    folder: Path
    """The folder that page paths and problems count from."""
    spec: TaskFile
    samples: SampleTable


def samples_file(folder: Path) -> Path | None:
    """Return the samples file of a task's folder, be it a broken link; None if there is none."""
    paths = (folder / name for name in SAMPLE_FILES)
    return next((path for path in paths if os.path.lexists(path)), None)


def read_samples(
    path: Path,
    answer_type: AnswerType,
    encoding: str | None = None,
    *,
    schemas: TaskSchemas | None = None,
    question: str | None = None,
) -> SampleTable:
    """Read every line of a samples file and collect every problem in it.

    Drafts are counted and left out.

    Args:
        path: of the file.
        answer_type: of lines that name none.
        encoding: of a CSV; None to find out.
        schemas: of the task; lines with JSON answers that name none have the task's own one.
        question: of lines that have none. Without it, a schema makes one.
    """
    schemas = schemas or TaskSchemas(path.parent)
    table = SampleTable(path.name)
    first_lines: dict[str, int] = {}
    drafts = 0
    is_csv = path.suffix.lower() == ".csv"
    records: Iterator[tuple[int, dict[str, Any]]]
    if is_csv:
        is_asked = question is not None or schemas.own is not None
        needed = SAMPLE_COLUMNS[1:] if is_asked else SAMPLE_COLUMNS
        records = read_table(path, table.problems, table.notes, needed, encoding=encoding)
    else:
        records = json_lines(path, table)
    for line, record in records:
        asked = {"question": question, **record} if question else record
        reader = _RecordReader(asked, answer_type, schemas, from_csv=is_csv)
        row = reader.row(line)
        for message in reader.problems:
            table.add_problem(message, line=line)
        if row.id in first_lines:
            message = f"line {first_lines[row.id]} already has the id {one_line(row.id, 60)!r}"
            table.add_problem(message, line=line)
        elif row.id:
            first_lines[row.id] = line
        drafts += reader.is_draft
        if reader.is_draft or reader.problems:
            table.page_files.extend((line, name) for name in row.files)
        else:
            table.add_row(row)
    if drafts:
        is_left_out = "is left out until it is" if drafts == 1 else "are left out until they are"
        accept = f"bench data accept {shell_word(path.parent)}"
        if table.rows or table.problems:
            table.add_note(f"{plural(drafts, 'draft')} {is_left_out} accepted: {accept}")
        else:
            table.add_problem(f"the file contains only drafts ({drafts}); to accept them: {accept}")
    elif not table.rows and not table.problems:
        table.add_problem("the file contains no samples")
    return table


def json_lines(path: Path, table: SampleTable) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and record of every line that is a JSON object; blank lines are skipped."""
    with open_regular(path) as stream:
        number = 0
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                table.add_problem("the line is longer than 16 MiB", line=number)
                return
            try:
                text = decoded(raw, path).strip()
                record = parse_json(text, path) if text else None
            except Unreadable as error:
                hint = f"; {error.hint}" if error.hint else ""
                table.add_problem(f"the line {error.reason}{hint}", line=number)
                continue
            if isinstance(record, dict):
                yield number, record
            elif text:
                table.add_problem("expected a JSON object {…} on this line", line=number)


class _RecordReader:
    """Checks one record; ``problems`` says what is wrong with it."""

    def __init__(
        self, record: dict[str, Any], default: AnswerType, schemas: TaskSchemas, *, from_csv: bool
    ) -> None:
        self.record, self.from_csv = record, from_csv
        self.problems: list[str] = []
        self.is_draft = self._is_draft()
        self.answer_type = self._answer_type(default)
        self.schema = self._schema(schemas)

    def row(self, line: int) -> SampleRow:
        """Return the sample, with gaps where ``problems`` says so.

        Of a draft only the id and the pages must be right yet.
        """
        metadata = self._metadata()
        return SampleRow(
            line=line,
            id=self._id(line),
            files=self._files(),
            question="" if self.is_draft else self._question(metadata.get("language")),
            references=() if self.is_draft else self._references(),
            answer_type=self.answer_type,
            metadata=metadata,
            json_schema=self.schema,
        )

    def _schema(self, schemas: TaskSchemas) -> Json:
        """Return the schema of the line, or that of the task if the answer is JSON."""
        # In a CSV the column is metadata like any other.
        given = None if self.from_csv else self.record.get("schema")
        if given is None:
            return schemas.own if self.answer_type == "json" else None
        if "answer_type" not in self.record:
            self.answer_type = "json"
        if self.answer_type != "json":
            self.problems.append(f"a {self.answer_type} answer has no schema")
            return None
        try:
            return schemas.read(given)
        except InvalidInput as error:
            self.problems.append(error.message)
            return None

    def _is_draft(self) -> bool:
        value = self.record.get("draft", False)
        if self.from_csv and isinstance(value, str):
            return self._says_yes("draft", value)
        if not isinstance(value, bool):
            self.problems.append(f"draft must be true or false, but it is {_shown(value)}")
        return value is True

    def _answer_type(self, default: AnswerType) -> AnswerType:
        answer_type: AnswerType = self.record.get("answer_type", default)
        allowed = get_args(AnswerType)
        if answer_type in allowed:
            return answer_type
        self.problems.append(
            f"answer_type must be one of {', '.join(allowed)}, but it is {_shown(answer_type)}"
        )
        return default

    def _id(self, line: int) -> str:
        value = self.record.get("id", f"line-{line}")
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value.strip():
            return value
        self.problems.append("id must be a non-empty string")
        return ""

    def _question(self, language: str | None) -> str:
        value = self.record.get("question")
        if value is None and self.schema is not None:
            return question_from(self.schema, language)
        if isinstance(value, str) and value.strip():
            return value
        self.problems.append(
            "the question is missing"
            if value is None
            else f"the question must be a non-empty string, but it is {_shown(value)}"
        )
        return ""

    def _files(self) -> tuple[str, ...]:
        given = [key for key in _PAGE_KEYS if self.record.get(key) is not None]
        if len(given) != 1:
            came = " and ".join(given) if given else "neither"
            self.problems.append(f"expected either images or document, got {came}")
            return ()
        value = self.record[given[0]]
        if isinstance(value, str):
            listed = _json_list(value)
            value = [value] if listed is None else listed
        names_files = isinstance(value, list) and all(isinstance(v, str) and v for v in value)
        if not value or not names_files:
            self.problems.append(
                f"{given[0]} must name at least one file, but it is {_shown(value)}"
            )
            return ()
        return tuple(value)

    def _references(self) -> tuple[Json, ...]:
        values = self._answers()
        if values is None:
            return ()
        if any(value is None for value in values):
            self.problems.append(
                'answers must not hold null; write "" where the field is not on the page'
            )
            return ()
        if self.answer_type == "json":
            references = tuple(self._json_reference(value) for value in values)
            self._check_by_schema(references)
            return references
        if self.answer_type == "markdown":
            self.problems += [
                f"answers: {problem}"
                for problem in map(page_problem, values)
                if problem is not None
            ]
            return tuple(values)
        wrong = next((value for value in values if not isinstance(value, str)), None)
        if wrong is not None:
            self.problems.append(
                f'answers must be strings: write "{_shown(wrong)}", not {_shown(wrong)}'
            )
        return tuple(values)

    def _json_reference(self, value: Any) -> Json:
        """Return the JSON value that a string holds; any other string is a JSON value as it stands."""
        reference: Json = value
        try:
            if isinstance(value, str):
                reference = parse_json(value, "an answer")
        except BeyondBound as error:
            self.problems.append(f"{error.message}, so that no answer could be right")
        except Unreadable:
            return value
        if not is_within_depth(reference):
            self.problems.append(
                f"an answer nests lists and objects more than {MAX_VALUE_DEPTH} deep, "
                "so that no answer could be right"
            )
        return reference

    def _check_by_schema(self, references: Sequence[Json]) -> None:
        """Note an answer that the schema does not allow: no answer could be both valid and right."""
        for reference in references if self.schema is not None else ():
            violation = first_violation(self.schema, reference, may_lack=True)
            if violation is not None:
                self.problems.append(f"an answer does not conform to the schema at {violation}")

    def _is_absent(self) -> bool:
        """Say whether a row of a CSV says that the answer is not in the document."""
        value = self.record.get(_ABSENT) if self.from_csv else None
        return isinstance(value, str) and self._says_yes(_ABSENT, value)

    def _says_yes(self, column: str, cell: str) -> bool:
        value = yes_or_no(cell)
        if value is None:
            self.problems.append(
                f"{column} must be yes, no or an empty cell, but it is {_shown(cell)}"
            )
        return value is True

    def _answers(self) -> list[Any] | None:
        """Return what ``answers`` or ``answer`` holds as a list; None if that is not possible."""
        key = "answers" if "answers" in self.record else "answer"
        value = self.record.get(key)
        if key == "answers" and self.record.get("answer") not in (None, value, [value]):
            self.problems.append("expected either answers or answer, got both")
        if self._is_absent():
            if value is not None:
                self.problems.append(
                    f"the row says that the answer is absent, and gives one: {_shown(value)}"
                )
            return [""]
        if value is None:
            self.problems.append(
                "the answers are missing; if the document does not have the answer, write yes into "
                'a column "absent", or [""] as the answer'
                if self.from_csv
                else "the answers are missing"
            )
            return None
        if self.from_csv and isinstance(value, str):
            listed = _json_list(value)
            if listed is None and value.lstrip().startswith(("['", '["')):
                self.problems.append(
                    f'expected answers as a JSON list (["…", "…"]), got {one_line(value, 60)}'
                )
                return None
            value = [value] if listed is None else listed
        elif key == "answer" and not isinstance(value, list):
            value = [value]
        if not isinstance(value, list) or not value:
            self.problems.append(f"answers must be a non-empty list, but they are {_shown(value)}")
            return None
        return value

    def _metadata(self) -> dict[str, str]:
        # A column of a CSV that is called schema is metadata like any other.
        keys = set(_KEYS) - {"schema"} if self.from_csv else _KEYS
        other = {str(key): value for key, value in self.record.items() if key not in keys}
        if self.from_csv:
            return {key: str(value) for key, value in other.items() if key != _ABSENT}
        for key in other:
            hint = did_you_mean(key, _KEYS)
            self.problems.append(f"there is no key {one_line(key, 40)!r}; {hint}")
        metadata = self.record.get("metadata") or {}
        if not isinstance(metadata, dict):
            self.problems.append(f"metadata must be an object, but it is {_shown(metadata)}")
            return {}
        nested = next((k for k, v in metadata.items() if isinstance(v, (dict, list))), None)
        if nested is not None:
            self.problems.append(f"metadata.{one_line(nested, 40)} must be a plain value")
        return {str(key): str(value) for key, value in metadata.items() if value is not None}


def _json_list(text: str) -> list[Any] | None:
    """Return the JSON list that a cell holds; None if the text is anything else."""
    if not text.startswith("["):
        return None
    try:
        value = parse_json(text, "the cell")
    except Unreadable:
        return None
    return value if isinstance(value, list) else None


def _shown(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 60)

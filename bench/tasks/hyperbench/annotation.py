"""Reads ``annotation.csv`` (a question a row) and answers files (an answer a row) of VLMHyperBench."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.formatting import plural
from bench.tasks.csvfile import read_table
from bench.tasks.decoders import decode
from bench.tasks.problems import Problem, error_of
from bench.tasks.samples import SampleRow, SampleTable
from bench.text import one_line

ANNOTATION = "annotation.csv"

_COLUMNS = ("image_path", "question", "answer")
_METADATA_KEYS = {
    "doc_class": "doc_type",
    "question_type": "field",
    "answer_bbox": "bbox",
}
"""Column → the metadata key that reports know. Other columns keep their names."""


def annotation_samples(path: Path) -> SampleTable:
    """Read ``annotation.csv``: each row is a sample, named by its number from 0, as in answers files."""
    table = SampleTable(path.name)
    unanswered = 0
    needed = [(column,) for column in _COLUMNS]
    records = read_table(path, table.problems, table.notes, needed)
    for number, (line, cells) in enumerate(records):
        for column in ("image_path", "question"):
            if not cells.get(column, "").strip():
                table.add_problem(f"the cell of {column} is empty", line=line)
        if "image_path" not in cells or "question" not in cells:
            continue
        image = _image_path(path.parent, cells["image_path"])
        references = _references(cells.get("answer"))
        unanswered += references == ("",)
        metadata = _metadata(cells)
        row = SampleRow(
            line, str(number), (image,), cells["question"], references, "text", metadata
        )
        table.add_row(row)
    if unanswered:
        has = "has" if unanswered == 1 else "have"
        table.add_note(
            f"{plural(unanswered, 'row')} {has} no answer, so the expected answer there is an empty one: "
            "the field is not on the page"
        )
    if not table.rows and not table.problems:
        table.add_problem("the file contains no rows")
    return table


def read_answers(path: Path) -> dict[str, str]:
    """Read an answers file, ``id;model_answer`` or ``sample_id;model_answer``: answer by sample id.

    Raises:
        InvalidInput: the file cannot be read, or it holds an id twice.
    """
    if not path.is_file():
        raise InvalidInput(f"the answers file {one_line(path)} does not exist")
    problems: list[Problem] = []
    answers: dict[str, str] = {}
    needed = (("id", "sample_id"), ("model_answer",))
    for line, cells in read_table(path, problems, [], needed):
        sample_id = cells.get("id", cells.get("sample_id", "")).strip()
        if not sample_id:
            problems.append(Problem(path.name, line, "the id is empty"))
        elif sample_id in answers:
            message = f"the id {sample_id!r} appears here for the second time"
            problems.append(Problem(path.name, line, message))
        else:
            answers[sample_id] = unguarded(cells.get("model_answer", ""))
    if problems:
        raise error_of([problem.inside(path.parent) for problem in problems], path.name)
    return answers


def unguarded(cell: str) -> str:
    """Remove the apostrophe that keeps a spreadsheet from taking ``cell`` for a formula."""
    return cell[1:] if re.match(r"'[=+\-@\t\r]", cell) else cell


def _image_path(folder: Path, name: str) -> str:
    """Return ``name`` as a path that counts from ``folder``; backslashes of Windows separate folders."""
    name = name.strip().replace("\\", "/")
    if not (folder / name).is_file() and (folder / "images" / name).is_file():
        return f"images/{name}"
    return name


def _references(answer: str | None) -> tuple[str, ...]:
    """Return one reference, or the several of a Python list, which the first data sets had."""
    if answer is None:
        return ("",)
    try:
        value: Any = decode("literal-or-string", answer)
    except InvalidInput:
        # An answer may well begin with a bracket.
        return (answer,)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return tuple(value)
    return (answer,)


def _metadata(cells: Mapping[str, str]) -> dict[str, str]:
    return {
        _METADATA_KEYS.get(column, column): text
        for column, text in cells.items()
        if column not in _COLUMNS
    }

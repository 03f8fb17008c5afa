"""A folder of documents becomes a task: questions asked about each, answers left to be written.

Every line is a draft until a person accepts it: a task never scores against answers that nobody gave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.authoring.drafts import SAMPLES, read_records, record_files, write_records
from bench.errors import InvalidInput
from bench.files import write_atomically
from bench.tasks.pages import PAGE_SUFFIXES
from bench.text import one_line

QUESTIONS: dict[str, dict[str, str]] = {
    "en": {
        "number": "What is the number of the document?",
        "date": "What is the date of the document?",
        "total": "What is the total amount?",
    },
    "ru": {
        "number": "Какой номер у документа?",
        "date": "Какая дата у документа?",
        "total": "Какая итоговая сумма?",
    },
    "zh": {
        "number": "文件编号是什么？",
        "date": "文件日期是什么？",
        "total": "总金额是多少？",
    },
}
"""Language → field → question: what most papers of an office carry, where nothing else is asked."""

_INSTRUCTIONS = {
    "en": "Answer the question using a single word or phrase.",
    "ru": "Ответьте одним словом или короткой фразой.",
    "zh": "请用一个词或短语回答。",
}

_TASK_FILE = """\
# Every key may be left out. docs: bench data validate {folder}
version = "1"              # raise it whenever a score can change
title = {title}
license = "internal"
answer_type = "text"       # text, json (answers are objects) or description (free text)
# The first metric is the headline; bench list metrics shows all.
metrics = ["anls", "exact_match", "contains", "cer", "field_match"]
# pdf_dpi = 150            # resolution at which pages of PDFs are rendered

[prompt]
template = "{{question}}\\n{instruction}"

[generation]
max_new_tokens = 64
"""


class Started(NamedTuple):
    """What ``start_task`` found and wrote."""

    documents: int
    """Page images and PDFs in the folder."""
    new_documents: int
    """Of them, those that nothing was asked about before."""
    questions: int
    """Lines added to ``samples.jsonl``."""


def start_task(
    folder: Path, *, language: str = "en", questions: Mapping[str, str] | None = None
) -> Started:
    """Write ``task.toml`` where there is none, and a draft line a document and question.

    Documents that lines exist for are left alone, so that it can be repeated when documents are added.
    A document is a file; a subfolder's name becomes its ``doc_type``.

    Args:
        folder: holds page images and PDFs, in subfolders too.
        language: key of ``QUESTIONS``, for the starting questions and the prompt.
        questions: field → question. Without them those of the lines that are there are asked, or
            ``QUESTIONS``.

    Raises:
        InvalidInput: no folder, no documents in it, or its samples are in another format.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{one_line(str(folder))} is no folder")
    for other in ("samples.csv", "annotation.csv"):
        if (folder / other).is_file():
            raise InvalidInput(
                f"{one_line(str(folder))} has a {other}; lines are added to {SAMPLES} only",
                hint=f"bench data validate {one_line(str(folder))}",
            )
    documents = find_documents(folder)
    if not documents:
        raise InvalidInput(
            f"{one_line(str(folder))} holds no page images or PDFs",
            hint="file types: " + ", ".join(sorted(PAGE_SUFFIXES)),
        )
    records = read_records(folder) if (folder / SAMPLES).is_file() else []
    known = {name for record in records for name in record_files(record)}
    new = [name for name in documents if name not in known]
    asked = questions or _asked(records) or QUESTIONS[language]
    taken = {str(record.get("id")) for record in records}
    added = [
        _draft(name, field, question, language, taken)
        for name in new
        for field, question in asked.items()
    ]
    if not (folder / "task.toml").is_file():
        write_atomically(folder / "task.toml", _task_file(folder, language))
    if added:
        write_records(folder, [*records, *added])
    return Started(len(documents), len(new), len(added))


def find_documents(folder: Path) -> list[str]:
    """Page files below ``folder``, as they are named in its samples; hidden ones are passed over."""
    root = folder.resolve()
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        hidden = any(part.startswith(".") for part in name.parts)
        # A link may lead to the whole disk: only what lies in the folder is a document of it.
        inside = path.resolve().is_relative_to(root)
        if path.suffix.lower() in PAGE_SUFFIXES and path.is_file() and inside and not hidden:
            found.append(name.as_posix())
    return found


def _asked(records: list[dict[str, Any]]) -> dict[str, str]:
    """Field → question of the lines that are there, the first wording of each."""
    found: dict[str, str] = {}
    for record in records:
        field = (record.get("metadata") or {}).get("field")
        question = record.get("question")
        if isinstance(field, str) and isinstance(question, str):
            found.setdefault(field, question)
    return found


def _draft(name: str, field: str, question: str, language: str, taken: set[str]) -> dict[str, Any]:
    stem = Path(name).with_suffix("").as_posix()
    # Two files may differ in their suffix only.
    sample_id = f"{stem}/{field}" if f"{stem}/{field}" not in taken else f"{name}/{field}"
    taken.add(sample_id)
    metadata = {"field": field, "language": language}
    if (parent := Path(name).parent.name) != "":
        metadata = {"doc_type": parent, **metadata}
    return {
        "id": sample_id,
        "images": [name],
        "question": question,
        "answers": [],
        "metadata": metadata,
        "draft": True,
    }


def _task_file(folder: Path, language: str) -> str:
    # JSON strings are TOML strings too.
    title = json.dumps(folder.resolve().name, ensure_ascii=False)
    return _TASK_FILE.format(
        folder=one_line(folder.name), title=title, instruction=_INSTRUCTIONS[language]
    )

"""Starts a task from a folder of documents: it asks questions about each and leaves the answers open.

Every line is a draft until a person accepts it: a task never scores against answers that nobody gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit

from bench.authoring.drafts import read_records, record_files, write_records
from bench.errors import InvalidInput
from bench.files import write_atomically
from bench.schema import SHORT_ANSWER
from bench.tasks.pages import PAGE_SUFFIXES
from bench.tasks.samples import SAMPLES
from bench.tasks.taskfile import TASK_FILE
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
"""Language → field → question. Most office documents have these fields, so they are asked by default."""

_TASK_FILE = """\
# Every key may be left out. To check this file and the samples: bench data validate FOLDER
version = "1"              # raise it whenever a score can change
title = ""
license = "internal"
answer_type = "text"       # text, json (answers are objects) or description (free text)
# The first metric is the headline. To see all metrics: bench list metrics
metrics = ["anls", "exact_match", "contains", "cer", "field_match"]
# pdf_dpi = 150            # resolution at which pages of PDFs are rendered

[prompt]
template = "{question}"

[generation]
max_new_tokens = 64
"""


class Started(NamedTuple):
    """What ``start_task`` saw and wrote."""

    documents: int
    """Page images and PDFs in the folder."""
    new_documents: int
    """Documents among them that no line was about before."""
    questions: int
    """Lines added to ``samples.jsonl``."""


def start_task(
    folder: Path, *, language: str = "en", questions: Mapping[str, str] | None = None
) -> Started:
    """Write ``task.toml`` where there is none, and one draft line for each document and question.

    Documents that lines exist for are left alone, so this can be repeated when documents are added. A
    document is a file; the name of a subfolder becomes its ``doc_type``.

    Args:
        folder: holds page images and PDFs, in subfolders too.
        language: key of ``QUESTIONS``, for the starting questions and the prompt.
        questions: field → question. Without them, the questions of the existing lines are asked, or
            ``QUESTIONS`` where there are none.

    Raises:
        InvalidInput: the folder does not exist or holds no documents, or its samples have another format.
    """
    documents = _documents_to_ask_about(folder)
    records = read_records(folder) if (folder / SAMPLES).is_file() else []
    known_files = {name for record in records for name in record_files(record)}
    new_documents = [name for name in documents if name not in known_files]
    asked = questions or _questions_of(records) or QUESTIONS[language]
    taken_ids = {str(record.get("id")) for record in records}
    drafts = [
        _draft(name, field, question, language, taken_ids)
        for name in new_documents
        for field, question in asked.items()
    ]
    if not (folder / TASK_FILE).is_file():
        write_atomically(folder / TASK_FILE, _task_file(folder, language))
    if drafts:
        write_records(folder, [*records, *drafts])
    return Started(len(documents), len(new_documents), len(drafts))


def _documents_to_ask_about(folder: Path) -> list[str]:
    shown = one_line(folder)
    if not folder.is_dir():
        raise InvalidInput(f"{shown} is not a folder")
    for other in ("samples.csv", "annotation.csv"):
        if (folder / other).is_file():
            raise InvalidInput(
                f"{shown} has a {other}, but lines can only be added to {SAMPLES}",
                hint=f"bench data validate {shown}",
            )
    documents = find_documents(folder)
    if not documents:
        raise InvalidInput(
            f"{shown} contains no page images or PDFs",
            hint="these types can be read: " + ", ".join(sorted(PAGE_SUFFIXES)),
        )
    return documents


def find_documents(folder: Path) -> list[str]:
    """Return the page files below ``folder``, as its samples name them, without hidden ones."""
    root = folder.resolve()
    documents = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        is_hidden = any(part.startswith(".") for part in name.parts)
        # A link may lead to the whole disk: only what lies in the folder is a document of it.
        is_inside = path.resolve().is_relative_to(root)
        if path.suffix.lower() in PAGE_SUFFIXES and path.is_file() and is_inside and not is_hidden:
            documents.append(name.as_posix())
    return documents


def _questions_of(records: list[dict[str, Any]]) -> dict[str, str]:
    """Return field → question of the existing lines, in the first wording of each."""
    questions: dict[str, str] = {}
    for record in records:
        field = (record.get("metadata") or {}).get("field")
        question = record.get("question")
        if isinstance(field, str) and isinstance(question, str):
            questions.setdefault(field, question)
    return questions


def _draft(
    name: str, field: str, question: str, language: str, taken_ids: set[str]
) -> dict[str, Any]:
    path = Path(name)
    sample_id = f"{path.with_suffix('').as_posix()}/{field}"
    # Two files may differ only in their suffix.
    if sample_id in taken_ids:
        sample_id = f"{name}/{field}"
    taken_ids.add(sample_id)
    metadata = {"field": field, "language": language}
    if path.parent.name:
        metadata = {"doc_type": path.parent.name, **metadata}
    return {
        "id": sample_id,
        "images": [name],
        "question": question,
        "answers": [],
        "metadata": metadata,
        "draft": True,
    }


def _task_file(folder: Path, language: str) -> str:
    document = tomlkit.parse(_TASK_FILE)
    document["title"] = folder.resolve().name
    document["prompt"]["template"] = f"{{question}}\n{SHORT_ANSWER[language]}"
    return tomlkit.dumps(document)

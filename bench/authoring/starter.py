"""Starts a task from a folder of documents: it asks questions about each and leaves the answers open.

Every line is a draft until a person accepts it: a task never scores against answers that nobody gave.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import tomlkit

from bench.authoring.drafts import read_records, record_files, write_records
from bench.errors import EnvironmentProblem, InvalidInput
from bench.files import write_atomically
from bench.json_schemas.reading import read_schema_file
from bench.models.ocr.orientation import glance, text_layer_reading
from bench.models.ocr.readers import glancing_engines
from bench.models.ocr.reading import LONGEST_SIDE
from bench.parsing import read_text, read_toml
from bench.schema import SHORT_ANSWER, Page
from bench.tasks.language import guess_language
from bench.tasks.loading import documents_root
from bench.tasks.pagefiles import is_inside
from bench.tasks.pages import PAGE_SUFFIXES, open_page, read_pages
from bench.tasks.samples import SAMPLE_FILES, SAMPLES
from bench.tasks.taskfile import TASK_FILE, check_task_file, has_task_file
from bench.text import one_line, shell_word

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
    "de": {
        "number": "Welche Nummer hat das Dokument?",
        "date": "Welches Datum hat das Dokument?",
        "total": "Wie hoch ist der Gesamtbetrag?",
    },
    "es": {
        "number": "¿Cuál es el número del documento?",
        "date": "¿Cuál es la fecha del documento?",
        "total": "¿Cuál es el importe total?",
    },
    "fr": {
        "number": "Quel est le numéro du document ?",
        "date": "Quelle est la date du document ?",
        "total": "Quel est le montant total ?",
    },
    "it": {
        "number": "Qual è il numero del documento?",
        "date": "Qual è la data del documento?",
        "total": "Qual è l'importo totale?",
    },
    "nl": {
        "number": "Wat is het nummer van het document?",
        "date": "Wat is de datum van het document?",
        "total": "Wat is het totaalbedrag?",
    },
    "pl": {
        "number": "Jaki jest numer dokumentu?",
        "date": "Jaka jest data dokumentu?",
        "total": "Jaka jest łączna kwota?",
    },
    "uk": {
        "number": "Який номер документа?",
        "date": "Яка дата документа?",
        "total": "Яка загальна сума?",
    },
    "zh": {
        "number": "文件编号是什么？",
        "date": "文件日期是什么？",
        "total": "总金额是多少？",
    },
}
"""Language → field → question. Most office documents have these fields, so they are asked by default."""

DATA = "data"
"""What ends the id of the line that asks for all that a schema describes."""

_PAGES_TO_GUESS_BY = 3
_TYPES_SHOWN = 5
_SCHEMA_TASK_FILE = """\
# Every key may be left out. To check this file and the samples: bench data validate FOLDER
version = "1"              # raise it whenever a score can change
title = ""
license = "internal"
# The question and the scores are made from this JSON Schema of the answers.
schema = ""
# pdf_dpi = 150            # resolution at which pages of PDFs are rendered
"""

_OWN_FILES = frozenset({TASK_FILE, *SAMPLE_FILES, f"{SAMPLES}.bak", "README.md", "annotation.csv"})

_TASK_FILE = """\
# Every key may be left out. To check this file and the samples: bench data validate FOLDER
version = "1"              # raise it whenever a score can change
title = ""
license = "internal"
answer_type = "text"       # text, json (answers are objects), description (free text) or markdown (pages)
# The first metric is the headline. To see all metrics: bench list metrics
metrics = ["anls", "exact_match", "contains", "cer", "field_match"]
# pdf_dpi = 150            # resolution at which pages of PDFs are rendered

[prompt]
template = "{question}"

[generation]
max_new_tokens = 64
"""


class FolderFiles(NamedTuple):
    """The files of a folder, by name relative to it."""

    documents: list[str]
    """Page images and PDFs."""
    others: list[str]
    """What no page can be read from, and links that leave the folder or lead to nothing."""


class Started(NamedTuple):
    """What ``start_task`` saw and wrote."""

    documents: int
    """Page images and PDFs in the folder."""
    new_documents: int
    """Documents among them that no line was about before."""
    questions: int
    """Lines added to ``samples.jsonl``."""
    passed_over: tuple[str, ...] = ()
    """Other files in the folder, which no page can be read from, or which are links that leave it."""
    languages: Mapping[str, int] = MappingProxyType({})
    """Code of a language → number of new documents in it; "" where it could not be told."""
    glanced: int = 0
    """New documents without a text layer, whose language OCR told."""


def start_task(
    folder: Path,
    *,
    language: str | None = None,
    questions: Mapping[str, str] | None = None,
    schema: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Started:
    """Write ``task.toml`` where there is none, and one draft line for each document and question.

    Documents that lines exist for are left alone, so this can be repeated when documents are added. A
    document is a file; the name of a subfolder becomes its ``doc_type``.

    Args:
        folder: holds page images and PDFs, in subfolders too.
        language: code of the language of all documents (``de``, ``pt-BR``). None guesses it for each document
            from the text that its file carries, or else, with the extra ``ocr``, from a few lines that OCR
            reads. It is left open where neither tells.
        questions: field → question. Without them, the questions of the existing lines are asked, or
            ``QUESTIONS``: in the language of the documents, or in English.
        schema: a JSON Schema of the answers. It is copied into the folder, and there is one line for each
            document, whose question the schema makes.
        say: gets the name of each document before OCR looks at it, which takes a second or two.

    Raises:
        InvalidInput: the folder does not exist or holds no documents, its samples have another format,
            ``language`` is no code of a language, or the schema is not accepted.
    """
    code = None if language is None else language_code(language)
    documents, others = _documents_to_ask_about(folder)
    schema_name = _schema_of(folder, schema)
    others = [name for name in others if name != schema_name]
    records = read_records(folder) if os.path.lexists(folder / SAMPLES) else []
    known_files = {name for record in records for name in record_files(record)}
    new_documents = [name for name in documents if name not in known_files]
    guesses = _Languages(_pages_folder(folder), say)
    languages = {name: code or guesses.of(name) for name in new_documents}
    counts = Counter(languages.values())
    asked_in = code or _commonest(counts)
    asked: Mapping[str, str | None]
    asked = questions or _questions_of(records) or _first_questions(asked_in)
    if schema_name is not None:
        asked = {DATA: None}
    drafts = _drafts(records, asked, languages)
    if not has_task_file(folder):
        write_atomically(folder / TASK_FILE, _task_file(folder, asked_in, schema_name))
    if drafts:
        write_records(folder, [*records, *drafts])
    return Started(
        len(documents), len(new_documents), len(drafts), tuple(others), counts, guesses.glanced
    )


def _schema_of(folder: Path, schema: Path | None) -> str | None:
    """Return the name of the task's schema, after copying ``schema`` into ``folder``; None if it has none."""
    has_task_file = (folder / TASK_FILE).is_file()
    if schema is None:
        own = read_toml(folder / TASK_FILE).get("schema") if has_task_file else None
        return None if own is None else own if isinstance(own, str) else ""
    read_schema_file(schema)
    if has_task_file:
        raise InvalidInput(
            f"{one_line(folder)} has a {TASK_FILE} already",
            hint=f'write schema = "{one_line(schema.name, 80)}" into it, and put the file beside it',
        )
    target = folder / schema.name
    if not target.exists():
        write_atomically(target, read_text(schema))
    elif not target.samefile(schema):
        raise InvalidInput(
            f"{one_line(target)} exists already", hint="remove it, or give the schema another name"
        )
    return schema.name


def language_code(text: str) -> str:
    """Return the code of a language in its usual spelling: ``DE`` is ``de``, ``pt_br`` is ``pt-BR``.

    Raises:
        InvalidInput: ``text`` is no code of a language.
    """
    # Imported when first needed: babel's names of languages take a moment to load.
    from babel import Locale, UnknownLocaleError

    try:
        locale = Locale.parse(text.strip().replace("_", "-"), sep="-")
    except (UnknownLocaleError, ValueError, TypeError):
        raise InvalidInput(
            f"{one_line(text, 40)!r} is no code of a language",
            hint="--lang de, or the code of any other language: en, ru, zh, pt-BR, …",
        ) from None
    return str(locale).replace("_", "-")


class _Languages:
    """Guesses the language of documents; the recognisers are loaded for the first scan."""

    def __init__(self, folder: Path, say: Callable[[str], None] | None) -> None:
        self.folder = folder
        self.say = say
        self.glanced = 0
        self._engines: tuple[Any, ...] | None = None

    def of(self, name: str) -> str:
        """Return the code of a document's language by its first pages; "" if they do not tell it."""
        try:
            pages = read_pages(self.folder / name)[:_PAGES_TO_GUESS_BY]
            readings = [text_layer_reading(page) for page in pages]
            words = [word.text for reading in readings if reading for word in reading.fragments]
            text = " ".join(words) if words else self._glanced(name, pages[:1])
        except InvalidInput:
            # A broken page is named by `bench data validate`.
            return ""
        language = guess_language(text) or ""
        self.glanced += bool(language and not words)
        return language

    def _glanced(self, name: str, pages: Sequence[Page]) -> str:
        """Return the longest lines of ``pages`` as OCR reads them; "" without the extra ``ocr``."""
        if self._engines is None:
            try:
                self._engines = glancing_engines()
            except EnvironmentProblem:
                self._engines = ()
        if not self._engines:
            return ""
        if self.say is not None:
            self.say(name)
        return " ".join(glance(open_page(page, LONGEST_SIDE), self._engines).text for page in pages)


def _commonest(counts: Mapping[str, int]) -> str:
    known = {code: count for code, count in counts.items() if code}
    return max(known, key=known.__getitem__, default="en")


def _first_questions(language: str) -> dict[str, str]:
    return QUESTIONS.get(language.partition("-")[0], QUESTIONS["en"])


def _documents_to_ask_about(folder: Path) -> FolderFiles:
    shown = one_line(folder)
    if not folder.is_dir():
        raise InvalidInput(f"{shown} is not a folder")
    for other in ("samples.csv", "annotation.csv"):
        if (folder / other).is_file():
            raise InvalidInput(
                f"{shown} has a {other}, but lines can only be added to {SAMPLES}",
                hint=f"bench data validate {shell_word(folder)}",
            )
    files = find_documents(_pages_folder(folder))
    if not files.documents:
        raise InvalidInput(
            f"{shown} contains no page images or PDFs{_instead(files.others)}",
            hint="these types can be read: " + ", ".join(sorted(PAGE_SUFFIXES)),
        )
    return files


def _pages_folder(folder: Path) -> Path:
    """The folder that names of pages count from: the one that the task file names, or ``folder``."""
    whole = folder.resolve()
    if not has_task_file(folder):
        return whole
    root = documents_root(folder, check_task_file(folder / TASK_FILE).spec)
    # A copy of a bundled task may use the bundled pages, which lie elsewhere and are nobody's new documents.
    return root if is_inside(whole, root) else whole


def _instead(others: Sequence[str]) -> str:
    return f", only {described_files(others)}" if others else ""


def find_documents(folder: Path) -> FolderFiles:
    """Find the page files below ``folder``, and the other ones, without hidden files and the task's own."""
    root = folder.resolve()
    documents: list[str] = []
    others: list[str] = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        is_hidden = any(part.startswith(".") for part in name.parts)
        if is_hidden or path.is_dir() or name.as_posix() in _OWN_FILES:
            continue
        # A link may lead to the whole disk: only what lies in the folder is a document of it. What a link
        # leads to may also be missing, as in a clone whose large files were not fetched.
        if path.is_file() and path.suffix.lower() in PAGE_SUFFIXES and is_inside(root, path):
            documents.append(name.as_posix())
        else:
            others.append(name.as_posix())
    return FolderFiles(documents, others)


def described_files(names: Sequence[str]) -> str:
    """Describe files by their types, with an example: ``3 .docx and 1 .txt (a.docx, …)``."""
    types = Counter(Path(name).suffix.lower() or "without a type" for name in names)
    shown = [f"{count:,} {kind}" for kind, count in types.most_common(_TYPES_SHOWN)]
    if len(types) > _TYPES_SHOWN:
        shown.append("others")
    kinds = " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
    example = one_line(names[0], 60) + (", …" if len(names) > 1 else "")
    return f"{kinds} ({example})"


def _questions_of(records: list[dict[str, Any]]) -> dict[str, str]:
    """Return field → question of the existing lines, in the first wording of each."""
    questions: dict[str, str] = {}
    for record in records:
        field = (record.get("metadata") or {}).get("field")
        question = record.get("question")
        if isinstance(field, str) and isinstance(question, str):
            questions.setdefault(field, question)
    return questions


def _drafts(
    records: Sequence[dict[str, Any]],
    asked: Mapping[str, str | None],
    languages: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return the lines that ask everything about the new documents, whose languages are given."""
    taken_ids = {str(record.get("id")) for record in records}
    return [
        _draft(name, field, question, language, taken_ids)
        for name, language in languages.items()
        for field, question in asked.items()
    ]


def _draft(
    name: str, field: str, question: str | None, language: str, taken_ids: set[str]
) -> dict[str, Any]:
    """Return a draft line; without a question the task's schema makes it."""
    path = Path(name)
    sample_id = f"{path.with_suffix('').as_posix()}/{field}"
    # Two files may differ only in their suffix.
    if sample_id in taken_ids:
        sample_id = f"{name}/{field}"
    taken_ids.add(sample_id)
    metadata = {} if question is None else {"field": field}
    if language:
        metadata["language"] = language
    if path.parent.name:
        metadata = {"doc_type": path.parent.name, **metadata}
    return {
        "id": sample_id,
        "images": [name],
        **({} if question is None else {"question": question}),
        "answers": [],
        "metadata": metadata,
        "draft": True,
    }


def _task_file(folder: Path, language: str, schema: str | None) -> str:
    document = tomlkit.parse(_TASK_FILE if schema is None else _SCHEMA_TASK_FILE)
    document["title"] = folder.resolve().name
    if schema is not None:
        document["schema"] = schema
        return tomlkit.dumps(document)
    short_answer = SHORT_ANSWER.get(language.partition("-")[0], SHORT_ANSWER["en"])
    document["prompt"]["template"] = f"{{question}}\n{short_answer}"
    return tomlkit.dumps(document)

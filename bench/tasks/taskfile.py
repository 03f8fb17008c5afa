"""Reads ``task.toml``: what a task is called, how it asks, and how it is scored.

The tables are pydantic models, so that every key, type and range is checked in one place.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, get_args

import tomlkit
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from bench.errors import InvalidInput, did_you_mean
from bench.parsing import MAX_TOML_BYTES, Unreadable, parse_toml, read_text
from bench.schema import SHORT_ANSWER, AnswerType, Generation, PromptTemplate
from bench.tasks.datasettable import DatasetTable
from bench.tasks.encodings import is_text_encoding
from bench.tasks.problems import Problem
from bench.text import one_line, shell_word

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from tomlkit import TOMLDocument

TASK_FILE = "task.toml"

DEFAULT_METRICS: dict[AnswerType, tuple[str, ...]] = {
    "text": ("anls", "exact_match", "contains", "cer", "wer", "fuzzy_ratio"),
    "json": ("anls_star", "kie_f1"),
    "description": ("fuzzy_ratio", "anls"),
    "markdown": (
        "parsing_score",
        "parsing_text",
        "parsing_tables",
        "parsing_tables_structure",
        "parsing_formulas",
        "parsing_order",
    ),
}
"""Metrics of a task that names none, by the type of its answers; the first is the headline."""

SCHEMA_METRICS = (
    "value_f1",
    "value_precision",
    "value_recall",
    "null_accuracy",
    "object_match",
    "schema_valid",
    "anls_star",
    "kie_f1",
    "ted_accuracy",
    "extractbench_f1",
)
"""Metrics of a task that has a JSON Schema and names none."""

SCHEMA_TOKENS = 2048
"""``max_new_tokens`` of such a task where it sets no bound of its own: line items take many tokens."""

LONG_ANSWER_TOKENS = 512
"""``max_new_tokens`` of a task with JSON or free-text answers that sets no bound of its own."""

PAGE_TOKENS = 4_096
"""The same for whole pages."""

DEFAULT_PROMPT = f"{{question}}\n{SHORT_ANSWER['en']}"
"""The instruction of the Qwen-VL and LLaVA evaluation prompts for short answers."""


class PromptTable(BaseModel):
    """``[prompt]`` of a task file."""

    model_config = ConfigDict(extra="forbid")

    template: str = DEFAULT_PROMPT
    system: str | None = None

    @field_validator("template")
    @classmethod
    def _holds_the_question(cls, template: str) -> str:
        if template.count("{question}") != 1:
            raise ValueError("the template must contain {question} exactly once")
        return template


class GenerationTable(BaseModel):
    """``[generation]`` of a task file."""

    model_config = ConfigDict(extra="forbid")

    max_new_tokens: int = Field(default=64, ge=1, le=32_768)
    stop: list[str] = []

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, stop: list[str]) -> list[str]:
        if "" in stop:
            raise ValueError("an empty stop string would cut every answer to nothing")
        return stop


class LocalTable(BaseModel):
    """``[local]`` of a task file: a published benchmark that is read from a copy on this machine."""

    model_config = ConfigDict(extra="forbid")

    layout: Literal["omnidocbench", "olmocr-bench"]
    """Which files its folder has."""
    id: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    """Hub id, ``owner/name``."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of the hub repository whose files are known to be read; None if none is."""

    def download(self) -> str:
        """Return the command that downloads the benchmark."""
        pinned = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {self.id} --repo-type dataset{pinned} --local-dir PATH"


class TaskFile(BaseModel):
    """A whole ``task.toml``; every key has a default, so that a bare folder is a task as well."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=80)
    version: str = "1"
    title: str = ""
    license: str = ""
    source: str = ""
    citation: str = ""
    documents: str | None = None
    """``example_docs`` (bundled with the package), a subfolder of the task, or None: the task folder."""
    pdf_dpi: int = Field(default=150, ge=36, le=600)
    encoding: str | None = None
    """What ``samples.csv`` is in, as Python names it; None to find out."""
    answer_type: AnswerType = "text"
    json_schema: str | dict[str, Any] | None = Field(default=None, alias="schema")
    """JSON Schema of the answers: a file in the folder, or the schema itself; None if there is none."""
    question: str | None = Field(default=None, min_length=1)
    """Asked about every document whose line has no question of its own."""
    named_only: bool = False
    """Whether ``--tasks all`` leaves a task of the package out, so that it is run only if it is named."""
    metrics: list[str] = []
    prompt: PromptTable = PromptTable()
    generation: GenerationTable = GenerationTable()
    dataset: DatasetTable | None = None
    """The published data set that the samples come from; None if they lie beside the file."""
    local: LocalTable | None = None
    """The published benchmark whose copy on this machine is read; None for any other task."""

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, encoding: str | None) -> str | None:
        if encoding is not None and not is_text_encoding(encoding):
            raise ValueError('expected the name of an encoding, such as "cp1252" or "utf-8"')
        return encoding

    @model_validator(mode="after")
    def _schemas_are_of_json(self) -> Self:
        if self.json_schema is not None:
            if "answer_type" not in self.model_fields_set:
                self.answer_type = "json"
            elif self.answer_type != "json":
                raise ValueError('a task with a schema has answer_type = "json"')
        return self

    def headline_first_metrics(self) -> tuple[str, ...]:
        """Return the metrics of the task, or the defaults of its answer type."""
        default = DEFAULT_METRICS[self.answer_type] if self.json_schema is None else SCHEMA_METRICS
        return tuple(dict.fromkeys(self.metrics)) or default

    def prompt_template(self) -> PromptTemplate:
        """Return the template; without a ``[prompt]``, only short answers get an instruction."""
        if "prompt" not in self.model_fields_set and self.answer_type != "text":
            return PromptTemplate()
        return PromptTemplate(self.prompt.template, self.prompt.system)

    def decoding(self) -> Generation:
        """Return the decoding settings; longer answers get more tokens where the file names no number."""
        tokens = self.generation.max_new_tokens
        if "max_new_tokens" not in self.generation.model_fields_set and self.answer_type != "text":
            tokens = PAGE_TOKENS if self.answer_type == "markdown" else LONG_ANSWER_TOKENS
            if self.json_schema is not None:
                tokens = SCHEMA_TOKENS
        return Generation(tokens, tuple(self.generation.stop))


class ReadTaskFile(NamedTuple):
    """A task file, read as far as possible."""

    spec: TaskFile
    """What could be used; defaults stand in for the rest."""
    problems: list[Problem]


def has_task_file(folder: Path) -> bool:
    """Say whether ``folder`` has an entry of this name: a broken link is an error, and no missing file."""
    return os.path.lexists(folder / TASK_FILE)


def read_task_document(folder: Path) -> TOMLDocument:
    """Return the task file of ``folder`` with its comments and its order, to be changed and written again.

    Raises:
        InvalidInput: something in the file is wrong.
    """
    path = folder / TASK_FILE
    _, problems = check_task_file(path)
    if problems:
        raise InvalidInput(
            str(problems[0].inside(folder)), hint=f"bench data validate {shell_word(folder)}"
        )
    return tomlkit.parse(read_text(path, MAX_TOML_BYTES))


def check_task_file(path: Path) -> ReadTaskFile:
    """Parse one ``task.toml`` and collect every problem in it, with its line where that is known."""
    try:
        text = read_text(path, MAX_TOML_BYTES)
        table = parse_toml(text, path)
    except Unreadable as error:
        place = re.search(r"at line (\d{1,9})\b", error.reason)
        line = int(place[1]) if place else 0
        hint = "" if error.hint is None else f"; {error.hint}"
        return ReadTaskFile(
            TaskFile(), [Problem(path.name, line, f"the file {error.reason}{hint}")]
        )
    try:
        return ReadTaskFile(TaskFile.model_validate(table), [])
    except ValidationError as error:
        problems = [
            Problem(path.name, _line_of(text, entry["loc"]), _described(entry))
            for entry in error.errors()
        ]
        return ReadTaskFile(_without_wrong_keys(table, error), problems)


def _without_wrong_keys(table: dict[str, Any], error: ValidationError) -> TaskFile:
    """Return the file without its wrong top-level keys, so that the samples can be checked as well."""
    wrong = {entry["loc"][0] for entry in error.errors() if entry["loc"]}
    try:
        return TaskFile.model_validate({k: v for k, v in table.items() if k not in wrong})
    except ValidationError:
        return TaskFile()


def _line_of(text: str, location: tuple[int | str, ...]) -> int:
    """Return the line of a key, or of the nearest table around it; 0 if neither has a line."""
    keys = [key for key in location if isinstance(key, str)]
    lines = _key_lines(text)
    for length in range(len(keys), 0, -1):
        line = lines.get(tuple(keys[:length]))
        if line is not None:
            return line
    return 0


def _key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of every table and key that is written as ``[a.b]`` or ``key = …``.

    TOML parsers keep no line numbers, and these two forms are what people write.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = re.fullmatch(r"\s*\[([^\[\]]+)\]\s*(#.*)?", line)
        if header is not None:
            table = tuple(part.strip(" \"'") for part in header[1].split("."))
            lines.setdefault(table, number)
        elif "=" in line:
            key = line.partition("=")[0].strip(" \t\"'")
            lines.setdefault((*table, key), number)
    return lines


def _described(entry: ErrorDetails) -> str:
    """Describe one problem that pydantic saw: the place of the key, what is wrong, and a way out."""
    keys = [str(key) for key in entry["loc"]]
    where = ".".join(keys)
    if entry["type"] == "extra_forbidden":
        hint = did_you_mean(keys[-1], _known_keys(keys[:-1]))
        return f"there is no key {where!r}; {hint}"
    if entry["type"] == "missing":
        return f"the key {where!r} is missing"
    came = one_line(repr(entry["input"])[:400], 60)
    message = one_line(entry["msg"].removeprefix("Value error, "))
    return f"{where}: {message.replace('Input should be', 'expected')}, got {came}"


def _known_keys(parents: list[str]) -> list[str]:
    """Return the keys that are allowed inside the table ``parents``."""
    model: type[BaseModel] = TaskFile
    for parent in parents:
        info = model.model_fields.get(parent)
        # A table that may be missing is annotated "Table | None".
        kinds = () if info is None else (info.annotation, *get_args(info.annotation))
        tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not tables:
            return []
        model = tables[0]
    return [info.alias or name for name, info in model.model_fields.items()]

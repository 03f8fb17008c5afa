"""``task.toml``: what a task is called, how it asks, and how it is scored. TOML checked by pydantic."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import InvalidInput, did_you_mean
from bench.schema import AnswerType, Generation, PromptTemplate
from bench.text import one_line

DEFAULT_METRICS: dict[AnswerType, tuple[str, ...]] = {
    "text": ("anls", "exact_match", "contains", "cer", "wer", "fuzzy_ratio"),
    "json": ("anls_star", "kie_f1"),
    "description": ("fuzzy_ratio", "anls"),
}
"""Metrics of a task that names none, by the type of its answers; the first is the headline."""

DEFAULT_PROMPT = "{question}\nAnswer the question using a single word or phrase."
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
            raise ValueError("must hold {question} exactly once")
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
    answer_type: AnswerType = "text"
    metrics: list[str] = []
    prompt: PromptTable = PromptTable()
    generation: GenerationTable = GenerationTable()

    def headline_first_metrics(self) -> tuple[str, ...]:
        """The task's metrics, or the defaults of its answer type."""
        return tuple(dict.fromkeys(self.metrics)) or DEFAULT_METRICS[self.answer_type]

    def prompt_template(self) -> PromptTemplate:
        """The template; without a ``[prompt]``, only short answers get the short-answer instruction."""
        if "prompt" not in self.model_fields_set and self.answer_type != "text":
            return PromptTemplate()
        return PromptTemplate(self.prompt.template, self.prompt.system)

    def decoding(self) -> Generation:
        """Decoding settings; longer answers get more tokens where the file names no number."""
        tokens = self.generation.max_new_tokens
        if "max_new_tokens" not in self.generation.model_fields_set and self.answer_type != "text":
            tokens = 512
        return Generation(tokens, tuple(self.generation.stop))


def read_task_file(path: Path) -> TaskFile:
    """Parse and check one ``task.toml``.

    Raises:
        InvalidInput: not TOML, an unknown key (with the nearest known one), or a bad value. The caller
            knows the file; the message names only the key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"not TOML: {one_line(str(error))}") from None
    try:
        return TaskFile.model_validate(table)
    except ValidationError as error:
        raise toml_problem(error, TaskFile) from None


def toml_problem(error: ValidationError, model: type[BaseModel]) -> InvalidInput:
    """The first problem that pydantic found, as one line with the key's place and a way out."""
    first = error.errors()[0]
    keys = [str(key) for key in first["loc"]]
    where = ".".join(keys)
    if first["type"] == "extra_forbidden":
        return InvalidInput(
            f"{where}: unknown key", hint=did_you_mean(keys[-1], _known_keys(model, keys[:-1]))
        )
    came = one_line(repr(first["input"]), 60)
    message = first["msg"].removeprefix("Value error, ")
    return InvalidInput(f"{where}: {one_line(message)} (got {came})")


def _known_keys(model: type[BaseModel], parents: list[str]) -> list[str]:
    """Keys that are allowed inside ``parents``."""
    for parent in parents:
        info = model.model_fields.get(parent)
        if info is None or not isinstance(info.annotation, type):
            return []
        if not issubclass(info.annotation, BaseModel):
            return []
        model = info.annotation
    return list(model.model_fields)

"""Answers that were made elsewhere, as a run: scored, compared and reported like any other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from bench.errors import InvalidInput, ManyProblems, did_you_mean
from bench.formatting import count, plural
from bench.parsing import MAX_TABLE_BYTES, Unreadable, parse_json, read_text
from bench.rundir.store import RunStore
from bench.runner.run_record import known_texts, run_record, write_known_words
from bench.runner.spec import RunPlan, RunSettings, plan_run
from bench.schema import ModelSpec, Output, StopReason, Task
from bench.text import file_name, one_line

ID_KEYS = ("sample_id", "id", "question_id", "questionId")
_SUGGESTIONS = 20
"""Unknown ids for which the nearest known one is looked for."""
TEXT_KEYS = ("text", "prediction", "answer", "model_answer")
_FORM = 'write every line as {"id": "…", "text": "…"}'


def import_predictions(
    path: Path, task: Task, results: Path, *, model: str | None = None
) -> RunStore:
    """Make a complete run under ``results`` whose outputs are the lines of ``path``.

    A line holds an id (``sample_id`` or ``id``) and an answer (``text`` or ``prediction``). Nothing is
    written unless every question of the task has exactly one answer.

    Args:
        path: a JSON Lines file.
        task: the task whose questions were answered.
        results: the folder of run directories.
        model: the name under which the answers are reported; None takes the file's name.

    Raises:
        InvalidInput: a line cannot be read, or an id is missing, doubled or unknown.
    """
    outputs = read_predictions(path, task)
    name = model or file_name(path.stem)
    spec = ModelSpec(name=name, backend="imported", checkpoint=str(path.resolve()))
    plan = _planned(spec, task)
    texts = known_texts(plan)
    with RunStore.making(results, name, run_record(plan), plan.tasks, texts) as run:
        write_known_words(run, plan)
        run.append_outputs(name, task.name, [outputs[sample.id] for sample in task.samples])
        failed = sum(output.stop_reason == "error" for output in outputs.values())
        run.mark_done(name, task.name, samples=len(outputs), failed=failed)
        run.mark_done(name)
    return run


def _planned(spec: ModelSpec, task: Task) -> RunPlan:
    settings = RunSettings(warmup=False, latency_samples=0)
    try:
        return plan_run([spec], [task], settings, name=spec.name)
    except InvalidInput as error:
        # The file's name is the model's, so answers/invoices.jsonl clashes with the task invoices.
        raise InvalidInput(
            error.message, hint="give the model another name: --model NAME"
        ) from None


def read_predictions(path: Path, task: Task) -> dict[str, Output]:
    """The answers in ``path`` by sample id, one for every question of ``task``."""
    known = {sample.id for sample in task.samples}
    lines: dict[str, int] = {}
    outputs: dict[str, Output] = {}
    errors: list[InvalidInput] = []
    for line, text in enumerate(_lines(path), 1):
        if not text.strip():
            continue
        try:
            record = _record(path, line, text)
            sample_id = _sample_id(path, line, record)
            if sample_id not in known:
                # To look for the nearest of many names takes too long for every line of a long file.
                near = did_you_mean(sample_id, known) if len(errors) < _SUGGESTIONS else None
                raise InvalidInput(
                    f"{path}:{line}: task {task.name} has no question {one_line(sample_id, 60)!r}",
                    hint=near,
                )
            if sample_id in lines:
                raise InvalidInput(
                    f"{path}:{line}: question {one_line(sample_id, 60)!r} already has an answer in line "
                    f"{lines[sample_id]}",
                    hint="keep one line for each question",
                )
            if record.get("perturbation") is not None:
                done = one_line(record["perturbation"], 40)
                raise InvalidInput(
                    f"{path}:{line}: the answer is about a perturbed page ({done}), but the pages of "
                    f"{task.name} are clean"
                )
            lines[sample_id] = line
            outputs[sample_id] = _output(path, line, sample_id, record)
        except InvalidInput as error:
            errors.append(error)
    if len(errors) > 1:
        messages = [error.message for error in errors]
        raise ManyProblems(messages, subject=path.name, hint=errors[0].hint)
    if errors:
        raise errors[0]
    missing = [sample.id for sample in task.samples if sample.id not in outputs]
    if missing:
        raise InvalidInput(
            f"{path}: {count(len(missing))} of the {plural(len(known), 'question')} of {task.name} have no "
            f"answer; the first is {one_line(missing[0], 60)!r}",
            hint='add a line for each; where the model gave no answer, write "text": ""',
        )
    return outputs


def _sample_id(path: Path, line: int, record: Mapping[str, Any]) -> str:
    value = _field(path, line, record, ID_KEYS)
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise InvalidInput(
            f"{path}:{line}: an id must be a string, not {one_line(repr(value), 40)}"
        )
    return value


def _output(path: Path, line: int, sample_id: str, record: Mapping[str, Any]) -> Output:
    """The record as an output, with those fields of an ``outputs.jsonl`` that it has."""
    text = _field(path, line, record, TEXT_KEYS)
    kept: dict[str, Any] = {}
    for name, (fits, expected) in _FIELDS.items():
        value = record.get(name)
        if value is None:
            continue
        if not fits(value):
            raise InvalidInput(
                f"{path}:{line}: {name} must be {expected}, not {one_line(repr(value), 40)}",
                hint=f"leave {name} out where it is not known",
            )
        kept[name] = value
    answer = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return Output(sample_id, answer, kept.pop("stop_reason", "stop"), **kept)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_probability(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value <= 1


_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "stop_reason": (
        lambda value: value in get_args(StopReason),
        "one of " + ", ".join(get_args(StopReason)),
    ),
    "prompt_tokens": (_is_count, "a count"),
    "visual_tokens": (_is_count, "a count"),
    "generated_tokens": (_is_count, "a count"),
    "confidence": (_is_probability, "a probability from 0 to 1"),
    "min_confidence": (_is_probability, "a probability from 0 to 1"),
    "error": (lambda value: isinstance(value, str), "a text"),
}
"""What an ``outputs.jsonl`` may say besides the answer: a test of the value, and what is expected."""


def _lines(path: Path) -> list[str]:
    # splitlines would also cut at U+2028 and its like, which JSON may hold inside a string.
    return read_text(path, MAX_TABLE_BYTES).split("\n")


def _record(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        record = parse_json(text, path)
    except Unreadable as error:
        raise InvalidInput(f"{path}:{line} {error.reason}", hint=_FORM) from None
    if not isinstance(record, dict):
        raise InvalidInput(
            f"{path}:{line}: expected a JSON object with {ID_KEYS[0]} and {TEXT_KEYS[0]}",
            hint=_FORM,
        )
    return record


def _field(path: Path, line: int, record: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if record.get(key) is not None:
            return record[key]
    present = ", ".join(map(str, record)) or "nothing"
    raise InvalidInput(
        f"{path}:{line} has no {keys[0]}; it has {one_line(present, 80)}",
        hint=f"give the line one of the keys {', '.join(keys)}",
    )

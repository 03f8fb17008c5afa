"""Which prompt a question is asked with: by task, model, document type and field.

A prompt collection is a CSV file in VLMHyperBench's form, ``prompt;doc_class_question_type[;cer]``. Its key
is ``<doc_class> <question_type>``, which are our ``doc_type`` and ``field``. A ``.txt`` file holds one prompt
for every question. The columns ``model`` and ``task`` restrict a row to one of them, and ``split`` says which
documents the prompt was chosen on. ``{question}`` and ``{pages}`` in a prompt are filled in; a prompt without
them is sent as it is.

Of the rows that fit a question, the most specific one is used:

1. by its key: document type and field, then document type alone, then no key;
2. among those, by its model: the model's name, then the longest family of it (``qwen2-vl`` of
   ``qwen2-vl-2b``), then no model;
3. among those, by its task: the task's name, then no task.

Where no row fits, the question is asked with the protocol's prompt, else with that of ``task.toml``, else
with the built-in one.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.formatting import plural
from bench.parsing import read_text
from bench.schema import ModelSpec, Sample, Task
from bench.tasks.csvfile import read_table
from bench.tasks.problems import Problem
from bench.text import one_line

_COLUMNS = (("prompt",), ("doc_class_question_type",))
_MAX_BYTES = 4 * 2**20
"""A prompt file is far smaller. A larger file was most likely named by mistake."""
_SCORES = ("cer", "wer", "score", "anls")
"""Columns that hold the score of a prompt on the documents that it was chosen on."""


@dataclass(frozen=True, slots=True)
class PromptRule:
    """One row of a collection."""

    text: str
    """What the model is given after the page images."""
    sha256: str
    """The sha256 of the text in UTF-8, hexadecimal."""
    source: str
    """The file that the prompt comes from: the name of its folder and its own name."""
    key: str = ""
    """``<doc_type> <field>``, or ``<doc_type>``; empty: any question."""
    model: str = ""
    """A model's name, its checkpoint's, or the beginning of either; empty: any model."""
    task: str = ""
    """Empty: any task."""
    split: str = ""
    """The split of the documents that the prompt was chosen on, if the file says so."""
    tuned: str = ""
    """``column=value`` of the score that the prompt was chosen by, if the file says so."""
    variant: str = ""
    """What follows the ``@`` in the name of the models that it is for, where sets of prompts are compared
    (``bench.asking.prompt_sets``); empty: any model."""

    def render(self, question: str, pages: int) -> str:
        """The user text for a question about a document of so many pages."""
        return self.text.replace("{pages}", str(pages)).replace("{question}", question)


def read_prompts(path: Path) -> tuple[PromptRule, ...]:
    """The rows of a prompt collection.

    Raises:
        InvalidInput: the file cannot be read, a prompt is empty, or two rows are for the same questions.
    """
    if not path.is_file():
        raise InvalidInput(f"the prompt collection {one_line(str(path))} does not exist")
    if path.stat().st_size > _MAX_BYTES:
        raise InvalidInput(f"the prompt collection {one_line(str(path))} is larger than 4 MiB")
    source = f"{path.resolve().parent.name}/{path.name}"
    if path.suffix.lower() == ".txt":
        return (_one_for_all(path, source),)
    problems: list[Problem] = []
    rules: list[PromptRule] = []
    lines: dict[tuple[str, str, str], int] = {}
    for line, cells in read_table(path, problems, [], _COLUMNS):
        if not str(cells.get("prompt", "")).strip():
            problems.append(Problem(path.name, line, "the prompt is empty"))
            continue
        rule = _rule(cells, source)
        place = (rule.key, rule.model, rule.task)
        if place in lines:
            message = f"{one_line(rule.key, 60)!r} already has a prompt in line {lines[place]}"
            problems.append(Problem(path.name, line, message))
        lines[place] = line
        rules.append(rule)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidInput(f"{problems[0]._replace(file=str(path))}{more}")
    if not rules:
        raise InvalidInput(f"{one_line(str(path))} contains no prompts")
    return tuple(rules)


def from_record(rows: Iterable[Mapping[str, Any]]) -> tuple[PromptRule, ...]:
    """Rules as ``run.json`` holds them."""
    return tuple(PromptRule(**row) for row in rows)


class Chooser:
    """The rules that concern one model and one task, most specific first for every question."""

    def __init__(self, rules: Sequence[PromptRule], spec: ModelSpec | None, task: Task) -> None:
        self.task = task
        self._rules: list[tuple[int, bool, PromptRule]] = []
        """Rank of its model, whether it names the task, and the rule."""
        self._chosen: dict[tuple[str, str], PromptRule | None] = {}
        """Document type and field → the rule for them: many questions share both."""
        if spec is None:
            return
        for rule in rules:
            rank = _model_rank(rule.model, spec)
            if (
                rank >= 0
                and rule.task in {"", task.name, task.clean_task}
                and _is_variant(spec, rule.variant)
            ):
                self._rules.append((rank, bool(rule.task), rule))

    def rule(self, sample: Sample) -> PromptRule | None:
        """The most specific rule for a question; None if none fits."""
        place = (sample.metadata.get("doc_type", ""), sample.metadata.get("field", ""))
        if place not in self._chosen:
            self._chosen[place] = self._most_specific(*place)
        return self._chosen[place]

    def _most_specific(self, doc_type: str, field: str) -> PromptRule | None:
        best: PromptRule | None = None
        best_rank: tuple[int, int, bool] | None = None
        for model, task, rule in self._rules:
            key = _key_rank(rule.key, doc_type, field)
            rank = (key, model, task)
            if key >= 0 and (best_rank is None or rank > best_rank):
                best, best_rank = rule, rank
        return best

    def prompt(self, sample: Sample) -> str:
        """The user text that a question is asked with."""
        rule = self.rule(sample)
        if rule is None:
            return self.task.prompt.render(sample.question)
        pages = len(self.task.documents[sample.document_id].pages)
        text = rule.render(sample.question, pages)
        # Loaded on demand: it brings what reads task folders, which a model's process never does.
        from bench.tasks.hyperbench.bundles import PAGES_PREFIX

        # VLMHyperBench puts the number of pages before every prompt about a bundle.
        head = PAGES_PREFIX.format(pages=pages) + "\n"
        is_bare = text == rule.text and not text.startswith(head)
        return head + text if is_bare and sample.question.startswith(head) else text


def prompts_record(
    rules: Sequence[PromptRule], models: Sequence[ModelSpec], tasks: Sequence[Task]
) -> list[dict[str, Any]]:
    """Every prompt of a run: by model and task its text, sha256, where it is from, and how many questions."""
    record: list[dict[str, Any]] = []
    for spec in models:
        for task in tasks:
            chooser = Chooser(rules, spec, task)
            chosen = Counter(chooser.rule(sample) for sample in task.samples)
            record += [_entry(spec, task, rule, count) for rule, count in chosen.items()]
    return record


def _choices(
    rules: Sequence[PromptRule], models: Sequence[ModelSpec], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Sample, PromptRule | None]]:
    """Every question of a run, once for each model, with the rule that is chosen for it."""
    for spec in models:
        for task in tasks:
            chooser = Chooser(rules, spec, task)
            for sample in task.samples:
                yield task, sample, chooser.rule(sample)


def check_used(
    rules: Sequence[PromptRule], models: Sequence[ModelSpec], tasks: Sequence[Task]
) -> list[str]:
    """What a person should know: questions without a prompt of the collection.

    Raises:
        InvalidInput: not a single question has one, so that the collection must be another one's.
    """
    warnings: list[str] = []
    for variant in dict.fromkeys(rule.variant for rule in rules):
        own = [rule for rule in rules if rule.variant == variant]
        asked = [spec for spec in models if _is_variant(spec, variant)]
        warnings += _unfitted(own, asked, tasks)
    return warnings


def _unfitted(
    rules: Sequence[PromptRule], models: Sequence[ModelSpec], tasks: Sequence[Task]
) -> list[str]:
    """``check_used`` for the rules of one collection."""
    chosen = [rule for _, _, rule in _choices(rules, models, tasks)]
    total, missing = len(chosen), chosen.count(None)
    if not missing:
        return []
    if missing == total:
        keys = ", ".join(repr(one_line(rule.key, 40)) for rule in rules[:3])
        raise InvalidInput(
            f"no row of the prompt collection fits any question; its first keys are {keys}",
            hint="a key is the doc_type and the field of a question, with one space between them",
        )
    named = f" {rules[0].variant}" if rules[0].variant else ""
    return [
        f"the prompt collection{named} has no prompt for {missing:,} of {plural(total, 'question')}; "
        "they are asked with the task's own prompt"
    ]


def tuning_warnings(
    rules: Sequence[PromptRule], models: Sequence[ModelSpec], tasks: Sequence[Task]
) -> list[str]:
    """Where prompts were, or may have been, chosen by their score on what is scored here."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for task, sample, rule in _choices(rules, models, tasks):
        doubt = None if rule is None else _doubt(rule, task, sample)
        if rule is not None and doubt is not None:
            counts[task.name, rule.source, doubt] += 1
    return [
        f"Task {one_line(task, 60)}: {plural(count, 'question is', 'questions are')} asked with prompts "
        f"of {one_line(source, 80)} {doubt}"
        for (task, source, doubt), count in counts.items()
    ]


def _doubt(rule: PromptRule, task: Task, sample: Sample) -> str | None:
    split = sample.metadata.get("split", "")
    if rule.split:
        if split and split != rule.split:
            return None
        on = f"that were chosen on split {one_line(rule.split, 40)}"
        if split:
            return (
                f"{on}. The same split is scored here, so the scores are better than they would be on "
                "other documents."
            )
        return f"{on}. The task does not say which split its documents belong to."
    if not rule.tuned:
        return None
    column = rule.tuned.partition("=")[0]
    if _plain(task.name) in _plain(rule.source):
        return (
            f"that were chosen by their {column} (a column of the file). The file is named after this "
            "task, so the prompts were most likely chosen on the same documents that are scored here."
        )
    return (
        f"that were chosen by their {column} (a column of the file). The file does not say on which "
        "documents. If they are the documents scored here, the scores are too good; a column named split "
        "would say so."
    )


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _rule(cells: Mapping[str, Any], source: str) -> PromptRule:
    def cell(name: str) -> str:
        return " ".join(str(cells.get(name, "")).split())

    score = next((name for name in _SCORES if name in cells), None)
    return PromptRule(
        text=str(cells["prompt"]),
        sha256=_digest(str(cells["prompt"])),
        source=source,
        key=cell("doc_class_question_type"),
        model=cell("model"),
        task=cell("task"),
        split=cell("split"),
        tuned="" if score is None else f"{score}={cell(score)}",
    )


def _one_for_all(path: Path, source: str) -> PromptRule:
    text = read_text(path).strip()
    if not text:
        raise InvalidInput(f"{one_line(str(path))} contains no prompt")
    return PromptRule(text, _digest(text), source)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _key_rank(key: str, doc_type: str, field: str) -> int:
    """2 for document type and field, 1 for the type alone, 0 for no key; -1 if the key is another."""
    if not key:
        return 0
    # Compared with single spaces, which is how the keys of a file are read.
    if key == " ".join(f"{doc_type} {field}".split()):
        return 2
    return 1 if key == " ".join(doc_type.split()) else -1


def _is_variant(spec: ModelSpec, variant: str) -> bool:
    return not variant or spec.name.endswith(f"@{variant}")


def begins_name(beginning: str, spec: ModelSpec) -> bool:
    """Whether a model's name, or its checkpoint's, begins so: ``qwen2-vl`` and ``qwen2-vl-2b``."""
    return _model_rank(beginning, spec) > 0


_EXACT = 1000
"""Rank of an exact name: above that of any beginning, which has as many parts as a name may have."""


def _model_rank(model: str, spec: ModelSpec) -> int:
    """The exact name before the longest beginning of it; -1 if it is another model."""
    if not model:
        return 0
    beginning = _parts(model)
    checkpoint = (spec.checkpoint or "").rpartition("/")[2]
    names = [_parts(name) for name in (spec.name, checkpoint) if name]
    if beginning in names:
        return _EXACT
    if any(name[: len(beginning)] == beginning for name in names):
        return len(beginning)
    return -1


def _parts(name: str) -> list[str]:
    """``Qwen2_5-VL-3B`` → ``qwen2.5``, ``vl``, ``3b``: a family is a beginning, never half a number."""
    # A variant of a sweep, NAME@512, is one of NAME's family.
    return [part for part in re.split(r"[-\s@]+", name.lower().replace("_", ".")) if part]


def _entry(spec: ModelSpec, task: Task, rule: PromptRule | None, count: int) -> dict[str, Any]:
    where: dict[str, Any] = {"model": spec.name, "task": task.name, "questions": count}
    if task.prompt.system is not None:
        where["system"] = task.prompt.system
    if rule is None:
        text = task.prompt.template
        return {**where, "text": text, "sha256": _digest(text), "source": "task"}
    told = {key: value for key, value in asdict(rule).items() if value}
    # Model and task are those that were asked, not those that the row is restricted to.
    return {**where, **told, "model": spec.name, "task": task.name}

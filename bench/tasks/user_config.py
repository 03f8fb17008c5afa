"""``user_config.csv`` of VLMHyperBench: a run a row. Reading it, and finding the files that it names.

Columns: dataset; task; framework; model_name; system_prompt; prompt_collection; metrics;
only_evaluate_metrics; metrics_aggregators; filter_doc_class; filter_question_type. Lists are Python literals.
Files are looked for where ``VLMHyperBench_config.json`` says, or in the folders of its repository.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput, did_you_mean
from bench.metrics import METRICS
from bench.tasks import hyperbench_layout as hyperbench
from bench.tasks.csvfile import read_table
from bench.tasks.decoders import decode
from bench.tasks.loading import find_task
from bench.tasks.problems import Problem
from bench.text import one_line

AGGREGATORS = ("by_id", "by_doc_question", "by_doc_type", "general")
TASKS = ("VQA", hyperbench.CLASSIFICATION, hyperbench.SORTING)
NOT_COMPUTED = frozenset({"bleu"})
"""Metrics of VLMHyperBench that are passed over, and said to be."""

_COLUMNS = (("dataset",), ("model_name",))
_KNOWN = (
    "dataset",
    "task",
    "framework",
    "model_name",
    "system_prompt",
    "prompt_collection",
    "metrics",
    "only_evaluate_metrics",
    "metrics_aggregators",
    "filter_doc_class",
    "filter_question_type",
)
_FOLDERS = {
    "datasets": "Datasets",
    "prompt_collections": "PromptCollections",
    "system_prompts": "SystemPrompts",
    "model_answers": "ModelsAnswers",
}
_BASES = (".", "vlmhyperbench", "vlmhyperbench/data_dirs", "data_dirs", "data")
_CONFIGS = (".", "cfg", "system_dirs/cfg", "vlmhyperbench/cfg", "vlmhyperbench/system_dirs/cfg")


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """One row: a model on a data set."""

    line: int
    dataset: str
    model: str
    task: str = "VQA"
    framework: str = ""
    system_prompt: str = ""
    prompt_collection: str = ""
    metrics: tuple[str, ...] = ()
    """Names in ``bench.metrics.METRICS``; empty: the task's own."""
    skipped_metrics: tuple[str, ...] = ()
    """Named in the file and not computed here."""
    only_evaluate: bool = False
    """Ask no model: score the answers that are there."""
    aggregators: tuple[str, ...] = AGGREGATORS
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Metadata key → values: the filters; each holds alone, too."""


def read_user_config(path: Path) -> tuple[ConfigRow, ...]:
    """The rows of a ``user_config.csv``.

    Raises:
        InvalidInput: the file cannot be read, or a row is not valid; names the first problem with its line.
    """
    if not path.is_file():
        raise InvalidInput(f"config file {one_line(str(path))} does not exist")
    problems: list[Problem] = []
    rows: list[ConfigRow] = []
    for line, cells in read_table(path, problems, [], _COLUMNS):
        try:
            rows.append(_row(line, cells))
        except InvalidInput as error:
            hint = f"; {error.hint}" if error.hint else ""
            problems.append(Problem(path.name, line, f"{error.message}{hint}"))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidInput(f"{problems[0]._replace(file=str(path))}{more}")
    if not rows:
        raise InvalidInput(f"{one_line(str(path))} holds no rows")
    return tuple(rows)


def _row(line: int, cells: Mapping[str, Any]) -> ConfigRow:
    unknown = next((name for name in cells if name not in _KNOWN), None)
    if unknown is not None:
        raise InvalidInput(
            f"unknown column {one_line(unknown, 40)!r}", hint=did_you_mean(unknown, _KNOWN)
        )
    missing = next((name for name in ("dataset", "model_name") if name not in cells), None)
    if missing is not None:
        raise InvalidInput(f"{missing} is empty")
    named = [re.sub(r"_v\d+$", "", name.strip().lower()) for name in _listed(cells, "metrics")]
    wrong = next((n for n in named if n not in METRICS and n not in NOT_COMPUTED), None)
    if wrong is not None:
        raise InvalidInput(
            f"unknown metric {one_line(wrong, 40)!r}", hint=did_you_mean(wrong, METRICS)
        )
    aggregators = _listed(cells, "metrics_aggregators") or AGGREGATORS
    odd = next((name for name in aggregators if name not in AGGREGATORS), None)
    if odd is not None:
        raise InvalidInput(
            f"unknown aggregator {one_line(odd, 40)!r}", hint=did_you_mean(odd, AGGREGATORS)
        )
    filters = (("doc_type", "filter_doc_class"), ("field", "filter_question_type"))
    return ConfigRow(
        line=line,
        dataset=cells["dataset"].strip(),
        model=cells["model_name"].strip(),
        task=_one_of(cells.get("task", "VQA").strip(), TASKS, "task"),
        framework=cells.get("framework", "").strip(),
        system_prompt=cells.get("system_prompt", "").strip(),
        prompt_collection=cells.get("prompt_collection", "").strip(),
        metrics=tuple(name for name in named if name in METRICS),
        skipped_metrics=tuple(name for name in named if name not in METRICS),
        only_evaluate=_truth(cells.get("only_evaluate_metrics", "False")),
        aggregators=tuple(aggregators),
        only=tuple((key, _listed(cells, name)) for key, name in filters if name in cells),
    )


def _listed(cells: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A cell with a Python list, or with one name."""
    if name not in cells:
        return ()
    value = decode("literal-or-string", cells[name].strip())
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        raise InvalidInput(f"{name}: expected a list of names, got {one_line(cells[name], 60)}")
    return tuple(items)


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise InvalidInput(
            f"unknown {what} {one_line(value, 40)!r}", hint=did_you_mean(value, known)
        )
    return value


def _truth(value: str) -> bool:
    text = value.strip().lower()
    if text not in {"true", "false", "1", "0", "да", "нет", "yes", "no"}:
        raise InvalidInput(
            f"only_evaluate_metrics: expected True or False, got {one_line(value, 40)!r}"
        )
    return text in {"true", "1", "да", "yes"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files of a VLMHyperBench installation may lie."""

    root: Path
    """The folder of ``user_config.csv``."""
    folders: Mapping[str, tuple[Path, ...]]
    """``datasets``, ``prompt_collections``, … → folders, the likeliest first."""

    def dataset(self, row: ConfigRow) -> Path:
        """The folder of the row's data set, as ``bench.tasks.load_task`` takes it.

        Raises:
            InvalidInput: it is in none of the folders.
        """
        inner = (row.task, "rpo", ".")
        for base in self.folders["datasets"]:
            for name in inner:
                path = base / name / row.dataset
                if hyperbench.is_dataset(path):
                    return path if row.task == "VQA" else path / row.task
        for path in (self.root / row.dataset, Path(row.dataset)):
            if hyperbench.is_dataset(path):
                return path if row.task == "VQA" else path / row.task
        try:
            return find_task(row.dataset)
        except InvalidInput as error:
            looked = ", ".join(str(base) for base in self.folders["datasets"][:2])
            raise InvalidInput(
                f"line {row.line}: data set {one_line(row.dataset, 60)!r} is not in {looked}",
                hint=error.hint,
            ) from None

    def prompts(self, row: ConfigRow) -> Path | None:
        """The row's prompt collection; None where it names none.

        Raises:
            InvalidInput: it names one that is in none of the folders.
        """
        if not row.prompt_collection:
            return None
        return self._file(row, "prompt_collections", row.prompt_collection, row.task)

    def system(self, row: ConfigRow) -> str | None:
        """The row's system prompt: the text of the file that it names, or what it says itself."""
        if not row.system_prompt:
            return None
        if not row.system_prompt.endswith((".txt", ".md")):
            return row.system_prompt
        path = self._file(row, "system_prompts", row.system_prompt, row.task)
        return path.read_text(encoding="utf-8-sig").strip()

    def answers(self, row: ConfigRow) -> Path | None:
        """The newest answers file of the row's model and data set; None where there is none."""
        pattern = re.compile(
            rf"{re.escape(row.dataset)}_.*_{re.escape(row.model)}_{re.escape(row.task)}"
            r"(_classification|_sorting)?_answers_(\d{8}_\d{6})\.csv"
        )
        found = [
            (match[2], path)
            for base in self.folders["model_answers"]
            if base.is_dir()
            for path in base.rglob("*.csv")
            if (match := pattern.fullmatch(path.name))
        ]
        return max(found)[1] if found else None

    def _file(self, row: ConfigRow, kind: str, name: str, task: str) -> Path:
        name = name.replace("\\", "/")
        bases = [b / inner for b in self.folders[kind] for inner in (task, ".")]
        for base in (*bases, self.root, Path()):
            if (base / name).is_file():
                return base / name
        raise InvalidInput(
            f"line {row.line}: {one_line(name, 80)!r} is not in {self.folders[kind][0]}"
        )


def find_layout(config: Path) -> Layout:
    """The folders that belong to a ``user_config.csv``."""
    root = config.resolve().parent
    named = _named_folders(root)
    folders = {
        kind: tuple(
            dict.fromkeys(
                [
                    *([root / named[kind]] if kind in named else []),
                    *(root / b / name for b in _BASES),
                ]
            )
        )
        for kind, name in _FOLDERS.items()
    }
    return Layout(root, folders)


def _named_folders(root: Path) -> dict[str, str]:
    """``data_dirs`` of ``VLMHyperBench_config.json``, whose paths count from the repository's root."""
    for place in _CONFIGS:
        path = root / place / "VLMHyperBench_config.json"
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, OSError, RecursionError) as error:
            raise InvalidInput(
                f"{path}: cannot be read as JSON: {one_line(str(error), 80)}"
            ) from None
        folders = content.get("data_dirs") if isinstance(content, dict) else None
        if isinstance(folders, dict):
            return {key: value for key, value in folders.items() if isinstance(value, str)}
    return {}

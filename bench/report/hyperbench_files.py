"""Answers and metrics in VLMHyperBench's CSV layout: ``;``, UTF-8 with BOM, a file an aggregator.

``{dataset}_{framework}_{model}_{task}_answers_{YYYYMMDD_HHMMSS}.csv`` holds ``id;model_answer``, and the same
name with ``_by_id``, ``_by_doc_question``, ``_by_doc_type`` or ``_general`` the metrics. Cells that a
spreadsheet would take for a formula begin with an apostrophe, which ``read_answers`` takes off again.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.report.samples import reference_texts
from bench.report.views import ModelRow, ReportView, RunView, TaskView
from bench.scoring.answers import Answer
from bench.text import csv_cell, file_name, printable

AGGREGATORS = ("by_id", "by_doc_question", "by_doc_type", "general")
_FRAMEWORKS = {"qwen_vl": "Hugging Face"}
_METRIC_COLUMNS = {"cer": "cer_error", "wer": "wer_error"}
"""Metrics that VLMHyperBench has, too, under its names for them."""


def hyperbench_files(view: ReportView) -> dict[str, str]:
    """File name → content, for every model and task of ``view``."""
    files: dict[str, str] = {}
    for index, row in enumerate(view.rows):
        for number, task in enumerate(view.tasks):
            answers = [sample.answers[index] for sample in view.samples if sample.task == number]
            answered = [a for a in answers if a is not None and a.output is not None]
            if answered:
                files |= _of_cell(view, row, task, answered)
    return files


def _of_cell(
    view: ReportView, row: ModelRow, task: TaskView, answered: Sequence[Answer]
) -> dict[str, str]:
    run = next(run for run in view.runs if run.id == row.run)
    name = _unique_name(view, row, task, run)
    kind = _kind(task)
    key = "id" if kind == "VQA" else "sample_id"
    files = {
        f"{name}.csv": _csv(
            [key, "model_answer"], ([a.sample.id, _said(a, task)] for a in answered)
        )
    }
    metrics = {_METRIC_COLUMNS.get(name, name): name for name in task.metrics}
    # The aggregators that the run's user_config.csv asked for, or all.
    asked = run.labels.get("metrics_aggregators", "").split(",")
    for aggregator in [name for name in AGGREGATORS if name in asked] or AGGREGATORS:
        files[f"{name}_{aggregator}.csv"] = _AGGREGATED[aggregator](answered, metrics)
    return files


def _unique_name(view: ReportView, row: ModelRow, task: TaskView, run: RunView) -> str:
    """The file's name, with the checkpoint's name as VLMHyperBench writes it."""
    models = run.record.get("models", ())
    spec: Mapping[str, Any] = next((m["spec"] for m in models if m["spec"]["name"] == row.name), {})
    model = str(spec.get("checkpoint") or row.name).rstrip("/").rpartition("/")[2]
    checkpoints = [each.setup.get("checkpoint") for each in view.rows if each.run == row.run]
    digits = re.sub(r"\D", "", run.started)[:14].ljust(14, "0")
    backend = str(spec.get("backend", ""))
    parts = [
        task.name.removesuffix("-RPOSorting"),
        _FRAMEWORKS.get(backend, backend or "unknown"),
        # Two variants of one checkpoint in a run would overwrite each other.
        model if checkpoints.count(spec.get("checkpoint")) <= 1 else row.name,
        _kind(task),
        "answers",
        f"{digits[:8]}_{digits[8:]}",
    ]
    return "_".join(file_name(part) for part in parts)


def _kind(task: TaskView) -> str:
    if "kendall_tau" in task.metrics and "page_accuracy" in task.metrics:
        return "RPOSorting"
    return "RPOClassification" if "page_accuracy" in task.metrics else "VQA"


def _said(answer: Answer, task: TaskView) -> str:
    text = answer.output.text if answer.output is not None else ""
    # Of bundles, VLMHyperBench keeps the digits without the commas.
    return text if _kind(task) == "VQA" else text.replace(",", "")


def _value(answered: Sequence[Answer], metric: str) -> float | None:
    """Σ value·weight / Σ weight: for error rates the rate of the whole corpus, as jiwer's on lists."""
    scores = [a.scores[metric] for a in answered if metric in a.scores]
    kept = [(s.value, s.weight) for s in scores if s.value is not None and s.weight > 0]
    total = sum(weight for _, weight in kept)
    return sum(value * weight for value, weight in kept) / total if total else None


def _by_id(answered: Sequence[Answer], metrics: Mapping[str, str]) -> str:
    header = ["id", "model_answer", "data_index", "split", "image_path", "question", "answer"]
    header += ["doc_class", "question_type", "answer_bbox", *metrics]

    def cells(item: Answer) -> list[Any]:
        own, known = item.sample, item.sample.metadata
        return [
            *(own.id, item.output.text if item.output is not None else ""),
            *(known.get("data_index"), known.get("split"), own.document_id, own.question),
            " | ".join(reference_texts(own)),
            *(known.get("doc_type"), known.get("field"), known.get("bbox")),
            *(_value([item], name) for name in metrics.values()),
        ]

    return _csv(header, map(cells, answered))


def _grouped(
    answered: Sequence[Answer], metrics: Mapping[str, str], keys: Mapping[str, str]
) -> str:
    groups: dict[tuple[str, ...], list[Answer]] = {}
    for item in answered:
        place = tuple(item.sample.metadata.get(key, "") for key in keys.values())
        groups.setdefault(place, []).append(item)
    rows = (
        [*place, *(_value(group, name) for name in metrics.values()), len(group)]
        for place, group in sorted(groups.items())
    )
    return _csv([*keys, *metrics, "n"], rows)


_AGGREGATED: Mapping[str, Callable[[Sequence[Answer], Mapping[str, str]], str]] = {
    "by_id": _by_id,
    "by_doc_question": lambda answered, metrics: _grouped(
        answered, metrics, {"doc_class": "doc_type", "question_type": "field"}
    ),
    "by_doc_type": lambda answered, metrics: _grouped(answered, metrics, {"doc_class": "doc_type"}),
    "general": lambda answered, metrics: _grouped(answered, metrics, {}),
}


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=";", lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return "\ufeff" + stream.getvalue()


def _cell(value: Any) -> Any:
    return csv_cell(printable(value, newlines=True)) if isinstance(value, str) else value

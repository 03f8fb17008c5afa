"""The tables of slices: where each model is strong, as numbers on a scale of colour."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench import formatting
from bench.report.views import ModelRow, ReportView
from bench.schema import Estimate

SMALL_N = 10
"""Slices of fewer samples are hatched: their numbers are anecdotes."""

MAX_FIELDS = 20
"""Fields in the first table of slices, the most asked first; the rest is folded."""


def slices(view: ReportView) -> dict[str, list[dict[str, Any]]]:
    """Groups of heat rows: tasks and short keys, the most asked fields, and the rest of the fields."""
    groups: list[dict[str, Any]] = []
    fields: list[dict[str, Any]] = []
    if view.tasks:
        by_task: list[dict[str, Any]] = []
        for task in view.tasks:
            cells = []
            for row in view.rows:
                score = row.tasks.get(task.key)
                estimate = score.estimate if score is not None and score.asked > 0 else None
                cells.append(_heat(estimate, task.higher_is_better))
            by_task.append(
                {
                    "value": task.key,
                    "note": task.headline_title + ("" if task.higher_is_better else " ↓"),
                    "n": task.samples,
                    "filter": attr_json({"task": task.key}),
                    "cells": cells,
                }
            )
        groups.append({"name": "Task", "lines": by_task})
    names = {"language": "Language", "doc_type": "Document type", "field": "Field"}
    for key, title in names.items():
        lines: list[dict[str, Any]] = [
            {
                "value": item.value,
                "note": "",
                "n": item.n,
                "filter": attr_json({key: item.value}),
                "cells": [_heat(item.estimates.get(row.key), True) for row in view.rows],
            }
            for item in view.slices
            if item.key == key
        ]
        lines.sort(key=lambda line: -line["n"])
        if lines:
            (fields if key == "field" else groups).append({"name": title, "lines": lines})
    for group in groups + fields:
        for line in group["lines"]:
            _mark_best(line["cells"], view.rows)
    first = [{"name": g["name"], "lines": g["lines"][:MAX_FIELDS]} for g in fields]
    rest = [
        {"name": g["name"], "lines": g["lines"][MAX_FIELDS:]}
        for g in fields
        if len(g["lines"]) > MAX_FIELDS
    ]
    return {"main": groups, "fields": first, "rest": rest}


def _mark_best(cells: Sequence[dict[str, Any]], rows: Sequence[ModelRow]) -> None:
    """Bold says something only where the finished models differ."""
    scored = [
        cell["goodness"]
        for cell, row in zip(cells, rows, strict=True)
        if cell["step"] is not None and row.ranked
    ]
    for cell, row in zip(cells, rows, strict=True):
        cell["best"] = (
            row.ranked
            and cell["step"] is not None
            and cell["goodness"] == max(scored) > min(scored)
        )


def _heat(estimate: Estimate | None, higher: bool) -> dict[str, Any]:
    if estimate is None or estimate.value is None:
        return {
            "text": formatting.DASH,
            "step": None,
            "small": False,
            "title": "no score",
            "best": False,
        }
    goodness = estimate.value if higher else max(0.0, 1 - estimate.value)
    spread = formatting.interval(estimate)
    return {
        "text": formatting.score(estimate.value),
        "step": min(10, max(0, round(goodness * 10))),
        "goodness": goodness,
        "small": estimate.n < SMALL_N,
        "best": False,
        "title": f"{formatting.score(estimate.value)} {spread}, {formatting.plural(estimate.n, 'question')}"
        f" of {formatting.plural(estimate.clusters, 'document')}",
    }


def attr_json(value: Any) -> str:
    """JSON for an attribute, with texts as the embedded samples have them."""
    return json.dumps(_safe_all(value))


def _safe_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _safe_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_safe_all(item) for item in value]
    return formatting.safe(value) if isinstance(value, str) else value

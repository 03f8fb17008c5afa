"""What ``bench run --dry-run`` prints: the work, the memory it will ask for, what must be downloaded."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measure import gpus
from bench.models.catalog import download_size, expected_memory
from bench.prompts import prompts_record
from bench.protocols import NATIVE
from bench.runner import RunPlan
from bench.runner.batches import page_groups, pixels
from bench.text import one_line

GIB = 2**30


def describe_json(plan: RunPlan) -> dict[str, Any]:
    """The plan as data: bytes and counts; null where something cannot be told."""
    return {
        "spec_id": plan.spec_id(),
        "models": [
            {
                "name": spec.name,
                "backend": spec.backend,
                "checkpoint": spec.checkpoint,
                "expected_memory_bytes": expected_memory(spec),
                "download_bytes": download_size(spec),
            }
            for spec in plan.models
        ],
        "tasks": [
            {
                "name": task.name,
                "questions": len(task.samples),
                "documents": len(task.documents),
                "pages": sum(len(document.pages) for document in task.documents.values()),
                "largest_document_pixels": max(pixels(g.document) for g in page_groups(task)),
            }
            for task in plan.tasks
        ],
        "questions": sum(len(task.samples) for task in plan.tasks) * len(plan.models),
        "protocol": plan.settings.protocol or {"name": NATIVE},
        "prompts": prompts_record(plan.settings.prompts, plan.models, plan.tasks),
        "gpus": gpus(),
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
    }


def describe(plan: RunPlan) -> str:
    """The plan for a person's eyes."""
    facts = describe_json(plan)
    lines = [
        f"{facts['questions']:,} questions in all; nothing is loaded or written by a dry run.",
        "",
    ]
    native = facts["protocol"]["name"] == NATIVE
    lines.append(f"protocol  {_protocol(facts['protocol'])}")
    lines += [f"prompts   {_prompts(facts['prompts'], native=native)}", ""]
    width = max(len(row["name"]) for row in [*facts["models"], *facts["tasks"]])
    lines.append(f"{'task':<{width}}  questions  documents  pages  largest document")
    lines += [
        f"{row['name']:<{width}}  {row['questions']:>9,}  {row['documents']:>9,}  {row['pages']:>5,}  "
        f"{row['largest_document_pixels'] / 1e6:.1f} megapixels"
        for row in facts["tasks"]
    ]
    lines += ["", f"{'model':<{width}}  memory (estimate)  to download  checkpoint"]
    lines += [
        f"{row['name']:<{width}}  {_gib(row['expected_memory_bytes'], none='no weights'):>17}  "
        f"{_gib(row['download_bytes'], none='unknown'):>11}  {row['checkpoint'] or '-'}"
        for row in facts["models"]
    ]
    lines.append("")
    if facts["gpus"]:
        lines += [
            f"{gpu['name']}: {_gib(gpu['free_bytes'])} of {_gib(gpu['memory_bytes'])} free"
            for gpu in facts["gpus"]
        ]
        free = max(gpu["free_bytes"] for gpu in facts["gpus"])
        lines += [
            f"{row['name']} is not expected to fit: --max-pixels or an Int4 variant takes less"
            for row in facts["models"]
            if (row["expected_memory_bytes"] or 0) > free
        ]
    else:
        lines.append("No GPU is seen: models with weights would run on the CPU.")
    return "\n".join(lines)


def _protocol(record: Mapping[str, Any]) -> str:
    title = record.get("title")
    return one_line(f"{record['name']} ({title})" if title else str(record["name"]))


def _prompts(record: Sequence[Mapping[str, Any]], *, native: bool) -> str:
    """Where the prompts come from, and how many questions are asked with them."""
    counts: Counter[str] = Counter()
    for entry in record:
        counts[str(entry["source"])] += entry["questions"]
    named = {"task": "the tasks' own" if native else "the protocol, or the tasks' own"}
    return "; ".join(
        f"{one_line(named.get(source, source), 80)} ({count:,} questions)"
        for source, count in counts.most_common()
    )


def _gib(count: int | None, none: str = "-") -> str:
    if count is None:
        return none
    return "0" if count == 0 else f"{count / GIB:.1f} GiB"

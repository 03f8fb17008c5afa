"""What ``bench run --dry-run`` prints: the work, the memory it will ask for, what must be downloaded."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.asking.prompts import prompts_record
from bench.asking.protocols import NATIVE
from bench.measure import gpus
from bench.models.footprint import download_size, expected_memory
from bench.runner import RunPlan
from bench.runner.batches import batched, default_batch_size, page_groups, pixels
from bench.runner.devices import Device
from bench.runner.shards import divide
from bench.schema import ModelSpec
from bench.text import one_line

GIB = 2**30


def describe_json(plan: RunPlan, devices: Sequence[Device] = ()) -> dict[str, Any]:
    """The plan as data: bytes and counts; null where something cannot be told.

    ``devices`` are those of ``--devices``, which share every model's questions.
    """
    return {
        "spec_id": plan.spec_id(),
        "models": [
            {
                "name": spec.name,
                "backend": spec.backend,
                "checkpoint": spec.checkpoint,
                "expected_memory_bytes": expected_memory(spec),
                "download_bytes": download_size(spec),
                "device_map": spec.options.get("device_map"),
                "questions_by_device": _shares(plan, spec, devices) if devices else None,
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
        "devices": [device.name for device in devices],
        "gpus": gpus(),
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
    }


def describe(plan: RunPlan, devices: Sequence[Device] = ()) -> str:
    """The plan for a person's eyes."""
    facts = describe_json(plan, devices)
    lines = [
        f"{facts['questions']:,} questions in all; nothing is loaded or written by a dry run.",
        "",
    ]
    native = facts["protocol"]["name"] == NATIVE
    lines.append(f"protocol  {_protocol(facts['protocol'])}")
    lines.append(f"prompts   {_prompts(facts['prompts'], native=native)}")
    if devices:
        lines.append(f"devices   {', '.join(facts['devices'])}: a process each, with a whole model")
    lines.append("")
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
    lines += [*_spread(facts["models"]), "", *_room(facts, devices)]
    return "\n".join(lines)


def _shares(plan: RunPlan, spec: ModelSpec, devices: Sequence[Device]) -> list[int]:
    """Questions of each device, divided as the runner does."""
    size = plan.settings.batch_size or default_batch_size(devices[0].name)
    batches = {task.name: list(batched(page_groups(task), size)) for task in plan.tasks}
    return [
        sum(
            len(group.requests)
            for task, numbers in share.items()
            for number in numbers
            for group in batches[task][number]
        )
        for share in divide(batches, len(devices), spec.max_pixels)
    ]


def _spread(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which models do not run as one process on one device."""
    lines = []
    for row in models:
        if row["questions_by_device"] is not None:
            counts = " + ".join(f"{count:,}" for count in row["questions_by_device"])
            lines.append(f"{row['name']}: {counts} questions, by device")
        if row["device_map"] is not None:
            lines.append(f"{row['name']}: layers spread over all GPUs, answered by padded rows")
    return ["", *lines] if lines else []


def _room(facts: Mapping[str, Any], devices: Sequence[Device]) -> list[str]:
    """What the GPUs have free, and which models are not expected to fit."""
    seen = facts["gpus"]
    if not seen:
        return ["No GPU is seen: models with weights would run on the CPU."]
    lines = [
        f"{gpu['name']}: {_gib(gpu.get('free_bytes'))} of {_gib(gpu.get('memory_bytes'))} free"
        for gpu in seen
    ]
    if any(device.name == "cpu" for device in devices):
        return lines
    free = [gpu.get("free_bytes", float("inf")) for gpu in seen]
    # A batch system may name GPUs by other words than numbers; then any of them may be meant.
    entries = [device.environment["CUDA_VISIBLE_DEVICES"] for device in devices]
    used = [free[int(e)] for e in entries if e.isdigit() and int(e) < len(free)] or free
    one = min(used) if devices else max(free)
    return lines + [
        f"{row['name']} is not expected to fit: --max-pixels or an Int4 variant takes less"
        for row in facts["models"]
        if (row["expected_memory_bytes"] or 0) > (one if row["device_map"] is None else sum(free))
    ]


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
